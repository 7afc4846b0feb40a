//! The binary: flags in, exit code out; everything else is the library.

use std::process::ExitCode;

use clap::Parser;
use mailtrip_exporter::app;
use mailtrip_exporter::cli::Cli;

fn main() -> ExitCode {
    app::run(&Cli::parse())
}
