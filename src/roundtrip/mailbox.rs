//! Looking into the mailbox for one mail, by either protocol.

use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep_until};

use crate::clock::for_timer;
use crate::config::{Folder, Protocol, ReceiveSide};
use crate::probing::mailbox::{Inspector, Judge, Looked, Preparation, Since, imap, pop3};
use ledger::Failure;
use ledger::LoginDelay;
use ledger::LookStyle;
use mail::outer::{MARGIN, enforced};
use mail::trace::{Event, Trace};
use mail::wire::Dialer;

/// Looks further apart than this are bridged by IDLE.
const IDLE_GAP: Duration = Duration::from_millis(500);

/// How often the folders beside the first are looked into: somebody is waiting.
const OTHER_FOLDERS: Duration = Duration::from_secs(2);
/// How often in a row a removal may bring up more that is to be taken out.
const REMOVAL_ROUNDS: usize = 3;
/// How long the farewell to a session may take.
const FAREWELL: Duration = Duration::from_secs(3);

/// The mailbox of the target, or that of its sender.
pub(super) struct Mailbox<'a> {
    side: &'a ReceiveSide,
    dialer: Dialer,
    observer: Option<UnboundedSender<Event>>,
    /// How long one check or look may take.
    longest: Duration,
    /// When every dialogue must be over.
    end: Instant,
    /// How long a mail of the target is waited for, and a left-over stays.
    lost_after: Duration,
    /// The held IMAP session. It is taken out while it is used, so that one that fails is gone.
    session: Option<imap::Session>,
    /// The POP3 session of the next look.
    preparation: Preparation,
    everywhere_looked_at: Instant,
    imap: imap::Memory,
    pop3: pop3::Memory,
    /// The record of the newest session.
    trace: Trace,
}

impl<'a> Mailbox<'a> {
    /// What happens there is told to the `observer`, if there is one.
    pub(super) fn new(
        side: &'a ReceiveSide,
        dialer: Dialer,
        observer: Option<UnboundedSender<Event>>,
        end: Instant,
        longest: Duration,
        lost_after: Duration,
    ) -> Self {
        let looks_by_session = side.protocol.look_style() == LookStyle::Session;
        let dialer = if looks_by_session { dialer.keeping_sessions() } else { dialer };
        Self {
            side,
            dialer,
            observer,
            end,
            longest,
            lost_after,
            session: None,
            preparation: Preparation::default(),
            everywhere_looked_at: Instant::now(),
            imap: imap::Memory::default(),
            pop3: pop3::Memory::default(),
            trace: Trace::new(None),
        }
    }

    pub(super) fn style(&self) -> LookStyle {
        self.side.protocol.look_style()
    }

    /// The record of the newest session.
    pub(super) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What else there is to know of the mailbox, in sentences; each is given once.
    pub(super) fn take_remarks(&mut self) -> Vec<String> {
        self.imap.take_remarks()
    }

    /// Whether a junk folder that is configured by its use is not there.
    pub(super) fn lacks_junk_folder(&self) -> bool {
        self.imap.lacks_junk_folder()
    }

    /// The least time between the beginnings of two looks.
    pub(super) fn least_gap(&self) -> Duration {
        self.side.min_look_interval.max(self.pop3.login_delay.kept())
    }

    /// What the server asks for between two logins.
    pub(super) fn login_delay(&self) -> LoginDelay {
        self.pop3.login_delay
    }

    /// Where each look is a login: no look before this time.
    pub(super) fn earliest_login(&self) -> Option<Instant> {
        self.pop3.looked_at().map(|at| for_timer(at) + self.least_gap())
    }

    /// A fresh login and a look everywhere.
    ///
    /// # Errors
    /// The first step that fails.
    pub(super) async fn check(&mut self, judge: &mut Judge<'_>) -> Result<Looked, Failure> {
        let (began, until) = self.limits();
        let checked = enforced(until, self.check_once(judge)).await;
        checked.unwrap_or_else(|| Err(self.trace.overrun(began.elapsed())))
    }

    async fn check_once(&mut self, judge: &mut Judge<'_>) -> Result<Looked, Failure> {
        match &self.side.protocol {
            Protocol::Imap { .. } => {
                self.open_imap(judge).await?;
                Ok(self.remove(judge).await)
            }
            Protocol::Pop3 => self.look_pop3(true, judge).await,
        }
    }

    /// Looks for what is new, over a fresh session where there is none, and takes out what is ours.
    /// `told` is when the server said that something is new, if it did; the `is_last` look leaves out
    /// no folder.
    ///
    /// # Errors
    /// The first step that fails; the removal apart, see [`Looked`].
    pub(super) async fn look(
        &mut self,
        told: Option<Instant>,
        is_last: bool,
        judge: &mut Judge<'_>,
    ) -> Result<Looked, Failure> {
        let (began, until) = self.limits();
        let looked = enforced(until, self.look_once(told, is_last, judge)).await;
        looked.unwrap_or_else(|| Err(self.trace.overrun(began.elapsed())))
    }

    async fn look_once(
        &mut self,
        told: Option<Instant>,
        is_last: bool,
        judge: &mut Judge<'_>,
    ) -> Result<Looked, Failure> {
        if self.style() == LookStyle::Session {
            return self.look_pop3(false, judge).await;
        }
        match self.session.take() {
            Some(mut session) => {
                let since = Since::all(SystemTime::now());
                if is_last || self.everywhere_looked_at.elapsed() >= OTHER_FOLDERS {
                    session.look_everywhere(&mut self.imap, since, judge).await?;
                    self.everywhere_looked_at = Instant::now();
                } else {
                    session.look(&mut self.imap, told, false, since, judge).await?;
                }
                session.trace().finish();
                self.session = Some(session);
            }
            None => self.open_imap(judge).await?,
        }
        Ok(self.remove(judge).await)
    }

    /// Makes ready what the look at `wake` needs, so that it lasts no longer than its question: where
    /// each look is a session, all of that but the login.
    pub(super) async fn prepare(&mut self, wake: Instant) {
        if self.style() != LookStyle::Session {
            return;
        }
        let Some(begin) = self.preparation.due(wake) else { return };
        sleep_until(begin).await;
        let trace = Trace::with_observer(Some(&self.side.login), self.observer.clone());
        let login = &self.side.login;
        // What fails here fails in the look as well, which tells it.
        let _ = self.preparation.make(&self.dialer, login, trace, self.end, wake).await;
    }

    /// Waits until `wake`, in IDLE where the wait is long and the server able; the time at which the
    /// server told of new mail, if it did.
    ///
    /// # Errors
    /// The connection's.
    pub(super) async fn wait(&mut self, wake: Instant) -> Result<Option<Instant>, Failure> {
        let is_long = wake.saturating_duration_since(Instant::now()) >= IDLE_GAP;
        match self.session.take() {
            Some(mut session) if is_long && session.can_idle() => {
                let (began, interrupt) = (Instant::now(), Notify::new());
                // The end of IDLE is answered within this time, or not at all.
                let end = wake + self.side.endpoint.timeout + MARGIN;
                let told = enforced(end, session.idle(wake, &interrupt)).await;
                let told = told.unwrap_or_else(|| Err(self.trace.overrun(began.elapsed())))?;
                self.session = Some(session);
                Ok(told)
            }
            session => {
                self.session = session;
                self.prepare(wake).await;
                sleep_until(wake).await;
                Ok(None)
            }
        }
    }

    /// Ends the session.
    pub(super) async fn close(&mut self) {
        self.preparation.discard();
        if let Some(session) = self.session.take() {
            let _ = enforced(Instant::now() + FAREWELL, session.close()).await;
        }
    }

    async fn open_imap(&mut self, judge: &mut Judge<'_>) -> Result<(), Failure> {
        let Protocol::Imap { folders } = &self.side.protocol else { return Ok(()) };
        // The inbox, as the first, is the folder that stays selected.
        let mut folders = folders.clone();
        folders.sort_by_key(|folder| *folder != Folder::Name("INBOX".into()));
        let trace = self.fresh_trace();
        let login = &self.side.login;
        let mut session =
            imap::Session::open(&self.dialer, login, &folders, &[], trace.clone(), self.end)
                .await?;
        let since = self.since();
        session.look_everywhere(&mut self.imap, since, judge).await?;
        self.everywhere_looked_at = Instant::now();
        trace.finish();
        self.session = Some(session);
        Ok(())
    }

    /// The mail is not older than this moment; of older ones only left-overs matter.
    fn since(&self) -> Since {
        let now = SystemTime::now();
        let left_overs = now.checked_sub(self.lost_after * 2).unwrap_or(SystemTime::UNIX_EPOCH);
        Since { ours: Some(now), left_overs }
    }

    async fn remove(&mut self, judge: &mut Judge<'_>) -> Looked {
        let mut looked = Looked::default();
        let Some(mut session) = self.session.take() else { return looked };
        for _ in 0..REMOVAL_ROUNDS {
            if !session.has_to_remove(&self.imap, true) {
                break;
            }
            let since = Since::all(SystemTime::now());
            let removed =
                session.remove(&mut self.imap, &Inspector::default(), true, since, judge).await;
            if let Err(not_removed) = removed {
                if matches!(not_removed, imap::NotRemoved::Refused(_)) {
                    self.session = Some(session);
                }
                looked.removal_failure = Some(not_removed.into());
                return looked;
            }
            session.trace().finish();
        }
        self.session = Some(session);
        looked
    }

    async fn look_pop3(
        &mut self,
        is_check: bool,
        judge: &mut Judge<'_>,
    ) -> Result<Looked, Failure> {
        let prepared = if is_check { None } else { self.preparation.take() };
        let trace = match &prepared {
            Some(prepared) => {
                self.trace = prepared.trace().clone();
                self.trace.clone()
            }
            None => self.fresh_trace(),
        };
        self.preparation.begin_anew();
        let began = self.since();
        // The check sees the certificate.
        let dialer = if is_check { self.dialer.clone() } else { self.dialer.resuming() };
        let busy_until = Instant::now() + self.side.endpoint.timeout;
        let login = &self.side.login;
        let pop3 = pop3::log_in(&dialer, login, prepared, &trace, self.end, busy_until).await?;
        let since = &|| began;
        let session = pop3::Session::look(pop3, &mut self.pop3, since, is_check, judge).await?;
        let looked = session.remove_and_close(&mut self.pop3).await;
        trace.finish();
        Ok(looked)
    }

    /// Now, and until when a check or a look may take.
    fn limits(&self) -> (Instant, Instant) {
        let now = Instant::now();
        (now, self.end.min(now + self.longest) + MARGIN)
    }

    fn fresh_trace(&mut self) -> Trace {
        self.trace = Trace::with_observer(Some(&self.side.login), self.observer.clone());
        self.trace.clone()
    }
}
