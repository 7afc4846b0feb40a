//! Logging in to POP3: AUTH (RFC 5034), or USER and PASS or APOP (RFC 1939 section 7) where the
//! server offers no mechanism that fits.

use openssl::hash::{MessageDigest, hash};

use super::{LINE_BYTES, Pop3};
use crate::auth::{Auth, Login, Mechanism};
use crate::net::tls;
use crate::sasl::{self, Authenticate, LoginFailure, SaslTransport, ServerReply};
use crate::secret::Secret;
use crate::trace::Trace;
use crate::{Fault, Interrupted, Refusal, RefusalScope};
use ledger::{Clue, Failure, Reason};

impl Pop3 {
    async fn log_in(&mut self, login: &Login, key: &Secret) -> Result<(), LoginFailure> {
        let takes_command = login.may_use_command();
        // `auth: login` is the way around a timestamp that stands for no APOP.
        let is_named = login.auth != Auth::Auto;
        let offers_user = self.takes_password_command();
        let has_codes = self.capability("AUTH-RESP-CODE").is_some();
        let failed = |interrupted| LoginFailure::from(by_code(interrupted, has_codes));
        let outcome = match sasl::choose(login, |mechanism| self.offers(mechanism)) {
            Some(mechanism) => self.authenticate(mechanism, login, key).await,
            // A digest of the password shows less of it, but many servers greet with a timestamp
            // and know no password to make the digest of.
            None if takes_command && offers_user && (self.wire.is_protected() || is_named) => {
                self.user_pass(login, key).await.map_err(failed)
            }
            None if takes_command => match self.timestamp.clone() {
                Some(timestamp) => self.apop(login, key, &timestamp).await.map_err(failed),
                None if offers_user => self.user_pass(login, key).await.map_err(failed),
                None => return Err(self.without_mechanism()),
            },
            None => return Err(self.without_mechanism()),
        };
        outcome.map_err(|failed| failed.of_user(&login.username))
    }

    async fn authenticate(
        &mut self,
        mechanism: Mechanism,
        login: &Login,
        key: &Secret,
    ) -> Result<(), LoginFailure> {
        let outcome = sasl::log_in(self, mechanism, &login.username, key).await?;
        let has_codes = self.capability("AUTH-RESP-CODE").is_some();
        self.check_status(&outcome.answer).map_err(|interrupted| {
            match by_code(interrupted, has_codes) {
                Interrupted::Refused(Refusal { mut failure, scope }) => {
                    if let Some(objection) = outcome.objection {
                        failure.message += &format!(", {objection}");
                    }
                    LoginFailure::after(Refusal { failure, scope }, outcome.is_of_a_proof)
                }
                broken @ Interrupted::Broken(_) => broken.into(),
            }
        })
    }

    fn without_mechanism(&self) -> LoginFailure {
        let offered = self.capability("SASL").and_then(|words| words.get(1..)).unwrap_or_default();
        let wants_tls = !self.wire.is_protected() && self.capability("STLS").is_some();
        let offered: Vec<&str> = offered.iter().map(String::as_str).collect();
        LoginFailure::without_mechanism(&self.wire, &offered, wants_tls)
    }

    async fn user_pass(&mut self, login: &Login, key: &Secret) -> Result<(), Interrupted> {
        self.command(&format!("USER {}", login.username)).await?;
        self.wait_with_the_last().await;
        let line = format!("PASS {}", key.expose());
        self.wire.send_secret(&line, "PASS <secret>").await?;
        let line = self.wire.read_line(LINE_BYTES).await?;
        self.check_status(&line)
    }

    async fn apop(
        &mut self,
        login: &Login,
        key: &Secret,
        timestamp: &str,
    ) -> Result<(), Interrupted> {
        let text = format!("{timestamp}{}", key.expose());
        let digest = hash(MessageDigest::md5(), text.as_bytes()).map_err(|error| {
            let message = format!(
                "MD5 is not to be had on this machine ({}); have the server offer another login \
                 than APOP",
                tls::words(&error)
            );
            self.wire.fail(Fault::new(Reason::Other, message))
        })?;
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.wire.trace().hide(&digest);
        let command = format!("APOP {}", login.username);
        let shown = format!("{command} {}", Secret::SHOWN);
        self.wait_with_the_last().await;
        self.wire.send_secret(&format!("{command} {digest}"), &shown).await?;
        let line = self.wire.read_line(LINE_BYTES).await?;
        self.check_status(&line).map_err(|interrupted| match interrupted {
            // Many greet with a timestamp and know no password to make the digest of.
            Interrupted::Refused(Refusal {
                failure,
                scope: scope @ (RefusalScope::Request | RefusalScope::Credentials),
            }) if self.takes_password_command() => {
                let clue = Some(Clue::OtherAuth(Mechanism::Login.label()));
                Interrupted::Refused(Refusal { failure: Failure { clue, ..failure }, scope })
            }
            interrupted => interrupted,
        })
    }
}

impl Authenticate for Pop3 {
    async fn enter(&mut self, login: &Login, key: &Secret) -> Result<(), LoginFailure> {
        self.log_in(login, key).await
    }

    fn offers(&self, mechanism: &str) -> bool {
        let offered = self.capability("SASL").unwrap_or_default();
        offered.iter().skip(1).any(|word| word == mechanism)
    }

    fn takes_password_command(&self) -> bool {
        self.capabilities.is_empty() || self.capability("USER").is_some()
    }

    fn record(&self) -> &Trace {
        self.wire.trace()
    }
}

impl SaslTransport for Pop3 {
    type Answer = Vec<u8>;

    async fn begin(&mut self, mechanism: Mechanism, _: Option<&str>) -> Result<(), Failure> {
        self.wire.send(&format!("AUTH {}", mechanism.name())).await
    }

    /// Servers older than RFC 5034 do not take it, and CAPA does not tell them apart.
    fn takes_initial_response(&self, _: Mechanism, _: &str) -> bool {
        false
    }

    async fn say(&mut self, line: &str, shown: &str) -> Result<(), Failure> {
        self.wire.send_secret(line, shown).await
    }

    async fn before_the_last(&mut self) {
        self.wait_with_the_last().await;
    }

    async fn hear(&mut self) -> Result<ServerReply<Vec<u8>>, Failure> {
        let line = self.wire.read_line(LINE_BYTES).await?;
        match line.strip_prefix(b"+") {
            Some(challenge) if super::split_status(&line).is_none() => {
                Ok(ServerReply::Challenge(challenge.trim_ascii().to_vec()))
            }
            _ => Ok(ServerReply::Answer(line)),
        }
    }

    fn is_success(line: &Vec<u8>) -> bool {
        matches!(super::split_status(line), Some((true, _)))
    }

    fn trace(&self) -> &Trace {
        self.wire.trace()
    }
}

/// What a refused login concerns. A server that `has_codes` (RFC 3206) marks wrong credentials: where it gives
/// no code, it refused for another cause.
fn by_code(interrupted: Interrupted, has_codes: bool) -> Interrupted {
    match interrupted {
        Interrupted::Refused(Refusal { failure, scope: RefusalScope::Request }) if has_codes => {
            Interrupted::Refused(Refusal { failure, scope: RefusalScope::Server })
        }
        interrupted => interrupted,
    }
}

/// The timestamp of a greeting that stands for APOP: a message id in angle brackets.
pub(super) fn timestamp(greeting: &[u8]) -> Option<String> {
    let start = greeting.iter().position(|byte| *byte == b'<')?;
    let rest = greeting.get(start..)?;
    let end = rest.iter().position(|byte| *byte == b'>')?;
    let found = rest.get(..=end)?;
    let is_id = found.contains(&b'@') && found.iter().all(u8::is_ascii_graphic);
    is_id.then(|| String::from_utf8_lossy(found).into_owned())
}
