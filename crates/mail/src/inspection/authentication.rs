//! What the receiver made of SPF, DKIM and DMARC: its `Authentication-Results` (RFC 8601), and nobody
//! else's.
//!
//! Anybody can write such a field into a mail. It is believed by its place and by its id: the fields
//! of servers that handled the mail stand above those of the sender, and the receiver's above those of
//! the servers before it (section 5 of the RFC has a receiver take away what bears its own id,
//! but not all do).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::field::Field;
use super::hop::Received;
use super::{Rules, shown};

/// A method of authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Method {
    /// Sender Policy Framework (RFC 7208).
    Spf,
    /// DomainKeys Identified Mail (RFC 6376).
    Dkim,
    /// Domain-based Message Authentication, Reporting and Conformance (RFC 7489).
    Dmarc,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Spf, Self::Dkim, Self::Dmarc];

    /// Its name, as in the header.
    pub fn label(self) -> &'static str {
        match self {
            Self::Spf => "spf",
            Self::Dkim => "dkim",
            Self::Dmarc => "dmarc",
        }
    }
}

/// A result, of those that RFC 8601 (section 2.7) has for the three methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// Authenticated.
    Pass,
    /// Not authenticated.
    Fail,
    /// The domain does not quite claim that it is not authenticated.
    SoftFail,
    /// The domain claims nothing, or the signature could not be used.
    Neutral,
    /// There was nothing to check.
    None,
    /// Authenticated, but in a way that the receiver's own policy does not accept.
    Policy,
    /// Not checked for now, as for a DNS server that is silent.
    TempError,
    /// What was published cannot be used.
    PermError,
    /// Another word.
    Other,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Pass,
        Self::Fail,
        Self::SoftFail,
        Self::Neutral,
        Self::None,
        Self::Policy,
        Self::TempError,
        Self::PermError,
        Self::Other,
    ];

    /// Its name, as in the header.
    pub fn label(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Neutral => "neutral",
            Self::None => "none",
            Self::Policy => "policy",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
            Self::Other => "other",
        }
    }

    fn of(word: &str) -> Self {
        let is = |name: &str| word.eq_ignore_ascii_case(name);
        // `hardfail` is what RFC 5451 called it.
        if is("hardfail") {
            return Self::Fail;
        }
        Self::ALL.into_iter().find(|outcome| is(outcome.label())).unwrap_or(Self::Other)
    }
}

/// The receiver's verdict by one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authentication {
    /// How it was checked.
    pub method: Method,
    /// What came out; of several DKIM signatures the one that passed, if one did.
    pub outcome: Outcome,
}

/// What was believed.
#[derive(Default)]
pub(super) struct Verdicts {
    /// In the order of [`Method::ALL`].
    pub(super) results: Vec<Authentication>,
    /// Whose they are, fit to be shown.
    pub(super) authserv_id: Option<String>,
}

/// Reads the receiver's verdicts: of each method that of the topmost field that has it.
pub(super) fn read(fields: &[Field<'_>], received: &[Received<'_>], rules: Rules<'_>) -> Verdicts {
    let end = believed_fields(fields, received, rules);
    let trusted = fields.iter().take(end).filter(|field| field.is("Authentication-Results"));
    let mut written = trusted.map(|field| AuthResults::parse(&field.value));
    let believed: Vec<AuthResults> = match rules.authserv_id {
        Some(id) => written.filter(|results| results.is_of(id)).collect(),
        None => match written.next() {
            Some(AuthResults { id: Some(id), results }) => {
                let others: Vec<AuthResults> =
                    written.filter(|results| results.is_of(&id)).collect();
                std::iter::once(AuthResults { id: Some(id), results }).chain(others).collect()
            }
            // Without an id nothing shows that another field is by the same server.
            topmost => topmost.into_iter().collect(),
        },
    };
    let result_of = |method| {
        let mut outcomes = believed.iter().map(|results| results.outcome(method));
        let outcome = outcomes.find_map(|outcome| outcome)?;
        Some(Authentication { method, outcome })
    };
    let results: Vec<Authentication> = Method::ALL.into_iter().filter_map(result_of).collect();
    let id = believed.into_iter().next().and_then(|results| results.id);
    let authserv_id = id.filter(|_| !results.is_empty()).map(|id| shown(&id, rules.scrubber));
    Verdicts { results, authserv_id }
}

/// How many fields stand above those of the servers before the receiver.
pub(super) fn believed_fields(
    fields: &[Field<'_>],
    received: &[Received<'_>],
    rules: Rules<'_>,
) -> usize {
    match rules.authserv_id {
        Some(id) => end_of_configured(fields, received, id),
        None => end_of_last_receiver(fields, received),
    }
}

/// The number of the first hop that is the receiver's: the newest, or that of the server with the configured id, in
/// front of servers that only pass on. `None` if no hop is that server's.
pub(super) fn first_receiver(received: &[Received<'_>], rules: Rules<'_>) -> Option<usize> {
    match rules.authserv_id {
        Some(id) => received.iter().position(|hop| is_of(hop, id)),
        None => Some(0),
    }
}

/// Whether the hop is a server of whoever has this id.
fn is_of(hop: &Received<'_>, id: &str) -> bool {
    hop.by().is_some_and(|by| organisation(&by) == organisation(id))
}

/// The index of the first field that the last receiver did not write: the `Received` field of the
/// server it had the mail from, or the first field of the mail as it was sent. Hops inside the
/// receiver's house count as one.
fn end_of_last_receiver(fields: &[Field<'_>], received: &[Received<'_>]) -> usize {
    let last_internal = received.iter().take_while(|hop| is_internal(hop)).count();
    end_below(fields, received, last_internal)
}

/// The same for the server with this id, which may stand further down: behind servers that only pass
/// on. Where no name of a server is like the id, any place above the mail as it was sent is good.
fn end_of_configured(fields: &[Field<'_>], received: &[Received<'_>], id: &str) -> usize {
    let is_its = |hop: &Received<'_>| is_of(hop, id);
    let Some(first) = received.iter().position(is_its) else {
        return start_of_content(fields);
    };
    let house = received.iter().skip(first);
    let inside = house.take_while(|hop| is_its(hop) && is_internal(hop)).count();
    end_below(fields, received, first + inside)
}

/// The index of the `Received` field below the one with this number, or where the mail begins.
fn end_below(fields: &[Field<'_>], received: &[Received<'_>], number: usize) -> usize {
    let content = start_of_content(fields);
    received.get(number + 1).map_or(content, |next| next.index.min(content))
}

/// The index of the first field that the sender of a mail writes; servers write theirs above it.
fn start_of_content(fields: &[Field<'_>]) -> usize {
    const OF_THE_SENDER: [&str; 8] =
        ["From", "Sender", "To", "Subject", "Date", "Message-ID", "MIME-Version", "X-Mailtrip"];
    let is_of_the_sender = |field: &Field<'_>| OF_THE_SENDER.iter().any(|name| field.is(name));
    fields.iter().position(is_of_the_sender).unwrap_or(fields.len())
}

/// Whether the mail was handed from one program or server of a house to the next.
pub(super) fn is_internal(hop: &Received<'_>) -> bool {
    if hop.is_lmtp() {
        return true;
    }
    let Some(from) = hop.from() else { return true };
    // Exchange Online hands a mail on between public addresses of its own.
    let is_exchange = hop.text.contains("Microsoft SMTP Server")
        || hop.text.contains(" with HTTPS")
        || hop.text.contains(" with mapi ");
    let is_same_house = || hop.by().is_some_and(|by| organisation(&by) == organisation(&from));
    hop.address().is_some_and(|address| is_private(address.to_canonical()))
        || (is_exchange && is_same_house())
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// The end of a name that one organisation has for all its servers, as far as the name alone shows.
fn organisation(name: &str) -> String {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let labels: Vec<&str> = name.rsplit('.').collect();
    let is_short = |at: usize, most| labels.get(at).is_some_and(|label| label.len() <= most);
    // As in `co.uk`.
    let kept = if is_short(0, 2) && is_short(1, 3) { 3 } else { 2 };
    let kept: Vec<&str> = labels.into_iter().take(kept).rev().collect();
    kept.join(".")
}

/// One `Authentication-Results` field.
struct AuthResults {
    /// Who says it; Exchange does not name itself.
    id: Option<String>,
    results: Vec<(Method, Outcome)>,
}

impl AuthResults {
    fn parse(value: &str) -> Self {
        let value = without_comments(value);
        let mut parts = split_unquoted(&value);
        let first = parts.next().unwrap_or_default();
        // The id is a word, then perhaps a version; a result has an equals sign.
        let (id, leading) = if first.contains('=') {
            (None, Some(first))
        } else {
            let id = first.split_ascii_whitespace().next().map(|id| id.trim_matches('"'));
            (id.filter(|id| !id.is_empty()).map(str::to_owned), None)
        };
        let results = leading.into_iter().chain(parts).filter_map(result).collect();
        Self { id, results }
    }

    fn is_of(&self, id: &str) -> bool {
        self.id.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(id))
    }

    fn outcome(&self, method: Method) -> Option<Outcome> {
        let mut outcomes =
            self.results.iter().filter(|(of, _)| *of == method).map(|(_, outcome)| *outcome);
        let first = outcomes.next()?;
        let has_passed = first == Outcome::Pass || outcomes.any(|outcome| outcome == Outcome::Pass);
        Some(if has_passed { Outcome::Pass } else { first })
    }
}

/// `method[/version] = result ...`
fn result(part: &str) -> Option<(Method, Outcome)> {
    let (method, rest) = part.split_once('=')?;
    let method = method.split('/').next()?.trim();
    let method = Method::ALL.into_iter().find(|it| it.label().eq_ignore_ascii_case(method))?;
    let word = rest.split_ascii_whitespace().next()?;
    Some((method, Outcome::of(word)))
}

/// The text without comments, which nest (RFC 5322, section 3.2.2).
pub(super) fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut depth = 0_u32;
    let mut is_quoted = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                let escaped = characters.next();
                if depth == 0 {
                    kept.extend(escaped);
                }
                continue;
            }
            '"' if depth == 0 => is_quoted = !is_quoted,
            '(' if !is_quoted => depth = depth.saturating_add(1),
            ')' if !is_quoted && depth > 0 => {
                depth -= 1;
                kept.push(' ');
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            kept.push(character);
        }
    }
    kept
}

/// The parts between semicolons outside quoted strings.
fn split_unquoted(text: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |character| {
        is_quoted ^= character == '"';
        character == ';' && !is_quoted
    })
}
