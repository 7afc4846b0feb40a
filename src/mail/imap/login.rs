//! Logging in to IMAP: AUTHENTICATE PLAIN and the LOGIN command.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::encode::quote;
use super::parse::Untagged;
use super::{Answer, Imap, Interrupted};
use crate::config::{Auth, Login, Secret};
use crate::mail::{Failure, Fault, Reason};

impl Imap {
    pub(super) async fn log_in(&mut self, login: &Login) -> Result<(), Failure> {
        let offers_plain = self.capabilities.contains("AUTH=PLAIN");
        let offers_login = !self.capabilities.contains("LOGINDISABLED");
        let use_plain = match login.auth {
            Auth::Auto => offers_plain,
            Auth::Plain => true,
            Auth::Login => false,
        };
        if if use_plain { !offers_plain } else { !offers_login } {
            let message = "the server offers no login that fits on this connection; if it wants \
                           TLS first, set `tls: starttls` or `tls: implicit`";
            return Err(self.wire.fail(Fault::new(Reason::Auth, message)));
        }
        let outcome =
            if use_plain { self.authenticate_plain(login).await } else { self.login(login).await };
        let answer = outcome.map_err(|failure| login_failure(failure, &login.username))?;
        // A login may change what the server can do.
        self.capabilities.clear();
        self.take_capability_code(answer.code.as_deref());
        for untagged in answer.untagged {
            if let Untagged::Capability(words) = untagged {
                self.capabilities = words.into_iter().collect();
            }
        }
        if self.capabilities.is_empty() {
            self.ask_capabilities().await?;
        }
        Ok(())
    }

    /// SASL PLAIN (RFC 4616), the response in the command where the server allows it.
    async fn authenticate_plain(&mut self, login: &Login) -> Result<Answer, Failure> {
        let response =
            BASE64_STANDARD.encode(format!("\0{}\0{}", login.username, login.password.expose()));
        let tag = self.next_tag();
        if self.capabilities.contains("SASL-IR") {
            let line = format!("{tag} AUTHENTICATE PLAIN {response}");
            self.wire.send_secret(&line, &format!("{tag} AUTHENTICATE PLAIN <secret>")).await?;
        } else {
            self.wire.send(&format!("{tag} AUTHENTICATE PLAIN")).await?;
        }
        let mut answer = self.read_answer(&tag, &mut |_, _| {}).await;
        if let Err(Interrupted::Continuation) = answer {
            self.wire.send_secret(&response, Secret::SHOWN).await?;
            answer = self.read_answer(&tag, &mut |_, _| {}).await;
        }
        answer.map_err(|interrupted| self.no_continuation(interrupted))
    }

    /// The LOGIN command; what cannot stand in quotes goes as a literal.
    async fn login(&mut self, login: &Login) -> Result<Answer, Failure> {
        let tag = self.next_tag();
        let mut line = format!("{tag} LOGIN");
        let mut shown = line.clone();
        for (value, is_secret) in
            [(login.username.as_str(), false), (login.password.expose(), true)]
        {
            let can_quote = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
            if can_quote {
                line.push(' ');
                line.push_str(&quote(value.as_bytes()));
                shown.push_str(if is_secret { " <secret>" } else { " ..." });
                continue;
            }
            line.push_str(&format!(" {{{}}}", value.len()));
            shown.push_str(" {literal}");
            self.wire.send_secret(&line, &shown).await?;
            match self.read_answer(&tag, &mut |_, _| {}).await {
                Err(Interrupted::Continuation) => {}
                Err(interrupted) => return Err(self.no_continuation(interrupted)),
                Ok(_) => return Err(self.wire.fail_protocol(b"OK to half a LOGIN")),
            }
            line = value.to_owned();
            shown = Secret::SHOWN.to_owned();
        }
        self.wire.send_secret(&line, &shown).await?;
        self.read_answer(&tag, &mut |_, _| {})
            .await
            .map_err(|interrupted| self.no_continuation(interrupted))
    }
}

/// A refused login is a matter of the login, whatever the server calls it, unless it says that
/// something else is wrong.
fn login_failure(failure: Failure, username: &str) -> Failure {
    match failure.reason {
        Reason::Rejected | Reason::Auth => Failure {
            reason: Reason::Auth,
            message: format!("the login as {username} was refused: {}", failure.message),
            ..failure
        },
        _ => failure,
    }
}
