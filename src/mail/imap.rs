//! Reading a mailbox: the client side of IMAP4rev1 (RFC 3501), as far as a probe needs it, with
//! IDLE (RFC 2177), UIDPLUS (RFC 4315), SASL-IR (RFC 4959) and SPECIAL-USE (RFC 6154) where offered.
//!
//! Lenient in what it reads: an untagged line that is not needed is passed over, whatever is in it.
//! Strict in what it concludes: no tagged OK means no answer.

use std::collections::BTreeSet;
use std::time::SystemTime;

use tokio::sync::Notify;
use tokio::time::Instant;

pub use encode::encode_folder_name;
use encode::{imap_date, quote};
pub use parse::{Fetched, Listed};
use parse::{Response, Status, Untagged};
use view::View;

use super::sasl;
use super::trace::Trace;
use super::wire::{Dialer, Wire};
use super::{Failure, Fault, Reason, Stage};
use crate::config::{Login, TlsMode};

mod encode;
mod login;
mod parse;
mod view;

/// The longest line that is read; the answer to a SEARCH is one line.
const LINE_BYTES: usize = 1 << 20;
/// How much of a literal is kept; the rest of it is read and dropped.
const LITERAL_BYTES: usize = 64 << 10;
/// The longest literal that is read.
const LONGEST_LITERAL_BYTES: usize = 64 << 20;
/// The most that the answer to one command may hold.
const ANSWER_BYTES: usize = 8 << 20;
/// How long a farewell may take.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(1);
/// The header fields that tell whether a mail is ours.
const HEADER_FIELDS: &str = "X-MAILTRIP MESSAGE-ID SUBJECT FROM IN-REPLY-TO REFERENCES CONTENT-TYPE \
                             AUTO-SUBMITTED";

/// A logged-in session.
pub struct Imap {
    wire: Wire,
    commands: u32,
    capabilities: BTreeSet<String>,
    view: View,
    /// Whether an IDLE is under way, and its tag.
    idle: Option<String>,
}

/// What SELECT told of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selected {
    /// UIDs of another validity mean other mails (RFC 3501 section 2.3.1.1); `None` if the server
    /// does not tell: then they mean something in this session only.
    pub uid_validity: Option<u32>,
    /// The UID that the next mail will get, or more; `None` if the server does not tell.
    pub uid_next: Option<u32>,
    /// The number of messages.
    pub exists: u32,
}

/// Who is given each mail of a FETCH as it is read, with the time at which the response that first
/// showed it was read: the one that counted it, or its own.
pub type Sink<'a> = dyn FnMut(Fetched, Instant) + Send + 'a;

/// The answer to a command that the server said OK to.
pub(super) struct Answer {
    untagged: Vec<Untagged>,
    code: Option<String>,
}

impl Imap {
    /// Connects, protects the connection and logs in, as the dialer and the login say; all of it
    /// ends at `end` at the latest.
    ///
    /// # Errors
    /// The first step that fails, in its stage. No password is sent before the server's certificate
    /// was accepted, unless the configuration says `tls: none`.
    pub async fn open(
        dialer: &Dialer,
        login: &Login,
        trace: Trace,
        end: Instant,
    ) -> Result<Self, Failure> {
        let wire = dialer.dial(trace, end).await?;
        let mut imap = Self {
            wire,
            commands: 0,
            capabilities: BTreeSet::new(),
            view: View::default(),
            idle: None,
        };
        let is_logged_in = imap.read_greeting().await?;
        if imap.capabilities.is_empty() {
            imap.ask_capabilities().await?;
        }
        if dialer.tls_mode() == TlsMode::StartTls {
            imap = imap.start_tls(dialer, is_logged_in).await?;
        }
        if !is_logged_in {
            if !imap.wire.is_protected() && dialer.tls_mode() != TlsMode::None {
                imap.wire.trace().enter(Stage::Auth);
                let message = "no password is sent over a connection without TLS";
                return Err(imap.wire.fail(Fault::new(Reason::Tls, message)));
            }
            sasl::enter(&mut imap, dialer, login, end).await?;
        }
        Ok(imap)
    }

    /// The record of this session.
    pub fn trace(&self) -> &Trace {
        self.wire.trace()
    }

    /// Moves the end of the session.
    pub fn set_end(&mut self, end: Instant) {
        self.wire.set_end(end);
    }

    /// Whether the server can tell of new mail by itself.
    pub fn can_idle(&self) -> bool {
        self.capabilities.contains("IDLE")
    }

    /// The folders whose attributes tell their use, by LIST.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn list(&mut self) -> Result<Vec<Listed>, Failure> {
        self.trace().enter(Stage::Select);
        let command = if self.capabilities.contains("SPECIAL-USE") {
            r#"LIST (SPECIAL-USE) "" "*""#
        } else {
            r#"LIST "" "*""#
        };
        let answer = self.command(command).await?;
        let listed = answer.untagged.into_iter().filter_map(|untagged| match untagged {
            Untagged::List(listed) => Some(listed),
            _ => None,
        });
        Ok(listed.collect())
    }

    /// Opens a folder, named as the server writes it.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn select(&mut self, name: &[u8]) -> Result<Selected, Failure> {
        self.trace().enter(Stage::Select);
        self.view = View::default();
        let answer = self.command(&format!("SELECT {}", quote(name))).await?;
        let exists = self.view.exists();
        let mut selected = Selected { uid_validity: None, uid_next: None, exists };
        for untagged in &answer.untagged {
            let Untagged::Condition { code: Some(code), .. } = untagged else { continue };
            if let Some(value) = parse::code_number(code, "UIDVALIDITY") {
                selected.uid_validity = Some(value).filter(|value| *value > 0);
            }
            if let Some(value) = parse::code_number(code, "UIDNEXT") {
                selected.uid_next = Some(value);
            }
        }
        self.view.take_news();
        Ok(selected)
    }

    /// Gives the server the occasion to tell of new mail; the time at which it told of mail that
    /// came since the last [`Imap::select`] or [`Imap::fetch_from`], if it did.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn news(&mut self) -> Result<Option<Instant>, Failure> {
        self.trace().enter(Stage::Fetch);
        self.command("NOOP").await?;
        Ok(self.view.news())
    }

    /// The headers of the mails from `uid` on, each given to `sink` as it is read, so that their
    /// number does not matter. Leaves every flag as it is.
    ///
    /// # Errors
    /// The connection's, or a refusal; what was given by then stays given.
    pub async fn fetch_from(&mut self, uid: u32, sink: &mut Sink<'_>) -> Result<(), Failure> {
        // `n:*` also gives the last mail if its UID is below n (RFC 3501 section 6.4.8).
        let began = Instant::now();
        self.fetch(&format!("{uid}:*"), sink).await?;
        self.view.settle(began);
        Ok(())
    }

    /// The headers of these mails; `uids` is a sequence set. Otherwise as [`Imap::fetch_from`].
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn fetch(&mut self, uids: &str, sink: &mut Sink<'_>) -> Result<(), Failure> {
        self.trace().enter(Stage::Fetch);
        let items = format!("(UID INTERNALDATE BODY.PEEK[HEADER.FIELDS ({HEADER_FIELDS})])");
        self.view.take_news();
        let tag = self.next_tag();
        self.wire.send(&format!("{tag} UID FETCH {uids} {items}")).await?;
        let answer = self.read_answer(&tag, sink).await;
        answer.map(drop).map_err(|interrupted| self.no_continuation(interrupted))
    }

    /// The whole header of one mail with the empty line that ends it, cut at 64 KiB; `None` if the
    /// server does not show it. Leaves the mail, and what is known of news, as it is.
    ///
    /// # Errors
    /// The connection's.
    pub async fn header(&mut self, uid: u32) -> Result<Option<Vec<u8>>, Failure> {
        self.fetch_part(uid, "HEADER").await
    }

    /// The beginning of one mail, 64 KiB at most; otherwise as [`Imap::header`].
    ///
    /// # Errors
    /// The connection's.
    pub async fn beginning(&mut self, uid: u32) -> Result<Option<Vec<u8>>, Failure> {
        self.fetch_part(uid, "").await
    }

    async fn fetch_part(&mut self, uid: u32, part: &str) -> Result<Option<Vec<u8>>, Failure> {
        self.trace().enter(Stage::Fetch);
        let tag = self.next_tag();
        let items = format!("BODY.PEEK[{part}]<0.{LITERAL_BYTES}>");
        self.wire.send(&format!("{tag} UID FETCH {uid} ({items})")).await?;
        let mut shown = None;
        let mut keep = |mail: Fetched, _: Instant| {
            if mail.uid == Some(uid) && mail.header.is_some() {
                shown = mail.header;
            }
        };
        match self.read_answer(&tag, &mut keep).await {
            Ok(_) => Ok(shown),
            Err(Interrupted::Refused(_)) => Ok(None),
            Err(interrupted) => Err(self.no_continuation(interrupted)),
        }
    }

    /// When the server told of mail that was not fetched yet; `None` if it did not.
    pub fn pending_news(&self) -> Option<Instant> {
        self.view.news()
    }

    /// The UIDs of the mails that came on this day or later, in the server's zone.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn search_since(&mut self, day: SystemTime) -> Result<Vec<u32>, Failure> {
        self.search(&format!("SINCE {}", imap_date(day))).await
    }

    /// Takes mails out of the selected folder; `false` if they are only marked as deleted: without
    /// UIDPLUS, where somebody else's mail is marked as well, EXPUNGE would take that one too.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn remove(&mut self, uids: &[u32]) -> Result<bool, Failure> {
        self.trace().enter(Stage::Remove);
        let set = uids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        self.command(&format!("UID STORE {set} +FLAGS.SILENT (\\Deleted)")).await?;
        if self.capabilities.contains("UIDPLUS") {
            self.command(&format!("UID EXPUNGE {set}")).await?;
            return Ok(true);
        }
        let deleted = self.search("DELETED").await?;
        if deleted.is_empty() {
            // Nothing is marked, or the answer was not understood: EXPUNGE might take another's mail.
            return Ok(true);
        }
        let are_ours = deleted.iter().all(|uid| uids.contains(uid));
        if are_ours {
            self.command("EXPUNGE").await?;
        }
        Ok(are_ours)
    }

    /// Waits in IDLE until the server tells of new mail (the time at which it did), or `until` has
    /// come or `interrupt` is notified (`None`). The session is usable afterwards.
    ///
    /// # Errors
    /// The connection's, or a refusal; a server that refuses IDLE is not asked again.
    pub async fn idle(
        &mut self,
        until: Instant,
        interrupt: &Notify,
    ) -> Result<Option<Instant>, Failure> {
        self.trace().enter(Stage::Fetch);
        if !self.begin_idle().await? {
            self.capabilities.remove("IDLE");
            return Ok(self.view.news());
        }
        while self.view.news().is_none() {
            let has_input = tokio::select! {
                outcome = self.wire.wait_for_input(until) => outcome?,
                () = interrupt.notified() => false,
            };
            if !has_input {
                break;
            }
            self.wire.expect_reply_within(FAREWELL);
            let response = self.read_response().await?;
            self.take_untagged(&response)?;
        }
        self.end_idle().await?;
        Ok(self.view.news())
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
        if !response.first_line().starts_with(b"* ") {
            return Err(self.wire.fail_protocol(response.first_line()));
        }
        match response.untagged() {
            Untagged::Condition { status: Status::Ok, code, .. } => {
                self.take_capability_code(code.as_deref());
                Ok(false)
            }
            Untagged::Condition { status: Status::PreAuth, code, .. } => {
                self.take_capability_code(code.as_deref());
                Ok(true)
            }
            Untagged::Bye(text) => {
                let words = self.trace().words(text.as_bytes());
                let message = format!("the server greeted with BYE: {words}");
                Err(self.wire.fail(Fault::down(Reason::Closed, message)))
            }
            _ => Err(self.wire.fail_protocol(response.first_line())),
        }
    }

    async fn ask_capabilities(&mut self) -> Result<(), Failure> {
        let answer = self.command("CAPABILITY").await?;
        for untagged in answer.untagged {
            if let Untagged::Capability(words) = untagged {
                self.capabilities = words.into_iter().collect();
            }
        }
        Ok(())
    }

    fn take_capability_code(&mut self, code: Option<&str>) {
        let Some((word, rest)) = code.and_then(|code| code.split_once(' ')) else { return };
        if word.eq_ignore_ascii_case("CAPABILITY") {
            self.capabilities = parse::words(rest.as_bytes()).into_iter().collect();
        }
    }

    async fn start_tls(mut self, dialer: &Dialer, is_logged_in: bool) -> Result<Self, Failure> {
        self.trace().enter(Stage::Tls);
        if is_logged_in || !self.capabilities.contains("STARTTLS") {
            let message = "the server does not offer STARTTLS; set `tls: implicit` for a port with \
                           TLS from the start, or `tls: none` to go without";
            return Err(self.wire.fail(Fault::new(Reason::Tls, message)));
        }
        self.command("STARTTLS").await.map_err(|failure| match failure.reason {
            Reason::Rejected => Failure { reason: Reason::Tls, ..failure },
            _ => failure,
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

    async fn search(&mut self, what: &str) -> Result<Vec<u32>, Failure> {
        let answer = self.command(&format!("UID SEARCH {what}")).await?;
        let found = answer.untagged.into_iter().filter_map(|untagged| match untagged {
            Untagged::Search(uids) => Some(uids),
            _ => None,
        });
        Ok(found.flatten().collect())
    }

    /// `false` if the server does not want it.
    async fn begin_idle(&mut self) -> Result<bool, Failure> {
        let tag = self.next_tag();
        self.wire.send(&format!("{tag} IDLE")).await?;
        match self.read_answer(&tag, &mut |_, _| {}).await {
            Err(Interrupted::Continuation(_)) => {
                self.idle = Some(tag);
                Ok(true)
            }
            Ok(_) | Err(Interrupted::Refused(_)) => Ok(false),
            Err(Interrupted::Failure(failure)) => Err(failure),
        }
    }

    async fn end_idle(&mut self) -> Result<(), Failure> {
        let Some(tag) = self.idle.take() else { return Ok(()) };
        self.wire.send("DONE").await?;
        self.read_answer(&tag, &mut |_, _| {})
            .await
            .map(drop)
            .map_err(|interrupted| self.no_continuation(interrupted))
    }

    async fn command(&mut self, command: &str) -> Result<Answer, Failure> {
        let tag = self.next_tag();
        self.wire.send(&format!("{tag} {command}")).await?;
        let answer = self.read_answer(&tag, &mut |_, _| {}).await;
        answer.map_err(|interrupted| self.no_continuation(interrupted))
    }

    fn next_tag(&mut self) -> String {
        self.commands = self.commands.wrapping_add(1);
        self.newest_tag()
    }

    fn newest_tag(&self) -> String {
        format!("M{}", self.commands)
    }

    /// Reads until the tagged response: OK, or a failure. Mails of a FETCH go to `sink`, the rest of
    /// what is needed is kept and bounded; what is not needed costs nothing but time.
    async fn read_answer(&mut self, tag: &str, sink: &mut Sink<'_>) -> Result<Answer, Interrupted> {
        let mut untagged = Vec::new();
        let mut kept = 0;
        loop {
            let response = self.read_response().await?;
            let line = response.first_line();
            if line.starts_with(b"* ") {
                match self.take_untagged(&response)? {
                    Some(Untagged::Fetch(fetched)) => {
                        let shown_at = self.view.shown_at(fetched.number, Instant::now());
                        sink(fetched, shown_at);
                    }
                    Some(needed) => {
                        kept += response.size();
                        untagged.push(needed);
                    }
                    None => {}
                }
                if kept > ANSWER_BYTES {
                    let message = format!("an answer of more than {ANSWER_BYTES} bytes");
                    return Err(self.wire.fail(Fault::new(Reason::Protocol, message)).into());
                }
            } else if line.first() == Some(&b'+') {
                let challenge = line.get(1..).unwrap_or_default().trim_ascii().to_vec();
                return Err(Interrupted::Continuation(challenge));
            } else {
                let tagged =
                    line.strip_prefix(tag.as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
                let Some((status, code, text)) = tagged.and_then(parse::tagged) else {
                    return Err(self.wire.fail_protocol(line).into());
                };
                return match status {
                    Status::Ok | Status::PreAuth => Ok(Answer { untagged, code }),
                    Status::No | Status::Bad => {
                        Err(Interrupted::Refused(self.refusal(status, code, &text)))
                    }
                };
            }
        }
    }

    /// One response with its literals.
    async fn read_response(&mut self) -> Result<Response, Failure> {
        let mut response = Response::default();
        response.push_line(self.wire.read_line(LINE_BYTES).await?);
        while let Some(size) = response.announced_literal() {
            let kept = size.min(LITERAL_BYTES);
            if size > LONGEST_LITERAL_BYTES || response.size() + kept > ANSWER_BYTES {
                let message =
                    format!("the server announces {size} bytes where a header was asked for");
                return Err(self.wire.fail(Fault::new(Reason::Protocol, message)));
            }
            response.push_literal(self.wire.read_exact(kept).await?);
            // Anybody can send a mail with such a header; it must not blind the watch.
            self.wire.skip(size - kept).await?;
            response.push_line(self.wire.read_line_unseen(LINE_BYTES).await?);
        }
        Ok(response)
    }

    /// Notes what concerns the session; gives the rest.
    fn take_untagged(&mut self, response: &Response) -> Result<Option<Untagged>, Failure> {
        match response.untagged() {
            Untagged::Exists(count) => {
                self.view.tell(count, Instant::now());
                Ok(None)
            }
            Untagged::Expunge(number) => {
                self.view.expunge(number);
                Ok(None)
            }
            Untagged::Bye(text) => {
                let words = self.trace().words(text.as_bytes());
                let message = format!("the server ended the session: {words}");
                Err(self.wire.fail(Fault::new(Reason::Closed, message)))
            }
            Untagged::Other => Ok(None),
            untagged => Ok(Some(untagged)),
        }
    }

    /// The response codes are those of RFC 5530.
    fn refusal(&self, status: Status, code: Option<String>, text: &str) -> Failure {
        let word = code.as_deref().and_then(|code| code.split(' ').next()).unwrap_or_default();
        let reason = match (word.to_ascii_uppercase().as_str(), status) {
            ("INUSE", _) => Reason::Busy,
            ("UNAVAILABLE" | "SERVERBUG" | "CONTACTADMIN", _) => Reason::Other,
            ("AUTHENTICATIONFAILED" | "AUTHORIZATIONFAILED" | "EXPIRED" | "PRIVACYREQUIRED", _) => {
                Reason::Auth
            }
            (_, Status::Bad) => Reason::Protocol,
            _ => Reason::Rejected,
        };
        let answer = if status == Status::Bad { "BAD" } else { "NO" };
        let code = code.map(|code| format!("[{code}] ")).unwrap_or_default();
        let words = self.trace().words(format!("{answer} {code}{text}").as_bytes());
        // The tag tells nobody anything.
        let asked = self.wire.asked_for();
        let command = asked.split_once(' ').map_or(asked, |(_, command)| command);
        let message = format!("the server refused {command}: {words}");
        self.wire.fail(Fault::new(reason, message))
    }

    fn no_continuation(&self, interrupted: Interrupted) -> Failure {
        match interrupted {
            Interrupted::Failure(failure) | Interrupted::Refused(failure) => failure,
            Interrupted::Continuation(_) => self.wire.fail_protocol(b"+"),
        }
    }
}

/// Why there is no tagged OK.
enum Interrupted {
    /// The server waits for more of the command, and says this.
    Continuation(Vec<u8>),
    /// It said NO or BAD; the session goes on.
    Refused(Failure),
    /// The session is of no more use.
    Failure(Failure),
}

impl From<Failure> for Interrupted {
    fn from(failure: Failure) -> Self {
        Interrupted::Failure(failure)
    }
}
