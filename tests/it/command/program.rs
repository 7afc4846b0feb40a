//! The program as its user runs it: flags, exit codes, signals.

use std::process::Stdio;
use std::time::Duration;

use testserver::faults::{CONNECT, Fault};
use testserver::{Options, Protocol, Server};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::ChildStdout;
use tokio::time::timeout;

use crate::support::http;
use crate::support::program::{LIMIT, Running, folder, is, log_line, post, program, run, target};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn check_says_what_will_be_probed() {
    let folder = folder(&format!("targets:\n{}", target("m", 2525, 1143)));
    for arguments in [&["check"][..], &["--config.check"], &["check", "--config.file=mailtrip.yml"]]
    {
        let output = run(folder.path(), arguments).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let out = text(&output.stdout);
        assert!(out.starts_with("m: every 1s one mail from a@demo.test to b@demo.test"), "{out}");
        assert!(!out.contains("secret-of-b"), "{out}");
        let summary = "\nsending:   1 by smtp through 1 server, 86400 mails a day\n\
                       receiving: 1 by imap in 1 mailbox on 1 server\n\
                       mailtrip.yml is good: 1 target, no warnings\n";
        assert!(out.ends_with(summary), "{out}");
    }
    let many: String = (0..30).map(|number| target(&format!("m{number}"), 2525, 1143)).collect();
    std::fs::write(folder.path().join("mailtrip.yml"), format!("targets:\n{many}")).unwrap();
    let summary = "mailtrip.yml is good: 30 targets, no warnings";
    let short = run(folder.path(), &["check"]).await;
    let way = "; `check --verbose` lists all of them";
    let short = text(&short.stdout);
    assert_eq!(short.lines().count(), 3, "{short}");
    assert!(short.ends_with(&format!("\n{summary}{way}\n")), "{short}");
    let all = run(folder.path(), &["check", "--verbose"]).await;
    assert_eq!(text(&all.stdout).lines().count(), 33);
}

#[tokio::test]
async fn a_bad_configuration_is_told_whole_and_nothing_starts() {
    let folder = folder("targets:\n- name: m\n  intervall: 5m\n  from: nobody\n");
    for arguments in [&["check"][..], &["--config.check"], &[], &["probe", "m"]] {
        let output = run(folder.path(), arguments).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let problems = text(&output.stderr);
        for place in ["mailtrip.yml:3: targets[0].intervall:", "mailtrip.yml:4: targets[0].from:"] {
            assert!(problems.contains(place), "no {place} in\n{problems}");
        }
        let count = problems.lines().last().filter(|line| {
            line.contains(
                "problems; the exporter does not \
                                                                 start",
            )
        });
        assert_eq!(
            count.is_some(),
            arguments.iter().any(|word| word.contains("check")),
            "{problems}"
        );
        assert!(!folder.path().join("mailtrip-state").exists());
    }
}

#[tokio::test]
async fn without_a_configuration_the_way_to_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["check"][..], &[], &["probe", "m"]] {
        let output = run(folder.path(), arguments).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = text(&output.stderr);
        for part in ["mailtrip.yml", "_exporter demo", "mailtrip.example.yml", "--config.file"] {
            assert!(told.contains(part), "no {part} in\n{told}");
        }
        assert!(told.lines().all(|line| line.len() <= 80), "{told}");
        // A machine that has the package is told of that file, whatever is in it.
        let looks_further = told.contains("/etc/mailtrip_exporter/mailtrip.yml");
        assert_eq!(looks_further, !arguments.is_empty(), "{told}");
    }
    let output = run(folder.path(), &["check", "--config.file=mailtrip.yml"]).await;
    let told = text(&output.stderr);
    assert!(told.starts_with("mailtrip.yml: does not exist\n"), "{told}");
}

#[tokio::test]
async fn a_configuration_through_a_pipe_runs_and_is_not_reloaded() {
    let post = post();
    let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
    let imap = Server::start(Protocol::Imap, &post, Options::new()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path());
    command.args(["--config.file=/dev/stdin", "--web.enable-lifecycle"]).stdin(Stdio::piped());
    let config = format!("targets:\n{}", target("one", smtp.port(), imap.port()));
    let mut child = command
        .args(["--web.listen-address", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(config.as_bytes()).await.unwrap();
    let mut running = Running::listening(child).await;
    running.until("/metrics", |page| is(page, "mailtrip_receive_ability_percent", 100.0)).await;
    running.signal("-HUP");
    let line = log_line(&mut running.log, "cannot be read again").await;
    assert!(line.contains("/dev/stdin: is a pipe and cannot be read again: to reload"), "{line}");
    running.until("/metrics", |page| is(page, "mailtrip_send_ability_percent", 100.0)).await;
}

#[tokio::test]
async fn check_reads_the_web_configuration_too() {
    let folder = folder(&format!("targets:\n{}", target("m", 2525, 1143)));
    let web = folder.path().join("web.yml");
    for arguments in
        [["check", "--web.config.file=web.yml"], ["--config.check", "--web.config.file=web.yml"]]
    {
        std::fs::write(&web, "rate_limit: {interval: 1s, burst: 20}\n").unwrap();
        let output = run(folder.path(), &arguments).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let out = text(&output.stdout);
        assert!(out.contains("\nweb.yml: plain HTTP, no users\n"), "{out}");

        std::fs::write(&web, "basic_auth_users:\n  ann: word-in-clear\n").unwrap();
        let output = run(folder.path(), &arguments).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let problems = text(&output.stderr);
        assert!(problems.contains("web.yml:2: basic_auth_users.ann: must be a"), "{problems}");
        assert!(!problems.contains("word-in-clear"), "{problems}");
    }
    // What is wrong with either file is told at once.
    std::fs::write(folder.path().join("mailtrip.yml"), "targets:\n- from: nobody\n").unwrap();
    let output = run(folder.path(), &["check", "--web.config.file=web.yml"]).await;
    let problems = text(&output.stderr);
    for place in ["mailtrip.yml:2: targets[0].from:", "web.yml:2: basic_auth_users.ann:"] {
        assert!(problems.contains(place), "no {place} in\n{problems}");
    }
}

/// The commit that is checked out, as the program should know it.
fn revision() -> String {
    let git = std::process::Command::new("git")
        .args(["-c", "safe.directory=*", "-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "HEAD"])
        .output();
    let said = git.ok().filter(|git| git.status.success()).map(|git| git.stdout);
    said.map_or_else(|| "unknown".to_owned(), |said| text(&said).trim().to_owned())
}

#[tokio::test]
async fn a_missing_file_and_an_unknown_flag_are_clear() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["--config.file=none.yml"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("none.yml"), "{output:?}");
    let output = run(folder.path(), &["--no.such.flag"]).await;
    assert_eq!(output.status.code(), Some(2));
    let output = run(folder.path(), &["--version"]).await;
    let version = env!("CARGO_PKG_VERSION");
    let printed = text(&output.stdout);
    assert!(printed.starts_with(&format!("mailtrip_exporter, version {version} (branch: ")));
    for part in [&format!("revision: {})\n", revision()), "rust version:", "platform:"] {
        assert!(printed.contains(part), "no {part} in {printed}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let folder = folder(&format!("targets:\n{}", target("m", 1, 1)));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(folder.path(), &["--web.listen-address", &address]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&address), "{output:?}");
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_used_says_what_to_do() {
    let folder = folder(&format!("state_dir: mailtrip.yml\ntargets:\n{}", target("m", 1, 1)));
    let output = run(folder.path(), &["--web.listen-address=127.0.0.1:0"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("`state_dir`"), "{output:?}");
}

#[tokio::test]
async fn it_measures_reloads_and_ends_in_order() {
    let post = post();
    let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
    let imap =
        Server::start(Protocol::Imap, &post, Options::new().clear_text_login()).await.unwrap();
    let config = format!("targets:\n{}", target("m", smtp.port(), imap.port()));
    let folder = folder(&config);
    let mut running = Running::start(folder.path(), &[]).await;
    let received = "mailtrip_probes_received_total{target=\"m\"} ";
    running
        .until("/metrics", |page| {
            page.contains(received) && !page.contains(&format!("{received}0\n"))
        })
        .await;

    let path = folder.path().join("mailtrip.yml");
    std::fs::write(&path, format!("{config}{}", target("n", smtp.port(), imap.port()))).unwrap();
    running.signal("-HUP");
    let page = running.until("/metrics", |page| page.contains("{target=\"n\"}")).await;
    assert!(!page.contains(&format!("{received}0\n")), "the account of m is kept");

    std::fs::write(&path, "targets: [").unwrap();
    running.signal("-HUP");
    running
        .until("/metrics", |page| page.contains("mailtrip_config_last_reload_successful 0.0"))
        .await;
    let line = log_line(&mut running.log, "cannot reload the configuration").await;
    assert!(line.contains("mailtrip.yml"), "{line}");
    std::fs::write(&path, "targets:\n- name: m\n  intervall: 5m\n  from: nobody\n").unwrap();
    running.signal("-HUP");
    for place in ["mailtrip.yml:3: targets[0].intervall:", "mailtrip.yml:4: targets[0].from:"] {
        let line = log_line(&mut running.log, place).await;
        assert!(
            line.contains("level=error") && line.matches("mailtrip.yml").count() == 1,
            "{line}"
        );
        assert!(
            line.contains("cannot reload the configuration") && !line.contains(r"\n"),
            "{line}"
        );
    }
    let many = "- {}\n".repeat(1000);
    std::fs::write(&path, format!("targets:\n{many}")).unwrap();
    running.signal("-HUP");
    let line = log_line(&mut running.log, " more: `mailtrip_exporter check` lists all").await;
    assert!(line.contains("cannot reload the configuration"), "{line}");

    running.signal("-TERM");
    let status = timeout(LIMIT, running.child.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn it_ends_soon_whatever_the_servers_do() {
    let post = post();
    let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
    let imap =
        Server::start(Protocol::Imap, &post, Options::new().clear_text_login()).await.unwrap();
    for server in [&smtp, &imap] {
        server.faults().on(CONNECT, Fault::Hang);
    }
    let text = target("m", smtp.port(), imap.port()).replace("interval: 1s", "interval: 1h");
    let folder = folder(&format!("targets:\n{text}"));
    let mut running = Running::start(folder.path(), &[]).await;
    assert!(imap.wait_until(LIMIT, |stats| stats.connections > 0).await);
    assert!(smtp.wait_until(LIMIT, |stats| stats.connections > 0).await, "sending does not wait");
    assert!(
        running.get("/metrics").await.contains("mailtrip_send_ability_percent{target=\"m\"} NaN")
    );
    running.signal("-INT");
    // The servers' own deadlines are at 30 s.
    let ended = timeout(Duration::from_secs(20), running.child.wait()).await;
    assert_eq!(ended.expect("it ends before any server answers").unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_probe_shows_each_step_and_its_exit_code_is_the_verdict() {
    let post = post();
    let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
    let imap =
        Server::start(Protocol::Imap, &post, Options::new().clear_text_login()).await.unwrap();
    let folder = folder(&format!("targets:\n{}", target("m", smtp.port(), imap.port())));
    let output = run(folder.path(), &["probe", "m"]).await;
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}");
    for word in ["greeting", "envelope", "data", "Verdict"] {
        assert!(out.contains(word), "no {word} in\n{out}");
    }
    assert!(!out.contains('\x1b'), "no colour where nobody looks");
    assert!(!folder.path().join("mailtrip-state").exists(), "it opens no store");
    smtp.faults().on("RCPT", Fault::reply("550 5.1.1 no such user"));
    let output = run(folder.path(), &["probe", "m"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("550 5.1.1 no such user"));
}

#[tokio::test]
async fn the_demo_shows_live_values() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = program(folder.path())
        .args(["demo", "--web.listen-address=127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = printed_address(&mut out).await;
    let alive = |page: &str| {
        page.contains("mailtrip_send_ability_percent{target=\"good-imap\"} 100")
            && page.contains("mailtrip_receive_ability_percent{target=\"good-pop3\"} 100")
            && page.contains("mailtrip_receive_ability_percent{target=\"refuses-logins\"} 0")
            && page.contains("mailtrip_send_ability_percent{target=\"standby\"} NaN")
    };
    http::until(&address, "/metrics", alive).await;
    assert!(http::get(&address, "/").await.text().contains("good-imap"));
}

/// The address of the page, as the demo prints it.
async fn printed_address(out: &mut Lines<BufReader<ChildStdout>>) -> String {
    let found = async {
        loop {
            let line = out.next_line().await.unwrap().expect("an address");
            if let Some((_, rest)) = line.split_once("http://") {
                return rest.split('/').next().unwrap().to_owned();
            }
        }
    };
    timeout(LIMIT, found).await.expect("an address in time")
}
