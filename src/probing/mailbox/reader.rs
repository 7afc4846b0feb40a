//! Reads one mailbox, over any protocol, session after session: opens it, looks, waits, and removes what
//! is to go. Who decides about the mails, when is looked, and how long a session may take is up to the
//! caller, and so is what becomes of a failure.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::announcements::Announcements;
use super::imap::NotRemoved;
use super::pop3::AskSince;
use super::preparation::Preparation;
use super::{Inspector, Judge, Since, imap, jmap, pop3};
use crate::clock::for_timer;
use crate::config::{Folder, Login, Protocol};
use crate::store::FolderRecord;
use ledger::{Failure, LoginDelay, Moment, SessionKind};
use mail::outer::{MARGIN, enforced};
use mail::test_mail::Header;
use mail::trace::Trace;
use mail::wire::Dialer;

/// Waits shorter than this are not spent in IDLE.
const IDLE_GAP: Duration = Duration::from_millis(500);
/// How long the farewell to a session may take.
const FAREWELL: Duration = Duration::from_secs(3);
/// The name under which the store keeps a POP3 maildrop.
const MAILDROP: &str = "";
/// The name under which it keeps an account that is read by JMAP, all of its folders together: no folder is called by
/// what stands for all of them.
const ACCOUNT: &str = "*";

/// The way to a mailbox, and what is read there.
pub(crate) struct MailboxAccess {
    pub(crate) dialer: Dialer,
    pub(crate) login: Login,
    /// How it is read, and the folders where mails arrive, see [`inbox_first`].
    pub(crate) protocol: Protocol,
    /// Where nobody receives, but reports and copies of what was sent may lie.
    pub(crate) copy_folders: Vec<Folder>,
    /// How long the server may take to answer.
    pub(crate) timeout: Duration,
    /// Whether the `Received` of each mail are read: they show whether a mail that somebody waits for to come back has left.
    pub(crate) reads_stamps: bool,
}

impl MailboxAccess {
    /// What a look is made over.
    pub(crate) fn session_kind(&self) -> SessionKind {
        self.protocol.session_kind()
    }
}

/// The folders in the order in which they are opened: the first one stays selected.
pub(crate) fn inbox_first(folders: &mut [Folder]) {
    folders.sort_by_key(|folder| *folder != Folder::Name("INBOX".into()));
}

/// A session to be opened.
pub(crate) struct Visit<'a> {
    /// Where it is recorded, see [`MailboxReader::trace`].
    pub(crate) trace: &'a Trace,
    /// When it ends at the latest.
    pub(crate) end: Instant,
    /// From when on mails matter where nothing is known of the folder.
    pub(crate) since: AskSince<'a>,
    /// Whether it is a check, which begins with a connection of its own.
    pub(crate) is_check: bool,
}

/// How much a look over a held session takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The selected folder, and once a minute all of them.
    Newest,
    /// The same, and all folders: it decides about a mail that is not there.
    Deciding,
    /// All folders, each opened anew.
    Everywhere,
}

/// When it was asked what is there.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked {
    /// In any folder; `None`: it did not come so far.
    pub(crate) first: Option<Instant>,
    /// In all of the mailbox, if it was.
    pub(crate) everywhere: Option<Instant>,
}

impl Asked {
    fn everywhere(at: Option<Instant>) -> Self {
        Self { first: at, everywhere: at }
    }
}

/// What is known of the mailbox, and the session with it.
#[derive(Default)]
pub(crate) struct MailboxReader {
    /// It is taken out while it is used, so that one that is cut short by an error or by cancellation is
    /// gone.
    session: Option<OpenSession>,
    /// The POP3 session of the next look.
    preparation: Preparation,
    /// Whether the server has broken its own protocol in IDLE: looks alone bring up mail then.
    idles_wrongly: bool,
    announcements: Announcements,
    imap: imap::Memory,
    pop3: pop3::Memory,
    jmap: jmap::Memory,
}

enum OpenSession {
    Imap(Box<imap::Session>),
    Pop3(Box<pop3::Session>),
    Jmap(Box<jmap::Session>),
}

impl MailboxReader {
    /// Goes on from what an earlier process has kept, by folder.
    pub(crate) fn restore(&mut self, mut records: BTreeMap<String, FolderRecord>, now: Moment) {
        if let Some(record) = records.remove(MAILDROP) {
            self.pop3.restore(record, now);
        }
        if let Some(record) = records.remove(ACCOUNT) {
            self.jmap.restore(&record, now);
        }
        self.imap.restore(records, now);
    }

    /// Has all mails judged anew that nobody waited for.
    pub(crate) fn recall_left_overs(&mut self) {
        self.imap.recall_left_overs();
        self.pop3.recall_left_overs();
        self.jmap.recall_left_overs();
    }

    /// What is known of the mailbox, to be kept, by folder.
    pub(crate) fn records(&self, of: &Protocol, now: Moment) -> Vec<(String, FolderRecord)> {
        match of {
            Protocol::Imap { .. } => self.imap.records(now).collect(),
            Protocol::Pop3 => vec![(MAILDROP.to_owned(), self.pop3.record(now))],
            Protocol::Jmap { .. } => vec![(ACCOUNT.to_owned(), self.jmap.record(now))],
        }
    }

    /// The record of the session of the next look: of that which is held or was made ready, or a `fresh` one.
    pub(crate) fn trace(&mut self, fresh: impl FnOnce() -> Trace) -> Trace {
        match &self.session {
            Some(OpenSession::Imap(session)) => session.trace().clone(),
            Some(OpenSession::Pop3(session)) => session.trace().clone(),
            Some(OpenSession::Jmap(session)) => session.trace().clone(),
            None => self.preparation.trace().cloned().unwrap_or_else(fresh),
        }
    }

    /// Whether a look needs no session of its own.
    pub(crate) fn holds_session(&self) -> bool {
        self.session.is_some()
    }

    /// Opens a session and looks everywhere; over POP3 in that which was made ready, if it is no check.
    ///
    /// # Errors
    /// The first step that fails; what was seen by then stays seen.
    pub(crate) async fn open(
        &mut self,
        access: &MailboxAccess,
        visit: &Visit<'_>,
        judge: &mut Judge<'_>,
    ) -> Result<Asked, Failure> {
        self.session = None;
        match &access.protocol {
            Protocol::Imap { folders } => self.open_folders(access, folders, visit, judge).await,
            Protocol::Jmap { folders } => self.open_account(access, folders, visit, judge).await,
            Protocol::Pop3 => self.open_maildrop(access, visit, judge).await,
        }
    }

    async fn open_account(
        &mut self,
        access: &MailboxAccess,
        folders: &[Folder],
        visit: &Visit<'_>,
        judge: &mut Judge<'_>,
    ) -> Result<Asked, Failure> {
        let MailboxAccess { dialer, login, copy_folders, .. } = access;
        let trace = visit.trace.clone();
        let opened =
            jmap::Session::open(dialer, login, folders, copy_folders, trace, visit.end).await;
        let mut session = Box::new(opened?);
        let since = (visit.since)();
        let asked = Instant::now();
        let is_all = session.look(&mut self.jmap, None, visit.is_check, since, judge).await?;
        self.session = Some(OpenSession::Jmap(session));
        Ok(Asked { first: Some(asked), everywhere: is_all.then_some(asked) })
    }

    async fn open_folders(
        &mut self,
        access: &MailboxAccess,
        folders: &[Folder],
        visit: &Visit<'_>,
        judge: &mut Judge<'_>,
    ) -> Result<Asked, Failure> {
        let since = (visit.since)();
        let MailboxAccess { dialer, login, copy_folders, .. } = access;
        let trace = visit.trace.clone();
        let opened =
            imap::Session::open(dialer, login, folders, copy_folders, trace, visit.end).await;
        let mut session = Box::new(opened?);
        session.set_reads_stamps(access.reads_stamps);
        let asked = Instant::now();
        session.look_everywhere(&mut self.imap, since, judge).await?;
        self.session = Some(OpenSession::Imap(session));
        Ok(Asked::everywhere(Some(asked)))
    }

    async fn open_maildrop(
        &mut self,
        access: &MailboxAccess,
        visit: &Visit<'_>,
        judge: &mut Judge<'_>,
    ) -> Result<Asked, Failure> {
        // The check sees the certificate.
        let (dialer, prepared) = match visit.is_check {
            true => (access.dialer.clone(), None),
            false => (access.dialer.resuming(), self.preparation.take()),
        };
        self.preparation.begin_anew();
        let busy_until = Instant::now() + access.timeout;
        let login = &access.login;
        let pop3 =
            pop3::log_in(&dialer, login, prepared, visit.trace, visit.end, busy_until).await?;
        let looked =
            pop3::Session::look(pop3, &mut self.pop3, visit.since, visit.is_check, judge).await;
        self.session = Some(OpenSession::Pop3(Box::new(looked?)));
        Ok(Asked::everywhere(self.pop3.looked_at().map(for_timer)))
    }

    /// Looks over the held session for what is new. `announced` is when the server said by itself that
    /// something is.
    ///
    /// # Errors
    /// The first step that fails; what was seen by then stays seen, and the session is gone.
    pub(crate) async fn look(
        &mut self,
        announced: Option<Instant>,
        scope: Scope,
        since: Since,
        judge: &mut Judge<'_>,
    ) -> Result<Asked, Failure> {
        let first = Some(announced.unwrap_or_else(Instant::now));
        let mut session = match self.session.take() {
            Some(OpenSession::Imap(session)) => session,
            Some(OpenSession::Jmap(mut session)) => {
                let is_all = session.look(&mut self.jmap, announced, false, since, judge).await?;
                self.session = Some(OpenSession::Jmap(session));
                return Ok(Asked { first, everywhere: first.filter(|_| is_all) });
            }
            Some(OpenSession::Pop3(_)) | None => return Ok(Asked::default()),
        };
        let everywhere = match scope {
            Scope::Everywhere => {
                session.look_everywhere(&mut self.imap, since, judge).await?;
                first
            }
            Scope::Newest | Scope::Deciding => {
                let decides = scope == Scope::Deciding;
                session.look(&mut self.imap, announced, decides, since, judge).await?
            }
        };
        self.session = Some(OpenSession::Imap(session));
        Ok(Asked { first, everywhere })
    }

    /// Waits in IDLE, or for an event of JMAP, until `wake`, the interrupt, or new mail, and gives when the server
    /// reported that; `None`, at once, where the wait is short or the server not able. A server that reports without
    /// end is waited for a little longer than that.
    ///
    /// # Errors
    /// The connection's, with the record of the session, which is gone.
    pub(crate) async fn idle(
        &mut self,
        access: &MailboxAccess,
        wake: Instant,
        interrupt: &Notify,
    ) -> Option<Result<Option<Instant>, (Failure, Trace)>> {
        let waited = self.wait_for_news(access, wake, interrupt).await;
        if let Some(Ok(Some(_))) = &waited {
            sleep_until(self.announcements.look_at(Instant::now())).await;
        }
        waited
    }

    async fn wait_for_news(
        &mut self,
        access: &MailboxAccess,
        wake: Instant,
        interrupt: &Notify,
    ) -> Option<Result<Option<Instant>, (Failure, Trace)>> {
        let began = Instant::now();
        if self.idles_wrongly || wake.saturating_duration_since(began) < IDLE_GAP {
            return None;
        }
        let can_idle = |held: &mut OpenSession| match held {
            OpenSession::Imap(session) => session.can_idle(),
            OpenSession::Jmap(session) => session.can_wait(&self.jmap),
            OpenSession::Pop3(_) => false,
        };
        let mut session = match self.session.take_if(can_idle) {
            Some(OpenSession::Imap(session)) => session,
            Some(OpenSession::Jmap(mut session)) => {
                let trace = session.trace().clone();
                let end = wake + access.timeout + MARGIN;
                let told = enforced(end, session.wait(&mut self.jmap, wake, interrupt)).await;
                let Some(told) = told else {
                    return Some(Err((trace.overrun(began.elapsed()), trace)));
                };
                self.session = Some(OpenSession::Jmap(session));
                return Some(Ok(told));
            }
            Some(OpenSession::Pop3(_)) | None => return None,
        };
        let trace = session.trace().clone();
        // The end of IDLE is answered within this time, or not at all.
        let end = wake + access.timeout + MARGIN;
        let announced = enforced(end, session.idle(wake, interrupt)).await;
        match announced.unwrap_or_else(|| Err(trace.overrun(began.elapsed()))) {
            Ok(announced) => {
                self.session = Some(OpenSession::Imap(session));
                Some(Ok(announced))
            }
            Err(failure) => {
                self.idles_wrongly |= failure.is_breach_of_protocol();
                Some(Err((failure, trace)))
            }
        }
    }

    /// Whether something is to be removed, and the server may be asked to.
    pub(crate) fn has_to_remove(&self, is_check: bool) -> bool {
        match &self.session {
            Some(OpenSession::Imap(session)) => session.has_to_remove(&self.imap, is_check),
            Some(OpenSession::Pop3(_)) => self.pop3.has_to_remove(),
            Some(OpenSession::Jmap(session)) => session.has_to_remove(&self.jmap, is_check),
            None => false,
        }
    }

    /// Whether [`MailboxReader::remove`] has something to do: a POP3 session ends with it in any case.
    pub(crate) fn has_to_go_on(&self, is_check: bool) -> bool {
        matches!(self.session, Some(OpenSession::Pop3(_))) || self.has_to_remove(is_check)
    }

    /// Removes what is ours and what is left over, which over IMAP may bring up more of it. The session is
    /// kept if it is held and as good as before.
    ///
    /// # Errors
    /// Why something is still there; it is tried again next time.
    pub(crate) async fn remove(
        &mut self,
        inspector: &Inspector,
        is_check: bool,
        since: Since,
        judge: &mut Judge<'_>,
    ) -> Result<(), NotRemoved> {
        match self.session.take() {
            Some(OpenSession::Imap(mut session)) => {
                let memory = &mut self.imap;
                let removed = session.remove(memory, inspector, is_check, since, judge).await;
                if !matches!(removed, Err(NotRemoved::Broken(_))) {
                    self.session = Some(OpenSession::Imap(session));
                }
                removed
            }
            Some(OpenSession::Pop3(session)) => {
                let looked = session.remove_and_close(&mut self.pop3).await;
                looked.removal_failure.map_or(Ok(()), |failure| Err(NotRemoved::Broken(failure)))
            }
            Some(OpenSession::Jmap(mut session)) => {
                let removed = session.remove(&mut self.jmap, inspector).await;
                if !matches!(removed, Err(NotRemoved::Broken(_))) {
                    self.session = Some(OpenSession::Jmap(session));
                }
                removed
            }
            None => Ok(()),
        }
    }

    /// The POP3 session of the next look.
    pub(crate) fn preparation(&mut self) -> &mut Preparation {
        &mut self.preparation
    }

    /// How long that took to make ready last.
    pub(crate) fn preparation_took(&self) -> Duration {
        self.preparation.took()
    }

    /// What the server asks for between two logins.
    pub(crate) fn login_delay(&self) -> LoginDelay {
        self.pop3.login_delay
    }

    /// When the view of a POP3 maildrop was last asked for, on the time line of the timers.
    pub(crate) fn last_login(&self) -> Option<Instant> {
        self.pop3.looked_at().map(for_timer)
    }

    /// Whether the newest session broke at a mail that the next passes over, see
    /// [`imap::Memory::learn_to_pass_over`].
    pub(crate) fn learn_to_pass_over(&mut self, is_ours: impl Fn(&Header) -> bool) -> bool {
        self.imap.learn_to_pass_over(is_ours)
    }

    /// What else there is to know of the mailbox, in sentences; each is given once.
    pub(crate) fn take_remarks(&mut self) -> Vec<String> {
        let mut remarks = self.imap.take_remarks();
        remarks.extend(self.jmap.take_remarks());
        remarks
    }

    /// Whether a junk folder that is configured by its use is not there.
    pub(crate) fn lacks_junk_folder(&self) -> bool {
        self.imap.lacks_junk_folder() || self.jmap.lacks_junk_folder()
    }

    /// Drops the session as it is, after a failure.
    pub(crate) fn drop_session(&mut self) {
        self.session = None;
    }

    /// Ends the session, and what was made ready for the next.
    pub(crate) async fn close(&mut self) {
        self.preparation.discard();
        // Without an answer to QUIT a POP3 server removes nothing.
        if let Some(OpenSession::Imap(session)) = self.session.take() {
            let _ = enforced(Instant::now() + FAREWELL, session.close()).await;
        }
    }
}
