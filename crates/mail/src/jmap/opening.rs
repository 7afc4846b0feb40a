//! The way in: the session resource is asked for, with the login or before there is one.

use tokio::time::Instant;

use super::calls::Asked;
use super::channel::{Answer, Channel, Question};
use super::refusal::{is_redirect, reason_of, refused};
use super::resource::{Resource, Useless, path_on, resolved};
use super::{JSON, Jmap, Site, Ways};
use crate::auth::Login;
use crate::sasl::{self, Authenticate, LoginFailure, LoginFailureKind, Open};
use crate::secret::Secret;
use crate::trace::Trace;
use crate::wire::Dialer;
use ledger::{Clue, Failure, Reason, Step};

/// Where a server is asked for its session resource (RFC 8620 section 2.2).
const WELL_KNOWN: &str = "/.well-known/jmap";
/// How many redirects lead to it at most.
const REDIRECTS: usize = 5;
/// The longest session resource.
const RESOURCE_BYTES: usize = 256 << 10;

/// What a server answers to a client that shows no login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// It wants one, in these ways as far as it says.
    Login(Ways),
    /// It sends its clients to another server.
    Elsewhere(Site),
}

/// What became of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The session is open.
    Open,
    /// The server sends its client to another one, which has not been asked.
    Elsewhere(Site),
}

impl Jmap {
    /// Asks for the session resource without a login, which ends at `end` at the latest.
    ///
    /// # Errors
    /// The first step that fails; [`Reason::Protocol`] where there is no JMAP, or everybody is let in.
    pub async fn greet(dialer: &Dialer, trace: Trace, end: Instant) -> Result<Greeting, Failure> {
        let mut jmap = Self::new(Channel::open(dialer, trace, end).await?);
        match jmap.ask_for_resource().await {
            Ok(answer) if answer.status == 401 => Ok(Greeting::Login(answer.ways)),
            Ok(answer) if answer.status == 200 => {
                let message =
                    "the server answers as if it were JMAP for everybody, without a login";
                Err(jmap.fail(Reason::Protocol, message.to_owned()))
            }
            Ok(answer) => Err(jmap.no_resource(&answer)),
            Err(failure) => jmap.elsewhere.take().map(Greeting::Elsewhere).ok_or(failure),
        }
    }

    /// Logs in as [`Jmap::open`] does, once, and goes.
    ///
    /// # Errors
    /// Those of [`Jmap::open`], but for a server that sends its client to another one that has a name.
    pub async fn enter_once(
        dialer: &Dialer,
        login: &Login,
        trace: Trace,
        end: Instant,
    ) -> Result<Entry, Failure> {
        let mut jmap = Self::new(Channel::open(dialer, trace, end).await?);
        match sasl::enter(&mut jmap, dialer, login, end).await {
            Ok(()) => Ok(Entry::Open),
            Err(failure) => jmap.elsewhere.take().map(Entry::Elsewhere).ok_or(failure),
        }
    }

    fn new(channel: Channel) -> Self {
        Self {
            channel,
            resource: None,
            elsewhere: None,
            login: None,
            key: None,
            asked: Asked::default(),
        }
    }

    /// Asks for the session resource, wherever on the server it is.
    async fn ask_for_resource(&mut self) -> Result<Answer, Failure> {
        let mut path = WELL_KNOWN.to_owned();
        for _ in 0..=REDIRECTS {
            // What follows the question mark may be a secret of the server.
            let name = format!("GET {}", path.split('?').next().unwrap_or_default());
            let question =
                Question { path: &path, body: None, name: &name, accept: JSON, range: None };
            let answer = self.channel.ask(Step::Auth, &question, RESOURCE_BYTES).await?;
            let Some(location) = answer.location.as_deref().filter(|_| is_redirect(&answer)) else {
                return Ok(answer);
            };
            path = path_on(&resolved(location, &path), self.channel.endpoint())
                .map_err(|useless| self.useless(useless))?;
        }
        Err(self.fail(Reason::Protocol, "the server redirects without end".to_owned()))
    }

    fn useless(&mut self, useless: Useless) -> Failure {
        match useless {
            Useless::Flaw(message) => self.fail(Reason::Protocol, message),
            Useless::Elsewhere(site, message) => {
                self.elsewhere = site;
                let failure = self.fail(Reason::Protocol, message);
                Failure { clue: Some(Clue::Elsewhere), ..failure }
            }
        }
    }

    /// The failure of an answer that is no session resource.
    fn no_resource(&self, answer: &Answer) -> Failure {
        let is_none = answer.status == 404;
        let what = if is_none { "there is no JMAP here: " } else { "" };
        let failure = self.fail(reason_of(answer), format!("{what}{}", refused(answer)));
        Failure { clue: is_none.then_some(Clue::NoJmap), ..failure }
    }
}

impl Authenticate for Jmap {
    async fn enter(&mut self, login: &Login, key: &Secret) -> Result<(), LoginFailure> {
        if !self.authorize(login, key) {
            let message = "a token is one word of ASCII without blanks, and this is not";
            return Err(self.fail(Reason::Auth, message.to_owned()).into());
        }
        let answer = self.ask_for_resource().await?;
        // Providers say 403 of a token without the rights that it needs, and of an account that is locked: the same
        // login would be refused again.
        if matches!(answer.status, 401 | 403) {
            let failure = self.fail(Reason::Auth, refused(&answer));
            let kind = LoginFailureKind::WrongCredentials;
            return Err(LoginFailure { failure, kind }.of_user(&login.username));
        }
        if answer.is_cut {
            let message = format!("the session resource has more than {RESOURCE_BYTES} bytes");
            return Err(self.fail(Reason::Protocol, message).into());
        }
        if answer.status != 200 {
            return Err(self.no_resource(&answer).into());
        }
        let resource = Resource::read(&answer.body, self.channel.endpoint());
        self.resource = Some(resource.map_err(|useless| self.useless(useless))?);
        Ok(())
    }

    fn offers(&self, _: &str) -> bool {
        false
    }

    fn record(&self) -> &Trace {
        self.trace()
    }
}

impl Open for Jmap {
    async fn open_with(
        dialer: &Dialer,
        login: &Login,
        trace: Trace,
        end: Instant,
    ) -> Result<Self, Failure> {
        let mut jmap = Self::new(Channel::open(dialer, trace, end).await?);
        sasl::enter(&mut jmap, dialer, login, end).await?;
        Ok(jmap)
    }
}
