//! The round trip over a network that takes its time, by clocks that differ; and that a mail is late or
//! lost only after a look that was due for it.

use std::time::{Duration, Instant};

use ledger::{Reading, Snapshot};
use mail::trace::Trace;
use mail::wire::{ConnectionContext, Dialer};
use mailtrip_exporter::probing::mailbox::Preparation;
use testserver::faults::{ANY_COMMAND, Announce, CREDENTIALS, Fault, GREETING};
use testserver::{Delivery, Protocol, Server};

use crate::far::Relay;
use crate::support::{DEADLINE, Exporter, MAILBOXES, TargetText, USER, World, all, config};

/// Each way.
const LATENCY: Duration = Duration::from_millis(60);
/// The mailbox's clock is before ours by so much.
const AHEAD_SECONDS: i64 = 5;

fn timed(snapshot: &Snapshot) -> u64 {
    snapshot.roundtrips.counts.iter().sum()
}

/// The servers of a world, far away.
struct Far {
    smtp: Relay,
    mailbox: Relay,
}

impl Far {
    async fn from(world: &World) -> Self {
        let smtp = Relay::new(world.smtp.port(), LATENCY).await;
        let mailbox = Relay::new(world.mailbox.port(), LATENCY).await;
        Self { smtp, mailbox }
    }

    fn target(&self, world: &World, name: &str) -> TargetText {
        let (smtp, mailbox) = (self.smtp.port().to_string(), self.mailbox.port().to_string());
        world.target(name).set("send.port", &smtp).set("receive.port", &mailbox)
    }
}

#[tokio::test]
async fn every_mail_has_a_round_trip_over_a_slow_network_and_by_clocks_that_differ() {
    all(MAILBOXES.map(|mailbox| {
        let case = async move {
            let world = World::new(mailbox).await;
            world.post.set_clock_offset_seconds(AHEAD_SECONDS);
            let far = Far::from(&world).await;
            let target = far.target(&world, "a").set("interval", "3s").set("late_after", "1h");
            let exporter = Exporter::start(&[target]).await;
            let snapshot = exporter.received("a", 3).await;
            assert_eq!(timed(&snapshot), snapshot.totals.received, "{snapshot:#?}");
            assert_eq!(snapshot.totals.roundtrips_unknown, 0);
            // Greeting, EHLO, MAIL, RCPT, DATA and the final dot go there and back before the mail can
            // lie there, and the look once more.
            let mean = snapshot.roundtrips.sum / u32::try_from(timed(&snapshot)).unwrap();
            assert!(mean > LATENCY * 2 * 5, "{mean:?}");
            assert!(mean < LATENCY * 2 * 5 + Duration::from_secs(2), "{mean:?}");
        };
        (format!("{mailbox:?}"), case)
    }))
    .await;
}

#[tokio::test]
async fn a_pop3_look_is_no_longer_than_the_end_of_its_login() {
    let world = World::new(Protocol::Pop3).await;
    let far = Far::from(&world).await;
    let target = far.target(&world, "a").set("interval", "3s").set("late_after", "1h");
    let exporter = Exporter::start(&[target]).await;
    exporter.received("a", 4).await;
    let last = |server: &Server, command: &str| {
        let sessions = server.sessions();
        let commands = sessions.iter().flat_map(|session| session.commands.clone());
        commands.filter(|it| it.line == command).map(|it| it.at).max().unwrap()
    };
    // From DATA to the first command behind the login: the mail and its acceptance, the wait, the last
    // command of the login. A session from its beginning on would take three round trips more.
    let waited = last(&world.mailbox, "STAT") - last(&world.smtp, "DATA");
    assert!(waited < LATENCY * 2 * 5, "{waited:?}");
}

#[tokio::test]
async fn a_session_that_is_not_ready_before_the_check_is_no_failure_of_the_server() {
    let world = World::new(Protocol::Pop3).await;
    world.mailbox.faults().once(GREETING, Fault::delay(Duration::from_secs(2)));
    let config = config(&[world.target("a")]);
    let side = config.targets.values().next().unwrap().receive.as_ref().unwrap();
    let dialer =
        Dialer::new(&side.endpoint, Some(&side.login), &ConnectionContext::default()).unwrap();
    let mut preparation = Preparation::default();
    let now = tokio::time::Instant::now();
    let until = now + Duration::from_millis(100);
    let made = preparation.make(&dialer, &side.login, Trace::new(None), until, now).await;
    assert!(made.is_ok() && !preparation.is_ready(), "{made:?}");
    // The server itself may take as long as the configuration allows.
    preparation.begin_anew();
    let until = now + Duration::from_secs(9);
    let made = preparation.make(&dialer, &side.login, Trace::new(None), until, now).await;
    assert!(made.is_ok() && preparation.is_ready(), "{made:?}");
}

#[tokio::test]
async fn what_comes_just_before_it_would_be_late_or_lost_is_not() {
    all(MAILBOXES.map(|mailbox| {
        let case = async move {
            let world = World::new(mailbox).await;
            // The server tells nobody, and POP3 looks lie far apart by then.
            world.mailbox.faults().set_announce(Announce::Never);
            world.mailbox.faults().leave_out("IDLE");
            world.post.set_delivery(USER, Delivery::at_once().after(Duration::from_millis(6000)));
            let target = world.target("a").set("late_after", "6500ms").set("lost_after", "6500ms");
            let exporter = Exporter::start(&[target]).await;
            let ended = |now: &Snapshot| now.totals.received + now.totals.lost > 0;
            let totals = exporter.until("a", "the end of the wait", ended).await.totals;
            assert_eq!((totals.received, totals.late, totals.lost), (1, 0, 0), "{totals:?}");
        };
        (format!("{mailbox:?}"), case)
    }))
    .await;
}

#[tokio::test]
async fn a_look_that_fails_decides_nothing_about_a_mail() {
    all(MAILBOXES.map(|mailbox| {
        let case = async move {
            let world = World::new(mailbox).await;
            world.post.set_delivery(USER, Delivery::at_once().after(Duration::from_secs(1)));
            let target = world.target("a").set("late_after", "3s").set("lost_after", "3s");
            let exporter = Exporter::start(&[target]).await;
            exporter.until("a", "outstanding", |s| s.outstanding == Reading::Is(1)).await;
            // The server is there, and lets nobody see what there is.
            let is_jmap = mailbox == Protocol::Jmap;
            // There a connection needs no login to go on.
            let point = if is_jmap { ANY_COMMAND } else { CREDENTIALS };
            world.mailbox.faults().on(point, Fault::Close);
            world.mailbox.close_sessions();
            let began = Instant::now();
            let is_over = |s: &Snapshot| {
                began.elapsed() > Duration::from_secs(4) && s.sides.receive.last_failure.is_some()
            };
            let snapshot = exporter.until("a", "failing beyond the time", is_over).await;
            assert_eq!((snapshot.totals.late, snapshot.totals.lost), (0, 0), "{mailbox:?}");
            world.mailbox.faults().clear();
            let totals = exporter.received("a", 1).await.totals;
            assert_eq!((totals.lost, totals.returned), (0, 0), "{mailbox:?}");
        };
        (format!("{mailbox:?}"), case)
    }))
    .await;
}

#[tokio::test]
async fn the_look_that_decides_about_a_mail_looks_everywhere() {
    let world = World::new(Protocol::Imap).await;
    let delivery = Delivery::at_once().after(Duration::from_millis(300));
    world.post.set_delivery(USER, delivery.into_folder("Junk"));
    let target = world.target("a").set("late_after", "3s").set("lost_after", "3s");
    let exporter = Exporter::start(&[target]).await;
    let ended = |now: &Snapshot| now.totals.received + now.totals.lost > 0;
    let totals = exporter.until("a", "the end of the wait", ended).await.totals;
    assert_eq!((totals.received, totals.late, totals.lost), (1, 0, 0), "{totals:?}");
    assert_eq!(totals.found, [0, 1, 0]);
}

#[tokio::test]
async fn a_further_mail_of_a_period_does_not_count_those_before_it() {
    let world = World::new(Protocol::Imap).await;
    let slow = Duration::from_millis(400);
    world.smtp.faults().on("DATA", Fault::delay(slow));
    let exporter = Exporter::start(&[world.target("a").set("messages", "5")]).await;
    let snapshot = exporter.received("a", 5).await;
    assert_eq!(timed(&snapshot), 5);
    // Each of them is slow once; with those before it they would be slow 15 times.
    let sum = snapshot.roundtrips.sum;
    assert!((slow * 5..slow * 10).contains(&sum), "{sum:?}");
}

#[tokio::test]
async fn a_folder_that_is_emptied_before_it_is_searched_is_an_empty_folder() {
    let world = World::new(Protocol::Imap).await;
    world.post.insert(USER, "INBOX", b"Subject: not ours\r\n\r\nhello\r\n");
    world.post.remove_folder(USER, "Junk");
    let emptied = "* 1 EXPUNGE\r\n* SEARCH\r\n{tag} OK done\r\n";
    world.mailbox.faults().once("UID SEARCH", Fault::reply(emptied));
    world.post.set_delivery(USER, Delivery::held());
    let exporter = Exporter::start(&[world.target("a")]).await;
    let checked = |now: &Snapshot| now.totals.checks == 1;
    let snapshot = exporter.until("a", "checked", checked).await;
    assert_eq!(
        snapshot.receive_ability,
        Reading::Is(true),
        "{:?}",
        snapshot.sides.receive.last_failure
    );
    let asked = world.mailbox.stats().count("FETCH");
    assert_eq!(asked, 0, "a message was asked for by a number that there is not");
    assert!(world.mailbox.wait_until(DEADLINE, |stats| stats.logins >= 1).await);
}
