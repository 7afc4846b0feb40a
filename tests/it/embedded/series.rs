//! How many series a target has with everything that the budget allows for: ping, two further ports, TLS, a
//! sender's mailbox and header facts, after a failure of each side.

use std::collections::BTreeMap;
use std::time::SystemTime;

use mail::options::TlsMode;
use testserver::faults::{CREDENTIALS, Fault};
use testserver::tls::Certificate;
use testserver::{Delivery, Protocol, Server};
use tokio::net::TcpListener;

use super::bounces::with_sender_mailbox;
use crate::support::http;
use crate::support::mails::mail_date;
use crate::support::{Exporter, Trust, USER, World, protected, serve};

/// The most series of a target.
const BUDGET: usize = 100;

/// What two servers on the way and a spam filter have written above the mail.
fn trace() -> String {
    let date = mail_date(SystemTime::now());
    let hop = |by: &str, from: &str| {
        format!(
            "Received: from {from} ({from} [203.0.113.5])\r\n\tby {by} with ESMTPS id 1; {date}\r\n"
        )
    };
    hop("mx.example.test", "out.example.test")
        + "Authentication-Results: mx.example.test; spf=pass; dkim=pass; dmarc=pass\r\n\
           X-Spam-Status: No, score=1.5 required=5.0\r\n"
        + &hop("out.example.test", "monitor.example.test")
}

/// A target with everything switched on, after a failure of each side and a mail that came.
async fn busy() -> (Exporter, impl Sized) {
    let trust = Trust::new();
    let options = || protected(TlsMode::StartTls, &trust, Certificate::Good);
    let world = World::with(Protocol::Imap, options(), options()).await;
    let sender =
        Server::start(Protocol::Imap, &world.post, testserver::Options::new()).await.unwrap();
    let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ports = [("web", web.local_addr().unwrap().port()), ("imap", sender.port())];
    let ports = ports.map(|(name, port)| format!("'{name}:127.0.0.1:{port}'")).join(", ");
    let target = with_sender_mailbox(world.target("a"), &sender, "sam")
        .sender_logs_in()
        .protect("send", TlsMode::StartTls, &trust)
        .protect("receive", TlsMode::StartTls, &trust)
        .set("host", "127.0.0.1")
        .set("interval", "1s")
        .set("late_after", "1m")
        .set("ping", "true")
        .set("ports", &format!("[{ports}]"))
        .set("labels", r#"{site: fra, team: "a \"b\" \\ \n ü"}"#);
    world.post.set_delivery(USER, Delivery::lost());
    world.mailbox.faults().once(CREDENTIALS, Fault::reply("{tag} NO not now"));
    world.smtp.faults().once("RCPT", Fault::reply("450 4.2.0 not now"));
    let exporter = Exporter::start(&[target]).await;
    let mail = world.sent(1).await.remove(0);
    world.post.insert(USER, "INBOX", format!("{}{mail}", trace()).as_bytes());
    // A check reads the header of a mail if there is one.
    world.post.insert(USER, "INBOX", b"Subject: of somebody else\r\n\r\n");
    (exporter, (world, sender, web, trust))
}

/// How many series of each family a page has.
fn families(page: &str) -> BTreeMap<&str, usize> {
    let samples = page.lines().filter(|line| line.contains("target=\"a\""));
    samples.fold(BTreeMap::new(), |mut families, sample| {
        *families.entry(sample.split('{').next().unwrap_or_default()).or_default() += 1;
        families
    })
}

#[tokio::test]
async fn a_target_with_everything_on_has_at_most_100_series() {
    let (exporter, _servers) = busy().await;
    let (address, _serving) = serve(&exporter.supervisor, false).await;
    // The newest of each, so that all that can be there is there.
    let whole = [
        "mailtrip_last_failure_timestamp_seconds{target=\"a\",side=\"send\"",
        "mailtrip_last_failure_timestamp_seconds{target=\"a\",side=\"receive\"",
        "mailtrip_tcp_port_response_seconds{target=\"a\",port_name=\"web\"",
        "mailtrip_step_duration_seconds{target=\"a\",side=\"send\",step=\"data\"",
        "mailtrip_step_duration_seconds{target=\"a\",side=\"receive\",step=\"fetch\"",
        "mailtrip_step_duration_seconds{target=\"a\",side=\"receive\",step=\"delivery\"",
        "mailtrip_roundtrip_last_seconds{target=\"a\"",
        "mailtrip_tls_info{target=\"a\",side=\"send\"",
        "mailtrip_tls_info{target=\"a\",side=\"receive\"",
        "mailtrip_sender_mailbox_up{target=\"a\"",
        "mailtrip_hop_delay_seconds{target=\"a\",hop=\"2\"",
        "mailtrip_authentication_result{target=\"a\",method=\"dmarc\"",
        "mailtrip_spam_score{target=\"a\"",
        "mailtrip_last_hop_tls{target=\"a\"",
    ];
    let is_whole = |page: &str| whole.iter().all(|series| page.contains(series));
    let answer = http::until(&address.to_string(), "/metrics", is_whole).await;
    let page = answer.text();
    let families = families(page);
    let count: usize = families.values().sum();
    assert!(count <= BUDGET, "{count} series: {families:#?}");
    for sample in page.lines().filter(|line| line.contains("target=\"a\"")) {
        let configured = r#"site="fra",team="a \"b\" \\ \n ü""#;
        assert!(sample.contains(configured), "{sample}");
    }
    exporter.supervisor.stop().await;
}
