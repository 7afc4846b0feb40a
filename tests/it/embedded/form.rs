//! A test mail such as people send, on its way through servers that change it or do not take it.

use std::path::Path;
use std::time::Duration;

use ledger::{Clue, Reason, Side, Step};
use mail::content::Content;
use mail::smtp::{NotAccepted, Smtp};
use mail::trace::Trace;
use mail::wire::{ConnectionContext, Dialer};
use mail_parser::{MessageParser, MimeHeaders};
use mailtrip_exporter::account::advice::next_step;
use mailtrip_exporter::config::Config;
use mailtrip_exporter::metrics::{self, Syntax};
use testserver::{Delivery, Protocol};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::support::http;
use crate::support::{Exporter, MAILBOXES, USER, World, dialogues, serve};

const MAIL: &str = "{subject: 'Invoice {token}', headers: {X-Company: acme, Precedence: ''}, body: 'Of {target}', \
                    size: 50kB, attachment: {name: invoice.pdf}}";

#[tokio::test]
async fn a_mail_as_people_send_it_makes_its_round_trip() {
    for mailbox in MAILBOXES {
        let world = World::new(mailbox).await;
        let exporter = Exporter::start(&[world.target("a").set("mail", MAIL)]).await;
        exporter.received("a", 1).await;
        world.inbox_holds(0).await;
        let sent = world.mails_sent().remove(0);
        // The trace field of the server stands before it.
        let (_, sent) = sent.split_once("From: ").unwrap();
        assert_eq!(sent.len() + "From: ".len(), 50_000);
        let message = MessageParser::default().parse(sent.as_bytes()).unwrap();
        assert_eq!(message.body_text(0).unwrap().lines().next(), Some("Of a"));
        assert_eq!(message.header_raw("X-Company").map(str::trim), Some("acme"));
        assert_eq!(message.header_raw("Precedence"), None);
        let attachment = message.attachment(0).unwrap();
        assert_eq!(attachment.attachment_name(), Some("invoice.pdf"));
        assert!((34_000..36_500).contains(&attachment.contents().len()));
        let said = dialogues(&world.smtp).remove(0);
        assert!(said.received_contains(b" SIZE=50000"), "{said:?}");
    }
}

/// The page of metrics, and its lines of this family.
fn sizes(exporter: &Exporter) -> Vec<String> {
    let page: String =
        metrics::pieces(exporter.supervisor.views(), None, Syntax::OpenMetrics).collect();
    let lines = page.lines().filter(|line| line.contains("mailtrip_mail_"));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn its_size_is_told_at_both_ends_and_of_other_targets_never() {
    let world = World::new(Protocol::Imap).await;
    let plain = Exporter::start(&[world.target("a")]).await;
    plain.received("a", 1).await;
    world.inbox_holds(0).await;
    assert_eq!(sizes(&plain), Vec::<String>::new());
    let asked = |world: &World| {
        world.mailbox.sessions().iter().any(|session| session.received_contains(b"RFC822.SIZE"))
    };
    assert!(!asked(&world));

    let world = World::new(Protocol::Imap).await;
    let exporter = Exporter::start(&[world.target("a").set("mail", MAIL), world.target("b")]).await;
    exporter.received("a", 1).await;
    world.inbox_holds(0).await;
    assert!(asked(&world));
    let lines = sizes(&exporter);
    let value = |name: &str| -> f64 {
        let sample = format!("{name}{{target=\"a\"}} ");
        let found = lines.iter().find_map(|line| line.strip_prefix(&sample));
        found.unwrap_or_else(|| panic!("{name}: {lines:#?}")).parse().unwrap()
    };
    assert!((value("mailtrip_mail_sent_bytes") - 50_000.0).abs() < 0.5);
    let arrived = value("mailtrip_mail_arrived_bytes");
    assert!((50_001.0..51_000.0).contains(&arrived), "with the trace field: {arrived}");
    assert!(!lines.iter().any(|line| line.contains("target=\"b\"")), "{lines:#?}");
    let (address, _serving) = serve(&exporter.supervisor, false).await;
    let address = address.to_string();
    let page = http::get(&address, "/targets/a").await;
    for words in
        ["The test mail is 50kB, with invoice.pdf.", "bytes in the mailbox; it was sent as 50000"]
    {
        assert!(page.text().contains(words), "{words}: {}", page.text());
    }
    let document = http::get(&address, "/api/targets/a").await;
    let compact = document.text().replace([' ', '\n'], "");
    assert!(compact.contains("\"sent_bytes\":50000"), "{compact}");
    assert!(!http::get(&address, "/targets/b").await.text().contains("The test mail is"));
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn it_is_known_by_its_subject_where_a_gateway_takes_the_rest_away() {
    let world = World::new(Protocol::Imap).await;
    world.post.set_delivery(USER, Delivery::lost());
    let exporter = Exporter::start(&[world.target("a").set("mail", MAIL)]).await;
    let mail = world.sent(1).await.remove(0);
    exporter.until("a", "accepted", |s| s.totals.accepted == 1).await;
    let subject = mail.lines().find(|line| line.starts_with("Subject: Invoice ")).unwrap();
    let rest = format!(
        "From: from@example.test\r\n{subject}\r\nMessage-ID: <1@gateway.test>\r\n\r\nA file was taken away.\r\n"
    );
    world.post.insert(USER, "INBOX", rest.as_bytes());
    exporter.received("a", 1).await;
    world.inbox_holds(0).await;
}

#[tokio::test]
async fn a_mail_that_is_too_large_is_refused_before_it_is_sent() {
    let world = World::new(Protocol::Imap).await;
    let target = world.target("a").set("mail", "{size: 2MB}");
    let exporter = Exporter::start(&[target]).await;
    let snapshot = exporter.until("a", "refused", |s| s.sides.send.last_failure.is_some()).await;
    let failure = snapshot.sides.send.last_failure.clone().unwrap().1;
    assert_eq!((failure.step, failure.reason), (Step::Envelope, Reason::Rejected), "{failure}");
    assert!(failure.message.contains("552 5.3.4"), "{failure}");
    assert_eq!(failure.clue, Some(Clue::TooLarge));
    let advice =
        next_step(&exporter.supervisor.view("a").unwrap().target, Side::Send, &failure, "m.yml:3");
    assert!(advice.contains("make `mail` of the target smaller in m.yml:3"), "{advice}");
    assert_eq!((snapshot.totals.probes, snapshot.totals.accepted), (1, 0));
    assert!(!dialogues(&world.smtp).remove(0).received_contains(b"DATA"));
}

/// What a server does with the rest of a mail that it has refused.
enum Then {
    Drains,
    Leaves,
    Stalls(tokio::sync::oneshot::Receiver<()>),
}

/// A server that has had enough after so many bytes of the mail.
async fn full_after(listener: TcpListener, most: usize, then: Then) {
    let (client, _) = listener.accept().await.unwrap();
    let mut client = BufStream::new(client);
    client.write_all(b"220 a\r\n").await.unwrap();
    loop {
        client.flush().await.unwrap();
        let mut line = String::new();
        if client.read_line(&mut line).await.unwrap() == 0 {
            return;
        }
        let answer: &[u8] = if line == "DATA\r\n" { b"354 go on\r\n" } else { b"250 ok\r\n" };
        client.write_all(answer).await.unwrap();
        if line == "DATA\r\n" {
            break;
        }
    }
    client.flush().await.unwrap();
    let mut begun = vec![0; most];
    client.read_exact(&mut begun).await.unwrap();
    client.write_all(b"552 enough of it\r\n").await.unwrap();
    client.flush().await.unwrap();
    match then {
        Then::Drains => {}
        // With unread data in its buffer it resets the connection.
        Then::Leaves => return,
        Then::Stalls(until) => drop(until.await),
    }
    let mut rest = vec![0; 65_536];
    while client.read(&mut rest).await.is_ok_and(|count| count > 0) {}
}

#[tokio::test]
async fn a_server_that_has_had_enough_is_heard_in_the_middle_of_the_mail() {
    let (_stays, stalls) = tokio::sync::oneshot::channel();
    for then in [Then::Drains, Then::Leaves, Then::Stalls(stalls)] {
        is_heard(then).await;
    }
}

async fn is_heard(then: Then) {
    let is_stalling = matches!(then, Then::Stalls(_));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(full_after(listener, 200_000, then));
    let text = format!(
        "targets: [{{name: a, from: from@example.test, to: to@example.test, host: 127.0.0.1, mail: {{size: 50MB}}, \
         timeout: 2s, send: {{port: {port}, tls: none}}, receive: {{protocol: imap, tls: none, username: rita, password: x}}}}]"
    );
    let target = Config::parse(&text, Path::new("mailtrip.yml"))
        .unwrap()
        .targets
        .into_values()
        .next()
        .unwrap();
    let dialer = Dialer::new(&target.send.endpoint, None, &ConnectionContext::default()).unwrap();
    let (trace, end) = (Trace::new(None), Instant::now() + Duration::from_secs(60));
    let mut smtp = Smtp::open(&dialer, None, Some("a.test"), trace.clone(), end).await.unwrap();
    let token = ledger::Token::random();
    let now = std::time::SystemTime::now();
    let content: Content =
        mail::test_mail::write(target.addressed(), token, token, now, "a.test").await.unwrap();
    assert_eq!(content.size(), 50_000_000);
    let error = smtp.hand_over(&target.from, &target.to, "1", &content).await.unwrap_err();
    let NotAccepted::Broken(failure) = error else { panic!("{error:?}") };
    assert_eq!((failure.step, failure.reason), (Step::Data, Reason::Rejected), "{failure}");
    assert!(failure.message.contains("enough of it"), "{failure}");
    assert!(trace.transcript().contains("the message (50000000 bytes)"), "{}", trace.transcript());
    assert_eq!(failure.clue, Some(Clue::TooLarge), "{failure}");
    drop(smtp);
    if is_stalling {
        server.abort();
    }
    assert!(server.await.is_ok() != is_stalling);
}
