//! Entering: one login or two, with a password or an access token.

use tokio::time::Instant;

use super::choose;
use crate::config::{Auth, Login, Mechanism, Secret};
use crate::mail::trace::Trace;
use crate::mail::wire::Dialer;
use crate::mail::{Clue, Failure, Reason, Stage};

/// The mechanisms that show a digest of the password.
const BY_DIGEST: [Mechanism; 3] =
    [Mechanism::ScramSha256, Mechanism::ScramSha1, Mechanism::CramMd5];

/// A protocol that can log in, as often as it must.
pub(in crate::mail) trait Door: Send {
    /// Logs in once with this password or access token.
    fn enter(
        &mut self,
        login: &Login,
        key: &Secret,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Whether the server offers this mechanism on this connection.
    fn offers(&self, mechanism: &str) -> bool;

    /// Whether the server takes the password by a command of the protocol's own.
    fn takes_password_command(&self) -> bool {
        false
    }

    /// The record of the dialogue.
    fn record(&self) -> &Trace;
}

/// Logs in, with an access token where the login wants one. A token that was kept and is refused may
/// have been revoked: a new one is tried once. A password that is refused by a digest may be right:
/// see [`beside_the_digest`].
///
/// # Errors
/// Why there is no token, in stage [`Stage::Token`]; else those of the login.
pub(in crate::mail) async fn enter<D: Door>(
    door: &mut D,
    dialer: &Dialer,
    login: &Login,
    end: Instant,
) -> Result<(), Failure> {
    let trace = door.record().clone();
    let key = dialer.key(login, None, &trace, end).await?;
    trace.enter(Stage::Auth);
    let beside = beside_the_digest(door, dialer, login);
    if let Some(beside) = beside.as_ref().filter(|_| dialer.learned().knows_no_digest()) {
        return door.enter(beside, &key.secret).await;
    }
    let refusal = match door.enter(login, &key.secret).await {
        Err(refusal) if refusal.reason == Reason::Auth => match beside {
            Some(_) => refusal,
            None => Failure { clue: refusal.clue.or(other_auth(door, login)), ..refusal },
        },
        outcome => return outcome,
    };
    let outcome = if !key.is_new {
        let key = dialer.key(login, Some(&key.secret), &trace, end).await?;
        trace.enter(Stage::Auth);
        door.enter(login, &key.secret).await
    } else if let Some(beside) = beside.filter(|_| dialer.learned().refused_digest()) {
        let name = beside.auth.label();
        trace.fact(format!("the server may know the password in another form: trying `{name}`"));
        let outcome = door.enter(&beside, &key.secret).await;
        if outcome.is_ok() {
            dialer.learned().note_no_digest();
        }
        // What the strongest mechanism came to is told, if neither lets in.
        outcome.map_err(|_| refusal.clone())
    } else {
        return Err(refusal);
    };
    // Some servers leave after a refusal; what they said then is what counts.
    outcome.map_err(|failure| if failure.reason == Reason::Closed { refusal } else { failure })
}

/// The `auth` that may work where a digest of the password is refused and the password itself is not shown
/// unasked. `None` where there is none, or no digest was used.
fn other_auth<D: Door>(door: &D, login: &Login) -> Option<Clue> {
    let chosen = choose(login, |mechanism| door.offers(mechanism))?;
    if !BY_DIGEST.contains(&chosen) {
        return None;
    }
    let mut plain = [Mechanism::Plain, Mechanism::Login].into_iter();
    let offered = plain.find(|mechanism| door.offers(mechanism.name()));
    let command = door.takes_password_command().then_some(Mechanism::Login);
    offered.or(command).map(|mechanism| Clue::OtherAuth(Auth::Only(mechanism).label()))
}

/// How to log in if a digest of the password is refused: many servers offer CRAM-MD5 or SCRAM and
/// keep the password in a form from which they cannot make that digest, so that they refuse a right
/// one. The password itself is shown only to a server that has proved who it is, and that could have
/// asked for it by offering no digest. `None` where no digest is used, or a mechanism is named.
fn beside_the_digest<D: Door>(door: &D, dialer: &Dialer, login: &Login) -> Option<Login> {
    let chosen = choose(login, |mechanism| door.offers(mechanism))?;
    if login.auth != Auth::Auto || !BY_DIGEST.contains(&chosen) || !dialer.proves_the_server() {
        return None;
    }
    let mechanisms = [Mechanism::Plain, Mechanism::Login];
    let plain = mechanisms.into_iter().find(|mechanism| door.offers(mechanism.name()));
    let auth = Auth::Only(plain.unwrap_or(Mechanism::Login));
    Some(Login { auth, ..login.clone() })
}
