//! What is kept of the newest probes, and how the page and the API of a target show it: enough to
//! say, an hour later, why it was 0.

use ledger::Reading;
use ledger::{Reason, Step};
use mailtrip_exporter::account::history::DialogueKind;
use mailtrip_exporter::supervisor::Details;
use serde_json::Value;
use testserver::faults::Fault;
use testserver::{Delivery, Options, Protocol, Server};

use crate::support::http::{self, Answer};
use crate::support::program::{LIMIT, Running, folder, log_line, post, target};
use crate::support::{DEADLINE, Exporter, World};

fn details(exporter: &Exporter) -> Details {
    exporter.supervisor.details("a", 20).unwrap()
}

/// The body of an answer as JSON.
fn json(answer: &Answer) -> Value {
    assert_eq!(answer.header("content-type"), Some("application/json"));
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn a_refused_mail_is_told_with_words_steps_and_dialogue_behind_many_good_ones() {
    let world = World::new(Protocol::Imap).await;
    world.smtp.faults().once("RCPT", Fault::reply("550-5.1.1 no such user\r\n550 5.1.1 sorry"));
    let exporter = Exporter::start(&[world.target("a").set("messages", "30")]).await;
    exporter.received("a", 29).await;
    let evidence = details(&exporter).evidence;
    assert_eq!(evidence.probes.len(), 21, "the newest 20, and the failure before them");
    let refused = evidence.probes.last().unwrap();
    assert_eq!((refused.outcome().label(), refused.roundtrip), ("refused", None));
    let failure = refused.failure.as_ref().unwrap();
    assert_eq!((failure.step, failure.reason), (Step::Envelope, Reason::Rejected));
    assert!(failure.message.contains("550 5.1.1 no such user / 5.1.1 sorry"), "{failure}");
    let steps: Vec<Step> = refused.steps.iter().map(|time| time.step).collect();
    for step in [Step::Dns, Step::Connect, Step::Greeting, Step::Envelope] {
        assert!(steps.contains(&step), "{steps:?}");
    }
    for probe in &evidence.probes[..20] {
        assert_eq!((probe.outcome().label(), probe.steps.len()), ("received", refused.steps.len()));
        assert!(
            probe.roundtrip.unwrap() >= probe.accepted_after.unwrap() || probe.delivery().is_some()
        );
    }
    let transcript = &evidence.transcripts[0];
    assert_eq!((transcript.kind, transcript.has_failed), (DialogueKind::Send, true));
    // Thirty mails do not fit: the newest lines are kept.
    let text = transcript.text.as_deref().unwrap();
    assert!(text.len() <= 4_096 && text.contains("> DATA"), "{text}");
    let good = evidence.transcripts.last().unwrap();
    assert_eq!((good.kind, good.has_failed), (DialogueKind::Check, false));
    assert!(good.text.as_deref().unwrap().contains("SELECT"), "{good:?}");
}

#[tokio::test]
async fn a_look_that_fails_is_no_failed_check() {
    let world = World::new(Protocol::Imap).await;
    world.post.set_delivery("rita", Delivery::held());
    world.mailbox.faults().once("NOOP", Fault::Close);
    let exporter = Exporter::start(&[world.target("a")]).await;
    let again = world.mailbox.wait_until(DEADLINE, |stats| stats.logins == 2).await;
    assert!(again, "{:?}", world.mailbox.stats());
    let details = details(&exporter);
    assert_eq!(details.view.snapshot.receive_ability, Reading::Is(true));
    let evidence = &details.evidence;
    assert!(evidence.checks.iter().all(|check| check.failure.is_none()), "{evidence:?}");
    assert_eq!(evidence.failed_looks.len(), 1, "{evidence:?}");
    assert_eq!(evidence.failed_looks[0].failure.reason, Reason::Closed);
    let transcript = &evidence.transcripts[0];
    assert_eq!((transcript.kind, transcript.has_failed), (DialogueKind::Look, true));
    assert!(transcript.text.as_deref().unwrap().contains("NOOP"), "{transcript:?}");
    assert_eq!(details.awaited.len(), 1);
    assert_eq!(details.awaited[0].token, evidence.probes[0].token);
}

#[tokio::test]
async fn each_side_is_blamed_for_itself_with_the_servers_words() {
    let answers = [
        ("RCPT", "450 4.7.1 greylisted, come back", Reason::Deferred, "deferred"),
        ("RCPT", "452 4.2.2 mailbox full", Reason::Quota, "refused"),
        ("DATA", "552 5.2.2 over quota", Reason::Quota, "refused"),
        ("RCPT", "550 5.7.1 spam policy", Reason::Rejected, "refused"),
        ("MAIL", "451 4.3.0 queue trouble", Reason::Deferred, "deferred"),
    ];
    for (point, answer, reason, outcome) in answers {
        let world = World::new(Protocol::Pop3).await;
        world.smtp.faults().on(point, Fault::reply(answer));
        let exporter = Exporter::start(&[world.target("a")]).await;
        exporter.measured("a").await;
        let details = details(&exporter);
        let probe = &details.evidence.probes[0];
        let failure = probe.failure.as_ref().unwrap();
        assert_eq!((failure.reason, probe.outcome().label()), (reason, outcome), "{answer}");
        assert!(failure.message.contains(answer), "{failure}");
        assert_eq!(details.view.snapshot.receive_ability, Reading::Is(true), "{answer}");
        assert!(details.evidence.checks[0].failure.is_none(), "{answer}");
    }
    let mut world = World::new(Protocol::Imap).await;
    world.smtp.stop().await;
    world.mailbox.faults().on("SELECT", Fault::reply("{tag} NO [ALERT] disk on fire"));
    let exporter = Exporter::start(&[world.target("a")]).await;
    exporter.measured("a").await;
    let evidence = details(&exporter).evidence;
    assert_eq!(evidence.probes[0].outcome().label(), "failed");
    assert_eq!(evidence.probes[0].failure.as_ref().unwrap().reason, Reason::Refused);
    let check = evidence.checks[0].failure.as_ref().unwrap();
    assert_eq!((check.step, check.reason), (Step::Select, Reason::Rejected));
    assert!(check.message.contains("NO [ALERT] disk on fire"), "{check}");
}

/// The configuration of one target whose sender logs in.
fn with_login(smtp: &Server, imap: &Server) -> String {
    let text = target("m", smtp.port(), imap.port());
    let login = "tls: none, username: b, password: secret-of-b}\n  receive";
    format!("targets:\n{}", text.replace("tls: none}\n  receive", login))
}

#[tokio::test]
async fn words_that_could_harm_are_escaped_cut_and_scrubbed_on_page_json_and_log() {
    let post = post();
    let open = || Options::new().clear_text_login();
    let smtp = Server::start(Protocol::Smtp, &post, open()).await.unwrap();
    let imap = Server::start(Protocol::Imap, &post, open()).await.unwrap();
    let long = "x".repeat(10_000);
    let words = "<script>alert(1)</script> \x1b[31mred\x1b[0m \u{202e}gnp \u{200b}you sent \
                 {password} and {base64}";
    let lines: Vec<String> = long
        .as_bytes()
        .chunks(400)
        .map(|chunk| format!("550-5.7.1 {words} {}", String::from_utf8_lossy(chunk)))
        .collect();
    let answer = format!("{}\r\n550 5.7.1 {words}", lines.join("\r\n"));
    smtp.faults().on("RCPT", Fault::reply(answer));
    // A server that knows ID is asked again once it was told who asks.
    imap.faults().times(
        2,
        "SELECT",
        Fault::reply(format!("{{tag}} NO {words} {}", &long[..4_000])),
    );
    let folder = folder(&with_login(&smtp, &imap));
    let mut running = Running::start(folder.path(), &["--log.level=trace"]).await;
    let told = |page: &str| page.contains("\"refused\"") && page.contains("\"passed\":false");
    let answer = http::until(&running.address, "/api/targets/m", told).await;
    let api = answer.text().to_owned();
    let page = running.get("/targets/m").await;
    let status = running.get("/").await;
    running.signal("-TERM");
    let mut log = String::new();
    while let Some(line) = running.log.next_line().await.unwrap() {
        log += &line;
        log.push('\n');
    }
    assert!(log.contains("not able to send") && log.contains("\"the dialogue\""), "{log}");
    for (what, text) in [("page", &page), ("json", &api), ("status", &status), ("log", &log)] {
        for harmful in [
            "\x1b",
            "\u{202e}",
            "\u{200b}",
            "secret-of-b",
            "c2VjcmV0LW9mLWI",
            "AGIAc2VjcmV0LW9mLWI",
        ] {
            assert!(!text.contains(harmful), "{harmful:?} in the {what}: {text}");
        }
        assert!(text.contains("550 5.7.1") && text.contains("u{1b}[31mred"), "{what}: {text}");
        assert!(!text.contains(&long[..600]), "the {what} is not cut");
        assert!(text.contains("secret>") || text.contains("secret&#62;"), "{what}: {text}");
    }
    for page in [&page, &status] {
        assert!(!page.contains("<script>") && page.contains("&#60;script&#62;"), "{page}");
    }
    let report = json(&answer);
    let failure = &report["probes"][0]["failure"];
    assert_eq!((&failure["step"], &failure["reason"]), (&"envelope".into(), &"rejected".into()));
    let words = failure["words"].as_str().unwrap();
    assert!(words.contains("<script>alert(1)</script>"), "JSON needs no such escape: {words}");
    assert!(words.chars().count() <= 560, "{} characters", words.chars().count());
    for transcript in report["transcripts"].as_array().unwrap() {
        assert!(transcript["text"].as_str().unwrap().len() <= 4_096);
    }
}

#[tokio::test]
async fn a_reload_keeps_the_evidence_and_a_restart_the_mails() {
    let post = post();
    let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
    let open = Options::new().clear_text_login();
    let imap = Server::start(Protocol::Imap, &post, open).await.unwrap();
    smtp.faults().once("RCPT", Fault::reply("450 4.7.1 greylisted"));
    let config = format!("targets:\n{}", target("m", smtp.port(), imap.port()));
    let folder = folder(&config);
    let mut running = Running::start(folder.path(), &[]).await;
    let received = |page: &str| page.contains("\"received\"") && page.contains("\"deferred\"");
    let before = json(&http::until(&running.address, "/api/targets/m", received).await);
    let slower = config.replace("interval: 1s", "interval: 5m");
    std::fs::write(folder.path().join("mailtrip.yml"), slower).unwrap();
    running.signal("-HUP");
    log_line(&mut running.log, "the configuration was reloaded").await;
    let after = json(&http::get(&running.address, "/api/targets/m").await);
    assert_eq!(after["interval_seconds"], 300.0);
    let with = |report: &Value, outcome: &str| {
        let probes = report["probes"].as_array().unwrap();
        probes.iter().find(|probe| probe["outcome"] == outcome).cloned().unwrap_or_default()
    };
    assert_eq!(with(&after, "deferred"), with(&before, "deferred"));
    assert!(after["transcripts"].as_array().unwrap().iter().any(|one| one["failed"] == true));
    let token = with(&before, "received")["token"].clone();
    assert!(token.is_string());
    running.signal("-TERM");
    tokio::time::timeout(LIMIT, running.child.wait()).await.expect("it ends").unwrap();
    let running = Running::start(folder.path(), &[]).await;
    let report = json(&http::get(&running.address, "/api/targets/m").await);
    let probes = report["probes"].as_array().unwrap();
    let known = probes.iter().find(|probe| probe["token"] == token).unwrap();
    assert_eq!((&known["outcome"], &known["steps"]), (&"received".into(), &Value::Array(vec![])));
    assert!(known["accepted_after_seconds"].as_f64().unwrap() < 5.0, "{known}");
}

#[tokio::test]
async fn the_page_of_a_target_shows_what_happened_step_by_step() {
    let post = post();
    let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
    let open = Options::new().clear_text_login();
    let imap = Server::start(Protocol::Imap, &post, open).await.unwrap();
    smtp.faults().once("RCPT", Fault::reply("450 4.7.1 greylisted"));
    let folder = folder(&format!("targets:\n{}", target("m", smtp.port(), imap.port())));
    let running = Running::start(folder.path(), &[]).await;
    let received = |page: &str| page.contains(">received<");
    let answer = http::until(&running.address, "/targets/m", received).await;
    assert_eq!(answer.status, 200);
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let page = answer.text();
    for expected in [
        ">deferred<",
        "Step <b>envelope</b>, reason <b>deferred</b>",
        "450 4.7.1 greylisted",
        "<span>greeting ",
        "Latest mailbox checks",
        ">passed<",
        "inbox",
        "A send that failed",
        "A check that succeeded",
        "&#60; 220 ",
        "SELECT",
    ] {
        assert!(page.contains(expected), "no {expected} in {page}");
    }
    assert!(!page.contains("<script>"), "{page}");
    let gone = http::get(&running.address, "/targets/n").await;
    assert!(gone.status == 404 && gone.text().contains("did you mean `m`?"), "{}", gone.text());
}
