use std::time::{Duration, SystemTime};

use super::*;
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
    assert_eq!(newest.unwrap(), ("7".to_owned(), ids), "the state before all of them, and each once");
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
