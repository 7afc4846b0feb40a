//! `probe --all`: targets that share servers and mailboxes, side by side.

use std::fmt::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use testserver::faults::{self, Fault};
use testserver::{Delivery, Options, Post, Protocol, Server};
use tokio::process::Command;

use crate::support::program;

const DEADLINE: Duration = Duration::from_secs(30);

/// One SMTP server, and a mailbox by either protocol.
struct House {
    post: Post,
    smtp: Server,
    imap: Server,
    pop3: Server,
}

impl House {
    async fn new() -> Self {
        let post = program::post();
        for user in ["c", "d"] {
            post.add_account(user, &format!("secret-of-{user}"), &[&format!("{user}@demo.test")]);
        }
        let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
        let imap = Server::start(Protocol::Imap, &post, Options::new()).await.unwrap();
        let pop3 = Options::new().exclusive();
        let pop3 = Server::start(Protocol::Pop3, &post, pop3).await.unwrap();
        Self { post, smtp, imap, pop3 }
    }

    /// A target that receives in the mailbox of this user.
    fn target(&self, name: &str, user: &str, more: &str) -> String {
        let (protocol, port) = match user {
            "c" => ("pop3", self.pop3.port()),
            _ => ("imap", self.imap.port()),
        };
        format!(
            "- name: {name}\n  host: 127.0.0.1\n  from: a@demo.test\n  to: {user}@demo.test\n  \
             late_after: 20s\n  {more}\n  send: {{port: {}, tls: none, username: d, password: \
             secret-of-d, max_connections: 2}}\n  receive: {{protocol: {protocol}, port: {port}, tls: \
             none, username: {user}, password: secret-of-{user}}}\n",
            self.smtp.port()
        )
    }
}

async fn probe(config: &str, arguments: &[&str]) -> (String, i32) {
    let folder = program::folder(&format!("targets:\n{config}"));
    let all = [&["probe", "--all"], arguments].concat();
    let output = program::run(folder.path(), &all).await;
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}

#[tokio::test]
async fn targets_share_servers_and_mailboxes_without_disturbing_each_other() {
    let house = House::new().await;
    // Without it, the mark of one mail is in the way of the removal of another.
    house.imap.faults().leave_out("UIDPLUS");
    let mut config = String::new();
    for number in 0..8 {
        let _ = write!(config, "{}", house.target(&format!("imap-{number}"), "b", ""));
    }
    for number in 0..3 {
        let _ = write!(config, "{}", house.target(&format!("pop3-{number}"), "c", ""));
    }
    let (text, code) = probe(&config, &[]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.ends_with("\n11 targets: 11 ok\n"), "{text}");
    assert!(text.contains("\nTARGET  SEND    RECEIVE  ROUND TRIP  STATE\n"), "{text}");
    assert_eq!(
        text.lines().filter(|line| line.starts_with("pop3-1  ok      ok ")).count(),
        1,
        "{text}"
    );
    assert_eq!(text.lines().filter(|line| line.contains("/11  ok: ")).count(), 11, "{text}");
    for user in ["b", "c"] {
        assert_eq!(house.post.messages(user, "INBOX").len(), 0, "mail of {user} is left");
    }
    assert!(house.smtp.stats().sessions_most <= 2, "{:?}", house.smtp.stats());
    let most = house.imap.stats().sessions_most;
    assert!((2..=4).contains(&most), "side by side, and not all at a time: {most}");
    assert_eq!(house.pop3.stats().sessions_most, 1);
    assert_eq!(house.pop3.stats().logins_refused, 0);
}

#[tokio::test]
async fn the_worst_of_all_is_the_exit_code_in_each_output() {
    let house = House::new().await;
    house.post.set_delivery("b", Delivery::at_once().into_folder("Junk"));
    let nobody = "receive: {protocol: imap, port: 1, tls: none, username: u, password: p}\n";
    let down = house.target("down", "d", "passive: true").replace(
        &format!("{}, tls: none, username: d, password: secret-of-d, max", house.smtp.port()),
        "1, tls: none, max",
    );
    let down = format!("{}  {nobody}", down.split("  receive:").next().unwrap());
    let well = house.target("well", "d", "");
    let junk = house.target("junk", "b", "");
    let (text, code) = probe(&format!("{down}{well}"), &["--output=nagios"]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("MAILTRIP OK - 2 targets: 2 ok | ok=2;;;0;2 warning=0;"), "{text}");

    let (text, code) =
        probe(&format!("{down}{junk}{well}"), &["--output=nagios", "-c", "60"]).await;
    assert_eq!(code, 1, "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("MAILTRIP WARNING - 3 targets: 2 ok, 1 warning (junk) | "),
        "{text}"
    );
    assert!(lines[1].starts_with("WARNING - junk delivers: sent in "), "{text}");
    let times = lines[2].split_once(" | ").unwrap().1;
    assert!(
        times.contains("'roundtrip down'=U;20;60;0 'roundtrip junk'=")
            && times.contains(" 'roundtrip well'="),
        "{text}"
    );
    assert_eq!((lines.len(), text.matches('|').count()), (3, 2), "{text}");

    let (text, code) = probe(&format!("{down}{junk}{well}"), &["--output=json", "-c", "0"]).await;
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &document["state"]), (2, &"critical".into()));
    assert_eq!(
        (&document["counts"]["critical"], &document["counts"]["ok"]),
        (&2.into(), &1.into())
    );
    let states = document["targets"].as_array().unwrap().iter().map(|it| &it["state"]);
    assert_eq!(states.collect::<Vec<_>>(), ["ok", "critical", "critical"]);
    let (text, code) = probe("[]", &["--output=nagios"]).await;
    assert!(code == 3 && text.starts_with("MAILTRIP UNKNOWN - "), "{text}");
}

#[tokio::test]
async fn a_deadline_bounds_all_of_them() {
    let house = House::new().await;
    house.imap.faults().on("SELECT", Fault::Hang);
    house.post.set_delivery("c", Delivery::lost());
    let soon = "timeout: 700ms";
    let mut config = String::new();
    for number in 0..6 {
        let _ = write!(config, "{}", house.target(&format!("i{number}"), "b", soon));
        let _ = write!(config, "{}", house.target(&format!("p{number}"), "c", soon));
    }
    let began = Instant::now();
    let (text, code) = probe(&config, &["-t", "3"]).await;
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("cannot receive (side receive, step select, reason timeout)"), "{text}");
    assert!(text.contains("was not tested: `--timeout` left too little time for it"), "{text}");
    assert!(text.contains("p0 accepted the mail (") || text.contains("it was not seen"), "{text}");
    let summary = text.lines().last().unwrap();
    assert!(summary.starts_with("12 targets: ") && summary.contains(" unknown"), "{text}");
}

#[tokio::test]
async fn a_good_server_that_had_too_little_time_is_not_critical() {
    let house = House::new().await;
    let slow = Fault::delay(Duration::from_secs(1));
    house.smtp.faults().on(faults::GREETING, slow);
    let mut config = String::new();
    for number in 0..12 {
        let target = house.target(&format!("t{number}"), "b", "");
        let _ = write!(config, "{}", target.replace("max_connections: 2", "max_connections: 1"));
    }
    for time in ["4", "0.1"] {
        let (text, code) = probe(&config, &["--output=json", "-t", time]).await;
        let document: Value = serde_json::from_str(&text).unwrap();
        let counts = &document["counts"];
        assert_eq!((&counts["critical"], &counts["warning"]), (&0.into(), &0.into()), "{text}");
        assert!(counts["unknown"].as_u64().unwrap() > 0 && code == 3, "{text}");
        assert!(text.contains("left too little time") || text.contains("less time than"), "{text}");
    }
}

#[tokio::test]
async fn one_slow_server_leaves_the_turns_of_others_to_them() {
    let house = House::new().await;
    let hung = Server::start(Protocol::Smtp, &house.post, Options::new()).await.unwrap();
    hung.faults().on(faults::GREETING, Fault::Hang);
    let mut config = String::new();
    for number in 0..40 {
        let user = format!("u{number:02}");
        house.post.add_account(
            &user,
            &format!("secret-of-{user}"),
            &[&format!("{user}@demo.test")],
        );
        let target = house.target(&format!("bad-{user}"), &user, "timeout: 4s");
        let ports = [house.smtp.port(), hung.port()].map(|port| format!("send: {{port: {port},"));
        let [good, bad] = ports;
        let _ = write!(config, "{}", target.replace(&good, &bad));
    }
    let _ = write!(config, "{}", house.target("good", "d", "timeout: 4s"));
    let (text, _) = probe(&config, &["--output=json", "-t", "6"]).await;
    let document: Value = serde_json::from_str(&text).unwrap();
    let targets = document["targets"].as_array().unwrap();
    let good = targets.iter().find(|target| target["target"] == "good").unwrap();
    assert_eq!(good["state"], "ok", "{good:#}");
}

#[tokio::test]
async fn an_interrupt_ends_all_of_them_and_tells_what_may_still_arrive() {
    let house = House::new().await;
    house.post.set_delivery("b", Delivery::held());
    let config =
        format!("targets:\n{}{}", house.target("one", "b", ""), house.target("two", "b", ""));
    let folder = program::folder(&config);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailtrip_exporter"));
    command.current_dir(folder.path()).args(["probe", "--all"]).kill_on_drop(true);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    assert!(house.smtp.wait_until(DEADLINE, |stats| stats.mails_accepted == 2).await);
    assert!(house.imap.wait_until(DEADLINE, |stats| stats.count("NOOP") > 3).await);
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(
        text.contains("Verdict: one was not fully tested: interrupted (likewise two)\n"),
        "{text}"
    );
    assert!(text.contains("\nThese mails may still arrive"), "{text}");
    for session in house.smtp.sessions() {
        let received = String::from_utf8_lossy(&session.received).into_owned();
        let subject = received.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap();
        assert!(text.contains(&format!(": subject \"{subject}\"\n")), "{subject}: {text}");
    }
    assert!(text.ends_with("\n2 targets: 2 unknown\n"), "{text}");
}
