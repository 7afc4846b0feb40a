//! `make bench-accuracy`: how right is the round trip, in the field?
//!
//! The built program runs as a process of its own and probes a real Postfix and Dovecot, with
//! STARTTLS and logins, as it would in the field. Between them and it are
//!
//! - relays that hold back each byte for a one-way delay, before the mailbox alone or before both
//!   sides ([`relay`]);
//! - a clock of the exporter that is wrong by some seconds, made by libfaketime ([`exporter`]);
//! - a Postfix that delivers after a known delay;
//! - restarts, by SIGKILL and SIGTERM, while mails are under way ([`batch`]).
//!
//! What the exporter says about each mail is compared with the file in which the mailbox got it
//! ([`truth`]). Each row of the table is one such combination ([`plan`]), and says whether it is
//! within the aims ([`report`]). The table goes to standard output, progress to standard error;
//! nothing here passes or fails.
//!
//! The short run of some four minutes is for every day. `MAILTRIP_BENCH_LONG=1`
//! (`make bench-accuracy-long`, some twenty-five minutes) measures every combination, and fills the
//! table of `docs/accuracy.md`. `MAILTRIP_BENCH_ONLY=POP3` measures the rows alone whose label holds
//! these words, and `MAILTRIP_BENCH_MAILS=FILE` writes each mail there as a line of JSON.

use std::sync::Arc;
use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};

mod batch;
mod exporter;
mod plan;
mod relay;
mod report;
mod truth;

#[path = "../../tests/it"]
mod it {
    #[allow(dead_code, unused_imports, clippy::expect_used, clippy::unwrap_used)]
    #[allow(clippy::indexing_slicing)]
    #[path = "support/http.rs"]
    pub(crate) mod http;
    #[allow(dead_code, unused_imports, clippy::expect_used, clippy::unwrap_used)]
    #[allow(clippy::indexing_slicing)]
    pub(crate) mod lab;
}

use batch::Labs;
use it::lab;
use truth::Truth;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap_or_else(|error| panic!("no runtime: {error}"));
    runtime.block_on(async {
        tokio::select! {
            () = measure() => {}
            // What is measured ends, and with it the exporters and the servers.
            signal = interrupted() => eprintln!("{signal}"),
        }
    });
}

/// Returns when the user or the system wants an end.
async fn interrupted() -> &'static str {
    let terminated = signal(SignalKind::terminate());
    let mut terminated = terminated.unwrap_or_else(|error| panic!("no signals: {error}"));
    tokio::select! {
        _ = tokio::signal::ctrl_c() => "interrupted",
        _ = terminated.recv() => "terminated",
    }
}

async fn measure() {
    let is_long = std::env::var_os("MAILTRIP_BENCH_LONG").is_some();
    let only = std::env::var("MAILTRIP_BENCH_ONLY").unwrap_or_default();
    let began = Instant::now();
    let (labs, truth) = (Labs::start().await, Arc::new(Truth::start()));
    let mut rows = Vec::new();
    for mut batch in plan::batches(is_long) {
        batch.cells.retain(|cell| cell.label().contains(&only));
        if batch.cells.is_empty() {
            continue;
        }
        rows.extend(batch::measure(&labs, &truth, &batch).await);
    }
    if let Some(path) = std::env::var_os("MAILTRIP_BENCH_MAILS") {
        report::write_mails(path.as_ref(), &rows);
    }
    rows.sort_by_key(|row| row.cell.order());
    print!("{}", report::table(&rows));
    eprintln!("done after {:.0} s", began.elapsed().as_secs_f64());
}
