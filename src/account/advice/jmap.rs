//! What to look at when a mailbox is not read by JMAP: it is HTTP, and has keys of its own.

use super::Advice;
use crate::config::Endpoint;
use ledger::Clue;
use mail::auth::{Auth, Mechanism};

impl Advice<'_> {
    /// The login is refused (401).
    pub(super) fn jmap_login(&self) -> String {
        let key = format!("under `receive` in {}", self.place);
        let is_token = |login: &crate::config::Login| {
            !login.has_password() || login.auth == Auth::Only(Mechanism::OAuthBearer)
        };
        match self.own_login().is_some_and(is_token) {
            true => format!(
                "check {key} that the token is whole and has not expired, and at {} that it allows JMAP to read and \
                 delete mail; if that takes a name and a password, set `auth: plain`",
                self.endpoint().host
            ),
            false => format!(
                "check `username` and the password {key}; if {} wants an API token for JMAP, give that in place of the \
                 password, and set `auth: oauthbearer`",
                self.endpoint().host
            ),
        }
    }

    /// JMAP is not at this server, or not all of it.
    pub(super) fn jmap_elsewhere(&self, clue: Clue) -> String {
        let Endpoint { host, port, .. } = self.endpoint();
        let key = format!("under `receive` in {}", self.place);
        match clue {
            Clue::Elsewhere => format!(
                "if that other server is right, make it the `host` and `port` {key}; else have {host} name itself in its \
                 session resource"
            ),
            _ => format!(
                "set `host` and `port` {key} to where JMAP is: `host -t SRV _jmap._tcp.{}` may tell; there is no \
                 /.well-known/jmap at port {port} of {host}. If there is no JMAP, set `protocol: imap`",
                self.target.to.domain()
            ),
        }
    }

    /// The server greets before it is asked, as those of this other protocol do.
    pub(super) fn other_protocol(&self, name: &str) -> String {
        let Endpoint { host, port, .. } = self.endpoint();
        let instead = match name {
            "IMAP" | "POP3" => format!(", or `protocol: {}`", name.to_ascii_lowercase()),
            _ => String::new(),
        };
        format!("{}{instead}: port {port} of {host} speaks {name}", self.jmap_port())
    }

    /// The port is not the right one.
    pub(super) fn jmap_port(&self) -> String {
        format!("set `port` under `receive` in {} to that of HTTPS, mostly 443", self.place)
    }
}
