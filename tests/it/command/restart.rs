//! A restart is invisible: what a target shows at the first scrape of a process is what it showed at the
//! last one of the process before, which was killed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use testserver::faults::{CREDENTIALS, Fault, GREETING, Gate};
use testserver::tls::{Authority, Certificate};
use testserver::{Options, Post, Protocol, Server};

use crate::lab::until;
use crate::support::program::{Running, folder, sqlite, value};

const LIMIT: Duration = Duration::from_secs(60);

/// A target whose next mail is due in an hour, with everything that can be measured of it.
fn config(smtp: &Server, imap: &Server, more: &str) -> String {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tls = "tls_options: {insecure_skip_verify: true}";
    let mailbox = |user: &str| {
        let port = imap.port();
        format!(
            "{{protocol: imap, host: 127.0.0.1, port: {port}, username: {user}, password: \
             secret-of-{user}, {tls}}}"
        )
    };
    format!(
        "state_dir: state\ntargets:\n- name: one\n  host: 127.0.0.1\n  interval: 1h\n  from: a@demo.test\n  \
         to: b@demo.test\n  ping: true\n  ports: ['web:{closed}']\n  send: {{port: {}, {tls}}}\n  \
         receive: {}\n  sender_mailbox: {}\n  {more}\n",
        smtp.port(),
        mailbox("b"),
        mailbox("a"),
    )
}

/// The series of the target.
fn series(page: &str) -> BTreeSet<String> {
    let of_target = |line: &&str| !line.starts_with('#') && line.contains("target=\"one\"");
    page.lines().filter(of_target).map(str::to_owned).collect()
}

/// Starts an exporter on servers with these faults, kills it once it `has_measured`, every layer was checked
/// and all of it is kept, and compares.
async fn is_invisible(
    faults: impl FnOnce(&Server, &Server),
    more: &str,
    has_measured: impl Fn(&str) -> bool,
) {
    let post = Post::new();
    for user in ["a", "b"] {
        post.add_account(user, &format!("secret-of-{user}"), &[&format!("{user}@demo.test")]);
    }
    let tls = Authority::new().unwrap().server(Certificate::Good).unwrap();
    let smtp = Server::start(Protocol::Smtp, &post, Options::new().starttls(&tls)).await.unwrap();
    let imap = Server::start(Protocol::Imap, &post, Options::new().starttls(&tls)).await.unwrap();
    faults(&smtp, &imap);
    let folder = folder(&config(&smtp, &imap, more));
    let exporter = Running::start(folder.path(), &[]).await;
    exporter.until("/metrics", has_measured).await;
    until("a round of checks was made", async || {
        sqlite(folder.path(), "SELECT count(*) FROM layer WHERE name = 'port.web'").trim() == "1"
    })
    .await;
    let began = Instant::now();
    let (before, details) = loop {
        assert!(began.elapsed() < LIMIT, "something comes all the time");
        let page = exporter.get("/metrics").await;
        assert!(is_measured(&page), "{page}");
        let details = exporter.get("/api/targets/one").await;
        exporter.has_kept_all(folder.path()).await;
        // Nothing has come after what is compared.
        if series(&exporter.get("/metrics").await) == series(&page) {
            break (series(&page), details);
        }
    };
    exporter.kill().await;
    // The next check of a mailbox is under way when it is looked.
    imap.faults().clear();
    imap.faults().on(GREETING, Fault::Held(Gate::default()));
    let exporter = Running::start(folder.path(), &[]).await;
    let after = series(&exporter.get("/metrics").await);
    let changed: Vec<&String> = before.symmetric_difference(&after).collect();
    assert!(changed.is_empty(), "{changed:#?}");
    let details_after = exporter.get("/api/targets/one").await;
    for part in ["send", "receive", "layers", "layer_checks", "inspection"] {
        let part_of = |text: &str| {
            let mut part = serde_json::from_str::<serde_json::Value>(text).unwrap()[part].clone();
            // Whether a process may ping is found out by each for itself.
            if let Some(ping) = part.get_mut("ping").and_then(serde_json::Value::as_object_mut) {
                ping.remove("obstacle");
            }
            part
        };
        assert_eq!(part_of(&details_after), part_of(&details), "{part}");
    }
}

/// Whether the series are there whose absence would make the comparison easy.
fn is_measured(page: &str) -> bool {
    [
        "mailtrip_ping_rtt_avg_seconds{",
        "mailtrip_tcp_port_failures_total{",
        "mailtrip_layer_state{",
        "mailtrip_sender_mailbox_up{",
    ]
    .iter()
    .all(|name| page.contains(name))
}

#[tokio::test]
async fn of_a_healthy_target() {
    let has_measured = |page: &str| {
        value(page, "mailtrip_roundtrip_minutes").is_some_and(|minutes| minutes > 0.0)
            && page.contains("mailtrip_tls_info{target=\"one\",side=\"receive\"")
            && page.contains("step=\"remove\"")
            && page.contains("mailtrip_last_hop_tls")
            && value(page, "mailtrip_sender_mailbox_up") == Some(1.0)
    };
    is_invisible(|_, _| {}, "", has_measured).await;
}

#[tokio::test]
async fn of_one_that_fails() {
    let faults = |smtp: &Server, imap: &Server| {
        smtp.faults().on("MAIL", Fault::reply("550 5.7.1 not from here"));
        imap.faults().on(CREDENTIALS, Fault::reply("{tag} NO go away"));
    };
    let has_measured = |page: &str| {
        let failing = "mailtrip_consecutive_failures{target=\"one\",side=";
        ["send", "receive"].iter().all(|side| page.contains(&format!("{failing}\"{side}\"}} 1")))
            && value(page, "mailtrip_sender_mailbox_up") == Some(0.0)
    };
    is_invisible(faults, "", has_measured).await;
}

#[tokio::test]
async fn of_a_passive_one_that_is_down() {
    let faults = |smtp: &Server, imap: &Server| {
        smtp.faults().on(GREETING, Fault::last_words("554 no service here"));
        imap.faults().on(GREETING, Fault::last_words("* BYE not here"));
    };
    let has_measured = |page: &str| {
        ["send", "receive"].iter().all(|side| {
            page.contains(&format!("mailtrip_server_up{{target=\"one\",side=\"{side}\"}} 0"))
        })
    };
    is_invisible(faults, "passive: true", has_measured).await;
}
