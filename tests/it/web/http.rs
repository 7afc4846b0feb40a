//! The pages over the real listener, with the real exporter behind them.

use std::io::Read;
use std::path::PathBuf;

use hyper::Method;
use ledger::Token;
use mailtrip_exporter::config::Config;
use mailtrip_exporter::probing::send::Origin;
use mailtrip_exporter::supervisor::Supervisor;
use tempfile::TempDir;
use testserver::faults::{self, Fault};
use testserver::{Options, Post, Protocol, Server};
use tokio_util::sync::DropGuard;

use crate::support::http::{self, Answer};
use crate::support::serve;

const PASSWORD: &str = "sword-fish-7";
const OPENMETRICS: (&str, &str) =
    ("Accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");

/// An exporter of one target, `one`, served on a port of its own.
struct Exporter {
    address: String,
    config_file: PathBuf,
    mailbox: Server,
    smtp: Server,
    _folder: TempDir,
    _shutdown: DropGuard,
}

impl Exporter {
    /// With mail servers that `script` has spoken to.
    async fn start(script: impl FnOnce(&Server)) -> Self {
        let post = Post::new();
        post.add_account("rita", PASSWORD, &["rita@demo.test"]);
        let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
        let mailbox = Server::start(Protocol::Imap, &post, Options::new()).await.unwrap();
        script(&mailbox);
        let folder = tempfile::tempdir().unwrap();
        let config_file = folder.path().join("mailtrip.yml");
        std::fs::write(&config_file, yaml(&smtp, &mailbox, &["one"])).unwrap();
        let config = Config::load(&config_file).unwrap();
        let origin = Origin { instance: Token::random(), host: None };
        let supervisor = Supervisor::start(config, Some(config_file.clone()), origin).await;
        let (address, _shutdown) = serve(&supervisor.unwrap(), true).await;
        let address = address.to_string();
        Self { address, config_file, mailbox, smtp, _folder: folder, _shutdown }
    }

    async fn good() -> Self {
        Self::start(|_| {}).await
    }

    async fn get(&self, path: &str) -> Answer {
        http::get(&self.address, path).await
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        http::ask(&self.address, method, path, headers).await.unwrap()
    }

    /// Asks until the answer holds what is wanted.
    async fn until(&self, path: &str, wanted: &str) -> Answer {
        http::until(&self.address, path, |text| text.contains(wanted)).await
    }

    /// Writes a configuration with these targets.
    fn configure(&self, names: &[&str]) {
        std::fs::write(&self.config_file, yaml(&self.smtp, &self.mailbox, names)).unwrap();
    }
}

fn yaml(smtp: &Server, mailbox: &Server, names: &[&str]) -> String {
    let (smtp, mailbox) = (smtp.port(), mailbox.port());
    let mut yaml = format!(
        "state_dir: unused\n\
         defaults:\n  host: 127.0.0.1\n  interval: 1s\n  from: sam@demo.test\n  to: rita@demo.test\n  \
         send: {{port: {smtp}, tls: none, username: rita, password: {PASSWORD}}}\n  \
         receive: {{protocol: imap, port: {mailbox}, tls: none, username: rita, \
         password: {PASSWORD}}}\n\
         targets:\n"
    );
    for name in names {
        yaml += &format!("- name: {name}\n");
    }
    yaml
}

#[tokio::test]
async fn a_scraper_gets_the_format_it_prefers() {
    let exporter = Exporter::good().await;
    let classic =
        exporter.until("/metrics", "mailtrip_send_ability_percent{target=\"one\"} 100").await;
    assert_eq!(classic.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(!classic.text().contains("# EOF"));
    let openmetrics = exporter.ask(Method::GET, "/metrics", &[OPENMETRICS]).await;
    let content_type = openmetrics.header("content-type").unwrap();
    assert!(content_type.starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(openmetrics.text().ends_with("# EOF\n"));
    assert_eq!(exporter.get("/probe?target=one").await.status, 200);
    assert_eq!(exporter.get("/probe?target=two").await.status, 404);
}

#[tokio::test]
async fn pages_are_compressed_for_those_who_can_read_that() {
    let exporter = Exporter::good().await;
    for path in ["/metrics", "/"] {
        let plain = exporter.get(path).await;
        assert_eq!(plain.header("content-encoding"), None);
        let packed = exporter.ask(Method::GET, path, &[("Accept-Encoding", "gzip")]).await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "{path}");
        assert!(packed.body.len() * 2 < plain.body.len(), "{path}");
        let mut text = String::new();
        flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_string(&mut text).unwrap();
        assert!(text.contains("one"), "{path}");
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let exporter = Exporter::good().await;
    for path in ["/", "/metrics", "/probe?target=one", "/config", "/-/healthy", "/-/ready"] {
        let head = exporter.ask(Method::HEAD, path, &[]).await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_ne!(head.header("content-length"), Some("0"), "{path}");
    }
}

#[tokio::test]
async fn unknown_pages_and_methods_are_refused() {
    let exporter = Exporter::good().await;
    assert_eq!(exporter.get("/nowhere").await.status, 404);
    let wrong = exporter.ask(Method::POST, "/metrics", &[]).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, HEAD")));
    let wrong = exporter.get("/-/reload").await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST, PUT")));
}

#[tokio::test]
async fn a_reload_adds_and_removes_targets_and_a_bad_file_changes_nothing() {
    let exporter = Exporter::good().await;
    exporter.configure(&["one", "two"]);
    assert_eq!(exporter.get("/probe?target=two").await.status, 404);
    assert_eq!(exporter.ask(Method::POST, "/-/reload", &[]).await.status, 200);
    assert_eq!(exporter.get("/probe?target=two").await.status, 200);
    exporter.until("/metrics", "mailtrip_send_ability_percent{target=\"two\"} 100").await;

    exporter.configure(&["one", "one"]);
    let failed = exporter.ask(Method::PUT, "/-/reload", &[]).await;
    assert_eq!(failed.status, 500);
    assert!(failed.text().contains("mailtrip.yml:11: targets[1].name"), "{}", failed.text());
    assert!(!failed.text().contains(PASSWORD));
    assert_eq!(exporter.get("/probe?target=two").await.status, 200);
    assert!(exporter.get("/").await.text().contains("could not be reloaded"));

    exporter.configure(&["two"]);
    assert_eq!(exporter.ask(Method::POST, "/-/reload", &[]).await.status, 200);
    assert_eq!(exporter.get("/probe?target=one").await.status, 404);
    assert!(!exporter.get("/metrics").await.text().contains("target=\"one\""));
    assert!(!exporter.get("/").await.text().contains("could not be reloaded"));
}

#[tokio::test]
async fn the_configuration_is_shown_here_and_not_through_a_proxy() {
    let exporter = Exporter::good().await;
    let shown = exporter.get("/config").await;
    assert_eq!(shown.status, 200);
    assert!(shown.text().contains("name: one") && shown.text().contains("<secret>"));
    assert!(!shown.text().contains(PASSWORD));
    let refused = exporter.ask(Method::GET, "/config", &[("X-Forwarded-For", "192.0.2.1")]).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("--web.enable-details"), "{}", refused.text());
}

#[tokio::test]
async fn hostile_words_of_a_server_are_escaped_and_cut_on_the_status_page() {
    let hostile = format!(
        "{{tag}} NO <img src=x onerror=alert(1)>\x1b[31m {{password}} {{base64}} {}",
        "z".repeat(10_000)
    );
    let exporter =
        Exporter::start(|mailbox| mailbox.faults().on(faults::CREDENTIALS, Fault::reply(hostile)))
            .await;
    let page = exporter.until("/", "Cannot receive").await;
    let text = page.text();
    assert!(text.contains("&#60;img src=x onerror=alert(1)&#62;\\u{1b}[31m"), "{text}");
    assert!(!text.contains("<img") && !text.contains('\x1b'), "{text}");
    assert!(text.contains('…') && !text.contains(&"z".repeat(500)), "{text}");
    assert!(!text.contains(PASSWORD) && text.contains("&#60;secret&#62;"), "{text}");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(!exporter.get("/metrics").await.text().contains("onerror"));
}
