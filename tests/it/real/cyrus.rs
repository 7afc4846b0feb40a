//! A mailbox that is read by JMAP: against a real Cyrus, as its measures tell it.

use std::time::{Duration, SystemTime};

use ledger::{Reading, Reason, Snapshot, Step};
use mail::trace::Trace;
use mail::wire::{ConnectionContext, Dialer};
use mailtrip_exporter::config::Target;
use mailtrip_exporter::probing::mailbox::{Disposition, Found, Since, jmap};
use testserver::Protocol;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::lab::cyrus::{Cyrus, Release};
use crate::lab::{Account, until};
use crate::real::stack::healthy;
use crate::support::logins::log_in_to_receive;
use crate::support::mails::report;
use crate::support::program::{self, Running, run, value};
use crate::support::relay::{Relay, Stop};
use crate::support::{Exporter, TargetText, World, only, quoted, yaml};

/// A script of Sieve that takes every mail for spam.
const ALL_IS_JUNK: &str = "require [\"fileinto\"];\nfileinto \"Junk\";\n";

/// A target to the user by JMAP, each second.
fn target(cyrus: &Cyrus, name: &str, user: &Account) -> TargetText {
    let ports = cyrus.ports();
    TargetText::named(name)
        .set("interval", "1s")
        .set("host", "127.0.0.1")
        .set("from", "sender@lab.example")
        .set("to", &format!("{}@lab.example", user.address))
        .set("send.port", &ports.smtp.to_string())
        .set("send.tls", "none")
        .set("receive.protocol", "jmap")
        .set("receive.port", &ports.http.to_string())
        .set("receive.tls", "none")
        .set("receive.username", &user.address)
        .set("receive.password", &quoted(&user.password))
}

/// The same under TLS.
fn protected(cyrus: &Cyrus, target: TargetText) -> TargetText {
    let ca_file = quoted(&cyrus.ca_file().to_string_lossy());
    target
        .set("receive.port", &cyrus.ports().https.to_string())
        .set("receive.tls", "implicit")
        .set("receive.tls_options", &format!("{{ca_file: {ca_file}}}"))
}

#[tokio::test]
async fn mail_arrives_by_jmap_and_is_taken_out_and_others_mail_stays() {
    let cyrus = Cyrus::start(Release::Debian12).await;
    let user = cyrus.user("rita", "odd: p\"a\\ss{}%u").await;
    let checked = only(target(&cyrus, "a", &user));
    let (outcome, transcript) = log_in_to_receive(checked.receive.as_ref().unwrap()).await;
    outcome.expect(&transcript);
    // A test mail of somebody else, whose time is not over.
    let foreign =
        "X-Mailtrip: v=1; token=00000000000000000000000000000001; expires=2099-01-01T00:00:00Z";
    cyrus.deliver(&user, "Subject: of a person\r\n\r\nhands off\r\n").await;
    cyrus.deliver(&user, &format!("{foreign}\r\nSubject: of another\r\n\r\nnot yet\r\n")).await;
    let targets = [
        target(&cyrus, "plain", &user),
        protected(&cyrus, target(&cyrus, "tls", &user)).set("inspect", "true"),
    ];
    let exporter = Exporter::start(&targets).await;
    for name in ["plain", "tls"] {
        healthy(&exporter, name, 3).await;
    }
    // Between two periods nothing of ours is there.
    until("only others' mails are left", async || cyrus.mails().len() == 3).await;
    exporter.supervisor.stop().await;
    assert!(cyrus.mails().iter().any(|mail| mail.contains("hands off")));
}

#[tokio::test]
async fn the_probe_command_makes_a_round_trip_by_jmap() {
    let cyrus = Cyrus::start(Release::Debian12).await;
    let user = cyrus.user("rita", "secret").await;
    let folder = program::folder(&yaml(&[protected(&cyrus, target(&cyrus, "by-jmap", &user))]));
    let output = run(folder.path(), &["probe", "by-jmap"]).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("jmap 127.0.0.1:"), "{said}");
    assert!(!said.contains("secret"), "{said}");
    until("only the mail of somebody else is left", async || cyrus.mails().len() == 1).await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_shown_nowhere() {
    let cyrus = Cyrus::start(Release::Debian12).await;
    let user = cyrus.user("rita", "secret").await;
    let wrong = Account { password: "wrong".to_owned(), ..user.clone() };
    let checked = only(target(&cyrus, "a", &wrong));
    let (outcome, transcript) = log_in_to_receive(checked.receive.as_ref().unwrap()).await;
    let failure = outcome.expect_err(&transcript);
    assert_eq!((failure.step, failure.reason, failure.down), (Step::Auth, Reason::Auth, false));
    assert!(!transcript.contains("wrong"), "{transcript}");
}

/// A session with a mailbox, below the exporter.
struct Reader {
    session: jmap::Session,
    memory: jmap::Memory,
}

impl Reader {
    async fn log_in(target: &Target) -> Self {
        let receive = target.receive.as_ref().unwrap();
        let (login, folders) = (&receive.login, receive.protocol.folders());
        let context = ConnectionContext::default();
        let dialer = Dialer::new(&receive.endpoint, Some(login), &context).unwrap();
        let (end, trace) = (Instant::now() + Duration::from_secs(120), Trace::new(Some(login)));
        let session = jmap::Session::open(&dialer, login, folders, &[], trace, end).await.unwrap();
        Self { session, memory: jmap::Memory::default() }
    }

    /// The mails that are new, with the moments at which they were there.
    async fn look(&mut self, announced: Option<Instant>) -> Vec<ledger::LineInstant> {
        let mut shown = Vec::new();
        let mut judge = |found: &Found| {
            shown.push(found.shown_at);
            Disposition::Leave
        };
        let since = Since::all(SystemTime::now());
        self.session.look(&mut self.memory, announced, false, since, &mut judge).await.unwrap();
        shown
    }

    async fn wait(&mut self) -> Option<Instant> {
        let until = Instant::now() + Duration::from_secs(60);
        self.session.wait(&mut self.memory, until, &Notify::new()).await
    }
}

#[tokio::test]
async fn the_server_tells_by_itself_that_mail_has_come() {
    let cyrus = Cyrus::start(Release::Newer).await;
    let user = cyrus.user("rita", "secret").await;
    let mut reader = Reader::log_in(&only(protected(&cyrus, target(&cyrus, "a", &user)))).await;
    assert_eq!(reader.look(None).await.len(), 1, "the first contact");
    let opened = reader.wait().await;
    assert!(opened.is_some(), "{}", reader.session.trace().transcript());
    assert!(reader.look(opened).await.is_empty());
    for _ in 0..3 {
        let before = Instant::now();
        cyrus.deliver(&user, "Subject: news\r\n\r\nnews\r\n").await;
        let told = reader.wait().await.expect("an event");
        assert!(told - before < Duration::from_secs(10));
        let shown = reader.look(Some(told)).await;
        // It was there when the server said so, not only when it was asked.
        assert_eq!(shown, [mailtrip_exporter::clock::on_time_line(told)]);
    }
    assert!(reader.session.can_wait(&reader.memory));
}

#[tokio::test]
async fn a_server_without_events_is_looked_at_all_the_same() {
    let cyrus = Cyrus::start(Release::Debian12).await;
    let user = cyrus.user("rita", "secret").await;
    let mut reader = Reader::log_in(&only(target(&cyrus, "a", &user))).await;
    assert_eq!(reader.look(None).await.len(), 1);
    assert_eq!(reader.wait().await, None);
    assert!(!reader.session.can_wait(&reader.memory));
    let transcript = reader.session.trace().transcript();
    assert!(transcript.contains("no events of the server: HTTP 204"), "{transcript}");
    cyrus.deliver(&user, "Subject: news\r\n\r\nnews\r\n").await;
    assert_eq!(reader.look(None).await.len(), 1);
}

#[tokio::test]
async fn mail_arrives_at_a_server_with_events_and_is_taken_out() {
    let cyrus = Cyrus::start(Release::Newer).await;
    let user = cyrus.user("rita", "secret").await;
    let exporter =
        Exporter::start(&[protected(&cyrus, target(&cyrus, "a", &user)).set("inspect", "true")])
            .await;
    healthy(&exporter, "a", 3).await;
    until("only the mail of somebody else is left", async || cyrus.mails().len() == 1).await;
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn mail_that_was_filed_as_junk_is_found_there() {
    let cyrus = Cyrus::start(Release::Debian12).await;
    let user = cyrus.user_with_script("rita", "secret", ALL_IS_JUNK).await;
    let exporter = Exporter::start(&[target(&cyrus, "a", &user)]).await;
    let snapshot = exporter.receives("a", 2).await;
    let [inbox, junk, other] = snapshot.totals.found;
    assert_eq!((inbox, other), (0, 0));
    assert_eq!(junk, snapshot.totals.received);
    until("only the mail of somebody else is left", async || cyrus.mails().len() == 1).await;
    exporter.supervisor.stop().await;
}

/// The test mail that the server keeps.
fn test_mail(cyrus: &Cyrus) -> Option<String> {
    cyrus.mails().into_iter().find(|mail| mail.contains("\nX-Mailtrip: "))
}

#[tokio::test]
async fn a_report_in_the_mailbox_ends_the_wait() {
    let cyrus = Cyrus::start(Release::Newer).await;
    let user = cyrus.user("rita", "secret").await;
    // The mail goes where nobody looks.
    cyrus.user("elsewhere", "secret").await;
    let text = target(&cyrus, "a", &user).set("interval", "1h");
    let exporter = Exporter::start(&[text.set("to", "elsewhere@lab.example")]).await;
    let is_under_way = |now: &Snapshot| now.outstanding == Reading::Is(1);
    exporter.until("a", "under way", is_under_way).await;
    until("the server has it", async || test_mail(&cyrus).is_some()).await;
    let theirs = report("Message-ID: <a@lab.test>\r\nSubject: lunch\r\n\r\n", "failed", "5.1.1");
    cyrus.deliver(&user, &theirs).await;
    cyrus.deliver(&user, &report(&test_mail(&cyrus).unwrap(), "failed", "5.2.2")).await;
    let bounced = exporter.until("a", "bounced", |now| now.totals.bounced == 1).await;
    let notice = &bounced.last_report.as_ref().expect("a notice").1;
    assert_eq!(notice.code.as_deref(), Some("5.2.2"));
    until("the report is gone", async || !cyrus.mails().iter().any(|mail| mail.contains("5.2.2")))
        .await;
    assert!(cyrus.mails().iter().any(|mail| mail.contains("lunch")), "the report of others");
    assert_eq!(exporter.snapshot("a").sides.receive.failures.total(), 0);
    exporter.supervisor.stop().await;
}

/// Waits until the mailbox fails in this step.
async fn fails(exporter: &Exporter, name: &str, step: Step, reason: Reason) -> Snapshot {
    let is_so = |now: &Snapshot| {
        let failure = now.sides.receive.last_failure.as_ref();
        now.receive_ability == Reading::Is(false)
            && failure.is_some_and(|(_, it)| (it.step, it.reason) == (step, reason))
    };
    exporter.until(name, &format!("failing in {step} for {reason}"), is_so).await
}

/// Waits until the mailbox is able again and mail arrives as before; each has arrived once.
async fn recovers(exporter: &Exporter, name: &str) {
    let is_able = |now: &Snapshot| now.receive_ability == Reading::Is(true);
    exporter.until(name, "able", is_able).await;
    exporter.receives(name, 2).await;
    let is_all_there = |now: &Snapshot| now.outstanding == Reading::Is(0);
    let snapshot = exporter.until(name, "without a mail under way", is_all_there).await;
    let totals = snapshot.totals;
    assert_eq!(totals.accepted, totals.received, "{totals:?}");
    assert_eq!((totals.duplicate, totals.lost, totals.returned), (0, 0, 0), "{totals:?}");
}

#[tokio::test]
async fn a_server_that_was_stopped_and_started_again_is_known_to_have_been_down() {
    let mut cyrus = Cyrus::start(Release::Newer).await;
    let user = cyrus.user("rita", "secret").await;
    let exporter = Exporter::start(&[target(&cyrus, "a", &user)]).await;
    exporter.received("a", 2).await;
    cyrus.stop().await;
    let down = fails(&exporter, "a", Step::Connect, Reason::Refused).await;
    assert_eq!(down.sides.receive.up, Some(false));
    cyrus.start_again().await;
    recovers(&exporter, "a").await;
    exporter.supervisor.stop().await;
    assert_eq!(cyrus.mails().iter().filter(|mail| mail.contains("welcome")).count(), 1);
}

#[tokio::test]
async fn a_password_that_was_changed_fails_the_login_until_its_file_has_the_new_one() {
    let cyrus = Cyrus::start(Release::Debian12).await;
    let mut user = cyrus.user("rita", "first word").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, &user.password).unwrap();
    let text = target(&cyrus, "a", &user).unset("receive.password");
    let text = text.set("receive.password_file", &quoted(&file.to_string_lossy()));
    let exporter = Exporter::start(&[text]).await;
    exporter.received("a", 2).await;
    user.password = "second word".to_owned();
    cyrus.set_password(&user).await;
    let refused = fails(&exporter, "a", Step::Auth, Reason::Auth).await;
    assert_eq!(refused.sides.receive.up, Some(true), "the service is there");
    std::fs::write(&file, &user.password).unwrap();
    recovers(&exporter, "a").await;
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_server_that_hangs_ends_at_its_deadline_and_delays_no_neighbour() {
    let cyrus = Cyrus::start(Release::Newer).await;
    let user = cyrus.user("rita", "secret").await;
    let neighbour = World::new(Protocol::Imap).await;
    let targets = [
        target(&cyrus, "a", &user).set("timeout", "2s"),
        neighbour.target("neighbour").set("interval", "1s").set("late_after", "1s"),
    ];
    let exporter = Exporter::start(&targets).await;
    exporter.received("a", 2).await;
    exporter.received("neighbour", 2).await;
    cyrus.freeze().await;
    let before = exporter.snapshot("neighbour").totals;
    let hung = fails(&exporter, "a", Step::Auth, Reason::Timeout).await;
    let failure = &hung.sides.receive.last_failure.as_ref().unwrap().1;
    assert!(failure.message.contains("within 2."), "{failure:?}");
    exporter.receives("neighbour", 3).await;
    let after = exporter.snapshot("neighbour").totals;
    assert_eq!((after.late, after.check_failures), (0, 0), "{after:?}");
    assert_eq!(after.periods_skipped, before.periods_skipped, "{after:?}");
    assert_eq!(after.checks_skipped, before.checks_skipped, "{after:?}");
    cyrus.thaw().await;
    let is_able = |now: &Snapshot| now.receive_ability == Reading::Is(true);
    exporter.until("a", "able", is_able).await;
    exporter.receives("a", 2).await;
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn thousands_of_mails_of_others_are_left_alone_and_delay_nothing() {
    const MAILS: usize = 5000;
    let cyrus = Cyrus::start(Release::Debian12).await;
    let user = cyrus.user("rita", "secret").await;
    let mail = |number| format!("Subject: number {number}\r\n\r\nof others\r\n");
    cyrus.fill(&user, (1..MAILS).map(mail)).await;
    let before = cyrus.mails();
    assert_eq!(before.len(), MAILS);
    let exporter = Exporter::start(&[target(&cyrus, "a", &user)]).await;
    let snapshot = healthy(&exporter, "a", 3).await;
    assert!(snapshot.roundtrip.value() < Some(Duration::from_secs(2)), "{snapshot:?}");
    until("ours are gone", async || test_mail(&cyrus).is_none()).await;
    exporter.supervisor.stop().await;
    let mut after = cyrus.mails();
    after.retain(|mail| !mail.contains("\nX-Mailtrip: "));
    assert!(after == before, "{} of {MAILS} mails are left", after.len());
}

/// Its first script answers each test mail.
const REPLIES: &str = include_str!("../../../docs/replies.md");

#[tokio::test]
async fn the_answer_of_a_vacation_script_is_the_arrival() {
    let script = REPLIES.split("```sieve\n").nth(1).and_then(|rest| rest.split("```").next());
    let script = script.expect("a script");
    // To a server without virtual domains the address is not that of its user by itself.
    let vacation = "vacation :addresses [\"echo@lab.example\"] ";
    let script = script.replacen("vacation :", &format!("{vacation}:"), 1);
    assert!(script.contains(vacation), "{script}");
    let cyrus = Cyrus::start(Release::Newer).await;
    let user = cyrus.user("rita", "secret").await;
    let echo = cyrus.user_with_script("echo", "secret", &script).await;
    let text = target(&cyrus, "a", &user)
        .set("interval", "2s")
        .set("from", "rita@lab.example")
        .set("to", &format!("{}@lab.example", echo.address))
        .set("match", "reply");
    let exporter = Exporter::start(&[text]).await;
    exporter.received("a", 2).await;
    let is_all_there = |now: &Snapshot| now.outstanding == Reading::Is(0);
    let snapshot = exporter.until("a", "answered", is_all_there).await;
    assert_eq!((snapshot.totals.late, snapshot.totals.duplicate), (0, 0), "{snapshot:?}");
    let details = || exporter.supervisor.view("a").unwrap().inspection;
    until("the header of an answer was read", async || details().is_some()).await;
    assert!(details().unwrap().there_and_back.unwrap().is_answer);
    // One that is under way at the stop would lie there.
    until("the answers are gone", async || cyrus.mails().len() == 2).await;
    exporter.supervisor.stop().await;
}

/// The exporter as a process with one mail, which is stopped in its dialogue with the mailbox.
struct Crash {
    cyrus: Cyrus,
    relay: Relay,
    folder: tempfile::TempDir,
}

impl Crash {
    async fn new() -> Self {
        let cyrus = Cyrus::start(Release::Newer).await;
        let user = cyrus.user("rita", "secret").await;
        let relay = Relay::new(cyrus.ports().http).await;
        let text = target(&cyrus, "one", &user).set("interval", "1h");
        let text = text.set("receive.port", &relay.port().to_string());
        let folder = program::folder(&format!("state_dir: state\n{}", yaml(&[text])));
        Self { cyrus, relay, folder }
    }

    async fn exporter(&self) -> Running {
        Running::start(self.folder.path(), &[]).await
    }

    async fn store_says(&self, state: &str) {
        let recorded = || program::sqlite(self.folder.path(), "SELECT state FROM mail");
        until("the store has it", async || recorded().trim() == state).await;
    }

    /// The mail is received once, and gone.
    async fn ends_well(self) {
        let exporter = self.exporter().await;
        let is_received = |page: &str| value(page, "mailtrip_probes_received_total") == Some(1.0);
        exporter.until("/metrics", is_received).await;
        until("the mail is gone", async || test_mail(&self.cyrus).is_none()).await;
        let page = exporter.get("/metrics").await;
        for (name, wanted) in [
            ("probes_total", 1.0),
            ("probes_accepted_total", 1.0),
            ("probes_duplicate_total", 0.0),
            ("probes_returned_total", 0.0),
            ("probes_lost_total", 0.0),
            ("outstanding_messages", 0.0),
        ] {
            assert_eq!(value(&page, &format!("mailtrip_{name}")), Some(wanted), "{name}: {page}");
        }
        exporter.kill().await;
    }
}

#[tokio::test]
async fn an_exporter_that_was_killed_before_it_looked_finds_its_mail() {
    let world = Crash::new().await;
    // The first check asks for the newest, each look after it for what has changed.
    world.relay.stop_at(Stop::Before("Email/changes"));
    let exporter = world.exporter().await;
    world.relay.reached().await;
    until("the mail is there", async || test_mail(&world.cyrus).is_some()).await;
    world.store_says("outstanding").await;
    exporter.kill().await;
    world.relay.let_pass();
    world.ends_well().await;
}

#[tokio::test]
async fn an_exporter_that_was_killed_before_it_took_its_mail_out_counts_it_once() {
    let world = Crash::new().await;
    world.relay.stop_at(Stop::Before("Email/set"));
    let exporter = world.exporter().await;
    world.relay.reached().await;
    world.store_says("received").await;
    exporter.kill().await;
    world.relay.let_pass();
    assert!(test_mail(&world.cyrus).is_some());
    world.ends_well().await;
}
