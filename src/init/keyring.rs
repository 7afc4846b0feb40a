//! Logging in with what a person has given: twice in vain at one server at most.

use std::io::Write;

use super::Stop;
use super::search::{Choice, too_far};
use crate::config::{Login, Secret};
use crate::roundtrip::terminal::{Look, Terminal};
use mail::Failure;
use mail::auth::{Auth, Mechanism};
use mail::discovery::{self, Entry, Offer, Site, Welcome};
use mail::options::TlsOptions;
use mail::wire::ConnectionContext;

/// A token that is kept as a password is.
const TOKEN: Auth = Auth::Only(Mechanism::OAuthBearer);

/// What logins are made with.
pub(super) struct Keyring<'a> {
    pub(super) password: &'a Secret,
    /// That of the address.
    pub(super) domain: &'a str,
    pub(super) tls_options: &'a TlsOptions,
    pub(super) clients: &'a ConnectionContext,
}

/// Who a server has let in, and how: the configuration says it as well, so that what was tried is what is done from
/// then on.
pub(super) struct Entered {
    /// The server, which may be another one than that which was asked first.
    pub(super) offer: Offer,
    pub(super) name: String,
    pub(super) auth: Auth,
}

/// What one try shows.
type Try<'a> = (&'a str, Auth);

/// Whether a token may be shown in the place of a password.
pub(super) fn shows_token(welcome: &Welcome) -> bool {
    welcome.auths().contains(&TOKEN)
}

/// The logins to try, two at most. A token has no user: it is shown once.
fn tries<'a>(welcome: &Welcome, names: &'a [String]) -> Vec<Try<'a>> {
    let name = names.first().map(String::as_str).unwrap_or_default();
    match welcome.auths() {
        [auth] if *auth != TOKEN => names.iter().map(|name| (name.as_str(), *auth)).collect(),
        auths => auths.iter().map(|auth| (name, *auth)).collect(),
    }
}

/// What a server has taken, for people.
fn shown(offer: &Offer, (name, auth): Try<'_>) -> String {
    match auth == TOKEN && offer.protocol == discovery::MailProtocol::Jmap {
        true => format!("{name}, with a token"),
        false => name.to_owned(),
    }
}

impl Keyring<'_> {
    /// Logs in as the first of these users that the server lets in. `reader` is who the mailbox has let in with this
    /// password.
    pub(super) async fn log_in<W: Write>(
        &self,
        (offer, welcome): &Choice,
        names: &[String],
        reader: Option<&Entered>,
        terminal: &mut Terminal<W>,
    ) -> Result<Entered, Stop> {
        let mut refusal = String::new();
        let tries = tries(welcome, names);
        for (name, auth) in tries.iter().copied() {
            match self.try_once(offer, (name, auth), terminal).await {
                Ok(Entry::Open) => {
                    return Ok(Entered { offer: offer.clone(), name: name.to_owned(), auth });
                }
                Ok(Entry::Elsewhere(site)) => {
                    return self.follow(offer, &site, (name, auth), terminal).await;
                }
                Err(failure) if failure.is_refused_login() => {
                    let words = format!(": {}", failure.message);
                    terminal.paragraph(&[(Look::Plain, &offer.to_string()), (Look::Bad, &words)]);
                    refusal = failure.message;
                }
                Err(failure) => return Err(Stop::because(format!("{offer}: {failure}"))),
            }
        }
        let users: Vec<String> = tries.into_iter().map(|tried| shown(offer, tried)).collect();
        Err(Stop::because(format!(
            "{} does not take this password for {}: {refusal}; it is not tried any further, so that the account is not \
             locked: {}",
            offer.host,
            users.join(" and as "),
            advice(welcome, reader)
        )))
    }

    async fn try_once<W: Write>(
        &self,
        offer: &Offer,
        (name, auth): Try<'_>,
        terminal: &mut Terminal<W>,
    ) -> Result<Entry, Failure> {
        terminal.live(&format!("logging in at {} as {name} …", offer.host));
        let password = self.password.expose().to_owned();
        let login = Login { auth, ..Login::with_password(name, password) };
        let entry = discovery::log_in(offer, &login, self.tls_options, self.clients).await?;
        if entry == Entry::Open {
            let words = format!(": logged in as {}", shown(offer, (name, auth)));
            terminal.paragraph(&[(Look::Plain, &offer.to_string()), (Look::Good, &words)]);
        }
        Ok(entry)
    }

    /// Logs in where a server of JMAP that has taken the login sends its client, if that is of the domain; once, and no
    /// further.
    async fn follow<W: Write>(
        &self,
        offer: &Offer,
        site: &Site,
        (name, auth): Try<'_>,
        terminal: &mut Terminal<W>,
    ) -> Result<Entered, Stop> {
        let stop = || too_far(&offer.host, site, self.domain);
        let moved = offer.moved(site, self.domain).ok_or_else(stop)?;
        let words = format!(": sends its clients to {}:{}", moved.host, moved.port);
        terminal.paragraph(&[(Look::Plain, &offer.to_string()), (Look::Plain, &words)]);
        let because = |failure: &Failure| Stop::because(format!("{moved}: {failure}"));
        // Its certificate, and that it is one of JMAP, before anything is shown to it.
        let welcome = discovery::reach(&moved, self.tls_options, self.clients).await;
        match welcome.map_err(|failure| because(&failure))? {
            Welcome::Elsewhere(site) => return Err(too_far(&moved.host, &site, self.domain)),
            welcome if welcome.auths().contains(&auth) => {}
            _ => {
                let words = format!("{moved}: it takes no login as {} does", offer.host);
                return Err(Stop::because(words));
            }
        }
        let entry = self.try_once(&moved, (name, auth), terminal).await;
        match entry.map_err(|failure| because(&failure))? {
            Entry::Open => Ok(Entered { offer: moved, name: name.to_owned(), auth }),
            Entry::Elsewhere(site) => Err(too_far(&moved.host, &site, self.domain)),
        }
    }
}

/// What to do about a password that a server does not take.
fn advice(welcome: &Welcome, reader: Option<&Entered>) -> String {
    match reader {
        None if shows_token(welcome) => {
            "see whether the provider wants an API token for JMAP, made in its settings, and whether it is whole and still \
             good"
                .to_owned()
        }
        None => "see whether the password is right, whether the provider wants one for this program alone (an app \
                 password), and whether logins by programs are allowed in its settings"
            .to_owned(),
        Some(Entered { auth, offer, .. }) if *auth == TOKEN => format!(
            "{} has taken it as a token, and sending may want a password beside it: write the configuration by hand \
             then, with both: docs/jmap.md",
            offer.host
        ),
        Some(Entered { name, .. }) => format!(
            "the mailbox has taken it for {name}, so the password is right: see whether the account may send by SMTP with \
             a login (a setting of its own at many providers), and as which user"
        ),
    }
}

#[cfg(test)]
mod tests {
    use lettre::Address;

    use super::*;

    #[test]
    fn no_server_is_shown_more_than_two_logins() {
        let address: Address = "rita@example.com".parse().unwrap();
        let names = discovery::usernames(None, &address);
        let plain = Auth::Only(Mechanism::Plain);
        for (welcome, shown) in [
            (Welcome::Password(plain), vec![("rita@example.com", plain), ("rita", plain)]),
            (Welcome::Password(TOKEN), vec![("rita@example.com", TOKEN)]),
            (
                Welcome::PasswordOrToken,
                vec![("rita@example.com", plain), ("rita@example.com", TOKEN)],
            ),
            (Welcome::NoLogin, vec![]),
        ] {
            assert_eq!(tries(&welcome, &names), shown, "{welcome:?}");
        }
    }
}
