//! What the program may rely on: a checked configuration whose values cannot be wrong.
//!
//! [`mod@file`] reads the YAML as written and converts it, [`problem`] says what is wrong with it,
//! [`show`] writes a configuration down again; [`Secret`] holds what must never be shown. The rest
//! of the program reads these types only and never checks them again.
//!
//! In reading order: `node` makes a tree with line numbers from the text, `section` looks keys up in
//! a target and in the defaults below it, `target`, `labels`, `side`, `login`, `layers` and `wants` convert them, `value`
//! reads one scalar, `source` reads the files and variables that a key names, [`mod@reference`] has every key,
//! `keys` says which one is meant by another, `likeness` which is most like it, `shard` leaves the part of several
//! exporters that is this one's, and `load` says what each server gets of it; `provider` and `server_defaults` warn where
//! that may be too much.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ledger::FoundIn;
use lettre::Address;

pub use inputs::Inputs;
pub use labels::LOCATION;
pub use layers::{Owner, PingCheck, PortCheck};
pub(crate) use likeness::edit_distance;
pub use load::{AccountLoad, Server, ServerLoad};
pub use mail::auth::{Auth, Credentials, Login, Mechanism, OAuth2, TokenUrl};
pub use mail::options::{
    ClientIdentity, Endpoint, IpFamily, PemFile, Service, Spoken, TlsMode, TlsOptions, TlsVersion,
};
pub use mail::secret::Secret;
pub use mail::secret_source::SecretSource;
pub use problem::{Problem, Problems};
pub(crate) use provider::takes_no_password;
pub(crate) use series::push_label;
pub use shard::{NoShard, Shard};
pub(crate) use source::{authorities_of_flag, password, secret_of_flag};
pub(crate) use value::{WrittenBytes, parse_address, parse_duration, parse_host};
pub use wants::{Dnsbl, DnsblList, DomainChecks, Expected, Match, RefusedAt, Wants};

pub mod file;
pub mod problem;
pub mod reference;
pub mod show;

mod inputs;
mod keys;
pub(crate) mod labels;
mod layers;
mod likeness;
mod load;
mod login;
mod oauth;
mod provider;
mod rules;
mod section;
mod series;
mod server_defaults;
mod shard;
mod side;
mod source;
mod target;
mod value;
mod wants;
mod written;
pub(crate) mod yaml;

#[cfg(test)]
mod tests;

/// A whole configuration: the main file, the included ones, and every secret they name.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the exporter keeps what outlives the process.
    pub state_dir: PathBuf,
    /// From where they are tested, the label [`LOCATION`] of each target; `None`: nobody has said.
    pub location: Option<String>,
    /// The most sends of all targets that begin at one time: a place is free again when the send is over, and after a
    /// second at the latest.
    pub max_concurrent_probes: NonZeroU32,
    /// The monitored servers by name.
    pub targets: BTreeMap<TargetName, Arc<Target>>,
    /// Where each of them is written, as `mailtrip.yml:12`: file and line.
    pub places: BTreeMap<TargetName, String>,
    /// What stands there rightly and is yet hardly meant so, with its place, in the order of the files.
    pub remarks: Vec<Problem>,
    /// The patterns under `include` that no file matched, as written.
    pub unmatched_includes: Vec<String>,
    /// What all of it was read from.
    pub inputs: Inputs,
    /// Which part of the targets is left in `targets`; `None`: all of them.
    pub shard: Option<Shard>,
    /// How many targets the other shards test.
    pub in_other_shards: usize,
    /// Of a part: what is worth a look in what all shards together ask of mail servers, as sentences.
    pub shared_warnings: Vec<String>,
}

/// The nick name of a target: unique, not empty, at most 100 characters, no control characters.
/// It is the value of the label `target`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetName(Arc<str>);

impl Config {
    /// The targets whose names are most like `name`, the likest first, three at most; for somebody
    /// who has mistyped it.
    pub fn targets_like(&self, name: &str) -> Vec<&TargetName> {
        likeness::likest(name, self.targets.keys())
    }
}

impl TargetName {
    /// The longest name, in characters.
    pub const MAX_CHARS: usize = 100;

    /// Accepts `name` if it can stand in a label, a log line and a header; `None` if not.
    pub fn new(name: &str) -> Option<Self> {
        let fits = !name.is_empty()
            && name.chars().count() <= Self::MAX_CHARS
            && name.trim() == name
            && !name.chars().any(char::is_control);
        fits.then(|| Self(name.into()))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One monitored mail server, or one path through several.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The label `target`.
    pub name: TargetName,
    /// The test period.
    pub interval: Duration,
    /// Test mails in each period.
    pub messages: NonZeroU32,
    /// The age at which an accepted mail that was not seen is late.
    pub late_after: Duration,
    /// The age at which it is lost.
    pub lost_after: Duration,
    /// The most mails kept as outstanding; beyond it the oldest are lost.
    pub max_outstanding: usize,
    /// The standby node of a cluster: its measures are NaN while it is down.
    pub passive: bool,
    /// The cluster that the node belongs to.
    pub cluster: Option<String>,
    /// Labels of each of its series, beside those of the exporter; [`LOCATION`] is among them.
    pub labels: BTreeMap<String, String>,
    /// The sender of the test mails.
    pub from: Address,
    /// Their recipient.
    pub to: Address,
    /// How a test mail is handed over.
    pub send: SendSide,
    /// How it is found; `None`: nobody looks for it, as it must be refused.
    pub receive: Option<ReceiveSide>,
    /// The sender's own mailbox, where bounces and our copies in \Sent are looked for.
    pub sender_mailbox: Option<Box<ReceiveSide>>,
    /// Whether the header of an arrived mail is read for what it tells.
    pub inspect: bool,
    /// Whether it is learned from these headers how long each hop usually takes.
    pub usual: bool,
    /// Whose `Authentication-Results` are believed (RFC 8601, section 2.5); `None`: those of the last
    /// receiving hop.
    pub authserv_id: Option<String>,
    /// How the network below is checked; `None`: it is not.
    pub ping: Option<PingCheck>,
    /// The TCP ports that the configuration lists; [`Target::port_checks`] has those of both sides
    /// too.
    pub ports: Vec<PortCheck>,
    /// Whether TCP ports are checked at all.
    pub checks_ports: bool,
    /// The longest wait for a TCP port to answer, name resolution included.
    pub port_timeout: Duration,
    /// What it asks for beyond the plain round trip; `None`: nothing.
    pub wants: Option<Box<Wants>>,
    /// Its labels as text, once they were asked for.
    series_text: series::SeriesText,
}

/// The SMTP server of a target.
#[derive(Debug, Clone, PartialEq)]
pub struct SendSide {
    /// Where it listens, and how the connection is protected.
    pub endpoint: Endpoint,
    /// The account to log in with; `None` for a server that needs no login.
    pub login: Option<Login>,
    /// The name given in EHLO; `None`: this host's full name, else its address literal.
    pub ehlo: Option<String>,
    /// The most connections at one time to this (host, port, user).
    pub max_connections: NonZeroU32,
}

/// The mailbox of a target.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceiveSide {
    /// The protocol, and what only it has.
    pub protocol: Protocol,
    /// Where it listens, and how the connection is protected.
    pub endpoint: Endpoint,
    /// The account that reads the mailbox.
    pub login: Login,
    /// The least time between two sessions that look for mail (POP3) or two looks (IMAP, JMAP).
    pub min_look_interval: Duration,
}

impl ReceiveSide {
    /// The identity of the mailbox: targets with the same one share its watch.
    pub fn mailbox_id(&self) -> MailboxId {
        MailboxId {
            protocol: self.protocol.label(),
            host: self.endpoint.name().to_owned(),
            port: self.endpoint.port,
            user: self.login.username.clone(),
        }
    }
}

/// How the mailbox is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// IMAP4rev1 (RFC 3501) or later.
    Imap {
        /// The folders to look into, in the order of the configuration; never empty.
        folders: Arc<[Folder]>,
    },
    /// POP3 (RFC 1939).
    Pop3,
    /// JMAP (RFC 8620, RFC 8621).
    Jmap {
        /// The folders to look into, as those of IMAP.
        folders: Arc<[Folder]>,
    },
}

impl Protocol {
    /// The value of the label `protocol`.
    pub fn label(&self) -> &'static str {
        match self {
            Protocol::Imap { .. } => "imap",
            Protocol::Pop3 => "pop3",
            Protocol::Jmap { .. } => "jmap",
        }
    }

    /// The folders to look into; of a maildrop none.
    pub fn folders(&self) -> &[Folder] {
        match self {
            Protocol::Imap { folders } | Protocol::Jmap { folders } => folders,
            Protocol::Pop3 => &[],
        }
    }

    /// The same protocol with what is made of its folders, if it has any.
    #[must_use]
    pub fn with_folders(&self, change: impl FnOnce(&Arc<[Folder]>) -> Arc<[Folder]>) -> Self {
        match self {
            Protocol::Imap { folders } => Protocol::Imap { folders: change(folders) },
            Protocol::Jmap { folders } => Protocol::Jmap { folders: change(folders) },
            Protocol::Pop3 => Protocol::Pop3,
        }
    }

    /// Whether it shows which mail is junk: by `\Junk`, or a single folder beside the inbox.
    pub fn knows_junk(&self) -> bool {
        let count = |kind| self.folders().iter().filter(|it| it.kind() == kind).count();
        count(FoundIn::Junk) > 0 || count(FoundIn::Other) == 1
    }

    /// Whether a folder of this kind is looked into.
    pub fn looks_into(&self, kind: FoundIn) -> bool {
        match self {
            Protocol::Imap { folders } | Protocol::Jmap { folders } => {
                folders.iter().any(|folder| folder.kind() == kind)
            }
            Protocol::Pop3 => kind == FoundIn::Inbox,
        }
    }
}

/// A folder as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Folder {
    /// A folder by its name, in Unicode; `INBOX` in any case is the inbox.
    Name(String),
    /// A folder by its SPECIAL-USE attribute (RFC 6154), as `\Junk`; passed over where the
    /// server has none.
    SpecialUse(String),
}

impl Folder {
    /// The value of the label `folder` for mails that are found there.
    pub fn kind(&self) -> FoundIn {
        match self {
            Folder::Name(name) if name.eq_ignore_ascii_case("INBOX") => FoundIn::Inbox,
            Folder::SpecialUse(usage) if usage.eq_ignore_ascii_case(r"\junk") => FoundIn::Junk,
            Folder::Name(_) | Folder::SpecialUse(_) => FoundIn::Other,
        }
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Folder::Name(name) | Folder::SpecialUse(name)) = self;
        f.write_str(name)
    }
}

/// (protocol, host, port, user): the identity of an account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxId {
    /// `imap`, `pop3` or `jmap`.
    pub protocol: &'static str,
    /// The host in lower case.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The user name.
    pub user: String,
}

impl fmt::Display for MailboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = mail::options::BracketedHost(&self.host);
        write!(f, "{}://{}@{host}:{}", self.protocol, self.user, self.port)
    }
}
