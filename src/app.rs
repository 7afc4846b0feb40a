//! From the command line to a running program and its exit code.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use crate::build::{REVISION, VERSION};
use crate::check::{self, Findings};
use crate::cli::init::Init;
use crate::cli::{Check, Cli, Command, Generate};
use crate::config::{Config, Problems};
use crate::demo::{self, Demo};
use crate::descriptors::{self, Need};
use crate::healthcheck;
use crate::init::{OF_SERVICE, Wish};
use crate::probing::send::Origin;
use crate::roundtrip::arguments::Probe;
use crate::roundtrip::command;
use crate::store::Store;
use crate::supervisor::Supervisor;
use crate::web::routes::App;
use crate::web::server::{self, WebConfig};
use ledger::Shortage;
use mail::net;
use mail::shortage::news as shortages;
use mail::threads;

/// How long requests and sessions may take to end.
const LONGEST_END: Duration = Duration::from_secs(4);
/// How often it is looked whether a shortage is over.
const SHORTAGE_TICK: Duration = Duration::from_secs(5);
/// More worker threads than this cost memory and win nothing: the work is waiting.
const WORKERS: usize = 4;

/// Something that ends the program; it is shown as it is.
type Fatal = Box<dyn std::error::Error + Send + Sync>;

/// Does what the command line says.
pub fn run(cli: &Cli) -> ExitCode {
    let limits = descriptors::raise();
    let outcome = match &cli.command {
        Some(Command::Check(_)) => check(cli),
        None if cli.config_check => check(cli),
        Some(Command::Probe(probe)) => on_runtime(probe_one(cli, probe))
            .or_else(|fatal| Ok(ExitCode::from(command::not_begun(probe, &fatal.to_string())))),
        Some(Command::Init(init)) => on_runtime(create(init)),
        Some(Command::Generate(what)) => generate(what),
        Some(Command::Healthcheck) => on_runtime(check_health(cli)),
        Some(Command::Demo) => on_runtime(show_demo(cli, limits)),
        None => on_runtime(export(cli, limits)),
    };
    outcome.unwrap_or_else(|fatal| {
        eprintln!("{fatal}");
        ExitCode::FAILURE
    })
}

/// Writes what the program knows of itself.
fn generate(what: &Generate) -> Result<ExitCode, Fatal> {
    crate::generate::write(what)?;
    Ok(ExitCode::SUCCESS)
}

/// Lists everything that is wrong, or what will be probed and how it is served.
fn check(cli: &Cli) -> Result<ExitCode, Fatal> {
    let (config_file, config) = load(cli);
    let (config, web) = match (config, web_config(cli)) {
        (Ok(config), Ok(web)) => (config.part_of(cli.shard), web),
        (Err(config), Err(web)) => return Err(all_wrong(&format!("{config}\n{web}"))),
        (Err(config), Ok(_)) => return Err(all_wrong(&config.to_string())),
        (Ok(_), Err(web)) => return Err(all_wrong(&web.to_string())),
    };
    let verbose = matches!(cli.command, Some(Command::Check(Check { verbose: true })));
    let need = Need::of(&config);
    let limit = mail::descriptors::limit();
    let warnings = config.warnings().into_iter().chain(need.warning(limit));
    let warnings = warnings.chain(crate::check::too_many_domains(&config));
    let findings = Findings::of(config_file, &config, warnings.collect(), limit, verbose);
    for line in findings.targets.iter().chain(&findings.servers) {
        println!("{line}");
    }
    if let Some(path) = &cli.web.config_file {
        println!("{}: {}", path.display(), web.describe());
    }
    for warning in &findings.warnings {
        eprintln!("warning: {warning}");
    }
    for line in &findings.overview {
        println!("{line}");
    }
    println!("{}", findings.summary);
    Ok(ExitCode::SUCCESS)
}

/// The configuration of a subcommand, and where it is: with no flag and no file here that of the service, as people
/// who have installed the package mean it. The exporter itself never guesses.
fn load(cli: &Cli) -> (&Path, Result<Config, Problems>) {
    let here = cli.config_file.as_path();
    match cli.command {
        Some(_) if !cli.names_config_file => Config::load_first(here, Path::new(OF_SERVICE)),
        _ => (here, Config::load(here)),
    }
}

/// Everything that is wrong, and how much it is.
fn all_wrong(problems: &str) -> Fatal {
    format!("{problems}\n{}", check::summary_of_problems(problems)).into()
}

fn on_runtime(task: impl Future<Output = Result<ExitCode, Fatal>>) -> Result<ExitCode, Fatal> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS);
    can_run(workers)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(|error| {
            let advice = Shortage::of(&error).map(mail::shortage::advice).unwrap_or_default();
            format!("cannot begin: {error}; {advice}")
        })?;
    let outcome = runtime.block_on(task);
    // A name look-up that hangs in the system's resolver must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// Whether the system gives enough for the runtime and the least that there is to do.
fn can_run(workers: usize) -> Result<(), Fatal> {
    let limit = mail::descriptors::limit();
    if limit < descriptors::FEWEST {
        let least = descriptors::FEWEST;
        let advice = mail::shortage::advice(Shortage::Descriptors);
        let message = format!(
            "cannot run with {limit} file descriptors; at least {least} are needed: {advice}"
        );
        return Err(message.into());
    }
    descriptors::try_for_runtime().map_err(|error| {
        format!(
            "cannot run without any descriptor ({error}): {}",
            mail::shortage::advice(Shortage::Descriptors)
        )
    })?;
    // One more writes the store, and one does what takes long.
    threads::try_so_many(workers + 2).map_err(|error| {
        let advice = mail::shortage::advice(Shortage::Threads);
        format!("cannot run without {} threads ({error}): {advice}", workers + 2).into()
    })
}

async fn probe_one(cli: &Cli, probe: &Probe) -> Result<ExitCode, Fatal> {
    Ok(ExitCode::from(command::probe(|| load(cli), probe).await))
}

/// Makes a first configuration.
async fn create(init: &Init) -> Result<ExitCode, Fatal> {
    let Init { address, password_file, folder, name, ca_file, protocol, yes } = init.clone();
    let protocol = protocol.map(Into::into);
    let wish = Wish { address, password_file, folder, name, ca_file, protocol, yes };
    let is_good = crate::init::run(&wish).await?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn check_health(cli: &Cli) -> Result<ExitCode, Fatal> {
    let web = web_config(cli)?;
    let addresses = cli.web.listen_addresses();
    // The first answers for all.
    let address = addresses.first().ok_or("no address to ask")?;
    healthcheck::ask(address, &cli.web.mount(), &web).await?;
    println!("healthy");
    Ok(ExitCode::SUCCESS)
}

async fn export(cli: &Cli, limits: Limits) -> Result<ExitCode, Fatal> {
    let signals = Signals::listen()?;
    crate::log::init(cli.log)?;
    tell_limits(limits);
    let passed = cli.web.systemd_socket.then(server::passed_by_systemd).transpose()?;
    let config = Config::load(&cli.config_file)?.part_of(cli.shard);
    if let Some(shard) = config.shard {
        let (targets, in_other_shards) = (config.targets.len(), config.in_other_shards);
        info!(%shard, targets, in_other_shards, "one of several exporters");
    }
    let web = web_config(cli)?;
    let listeners = match passed {
        Some(listeners) => listeners,
        None => bind(cli).await?,
    };
    let store = Arc::new(Store::open(&config.state_dir)?);
    let short = Need::of(&config).warning(mail::descriptors::limit());
    let shares = short.into_iter().chain(crate::check::too_many_domains(&config));
    for warning in config.warnings().into_iter().chain(shares) {
        warn!("{warning}");
    }
    let origin = Origin { instance: store.instance, host: net::host::full_name().await };
    let config_file = Some(cli.config_file.clone());
    let supervisor = Supervisor::start_with_store(config, config_file, origin, store).await?;
    serve_until_stopped(cli, web, listeners, supervisor, signals).await
}

async fn bind(cli: &Cli) -> Result<Vec<TcpListener>, Fatal> {
    let mut listeners = Vec::new();
    for address in cli.web.listen_addresses() {
        listeners.extend(server::bind(&address.to_string()).await?);
    }
    Ok(listeners)
}

/// The soft limit of descriptors before and after it was raised; `None`: without a limit.
type Limits = (Option<u64>, Option<u64>);

fn tell_limits((before, after): Limits) {
    let words = |limit: Option<u64>| limit.map_or_else(|| "none".to_owned(), |it| it.to_string());
    let (before, after) = (words(before), words(after));
    match before == after {
        true => debug!(limit = after, "the limit of open files"),
        false => info!(limit = after, before, "the limit of open files was raised"),
    }
}

/// Has the log tell when a shortage is over.
async fn watch_shortages() {
    let mut ticks = tokio::time::interval(SHORTAGE_TICK);
    loop {
        ticks.tick().await;
        shortages::tell_ended();
    }
}

/// Reloads when a file of the configuration has changed, and looks so often.
async fn reload_on_change(supervisor: Arc<Supervisor>, interval: Duration) {
    loop {
        sleep(interval).await;
        supervisor.reload_if_changed().await;
    }
}

async fn show_demo(cli: &Cli, limits: Limits) -> Result<ExitCode, Fatal> {
    let signals = Signals::listen()?;
    crate::log::init(cli.log)?;
    tell_limits(limits);
    let web = web_config(cli)?;
    let listeners = demo::bind(&cli.web.given_listen_addresses).await?;
    let demo = Demo::start().await?;
    let config = demo.config();
    let store = Arc::new(Store::open(&config.state_dir)?);
    let origin = Origin { instance: store.instance, host: net::host::full_name().await };
    let config_file = Some(demo.config_file().to_owned());
    if let Some(listener) = listeners.first() {
        let (mount, address) = (cli.web.mount(), listener.local_addr()?);
        println!("{}", demo.introduction(address, mount.routes(), &cli.web.telemetry_path));
    }
    let supervisor = Supervisor::start_with_store(config, config_file, origin, store).await?;
    serve_until_stopped(cli, web, listeners, supervisor, signals).await
}

fn web_config(cli: &Cli) -> Result<WebConfig, Fatal> {
    Ok(match &cli.web.config_file {
        Some(path) => WebConfig::load(path)?,
        None => WebConfig::none(),
    })
}

/// Answers requests and signals until SIGTERM or SIGINT; the end takes at most five seconds
/// whatever servers and clients do.
async fn serve_until_stopped(
    cli: &Cli,
    web: WebConfig,
    listeners: Vec<TcpListener>,
    supervisor: Arc<Supervisor>,
    signals: Signals,
) -> Result<ExitCode, Fatal> {
    for listener in &listeners {
        if let Ok(address) = listener.local_addr() {
            let web = web.describe();
            info!(%address, web, version = VERSION, revision = REVISION, "listening");
        }
    }
    let app = Arc::new(App {
        supervisor: Arc::clone(&supervisor),
        mount: cli.web.mount(),
        elsewhere: cli.web.elsewhere(),
        telemetry_path: cli.web.telemetry_path.clone(),
        enable_lifecycle: cli.web.enable_lifecycle,
        enable_details: cli.web.enable_details,
    });
    let shutdown = CancellationToken::new();
    let answer = move |request| {
        let app = Arc::clone(&app);
        async move { app.answer(request).await }
    };
    let server = tokio::spawn(server::serve(listeners, web, answer, shutdown.clone()));
    let watching = AbortOnDropHandle::new(tokio::spawn(watch_shortages()));
    let reloading = cli.reload.interval().map(|interval| {
        AbortOnDropHandle::new(tokio::spawn(reload_on_change(Arc::clone(&supervisor), interval)))
    });
    signals.wait_for_the_end(&supervisor).await;
    drop((watching, reloading));
    info!("stopping");
    shutdown.cancel();
    let (served, stopped) =
        tokio::join!(timeout(LONGEST_END, server), timeout(LONGEST_END, supervisor.stop()));
    if served.is_err() || stopped.is_err() {
        warn!("requests or sessions were interrupted by the shutdown");
    }
    Ok(ExitCode::SUCCESS)
}

/// The signals that the program listens to, from its first moment on.
struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// SIGHUP reloads; SIGTERM and SIGINT end, also while a reload is under way.
    async fn wait_for_the_end(mut self, supervisor: &Arc<Supervisor>) {
        loop {
            tokio::select! {
                _ = self.hang_up.recv() => {
                    let supervisor = Arc::clone(supervisor);
                    // It logs how it went.
                    tokio::spawn(async move { drop(supervisor.reload().await) });
                }
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
            }
        }
    }
}
