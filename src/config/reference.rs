//! Every key of the configuration: what it means, what may be written there, and what stands in for it if it is
//! left out. The man page and the schema are made of this, and the parser takes its keys from here; bounds, words
//! and the defaults that are one value are the constants of the parser, and a test tries each with it. What depends on
//! other keys is told in words ([`Default::Told`]), which nothing checks.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::WrittenBytes;
use ledger::durations::Written;

pub use super::login::PASSWORD_KEYS;

mod form;
mod table;

/// A map with keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// The top of the main file.
    Main,
    /// The top of an included file.
    Included,
    /// A target.
    Target,
    /// `defaults`.
    Defaults,
    /// `send`.
    Send,
    /// `receive`.
    Receive,
    /// `sender_mailbox`.
    SenderMailbox,
    /// `tls_options`.
    TlsOptions,
    /// `oauth2`.
    OAuth2,
    /// `inspect`.
    Inspect,
    /// `ping`.
    Ping,
    /// `mail`.
    Mail,
    /// `attachment` of `mail`.
    Attachment,
    /// `dkim` of `mail`.
    Dkim,
    /// `dnsbl`.
    Dnsbl,
    /// One of the lists of `dnsbl`.
    DnsblList,
    /// `domain_checks`.
    DomainChecks,
}

/// A key.
#[derive(Debug)]
pub struct Key {
    /// The key itself.
    pub name: &'static str,
    /// What may be written there.
    pub kind: Kind,
    /// What holds where it is left out.
    pub default: Default,
    /// What it means, as a sentence without its full stop.
    pub meaning: &'static str,
}

/// What may be written for a key.
#[derive(Debug)]
pub enum Kind {
    /// A text of one line.
    Text,
    /// A text of one line as it is, whatever its characters.
    Verbatim,
    /// The path of a file or folder.
    Path,
    /// The name of a target.
    Name,
    /// A host name or an address.
    Host,
    /// A mail address.
    Address,
    /// An https URL.
    Url,
    /// `true` or `false`.
    Boolean,
    /// A whole number within bounds.
    Number(u64, u64),
    /// A number of bytes within bounds, with or without a unit.
    Bytes(u64, u64),
    /// A text of one line or several.
    Lines,
    /// Fields of a mail header with their values.
    Fields,
    /// A duration within bounds.
    Duration(RangeInclusive<Duration>),
    /// One of these words, in any case.
    Word(&'static [&'static str]),
    /// A list of paths or patterns.
    Paths,
    /// A list of folders, one at least.
    Folders,
    /// A list of TCP ports.
    Ports,
    /// A map of labels.
    Labels,
    /// A list of zones of the DNS, each alone or as a map of keys.
    Zones(Home),
    /// The name of a domain.
    Domain,
    /// A list of IP addresses, one at least.
    IpAddresses,
    /// A list of these words, one at least, in any case.
    Words(&'static [&'static str]),
    /// A map of keys.
    Map(Home),
    /// `true`, `false` or a map of keys.
    Switch(Home),
    /// A list of maps.
    List(Home),
}

/// What holds where a key is left out.
#[derive(Debug, Clone, Copy)]
pub enum Default {
    /// It must be written, in the target or in `defaults`.
    Required,
    /// Nothing.
    Nothing,
    /// A duration.
    Duration(Duration),
    /// A number.
    Number(u64),
    /// A truth value.
    Boolean(bool),
    /// A word or a text.
    Text(&'static str),
    /// What these words say.
    Told(&'static str),
}

impl Home {
    /// All of them, in the order of the man page.
    pub const ALL: [Home; 17] = [
        Home::Main,
        Home::Included,
        Home::Defaults,
        Home::Target,
        Home::Send,
        Home::Receive,
        Home::SenderMailbox,
        Home::TlsOptions,
        Home::OAuth2,
        Home::Inspect,
        Home::Ping,
        Home::Mail,
        Home::Attachment,
        Home::Dkim,
        Home::Dnsbl,
        Home::DnsblList,
        Home::DomainChecks,
    ];

    /// Where the map stands: the key that holds it.
    pub fn name(self) -> &'static str {
        match self {
            Home::Main => "the main file",
            Home::Included => "an included file",
            Home::Target => "target",
            Home::Defaults => "defaults",
            Home::Send => "send",
            Home::Receive => "receive",
            Home::SenderMailbox => "sender_mailbox",
            Home::TlsOptions => "tls_options",
            Home::OAuth2 => "oauth2",
            Home::Inspect => "inspect",
            Home::Ping => "ping",
            Home::Mail => "mail",
            Home::Attachment => "attachment",
            Home::Dkim => "dkim",
            Home::Dnsbl => "dnsbl",
            Home::DnsblList => "dnsbl.lists",
            Home::DomainChecks => "domain_checks",
        }
    }

    /// The keys, in the order in which they are listed.
    pub fn keys(self) -> &'static [Key] {
        match self {
            Home::Main => table::MAIN,
            Home::Included => table::INCLUDED,
            Home::Target => table::TARGET,
            // The first one is the name.
            Home::Defaults => table::TARGET.get(1..).unwrap_or_default(),
            Home::Send => table::SEND,
            Home::Receive | Home::SenderMailbox => table::RECEIVE,
            Home::TlsOptions => table::TLS_OPTIONS,
            Home::OAuth2 => table::OAUTH2,
            Home::Inspect => table::INSPECT,
            Home::Ping => table::PING,
            Home::Mail => form::MAIL,
            Home::Attachment => form::ATTACHMENT,
            Home::Dkim => form::DKIM,
            Home::Dnsbl => table::DNSBL,
            Home::DnsblList => table::DNSBL_LIST,
            Home::DomainChecks => table::DOMAIN_CHECKS,
        }
    }
}

/// The longest value of a label, in characters.
pub const MOST_CHARS_OF_LABEL: usize = super::labels::MOST_CHARS;

/// The names that a label of the configuration cannot have.
pub fn taken_labels() -> impl Iterator<Item = &'static str> {
    super::labels::taken()
}

/// What may be written, as `a duration from 1s to 7d`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Text | Kind::Verbatim | Kind::Name => "a text",
            Kind::Lines => "a text of one line or several",
            Kind::Fields => "a map of names of fields and their values",
            Kind::Bytes(least, most) => {
                let (least, most) = (WrittenBytes(*least), WrittenBytes(*most));
                return write!(f, "a size from {least} to {most}");
            }
            Kind::Path => "a path",
            Kind::Host => "a host name or an address",
            Kind::Address => "a mail address",
            Kind::Url => "an https URL",
            Kind::Boolean => "true or false",
            Kind::Number(least, most) => return write!(f, "a number from {least} to {most}"),
            Kind::Duration(range) => {
                let (least, most) = (Written(*range.start()), Written(*range.end()));
                return write!(f, "a duration from {least} to {most}");
            }
            Kind::Word(words) => return write!(f, "one of {}", words.join(", ")),
            Kind::Paths => "a list of paths and patterns",
            Kind::Folders => "a list of folders",
            Kind::Ports => "a list of ports",
            Kind::Labels => "a map of names and values",
            Kind::Domain => "the name of a domain",
            Kind::IpAddresses => "a list of IP addresses",
            Kind::Words(words) => return write!(f, "a list of {}", words.join(", ")),
            Kind::Zones(home) => {
                return write!(f, "a list of zones, or of maps with the keys of {}", home.name());
            }
            Kind::Map(home) => return write!(f, "a map with the keys of {}", home.name()),
            Kind::Switch(home) => {
                return write!(f, "true, false or a map with the keys of {}", home.name());
            }
            Kind::List(home) => {
                return write!(f, "a list of maps, each with the keys of {}", home.name());
            }
        })
    }
}

/// What holds, as `5m`; nothing where nothing does.
impl fmt::Display for Default {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Default::Required | Default::Nothing => Ok(()),
            Default::Duration(duration) => Written(*duration).fmt(f),
            Default::Number(number) => number.fmt(f),
            Default::Boolean(value) => value.fmt(f),
            Default::Text(text) | Default::Told(text) => f.write_str(text),
        }
    }
}

/// The first words of pairs that the parser chooses from.
#[allow(clippy::indexing_slicing, reason = "both have N, and the compiler runs it")]
pub(super) const fn words<T: Copy, const N: usize>(
    pairs: &[(&'static str, T); N],
) -> [&'static str; N] {
    let mut words = [""; N];
    let mut rest: &[(&'static str, T)] = pairs;
    let mut at = 0;
    while let [first, others @ ..] = rest {
        words[at] = first.0;
        (rest, at) = (others, at + 1);
    }
    words
}
