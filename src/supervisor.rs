//! The running set: starts the targets, changes only what a reload changed, ends everything.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::account::Account;
use crate::account::history::Archive;
use crate::clock;
use crate::config::{Config, Inputs, MailboxId, TargetName};
use crate::descriptors::Need;
use crate::layers::rounds::CheckLimiter;
use crate::probing::lag::Lag;
use crate::probing::mailbox::MailboxHandle;
use crate::probing::pace::Pace;
use crate::probing::send::Origin;
use crate::standing::domains::Domains;
use crate::standing::limiter::Limiter;
use crate::store::Store;
use beginner::Beginner;
use mail::net::tls::TlsClients;
use mail::oauth::{TokenStore, Tokens};
use mail::wire::ConnectionContext;
use reader::Reader;
pub use reload::{ReloadError, ReloadState};
use sending::{LetGo, Line};
use slots::Slots;
use task::{Task, end};
use view::NewestViews;
pub use view::{Details, TargetHandle, View, Views};

mod beginner;
mod keeping;
mod kept;
mod phases;
mod plan;
mod reader;
mod reconcile;
mod reload;
mod sending;
pub(crate) mod slots;
mod standing;
mod starts;
mod task;
mod view;

/// The exporter at work.
pub struct Supervisor {
    /// Where the configuration is read again; `None`: it was made in memory.
    config_file: Option<PathBuf>,
    reader: Reader,
    origin: Arc<Origin>,
    /// Where the accounts are kept; `None`: they end with the process.
    store: Option<Arc<Store>>,
    /// The transcripts of all targets.
    archive: Arc<Archive>,
    started: SystemTime,
    clients: ConnectionContext,
    limiter: Arc<CheckLimiter>,
    lists: Arc<Limiter>,
    domains: Arc<Domains>,
    pace: Arc<Pace>,
    /// Held for the whole of a change, so that two reloads do not mix.
    changing: tokio::sync::Mutex<()>,
    /// Once it is cancelled nothing starts any more.
    stopped: CancellationToken,
    state: Mutex<State>,
    newest_views: NewestViews,
    beginner: Arc<Beginner>,
}

struct State {
    config: Arc<Config>,
    /// What the newest reload has read, whether it held or not; `None`: something else has kept it from being
    /// put to work.
    inputs: Option<Inputs>,
    reload: ReloadState,
    targets: BTreeMap<TargetName, Running>,
    mailboxes: BTreeMap<Arc<MailboxId>, RunningMailbox>,
    slots: Slots,
    let_go: LetGo,
}

struct Running {
    handle: TargetHandle,
    line: Line,
    sending: Task,
    checking: Task,
    /// Of lists and domains; `None` if none are asked.
    asking: Option<Task>,
}

struct RunningMailbox {
    mailbox: Arc<MailboxHandle>,
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
        let now = clock::wall();
        let inputs = Some(config.inputs.clone());
        let empty = Config { targets: BTreeMap::new(), ..config.clone() };
        let tokens = Tokens::new(store.clone().map(|store| store as Arc<dyn TokenStore>));
        let clients = ConnectionContext { tls: TlsClients::default(), tokens };
        let supervisor = Self {
            config_file,
            reader: Reader::default(),
            origin: Arc::new(origin),
            store,
            archive: Archive::new(Archive::MOST_BYTES),
            started: now,
            clients,
            limiter: Arc::default(),
            lists: Arc::default(),
            domains: Arc::default(),
            pace: Arc::new(Pace::new(config.max_concurrent_probes)),
            changing: tokio::sync::Mutex::new(()),
            stopped: CancellationToken::new(),
            state: Mutex::new(State {
                config: Arc::new(empty),
                inputs,
                reload: ReloadState { is_successful: true, last_success: now },
                targets: BTreeMap::new(),
                mailboxes: BTreeMap::new(),
                slots: Slots::new(),
                let_go: LetGo::default(),
            }),
            newest_views: NewestViews::default(),
            beginner: Arc::default(),
        };
        supervisor.begin_loops();
        supervisor.apply(config).await?;
        let supervisor = Arc::new(supervisor);
        supervisor.start_keeping();
        // The time of a simulation waits for everybody.
        if !clock::is_simulated() {
            supervisor.watch_own_lateness();
        }
        Ok(supervisor)
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
                state.reload = ReloadState { is_successful: true, last_success: clock::wall() };
                info!(targets = state.targets.len(), "the configuration was reloaded");
            }
            Err(problem) => {
                state.reload.is_successful = false;
                if problem.may_pass() {
                    state.inputs = None;
                }
                problem.log();
            }
        }
        outcome
    }

    /// Puts another configuration to work, as a reload that has read it.
    ///
    /// # Errors
    /// [`ReloadError::Tls`], [`ReloadError::Stopped`].
    #[cfg(feature = "simulation")]
    pub async fn change_to(&self, config: Config) -> Result<(), ReloadError> {
        let _changing = self.changing.lock().await;
        if self.stopped.is_cancelled() {
            return Err(ReloadError::Stopped);
        }
        self.apply(config).await
    }

    /// Reloads if a file that the newest reload has read is another by now. One that has failed for what is in
    /// the files is not repeated before.
    pub async fn reload_if_changed(&self) {
        let inputs = self.state().inputs.clone();
        let is_due = move || inputs.is_none_or(|inputs| inputs.have_changed());
        if self.reader.sees_change(is_due).await {
            info!(
                "the files of the configuration have changed, or could not be put to work before"
            );
            // It logs how it went.
            drop(self.reload().await);
        }
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
        self.limiter.may_ping()
    }

    /// How late the exporter itself is.
    pub fn lag(&self) -> &Lag {
        &self.pace.lag
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
        let (tasks, accounts) = {
            let mut state = self.state();
            let targets = std::mem::take(&mut state.targets);
            let accounts: Vec<Arc<Account>> =
                targets.values().map(|running| Arc::clone(&running.line.account)).collect();
            let targets = targets.into_values();
            let mailboxes = std::mem::take(&mut state.mailboxes).into_values();
            let let_go = std::mem::take(&mut state.let_go).into_tasks();
            let loops = targets.flat_map(|running| {
                [running.sending, running.checking].into_iter().chain(running.asking)
            });
            let tasks = loops.chain(mailboxes.map(|mailbox| mailbox.task)).chain(let_go);
            (tasks.collect(), accounts)
        };
        // Also before what may take the time that is left.
        accounts.iter().for_each(|account| account.keep_availability());
        end(tasks).await;
        accounts.iter().for_each(|account| account.keep_availability());
        if let Some(store) = &self.store {
            store.committed().await;
        }
    }

    /// Begins the loops of targets and mailboxes when they are due, as long as it is at work.
    fn begin_loops(&self) {
        let beginner = Arc::clone(&self.beginner);
        let begin = async move { beginner.run().await };
        tokio::spawn(self.stopped.clone().run_until_cancelled_owned(begin));
    }

    /// As long as it is at work.
    fn watch_own_lateness(&self) {
        let pace = Arc::clone(&self.pace);
        let watch = async move { pace.lag.watch().await };
        tokio::spawn(self.stopped.clone().run_until_cancelled_owned(watch));
    }

    async fn read_and_apply(&self) -> Result<(), ReloadError> {
        let path = self.config_file.clone().ok_or(ReloadError::NoFile)?;
        let config = tokio::select! {
            config = self.reader.read(move || Config::load_again(&path)) => config?,
            () = self.stopped.cancelled() => return Err(ReloadError::Stopped),
        };
        self.state().inputs = Some(match &config {
            Ok(config) => config.inputs.clone(),
            Err(problems) => problems.inputs().clone(),
        });
        let (config, running) = (config?, self.config());
        if config.targets.is_empty() && running.targets.len() + running.in_other_shards > 0 {
            return Err(ReloadError::NoTargets);
        }
        let config = config.part_of(running.shard);
        let short = Need::of(&config).warning(mail::descriptors::limit());
        for warning in config.warnings().into_iter().chain(short) {
            warn!("{warning}");
        }
        if config.state_dir != running.state_dir {
            warn!(
                "a changed state_dir takes effect after a restart; the exporter continues with \
                   the present one"
            );
        }
        self.apply(config).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Between two changes the state is whole; a panic inside one would be a bug seen at once.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use ledger::Token;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn files_that_hang_hold_up_neither_a_reload_for_ever_nor_the_end() {
        let yaml = "targets: [{name: one, host: h, from: a@b.example, to: a@b.example, receive: \
                    {protocol: imap, username: u, password: p}}]";
        let config = Config::parse(yaml, Path::new("test.yml")).unwrap();
        let config = Config { targets: BTreeMap::new(), ..config };
        let origin = Origin { instance: Token::random(), host: None };
        let file = Some(PathBuf::from("test.yml"));
        let supervisor = Supervisor::start(config, file, origin).await.unwrap();
        let _hanging = supervisor.reader.hang().await;
        assert!(matches!(supervisor.reload().await, Err(ReloadError::NotRead(_))));
        let (reload, began) = (supervisor.reload(), Instant::now());
        let end = async {
            tokio::task::yield_now().await;
            supervisor.stop().await;
        };
        let (outcome, ()) = tokio::join!(reload, end);
        assert!(matches!(outcome, Err(ReloadError::Stopped)));
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
