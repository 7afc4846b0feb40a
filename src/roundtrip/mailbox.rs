//! Looking into the mailbox for one mail.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep_until};

use crate::config::{Protocol, ReceiveSide};
use crate::probing::mailbox::reader::{MailboxAccess, MailboxReader, Scope, Visit, inbox_first};
use crate::probing::mailbox::{Inspector, Judge, Looked, Since};
use ledger::Failure;
use ledger::LoginDelay;
use ledger::SessionKind;
use ledger::Token;
use mail::outer::{MARGIN, enforced};
use mail::trace::{Event, Trace};
use mail::wire::Dialer;

/// How often the folders beside the first are looked into: somebody is waiting.
const OTHER_FOLDERS: Duration = Duration::from_secs(2);
/// How often in a row a removal may bring up more that is to be taken out.
const REMOVAL_ROUNDS: usize = 3;

/// The mailbox of the target, or that of its sender.
pub(super) struct Mailbox<'a> {
    side: &'a ReceiveSide,
    access: MailboxAccess,
    reader: MailboxReader,
    observer: Option<UnboundedSender<Event>>,
    /// How long one check or look may take.
    longest: Duration,
    /// When every dialogue must be over.
    end: Instant,
    /// How long a mail of the target is waited for, and a left-over stays.
    lost_after: Duration,
    everywhere_looked_at: Instant,
    /// The record of the newest session.
    trace: Trace,
    /// Keeps the header of the mail of this probe.
    inspector: Inspector,
    /// Held while mails are taken out, where others do so at the same time.
    removal: Option<Arc<Mutex<()>>>,
}

impl<'a> Mailbox<'a> {
    /// The `observer`, if any, receives the events.
    pub(super) fn new(
        side: &'a ReceiveSide,
        dialer: Dialer,
        observer: Option<UnboundedSender<Event>>,
        end: Instant,
        longest: Duration,
        lost_after: Duration,
    ) -> Self {
        let protocol = side.protocol.with_folders(|folders| {
            let mut folders = folders.to_vec();
            inbox_first(&mut folders);
            folders.into()
        });
        let dialer = match protocol {
            Protocol::Pop3 => dialer.keeping_sessions(),
            Protocol::Imap { .. } | Protocol::Jmap { .. } => dialer,
        };
        let (login, timeout) = (side.login.clone(), side.endpoint.timeout);
        let copy_folders = Vec::new();
        Self {
            side,
            access: MailboxAccess {
                dialer,
                login,
                protocol,
                copy_folders,
                timeout,
                reads_stamps: false,
            },
            reader: MailboxReader::default(),
            observer,
            end,
            longest,
            lost_after,
            everywhere_looked_at: Instant::now(),
            trace: Trace::new(None),
            inspector: Inspector::default(),
            removal: None,
        }
    }

    /// The same, which keeps the header of the mail with this token.
    pub(super) fn keeping_header_of(self, token: Token) -> Self {
        Self { inspector: Inspector::keeping(token), ..self }
    }

    /// The same, which reads whether a mail has left, where an answer is waited for.
    pub(super) fn reading_stamps(mut self, reads: bool) -> Self {
        self.access.reads_stamps = reads;
        self
    }

    /// The header that was kept, if the mail was there.
    pub(super) fn take_header(&self) -> Option<Vec<u8>> {
        self.inspector.take_kept()
    }

    /// The same, where others take mails out of it at the same time.
    pub(super) fn sharing_removal(self, removal: Option<Arc<Mutex<()>>>) -> Self {
        Self { removal, ..self }
    }

    pub(super) fn session_kind(&self) -> SessionKind {
        self.access.session_kind()
    }

    /// The record of the newest session.
    pub(super) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What else there is to know of the mailbox, in sentences; each is given once.
    pub(super) fn take_remarks(&mut self) -> Vec<String> {
        self.reader.take_remarks()
    }

    /// Whether a junk folder that is configured by its use is not there.
    pub(super) fn lacks_junk_folder(&self) -> bool {
        self.reader.lacks_junk_folder()
    }

    /// The least time between the beginnings of two looks.
    pub(super) fn least_gap(&self) -> Duration {
        self.side.min_look_interval.max(self.reader.login_delay().kept())
    }

    /// What the server asks for between two logins.
    pub(super) fn login_delay(&self) -> LoginDelay {
        self.reader.login_delay()
    }

    /// Where each look is a login: no look before this time.
    pub(super) fn earliest_login(&self) -> Option<Instant> {
        self.reader.last_login().map(|at| at + self.least_gap())
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
        self.trace = self.fresh_trace();
        self.open(true, judge).await?;
        Ok(self.remove(judge).await)
    }

    /// Looks for what is new, over a fresh session where none is held, and takes out what is ours.
    /// `announced` is when the server said that something is new, if it did; the `is_last` look leaves out
    /// no folder.
    ///
    /// # Errors
    /// The first step that fails; the removal apart, see [`Looked`].
    pub(super) async fn look(
        &mut self,
        announced: Option<Instant>,
        is_last: bool,
        judge: &mut Judge<'_>,
    ) -> Result<Looked, Failure> {
        let (began, until) = self.limits();
        let looked = enforced(until, self.look_once(announced, is_last, judge)).await;
        looked.unwrap_or_else(|| Err(self.trace.overrun(began.elapsed())))
    }

    async fn look_once(
        &mut self,
        announced: Option<Instant>,
        is_last: bool,
        judge: &mut Judge<'_>,
    ) -> Result<Looked, Failure> {
        let fresh = || Trace::with_observer(Some(&self.access.login), self.observer.clone());
        self.trace = self.reader.trace(fresh);
        if self.reader.holds_session() {
            let is_all_due = is_last || self.everywhere_looked_at.elapsed() >= OTHER_FOLDERS;
            let scope = if is_all_due { Scope::Everywhere } else { Scope::Newest };
            let since = self.since();
            self.reader.look(announced, scope, since, judge).await?;
            if is_all_due {
                self.everywhere_looked_at = Instant::now();
            }
            self.trace.finish();
        } else {
            self.open(false, judge).await?;
        }
        Ok(self.remove(judge).await)
    }

    /// Makes ready what the look at `wake` needs, so that it lasts no longer than its question: where
    /// each look is a session, all of that but the login.
    pub(super) async fn prepare(&mut self, wake: Instant) {
        if self.session_kind() != SessionKind::PerPoll {
            return;
        }
        let Some(begin) = self.reader.preparation().due(wake) else { return };
        sleep_until(begin).await;
        let trace = self.fresh_trace();
        let MailboxAccess { dialer, login, .. } = &self.access;
        // What fails here fails in the look as well, which reports it.
        let _ = self.reader.preparation().make(dialer, login, trace, self.end, wake).await;
    }

    /// Waits until `wake`, in IDLE where the wait is long and the server able; the time at which the
    /// server announced new mail, if it did.
    ///
    /// # Errors
    /// The connection's.
    pub(super) async fn wait(&mut self, wake: Instant) -> Result<Option<Instant>, Failure> {
        let interrupt = Notify::new();
        if let Some(announced) = self.reader.idle(&self.access, wake, &interrupt).await {
            return announced.map_err(|(failure, _)| failure);
        }
        self.prepare(wake).await;
        sleep_until(wake).await;
        Ok(None)
    }

    /// Ends the session.
    pub(super) async fn close(&mut self) {
        self.reader.close().await;
    }

    /// Opens a session and looks everywhere.
    async fn open(&mut self, is_check: bool, judge: &mut Judge<'_>) -> Result<(), Failure> {
        let since = self.since();
        let since = &|| since;
        let visit = Visit { trace: &self.trace, end: self.end, since, is_check };
        self.reader.open(&self.access, &visit, judge).await?;
        self.everywhere_looked_at = Instant::now();
        self.trace.finish();
        Ok(())
    }

    /// The mail is not older than this moment; of older ones only left-overs matter.
    fn since(&self) -> Since {
        let now = SystemTime::now();
        let left_overs = now.checked_sub(self.lost_after * 2).unwrap_or(SystemTime::UNIX_EPOCH);
        Since { ours: Some(now), left_overs }
    }

    async fn remove(&mut self, judge: &mut Judge<'_>) -> Looked {
        let is_shared = self.reader.has_to_go_on(true) && self.session_kind() == SessionKind::Held;
        let removal = self.removal.clone().filter(|_| is_shared);
        let _turn = match &removal {
            Some(removal) => Some(removal.lock().await),
            None => None,
        };
        for _ in 0..REMOVAL_ROUNDS {
            if !self.reader.has_to_go_on(true) {
                break;
            }
            let since = Since::all(SystemTime::now());
            let removed = self.reader.remove(&self.inspector, true, since, judge).await;
            if removed.is_ok() || self.session_kind() == SessionKind::PerPoll {
                self.trace.finish();
            }
            if let Err(not_removed) = removed {
                return Looked { removal_failure: Some(not_removed.into()) };
            }
        }
        Looked::default()
    }

    /// Now, and until when a check or a look may take.
    fn limits(&self) -> (Instant, Instant) {
        let now = Instant::now();
        (now, self.end.min(now + self.longest) + MARGIN)
    }

    fn fresh_trace(&self) -> Trace {
        Trace::with_observer(Some(&self.access.login), self.observer.clone())
    }
}
