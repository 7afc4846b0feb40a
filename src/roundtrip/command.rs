//! The command `probe`: its configuration, its signals, its output and its exit code.

use std::future::pending;
use std::io::{self, Write};
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use super::arguments::{Output, Probe};
use super::state::{State, Thresholds, is_successful};
use super::{Options, Terminal, find, json, nagios, run};
use crate::config::{Config, Target};
use mail::net::host;

/// Makes one round trip as the command line says, shows it on standard output, and gives the exit
/// code. Ctrl-C and SIGTERM end it early.
pub async fn probe(config_file: &Path, probe: &Probe) -> u8 {
    let config = match Config::load(config_file) {
        Ok(config) => config,
        Err(problems) => return not_begun(probe, &problems.to_string()),
    };
    match find(&config, &probe.target) {
        Ok(target) => {
            let place = config.places.get(&target.name).cloned();
            let place = place.unwrap_or_else(|| config_file.display().to_string());
            one(target, place, probe).await
        }
        Err(unknown) => not_begun(probe, &unknown.to_string()),
    }
}

async fn one(target: &Target, place: String, probe: &Probe) -> u8 {
    let Probe { timeout, show_transcript, warning, critical, .. } = *probe;
    let thresholds = Thresholds { warning, critical };
    let options = Options {
        timeout,
        host: host::full_name().await,
        place,
        // The other outputs show the transcript at their end, if at all.
        shows_transcript: show_transcript && probe.output == Output::Text,
        thresholds,
    };
    if probe.output == Output::Text {
        let verdict = run(target, &options, &mut Terminal::stdout(), interrupt()).await;
        return u8::from(!is_successful(&verdict, target, &thresholds));
    }
    let verdict = run(target, &options, &mut Terminal::plain(io::sink()), interrupt()).await;
    if probe.output == Output::Json {
        let document = json::document(&verdict, target, &thresholds, show_transcript);
        print(&format!("{document:#}"));
        return u8::from(!is_successful(&verdict, target, &thresholds));
    }
    let (state, line) = nagios::line(&verdict, target, &thresholds);
    print(&line);
    if show_transcript {
        nagios::transcript(&verdict).iter().for_each(|line| print(line));
    }
    state.exit_code()
}

/// Says why there was no probe, and gives the exit code.
pub fn not_begun(probe: &Probe, problem: &str) -> u8 {
    match probe.output {
        Output::Text => {
            eprintln!("{problem}");
            1
        }
        Output::Json => {
            print(&format!("{:#}", json::not_begun(&probe.target, problem)));
            1
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
async fn interrupt() {
    // Without a handler the signal ends the process by itself.
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return pending().await };
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => if pressed.is_err() { pending::<()>().await },
        _ = terminated.recv() => {}
    }
}
