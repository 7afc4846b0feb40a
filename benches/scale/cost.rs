//! `make bench-cost`: the processor time of a round trip beside that of a program in C on OpenSSL that does
//! the same and no more (`floor.c`), in one run, by turns, against the same servers.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::sleep;

use crate::page::Page;
use crate::peer::Peer;
use crate::process::ProcessorTime;
use crate::program::Program;
use crate::{row, servers};

/// Has each turn be counted for so many seconds, for a try.
const SECONDS: &str = "MAILTRIP_COST_SECONDS";
/// How often the two take turns.
const ROUNDS: usize = 3;
/// Both send from each account once in this time.
const PERIOD: Duration = Duration::from_secs(2);
/// How many accounts there are, how long each turn is counted, and which ratio is aimed at.
const RATES: [(usize, Duration, &str); 2] =
    [(1, Duration::from_secs(60), "1.6"), (200, Duration::from_secs(20), "1.2")];

/// Prints the table.
///
/// # Errors
/// Something could not be run at all.
pub(crate) async fn measure() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let floor = compile(folder.path()).await?;
    println!("| round trips a second | the exporter | the floor | times the floor | aim |");
    println!("| --- | --- | --- | --- | --- |");
    for (accounts, counted, aim) in RATES {
        let counted = seconds().unwrap_or(counted);
        // The floor has accounts of its own.
        let (peer, servers) = Peer::start(crate::SERVERS, &(2 * accounts).to_string()).await?;
        let authority = row::authority(&servers)?;
        let authority = authority.path().to_string_lossy().into_owned();
        let (mut own, mut least, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            let exporter = exporter(&servers, accounts, counted, &authority).await?;
            let floor = least_cost(&floor, &servers, accounts, counted, &authority).await?;
            eprintln!("{accounts} accounts, round {round}: {exporter:.2} ms, floor {floor:.2} ms");
            own.push(exporter);
            least.push(floor);
            ratios.push(exporter / floor);
        }
        let rate = accounts as f64 / PERIOD.as_secs_f64();
        let [own, least, ratios] = [own, least, ratios].map(spread);
        println!("| {rate} | {own} ms | {least} ms | {ratios} | {aim} |");
        drop(peer);
    }
    Ok(())
}

fn seconds() -> Option<Duration> {
    std::env::var(SECONDS).ok()?.parse().ok().map(Duration::from_secs)
}

/// The least, the median and the most.
fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let [least, median, most] = [0.0, 0.5, 1.0].map(|share| row::at(&values, share));
    format!("{least:.2} / {median:.2} / {most:.2}")
}

async fn compile(folder: &Path) -> Result<PathBuf, String> {
    let program = folder.join("floor");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/scale/floor.c");
    let compiler = Command::new("cc")
        .args(["-O2", "-o"])
        .args([program.as_path(), source.as_path()])
        .args(["-lssl", "-lcrypto", "-lpthread"])
        .status()
        .await;
    match compiler {
        Ok(status) if status.success() => Ok(program),
        outcome => Err(format!("cc {}: {outcome:?}", source.display())),
    }
}

/// Milliseconds of processor time a round trip of the exporter, everything that it does beside included.
async fn exporter(
    servers: &Value,
    accounts: usize,
    counted: Duration,
    authority: &str,
) -> Result<f64, String> {
    let configuration = servers::configuration(servers, accounts, PERIOD, authority)?;
    let mut program = Program::start(&configuration).await?;
    sleep(PERIOD * 3).await;
    let before = Page::read(&program.get("/metrics").await?);
    let processor = ProcessorTime::of(program.id());
    sleep(counted).await;
    let processor = ProcessorTime::of(program.id()).since(&processor);
    let page = Page::read(&program.get("/metrics").await?);
    program.end().await?;
    if page.failures > 0.0 {
        return Err(format!("the exporter had {} failures", page.failures));
    }
    Ok(processor.as_secs_f64() * 1e3 / (page.received - before.received))
}

/// The same of the floor.
async fn least_cost(
    floor: &Path,
    servers: &Value,
    accounts: usize,
    counted: Duration,
    authority: &str,
) -> Result<f64, String> {
    let output = Command::new(floor)
        .args([authority, servers::PASSWORD])
        .arg(PERIOD.as_millis().to_string())
        .arg(counted.as_secs().to_string())
        .args(servers::accounts(servers, accounts..2 * accounts)?)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("the floor: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(trips)), Some(Ok(nanoseconds))) if trips > 0.0 => Ok(nanoseconds / 1e6 / trips),
        _ => Err(format!("the floor: {} {text}", output.status)),
    }
}
