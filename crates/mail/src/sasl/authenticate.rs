//! Authentication: one login attempt or two, with a password or an access token.

use std::borrow::Cow;

use tokio::time::Instant;

use super::choose;
use crate::auth::{Auth, Login, Mechanism};
use crate::secret::Secret;
use crate::secret_source::Look;
use crate::trace::Trace;
use crate::wire::{Dialer, Wire};
use crate::{Fault, Interrupted, Refusal, RefusalScope};
use ledger::{Clue, Failure, Reason, Step};

/// The mechanisms that show a digest of the password.
const BY_DIGEST: [Mechanism; 3] =
    [Mechanism::ScramSha256, Mechanism::ScramSha1, Mechanism::CramMd5];

/// A session of one protocol that can log in, more than once where needed.
pub(crate) trait Authenticate: Send {
    /// Logs in once with this password or access token.
    fn enter(
        &mut self,
        login: &Login,
        key: &Secret,
    ) -> impl Future<Output = Result<(), LoginFailure>> + Send;

    /// Whether the server offers this mechanism on this connection.
    fn offers(&self, mechanism: &str) -> bool;

    /// Whether the server takes the password by a command of the protocol's own.
    fn takes_password_command(&self) -> bool {
        false
    }

    /// The record of the dialogue.
    fn record(&self) -> &Trace;
}

/// Why a login did not succeed.
#[derive(Debug)]
pub(crate) struct LoginFailure {
    /// What happened.
    pub(crate) failure: Failure,
    /// What that means for another attempt.
    pub(crate) kind: LoginFailureKind,
}

/// What a failed login means for another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoginFailureKind {
    /// The login was refused; the cause may be the mechanism or the credentials.
    Refused,
    /// The server has said that the credentials are wrong: another mechanism would carry the same ones,
    /// and servers punish an address for each wrong password.
    WrongCredentials,
    /// The session is over, or the server refused for a cause of its own.
    Other,
}

impl LoginFailure {
    /// A login that was refused, or for which there is no mechanism.
    pub(crate) fn refused(failure: Failure) -> Self {
        Self { failure, kind: LoginFailureKind::Refused }
    }

    /// The server offers no mechanism that fits; it `offers` these. Whether it `wants_tls` first is said where
    /// it offers none.
    pub(crate) fn without_mechanism(wire: &Wire, offered: &[&str], wants_tls: bool) -> Self {
        let fault = if offered.is_empty() {
            let message = "the server offers no login on this connection";
            Fault::new(Reason::Auth, message).with(Some(Clue::no_login(wants_tls)))
        } else {
            let offered = wire.trace().words(offered.join(" ").as_bytes());
            let message = format!("the server offers no login that fits, only {offered}");
            Fault::new(Reason::Auth, message)
        };
        Self::refused(wire.fail(fault))
    }

    /// Whether it is the login that was refused.
    fn is_refusal(&self) -> bool {
        self.kind != LoginFailureKind::Other
    }

    /// The same after a mechanism whose refusal, if `is_of_a_proof`, means that the credentials are wrong.
    pub(crate) fn after(refusal: Refusal, is_of_a_proof: bool) -> Self {
        let failed = Self::from(Interrupted::Refused(refusal));
        match failed.kind {
            LoginFailureKind::Refused if is_of_a_proof => {
                Self { kind: LoginFailureKind::WrongCredentials, ..failed }
            }
            _ => failed,
        }
    }

    /// The same, where it is a refusal, with the label and the words of a refused login.
    pub(crate) fn of_user(self, username: &str) -> Self {
        if !self.is_refusal() {
            return self;
        }
        let message = format!("the login as {username} was refused: {}", self.failure.message);
        Self { failure: Failure { reason: Reason::Auth, message, ..self.failure }, ..self }
    }
}

impl From<Failure> for LoginFailure {
    fn from(failure: Failure) -> Self {
        // A server may close the connection with its refusal: BYE before NO [AUTHENTICATIONFAILED].
        let kind = match failure.is_refused_login() {
            true => LoginFailureKind::WrongCredentials,
            false => LoginFailureKind::Other,
        };
        Self { failure, kind }
    }
}

impl From<Interrupted> for LoginFailure {
    fn from(interrupted: Interrupted) -> Self {
        let refusal = match interrupted {
            Interrupted::Refused(refusal) => refusal,
            Interrupted::Broken(failure) => return Self::from(failure),
        };
        let kind = match refusal.scope {
            RefusalScope::Request => LoginFailureKind::Refused,
            RefusalScope::Credentials => LoginFailureKind::WrongCredentials,
            RefusalScope::Syntax | RefusalScope::Passing | RefusalScope::Server => {
                LoginFailureKind::Other
            }
        };
        Self { failure: refusal.failure, kind }
    }
}

/// Logs in, with an access token where the login wants one. A token that was kept and is refused may
/// have been revoked: a new one is tried once. A password that is refused by a digest may be right: see
/// [`beside_the_digest`]. It is shown in the same connection the first time only, whatever password comes
/// later, and only where the refusal does not mean that it is wrong.
///
/// # Errors
/// Why there is no token, in step [`Step::Token`]; else those of the login.
pub(crate) async fn enter<S: Authenticate>(
    session: &mut S,
    dialer: &Dialer,
    login: &Login,
    end: Instant,
) -> Result<(), Failure> {
    let trace = session.record().clone();
    let key = dialer.key(login, None, &trace, end).await?;
    trace.enter(Step::Auth);
    let Some(beside) = beside_the_digest(session, dialer, login) else {
        let refusal = match session.enter(login, &key.secret).await {
            Err(refusal) if refusal.is_refusal() => refusal.failure,
            outcome => return outcome.map_err(|refusal| refusal.failure),
        };
        let refusal = Failure { clue: refusal.clue.or(other_auth(session, login)), ..refusal };
        if key.is_new {
            return Err(refusal);
        }
        let key = dialer.key(login, Some(&key.secret), &trace, end).await?;
        trace.enter(Step::Auth);
        return again(session, login, &key.secret, refusal).await;
    };
    let learned = dialer.learned();
    if learned.knows_no_digest() || learned.is_turn_of_password(&key.secret) {
        let outcome = session.enter(&beside, &key.secret).await;
        match &outcome {
            Ok(()) => learned.note_no_digest(),
            Err(refusal) if refusal.is_refusal() => drop(learned.note_refusal(&key.secret)),
            Err(_) => {}
        }
        return outcome.map_err(|refusal| refusal.failure);
    }
    let refusal = match session.enter(login, &key.secret).await {
        Ok(()) => {
            learned.note_digest();
            return Ok(());
        }
        Err(refusal) => refusal,
    };
    if !refusal.is_refusal()
        || !learned.note_refusal(&key.secret)
        || refusal.kind == LoginFailureKind::WrongCredentials
    {
        return Err(refusal.failure);
    }
    let name = beside.auth.label();
    trace.fact(format!("the server may know the password in another form: trying `{name}`"));
    match session.enter(&beside, &key.secret).await {
        Ok(()) => {
            learned.note_no_digest();
            Ok(())
        }
        // If neither succeeds, the outcome of the strongest mechanism is reported.
        Err(_) => Err(refusal.failure),
    }
}

/// A session with a mailbox, as it is opened with one login.
pub(crate) trait Open: Sized + Send {
    /// Opens it; all of it ends at `end` at the latest.
    fn open_with(
        dialer: &Dialer,
        login: &Login,
        trace: Trace,
        end: Instant,
    ) -> impl Future<Output = Result<Self, Failure>> + Send;
}

/// Opens a session, and after a refused login a second one, if the file of the password holds another one by
/// then.
pub(crate) async fn open<S: Open>(
    dialer: &Dialer,
    login: &Login,
    trace: Trace,
    end: Instant,
) -> Result<S, Failure> {
    let made = newest(login, &trace, end).await;
    match S::open_with(dialer, &made, trace.clone(), end).await {
        Err(failure) => {
            let newer = newer(login, &made, failure, &trace, end).await?;
            S::open_with(dialer, &newer, trace, end).await
        }
        open => open,
    }
}

/// The login with the password that its file holds now, as it is to be made.
pub(crate) async fn newest<'a>(login: &'a Login, trace: &Trace, end: Instant) -> Cow<'a, Login> {
    let newest = login.with_newest(Look::IfChanged, end).await;
    if let Cow::Owned(newest) = &newest {
        trace.hide_login(newest);
    }
    newest
}

/// How the login is to be made in a session of its own after one was refused: its file, which is read in
/// any case, may hold another password by now.
///
/// # Errors
/// Why not: the failure of the login that was `made`.
pub(crate) async fn newer<'a>(
    login: &'a Login,
    made: &Login,
    failure: Failure,
    trace: &Trace,
    end: Instant,
) -> Result<Cow<'a, Login>, Failure> {
    if failure.step != Step::Auth || !failure.is_refused_login() {
        return Err(failure);
    }
    let newer = login.with_newest(Look::Always, end).await;
    if newer.credentials.prove_the_same(&made.credentials) {
        return Err(match login.trouble() {
            Some(trouble) => {
                let message = format!("{}; the password is an old one: {trouble}", failure.message);
                Failure { message, ..failure }
            }
            None => failure,
        });
    }
    trace.hide_login(&newer);
    trace
        .fact("the login was refused, and the file holds another password: trying that".to_owned());
    Ok(newer)
}

/// A second login. Some servers leave after a refusal; what they said then is what counts.
async fn again<S: Authenticate>(
    session: &mut S,
    login: &Login,
    key: &Secret,
    refusal: Failure,
) -> Result<(), Failure> {
    match session.enter(login, key).await {
        Err(second) if second.failure.is_closed() => Err(refusal),
        outcome => outcome.map_err(|second| second.failure),
    }
}

/// The `auth` that may work where a digest of the password is refused and the password itself is not shown
/// unasked. `None` where there is none, or no digest was used.
fn other_auth<S: Authenticate>(session: &S, login: &Login) -> Option<Clue> {
    let chosen = choose(login, |mechanism| session.offers(mechanism))?;
    if !BY_DIGEST.contains(&chosen) {
        return None;
    }
    let mut plain = [Mechanism::Plain, Mechanism::Login].into_iter();
    let offered = plain.find(|mechanism| session.offers(mechanism.name()));
    let command = session.takes_password_command().then_some(Mechanism::Login);
    offered.or(command).map(|mechanism| Clue::OtherAuth(Auth::Only(mechanism).label()))
}

/// How to log in if a digest of the password is refused: many servers offer CRAM-MD5 or SCRAM and
/// keep the password in a form from which they cannot make that digest, so that they refuse a right
/// one. The password itself is shown only to a server that has proved who it is, and that could have
/// asked for it by offering no digest. `None` where no digest is used, or a mechanism is named.
fn beside_the_digest<S: Authenticate>(
    session: &S,
    dialer: &Dialer,
    login: &Login,
) -> Option<Login> {
    let chosen = choose(login, |mechanism| session.offers(mechanism))?;
    if login.auth != Auth::Auto || !BY_DIGEST.contains(&chosen) || !dialer.proves_the_server() {
        return None;
    }
    let mechanisms = [Mechanism::Plain, Mechanism::Login];
    let plain = mechanisms.into_iter().find(|mechanism| session.offers(mechanism.name()));
    let auth = Auth::Only(plain.unwrap_or(Mechanism::Login));
    Some(Login { auth, ..login.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_with_which_the_server_hangs_up_is_one_of_the_credentials() {
        let broken = |reason| {
            let failure = Failure {
                step: Step::Auth,
                reason,
                down: false,
                shortage: None,
                clue: None,
                message: "BYE".to_owned(),
            };
            LoginFailure::from(Interrupted::Broken(failure)).kind
        };
        assert_eq!(broken(Reason::Auth), LoginFailureKind::WrongCredentials);
        assert_eq!(broken(Reason::Closed), LoginFailureKind::Other);
    }
}
