//! Opening a session: at which host, and with which password.

use tokio::time::Instant;

use super::{Smtp, route};
use crate::auth::Login;
use crate::sasl;
use crate::trace::Trace;
use crate::wire::Dialer;
use ledger::Failure;

impl Smtp {
    /// Connects, greets, protects the connection and logs in, as the dialer and the login say; by MX
    /// with the first host of the domain that lets it come so far.
    /// `name` is what EHLO says; without one it is the address literal of this side. The whole
    /// dialogue ends at `end` at the latest. After a refused login a second connection is tried if
    /// the file of the password holds another one by then.
    ///
    /// # Errors
    /// The first step that fails, in its step; no password is sent before the server's certificate
    /// was accepted, unless the configuration says `tls: none`.
    pub async fn open(
        dialer: &Dialer,
        login: Option<&Login>,
        name: Option<&str>,
        trace: Trace,
        end: Instant,
    ) -> Result<Self, Failure> {
        let Some(login) = login else {
            return Self::open_with(dialer, None, name, trace, end).await;
        };
        let made = sasl::newest(login, &trace, end).await;
        match Self::open_with(dialer, Some(&made), name, trace.clone(), end).await {
            Err(failure) => {
                let newer = sasl::newer(login, &made, failure, &trace, end).await?;
                Self::open_with(dialer, Some(&newer), name, trace, end).await
            }
            open => open,
        }
    }

    async fn open_with(
        dialer: &Dialer,
        login: Option<&Login>,
        name: Option<&str>,
        trace: Trace,
        end: Instant,
    ) -> Result<Self, Failure> {
        match dialer.hosts(&trace, end).await? {
            Some(hosts) => route::open_first(dialer, &hosts, login, name, trace, end).await,
            None => Self::open_at(dialer, login, name, trace, end).await,
        }
    }
}
