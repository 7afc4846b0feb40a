use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::Notify;

use super::*;
use crate::config::Target;
use crate::probing::mailbox::imap::NotRemoved;
use crate::probing::mailbox::scripted::{HANG_UP, serve};
use crate::probing::mailbox::{Disposition, Found, Inspector};
use ledger::{Clue, FoundIn, Reason, Step, Token};

mod again;
mod arriving;
mod removing;

const RESOURCE: &str = r#"{"apiUrl":"/api","eventSourceUrl":"/events","downloadUrl":"/blob/{blobId}",
    "primaryAccounts":{"urn:ietf:params:jmap:mail":"u"}}"#;
const MAILBOXES: &str = r#"["Mailbox/get",{"list":[{"id":"in","name":"Inbox","role":"inbox"},
    {"id":"junk","name":"Spam","role":"junk"}]},"0"]"#;

/// A server that answers each call by what `answer` makes of it (a whole answer of HTTP as it is), and nothing but 404 to
/// other questions than those for its resource.
fn server(
    mut answer: impl FnMut(&str) -> String + Send + 'static,
) -> impl FnMut(&str) -> String + Send {
    let mut question = String::new();
    move |line| {
        if line.starts_with('{') {
            let replies = answer(line);
            if replies == HANG_UP || replies.starts_with("HTTP/1.1") {
                return replies;
            }
            return http("200 OK", &format!(r#"{{"methodResponses":[{replies}]}}"#));
        }
        if line.is_empty() && question.starts_with("GET /.well-known/jmap") {
            question.clear();
            return http("200 OK", RESOURCE);
        }
        if line.is_empty() && question.starts_with("GET ") {
            let events = question.starts_with("GET /events").then(|| answer("events"));
            question.clear();
            return events.filter(|events| events.starts_with("event:")).map_or_else(
                || http("404 Not Found", ""),
                |it| format!("HTTP/1.1 200 OK\r\n\r\n{it}"),
            );
        }
        if line.ends_with(" HTTP/1.1") {
            line.clone_into(&mut question);
        }
        String::new()
    }
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn mail(id: &str, folder: &str, token: u128) -> String {
    format!(
        r#"{{"id":"{id}","blobId":"b{id}","mailboxIds":{{"{folder}":true}},"receivedAt":"2026-11-30T19:40:16Z",
        "header:X-Mailtrip:asRaw:all":[" v=1; token={token:032x}; expires=2020-01-01T00:00:00Z"]}}"#
    )
}

fn list(mails: &[String]) -> String {
    format!(r#"["Email/get",{{"state":"1","list":[{}]}},"x"]"#, mails.join(","))
}

fn newest(ids: &str) -> String {
    format!(r#"["Email/get",{{"state":"1","list":[]}},"0"],["Email/query",{{"ids":[{ids}]}},"1"]"#)
}

fn changes(ids: &str, state: &str, mails: &[String]) -> String {
    changed(ids, "", state, mails, &[])
}

fn changed(
    created: &str,
    updated: &str,
    state: &str,
    mails: &[String],
    places: &[String],
) -> String {
    let (mails, places) = (list(mails), list(places));
    format!("{},{mails},{places}", named(created, updated, state))
}

fn named(created: &str, updated: &str, state: &str) -> String {
    format!(
        r#"["Email/changes",{{"newState":"{state}","hasMoreChanges":false,"created":[{created}],"updated":[{updated}]}},"0"]"#
    )
}

/// What asks for the headers of this mail, and of no other.
fn alone(id: &str) -> String {
    format!(r#""ids":["{id}"]"#)
}

/// What was asked, and what of it has this in it.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<String>>>);

impl Log {
    fn note(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }

    fn with(&self, what: &str) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|line| line.contains(what)).cloned().collect()
    }
}

struct Reading {
    target: Arc<Target>,
    dialer: Dialer,
    copy_folders: Vec<Folder>,
    session: Session,
    memory: Memory,
    seen: Vec<(Option<Token>, FoundIn)>,
    /// When the look before was that did not have it, of each.
    before: Vec<Option<LineInstant>>,
}

impl Reading {
    async fn of(answer: impl FnMut(&str) -> String + Send + 'static) -> Self {
        Self::with_copies(&[], answer).await
    }

    async fn with_copies(
        copy_folders: &[Folder],
        answer: impl FnMut(&str) -> String + Send + 'static,
    ) -> Self {
        let (target, dialer) = serve("jmap", "", server(answer)).await;
        let copy_folders = copy_folders.to_vec();
        let session = open(&target, &dialer, &copy_folders).await;
        let (memory, seen, before) = (Memory::default(), Vec::new(), Vec::new());
        Self { target, dialer, copy_folders, session, memory, seen, before }
    }

    /// The session has ended; another one begins.
    async fn reopen(&mut self) {
        self.session = open(&self.target, &self.dialer, &self.copy_folders).await;
    }

    /// Time passes between two sessions.
    async fn reopen_after(&mut self, seconds: u64) {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
        self.reopen().await;
    }

    /// A look by a judge that takes every marked mail for one of ours.
    async fn look(&mut self, is_check: bool) -> Result<bool, Failure> {
        let (seen, before) = (&mut self.seen, &mut self.before);
        let mut judge = |found: &Found| {
            let token = found.header.mark.map(|mark| mark.token);
            seen.push((token, found.folder));
            before.push(found.previous_look);
            match token {
                Some(_) if found.is_copy => {
                    Disposition::LeftOver(SystemTime::now() + Duration::from_secs(600))
                }
                token => token.map_or(Disposition::Leave, Disposition::Remove),
            }
        };
        let since = Since::all(SystemTime::UNIX_EPOCH + Duration::from_secs(3600));
        self.session.look(&mut self.memory, None, is_check, since, &mut judge).await
    }

    async fn remove(&mut self) -> Result<(), NotRemoved> {
        self.session.remove(&mut self.memory, &Inspector::default()).await
    }

    fn tokens(&self) -> Vec<u128> {
        self.seen.iter().filter_map(|(token, _)| Some(number(*token.as_ref()?))).collect()
    }
}

async fn open(target: &Target, dialer: &Dialer, copy_folders: &[Folder]) -> Session {
    let receive = target.receive.as_ref().unwrap();
    let (end, login) = (Instant::now() + Duration::from_secs(60), &receive.login);
    let (folders, trace) = (receive.protocol.folders(), Trace::new(Some(login)));
    Session::open(dialer, login, folders, copy_folders, trace, end).await.unwrap()
}

fn number(token: Token) -> u128 {
    u128::from_str_radix(&token.to_string(), 16).unwrap()
}

#[tokio::test]
async fn a_mail_is_found_where_it_lies_once_and_taken_out() {
    let asked: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&asked);
    let mut reading = Reading::of(move |line| {
        log.lock().unwrap().push(line.to_owned());
        match line {
            _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
            _ if line.contains("Email/query") => newest(r#""m1","m2""#),
            _ if line.contains("Email/set") => format!(
                r#"["Email/set",{{"oldState":"2","newState":"3","destroyed":["m1","m3"]}},"0"],{}"#,
                list(&[])
            ),
            _ if line.contains(r#""sinceState":"1""#) => {
                // The first was only read, the second is none of those where is looked.
                changes(
                    r#""m1","m3","m4""#,
                    "2",
                    &[mail("m1", "in", 1), mail("m3", "junk", 3), mail("m4", "else", 4)],
                )
            }
            _ if line.contains(r#""sinceState":"2""#) => changes("", "3", &[]),
            _ => list(&[mail("m1", "in", 1), mail("m2", "in", 2).replace("X-Mailtrip", "Subject")]),
        }
    })
    .await;
    assert!(reading.look(true).await.unwrap());
    assert_eq!(reading.tokens(), [1]);
    assert!(reading.look(false).await.unwrap());
    assert_eq!(reading.tokens(), [1, 3], "the same mail is no second one");
    assert_eq!(reading.seen.last().unwrap().1, FoundIn::Junk);
    assert!(reading.session.has_to_remove(&reading.memory, false));
    reading.remove().await.unwrap();
    assert!(!reading.session.has_to_remove(&reading.memory, true));
    let removal = asked.lock().unwrap().iter().rfind(|line| line.contains("Email/set")).cloned();
    assert!(removal.unwrap().contains(r#""destroy":["m1","m3"]"#), "nothing but ours");
    reading.look(false).await.unwrap();
    assert_eq!(reading.tokens(), [1, 3]);
}

#[tokio::test]
async fn a_server_that_cannot_tell_what_has_changed_is_asked_for_the_newest() {
    for error in ["cannotCalculateChanges", "invalidArguments"] {
        let mut queries = 0;
        let mut reading = Reading::of(move |line| match line {
            _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
            _ if line.contains("Email/query") => {
                queries += 1;
                // Twice by each look: in either folder.
                newest(if queries <= 2 { "" } else { r#""m1""# })
            }
            _ if line.contains("Email/changes") => {
                let error = format!(r#"["error",{{"type":"{error}"}},"x"]"#);
                let times = if line.contains("Email/get") { 3 } else { 1 };
                vec![error; times].join(",")
            }
            _ => list(&[mail("m1", "in", 1)]),
        })
        .await;
        reading.look(false).await.unwrap();
        assert!(reading.seen.is_empty());
        reading.look(false).await.unwrap();
        assert_eq!(reading.tokens(), [1], "{error}");
    }
}

#[tokio::test]
async fn a_mail_at_which_the_server_fails_does_not_hide_the_others() {
    let mut reading = Reading::of(|line| match line {
        _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
        _ if line.contains("Email/query") => newest(r#""m1","m2""#),
        _ if line.contains(r#""ids":["m2"]"#) => list(&[mail("m2", "in", 2)]),
        _ => r#"["error",{"type":"serverFail"},"0"]"#.to_owned(),
    })
    .await;
    reading.look(true).await.unwrap();
    assert_eq!(reading.tokens(), [2]);
}

#[tokio::test]
async fn a_server_that_shows_none_of_its_mails_fails_the_check() {
    let mut reading = Reading::of(|line| match line {
        _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
        _ if line.contains("after") => newest(""),
        _ if line.contains("Email/query") => newest(r#""m1""#),
        _ => list(&[]),
    })
    .await;
    assert!(reading.look(false).await.is_ok());
    let failure = reading.look(true).await.unwrap_err();
    assert_eq!((failure.step, failure.reason), (Step::Fetch, Reason::Protocol));
}

#[tokio::test]
async fn a_mail_was_there_when_the_server_told_of_it_by_itself() {
    let event = |state: &str| {
        format!("event: state\ndata: {{\"changed\":{{\"u\":{{\"Email\":\"{state}\"}}}}}}\n\n")
    };
    let mut reading = Reading::of(move |line| match line {
        "events" => [event("1"), event("5")].concat(),
        _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
        _ if line.contains("Email/query") => newest(""),
        _ => changes(r#""m1""#, "5", &[mail("m1", "in", 1)]),
    })
    .await;
    reading.look(false).await.unwrap();
    let (until, interrupt) = (Instant::now() + Duration::from_secs(60), Notify::new());
    let opened = reading.session.wait(&mut reading.memory, until, &interrupt).await;
    assert!(opened.is_some(), "what came before the stream was open is looked for");
    let told = reading.session.wait(&mut reading.memory, until, &interrupt).await.unwrap();
    let mut shown = Vec::new();
    let mut judge = |found: &Found| {
        shown.push(found.shown_at);
        Disposition::Leave
    };
    let since = Since::all(SystemTime::now());
    reading.session.look(&mut reading.memory, Some(told), false, since, &mut judge).await.unwrap();
    assert_eq!(shown, [on_time_line(told)], "the state that was known is no news");
}

/// As where whole mails are on another server.
#[tokio::test]
async fn what_looks_like_a_report_and_cannot_be_read_may_be_an_answer() {
    let answer = mail("m1", "in", 7)
        .replace("X-Mailtrip", "Subject")
        .replace("v=1; token=", "Re: ")
        .replace(
            r#""receivedAt""#,
            r#""header:Return-Path:asRaw:all":[" <>"],"header:From:asRaw:all":[" anna@b.test"],
            "header:Content-Type:asRaw:all":[" multipart/mixed; boundary=b"],"receivedAt""#,
        );
    let mut reading = Reading::of(move |line| match line {
        _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
        _ if line.contains("Email/query") => newest(r#""m1""#),
        _ => list(std::slice::from_ref(&answer)),
    })
    .await;
    let mut answered = Vec::new();
    let mut judge = |found: &Found| {
        if found.header.is_delivery_report {
            return Disposition::ReadReport;
        }
        answered.push(found.header.answered(|_| true).map(number));
        Disposition::Leave
    };
    let (since, memory) = (Since::all(SystemTime::now()), &mut reading.memory);
    reading.session.look(memory, None, false, since, &mut judge).await.unwrap();
    assert_eq!(answered, [Some(7)]);
}

#[tokio::test]
async fn without_events_nobody_waits_in_vain_again() {
    let mut reading = Reading::of(|line| match line {
        _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
        _ => newest(""),
    })
    .await;
    assert!(reading.session.can_wait(&reading.memory));
    let until = Instant::now() + Duration::from_secs(60);
    let told = reading.session.wait(&mut reading.memory, until, &Notify::new()).await;
    assert_eq!(told, None);
    assert!(!reading.session.can_wait(&reading.memory));
    assert!(reading.session.trace().transcript().contains("looking without events"));
    reading.look(true).await.unwrap();
    assert!(reading.session.can_wait(&reading.memory), "a check tries it again");
}

/// How the login fails at a server that greets so, and answers so to each question.
async fn failure(greeting: &'static str, answer: &'static str) -> Failure {
    let script = move |line: &str| if line.is_empty() { answer.to_owned() } else { String::new() };
    let (target, dialer) = serve("jmap", greeting, script).await;
    let login = &target.receive.as_ref().unwrap().login;
    let end = Instant::now() + Duration::from_secs(10);
    Jmap::open(&dialer, login, Trace::new(Some(login)), end).await.err().unwrap()
}

#[tokio::test]
async fn a_server_that_is_not_the_right_one_is_told_from_others() {
    const CALLS: &str = "HTTP/1.1 200 OK\r\nContent-Length: 51\r\n\r\n\
                         {\"apiUrl\":\"https://b.test/api\",\"accounts\":{\"u\":{}}}";
    const REDIRECT: &str =
        "HTTP/1.1 301 Moved\r\nLocation: https://b.test/jmap\r\nContent-Length: 0\r\n\r\n";
    const NONE: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>";
    const REFUSAL: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
    let (protocol, elsewhere) = (Reason::Protocol, Some(Clue::Elsewhere));
    for (greeting, answer, reason, clue) in [
        ("", CALLS, protocol, elsewhere),
        ("", REDIRECT, protocol, elsewhere),
        ("", NONE, protocol, Some(Clue::NoJmap)),
        ("", PAGE, protocol, None),
        ("", REFUSAL, Reason::Auth, None),
        ("* OK ready\r\n", "", protocol, Some(Clue::OtherProtocol("IMAP"))),
        ("+OK ready\r\n", "", protocol, Some(Clue::OtherProtocol("POP3"))),
        ("220 mail.test ESMTP\r\n", "", protocol, Some(Clue::OtherProtocol("SMTP"))),
    ] {
        let failure = failure(greeting, answer).await;
        let found = (failure.step, failure.reason, failure.clue);
        assert_eq!(found, (Step::Auth, reason, clue), "{greeting}{answer}: {failure}");
    }
}
