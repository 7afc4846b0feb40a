//! The command `probe`: its configuration, its signals, its output and its exit code.

use std::future::pending;
use std::io::{self, Write};
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use super::arguments::{Output, Probe};
use super::exporter::{self, Question};
use super::state::{State, Thresholds, is_successful};
use super::{Options, Terminal, all, find, json, nagios, run, standing};
use crate::config::{Config, Problems, Target};
use crate::standing::domains::Domains;
use crate::standing::limiter::Limiter;
use mail::net::host;

/// Makes one round trip as the command line says, shows it on standard output, and gives the exit
/// code. Ctrl-C and SIGTERM end it early. `load` reads the configuration, if it takes one, and says from where.
pub async fn probe<'a>(
    load: impl FnOnce() -> (&'a Path, Result<Config, Problems>),
    probe: &Probe,
) -> u8 {
    match probe.question() {
        Ok(Some(question)) => return ask(&question, probe).await,
        Ok(None) => {}
        Err(wrong) => return not_begun(probe, &format!("--from-exporter: {wrong}")),
    }
    let (config_file, config) = load();
    let config = match config {
        Ok(config) => config,
        Err(problems) => return not_begun(probe, &problems.to_string()),
    };
    let Some(name) = &probe.target else {
        return all_of(&config, config_file, probe).await;
    };
    match find(&config, name) {
        Ok(target) if probe.dns => lists_of(target, probe).await,
        Ok(target) => {
            let place = config.places.get(&target.name).cloned();
            let place = place.unwrap_or_else(|| config_file.display().to_string());
            one(target, place, probe).await
        }
        Err(unknown) => not_begun(probe, &unknown.to_string()),
    }
}

async fn one(target: &Target, place: String, probe: &Probe) -> u8 {
    let options = options(place, probe).await;
    let Options { thresholds, .. } = options;
    if probe.output == Output::Text {
        let verdict = run(target, &options, &mut Terminal::stdout(), interrupt()).await;
        return u8::from(!is_successful(&verdict, target, &thresholds));
    }
    let verdict = run(target, &options, &mut Terminal::plain(io::sink()), interrupt()).await;
    if probe.output == Output::Json {
        let document = json::document(&verdict, target, &thresholds, probe.show_transcript);
        print(&format!("{document:#}"));
        return u8::from(!is_successful(&verdict, target, &thresholds));
    }
    let (state, line) = nagios::line(&verdict, target, &thresholds);
    print(&line);
    if probe.show_transcript {
        nagios::transcript(&verdict).iter().for_each(|line| print(line));
    }
    state.exit_code()
}

/// What lists of addresses say of a target, and what its domains publish.
async fn lists_of(target: &Target, probe: &Probe) -> u8 {
    let (limiter, domains) = (Limiter::default(), Domains::default());
    let standing = tokio::select! {
        standing = standing::ask(target, (&limiter, &domains), probe.timeout) => standing,
        () = interrupt() => Err("interrupted before all have answered".to_owned()),
    };
    let standing = match standing {
        Ok(standing) => standing,
        Err(problem) => return not_begun(probe, &problem),
    };
    match probe.output {
        Output::Text => standing.show(&mut Terminal::stdout()),
        Output::Json => print(&format!("{:#}", standing.document())),
        Output::Nagios => {
            let name = &target.name;
            print(&nagios::status(standing.state(), &format!("{name} {}", standing.sentence())));
            return standing.state().exit_code();
        }
    }
    u8::from(standing.state() != State::Ok)
}

async fn options(place: String, probe: &Probe) -> Options {
    let Probe { timeout, show_transcript, warning, critical, .. } = *probe;
    Options {
        timeout,
        host: host::full_name().await,
        place,
        // The other outputs show the transcript at their end, if at all.
        shows_transcript: show_transcript && probe.output == Output::Text,
        thresholds: Thresholds { warning, critical },
        ..Options::default()
    }
}

/// Every target; the exit code is that of the worst in each output.
async fn all_of(config: &Config, config_file: &Path, probe: &Probe) -> u8 {
    if config.targets.is_empty() {
        return not_begun(probe, "the configuration has no targets");
    }
    let options = options(config_file.display().to_string(), probe).await;
    let thresholds = &options.thresholds;
    if probe.output == Output::Text {
        let mut terminal = Terminal::stdout();
        let results = all::run_all(config, &options, &mut terminal, interrupt()).await;
        all::show(&results, &mut terminal);
        return results.state().exit_code();
    }
    let mut nowhere = Terminal::plain(io::sink());
    let results = all::run_all(config, &options, &mut nowhere, interrupt()).await;
    if probe.output == Output::Json {
        print(&format!("{:#}", all::document(&results, thresholds)));
    } else {
        all::lines(&results, thresholds).iter().for_each(|line| print(line));
    }
    results.state().exit_code()
}

/// Shows what a running exporter has measured.
async fn ask(question: &Question, probe: &Probe) -> u8 {
    let name = probe.target.as_deref().unwrap_or_default();
    let thresholds = Thresholds { warning: probe.warning, critical: probe.critical };
    let finding = tokio::select! {
        finding = question.ask(name, &thresholds) => finding,
        () = interrupt() => Err("interrupted before the exporter has answered".to_owned()),
    };
    let finding = match finding {
        Ok(finding) => finding,
        Err(problem) => return not_begun(probe, &problem),
    };
    match probe.output {
        Output::Text => exporter::show(&finding, &question.address, &mut Terminal::stdout()),
        Output::Json => print(&format!("{:#}", exporter::document(&finding, &question.address))),
        Output::Nagios => {
            print(&exporter::line(&finding, &thresholds));
            return finding.state.exit_code();
        }
    }
    u8::from(!finding.is_successful())
}

/// Says why there was no probe, and gives the exit code.
pub fn not_begun(probe: &Probe, problem: &str) -> u8 {
    let code = if probe.all { State::Unknown.exit_code() } else { 1 };
    match probe.output {
        Output::Text => {
            eprintln!("{problem}");
            code
        }
        Output::Json => {
            print(&format!("{:#}", json::not_begun(probe.target.as_deref(), problem)));
            code
        }
        Output::Nagios => {
            print(&nagios::status(State::Unknown, problem));
            State::Unknown.exit_code()
        }
    }
}

/// A reader who has gone away is no reason to fail.
fn print(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Somebody ends the command: Ctrl-C, or the SIGTERM of a monitoring system that lost its patience.
pub(crate) async fn interrupt() {
    // Without a handler the signal ends the process by itself.
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return pending().await };
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => if pressed.is_err() { pending::<()>().await },
        _ = terminated.recv() => {}
    }
}
