//! The page of one target: how each side is, in the server's own words, its newest probes step by
//! step, checks, the outstanding mails, certificates and transcripts.
//!
//! Rendered on the server, like the status page. The template escapes what it shows.

use std::time::{Duration, SystemTime};

use askama::Template;

use super::chart::{Sparkline, Trip, Waterfall};
use super::history::History;
use super::status::{Assets, ENDS_SOON, Links, Row, ShortageNote};
use super::words::{When, exact, rough, spelled};
use crate::account::Delay;
use crate::account::history::{Check, DialogueKind, FailedLook, Outcome, Probe, Steps, Transcript};
use crate::config::{LOCATION, Protocol, Target, TlsMode};
use crate::probing::lag::Lately;
use crate::supervisor::{Details, View};
use crate::web::condition::ShownCondition as _;
use crate::web::elsewhere::Elsewhere;
use crate::web::mount::PathPrefix;
use expectation::ExpectationNote;
use inspection::InspectionNote;
use layers::{NetworkNote, PortNote};
use ledger::{Failure, Side, Snapshot, Step};
use ledger::{FoundIn, MailState, OutstandingMail};
use ledger::{TlsFacts, certificate_date};
use mail::text;
use notice::DsnNote;
use standing::{DomainNote, ListsNote};

mod expectation;
mod inspection;
mod layers;
mod notice;
mod standing;
mod way;

/// How often a page refreshes.
const REFRESH_SECONDS: u32 = 10;

/// A list of so many lines is not folded.
const FEW: usize = 5;

/// The text in place of transcripts for a client that may not see them.
const NO_DETAILS: &str = "Transcripts are shown only to clients on the exporter's own machine. To \
                          show them to others, set up users (--web.config.file) or start the \
                          exporter with --web.enable-details.";

/// What of the page depends on flags and on the client.
#[derive(Debug, Clone, Copy)]
pub(in crate::web) struct Setting<'a> {
    /// Where the pages lead.
    pub(in crate::web) links: Links<'a>,
    /// Where else there is something to see of the target.
    pub(in crate::web) elsewhere: &'a Elsewhere,
    /// Whether this client may see transcripts.
    pub(in crate::web) shows_transcripts: bool,
    /// How late the exporter itself was; `None`: it was not.
    pub(in crate::web) lately: Option<Lately>,
}

/// The whole page, as it is at `now`.
pub(in crate::web) fn page(
    details: &Details,
    setting: Setting<'_>,
    now: SystemTime,
) -> Result<String, askama::Error> {
    let target = &details.view.target;
    let snapshot = &details.view.snapshot;
    let evidence = &details.evidence;
    let row = Row::new(&details.view, &evidence.probes, now);
    let mut transcripts: Option<Vec<TranscriptNote>> = setting
        .shows_transcripts
        .then(|| evidence.transcripts.iter().map(|one| TranscriptNote::new(one, now)).collect());
    let failing = row.notes.iter().find(|note| note.cause.is_some()).and_then(|note| note.side);
    let leading = transcripts.as_mut().zip(failing).and_then(|(transcripts, side)| {
        let newest = transcripts.iter().position(|one| one.shows_failure_of(side))?;
        Some(transcripts.remove(newest))
    });
    let count = snapshot.outstanding.value().unwrap_or(details.awaited.len());
    let trips: Vec<Trip> = evidence.probes.iter().map(Trip::from).collect();
    let readings = &details.view.layers;
    let page = TargetPage {
        base: setting.links.base,
        links: setting.links,
        elsewhere: setting.elsewhere.links(&target.name),
        assets: Assets::ALL,
        version: crate::build::VERSION,
        refresh_seconds: REFRESH_SECONDS,
        sparkline: Sparkline::new(trips.iter()),
        history: History::new(&target.name, &details.availability, now),
        network: readings.ping.as_ref().map(NetworkNote::new),
        ports: readings.ports.iter().map(PortNote::new).collect(),
        notice: snapshot.last_report.as_ref().map(|it| DsnNote::new(it.0, &it.1, now)),
        inspection: InspectionNote::of(&details.view, now),
        expectation: ExpectationNote::of(&details.view, now),
        domain: DomainNote::new(&details.view, now),
        lists: details.view.standing.as_deref().and_then(|one| ListsNote::new(one, now)),
        target,
        row,
        leading,
        lateness: setting.lately.map(ShortageNote::from),
        recipe: recipe(&details.view, now),
        sides: sides(target, snapshot, now),
        awaited: details.awaited.iter().map(|mail| OutstandingNote::new(mail, now)).collect(),
        more_awaited: count.saturating_sub(details.awaited.len()),
        probes: evidence.probes.iter().map(|probe| ProbeNote::new(probe, now)).collect(),
        checks: evidence.checks.iter().map(|check| CheckNote::new(check, now)).collect(),
        failed_looks: evidence.failed_looks.iter().map(|look| LookNote::new(look, now)).collect(),
        transcripts,
        no_details: NO_DETAILS,
    };
    page.render()
}

fn sides(target: &Target, snapshot: &Snapshot, now: SystemTime) -> [SideNote; 2] {
    let is_plain = |side| match side {
        Side::Send => target.send.endpoint.tls == TlsMode::None,
        Side::Receive => {
            target.receive.as_ref().is_some_and(|side| side.endpoint.tls == TlsMode::None)
        }
    };
    [Side::Send, Side::Receive].map(|side| {
        let state = &snapshot.sides[side];
        SideNote::new(side, is_plain(side), state.tls.as_deref(), &state.steps, now)
    })
}

#[derive(Template)]
#[template(path = "target.html", whitespace = "minimize")]
struct TargetPage<'a> {
    base: &'a PathPrefix,
    links: Links<'a>,
    /// Words and addresses.
    elsewhere: Vec<(&'static str, String)>,
    assets: Assets,
    version: &'static str,
    refresh_seconds: u32,
    sparkline: Sparkline,
    history: History,
    /// `None`: it is not checked.
    network: Option<NetworkNote>,
    ports: Vec<PortNote>,
    notice: Option<DsnNote>,
    inspection: Option<InspectionNote>,
    /// `None`: its mails are to be delivered.
    expectation: Option<ExpectationNote>,
    /// `None`: no list is asked.
    lists: Option<ListsNote>,
    /// `None`: no domain is checked.
    domain: Option<DomainNote>,
    target: &'a Target,
    row: Row<'a>,
    /// The exporter itself was late.
    lateness: Option<ShortageNote>,
    recipe: String,
    sides: [SideNote; 2],
    awaited: Vec<OutstandingNote>,
    more_awaited: usize,
    probes: Vec<ProbeNote>,
    checks: Vec<CheckNote>,
    failed_looks: Vec<LookNote>,
    /// The newest dialogue in which a side failed that still does.
    leading: Option<TranscriptNote>,
    /// The others; `None`: not for this client.
    transcripts: Option<Vec<TranscriptNote>>,
    no_details: &'static str,
}

/// What else is known of a side.
struct SideNote {
    heading: &'static str,
    waterfall: Waterfall,
    tls: Option<TlsNote>,
    /// The configuration wants no TLS.
    is_plain: bool,
}

/// What the newest TLS handshake showed.
struct TlsNote {
    /// Version and cipher.
    suite: String,
    ends: Vec<CertificateEnd>,
}

struct CertificateEnd {
    what: &'static str,
    date: String,
    /// How long until then, or since.
    distance: String,
    class: &'static str,
}

struct OutstandingNote {
    token: String,
    accepted: When,
    is_late: bool,
}

struct ProbeNote {
    token: String,
    began: When,
    outcome: &'static str,
    class: &'static str,
    is_late: bool,
    accepted_after: String,
    delivery: String,
    roundtrip: String,
    folder: &'static str,
    waterfall: Waterfall,
    failure: Option<FailureWords>,
    report: Option<String>,
}

struct CheckNote {
    began: When,
    waterfall: Waterfall,
    failure: Option<FailureWords>,
}

struct LookNote {
    at: When,
    failure: FailureWords,
}

struct FailureWords {
    step: &'static str,
    reason: &'static str,
    words: String,
}

struct TranscriptNote {
    kind: DialogueKind,
    has_failed: bool,
    heading: String,
    class: &'static str,
    token: Option<String>,
    ended: When,
    text: Option<String>,
}

impl SideNote {
    fn new(
        side: Side,
        is_plain: bool,
        tls: Option<&TlsFacts>,
        durations: &[(Step, Duration)],
        now: SystemTime,
    ) -> Self {
        let tls = tls.map(|facts| TlsNote::new(facts, now));
        let heading = match side {
            Side::Send => "Send",
            Side::Receive => "Receive",
        };
        let waterfall = Waterfall::of_steps(durations.iter().copied());
        Self { heading, waterfall, tls, is_plain }
    }
}

impl TlsNote {
    fn new(facts: &TlsFacts, now: SystemTime) -> Self {
        let ends = [("Certificate", facts.leaf_not_after), ("Its chain", facts.chain_not_after)];
        let ends = ends.into_iter().filter_map(|(what, end)| {
            let date = certificate_date(end)?;
            let (distance, class) = match end.duration_since(now) {
                Ok(left) if left < ENDS_SOON => (format!("ends in {}", rough(left)), "late"),
                Ok(left) => (format!("ends in {}", rough(left)), "well"),
                Err(over) => (format!("ended {} ago", rough(over.duration())), "failing"),
            };
            Some(CertificateEnd { what, date, distance, class })
        });
        Self { suite: format!("{} {}", facts.version, facts.cipher), ends: ends.collect() }
    }
}

impl OutstandingNote {
    fn new(mail: &OutstandingMail, now: SystemTime) -> Self {
        let accepted = When::new(mail.accepted, now);
        Self { token: mail.token.to_string(), accepted, is_late: mail.is_late }
    }
}

impl ProbeNote {
    fn new(probe: &Probe, now: SystemTime) -> Self {
        let has_arrived = probe.state == MailState::Received;
        let was_accepted = has_arrived
            || matches!(probe.state, MailState::Outstanding | MailState::Bounced | MailState::Lost);
        let time = |time: Option<Duration>, has_happened| {
            time.map_or_else(|| nothing_or_unknown(has_happened).to_owned(), exact)
        };
        Self {
            token: probe.token.to_string(),
            began: When::new(probe.began, now),
            outcome: words(probe.outcome()),
            class: class(probe.outcome()),
            is_late: probe.is_late,
            accepted_after: time(probe.accepted_after, was_accepted),
            delivery: time(probe.delivery(), has_arrived),
            roundtrip: time(probe.roundtrip, has_arrived),
            folder: probe.folder.map_or(nothing_or_unknown(has_arrived), FoundIn::label),
            waterfall: Waterfall::of_probe(probe),
            failure: probe.failure.as_deref().map(FailureWords::new),
            report: probe.report.as_ref().map(|words| text::shown(words.as_bytes())),
        }
    }
}

/// What became of a mail, for people.
fn words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Unmeasured => "not measured",
        Outcome::NotAccepted => "not accepted",
        Outcome::Is(MailState::Left) => "not applicable",
        outcome => outcome.label(),
    }
}

/// What the style sheet calls it.
fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Unmeasured | Outcome::Is(MailState::Left) => "not-applicable",
        Outcome::Deferred | Outcome::NotAccepted => "failing",
        Outcome::Is(MailState::Received) => "well",
        Outcome::Is(MailState::Returned) => "late",
        Outcome::Is(state) => {
            if state.is_open() {
                "unmeasured"
            } else {
                "failing"
            }
        }
    }
}

/// What stands where a value would: nobody knows it, or there is none as it has not come to that.
fn nothing_or_unknown(has_happened: bool) -> &'static str {
    if has_happened { "unknown" } else { "—" }
}

impl CheckNote {
    fn new(check: &Check, now: SystemTime) -> Self {
        Self {
            began: When::new(check.began, now),
            waterfall: of_steps(&check.steps),
            failure: check.failure.as_deref().map(FailureWords::new),
        }
    }
}

impl LookNote {
    fn new(look: &FailedLook, now: SystemTime) -> Self {
        Self { at: When::new(look.at, now), failure: FailureWords::new(&look.failure) }
    }
}

impl FailureWords {
    fn new(failure: &Failure) -> Self {
        Self {
            step: failure.step.label(),
            reason: failure.reason.label(),
            // Escaped and cut where it was read; the page does not rely on that.
            words: text::shown(failure.message.as_bytes()),
        }
    }
}

impl TranscriptNote {
    fn new(transcript: &Transcript, now: SystemTime) -> Self {
        let (how, class) =
            if transcript.has_failed { ("failed", "failing") } else { ("succeeded", "well") };
        Self {
            kind: transcript.kind,
            has_failed: transcript.has_failed,
            heading: format!("A {} that {how}", transcript.kind.label()),
            class,
            token: transcript.token.map(|token| token.to_string()),
            ended: When::new(transcript.ended, now),
            text: transcript.text.as_deref().map(str::to_owned),
        }
    }

    fn shows_failure_of(&self, side: Side) -> bool {
        self.has_failed && (self.kind == DialogueKind::Send) == (side == Side::Send)
    }
}

impl TargetPage<'_> {
    /// What became of the probes: `17 received, 3 lost`.
    fn tally_of_probes(&self) -> String {
        tally(self.probes.iter().map(|probe| probe.outcome))
    }

    fn tally_of_checks(&self) -> String {
        tally(self.checks.iter().map(|check| match check.failure {
            Some(_) => "failed",
            None => "passed",
        }))
    }
}

/// How often each of these words comes, the first of them first.
fn tally(words: impl Iterator<Item = &'static str>) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for word in words {
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word, 1)),
        }
    }
    let counts = counts.iter().map(|(word, count)| format!("{count} {word}"));
    counts.collect::<Vec<_>>().join(", ")
}

/// What is probed, in one sentence.
pub(super) fn recipe(view: &View, now: SystemTime) -> String {
    let View { target, snapshot, .. } = view;
    let read_by = match target.receive.as_ref().map(|side| &side.protocol) {
        Some(Protocol::Imap { .. }) => ", read by IMAP",
        Some(Protocol::Pop3) => ", read by POP3",
        Some(Protocol::Jmap { .. }) => ", read by JMAP",
        None => "",
    };
    let count = match target.messages.get() {
        1 => "one mail".to_owned(),
        count => format!("{count} mails"),
    };
    let every = spelled(target.interval);
    let delay = snapshot.login_delay.effect(target.interval);
    let delay = delay.map(|effect| format!(" Note: {effect}.")).unwrap_or_default();
    let until = view.next_mail_at().and_then(|at| at.duration_since(now).ok());
    let next = match (until, view.waits_for) {
        (_, Some(Delay::Connection)) => {
            " The next one waits for a free connection (max_connections).".to_owned()
        }
        (_, Some(Delay::Place)) => {
            " The next one waits for its turn (max_concurrent_probes).".to_owned()
        }
        (Some(until), _) => format!(" Next in {}.", rough(until)),
        (None, _) => String::new(),
    };
    format!("Every {every} {count} from {} to {}{read_by}.{next}{delay}", target.from, target.to)
}

fn of_steps(steps: &Steps) -> Waterfall {
    Waterfall::of_steps(steps.iter().map(|time| (time.step, time.duration())))
}
