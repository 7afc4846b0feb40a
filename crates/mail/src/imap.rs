//! Reading a mailbox: the client side of IMAP4rev1 (RFC 3501), as far as a probe needs it, with
//! IDLE (RFC 2177), UIDPLUS (RFC 4315), SASL-IR (RFC 4959) and SPECIAL-USE (RFC 6154) where offered.
//!
//! Lenient in what it reads: an untagged line that is not needed is passed over, whatever is in it.
//! Strict in what it concludes: no tagged OK means no answer.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use answer::{Answer, LINE_BYTES, NotOk};
use tokio::time::Instant;

pub use encode::encode_folder_name;
use encode::imap_date;
pub use fetch::Shown;
pub use literal::Broken;
pub use numbers::{Numbers, Sorted};
pub use parse::{Fetched, Listed};
use parse::{Status, Untagged};
use view::View;

use super::sasl::{self, Open};
use super::trace::Trace;
use super::wire::{Dialer, Wire};
use super::{Failure, Fault, Interrupted, Reason, RefusalScope, Step};
use crate::auth::Login;
use crate::options::TlsMode;

mod answer;
mod clue;
mod encode;
mod fetch;
mod folders;
mod idle;
mod literal;
mod login;
mod numbers;
mod parse;
mod size;
mod view;

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// Whether a UID stands at the end of its range. No folder has had so many mails: a next UID there tells
/// nothing, and what was read up to there would hide every mail that is still to come.
pub fn is_at_the_end(uid: u32) -> bool {
    const TAIL: u32 = 1 << 16;
    uid > u32::MAX - TAIL
}

/// A logged-in session.
pub struct Imap {
    wire: Wire,
    commands: u32,
    capabilities: BTreeSet<String>,
    view: View,
    /// Whether an IDLE is under way, and its tag.
    idle: Option<String>,
    /// What the server said when it ended the session.
    farewell: Option<String>,
    /// Whether the server knows who asks (ID, RFC 2971).
    has_identified: bool,
    /// Whether a command about the mailbox was answered with OK.
    has_mailbox: bool,
    /// What went wrong in a login that was taken, as Exchange says in its response code.
    login_error: Option<String>,
    /// Whether the server gives no header but a whole one.
    asks_whole_headers: bool,
    /// Whether the `Received` of each mail are asked for as well.
    reads_stamps: bool,
    /// The mail at which the session broke.
    broken: Option<Broken>,
}

/// What SELECT reported of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selected {
    /// UIDs of another validity mean other mails (RFC 3501 section 2.3.1.1); `None` if the server
    /// does not tell: then they mean something in this session only.
    pub uid_validity: Option<u32>,
    /// The UID that the next mail will get, or more; `None` if the server does not say.
    pub uid_next: Option<u32>,
    /// The number of messages.
    pub exists: u32,
}

/// Who is given each mail of a FETCH as it is read, with the time at which the response that first
/// showed it was read: the one that counted it, or its own.
pub type Sink<'a> = dyn FnMut(Fetched, Instant) + Send + 'a;

impl Imap {
    /// Connects, protects the connection and logs in, as the dialer and the login say; all of it
    /// ends at `end` at the latest. After a refused login a second connection is tried if the file of
    /// the password holds another one by then.
    ///
    /// # Errors
    /// The first step that fails, in its step. No password is sent before the server's certificate
    /// was accepted, unless the configuration says `tls: none`.
    pub async fn open(
        dialer: &Dialer,
        login: &Login,
        trace: Trace,
        end: Instant,
    ) -> Result<Self, Failure> {
        sasl::open(dialer, login, trace, end).await
    }

    /// Connects and protects the connection as the dialer says; `true` if the server needs no login.
    pub(crate) async fn prepare(
        dialer: &Dialer,
        trace: Trace,
        end: Instant,
    ) -> Result<(Self, bool), Failure> {
        let wire = dialer.dial(trace, end).await?;
        let mut imap = Self {
            wire,
            commands: 0,
            capabilities: BTreeSet::new(),
            view: View::default(),
            idle: None,
            farewell: None,
            has_identified: false,
            has_mailbox: false,
            login_error: None,
            asks_whole_headers: false,
            reads_stamps: false,
            broken: None,
        };
        let is_logged_in = imap.read_greeting().await?;
        if imap.capabilities.is_empty() {
            imap.ask_capabilities().await?;
        }
        if dialer.tls_mode() == TlsMode::StartTls {
            imap = imap.start_tls(dialer, is_logged_in).await?;
        }
        Ok((imap, is_logged_in))
    }

    /// The record of this session.
    pub fn trace(&self) -> &Trace {
        self.wire.trace()
    }

    /// How long the network takes there and back.
    pub fn network(&self) -> Duration {
        self.wire.network()
    }

    /// Moves the end of the session.
    pub fn set_end(&mut self, end: Instant) {
        self.wire.set_end(end);
    }

    /// Whether the server can announce new mail by itself.
    pub fn can_idle(&self) -> bool {
        self.capabilities.contains("IDLE")
    }

    /// Gives the server the occasion to announce new mail; the time at which it announced mail that
    /// came since the last [`Imap::select`] or [`Imap::fetch_from`], if it did.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn news(&mut self) -> Result<Option<Instant>, Interrupted> {
        self.trace().enter(Step::Fetch);
        self.command("NOOP").await?;
        Ok(self.view.news())
    }

    /// The number of mails in the selected folder, as far as the server has said.
    pub fn exists(&self) -> u32 {
        self.view.exists()
    }

    /// When the server announced mail that was not fetched yet; `None` if it did not.
    pub fn pending_news(&self) -> Option<Instant> {
        self.view.news()
    }

    /// The UIDs of the mails that came on this day or later, in the server's zone.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn search_since(&mut self, day: SystemTime) -> Result<Sorted, Interrupted> {
        Ok(self.search(&format!("SINCE {}", imap_date(day))).await?.sorted())
    }

    /// Says goodbye. What comes of it does not matter.
    pub async fn log_out(mut self) {
        self.trace().finish();
        let farewell = async {
            if self.idle.is_some() {
                return;
            }
            let tag = self.next_tag();
            if self.wire.send(&format!("{tag} LOGOUT")).await.is_ok() {
                self.wire.expect_reply_within(FAREWELL);
                while self
                    .wire
                    .read_line(LINE_BYTES)
                    .await
                    .is_ok_and(|line| !line.starts_with(tag.as_bytes()))
                {}
            }
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }

    /// `true` if the server needs no login (PREAUTH).
    async fn read_greeting(&mut self) -> Result<bool, Failure> {
        let response = self.read_response().await?;
        match response.untagged() {
            Untagged::Condition { status: Status::Ok, code, .. } => {
                self.take_capability_code(code.as_deref())?;
                Ok(false)
            }
            Untagged::Condition { status: Status::PreAuth, code, .. } => {
                self.take_capability_code(code.as_deref())?;
                Ok(true)
            }
            Untagged::Bye(text) => {
                let words = self.trace().words(text.as_bytes());
                let message = format!("the server greeted with BYE: {words}");
                Err(self.wire.fail(Fault::down(Reason::Closed, message)))
            }
            // No greeting of RFC 3501, but a server that is there and says why it does not serve.
            Untagged::Condition { status, code, text } => {
                Err(self.refusal(status, code, &text).failure)
            }
            _ => Err(self.wire.fail_protocol(response.first_line())),
        }
    }

    async fn ask_capabilities(&mut self) -> Result<(), Failure> {
        let answer = self.command("CAPABILITY").await?;
        if let Some(words) = answer.capabilities {
            self.capabilities = words.into_iter().collect();
        }
        Ok(())
    }

    fn take_capability_code(&mut self, code: Option<&str>) -> Result<(), Failure> {
        let Some((word, rest)) = code.and_then(|code| code.split_once(' ')) else { return Ok(()) };
        if word.eq_ignore_ascii_case("CAPABILITY") {
            let words = parse::words(rest.as_bytes());
            let words = words.map_err(|too_much| self.too_much(too_much))?;
            self.capabilities = words.into_iter().collect();
        }
        Ok(())
    }

    async fn start_tls(mut self, dialer: &Dialer, is_logged_in: bool) -> Result<Self, Failure> {
        self.trace().enter(Step::Tls);
        if is_logged_in || !self.capabilities.contains("STARTTLS") {
            let message = "the server does not offer STARTTLS; set tls: implicit for a port with \
                           TLS from the start, or tls: none to go without";
            return Err(self.wire.fail(Fault::new(Reason::Tls, message)));
        }
        self.command("STARTTLS").await.map_err(|interrupted| match interrupted {
            Interrupted::Refused(refusal) if refusal.scope == RefusalScope::Request => {
                refusal.failure.of_offered_tls()
            }
            interrupted => Failure::from(interrupted),
        })?;
        let mut imap = Self {
            wire: self.wire.start_tls(dialer).await?,
            // What the server said before TLS could be anybody's word (RFC 3501 section 6.2.1).
            capabilities: BTreeSet::new(),
            ..self
        };
        imap.ask_capabilities().await?;
        Ok(imap)
    }

    /// The UIDs of the mails from `uid` on, as the server lists them.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn uids_from(&mut self, uid: u32) -> Result<Sorted, Interrupted> {
        self.trace().enter(Step::Fetch);
        let found = self.search(&format!("UID {uid}:*")).await?;
        // As in a FETCH, `n:*` is also the last mail if its UID is below n.
        Ok(found.sorted().not_below(uid))
    }

    async fn search(&mut self, what: &str) -> Result<Numbers, Interrupted> {
        Ok(self.command(&format!("UID SEARCH {what}")).await?.found)
    }

    async fn command(&mut self, command: &str) -> Result<Answer, Interrupted> {
        self.ask(command).await.map_err(|not_ok| self.no_continuation(not_ok))
    }

    async fn ask(&mut self, command: &str) -> Result<Answer, NotOk> {
        let tag = self.next_tag();
        self.wire.send(&format!("{tag} {command}")).await?;
        self.read_answer(&tag, &mut |_, _| {}).await
    }

    fn next_tag(&mut self) -> String {
        self.commands = self.commands.wrapping_add(1);
        self.newest_tag()
    }

    fn newest_tag(&self) -> String {
        format!("M{}", self.commands)
    }

    fn no_continuation(&self, not_ok: NotOk) -> Interrupted {
        match not_ok {
            NotOk::Interrupted(interrupted) => interrupted,
            NotOk::Continuation(_) => self.wire.fail_protocol(b"+").into(),
        }
    }
}

impl Open for Imap {
    async fn open_with(
        dialer: &Dialer,
        login: &Login,
        trace: Trace,
        end: Instant,
    ) -> Result<Self, Failure> {
        let (mut imap, is_logged_in) = Self::prepare(dialer, trace, end).await?;
        if !is_logged_in {
            if !imap.wire.is_protected() && dialer.tls_mode() != TlsMode::None {
                imap.wire.trace().enter(Step::Auth);
                let message = "no password is sent over a connection without TLS";
                return Err(imap.wire.fail(Fault::new(Reason::Tls, message)));
            }
            sasl::enter(&mut imap, dialer, login, end).await?;
        }
        Ok(imap)
    }
}
