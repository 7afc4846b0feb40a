//! `mailtrip_exporter probe TARGET`: one round trip now, every step shown as it happens.
//!
//! It runs as one period of the exporter does: the check of the mailbox, a test mail on a fresh
//! connection, looks until the mail is seen or has bounced, and its removal. It opens no store and has an instance
//! and a token of its own, so that it works beside the running service; it touches no mail but its
//! own and the reports about it.
//!
//! `round_trip` is that sequence, `dialing` what precedes a connection, `hand_over` the sending, `test_mail`
//! the mail, `mailbox` looks by any protocol, `sender_mailbox` for a bounce beside it, `report` shows the
//! steps and [`record`] keeps them, [`verdict`] says what they come to, [`state`] what that is to a monitoring system. [`terminal`] is where
//! the text is written; [`json`] and [`nagios`] are the other outputs, [`exporter`] reads the result of a
//! running exporter instead, `standing` asks lists of addresses and about domains instead, [`all`] makes the round trips of all targets, [`command`] is what the command
//! line calls, and [`arguments`] what it may be asked.

use std::fmt;
use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::sleep_until;

use crate::config::{Config, Target, TargetName, edit_distance};
use crate::probing::bound::Permit;
use mail::outer::MARGIN;

use round_trip::RoundTrip;
use state::Thresholds;
pub use terminal::Terminal;
pub use verdict::Verdict;

pub mod all;
pub mod arguments;
pub mod command;
mod dialing;
mod expected;
pub mod exporter;
mod hand_over;
pub mod json;
mod mailbox;
pub mod nagios;
pub mod record;
mod report;
mod round_trip;
mod sender_mailbox;
mod standing;
pub mod state;
pub mod terminal;
mod test_mail;
pub mod verdict;
mod way;

/// How many names are suggested in place of an unknown one.
const SUGGESTIONS: usize = 3;

/// How a probe is made.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How long all of it may take; `None`: the mail is waited for until it is late (`late_after`),
    /// and each step has the deadlines of the target.
    pub timeout: Option<Duration>,
    /// This host's full name, for EHLO and for the text of the mail; `None` if it has none.
    pub host: Option<String>,
    /// Where the target is configured, as `mailtrip.yml:12`, for the advice in the verdict.
    pub place: String,
    /// Whether each line of the dialogues is shown, secrets replaced.
    pub shows_transcript: bool,
    /// From which round trip on a mail that arrives is not well.
    pub thresholds: Thresholds,
    /// What it shares with others that are made at the same time.
    pub shared: Shared,
}

/// What one round trip has to share with others.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    /// Held while mails are taken out of the mailbox.
    pub removal: Option<Arc<Mutex<()>>>,
    /// The same for the sender's own mailbox.
    pub sender_removal: Option<Arc<Mutex<()>>>,
}

/// Makes one round trip and shows it on `terminal`, verdict included. It ends early when
/// `interrupt` does; a mail that is under way then may still arrive, and the verdict says so.
pub async fn run<W: Write>(
    target: &Target,
    options: &Options,
    terminal: &mut Terminal<W>,
    interrupt: impl Future<Output = ()>,
) -> Verdict {
    Box::pin(run_with(target, options, None, terminal, interrupt)).await
}

/// The same; `connection` is leave to have one open to the SMTP server, and is given back when the mail is
/// sent.
async fn run_with<'a, W: Write>(
    target: &'a Target,
    options: &'a Options,
    connection: Option<Permit<'a>>,
    terminal: &'a mut Terminal<W>,
    interrupt: impl Future<Output = ()>,
) -> Verdict {
    let mut round_trip = RoundTrip::new(target, options, terminal);
    round_trip.connection = connection;
    let end = round_trip.end();
    let out_of_time = async {
        match end {
            // What a dialogue says that ends in time is more exact.
            Some(end) => sleep_until(end + MARGIN).await,
            None => std::future::pending().await,
        }
    };
    let was_interrupted = tokio::select! {
        biased;
        () = interrupt => true,
        // First: a server that always has more to say would outrun a timer that is asked after it.
        () = out_of_time => false,
        () = Box::pin(round_trip.run()) => false,
    };
    round_trip.conclude(was_interrupted)
}

/// The target of this name.
///
/// # Errors
/// [`UnknownTarget`], with the names that come nearest.
pub fn find<'a>(config: &'a Config, name: &str) -> Result<&'a Arc<Target>, UnknownTarget> {
    let known = TargetName::new(name).and_then(|name| config.targets.get(&name));
    known.ok_or_else(|| UnknownTarget::new(config, name))
}

/// The configuration has no target of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownTarget {
    name: String,
    /// Those that come nearest first.
    suggestions: Vec<TargetName>,
    /// How many targets there are.
    total: usize,
}

impl UnknownTarget {
    fn new(config: &Config, name: &str) -> Self {
        let written = name.to_lowercase();
        let distance = |known: &TargetName| {
            let known = known.as_str().to_lowercase();
            let is_part = !written.is_empty() && known.contains(&written);
            if is_part { 0 } else { edit_distance(&written, &known) }
        };
        let mut suggestions: Vec<&TargetName> = config.targets.keys().collect();
        suggestions.sort_by_cached_key(|known| distance(known));
        suggestions.truncate(SUGGESTIONS);
        Self {
            name: name.to_owned(),
            suggestions: suggestions.into_iter().cloned().collect(),
            total: config.targets.len(),
        }
    }
}

impl fmt::Display for UnknownTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has no target `{}`", self.name.escape_debug())?;
        if self.suggestions.is_empty() {
            return f.write_str("; it has no targets");
        }
        let names: Vec<String> = self.suggestions.iter().map(|name| format!("`{name}`")).collect();
        let names = names.join(", ");
        match self.total.saturating_sub(self.suggestions.len()) {
            0 => write!(f, "; it has {names}"),
            more => write!(f, "; the nearest are {names}, and {more} more"),
        }
    }
}

impl std::error::Error for UnknownTarget {}
