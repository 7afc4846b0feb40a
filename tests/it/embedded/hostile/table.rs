//! The table of `docs/hostile.md`: what a server does, and what is to be seen of it.

use ledger::Side;

/// What stands before the table.
const HEADING: &str = "## The table";

/// What is not played by a test, in a build that is not optimised: a hundred thousand responses and
/// more, or tens of megabytes, a round. `tests/it/embedded/budgets.rs` has each of these budgets alone.
const LONG: [&str; 17] = [
    "TLS: endless garbage",
    "sends a literal of 60 MB",
    "a literal of 60 MB",
    "endless untagged OK",
    "endless untagged FETCH",
    "the same FETCH without end",
    "FETCH of rising UIDs without end",
    "FETCH without header, without end",
    "endless LIST",
    "LIST of 7 MB",
    "endless SEARCH",
    "a million EXISTS",
    "endless EXISTS",
    "endless OK",
    "STAT and UIDL of a million",
    "a header without end",
    "200000 ids of 490 bytes",
];

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) server: Kind,
    /// What it does.
    pub(crate) does: String,
    /// Upon which command, or at which point of the dialogue.
    pub(crate) at: String,
    pub(crate) expected: Seen,
}

/// Which server of the target is the hostile one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Smtp,
    Imap,
    Pop3,
    Jmap,
}

/// What is seen of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Percent, or NaN.
    pub(crate) send: String,
    /// Percent, or NaN.
    pub(crate) receive: String,
    /// `0`, `all` that were accepted, or `some`; the table also has `few` for less than all, and `either`.
    pub(crate) outstanding: String,
    /// Whether there is one: `measured` or `NaN`.
    pub(crate) roundtrip: String,
    /// Steps and reasons of all failures, as `greeting, timeout`; `none` without any.
    pub(crate) failures: String,
}

impl Kind {
    pub(crate) const ALL: [Kind; 4] = [Kind::Smtp, Kind::Imap, Kind::Pop3, Kind::Jmap];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Kind::Smtp => "SMTP",
            Kind::Imap => "IMAP",
            Kind::Pop3 => "POP3",
            Kind::Jmap => "JMAP",
        }
    }

    pub(crate) fn side(self) -> Side {
        if self == Kind::Smtp { Side::Send } else { Side::Receive }
    }
}

impl Seen {
    /// Whether this is what the table says.
    pub(crate) fn allows(&self, seen: &Seen) -> bool {
        let is_few = self.outstanding == "few" && matches!(seen.outstanding.as_str(), "0" | "some");
        let is_few = is_few || self.outstanding == "either";
        let outstanding = if is_few { &self.outstanding } else { &seen.outstanding };
        let is_either = self.roundtrip == "either";
        let roundtrip = if is_either { &self.roundtrip } else { &seen.roundtrip };
        let (outstanding, roundtrip) = (outstanding.clone(), roundtrip.clone());
        *self == Seen { outstanding, roundtrip, ..seen.clone() }
    }
}

impl Row {
    /// How a message calls it.
    pub(crate) fn name(&self) -> String {
        format!("{}: {} at {}", self.server.label(), self.does, self.at)
    }

    /// Whether it takes so much of a processor, at either end, that only the measurement plays it.
    pub(crate) fn is_long(&self) -> bool {
        LONG.contains(&self.does.as_str())
    }

    /// Whether the client waits in vain: only then its patience is to be short.
    pub(crate) fn waits(&self) -> bool {
        self.expected.failures.contains("timeout")
    }

    /// Whether it is about what a server tells by itself, while mail is waited for that does not come.
    pub(crate) fn waits_for_mail(&self) -> bool {
        matches!(self.at.as_str(), "IDLE" | "events")
    }

    /// The first cells of its line in the table, as `docs/hostile.md` has them.
    #[allow(dead_code, reason = "for the bench, which prints the table")]
    pub(crate) fn cells(&self) -> String {
        let Seen { send, receive, outstanding, roundtrip, failures } = &self.expected;
        let (server, does, at) = (self.server.label(), &self.does, &self.at);
        format!(
            "| {server} | {does} | {at} | {send} | {receive} | {outstanding} | {roundtrip} | \
             {failures} |"
        )
    }
}

/// The rows, in the order of the table.
///
/// # Panics
/// If a line has another number of cells.
pub(crate) fn rows() -> Vec<Row> {
    let page = include_str!("../../../../docs/hostile.md");
    let (_, section) = page.split_once(HEADING).unwrap_or_else(|| panic!("no {HEADING}"));
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    lines.take_while(|line| line.starts_with('|')).skip(2).map(row).collect()
}

fn row(line: &str) -> Row {
    let mut cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
    let mut next = || cells.next().unwrap_or_else(|| panic!("too few cells: {line}"));
    let server = next();
    let server = Kind::ALL.into_iter().find(|kind| kind.label() == server);
    Row {
        server: server.unwrap_or_else(|| panic!("no such server: {line}")),
        does: next(),
        at: next(),
        expected: Seen {
            send: next(),
            receive: next(),
            outstanding: next(),
            roundtrip: next(),
            failures: next(),
        },
    }
}
