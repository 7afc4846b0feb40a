//! The table of hostile servers (`docs/hostile.md`): each row is a target of one exporter beside a
//! healthy neighbour, and what a user sees of it is what the row says, round after round.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use testserver::Protocol;
use tokio::time::{Instant, sleep, timeout};

use crate::support::http::get;
use crate::support::{Exporter, PASSWORD, Trust, USER, World, serve};

use page::Page;
use played::Played;
use table::{Kind, Row, rows};

pub(crate) mod page;
pub(crate) mod played;
pub(crate) mod script;
pub(crate) mod table;

/// The name of the neighbour.
const NEIGHBOUR: &str = "neighbour";
/// The most that a row may take until it is as the table says, in two rounds or more.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long the exporter may take to end, whatever its servers do.
const GRACE: Duration = Duration::from_secs(5);

/// What is wrong with the neighbour, by the time at which it was first so.
#[derive(Default)]
struct Neighbour {
    wrong: BTreeMap<String, Duration>,
}

impl Neighbour {
    fn look(&mut self, page: &Page, since: Duration) {
        let value = |name: &str| page.value(NEIGHBOUR, name);
        if value("probes_received_total") < 1.0 {
            return;
        }
        let mut expect = |name: &str, holds: bool| {
            if !holds {
                self.wrong.entry(format!("{name} {}", value(name))).or_insert(since);
            }
        };
        expect("send_ability_percent", value("send_ability_percent") == 100.0);
        expect("receive_ability_percent", value("receive_ability_percent") == 100.0);
        expect("roundtrip_minutes", !value("roundtrip_minutes").is_nan());
        for name in ["periods_skipped_total", "probes_late_total", "probes_lost_total"] {
            expect(name, value(name) == 0.0);
        }
        let on_its_way = value("probes_accepted_total") - value("probes_received_total");
        expect("probes_received_total", on_its_way <= 2.0);
        if page.failures(NEIGHBOUR) > 0.0 {
            self.wrong.entry("failures".to_owned()).or_insert(since);
        }
    }
}

/// Whether the hostile server was met twice, from begin to end.
fn has_two_rounds(row: &Row, page: &Page, name: &str) -> bool {
    match row.server {
        Kind::Smtp => page.value(name, "probes_total") >= 3.0,
        _ => page.value(name, "checks_total") >= 2.0 && page.value(name, "probes_total") >= 2.0,
    }
}

/// What no page about a target may hold, whatever its server said.
async fn forbidden_on_pages(address: &str, name: &str) -> Vec<String> {
    let base64 = ["c2FtAHRyMHViNGRvciAmM", "cml0YTp0cjB1YjRkb3IgJjM"];
    let mut found = Vec::new();
    for path in [format!("/targets/{name}"), format!("/api/targets/{name}")] {
        let page = get(address, &path).await;
        let mut forbidden = vec![PASSWORD, "tr0ub4dor", base64[0], base64[1], "\x1b", "\u{202e}"];
        if path.starts_with("/targets") {
            forbidden.push("<script>alert");
        }
        let held = forbidden.into_iter().filter(|text| page.text().contains(*text));
        found.extend(held.map(|text| format!("{path} holds {text:?}")));
    }
    found
}

/// The newest failures of both sides, as the API tells them.
async fn last_words(address: &str, name: &str) -> String {
    let answer = get(address, &format!("/api/targets/{name}")).await;
    let report: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let words =
        ["send", "receive"].map(|side| format!("  {side}: {}", report[side]["last_failure"]));
    words.join("\n")
}

/// Plays all rows of a kind at once; gives what differs.
async fn play(rows: Vec<Row>) -> Vec<String> {
    let trust = Trust::new();
    let healthy = World::new(Protocol::Imap).await;
    let mut targets = vec![healthy.target(NEIGHBOUR).set("interval", played::INTERVAL)];
    let mut all = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let name = format!("{}-{number}", row.server.label().to_lowercase());
        let played = Played::set(row, &name, &trust).await;
        targets.push(played.target.clone().set("interval", played::INTERVAL));
        all.push((name, row, played));
    }
    let exporter = Exporter::start(&targets).await;
    let (address, _serving) = serve(&exporter.supervisor, false).await;
    let address = address.to_string();
    let (began, mut neighbour) = (Instant::now(), Neighbour::default());
    // A row is done once it was as it is to be; what failed is counted for ever, and read again at the end.
    let mut open: Vec<&(String, &Row, Played)> = all.iter().collect();
    let last = loop {
        let page = Page::read(get(&address, "/metrics").await.text());
        neighbour.look(&page, began.elapsed());
        open.retain(|(name, row, _)| differs(row, &page, name).is_some());
        if open.is_empty() || began.elapsed() > PATIENCE {
            break page;
        }
        // A page about so many takes its time to write and to read.
        sleep(Duration::from_secs(3)).await;
    };
    let failed_otherwise = |(name, row, _): &&(String, &Row, Played)| {
        last.seen(name, row.server).failures != row.expected.failures
    };
    let still = |(name, _, _): &&(String, &Row, Played)| open.iter().any(|(own, ..)| own == name);
    let mut wrong = Vec::new();
    for (name, row, _) in all.iter().filter(|played| still(played) || failed_otherwise(played)) {
        let words = last_words(&address, name).await;
        wrong.push(format!("{}\n{words}", differs(row, &last, name).unwrap_or_default()));
    }
    wrong.extend(look_around(&address, &all).await);
    let seen = neighbour.wrong.into_iter();
    wrong.extend(seen.map(|(what, since)| format!("the neighbour, after {since:?}: {what}")));
    if timeout(GRACE, exporter.supervisor.stop()).await.is_err() {
        wrong.push(format!("it does not end within {GRACE:?}"));
    }
    wrong
}

/// What is wrong with the pages and the mailboxes of the rows.
async fn look_around(address: &str, all: &[(String, &Row, Played)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, row, played) in all {
        let mut found = forbidden_on_pages(address, name).await;
        if played.world.post.messages(USER, "INBOX").iter().all(|mail| !is_foreign(&mail.bytes)) {
            found.push("somebody's mail is gone".to_owned());
        }
        wrong.extend(found.into_iter().map(|found| format!("{}: {found}", row.name())));
    }
    wrong
}

fn is_foreign(mail: &[u8]) -> bool {
    mail.starts_with(b"Subject: somebody's")
}

/// What is seen of a row in place of what the table says; also if it was not met twice yet.
fn differs(row: &Row, page: &Page, name: &str) -> Option<String> {
    let seen = page.seen(name, row.server);
    let is_met = has_two_rounds(row, page, name);
    if is_met && row.expected.allows(&seen) {
        return None;
    }
    let mut text = format!("{}\n  table: {:?}\n  seen:  {seen:?}", row.name(), row.expected);
    if !is_met {
        let _ = write!(text, "\n  it was not met twice");
    }
    let names = [
        "probes_accepted_total",
        "probes_received_total",
        "outstanding_messages",
        "checks_total",
        "looks_total",
    ];
    for count in names {
        let _ = write!(text, "\n  {count} {}", page.value(name, count));
    }
    Some(text)
}

/// Holds the rows of a kind to what is seen.
async fn hold(kind: Kind) {
    let is_played = |row: &Row| row.server == kind && !row.is_long();
    let rows: Vec<Row> = rows().into_iter().filter(is_played).collect();
    assert!(rows.len() > 50, "{} rows of {}", rows.len(), kind.label());
    let wrong = play(rows).await;
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_hostile_smtp_server_is_told_as_the_table_says() {
    hold(Kind::Smtp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_hostile_imap_server_is_told_as_the_table_says() {
    hold(Kind::Imap).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_hostile_pop3_server_is_told_as_the_table_says() {
    hold(Kind::Pop3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_hostile_jmap_server_is_told_as_the_table_says() {
    hold(Kind::Jmap).await;
}
