//! What the command `probe` is asked to do. The doc comments are the help texts.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::exporter::{Address, Question};
use crate::config::parse_duration;

/// The longest duration that a flag takes: a year.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// What `probe` is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Probe {
    /// The name of the target in the configuration
    #[arg(value_name = "TARGET")]
    pub target: Option<String>,

    /// Test every target of the configuration side by side, with a table at the end; the exit code is
    /// that of the worst: 2 (CRITICAL), 1 (WARNING), 3 (UNKNOWN, or nothing was tested) or 0 (OK)
    #[arg(long, conflicts_with_all = ["target", "show_transcript", "from_exporter"])]
    pub all: bool,

    /// How long all of it may take, as 90s, 5m, or 50 for seconds [default: the deadlines of the
    /// target; the mail is waited for until its late_after]
    #[arg(short, long, value_name = "DURATION", value_parser = limit)]
    pub timeout: Option<Duration>,

    /// Show what the exporter that runs there has measured, instead of sending a mail; needs no
    /// configuration; without --timeout it has 10 s to answer
    #[allow(rustdoc::bare_urls, reason = "`--help` shows it as it is written")]
    #[arg(long, value_name = "URL", conflicts_with_all = ["show_transcript", "config_file"])]
    pub from_exporter: Option<String>,

    /// Ask that exporter again for so long, until it answers and has measured the target; each time it has
    /// --timeout
    #[arg(long, value_name = "DURATION", requires = "from_exporter", value_parser = limit)]
    pub wait: Option<Duration>,

    /// Ask the lists of `dnsbl`, and make the checks of `domain_checks`, instead of sending a mail
    #[arg(long, requires = "target", conflicts_with_all = ["all", "show_transcript", "from_exporter"])]
    pub dns: bool,

    /// A file with user:password for that exporter, for https:// or an exporter on this machine
    #[arg(long, value_name = "FILE", requires = "from_exporter")]
    pub exporter_login_file: Option<PathBuf>,

    /// A file with the authorities to trust for that exporter instead of the system's
    #[arg(long, value_name = "FILE", requires = "from_exporter")]
    pub exporter_ca_file: Option<PathBuf>,

    /// What is written to standard output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,

    /// Show the whole dialogue with both servers, secrets replaced
    #[arg(long)]
    pub show_transcript: bool,

    /// A longer round trip is slow: WARNING [default: late_after of the target]
    #[arg(short, long, value_name = "DURATION", value_parser = threshold)]
    pub warning: Option<Duration>,

    /// A longer round trip is too slow: CRITICAL, and no success [default: none is]
    #[arg(short, long, value_name = "DURATION", value_parser = threshold)]
    pub critical: Option<Duration>,
}

impl Probe {
    /// The question to a running exporter, if one is to be asked.
    ///
    /// # Errors
    /// What is wrong with its address, without the address: it may hold a password.
    pub fn question(&self) -> Result<Option<Question>, String> {
        let Some(url) = &self.from_exporter else { return Ok(None) };
        let address = Address::parse(url)?;
        if self.exporter_login_file.is_some() && !address.is_private() {
            return Err(
                "by http:// everybody on the way could read the password: write https://, or \
                        leave out --exporter-login-file"
                    .to_owned(),
            );
        }
        Ok(Some(Question {
            address,
            login_file: self.exporter_login_file.clone(),
            ca_file: self.exporter_ca_file.clone(),
            timeout: self.timeout,
            wait: self.wait,
        }))
    }
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

/// A duration above zero; a bare number is in seconds, as other plugins have it.
fn limit(text: &str) -> Result<Duration, String> {
    let limit = seconds(text).or_else(|| parse_duration(text));
    let advice = "write a duration above zero, such as 50, 90s or 5m";
    bounded(limit.filter(|limit| !limit.is_zero()).ok_or_else(|| advice.to_owned())?)
}

/// The longest round trip that is good. Of the ranges of the Monitoring Plugins Development Guidelines
/// those that say so are taken: `20`, `0:20` and `~:20`.
fn threshold(text: &str) -> Result<Duration, String> {
    let most = text.strip_prefix("0:").or_else(|| text.strip_prefix("~:")).unwrap_or(text);
    let most_is = seconds(most).or_else(|| parse_duration(most));
    let most_is = most_is.ok_or_else(|| match text.contains(':') || text.starts_with('@') {
        true => "a round trip can only be too long: write the longest that is good, as 20 or 0:20"
            .to_owned(),
        false => "write a duration, such as 20, 90s or 5m".to_owned(),
    })?;
    bounded(most_is)
}

/// Beyond it no clock can count to the end.
fn bounded(duration: Duration) -> Result<Duration, String> {
    if duration > LONGEST { Err("write a year (365d) at most".to_owned()) } else { Ok(duration) }
}

/// A bare number.
fn seconds(text: &str) -> Option<Duration> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds: f64 = text.parse().ok().filter(|_| is_number)?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// A duration above zero.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Some(duration) if !duration.is_zero() => bounded(duration),
        _ => Err("write a duration above zero, such as 90s or 5m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_number_is_in_seconds() {
        for (text, expected) in [("50", 50_000), ("0.25", 250), ("90s", 90_000), ("1m30s", 90_000)]
        {
            let expected = Duration::from_millis(expected);
            assert_eq!((limit(text), threshold(text)), (Ok(expected), Ok(expected)), "{text}");
        }
        for text in
            ["", "0", "0s", ".", "-1", "1e3", "inf", "NaN", "1 2", "99999999999999999999999"]
        {
            assert!(limit(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_no_clock_can_count_is_refused() {
        for text in ["9223372036854775807", "366d", "31536001"] {
            let refusals = [limit(text), threshold(text)].map(Result::unwrap_err);
            assert!(refusals.iter().all(|it| it.contains("a year (365d) at most")), "{refusals:?}");
        }
        assert_eq!((limit("365d"), threshold("~:365d")), (Ok(LONGEST), Ok(LONGEST)));
        assert!(duration("366d").is_err());
    }

    #[test]
    fn of_ranges_those_with_an_upper_end_alone_are_taken() {
        for text in ["20", "0:20", "~:20", "0:20s"] {
            assert_eq!(threshold(text), Ok(Duration::from_secs(20)), "{text}");
        }
        assert_eq!(threshold("0"), Ok(Duration::ZERO), "each round trip is too long then");
        for text in ["10:", "10:20", "@10:20", "@20", "0:", "~:", ":"] {
            let refusal = threshold(text).unwrap_err();
            assert!(refusal.contains("write the longest that is good"), "{text}: {refusal}");
        }
    }
}
