//! `make bench-hostile`: each row of the table of hostile servers against a process of its own: whether
//! what is seen is what the row says, what it takes of memory over a server that behaves, and how long
//! SIGTERM takes while it is under way.

use std::time::Duration;

use testserver::Protocol;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::hostile::page::Page;
use crate::hostile::played::Played;
use crate::hostile::table::{Kind, Row, Seen, rows};
use crate::program::Program;
use crate::support::{Trust, World, yaml};

/// How many rows are played at one time.
const AT_A_TIME: usize = 3;
/// The period of the hostile target.
const INTERVAL: &str = "3s";
/// How long each row is watched at the least: two rounds that wait in vain, and one more.
const LENGTH: Duration = Duration::from_secs(9);
/// When a row is given up that is not as the table says.
const PATIENCE: Duration = Duration::from_secs(60);
const NEIGHBOUR: &str = "neighbour";

/// What one row came to.
struct Figures {
    row: Row,
    highest_bytes: u64,
    ended: Duration,
    wrong: Vec<String>,
}

/// Plays all rows; true if each is as the table says.
pub(crate) async fn measure() -> bool {
    let only = std::env::var("MAILTRIP_BENCH_ONLY").unwrap_or_default();
    let wanted = rows().into_iter().enumerate().filter(|(_, row)| row.name().contains(&only));
    let mut waiting: Vec<(usize, Row)> = wanted.collect();
    waiting.reverse();
    // The base first, alone: a server that behaves, in the clear and with TLS.
    let mut bases = [0; 2];
    for (base, does) in bases.iter_mut().zip(["behaves", "STARTTLS: behaves"]) {
        let row = rows().into_iter().find(|row| row.server == Kind::Imap && row.does == does);
        let Some(row) = row else { continue };
        *base = play(row).await.map_or(0, |figures| figures.highest_bytes);
    }
    let (mut running, mut played) = (JoinSet::new(), Vec::new());
    loop {
        while running.len() < AT_A_TIME
            && let Some((number, row)) = waiting.pop()
        {
            running.spawn(async move {
                (
                    number,
                    play(row.clone()).await.map_err(|error| format!("{}: {error}", row.name())),
                )
            });
        }
        let Some(ended) = running.join_next().await else { break };
        match ended {
            Ok(outcome) => played.push(outcome),
            Err(error) => eprintln!("{error}"),
        }
        eprintln!("{} played, {} to go", played.len(), waiting.len() + running.len());
    }
    played.sort_by_key(|(number, _)| *number);
    report(played.into_iter().map(|(_, outcome)| outcome).collect(), bases)
}

/// Prints the table; true if nothing is wrong.
fn report(played: Vec<Result<Figures, String>>, bases: [u64; 2]) -> bool {
    let mut wrong = Vec::new();
    let [clear, protected] = bases.map(mega);
    println!("base: {clear:.1} MB in the clear, {protected:.1} MB with TLS\n");
    for outcome in played {
        match outcome {
            Ok(figures) => {
                let base = bases.get(usize::from(figures.row.does.contains("TLS:")));
                let over = mega(figures.highest_bytes) - base.copied().map_or(0.0, mega);
                let ended = figures.ended.as_secs_f64();
                println!("{} {:.1} MB | {ended:.2} s |", figures.row.cells(), over.max(0.0));
                let name = figures.row.name();
                wrong.extend(figures.wrong.into_iter().map(|what| format!("{name}: {what}")));
            }
            Err(error) => wrong.push(error),
        }
    }
    for line in &wrong {
        eprintln!("{line}");
    }
    eprintln!("{} rows are not as the table says", wrong.len());
    wrong.is_empty()
}

async fn play(row: Row) -> Result<Figures, String> {
    let trust = Trust::new();
    let healthy = World::new(Protocol::Imap).await;
    let played = Played::set(&row, "hostile", &trust).await;
    let neighbour = healthy.target(NEIGHBOUR).set("interval", "1s");
    let targets = [neighbour, played.target.clone().set("interval", INTERVAL)];
    let mut program = Program::start(&yaml(&targets)).await?;
    let began = Instant::now();
    let mut wrong = Vec::new();
    loop {
        sleep(Duration::from_millis(250)).await;
        let page = Page::read(&program.get("/metrics").await?);
        let seen = page.seen("hostile", row.server);
        let is_right = row.expected.allows(&seen);
        if began.elapsed() > PATIENCE && !is_right {
            wrong.push(difference(&row.expected, &seen));
        }
        if began.elapsed() > PATIENCE || (is_right && began.elapsed() > LENGTH) {
            wrong.extend(neighbour_wrong(&page));
            break;
        }
    }
    let highest_bytes = program.taken().highest_bytes;
    let ended = program.end().await?;
    if program.log().contains("panicked") {
        wrong.push("it panicked".to_owned());
    }
    Ok(Figures { row, highest_bytes, ended, wrong })
}

fn difference(expected: &Seen, seen: &Seen) -> String {
    format!("table: {expected:?}, seen: {seen:?}")
}

/// What is wrong with the neighbour at the end.
fn neighbour_wrong(page: &Page) -> Vec<String> {
    let value = |name: &str| page.value(NEIGHBOUR, name);
    let mut wrong = Vec::new();
    for (name, wanted) in [
        ("send_ability_percent", 100.0),
        ("receive_ability_percent", 100.0),
        ("periods_skipped_total", 0.0),
        ("probes_late_total", 0.0),
    ] {
        if value(name) != wanted {
            wrong.push(format!("the neighbour has {name} {}", value(name)));
        }
    }
    let (accepted, received) = (value("probes_accepted_total"), value("probes_received_total"));
    if accepted - received > 1.0 || page.failures(NEIGHBOUR) > 0.0 {
        let failures = page.failures(NEIGHBOUR);
        wrong.push(format!("the neighbour: {received} of {accepted}, {failures} failures"));
    }
    wrong
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a process")]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
