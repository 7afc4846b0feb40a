//! What to look at when a server is not reached, or does not speak what is expected.

use super::Advice;
use crate::config::Endpoint;
use ledger::{Reason, Side, Step};

impl Advice<'_> {
    /// The server was not found, or the connection to it did not last.
    pub(super) fn network(&self, reason: Reason) -> String {
        let Endpoint { host, port, .. } = self.endpoint();
        let (place, service) = (self.place, self.service());
        match reason {
            Reason::Dns if self.endpoint().mx => format!(
                "check the domain of `to` in {place}, and with `host -t MX {host}` that it takes mail"
            ),
            Reason::Dns => format!(
                "check the name {host} in {place}, and with `getent hosts {host}` that this \
                 machine can resolve it"
            ),
            Reason::Refused => {
                format!("check that {service} runs on {host} and listens on port {port}")
            }
            Reason::Unreachable => {
                format!("check the routes and firewalls between this machine and {host}")
            }
            Reason::Timeout => self.timeout(),
            _ => self.closed(),
        }
    }

    /// The handshake failed, or the certificate does not hold.
    pub(super) fn handshake(&self, reason: Reason) -> String {
        let Endpoint { host, port, tls, .. } = self.endpoint();
        let (side, place, service) = (self.side, self.place, self.service());
        match reason {
            Reason::CertificateExpired => format!(
                "renew the certificate of {service} on {host}; if it is a new one, check the clock \
                 of this machine"
            ),
            Reason::CertificateUntrusted => format!(
                "have {host} send its whole chain, or name its authority in `tls_options: \
                 {{ca_file: ...}}` under `{side}` in {place}"
            ),
            Reason::CertificateName => format!(
                "set `host` under `{side}` in {place} to a name in the certificate, or give that \
                 name in `tls_options: {{server_name: ...}}`; if the certificate is the wrong one, \
                 have {service} on {host} show that of its name"
            ),
            _ => format!(
                "check `tls: {}` under `{side}` in {place} against what port {port} of {host} \
                 speaks",
                tls.label()
            ),
        }
    }

    /// The server says what the protocol does not allow.
    pub(super) fn protocol(&self) -> String {
        let Endpoint { host, port, .. } = self.endpoint();
        let (side, place, service) = (self.side, self.place, self.service());
        match self.step {
            Step::Auth if self.is_jmap() => format!(
                "check that JMAP is at port {port} of {host}, or set `host` and `port` under `{side}` in {place} to \
                 where it is"
            ),
            Step::Auth => format!(
                "check `tls` and `auth` under `{side}` in {place}, and look into {}",
                self.log()
            ),
            Step::Select | Step::Fetch if self.is_pop3() => format!(
                "read this mailbox by IMAP: set `protocol: imap` under `{side}` in {place}, with the \
                 port of IMAP; if {host} has none, look into {}",
                self.log()
            ),
            Step::Fetch if side == Side::Receive => format!(
                "look into {} for the mail that the server does not show in order, and take it out of \
                 the mailbox of {}",
                self.log(),
                self.target.reader()
            ),
            _ => {
                format!("check that port {port} of {host} speaks {service}, and look into its log")
            }
        }
    }
}
