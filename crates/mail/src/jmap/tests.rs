use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::auth::{Auth, Mechanism};
use crate::fuzz::script::{Script, TURN};
use crate::options::{Endpoint, TlsMode};
use crate::wire::ConnectionContext;

const RESOURCE: &str = r#"{"apiUrl":"/api","eventSourceUrl":"/events","downloadUrl":"/blob/{blobId}",
    "primaryAccounts":{"urn:ietf:params:jmap:mail":"u"}}"#;

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn replies(replies: &str) -> String {
    http("200 OK", &format!(r#"{{"methodResponses":[{replies}]}}"#))
}

/// A server that says one of these after each question.
fn script(answers: &[String]) -> Script {
    let turn = char::from(TURN).to_string();
    let said: Vec<String> = answers.iter().map(|answer| format!("{turn}{answer}")).collect();
    Script::new(said.concat().as_bytes(), usize::MAX)
}

fn dialer(login: &Login, script: &Script) -> Dialer {
    let endpoint = Endpoint::new("127.0.0.1", 80, TlsMode::None);
    let dialer = Dialer::new(&endpoint, Some(login), &ConnectionContext::default()).unwrap();
    dialer.playing(script.clone())
}

async fn open(login: &Login, script: &Script) -> Result<Jmap, Failure> {
    let end = Instant::now() + Duration::from_secs(60);
    Jmap::open(&dialer(login, script), login, Trace::new(Some(login)), end).await
}

/// A session with a server that says these one after the other, behind its resource.
async fn session(answers: &[String]) -> (Jmap, Script) {
    let resource = http("200 OK", RESOURCE);
    let said: Vec<String> = std::iter::once(resource).chain(answers.iter().cloned()).collect();
    let script = script(&said);
    let jmap = open(&Login::with_password("u", "pw"), &script).await.unwrap();
    (jmap, script)
}

fn heard(script: &Script) -> String {
    String::from_utf8(script.heard()).unwrap()
}

fn id(text: &str) -> EmailId {
    EmailId::read(text).unwrap()
}

fn found(state: &str, ids: &str, more: &str) -> String {
    replies(&format!(
        r#"["Email/get",{{"state":"{state}","list":[]}},"0"],["Email/query",{{"ids":[{ids}]{more}}},"1"]"#
    ))
}

/// As Apache James, which takes no `inMailbox` in an operator, and gives fewer mails at once than it is asked for.
#[tokio::test]
async fn the_newest_mails_are_asked_for_mailbox_by_mailbox_and_page_by_page() {
    let (mut jmap, script) = session(&[
        found("7", r#""m3","m2""#, r#","limit":2"#),
        found("8", r#""m1""#, r#","limit":2"#),
        found("8", r#""m4","m2""#, ""),
    ])
    .await;
    let mailboxes = ["in".to_owned(), "junk".to_owned()];
    let newest = jmap.newest(&mailboxes, Some(SystemTime::UNIX_EPOCH), 500).await;
    let ids = ["m3", "m2", "m1", "m4"].map(id).to_vec();
    assert_eq!(
        newest.unwrap(),
        ("7".to_owned(), ids),
        "the state before all of them, and each once"
    );
    let heard = heard(&script);
    assert!(!heard.contains("operator"), "{heard}");

    let positions = heard.matches(r#""position":0"#).count();
    assert_eq!((positions, heard.matches(r#""position":2"#).count()), (2, 1), "{heard}");
}

#[tokio::test]
async fn no_more_than_the_most_is_asked_for() {
    let (mut jmap, script) =
        session(&[found("1", r#""m1""#, ""), found("1", r#""m1""#, r#","limit":1"#)]).await;
    let mailboxes = ["in".to_owned()];
    assert_eq!(jmap.newest(&mailboxes, None, 1).await.unwrap().1, [id("m1")]);
    assert_eq!(heard(&script).matches("Email/query").count(), 1);
    // The same page without end is no more mail.
    let answers = vec![found("1", r#""m1""#, r#","limit":1"#); 3];
    let (mut jmap, script) = session(&answers).await;
    assert_eq!(jmap.newest(&mailboxes, None, 500).await.unwrap().1, [id("m1")]);
    assert_eq!(heard(&script).matches("Email/query").count(), 2);
}

#[tokio::test]
async fn a_login_that_ends_in_the_middle_of_a_session_was_not_refused() {
    let (mut jmap, _) = session(&[http("401 Unauthorized", "")]).await;
    let Err(Interrupted::Broken(failure)) = jmap.mailboxes().await else { panic!("it goes on") };
    assert_eq!((failure.step, failure.reason), (Step::Select, Reason::Closed), "{failure}");
    assert!(failure.message.contains("HTTP 401"), "{failure}");
}

/// The same login is not made again before the next check.
#[tokio::test]
async fn a_login_without_rights_was_refused() {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let script = script(&[http(status, "")]);
        let failure = open(&Login::with_password("u", "pw"), &script).await.err().unwrap();
        assert_eq!(failure.step, Step::Auth);
        assert!(failure.is_refused_login(), "{failure}");
        assert!(failure.message.contains("the login as u was refused"), "{failure}");
    }
}

#[tokio::test]
async fn a_token_is_no_line_of_the_head() {
    for token in ["a\r\nX-Evil: b", "a b", "", "\u{e4}"] {
        let auth = Auth::Only(Mechanism::OAuthBearer);
        let login = Login { auth, ..Login::with_password("u", token) };
        let script = script(&[http("200 OK", RESOURCE)]);
        let failure = open(&login, &script).await.err().unwrap();
        assert!(failure.is_refused_login(), "{failure}");
        assert_eq!(heard(&script), "", "nothing was sent");
    }
}

#[tokio::test]
async fn a_redirect_is_followed_from_where_it_was_given_and_shows_no_secret() {
    let redirect = "HTTP/1.1 307 Elsewhere\r\nLocation: ../jmap/session?key=secret\r\nContent-Length: 0\r\n\r\n";
    let script = script(&[redirect.to_owned(), http("200 OK", RESOURCE)]);
    let jmap = open(&Login::with_password("u", "pw"), &script).await.unwrap();
    assert!(heard(&script).contains("GET /jmap/session?key=secret HTTP/1.1\r\n"));
    assert!(!jmap.trace().transcript().contains("secret"), "{}", jmap.trace().transcript());
}

#[tokio::test]
async fn a_resource_that_is_too_long_is_called_so() {
    let script = script(&[http("200 OK", &format!("{{{}", " ".repeat(300 << 10)))]);
    let failure = open(&Login::with_password("u", "pw"), &script).await.err().unwrap();
    assert!(failure.message.contains("more than 262144 bytes"), "{failure}");
}

#[tokio::test]
async fn a_mail_is_asked_for_by_its_beginning_and_nothing_is_compressed() {
    let partial = "HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\n\r\nhi";
    let (mut jmap, script) = session(&[partial.to_owned()]).await;
    assert_eq!(jmap.beginning("b1").await.unwrap().unwrap(), b"hi");
    let heard = heard(&script);
    let question = heard.split("GET /blob/b1 ").nth(1).unwrap();
    assert!(question.contains("\r\nRange: bytes=0-65535\r\n"), "{question}");
    assert_eq!(heard.matches("\r\nAccept-Encoding: identity\r\n").count(), 2, "{heard}");
}

#[tokio::test]
async fn what_follows_a_head_without_end_is_no_body() {
    let fields = "X-Y: z\r\n".repeat(300);
    let answer = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n");
    let failure = open(&Login::with_password("u", "pw"), &script(&[answer])).await.err().unwrap();
    assert!(failure.message.contains("more than 200 lines"), "{failure}");
}

/// Each question is answered on a connection of its own.
#[tokio::test]
async fn the_steps_of_a_connection_are_those_of_the_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mailboxes = r#"{"methodResponses":[["Mailbox/get",{"list":[]},"0"]]}"#;
    tokio::spawn(async move {
        for body in [RESOURCE, mailboxes] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            assert!(stream.read(&mut asked).await.unwrap() > 0);
            let answer = http("200 OK", body).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let login = Login::with_password("u", "pw");
    let endpoint = Endpoint::new("127.0.0.1", port, TlsMode::None);
    let dialer = Dialer::new(&endpoint, Some(&login), &ConnectionContext::default()).unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    let mut jmap = Jmap::open(&dialer, &login, Trace::new(Some(&login)), end).await.unwrap();
    let connecting = |jmap: &Jmap| {
        let steps = jmap.trace().durations();
        let of_connection = [Step::Dns, Step::Connect, Step::Greeting];
        steps.into_iter().filter(|(step, _)| of_connection.contains(step)).collect::<Vec<_>>()
    };
    let before = connecting(&jmap);
    assert!(jmap.mailboxes().await.unwrap().is_empty());
    assert_eq!(connecting(&jmap), before);
}

/// A server whose resource and stream of events come over a connection each, which stay open: behind the head of the
/// stream it says this.
async fn events(said: &'static str) -> (Jmap, Events) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        for answer in [http("200 OK", RESOURCE), format!("HTTP/1.1 200 OK\r\n\r\n{said}")] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            assert!(stream.read(&mut asked).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
            held.push(stream);
        }
        std::future::pending::<()>().await;
    });
    let login = Login::with_password("u", "pw");
    let endpoint = Endpoint::new("127.0.0.1", port, TlsMode::None);
    let dialer = Dialer::new(&endpoint, Some(&login), &ConnectionContext::default()).unwrap();
    let end = Instant::now() + Duration::from_secs(3600);
    let jmap = Jmap::open(&dialer, &login, Trace::new(Some(&login)), end).await.unwrap();
    let events = jmap.events(end).await.unwrap();
    (jmap, events)
}

#[tokio::test]
async fn a_stream_without_a_sign_of_life_is_given_up() {
    for (said, silent_after) in [("", 180), ("event: ping\ndata: {\"interval\":30}\n\n", 90)] {
        let (_jmap, mut events) = events(said).await;
        let shortly = Instant::now() + Duration::from_millis(300);
        assert_eq!(events.next(shortly).await.unwrap(), None);
        tokio::time::pause();
        let began = Instant::now();
        let early = began + Duration::from_secs(silent_after - 10);
        assert_eq!(events.next(early).await.unwrap(), None);
        let failure = events.next(began + Duration::from_secs(600)).await.unwrap_err();
        assert_eq!(failure.reason, Reason::Timeout, "{failure}");
        assert!(began.elapsed() <= Duration::from_secs(silent_after), "{:?}", began.elapsed());
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_state_that_is_lost_is_told_from_a_question_that_is_refused() {
    let error = |kind: &str| {
        let error = format!(r#"["error",{{"type":"{kind}"}},"0"]"#);
        replies(&[error.as_str(); 3].join(","))
    };
    let (invalid, lost) = (error("invalidArguments"), error("cannotCalculateChanges"));
    let (mut jmap, _) = session(&[lost, invalid]).await;
    assert!(jmap.changes("7").await.unwrap().is_none());
    let failure = Failure::from(jmap.changes("7").await.unwrap_err());
    assert_eq!(failure.reason, Reason::Rejected, "{failure}");
}
