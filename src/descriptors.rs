//! File descriptors: how many this process may have open, for whom the last of them are kept, and how
//! many a configuration needs.
//!
//! See [`mail::descriptors`] for how the last ones are kept.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use mail::descriptors::{is_among_the_last, kept, limit};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// With fewer descriptors than this the exporter does not start: it could test next to nothing.
pub const FEWEST: u64 = 48;
/// How many pings and ports are checked at one time, over all targets.
pub const MOST_CHECKS: usize = 256;
/// How many the exporter has open of its own, at most: the log, the event loop, signals, the
/// addresses that it listens on, the store, questions to name servers, and files that it reads.
const OWN: u64 = 32;
/// How many the runtime begins with: its event loop, and the pipe that signals come by.
const OF_RUNTIME: usize = 6;
/// The last ones of all, for files that are open for a moment: those of the store, and what a page
/// tells of the process.
const FOR_FILES: u64 = 6;

/// Raises the soft limit of descriptors to the hard one. Gives the soft limit before and after;
/// `None`: without a limit.
pub fn raise() -> (Option<u64>, Option<u64>) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // Where that is refused the limit stays as it is, which is told.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    (current, getrlimit(Resource::Nofile).current)
}

/// Whether the runtime finds the descriptors that it begins with; without them it would panic.
///
/// # Errors
/// What the system says if not.
pub fn try_for_runtime() -> io::Result<()> {
    (0..OF_RUNTIME).map(|_| File::open("/dev/null")).collect::<io::Result<Vec<File>>>().map(drop)
}

/// How many of so many descriptors are for clients of the pages: a quarter, from 16 to 1,024.
pub fn for_clients(limit: u64) -> u64 {
    (limit / 4).clamp(16, 1024)
}

/// Whether a connection of a client has taken one of the descriptors that the store may need.
pub fn is_for_files(socket: &impl AsFd) -> bool {
    is_among_the_last(socket, limit(), FOR_FILES)
}

/// How many descriptors a configuration needs at one time, if all that may be under way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Connections that send: one a target, `max_connections` at most to a server and account.
    sending: u64,
    /// Sessions in mailboxes: one by IMAP; two by POP3, where the next one is made ready, and by JMAP, where one is
    /// for events.
    mailboxes: u64,
    /// Pings and ports; there are 256 at one time at most.
    checks: u64,
}

impl Need {
    /// That of this configuration.
    pub fn of(config: &Config) -> Self {
        let (mut sending, mut mailboxes, mut checks) = (0, 0, 0);
        for load in config.server_loads() {
            let sum = if load.server.protocol == "smtp" { &mut sending } else { &mut mailboxes };
            *sum += load.connections();
        }
        for target in config.targets.values() {
            // The connections of a side stand for its port.
            let ports = target.port_checks().into_iter().filter(|check| check.owner.is_none());
            checks += ports.count() + usize::from(target.ping.is_some());
        }
        Self {
            sending,
            mailboxes,
            checks: u64::try_from(checks.min(MOST_CHECKS)).unwrap_or(u64::MAX),
        }
    }

    /// All of it, those that the exporter always has open included.
    pub fn total(&self) -> u64 {
        OWN + self.sending + self.mailboxes + self.checks
    }

    /// The lowest limit that suffices: beside the need it has room for clients of the pages, and for
    /// what no test may take.
    pub fn least_limit(&self) -> u64 {
        let (mut low, mut high) = (0, self.total().saturating_mul(2) + 128);
        while low < high {
            let middle = low + (high - low) / 2;
            match room(middle) >= self.total() {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        low
    }

    /// What to tell of this limit, if it is too low.
    pub fn warning(&self, limit: u64) -> Option<String> {
        let room = room(limit);
        if self.total() <= room {
            return None;
        }
        // A round number, as people write it.
        let advised = self.least_limit().next_multiple_of(1024);
        Some(format!(
            "the configuration may need {} file descriptors at the same time ({self}), but the \
             limit of {limit} leaves {room} besides those reserved for the pages and the store: \
             raise it to {advised}, by `LimitNOFILE={advised}` in the unit of the service or \
             `ulimit -n {advised}` before the start; until then a target for which none is left is \
             not measured",
            self.total(),
        ))
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sending, mailboxes, checks } = self;
        write!(
            f,
            "{OWN} of its own, {sending} to send, {mailboxes} for mailboxes, {checks} for pings and \
             ports"
        )
    }
}

/// How many of so many descriptors are for the exporter's own and for tests.
fn room(limit: u64) -> u64 {
    limit.saturating_sub(for_clients(limit) + kept(limit))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn need(targets: &str) -> Need {
        let text = format!("defaults: {{from: a@b.example, to: a@b.example}}\ntargets:\n{targets}");
        Need::of(&Config::parse(&text, Path::new("test.yml")).unwrap())
    }

    fn target(index: usize, more: &str, send: &str, receive: &str) -> String {
        format!(
            "- {{name: t{index}, host: mx.example, ports: [], {more} send: {{{send}}}, receive: \
             {{username: u{index}, password: x, {receive}}}}}\n"
        )
    }

    #[test]
    fn a_configuration_needs_what_may_be_open_at_one_time() {
        let three = |send: &str, receive: &str| -> String {
            (0..3).map(|index| target(index, "", send, receive)).collect()
        };
        let imap = need(&three("", "protocol: imap"));
        assert_eq!((imap.sending, imap.mailboxes), (3, 3));
        let pop3 = need(&three("max_connections: 2", "protocol: pop3"));
        assert_eq!((pop3.sending, pop3.mailboxes), (2, 6));
        let jmap = need(&three("", "protocol: jmap"));
        assert_eq!((jmap.sending, jmap.mailboxes), (3, 6), "the events are a second connection");
        // One mailbox for all, and one more of the sender.
        let shared: String = (0..3)
            .map(|index| {
                target(index, "", "", "protocol: imap").replace(&format!(": u{index},"), ": u,")
            })
            .collect();
        assert_eq!(need(&shared).mailboxes, 1);
        let many: String =
            (0..300).map(|it| target(it, "ping: true,", "", "protocol: imap")).collect();
        let many = need(&many);
        assert_eq!(many.checks, 256, "no more at one time");
        assert_eq!(many.total(), 32 + 10 + 300 + 256, "{many}");
    }

    #[test]
    fn the_warning_says_what_to_write_and_that_suffices() {
        for count in [0, 1, 20, 700, 5_000, 100_000] {
            let need = Need { sending: count, mailboxes: count, checks: 10 };
            let least = need.least_limit();
            assert_eq!(need.warning(least), None, "{count}");
            let warning = need.warning(least - 1).unwrap();
            let advised = least.next_multiple_of(1024);
            for words in [format!("`LimitNOFILE={advised}`"), format!("`ulimit -n {advised}`")] {
                assert!(warning.contains(&words), "{warning}");
            }
            assert_eq!(need.warning(advised), None, "{count}");
            assert_eq!(need.warning(u64::MAX), None);
        }
    }
}
