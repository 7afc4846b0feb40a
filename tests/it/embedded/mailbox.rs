//! What in a mailbox is ours and what is not: foreign mail stays as it is, however much of it there
//! is; folders, shared mailboxes, and the removal of what is ours.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use ledger::Token;
use ledger::{Reading, Snapshot};
use ledger::{Reason, Step};
use testserver::faults::{CREDENTIALS, Fault, GREETING};
use testserver::{Delivery, Message, Options, Post, Protocol, Server};
use tokio::time::Instant;

use crate::support::{
    DEADLINE, Exporter, MAILBOXES, PASSWORD, TargetText, USER, World, all, dialogues, say,
};

const HOUR: Duration = Duration::from_secs(3600);

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The value of a header field of a mail.
fn field<'a>(mail: &'a str, name: &str) -> &'a str {
    let prefix = format!("{name}: ");
    mail.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap()
}

/// The mail without the fields of these names; none of ours is folded.
fn without(mail: &str, names: &[&str]) -> String {
    let kept = mail
        .split_inclusive("\r\n")
        .filter(|line| !names.iter().any(|name| line.starts_with(&format!("{name}: "))));
    kept.collect()
}

fn unfolded(mail: &str) -> String {
    mail.replace("\r\n ", " ").replace("\r\n\t", " ")
}

fn mark(token: Token, expires: SystemTime) -> String {
    format!(
        "v=1; token={token}; target=t; instance={}; sent={}; expires={}",
        Token::random(),
        rfc3339(expires - 24 * HOUR),
        rfc3339(expires)
    )
}

/// What people, servers and other exporters may put into the mailbox while `mail` is under way.
fn lookalikes(mail: &str) -> Vec<String> {
    let mail = unfolded(mail);
    let (subject, id, ours) =
        (field(&mail, "Subject"), field(&mail, "Message-ID"), field(&mail, "X-Mailtrip"));
    let now = SystemTime::now();
    let fields: Vec<String> = vec![
        format!("From: boss@example.test\r\nSubject: Re: {subject}\r\nIn-Reply-To: {id}"),
        format!("From: from@example.test\r\nSubject: Re: {subject}\r\nReferences: {id}"),
        // A responder that copies every field of what it answers.
        format!(
            "From: from@example.test\r\nX-Mailtrip: {ours}\r\nIn-Reply-To: {id}\r\n\
             Auto-Submitted: auto-replied"
        ),
        format!("From: boss@example.test\r\nSubject: {subject}"),
        format!("From: boss@example.test\r\nSubject: Fwd: {subject}"),
        format!("From: from@example.test\r\nSubject: {subject}\r\nAuto-Submitted: auto-replied"),
        format!(
            "From: mailer-daemon@example.test\r\nSubject: {subject}\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=x"
        ),
        format!("From: a@b.example\r\nX-Mailtrip: {}", mark(Token::random(), now + HOUR)),
        format!("From: a@b.example\r\nX-Mailtrip: {}", mark(Token::random(), now - HOUR)),
        "From: a@b.example\r\nX-Mailtrip: something else".to_owned(),
        format!("From: from@example.test\r\nX-Mailtrip: v=2\r\nSubject: {subject}"),
        "From: \r\nSubject: =?utf-8?q?broken".to_owned(),
        String::new(),
    ];
    let body = format!("You wrote:\r\n\r\nX-Mailtrip: {ours}\r\nMessage-ID: {id}\r\n");
    fields.into_iter().map(|fields| format!("{fields}\r\n\r\n{body}")).collect()
}

fn is_kept(before: &[Message], after: &[Message]) {
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(after) {
        assert_eq!(before, after, "{}", String::from_utf8_lossy(&after.bytes));
    }
}

#[tokio::test]
async fn foreign_mail_stays_as_it_is_and_costs_nothing() {
    const FOREIGN: usize = 20_000;
    let cases = MAILBOXES.map(|mailbox| {
        let case = async move {
            let world = World::new(mailbox).await;
            for number in 0..FOREIGN {
                let mail = format!("Subject: news {number}\r\n\r\nhello\r\n");
                world.post.insert(USER, "INBOX", mail.as_bytes());
            }
            if mailbox == Protocol::Imap {
                let login = format!("a LOGIN {USER} \"{PASSWORD}\"");
                let flags = [
                    "c UID STORE 1:500 +FLAGS (\\Seen)",
                    "d UID STORE 300:700 +FLAGS (\\Flagged \\Answered own)",
                ];
                say(&world.mailbox, &[&login, "b SELECT INBOX", flags[0], flags[1], "e LOGOUT"])
                    .await;
            }
            world.post.set_delivery(USER, Delivery::held());
            let exporter = Exporter::start(&[world.target("a")]).await;
            let mail = world.sent(1).await.remove(0);
            for lookalike in lookalikes(&mail) {
                world.post.insert(USER, "INBOX", lookalike.as_bytes());
            }
            let before = world.post.messages(USER, "INBOX");
            world.post.release(USER);
            exporter.received("a", 1).await;
            world.inbox_holds(before.len()).await;
            is_kept(&before, &world.post.messages(USER, "INBOX"));
            assert_eq!(exporter.snapshot("a").totals.duplicate, 0);
            assert_cost(&world, mailbox);
        };
        (format!("{mailbox:?}"), case)
    });
    all(cases).await;
}

/// At the first contact 500 headers at most are read, and after it only what is new.
fn assert_cost(world: &World, mailbox: Protocol) {
    let stats = world.mailbox.stats();
    if mailbox == Protocol::Pop3 {
        assert!(stats.count("TOP") < 560, "{stats:?}");
        assert!(stats.count("UIDL") <= stats.logins, "{stats:?}");
        assert_eq!((stats.count("LIST"), stats.count("RETR")), (0, 0));
        return;
    }
    if mailbox == Protocol::Jmap {
        assert!(stats.count("EMAIL/QUERY") <= 2, "{stats:?}");
        assert!(stats.count("EMAIL/GET") < 60, "{stats:?}");
        return;
    }
    let sessions = world.mailbox.sessions();
    let commands = sessions.iter().skip(1).flat_map(|session| &session.commands);
    let fetches: Vec<&str> = commands
        .map(|command| command.line.as_str())
        .filter(|line| line.contains("FETCH"))
        .collect();
    let (first, rest) = fetches.split_at(5);
    assert!(first.iter().all(|line| !line.contains(":*")), "{first:?}");
    for line in rest {
        let set = line.split(' ').nth(3).unwrap();
        // Our own mail alone is asked for its whole header, a delivery report alone for what it says.
        let is_of_one = ["(BODY.PEEK[HEADER]<0.65536>)", "(BODY.PEEK[]<0.65536>)"]
            .iter()
            .any(|items| line.ends_with(items));
        let from = if is_of_one { set } else { set.strip_suffix(":*").unwrap() };
        let from: usize = from.parse().unwrap();
        assert!(from > 20_000, "{line}");
    }
}

#[tokio::test]
async fn a_mail_is_known_without_its_own_header() {
    for mailbox in MAILBOXES {
        // By our Message-ID.
        let world = World::new(mailbox).await;
        world.post.set_delivery(USER, Delivery::at_once().without_header("X-Mailtrip"));
        let exporter = Exporter::start(&[world.target("a")]).await;
        exporter.received("a", 1).await;
        world.inbox_holds(0).await;
        // By the Subject from our sender.
        let world = World::new(mailbox).await;
        world.post.set_delivery(USER, Delivery::lost());
        let exporter = Exporter::start(&[world.target("a")]).await;
        let mail = world.sent(1).await.remove(0);
        let stripped = without(&unfolded(&mail), &["X-Mailtrip", "Message-ID"]);
        assert!(!stripped.contains("X-Mailtrip: "));
        exporter.until("a", "accepted", |s| s.totals.accepted == 1).await;
        world.post.insert(USER, "INBOX", stripped.as_bytes());
        exporter.received("a", 1).await;
        world.inbox_holds(0).await;
    }
}

#[tokio::test]
async fn a_left_over_goes_when_its_time_has_passed_by_both_clocks() {
    let now = SystemTime::now();
    let world = World::new(Protocol::Imap).await;
    let left_over = |expires, fields: &str| {
        format!("{fields}X-Mailtrip: {}\r\n\r\ntest\r\n", mark(Token::random(), expires))
    };
    let insert = |mail: &str, date| world.post.insert_dated(USER, "INBOX", mail.as_bytes(), date);
    insert(&left_over(now - HOUR, ""), now - 25 * HOUR);
    let kept = [
        // Not expired; expired, but here for less than our own `lost_after`; an answer.
        insert(&left_over(now + HOUR, ""), now - 25 * HOUR),
        insert(&left_over(now - HOUR, ""), now - 23 * HOUR),
        insert(&left_over(now - HOUR, "Auto-Submitted: auto-replied\r\n"), now - 25 * HOUR),
        insert("Subject: not one of ours\r\n\r\nhello\r\n", now - 25 * HOUR),
    ];
    let exporter = Exporter::start(&[world.target("a")]).await;
    exporter.received("a", 1).await;
    world.inbox_holds(kept.len()).await;
    let uids: Vec<_> =
        world.post.messages(USER, "INBOX").iter().map(|message| Some(message.uid)).collect();
    assert_eq!(uids, kept);
    let totals = exporter.snapshot("a").totals;
    assert_eq!((totals.received, totals.returned, totals.duplicate), (1, 0, 0));
}

#[tokio::test]
async fn another_exporter_on_the_same_mailbox_is_left_alone() {
    for mailbox in MAILBOXES {
        let world = World::new(mailbox).await;
        world.post.set_delivery(USER, Delivery::held());
        // The other one has a way of its own to the mailbox, which opens later.
        let detour = Server::start(mailbox, &world.post, Options::new()).await.unwrap();
        detour.faults().on(GREETING, Fault::Close);
        let one = Exporter::start(&[world.target("a").set("interval", "1s")]).await;
        let other = Exporter::start(&[TargetText::new("a", &world.smtp, &detour)]).await;
        for exporter in [&one, &other] {
            exporter.until("a", "accepted", |s| s.totals.accepted >= 1).await;
        }
        world.post.set_delivery(USER, Delivery::lost());
        world.post.release(USER);
        let received = one.received("a", 1).await.totals.checks;
        let checked = |s: &Snapshot| s.totals.checks >= received + 2;
        let totals = one.until("a", "two more checks", checked).await.totals;
        assert_eq!((totals.duplicate, totals.returned), (0, 0));
        world.inbox_holds(1).await;
        detour.faults().clear();
        let totals = other.received("a", 1).await.totals;
        assert_eq!((totals.received, totals.duplicate), (1, 0));
        world.inbox_holds(0).await;
    }
}

#[tokio::test]
async fn a_mail_is_found_in_the_folder_where_it_lies() {
    let cases = [
        ("Junk", r"[INBOX, '\Junk']", [0, 1, 0]),
        ("Lists", "[INBOX, Lists]", [0, 0, 1]),
        ("Entw&APw-rfe", "[Entwürfe]", [0, 0, 1]),
        ("INBOX", r"[inbox, '\Archive']", [1, 0, 0]),
    ];
    all(cases.map(|(folder, folders, found)| {
        let case = async move {
            let world = World::new(Protocol::Imap).await;
            for name in ["Lists", "Entw&APw-rfe"] {
                world.post.add_folder(USER, name, None);
            }
            let foreign = b"Subject: stays\r\n\r\nhello\r\n";
            for name in ["INBOX", "Junk", "Lists"] {
                world.post.insert(USER, name, foreign);
            }
            world.post.deliver_next(USER, Delivery::at_once().into_folder(folder));
            let target = world.target("a").set("interval", "1s");
            let exporter = Exporter::start(&[target.set("receive.folders", folders)]).await;
            let snapshot =
                exporter.until("a", "found", |s| s.totals.found.iter().sum::<u64>() >= 1).await;
            assert_eq!(snapshot.totals.found, found, "{snapshot:#?}");
            let kept = usize::from(folder != "Entw&APw-rfe");
            let removed = |post: &Post| post.messages(USER, folder).len() == kept;
            world.post.set_delivery(USER, Delivery::lost());
            assert!(world.post.wait_until(DEADLINE, removed).await);
            for name in ["INBOX", "Junk", "Lists"] {
                let first = world.post.messages(USER, name).remove(0);
                assert_eq!((&*first.bytes, first.flags), (&foreign[..], BTreeSet::new()));
            }
        };
        (format!("{folder} {folders}"), case)
    }))
    .await;
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_a_failure() {
    let world = World::new(Protocol::Imap).await;
    let target = world.target("a").set("receive.folders", "[INBOX, Missing]");
    let exporter = Exporter::start(&[target]).await;
    let snapshot = exporter.measured("a").await;
    assert_eq!(snapshot.receive_ability, Reading::Is(false));
    let (_, failure) = snapshot.sides.receive.last_failure.clone().unwrap();
    assert_eq!((failure.step, failure.reason), (Step::Select, Reason::Rejected));
    assert!(failure.message.contains("Missing"), "{failure}");
}

#[tokio::test]
async fn without_uidplus_nobody_elses_deleted_mail_is_expunged() {
    let world = World::new(Protocol::Imap).await;
    world.mailbox.faults().leave_out("UIDPLUS");
    let foreign = world.post.insert(USER, "INBOX", b"Subject: marked\r\n\r\nhello\r\n");
    let login = format!("a LOGIN {USER} \"{PASSWORD}\"");
    let store = |sign: &str| format!("c UID STORE 1 {sign}FLAGS (\\Deleted)");
    let (mark, unmark) = (store("+"), store("-"));
    say(&world.mailbox, &[&login, "b SELECT INBOX", &mark, "e LOGOUT"]).await;
    let exporter = Exporter::start(&[world.target("a").set("interval", "1s")]).await;
    exporter.received("a", 2).await;
    let ours_are_marked = |post: &Post| {
        let mails = post.messages(USER, "INBOX");
        mails.len() >= 3 && mails.iter().all(|mail| mail.has_flag("\\Deleted"))
    };
    assert!(world.post.wait_until(DEADLINE, ours_are_marked).await);
    assert_eq!(world.mailbox.stats().count("EXPUNGE"), 0);
    let is_told = |s: &Snapshot| s.sides.receive.failures_for(Reason::Marked) >= 1;
    let snapshot = exporter.until("a", "told", is_told).await;
    let (_, failure) = snapshot.sides.receive.last_failure.clone().unwrap();
    assert_eq!((failure.step, failure.reason), (Step::Remove, Reason::Marked), "{failure}");
    assert!(failure.message.contains("UIDPLUS"), "{failure}");
    assert_eq!(snapshot.receive_ability, Reading::Is(true), "mail can be read");
    // Once its owner wants it back, everything of ours goes, that of earlier periods as well.
    say(&world.mailbox, &[&login, "b SELECT INBOX", &unmark, "e LOGOUT"]).await;
    let foreign_alone = |post: &Post| {
        let mails = post.messages(USER, "INBOX");
        mails.len() == 1 && Some(mails[0].uid) == foreign
    };
    assert!(world.post.wait_until(DEADLINE, foreign_alone).await, "{}", world.inbox_len());
    assert_eq!(exporter.snapshot("a").totals.duplicate, 0);
}

#[tokio::test]
async fn without_uidplus_the_marks_of_another_instance_do_not_block() {
    let world = World::new(Protocol::Imap).await;
    world.mailbox.faults().leave_out("UIDPLUS");
    let other = mark(Token::random(), SystemTime::now() + HOUR);
    let other = format!("Subject: probe\r\nX-Mailtrip: {other}\r\n\r\ntest\r\n");
    world.post.insert(USER, "INBOX", other.as_bytes());
    let login = format!("a LOGIN {USER} \"{PASSWORD}\"");
    let set = "c UID STORE 1 +FLAGS (\\Deleted)";
    say(&world.mailbox, &[&login, "b SELECT INBOX", set, "e LOGOUT"]).await;
    let exporter = Exporter::start(&[world.target("a")]).await;
    exporter.received("a", 1).await;
    world.inbox_holds(0).await;
    assert_eq!(exporter.snapshot("a").sides.receive.last_failure, None);
}

#[tokio::test]
async fn a_removal_that_the_server_only_pretends_is_a_failure() {
    for mailbox in MAILBOXES {
        let world = World::new(mailbox).await;
        let (point, answer) = match mailbox {
            Protocol::Imap => ("UID EXPUNGE", "{tag} OK done"),
            _ => ("DELE", "+OK done"),
        };
        world.mailbox.faults().times(2, point, Fault::reply(answer));
        world.mailbox.faults().pretend_to_destroy();
        world.post.insert(USER, "INBOX", b"Subject: not ours\r\n\r\nhello\r\n");
        let exporter = Exporter::start(&[world.target("a").set("interval", "1s")]).await;
        let failed = |s: &Snapshot| s.sides.receive.failures_in(Step::Remove) >= 1;
        let snapshot = exporter.until("a", "a failed removal", failed).await;
        assert_eq!(snapshot.totals.duplicate, 0, "{mailbox:?}");
        assert_eq!(snapshot.receive_ability, Reading::Is(true), "{mailbox:?}");
        world.mailbox.faults().clear();
        world.post.set_delivery(USER, Delivery::lost());
        world.inbox_holds(1).await;
        assert_eq!(exporter.snapshot("a").totals.duplicate, 0, "{mailbox:?}");
    }
}

#[tokio::test]
async fn a_first_contact_that_breaks_makes_no_duplicate() {
    let world = World::new(Protocol::Pop3).await;
    world.post.insert(USER, "INBOX", b"Subject: older\r\n\r\nhello\r\n");
    // The check fails, so that the first contact is a look with a mail under way.
    world.mailbox.faults().once("UIDL", Fault::Close);
    world.mailbox.faults().once("TOP", Fault::None);
    world.mailbox.faults().once("TOP", Fault::Close);
    world.post.set_delivery(USER, Delivery::lost());
    world.post.deliver_next(USER, Delivery::at_once());
    // The second mail is still waited for, so that the next session is a first contact as well.
    let target = world.target("a").set("interval", "2s").set("messages", "2");
    let exporter = Exporter::start(&[target]).await;
    exporter.received("a", 1).await;
    world.inbox_holds(1).await;
    let snapshot = exporter.snapshot("a");
    assert_eq!(snapshot.sides.receive.failures_for(Reason::Closed), 2);
    assert_eq!(snapshot.totals.duplicate, 0);
}

#[tokio::test]
async fn another_uidvalidity_means_other_mails() {
    let world = World::new(Protocol::Imap).await;
    for number in 0..20 {
        let mail = format!("Subject: news {number}\r\n\r\nhello\r\n");
        world.post.insert(USER, "INBOX", mail.as_bytes());
    }
    world.post.set_delivery(USER, Delivery::held());
    let target = world.target("a").set("interval", "1s").set("late_after", "1h");
    let exporter = Exporter::start(&[target]).await;
    exporter.until("a", "outstanding", |s| s.outstanding == Reading::Is(2)).await;
    // As after a restored backup: fewer mails, lower UIDs, and the one that is waited for.
    say(
        &world.mailbox,
        &[
            &format!("a LOGIN {USER} \"{PASSWORD}\""),
            "b SELECT INBOX",
            "c UID STORE 1:15 +FLAGS (\\Deleted)",
            "d EXPUNGE",
            "e LOGOUT",
        ],
    )
    .await;
    world.mailbox.close_sessions();
    world.post.release(USER);
    world.post.renumber(USER, "INBOX");
    exporter.received("a", 2).await;
    world.post.set_delivery(USER, Delivery::lost());
    world.inbox_holds(5).await;
}

#[tokio::test]
async fn many_targets_share_one_mailbox_and_one_login() {
    const TARGETS: usize = 200;
    let post = Post::new();
    post.add_account(USER, PASSWORD, &["to@example.test"]);
    let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
    let imap = Server::start(Protocol::Imap, &post, Options::new()).await.unwrap();
    post.set_delivery(USER, Delivery::at_once().after(Duration::from_millis(200)));
    let target = TargetText::new("x", &smtp, &imap).set("interval", "4s");
    let targets: Vec<_> =
        (0..TARGETS).map(|number| target.clone().set("name", &format!("t{number}"))).collect();
    let exporter = Exporter::start(&targets).await;
    for number in 0..TARGETS {
        let name = format!("t{number}");
        let snapshot = exporter.received(&name, 1).await;
        assert_eq!(snapshot.sides.receive.last_failure, None);
        assert_eq!((snapshot.totals.duplicate, snapshot.totals.lost), (0, 0), "{name}");
        assert!(snapshot.totals.received <= snapshot.totals.accepted);
    }
    let snapshot = exporter.snapshot("t0");
    let stats = imap.stats();
    assert!(stats.logins <= snapshot.totals.checks + 1, "{stats:?}");
    assert_eq!(stats.sessions_most, 1);
}

#[tokio::test]
async fn folders_of_a_shared_mailbox_are_the_union() {
    let world = World::new(Protocol::Imap).await;
    world.post.add_folder(USER, "Lists", None);
    world.post.set_delivery(USER, Delivery::at_once().into_folder("Lists"));
    let targets = [
        world.target("a").set("interval", "1s").set("receive.folders", "[Lists]"),
        world.target("b").set("interval", "1s").set("receive.folders", "[INBOX]"),
    ];
    let exporter = Exporter::start(&targets).await;
    for name in ["a", "b"] {
        let snapshot = exporter.received(name, 1).await;
        assert_eq!(snapshot.totals.found[2], snapshot.totals.received);
    }
    world.post.set_delivery(USER, Delivery::at_once());
    for name in ["a", "b"] {
        exporter.until(name, "found in the inbox", |s| s.totals.found[0] >= 1).await;
    }
}

#[tokio::test]
async fn logins_keep_the_distance_that_the_server_or_the_configuration_asks_for() {
    let gap = Duration::from_secs(1);
    let cases = ["LOGIN-DELAY 1", ""].map(|capability| {
        let case = async move {
            let world = World::new(Protocol::Pop3).await;
            world.post.set_delivery(USER, Delivery::held());
            let mut target = world.target("a").set("interval", "3500ms").set("late_after", "1h");
            if capability.is_empty() {
                target = target.set("receive.min_look_interval", "1s");
            } else {
                world.mailbox.faults().offer(capability);
            }
            let exporter = Exporter::start(&[target]).await;
            let enough = world.mailbox.wait_until(DEADLINE, |stats| stats.logins >= 6).await;
            assert!(enough, "{:?}", world.mailbox.stats());
            exporter.supervisor.stop().await;
            let logins: Vec<Instant> = dialogues(&world.mailbox)
                .iter()
                // The first command behind a login; the login itself is begun long before it is made.
                .filter_map(|session| session.commands.iter().find(|it| it.line == "STAT"))
                .map(|command| command.at)
                .collect();
            assert!(logins.len() >= 5, "{logins:?}");
            for pair in logins.windows(2) {
                let between = pair[1] - pair[0];
                // The client's clock starts when it sends, the server's when it has read.
                assert!(between >= gap - Duration::from_millis(100), "{between:?}");
            }
        };
        (capability.to_owned(), case)
    });
    all(cases).await;
}

#[tokio::test]
async fn a_foreign_mail_with_a_monstrous_header_does_not_blind_the_watch() {
    for mailbox in MAILBOXES {
        let world = World::new(mailbox).await;
        let references = "<0123456789@example.test>\r\n ".repeat(20_000);
        let mail = format!("Subject: old thread\r\nReferences: {references}\r\n\r\nhello\r\n");
        world.post.insert(USER, "INBOX", mail.as_bytes());
        let exporter = Exporter::start(&[world.target("a")]).await;
        let snapshot = exporter.received("a", 1).await;
        assert_eq!(snapshot.receive_ability, Reading::Is(true));
        assert_eq!(snapshot.sides.receive.last_failure, None);
        world.inbox_holds(1).await;
    }
}

#[tokio::test]
async fn a_mail_that_arrives_during_a_slow_first_login_is_received() {
    let world = World::new(Protocol::Pop3).await;
    // Sending waits 3 s for the check; the login then shows a maildrop that holds the mail.
    world.mailbox.faults().once(CREDENTIALS, Fault::delay(Duration::from_secs(4)));
    let exporter = Exporter::start(&[world.target("a")]).await;
    world.inbox_holds(1).await;
    assert_eq!(world.mailbox.stats().logins, 0, "it arrived before the login was answered");
    let snapshot = exporter.received("a", 1).await;
    assert_eq!(snapshot.sides.receive.last_failure, None);
    world.inbox_holds(0).await;
}

#[tokio::test]
async fn a_mailbox_without_any_of_the_folders_is_a_failure() {
    let world = World::new(Protocol::Imap).await;
    world.post.remove_folder(USER, "Junk");
    let target = world.target("a").set("receive.folders", r"['\Junk']");
    let exporter = Exporter::start(&[target]).await;
    let snapshot = exporter.measured("a").await;
    assert_eq!(snapshot.receive_ability, Reading::Is(false));
    let (_, failure) = snapshot.sides.receive.last_failure.clone().unwrap();
    assert_eq!((failure.step, failure.reason), (Step::Select, Reason::Other));
    assert!(failure.message.contains(r"\Junk"), "{failure}");
}

#[tokio::test]
async fn a_stranger_cannot_write_what_looks_like_the_end_of_a_literal() {
    let references = "<0123456789@example.test>\r\n ".repeat(3_000);
    for mark in ["X-Mailtrip: x", "X-Other: x"] {
        let world = World::new(Protocol::Imap).await;
        // A line of white space goes on with a field.
        let mail = format!(
            "{mark}\r\nSubject: {}\r\n \r\n )\r\nReferences: {references}<a@b>\r\n\r\nhello\r\n",
            Token::random()
        );
        world.post.insert(USER, "INBOX", mail.as_bytes());
        let exporter = Exporter::start(&[world.target("a")]).await;
        let snapshot = exporter.received("a", 1).await;
        assert_eq!(snapshot.receive_ability, Reading::Is(true), "{mark}");
        assert_eq!(snapshot.sides.receive.last_failure, None, "{mark}");
        world.inbox_holds(1).await;
    }
}

#[tokio::test]
async fn a_header_line_without_an_end_does_not_blind_the_watch() {
    let long = format!("Subject: long\r\nX-Long: {}\r\n\r\nhello\r\n", "x".repeat(300_000));
    let world = World::new(Protocol::Pop3).await;
    // At the first contact, and between two looks.
    world.post.insert(USER, "INBOX", long.as_bytes());
    world.post.set_delivery(USER, Delivery::held());
    let exporter = Exporter::start(&[world.target("a")]).await;
    exporter.until("a", "outstanding", |s| s.outstanding == Reading::Is(1)).await;
    world.post.insert(USER, "INBOX", long.as_bytes());
    world.post.release(USER);
    let snapshot = exporter.received("a", 1).await;
    assert_eq!(snapshot.receive_ability, Reading::Is(true));
    assert_eq!(snapshot.sides.receive.last_failure, None);
    world.inbox_holds(2).await;
}

#[tokio::test]
async fn a_mail_that_the_server_cannot_show_is_passed_over() {
    let refusal = || Fault::reply("-ERR no such message");
    let foreign = b"Subject: broken\r\n\r\nhello\r\n";
    let world = World::new(Protocol::Pop3).await;
    // At the first contact, where another mail proves that the maildrop can be read, and between
    // two looks.
    world.post.insert(USER, "INBOX", foreign);
    world.post.insert(USER, "INBOX", foreign);
    world.mailbox.faults().once("TOP", refusal());
    world.post.set_delivery(USER, Delivery::held());
    let exporter = Exporter::start(&[world.target("a")]).await;
    let snapshot = exporter.until("a", "outstanding", |s| s.outstanding == Reading::Is(1)).await;
    assert_eq!(snapshot.receive_ability, Reading::Is(true), "{snapshot:#?}");
    world.post.insert(USER, "INBOX", foreign);
    world.mailbox.faults().once("TOP", refusal());
    world.post.release(USER);
    let snapshot = exporter.received("a", 1).await;
    assert_eq!(snapshot.sides.receive.last_failure, None);
    world.inbox_holds(3).await;
}

#[tokio::test]
async fn a_flood_of_mail_between_two_looks_does_not_blind_the_watch() {
    const FLOOD: usize = 3_000;
    let world = World::new(Protocol::Imap).await;
    world.post.set_delivery(USER, Delivery::held());
    // Enough for a busy machine and a program that is not optimized.
    let exporter = Exporter::start(&[world.target("a").set("timeout", "1m")]).await;
    exporter.until("a", "outstanding", |s| s.outstanding == Reading::Is(1)).await;
    // Nothing else runs until the mail is there as well: one look meets all of it.
    let references = "<0123456789@example.test>\r\n ".repeat(4 * 1024 / 28);
    for number in 0..FLOOD {
        let mail = format!("Subject: {number}\r\nReferences: {references}\r\n\r\nhello\r\n");
        world.post.insert(USER, "INBOX", mail.as_bytes());
    }
    world.post.release(USER);
    let snapshot = exporter.received("a", 1).await;
    assert_eq!(snapshot.sides.receive.last_failure, None);
    assert_eq!(world.mailbox.stats().logins, 1, "the session is held");
    world.inbox_holds(FLOOD).await;
}

#[tokio::test]
async fn one_refused_removal_does_not_stop_the_others() {
    let world = World::new(Protocol::Pop3).await;
    world.mailbox.faults().once("DELE", Fault::reply("-ERR not now"));
    let exporter =
        Exporter::start(&[world.target("a").set("messages", "2").set("interval", "2s")]).await;
    exporter.received("a", 2).await;
    world.post.set_delivery(USER, Delivery::lost());
    // The one that was refused goes with the next session, and nothing is counted twice.
    world.inbox_holds(0).await;
    let snapshot =
        exporter.until("a", "a failure", |s| s.sides.receive.last_failure.is_some()).await;
    assert_eq!(snapshot.totals.duplicate, 0);
    assert_eq!(snapshot.sides.receive.failures_for(Reason::Rejected), 1);
    assert_eq!(snapshot.receive_ability, Reading::Is(true));
}

#[tokio::test]
async fn a_shared_mailbox_is_checked_once_in_the_shortest_period() {
    let world = World::new(Protocol::Imap).await;
    let targets = [
        world.target("rare").set("interval", "1h"),
        world.target("often").set("interval", "1s"),
        world.target("seldom").set("interval", "30s"),
    ];
    let exporter = Exporter::start(&targets).await;
    let snapshot = exporter.until("rare", "three checks", |s| s.totals.checks >= 3).await;
    assert_eq!(snapshot.totals.check_failures, 0);
    let checks = ["rare", "often", "seldom"].map(|name| exporter.snapshot(name).totals.checks);
    assert_eq!(checks, [checks[0]; 3], "a check is one of every target of the mailbox");
}

#[tokio::test]
async fn a_check_that_fails_tells_the_ability_of_every_target_of_the_mailbox() {
    for mailbox in MAILBOXES {
        let world = World::new(mailbox).await;
        let refusal = match mailbox {
            Protocol::Imap => Fault::reply("{tag} NO no"),
            Protocol::Jmap => Fault::status(401),
            _ => Fault::reply("-ERR no"),
        };
        world.mailbox.faults().on(CREDENTIALS, refusal);
        let exporter = Exporter::start(&[world.target("a"), world.target("b")]).await;
        for name in ["a", "b"] {
            let snapshot = exporter.until(name, "checked", |s| s.totals.checks == 1).await;
            assert_eq!(snapshot.receive_ability, Reading::Is(false), "{name}");
            assert_eq!(snapshot.totals.check_failures, 1, "{name}");
        }
    }
}

#[tokio::test]
async fn another_user_or_another_port_is_another_mailbox() {
    for mailbox in MAILBOXES {
        let (world, elsewhere) = (World::new(mailbox).await, World::new(mailbox).await);
        world.post.add_account("otto", PASSWORD, &["otto@example.test"]);
        let otto = world.target("otto").set("to", "otto@example.test");
        let targets = [
            world.target("rita"),
            otto.set("receive.username", "otto"),
            elsewhere.target("elsewhere"),
        ];
        let exporter = Exporter::start(&targets.map(|it| it.set("interval", "1s"))).await;
        for name in ["rita", "otto", "elsewhere"] {
            let snapshot = exporter.received(name, 1).await;
            assert_eq!(snapshot.sides.receive.last_failure, None, "{name}");
        }
    }
}

#[tokio::test]
async fn a_check_reads_a_header_if_there_is_mail() {
    let world = World::new(Protocol::Imap).await;
    // So old that no look has a reason to read it.
    let date = SystemTime::now() - 24 * 60 * HOUR;
    world.post.insert_dated(USER, "INBOX", b"Subject: old\r\n\r\nhello\r\n", date);
    for command in ["FETCH", "UID FETCH"] {
        world.mailbox.faults().on(command, Fault::reply("{tag} NO broken"));
    }
    let exporter = Exporter::start(&[world.target("a")]).await;
    let snapshot = exporter.until("a", "checked", |s| s.totals.checks == 1).await;
    assert_eq!(snapshot.receive_ability, Reading::Is(false));
    let (_, failure) = snapshot.sides.receive.last_failure.clone().unwrap();
    assert_eq!((failure.step, failure.reason), (Step::Fetch, Reason::Rejected));
}

#[tokio::test]
async fn a_server_that_shows_no_mail_is_never_able_to_receive() {
    let world = World::new(Protocol::Imap).await;
    world.post.insert(USER, "INBOX", b"Subject: somebody's\r\n\r\nhands off\r\n");
    let exporter = Exporter::start(&[world.target("a").set("interval", "1s")]).await;
    exporter.received("a", 1).await;
    for command in ["FETCH", "UID FETCH"] {
        world.mailbox.faults().on(command, Fault::reply("{tag} NO cannot be read"));
    }
    let before = exporter.until("a", "failing", |s| s.totals.check_failures >= 1).await.totals;
    let failed = before.check_failures + 5;
    let after = exporter.until("a", "failed again", |s| s.totals.check_failures >= failed).await;
    // Not one of the checks in between has passed.
    assert_eq!(
        after.totals.checks - before.checks,
        after.totals.check_failures - before.check_failures
    );
    assert_eq!(after.receive_ability, Reading::Is(false));
    world.mailbox.faults().clear();
    let outstanding = after.outstanding.value().unwrap() as u64;
    let received = after.totals.received + outstanding;
    let snapshot = exporter.received("a", received).await;
    assert_eq!(snapshot.totals.lost, 0, "what came meanwhile was not given up");
}

#[tokio::test]
async fn a_watch_that_breaks_is_opened_again_with_back_off() {
    for mailbox in MAILBOXES {
        let world = World::new(mailbox).await;
        world.post.set_delivery(USER, Delivery::held());
        let exporter = Exporter::start(&[world.target("a")]).await;
        exporter.until("a", "outstanding", |s| s.outstanding == Reading::Is(1)).await;
        world.mailbox.faults().on(GREETING, Fault::Close);
        world.mailbox.close_sessions();
        let step = if mailbox == Protocol::Jmap { Step::Auth } else { Step::Greeting };
        let failed = |s: &Snapshot| s.sides.receive.failures_in(step) >= 3;
        let snapshot = exporter.until("a", "failed three times", failed).await;
        assert_eq!(snapshot.receive_ability, Reading::Is(true), "the check alone tells");
        let opened: Vec<Instant> =
            world.mailbox.sessions().iter().map(|session| session.opened_at).collect();
        let [.., first, second, third] = opened[..] else { panic!("{opened:?}") };
        // A second at first, and twice as long each time; less what the two clocks differ.
        let second_wait = third - second;
        assert!(second - first >= Duration::from_millis(900), "{:?}", second - first);
        assert!(second_wait >= Duration::from_millis(1900), "{second_wait:?}");
    }
}

/// Moves the clock of this runtime on, and nothing else: while a thread is busy, time that stands
/// still does not jump to the next timer by itself.
async fn pass(time: Duration) {
    let (done, until_done) = std::sync::mpsc::channel::<()>();
    let busy = tokio::task::spawn_blocking(move || until_done.recv());
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
    drop(done);
    // The channel was closed, as it should be.
    let _ = busy.await;
}

#[tokio::test]
async fn folders_beside_the_inbox_are_looked_into_once_a_minute() {
    let world = World::new(Protocol::Imap).await;
    world.post.set_delivery(USER, Delivery::at_once().into_folder("Junk"));
    let exporter = Exporter::start(&[world.target("a").set("interval", "1h")]).await;
    exporter.until("a", "outstanding", |s| s.outstanding == Reading::Is(1)).await;
    let looks = world.mailbox.stats().count("NOOP") + 5;
    assert!(world.mailbox.wait_until(DEADLINE, |stats| stats.count("NOOP") >= looks).await);
    let snapshot = exporter.snapshot("a");
    assert_eq!(snapshot.totals.received, 0, "looks are for the inbox");
    pass(Duration::from_secs(61)).await;
    let snapshot = exporter.received("a", 1).await;
    assert_eq!((snapshot.totals.found, snapshot.totals.checks), ([0, 1, 0], 1));
    assert_eq!(snapshot.sides.receive.last_failure, None);
}
