//! A mailbox that is read by JMAP: where it is found, what is shown to it, and where nothing is shown.

use std::fs;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use mail::discovery::MailProtocol;
use mailtrip_exporter::init::Stop;
use serde_json::{Value, json};
use testserver::{Certificate, Post, Protocol};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_openssl::SslStream;

use super::{Announced, Bench, PASSWORD};

/// What an API takes: one word.
const TOKEN: &str = "fmu1-tr0ub4dor:3.x/y=";
const USER: &str = "rita@example.test";
const WELL_KNOWN: &str = "/.well-known/jmap";
/// That the domain has nothing else to read mail by.
const NO_OTHER: [Announced; 4] = [("_imaps", 0), ("_imap", 0), ("_pop3s", 0), ("_pop3", 0)];

/// What a request shows: the path, and the field Authorization.
type Asked = (String, Option<String>);

/// A server of JMAP over a mailbox of the post.
#[derive(Clone)]
struct Site {
    post: Post,
    /// Its fields WWW-Authenticate.
    ways: &'static str,
    /// What it takes in the field Authorization.
    key: String,
    /// Where it says that the calls are.
    api: String,
    /// Where it sends whoever asks for its session resource, if it does.
    redirect: Option<String>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// The newest UID that was seen.
    newest: Arc<Mutex<u32>>,
}

impl Site {
    fn new(bench: &Bench, ways: &'static str, key: &str) -> Self {
        Self {
            post: bench.post.clone(),
            ways,
            key: key.to_owned(),
            api: "/api".to_owned(),
            redirect: None,
            asked: Arc::default(),
            newest: Arc::default(),
        }
    }

    fn basic(password: &str) -> String {
        use base64::Engine as _;
        let pair = format!("{USER}:{password}");
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    }

    fn bearer() -> String {
        format!("Bearer {TOKEN}")
    }

    /// Serves it with this certificate, and gives its port.
    async fn start(&self, bench: &Bench, certificate: Certificate) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, tls) =
            (listener.local_addr().unwrap().port(), bench.authority.server(certificate).unwrap());
        let site = self.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let stream = SslStream::new(tls.session().unwrap(), socket).unwrap();
                tokio::spawn(site.clone().serve(stream));
            }
        });
        port
    }

    async fn serve(self, mut stream: SslStream<TcpStream>) -> Option<()> {
        Pin::new(&mut stream).accept().await.ok()?;
        let mut stream = BufReader::new(stream);
        loop {
            let (mut path, mut key, mut length) = (String::new(), None, 0);
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
                match line.trim_end().split_once(": ") {
                    Some(("Authorization", value)) => key = Some(value.to_owned()),
                    Some(("Content-Length", value)) => length = value.parse().unwrap(),
                    None if line.trim_end().is_empty() => break,
                    None => line.split(' ').nth(1)?.clone_into(&mut path),
                    Some(_) => {}
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.ok()?;
            let answer = self.answer(&path, key.as_deref(), &body);
            self.asked.lock().unwrap().push((path, key));
            stream.write_all(answer.as_bytes()).await.ok()?;
        }
    }

    fn answer(&self, path: &str, key: Option<&str>, body: &[u8]) -> String {
        if let Some(redirect) = self.redirect.as_ref().filter(|_| path == WELL_KNOWN) {
            return http("302 Found", &format!("Location: {redirect}\r\n"), "");
        }
        if key != Some(&self.key) {
            return http("401 Unauthorized", self.ways, "");
        }
        match path {
            WELL_KNOWN => {
                let accounts = json!({"urn:ietf:params:jmap:mail": "u"});
                let resource = json!({"apiUrl": self.api, "primaryAccounts": accounts});
                http("200 OK", "", &resource.to_string())
            }
            "/api" => {
                let request: Value = serde_json::from_slice(body).unwrap();
                let calls = request["methodCalls"].as_array().unwrap().iter();
                let replies: Vec<Value> = calls.map(|call| self.reply(call)).collect();
                http("200 OK", "", &json!({"methodResponses": replies}).to_string())
            }
            _ => http("404 Not Found", "", ""),
        }
    }

    fn reply(&self, call: &Value) -> Value {
        let (name, arguments) = (call[0].as_str().unwrap(), &call[1]);
        let mails = self.post.messages(USER, "INBOX");
        let mut newest = self.newest.lock().unwrap();
        let since = arguments["sinceState"].as_str().map_or(0, |it| it.parse().unwrap());
        *newest = mails.iter().map(|mail| mail.uid).chain([*newest]).max().unwrap();
        let state = newest.to_string();
        let ids = |since: u32| -> Vec<String> {
            let new = mails.iter().filter(|mail| mail.uid > since);
            new.map(|mail| mail.uid.to_string()).collect()
        };
        let reply = match name {
            "Mailbox/get" => json!({"list": [{"id": "in", "name": "Inbox", "role": "inbox"}]}),
            "Email/query" => json!({"ids": ids(0)}),
            "Email/changes" => {
                json!({"newState": state, "hasMoreChanges": false, "created": ids(since)})
            }
            "Email/set" => {
                self.post.clear(USER);
                json!({"oldState": state, "newState": state, "destroyed": arguments["destroy"]})
            }
            _ => {
                let is_of_changes = arguments["#ids"]["path"] == "/created";
                let is_asked = |uid: u32| {
                    let ids = arguments["ids"].as_array();
                    is_of_changes || ids.is_some_and(|ids| ids.contains(&json!(uid.to_string())))
                };
                let asked = mails.iter().filter(|mail| is_asked(mail.uid));
                let list: Vec<Value> = asked.map(|mail| shown(mail.uid, &mail.bytes)).collect();
                json!({"state": state, "list": list})
            }
        };
        json!([name, reply, call[2]])
    }

    /// The fields Authorization of the requests for a session resource.
    fn keys(&self) -> Vec<Option<String>> {
        let asked = self.asked.lock().unwrap();
        let logins = asked.iter().filter(|(path, _)| path == WELL_KNOWN);
        logins.map(|(_, key)| key.clone()).collect()
    }
}

fn http(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A mail as Email/get shows it, with the fields of its header.
fn shown(uid: u32, bytes: &[u8]) -> Value {
    let text = String::from_utf8_lossy(bytes);
    let header = text.split("\r\n\r\n").next().unwrap();
    let unfolded = header.replace("\r\n ", " ").replace("\r\n\t", " ");
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    let id = uid.to_string();
    let mut mail =
        json!({"id": id, "blobId": id, "mailboxIds": {"in": true}, "receivedAt": now, "size": 9});
    for line in unfolded.lines() {
        let (name, value) = line.split_once(':').unwrap();
        mail[format!("header:{name}:asRaw:all")] = json!([value]);
    }
    mail
}

/// A domain with a server for sending, and nothing to read mail by so far.
async fn bench() -> Bench {
    let mut bench = Bench::new(USER);
    bench.add("_submissions", Protocol::Smtp, Certificate::Good).await;
    bench
}

/// The same, whose mailbox is to be read by JMAP: nothing else is looked for.
async fn bench_for_jmap() -> Bench {
    Bench { protocol: Some(MailProtocol::Jmap), ..bench().await }
}

fn written(bench: &Bench) -> String {
    fs::read_to_string(bench.path().join("mailtrip.yml")).unwrap()
}

const BASIC: &str = "WWW-Authenticate: Basic realm=\"mail\"\r\n";
const BOTH: &str = "WWW-Authenticate: Basic realm=\"a\"\r\nWWW-Authenticate: Bearer\r\n";
const BEARER: &str = "WWW-Authenticate: Bearer realm=\"api\"\r\n";

#[tokio::test]
async fn a_mailbox_is_read_by_jmap_where_there_is_nothing_else() {
    let mut bench = bench().await;
    let site = Site::new(&bench, BASIC, &Site::basic(PASSWORD));
    let port = site.start(&bench, Certificate::Good).await;
    let announced = [&NO_OTHER[..], &[("_jmap", port)]].concat();
    let (outcome, shown) = bench.run_with(PASSWORD, &announced).await;
    assert_eq!(outcome, Ok(true), "{shown}");
    let text = written(&bench);
    let receive =
        format!("protocol: jmap\n      host: localhost\n      port: {port}\n      tls: implicit\n");
    assert!(text.contains(&receive) && text.contains("auth: plain"), "{text}");
    assert!(shown.contains("jmap localhost:"), "{shown}");
    // Nothing was shown before the certificate was judged, and a person has agreed.
    assert_eq!(site.keys()[..2], [None, Some(Site::basic(PASSWORD))]);
    assert_eq!(bench.post.messages(USER, "INBOX"), [], "the test mail is gone");
}

#[tokio::test]
async fn what_people_use_comes_before_jmap_unless_that_is_asked_for() {
    for (protocol, word) in [(None, "imap"), (Some(MailProtocol::Jmap), "jmap")] {
        let mut bench = Bench { protocol, ..Bench::usual(USER).await };
        let site = Site::new(&bench, BASIC, &Site::basic(PASSWORD));
        let port = site.start(&bench, Certificate::Good).await;
        let (outcome, shown) = bench.run_with(PASSWORD, &[("_jmap", port)]).await;
        assert_eq!(outcome, Ok(true), "{shown}");
        assert!(written(&bench).contains(&format!("protocol: {word}\n")), "{shown}");
        assert_eq!(site.keys().is_empty(), word == "imap", "{shown}");
        assert_eq!(bench.server("_imaps").sessions().is_empty(), word == "jmap", "{shown}");
    }
}

#[tokio::test]
async fn a_token_is_shown_where_it_is_not_taken_for_a_password() {
    for (ways, tried) in [
        (BOTH, vec![None, Some(Site::basic(TOKEN)), Some(Site::bearer())]),
        ("", vec![None, Some(Site::basic(TOKEN)), Some(Site::bearer())]),
        (BEARER, vec![None, Some(Site::bearer())]),
    ] {
        let mut bench = bench_for_jmap().await;
        bench.post.add_account(USER, TOKEN, &[USER]);
        let site = Site::new(&bench, ways, &Site::bearer());
        let port = site.start(&bench, Certificate::Good).await;
        let (outcome, shown) = bench.run_with(TOKEN, &[("_jmap", port)]).await;
        assert_eq!(outcome, Ok(true), "{shown}");
        assert!(written(&bench).contains("auth: oauthbearer"), "{shown}");
        assert_eq!(site.keys()[..tried.len()], tried[..], "{ways}");
        assert!(!shown.contains(TOKEN), "{shown}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_shown_twice_at_most_and_leaves_nothing() {
    for (ways, words) in [
        (BASIC, "for rita@example.test and as rita:"),
        (BOTH, "for rita@example.test and as rita@example.test, with a token:"),
        (BEARER, "for rita@example.test, with a token:"),
    ] {
        let mut bench = bench_for_jmap().await;
        let site = Site::new(&bench, ways, "nothing");
        let port = site.start(&bench, Certificate::Good).await;
        let (outcome, shown) = bench.run_with("not this one", &[("_jmap", port)]).await;
        let Err(Stop::Problem(problem)) = outcome else { panic!("{outcome:?}: {shown}") };
        assert!(problem.contains(words), "{problem}");
        assert!(site.keys().iter().flatten().count() <= 2, "{:?}", site.keys());
        assert!(!problem.contains("not this one") && !shown.contains("not this one"), "{shown}");
        assert_eq!(bench.files(), [""; 0]);
    }
}

#[tokio::test]
async fn a_server_of_jmap_whose_certificate_is_not_good_is_asked_nothing() {
    for certificate in [Certificate::SelfSigned, Certificate::WrongName] {
        let mut bench = bench_for_jmap().await;
        let site = Site::new(&bench, BASIC, &Site::basic(PASSWORD));
        let port = site.start(&bench, certificate).await;
        let (outcome, shown) = bench.run_with(PASSWORD, &[("_jmap", port)]).await;
        let Err(Stop::Problem(problem)) = outcome else { panic!("{outcome:?}: {shown}") };
        assert!(problem.contains("The certificate of localhost is not good"), "{problem}");
        assert_eq!(*site.asked.lock().unwrap(), []);
    }
}

#[tokio::test]
async fn where_a_server_sends_its_clients_is_written_if_it_is_near() {
    // By the session resource, after the login; by a redirect, before it.
    for is_redirect in [false, true] {
        let mut bench = bench_for_jmap().await;
        let there = Site::new(&bench, BASIC, &Site::basic(PASSWORD));
        let port = there.start(&bench, Certificate::Good).await;
        let url = format!("https://localhost:{port}");
        let mut here = Site::new(&bench, BASIC, &Site::basic(PASSWORD));
        match is_redirect {
            true => here.redirect = Some(format!("{url}{WELL_KNOWN}")),
            false => here.api = format!("{url}/api"),
        }
        let first = here.start(&bench, Certificate::Good).await;
        let (outcome, shown) = bench.run_with(PASSWORD, &[("_jmap", first)]).await;
        assert_eq!(outcome, Ok(true), "{shown}");
        assert!(written(&bench).contains(&format!("port: {port}\n")), "{shown}");
        assert!(shown.contains(&format!("sends its clients to localhost:{port}")), "{shown}");
        assert_eq!(here.keys().iter().flatten().count(), usize::from(!is_redirect));
        // It was asked without the password before it was shown that.
        assert_eq!(there.keys()[..2], [None, Some(Site::basic(PASSWORD))]);
    }
}

#[tokio::test]
async fn where_a_server_sends_its_clients_is_not_followed_to_strangers() {
    for is_redirect in [false, true] {
        let mut bench = bench_for_jmap().await;
        let mut site = Site::new(&bench, BASIC, &Site::basic(PASSWORD));
        match is_redirect {
            true => site.redirect = Some("https://jmap.evil.test/.well-known/jmap".to_owned()),
            false => site.api = "https://jmap.evil.test/api".to_owned(),
        }
        let port = site.start(&bench, Certificate::Good).await;
        let (outcome, shown) = bench.run_with(PASSWORD, &[("_jmap", port)]).await;
        let Err(Stop::Problem(problem)) = outcome else { panic!("{outcome:?}: {shown}") };
        for part in
            ["jmap.evil.test:443, which is neither of example.test", "`host: jmap.evil.test`"]
        {
            assert!(problem.contains(part), "{part}: {problem}");
        }
        assert_eq!(bench.files(), [""; 0]);
    }
}

#[tokio::test]
async fn two_servers_that_send_to_one_another_end_it() {
    let mut bench = bench_for_jmap().await;
    let mut there = Site::new(&bench, BASIC, &Site::basic(PASSWORD));
    there.api = "https://localhost:9/api".to_owned();
    let port = there.start(&bench, Certificate::Good).await;
    let mut here = Site::new(&bench, BASIC, &Site::basic(PASSWORD));
    here.api = format!("https://localhost:{port}/api");
    let first = here.start(&bench, Certificate::Good).await;
    let (outcome, shown) = bench.run_with(PASSWORD, &[("_jmap", first)]).await;
    assert!(matches!(outcome, Err(Stop::Problem(_))), "{outcome:?}: {shown}");
    assert_eq!(there.keys().iter().flatten().count(), 1);
    assert_eq!(bench.files(), [""; 0]);
}
