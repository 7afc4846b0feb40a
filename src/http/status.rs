//! The status page: every target with its four measures, and what went wrong last on each side.
//!
//! It is made whole on the server: no script, and nothing that is loaded from elsewhere. The
//! template escapes what it shows; this module decides what is shown and in which words.

use std::fmt;
use std::time::{Duration, SystemTime};

use askama::Template;

use super::{api, target};
use crate::config::{Endpoint, Target};
use crate::mail::{Side, text};
use crate::supervisor::{Supervisor, View};
use crate::target::advice::{next_step, next_step_for_late_mail};
use crate::target::ledger::{Reading, SideState, Snapshot, Totals};

use layers::LayerLine;

mod layers;

/// The links of the page that depend on flags and on the client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Links<'a> {
    /// Where the metrics are.
    pub(super) telemetry_path: &'a str,
    /// Whether this client may see the running configuration.
    pub(super) shows_config: bool,
}

/// The whole page, as it is at `now`.
pub(super) fn page(
    supervisor: &Supervisor,
    links: Links<'_>,
    now: SystemTime,
) -> Result<String, askama::Error> {
    let views = supervisor.views();
    let rows: Vec<Row<'_>> = views.iter().map(|view| Row::new(view, now)).collect();
    let page = StatusPage {
        version: env!("CARGO_PKG_VERSION"),
        links,
        refresh_seconds: if rows.len() > MANY_ROWS { 60 } else { 10 },
        started: When::new(supervisor.started(), now),
        reload_failed: !supervisor.reload_state().is_successful,
        summary: summary(&rows),
        rows,
    };
    page.render()
}

/// A page of more rows than this is asked for less often.
const MANY_ROWS: usize = 500;

/// What stands where nothing was measured yet.
pub(super) const UNMEASURED: &str = "—";

/// What stands where nothing can be measured, as a passive node is down.
const NOT_APPLICABLE: &str = "n/a";

/// Where a target is written; the page is for readers who need not know the files of this machine.
const CONFIGURATION: &str = "the configuration";

#[derive(Template)]
#[template(path = "status.html", whitespace = "minimize")]
struct StatusPage<'a> {
    version: &'static str,
    links: Links<'a>,
    refresh_seconds: u32,
    started: When,
    reload_failed: bool,
    summary: Vec<(Condition, usize)>,
    rows: Vec<Row<'a>>,
}

/// One target.
pub(super) struct Row<'a> {
    pub(super) target: &'a Target,
    /// The path of its page.
    pub(super) page: String,
    /// The path of the same as JSON.
    pub(super) api: String,
    pub(super) condition: Condition,
    pub(super) measures: [Measure; 4],
    pub(super) layers: Vec<LayerLine>,
    pub(super) mails: Vec<(&'static str, u64)>,
    pub(super) sides: [SideCell<'a>; 2],
    /// What to look at, if mail is late.
    pub(super) late_advice: Option<String>,
    pub(super) last_probe: Option<When>,
}

/// How a target is, in one word. The order is that of the summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    /// Mail cannot be sent or cannot be received.
    Failing,
    /// A mail is late and not there yet.
    Late,
    /// Everything works.
    Well,
    /// A passive node is down.
    NotApplicable,
    /// Nothing is known yet.
    Unmeasured,
}

/// One of the four measures.
pub(super) struct Measure {
    /// The heading of its column.
    pub(super) heading: &'static str,
    pub(super) value: String,
    /// What else there is to say, in small letters; may be empty.
    pub(super) note: String,
    pub(super) condition: Condition,
}

/// What is known of one side.
pub(super) struct SideCell<'a> {
    pub(super) side: Side,
    pub(super) endpoint: Shown<'a>,
    pub(super) state: String,
    pub(super) condition: Condition,
    pub(super) failure: Option<FailureNote<'a>>,
}

/// The newest failure of a side.
pub(super) struct FailureNote<'a> {
    pub(super) stage: &'a str,
    pub(super) reason: &'a str,
    pub(super) words: String,
    /// What to look at; `None` for a passive node that is down, as it may be.
    pub(super) advice: Option<String>,
    pub(super) when: When,
    /// Whether the side still fails.
    pub(super) is_current: bool,
}

/// A point in the past.
pub(super) struct When {
    /// As RFC 3339 has it, in UTC.
    pub(super) date: String,
    pub(super) age: String,
}

/// Where a server is.
pub(super) struct Shown<'a>(&'a Endpoint);

impl<'a> Row<'a> {
    pub(super) fn new(view: &'a View, now: SystemTime) -> Self {
        let View { target, snapshot, layers, .. } = view;
        let is_late = has_late_mail(target, snapshot, now);
        Self {
            target,
            page: target::path(target::PAGES, &target.name),
            api: target::path(api::TARGETS, &target.name),
            condition: condition(snapshot, is_late),
            measures: [
                send_ability(snapshot),
                receive_ability(snapshot),
                outstanding(snapshot, is_late, now),
                roundtrip(snapshot),
            ],
            layers: layers::lines(snapshot, layers),
            mails: mails(&snapshot.totals),
            sides: [
                SideCell::new(target, Side::Send, &snapshot.send, now),
                SideCell::new(target, Side::Receive, &snapshot.receive, now),
            ],
            late_advice: is_late.then(|| next_step_for_late_mail(target)),
            last_probe: snapshot.send.last_attempt.map(|at| When::new(at, now)),
        }
    }
}

impl Condition {
    /// What the summary and the style sheet call it.
    pub(super) fn class(self) -> &'static str {
        match self {
            Condition::Failing => "failing",
            Condition::Late => "late",
            Condition::Well => "well",
            Condition::NotApplicable => "not-applicable",
            Condition::Unmeasured => "unmeasured",
        }
    }

    /// For people.
    pub(super) fn label(self) -> &'static str {
        match self {
            Condition::Failing => "failing",
            Condition::Late => "with late mail",
            Condition::Well => "well",
            Condition::NotApplicable => "not applicable",
            Condition::Unmeasured => "not measured yet",
        }
    }

    /// How well a value shows it, unless it was not measured.
    fn of<T>(reading: Reading<T>, judge: impl FnOnce(T) -> Condition) -> Self {
        match reading {
            Reading::Unmeasured => Condition::Unmeasured,
            Reading::NotApplicable => Condition::NotApplicable,
            Reading::Is(value) => judge(value),
        }
    }
}

impl Measure {
    fn new<T: Copy>(
        heading: &'static str,
        reading: Reading<T>,
        value: impl FnOnce(T) -> String,
        judge: impl FnOnce(T) -> Condition,
    ) -> Self {
        let shown = match reading {
            Reading::Unmeasured => UNMEASURED.to_owned(),
            Reading::NotApplicable => NOT_APPLICABLE.to_owned(),
            Reading::Is(measured) => value(measured),
        };
        let condition = Condition::of(reading, judge);
        Self { heading, value: shown, note: String::new(), condition }
    }
}

impl<'a> SideCell<'a> {
    fn new(target: &'a Target, side: Side, state: &'a SideState, now: SystemTime) -> Self {
        let endpoint = match side {
            Side::Send => &target.send.endpoint,
            Side::Receive => &target.receive.endpoint,
        };
        let condition = Condition::of(state.consecutive_failures, |count| match count {
            0 => Condition::Well,
            _ => Condition::Failing,
        });
        let shown = match state.consecutive_failures {
            Reading::Unmeasured => "not tried yet".to_owned(),
            Reading::NotApplicable => "down, and passive".to_owned(),
            Reading::Is(0) => "works".to_owned(),
            Reading::Is(1) => "fails".to_owned(),
            Reading::Is(count) => format!("fails, {count} in a row"),
        };
        let failure = state.last_failure.as_ref().map(|(at, failure)| FailureNote {
            stage: failure.stage.label(),
            reason: failure.reason.label(),
            // Escaped and cut where it was read; the page does not rely on that.
            words: text::shown(failure.message.as_bytes()),
            advice: (!target.passive || !failure.down)
                .then(|| next_step(target, side, failure, CONFIGURATION)),
            when: When::new(*at, now),
            is_current: condition == Condition::Failing,
        });
        Self { side, endpoint: Shown(endpoint), state: shown, condition, failure }
    }
}

impl When {
    pub(super) fn new(at: SystemTime, now: SystemTime) -> Self {
        let date = humantime::format_rfc3339_seconds(at).to_string();
        // A clock that was set back makes no age below zero.
        let age = now.duration_since(at).unwrap_or_default();
        Self { date, age: format!("{} ago", rough(age)) }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Endpoint { host, port, .. } = self.0;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// How a target is, at `now`.
pub(super) fn condition_of(view: &View, now: SystemTime) -> Condition {
    condition(&view.snapshot, has_late_mail(&view.target, &view.snapshot, now))
}

fn condition(snapshot: &Snapshot, is_late: bool) -> Condition {
    let send = Condition::of(snapshot.send_ability, judge_share);
    let receive = Condition::of(snapshot.receive_ability, judge_ability);
    let both = [send, receive];
    if both.contains(&Condition::Failing) {
        Condition::Failing
    } else if both.contains(&Condition::NotApplicable) {
        Condition::NotApplicable
    } else if is_late {
        Condition::Late
    } else if both.contains(&Condition::Unmeasured) {
        Condition::Unmeasured
    } else {
        Condition::Well
    }
}

fn judge_share(share: f64) -> Condition {
    if share >= 1.0 { Condition::Well } else { Condition::Failing }
}

fn judge_ability(is_able: bool) -> Condition {
    if is_able { Condition::Well } else { Condition::Failing }
}

fn has_late_mail(target: &Target, snapshot: &Snapshot, now: SystemTime) -> bool {
    let age = snapshot.oldest_outstanding.map(|at| now.duration_since(at).unwrap_or_default());
    age.is_some_and(|age| age >= target.late_after)
}

fn send_ability(snapshot: &Snapshot) -> Measure {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    Measure::new("Ability to send", snapshot.send_ability, percent, judge_share)
}

fn receive_ability(snapshot: &Snapshot) -> Measure {
    let percent = |is_able| if is_able { "100 %" } else { "0 %" }.to_owned();
    Measure::new("Ability to receive", snapshot.receive_ability, percent, judge_ability)
}

fn outstanding(snapshot: &Snapshot, is_late: bool, now: SystemTime) -> Measure {
    let condition = if is_late { Condition::Late } else { Condition::Well };
    let count = |count: usize| count.to_string();
    let mut measure = Measure::new("Outstanding", snapshot.outstanding, count, |_| condition);
    if let Some(oldest) = snapshot.oldest_outstanding {
        let age = rough(now.duration_since(oldest).unwrap_or_default());
        measure.note = format!("{} {age}", if is_late { "late, oldest" } else { "oldest" });
    }
    measure
}

fn roundtrip(snapshot: &Snapshot) -> Measure {
    let mut measure = Measure::new("Round trip", snapshot.roundtrip, minutes, |_| Condition::Well);
    if let Reading::Is(mean) = snapshot.roundtrip {
        measure.note = exact(mean);
    }
    measure
}

/// The counters that matter to a reader; the rarer ones only once they count something.
fn mails(totals: &Totals) -> Vec<(&'static str, u64)> {
    let always = [("accepted", totals.accepted), ("received", totals.received)];
    let rare = [
        ("late", totals.late),
        ("lost", totals.lost),
        ("bounced", totals.bounced),
        ("doubtful", totals.doubtful),
        ("returned", totals.returned),
        ("duplicate", totals.duplicate),
    ];
    always.into_iter().chain(rare.into_iter().filter(|(_, count)| *count > 0)).collect()
}

/// How many targets are in which condition, the worst first.
fn summary(rows: &[Row<'_>]) -> Vec<(Condition, usize)> {
    let all = [
        Condition::Failing,
        Condition::Late,
        Condition::Well,
        Condition::NotApplicable,
        Condition::Unmeasured,
    ];
    all.into_iter()
        .map(|condition| (condition, rows.iter().filter(|row| row.condition == condition).count()))
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// Minutes with two or three digits that mean something.
fn minutes(duration: Duration) -> String {
    let minutes = duration.as_secs_f64() / 60.0;
    let digits = match minutes {
        m if m >= 100.0 => 0,
        m if m >= 10.0 => 1,
        m if m >= 0.1 => 2,
        _ => 4,
    };
    format!("{minutes:.digits$} min")
}

/// A measured time in the unit that suits it.
pub(super) fn exact(duration: Duration) -> String {
    match duration.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1000.0),
        seconds if seconds < 120.0 => format!("{seconds:.1} s"),
        _ => rough(duration),
    }
}

/// An age in its largest unit.
pub(super) fn rough(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
