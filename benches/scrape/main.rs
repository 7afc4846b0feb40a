//! What an answer about many targets costs: processor time, memory, time. `make bench-scrape` runs it.
//!
//! The supervisor holds [`TARGETS`] targets that look as after some periods ([`fleet`]); its loops stand
//! still, so that only the answers are measured. They come over HTTP, to clients that are processes of
//! their own ([`client`]), since their work is not to be counted. Memory is what the peak of resident
//! memory lies above what was resident before, as the kernel tells it (Linux).
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mailtrip_exporter::supervisor::Supervisor;
use mailtrip_exporter::web::elsewhere::Elsewhere;
use mailtrip_exporter::web::mount::Mount;
use mailtrip_exporter::web::routes::App;
use mailtrip_exporter::web::server::{self, WebConfig};
use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

mod client;
mod fleet;

/// So many, unless `MAILTRIP_SCRAPE_TARGETS` says otherwise.
const TARGETS: usize = 10_000;
/// How often each answer is asked for; figures are the least and the median of it.
const ROUNDS: usize = 9;

const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0";

/// What is asked for, in which format and compression, by how many at once.
const QUESTIONS: [(&str, &str, &str, usize); 10] = [
    ("/metrics", "text/plain", "identity", 1),
    ("/metrics", OPENMETRICS, "identity", 1),
    ("/metrics", "text/plain", "gzip", 1),
    ("/metrics", "text/plain", "zstd", 1),
    ("/metrics", "text/plain", "gzip", 2),
    ("/", "text/html", "identity", 1),
    ("/?search=site-7", "text/html", "identity", 1),
    ("/?state=failing", "text/html", "identity", 1),
    ("/api/targets", "application/json", "identity", 1),
    ("/sd", "application/json", "identity", 1),
];

fn main() {
    if client::is_wanted() {
        client::run();
        return;
    }
    let targets = std::env::var("MAILTRIP_SCRAPE_TARGETS").ok();
    let targets = targets.and_then(|count| count.parse().ok()).unwrap_or(TARGETS);
    // It is not driven any more once the targets are there: no loop of theirs has a turn.
    let loops = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let supervisor = loops.block_on(fleet::supervisor(targets));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let address = runtime.block_on(serve(Arc::clone(&supervisor)));
    println!("{targets} targets, {} kB resident\n", memory("VmRSS:"));
    println!(
        "| answer | format | coding | at once | bytes | series | processor | per million | time | memory added |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for question in QUESTIONS {
        row(address, question);
    }
}

async fn serve(supervisor: Arc<Supervisor>) -> SocketAddr {
    let app = Arc::new(App {
        supervisor,
        mount: Mount::new(None, None),
        elsewhere: Elsewhere::default(),
        telemetry_path: "/metrics".to_owned(),
        enable_lifecycle: false,
        enable_details: false,
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move |request| {
        let app = Arc::clone(&app);
        async move { app.answer(request).await }
    };
    let shutdown = CancellationToken::new();
    tokio::spawn(server::serve(vec![listener], WebConfig::none(), answer, shutdown));
    address
}

/// Asks, and prints what it took.
fn row(address: SocketAddr, (path, accept, coding, at_once): (&str, &str, &str, usize)) {
    let (mut processor, mut time, mut added) = (Vec::new(), Vec::new(), Vec::new());
    let (mut bytes, mut series) = (0, 0);
    for _ in 0..ROUNDS {
        reset_peak();
        let (before, resident) = (processor_time(), memory("VmRSS:"));
        let clients: Vec<_> =
            (0..at_once).map(|_| client::start(address, path, accept, coding)).collect();
        for client in clients {
            let answer = client::answer(client);
            (bytes, series) = (answer.bytes, answer.series);
            time.push(answer.time);
        }

        processor.push(processor_time() - before);
        added.push(memory("VmHWM:").saturating_sub(resident));
    }
    let at_most = added.iter().max().copied().unwrap_or_default();
    let format = accept.split(';').next().unwrap_or_default();
    let million = match series {
        0 => "-".to_owned(),
        _ => {
            let share = f64::from(u32::try_from(at_once).unwrap()) * f64::from(series) / 1e6;
            milliseconds(&processor, share)
        }
    };
    println!(
        "| `{path}` | {format} | {coding} | {at_once} | {bytes} | {series} | {} | {million} | {} | {at_most} kB |",
        milliseconds(&processor, 1.0),
        milliseconds(&time, 1.0),
    );
}

/// The least and the median of these times, each divided by `share`. The least is nearer to what it takes where the
/// machine does other work as well.
fn milliseconds(times: &[Duration], share: f64) -> String {
    let mut times = times.to_vec();
    times.sort();
    let of = |index: usize| times.get(index).map_or(0.0, |it| it.as_secs_f64() * 1e3 / share);
    format!("{:.0} / {:.0} ms", of(0), of(times.len() / 2))
}

/// The processor time of this process.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

/// A line of `/proc/self/status`, in kB.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix(line)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Has the kernel count the peak of resident memory anew.
fn reset_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}
