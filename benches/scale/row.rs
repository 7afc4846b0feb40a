//! One run: a number of targets from the start to the end.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::page::Page;
use crate::peer::Peer;
use crate::plan::Plan;
use crate::process::{ProcessorTime, Taken, forget_highest, taken};
use crate::program::Program;
use crate::servers::{self, DELAY};
use crate::visits::{Visits, percentile};

/// How often descriptors are counted.
const SAMPLE: Duration = Duration::from_millis(250);
/// Up to so many targets are asked for their newest mails one by one, for more round trips than one each.
const ASKED_ONE_BY_ONE: usize = 200;
/// The pages for people and for service discovery.
const PAGES: [&str; 5] = ["/", "/?search=0042", "/?state=well", "/api/targets", "/sd"];

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) plan: Plan,
    /// From the start of the process to the listener.
    pub(crate) start: Duration,
    /// Listening, and hardly a mail sent.
    pub(crate) idle: Taken,
    /// After all probes were counted, before any page but two was asked for; the highest is that of probes.
    pub(crate) probed: Taken,
    /// The most that was resident while pages were asked for.
    pub(crate) highest_read: u64,
    pub(crate) end: Taken,
    /// How many round trips were counted.
    pub(crate) probes: f64,
    pub(crate) failures: f64,
    pub(crate) skipped: f64,
    pub(crate) processor: Duration,
    /// Cores that the servers took meanwhile, and the whole of it.
    pub(crate) servers: Duration,
    pub(crate) counted: Duration,
    pub(crate) series: usize,
    pub(crate) plain: Visits,
    pub(crate) gzip: Visits,
    /// The processor's share of one scrape, without and with compression.
    pub(crate) scrape_processor: [Duration; 2],
    pub(crate) lag: Option<Vec<(String, f64)>>,
    pub(crate) fullest_second: usize,
    /// Reported minus true, in seconds, in order.
    pub(crate) errors: Vec<f64>,
    pub(crate) descriptors: usize,
    pub(crate) pages: Vec<(&'static str, Visits)>,
}

/// Runs it.
///
/// # Errors
/// Something could not be run at all.
pub(crate) async fn measure(plan: &Plan) -> Result<Row, String> {
    let accounts = plan.targets.to_string();
    let (peer, servers) = Peer::start(crate::SERVERS, &accounts).await?;
    let authority = authority(&servers)?;
    let path = authority.path().to_string_lossy();
    let configuration = servers::configuration(&servers, plan.targets, plan.period, &path)?;
    let started = Instant::now();
    let program = Program::start(&configuration).await?;
    run(plan, program, &peer, started.elapsed()).await
}

async fn run(
    plan: &Plan,
    mut program: Program,
    peer: &Peer,
    start: Duration,
) -> Result<Row, String> {
    let say = |what: &str| eprintln!("{} targets: {what}", plan.targets);
    let idle = program.taken();
    let highest = Descriptors::watch(program.id());
    say("the first period");
    sleep(plan.period).await;

    say("counting");
    let before = Page::read(&program.get("/metrics").await?);
    forget_highest(program.id());
    let began = Instant::now();
    let processor = ProcessorTime::of(program.id());
    let servers_processor = ProcessorTime::of(peer.id());
    sleep(plan.counted).await;
    let processor = ProcessorTime::of(program.id()).since(&processor);
    let servers = ProcessorTime::of(peer.id()).since(&servers_processor);
    let (counted, probed) = (began.elapsed(), program.taken());
    let page = Page::read(&program.get("/metrics").await?);
    let errors = errors(&program, plan, &page).await?;

    say("reading");
    forget_highest(program.id());
    // What the probes take meanwhile, by what they took until now.
    let of_probes = processor.as_secs_f64() / counted.as_secs_f64();
    let (plain, plain_processor) = scrapes(&program, plan, false, of_probes).await?;
    let (gzip, gzip_processor) = scrapes(&program, plan, true, of_probes).await?;
    let highest_read = program.taken().highest_bytes;
    let mut pages = Vec::new();
    for path in PAGES {
        pages.push((path, Visits::pay(program.address(), path, false, plan.visits / 4).await?));
    }
    let row = Row {
        plan: *plan,
        start,
        idle,
        probed,
        highest_read,
        end: program.taken(),
        probes: page.received - before.received,
        failures: page.failures,
        skipped: page.skipped,
        processor,
        servers,
        counted,
        series: page.series,
        plain,
        gzip,
        scrape_processor: [plain_processor, gzip_processor],
        lag: page.lag_since(&before),
        fullest_second: page.fullest_second(),
        errors,
        descriptors: highest.most(),
        pages,
    };
    program.end().await?;
    Ok(row)
}

/// Scrapes, and the processor's share of each; `of_probes` is the share of a core that the probes take.
async fn scrapes(
    program: &Program,
    plan: &Plan,
    gzip: bool,
    of_probes: f64,
) -> Result<(Visits, Duration), String> {
    let (began, before) = (Instant::now(), ProcessorTime::of(program.id()));
    let visits = Visits::pay(program.address(), "/metrics", gzip, plan.visits).await?;
    let used = ProcessorTime::of(program.id()).since(&before).as_secs_f64();
    let own = (used - began.elapsed().as_secs_f64() * of_probes).max(0.0);
    Ok((visits, Duration::from_secs_f64(own / plan.visits as f64)))
}

/// The file with the authority of the servers.
pub(crate) fn authority(servers: &Value) -> Result<tempfile::NamedTempFile, String> {
    let text = servers.get("authority").and_then(Value::as_str).unwrap_or_default();
    let mut file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    file.write_all(text.as_bytes()).map_err(|error| error.to_string())?;
    Ok(file)
}

/// The newest round trip of each target, or all that it remembers, minus the time that the servers wait.
async fn errors(program: &Program, plan: &Plan, page: &Page) -> Result<Vec<f64>, String> {
    let mut trips = page.round_trips.clone();
    if plan.targets <= ASKED_ONE_BY_ONE {
        trips.clear();
        for number in 0..plan.targets {
            let text = program.get(&format!("/api/targets/{}", servers::target(number))).await?;
            let report: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            let probes = report.get("probes").and_then(Value::as_array).into_iter().flatten();
            trips.extend(probes.filter_map(|probe| probe.get("roundtrip_seconds")?.as_f64()));
        }
    }
    let mut errors: Vec<f64> = trips.iter().map(|trip| trip - DELAY.as_secs_f64()).collect();
    errors.sort_by(f64::total_cmp);
    Ok(errors)
}

/// Its percentile; NaN without any.
pub(crate) fn at(sorted: &[f64], share: f64) -> f64 {
    percentile(sorted, share).unwrap_or(f64::NAN)
}

/// The most descriptors that were open.
struct Descriptors {
    most: Arc<AtomicUsize>,
    watch: AbortHandle,
}

impl Descriptors {
    fn watch(pid: Option<u32>) -> Self {
        let most = Arc::new(AtomicUsize::default());
        let shared = Arc::clone(&most);
        let watch = tokio::spawn(async move {
            loop {
                shared.fetch_max(taken(pid).descriptors, Ordering::Relaxed);
                sleep(SAMPLE).await;
            }
        });
        Self { most, watch: watch.abort_handle() }
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        self.watch.abort();
    }
}
