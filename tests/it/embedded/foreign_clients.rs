//! Clients that others wrote, against the embedded servers: proof that these speak the protocols
//! and not only the dialect of our own clients. The last tests document the faults of async-imap
//! for which it is no part of the program; they fail on the day on which one is mended.

use std::fmt::Debug;
use std::process::{Output, Stdio};
use std::time::Duration;

use async_imap::extensions::idle::IdleResponse;
use async_imap::imap_proto::{MailboxDatum, Response, Status};
use async_imap::{Client, Session};
use futures_util::TryStreamExt;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use testserver::faults::Fault;
use testserver::{Authority, Certificate, Options, Post, Protocol, Server};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);
const PASSWORD: &str = "pa\"ss\\ wörd";
const MAIL: &str = "From: \"A. Nother\" <from@example.test>\r\nTo: to@example.test\r\n\
                    Subject: test\r\nMessage-ID: <1@example.test>\r\n\r\n.dot\r\nbody\r\n";

fn post() -> Post {
    let post = Post::new();
    post.add_account("rita", PASSWORD, &["to@example.test"]);
    post
}

/// A post office with this many mails in the inbox.
fn post_with(mails: usize) -> Post {
    let post = post();
    for _ in 0..mails {
        post.insert("rita", "INBOX", MAIL.as_bytes());
    }
    post
}

async fn server(protocol: Protocol, post: &Post, options: Options) -> Server {
    Server::start(protocol, post, options).await.expect("a free port")
}

// async-imap

async fn session<S>(mut client: Client<S>) -> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Debug + Send,
{
    client.read_response().await.expect("a greeting").expect("a greeting");
    client.login("rita", PASSWORD).await.map_err(|(error, _)| error).expect("a login")
}

async fn imap_session(server: &Server) -> Session<TcpStream> {
    let tcp = TcpStream::connect(server.address()).await.expect("the server listens");
    session(Client::new(tcp)).await
}

fn trusting(authority: &Authority) -> async_native_tls::TlsConnector {
    let pem = authority.ca_pem().expect("PEM");
    let root = async_native_tls::Certificate::from_pem(&pem).expect("a certificate");
    async_native_tls::TlsConnector::new().add_root_certificate(root)
}

/// SASL PLAIN as async-imap asks for it.
struct Plain;

impl async_imap::Authenticator for Plain {
    type Response = String;

    fn process(&mut self, _challenge: &[u8]) -> String {
        format!("\0rita\0{PASSWORD}")
    }
}

#[tokio::test]
async fn async_imap_reads_folders_and_messages() {
    let post = post_with(2);
    let imap = server(Protocol::Imap, &post, Options::new()).await;
    let mut session = imap_session(&imap).await;
    let capabilities = session.capabilities().await.expect("CAPABILITY");
    assert!(capabilities.has_str("UIDPLUS") && capabilities.has_str("IDLE"));
    session.id_nil().await.expect("ID").expect("a name");
    let names: Vec<_> =
        session.list(None, Some("*")).await.expect("LIST").try_collect().await.expect("LIST");
    let names: Vec<&str> = names.iter().map(|name| name.name()).collect();
    assert_eq!(names, ["INBOX", "Junk", "Trash"]);
    let status = session.status("INBOX", "(MESSAGES UIDNEXT UNSEEN)").await.expect("STATUS");
    assert_eq!((status.exists, status.uid_next), (2, Some(3)));
    let mailbox = session.examine("INBOX").await.expect("EXAMINE");
    assert_eq!((mailbox.exists, mailbox.uid_next), (2, Some(3)));
    session.select("inbox").await.expect("SELECT");
    let found = session.uid_search("HEADER Subject TEST").await.expect("UID SEARCH");
    assert_eq!(found, [1, 2].into());
    assert_eq!(session.search("UNSEEN").await.expect("SEARCH").len(), 2);
    let items = "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY.PEEK[])";
    let fetched: Vec<_> =
        session.uid_fetch("2:*", items).await.expect("FETCH").try_collect().await.expect("FETCH");
    assert_eq!(fetched.len(), 1);
    assert_eq!((fetched[0].uid, fetched[0].size), (Some(2), Some(MAIL.len() as u32)));
    assert_eq!(fetched[0].body(), Some(MAIL.as_bytes()));
    assert!(fetched[0].internal_date().is_some());
    let envelope = fetched[0].envelope().expect("an envelope");
    assert_eq!(envelope.subject.as_deref(), Some(&b"test"[..]));
    let from = &envelope.from.as_ref().expect("From")[0];
    assert_eq!(from.name.as_deref(), Some(&b"A. Nother"[..]));
    let fetched: Vec<_> = session
        .fetch("1", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]")
        .await
        .expect("FETCH")
        .try_collect()
        .await
        .expect("FETCH");
    assert_eq!(fetched[0].header(), Some(&b"Subject: test\r\n\r\n"[..]));
    assert!(post.messages("rita", "INBOX").iter().all(|mail| mail.flags.is_empty()));
    session.logout().await.expect("LOGOUT");
}

#[tokio::test]
async fn async_imap_stores_moves_copies_and_removes() {
    let post = post_with(5);
    let imap = server(Protocol::Imap, &post, Options::new()).await;
    let mut session = imap_session(&imap).await;
    session.select("INBOX").await.expect("SELECT");
    session.check().await.expect("CHECK");
    session.uid_copy("1", "Junk").await.expect("UID COPY");
    session.copy("2", "Junk").await.expect("COPY");
    session.uid_mv("1", "Trash").await.expect("UID MOVE");
    session.mv("1", "Trash").await.expect("MOVE");
    let flagged: Vec<_> = session
        .uid_store("3:4", "+FLAGS (\\Deleted)")
        .await
        .expect("UID STORE")
        .try_collect()
        .await
        .expect("UID STORE");
    assert_eq!(flagged.len(), 2);
    let gone: Vec<u32> =
        session.uid_expunge("3").await.expect("UID EXPUNGE").try_collect().await.expect("EXPUNGE");
    assert_eq!(gone, [1]);
    let gone: Vec<u32> =
        session.expunge().await.expect("EXPUNGE").try_collect().await.expect("EXPUNGE");
    assert_eq!(gone, [1]);
    let flagged: Vec<_> = session
        .store("1", "FLAGS.SILENT (\\Deleted)")
        .await
        .expect("STORE")
        .try_collect()
        .await
        .expect("STORE");
    assert!(flagged.is_empty());
    session.close().await.expect("CLOSE");
    session.logout().await.expect("LOGOUT");
    let counts = ["INBOX", "Junk", "Trash"].map(|folder| post.messages("rita", folder).len());
    assert_eq!(counts, [0, 2, 2]);
    assert_eq!(imap.stats().sessions_open, 0);
}

#[tokio::test]
async fn async_imap_idles() {
    let post = post();
    let imap = server(Protocol::Imap, &post, Options::new()).await;
    let mut session = imap_session(&imap).await;
    session.select("INBOX").await.expect("SELECT");
    let mut idle = session.idle();
    idle.init().await.expect("IDLE");
    post.insert("rita", "INBOX", MAIL.as_bytes());
    {
        let (news, _stop) = idle.wait_with_timeout(DEADLINE);
        let IdleResponse::NewData(news) = news.await.expect("news") else { panic!("no news") };
        assert!(matches!(news.parsed(), Response::MailboxData(MailboxDatum::Exists(1))));
    }
    let mut session = idle.done().await.expect("DONE");
    assert_eq!(session.uid_search("ALL").await.expect("UID SEARCH").len(), 1);
}

#[tokio::test]
async fn async_imap_authenticates_with_sasl() {
    let imap = server(Protocol::Imap, &post(), Options::new()).await;
    let tcp = TcpStream::connect(imap.address()).await.expect("the server listens");
    let mut client = Client::new(tcp);
    client.read_response().await.expect("a greeting").expect("a greeting");
    let session = client.authenticate("PLAIN", Plain).await;
    let mut session = session.map_err(|(error, _)| error).expect("AUTHENTICATE");
    session.noop().await.expect("NOOP");
    assert_eq!(imap.stats().logins, 1);
}

#[tokio::test]
async fn async_imap_logs_in_over_both_kinds_of_tls() {
    let authority = Authority::new().expect("keys");
    let tls = authority.server(Certificate::Good).expect("a certificate");
    let imap = server(Protocol::Imap, &post(), Options::new().implicit_tls(&tls)).await;
    let tcp = TcpStream::connect(imap.address()).await.expect("the server listens");
    let stream = trusting(&authority).connect("localhost", tcp).await.expect("TLS");
    session(Client::new(stream)).await.logout().await.expect("LOGOUT");

    let imap = server(Protocol::Imap, &post(), Options::new().starttls(&tls)).await;
    let tcp = TcpStream::connect(imap.address()).await.expect("the server listens");
    let mut client = Client::new(tcp);
    client.read_response().await.expect("a greeting").expect("a greeting");
    client.run_command_and_check_ok("STARTTLS", None).await.expect("STARTTLS");
    let stream = trusting(&authority).connect("localhost", client.into_inner()).await.expect("TLS");
    let login = Client::new(stream).login("rita", PASSWORD).await;
    login.map_err(|(error, _)| error).expect("a login").logout().await.expect("LOGOUT");
    let record = &imap.sessions()[0];
    assert_eq!(record.tls.as_ref().expect("TLS").server_name.as_deref(), Some("localhost"));
    assert!(record.in_the_clear().ends_with(b"STARTTLS\r\n"));
}

#[tokio::test]
async fn bad_certificates_are_bad_to_a_foreign_client() {
    let authority = Authority::new().expect("keys");
    let kinds = [
        Certificate::Expired,
        Certificate::NotYetValid,
        Certificate::SelfSigned,
        Certificate::WrongName,
    ];
    for kind in kinds {
        let tls = authority.server(kind).expect("a certificate");
        let imap = server(Protocol::Imap, &post(), Options::new().implicit_tls(&tls)).await;
        let tcp = TcpStream::connect(imap.address()).await.expect("the server listens");
        let stream = trusting(&authority).connect("localhost", tcp).await;
        assert!(stream.is_err(), "{kind:?}");
    }
}

// lettre

async fn send_by_lettre(server: &Server, mechanism: Option<Mechanism>) {
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1")
        .port(server.port())
        .timeout(Some(DEADLINE));
    if let Some(mechanism) = mechanism {
        let credentials = Credentials::new("rita".to_owned(), PASSWORD.to_owned());
        transport = transport.credentials(credentials).authentication(vec![mechanism]);
    }
    let mail = lettre::Message::builder()
        .from("from@example.test".parse().expect("an address"))
        .to("to@example.test".parse().expect("an address"))
        .subject("test")
        .body(".dot\r\nbody".to_owned())
        .expect("a mail");
    let transport = transport.build();
    timeout(DEADLINE, transport.send(mail)).await.expect("in time").expect("accepted");
}

#[tokio::test]
async fn lettre_delivers_with_and_without_a_login() {
    let post = post();
    let open = server(Protocol::Smtp, &post, Options::new()).await;
    let closed = server(Protocol::Smtp, &post, Options::new().login_required()).await;
    send_by_lettre(&open, None).await;
    send_by_lettre(&closed, Some(Mechanism::Plain)).await;
    send_by_lettre(&closed, Some(Mechanism::Login)).await;
    let mails = post.messages("rita", "INBOX");
    assert_eq!(mails.len(), 3);
    for mail in &mails {
        let text = String::from_utf8_lossy(&mail.bytes);
        assert!(text.starts_with("Received: "), "{text}");
        assert!(text.ends_with("\r\n\r\n.dot\r\nbody\r\n"), "{text}");
    }
    assert_eq!((closed.stats().logins, closed.stats().count("AUTH")), (2, 2));
}

// curl

async fn run_curl(arguments: &[&str], input: &str) -> Output {
    let limit = DEADLINE.as_secs().to_string();
    let mut command = Command::new("curl");
    command.args(["--disable", "--silent", "--show-error", "--noproxy", "*", "--max-time", &limit]);
    command.args(arguments).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut curl = command.spawn().expect("these tests need the program curl: install it");
    let mut stdin = curl.stdin.take().expect("a pipe");
    // A curl that failed early has closed its end.
    stdin.write_all(input.as_bytes()).await.ok();
    drop(stdin);
    let ended = timeout(DEADLINE + Duration::from_secs(5), curl.wait_with_output()).await;
    ended.expect("curl ends").expect("curl runs")
}

/// Runs curl as rita; panics with its message if it fails.
async fn curl(url: &str, arguments: &[&str], input: &str) -> String {
    let user = format!("rita:{PASSWORD}");
    let arguments = [&["--user", &user, "--url", url], arguments].concat();
    let output = run_curl(&arguments, input).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn curl_reads_and_changes_a_mailbox_by_imap() {
    let post = post_with(3);
    let imap = server(Protocol::Imap, &post, Options::new()).await;
    let url = format!("imap://{}", imap.address());
    assert!(curl(&url, &[], "").await.contains("(\\HasNoChildren \\Junk) \"/\" \"Junk\""));
    let inbox = format!("{url}/INBOX");
    assert_eq!(curl(&format!("{inbox};UID=2"), &[], "").await, MAIL);
    assert!(post.messages("rita", "INBOX")[1].has_flag("\\Seen"));
    for (command, answer) in [
        ("CAPABILITY", "* CAPABILITY IMAP4rev1 "),
        ("NAMESPACE", "* NAMESPACE ((\"\" \"/\")) NIL NIL"),
        ("LIST (SPECIAL-USE) \"\" \"*\"", "\"Trash\""),
        ("STATUS INBOX (MESSAGES)", "* STATUS \"INBOX\" (MESSAGES 3)"),
        ("EXAMINE INBOX", "* 3 EXISTS"),
        ("UID SEARCH UID 2:* UNSEEN", "* SEARCH 3"),
        ("FETCH 1 (UID FLAGS)", "* 1 FETCH (UID 1 FLAGS ())"),
        ("UID STORE 1 +FLAGS (\\Deleted)", "FLAGS (\\Deleted)"),
        ("UID COPY 1 Junk", ""),
        ("UID EXPUNGE 1", "* 1 EXPUNGE"),
        ("UID MOVE 2 Trash", "* OK [COPYUID "),
        ("NOOP", ""),
    ] {
        let shown = curl(&inbox, &["--request", command], "").await;
        assert!(shown.contains(answer), "{command}: {shown}");
    }
    let counts = ["INBOX", "Junk", "Trash"].map(|folder| post.messages("rita", folder).len());
    assert_eq!(counts, [1, 1, 1]);
}

#[tokio::test]
async fn curl_reads_and_empties_a_maildrop_by_pop3() {
    let post = post_with(2);
    let pop3 = server(Protocol::Pop3, &post, Options::new()).await;
    let url = format!("pop3://{}", pop3.address());
    let size = MAIL.len();
    assert_eq!(curl(&url, &[], "").await, format!("1 {size}\r\n2 {size}\r\n"));
    assert_eq!(curl(&format!("{url}/2"), &[], "").await, MAIL);
    pop3.faults().leave_out("SASL PLAIN"); // from here on it says USER and PASS
    assert_eq!(curl(&format!("{url}/1"), &[], "").await, MAIL);
    let uidl = curl(&url, &["--request", "UIDL"], "").await;
    assert_eq!(uidl.lines().count(), 2, "{uidl}");
    let top = curl(&url, &["--request", "TOP 1 1"], "").await;
    assert!(top.ends_with("\r\n\r\n.dot\r\n"), "{top}");
    for command in ["STAT", "NOOP", "RSET", "LIST 1", "UIDL 1", "DELE 1"] {
        curl(&url, &["--request", command, "--head"], "").await;
    }
    assert_eq!(post.messages("rita", "INBOX").len(), 1);
    assert!(pop3.stats().count("AUTH") > 0 && pop3.stats().count("PASS") > 0);
}

#[tokio::test]
async fn curl_delivers_reads_and_fetches_over_both_kinds_of_tls() {
    let authority = Authority::new().expect("keys");
    let tls = authority.server(Certificate::Good).expect("a certificate");
    let ca = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(ca.path(), authority.ca_pem().expect("PEM")).expect("a file");
    let ca = ca.path().to_str().expect("a path");
    for (s, options, more) in [
        ("s", Options::new().implicit_tls(&tls), &["--cacert", ca][..]),
        ("", Options::new().starttls(&tls), &["--cacert", ca, "--ssl-reqd"][..]),
    ] {
        let post = post();
        let smtp = server(Protocol::Smtp, &post, options.clone().login_required()).await;
        let imap = server(Protocol::Imap, &post, options.clone()).await;
        let pop3 = server(Protocol::Pop3, &post, options).await;
        let envelope = ["--mail-from", "from@example.test", "--mail-rcpt", "to@example.test"];
        let upload = [more, &envelope, &["--upload-file", "-"]].concat();
        curl(&format!("smtp{s}://{}", smtp.address()), &upload, MAIL).await;
        let received = String::from_utf8(post.messages("rita", "INBOX")[0].bytes.to_vec());
        let received = received.expect("text");
        assert!(received.contains(" with ESMTPSA\r\n") && received.ends_with(MAIL), "{received}");
        let by_imap = format!("imap{s}://{}/INBOX;UID=1", imap.address());
        assert_eq!(curl(&by_imap, more, "").await, received);
        let by_pop3 = format!("pop3{s}://{}/1", pop3.address());
        assert_eq!(curl(&by_pop3, more, "").await, received);
        for server in [&smtp, &imap, &pop3] {
            assert_eq!(server.stats().tls_handshakes, 1);
            assert!(!server.sessions()[0].in_the_clear().windows(4).any(|word| word == b"rita"));
        }
    }
}

#[tokio::test]
async fn curl_refuses_a_certificate_that_nobody_signed() {
    let authority = Authority::new().expect("keys");
    let tls = authority.server(Certificate::SelfSigned).expect("a certificate");
    let pop3 = server(Protocol::Pop3, &post(), Options::new().starttls(&tls)).await;
    let url = format!("pop3://{}", pop3.address());
    let output = run_curl(&["--ssl-reqd", "--user", "rita:x", "--url", &url], "").await;
    assert_eq!(output.status.code(), Some(60), "CURLE_PEER_FAILED_VERIFICATION");
    assert_eq!(pop3.stats().logins_refused, 0);
}

#[tokio::test]
async fn curl_talks_smtp_without_a_mail() {
    let smtp = server(Protocol::Smtp, &post(), Options::new()).await;
    let url = format!("smtp://{}", smtp.address());
    for command in ["NOOP", "RSET", "VRFY rita"] {
        curl(&url, &["--request", command], "").await;
    }
    assert_eq!(smtp.stats().count("VRFY"), 1);
}

// The faults of async-imap, as long as they stand

#[tokio::test]
async fn async_imap_takes_a_closed_connection_for_an_empty_result() {
    let imap = server(Protocol::Imap, &post_with(3), Options::new()).await;
    for command in ["UID SEARCH", "NOOP"] {
        let mut session = imap_session(&imap).await;
        session.select("INBOX").await.expect("SELECT");
        imap.faults().once(command, Fault::Close);
        let empty = match command {
            "NOOP" => session.noop().await.is_ok(),
            _ => session.uid_search("ALL").await.is_ok_and(|found| found.is_empty()),
        };
        assert!(empty, "{command}: async-imap now reports a closed connection");
    }
}

#[tokio::test]
async fn async_imap_takes_a_no_for_an_empty_result() {
    let imap = server(Protocol::Imap, &post_with(3), Options::new()).await;
    let mut session = imap_session(&imap).await;
    session.select("INBOX").await.expect("SELECT");
    imap.faults().once("NOOP", Fault::reply("{tag} NO [SERVERBUG] broken"));
    imap.faults().once("UID SEARCH", Fault::reply("{tag} NO [SERVERBUG] broken"));
    assert!(session.noop().await.is_ok(), "async-imap now reports NO");
    let found = session.uid_search("ALL").await;
    assert!(found.is_ok_and(|found| found.is_empty()), "async-imap now reports NO");
}

#[tokio::test]
async fn async_imap_ends_at_an_untagged_line_that_it_cannot_read() {
    let imap = server(Protocol::Imap, &post(), Options::new()).await;
    let mut session = imap_session(&imap).await;
    imap.faults().once("NOOP", Fault::Before("* XYZZY".to_owned()));
    session.run_command("NOOP").await.expect("sent");
    let read = session.read_response().await;
    let goes_on = read.is_ok_and(|response| {
        response.is_some_and(|response| {
            matches!(response.parsed(), Response::Done { status: Status::Ok, .. })
        })
    });
    assert!(!goes_on, "async-imap now skips what it does not know");
}

/// The overflow aborts the process, so the test runs itself as a child and looks at its end.
#[tokio::test]
async fn async_imap_dies_of_a_short_line_with_many_parentheses() {
    const NAME: &str =
        "embedded::foreign_clients::async_imap_dies_of_a_short_line_with_many_parentheses";
    const ADDRESS: &str = "MAILTRIP_TEST_ABORTS_AT";
    if let Ok(address) = std::env::var(ADDRESS) {
        let tcp = TcpStream::connect(address).await.expect("the server listens");
        Client::new(tcp).read_response().await.ok();
        return;
    }
    let imap = server(Protocol::Imap, &post(), Options::new()).await;
    let line = format!("* 1 FETCH (BODYSTRUCTURE {}\r\n", "(".repeat(400));
    imap.faults().on("greeting", Fault::last_words(line));
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", NAME, "--test-threads", "1"]).kill_on_drop(true);
    child.env(ADDRESS, imap.address().to_string()).env("RUST_MIN_STACK", (2 << 20).to_string());
    let output = timeout(DEADLINE, child.output()).await.expect("in time").expect("the child runs");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("overflowed its stack"), "async-imap now survives: {words}");
}
