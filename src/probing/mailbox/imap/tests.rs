//! Sessions with a server that shows some mails late, wrongly or not at all.

use std::time::SystemTime;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::config::{Config, Target};
use crate::probing::mailbox::backlog::{BacklogState, Kind, PendingReport};
use crate::probing::mailbox::reader::{MailboxAccess, MailboxReader, Visit};
use crate::probing::mailbox::{Disposition, Found, Inspector};
use crate::store::FolderRecord;
use ledger::Token;
use mail::wire::ConnectionContext;
use testserver::faults::{Alteration, Fault};
use testserver::{Options, Post, Protocol, Server};

const USER: &str = "rita";
const FOREIGN: &[u8] = b"Subject: hello\r\n\r\nhello\r\n";

/// A mailbox, and the client's side.
struct House {
    post: Post,
    server: Server,
    target: Arc<Target>,
}

impl House {
    async fn new() -> Self {
        let post = Post::new();
        post.add_account(USER, "secret", &["to@example.test"]);
        let server = Server::start(Protocol::Imap, &post, Options::new()).await.unwrap();
        let side = format!("host: 127.0.0.1, port: {}, tls: none", server.address().port());
        let text = format!(
            "targets: [{{name: a, from: from@example.test, to: to@example.test, timeout: 3s, \
             send: {{{side}}}, receive: {{protocol: imap, {side}, username: {USER}, password: secret}}}}]"
        );
        let config = Config::parse(&text, Path::new("mailtrip.yml"));
        let targets = config.unwrap_or_else(|problems| panic!("{problems}")).targets;
        Self { post, server, target: targets.into_values().next().unwrap() }
    }

    fn insert(&self, mail: &[u8]) {
        self.post.insert(USER, "INBOX", mail).unwrap();
    }

    /// A whole mail or header of this UID is answered otherwise; gives how often it was asked for.
    fn answer_of(&self, uid: u32, answer: &'static str) -> Arc<AtomicUsize> {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let alter = move |proper: Vec<u8>| {
            let text = String::from_utf8_lossy(&proper).into_owned();
            let is_whole = text.contains("BODY[HEADER]<0>") || text.contains("BODY[]<0>");
            if !is_whole || !text.contains(&format!("UID {uid} ")) {
                return proper;
            }
            counted.fetch_add(1, Ordering::Relaxed);
            let tag = text.lines().last().and_then(|line| line.split(' ').next()).unwrap();
            answer.replace("{tag}", tag).into_bytes()
        };
        self.server.faults().on("UID FETCH", Fault::Alter(Alteration::new(alter)));
        asked
    }

    async fn open(&self) -> Result<Session, Failure> {
        let side = self.target.receive.as_ref().unwrap();
        let dialer =
            Dialer::new(&side.endpoint, Some(&side.login), &ConnectionContext::default()).unwrap();
        let folders = [Folder::Name("INBOX".to_owned())];
        let end = Instant::now() + Duration::from_secs(20);
        Session::open(&dialer, &side.login, &folders, &[], Trace::new(None), end).await
    }

    /// One session: all is looked at, and what is to go is taken out, in up to three rounds.
    async fn visit(&self, memory: &mut Memory, disposition: Disposition) -> Result<(), Failure> {
        let since = Since::all(SystemTime::UNIX_EPOCH);
        let mut judge = |found: &Found| match &found.report {
            Some(_) => Disposition::Leave,
            None if found.header.is_delivery_report => Disposition::ReadReport,
            None => found.header.mark.map_or(Disposition::Leave, |_| disposition),
        };
        let mut session = self.open().await?;
        session.look_everywhere(memory, since, &mut judge).await?;
        for _ in 0..3 {
            if session.has_to_remove(memory, true) {
                session.remove(memory, &Inspector::default(), true, since, &mut judge).await?;
            }
        }
        session.close().await;
        Ok(())
    }

    fn uids(&self) -> Vec<u32> {
        self.post.messages(USER, "INBOX").iter().map(|mail| mail.uid).collect()
    }
}

fn marked(token: Token) -> Vec<u8> {
    let mark = format!("v=1; token={token}; target=t; expires=2020-01-01T00:00:00Z");
    format!("Subject: probe\r\nX-Mailtrip: {mark}\r\n\r\ntest\r\n").into_bytes()
}

/// What an earlier process has left: these are to be taken out.
async fn restored(house: &House, words: Vec<String>) -> Memory {
    let mut memory = Memory::default();
    house.visit(&mut memory, Disposition::Leave).await.unwrap();
    let now = crate::clock::now();
    let record = |(name, record)| (name, FolderRecord { to_remove: words.clone(), ..record });
    let records = memory.records(now).map(record).collect();
    let mut memory = Memory::default();
    memory.restore(records, now);
    memory
}

/// What is put off is due now.
fn put_off_no_longer(memory: &mut Memory) {
    memory.folder(b"INBOX").promote_expired(SystemTime::now() + Duration::from_secs(3600));
}

#[tokio::test]
async fn after_a_restart_only_what_carries_its_token_is_taken_out() {
    let house = House::new().await;
    let (first, second) = (Token::random(), Token::random());
    house.insert(FOREIGN);
    house.insert(&marked(first));
    house.insert(&marked(Token::random()));
    house.insert(FOREIGN);
    let reply = format!("Subject: No\r\nIn-Reply-To: <{first}.mailtrip@a.test>\r\n\r\nx\r\n");
    house.insert(reply.as_bytes());
    house.insert(reply.as_bytes());
    let mut words =
        vec![format!("1/{second}"), format!("2/{first}"), format!("3/{second}"), "4".into()];
    // Nobody waited for the one, and the other was taken for an answer.
    words.extend([format!("5/{first}"), format!("6/{first}+")]);
    let mut memory = restored(&house, words).await;
    house.visit(&mut memory, Disposition::Leave).await.unwrap();
    assert_eq!(house.uids(), [1, 3, 4, 5]);
    let kept: Vec<_> = memory.records(crate::clock::now()).collect();
    assert_eq!(kept[0].1.to_remove, Vec::<String>::new(), "they are others' mails");
}

#[tokio::test]
async fn a_session_that_cannot_go_back_to_the_inbox_after_a_removal_is_over() {
    let house = House::new().await;
    house.post.insert(USER, "Junk", &marked(Token::random())).unwrap();
    let side = house.target.receive.as_ref().unwrap();
    let dialer =
        Dialer::new(&side.endpoint, Some(&side.login), &ConnectionContext::default()).unwrap();
    let access = MailboxAccess {
        dialer,
        login: side.login.clone(),
        protocol: crate::config::Protocol::Imap {
            folders: ["INBOX", "Junk"].map(|name| Folder::Name(name.to_owned())).into(),
        },
        copy_folders: Vec::new(),
        timeout: Duration::from_secs(3),
        reads_stamps: false,
    };
    let mut mails = 0;
    let mut judge = |_: &Found| {
        mails += 1;
        Disposition::Discard
    };
    let since = Since::all(SystemTime::UNIX_EPOCH);
    let (trace, end) = (Trace::new(None), Instant::now() + Duration::from_secs(20));
    let visit = Visit { trace: &trace, end, since: &|| since, is_check: true };
    let mut reader = MailboxReader::default();
    reader.open(&access, &visit, &mut judge).await.unwrap();
    // Junk is opened for the removal, the inbox for the looks that follow.
    house.server.faults().once("SELECT", Fault::None);
    // A refusal is followed by another try with the name of the client.
    house.server.faults().times(2, "SELECT", Fault::reply("{tag} NO not now"));
    let removed = reader.remove(&Inspector::default(), true, since, &mut judge).await;
    assert!(matches!(removed, Err(NotRemoved::Broken(_))), "{removed:?}");
    assert!(house.post.messages(USER, "Junk").is_empty());
    // A session without a folder would look into nothing from now on.
    assert!(!reader.holds_session());
    house.insert(&marked(Token::random()));
    reader.open(&access, &visit, &mut judge).await.unwrap();
    assert_eq!(mails, 2);
}

#[tokio::test]
async fn few_mails_are_read_again_after_one_removal() {
    const MAILS: usize = 70;
    let house = House::new().await;
    (0..MAILS).for_each(|_| house.insert(FOREIGN));
    let mut memory = restored(&house, (1..=MAILS).map(|uid| uid.to_string()).collect()).await;
    house.visit(&mut memory, Disposition::Leave).await.unwrap();
    assert_eq!(memory.folder(b"INBOX").backlog.len(Kind::ToConfirm), MAILS - 3 * 20);
}

#[tokio::test]
async fn a_left_over_that_breaks_the_session_holds_up_nobody() {
    let house = House::new().await;
    house.insert(&marked(Token::random()));
    let mut memory = Memory::default();
    let left_over = Disposition::LeftOver(SystemTime::UNIX_EPOCH);
    let asked = house.answer_of(1, "* BYE internal error\r\n");
    assert!(house.visit(&mut memory, left_over).await.is_err());
    let token = Token::random();
    house.insert(&marked(token));
    house.insert(&marked(Token::random()));
    put_off_no_longer(&mut memory);
    // Ours goes before left-overs are read.
    let _ = house.visit(&mut memory, Disposition::Remove(token)).await;
    assert_eq!(house.uids(), [1]);
    for _ in 0..3 {
        put_off_no_longer(&mut memory);
        let _ = house.visit(&mut memory, left_over).await;
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3, "then it is given up");
    let backlog = &memory.folder(b"INBOX").backlog;
    assert!(!backlog.has(Kind::ToConfirm) && !backlog.has(Kind::PutOff));
}

#[tokio::test]
async fn a_left_over_that_is_gone_is_forgotten_and_one_that_is_refused_tried_again() {
    for (answer, is_kept) in [("{tag} OK done\r\n", false), ("{tag} NO not now\r\n", true)] {
        let house = House::new().await;
        house.insert(&marked(Token::random()));
        let mut memory = Memory::default();
        let asked = house.answer_of(1, answer);
        let left_over = Disposition::LeftOver(SystemTime::UNIX_EPOCH);
        for _ in 0..3 {
            house.visit(&mut memory, left_over).await.unwrap();
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1, "{answer}");
        let known = memory.folder(b"INBOX");
        assert_eq!(known.backlog.kind(1) == Some(Kind::PutOff), is_kept, "{answer}");
        assert!(!known.backlog.has(Kind::LeftOver) && known.to_clear().is_empty());
        house.server.faults().clear();
        put_off_no_longer(&mut memory);
        house.visit(&mut memory, left_over).await.unwrap();
        assert_eq!(house.uids().is_empty(), is_kept, "{answer}");
    }
}

#[tokio::test]
async fn a_report_that_cannot_be_read_blinds_nobody_and_is_tried_three_times() {
    for (answer, breaks) in [("* BYE internal error\r\n", true), ("{tag} NO not now\r\n", false)] {
        let house = House::new().await;
        house.insert(
            b"Subject: failed\r\nContent-Type: multipart/report; report-type=delivery-status; \
              boundary=b\r\n\r\n--b--\r\n",
        );
        let asked = house.answer_of(1, answer);
        let mut memory = Memory::default();
        for tries in 1..=4 {
            let visited = house.visit(&mut memory, Disposition::Leave).await;
            assert_eq!(visited.is_err(), breaks && tries <= 3, "{answer}");
            assert_eq!(asked.load(Ordering::Relaxed), tries.min(3), "{answer}");
            house.visit(&mut memory, Disposition::Leave).await.unwrap();
            assert_eq!(asked.load(Ordering::Relaxed), tries.min(3), "not so soon");
            let backlog = &mut memory.folder(b"INBOX").backlog;
            assert_eq!(backlog.kind(1) == Some(Kind::Report), tries < 3, "{answer}");
            if let Some(BacklogState::Report(report)) = backlog.get(1).cloned() {
                let report = PendingReport { asked: None, ..*report };
                backlog.set(1, BacklogState::Report(Box::new(report)));
            }
        }
        assert_eq!(house.uids(), [1]);
    }
}

#[tokio::test]
async fn what_is_cut_is_not_searched_for_its_end() {
    let house = House::new().await;
    house.insert(FOREIGN);
    // To this server a bare line feed ends no header, and so anybody may write it.
    let alter = |proper: Vec<u8>| {
        let text = String::from_utf8_lossy(&proper).into_owned();
        let tag = text.lines().last().and_then(|line| line.split(' ').next()).unwrap();
        let header = format!("Subject: a\n\n )\n{}\r\n\r\n", "x".repeat(70_000));
        let size = header.len();
        format!("* 1 FETCH (UID 1 BODY[HEADER] {{{size}}}\r\n{header})\r\n{tag} OK done\r\n")
            .into_bytes()
    };
    house.server.faults().on("UID FETCH", Fault::Alter(Alteration::new(alter)));
    let mut memory = Memory::default();
    house.visit(&mut memory, Disposition::Leave).await.unwrap();
    assert!(memory.take_remarks().is_empty());
}

#[tokio::test]
async fn a_marked_mail_of_somebody_else_breaks_no_more_than_two_sessions() {
    let house = House::new().await;
    house.server.faults().leave_out("UIDPLUS");
    house.insert(FOREIGN);
    let mut session = house.open().await.unwrap();
    session.imap.select(b"INBOX").await.unwrap();
    session.imap.mark_deleted(&[1]).await.unwrap();
    session.close().await;
    let token = Token::random();
    house.insert(&marked(token));
    let asked = house.answer_of(1, "* BYE internal error\r\n");
    let mut memory = Memory::default();
    for visit in 1..=4 {
        let failure = house.visit(&mut memory, Disposition::Remove(token)).await.unwrap_err();
        let reason = if visit < 3 { Reason::Closed } else { Reason::Marked };
        assert_eq!(failure.reason, reason, "{failure}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    assert_eq!(house.uids(), [1, 2], "nobody's mail is taken out");
}
