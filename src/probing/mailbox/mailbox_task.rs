//! The loop over one mailbox: a check each period, looks while a mail is under way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use super::reader::{Asked, MailboxReader};
use super::shared::{SOON, Schedule, Settings, Shared};
use super::subscribers::Watch;
use super::{Inspector, Role, Subscriber, subscribers};
use crate::clock::{for_timer, on_time_line, suspended};
use crate::store::FolderRecord;
use ledger::LineInstant;
use ledger::{Failure, Step};
use ledger::{ServerClock, SessionKind};
use mail::trace::Trace;

mod back_off;
mod check;
mod look;
mod ready;

/// The first wait before a session that broke is opened again; it doubles up to a period.
const BACK_OFF_FIRST: Duration = Duration::from_secs(1);
/// A suspension up to this is none: it is known in whole seconds.
const SUSPENSION: Duration = Duration::from_secs(1);
/// A look so much newer than the one that the store knows is given to it.
const LOOK_NEWS: Duration = Duration::from_secs(1);

/// The state of the loop.
pub(super) struct MailboxTask {
    shared: Arc<Shared>,
    /// When the task began, on the time line of the accounts.
    started: LineInstant,
    reader: MailboxReader,
    /// What the subscribers' configurations said in the turn of the loop before.
    settings: Option<Arc<Settings>>,
    /// The subscribers then.
    subscribers: Vec<Arc<Subscriber>>,
    clock: Arc<Mutex<ServerClock>>,
    inspector: Arc<Inspector>,
    /// What was last given to the store of each folder.
    kept: BTreeMap<String, FolderRecord>,
    /// When the newest look that succeeded was asked for, on the time line of the accounts.
    last_look: Option<LineInstant>,
    watch: Watch,
    /// How long this machine had been suspended by then.
    suspended: Duration,
    /// No look before this time: back-off, or the server's own limit.
    not_before: Option<Instant>,
    back_off: Duration,
}

/// What a look or a check came to.
struct LookOutcome {
    trace: Trace,
    asked: Asked,
    result: Result<(), Failure>,
    removal_failure: Option<Failure>,
}

impl LookOutcome {
    /// Nothing was removed yet.
    fn of(trace: Trace, looked: Result<Asked, Failure>) -> Self {
        let (asked, result) = match looked {
            Ok(asked) => (asked, Ok(())),
            Err(failure) => (Asked::default(), Err(failure)),
        };
        Self { trace, asked, result, removal_failure: None }
    }
}

impl MailboxTask {
    /// At the beginning; nothing is known yet.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let put_off = shared.schedule().put_off.take();
        let (started, suspended) =
            put_off.unwrap_or_else(|| (on_time_line(Instant::now()), suspended()));
        Self {
            shared,
            started,
            watch: Watch { since: started, looks_failed: false },
            reader: MailboxReader::default(),
            settings: None,
            subscribers: Vec::new(),
            clock: Arc::default(),
            inspector: Arc::default(),
            kept: BTreeMap::new(),
            last_look: None,
            suspended,
            not_before: None,
            back_off: BACK_OFF_FIRST,
        }
    }

    /// Goes on from what an earlier process has kept.
    pub(super) async fn restore(&mut self) {
        let Some(store) = &self.shared.store else { return };
        let records = store.load_folders(&self.shared.id).await;
        let now = crate::clock::now();
        let known = records.values().find_map(|record| record.clock);
        self.clock = Arc::new(Mutex::new(ServerClock::new(known)));
        self.reader.restore(records, now);
    }

    /// What the subscribers' configurations say now.
    pub(super) fn settings(&self) -> Option<Arc<Settings>> {
        self.shared.schedule().settings.clone()
    }

    /// Gives the store what has changed: before a removal, so that whatever ends the process meanwhile
    /// neither counts a mail twice nor leaves it behind.
    pub(super) fn persist(&mut self, settings: &Settings) {
        let Some(store) = &self.shared.store else { return };
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let now = crate::clock::now();
        let offset = clock.offset(now);
        drop(clock);
        let is_awaiting = subscribers::is_awaiting(&self.shared.schedule().subscribers);
        for (folder, mut record) in self.reader.records(&settings.access.protocol, now) {
            record.clock = offset;
            let kept = self.kept.get(&folder).and_then(|kept| kept.looked_at);
            let is_news = |at: &SystemTime| {
                kept.is_none_or(|kept| at.duration_since(kept).is_ok_and(|by| by >= LOOK_NEWS))
            };
            // The store gets a look only if that narrows down when a mail has come.
            record.looked_at = record.looked_at.filter(|at| is_awaiting && is_news(at)).or(kept);
            if self.kept.get(&folder) != Some(&record) {
                store.record_folder(&self.shared.id, &folder, record.clone());
                self.kept.insert(folder, record);
            }
        }
    }

    /// The same, and waits until it is written, a second at most: a mail that is taken out is known
    /// as arrived after whatever happens, but a store that fails does not hold up its removal.
    async fn commit(&mut self, settings: &Settings) {
        self.persist(settings);
        if let Some(store) = &self.shared.store {
            store.committed().await;
        }
    }

    /// What it does is on the heap, as long as it lasts: for most of its time it waits.
    pub(super) async fn run(&mut self) {
        // A loop that broke off has left its check without an end.
        for subscriber in recipients(&self.shared.schedule().subscribers) {
            subscriber.account.check_abandoned();
        }
        loop {
            let (settings, subscribers, next_check, opens) = {
                let Schedule { settings, subscribers, next_check, opens, .. } =
                    &*self.shared.schedule();
                (settings.clone(), subscribers.clone(), *next_check, *opens)
            };
            let (Some(settings), Some(next_check)) = (settings, next_check) else {
                self.shared.changed.notified().await;
                continue;
            };
            if !self.settings.as_ref().is_some_and(|known| Arc::ptr_eq(known, &settings)) {
                // What was made ready was made so by another configuration.
                self.reader.preparation().discard();
                self.forgive(&settings);
                self.settings = Some(Arc::clone(&settings));
            }
            self.meet(&subscribers);
            let announced = self.shared.announced();
            let wanted = self.next_look(&settings, &subscribers);
            let next_look = wanted.map(|look| opens.map_or(look, |opens| look.max(opens)));
            if next_look.is_none() && !subscribers::sends_soon(&subscribers, SOON) {
                Box::pin(self.close_session()).await;
            }
            let check_due = self
                .earliest_login(&settings)
                .max(opens)
                .map_or(next_check, |at| at.max(next_check));
            self.shared.schedule().check_due = Some(check_due);
            let wake = next_look.map_or(check_due, |look| look.min(check_due));
            let plan = self.plan_preparation(&settings, &subscribers, next_look, check_due);
            let has_prepared =
                Box::pin(self.prepare(&settings, &subscribers, plan, check_due)).await;
            self.shared.is_ready_for(announced);
            if has_prepared {
                continue;
            }
            let woken = plan.map_or(wake, |plan| plan.begin.min(wake));
            let waited = self.wait(&settings, woken, next_look.is_some()).await;
            self.note_suspension();
            match waited {
                Ok(Waited::Interrupted) => {}
                Ok(Waited::Reached) if Instant::now() < wake => {}
                Ok(Waited::Announced(announced)) => {
                    Box::pin(self.look(&settings, &subscribers, Some(announced))).await;
                }
                Ok(Waited::Reached) if Instant::now() >= check_due => {
                    Box::pin(self.check(&settings, &subscribers, next_check)).await;
                }
                Ok(Waited::Reached) => Box::pin(self.look(&settings, &subscribers, None)).await,
                Err((failure, trace)) => {
                    self.look_failed(&settings, &subscribers, &failure, &trace);
                    visited(&subscribers, Some(&failure));
                }
            }
        }
    }

    /// Somebody who joins may wait for a mail that came before: nobody had waited for it then.
    fn meet(&mut self, subscribers: &[Arc<Subscriber>]) {
        let is_same = |(before, now): (&Arc<Subscriber>, _)| Arc::ptr_eq(before, now);
        let is_unchanged = self.subscribers.len() == subscribers.len();
        if is_unchanged && self.subscribers.iter().zip(subscribers).all(is_same) {
            return;
        }
        if subscribers::have_joined(&self.subscribers, subscribers) {
            self.reader.recall_left_overs();
        }
        self.subscribers = subscribers.to_vec();
    }

    /// A suspension is as if this had begun after it.
    fn note_suspension(&mut self) {
        let suspended = suspended();
        if suspended > self.suspended + SUSPENSION {
            self.watch.since = on_time_line(Instant::now());
        }
        self.suspended = suspended;
    }

    /// The earliest look that a subscriber wants and that the server and the back-off allow.
    fn next_look(&self, settings: &Settings, subscribers: &[Arc<Subscriber>]) -> Option<Instant> {
        let style = settings.session_kind();
        let next_look = |subscriber: &Arc<Subscriber>| subscriber.next_look(style, self.last_look);
        let wanted = subscribers.iter().filter_map(next_look).min()?;
        let last_look = self.last_look.map(for_timer);
        let distant = match style {
            SessionKind::Held => last_look.map(|last| last + settings.min_look_interval),
            SessionKind::PerPoll => self.earliest_login(settings),
        };
        let allowed = distant.max(self.not_before);
        let wanted = for_timer(wanted);
        Some(allowed.map_or(wanted, |allowed| wanted.max(allowed)))
    }

    /// POP3: no login before this time, that of a check included; the server or the configuration
    /// asks for a distance.
    fn earliest_login(&self, settings: &Settings) -> Option<Instant> {
        let gap = settings.min_look_interval.max(self.reader.login_delay().kept());
        let last_look = self.last_look.filter(|_| settings.session_kind() == SessionKind::PerPoll);
        last_look.map(|last| for_timer(last) + gap)
    }

    /// Waits until `wake`, in IDLE where the wait is long and the server able.
    async fn wait(
        &mut self,
        settings: &Settings,
        wake: Instant,
        is_awaiting_mail: bool,
    ) -> Result<Waited, (Failure, Trace)> {
        if is_awaiting_mail
            && let Some(announced) =
                Box::pin(self.reader.idle(&settings.access, wake, &self.shared.changed)).await
        {
            return Ok(match announced? {
                Some(announced) => Waited::Announced(announced),
                None if Instant::now() >= wake => Waited::Reached,
                None => Waited::Interrupted,
            });
        }
        tokio::select! {
            () = sleep_until(wake) => Ok(Waited::Reached),
            () = self.shared.changed.notified() => Ok(Waited::Interrupted),
        }
    }

    async fn look(
        &mut self,
        settings: &Settings,
        subscribers: &[Arc<Subscriber>],
        announced: Option<Instant>,
    ) {
        let began = Instant::now();
        let until = began + settings.longest_turn();
        for subscriber in recipients(subscribers) {
            subscriber.account.update(ledger::Ledger::looked);
        }
        let trace = self.reader.trace(|| Trace::new(Some(&settings.access.login)));
        let mut outcome = match self.reader.holds_session() {
            true => self.look_over_held(subscribers, trace, announced, until).await,
            false => self.open(settings, trace, until, false).await,
        };
        if outcome.result.is_ok() {
            self.persist(settings);
            let trace = outcome.trace.clone();
            outcome.removal_failure = self.remove(settings, subscribers, &trace, false).await;
        }
        self.end_look(settings, subscribers, began, &outcome);
    }

    /// A look between two checks is over.
    fn end_look(
        &mut self,
        settings: &Settings,
        subscribers: &[Arc<Subscriber>],
        began: Instant,
        outcome: &LookOutcome,
    ) {
        if let Err(failure) = &outcome.result {
            self.look_failed(settings, subscribers, failure, &outcome.trace);
        }
        self.conclude(settings, subscribers, began, outcome);
    }

    /// Notes that a look was made; the back-off ends only where the removal succeeded as well.
    fn conclude(
        &mut self,
        settings: &Settings,
        subscribers: &[Arc<Subscriber>],
        began: Instant,
        outcome: &LookOutcome,
    ) {
        self.persist(settings);
        self.report_remarks(subscribers);
        let failure = outcome.result.as_ref().err().or(outcome.removal_failure.as_ref());
        visited(subscribers, failure);
        let began = on_time_line(began);
        self.watch.looks_failed = outcome.result.is_err();
        if outcome.result.is_ok() {
            self.last_look = Some(outcome.asked.first.map_or(began, on_time_line));
        }
        let gap = settings.min_look_interval.max(self.reader.login_delay().kept());
        let everywhere = outcome.asked.everywhere.filter(|_| outcome.result.is_ok());
        for subscriber in recipients(subscribers) {
            subscriber.account.update(|ledger, now| {
                ledger.looks_lie_apart(gap);
                if let Some(asked) = everywhere.map(on_time_line) {
                    ledger.looked_everywhere(asked, now);
                }
            });
        }
        self.report_rhythm(settings, subscribers);
        self.reader.preparation().begin_anew();
        match &outcome.removal_failure {
            Some(failure) => {
                let transcript = outcome.trace.transcript();
                for subscriber in recipients(subscribers) {
                    subscriber.account.look_failed(failure, &transcript);
                }
                if settings.session_kind() == SessionKind::PerPoll {
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
        subscribers: &[Arc<Subscriber>],
        failure: &Failure,
        trace: &Trace,
    ) {
        let transcript = trace.transcript();
        for subscriber in recipients(subscribers) {
            subscriber.account.look_failed(failure, &transcript);
        }
        self.back_off(settings, failure);
    }

    pub(super) async fn close_session(&mut self) {
        self.reader.close().await;
    }
}

/// How a wait ended.
enum Waited {
    /// The time has come.
    Reached,
    /// The plan may have changed.
    Interrupted,
    /// The server announced new mail, at this time.
    Announced(Instant),
}

/// The targets whose mails arrive here: what is reported of the mailbox is their receive side.
fn recipients(subscribers: &[Arc<Subscriber>]) -> impl Iterator<Item = &Arc<Subscriber>> {
    subscribers.iter().filter(|subscriber| subscriber.role == Role::Recipient)
}

/// Tells the targets to whom this is the sender's mailbox how a session or a look there ended.
fn visited(subscribers: &[Arc<Subscriber>], failure: Option<&Failure>) {
    for subscriber in subscribers.iter().filter(|subscriber| subscriber.role == Role::Sender) {
        subscriber.account.sender_mailbox_visited(failure);
    }
}

fn only(step: Step, durations: &[(Step, Duration)]) -> Vec<(Step, Duration)> {
    durations.iter().filter(|(known, _)| *known == step).copied().collect()
}
