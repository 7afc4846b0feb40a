//! Readings of a folder that are cut off.

use std::time::SystemTime;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::*;
use crate::config::Target;
use crate::probing::mailbox::backlog::BacklogState;
use crate::probing::mailbox::scripted::serve;
use crate::probing::mailbox::{Disposition, Found};
use ledger::Token;
use mail::imap::Selected;

/// What is said to a command that the mailbox does not answer by itself; `None`: it does.
type Otherwise = Box<dyn FnMut(&str) -> Option<Answer> + Send>;

enum Answer {
    /// Lines before the tagged one.
    Lines(String),
    /// Lines, and then nothing more.
    Hang(String),
}

/// A folder with the mails 1 to `newest`, each of which names its UID as its token.
fn mailbox(newest: u32, mut otherwise: Otherwise) -> impl FnMut(&str) -> String + Send {
    let mut hangs = false;
    move |line| {
        let (tag, command) = line.split_once(' ').unwrap();
        // Another session.
        hangs &= !command.starts_with("CAPABILITY");
        if hangs {
            return String::new();
        }
        let lines = match otherwise(command) {
            Some(Answer::Lines(lines)) => lines,
            Some(Answer::Hang(lines)) => {
                hangs = true;
                return lines;
            }
            None => answer(command, newest),
        };
        format!("{lines}{tag} OK done\r\n")
    }
}

fn answer(command: &str, newest: u32) -> String {
    if command.starts_with("CAPABILITY") {
        return "* CAPABILITY IMAP4rev1\r\n".to_owned();
    }
    if command.starts_with("SELECT") {
        let next = newest + 1;
        return format!("* {newest} EXISTS\r\n* OK [UIDVALIDITY 1]\r\n* OK [UIDNEXT {next}]\r\n");
    }
    if let Some(what) = command.strip_prefix("UID SEARCH ") {
        let first = what.strip_prefix("UID ").map_or(1, |set| uids(set, newest)[0]);
        let found: Vec<String> = (first..=newest).map(|uid| uid.to_string()).collect();
        return format!("* SEARCH {}\r\n", found.join(" "));
    }
    let Some(rest) = command.strip_prefix("UID FETCH ") else { return String::new() };
    uids(rest, newest).into_iter().map(|uid| shown(uid, rest, true)).collect()
}

/// The UIDs of the one range or the one number that a command begins with.
fn uids(set: &str, newest: u32) -> Vec<u32> {
    let set = set.split(' ').next().unwrap();
    let number = |word: &str| if word == "*" { newest } else { word.parse().unwrap() };
    let (first, last) = set.split_once(':').unwrap_or((set, set));
    let (first, last) = (number(first), number(last));
    (first.min(last)..=first.max(last).min(newest)).collect()
}

fn shown(uid: u32, items: &str, has_fields: bool) -> String {
    let is_whole = items.contains("BODY.PEEK[HEADER]");
    let block = if is_whole || has_fields {
        format!("X-Mailtrip: v=1; token={uid:032x}; expires=2100-01-01T00:00:00Z\r\n\r\n")
    } else {
        "\r\n".to_owned()
    };
    let part = if is_whole { "BODY[HEADER]<0>" } else { "BODY[HEADER.FIELDS (X)]" };
    format!("* {uid} FETCH (UID {uid} {part} {{{}}}\r\n{block})\r\n", block.len())
}

/// How often each UID was judged.
#[derive(Default, Clone)]
struct Judged(Arc<Mutex<BTreeMap<u32, u32>>>);

impl Judged {
    fn take(&self) -> Vec<u32> {
        std::mem::take(&mut *self.0.lock().unwrap()).into_keys().collect()
    }

    /// A judge who leaves every mail, and notifies when one with this UID was judged.
    fn judge(&self, until: u32, reached: Arc<Notify>) -> impl FnMut(&Found) -> Disposition + Send {
        let judged = self.clone();
        move |found| {
            let token: Token = found.header.mark.unwrap().token;
            let uid = u32::from_str_radix(&token.to_string(), 16).unwrap();
            *judged.0.lock().unwrap().entry(uid).or_default() += 1;
            if uid == until {
                reached.notify_one();
            }
            Disposition::Leave
        }
    }
}

async fn open(target: &Target, dialer: &Dialer) -> Session {
    let folders = [Folder::Name("INBOX".to_owned())];
    let end = Instant::now() + Duration::from_secs(60);
    let login = &target.receive.as_ref().unwrap().login;
    Session::open(dialer, login, &folders, &[], Trace::new(None), end).await.unwrap()
}

fn since() -> Since {
    Since::all(SystemTime::now() - Duration::from_secs(60))
}

/// A look in a session of its own, to its end.
async fn look(target: &Target, dialer: &Dialer, memory: &mut Memory, judged: &Judged) -> Session {
    let mut judge = judged.judge(0, Arc::default());
    let mut session = open(target, dialer).await;
    session.look_everywhere(memory, since(), &mut judge).await.unwrap();
    session
}

/// The same, but dropped once the mail with this UID was judged.
async fn look_until(
    uid: u32,
    target: &Target,
    dialer: &Dialer,
    memory: &mut Memory,
    judged: &Judged,
) {
    let reached = Arc::new(Notify::new());
    let mut judge = judged.judge(uid, Arc::clone(&reached));
    let mut session = open(target, dialer).await;
    tokio::select! {
        biased;
        ended = session.look_everywhere(memory, since(), &mut judge) => panic!("{ended:?}"),
        () = reached.notified() => {}
    }
}

fn kept(memory: &Memory) -> u32 {
    memory.records(crate::clock::now()).next().unwrap().1.next_uid
}

/// Says these lines to the first command that begins so, and then nothing.
fn hang_once(at: &'static str, lines: String) -> Otherwise {
    let mut lines = Some(lines);
    Box::new(move |command| {
        let lines = command.starts_with(at).then(|| lines.take()).flatten()?;
        Some(Answer::Hang(lines))
    })
}

#[tokio::test]
async fn a_first_contact_that_is_cut_off_skips_no_older_mail_and_goes_on_where_it_was() {
    let hangs = hang_once("UID FETCH 1:50 ", shown(1, "", true));
    let (target, dialer) = serve("imap", "* OK hello\r\n", mailbox(150, hangs)).await;
    let (mut memory, judged) = (Memory::default(), Judged::default());
    look_until(1, &target, &dialer, &mut memory, &judged).await;
    assert_eq!(judged.take().len(), 101, "the newest hundred and one more");
    assert_eq!(kept(&memory), 0, "the next process begins anew");
    look(&target, &dialer, &mut memory, &judged).await;
    assert_eq!(judged.take(), (1..=50).collect::<Vec<_>>());
    assert_eq!(kept(&memory), 151);
}

#[test]
fn what_came_after_a_first_contact_that_was_cut_off_is_read_without_a_gap() {
    let mut progress = progress::Progress::default();
    assert_eq!(progress.begin_to_meet(&[9, 8, 7, 6, 5]), [9, 8, 7, 6, 5]);
    progress.have_met(&[9, 8]);
    assert_eq!(progress.begin_to_meet(&[12, 11, 10, 9, 8, 7, 6]), [10, 11, 12, 7, 6]);
    progress.have_met(&[10, 11]);
    assert_eq!(progress.begin_to_meet(&[12, 11, 10, 9, 8, 7, 6]), [12, 7, 6]);
    assert_eq!(progress.certain(13), 0);
    progress.end_meeting();
    assert_eq!(progress.certain(13), 13);
}

#[tokio::test]
async fn a_reading_of_new_mail_that_is_cut_off_skips_none_in_whatever_order_it_came() {
    let hangs = hang_once("UID FETCH 10:* ", shown(14, "", true));
    let (target, dialer) = serve("imap", "* OK hello\r\n", mailbox(14, hangs)).await;
    let (mut memory, judged) = (Memory::default(), Judged::default());
    let known = memory.folder(b"INBOX");
    known.meet(Selected { uid_validity: Some(1), uid_next: Some(10), exists: 9 }, true);
    known.next_uid = 10;
    look_until(14, &target, &dialer, &mut memory, &judged).await;
    assert_eq!((judged.take(), kept(&memory)), (vec![14], 10));
    look(&target, &dialer, &mut memory, &judged).await;
    assert_eq!((judged.take(), kept(&memory)), (vec![10, 11, 12, 13, 14], 15));
}

#[tokio::test]
async fn a_reading_that_is_cut_off_again_and_again_comes_to_an_end() {
    let mut first = hang_once("UID FETCH 1:* ", shown(250, "", true));
    let mut second = hang_once("UID FETCH 101:200 ", shown(101, "", true));
    let hangs: Otherwise = Box::new(move |command| first(command).or_else(|| second(command)));
    let (target, dialer) = serve("imap", "* OK hello\r\n", mailbox(250, hangs)).await;
    let (mut memory, judged) = (Memory::default(), Judged::default());
    let known = memory.folder(b"INBOX");
    known.meet(Selected { uid_validity: Some(1), uid_next: Some(1), exists: 0 }, true);
    known.next_uid = 1;
    look_until(250, &target, &dialer, &mut memory, &judged).await;
    assert_eq!((judged.take(), kept(&memory)), (vec![250], 1));
    look_until(101, &target, &dialer, &mut memory, &judged).await;
    assert_eq!((judged.take(), kept(&memory)), ((1..=101).collect(), 101));
    look(&target, &dialer, &mut memory, &judged).await;
    assert_eq!((judged.take(), kept(&memory)), ((101..=250).collect(), 251));
}

#[tokio::test]
async fn mail_that_is_told_of_while_others_are_searched_for_or_read_again_is_not_forgotten() {
    for (at, is_told) in
        [("UID SEARCH UID 3:*", true), ("UID FETCH 2 ", true), ("UID FETCH 3:", false)]
    {
        let mut is_first = true;
        let announces: Otherwise = Box::new(move |command| {
            let announces = command.starts_with(at) && std::mem::replace(&mut is_first, false);
            announces.then(|| Answer::Lines(format!("* 5 EXISTS\r\n{}", answer(command, 4))))
        });
        let (target, dialer) = serve("imap", "* OK hello\r\n", mailbox(4, announces)).await;
        let (mut memory, judged) = (Memory::default(), Judged::default());
        let known = memory.folder(b"INBOX");
        known.meet(Selected { uid_validity: Some(1), uid_next: Some(3), exists: 2 }, true);
        known.next_uid = 3;
        known.backlog.set(4, BacklogState::Broken);
        known.note_unread([1, 2].into_iter());
        let session = look(&target, &dialer, &mut memory, &judged).await;
        assert_eq!(judged.take(), [1, 2, 3], "{at}");
        assert_eq!(session.imap.pending_news().is_some(), is_told, "{at}");
    }
}

#[tokio::test]
async fn of_many_mails_none_is_skipped_by_a_server_that_shows_no_fields() {
    let shows_none: Otherwise = Box::new(|command| {
        let rest = command.strip_prefix("UID FETCH ")?;
        let lines = uids(rest, 250).into_iter().map(|uid| shown(uid, rest, false));
        Some(Answer::Lines(lines.collect()))
    });
    let (target, dialer) = serve("imap", "* OK hello\r\n", mailbox(250, shows_none)).await;
    let (mut memory, judged) = (Memory::default(), Judged::default());
    let known = memory.folder(b"INBOX");
    known.meet(Selected { uid_validity: Some(1), uid_next: Some(1), exists: 0 }, true);
    known.next_uid = 1;
    look(&target, &dialer, &mut memory, &judged).await;
    assert_eq!(judged.take(), (1..=250).collect::<Vec<_>>());
}
