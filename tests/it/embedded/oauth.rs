//! Logins by access token: a token endpoint of the tests' own over TLS, and the embedded servers, for
//! which the token of an account is its password.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ledger::{Reason, Step};
use mail::net::tls::TlsClients;
use mail::oauth::Tokens;
use mail::wire::ConnectionContext;
use mailtrip_exporter::config::{Config, Target};
use mailtrip_exporter::store::Store;
use tempfile::TempDir;
use testserver::{Certificate, Options, Protocol, ServerTls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_openssl::SslStream;

use crate::support::logins::{receive_with, send_with};
use crate::support::{LINE_MAILBOXES, TargetText, Trust, USER, World, only, quoted};

const BEARER: &[&str] = &["XOAUTH2", "OAUTHBEARER"];
const SECRET: &str = "s3cret of the client+/=";
const REFRESH: &str = "refresh-as-written-0123456789";

/// What the endpoint does with one request.
#[derive(Clone)]
enum Reply {
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// Nothing, until the client leaves.
    Silence,
    /// These bytes, as soon as there is a permit.
    Held(Arc<Semaphore>, Vec<u8>),
}

/// A token endpoint that answers as it was told, the last answer again and again.
pub(crate) struct Provider {
    port: u16,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    forms: Arc<Mutex<Vec<String>>>,
    files: TempDir,
    ca_file: String,
}

impl Provider {
    pub(crate) async fn start(trust: &Trust, certificate: Certificate) -> Self {
        let tls = trust.authority.server(certificate).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("secret"), format!("{SECRET}\n")).unwrap();
        std::fs::write(files.path().join("refresh"), format!("{REFRESH}\n")).unwrap();
        let provider = Self {
            port: listener.local_addr().unwrap().port(),
            replies: Arc::default(),
            forms: Arc::default(),
            files,
            ca_file: trust.ca_file(),
        };
        let (replies, forms) = (provider.replies.clone(), provider.forms.clone());
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve(tcp, tls.clone(), replies.clone(), forms.clone()));
            }
        });
        provider
    }

    fn replies(&self, replies: &[Reply]) {
        *self.replies.lock().unwrap() = replies.iter().cloned().collect();
    }

    /// Gives this token from now on.
    pub(crate) fn gives(&self, token: &str) {
        self.replies(&[json(200, &format!(r#"{{"access_token":"{token}","expires_in":3600}}"#))]);
    }

    /// What it was asked, oldest first.
    pub(crate) fn forms(&self) -> Vec<String> {
        self.forms.lock().unwrap().clone()
    }

    /// Changes the file of the client's secret.
    fn set_secret(&self, secret: &str) {
        std::fs::write(self.files.path().join("secret"), secret).unwrap();
    }

    /// The value of `oauth2`.
    pub(crate) fn yaml(&self, with_refresh_token: bool) -> String {
        let file = |name| quoted(&self.files.path().join(name).display().to_string());
        let refresh = match with_refresh_token {
            true => format!(", refresh_token_file: {}", file("refresh")),
            false => String::new(),
        };
        format!(
            "{{token_url: 'https://localhost:{}/tenant/token?v=2', client_id: the-client, \
             client_secret_file: {}, scope: 'https://mail.example.test/.default', ca_file: \
             {}{refresh}}}",
            self.port,
            file("secret"),
            quoted(&self.ca_file),
        )
    }

    fn target(&self, world: &World, with_refresh_token: bool) -> Arc<Target> {
        let oauth2 = self.yaml(with_refresh_token);
        let text: TargetText = world
            .target("a")
            .set("timeout", "2s")
            .set("send.username", USER)
            .set("send.oauth2", &oauth2)
            .set("receive.oauth2", &oauth2)
            .unset("receive.password");
        only(text)
    }
}

async fn serve(
    tcp: TcpStream,
    tls: ServerTls,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    forms: Arc<Mutex<Vec<String>>>,
) -> Option<()> {
    let mut stream = SslStream::new(tls.session().ok()?, tcp).ok()?;
    Pin::new(&mut stream).accept().await.ok()?;
    let mut request = Vec::new();
    let form = loop {
        stream.read_buf(&mut request).await.ok().filter(|count| *count > 0)?;
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
        if body.len() >= length.parse().ok()? {
            assert!(head.starts_with("POST /tenant/token?v=2 HTTP/1.1"), "{head}");
            break body.to_owned();
        }
    };
    forms.lock().unwrap().push(form);
    let reply = {
        let mut replies = replies.lock().unwrap();
        let first = replies.front().cloned()?;
        if replies.len() > 1 {
            replies.pop_front();
        }
        first
    };
    let bytes = match reply {
        Reply::Bytes(bytes) => bytes,
        Reply::Held(gate, bytes) => gate.acquire().await.ok().map(|_| bytes)?,
        Reply::Silence => return stream.read_buf(&mut request).await.ok().map(drop),
    };
    stream.write_all(&bytes).await.ok()?;
    stream.shutdown().await.ok()
}

fn http(status: u16, head: &str, body: &str) -> Reply {
    let length = body.len();
    let text = format!("HTTP/1.1 {status} x\r\n{head}content-length: {length}\r\n\r\n{body}");
    Reply::Bytes(text.into_bytes())
}

fn json(status: u16, body: &str) -> Reply {
    http(status, "content-type: application/json\r\n", body)
}

/// Servers whose accounts have this token.
async fn worlds(token: &str, mechanisms: &'static [&'static str]) -> [World; 2] {
    let [imap, pop3] = LINE_MAILBOXES.map(|protocol: Protocol| async move {
        let options = || Options::new().mechanisms(mechanisms);
        World::with(protocol, options(), options()).await
    });
    let worlds = [imap.await, pop3.await];
    set_token(&worlds, token);
    worlds
}

fn set_token(worlds: &[World; 2], token: &str) {
    for world in worlds {
        world.post.set_password(USER, token);
    }
}

#[tokio::test]
async fn one_token_lets_in_to_every_server_and_is_asked_for_once() {
    for mechanism in BEARER {
        let trust = Trust::new();
        let provider = Provider::start(&trust, Certificate::Good).await;
        provider.gives("first-token-0123456789");
        let worlds = worlds("first-token-0123456789", std::slice::from_ref(mechanism)).await;
        let [imap, pop3] = worlds.each_ref().map(|world| provider.target(world, false));
        let clients = ConnectionContext::default();
        // At the same time: whoever comes second waits for the answer to the first.
        let (send, imap, pop3) = tokio::join!(
            send_with(&imap.send, &clients),
            receive_with(imap.receive.as_ref().unwrap(), &clients),
            receive_with(pop3.receive.as_ref().unwrap(), &clients),
        );
        for (outcome, transcript) in [send, imap, pop3] {
            assert_eq!(outcome, Ok(()), "{mechanism}: {transcript}");
            assert!(transcript.contains(mechanism), "{transcript}");
            assert!(!transcript.contains("first-token"), "{transcript}");
        }
        let forms = provider.forms();
        assert_eq!(forms.len(), 1, "{forms:?}");
        assert_eq!(
            forms[0],
            "grant_type=client_credentials&client_id=the-client&client_secret=s3cret+of+the+client\
             %2B%2F%3D&scope=https%3A%2F%2Fmail.example.test%2F.default"
        );
    }
}

#[tokio::test]
async fn a_token_too_long_for_a_command_goes_in_a_line_of_its_own() {
    let trust = Trust::new();
    let provider = Provider::start(&trust, Certificate::Good).await;
    // RFC 5321 section 4.5.3.1.4: 512 bytes with the end of the line.
    for (length, is_within) in [(348, true), (349, false), (3000, false)] {
        let token = "t".repeat(length);
        let worlds = worlds(&token, &["XOAUTH2"]).await;
        provider.gives(&token);
        let target = provider.target(&worlds[0], false);
        let (outcome, transcript) = send_with(&target.send, &ConnectionContext::default()).await;
        assert_eq!(outcome, Ok(()), "{length}: {transcript}");
        assert_eq!(transcript.contains("> AUTH XOAUTH2 <secret>\n"), is_within, "{transcript}");
        let said = worlds[0].smtp.sessions().remove(0).received;
        let command =
            said.split_inclusive(|byte| *byte == b'\n').find(|line| line.starts_with(b"AUTH"));
        assert!(command.unwrap().len() <= 512, "{length}: {transcript}");
    }
}

#[tokio::test]
async fn a_kept_token_that_is_refused_is_renewed_once() {
    let trust = Trust::new();
    let provider = Provider::start(&trust, Certificate::Good).await;
    provider.gives("old-token-0123456789");
    let worlds = worlds("old-token-0123456789", BEARER).await;
    let clients = ConnectionContext::default();
    let [imap, pop3] = worlds.each_ref().map(|world| provider.target(world, false));
    assert_eq!(receive_with(imap.receive.as_ref().unwrap(), &clients).await.0, Ok(()));
    for side in [&imap, &pop3] {
        let token = format!("new-token-{}", provider.forms().len());
        set_token(&worlds, &token);
        provider.gives(&token);
        let before = provider.forms().len();
        let (outcome, transcript) = receive_with(side.receive.as_ref().unwrap(), &clients).await;
        assert_eq!(outcome, Ok(()), "{transcript}");
        assert_eq!(provider.forms().len(), before + 1);
    }
    // A new token that is refused as well is not renewed once more.
    provider.gives("useless-token-0123456789");
    set_token(&worlds, "another");
    let before = provider.forms().len();
    let (outcome, transcript) = send_with(&imap.send, &clients).await;
    let failure = outcome.unwrap_err();
    assert_eq!((failure.step, failure.reason), (Step::Auth, Reason::Auth), "{transcript}");
    assert!(failure.message.contains(r#"{"status":"401","schemes":"bearer""#), "{failure}");
    assert_eq!(provider.forms().len(), before + 1);
    assert!(!transcript.contains("useless-token"), "{transcript}");
}

#[tokio::test]
async fn a_token_is_kept_until_shortly_before_it_expires() {
    let trust = Trust::new();
    let provider = Provider::start(&trust, Certificate::Good).await;
    let worlds = worlds("token-0123456789", BEARER).await;
    let target = provider.target(&worlds[0], false);
    for (expires_in, asked) in [(r#""3600""#, 1), ("3600", 1), ("0", 2), ("-5", 1)] {
        let clients = ConnectionContext::default();
        let body = format!(r#"{{"access_token":"token-0123456789","expires_in":{expires_in}}}"#);
        provider.replies(&[json(200, &body)]);
        let before = provider.forms().len();
        for _ in 0..2 {
            assert_eq!(send_with(&target.send, &clients).await.0, Ok(()));
        }
        assert_eq!(provider.forms().len() - before, asked, "{expires_in}");
    }
}

#[tokio::test]
async fn what_the_endpoint_answers_decides_the_reason() {
    let trust = Trust::new();
    let provider = Provider::start(&trust, Certificate::Good).await;
    let worlds = worlds("token-0123456789", BEARER).await;
    let target = provider.target(&worlds[0], true);
    let echo = format!(
        r#"{{"error":"invalid_client","error_description":"not {SECRET}\u001b[31m\nnor {REFRESH}"}}"#
    );
    let huge = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(100_000));
    let redirect = http(302, "location: https://localhost/elsewhere\r\n", "");
    for (reply, reason, words) in [
        (json(401, &echo), Reason::Auth, "invalid_client: not <secret>"),
        (json(400, r#"{"error":"invalid_grant"}"#), Reason::Auth, "invalid_grant"),
        (json(200, r#"{"error":"invalid_grant"}"#), Reason::Auth, "invalid_grant"),
        (json(400, r#"{"error":"invalid_scope"}"#), Reason::Rejected, "invalid_scope"),
        (json(429, "{}"), Reason::Deferred, "429"),
        (http(503, "", "<html>busy</html>"), Reason::Deferred, "503"),
        (http(404, "", "<html>nothing</html>"), Reason::Rejected, "404"),
        (redirect, Reason::Protocol, "redirects are not followed"),
        (http(200, "", "<html>log in</html>"), Reason::Protocol, "not the JSON of a token"),
        (json(200, r#"{"token_type":"Bearer"}"#), Reason::Protocol, "no access token"),
        (json(200, r#"{"access_token":"a\r\nb"}"#), Reason::Protocol, "no access token"),
        (json(200, r#"{"access_token":"a","token_type":"mac"}"#), Reason::Protocol, "bearer"),
        (json(200, &huge), Reason::Protocol, "more than 65536 bytes"),
        (Reply::Bytes(b"SSH-2.0-x\r\n".to_vec()), Reason::Protocol, "cannot be read"),
        (Reply::Bytes(Vec::new()), Reason::Closed, "cannot be read"),
        (Reply::Silence, Reason::Timeout, "in time"),
    ] {
        provider.replies(&[reply]);
        let before = provider.forms().len();
        let (outcome, transcript) = send_with(&target.send, &ConnectionContext::default()).await;
        let failure = outcome.unwrap_err();
        let what = (failure.step, failure.reason, failure.down);
        assert_eq!(what, (Step::Token, reason, false), "{failure}");
        assert!(failure.message.contains(words), "{words}: {failure}");
        assert!(failure.message.contains("localhost"), "{failure}");
        assert!(!failure.message.contains('\u{1b}'), "{failure}");
        for secret in [SECRET, REFRESH] {
            assert!(!transcript.contains(secret) && !failure.message.contains(secret));
        }
        assert_eq!(provider.forms().len(), before + 1, "asked once: {failure}");
    }
}

#[tokio::test]
async fn a_secret_is_sent_to_no_endpoint_whose_certificate_does_not_hold() {
    let trust = Trust::new();
    let worlds = worlds("token-0123456789", BEARER).await;
    for (certificate, reason) in [
        (Certificate::Expired, Reason::CertificateExpired),
        (Certificate::SelfSigned, Reason::CertificateUntrusted),
        (Certificate::WrongName, Reason::CertificateName),
    ] {
        let provider = Provider::start(&trust, certificate).await;
        provider.gives("token-0123456789");
        let target = provider.target(&worlds[0], false);
        let (outcome, _) = send_with(&target.send, &ConnectionContext::default()).await;
        let failure = outcome.unwrap_err();
        assert_eq!((failure.step, failure.reason), (Step::Token, reason), "{failure}");
        assert!(provider.forms().is_empty());
    }
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_does_not_mean_that_the_mail_server_is_down() {
    let trust = Trust::new();
    let mut provider = Provider::start(&trust, Certificate::Good).await;
    let worlds = worlds("token-0123456789", BEARER).await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    provider.port = free.local_addr().unwrap().port();
    drop(free);
    let target = provider.target(&worlds[0], false);
    let failure = send_with(&target.send, &ConnectionContext::default()).await.0.unwrap_err();
    let what = (failure.step, failure.reason, failure.down);
    assert_eq!(what, (Step::Token, Reason::Refused, false), "{failure}");
}

fn rotating(token: &str, refresh: &str) -> Reply {
    let body =
        format!(r#"{{"access_token":"{token}","expires_in":0,"refresh_token":"{refresh}"}}"#);
    json(200, &body)
}

#[tokio::test]
async fn a_rotated_refresh_token_outlives_the_process_and_a_changed_file_wins() {
    let trust = Trust::new();
    let provider = Provider::start(&trust, Certificate::Good).await;
    let worlds = worlds("token-0123456789", BEARER).await;
    let target = provider.target(&worlds[0], true);
    provider.replies(&[
        rotating("token-0123456789", "second"),
        rotating("token-0123456789", "third"),
        rotating("token-0123456789", "fourth"),
        rotating("token-0123456789", "fifth"),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let clients = |store: Store| {
        let tokens = Tokens::new(Some(Arc::new(store)));
        ConnectionContext { tls: TlsClients::default(), tokens }
    };
    let first = clients(Store::open(&state).unwrap());
    for _ in 0..2 {
        assert_eq!(send_with(&target.send, &first).await.0, Ok(()));
    }
    // What a kill -9 leaves: the files as they are while the store is still open.
    let killed = folder.path().join("killed");
    std::fs::create_dir(&killed).unwrap();
    for file in ["mailtrip.db", "mailtrip.db-wal"] {
        std::fs::copy(state.join(file), killed.join(file)).unwrap();
    }
    drop(first);
    let second = clients(Store::open(&killed).unwrap());
    assert_eq!(send_with(&target.send, &second).await.0, Ok(()));
    std::fs::write(provider.files.path().join("refresh"), "written-anew").unwrap();
    let target = provider.target(&worlds[0], true);
    assert_eq!(send_with(&target.send, &second).await.0, Ok(()));
    let sent: Vec<String> =
        provider.forms().iter().map(|form| form.split('&').nth(1).unwrap().to_owned()).collect();
    let expected = [REFRESH, "second", "third", "written-anew"];
    assert_eq!(sent, expected.map(|token| format!("refresh_token={token}")));
}

#[tokio::test]
async fn neither_the_running_configuration_nor_debug_shows_a_secret() {
    let trust = Trust::new();
    let provider = Provider::start(&trust, Certificate::Good).await;
    let worlds = worlds("token-0123456789", BEARER).await;
    let target = provider.target(&worlds[0], true);
    let shown = format!("{target:?}");
    assert!(shown.contains("the-client") && !shown.contains(SECRET) && !shown.contains(REFRESH));
    let text = format!(
        "targets: [{{name: a, host: localhost, from: a@b.test, to: a@b.test, receive: {{protocol: \
         imap, username: u, oauth2: {}}}}}]",
        provider.yaml(true)
    );
    let config = Config::parse(&text, std::path::Path::new("mailtrip.yml")).unwrap();
    let yaml = config.to_yaml();
    assert!(yaml.contains("client_secret_file: <secret>"), "{yaml}");
    assert!(!yaml.contains(SECRET) && !yaml.contains(REFRESH), "{yaml}");
}

#[tokio::test(start_paused = true)]
async fn a_token_of_an_hour_is_renewed_five_minutes_before_its_end() {
    // The clock is paused: only the kept token counts, the sockets are real.
    tokio::time::resume();
    let trust = Trust::new();
    let provider = Provider::start(&trust, Certificate::Good).await;
    let worlds = worlds("token-0123456789", BEARER).await;
    let target = provider.target(&worlds[0], false);
    provider.gives("token-0123456789");
    let clients = ConnectionContext::default();
    let mut asked = Vec::new();
    for minutes in [0, 54, 2] {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(minutes * 60)).await;
        tokio::time::resume();
        assert_eq!(send_with(&target.send, &clients).await.0, Ok(()));
        asked.push(provider.forms().len());
    }
    assert_eq!(asked, [1, 1, 2]);
}

#[tokio::test]
async fn a_secret_of_the_client_that_changes_is_used_without_a_reload() {
    let trust = Trust::new();
    let provider = Provider::start(&trust, Certificate::Good).await;
    let worlds = worlds("a-token-0123456789", BEARER).await;
    let target = provider.target(&worlds[0], false);
    let clients = ConnectionContext::default();
    let asked_last = || provider.forms().pop().unwrap();
    provider.gives("a-token-0123456789");
    assert_eq!(send_with(&target.send, &clients).await.0, Ok(()));
    provider.set_secret("second-secret");
    // What the client was given as somebody else is not used any more.
    assert_eq!(send_with(&target.send, &clients).await.0, Ok(()));
    assert_eq!(provider.forms().len(), 2);
    assert!(asked_last().contains("client_secret=second-secret&"), "{}", asked_last());
    // The provider refuses the secret, and by then there is another.
    let (gate, invalid) = (Arc::new(Semaphore::new(0)), json(401, r#"{"error":"invalid_client"}"#));
    let Reply::Bytes(invalid) = invalid else { panic!() };
    let token = json(200, r#"{"access_token":"a-token-0123456789"}"#);
    provider.replies(&[Reply::Held(Arc::clone(&gate), invalid), token]);
    provider.set_secret("third-secret");
    let overtaken = async {
        while provider.forms().len() < 3 {
            tokio::task::yield_now().await;
        }
        provider.set_secret("fourth-secret");
        gate.add_permits(1);
    };
    let ((outcome, said), ()) = tokio::join!(send_with(&target.send, &clients), overtaken);
    assert_eq!(outcome, Ok(()), "{said}");
    assert_eq!(provider.forms().len(), 4);
    assert!(asked_last().contains("client_secret=fourth-secret&"), "{}", asked_last());
}

#[tokio::test]
async fn a_refresh_token_that_changes_takes_the_place_of_the_one_given_for_the_old() {
    let trust = Trust::new();
    let provider = Provider::start(&trust, Certificate::Good).await;
    let worlds = worlds("a-token-0123456789", BEARER).await;
    let target = provider.target(&worlds[0], true);
    let clients = ConnectionContext::default();
    provider.replies(&[json(
        200,
        r#"{"access_token":"a-token-0123456789","refresh_token":"given-in-its-place"}"#,
    )]);
    assert_eq!(send_with(&target.send, &clients).await.0, Ok(()));
    std::fs::write(provider.files.path().join("refresh"), "written-anew-0123").unwrap();
    assert_eq!(send_with(&target.send, &clients).await.0, Ok(()));
    let forms = provider.forms();
    assert!(forms[1].contains("refresh_token=written-anew-0123&"), "{forms:?}");
}
