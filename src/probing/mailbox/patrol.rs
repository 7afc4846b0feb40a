//! The loop over one mailbox: a check each period, looks while a mail is under way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use super::preparation::Preparation;
use super::watch::{SOON, Settings, Watch};
use super::{Inspector, Member, Role, imap, members, pop3};
use crate::clock::{for_timer, on_time_line, suspended};
use crate::store::FolderRecord;
use ledger::LineInstant;
use ledger::{Failure, Reason, Step};
use ledger::{LookStyle, ServerClock};
use mail::outer::{MARGIN, enforced};
use mail::trace::Trace;

mod back_off;
mod check;
mod look;
mod ready;

/// Looks further apart than this are bridged by IDLE: they begin 5 s after the acceptance.
const IDLE_GAP: Duration = Duration::from_millis(500);
/// The first wait before a session that broke is opened again; it doubles up to a period.
const BACK_OFF_FIRST: Duration = Duration::from_secs(1);
/// A suspension up to this is none: it is known in whole seconds.
const SUSPENSION: Duration = Duration::from_secs(1);
/// A look so much newer than the one that the store knows is given to it.
const LOOK_NEWS: Duration = Duration::from_secs(1);
/// How long the farewell to a session may take.
const FAREWELL: Duration = Duration::from_secs(3);
/// The name under which the store keeps a POP3 maildrop.
const MAILDROP: &str = "";

/// The state of the loop.
pub(super) struct Patrol {
    watch: Arc<Watch>,
    /// When the watch began, on the time line of the accounts.
    started: LineInstant,
    /// The held IMAP session. It is taken out while it is used, so that one that is cut short by
    /// an error or by cancellation is gone.
    session: Option<imap::Session>,
    preparation: Preparation,
    /// Whether the server has broken its own protocol in IDLE: looks alone tell of mail then.
    idles_wrongly: bool,
    /// What the members' configurations said in the turn of the loop before.
    settings: Option<Arc<Settings>>,
    imap: imap::Memory,
    pop3: pop3::Memory,
    clock: Arc<Mutex<ServerClock>>,
    inspector: Arc<Inspector>,
    /// What was last given to the store of each folder.
    kept: BTreeMap<String, FolderRecord>,
    /// When the newest look that succeeded was asked for, on the time line of the accounts.
    last_look: Option<LineInstant>,
    /// Since when the watch is there to look: since its beginning, or the end of a suspension.
    attended_since: LineInstant,
    /// How long this machine had been suspended by then.
    suspended: Duration,
    /// No look before this time: back-off, or the server's own limit.
    not_before: Option<Instant>,
    back_off: Duration,
}

/// What a look or a check came to.
struct Outcome {
    trace: Trace,
    /// When it was asked what is there, if it came so far.
    asked: Option<Instant>,
    /// The same, if it was asked of all of the mailbox.
    asked_everywhere: Option<Instant>,
    result: Result<(), Failure>,
    removal_failure: Option<Failure>,
}

impl Outcome {
    /// Nothing was seen.
    fn failed(trace: Trace, failure: Failure) -> Self {
        let (asked, asked_everywhere) = (None, None);
        Self { trace, asked, asked_everywhere, result: Err(failure), removal_failure: None }
    }
}

impl Patrol {
    /// At the beginning; nothing is known yet.
    pub(super) fn new(watch: Arc<Watch>) -> Self {
        let started = on_time_line(Instant::now());
        Self {
            watch,
            started,
            attended_since: started,
            session: None,
            preparation: Preparation::default(),
            idles_wrongly: false,
            settings: None,
            imap: imap::Memory::default(),
            pop3: pop3::Memory::default(),
            clock: Arc::default(),
            inspector: Arc::default(),
            kept: BTreeMap::new(),
            last_look: None,
            suspended: suspended(),
            not_before: None,
            back_off: BACK_OFF_FIRST,
        }
    }

    /// Goes on from what an earlier process has kept.
    pub(super) async fn restore(&mut self) {
        let Some(store) = &self.watch.store else { return };
        let mut records = store.load_folders(&self.watch.id).await;
        let now = crate::clock::now();
        let known = records.values().find_map(|record| record.clock);
        self.clock = Arc::new(Mutex::new(ServerClock::new(known)));
        if let Some(record) = records.remove(MAILDROP) {
            self.pop3.restore(record, now);
        }
        self.imap.restore(records, now);
    }

    /// What the members' configurations say now.
    pub(super) fn settings(&self) -> Option<Arc<Settings>> {
        self.watch.shared().settings.clone()
    }

    /// Gives the store what has changed: before a removal, so that whatever ends the process meanwhile
    /// neither counts a mail twice nor leaves it behind.
    pub(super) fn keep(&mut self, settings: &Settings) {
        let Some(store) = &self.watch.store else { return };
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let now = crate::clock::now();
        let offset = clock.offset(now);
        drop(clock);
        let records: Vec<(String, FolderRecord)> = match settings.style() {
            LookStyle::Command => self.imap.records(now).collect(),
            LookStyle::Session => vec![(MAILDROP.to_owned(), self.pop3.record(now))],
        };
        let is_awaiting = members::is_awaiting(&self.watch.shared().members);
        for (folder, mut record) in records {
            record.clock = offset;
            let kept = self.kept.get(&folder).and_then(|kept| kept.looked_at);
            let is_news = |at: &SystemTime| {
                kept.is_none_or(|kept| at.duration_since(kept).is_ok_and(|by| by >= LOOK_NEWS))
            };
            // Each look is told to the store only as far as it narrows when a mail has come.
            record.looked_at = record.looked_at.filter(|at| is_awaiting && is_news(at)).or(kept);
            if self.kept.get(&folder) != Some(&record) {
                store.record_folder(&self.watch.id, &folder, record.clone());
                self.kept.insert(folder, record);
            }
        }
    }

    /// The same, and waits until it is written, a second at most: a mail that is taken out is known
    /// as arrived after whatever happens, but a store that fails does not hold up its removal.
    async fn commit(&mut self, settings: &Settings) {
        self.keep(settings);
        if let Some(store) = &self.watch.store {
            store.committed().await;
        }
    }

    pub(super) async fn run(&mut self) {
        // A loop that broke off has left its check without an end.
        for member in recipients(&self.watch.shared().members) {
            member.account.check_abandoned();
        }
        loop {
            let (settings, members, next_check) = {
                let shared = self.watch.shared();
                (shared.settings.clone(), shared.members.clone(), shared.next_check)
            };
            let (Some(settings), Some(next_check)) = (settings, next_check) else {
                self.watch.changed.notified().await;
                continue;
            };
            if !self.settings.as_ref().is_some_and(|known| Arc::ptr_eq(known, &settings)) {
                // What was made ready was made so by another configuration.
                self.preparation.discard();
                self.forgive(&settings);
                self.settings = Some(Arc::clone(&settings));
            }
            let announced = self.watch.announced();
            let next_look = self.next_look(&settings, &members);
            if next_look.is_none() && !members::sends_soon(&members, SOON) {
                self.close_session().await;
            }
            let check_due =
                self.earliest_login(&settings).map_or(next_check, |at| at.max(next_check));
            self.watch.shared().check_due = Some(check_due);
            let wake = next_look.map_or(check_due, |look| look.min(check_due));
            let plan = self.plan_preparation(&settings, &members, next_look, check_due);
            let has_prepared = self.prepare(&settings, &members, plan, check_due).await;
            self.watch.is_ready_for(announced);
            if has_prepared {
                continue;
            }
            let woken = plan.map_or(wake, |plan| plan.begin.min(wake));
            let waited = self.wait(&settings, woken, next_look.is_some()).await;
            self.note_suspension();
            match waited {
                Ok(Waited::Interrupted) => {}
                Ok(Waited::Reached) if Instant::now() < wake => {}
                Ok(Waited::Told(told)) => {
                    self.look(&settings, &members, Some(told)).await;
                }
                Ok(Waited::Reached) if Instant::now() >= check_due => {
                    self.check(&settings, &members, next_check).await;
                }
                Ok(Waited::Reached) => self.look(&settings, &members, None).await,
                Err((failure, trace)) => {
                    self.look_failed(&settings, &members, &failure, &trace);
                    visited(&members, Some(&failure));
                }
            }
        }
    }

    /// A suspension is as if this had begun after it.
    fn note_suspension(&mut self) {
        let suspended = suspended();
        if suspended > self.suspended + SUSPENSION {
            self.attended_since = on_time_line(Instant::now());
        }
        self.suspended = suspended;
    }

    /// The earliest look that a member wants and that the server and the back-off allow.
    fn next_look(&self, settings: &Settings, members: &[Arc<Member>]) -> Option<Instant> {
        let style = settings.style();
        let next_look = |member: &Arc<Member>| member.next_look(style, self.last_look);
        let wanted = members.iter().filter_map(next_look).min()?;
        let last_look = self.last_look.map(for_timer);
        let distant = match style {
            LookStyle::Command => last_look.map(|last| last + settings.min_look_interval),
            LookStyle::Session => self.earliest_login(settings),
        };
        let allowed = distant.max(self.not_before);
        let wanted = for_timer(wanted);
        Some(allowed.map_or(wanted, |allowed| wanted.max(allowed)))
    }

    /// POP3: no login before this time, that of a check included; the server or the configuration
    /// asks for a distance.
    fn earliest_login(&self, settings: &Settings) -> Option<Instant> {
        let gap = settings.min_look_interval.max(self.pop3.login_delay.kept());
        let last_look = self.last_look.filter(|_| settings.style() == LookStyle::Session);
        last_look.map(|last| for_timer(last) + gap)
    }

    /// Waits until `wake`, in IDLE where the wait is long and the server able.
    async fn wait(
        &mut self,
        settings: &Settings,
        wake: Instant,
        is_awaiting_mail: bool,
    ) -> Result<Waited, (Failure, Trace)> {
        let can_idle =
            !self.idles_wrongly && self.session.as_ref().is_some_and(imap::Session::can_idle);
        let is_long = wake.saturating_duration_since(Instant::now()) >= IDLE_GAP;
        if is_awaiting_mail
            && can_idle
            && is_long
            && let Some(mut session) = self.session.take()
        {
            let trace = session.trace().clone();
            let began = Instant::now();
            // The end of IDLE is answered within this time, or not at all.
            let end = wake + settings.timeout + MARGIN;
            let told = enforced(end, session.idle(wake, &self.watch.changed))
                .await
                .unwrap_or_else(|| Err(trace.overrun(began.elapsed())))
                .map_err(|failure| (failure, trace));
            self.idles_wrongly |=
                matches!(&told, Err((failure, _)) if failure.reason == Reason::Protocol);
            let told = told?;
            self.session = Some(session);
            return Ok(match told {
                Some(told) => Waited::Told(told),
                None if Instant::now() >= wake => Waited::Reached,
                None => Waited::Interrupted,
            });
        }
        tokio::select! {
            () = sleep_until(wake) => Ok(Waited::Reached),
            () = self.watch.changed.notified() => Ok(Waited::Interrupted),
        }
    }

    async fn look(&mut self, settings: &Settings, members: &[Arc<Member>], told: Option<Instant>) {
        let began = Instant::now();
        let until = began + settings.longest_turn();
        for member in recipients(members) {
            member.account.looked();
        }
        let mut outcome = match (settings.style(), self.session.is_some()) {
            (LookStyle::Session, _) => self.look_pop3(settings, members, until).await,
            (LookStyle::Command, true) => self.look_imap(members, told, until).await,
            (LookStyle::Command, false) => {
                let trace = Trace::new(Some(&settings.login));
                self.open_imap(settings, members, trace, until).await
            }
        };
        if settings.style() == LookStyle::Command && outcome.result.is_ok() {
            self.keep(settings);
            outcome.removal_failure = self.remove_imap(settings, members, false).await;
        }
        self.end_look(settings, members, began, &outcome);
    }

    /// A look between two checks is over.
    fn end_look(
        &mut self,
        settings: &Settings,
        members: &[Arc<Member>],
        began: Instant,
        outcome: &Outcome,
    ) {
        if let Err(failure) = &outcome.result {
            self.look_failed(settings, members, failure, &outcome.trace);
        }
        self.conclude(settings, members, began, outcome);
    }

    /// Notes that a look was made; the back-off ends only where the removal succeeded as well.
    fn conclude(
        &mut self,
        settings: &Settings,
        members: &[Arc<Member>],
        began: Instant,
        outcome: &Outcome,
    ) {
        self.keep(settings);
        self.tell_remarks(members);
        let failure = outcome.result.as_ref().err().or(outcome.removal_failure.as_ref());
        visited(members, failure);
        let began = on_time_line(began);
        if outcome.result.is_ok() {
            self.last_look = Some(outcome.asked.map_or(began, on_time_line));
        }
        let gap = settings.min_look_interval.max(self.pop3.login_delay.kept());
        let everywhere = outcome.asked_everywhere.filter(|_| outcome.result.is_ok());
        for member in recipients(members) {
            member.account.looked_everywhere(everywhere.map(on_time_line), gap);
        }
        self.tell_rhythm(settings, members);
        self.preparation.begin_anew();
        match &outcome.removal_failure {
            Some(failure) => {
                let transcript = outcome.trace.transcript();
                for member in recipients(members) {
                    member.account.look_failed(failure, &transcript);
                }
                if settings.style() == LookStyle::Session {
                    self.back_off(settings, failure);
                }
            }
            None if outcome.result.is_ok() => {
                self.not_before = None;
                self.back_off = BACK_OFF_FIRST;
            }
            None => {}
        }
    }

    fn look_failed(
        &mut self,
        settings: &Settings,
        members: &[Arc<Member>],
        failure: &Failure,
        trace: &Trace,
    ) {
        let transcript = trace.transcript();
        for member in recipients(members) {
            member.account.look_failed(failure, &transcript);
        }
        self.back_off(settings, failure);
    }

    pub(super) async fn close_session(&mut self) {
        self.preparation.discard();
        if let Some(session) = self.session.take() {
            let _ = enforced(Instant::now() + FAREWELL, session.close()).await;
        }
    }
}

/// How a wait ended.
enum Waited {
    /// The time has come.
    Reached,
    /// The plan may have changed.
    Interrupted,
    /// The server told of new mail, at this time.
    Told(Instant),
}

/// The targets whose mails arrive here: what is told of the mailbox is their receive side.
fn recipients(members: &[Arc<Member>]) -> impl Iterator<Item = &Arc<Member>> {
    members.iter().filter(|member| member.role == Role::Recipient)
}

/// Tells the targets to whom this is the sender's mailbox how a session or a look there ended.
fn visited(members: &[Arc<Member>], failure: Option<&Failure>) {
    for member in members.iter().filter(|member| member.role == Role::Sender) {
        member.account.sender_mailbox_visited(failure);
    }
}

fn only(step: Step, durations: &[(Step, Duration)]) -> Vec<(Step, Duration)> {
    durations.iter().filter(|(known, _)| *known == step).copied().collect()
}
