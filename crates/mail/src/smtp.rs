//! Handing a mail over: the client side of SMTP (RFC 5321) with STARTTLS (RFC 3207), AUTH (RFC 4954)
//! and, for bounces that say whose they are, DSN (RFC 3461).
//!
//! The commands and the addresses are lettre's; the dialogue runs over our own [`Wire`], because
//! lettre's connection has no deadline but for connecting, reads lines of any length, and lets what
//! was injected before TLS stand as the answer to the EHLO after it. Replies are read here as well:
//! lettre refuses bare codes and 8-bit text, both of which real servers send.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::commands::{Data, Ehlo, Quit, Rset, Starttls};
use lettre::transport::smtp::extension::ClientId;
use tokio::time::Instant;

use super::sasl;
use super::trace::Trace;
use super::wire::{Dialer, Wire};
use super::{Clue, Failure, Fault, Reason, Step};
use crate::auth::Login;
use crate::content::Content;
use crate::options::TlsMode;
use features::Features;

mod clue;
mod data;
mod envelope;
mod features;
mod login;
mod opening;
mod question;
mod route;
pub mod show;
#[cfg(test)]
mod tests;

/// The longest reply line that is read; RFC 5321 section 4.5.3.1.5 allows 512.
const LINE_BYTES: usize = 8192;
/// The most lines of one reply.
const REPLY_LINES: usize = 128;
/// The most bytes of one reply.
const REPLY_BYTES: usize = 32 << 10;
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// A connection over which mails can be handed over.
pub struct Smtp {
    wire: Wire,
    features: Features,
    /// Whether the server sends delivery status notifications as it is asked to (DSN, RFC 3461).
    offers_reports: bool,
    /// What EHLO said; empty before it.
    name: String,
    is_logged_in: bool,
    /// Whether the mail under way is so large that a server may have a limit below its size.
    is_large: bool,
}

/// Why one mail was not accepted.
#[derive(Debug)]
pub enum NotAccepted {
    /// The server said no; after [`Smtp::reset`] it may take another.
    Refused(Failure),
    /// The connection is of no more use, and the server cannot have the mail.
    Broken(Failure),
    /// The connection ended after the mail was handed over and before the reply: nobody knows.
    Doubtful(Failure),
}

/// One mail was accepted.
#[derive(Debug)]
pub struct HandedOver {
    /// What the server said.
    pub reply: Reply,
    /// When its MAIL was sent.
    pub began: Instant,
    /// When all of it but the final dot was written.
    pub written: Instant,
    /// How long the network took there and back on this connection.
    pub network: Duration,
    /// How many bytes the mail has, before dots are stuffed.
    pub bytes: u64,
}

impl NotAccepted {
    /// What went wrong.
    pub fn failure(&self) -> &Failure {
        match self {
            NotAccepted::Refused(failure)
            | NotAccepted::Broken(failure)
            | NotAccepted::Doubtful(failure) => failure,
        }
    }
}

impl Smtp {
    async fn open_at(
        dialer: &Dialer,
        login: Option<&Login>,
        name: Option<&str>,
        trace: Trace,
        end: Instant,
    ) -> Result<Self, Failure> {
        let mut smtp = Self::over(dialer.dial(trace, end).await?);
        let greeting = smtp.read_reply().await?;
        if greeting.code != 220 {
            let down = matches!(greeting.code, 421 | 554);
            return Err(smtp.refusal(&greeting, "the connection", down));
        }
        let name = smtp.client_name(name);
        smtp.features = smtp.greet(&name).await?;
        if dialer.tls_mode() == TlsMode::StartTls {
            smtp = smtp.start_tls(dialer, &name).await?;
        }
        if let Some(login) = login {
            if !smtp.wire.is_protected() && dialer.tls_mode() != TlsMode::None {
                smtp.wire.trace().enter(Step::Auth);
                let message = "no password is sent over a connection without TLS";
                return Err(smtp.wire.fail(Fault::new(Reason::Tls, message)));
            }
            sasl::enter(&mut smtp, dialer, login, end).await?;
            smtp.is_logged_in = true;
        }
        smtp.offers_reports = smtp.features.has("DSN");
        Ok(smtp)
    }

    /// Nothing is known of the server yet.
    fn over(wire: Wire) -> Self {
        let (features, name) = (Features::default(), String::new());
        Self { wire, features, offers_reports: false, name, is_logged_in: false, is_large: false }
    }

    /// Hands over one mail, chunk by chunk. `content` has CRLF line ends; dots are stuffed here. `envelope_id`, some
    /// digits and letters, comes back in a delivery status notification, where the server can do that.
    ///
    /// # Errors
    /// See [`NotAccepted`].
    pub async fn hand_over(
        &mut self,
        from: &Address,
        to: &Address,
        envelope_id: &str,
        content: &Content,
    ) -> Result<HandedOver, NotAccepted> {
        let began = Instant::now();
        self.wire.trace().enter(Step::Envelope);
        self.address(from, to, envelope_id, content.size()).await?;
        self.wire.trace().enter(Step::Data);
        // 354; some old servers say 250, and mean the same.
        self.command(&Data.to_string(), |code| matches!(code, 250 | 300..=399)).await?;
        let (written, reply) = self.send_content(content).await?;
        let (network, bytes) = (self.wire.network(), content.size());
        Ok(HandedOver { reply, began, written, network, bytes })
    }

    /// Makes ready for the next mail after one was refused.
    ///
    /// # Errors
    /// The connection's, or a refusal of RSET itself.
    pub async fn reset(&mut self) -> Result<(), Failure> {
        self.command(&Rset.to_string(), is_ok)
            .await
            .map(drop)
            .map_err(|error| error.failure().clone())
    }

    /// Says goodbye. What comes of it does not matter: the mails are settled.
    pub async fn quit(mut self) {
        self.wire.trace().finish();
        if self.wire.send(Quit.to_string().trim_end()).await.is_ok() {
            self.wire.expect_reply_within(FAREWELL);
            let _ = self.wire.read_line(LINE_BYTES).await;
        }
    }

    fn client_name(&self, name: Option<&str>) -> ClientId {
        match (name, self.wire.local_address()) {
            (Some(name), _) => ClientId::Domain(name.to_owned()),
            (None, Some(IpAddr::V4(address))) => ClientId::Ipv4(address),
            (None, Some(IpAddr::V6(address))) => ClientId::Ipv6(address),
            (None, None) => ClientId::Domain("localhost".to_owned()),
        }
    }

    /// EHLO, or HELO for a server that does not know it (RFC 5321 section 3.2).
    async fn greet(&mut self, name: &ClientId) -> Result<Features, Failure> {
        let ehlo = Ehlo::new(name.clone()).to_string();
        self.name = name.to_string();
        self.wire.send(ehlo.trim_end()).await?;
        let mut reply = self.read_reply().await?;
        if reply.code == 220 {
            // Some greet once more, as behind a relay that has begun TLS for them.
            reply = self.read_reply().await?;
        }
        if is_ok(reply.code) {
            return Ok(Features(reply.lines));
        }
        // Not only 500 to 504: what is older than EHLO has codes of its own for it.
        if !(500..=599).contains(&reply.code) {
            return Err(self.refusal(&reply, "EHLO", false));
        }
        self.wire.send(&format!("HELO {name}")).await?;
        let reply = self.read_reply().await?;
        if is_ok(reply.code) {
            Ok(Features(Vec::new()))
        } else {
            Err(self.refusal(&reply, "HELO", false))
        }
    }

    async fn start_tls(self, dialer: &Dialer, name: &ClientId) -> Result<Self, Failure> {
        let mut smtp = self.shake_hands(dialer).await?;
        // What the server said before TLS could be anybody's word (RFC 3207 section 4.2).
        smtp.features = smtp.greet(name).await?;
        Ok(smtp)
    }

    /// TLS alone: nothing is said under it.
    async fn shake_hands(mut self, dialer: &Dialer) -> Result<Self, Failure> {
        self.wire.trace().enter(Step::Tls);
        if !self.features.has("STARTTLS") {
            let message = "the server does not offer STARTTLS; set tls: implicit for a port with \
                           TLS from the start, or tls: none to go without";
            let fault = Fault::new(Reason::Tls, message).with(self.masked_tls());
            return Err(self.wire.fail(fault));
        }
        self.wire.send(Starttls.to_string().trim_end()).await?;
        let reply = self.read_reply().await?;
        if reply.code != 220 {
            let message = format!("the server refused STARTTLS: {}", self.words(&reply));
            let down = reply.is_going_down();
            let fault = Fault::new(Reason::Tls, message).with(Some(Clue::TlsBroken));
            return Err(self.wire.fail(Fault { down, ..fault }));
        }
        Ok(Self::over(self.wire.start_tls(dialer).await?))
    }

    async fn command(
        &mut self,
        command: &str,
        expected: impl Fn(u16) -> bool,
    ) -> Result<Reply, NotAccepted> {
        let reply = self.exchange(command).await?;
        self.expect(reply, command, expected)
    }

    /// A command and the reply to it, whatever that says.
    async fn exchange(&mut self, command: &str) -> Result<Reply, NotAccepted> {
        self.wire.send(command.trim_end()).await.map_err(NotAccepted::Broken)?;
        self.read_reply().await.map_err(NotAccepted::Broken)
    }

    /// The reply, if its code is as expected.
    fn expect(
        &self,
        reply: Reply,
        command: &str,
        expected: impl Fn(u16) -> bool,
    ) -> Result<Reply, NotAccepted> {
        if expected(reply.code) {
            return Ok(reply);
        }
        let failure = self.refusal(&reply, command.trim_end(), false);
        // 421 announces the end of the connection (RFC 5321 section 3.8).
        Err(if reply.code == 421 || !(400..=599).contains(&reply.code) {
            NotAccepted::Broken(failure)
        } else {
            NotAccepted::Refused(failure)
        })
    }

    /// A reply of one or more lines (RFC 5321 section 4.2). A bare code without text is a reply; an
    /// empty line before it is none, and a line without a code within it is text.
    async fn read_reply(&mut self) -> Result<Reply, Failure> {
        let mut reply = Reply { code: 0, lines: Vec::new() };
        let mut bytes = 0;
        for _ in 0..REPLY_LINES {
            let line = self.wire.read_line(LINE_BYTES).await?;
            bytes += line.len();
            if bytes > REPLY_BYTES {
                let message = format!("a reply of more than {REPLY_BYTES} bytes");
                return Err(self.wire.fail(Fault::new(Reason::Protocol, message)));
            }
            let Some((code, is_last, text)) = parse_reply_line(&line) else {
                if !reply.lines.is_empty() {
                    reply.lines.push(String::from_utf8_lossy(&line).into_owned());
                } else if !line.trim_ascii().is_empty() {
                    return Err(self.wire.fail_protocol(&line));
                }
                continue;
            };
            if reply.code < 400 && code >= 400 {
                // The first lines were said before the server knew (the greeting of postscreen).
                reply.lines.clear();
            }
            reply.code = code;
            reply.lines.push(String::from_utf8_lossy(text).into_owned());
            if is_last {
                return Ok(reply);
            }
        }
        let message = format!("a reply of more than {REPLY_LINES} lines");
        Err(self.wire.fail(Fault::new(Reason::Protocol, message)))
    }

    fn refusal(&self, reply: &Reply, what: &str, down: bool) -> Failure {
        let message = format!("the server refused {what}: {}", self.words(reply));
        let down = down || reply.is_going_down();
        let clue = self.clue(reply);
        // That there is no room for a mail of this size says nothing about the mailbox.
        let reason = match reply.reason() {
            Reason::Quota if clue == Some(Clue::TooLarge) => Reason::Rejected,
            reason => reason,
        };
        let fault = Fault::new(reason, message).with(clue);
        self.wire.fail(Fault { down, ..fault })
    }

    fn words(&self, reply: &Reply) -> String {
        self.wire.trace().words(reply.to_string().as_bytes())
    }
}

/// A reply of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// The text of each line.
    pub lines: Vec<String>,
}

impl Reply {
    /// The enhanced status code (RFC 3463) at the start of the text, as `(5, 2, 2)`.
    pub fn enhanced(&self) -> Option<(u8, u16, u16)> {
        let word = self.lines.first()?.split(' ').next()?;
        let mut parts = word.split('.');
        let code = (
            parts.next()?.parse().ok().filter(|class| matches!(class, 2 | 4 | 5))?,
            parts.next()?.parse().ok()?,
            parts.next()?.parse().ok()?,
        );
        parts.next().is_none().then_some(code)
    }

    /// "System not accepting network messages": the service is about to go.
    fn is_going_down(&self) -> bool {
        self.code == 421 && self.enhanced() == Some((4, 3, 2))
    }

    fn reason(&self) -> Reason {
        match self.code {
            _ if matches!(self.enhanced(), Some((4 | 5, 2, 2))) => Reason::Quota,
            // With an enhanced code it may mean a message that is too large, or that a filter objects.
            552 if self.enhanced().is_none_or(|(_, subject, _)| subject == 2) => Reason::Quota,
            400..=499 => Reason::Deferred,
            500..=599 => Reason::Rejected,
            _ => Reason::Protocol,
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.lines.join(" / "))
    }
}

fn is_ok(code: u16) -> bool {
    (200..=299).contains(&code)
}

/// Code, whether this is the last line, and text, which some servers put right behind the code.
fn parse_reply_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    let code = std::str::from_utf8(digits).ok()?.parse().ok()?;
    if !(200..=599).contains(&code) {
        return None;
    }
    match rest.split_first() {
        None => Some((code, true, rest)),
        Some((b'-', text)) => Some((code, false, text)),
        Some((b'0'..=b'9', _)) => None,
        Some(_) => Some((code, true, rest.trim_ascii_start())),
    }
}
