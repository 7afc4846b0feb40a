//! `probe` for scripts and monitoring systems, run as the program: its outputs and its exit codes.

use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tempfile::TempDir;
use testserver::faults::{self, Fault};
use testserver::{Delivery, Options, Post, Protocol, Server};
use tokio::process::Command;

use crate::support::program;

const PASSWORD: &str = "secret-of-b";
const DEADLINE: Duration = Duration::from_secs(20);

/// Two servers, and a configuration with a target `one` between them.
struct House {
    post: Post,
    smtp: Server,
    imap: Server,
    folder: TempDir,
}

/// What the program wrote to standard output, and its exit code.
struct Outcome {
    text: String,
    code: i32,
}

impl House {
    async fn new() -> Self {
        Self::with("").await
    }

    /// With more keys of the target.
    async fn with(more: &str) -> Self {
        let post = program::post();
        let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
        let imap = Server::start(Protocol::Imap, &post, Options::new()).await.unwrap();
        let target = program::target("one", smtp.port(), imap.port());
        let folder = program::folder(&format!("targets:\n{target}  late_after: 20s\n  {more}\n"));
        Self { post, smtp, imap, folder }
    }

    async fn probe(&self, arguments: &[&str]) -> Outcome {
        let all: Vec<&str> =
            ["probe", "one"].into_iter().chain(arguments.iter().copied()).collect();
        run(&self.folder, &all).await
    }

    async fn json(&self, arguments: &[&str]) -> (Value, i32) {
        let all: Vec<&str> =
            ["--output=json"].into_iter().chain(arguments.iter().copied()).collect();
        let outcome = self.probe(&all).await;
        let document = serde_json::from_str(&outcome.text);
        (document.unwrap_or_else(|error| panic!("{error}: {}", outcome.text)), outcome.code)
    }

    async fn nagios(&self, arguments: &[&str]) -> Outcome {
        let all: Vec<&str> =
            ["--output=nagios"].into_iter().chain(arguments.iter().copied()).collect();
        self.probe(&all).await
    }
}

async fn run(folder: &TempDir, arguments: &[&str]) -> Outcome {
    let output = program::run(folder.path(), arguments).await;
    let text = String::from_utf8(output.stdout).unwrap();
    Outcome { text, code: output.status.code().unwrap() }
}

/// The performance data of a line, label by label.
fn performance(line: &str) -> Vec<(&str, &str)> {
    let (_, data) = line.trim_end().split_once(" | ").unwrap_or_else(|| panic!("{line}"));
    data.split(' ').map(|item| item.split_once('=').unwrap()).collect()
}

#[tokio::test]
async fn a_script_reads_one_document() {
    let house = House::new().await;
    let before = SystemTime::now() - Duration::from_millis(1);
    let (document, code) = house.json(&[]).await;
    assert_eq!(code, 0, "{document:#}");
    for (member, expected) in [
        ("/target", "one"),
        ("/state", "ok"),
        ("/ending", "complete"),
        ("/folder", "inbox"),
        ("/mail/to", "b@demo.test"),
        ("/sides/send/protocol", "smtp"),
        ("/sides/send/host", "127.0.0.1"),
        ("/sides/send/address", "127.0.0.1"),
        ("/sides/receive/address", "127.0.0.1"),
        ("/sides/send/outcome", "accepted"),
        ("/sides/receive/protocol", "imap"),
        ("/sides/receive/outcome", "removed"),
    ] {
        let value = document.pointer(member).and_then(Value::as_str);
        assert_eq!(value, Some(expected), "{member} in {document:#}");
    }
    assert_eq!(document["successful"], true);
    assert_eq!(document["sides"]["send"]["port"], house.smtp.port());
    assert!(document["sides"]["send"]["failure"].is_null());
    assert!(document["sides"]["send"]["tls"].is_null() && document["remark"].is_null());
    let reply = document["sides"]["send"]["reply"].as_str().unwrap();
    assert!(reply.starts_with("250 2.0.0 Ok: queued as "), "{reply}");
    assert!(document["verdict"].as_str().unwrap().starts_with("one works: sent in "));
    let roundtrip = document["roundtrip_seconds"].as_f64().unwrap();
    let duration = document["duration_seconds"].as_f64().unwrap();
    assert!(0.0 < roundtrip && roundtrip <= duration && duration < 20.0, "{document:#}");
    let date = |member: &str| {
        humantime::parse_rfc3339(document[member].as_str().unwrap())
            .unwrap_or_else(|error| panic!("{member}: {error}"))
    };
    assert!(before <= date("began") && date("began") <= date("ended"));
    assert!(date("ended") <= SystemTime::now());
    let steps = |side: &str| -> Vec<String> {
        let steps = document["sides"][side]["steps"].as_array().unwrap().iter();
        steps
            .map(|step| {
                assert!(step["seconds"].as_f64().unwrap() >= 0.0);
                step["step"].as_str().unwrap().to_owned()
            })
            .collect()
    };
    assert_eq!(steps("send"), ["dns", "connect", "greeting", "envelope", "data"]);
    let receive = steps("receive");
    assert_eq!(receive[..4], ["dns", "connect", "greeting", "auth"], "{receive:?}");
    assert_eq!(receive.last().map(String::as_str), Some("remove"));
    assert!(document["sides"]["send"].get("transcript").is_none(), "it was not asked for");
    assert_eq!(std::fs::read_dir(house.folder.path()).unwrap().count(), 1, "it made a store");
}

#[tokio::test]
async fn a_failure_is_told_to_scripts_with_the_words_of_the_server() {
    let house = House::new().await;
    house.smtp.faults().on("RCPT", Fault::reply("550-5.7.1 not\r\n550 5.7.1 here"));
    let (document, code) = house.json(&[]).await;
    assert_eq!(code, 1);
    assert_eq!((&document["successful"], &document["state"]), (&false.into(), &"critical".into()));
    let send = &document["sides"]["send"];
    let failure = &send["failure"];
    assert_eq!(send["outcome"], "not_accepted");
    assert_eq!((&failure["step"], &failure["reason"]), (&"envelope".into(), &"rejected".into()));
    assert_eq!(failure["server_words"], serde_json::json!(["550-5.7.1 not", "550 5.7.1 here"]));
    let verdict = document["verdict"].as_str().unwrap();
    for part in ["message", "advice"] {
        assert!(verdict.contains(failure[part].as_str().unwrap()), "{document:#}");
    }
    assert_eq!(document["sides"]["receive"]["outcome"], "readable");
    assert!(document["roundtrip_seconds"].is_null());
}

#[tokio::test]
async fn a_plugin_writes_one_line_with_performance_data() {
    let house = House::new().await;
    let Outcome { text, code } = house.nagios(&["--critical=1m"]).await;
    assert_eq!((code, text.lines().count()), (0, 1), "{text}");
    assert!(text.starts_with("MAILTRIP OK - one works: sent in "), "{text}");
    let data = performance(&text);
    let labels: Vec<&str> = data.iter().map(|(label, _)| *label).collect();
    assert_eq!(labels, ["roundtrip", "send", "receive", "send_time", "receive_time"]);
    assert!(data[0].1.ends_with("s;20;60;0"), "{text}");
    assert_eq!((data[1].1, data[2].1), ("100%;;;0;100", "100%;;;0;100"));
    for (label, value) in [data[0], data[3], data[4]] {
        let number = value.split_once('s').unwrap().0;
        assert!(number.parse::<f64>().unwrap() >= 0.0, "{label}={value}");
    }
}

#[tokio::test]
async fn what_arrives_late_or_as_junk_is_a_warning_and_what_does_not_is_critical() {
    let house = House::new().await;
    let Outcome { text, code } = house.nagios(&["--warning=1us"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.starts_with("MAILTRIP WARNING - one is slow: sent in ")
            && text.contains(", more than 0.000"),
        "{text}"
    );
    let Outcome { text, code } = house.nagios(&["-w", "0", "-c", "0:0.000002"]).await;
    assert_eq!(code, 2, "{text}");
    assert!(text.starts_with("MAILTRIP CRITICAL - one is too slow: sent in "), "{text}");
    let (document, code) = house.json(&["-c", "2us"]).await;
    assert_eq!((&document["successful"], &document["state"]), (&false.into(), &"critical".into()));
    let text = house.probe(&["-c", "2us"]).await;
    assert_eq!((code, text.code), (1, 1), "{}", text.text);
    assert!(text.text.contains("Verdict: one is too slow: "), "{}", text.text);

    house.post.deliver_next("b", Delivery::at_once().into_folder("Junk"));
    let Outcome { text, code } = house.nagios(&[]).await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.starts_with("MAILTRIP WARNING - one delivers: ")
            && text.contains(", but filed as junk | ")
    );

    house.post.deliver_next("b", Delivery::lost());
    let Outcome { text, code } = house.nagios(&["--timeout=2s"]).await;
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("MAILTRIP CRITICAL - one accepted the mail ("), "{text}");
    assert!(performance(&text)[0].1.starts_with("U;"), "{text}");
    assert_eq!(performance(&text)[1].1, "100%;;;0;100");

    house.imap.faults().on("UID STORE", Fault::reply("{tag} NO [NOPERM] read only"));
    let Outcome { text, code } = house.nagios(&[]).await;
    assert_eq!(code, 1, "it arrived, and is still there: {text}");
}

#[tokio::test]
async fn a_node_that_may_be_down_raises_no_alarm() {
    let mut house = House::with("passive: true").await;
    house.smtp.stop().await;
    house.imap.stop().await;
    let Outcome { text, code } = house.nagios(&[]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("MAILTRIP OK - one is passive and down: not applicable ("), "{text}");
    let data = performance(&text);
    assert!(data.iter().all(|(_, value)| value.starts_with("U;")), "{text}");
}

#[tokio::test]
async fn what_cannot_be_tested_is_unknown() {
    let house = House::new().await;
    let broken = program::folder("targets:\n- name: a\n- name: b\n");
    for (folder, arguments, words) in [
        (
            &house.folder,
            vec!["probe", "two", "--output=nagios"],
            "has no target `two`; it has `one`",
        ),
        (&broken, vec!["probe", "a", "--output", "nagios"], "mailtrip.yml:2"),
        (&house.folder, vec!["probe", "one", "--output=nagios", "--timeout=x"], "write a duration"),
        (&house.folder, vec!["probe", "--output", "nagios"], "<TARGET>"),
    ] {
        let Outcome { text, code } = run(folder, &arguments).await;
        assert_eq!((code, text.lines().count()), (3, 1), "{arguments:?}: {text}");
        assert!(text.starts_with("MAILTRIP UNKNOWN - ") && text.contains(words), "{text}");
        assert!(!text.contains('|'), "{text}");
    }
    let outcome = run(&house.folder, &["probe", "two", "--output=json"]).await;
    let document: Value = serde_json::from_str(&outcome.text).unwrap();
    assert_eq!((outcome.code, &document["state"]), (1, &"unknown".into()));
    assert!(document["verdict"].as_str().unwrap().contains("has no target `two`"));
}

#[tokio::test]
async fn a_monitoring_system_that_loses_its_patience_is_told_so() {
    let house = House::new().await;
    house.post.deliver_next("b", Delivery::held());
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailtrip_exporter"));
    command.current_dir(house.folder.path()).args(["probe", "one", "--output=nagios"]);
    let child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    assert!(house.imap.wait_until(DEADLINE, |stats| stats.count("NOOP") > 0).await);
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.starts_with("MAILTRIP UNKNOWN - one was not fully tested: interrupted | "));
}

#[tokio::test]
async fn the_timeout_bounds_all_of_it() {
    let house = House::new().await;
    for (server, point, words) in [
        (&house.imap, "SELECT", "one cannot receive (side receive, step select, reason timeout): "),
        (&house.smtp, "RCPT", "one cannot send (side send, step envelope, reason timeout): "),
        (&house.imap, "NOOP", "one did not pass: no answer to "),
    ] {
        server.faults().on(point, Fault::Hang);
        house.post.deliver_next("b", Delivery::held());
        let began = Instant::now();
        let Outcome { text, code } = house.nagios(&["--timeout=2s"]).await;
        assert_eq!(code, 2, "{point}: {text}");
        assert!(text.contains(words), "{point}: {text}");
        assert!(text.contains("`--timeout` (2s) expired; raise it"), "{point}: {text}");
        assert!(began.elapsed() < Duration::from_secs(8), "{point} took {:?}", began.elapsed());
        server.faults().clear();
    }
}

#[tokio::test]
async fn the_transcript_is_shown_in_each_output_and_holds_no_secret() {
    let house = House::new().await;
    let text = house.probe(&["--show-transcript"]).await.text;
    for line in [
        "    send > RCPT TO:<b@demo.test>\n",
        "    send < 221 ",
        "    receive < * OK ",
        "\n    receive * connected to 127.0.0.1:",
    ] {
        assert!(text.contains(line), "{line:?} is missing in:\n{text}");
    }
    let (document, _) = house.json(&["--show-transcript"]).await;
    let send = document["sides"]["send"]["transcript"].as_array().unwrap();
    assert!(send.contains(&"> RCPT TO:<b@demo.test>".into()), "{document:#}");
    assert_eq!(document["sides"]["receive"]["transcript_lines_left_out"], 0);
    let nagios = house.nagios(&["--show-transcript"]).await.text;
    assert!(nagios.lines().skip(1).any(|line| line == "send > RCPT TO:<b@demo.test>"), "{nagios}");
    assert_eq!(nagios.matches('|').count(), 1, "{nagios}");
    for shown in [text, document.to_string(), nagios] {
        assert!(shown.contains("<secret>") && !shown.contains(PASSWORD), "{shown}");
    }
}

#[tokio::test]
async fn hostile_words_are_harmless_in_each_output() {
    let house = House::new().await;
    let base64 = "c2VjcmV0LW9mLWI";
    let words = format!("\x1b[2J | roundtrip=0.001s \u{202e}txt {}", "long ".repeat(1400));
    let echo = format!("{{tag}} NO {{password}} {{base64}} {base64} {words}");
    house.imap.faults().on(faults::CREDENTIALS, Fault::reply(echo));
    house.smtp.faults().on(faults::AFTER_DATA, Fault::reply(format!("554 5.7.1 {words}")));
    let text = house.probe(&["--show-transcript"]).await.text;
    let (document, code) = house.json(&["--show-transcript"]).await;
    assert_eq!(code, 1);
    let document = format!("{document:#}");
    let Outcome { text: nagios, code } = house.nagios(&["--show-transcript"]).await;
    assert_eq!(code, 2);
    let first = nagios.lines().next().unwrap();
    assert_eq!(nagios.matches('|').count(), 1, "{nagios}");
    assert_eq!(performance(first)[0].1, "U;20;;0");
    assert!(first.chars().count() < 3000 && first.contains("check `username`"), "{first}");
    for shown in [&text, &document, &nagios] {
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        assert!(!shown.contains('\u{202e}') && shown.contains("{202e}txt"), "{shown}");
        assert!(!shown.contains(PASSWORD) && !shown.contains(base64), "{shown}");
        assert!(shown.contains("<secret>") && shown.contains('…'), "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() < 4000), "{shown}");
    }
    assert!(text.lines().any(|line| line.contains("check `username`")), "{text}");
}

#[tokio::test]
async fn a_line_without_end_fills_nothing() {
    let house = House::new().await;
    house.smtp.faults().on("EHLO", Fault::EndlessLine);
    let Outcome { text, code } = house.nagios(&[]).await;
    assert_eq!(code, 2);
    assert!(text.contains("step greeting, reason protocol): a line of more than "), "{text}");
}
