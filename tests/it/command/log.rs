//! The log of the program: what is told, how often, and in which form.

use std::path::Path;

use tempfile::TempDir;
use testserver::faults::Fault;
use testserver::{Options, Post, Protocol, Server};
use tokio::time::timeout;

use crate::support::program::{LIMIT, Running, folder, post, target};

/// A mail server and the exporter's folder with one target on it.
struct Site {
    _post: Post,
    smtp: Server,
    imap: Server,
    folder: TempDir,
}

impl Site {
    async fn new() -> Self {
        let post = post();
        let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
        let imap = Options::new().clear_text_login();
        let imap = Server::start(Protocol::Imap, &post, imap).await.unwrap();
        let folder = folder(&format!("targets:\n{}", target("m", smtp.port(), imap.port())));
        Self { _post: post, smtp, imap, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Waits until the SMTP server has seen so many mails begin.
async fn mails(smtp: &Server, count: u64) {
    let enough = smtp.wait_until(LIMIT, |stats| stats.count("MAIL") >= count).await;
    assert!(enough, "{:?}", smtp.stats());
}

/// Ends the program and gives everything that it has logged.
async fn ended(mut running: Running) -> Vec<String> {
    running.signal("-TERM");
    let mut lines = std::mem::take(&mut running.beginning);
    let read = async {
        while let Some(line) = running.log.next_line().await.unwrap() {
            lines.push(line);
        }
    };
    timeout(LIMIT, read).await.expect("it ends");
    lines
}

/// The same once a line with these words was logged: a state is on the page of metrics a moment before.
async fn ended_after(words: &str, running: Running) -> Vec<String> {
    ended_once(|lines| lines.iter().any(|line| line.contains(words)), running).await
}

/// The same once the lines so far tell what is waited for.
async fn ended_once(
    is_told: impl Fn(&[String]) -> bool + Sync,
    mut running: Running,
) -> Vec<String> {
    let mut lines = std::mem::take(&mut running.beginning);
    let mut is_signalled = false;
    let read = async {
        while let Some(line) = running.log.next_line().await.unwrap() {
            lines.push(line);
            if !is_signalled && is_told(&lines) {
                running.signal("-TERM");
                is_signalled = true;
            }
        }
    };
    timeout(LIMIT, read).await.expect("it is told, and ends");
    lines
}

/// The lines of a side at level info or above.
fn told<'a>(lines: &'a [String], side: &str) -> Vec<&'a String> {
    let side = format!("side={side}");
    let is_told = |line: &&String| line.contains(&side) && !line.contains("level=debug");
    lines.iter().filter(is_told).collect()
}

#[tokio::test]
async fn a_change_of_a_side_is_one_line_with_reason_duration_and_the_servers_words() {
    let site = Site::new().await;
    let running = Running::start(site.path(), &[]).await;
    mails(&site.smtp, 2).await;
    site.smtp.faults().times(3, "RCPT", Fault::reply("450 4.7.1 greylisted, try later"));
    let lines = ended_after("able to send again", running).await;
    let send = told(&lines, "send");
    assert_eq!(send.len(), 2, "{lines:#?}");
    for expected in [
        "level=info",
        "target=m",
        "token=",
        "step=envelope",
        "reason=deferred",
        "450 4.7.1 greylisted, try later",
        "not able to send, after ",
    ] {
        assert!(send[0].contains(expected), "no {expected} in {}", send[0]);
    }
    for expected in [
        "level=info",
        "target=m",
        "token=",
        "reason=deferred",
        "able to send again after ",
        "lasted_seconds=",
    ] {
        assert!(send[1].contains(expected), "no {expected} in {}", send[1]);
    }
    assert!(told(&lines, "receive").is_empty(), "the mailbox is well: {lines:#?}");
}

#[tokio::test]
async fn the_mailbox_is_told_for_itself_and_json_has_the_same_fields() {
    let site = Site::new().await;
    site.imap.faults().times(2, "SELECT", Fault::reply("{tag} NO [SERVERBUG] \"disk\" on fire"));
    let running = Running::start(site.path(), &["--log.format=json"]).await;
    let lines = ended_after("able to receive again", running).await;
    let lines: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let receive: Vec<_> = lines.iter().filter(|line| line["side"] == "receive").collect();
    assert_eq!(receive.len(), 2, "{lines:#?}");
    let down = receive[0];
    assert_eq!((&down["level"], &down["target"]), (&"info".into(), &"m".into()));
    assert_eq!((&down["step"], &down["reason"]), (&"select".into(), &"other".into()));
    assert_eq!(down["msg"], "not able to receive");
    let words = down["error"].as_str().unwrap();
    assert!(words.contains("NO [SERVERBUG] \"disk\" on fire"), "{words}");
    let up = receive[1];
    let message = up["msg"].as_str().unwrap();
    assert!(message.starts_with("able to receive again after "), "{message}");
    assert!(up["lasted_seconds"].as_f64().unwrap() > 0.5, "{up}");
    assert_eq!(up["reason"], "other");
    assert!(lines.iter().all(|line| line["side"] != "send"), "{lines:#?}");
}

#[tokio::test]
async fn a_server_that_flaps_does_not_flood_the_log() {
    let site = Site::new().await;
    for _ in 0..4 {
        site.smtp.faults().once("RCPT", Fault::None);
        site.smtp.faults().once("RCPT", Fault::reply("550 5.7.1 not today"));
    }
    let running = Running::start(site.path(), &[]).await;
    mails(&site.smtp, 8).await;
    let lines = ended(running).await;
    let send = told(&lines, "send");
    assert_eq!(send.len(), 2, "one line down, one line up: {lines:#?}");
}

#[tokio::test]
async fn at_level_debug_each_probe_is_told_with_its_token_and_at_trace_its_dialogue() {
    let site = Site::new().await;
    let running = Running::start(site.path(), &["--log.level=trace"]).await;
    // What was logged before the start was waited for is read by then: this one is told after it.
    site.smtp.faults().once("RCPT", Fault::reply("550 5.1.1 no such user"));
    let token_of = |line: &str| Some(line.split("token=").nth(1)?.split(' ').next()?.to_owned());
    let has = |lines: &[String], parts: &[&str]| {
        lines.iter().any(|line| parts.iter().all(|part| line.contains(part)))
    };
    // A mail of which all is told: it is on the page of metrics before its lines are in the log.
    let whole = |lines: &[String]| {
        let accepted = lines.iter().filter(|line| line.contains("msg=accepted"));
        accepted.filter_map(|line| token_of(line)).find(|token| {
            has(lines, &["msg=seen", token]) && has(lines, &["\"the dialogue\"", token])
        })
    };
    let is_told = |lines: &[String]| has(lines, &["\"not accepted\""]) && whole(lines).is_some();
    let lines = ended_once(is_told, running).await;
    let token = whole(&lines).unwrap();
    let with = |parts: &[&str]| {
        let has = |line: &&String| parts.iter().all(|part| line.contains(part));
        lines.iter().filter(has).cloned().collect::<Vec<_>>()
    };
    let refused = with(&["level=debug", "\"not accepted\"", "target=m", "side=send", "token="]);
    assert_eq!(refused.len(), 1, "{lines:#?}");
    assert!(refused[0].contains("550 5.1.1 no such user"), "{}", refused[0]);
    let token_part = format!("token={token}");
    let accepted = with(&["level=debug", "msg=accepted", "target=m", "side=send", &token_part]);
    assert_eq!(accepted.len(), 1, "{lines:#?}");
    assert_eq!(token.len(), 32, "{token}");
    let seen = with(&["level=debug", "msg=seen", "side=receive", &token_part]);
    assert_eq!(seen.len(), 1, "{lines:#?}");
    let dialogue = with(&["level=trace", "\"the dialogue\"", "side=send", &token_part]);
    assert!(dialogue[0].contains("< 220 ") && dialogue[0].contains("> RCPT TO"), "{dialogue:?}");
    assert!(!lines.iter().any(|line| line.contains("secret-of-b")), "{lines:#?}");
}
