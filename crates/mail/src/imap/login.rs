//! Logging in to IMAP: AUTHENTICATE (RFC 3501 section 6.2.2), or the LOGIN command where the server
//! offers no mechanism that fits.

use super::Imap;
use super::answer::{Answer, NotOk};
use super::encode::quote;
use crate::auth::{Login, Mechanism};
use crate::sasl::{self, Authenticate, LoginFailure, SaslTransport, ServerReply};
use crate::secret::Secret;
use crate::trace::Trace;
use crate::{Interrupted, Refusal, text};
use ledger::Failure;

/// How many characters of a response code to a login are shown.
const CODE: usize = 200;

impl Imap {
    async fn log_in(&mut self, login: &Login, key: &Secret) -> Result<(), LoginFailure> {
        let takes_command = login.may_use_command() && !self.capabilities.contains("LOGINDISABLED");
        let answer = match sasl::choose(login, |mechanism| self.offers(mechanism)) {
            Some(mechanism) => self.authenticate(mechanism, login, key).await,
            None if takes_command => self.login(login, key).await.map_err(LoginFailure::from),
            None => return Err(self.without_mechanism()),
        };
        let answer = answer.map_err(|failed| failed.of_user(&login.username))?;
        self.login_error = answer.code.as_deref().and_then(|code| self.error_in(code));
        // A login may change what the server can do.
        self.capabilities.clear();
        self.take_capability_code(answer.code.as_deref())?;
        if let Some(words) = answer.capabilities {
            self.capabilities = words.into_iter().collect();
        }
        if self.capabilities.is_empty() {
            self.ask_capabilities().await?;
        }
        Ok(())
    }

    async fn authenticate(
        &mut self,
        mechanism: Mechanism,
        login: &Login,
        key: &Secret,
    ) -> Result<Answer, LoginFailure> {
        let outcome = sasl::log_in(self, mechanism, &login.username, key).await?;
        outcome.answer.map_err(|Refusal { mut failure, scope }| {
            if let Some(objection) = outcome.objection {
                failure.message += &format!(", {objection}");
            }
            LoginFailure::after(Refusal { failure, scope }, outcome.is_of_a_proof)
        })
    }

    /// Exchange says OK to a login and gives in the response code why the mailbox is not available.
    fn error_in(&self, code: &str) -> Option<String> {
        code.starts_with("Error=").then(|| text::cut_to(&self.trace().words(code.as_bytes()), CODE))
    }

    fn without_mechanism(&self) -> LoginFailure {
        let offered = self.capabilities.iter().filter_map(|word| word.strip_prefix("AUTH="));
        let wants_tls = !self.wire.is_protected() && self.capabilities.contains("STARTTLS");
        LoginFailure::without_mechanism(&self.wire, &offered.collect::<Vec<_>>(), wants_tls)
    }

    /// The LOGIN command; what cannot stand in quotes goes as a literal.
    async fn login(&mut self, login: &Login, key: &Secret) -> Result<Answer, Interrupted> {
        let tag = self.next_tag();
        let mut line = format!("{tag} LOGIN");
        let mut shown = line.clone();
        for (value, is_secret) in [(login.username.as_str(), false), (key.expose(), true)] {
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
                Err(NotOk::Continuation(_)) => {}
                Err(not_ok) => return Err(self.no_continuation(not_ok)),
                Ok(_) => return Err(self.wire.fail_protocol(b"OK to half a LOGIN").into()),
            }
            line = value.to_owned();
            shown = Secret::SHOWN.to_owned();
        }
        self.wire.send_secret(&line, &shown).await?;
        self.read_answer(&tag, &mut |_, _| {}).await.map_err(|not_ok| self.no_continuation(not_ok))
    }
}

impl Authenticate for Imap {
    async fn enter(&mut self, login: &Login, key: &Secret) -> Result<(), LoginFailure> {
        self.log_in(login, key).await
    }

    fn offers(&self, mechanism: &str) -> bool {
        self.capabilities.contains(&format!("AUTH={mechanism}"))
    }

    fn takes_password_command(&self) -> bool {
        !self.capabilities.contains("LOGINDISABLED")
    }

    fn record(&self) -> &Trace {
        self.wire.trace()
    }
}

impl SaslTransport for Imap {
    type Answer = Result<Answer, Refusal>;

    async fn begin(&mut self, mechanism: Mechanism, initial: Option<&str>) -> Result<(), Failure> {
        let tag = self.next_tag();
        let command = format!("{tag} AUTHENTICATE {}", mechanism.name());
        self.wire.send_with(&command, initial).await
    }

    fn takes_initial_response(&self, _: Mechanism, _: &str) -> bool {
        self.capabilities.contains("SASL-IR")
    }

    async fn say(&mut self, line: &str, shown: &str) -> Result<(), Failure> {
        self.wire.send_secret(line, shown).await
    }

    async fn hear(&mut self) -> Result<ServerReply<Self::Answer>, Failure> {
        let tag = self.newest_tag();
        match self.read_answer(&tag, &mut |_, _| {}).await {
            Ok(answer) => Ok(ServerReply::Answer(Ok(answer))),
            Err(NotOk::Continuation(challenge)) => Ok(ServerReply::Challenge(challenge)),
            Err(NotOk::Interrupted(Interrupted::Refused(refusal))) => {
                Ok(ServerReply::Answer(Err(refusal)))
            }
            Err(NotOk::Interrupted(Interrupted::Broken(failure))) => Err(failure),
        }
    }

    fn is_success(answer: &Self::Answer) -> bool {
        answer.is_ok()
    }

    fn trace(&self) -> &Trace {
        self.wire.trace()
    }
}
