use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::*;
use crate::config::Folder;
use mail::auth::Login;
use mail::options::{Endpoint, TlsMode};
use mail::trace::Trace;
use mail::wire::{ConnectionContext, Dialer};

/// A server of an account with an inbox and nothing in it.
struct Server {
    session: Session,
    memory: Memory,
    /// How often its events were asked for.
    asked: Arc<AtomicUsize>,
    /// Has it answer.
    gate: Arc<Notify>,
}

impl Server {
    /// To the question for its events it says this, once for each time that the gate is opened.
    async fn with_events(answer: &'static str) -> Self {
        Self::with_endless_events(answer, "").await
    }

    /// The same, and behind it this over and over.
    async fn with_endless_events(answer: &'static str, endless: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (count, opened) = (Arc::clone(&asked), Arc::clone(&gate));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (count, opened) = (Arc::clone(&count), Arc::clone(&opened));
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    while let Some((path, body)) = question(&mut stream).await {
                        let said = if path.starts_with("/events") {
                            count.fetch_add(1, Ordering::Relaxed);
                            opened.notified().await;
                            if !endless.is_empty() {
                                stream.write_all(answer.as_bytes()).await.unwrap();
                                let many = endless.repeat(1000);
                                while stream.write_all(many.as_bytes()).await.is_ok() {}
                                return;
                            }
                            answer.to_owned()
                        } else {
                            let json = json(&path, &body);
                            format!(
                                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{json}",
                                json.len()
                            )
                        };
                        stream.write_all(said.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        let login = Login::with_password("u", "pw");
        let endpoint = Endpoint::new("127.0.0.1", port, TlsMode::None);
        let dialer = Dialer::new(&endpoint, Some(&login), &ConnectionContext::default()).unwrap();
        let end = Instant::now() + Duration::from_secs(3600);
        let (folders, trace) = ([Folder::Name("INBOX".into())], Trace::new(Some(&login)));
        let session = Session::open(&dialer, &login, &folders, &[], trace, end).await.unwrap();
        let mut memory = Memory::default();
        memory.state = Some("5".to_owned());
        Self { session, memory, asked, gate }
    }

    /// A wait of this time.
    async fn wait(&mut self, time: Duration) -> Option<Instant> {
        self.session.wait(&mut self.memory, Instant::now() + time, &Notify::new()).await
    }

    fn can_wait(&self) -> bool {
        self.session.can_wait(&self.memory)
    }
}

/// The path and the body of what is asked next.
async fn question(stream: &mut BufReader<tokio::net::TcpStream>) -> Option<(String, String)> {
    let (mut path, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if path.is_empty() {
            path = line.split(' ').nth(1)?.to_owned();
        } else if let Some(count) = line.strip_prefix("Content-Length: ") {
            length = count.trim().parse().ok()?;
        } else if line == "\r\n" {
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.ok()?;
            return Some((path, String::from_utf8(body).ok()?));
        }
    }
}

fn json(path: &str, body: &str) -> &'static str {
    match path {
        "/api" if body.contains("Mailbox/get") => {
            r#"{"methodResponses":[["Mailbox/get",{"list":[{"id":"in","name":"Inbox","role":"inbox"}]},"0"]]}"#
        }
        "/api" => r#"{"methodResponses":[["error",{"type":"serverUnavailable"},"0"]]}"#,
        _ => {
            r#"{"apiUrl":"/api","eventSourceUrl":"/events?types={types}","accounts":{"u":{}},
                "primaryAccounts":{"urn:ietf:params:jmap:mail":"u"}}"#
        }
    }
}

const SHORT: Duration = Duration::from_millis(60);
const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_stream_is_opened_however_short_the_waits_are() {
    let mut server = Server::with_events("HTTP/1.1 200 OK\r\n\r\n").await;
    for _ in 0..5 {
        assert_eq!(server.wait(SHORT).await, None);
        assert!(server.can_wait(), "it is on its way");
        let interrupt = Notify::new();
        interrupt.notify_one();
        let until = Instant::now() + LONG;
        assert_eq!(server.session.wait(&mut server.memory, until, &interrupt).await, None);
    }
    server.gate.notify_one();
    assert!(server.wait(LONG).await.is_some(), "what came before it was open is looked for");
    assert_eq!(server.asked.load(Ordering::Relaxed), 1);
    assert_eq!(server.wait(SHORT).await, None, "there is nothing new");
}

#[tokio::test]
async fn a_stream_that_fails_is_tried_again() {
    let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    let mut server = Server::with_events(busy).await;
    for asked in 1..4 {
        server.gate.notify_one();
        assert_eq!(server.wait(LONG).await, None);
        assert_eq!(server.asked.load(Ordering::Relaxed), asked);
        assert!(!server.can_wait(), "not at once");
        let again = server.memory.hearing.not_before.unwrap();
        assert!(again <= Instant::now() + PAUSE * 4, "{again:?}");
        server.memory.hearing.not_before = Some(Instant::now());
        assert!(server.can_wait());
    }
    assert!(server.session.trace().transcript().contains("HTTP 503"));
}

#[tokio::test]
async fn a_server_without_events_is_asked_again_by_the_next_check() {
    let none = "HTTP/1.1 204 No Content\r\n\r\n";
    let mut server = Server::with_events(none).await;
    server.gate.notify_one();
    assert_eq!(server.wait(LONG).await, None);
    assert_eq!((server.can_wait(), server.memory.hearing.not_before), (false, None));
    server.memory.hearing.is_tried_again();
    assert!(server.can_wait());
}

#[test]
fn a_stream_that_stood_is_opened_again_soon() {
    let mut hearing = Hearing::default();
    let mut pauses = Vec::new();
    for stood in [0, 0, 0, 60, 60, 0] {
        hearing.failed(Duration::from_secs(stood));
        pauses.push(hearing.pause.as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 1, 1, 2]);
    (0..20).for_each(|_| hearing.failed(Duration::ZERO));
    assert_eq!(hearing.pause, LONGEST_PAUSE);
}

macro_rules! events {
    ($($changed:literal),*) => {
        concat!("HTTP/1.1 200 OK\r\n\r\n",
            $("event: state\ndata: {\"changed\":{\"u\":{", $changed, "}}}\n\n"),*)
    };
}

/// The state 5 is known.
#[tokio::test]
async fn what_was_told_before_the_newest_event_is_no_news() {
    let old = events!(r#""Email":"3""#, r#""Email":"4""#, r#""Email":"5""#);
    let news = events!(r#""Email":"5""#, r#""Email":"6""#, r#""Email":"7""#);
    for (answer, told) in [(old, None), (news, Some("7"))] {
        let mut server = Server::with_events(answer).await;
        server.gate.notify_one();
        assert!(server.wait(LONG).await.is_some());
        let announced = server.wait(if told.is_some() { LONG } else { SHORT }).await;
        assert_eq!(announced.is_some(), told.is_some(), "{answer}");
        let state = server.session.listening.take_told(announced);
        assert_eq!(state.as_ref().map(|(state, _)| state.as_str()), told);
        assert_eq!(server.wait(SHORT).await, None, "all of it at once");
    }
}

#[tokio::test]
async fn where_the_server_tells_of_mail_that_comes_in_nothing_else_is_news() {
    let marked = events!(r#""Email":"6""#);
    let came = events!(r#""Email":"6","EmailDelivery":"2""#);
    for (answer, tells_deliveries, is_news) in
        [(marked, false, true), (marked, true, false), (came, false, true), (came, true, true)]
    {
        let mut server = Server::with_events(answer).await;
        server.memory.hearing.tells_deliveries = tells_deliveries;
        server.gate.notify_one();
        assert!(server.wait(LONG).await.is_some());
        let announced = server.wait(if is_news { LONG } else { SHORT }).await;
        assert_eq!(announced.is_some(), is_news, "{answer}");
        let knows = tells_deliveries || answer == came;
        assert_eq!(server.memory.hearing.tells_deliveries, knows);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_without_end_that_are_no_news_end_the_wait_and_not_the_stream() {
    let ping = "event: ping\ndata: {}\n\n";
    let known = "event: state\ndata: {\"changed\":{\"u\":{\"Email\":\"5\"}}}\n\n";
    let news = events!(r#""Email":"6""#);
    for (answer, endless, is_news) in [(events!(), known, false), (news, ping, true)] {
        let mut server = Server::with_endless_events(answer, endless).await;
        server.gate.notify_one();
        assert!(server.wait(LONG).await.is_some());
        let wait = server.wait(if is_news { LONG } else { SHORT });
        let waited = tokio::time::timeout(LONG * 2, wait).await;
        assert_eq!(waited.expect(endless).is_some(), is_news, "{endless}");
        assert!(matches!(server.session.listening.stream, Stream::Open(..)), "{endless}");
    }
}
