//! The status page: every target with its four measures, and what went wrong last on each side.
//!
//! It is rendered on the server and needs no script. What it loads comes from [`super::assets`].
//! The template escapes what it shows; this module decides what is shown and in which words.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use askama::Template;

use super::assets::{self, Asset};
use super::chart::{Sparkline, Trip};
use super::history::Past;
use super::words::{Breakable, When, exact, minutes, rough};
use crate::account::history::Probe;
use crate::config::{Endpoint, Shard, Target, TargetName};
use crate::supervisor::{Supervisor, View};
use crate::web::absence::{Absence, ability_absence, outstanding_absence, roundtrip_absence};
use crate::web::condition::{ShownCondition, condition_of};
use crate::web::mount::PathPrefix;
use crate::web::paths::{self, TARGET_PAGES, TARGET_REPORTS};
use ledger::{Condition, Side};
use ledger::{Reading, SideState, Snapshot, Totals};
use mail::shortage::news as shortages;

use layers::LayerLine;
pub(in crate::web) use listing::Query;
use listing::{Listing, Order};
pub(super) use notes::{ENDS_SOON, Note};
pub(super) use shortage::ShortageNote;

mod layers;
mod listing;
mod notes;
mod shortage;

/// The links of the page that depend on flags and on the client.
#[derive(Debug, Clone, Copy)]
pub(in crate::web) struct Links<'a> {
    /// What the path of every link begins with.
    pub(in crate::web) base: &'a PathPrefix,
    /// Where the metrics are.
    pub(in crate::web) telemetry_path: &'a str,
    /// Whether this client may see the running configuration.
    pub(in crate::web) shows_config: bool,
}

/// The page that `query` asks for, as it is at `now`.
pub(in crate::web) fn page(
    supervisor: &Supervisor,
    links: Links<'_>,
    query: &Query,
    now: SystemTime,
) -> Result<String, askama::Error> {
    let (views, config) = (supervisor.views(), supervisor.config());
    let listing = Listing::new(views.iter().map(Arc::as_ref), query);
    let probes = |view: &View| supervisor.newest_probes(view.target.name.as_str());
    let rows = listing.shown.iter().map(|view| ListedRow::new(view, &probes(view), now));
    let (rows, well) = split(rows.collect(), query);
    let page = StatusPage {
        base: links.base,
        assets: Assets::ALL,
        version: crate::build::VERSION,
        links,
        query,
        refresh_seconds: if listing.all > MANY_ROWS { 30 } else { 10 },
        started: When::new(supervisor.started(), now),
        reload_failed: !supervisor.reload_state().is_successful,
        shortages: shortages::current()
            .into_iter()
            .map(ShortageNote::from)
            .chain(supervisor.lag().lately().map(ShortageNote::from))
            .collect(),
        pasts: listing.shown.iter().filter_map(|view| past(supervisor, view, now)).collect(),
        rows,
        well,
        listing,
        location: config.location.as_deref(),
        sharing: config.shard.filter(|_| config.in_other_shards > 0),
    };
    page.render()
}

/// A page with more targets than this refreshes less often.
const MANY_ROWS: usize = 500;

/// So many targets that are well stand on the page unfolded.
const UNFOLDED: usize = 25;

/// Where a target is written; the page is for readers who need not know the files of this machine.
const CONFIGURATION: &str = "the configuration";

#[derive(Template)]
#[template(path = "status.html", whitespace = "minimize")]
struct StatusPage<'a> {
    base: &'a PathPrefix,
    assets: Assets,
    version: &'static str,
    links: Links<'a>,
    query: &'a Query,
    refresh_seconds: u32,
    started: When,
    reload_failed: bool,
    /// What the exporter itself is short of now, time included.
    shortages: Vec<ShortageNote>,
    listing: Listing<'a>,
    rows: Vec<ListedRow<'a>>,
    /// Those at the end of a long list in which everything is well; they are folded.
    well: Vec<ListedRow<'a>>,
    /// How the targets were, by name.
    pasts: BTreeMap<&'a TargetName, Past>,
    /// From where the targets are tested, where the configuration says.
    location: Option<&'a str>,
    /// Which shard this is, where others test targets of the configuration too.
    sharing: Option<Shard>,
}

fn past<'a>(
    supervisor: &Supervisor,
    view: &'a View,
    now: SystemTime,
) -> Option<(&'a TargetName, Past)> {
    let name = &view.target.name;
    Some((name, Past::new(&supervisor.availability(name.as_str())?, now)))
}

/// What every page loads.
pub(super) struct Assets {
    pub(super) style: Asset,
    pub(super) script: Asset,
    pub(super) icon: Asset,
}

impl Assets {
    pub(super) const ALL: Self =
        Self { style: assets::STYLE, script: assets::SCRIPT, icon: assets::ICON };
}

/// One target in the table.
struct ListedRow<'a> {
    row: Row<'a>,
    sparkline: Sparkline,
}

impl<'a> ListedRow<'a> {
    /// `probes` are the newest ones, newest first.
    fn new(view: &'a View, probes: &[Probe], now: SystemTime) -> Self {
        let trips: Vec<Trip> = probes.iter().map(Trip::from).collect();
        Self { row: Row::new(view, probes, now), sparkline: Sparkline::new(trips.iter()) }
    }

    /// Whether there is nothing to tell.
    fn is_well(&self) -> bool {
        self.row.condition == Condition::Well && self.row.notes.is_empty()
    }
}

/// Folds the targets that are well, if they are many and nobody asked for them.
fn split<'a>(
    mut rows: Vec<ListedRow<'a>>,
    query: &Query,
) -> (Vec<ListedRow<'a>>, Vec<ListedRow<'a>>) {
    let is_asked_for = query.is_filtered() || query.order == Order::Name || query.page > 0;
    if is_asked_for || rows.iter().filter(|row| row.is_well()).count() <= UNFOLDED {
        return (rows, Vec::new());
    }
    let well = rows.extract_if(.., |row| row.is_well()).collect();
    (rows, well)
}

impl StatusPage<'_> {
    /// Whether some targets are left out on purpose.
    fn is_filtered(&self) -> bool {
        self.query.is_filtered()
    }

    /// What the fold of the targets that are well says.
    fn well_words(&self) -> String {
        let (shown, all) = (self.well.len(), self.listing.count_of(Condition::Well));
        match shown == all {
            true => format!("{shown} targets are well"),
            false => format!("{all} targets are well, {shown} of them on this page"),
        }
    }

    /// How many targets the reader sees of how many.
    fn count_words(&self) -> String {
        let Listing { matching, all, page, pages, .. } = self.listing;
        let plural = if all == 1 { "" } else { "s" };
        let found = match self.is_filtered() {
            true => format!("{matching} of {all} target{plural}"),
            false => format!("{all} target{plural}"),
        };
        match pages {
            1 => found,
            _ => format!("{found}, page {} of {pages}", page + 1),
        }
    }

    fn address_of_all(&self) -> Query {
        self.query.with_state(None)
    }

    fn address_of(&self, condition: &Condition) -> Query {
        self.query.with_state(Some(*condition))
    }

    fn previous_page(&self) -> Query {
        self.query.with_page(self.listing.page.saturating_sub(1))
    }

    fn next_page(&self) -> Query {
        self.query.with_page(self.listing.page + 1)
    }

    fn is_state(&self, condition: &Condition) -> bool {
        self.query.state == Some(*condition)
    }

    fn is_by_name(&self) -> bool {
        self.query.order == Order::Name
    }
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
    /// Empty where mails must not pass: they are in no counter.
    pub(super) mails: Vec<(&'static str, u64)>,
    pub(super) sides: [SideCell; 2],
    /// What is wrong now, and what to do.
    pub(super) notes: Vec<Note>,
    pub(super) last_probe: Option<When>,
}

impl Row<'_> {
    /// The name of the target.
    pub(super) fn name(&self) -> Breakable {
        Breakable::new(&self.target.name)
    }

    /// The side that the measure at this index is about.
    fn side_of(&self, index: &usize) -> Option<&SideCell> {
        self.sides.get(*index)
    }

    /// The lowest bad layer.
    pub(super) fn to_blame(&self) -> Option<&LayerLine> {
        self.layers.iter().find(|layer| layer.is_to_blame)
    }
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

/// The state of one side.
pub(super) struct SideCell {
    pub(super) endpoint: Breakable,
    pub(super) state: String,
    pub(super) condition: Condition,
    /// Its newest failure, if that is over.
    pub(super) past: Option<Note>,
}

/// The endpoint as configured, and for a name the address that answered the latest attempt.
struct Shown<'a> {
    endpoint: &'a Endpoint,
    address: Option<IpAddr>,
}

impl<'a> Row<'a> {
    /// `probes` are the newest ones, newest first.
    pub(super) fn new(view: &'a View, probes: &[Probe], now: SystemTime) -> Self {
        let View { target, snapshot, layers, .. } = view;
        let condition = condition_of(view);
        let (send, failure_to_send) = side(target, Side::Send, &snapshot.sides.send, now);
        let (receive, failure_to_receive) =
            side(target, Side::Receive, &snapshot.sides.receive, now);
        let failures = [failure_to_send, failure_to_receive].into_iter().flatten();
        Self {
            target,
            page: paths::of_target(TARGET_PAGES, &target.name),
            api: paths::of_target(TARGET_REPORTS, &target.name),
            condition,
            measures: [
                send_ability(snapshot),
                receive_ability(snapshot),
                outstanding(snapshot, now),
                roundtrip(snapshot),
            ]
            .map(|measure| measure.of_mail_that_passes(snapshot)),
            layers: layers::lines(snapshot, layers),
            mails: match snapshot.expectation {
                Some(_) => Vec::new(),
                None => mails(&snapshot.totals),
            },
            sides: [send, receive],
            notes: failures.chain(notes::beside_failures(view, condition, probes, now)).collect(),
            last_probe: snapshot.sides.send.last_attempt.map(|at| When::new(at, now)),
        }
    }
}

impl Measure {
    fn new<T: Copy>(
        heading: &'static str,
        reading: Reading<T>,
        absence: Option<Absence>,
        value: impl FnOnce(T) -> String,
        condition: Condition,
    ) -> Self {
        let absent = absence.map_or("", Absence::words);
        let shown = reading.value().map_or_else(|| absent.to_owned(), value);
        Self { heading, value: shown, note: String::new(), condition }
    }

    /// The measure, which says nothing where mails must not pass.
    fn of_mail_that_passes(self, snapshot: &Snapshot) -> Self {
        match snapshot.expectation {
            Some(_) => Self { value: Absence::NotToPass.words().to_owned(), ..self },
            None => self,
        }
    }
}

/// A side, and its newest failure if that goes on.
fn side(
    target: &Target,
    side: Side,
    state: &SideState,
    now: SystemTime,
) -> (SideCell, Option<Note>) {
    let endpoint = match side {
        Side::Send => Some(&target.send.endpoint),
        Side::Receive => target.receive.as_ref().map(|side| &side.endpoint),
    };
    let condition = Condition::of(state.consecutive_failures, |count| match count {
        0 => Condition::Well,
        _ => Condition::Failing,
    });
    let shown = match state.consecutive_failures {
        Reading::Unmeasured if state.last_attempt.is_some() => "not tried recently".to_owned(),
        Reading::Unmeasured => "not tried yet".to_owned(),
        Reading::NotApplicable if target.expected().is_some() => {
            if state.up == Some(true) { "answers" } else { "down" }.to_owned()
        }
        Reading::NotApplicable => "down (passive)".to_owned(),
        Reading::Is(0) => "works".to_owned(),
        Reading::Is(1) => "fails".to_owned(),
        Reading::Is(count) => format!("fails, {count} in a row"),
    };
    let (current, past) = match notes::of_side(target, side, state, now) {
        Some((note, true)) => (None, Some(note)),
        Some((note, false)) => (Some(note), None),
        None => (None, None),
    };
    let shown_endpoint = endpoint.map_or_else(
        || Breakable::new("no mailbox"),
        |endpoint| {
            let is_name = endpoint.host.parse::<IpAddr>().is_err();
            let address = state.address.map(|address| address.ip()).filter(|_| is_name);
            Breakable::new(Shown { endpoint, address })
        },
    );
    (SideCell { endpoint: shown_endpoint, state: shown, condition, past }, current)
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.endpoint)?;
        match self.address {
            Some(address) => write!(f, " via {address}"),
            None => Ok(()),
        }
    }
}

fn send_ability(snapshot: &Snapshot) -> Measure {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let ability = snapshot.send_ability;
    let absence = ability_absence(ability, &snapshot.sides.send);
    Measure::new("Ability to send", ability, absence, percent, Condition::of_share(ability))
}

fn receive_ability(snapshot: &Snapshot) -> Measure {
    let percent = |is_able| if is_able { "100 %" } else { "0 %" }.to_owned();
    let ability = snapshot.receive_ability;
    let absence = ability_absence(ability, &snapshot.sides.receive);
    let condition = Condition::of_ability(ability);
    Measure::new("Ability to receive", ability, absence, percent, condition)
}

fn outstanding(snapshot: &Snapshot, now: SystemTime) -> Measure {
    let late = snapshot.late_outstanding;
    let condition = Condition::of_outstanding(snapshot);
    let (reading, absence) = (snapshot.outstanding, outstanding_absence(snapshot));
    let count = |count: usize| count.to_string();
    let mut measure = Measure::new("Outstanding", reading, absence, count, condition);
    if let Some(oldest) = snapshot.oldest_outstanding {
        let age = rough(now.duration_since(oldest).unwrap_or_default());
        let late = if late > 0 { format!("{late} late, ") } else { String::new() };
        measure.note = format!("{late}oldest {age}");
    }
    measure
}

fn roundtrip(snapshot: &Snapshot) -> Measure {
    let (reading, absence) = (snapshot.roundtrip, roundtrip_absence(snapshot));
    let condition = Condition::of(reading, |_| Condition::Well);
    let mut measure = Measure::new("Round trip", reading, absence, exact, condition);
    if let Reading::Is(mean) = reading {
        measure.note = minutes(mean);
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

#[cfg(test)]
mod tests;
