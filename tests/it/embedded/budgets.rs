//! What a server can make the exporter build and do is bounded: each budget by an answer beyond it, which
//! is a failure that names what was too much, while a neighbour goes on; and what is merely large.

use std::fmt::Write as _;

use ledger::{Reading, Snapshot};
use ledger::{Reason, Side, Step};
use testserver::faults::{Fault, GREETING};
use testserver::{Post, Protocol};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Exporter, TargetText, USER, World, all};

/// One answer beyond a budget.
struct Case {
    mailbox: Protocol,
    side: Side,
    point: &'static str,
    answer: String,
    step: Step,
    words: &'static str,
}

fn imap(point: &'static str, answer: String, step: Step, words: &'static str) -> Case {
    Case { mailbox: Protocol::Imap, side: Side::Receive, point, answer, step, words }
}

fn pop3(point: &'static str, answer: String, step: Step, words: &'static str) -> Case {
    Case { mailbox: Protocol::Pop3, ..imap(point, answer, step, words) }
}

fn smtp(point: &'static str, answer: String, step: Step, words: &'static str) -> Case {
    Case { side: Side::Send, ..imap(point, answer, step, words) }
}

/// So many texts, each with its number.
fn numbered(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut all, number| {
        let _ = write!(all, "{}", text(number));
        all
    })
}

fn cases() -> Vec<Case> {
    let mut cases = cases_of_imap();
    cases.extend(cases_of_an_opened_folder());
    cases.extend(cases_of_pop3_and_smtp());
    cases
}

fn cases_of_imap() -> Vec<Case> {
    let odd = |number: usize| format!(" {}", 2 * number + 1);
    vec![
        imap(
            "CAPABILITY",
            format!("* CAPABILITY IMAP4rev1{}\r\n", " A".repeat(600)),
            Step::Greeting,
            "more than 512 capabilities in answer to",
        ),
        imap(
            GREETING,
            format!("* OK [CAPABILITY{}] hello\r\n", " A".repeat(600)),
            Step::Greeting,
            "more than 512 capabilities",
        ),
        imap(
            "LIST",
            numbered(101, |number| format!("* LIST (\\Junk) \"/\" f{number}\r\n")),
            Step::Select,
            "more than 100 folders with a use",
        ),
        imap(
            "UID SEARCH",
            format!("* SEARCH{}\r\n", numbered(16_385, odd)),
            Step::Select,
            "more than 16384 ranges of numbers",
        ),
        imap(
            "UID SEARCH",
            format!("* SEARCH{}\r\n", " 1".repeat(5 << 20)),
            Step::Select,
            "a line of more than 8388608 bytes",
        ),
    ]
}

fn cases_of_an_opened_folder() -> Vec<Case> {
    let literal = format!("{{65536}}\r\n{}", "x".repeat(65_536));
    vec![
        imap(
            "SELECT",
            format!("* 1 FETCH ({{0}}\r\n{}", " {0}\r\n".repeat(100)),
            Step::Select,
            "more than 64 literals in one response",
        ),
        imap(
            "SELECT",
            format!("* 1 FETCH {}\r\n", "(".repeat(30_000)),
            Step::Select,
            "more than 20000 words and parentheses in one response",
        ),
        imap(
            "SELECT",
            format!("* {}\r\n", "x".repeat(70_000)),
            Step::Select,
            "a line of more than 65536 bytes",
        ),
        imap(
            "SELECT",
            format!("* 1 FETCH (A {literal} B {literal} C {literal})\r\n"),
            Step::Select,
            "more than 147456 bytes in one response",
        ),
        imap(
            "SELECT",
            "* OK [UIDNEXT 1] x\r\n".repeat(101),
            Step::Select,
            "more than 100 response codes",
        ),
        imap(
            "SELECT",
            "* OK x\r\n".repeat(100_001),
            Step::Select,
            "more than 100000 untagged responses in answer to",
        ),
    ]
}

fn cases_of_pop3_and_smtp() -> Vec<Case> {
    vec![
        pop3(
            "CAPA",
            format!("+OK\r\n{}.\r\n", format!("{}\r\n", "A ".repeat(200)).repeat(4)),
            Step::Greeting,
            "more than 512 words of capabilities",
        ),
        pop3(
            "UIDL",
            format!("+OK\r\n{}", numbered(200_001, |number| format!("{number} u{number}\r\n"))),
            Step::Select,
            "more than 200000 mails",
        ),
        pop3(
            "UIDL",
            format!("+OK\r\n{}.\r\n", numbered(5000, |number| format!("{} a\r\n", number * 2))),
            Step::Select,
            "numbers its mails in no order",
        ),
        pop3(
            "TOP",
            format!("+OK\r\n{}", "X: y\r\n".repeat(200_001)),
            Step::Fetch,
            "a header that does not end",
        ),
        smtp("EHLO", "250-x\r\n".repeat(129), Step::Greeting, "a reply of more than 128 lines"),
        smtp(
            "EHLO",
            format!("250-{}\r\n", "x".repeat(8000)).repeat(5),
            Step::Greeting,
            "a reply of more than 32768 bytes",
        ),
    ]
}

/// With time enough for a busy machine and a program that is not optimized.
fn patient(target: TargetText) -> TargetText {
    target.set("timeout", "1m")
}

#[tokio::test]
async fn an_answer_beyond_its_budget_is_a_failure_that_names_what_was_too_much() {
    all(cases().into_iter().map(|case| {
        let name = format!("{:?} {} {}", case.side, case.point, case.words);
        (name, async move {
            let (world, well) = (World::new(case.mailbox).await, World::new(Protocol::Imap).await);
            world.post.insert(USER, "INBOX", b"Subject: somebody's\r\n\r\nhands off\r\n");
            let server = if case.side == Side::Send { &world.smtp } else { &world.mailbox };
            if case.point == "CAPABILITY" {
                // One whose greeting does not tell is asked.
                server.faults().on(GREETING, Fault::reply("* OK hello"));
            }
            server.faults().on(case.point, Fault::Raw(case.answer.into_bytes()));
            let targets = [world.target("a"), well.target("b")].map(patient);
            let exporter = Exporter::start(&targets).await;
            let snapshot = exporter.measured("a").await;
            let side = if case.side == Side::Send {
                &snapshot.sides.send
            } else {
                &snapshot.sides.receive
            };
            let (_, failure) = side.last_failure.clone().unwrap();
            assert_eq!((failure.step, failure.reason), (case.step, Reason::Protocol), "{failure}");
            assert!(failure.message.contains(case.words), "{failure}");
            assert!(!failure.down, "{failure}");
            let well = exporter.received("b", 1).await;
            assert_eq!(well.sides.receive.last_failure, None);
        })
    }))
    .await;
}

#[tokio::test]
async fn a_server_that_talks_on_in_idle_is_left() {
    let world = World::new(Protocol::Imap).await;
    world.post.set_delivery(USER, testserver::Delivery::held());
    let flood = format!("+ idling\r\n{}", "* OK x\r\n".repeat(100_001));
    // Long enough for all of the flood, which the next look ends.
    let target = patient(world.target("a")).set("receive.min_look_interval", "15s");
    let exporter = Exporter::start(&[target]).await;
    // What interrupts IDLE is over: the mail was sent, and looked for.
    exporter.until("a", "looked for", |now| now.totals.looks > 0).await;
    world.mailbox.faults().on("IDLE", Fault::Raw(flood.into_bytes()));
    let is_left = |now: &Snapshot| {
        now.sides.receive.last_failure.as_ref().is_some_and(|(_, failure)| {
            failure.message.contains("more than 100000 untagged responses")
        })
    };
    let snapshot = exporter.until("a", "the flood is left", is_left).await;
    let (_, failure) = snapshot.sides.receive.last_failure.clone().unwrap();
    assert_eq!((failure.step, failure.reason), (Step::Fetch, Reason::Protocol), "{failure}");
    world.mailbox.faults().clear();
    world.post.release(USER);
    exporter.received("a", 1).await;
}

#[tokio::test]
async fn what_is_merely_large_is_read() {
    let ranges = format!("* ESEARCH UID ALL {}", vec!["1:4294967295"; 75_000].join(","));
    let answers = [
        ("UID SEARCH", ranges),
        // The mails of a large folder, each named by itself: more than a megabyte.
        (
            "UID SEARCH",
            format!("* SEARCH{}", numbered(200_000, |number| format!(" {}", number + 1))),
        ),
        ("LIST", "* LIST (\\HasNoChildren) \"/\" f\r\n".repeat(50_000)),
        ("SELECT", "* 7 FETCH (FLAGS (\\Seen))\r\n".repeat(50_000)),
    ];
    all(answers.map(|(point, answer)| {
        let name = format!("{point} {}", answer.get(..20).unwrap());
        (name, async move {
            let world = World::new(Protocol::Imap).await;
            world.post.insert(USER, "INBOX", b"Subject: somebody's\r\n\r\nhands off\r\n");
            world.mailbox.faults().on(point, Fault::Before(answer));
            let exporter = Exporter::start(&[patient(world.target("a"))]).await;
            // The mail may be found before the check is over.
            let is_read = |now: &Snapshot| {
                now.totals.received == 1 && now.receive_ability != Reading::Unmeasured
            };
            let snapshot = exporter.until("a", "read", is_read).await;
            assert_eq!(snapshot.sides.receive.last_failure, None);
            assert_eq!(snapshot.receive_ability, Reading::Is(true));
        })
    }))
    .await;
}

#[tokio::test]
async fn a_next_uid_at_the_end_of_its_range_hides_no_mail() {
    let world = World::new(Protocol::Imap).await;
    world.mailbox.faults().tell_uid_next(u32::MAX);
    let exporter = Exporter::start(&[world.target("a")]).await;
    exporter.received("a", 1).await;
}

#[tokio::test]
async fn what_stands_before_the_final_dot_is_no_answer_to_it() {
    for (early, reason) in
        [("250 2.0.0 queued", Reason::Protocol), ("552 5.3.4 too large", Reason::Rejected)]
    {
        let world = World::new(Protocol::Imap).await;
        world.smtp.faults().once("DATA", Fault::Append(early.to_owned()));
        let exporter = Exporter::start(&[world.target("a")]).await;
        let snapshot = exporter.measured("a").await;
        let (_, failure) = snapshot.sides.send.last_failure.clone().unwrap();
        assert_eq!((failure.step, failure.reason), (Step::Data, reason), "{failure}");
        let totals = *snapshot.totals;
        assert_eq!((totals.probes, totals.accepted, totals.doubtful), (1, 0, 0), "{early}");
        assert_eq!(world.smtp.stats().mails_accepted, 0, "its end was not sent");
    }
}

/// A maildrop whose listing and mails are made up: `count` of them with ids of seventy characters, and
/// behind them what the post office holds. Only the newest can be read.
async fn large_maildrop(post: Post, count: u32) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve_maildrop(socket, post.clone(), count));
        }
    });
    port
}

async fn serve_maildrop(socket: TcpStream, post: Post, count: u32) {
    let (reading, mut writing) = socket.into_split();
    let mut lines = BufReader::new(reading).lines();
    let mails = post.messages(USER, "INBOX");
    writing.write_all(b"+OK\r\n").await.unwrap();
    let id = |number: usize| format!("{number:070}");
    while let Ok(Some(line)) = lines.next_line().await {
        let mut words = line.split(' ');
        let command = words.next().unwrap_or_default();
        let number = words.next().and_then(|word| word.parse::<usize>().ok()).unwrap_or_default();
        let total = count as usize + mails.len();
        let answer = match command {
            "CAPA" => "+OK\r\nTOP\r\nUIDL\r\nUSER\r\n.\r\n".to_owned(),
            "STAT" => format!("+OK {total} 1\r\n"),
            "UIDL" => {
                let listing = numbered(total, |at| format!("{} {}\r\n", at + 1, id(at)));
                format!("+OK\r\n{listing}.\r\n")
            }
            "TOP" => match number.checked_sub(count as usize + 1).and_then(|at| mails.get(at)) {
                Some(mail) => {
                    let mail = String::from_utf8_lossy(&mail.bytes).into_owned();
                    let header = mail.split_once("\r\n\r\n").map_or("", |(header, _)| header);
                    format!("+OK\r\n{header}\r\n\r\n.\r\n")
                }
                None => "+OK\r\nSubject: somebody's\r\n\r\n.\r\n".to_owned(),
            },
            _ => "+OK\r\n".to_owned(),
        };
        if writing.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_large_maildrop_is_watched_and_one_without_end_by_its_newest_mails() {
    all([20_000, 150_000].map(|count| {
        let case = async move {
            let world = World::new(Protocol::Pop3).await;
            let port = large_maildrop(world.post.clone(), count).await;
            let target = world.target("a").set("receive.port", &port.to_string());
            let exporter = Exporter::start(&[target.set("interval", "3s")]).await;
            let twice = |now: &Snapshot| now.totals.received >= 2;
            let snapshot = exporter.until("a", "two mails received", twice).await;
            assert_eq!(snapshot.receive_ability, Reading::Is(true));
            assert_eq!(snapshot.totals.check_failures, 0);
        };
        (format!("{count} mails"), case)
    }))
    .await;
}
