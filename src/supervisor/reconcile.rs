//! A plan is carried out: what is gone ends, what is new begins, and each mailbox gets its subscribers.

use std::collections::BTreeMap;
use std::sync::Arc;

use openssl::error::ErrorStack;
use tokio::time::Instant;
use tokio_util::future::FutureExt;
use tracing::error;

use super::kept::Kept;
use super::phases::{Past, Phase, Phases, Wanted};
use super::plan::{Change, Part, Plan, Present};
use super::sending::{self, Line};
use super::slots::{self, SlotKey};
use super::task::{Start, Task, end};
use super::view::TargetHandle;
use super::{ReloadError, Running, RunningMailbox, State, Supervisor};
use crate::account::Account;
use crate::config::{Config, Login, MailboxId, Target, TargetName, TlsMode, TlsOptions};
use crate::probing::mailbox::{MailboxHandle, Subscriber};
use crate::probing::send::Sender;
use ledger::{Reading, Rules, Servers};
use mail::wire::Dialer;

/// A target whose loops are about to begin.
struct Beginning {
    target: Arc<Target>,
    line: Line,
    subscriber: Arc<Subscriber>,
    /// When its first mail is due.
    first: Instant,
}

/// The same before it is known when that is.
struct Candidate {
    target: Arc<Target>,
    line: Line,
    past: Past,
}

impl Beginning {
    fn new(Candidate { target, line, .. }: Candidate, first: Instant) -> Self {
        let account = Arc::clone(&line.account);
        let subscriber = Arc::new(Subscriber::new(Arc::clone(&target), account, first));
        Self { target, line, subscriber, first }
    }
}

type Beginnings = BTreeMap<TargetName, Beginning>;

/// Gives each its first mail.
fn beginnings(mut candidates: Vec<Candidate>, phases: &mut Phases) -> Beginnings {
    candidates.sort_by_key(|it| it.past.turn(it.target.interval));
    let beginning = |candidate: Candidate| {
        let first = phases.first(candidate.past, candidate.target.interval);
        (candidate.target.name.clone(), Beginning::new(candidate, first))
    };
    candidates.into_iter().map(beginning).collect()
}

impl Supervisor {
    /// Puts a configuration to work. Everything that can fail comes before the first change.
    ///
    /// # Errors
    /// [`ReloadError::Tls`].
    pub(super) async fn apply(&self, config: Config) -> Result<(), ReloadError> {
        let dialers = self.dialers(&config)?;
        let plan = Plan::of(&self.state().present(), &config.targets);
        end(self.stop_loops(&plan)).await;
        // Before the store is read, which does not know yet what becomes of their last send.
        let returning = self.returning(&plan);
        let kept = self.load_new(&config, &plan).await;
        let config = Arc::new(config);
        end(self.reconcile(&plan, &config, dialers, kept, returning)).await;
        self.clients.tls.keep_only(config.targets.values().flat_map(|target| options(target)));
        Ok(())
    }

    /// The connections that the targets will send by; those of the mailboxes are tried.
    fn dialers(&self, config: &Config) -> Result<BTreeMap<TargetName, Dialer>, ReloadError> {
        let dialer = |target: &Target| -> Result<Dialer, ErrorStack> {
            for side in target.mailboxes() {
                Dialer::new(&side.endpoint, Some(&side.login), &self.clients)?;
            }
            let login = target.send.login.as_ref();
            Dialer::new(&target.send.endpoint, login, &self.clients)
        };
        let dialers = config.targets.iter().map(|(name, target)| {
            let failed = |source| ReloadError::Tls { target: name.clone(), source };
            Ok((name.clone(), dialer(target).map_err(failed)?))
        });
        dialers.collect()
    }

    /// Takes out the loops of targets that stop or change, and lets their sending go.
    fn stop_loops(&self, plan: &Plan) -> Vec<Task> {
        let mut state = self.state();
        let state = &mut *state;
        state.let_go.forget_ended();
        let mut ended = Vec::new();
        for name in &plan.stops {
            let Some(running) = state.targets.remove(name) else { continue };
            running.line.account.keep_availability();
            state.let_go.take(name, &running.line, running.sending);
            ended.push(running.checking);
            ended.extend(running.asking);
        }
        for name in plan.changes.keys() {
            let Some(running) = state.targets.get_mut(name) else { continue };
            let sending = std::mem::replace(&mut running.sending, Task::ended());
            state.let_go.take(name, &running.line, sending);
            ended.push(std::mem::replace(&mut running.checking, Task::ended()));
            ended.extend(running.asking.take());
        }
        ended
    }

    /// The accounts of targets that come back while their last send is still under way.
    fn returning(&self, plan: &Plan) -> BTreeMap<TargetName, Line> {
        let mut state = self.state();
        let line = |name: &TargetName| Some((name.clone(), state.let_go.line(name)?));
        plan.starts.iter().filter_map(line).collect()
    }

    /// Starts what is new, and gives each mailbox its subscribers; gives the loops of the mailboxes that
    /// nobody needs any more.
    fn reconcile(
        &self,
        plan: &Plan,
        config: &Arc<Config>,
        dialers: BTreeMap<TargetName, Dialer>,
        mut kept: Kept,
        returning: BTreeMap<TargetName, Line>,
    ) -> Vec<Task> {
        let mut state = self.state();
        let state = &mut *state;
        state.config = Arc::clone(config);
        state.slots = slots::reconcile(config, &state.slots);
        self.pace.set_limit(config.max_concurrent_probes);
        let mut candidates = changed(plan, config, state);
        candidates.extend(self.starting(plan, config, &kept, returning));
        let runs_on = state.targets.iter().filter(|(name, _)| !plan.changes.contains_key(*name));
        // Once the accounts are open, which takes its time: what is due at once is not late from the start.
        let mut phases =
            Phases::new(config, runs_on.map(|(_, running)| &running.handle.subscriber));
        let beginnings = beginnings(candidates, &mut phases);
        phases.log();
        let ended = self.set_mailboxes(plan, state, &beginnings, &mut phases);
        self.start_loops(state, beginnings, dialers, &mut kept, &mut phases);
        ended
    }

    /// The targets that start, with the accounts and the phases that were kept.
    fn starting(
        &self,
        plan: &Plan,
        config: &Config,
        kept: &Kept,
        mut returning: BTreeMap<TargetName, Line>,
    ) -> Vec<Candidate> {
        let targets = plan.starts.iter().filter_map(|name| config.targets.get_key_value(name));
        let starting = targets.map(|(name, target)| {
            let line = returning
                .remove(name)
                .unwrap_or_else(|| Line::new(self.open_account(target, kept)));
            follow(&line.account, target, Change::default());
            let last_sent = line.account.read(|ledger, _| ledger.last_sent());
            let past = Past::of(target.interval, last_sent, Instant::now());
            Candidate { target: Arc::clone(target), line, past }
        });
        starting.collect()
    }

    /// Opens mailboxes and sets the subscribers of all of them; gives the loops of those that close.
    fn set_mailboxes(
        &self,
        plan: &Plan,
        state: &mut State,
        beginnings: &Beginnings,
        phases: &mut Phases,
    ) -> Vec<Task> {
        let closed = plan.closes.iter().filter_map(|id| state.mailboxes.remove(id));
        let ended = closed.map(|running| running.task).collect();
        let mut begun = Vec::new();
        for (id, parts) in &plan.mailboxes {
            let subscriber = |(name, part): &(TargetName, Part)| {
                let begun = beginnings.get(name).map(|beginning| &beginning.subscriber);
                let subscriber =
                    begun.or_else(|| state.targets.get(name).map(|it| &it.handle.subscriber))?;
                match part {
                    Part::Recipient => Some(Arc::clone(subscriber)),
                    Part::Sender => subscriber.in_sender_mailbox().map(Arc::new),
                }
            };
            let subscribers: Vec<Arc<Subscriber>> = parts.iter().filter_map(subscriber).collect();
            let opened = plan.opens.contains(id).then(|| {
                let (store, opens) = (self.store.clone(), first_login(&subscribers, phases));
                Arc::new(MailboxHandle::new(Arc::new(id.clone()), store, opens))
            });
            let known = state.mailboxes.get(id).map(|running| &running.mailbox);
            let Some(mailbox) = opened.as_ref().or(known) else { continue };
            let due = mailbox.due();
            if let Err(problem) = mailbox.set_subscribers(subscribers, &self.clients) {
                // The same options made a client a moment ago.
                error!(mailbox = %id, error = %problem, "cannot watch the mailbox");
            }
            match (opened, state.mailboxes.get(id)) {
                (Some(mailbox), _) => {
                    let task = self.begin_mailbox(&mailbox);
                    begun.push((Arc::clone(mailbox.id()), RunningMailbox { mailbox, task }));
                }
                (None, Some(RunningMailbox { mailbox, task })) if mailbox.due() < due => {
                    task.begin_by(mailbox.due(), &self.beginner);
                    // A login shows something of the ports of all who receive there.
                    for running in parts.iter().filter_map(|(name, _)| state.targets.get(name)) {
                        running.checking.begin_by(mailbox.due(), &self.beginner);
                    }
                }
                (None, _) => {}
            }
        }
        put_all(&mut state.mailboxes, begun);
        ended
    }

    /// The loop over a mailbox, which begins in time for what is due there first.
    fn begin_mailbox(&self, mailbox: &Arc<MailboxHandle>) -> Task {
        let (watched, visited) = (Arc::clone(mailbox), Arc::clone(mailbox));
        let run = move |cancel, _| Arc::clone(&watched).run(cancel);
        let hangs = move || visited.has_overrun();
        let named = Arc::clone(mailbox);
        let name = move || format!("the task of the mailbox {}", named.id());
        Task::put_off(mailbox.due(), &self.beginner, name, hangs, run)
    }

    /// Starts the loops of these targets.
    fn start_loops(
        &self,
        state: &mut State,
        beginnings: Beginnings,
        mut dialers: BTreeMap<TargetName, Dialer>,
        kept: &mut Kept,
        phases: &mut Phases,
    ) {
        let mut begun = Vec::new();
        for (name, Beginning { target, line, subscriber, first }) in beginnings {
            let Some(dialer) = dialers.remove(&name) else { continue };
            let Some(sender) = self.sender(state, &target, &line, &subscriber, dialer) else {
                continue;
            };
            let known = state.targets.get(&name).map(|running| &running.handle.checks);
            // A loop before it may be sending, or its end is to be noted.
            let is_new = known.is_none() && line.turn.available_permits() > 0;
            let now = Instant::now();
            let begins = |due: Instant| if is_new { due } else { now };
            let opens = sender.mailbox.as_ref().map_or(first, |mailbox| mailbox.due());
            let sending = sending::start(Arc::new(sender), first, begins(first), &self.beginner);
            let checks = known.map_or_else(|| kept.checks(&name), Arc::clone);
            checks.set_target(&target);
            let lacks_answers = checks.readings().lacks_answers();
            let first_round = phases.round(first, target.interval, lacks_answers);
            let account = Arc::clone(&line.account);
            let known = state.targets.get(&name).map(|running| &running.handle);
            let standing = Self::standing(&target, known, kept);
            let handle = TargetHandle { target, account, checks, standing, subscriber };
            // It takes in what a mail or a login shows of the ports.
            let begins = begins(first.min(first_round).min(opens));
            let checking = self.start_checks(&handle, first_round, begins);
            let asking = self.start_rounds(&handle);
            begun.push((name, Running { handle, line, sending, checking, asking }));
        }
        put_all(&mut state.targets, begun);
    }

    /// What sends the mails of a target; `None` if its mailbox or its server is in no plan, which is a bug.
    fn sender(
        &self,
        state: &State,
        target: &Arc<Target>,
        line: &Line,
        subscriber: &Arc<Subscriber>,
        dialer: Dialer,
    ) -> Option<Sender> {
        let mailbox = |id: &MailboxId| Some(Arc::clone(&state.mailboxes.get(id)?.mailbox));
        let sender_mailbox = target.sender_mailbox.as_deref().map(|side| side.mailbox_id());
        Some(Sender {
            target: Arc::clone(target),
            account: Arc::clone(&line.account),
            turn: Arc::clone(&line.turn),
            mailbox: match &target.receive {
                Some(side) => Some(mailbox(&side.mailbox_id())?),
                None => None,
            },
            subscriber: Arc::clone(subscriber),
            sender_mailbox: sender_mailbox.as_ref().and_then(mailbox),
            dialer,
            slots: Arc::clone(state.slots.get(&SlotKey::of(target))?),
            pace: Arc::clone(&self.pace),
            origin: Arc::clone(&self.origin),
        })
    }

    /// The rounds of checks of a target, apart from its mails.
    fn start_checks(&self, handle: &TargetHandle, first: Instant, begins: Instant) -> Task {
        let checker = Arc::new(handle.checker(&self.limiter, self.store.clone()));
        let (target, known) = (Arc::clone(&handle.target), checker.known());
        let name = move || format!("the checks of {}", target.name);
        Task::put_off(
            begins,
            &self.beginner,
            name,
            || false,
            move |cancel, start| {
                let checker = Arc::clone(&checker);
                async move {
                    let first = start.tick(first, checker.target.interval);
                    let known = if start == Start::First { known } else { checker.known() };
                    checker.run(first, known).with_cancellation_token(&cancel).await;
                }
            },
        )
    }
}

/// A map that is built in one go has no room that stays empty.
fn put_all<K: Ord, V>(map: &mut BTreeMap<K, V>, new: Vec<(K, V)>) {
    match map.is_empty() {
        true => *map = new.into_iter().collect(),
        false => map.extend(new),
    }
}

impl State {
    /// What runs now, for a plan.
    fn present(&self) -> Present {
        let targets = self.targets.iter();
        let is_idle = |running: &Running| running.sending.is_over();
        Present {
            targets: targets
                .clone()
                .map(|(name, running)| (name.clone(), Arc::clone(&running.handle.target)))
                .collect(),
            idle: targets
                .filter(|(_, running)| is_idle(running))
                .map(|(name, _)| name.clone())
                .collect(),
            mailboxes: self.mailboxes.keys().map(|id| MailboxId::clone(id)).collect(),
        }
    }
}

/// The targets that change: each keeps its account, and its phase as far as it can.
fn changed(plan: &Plan, config: &Config, state: &State) -> Vec<Candidate> {
    let now = Instant::now();
    let changed = plan.changes.iter().filter_map(|(name, change)| {
        let (target, running) = (config.targets.get(name)?, state.targets.get(name)?);
        let line = running.line.clone();
        follow(&line.account, target, *change);
        let due = line.first(running.handle.subscriber.next_send().unwrap_or(now), target.interval);
        let last_sent = line.account.read(|ledger, _| ledger.last_sent());
        let not_before = match Past::of(target.interval, last_sent, now) {
            Past::Phase(kept) => kept.not_before,
            Past::Overdue(_) | Past::Nothing => None,
        };
        let past = Past::Phase(Phase { due, not_before });
        Some(Candidate { target: Arc::clone(target), line, past })
    });
    changed.collect()
}

/// When a mailbox that nobody has looked into yet is opened.
fn first_login(subscribers: &[Arc<Subscriber>], phases: &mut Phases) -> Instant {
    let first_mail = subscribers.iter().filter_map(|subscriber| subscriber.next_send()).min();
    let interval = subscribers.iter().map(|subscriber| subscriber.target.interval).min();
    let wanted = subscribers.iter().map(|subscriber| wanted_by(&subscriber.account)).max();
    let first_mail = first_mail.unwrap_or_else(|| phases.now());
    phases.login(first_mail, interval.unwrap_or_default(), wanted.unwrap_or(Wanted::Nothing))
}

/// What a target wants of its mailbox before its first mail.
fn wanted_by(account: &Account) -> Wanted {
    let snapshot = account.snapshot();
    match snapshot.receive_ability {
        _ if snapshot.outstanding.value().is_some_and(|count| count > 0) => Wanted::Mail,
        _ if account.read(|ledger, _| ledger.last_sent()).is_none() => Wanted::Nothing,
        Reading::Unmeasured => Wanted::Measurement,
        _ => Wanted::Look,
    }
}

/// Has an account follow the configuration of its target.
fn follow(account: &Account, target: &Target, change: Change) {
    account.update(|ledger, now| ledger.set_rules(Rules::from(target), now));
    if change.moves {
        account.check_abandoned();
    }
    account.update(|ledger, now| ledger.measures(Servers::from(target), now));
    let sender_mailbox = target.sender_mailbox.as_deref().map(|side| side.mailbox_id().to_string());
    account.update(|ledger, _| ledger.visits(sender_mailbox.unwrap_or_default().into()));
    if change.ends_inspection || change.moves {
        account.forget_inspection();
    }
}

fn options(target: &Target) -> impl Iterator<Item = &TlsOptions> {
    let sides = target.mailboxes().map(|side| (&side.endpoint, Some(&side.login)));
    sides.chain([(&target.send.endpoint, target.send.login.as_ref())]).flat_map(
        |(endpoint, login)| {
            let own = (endpoint.tls != TlsMode::None).then_some(&*endpoint.tls_options);
            let provider = login.and_then(Login::oauth2).map(|provider| &provider.tls_options);
            own.into_iter().chain(provider)
        },
    )
}

#[cfg(test)]
mod tests;
