//! The running set: starts the targets, changes only what a reload changed, ends everything.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::account::Account;
use crate::account::history::Archive;
use crate::checks::rounds::Bench;
use crate::config::{Config, Login, MailboxId, Target, TargetName, TlsMode, TlsOptions};
use crate::descriptors::Need;
use crate::probing::mailbox::{Member, Watch};
use crate::probing::send::{Origin, Sender};
use crate::store::Store;
use kept::Kept;
use ledger::{Rules, Servers, StoredAccount};
use mail::net::tls::TlsClients;
use mail::oauth::{TokenStore, Tokens};
use mail::threads;
use mail::wire::{ConnectionContext, Dialer};
pub use reload::{ReloadError, ReloadState};
use sending::{LetGo, Line, rest_of_period};
use slots::{SlotKey, Slots};
use task::{Task, end};
use view::Subject;
pub use view::{Details, View};

mod kept;
mod reload;
mod sending;
mod slots;
mod task;
mod view;

/// The first probes are spread over this time, or over a period if that is shorter.
const SPREAD: Duration = Duration::from_secs(30);

/// The exporter at work.
pub struct Supervisor {
    /// Where the configuration is read again; `None`: it was made in memory.
    config_file: Option<PathBuf>,
    origin: Arc<Origin>,
    /// Where the accounts are kept; `None`: they end with the process.
    store: Option<Arc<Store>>,
    /// The transcripts of all targets.
    archive: Arc<Archive>,
    started: SystemTime,
    clients: ConnectionContext,
    bench: Arc<Bench>,
    /// Held for the whole of a change, so that two reloads do not mix.
    changing: tokio::sync::Mutex<()>,
    /// Once it is cancelled nothing starts any more.
    stopped: CancellationToken,
    state: Mutex<State>,
}

struct State {
    config: Arc<Config>,
    reload: ReloadState,
    targets: BTreeMap<TargetName, Running>,
    watches: BTreeMap<MailboxId, RunningWatch>,
    slots: Slots,
    let_go: LetGo,
}

struct Running {
    subject: Subject,
    line: Line,
    member: Arc<Member>,
    sending: Task,
    checking: Task,
}

struct RunningWatch {
    watch: Arc<Watch>,
    task: Task,
}

impl Supervisor {
    /// Puts a checked configuration to work, with accounts that end with the process. `config_file`
    /// is where a reload reads it again.
    ///
    /// # Errors
    /// [`ReloadError::Tls`].
    pub async fn start(
        config: Config,
        config_file: Option<PathBuf>,
        origin: Origin,
    ) -> Result<Arc<Self>, ReloadError> {
        Self::start_with(config, config_file, origin, None).await
    }

    /// The same with the accounts that the store has kept, and goes on keeping.
    ///
    /// # Errors
    /// [`ReloadError::Tls`].
    pub async fn start_with_store(
        config: Config,
        config_file: Option<PathBuf>,
        origin: Origin,
        store: Arc<Store>,
    ) -> Result<Arc<Self>, ReloadError> {
        Self::start_with(config, config_file, origin, Some(store)).await
    }

    async fn start_with(
        config: Config,
        config_file: Option<PathBuf>,
        origin: Origin,
        store: Option<Arc<Store>>,
    ) -> Result<Arc<Self>, ReloadError> {
        let now = SystemTime::now();
        let empty = Config { targets: BTreeMap::new(), ..config.clone() };
        let tokens = Tokens::new(store.clone().map(|store| store as Arc<dyn TokenStore>));
        let clients = ConnectionContext { tls: TlsClients::default(), tokens };
        let supervisor = Self {
            config_file,
            origin: Arc::new(origin),
            store,
            archive: Archive::new(Archive::MOST_BYTES),
            started: now,
            clients,
            bench: Arc::default(),
            changing: tokio::sync::Mutex::new(()),
            stopped: CancellationToken::new(),
            state: Mutex::new(State {
                config: Arc::new(empty),
                reload: ReloadState { is_successful: true, last_success: now },
                targets: BTreeMap::new(),
                watches: BTreeMap::new(),
                slots: Slots::new(),
                let_go: LetGo::default(),
            }),
        };
        supervisor.apply(config).await?;
        Ok(Arc::new(supervisor))
    }

    /// Reads the configuration again and changes what it changes: untouched targets keep their
    /// loops, changed ones keep their account and the mails under way. A send that is under way goes
    /// on by the old configuration, and what it comes to counts, also where the target is removed.
    ///
    /// # Errors
    /// See [`ReloadError`]; then nothing has changed but [`ReloadState::is_successful`].
    pub async fn reload(&self) -> Result<(), ReloadError> {
        let _changing = self.changing.lock().await;
        if self.stopped.is_cancelled() {
            return Err(ReloadError::Stopped);
        }
        let outcome = self.read_and_apply().await;
        let mut state = self.state();
        match &outcome {
            Ok(()) => {
                state.reload = ReloadState { is_successful: true, last_success: SystemTime::now() };
                info!(targets = state.targets.len(), "the configuration was reloaded");
            }
            Err(problem) => {
                state.reload.is_successful = false;
                error!(error = %problem, "the configuration was not reloaded, the old one stays");
            }
        }
        outcome
    }

    /// The running configuration.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.state().config)
    }

    /// How the newest reload went.
    pub fn reload_state(&self) -> ReloadState {
        self.state().reload
    }

    /// How often the store could not be written or read; 0 without one.
    pub fn store_errors(&self) -> u64 {
        self.store.as_ref().map_or(0, |store| store.errors())
    }

    /// Whether this system lets the exporter ping; `None` before the first.
    pub fn may_ping(&self) -> Option<bool> {
        self.bench.may_ping()
    }

    /// When the exporter started.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// Ends every loop and its sessions, within three seconds whatever the servers do, and has the
    /// rest written to the store, within another. A send that is under way has these three seconds to
    /// learn what becomes of its mail.
    pub async fn stop(&self) {
        self.stopped.cancel();
        let _changing = self.changing.lock().await;
        let tasks: Vec<Task> = {
            let mut state = self.state();
            let targets = std::mem::take(&mut state.targets).into_values();
            let watches = std::mem::take(&mut state.watches).into_values();
            let let_go = std::mem::take(&mut state.let_go).into_tasks();
            let loops = targets.flat_map(|running| [running.sending, running.checking]);
            loops.chain(watches.map(|watch| watch.task)).chain(let_go).collect()
        };
        end(tasks).await;
        if let Some(store) = &self.store {
            store.committed().await;
        }
    }

    async fn read_and_apply(&self) -> Result<(), ReloadError> {
        let path = self.config_file.clone().ok_or(ReloadError::NoFile)?;
        let config = threads::run(move || Config::load_again(&path)).await;
        let config = config??;
        let short = Need::of(&config).warning(mail::descriptors::limit());
        for warning in config.warnings().into_iter().chain(short) {
            warn!("{warning}");
        }
        if config.state_dir != self.config().state_dir {
            warn!("another state_dir takes a restart; the exporter goes on with the one it has");
        }
        self.apply(config).await
    }

    /// Everything that can fail comes before the first change.
    async fn apply(&self, config: Config) -> Result<(), ReloadError> {
        let mut dialers = BTreeMap::new();
        for (name, target) in &config.targets {
            let failed = |source| ReloadError::Tls { target: name.clone(), source };
            Dialer::new(&target.receive.endpoint, Some(&target.receive.login), &self.clients)
                .map_err(failed)?;
            if let Some(side) = &target.sender_mailbox {
                let failed = |source| ReloadError::Tls { target: name.clone(), source };
                Dialer::new(&side.endpoint, Some(&side.login), &self.clients).map_err(failed)?;
            }
            let dialer =
                Dialer::new(&target.send.endpoint, target.send.login.as_ref(), &self.clients);
            let failed = |source| ReloadError::Tls { target: name.clone(), source };
            dialers.insert(name.clone(), dialer.map_err(failed)?);
        }
        let ended = self.take_changed(&config);
        end(ended).await;
        let returning = self.returning(&config);
        let kept = self.load_new(&config).await;
        let config = Arc::new(config);
        let ended = self.arrange(&config, dialers, kept, returning);
        end(ended).await;
        self.clients.tls.keep_only(config.targets.values().flat_map(|target| options(target)));
        Ok(())
    }

    /// Takes out the loops of targets that are gone or changed, and lets their sending go.
    fn take_changed(&self, config: &Config) -> Vec<Task> {
        let mut state = self.state();
        let state = &mut *state;
        state.let_go.forget_ended();
        let mut ended = Vec::new();
        let mut kept = BTreeMap::new();
        for (name, mut running) in std::mem::take(&mut state.targets) {
            match config.targets.get(&name) {
                Some(target) if *target == running.subject.target => {
                    kept.insert(name, running);
                }
                Some(_) => {
                    let sending = std::mem::replace(&mut running.sending, Task::ended());
                    state.let_go.take(&name, &running.line, sending);
                    ended.push(std::mem::replace(&mut running.checking, Task::ended()));
                    kept.insert(name, running);
                }
                None => {
                    state.let_go.take(&name, &running.line, running.sending);
                    ended.push(running.checking);
                }
            }
        }
        state.targets = kept;
        ended
    }

    /// The accounts of targets that come back while their last send is still under way: taken before the
    /// store is read, which does not know yet what becomes of it.
    fn returning(&self, config: &Config) -> BTreeMap<TargetName, Line> {
        let mut state = self.state();
        let names = config.targets.keys().filter(|name| !state.targets.contains_key(*name));
        let names: Vec<TargetName> = names.cloned().collect();
        let lines = names.into_iter().filter_map(|name| {
            let line = state.let_go.line(&name)?;
            Some((name, line))
        });
        lines.collect()
    }

    /// Starts what is new, and tells each watch whom it works for; gives the watches that nobody
    /// needs any more.
    fn arrange(
        &self,
        config: &Arc<Config>,
        mut dialers: BTreeMap<TargetName, Dialer>,
        mut kept: Kept,
        mut returning: BTreeMap<TargetName, Line>,
    ) -> Vec<Task> {
        let mut state = self.state();
        let state = &mut *state;
        state.config = Arc::clone(config);
        let slots = slots::arrange(config, &state.slots);
        let now = Instant::now();
        let news = config.targets.keys().filter(|name| !state.targets.contains_key(*name)).count();
        let mut starts = BTreeMap::new();
        let mut spread = 0_u32;
        for (name, target) in &config.targets {
            let line;
            let first;
            match state.targets.get(name) {
                Some(running) if running.subject.target == *target => continue,
                Some(running) => {
                    // A changed target keeps its account, and its phase as far as it can.
                    line = running.line.clone();
                    line.account.set_rules(Rules::from(target.as_ref()));
                    let before = running.subject.target.receive.mailbox_id();
                    if before != target.receive.mailbox_id() {
                        // Nobody tells any more what becomes of the check there.
                        line.account.check_abandoned();
                    }
                    line.account.measures(Servers::from(target.as_ref()));
                    if !target.inspect {
                        line.account.forget_inspection();
                    }
                    let due = running.member.next_send().unwrap_or(now);
                    first = line.first(due, target.interval);
                }
                None => {
                    line = returning.remove(name).unwrap_or_else(|| {
                        let stored = kept.accounts.remove(name).unwrap_or_default();
                        Line::new(self.open_account(target, &stored))
                    });
                    line.account.set_rules(Rules::from(target.as_ref()));
                    line.account.measures(Servers::from(target.as_ref()));
                    let share =
                        target.interval.min(SPREAD) / u32::try_from(news).unwrap_or(u32::MAX);
                    first = now
                        + rest_of_period(target, line.account.last_sent())
                            .unwrap_or(share * spread);
                    spread += 1;
                }
            }
            let account = Arc::clone(&line.account);
            let member = Arc::new(Member::new(Arc::clone(target), account, first));
            starts.insert(name.clone(), (Arc::clone(target), line, member, first));
        }
        let mut members: BTreeMap<MailboxId, Vec<Arc<Member>>> = BTreeMap::new();
        for (name, target) in &config.targets {
            let started = starts.get(name).map(|(_, _, member, _)| member);
            let member = started.or(state.targets.get(name).map(|running| &running.member));
            let id = target.receive.mailbox_id();
            members.entry(id).or_default().extend(member.cloned());
            if let Some(side) = &target.sender_mailbox {
                let sender = member.and_then(|member| member.in_sender_mailbox()).map(Arc::new);
                members.entry(side.mailbox_id()).or_default().extend(sender);
            }
        }
        let ended = self.set_watches(state, members);
        let count = u32::try_from(starts.len()).unwrap_or(u32::MAX);
        let mut first_round = now;
        for (name, (target, line, member, first)) in starts {
            let Some(watch) = state.watches.get(&target.receive.mailbox_id()) else { continue };
            let Some(dialer) = dialers.remove(&name) else { continue };
            let Some(connections) = slots.get(&SlotKey::of(&target)) else { continue };
            let sender = Sender {
                target: Arc::clone(&target),
                account: Arc::clone(&line.account),
                turn: Arc::clone(&line.turn),
                watch: Arc::clone(&watch.watch),
                member: Arc::clone(&member),
                sender_watch: sender_watch(state, &target),
                dialer,
                slots: Arc::clone(connections),
                origin: Arc::clone(&self.origin),
            };
            let sending = sending::start(Arc::new(sender), first);
            let known = state.targets.get(&name).map(|running| &running.subject.checks);
            let checks = known.map_or_else(|| kept.checks(&name), Arc::clone);
            let subject = Subject { target, account: Arc::clone(&line.account), checks };
            let spread = subject.target.interval.min(SPREAD);
            // Between two mails: a server may count the connections of one client.
            let checking = self.start_checks(&subject, first_round + spread / 2);
            first_round += spread / count;
            state.targets.insert(name, Running { subject, line, member, sending, checking });
        }
        state.slots = slots;
        ended
    }

    /// The rounds of checks of a target, apart from its mails.
    fn start_checks(&self, subject: &Subject, first: Instant) -> Task {
        subject.checks.set_target(&subject.target);
        let checker = Arc::new(subject.checker(&self.bench, self.store.clone()));
        Task::spawn(format!("the checks of {}", checker.target.name), move |cancel, start| {
            let checker = Arc::clone(&checker);
            async move {
                let first = start.tick(first, checker.target.interval);
                cancel.run_until_cancelled(checker.run(first)).await;
            }
        })
    }

    fn open_account(&self, target: &Target, stored: &StoredAccount) -> Account {
        let (name, rules) = (target.name.clone(), Rules::from(target));
        let account = match &self.store {
            Some(store) => Account::restore(name, rules, stored, Arc::clone(store)),
            None => Account::new(name, rules),
        };
        account.with_archive(Arc::clone(&self.archive))
    }

    fn set_watches(
        &self,
        state: &mut State,
        members: BTreeMap<MailboxId, Vec<Arc<Member>>>,
    ) -> Vec<Task> {
        let (used, unused): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut state.watches)
            .into_iter()
            .partition(|(id, _)| members.contains_key(id));
        state.watches = used;
        for (id, members) in members {
            let running = state.watches.entry(id.clone()).or_insert_with(|| {
                let watch = Arc::new(Watch::new(id.clone(), self.store.clone()));
                let watched = Arc::clone(&watch);
                let visited = Arc::clone(&watch);
                let run = move |cancel, _| Arc::clone(&watched).run(cancel);
                let hangs = move || visited.has_overrun();
                let task = Task::spawn_watched(format!("the watch over {id}"), hangs, run);
                RunningWatch { watch, task }
            });
            if let Err(problem) = running.watch.set_members(members, &self.clients) {
                // The same options made a client a moment ago.
                error!(mailbox = %id, error = %problem, "the mailbox cannot be watched");
            }
        }
        unused.into_values().map(|watch| watch.task).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Between two changes the state is whole; a panic inside one would be a bug seen at once.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sender_watch(state: &State, target: &Target) -> Option<Arc<Watch>> {
    let id = target.sender_mailbox.as_ref()?.mailbox_id();
    state.watches.get(&id).map(|running| Arc::clone(&running.watch))
}

fn options(target: &Target) -> impl Iterator<Item = &TlsOptions> {
    let mailboxes = [Some(&target.receive), target.sender_mailbox.as_ref()].into_iter().flatten();
    let sides = mailboxes.map(|side| (&side.endpoint, Some(&side.login)));
    sides.chain([(&target.send.endpoint, target.send.login.as_ref())]).flat_map(
        |(endpoint, login)| {
            let own = (endpoint.tls != TlsMode::None).then_some(&endpoint.tls_options);
            let provider = login.and_then(Login::oauth2).map(|provider| &provider.tls_options);
            own.into_iter().chain(provider)
        },
    )
}
