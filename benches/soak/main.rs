//! `make soak [MINUTES=60]`: does the exporter stay what it is, hour after hour?
//!
//! The built program runs as a process of its own against the embedded servers in another process
//! ([`servers`]): a hundred targets, fifty test mails a second. Half of them behave; of the others
//! each kind does one thing wrong, again and again ([`plan`]): silence, closes, refusals, garbage,
//! floods, flaps, mails lost, held back, doubled, bounced. Meanwhile the pages are read and the
//! configuration is read again every few seconds ([`run`]). At the end all servers behave, nothing
//! more is sent, and the books of both sides are compared ([`books`]).
//!
//! `make bench-hostile` plays each row of the table of hostile servers (`docs/hostile.md`) to a process of
//! its own instead, and prints the table with its figures ([`rows`]).
//!
//! `MAILTRIP_BENCH_PROGRAM=FILE` has another program run than the one that was built.
//!
//! What has to hold is judged by [`judge`]; a line of progress goes to standard error each minute,
//! the summary to standard output. It exits with 1 if something did not hold.

use std::process::ExitCode;
use std::time::Duration;

mod books;
mod judge;
mod plan;
mod rows;
mod run;
mod servers;

#[path = "../../tests/it/embedded/hostile"]
mod hostile {
    #[allow(dead_code, reason = "for tests")]
    pub(crate) mod page;
    pub(crate) mod played;
    pub(crate) mod script;
    pub(crate) mod table;
}

#[path = "../shared"]
mod shared {
    pub(crate) mod peer;
    #[allow(dead_code, reason = "for other benchmarks")]
    pub(crate) mod process;
    #[allow(dead_code, reason = "for other benchmarks")]
    pub(crate) mod program;
}

#[path = "../../tests/it"]
mod it {
    #[allow(dead_code, unused_imports, clippy::expect_used, clippy::unwrap_used)]
    #[allow(clippy::indexing_slicing)]
    pub(crate) mod support;
}

use it::support::{self, http};
use shared::{peer, process, program};

/// Set for the process with the servers.
const SERVERS: &str = "MAILTRIP_SOAK_SERVERS";

/// Set where the rows of the table of hostile servers are measured in place of the soak.
const ROWS: &str = "MAILTRIP_SOAK_ROWS";

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    if std::env::var_os(SERVERS).is_some() {
        runtime.block_on(servers::serve());
        return ExitCode::SUCCESS;
    }
    if std::env::var_os(ROWS).is_some() {
        return code(runtime.block_on(rows::measure()));
    }
    let minutes = std::env::var("MINUTES").unwrap_or_else(|_| "60".to_owned());
    let Ok(minutes) = minutes.parse::<u32>() else {
        eprintln!("MINUTES is no number: {minutes}");
        return ExitCode::FAILURE;
    };
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = run::soak(Duration::from_secs(60) * minutes) => outcome,
            // What runs ends, and with it both processes.
            _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
        }
    });
    match outcome {
        Ok(report) => {
            print!("{}", report.text());
            code(report.holds())
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn code(is_good: bool) -> ExitCode {
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
