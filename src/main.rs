//! The binary: flags in, exit code out; everything else is the library.

use std::process::ExitCode;

use mailtrip_exporter::app;
use mailtrip_exporter::cli::Cli;

fn main() -> ExitCode {
    match Cli::from_arguments() {
        Ok(cli) => app::run(&cli),
        Err(exit_code) => ExitCode::from(exit_code),
    }
}
