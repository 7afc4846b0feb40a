//! `--web.config.file`: TLS and users of the listener, in the format of the exporter-toolkit.
//!
//! The whole format is known; any other key is an error. HTTP/2 is not spoken, whether it is asked
//! for or not: a client that would like to speak it agrees on HTTP/1.1 in the TLS handshake.
//! The file and those that it names are read again when they change, so that certificates rotate
//! without a restart; a broken one changes nothing.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderValue};
use tokio::time::{Instant, timeout};

use basic::{PasswordChecks, Users};
use file::Headers;
use problems::Problems;
use rate::RateLimit;
use tls::Tls;
use watched::Watched;

use super::door::Peer;
use mail::threads;

pub use problems::WebConfigError;

pub(in crate::web) use basic::{Admission, too_many_checks, unauthorized};

pub(crate) mod basic;
mod file;
mod line;
mod problems;
mod rate;
mod tls;
mod watched;

/// How the listener is protected. Clones share the state.
#[derive(Clone)]
pub struct WebConfig {
    shared: Arc<Shared>,
}

/// What is in force at the moment.
#[derive(Default)]
pub(in crate::web) struct Protection {
    tls: Option<Tls>,
    knows_clients: bool,
    users: Users,
    headers: Headers,
    rate_limit: Option<RateLimit>,
}

impl WebConfig {
    /// The least time between two looks at the files.
    const CHECK_INTERVAL: Duration = Duration::from_secs(1);

    /// How long a request waits for such a look: only a file system that hangs takes so long.
    const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

    /// No TLS, no users: what is served without `--web.config.file`.
    pub fn none() -> Self {
        Self::new(None, Protection::default(), Watched::default(), Self::CHECK_INTERVAL)
    }

    /// Reads the file at `path` and the files that it names; relative paths in it are relative to
    /// its folder. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once: each problem with file, line and key.
    pub fn load(path: &Path) -> Result<Self, WebConfigError> {
        Self::load_checked_every(path, Self::CHECK_INTERVAL)
    }

    /// [`Self::load`] with another time between two looks at the files.
    pub(in crate::web) fn load_checked_every(
        path: &Path,
        interval: Duration,
    ) -> Result<Self, WebConfigError> {
        let (protection, watched) = read(path);
        Ok(Self::new(Some(path.to_owned()), protection?, watched, interval))
    }

    fn new(
        path: Option<PathBuf>,
        protection: Protection,
        watched: Watched,
        interval: Duration,
    ) -> Self {
        let next_look = Some(Instant::now() + interval);
        let state = State { protection: Arc::new(protection), watched, next_look };
        let checks = PasswordChecks::new();
        Self { shared: Arc::new(Shared { path, interval, state: Mutex::new(state), checks }) }
    }

    /// Whether every client has to prove who it is: by a user's password, or by a certificate
    /// under `RequireAndVerifyClientCert`.
    pub fn has_authentication(&self) -> bool {
        let protection = self.state().protection.clone();
        protection.has_users() || protection.knows_clients
    }

    /// Whether clients have to speak TLS.
    pub fn has_tls(&self) -> bool {
        self.state().protection.tls.is_some()
    }

    /// Whether a client without a certificate is sent away.
    pub fn demands_certificate(&self) -> bool {
        self.state().protection.tls.as_ref().is_some_and(Tls::demands_certificate)
    }

    /// What is in force, for people: `TLS, 2 users`.
    pub fn describe(&self) -> String {
        self.state().protection.to_string()
    }

    /// What is in force now. Looks at the files first if the last look is long enough ago; others
    /// are meanwhile given what was in force before, and so is the caller if the look hangs.
    pub(in crate::web) async fn current(&self) -> Arc<Protection> {
        if self.takes_a_look() {
            let this = self.clone();
            let look = tokio::spawn(async move {
                let looking = this.clone();
                // Whatever becomes of this look, there will be another.
                let _ = threads::run_or_here(move |_| looking.look()).await;
                this.state().next_look = Some(Instant::now() + this.shared.interval);
            });
            let _ = timeout(Self::LOOK_TIMEOUT, look).await;
        }
        self.state().protection.clone()
    }

    /// Whether `authorization`, the header of that name in a request of `peer`, shows a user of
    /// `protection` with the right password.
    pub(in crate::web) async fn admits(
        &self,
        protection: &Protection,
        authorization: Option<&HeaderValue>,
        peer: Peer,
    ) -> Admission {
        self.shared.checks.admits(&protection.users, authorization, peer).await
    }

    /// Whether a look at the files is due; it is then the caller's.
    fn takes_a_look(&self) -> bool {
        let mut state = self.state();
        let is_due =
            self.shared.path.is_some() && state.next_look.is_some_and(|at| at <= Instant::now());
        if is_due {
            state.next_look = None;
        }
        is_due
    }

    /// Reads the files again if one has changed. A failure is logged once, because the next look
    /// compares with the files as they failed.
    fn look(&self) {
        let Some(path) = &self.shared.path else { return };
        let watched = self.state().watched.clone();
        if !watched.has_changed() {
            return;
        }
        let (protection, watched) = read(path);
        let mut state = self.state();
        state.watched = watched;
        match protection {
            // A file that is just being written is empty for a moment.
            Ok(protection) if state.protection.protects() && !protection.protects() => {
                let file = path.display();
                tracing::error!(
                    %file,
                    "the web configuration has neither TLS nor users any more; the previous one \
                     stays in force: restart the exporter if that is meant"
                );
            }
            Ok(protection) => {
                state.protection = Arc::new(protection);
                tracing::info!(file = %path.display(), "web configuration reloaded");
            }
            Err(problems) => problems.in_lines().for_each(|error| {
                let file = path.display();
                tracing::error!(%file, error, "bad web configuration; the previous one stays in force");
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for WebConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebConfig").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

impl Protection {
    /// The TLS of new connections; `None` for plain HTTP.
    pub(in crate::web) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Whether the handshake succeeds only with a client certificate that identifies the client.
    pub(in crate::web) fn knows_clients(&self) -> bool {
        self.knows_clients
    }

    /// Whether every request needs a user and a password.
    pub(in crate::web) fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// Whether there is anything that keeps somebody out or a secret on its way.
    fn protects(&self) -> bool {
        self.tls.is_some() || self.has_users()
    }

    /// Counts a request; returns whether it is within `rate_limit`.
    pub(in crate::web) fn allows_request(&self) -> bool {
        self.rate_limit.as_ref().is_none_or(|limit| limit.allows(Instant::now()))
    }

    /// Adds the configured headers to those of an answer.
    pub(in crate::web) fn add_headers(&self, headers: &mut HeaderMap) {
        self.headers.add_to(headers);
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls.is_some() { "TLS" } else { "plain HTTP" })?;
        if self.knows_clients {
            f.write_str(" with client certificates")?;
        }
        match self.users.len() {
            0 => f.write_str(", no users"),
            1 => f.write_str(", 1 user"),
            users => write!(f, ", {users} users"),
        }
    }
}

struct Shared {
    /// `None` where nothing is configured.
    path: Option<PathBuf>,
    interval: Duration,
    state: Mutex<State>,
    checks: PasswordChecks,
}

struct State {
    protection: Arc<Protection>,
    /// The files as they were when they were last read.
    watched: Watched,
    /// When they are looked at again; `None` while they are.
    next_look: Option<Instant>,
}

/// Reads everything; returns which files that were.
fn read(path: &Path) -> (Result<Protection, WebConfigError>, Watched) {
    let mut watched = Watched::default();
    let mut problems = Problems::new(path);
    let settings = file::read(path, &mut watched, &mut problems);
    let tls =
        settings.tls.as_ref().and_then(|settings| Tls::new(settings, &mut watched, &mut problems));
    let knows_clients = settings.tls.is_some_and(|settings| settings.knows_clients());
    let protection = Protection {
        tls,
        knows_clients,
        users: settings.users,
        headers: settings.headers,
        rate_limit: settings.rate_limit,
    };
    (problems.into_result(protection), watched)
}

#[cfg(test)]
mod tests;
