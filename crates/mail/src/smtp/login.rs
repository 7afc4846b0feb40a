//! Logging in to SMTP: AUTH (RFC 4954).

use super::{Reply, Smtp};
use crate::Fault;
use crate::auth::{Login, Mechanism};
use crate::sasl::{self, Authenticate, LoginFailure, LoginFailureKind, SaslTransport, ServerReply};
use crate::secret::Secret;
use crate::trace::Trace;
use ledger::{Failure, Reason};

/// The longest command that every server reads, its end included (RFC 5321 section 4.5.3.1.4).
const COMMAND_BYTES: usize = 512;

impl Smtp {
    async fn log_in(&mut self, login: &Login, key: &Secret) -> Result<(), LoginFailure> {
        let mechanism = self.mechanism(login).map_err(LoginFailure::refused)?;
        let outcome = sasl::log_in(self, mechanism, &login.username, key).await?;
        let reply = outcome.answer;
        if Self::is_success(&reply) {
            return Ok(());
        }
        let mut message =
            format!("the login as {} was refused: {}", login.username, self.words(&reply));
        if let Some(objection) = outcome.objection {
            message += &format!(", {objection}");
        }
        let reason = match reply.code {
            500..=599 => Reason::Auth,
            400..=499 => Reason::Deferred,
            _ => Reason::Protocol,
        };
        let down = reply.is_going_down();
        let fault = Fault::new(reason, message).with(self.clue(&reply));
        let failure = self.wire.fail(Fault { down, ..fault });
        // A mechanism that is too weak, and a disabled account (RFC 5248). 5.7.8 says less than it
        // seems to: it is the answer of Postfix as well where Cyrus SASL has no secret for a digest.
        let is_told = matches!(reply.enhanced(), Some((5, 7, 9 | 13)));
        let kind = match reply.code {
            500..=599 if outcome.is_of_a_proof || is_told => LoginFailureKind::WrongCredentials,
            500..=599 => LoginFailureKind::Refused,
            _ => LoginFailureKind::Other,
        };
        Err(LoginFailure { failure, kind })
    }

    fn mechanism(&self, login: &Login) -> Result<Mechanism, Failure> {
        if let Some(mechanism) = sasl::choose(login, |mechanism| self.offers(mechanism)) {
            return Ok(mechanism);
        }
        let offered = self.features.mechanisms();
        if offered.is_empty() {
            let message = "the server offers no login (AUTH) on this connection";
            let fault = Fault::new(Reason::Auth, message).with(Some(self.no_login()));
            return Err(self.wire.fail(fault));
        }
        let offered = self.wire.trace().words(offered.join(" ").as_bytes());
        let message = format!("the server offers no login that fits, only {offered}");
        Err(self.wire.fail(Fault::new(Reason::Auth, message)))
    }
}

impl Authenticate for Smtp {
    async fn enter(&mut self, login: &Login, key: &Secret) -> Result<(), LoginFailure> {
        self.log_in(login, key).await
    }

    fn offers(&self, mechanism: &str) -> bool {
        self.features.mechanisms().iter().any(|offered| offered == mechanism)
    }

    fn record(&self) -> &Trace {
        self.wire.trace()
    }
}

impl SaslTransport for Smtp {
    type Answer = Reply;

    async fn begin(&mut self, mechanism: Mechanism, initial: Option<&str>) -> Result<(), Failure> {
        let command = format!("AUTH {}", mechanism.name());
        self.wire.send_with(&command, initial).await
    }

    /// A longer one has to go in a line of its own, for which servers have more room (RFC 4954
    /// section 4). Access tokens are that long; Postfix reads 2,048 bytes of a command.
    fn takes_initial_response(&self, mechanism: Mechanism, response: &str) -> bool {
        "AUTH  \r\n".len() + mechanism.name().len() + response.len() <= COMMAND_BYTES
    }

    async fn say(&mut self, line: &str, shown: &str) -> Result<(), Failure> {
        self.wire.send_secret(line, shown).await
    }

    async fn hear(&mut self) -> Result<ServerReply<Reply>, Failure> {
        let reply = self.read_reply().await?;
        if reply.code == 334 {
            return Ok(ServerReply::Challenge(reply.lines.concat().into_bytes()));
        }
        Ok(ServerReply::Answer(reply))
    }

    fn is_success(reply: &Reply) -> bool {
        reply.code == 235
    }

    fn trace(&self) -> &Trace {
        self.wire.trace()
    }
}
