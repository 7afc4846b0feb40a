//! `kill -9` at each step of a period, between a real Postfix and Dovecot, and what the account says
//! after the restart: from before the mail is registered until it is taken out of the mailbox.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::lab::{Account, Lab, until};
use crate::real::stack::{plain, target};
use crate::support::program::{Running, folder, sqlite, value};
use crate::support::relay::{Relay, Stop};
use crate::support::{http, yaml};

/// How far the round trip of a mail that nobody watched may be off: a server dates in whole seconds,
/// and the machine may be busy.
const DATE_TOLERANCE: Duration = Duration::from_millis(1500);

/// One target that sends one mail, with a relay before either server.
struct World {
    lab: &'static Lab,
    protocol: &'static str,
    sender: Account,
    reader: Account,
    smtp: Relay,
    mailbox: Relay,
    folder: TempDir,
    /// When the process that runs now was started.
    started: Cell<SystemTime>,
}

impl World {
    async fn new(step: &str, protocol: &'static str) -> Self {
        Self::with(step, protocol, false).await
    }

    /// The mailbox of the recipient is full, and the bounces come into one that is watched as well.
    async fn bouncing(step: &str, protocol: &'static str) -> Self {
        let world = Self::with(step, protocol, true).await;
        world.lab.limit_mailbox(&world.reader, Some(1)).await;
        world
    }

    async fn with(step: &str, protocol: &'static str, watches_sender: bool) -> Self {
        let lab = Lab::shared().await;
        let sender = lab.user(&format!("crash-{step}-{protocol}-from"), "secret").await;
        let reader = lab.user(&format!("crash-{step}-{protocol}"), "secret").await;
        let ports = lab.ports();
        let smtp = Relay::new(ports.smtp).await;
        let mailbox = Relay::new(if protocol == "imap" { ports.imap } else { ports.pop3 }).await;
        let mut target = target(lab, "one", &reader)
            .set("host", "127.0.0.1")
            .set("from", &sender.address)
            .every("1h")
            .send(&plain(smtp.port()), None)
            .receive(protocol, &plain(mailbox.port()), &reader);
        if watches_sender {
            target = target.sender_mailbox(protocol, mailbox.port(), &sender);
        }
        let config = format!("state_dir: state\n{}", yaml(&[target]));
        let folder = folder(&config);
        let started = Cell::new(SystemTime::now());
        Self { lab, protocol, sender, reader, smtp, mailbox, folder, started }
    }

    /// Starts the exporter, or starts it again.
    async fn exporter(&self) -> Running {
        self.started.set(SystemTime::now());
        Running::start(self.folder.path(), &[]).await
    }

    /// Waits until the mailbox was looked through by the process that runs now.
    async fn checked(&self, exporter: &Running) -> String {
        const CHECKED: &str =
            "mailtrip_last_success_timestamp_seconds{target=\"one\",side=\"receive\"} ";
        let started = self.started.get().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let is_since = |line: &str| {
            let at = line.strip_prefix(CHECKED).and_then(|at| at.parse().ok());
            at.is_some_and(|at: f64| at > started.as_secs_f64())
        };
        exporter.until("/metrics", |page| page.lines().any(is_since)).await
    }

    /// Waits until the mail is under way and the store has that.
    async fn is_under_way(&self, exporter: &Running) -> String {
        let page = counts_are(exporter, Counts::under_way()).await;
        self.is_recorded_as("outstanding").await;
        page
    }

    /// Ends the exporter without a chance to tidy up. Whatever held up a server is over.
    async fn kill(&self, exporter: Running) {
        exporter.kill().await;
        self.smtp.let_pass();
        self.mailbox.let_pass();
    }

    /// Waits until the store knows what became of the mail.
    async fn is_recorded_as(&self, state: &str) {
        let recorded = || sqlite(self.folder.path(), "SELECT state FROM mail");
        until("the store has it", async || recorded().trim() == state).await;
    }

    /// Earlier mails have taught that the clocks of both hosts, which are one, go together.
    fn has_learned_the_clock(&self) {
        let learned = "UPDATE folder SET clock_offset_least = -0.05, clock_offset_most = 0.05, \
                       clock_known_at = unixepoch()";
        sqlite(self.folder.path(), learned);
    }

    async fn mailbox_is_empty(&self) {
        until("the mailbox is empty", async || self.lab.mails(&self.reader).is_empty()).await;
    }

    async fn report_is_gone(&self) {
        until("the report is gone", async || self.lab.mails(&self.sender).is_empty()).await;
    }

    /// The command that reads what a report says.
    fn reading(&self) -> &'static str {
        if self.protocol == "imap" { "(BODY.PEEK[]<0." } else { "TOP 1 1000" }
    }

    /// The command that begins a removal.
    fn removal(&self) -> &'static str {
        if self.protocol == "imap" { "UID STORE" } else { "DELE" }
    }

    /// The command that ends it.
    fn end_of_removal(&self) -> &'static str {
        if self.protocol == "imap" { "UID EXPUNGE" } else { "QUIT" }
    }
}

/// The account on a page of metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    probes: u64,
    accepted: u64,
    doubtful: u64,
    outstanding: u64,
    received: u64,
    returned: u64,
    duplicate: u64,
    lost: u64,
    bounced: u64,
}

impl Counts {
    /// # Panics
    /// If the accepted mails are not each in one place.
    fn read(page: &str) -> Self {
        // Before anything was measured a gauge is NaN, which is cast to 0.
        let count = |name: &str| value(page, name).map(|value| value as u64);
        let total = |name: &str| count(&format!("mailtrip_probes{name}_total"));
        let counts = Self {
            probes: total("").unwrap(),
            accepted: total("_accepted").unwrap(),
            doubtful: total("_doubtful").unwrap(),
            outstanding: count("mailtrip_outstanding_messages").unwrap(),
            received: total("_received").unwrap(),
            returned: total("_returned").unwrap(),
            duplicate: total("_duplicate").unwrap(),
            lost: total("_lost").unwrap(),
            bounced: total("_bounced").unwrap(),
        };
        let ended = counts.received + counts.lost + counts.bounced;
        assert_eq!(counts.accepted, counts.outstanding + ended, "{page}");
        assert!(value(page, "mailtrip_store_errors_total") == Some(0.0), "{page}");
        counts
    }

    /// One mail, and it has arrived.
    fn arrived() -> Self {
        Self { probes: 1, accepted: 1, received: 1, ..Self::default() }
    }

    /// One mail, and it has bounced.
    fn bounced() -> Self {
        Self { probes: 1, accepted: 1, bounced: 1, ..Self::default() }
    }

    /// One mail, and it is under way.
    fn under_way() -> Self {
        Self { probes: 1, accepted: 1, outstanding: 1, ..Self::default() }
    }

    /// One mail, and nobody knows whether the server has it.
    fn doubtful() -> Self {
        Self { probes: 1, doubtful: 1, ..Self::default() }
    }
}

/// Waits until the account is so.
async fn counts_are(exporter: &Running, wanted: Counts) -> String {
    exporter.until("/metrics", |page| Counts::read(page) == wanted).await
}

/// The sum of the round trips, of which there is one.
fn roundtrip(page: &str) -> Duration {
    assert_eq!(value(page, "mailtrip_roundtrip_seconds_count"), Some(1.0), "{page}");
    let roundtrip = Duration::from_secs_f64(value(page, "mailtrip_roundtrip_seconds_sum").unwrap());
    let minutes = value(page, "mailtrip_roundtrip_minutes").unwrap();
    assert!((minutes * 60.0 - roundtrip.as_secs_f64()).abs() < 0.001, "{page}");
    roundtrip
}

/// When the mail that is under way was accepted.
fn accepted(page: &str) -> SystemTime {
    let seconds = value(page, "mailtrip_oldest_outstanding_timestamp_seconds").unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)
}

#[tokio::test]
async fn killed_before_the_mail_is_registered() {
    let world = World::new("a", "imap").await;
    // Sending waits for the check, which is stopped at the first command.
    world.mailbox.stop_at(Stop::Before(""));
    let exporter = world.exporter().await;
    world.mailbox.reached().await;
    world.kill(exporter).await;
    assert_eq!(sqlite(world.folder.path(), "SELECT count(*) FROM mail").trim(), "0");
    let exporter = world.exporter().await;
    let page = counts_are(&exporter, Counts::arrived()).await;
    assert!(roundtrip(&page) < Duration::from_secs(10), "{page}");
    world.mailbox_is_empty().await;
}

#[tokio::test]
async fn killed_before_the_data() {
    let world = World::new("b", "imap").await;
    world.smtp.stop_at(Stop::Before("DATA"));
    let exporter = world.exporter().await;
    world.smtp.reached().await;
    world.kill(exporter).await;
    let exporter = world.exporter().await;
    let page = world.checked(&exporter).await;
    assert_eq!(Counts::read(&page), Counts::doubtful());
    assert!(world.lab.mails(&world.reader).is_empty(), "the server never had it");
}

#[tokio::test]
async fn killed_after_the_final_dot_and_before_the_reply() {
    for protocol in ["imap", "pop3"] {
        let world = World::new("c", protocol).await;
        world.lab.hold(&world.reader);
        world.smtp.stop_at(Stop::AnswerTo("\r\n.\r\n"));
        let exporter = world.exporter().await;
        world.smtp.reached().await;
        world.kill(exporter).await;
        let exporter = world.exporter().await;
        let page = world.checked(&exporter).await;
        assert_eq!(Counts::read(&page), Counts::doubtful(), "{protocol}");
        world.lab.release(&world.reader).await;
        world.lab.wait_for_mails(&world.reader, 1).await;
        // Nobody waits for a doubtful mail: the next check finds it.
        exporter.kill().await;
        let exporter = world.exporter().await;
        counts_are(&exporter, Counts { returned: 1, ..Counts::doubtful() }).await;
        world.mailbox_is_empty().await;
    }
}

#[tokio::test]
async fn killed_while_the_mail_is_held_in_the_queue() {
    for protocol in ["imap", "pop3"] {
        let world = World::new("d", protocol).await;
        world.lab.hold(&world.reader);
        let started = SystemTime::now();
        let exporter = world.exporter().await;
        let page = world.is_under_way(&exporter).await;
        let accepted = accepted(&page);
        world.kill(exporter).await;
        let exporter = world.exporter().await;
        // Before this process has looked once nobody could tell when a mail arrives.
        let page = world.checked(&exporter).await;
        assert_eq!(Counts::read(&page), Counts::under_way(), "{protocol}");
        // A round trip that began with this process would be too short.
        let gap = DATE_TOLERANCE * 2;
        until("the wait is long", async || world.started.get().elapsed().unwrap() > gap).await;
        let released = SystemTime::now();
        world.lab.release(&world.reader).await;
        let page = counts_are(&exporter, Counts::arrived()).await;
        let (roundtrip, waited) = (roundtrip(&page), released.duration_since(accepted).unwrap());
        // Where the looks are far apart, the mail has arrived in the middle between them.
        assert!(roundtrip + DATE_TOLERANCE >= waited, "{protocol}: {roundtrip:?} for {waited:?}");
        assert!(roundtrip <= started.elapsed().unwrap(), "{roundtrip:?}");
        world.mailbox_is_empty().await;
    }
}

#[tokio::test]
async fn killed_while_the_mail_lies_in_the_mailbox_and_nobody_has_looked() {
    for protocol in ["imap", "pop3"] {
        let world = World::new("e", protocol).await;
        world.lab.hold(&world.reader);
        let exporter = world.exporter().await;
        let page = world.is_under_way(&exporter).await;
        let accepted = accepted(&page);
        world.mailbox.stop_at(Stop::Before(""));
        world.mailbox.reached().await;
        world.lab.release(&world.reader).await;
        let mail = world.lab.wait_for_mails(&world.reader, 1).await.remove(0);
        world.kill(exporter).await;
        // So long that the moment of the look could not be taken for that of the arrival.
        let delivered = mail.delivered().unwrap();
        let gap = DATE_TOLERANCE * 2;
        until("the outage is long", async || delivered.elapsed().unwrap() > gap).await;
        world.has_learned_the_clock();
        let exporter = world.exporter().await;
        let page = counts_are(&exporter, Counts::arrived()).await;
        let (told, truth) = (roundtrip(&page), delivered.duration_since(accepted).unwrap());
        assert!(told.abs_diff(truth) < DATE_TOLERANCE, "{protocol}: {told:?} for {truth:?}");
        world.mailbox_is_empty().await;
    }
}

#[tokio::test]
async fn killed_when_the_mail_was_seen_and_not_taken_out() {
    for protocol in ["imap", "pop3"] {
        let world = World::new("f", protocol).await;
        world.mailbox.stop_at(Stop::Before(world.removal()));
        let exporter = world.exporter().await;
        world.mailbox.reached().await;
        world.is_recorded_as("received").await;
        world.kill(exporter).await;
        assert_eq!(world.lab.mails(&world.reader).len(), 1, "{protocol}");
        let exporter = world.exporter().await;
        world.mailbox_is_empty().await;
        let page = world.checked(&exporter).await;
        assert_eq!(Counts::read(&page), Counts::arrived(), "{protocol}");
    }
}

#[tokio::test]
async fn killed_when_the_mail_was_taken_out_and_the_server_has_not_said_so() {
    for protocol in ["imap", "pop3"] {
        let world = World::new("g", protocol).await;
        // The check ends its POP3 session as well, so that it must be over.
        world.lab.hold(&world.reader);
        let exporter = world.exporter().await;
        world.is_under_way(&exporter).await;
        world.mailbox.stop_at(Stop::Before(world.removal()));
        world.lab.release(&world.reader).await;
        world.mailbox.reached().await;
        world.kill(exporter).await;
        world.mailbox.stop_at(Stop::AnswerTo(world.end_of_removal()));
        let exporter = world.exporter().await;
        world.mailbox.reached().await;
        world.kill(exporter).await;
        world.mailbox_is_empty().await;
        let exporter = world.exporter().await;
        let page = world.checked(&exporter).await;
        assert_eq!(Counts::read(&page), Counts::arrived(), "{protocol}");
    }
}

#[tokio::test]
async fn killed_before_a_report_was_read() {
    for protocol in ["imap", "pop3"] {
        let world = World::bouncing("h", protocol).await;
        world.mailbox.stop_at(Stop::Before(world.reading()));
        let exporter = world.exporter().await;
        world.mailbox.reached().await;
        world.is_recorded_as("outstanding").await;
        world.kill(exporter).await;
        let report = world.lab.wait_for_mails(&world.sender, 1).await.remove(0).text();
        let envelope_id = sqlite(world.folder.path(), "SELECT token FROM mail");
        let envelope_id = format!("\nOriginal-Envelope-Id: {}\n", envelope_id.trim());
        assert!(report.replace('\r', "").contains(&envelope_id), "{report}");
        let exporter = world.exporter().await;
        counts_are(&exporter, Counts::bounced()).await;
        world.report_is_gone().await;
    }
}

#[tokio::test]
async fn killed_when_a_bounce_was_found_and_not_taken_out() {
    for protocol in ["imap", "pop3"] {
        let world = World::bouncing("i", protocol).await;
        world.mailbox.stop_at(Stop::Before(world.removal()));
        let exporter = world.exporter().await;
        world.mailbox.reached().await;
        world.is_recorded_as("bounced").await;
        world.kill(exporter).await;
        assert_eq!(world.lab.mails(&world.sender).len(), 1, "{protocol}");
        let exporter = world.exporter().await;
        world.report_is_gone().await;
        let page = world.checked(&exporter).await;
        assert_eq!(Counts::read(&page), Counts::bounced(), "{protocol}");
        let evidence = exporter.get("/api/targets/one").await;
        assert!(evidence.contains("\"outcome\":\"bounced\""), "{evidence}");
    }
}

#[tokio::test]
async fn a_loop_of_crashes_sends_one_mail() {
    let world = World::new("loop", "imap").await;
    world.lab.hold(&world.reader);
    let exporter = world.exporter().await;
    world.is_under_way(&exporter).await;
    world.kill(exporter).await;
    for _ in 0..5 {
        let exporter = world.exporter().await;
        until("it is ready", async || http::get(&exporter.address, "/-/ready").await.status == 200)
            .await;
        world.kill(exporter).await;
    }
    let exporter = world.exporter().await;
    let page = exporter.get("/metrics").await;
    assert_eq!(Counts::read(&page), Counts::under_way());
    world.lab.release(&world.reader).await;
    counts_are(&exporter, Counts::arrived()).await;
    world.mailbox_is_empty().await;
    let sent = world.lab.smtp_log();
    let sent = sent.lines().filter(|line| {
        line.contains("lmtp") && line.contains(&format!("to=<{}>", world.reader.address))
    });
    assert_eq!(sent.count(), 1, "Postfix has delivered one mail");
}
