//! The header of the latest mail, as JSON.

use serde::Serialize;

use super::values::{date, seconds};
use crate::account::UsualWay;
use mail::inspection::{Authentication, Hop, Inspection, LastHop, Spam, ThereAndBack};

/// See [`Inspection`].
#[derive(Serialize)]
pub(super) struct InspectionRecord<'a> {
    seen: String,
    header_cut: bool,
    hop_count: usize,
    hops: Vec<HopRecord<'a>>,
    to_mailbox_seconds: Option<f64>,
    to_mailbox_usual_seconds: Option<f64>,
    authserv_id: Option<&'a str>,
    authentication: Vec<AuthenticationRecord>,
    spam: Vec<SpamRecord>,
    last_hop: Option<LastHopRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sizes: Option<SizesRecord>,
    outgoing_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    there_and_back: Option<ThereAndBackRecord>,
}

#[derive(Serialize)]
struct ThereAndBackRecord {
    out_seconds: Option<f64>,
    back_seconds: Option<f64>,
    /// Whether an answer came, or the test mail itself.
    answer: bool,
}

#[derive(Serialize)]
struct SizesRecord {
    sent_bytes: Option<u64>,
    arrived_bytes: u64,
}

#[derive(Serialize)]
struct HopRecord<'a> {
    by: Option<&'a str>,
    from: Option<&'a str>,
    kind: &'static str,
    delay_seconds: Option<f64>,
    usual_seconds: Option<f64>,
    protocol: Option<&'a str>,
    tls: Option<bool>,
    tls_version: Option<&'a str>,
}

#[derive(Serialize)]
struct AuthenticationRecord {
    method: &'static str,
    outcome: &'static str,
}

#[derive(Serialize)]
struct SpamRecord {
    filter: &'static str,
    score: Option<f64>,
    spam: Option<bool>,
}

#[derive(Serialize)]
struct LastHopRecord<'a> {
    by: Option<&'a str>,
    from: Option<&'a str>,
    tls: bool,
    version: Option<&'a str>,
    cipher: Option<&'a str>,
}

impl<'a> InspectionRecord<'a> {
    pub(super) fn new(inspection: &'a Inspection, usual: Option<&UsualWay>) -> Self {
        let usual = |stretch| Some(seconds(usual?.of(stretch)?.median));
        let hops = inspection.hops.iter().enumerate();
        Self {
            seen: date(inspection.seen),
            header_cut: inspection.is_cut,
            hop_count: inspection.hop_count,
            hops: hops.map(|(at, hop)| HopRecord::new(hop, usual(at))).collect(),
            to_mailbox_seconds: inspection.to_mailbox.measured().map(seconds),
            to_mailbox_usual_seconds: usual(inspection.hops.len()),
            authserv_id: inspection.authserv_id.as_deref(),
            authentication: inspection.authentication.iter().map(Into::into).collect(),
            spam: inspection.spam.iter().map(Into::into).collect(),
            last_hop: inspection.last_hop.as_ref().map(LastHopRecord::new),
            sizes: inspection
                .sizes
                .map(|sizes| SizesRecord { sent_bytes: sizes.sent, arrived_bytes: sizes.arrived }),
            outgoing_address: inspection.outgoing.map(|address| address.to_string()),
            there_and_back: inspection.there_and_back.map(Into::into),
        }
    }
}

impl<'a> HopRecord<'a> {
    fn new(hop: &'a Hop, usual_seconds: Option<f64>) -> Self {
        Self {
            by: hop.by.as_deref(),
            from: hop.from.as_deref(),
            kind: hop.kind.label(),
            delay_seconds: hop.delay.measured().map(seconds),
            usual_seconds,
            protocol: hop.protocol.as_deref(),
            tls: hop.is_protected,
            tls_version: hop.tls_version.as_deref(),
        }
    }
}

impl From<ThereAndBack> for ThereAndBackRecord {
    fn from(ways: ThereAndBack) -> Self {
        Self {
            out_seconds: ways.out.measured().map(seconds),
            back_seconds: ways.back.measured().map(seconds),
            answer: ways.is_answer,
        }
    }
}

impl From<&Authentication> for AuthenticationRecord {
    fn from(verdict: &Authentication) -> Self {
        Self { method: verdict.method.label(), outcome: verdict.outcome.label() }
    }
}

impl From<&Spam> for SpamRecord {
    fn from(spam: &Spam) -> Self {
        Self { filter: spam.filter.label(), score: spam.score, spam: spam.is_spam }
    }
}

impl<'a> LastHopRecord<'a> {
    fn new(hop: &'a LastHop) -> Self {
        Self {
            by: hop.by.as_deref(),
            from: hop.from.as_deref(),
            tls: hop.is_protected,
            version: hop.version.as_deref(),
            cipher: hop.cipher.as_deref(),
        }
    }
}
