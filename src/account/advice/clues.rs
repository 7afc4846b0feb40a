//! The next thing to look at where a failure has shown more than its reason: the key to set, or what to
//! have done at the server.

use super::Advice;
use crate::config::{Endpoint, Login, TlsMode};
use ledger::{Clue, Reason, Side};

impl Advice<'_> {
    /// What to look at after a failure with this clue, which came with this reason.
    pub(super) fn on_clue(&self, clue: Clue, reason: Reason) -> String {
        match clue {
            Clue::TlsFirst | Clue::TlsOrLoginFirst | Clue::LoginFirst => self.wanted_first(clue),
            Clue::NoLogin | Clue::LoginSwitchedOff | Clue::OtherAuth(_) => self.login(clue),
            Clue::EhloName | Clue::EhloNameOrAddress | Clue::EhloNameOrGreylist => {
                self.name_in_ehlo(clue)
            }
            Clue::Connections => format!(
                "lower `max_connections` ({}) under `send` in {}; all targets that send to {} as the \
                 same user share it",
                self.target.send.max_connections,
                self.place,
                self.endpoint().host
            ),
            Clue::NoRoom => format!(
                "make room on the disk of {} that holds its queue, and look into {}",
                self.endpoint().host,
                self.log()
            ),
            Clue::TooLarge => format!(
                "make `mail` of the target smaller in {}, or raise the limit of {} for the size of a mail",
                self.place,
                self.endpoint().host
            ),
            Clue::SenderDomain | Clue::AnotherMatter => self.on(reason),
            Clue::AddressOnly => self.kept_out(reason),
            Clue::NoMailbox => self.no_mailbox(),
            Clue::PeriodOver => format!(
                "check the load and the log of {}; one that is always this slow needs a longer \
                 `interval` in {}",
                self.endpoint().host,
                self.place
            ),
            Clue::Bogus => format!(
                "repair the DNSSEC of the zone of {}: its name server refuses the answer for that",
                self.endpoint().host
            ),
            Clue::Elsewhere | Clue::NoJmap => self.jmap_elsewhere(clue),
            Clue::OtherProtocol(name) => self.other_protocol(name),
            Clue::ClientCertificate
            | Clue::LeftAfterTls
            | Clue::HandshakeFailure
            | Clue::ServerName
            | Clue::NoServerName
            | Clue::NotTls
            | Clue::OldTls
            | Clue::TlsBroken
            | Clue::StartTlsMasked => self.tls(clue),
        }
    }

    fn wanted_first(&self, clue: Clue) -> String {
        let Endpoint { host, .. } = self.endpoint();
        let (side, place) = (self.side, self.place);
        match (clue, self.own_login()) {
            (Clue::TlsFirst, _) => {
                format!(
                    "set `tls: starttls` under `{side}` in {place}: {host} wants TLS before that"
                )
            }
            (Clue::TlsOrLoginFirst, _) => format!(
                "set `tls: starttls` under `{side}` in {place}; if {host} wants a login as well, also \
                 `username`"
            ),
            (_, None) => format!(
                "set `username` and a password under `{side}` in {place}: {host} takes mail from this \
                 machine only after a login"
            ),
            (_, Some(login)) => format!(
                "check `username` under `{side}` in {place}, and that {} may send mail by {host}",
                login.username
            ),
        }
    }

    fn login(&self, clue: Clue) -> String {
        let Endpoint { host, port, tls, .. } = self.endpoint();
        let (side, place) = (self.side, self.place);
        let user = self.own_login().map_or("the user", |login| login.username.as_str());
        match (clue, side) {
            (Clue::OtherAuth(name), _) => {
                let in_the_clear =
                    if *tls == TlsMode::None { ", which shows it to the network" } else { "" };
                format!(
                    "check `username` and the password under `{side}` in {place}; if they are right, \
                     {host} cannot check a digest of this password: set `auth: {name}`{in_the_clear}"
                )
            }
            (Clue::LoginSwitchedOff, _) => format!(
                "have logins by SMTP (SMTP AUTH) switched on for {user} on {host}, or set `oauth2` \
                 under `{side}` in {place} where it takes passwords no more"
            ),
            (_, Side::Send) => format!(
                "set `port` under `send` in {place} to that for submission (587, or 465 with `tls: \
                 implicit`), or leave out `username` if {host} takes mail on port {port} without a login"
            ),
            (_, Side::Receive) if *tls == TlsMode::None => format!(
                "set `tls: implicit` and its port under `receive` in {place}, or have {host} offer a \
                 login on port {port}"
            ),
            (_, Side::Receive) => {
                format!("have {host} offer a login on port {port}, and look into its log")
            }
        }
    }

    fn name_in_ehlo(&self, clue: Clue) -> String {
        let key = format!("`ehlo` under `send` in {}", self.place);
        let Endpoint { host, .. } = self.endpoint();
        match clue {
            Clue::EhloNameOrGreylist => format!(
                "try again in some minutes; if it was a greylist, exempt this machine from it on \
                 {host}; if it goes on, set {key} to a full name of this machine that has an address"
            ),
            Clue::EhloNameOrAddress => format!(
                "set {key} to the full name of this machine, and check the domains of {} and {}",
                self.target.from, self.target.to
            ),
            _ => format!("set {key} to the full name of this machine, one that has an address"),
        }
    }

    /// Refused before a word was said.
    fn kept_out(&self, reason: Reason) -> String {
        let Endpoint { host, .. } = self.endpoint();
        match reason {
            Reason::Deferred => format!(
                "try again in some minutes, and look into {}; if it is a limit of connections, lower \
                 `max_connections` under `send` in {}",
                self.log(),
                self.place
            ),
            _ => format!(
                "check that {host} lets the address of this machine in, by its block lists too, and \
                 look into {}",
                self.log()
            ),
        }
    }

    fn no_mailbox(&self) -> String {
        let user = self.target.reader();
        format!(
            "check that {user} has a mailbox, with the licence and the right to be read by {}, and that \
             `username` under `receive` in {} names that mailbox; look into the log of {}",
            self.service(),
            self.place,
            self.endpoint().host
        )
    }

    fn tls(&self, clue: Clue) -> String {
        let Endpoint { host, port, tls, tls_options, .. } = self.endpoint();
        let options = format!("`tls_options` under `{}` in {}", self.side, self.place);
        let key = format!("`tls: {}` under `{}` in {}", tls.label(), self.side, self.place);
        let has_certificate = tls_options.identity.is_some();
        let certificate = format!("set `cert_file` and `key_file` in {options}");
        let log = format!("look into {} for connections from this machine", self.log());
        match clue {
            Clue::ClientCertificate if has_certificate => {
                format!("check `cert_file` in {options}: {host} does not take that certificate")
            }
            Clue::ClientCertificate => {
                format!("{certificate}: {host} wants a certificate of its clients")
            }
            Clue::LeftAfterTls if !has_certificate => {
                format!("{log}; if {host} wants a certificate of its clients, {certificate}")
            }
            Clue::HandshakeFailure if has_certificate => format!(
                "{log}; check `cert_file` in {options}, and which versions and ciphers {host} knows"
            ),
            Clue::HandshakeFailure => format!(
                "{log}; if {host} wants a certificate of its clients, {certificate}; if it knows old \
                 ciphers only, set `min_version` there"
            ),
            Clue::ServerName => format!(
                "set `server_name` in {options} to the name by which {host} wants to be called: it \
                 knows no service by the name that was sent"
            ),
            Clue::NoServerName => format!(
                "{}; if {host} wants to be called by a name, set `server_name` in {options}",
                self.closed()
            ),
            Clue::NotTls if self.is_jmap() => {
                format!("{}: port {port} of {host} begins without TLS", self.jmap_port())
            }
            Clue::NotTls if *tls == TlsMode::Implicit => format!(
                "set `tls: starttls` under `{}` in {}: port {port} of {host} begins without TLS",
                self.side, self.place
            ),
            Clue::OldTls => format!(
                "renew the TLS of {host}, or set `min_version` in {options} for as long as it is so old"
            ),
            Clue::TlsBroken => format!(
                "look into {}: {host} offers TLS and cannot do it; its certificate and key first",
                self.log()
            ),
            Clue::StartTlsMasked => format!(
                "switch off the inspection of SMTP in the firewall before {host}, which hides STARTTLS; \
                 or set `tls: implicit` and its port in place of {key}"
            ),
            Clue::LeftAfterTls => log,
            _ => format!("check {key} against what port {port} of {host} speaks"),
        }
    }

    /// The login of the side, if it has one.
    pub(super) fn own_login(&self) -> Option<&Login> {
        match self.side {
            Side::Send => self.target.send.login.as_ref(),
            Side::Receive => self.target.receive.as_ref().map(|side| &side.login),
        }
    }
}
