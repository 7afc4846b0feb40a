//! What a look sees, and when a mail is said to have come: servers that tell late, wrongly or not at
//! all, and contacts that take long or are cut short.

use std::time::{Duration, SystemTime};

use ledger::Token;
use ledger::{Reading, Snapshot};
use ledger::{Reason, Step};
use testserver::faults::{Announce, CREDENTIALS, Fault};
use testserver::{Delivery, Protocol};
use tokio::time::{Instant, sleep};

use crate::support::mails::mail_date;
use crate::support::{DEADLINE, Exporter, USER, World, all};

const FOREIGN: &[u8] = b"Subject: not ours\r\n\r\nhello\r\n";
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_mail_that_comes_during_a_long_first_contact_is_not_dated_before_it_was_sent() {
    let world = World::new(Protocol::Imap).await;
    world.post.insert(USER, "INBOX", FOREIGN);
    world.post.remove_folder(USER, "Junk");
    // The mail is sent after 3 s, without waiting for the check any longer, and comes while the
    // headers are read that were there at the login.
    world.mailbox.faults().once("UID FETCH", Fault::delay(Duration::from_secs(4)));
    let exporter = Exporter::start(&[world.target("a")]).await;
    let snapshot = exporter.received("a", 1).await;
    assert_eq!(snapshot.roundtrips.counts.iter().sum::<u64>(), 1, "{snapshot:#?}");
    assert!(snapshot.roundtrip.value().unwrap() < Duration::from_secs(3), "{snapshot:#?}");
}

#[tokio::test]
async fn mails_of_one_reading_arrive_each_when_it_was_first_shown() {
    let world = World::new(Protocol::Imap).await;
    let deliveries = [1_000_u64, 2_500].map(Duration::from_millis);
    for delay in deliveries {
        world.post.deliver_next(USER, Delivery::at_once().after(delay));
    }
    // The first is told of and read slowly; the second comes meanwhile and is in the same answer.
    world.mailbox.faults().once("UID FETCH", Fault::None);
    world.mailbox.faults().once("UID FETCH", Fault::delay(Duration::from_secs(2)));
    world.post.insert(USER, "INBOX", FOREIGN);
    let exporter = Exporter::start(&[world.target("a").set("messages", "2")]).await;
    let snapshot = exporter.received("a", 2).await;
    let sum = snapshot.roundtrips.sum;
    assert!(
        sum >= deliveries.iter().sum::<Duration>(),
        "one of them was dated before it came: {sum:?}"
    );
}

#[tokio::test]
async fn a_server_that_shows_new_mail_only_to_a_fresh_select_is_measured_all_the_same() {
    let world = World::new(Protocol::Imap).await;
    world.mailbox.faults().freeze_view();
    world.post.set_delivery(USER, Delivery::at_once().after(Duration::from_millis(600)));
    let target = world.target("a").set("interval", "2s").set("late_after", "1h");
    let exporter = Exporter::start(&[target]).await;
    let snapshot = exporter.received("a", 5).await;
    assert_eq!(snapshot.sides.receive.last_failure, None);
    // The first of them is two steps late at most, and the check of the next period finds none.
    assert_eq!(snapshot.roundtrips.counts[2], snapshot.totals.received, "{snapshot:#?}");
    let mean = snapshot.roundtrips.sum / u32::try_from(snapshot.totals.received).unwrap();
    assert!(mean < Duration::from_millis(1_000), "{mean:?}");
    let checks = snapshot.totals.checks;
    let stats = world.mailbox.stats();
    assert!(stats.logins <= checks + 1, "{checks} checks, {stats:?}");
    // Once that is certain NOOP is not asked any more.
    let before = world.mailbox.stats().count("NOOP");
    exporter.received("a", snapshot.totals.received + 2).await;
    assert_eq!(world.mailbox.stats().count("NOOP"), before);
    world.post.set_delivery(USER, Delivery::lost());
    world.inbox_holds(0).await;
}

#[tokio::test]
async fn a_server_that_tells_is_not_opened_anew_at_each_look() {
    let world = World::new(Protocol::Imap).await;
    world.post.set_delivery(USER, Delivery::at_once().after(Duration::from_millis(400)));
    let exporter = Exporter::start(&[world.target("a").set("interval", "2s")]).await;
    let selects =
        |checks: u64, folders: u64| world.mailbox.stats().count("SELECT") - checks * folders;
    // It may take a few mails until a NOOP was first.
    let mut learnt = exporter.received("a", 1).await;
    for _ in 0..4 {
        let before = selects(learnt.totals.checks, 2);
        learnt = exporter.received("a", learnt.totals.received + 1).await;
        if selects(learnt.totals.checks, 2) <= before {
            return;
        }
    }
    panic!("the inbox is still opened at each look: {:?}", world.mailbox.stats());
}

#[tokio::test]
async fn a_server_deaf_to_idle_is_measured_all_the_same() {
    let world = World::new(Protocol::Imap).await;
    world.mailbox.faults().set_announce(Announce::Never);
    world.post.set_delivery(USER, Delivery::at_once().after(Duration::from_secs(7)));
    let exporter = Exporter::start(&[world.target("a")]).await;
    let snapshot = exporter.received("a", 1).await;
    assert!(world.mailbox.stats().count("IDLE") >= 1);
    let delivery = snapshot.delivery.unwrap();
    assert!(delivery < Duration::from_millis(9_000), "{delivery:?}");
}

#[tokio::test]
async fn without_uidvalidity_nothing_is_missed_counted_twice_or_read_over_and_over() {
    let world = World::new(Protocol::Imap).await;
    world.mailbox.faults().hide_uid_validity();
    // Ours stay marked in the folder, because a mail of somebody else is marked as well.
    world.mailbox.faults().leave_out("UIDPLUS");
    world.post.insert(USER, "INBOX", FOREIGN);
    let login = format!("a LOGIN {USER} \"{}\"", crate::support::PASSWORD);
    let mark = "c UID STORE 1 +FLAGS (\\Deleted)";
    crate::support::say(&world.mailbox, &[&login, "b SELECT INBOX", mark, "e LOGOUT"]).await;
    world.post.set_delivery(USER, Delivery::at_once().after(Duration::from_millis(500)));
    let exporter = Exporter::start(&[world.target("a").set("interval", "1s")]).await;
    let snapshot = exporter.received("a", 4).await;
    assert_eq!((snapshot.totals.duplicate, snapshot.totals.lost), (0, 0), "{snapshot:#?}");
    let failures = snapshot.sides.receive;
    let marked = failures.failures_for(ledger::Reason::Marked);
    assert_eq!(failures.failures_in(ledger::Step::Remove), marked);
    // The foreign mail is read once by each session.
    let stats = world.mailbox.stats();
    assert!(stats.count("UID SEARCH") <= 6 * snapshot.totals.checks, "{stats:?}");
    // A folder that was put back has other UIDs, and nobody says so.
    world.post.set_delivery(USER, Delivery::held());
    let outstanding = |s: &Snapshot| s.outstanding == Reading::Is(1);
    let before = exporter.until("a", "outstanding", outstanding).await;
    world.mailbox.close_sessions();
    world.post.renumber(USER, "INBOX");
    world.post.release(USER);
    world.post.set_delivery(USER, Delivery::lost());
    let snapshot = exporter.received("a", before.totals.received + 1).await;
    assert_eq!(snapshot.totals.duplicate, 0, "{snapshot:#?}");
}

#[tokio::test]
async fn a_mail_not_yet_taken_out_is_no_duplicate_under_another_uid() {
    let world = World::new(Protocol::Imap).await;
    world.mailbox.faults().on("UID STORE", Fault::reply("{tag} NO not now"));
    let exporter = Exporter::start(&[world.target("a").set("interval", "1s")]).await;
    world.post.deliver_next(USER, Delivery::at_once());
    world.post.set_delivery(USER, Delivery::lost());
    exporter.received("a", 1).await;
    exporter.until("a", "a refusal", |s| s.sides.receive.failures_for(Reason::Rejected) >= 1).await;
    world.mailbox.close_sessions();
    world.post.renumber(USER, "INBOX");
    world.mailbox.faults().clear();
    world.inbox_holds(0).await;
    assert_eq!(exporter.snapshot("a").totals.duplicate, 0);
}

/// A probe of another exporter that may be removed by anybody.
fn expired() -> Vec<u8> {
    let time = |time| humantime::format_rfc3339_seconds(time).to_string();
    let now = SystemTime::now();
    let date = now - 25 * HOUR;
    let rfc2822 = mail_date(date);
    format!(
        "Received: from a by b; {rfc2822}\r\nX-Mailtrip: v=1; token={}; target=t; instance={}; \
         sent={}; expires={}\r\n\r\ntest\r\n",
        Token::random(),
        Token::random(),
        time(now - 30 * HOUR),
        time(now - HOUR),
    )
    .into_bytes()
}

#[tokio::test]
async fn left_overs_in_a_maildrop_from_before_the_first_contact_go() {
    let world = World::new(Protocol::Pop3).await;
    for _ in 0..3 {
        world.post.insert(USER, "INBOX", &expired());
        world.post.insert(USER, "INBOX", FOREIGN);
    }
    // Nothing of ours is under way at the first contact.
    world.post.set_delivery(USER, Delivery::lost());
    let exporter = Exporter::start(&[world.target("a").set("interval", "1s")]).await;
    world.inbox_holds(3).await;
    let read = world.mailbox.stats().count("TOP");
    exporter.until("a", "two more checks", |s| s.totals.checks >= 3).await;
    // One header proves at each check that mail can be read.
    let checks = exporter.snapshot("a").totals.checks + 1;
    assert!(world.mailbox.stats().count("TOP") <= read + checks, "none is read twice");
    assert_eq!(exporter.snapshot("a").totals.duplicate, 0);
}

#[tokio::test]
async fn after_the_first_contact_a_session_costs_one_listing_however_many_mails_lie_there() {
    const MOST_AT_FIRST: u64 = 500;
    let world = World::new(Protocol::Pop3).await;
    for _ in 0..700 {
        world.post.insert(USER, "INBOX", FOREIGN);
    }
    let exporter = Exporter::start(&[world.target("a").set("interval", "1s")]).await;
    let began = Instant::now();
    loop {
        let before = world.mailbox.stats();
        let from = exporter.received("a", 1).await.totals;
        let to = exporter.until("a", "checked", |s| s.totals.checks >= from.checks + 3).await;
        let stats = world.mailbox.stats();
        // A header at each check, and each mail of ours; the counting is a little behind.
        let due = to.totals.checks - from.checks + to.totals.received - from.received + 2;
        assert!(stats.count("TOP") <= MOST_AT_FIRST + to.totals.checks + to.totals.received + 2);
        assert!(stats.count("UIDL") <= stats.logins, "{stats:?}");
        if stats.count("TOP") - before.count("TOP") <= due {
            break;
        }
        assert!(began.elapsed() < DEADLINE, "the headers are read on and on: {stats:?}");
    }
    assert_eq!(world.inbox_len().min(700), 700, "all of them are still there");
}

#[tokio::test]
async fn each_look_is_counted_the_failed_ones_as_well() {
    let world = World::new(Protocol::Pop3).await;
    world.post.set_delivery(USER, Delivery::held());
    let exporter = Exporter::start(&[world.target("a")]).await;
    let before = exporter.until("a", "three looks", |s| s.totals.looks >= 3).await.totals;
    let logins = world.mailbox.stats().logins;
    let after = exporter.snapshot("a").totals;
    // Over POP3 each is a login. A look is counted when it begins, a check when it is over.
    let sessions = before.checks + before.looks - 1..=after.checks + after.looks + 1;
    assert!(sessions.contains(&logins), "{logins} logins, {before:?}");
    // A login that was refused for its password would not be tried again before the next check.
    world.mailbox.faults().on(CREDENTIALS, Fault::reply("-ERR [SYS/TEMP] no"));
    let failed = |s: &Snapshot| {
        s.sides.receive.failures_for(Reason::Deferred) >= 1 && s.totals.looks > after.looks
    };
    exporter.until("a", "a failed look", failed).await;
}

#[tokio::test]
async fn a_first_contact_with_a_maildrop_that_is_cut_short_goes_on_where_it_stopped() {
    const MAILS: usize = 40;
    let world = World::new(Protocol::Pop3).await;
    world.post.insert(USER, "INBOX", &expired());
    for _ in 0..MAILS {
        world.post.insert(USER, "INBOX", FOREIGN);
    }
    // Every session breaks after nine headers.
    for _ in 0..200 {
        world.mailbox.faults().times(9, "TOP", Fault::None);
        world.mailbox.faults().once("TOP", Fault::Close);
    }
    world.post.set_delivery(USER, Delivery::held());
    let began = Instant::now();
    let target = world.target("a").set("interval", "1s").set("late_after", "1h");
    let _exporter = Exporter::start(&[target]).await;
    while world.inbox_len() > MAILS {
        assert!(began.elapsed() < DEADLINE, "{:?}", world.mailbox.stats());
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_long_search_for_left_overs_holds_up_neither_sending_nor_receiving() {
    let world = World::new(Protocol::Pop3).await;
    for _ in 0..300 {
        world.post.insert(USER, "INBOX", FOREIGN);
    }
    // All of them would take 15 s.
    world.mailbox.faults().on("TOP", Fault::delay(Duration::from_millis(50)));
    let cases = ["a"].map(|name| {
        let target = world.target(name);
        (name.to_owned(), async move {
            let began = Instant::now();
            let exporter = Exporter::start(&[target]).await;
            let snapshot = exporter.received("a", 1).await;
            assert_eq!(snapshot.receive_ability, Reading::Is(true));
            assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
        })
    });
    all(cases).await;
}

#[tokio::test]
async fn a_login_that_a_look_is_refused_fails_in_its_own_step() {
    let world = World::new(Protocol::Pop3).await;
    world.post.set_delivery(USER, Delivery::held());
    // That of the check is let in.
    world.mailbox.faults().once(CREDENTIALS, Fault::None);
    world.mailbox.faults().on(CREDENTIALS, Fault::reply("-ERR [AUTH] no"));
    let exporter = Exporter::start(&[world.target("a")]).await;
    let has_failed = |now: &Snapshot| now.sides.receive.last_failure.is_some();
    let snapshot = exporter.until("a", "a look that failed", has_failed).await;
    let (_, failure) = snapshot.sides.receive.last_failure.clone().unwrap();
    assert_eq!((failure.step, failure.reason), (Step::Auth, Reason::Auth), "{failure}");
    assert_eq!(snapshot.totals.check_failures, 0);
}
