//! `make bench-scale [TARGETS='1 100 1000 10000'] [MINUTES=n] [PERIOD=seconds]`: what a target costs, from
//! one of them to ten thousand.
//!
//! The built program runs as a process of its own, with a store, against embedded servers in another
//! process ([`servers`]), with TLS and logins on both sides. Each number of targets ([`plan`]) is a run
//! of its own ([`row`]): what it takes is read from outside ([`process`]), what it measures from its own
//! metrics ([`page`]), and how fast it answers by asking it ([`visits`]). Mail is delivered after a known
//! time, so that the error of the round trip is known.
//!
//! `make bench-cost` has it measure the processor time of a round trip beside the least possible ([`cost`]);
//! `MAILTRIP_COST_SECONDS=n` shortens each of its turns to so many seconds, for a try.
//!
//! The table goes to standard output ([`table`]), a line of progress for each phase to standard error.
//! `MAILTRIP_BENCH_PROGRAM=FILE` has another program run than the one that was built.

use std::process::ExitCode;

mod cost;
mod page;
mod plan;
mod row;
mod servers;
mod table;
mod visits;

#[path = "../shared"]
mod shared {
    #[allow(dead_code, reason = "for other benchmarks")]
    pub(crate) mod peer;
    #[allow(dead_code, reason = "for other benchmarks")]
    pub(crate) mod process;
    #[allow(dead_code, reason = "for other benchmarks")]
    pub(crate) mod program;
}

#[path = "../../tests/it/support/http.rs"]
#[allow(dead_code, clippy::expect_used, reason = "for tests")]
mod http;

use shared::{peer, process, program};

/// Set for the process with the servers: how many accounts they have.
const SERVERS: &str = "MAILTRIP_SCALE_SERVERS";

/// Set where the cost of a round trip is measured in place of the table.
const COST: &str = "MAILTRIP_SCALE_COST";

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    let outcome = runtime.block_on(async {
        if let Ok(accounts) = std::env::var(SERVERS) {
            return servers::serve(&accounts).await;
        }
        tokio::select! {
            outcome = measure() => outcome,
            // What runs ends, and with it both processes.
            _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Result<(), String> {
    if std::env::var_os(COST).is_some() {
        return cost::measure().await;
    }
    let mut rows = Vec::new();
    for plan in plan::plans()? {
        rows.push(row::measure(&plan).await?);
        // What is there already is told, should a later one fail.
        eprintln!("{}", table::text(&rows));
    }
    print!("{}", table::text(&rows));
    Ok(())
}
