//! Reading a maildrop: the client side of POP3 (RFC 1939) with CAPA (RFC 2449), STLS (RFC 2595) and
//! AUTH (RFC 5034).

use std::time::Duration;

use tokio::time::Instant;

use super::sasl::{self, Open};
use super::trace::Trace;
use super::wire::{Dialer, Wire};
use super::{Failure, Fault, Interrupted, Reason, Refusal, RefusalScope, Step};
use crate::auth::Login;
use crate::options::TlsMode;

use crate::LoginDelay;
pub use listing::{Entry, Id, Listing};

mod digest;
mod listing;
mod login;
mod status;
mod waiting;

use status::{Code, code, split_status};
use waiting::Hold;
pub use waiting::Waiting;

/// The longest line that is read; more of a header line is dropped.
const LINE_BYTES: usize = 64 << 10;
/// The longest line of a listing; RFC 1939 section 7 allows ids of 70 characters, RFC 2449 section 4
/// lines of 512.
const LISTING_LINE_BYTES: usize = 512;
/// How many lines of a mail are its beginning.
const BEGINNING_LINES: usize = 1000;
/// The longest header or beginning that is kept; the rest of it is read and dropped.
const HEADER_BYTES: usize = 64 << 10;
/// The most lines of one listing; a maildrop with more mails cannot be watched.
const LISTING_LINES: usize = 200_000;
/// The most words of all capabilities.
const CAPABILITY_WORDS: usize = 512;
/// How long QUIT may take if nothing was removed.
const FAREWELL: Duration = Duration::from_secs(1);

/// A logged-in session. Its view of the maildrop is frozen at the login.
pub struct Pop3 {
    wire: Wire,
    capabilities: Vec<Vec<String>>,
    /// What APOP makes its digest of, if the server greeted with it.
    timestamp: Option<String>,
    /// Whether the server must not be asked for its capabilities.
    hangs_up_on_capa: bool,
    /// Where the login waits, if it does.
    hold: Option<Hold>,
    /// When the view of the maildrop was asked for and given, once it was.
    viewed: Option<Viewed>,
}

/// The login that fixed the view of the maildrop: what came after it is not in it.
#[derive(Debug, Clone, Copy)]
pub struct Viewed {
    /// When the last command of the login was sent: a mail that is not in the view was not there.
    pub asked: Instant,
    /// When its +OK was read: what is in the view was there.
    pub shown: Instant,
}

impl Pop3 {
    /// Connects and protects the connection as the dialer says, so that only the login is left to be
    /// made; all of the session ends at `end` at the latest. Whether the login `may_use_command` is that of
    /// [`Login::may_use_command`].
    pub(crate) async fn prepare(
        dialer: &Dialer,
        may_use_command: bool,
        trace: Trace,
        end: Instant,
    ) -> Result<Self, Failure> {
        let mut pop3 = Self::greeted(dialer, trace.clone(), end).await?;
        match pop3.ask_capabilities().await {
            Err(failure) if failure.is_closed() && may_use_command => {
                // Some old servers hang up on a command that they do not know.
                trace.fact("connecting again, without CAPA".to_owned());
                pop3 = Self::greeted(dialer, trace, end).await?;
                pop3.hangs_up_on_capa = true;
            }
            outcome => outcome?,
        }
        if dialer.tls_mode() == TlsMode::StartTls {
            pop3 = pop3.start_tls(dialer).await?;
        }
        if !pop3.wire.is_protected() && dialer.tls_mode() != TlsMode::None {
            pop3.wire.trace().enter(Step::Auth);
            let message = "no password is sent over a connection without TLS";
            return Err(pop3.wire.fail(Fault::new(Reason::Tls, message)));
        }
        Ok(pop3)
    }

    /// Connects, protects the connection and logs in, as the dialer and the login say; all of it
    /// ends at `end` at the latest. After a refused login a second connection is tried if the file of
    /// the password holds another one by then.
    ///
    /// # Errors
    /// The first step that fails, in its step; [`Reason::Busy`] or [`Reason::Deferred`] where another try
    /// may succeed. No password is sent before the server's certificate was accepted, unless the configuration says
    /// `tls: none`.
    pub async fn open(
        dialer: &Dialer,
        login: &Login,
        trace: Trace,
        end: Instant,
    ) -> Result<Self, Failure> {
        sasl::open(dialer, login, trace, end).await
    }

    /// Logs in, which fixes the view of the maildrop.
    async fn enter(
        mut self,
        dialer: &Dialer,
        login: &Login,
        end: Instant,
    ) -> Result<Self, Failure> {
        sasl::enter(&mut self, dialer, login, end).await?;
        self.viewed = Some(Viewed { asked: self.wire.asked(), shown: Instant::now() });
        if !self.has_top() {
            // A login may bring more (RFC 2449 section 5).
            self.trace().enter(Step::Select);
            self.ask_capabilities().await?;
        }
        Ok(self)
    }

    async fn greeted(dialer: &Dialer, trace: Trace, end: Instant) -> Result<Self, Failure> {
        let wire = dialer.dial(trace, end).await?;
        let capabilities = Vec::new();
        let mut pop3 = Self {
            wire,
            capabilities,
            timestamp: None,
            hangs_up_on_capa: false,
            hold: None,
            viewed: None,
        };
        pop3.read_greeting().await?;
        Ok(pop3)
    }

    /// The record of this session.
    pub fn trace(&self) -> &Trace {
        self.wire.trace()
    }

    /// How long the network takes there and back.
    pub fn network(&self) -> Duration {
        self.wire.network()
    }

    /// The login; `None` before it.
    pub fn viewed(&self) -> Option<Viewed> {
        self.viewed
    }

    /// The least time between two logins that the server asks for (CAPA LOGIN-DELAY).
    pub fn login_delay(&self) -> LoginDelay {
        self.capability("LOGIN-DELAY").map(LoginDelay::told).unwrap_or_default()
    }

    /// Whether this server has said that it can give a header alone.
    pub fn has_top(&self) -> bool {
        self.capabilities.is_empty() || self.capability("TOP").is_some()
    }

    /// The mails of the maildrop, oldest first. A mail without an id cannot be told from others and is
    /// left out. Of more than 30,000 the newest.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn list(&mut self) -> Result<Listing, Failure> {
        self.trace().enter(Step::Select);
        let count = self.count().await?;
        if count == Some(0) {
            return Ok(Listing::default());
        }
        self.command("UIDL").await.map_err(|interrupted| self.without("UIDL", interrupted))?;
        let count_told = count.and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
        let mut listing = Listing::for_mails(count_told);
        for _ in 0..LISTING_LINES {
            let line = self.wire.read_line_unseen(LISTING_LINE_BYTES).await?;
            if line == b"." {
                return self.complete(listing, count);
            }
            match listing::parse_entry(&line) {
                Some(Some(entry)) => listing.push(entry).map_err(|_| self.no_order())?,
                Some(None) => {}
                None => return Err(self.wire.fail_protocol(&line)),
            }
        }
        let message = format!("the maildrop holds more than {LISTING_LINES} mails");
        Err(self.wire.fail(Fault::new(Reason::Protocol, message)))
    }

    /// What it means that a command is refused without which no maildrop can be watched: of one that the
    /// server never said it has, that it has none.
    fn without(&self, command: &str, interrupted: Interrupted) -> Interrupted {
        if !interrupted.is_of_the_request() || self.capability(command).is_some() {
            return interrupted;
        }
        let failure = Failure::from(interrupted);
        let what = match command {
            "UIDL" => "its mails cannot be told apart (UIDL)",
            _ => "it cannot give a header alone (TOP), and others' mail is not read whole",
        };
        let message = format!("this server cannot be watched by POP3, for {what}: {failure}");
        Interrupted::Broken(Failure { reason: Reason::Protocol, message, ..failure })
    }

    /// What it means that a server has refused to show every header it was asked for: where it has not
    /// announced TOP, that the session is of no use.
    pub fn shows_nothing(&self, refusal: Interrupted) -> Interrupted {
        self.without("TOP", refusal)
    }

    fn no_order(&self) -> Failure {
        let message = "the server numbers its mails in no order (UIDL)";
        self.wire.fail(Fault::new(Reason::Protocol, message))
    }

    /// The listing, unless it shows nothing of the mails that there are.
    fn complete(&self, listing: Listing, count: Option<u64>) -> Result<Listing, Failure> {
        match count {
            Some(count @ 1..) if listing.is_empty() => {
                let message = format!("the server lists none of its {count} mails with an id");
                Err(self.wire.fail(Fault::new(Reason::Protocol, message)))
            }
            _ => Ok(listing),
        }
    }

    /// How many mails there are (STAT): an empty maildrop needs no listing. `None` if the answer does
    /// not tell.
    async fn count(&mut self) -> Result<Option<u64>, Failure> {
        self.wire.send("STAT").await?;
        let line = self.wire.read_line(LINE_BYTES).await?;
        self.check_status(&line)?;
        Ok(split_status(&line).and_then(|(_, text)| {
            std::str::from_utf8(text.split(u8::is_ascii_whitespace).next()?).ok()?.parse().ok()
        }))
    }

    /// The header of one mail with the empty line that ends it, cut at 64 KiB. Leaves the mail as it is.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn header(&mut self, number: u32) -> Result<Vec<u8>, Interrupted> {
        self.top(number, 0).await
    }

    /// The header and the first thousand lines of one mail, cut at 64 KiB. Leaves the mail as it is.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn beginning(&mut self, number: u32) -> Result<Vec<u8>, Interrupted> {
        self.top(number, BEGINNING_LINES).await
    }

    async fn top(&mut self, number: u32, lines: usize) -> Result<Vec<u8>, Interrupted> {
        self.trace().enter(Step::Fetch);
        self.command(&format!("TOP {number} {lines}")).await?;
        let mut header = Vec::new();
        let mut is_cut = false;
        for _ in 0..LISTING_LINES {
            let line = self.wire.read_line_cut(LINE_BYTES).await?;
            if line == b"." {
                return Ok(header);
            }
            // Byte-stuffed (RFC 1939 section 3).
            let line = line.strip_prefix(b".").unwrap_or(&line);
            is_cut |= header.len() + line.len() >= HEADER_BYTES;
            if !is_cut {
                header.extend_from_slice(line);
                header.extend_from_slice(b"\r\n");
            }
        }
        let message = "a header that does not end";
        Err(self.wire.fail(Fault::new(Reason::Protocol, message)).into())
    }

    /// Marks one mail for removal; [`Pop3::quit`] removes it.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn delete(&mut self, number: u32) -> Result<(), Interrupted> {
        self.trace().enter(Step::Remove);
        self.command(&format!("DELE {number}")).await
    }

    /// Ends the session and removes what was marked.
    ///
    /// # Errors
    /// The connection's, or a refusal: then what was marked may still be there.
    pub async fn quit(mut self, has_marked: bool) -> Result<(), Failure> {
        if has_marked {
            self.trace().enter(Step::Remove);
            let outcome = self.command("QUIT").await;
            self.trace().finish();
            return outcome.map_err(Failure::from);
        }
        self.trace().finish();
        if self.wire.send("QUIT").await.is_ok() {
            self.wire.expect_reply_within(FAREWELL);
            let _ = self.wire.read_line(LINE_BYTES).await;
        }
        Ok(())
    }

    async fn read_greeting(&mut self) -> Result<(), Failure> {
        let line = self.wire.read_line(LINE_BYTES).await?;
        match split_status(&line) {
            Some((true, text)) => {
                self.timestamp = login::timestamp(text);
                Ok(())
            }
            Some((false, text)) => {
                let words = self.trace().words(text);
                let message = format!("the server greeted with -ERR: {words}");
                Err(self.wire.fail(Fault::down(Reason::Closed, message)))
            }
            None => Err(self.wire.fail_protocol(&line)),
        }
    }

    /// A server without CAPA is an old one; what it can do shows when it is asked.
    async fn ask_capabilities(&mut self) -> Result<(), Failure> {
        self.capabilities.clear();
        if self.hangs_up_on_capa {
            return Ok(());
        }
        self.wire.send("CAPA").await?;
        let line = self.wire.read_line(LINE_BYTES).await?;
        match split_status(&line) {
            Some((true, _)) => {}
            Some((false, _)) => return Ok(()),
            None => return Err(self.wire.fail_protocol(&line)),
        }
        let mut count = 0;
        while count <= CAPABILITY_WORDS {
            let line = self.wire.read_line(LISTING_LINE_BYTES).await?;
            if line == b"." {
                return Ok(());
            }
            let words = String::from_utf8_lossy(&line);
            let words: Vec<String> =
                words.split_ascii_whitespace().map(str::to_ascii_uppercase).collect();
            count += words.len().max(1);
            self.capabilities.push(words);
        }
        let message = format!("more than {CAPABILITY_WORDS} words of capabilities (CAPA)");
        Err(self.wire.fail(Fault::new(Reason::Protocol, message)))
    }

    fn capability(&self, name: &str) -> Option<&[String]> {
        self.capabilities
            .iter()
            .map(Vec::as_slice)
            .find(|words| words.first().is_some_and(|word| word == name))
    }

    async fn start_tls(mut self, dialer: &Dialer) -> Result<Self, Failure> {
        self.trace().enter(Step::Tls);
        if !self.capabilities.is_empty() && self.capability("STLS").is_none() {
            let message = "the server does not offer STLS; set tls: implicit for a port with TLS \
                           from the start, or tls: none to go without";
            return Err(self.wire.fail(Fault::new(Reason::Tls, message)));
        }
        self.command("STLS").await.map_err(|interrupted| match interrupted {
            Interrupted::Refused(Refusal {
                failure,
                scope: RefusalScope::Request | RefusalScope::Server,
            }) => failure.of_offered_tls(),
            interrupted => interrupted.into(),
        })?;
        let mut pop3 = Self { wire: self.wire.start_tls(dialer).await?, ..self };
        // What the server said before TLS could be anybody's word (RFC 2595 section 4).
        pop3.ask_capabilities().await?;
        Ok(pop3)
    }

    async fn command(&mut self, command: &str) -> Result<(), Interrupted> {
        self.wire.send(command).await?;
        let line = self.wire.read_line(LINE_BYTES).await?;
        self.check_status(&line)
    }

    fn check_status(&self, line: &[u8]) -> Result<(), Interrupted> {
        match split_status(line) {
            Some((true, _)) => Ok(()),
            Some((false, text)) => {
                let (reason, scope) = match code(text) {
                    Code::TryAgain => (Reason::Busy, RefusalScope::Passing),
                    Code::Temporary => (Reason::Deferred, RefusalScope::Passing),
                    Code::Auth => (Reason::Auth, RefusalScope::Credentials),
                    Code::Permanent => (Reason::Other, RefusalScope::Server),
                    Code::None => (Reason::Rejected, RefusalScope::Request),
                };
                let words = self.trace().words(line);
                let message = format!("the server refused {}: {words}", self.wire.asked_for());
                let failure = self.wire.fail(Fault::new(reason, message));
                Err(Interrupted::Refused(Refusal { failure, scope }))
            }
            None => Err(self.wire.fail_protocol(line).into()),
        }
    }
}

impl Open for Pop3 {
    async fn open_with(
        dialer: &Dialer,
        login: &Login,
        trace: Trace,
        end: Instant,
    ) -> Result<Self, Failure> {
        let may_use_command = login.may_use_command();
        let pop3 = Self::prepare(dialer, may_use_command, trace, end).await?;
        pop3.enter(dialer, login, end).await
    }
}

#[cfg(test)]
mod tests;
