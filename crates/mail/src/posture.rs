//! The posture of a domain: what it publishes about its mail, and whether that holds.
//!
//! Each check is a question about the records of one domain and, where they name servers, about those servers. What was
//! not answered is not known, and what need not be published and is not is no failure. Nothing here is decided by a
//! name server that did not answer, or by a server that could not be met.

use std::net::IpAddr;

use crate::inspection::Signature;
use crate::net::is_within;
use crate::net::records::Resolver;
use crate::net::tls::TlsClients;
use crate::text::shown;
use crate::wire::ConnectionContext;
use ledger::Reading;
use questions::Questions;
use tokio::time::Instant;

mod dane;
pub(crate) mod dkim_key;
pub(crate) mod dmarc;
mod exchangers;
pub(crate) mod mta_sts;
mod ptr;
mod questions;
pub(crate) mod spf;
mod spf_count;
pub(crate) mod tls_rpt;

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// The servers that take the mail of the domain resolve and answer (RFC 5321 section 5.1).
    Mx,
    /// Who may send for it (RFC 7208).
    Spf,
    /// The keys of the signatures in the mails that arrived (RFC 6376).
    Dkim,
    /// What becomes of mail that only pretends to be its (RFC 7489).
    Dmarc,
    /// That its mail travels under verified TLS only (RFC 8461).
    MtaSts,
    /// Where failures of that are reported (RFC 8460).
    TlsRpt,
    /// Which certificates its servers show, by DNSSEC (RFC 7672).
    Dane,
    /// The name of an address that sends for it, and that this name leads back (RFC 1912 section 2.1).
    Ptr,
}

impl Check {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Mx,
        Self::Spf,
        Self::Dkim,
        Self::Dmarc,
        Self::MtaSts,
        Self::TlsRpt,
        Self::Dane,
        Self::Ptr,
    ];

    /// The label `check`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Mx => "mx",
            Self::Spf => "spf",
            Self::Dkim => "dkim",
            Self::Dmarc => "dmarc",
            Self::MtaSts => "mta_sts",
            Self::TlsRpt => "tls_rpt",
            Self::Dane => "dane",
            Self::Ptr => "ptr",
        }
    }

    /// What people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Mx => "MX",
            Self::Spf => "SPF",
            Self::Dkim => "DKIM",
            Self::Dmarc => "DMARC",
            Self::MtaSts => "MTA-STS",
            Self::TlsRpt => "TLS-RPT",
            Self::Dane => "DANE",
            Self::Ptr => "PTR",
        }
    }

    /// The one with this label.
    pub fn of_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|check| check.label() == label)
    }

    /// Whether it is about the domain that receives; else about the one that sends.
    pub fn is_of_receiver(self) -> bool {
        matches!(self, Self::Mx | Self::MtaSts | Self::TlsRpt | Self::Dane)
    }

    /// What to do where it fails, in one sentence.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Mx => {
                "let each MX name a host that has an address, is no alias, and answers 220 on port 25; remove those \
                 that are gone"
            }
            Self::Spf => {
                "publish one TXT record `v=spf1 … -all` that needs 10 look-ups at most; write the addresses of a \
                 provider in place of an `include` that is too much"
            }
            Self::Dkim => {
                "publish the public key of the signer at SELECTOR._domainkey, RSA of 2048 bits or Ed25519, or have \
                 the signer use a selector whose key is there"
            }
            Self::Dmarc => {
                "publish one TXT record `v=DMARC1; p=…; rua=mailto:…` at _dmarc of the domain"
            }
            Self::MtaSts => {
                "serve the policy at https://mta-sts.DOMAIN/.well-known/mta-sts.txt with a valid certificate, list \
                 each MX in it, and give each MX a certificate for its name; change the id of the TXT record with it"
            }
            Self::TlsRpt => {
                "publish one TXT record `v=TLSRPTv1; rua=mailto:…` at _smtp._tls of the domain"
            }
            Self::Dane => {
                "publish the TLSA record of the next certificate before it is installed (`3 1 1` with the hash of \
                 the key), and remove the old one after"
            }
            Self::Ptr => {
                "have whoever owns the address publish a PTR record for it, and let the A or AAAA record of that \
                 name hold the address"
            }
        }
    }
}

/// What came of a check, in one word for programs.
pub fn state(is_well: Reading<bool>) -> &'static str {
    match is_well {
        Reading::Is(true) => "passed",
        Reading::Is(false) => "failed",
        Reading::NotApplicable => "absent",
        Reading::Unmeasured => "unknown",
    }
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Whether it passed. [`Reading::NotApplicable`]: the domain does without; [`Reading::Unmeasured`]: it is not
    /// known.
    pub is_well: Reading<bool>,
    /// What was found, or why nothing was; one line that can be shown.
    pub words: String,
}

impl Outcome {
    fn passed(words: impl AsRef<str>) -> Self {
        Self::new(Reading::Is(true), words)
    }

    fn failed(words: impl AsRef<str>) -> Self {
        Self::new(Reading::Is(false), words)
    }

    /// What need not be there is not.
    fn absent(words: impl AsRef<str>) -> Self {
        Self::new(Reading::NotApplicable, words)
    }

    /// Why it is not known.
    pub fn unknown(words: impl AsRef<str>) -> Self {
        Self::new(Reading::Unmeasured, words)
    }

    fn new(is_well: Reading<bool>, words: impl AsRef<str>) -> Self {
        Self { is_well, words: shown(words.as_ref().as_bytes()) }
    }
}

/// What came of several things that one check looks at: one that is wrong decides, be others not known.
#[derive(Default)]
struct Tally {
    good: Vec<String>,
    bad: Vec<String>,
    unknown: Vec<String>,
}

impl Tally {
    /// What came of one of them. One that does without is no matter.
    fn take(&mut self, Outcome { is_well, words }: Outcome) {
        match is_well {
            Reading::Is(true) => self.good.push(words),
            Reading::Is(false) => self.bad.push(words),
            Reading::Unmeasured => self.unknown.push(words),
            Reading::NotApplicable => {}
        }
    }

    /// What came of all; `passed` has the words where nothing is wrong.
    fn outcome(self, passed: impl FnOnce(&[String]) -> String) -> Outcome {
        match (self.bad.is_empty(), self.unknown.is_empty()) {
            (false, _) => Outcome::failed(self.bad.join("; ")),
            (true, false) => Outcome::unknown(self.unknown.join("; ")),
            (true, true) => Outcome::passed(passed(&self.good)),
        }
    }
}

/// What checks are made with.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// Whom records are asked of.
    pub resolver: &'a Resolver,
    /// What connections to the servers of a domain share.
    pub clients: &'a ConnectionContext,
    /// When all of it has to be over.
    pub end: Instant,
}

impl<'a> Means<'a> {
    fn questions(self) -> Questions<'a> {
        Questions { resolver: self.resolver, end: self.end }
    }

    fn tls(self) -> &'a TlsClients {
        &self.clients.tls
    }
}

/// Checks the servers of a domain that receives, each met once for all checks; MTA-STS only if it is wanted, as its
/// policy is fetched from one more.
pub async fn receiving(
    domain: &str,
    wants_mta_sts: bool,
    means: Means<'_>,
) -> Vec<(Check, Outcome)> {
    let questions = means.questions();
    let servers = match exchangers::find(domain, questions).await {
        Ok(servers) => servers,
        Err(mx) => {
            let unknown = || Outcome::unknown("which servers take the mail is not known, see mx");
            let mut found = vec![(Check::Mx, mx), (Check::Dane, unknown())];
            found.extend(wants_mta_sts.then(|| (Check::MtaSts, unknown())));
            return found;
        }
    };
    let visits = exchangers::visit(&servers.hosts, means).await;
    let mut found = vec![
        (Check::Mx, exchangers::check(&servers, &visits, questions).await),
        (Check::Dane, dane::check(domain, &servers, &visits, questions).await),
    ];
    if wants_mta_sts {
        let outcome = flat(mta_sts::check(domain, &servers, &visits, means).await);
        found.push((Check::MtaSts, outcome));
    }
    found
}

/// Whether the domain says where failures of TLS are reported.
pub async fn tls_rpt(domain: &str, means: Means<'_>) -> Outcome {
    flat(tls_rpt::check(domain, means.questions()).await)
}

/// Whether one record says who may send for the domain, within the limits of those who ask it.
pub async fn spf(domain: &str, means: Means<'_>) -> Outcome {
    flat(spf_count::check(domain, means.questions()).await)
}

/// Whether the domain says what becomes of mail that only pretends to be its.
pub async fn dmarc(domain: &str, means: Means<'_>) -> Outcome {
    flat(dmarc::check(domain, means.questions()).await)
}

/// Whether the keys of these signatures are published and good; of those for a domain like `domain` only.
pub async fn dkim(domain: &str, signatures: &[Signature], means: Means<'_>) -> Outcome {
    dkim_key::check(domain, signatures, means.questions()).await
}

/// Whether each address has a name that leads back to it.
pub async fn ptr(addresses: &[IpAddr], means: Means<'_>) -> Outcome {
    ptr::check(addresses, means.questions()).await
}

/// A check ends early with an outcome as well.
fn flat(outcome: Result<Outcome, Outcome>) -> Outcome {
    outcome.unwrap_or_else(|early| early)
}

/// Whether one of two names is the other, or below it: as of one organisation, as far as names show.
fn is_aligned(one: &str, other: &str) -> bool {
    is_within(one, other) || is_within(other, one)
}

#[cfg(test)]
mod tests;
