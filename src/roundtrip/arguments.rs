//! What the command `probe` is asked to do. The doc comments are the help texts.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::config::parse_duration;

/// What `probe` is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Probe {
    /// The name of the target in the configuration
    #[arg(value_name = "TARGET")]
    pub target: String,

    /// How long all of it may take, as 90s or 5m [default: the deadlines of the target; the mail is
    /// waited for until its late_after]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,

    /// What is written to standard output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,

    /// Show the whole dialogue with both servers, secrets replaced
    #[arg(long)]
    pub show_transcript: bool,

    /// A longer round trip is WARNING for nagios and in json [default: late_after of the target]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub warning: Option<Duration>,

    /// A longer round trip is CRITICAL for nagios and in json [default: none is]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub critical: Option<Duration>,
}

/// `--output` of `probe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Each step as it happens, and a verdict
    Text,
    /// One document at the end
    Json,
    /// One line with performance data; exit code 0 (OK), 1 (WARNING), 2 (CRITICAL) or 3 (UNKNOWN)
    Nagios,
}

/// A duration above zero.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Some(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("write a duration above zero, such as 90s or 5m".to_owned()),
    }
}
