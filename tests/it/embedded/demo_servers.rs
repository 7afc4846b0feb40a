//! The embedded servers as a client on a bare socket sees them: what they do wrong when told to,
//! what they count and record, and how mail gets from one to the other.

use std::pin::Pin;
use std::time::{Duration, SystemTime};

use openssl::pkey::PKey;
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::X509;
use testserver::faults::{self, Announce, Fault};
use testserver::{Authority, Certificate, Delivery, Options, Post, Protocol, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_openssl::SslStream;

const DEADLINE: Duration = Duration::from_secs(10);

/// A client on a bare socket.
struct Client {
    tcp: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    async fn connect(server: &Server) -> Self {
        let tcp = TcpStream::connect(server.address()).await.expect("the server listens");
        Self { tcp, unread: Vec::new() }
    }

    /// Connects and reads the greeting.
    async fn greeted(server: &Server) -> Self {
        let mut client = Self::connect(server).await;
        client.line().await;
        client
    }

    async fn send(&mut self, text: &str) {
        self.tcp.write_all(text.as_bytes()).await.expect("the server reads");
    }

    /// Reads up to and with `end`.
    async fn until(&mut self, end: &str) -> String {
        let reading = async {
            loop {
                let text = String::from_utf8_lossy(&self.unread).into_owned();
                if let Some(at) = text.find(end) {
                    let rest = self.unread.split_off(at + end.len());
                    let read = std::mem::replace(&mut self.unread, rest);
                    return String::from_utf8_lossy(&read).into_owned();
                }
                let count = self.tcp.read_buf(&mut self.unread).await.expect("an answer");
                assert!(count > 0, "closed before {end:?} after {text:?}");
            }
        };
        timeout(DEADLINE, reading).await.expect("an answer in time")
    }

    async fn line(&mut self) -> String {
        self.until("\r\n").await
    }

    /// Sends a command, returns one line.
    async fn ask(&mut self, command: &str) -> String {
        self.send(&format!("{command}\r\n")).await;
        self.line().await
    }

    /// Sends an IMAP command under the tag `t`, returns all lines of the answer.
    async fn imap(&mut self, command: &str) -> String {
        self.send(&format!("t {command}\r\n")).await;
        let mut answer = String::new();
        loop {
            let line = self.line().await;
            answer.push_str(&line);
            if line.starts_with("t ") {
                return answer;
            }
        }
    }

    /// Reads to the end of the connection.
    async fn rest(mut self) -> std::io::Result<Vec<u8>> {
        let reading = self.tcp.read_to_end(&mut self.unread);
        timeout(DEADLINE, reading).await.expect("the connection ends")?;
        Ok(self.unread)
    }
}

fn post() -> Post {
    let post = Post::new();
    post.add_account("rita", "pass word", &["to@example.test"]);
    post
}

async fn server(protocol: Protocol, post: &Post) -> Server {
    Server::start(protocol, post, Options::new()).await.expect("a free port")
}

async fn send_mail(server: &Server, body: &str) -> String {
    let mut client = Client::greeted(server).await;
    client.ask("HELO me").await;
    client.ask("MAIL FROM:<from@example.test>").await;
    let answer = client.ask("RCPT TO:<to@example.test>").await;
    if !answer.starts_with("250") {
        return answer;
    }
    client.ask("DATA").await;
    client.ask(&format!("Subject: test\r\nX-Mailtrip: v=1\r\n\r\n{body}\r\n.")).await
}

async fn imap_in_inbox(server: &Server) -> Client {
    let mut client = Client::greeted(server).await;
    assert!(client.imap("LOGIN rita \"pass word\"").await.contains("t OK"));
    assert!(client.imap("SELECT inbox").await.contains("t OK [READ-WRITE]"));
    client
}

async fn pop3_logged_in(server: &Server) -> Client {
    let mut client = Client::greeted(server).await;
    client.ask("USER rita").await;
    assert_eq!(client.ask("PASS pass word").await, "+OK welcome\r\n");
    client
}

#[tokio::test]
async fn a_mail_is_in_the_folder_before_it_is_confirmed_and_carries_a_trace() {
    let post = post();
    let smtp = server(Protocol::Smtp, &post).await;
    assert!(send_mail(&smtp, "..dot").await.starts_with("250 2.0.0 Ok: queued as "));
    let messages = post.messages("rita", "INBOX");
    let text = String::from_utf8(messages[0].bytes.to_vec()).expect("text");
    assert!(
        text.starts_with("Received: from me ([127.0.0.1])\r\n\tby demo.mailtrip.test with SMTP")
    );
    assert!(text.ends_with("\r\n\r\n.dot\r\n"), "{text}");
    assert_eq!(smtp.stats().mails_accepted, 1);
}

#[tokio::test]
async fn an_unknown_recipient_is_refused() {
    let smtp = server(Protocol::Smtp, &post()).await;
    let mut client = Client::greeted(&smtp).await;
    client.ask("EHLO me").await;
    client.until("250 AUTH PLAIN LOGIN\r\n").await;
    client.ask("MAIL FROM:<>").await;
    assert_eq!(client.ask("RCPT TO:<who@example.test>").await, "550 5.1.1 No such user here\r\n");
}

#[tokio::test]
async fn a_mail_can_be_lost_copied_sorted_stripped_and_held() {
    let post = post();
    let smtp = server(Protocol::Smtp, &post).await;
    post.deliver_next("rita", Delivery::lost());
    post.deliver_next("rita", Delivery::at_once().copies(2).into_folder("Junk"));
    post.deliver_next("rita", Delivery::at_once().without_header("x-mailtrip"));
    post.deliver_next("rita", Delivery::held());
    for _ in 0..4 {
        assert!(send_mail(&smtp, "body").await.starts_with("250"));
    }
    assert_eq!(post.messages("rita", "Junk").len(), 2);
    let inbox = post.messages("rita", "INBOX");
    assert_eq!(inbox.len(), 1);
    assert!(!String::from_utf8_lossy(&inbox[0].bytes).contains("X-Mailtrip"));
    assert_eq!(post.release("rita"), 1);
    assert_eq!(post.messages("rita", "INBOX").len(), 2);
}

#[tokio::test]
async fn deliveries_in_turn_go_on_for_ever_and_yield_to_those_for_the_next_mail() {
    let post = post();
    let smtp = server(Protocol::Smtp, &post).await;
    post.set_deliveries("rita", [Delivery::at_once(), Delivery::lost()]);
    let mut lying = Vec::new();
    for _ in 0..4 {
        send_mail(&smtp, "body").await;
        lying.push(post.messages("rita", "INBOX").len());
    }
    assert_eq!(lying, [1, 1, 2, 2]);
    post.deliver_next("rita", Delivery::lost());
    for _ in 0..3 {
        send_mail(&smtp, "body").await;
        lying.push(post.messages("rita", "INBOX").len());
    }
    assert_eq!(lying[4..], [2, 3, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_mail_arrives_when_its_time_has_come() {
    let post = post();
    let smtp = server(Protocol::Smtp, &post).await;
    post.set_delivery("rita", Delivery::at_once().after(Duration::from_secs(90)));
    let sent = Instant::now();
    send_mail(&smtp, "body").await;
    assert!(post.messages("rita", "INBOX").is_empty());
    let arrived = |post: &Post| !post.messages("rita", "INBOX").is_empty();
    assert!(post.wait_until(Duration::from_secs(600), arrived).await);
    assert!(sent.elapsed() >= Duration::from_secs(90));
}

#[tokio::test]
async fn a_refusal_after_the_data_delivers_nothing_and_silence_after_acceptance_does() {
    let post = post();
    let smtp = server(Protocol::Smtp, &post).await;
    smtp.faults().once(faults::AFTER_DATA, Fault::reply("451 4.3.0 not now"));
    assert_eq!(send_mail(&smtp, "body").await, "451 4.3.0 not now\r\n");
    assert!(post.messages("rita", "INBOX").is_empty());
    smtp.faults().once(faults::ACCEPTED, Fault::reply("421 4.3.2 oh"));
    assert_eq!(send_mail(&smtp, "body").await, "421 4.3.2 oh\r\n");
    assert_eq!(post.messages("rita", "INBOX").len(), 1);
}

#[tokio::test]
async fn greylisting_ends_after_as_many_refusals_as_scripted() {
    let smtp = server(Protocol::Smtp, &post()).await;
    smtp.faults().times(2, "RCPT", Fault::reply("450 4.2.0 greylisted"));
    assert!(send_mail(&smtp, "body").await.starts_with("450"));
    assert!(send_mail(&smtp, "body").await.starts_with("450"));
    assert!(send_mail(&smtp, "body").await.starts_with("250"));
}

#[tokio::test]
async fn a_server_closes_resets_or_cuts_as_it_is_told() {
    let pop3 = server(Protocol::Pop3, &post()).await;
    pop3.faults().once(faults::CONNECT, Fault::Close);
    pop3.faults().once(faults::CONNECT, Fault::Reset);
    pop3.faults().times(2, faults::CONNECT, Fault::None);
    pop3.faults().once(faults::GREETING, Fault::Cut(5));
    pop3.faults().once(faults::GREETING, Fault::last_words("-ERR [SYS/TEMP] away"));
    assert_eq!(Client::connect(&pop3).await.rest().await.expect("FIN"), b"");
    let reset = Client::connect(&pop3).await.rest().await.expect_err("RST");
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(Client::connect(&pop3).await.rest().await.expect("FIN"), b"+OK d");
    let words = Client::connect(&pop3).await.rest().await.expect("FIN");
    assert_eq!(words, b"-ERR [SYS/TEMP] away\r\n");
}

#[tokio::test]
async fn a_silent_server_reads_on_and_records_what_it_was_sent() {
    let imap = server(Protocol::Imap, &post()).await;
    imap.faults().on(faults::GREETING, Fault::Hang);
    let mut client = Client::connect(&imap).await;
    client.send("into the void\r\n").await;
    assert!(timeout(Duration::from_millis(100), client.line()).await.is_err());
    assert!(imap.sessions()[0].received_contains(b"into the void"));
    drop(client);
    assert!(imap.wait_until(DEADLINE, |stats| stats.connections_open == 0).await);
    assert!(imap.sessions()[0].closed_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn answers_can_be_late_and_can_drip() {
    let pop3 = server(Protocol::Pop3, &post()).await;
    pop3.faults().once("CAPA", Fault::delay(Duration::from_secs(20)));
    pop3.faults().once("QUIT", Fault::Drip(Duration::from_secs(1)));
    let start = Instant::now();
    let mut client = Client::greeted(&pop3).await;
    client.send("CAPA\r\n").await;
    while timeout(Duration::from_secs(1), client.tcp.readable()).await.is_err() {}
    assert!(start.elapsed() >= Duration::from_secs(19));
    client.until("\r\n.\r\n").await;
    client.send("QUIT\r\n").await;
    let dripped = Instant::now();
    let mut answer = Vec::new();
    while answer.len() < 9 {
        let count = client.tcp.read_buf(&mut answer).await.expect("a byte");
        assert!(count > 0, "closed early");
    }
    assert_eq!(answer, b"+OK bye\r\n");
    assert!(dripped.elapsed() >= Duration::from_secs(8));
}

#[tokio::test]
async fn junk_and_endless_lines_come_until_the_client_leaves() {
    let imap = server(Protocol::Imap, &post()).await;
    imap.faults().once(faults::GREETING, Fault::EndlessLine);
    imap.faults().once(faults::GREETING, Fault::Garbage);
    for ends_lines in [false, true] {
        let mut client = Client::connect(&imap).await;
        let mut read = vec![0; 100_000];
        timeout(DEADLINE, client.tcp.read_exact(&mut read)).await.expect("in time").expect("junk");
        assert_eq!(read.contains(&b'\n'), ends_lines);
    }
    assert!(imap.wait_until(DEADLINE, |stats| stats.connections_open == 0).await);
}

#[tokio::test]
async fn answers_can_be_wrapped_and_injected_behind_the_reply_to_starttls() {
    let authority = Authority::new().expect("keys");
    let tls = authority.server(Certificate::Good).expect("a certificate");
    let smtp = Server::start(Protocol::Smtp, &post(), Options::new().starttls(&tls)).await;
    let smtp = smtp.expect("a free port");
    smtp.faults().on("NOOP", Fault::Before("250-strange".to_owned()));
    smtp.faults().on("STARTTLS", Fault::Append("250 injected".to_owned()));
    let mut client = Client::greeted(&smtp).await;
    assert_eq!(client.ask("NOOP").await, "250-strange\r\n");
    assert_eq!(client.line().await, "250 2.0.0 Ok\r\n");
    client.ask("EHLO me").await;
    assert!(!client.until("250 STARTTLS\r\n").await.contains("AUTH"));
    client.send("STARTTLS\r\n").await;
    let answer = client.until("injected\r\n").await;
    assert_eq!(answer, "220 2.0.0 Ready to start TLS\r\n250 injected\r\n");
}

#[tokio::test]
async fn a_refused_login_can_echo_what_the_client_sent() {
    let imap = server(Protocol::Imap, &post()).await;
    imap.faults().on(faults::CREDENTIALS, Fault::reply("{tag} NO {user} {password} {base64}"));
    let mut client = Client::greeted(&imap).await;
    let answer = client.imap("LOGIN rita \"pass word\"").await;
    assert_eq!(answer, "t NO rita pass word AHJpdGEAcGFzcyB3b3Jk\r\n");
    assert_eq!(imap.stats().logins_refused, 1);
}

#[tokio::test]
async fn a_capability_left_out_is_not_there_at_all() {
    let post = post();
    let (imap, pop3) = (server(Protocol::Imap, &post).await, server(Protocol::Pop3, &post).await);
    for capability in ["UIDPLUS", "IDLE", "MOVE", "SASL-IR"] {
        imap.faults().leave_out(capability);
    }
    imap.faults().offer("X-GM-EXT-1");
    let mut client = imap_in_inbox(&imap).await;
    let capabilities = client.imap("CAPABILITY").await;
    assert!(!capabilities.contains("IDLE") && capabilities.contains("X-GM-EXT-1"));
    for command in ["IDLE", "UID EXPUNGE 1", "UID MOVE 1 Trash"] {
        assert!(client.imap(command).await.ends_with("t BAD not a command here\r\n"), "{command}");
    }
    let mut client = Client::greeted(&imap).await;
    assert!(client.imap("AUTHENTICATE PLAIN AHJpdGEA").await.starts_with("t BAD"));
    pop3.faults().leave_out("TOP");
    pop3.faults().leave_out("UIDL");
    let mut client = pop3_logged_in(&pop3).await;
    assert!(client.ask("UIDL").await.starts_with("-ERR"));
    assert!(client.ask("TOP 1 0").await.starts_with("-ERR"));
}

#[tokio::test]
async fn an_idling_client_is_told_at_once_late_or_never() {
    let post = post();
    let imap = server(Protocol::Imap, &post).await;
    let mut client = imap_in_inbox(&imap).await;
    assert_eq!(client.ask("t IDLE").await, "+ idling\r\n");
    post.insert("rita", "INBOX", b"Subject: one\r\n\r\n");
    assert_eq!(client.line().await, "* 1 EXISTS\r\n");
    assert_eq!(client.ask("DONE").await, "t OK done\r\n");

    imap.faults().set_announce(Announce::Never);
    client.ask("t IDLE").await;
    post.insert("rita", "INBOX", b"Subject: two\r\n\r\n");
    assert_eq!(client.ask("DONE").await, "t OK done\r\n");
    assert_eq!(client.imap("NOOP").await, "* 2 EXISTS\r\nt OK done\r\n");

    imap.faults().set_announce(Announce::After(Duration::from_millis(30)));
    client.ask("t IDLE").await;
    let changed = Instant::now();
    post.insert("rita", "INBOX", b"Subject: three\r\n\r\n");
    assert_eq!(client.line().await, "* 3 EXISTS\r\n");
    assert!(changed.elapsed() >= Duration::from_millis(29));
}

#[tokio::test]
async fn another_session_sees_flags_and_removals() {
    let post = post();
    for _ in 0..3 {
        post.insert("rita", "INBOX", b"Subject: mail\r\n\r\nbody\r\n");
    }
    let imap = server(Protocol::Imap, &post).await;
    let (mut one, mut other) = (imap_in_inbox(&imap).await, imap_in_inbox(&imap).await);
    one.imap("UID STORE 1,3 +FLAGS.SILENT (\\Deleted)").await;
    let news = other.imap("NOOP").await;
    assert!(news.starts_with("* 1 FETCH (FLAGS (\\Deleted))\r\n* 3 FETCH"), "{news}");
    assert_eq!(one.imap("UID EXPUNGE 3").await, "* 3 EXPUNGE\r\nt OK done\r\n");
    assert_eq!(other.imap("EXPUNGE").await, "* 3 EXPUNGE\r\n* 1 EXPUNGE\r\nt OK done\r\n");
    assert_eq!(imap.stats().sessions_most, 2);
}

#[tokio::test]
async fn only_a_fetch_without_peek_marks_a_mail_as_seen() {
    let post = post();
    post.insert("rita", "INBOX", b"Subject: mail\r\nX-A: b\r\n\r\nbody\r\n");
    let imap = server(Protocol::Imap, &post).await;
    let mut client = imap_in_inbox(&imap).await;
    let shown = client.imap("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (x-a)])").await;
    assert_eq!(
        shown,
        "* 1 FETCH (UID 1 BODY[HEADER.FIELDS (X-A)] {10}\r\nX-A: b\r\n\r\n)\r\nt OK done\r\n"
    );
    assert!(post.messages("rita", "INBOX")[0].flags.is_empty());
    let shown = client.imap("FETCH 1 BODY[TEXT]<1.2>").await;
    assert_eq!(shown, "* 1 FETCH (BODY[TEXT]<1> {2}\r\nod FLAGS (\\Seen))\r\nt OK done\r\n");
    assert!(post.messages("rita", "INBOX")[0].has_flag("\\seen"));
}

#[tokio::test]
async fn searches_find_what_they_name() {
    let post = post();
    let day = Duration::from_secs(24 * 60 * 60);
    let then = SystemTime::UNIX_EPOCH + day * 20_000; // 2024-10-04
    post.insert_dated("rita", "INBOX", b"Subject: one\r\nX-A: yes\r\n\r\n", then);
    post.insert_dated("rita", "INBOX", b"Subject: two\r\n\r\n", then + day);
    post.insert_dated("rita", "INBOX", b"Subject: three\r\n\r\n", then + 2 * day);
    let imap = server(Protocol::Imap, &post).await;
    let mut client = imap_in_inbox(&imap).await;
    client.imap("STORE 2 FLAGS (\\Seen)").await;
    for (keys, found) in [
        ("ALL", " 1 2 3"),
        ("SINCE 5-Oct-2024", " 2 3"),
        ("BEFORE 5-Oct-2024", " 1"),
        ("ON \"5-Oct-2024\"", " 2"),
        ("UID 2:*", " 2 3"),
        ("HEADER X-A \"YES\"", " 1"),
        ("UNSEEN SINCE 5-Oct-2024", " 3"),
        ("OR SUBJECT one SEEN", " 1 2"),
        ("NOT (SEEN) 1:2", " 1"),
    ] {
        let answer = client.imap(&format!("UID SEARCH {keys}")).await;
        assert_eq!(answer, format!("* SEARCH{found}\r\nt OK done\r\n"), "{keys}");
    }
    assert!(client.imap("UID SEARCH XYZZY").await.starts_with("t BAD"));
}

#[tokio::test]
async fn folders_are_listed_with_their_special_use() {
    let imap = server(Protocol::Imap, &post()).await;
    let mut client = imap_in_inbox(&imap).await;
    let junk = "* LIST (\\HasNoChildren \\Junk) \"/\" \"Junk\"\r\n";
    let trash = "* LIST (\\HasNoChildren \\Trash) \"/\" \"Trash\"\r\n";
    let special = format!("{junk}{trash}t OK done\r\n");
    assert_eq!(client.imap("LIST (SPECIAL-USE) \"\" \"*\"").await, special);
    let all = client.imap("LIST \"\" * RETURN (SPECIAL-USE)").await;
    assert_eq!(all, format!("* LIST (\\HasNoChildren) \"/\" \"INBOX\"\r\n{special}"));
    let status = client.imap("STATUS Junk (MESSAGES UIDNEXT)").await;
    assert_eq!(status, "* STATUS \"Junk\" (MESSAGES 0 UIDNEXT 1)\r\nt OK done\r\n");
    assert!(client.imap("SELECT nowhere").await.starts_with("t NO"));
    assert!(client.imap("NOOP").await.starts_with("t OK"), "a failed SELECT keeps the session");
}

#[tokio::test]
async fn literals_come_with_and_without_waiting() {
    let imap = server(Protocol::Imap, &post()).await;
    let mut client = Client::greeted(&imap).await;
    assert_eq!(client.ask("t LOGIN {4}").await, "+ go on\r\n");
    client.send("rita {9+}\r\npass word\r\n").await;
    assert!(client.line().await.starts_with("t OK"));
    assert_eq!(client.ask("t SELECT {999999}").await, "t BAD literal too large\r\n");
    assert!(client.imap("NOOP").await.starts_with("t OK"));
}

#[tokio::test]
async fn a_pop3_view_is_frozen_and_deletes_at_quit() {
    let post = post();
    post.insert("rita", "INBOX", b"Subject: one\r\n\r\n.dot\r\nmore\r\n");
    let pop3 = server(Protocol::Pop3, &post).await;
    let mut client = pop3_logged_in(&pop3).await;
    post.insert("rita", "INBOX", b"Subject: two\r\n\r\n");
    assert_eq!(client.ask("STAT").await, "+OK 1 28\r\n");
    client.send("TOP 1 1\r\n").await;
    assert!(client.until("\r\n.\r\n").await.ends_with("Subject: one\r\n\r\n..dot\r\n.\r\n"));
    let uid = client.ask("UIDL 1").await;
    assert!(uid.starts_with("+OK 1 "), "{uid}");
    assert_eq!(client.ask("DELE 1").await, "+OK\r\n");
    assert!(client.ask("LIST 1").await.starts_with("-ERR"));
    assert_eq!(post.messages("rita", "INBOX").len(), 2);
    client.ask("QUIT").await;
    let left = post.messages("rita", "INBOX");
    assert_eq!((left.len(), left[0].uid), (1, 2));
}

#[tokio::test]
async fn an_exclusive_maildrop_has_one_session_at_a_time() {
    let options = Options::new().exclusive();
    let pop3 = Server::start(Protocol::Pop3, &post(), options).await.expect("a free port");
    let mut first = pop3_logged_in(&pop3).await;
    let mut second = Client::greeted(&pop3).await;
    second.ask("USER rita").await;
    assert!(second.ask("PASS pass word").await.starts_with("-ERR [IN-USE]"));
    first.ask("QUIT").await;
    pop3_logged_in(&pop3).await;
    assert_eq!(pop3.stats().sessions_most, 1);
}

#[tokio::test]
async fn a_stopped_server_refuses_and_comes_back_at_the_same_port() {
    let mut imap = server(Protocol::Imap, &post()).await;
    let client = Client::greeted(&imap).await;
    imap.stop().await;
    assert_eq!(client.rest().await.expect("FIN"), b"");
    let refused = TcpStream::connect(imap.address()).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    imap.start_again().await.expect("the port is still free");
    Client::greeted(&imap).await;
    assert_eq!(imap.stats().connections, 2);
}

#[tokio::test]
async fn open_sessions_can_be_told_closed_and_reset() {
    let imap = server(Protocol::Imap, &post()).await;
    let mut client = imap_in_inbox(&imap).await;
    imap.say("* BYE going down\r\n");
    assert_eq!(client.line().await, "* BYE going down\r\n");
    imap.close_sessions();
    assert_eq!(client.rest().await.expect("FIN"), b"");
    let client = imap_in_inbox(&imap).await;
    imap.reset_sessions();
    client.rest().await.expect_err("RST");
    assert!(imap.wait_until(DEADLINE, |stats| stats.sessions_open == 0).await);
}

#[tokio::test]
async fn a_dropped_server_ends_its_sessions() {
    let imap = server(Protocol::Imap, &post()).await;
    imap.faults().on("NOOP", Fault::Hang);
    let mut client = imap_in_inbox(&imap).await;
    client.send("t NOOP\r\n").await;
    assert!(imap.wait_until(DEADLINE, |stats| stats.count("NOOP") == 1).await);
    drop(imap);
    assert_eq!(client.rest().await.expect("FIN"), b"");
}

#[tokio::test]
async fn lines_without_an_end_end_the_session() {
    for protocol in [Protocol::Smtp, Protocol::Imap, Protocol::Pop3] {
        let server = server(protocol, &post()).await;
        let mut client = Client::greeted(&server).await;
        let flood = vec![b'a'; 1 << 20];
        let sent = timeout(DEADLINE, client.tcp.write_all(&flood)).await.expect("in time");
        drop(sent); // it may fail: the server has hung up
        client.rest().await.ok();
        assert!(server.wait_until(DEADLINE, |stats| stats.connections_open == 0).await);
    }
}

#[tokio::test]
async fn a_renumbered_folder_has_a_new_validity() {
    let post = post();
    post.insert("rita", "INBOX", b"Subject: one\r\n\r\n");
    let imap = server(Protocol::Imap, &post).await;
    let mut client = imap_in_inbox(&imap).await;
    let before = client.imap("STATUS INBOX (UIDVALIDITY)").await;
    post.renumber("rita", "INBOX");
    assert_ne!(client.imap("STATUS INBOX (UIDVALIDITY)").await, before);
}

#[tokio::test]
async fn servers_listen_on_ipv6_too() {
    let options = Options::new().listen("[::1]:0".parse().expect("an address"));
    let imap = Server::start(Protocol::Imap, &post(), options).await.expect("IPv6 on loopback");
    imap_in_inbox(&imap).await;
}

async fn handshake(server: &Server, configure: impl FnOnce(&mut SslConnectorBuilder)) -> bool {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("openssl");
    builder.set_verify(SslVerifyMode::NONE);
    configure(&mut builder);
    let tls = builder.build().configure().expect("openssl").into_ssl("localhost").expect("a name");
    let tcp = TcpStream::connect(server.address()).await.expect("the server listens");
    let mut stream = SslStream::new(tls, tcp).expect("openssl");
    let mut greeting = [0; 4];
    Pin::new(&mut stream).connect().await.is_ok()
        // With TLS 1.3 a server refuses a client only after the client's side is done.
        && timeout(DEADLINE, stream.read_exact(&mut greeting)).await.expect("in time").is_ok()
}

#[tokio::test]
async fn a_server_can_ask_for_a_client_certificate() {
    let authority = Authority::new().expect("keys");
    let tls = authority.server_asking_for_client_certificate(Certificate::Good);
    let options = Options::new().implicit_tls(&tls.expect("a certificate"));
    let imap = Server::start(Protocol::Imap, &post(), options).await.expect("a free port");
    assert!(!handshake(&imap, |_| {}).await);
    let own = authority.client("monitor").expect("a certificate");
    let shown = handshake(&imap, |builder| {
        let mut chain = X509::stack_from_pem(&own.certificate).expect("PEM").into_iter();
        builder.set_certificate(&chain.next().expect("a leaf")).expect("it fits");
        chain.try_for_each(|issuer| builder.add_extra_chain_cert(issuer)).expect("it fits");
        let key = PKey::private_key_from_pem(&own.key).expect("PEM");
        builder.set_private_key(&key).expect("it fits");
    });
    assert!(shown.await);
    assert!(imap.sessions()[1].tls.as_ref().expect("TLS").client_certificate);
}

#[tokio::test]
async fn an_old_server_has_no_new_tls() {
    let authority = Authority::new().expect("keys");
    let tls = authority.server_up_to(Certificate::Good, SslVersion::TLS1_1);
    let options = Options::new().implicit_tls(&tls.expect("a certificate"));
    let pop3 = Server::start(Protocol::Pop3, &post(), options).await.expect("a free port");
    assert!(!handshake(&pop3, |_| {}).await);
    let old = handshake(&pop3, |builder| {
        builder.set_min_proto_version(Some(SslVersion::TLS1)).expect("openssl");
        builder.set_cipher_list("ALL:@SECLEVEL=0").expect("openssl");
    });
    assert!(old.await);
    assert_eq!(pop3.sessions()[1].tls.as_ref().expect("TLS").version, "TLSv1.1");
}

#[tokio::test]
async fn a_handshake_can_hang_break_and_be_answered_with_something_else() {
    let authority = Authority::new().expect("keys");
    let tls = authority.server(Certificate::Good).expect("a certificate");
    let options = Options::new().implicit_tls(&tls);
    let imap = Server::start(Protocol::Imap, &post(), options).await.expect("a free port");
    imap.faults().once(faults::TLS_HANDSHAKE, Fault::Close);
    imap.faults().once(faults::TLS_HANDSHAKE, Fault::reply("* OK not TLS"));
    imap.faults().once(faults::TLS_HANDSHAKE, Fault::Hang);
    assert!(!handshake(&imap, |_| {}).await);
    assert!(!handshake(&imap, |_| {}).await);
    let hanging = timeout(Duration::from_millis(100), handshake(&imap, |_| {}));
    assert!(hanging.await.is_err());
    assert!(handshake(&imap, |_| {}).await);
    assert_eq!(imap.stats().tls_handshakes, 1);
}

#[tokio::test]
async fn what_came_in_the_clear_before_tls_is_thrown_away() {
    let authority = Authority::new().expect("keys");
    let tls = authority.server(Certificate::Good).expect("a certificate");
    let options = Options::new().starttls(&tls);
    let pop3 = Server::start(Protocol::Pop3, &post(), options).await.expect("a free port");
    let mut client = Client::greeted(&pop3).await;
    client.send("STLS\r\nCAPA\r\n").await;
    assert_eq!(client.line().await, "+OK begin TLS\r\n");
    let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("openssl");
    builder.set_verify(SslVerifyMode::NONE);
    let tls = builder.build().configure().expect("openssl").into_ssl("localhost").expect("a name");
    let mut stream = SslStream::new(tls, client.tcp).expect("openssl");
    Pin::new(&mut stream).connect().await.expect("TLS");
    stream.write_all(b"QUIT\r\n").await.expect("the server reads");
    let mut answer = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("in time").ok();
    assert_eq!(String::from_utf8_lossy(&answer), "+OK bye\r\n");
    assert_eq!(pop3.stats().count("CAPA"), 0);
}

#[tokio::test]
async fn mail_and_passwords_are_refused_where_they_are_not_allowed() {
    let authority = Authority::new().expect("keys");
    let tls = authority.server(Certificate::Good).expect("a certificate");
    let options = Options::new().starttls(&tls).login_required();
    let smtp = Server::start(Protocol::Smtp, &post(), options.clone()).await.expect("a port");
    let mut client = Client::greeted(&smtp).await;
    client.ask("EHLO me").await;
    client.until("250 STARTTLS\r\n").await;
    assert!(client.ask("AUTH PLAIN AHJpdGEAcGFzcyB3b3Jk").await.starts_with("504"));
    assert!(client.ask("MAIL FROM:<from@example.test>").await.starts_with("530"));
    let imap = Server::start(Protocol::Imap, &post(), options.clone()).await.expect("a port");
    let mut client = Client::greeted(&imap).await;
    assert!(client.imap("LOGIN rita \"pass word\"").await.contains("t NO [PRIVACYREQUIRED]"));
    let pop3 = Server::start(Protocol::Pop3, &post(), options).await.expect("a port");
    let mut client = Client::greeted(&pop3).await;
    assert!(client.ask("USER rita").await.starts_with("-ERR"));
}
