//! The next thing to look at, for each way in which a target can fail: what `probe` and the pages say
//! after the cause.

use humantime::format_duration;

use crate::config::{Endpoint, Login, Protocol, Target, TlsMode};
use ledger::{Failure, Reason, Side, Step};

mod clues;
mod connection;
mod jmap;

/// What to look at after this failure, as the end of a sentence: a command without a final stop.
/// `place` is where the target is configured, as `mailtrip.yml:12`.
pub fn next_step(target: &Target, side: Side, failure: &Failure, place: &str) -> String {
    if let Some(shortage) = failure.shortage {
        return mail::shortage::advice(shortage);
    }
    let advice = Advice { target, side, step: failure.step, place };
    match failure.clue {
        Some(clue) if failure.step != Step::Token => advice.on_clue(clue, failure.reason),
        _ => advice.on(failure.reason),
    }
}

/// What to look at if a mail was accepted and is not seen in the mailbox; `lacks_junk_folder` if none could
/// be looked into.
pub fn next_step_for_late_mail(target: &Target, lacks_junk_folder: bool) -> String {
    let junk = if lacks_junk_folder {
        "; no junk folder was searched, because the server announces none (SPECIAL-USE): if there \
         is one, name it under `folders` of `receive`"
    } else {
        ""
    };
    let (host, to, user) = (&target.send.endpoint.host, &target.to, target.reader());
    let way_in = match target.takes_replies() {
        true => format!(
            "that {to} answers each mail and not one in some days, and that answers to {} come",
            target.from
        ),
        false => "that such mail comes".to_owned(),
    };
    format!(
        "look into the queue and the log of {host} for the mail to {to}, and check {way_in} into the \
         mailbox of {user}{junk}"
    )
}

/// What to look at if a mail was accepted and came back, with this enhanced status code (RFC 3463).
pub fn next_step_for_bounce(target: &Target, code: Option<&str>) -> String {
    let (to, host) = (&target.to, &target.send.endpoint.host);
    let mut parts = code.unwrap_or_default().split('.').skip(1);
    match (parts.next(), parts.next()) {
        (Some("2"), Some("2")) => format!("make room in the mailbox of {to}, or raise its quota"),
        (Some("1" | "2"), _) => {
            format!(
                "check that the address {to} exists there and takes mail, and `to` of the target"
            )
        }
        (Some("3" | "4"), _) => format!(
            "check that {host} reaches the servers that mail to {to} passes, and their load and disks"
        ),
        (Some("7"), _) => {
            format!("check the filters and rules there for mail from {} to {to}", target.from)
        }
        _ => format!("look into the log of {host} for the mail to {to}"),
    }
}

/// What to look at if a TCP port beside those of the two sides does not answer.
pub fn next_step_for_port(host: &str, port: u16) -> String {
    format!(
        "check that the service runs on {host} and listens on port {port}, and that no firewall is \
         in the way"
    )
}

/// What to look at if the host answers neither ping nor TCP.
pub fn next_step_for_silence(host: &str) -> String {
    format!("check that {host} is up, and the routes and firewalls between this machine and it")
}

/// What to do about a certificate that ends soon.
pub fn renewal(target: &Target, side: Side) -> String {
    let reason = Reason::CertificateExpired;
    Advice { target, side, step: Step::Tls, place: "" }.handshake(reason)
}

/// What to do about a certificate between the server's own and the authority that ends soon.
pub fn new_chain(target: &Target, side: Side) -> String {
    let advice = Advice { target, side, step: Step::Tls, place: "" };
    let (host, service) = (&advice.endpoint().host, advice.service());
    format!(
        "fetch the authority's present certificates and have {service} on {host} send them with its \
         own; if they are the present ones, renew its own by another authority"
    )
}

/// Where something failed.
struct Advice<'a> {
    target: &'a Target,
    side: Side,
    step: Step,
    place: &'a str,
}

impl Advice<'_> {
    fn on(&self, reason: Reason) -> String {
        if self.step == Step::Token {
            return self.token(reason);
        }
        match reason {
            Reason::Dns
            | Reason::Refused
            | Reason::Unreachable
            | Reason::Timeout
            | Reason::Closed => self.network(reason),
            Reason::Tls
            | Reason::CertificateExpired
            | Reason::CertificateUntrusted
            | Reason::CertificateName => self.handshake(reason),
            Reason::Auth if self.is_jmap() => self.jmap_login(),
            Reason::Auth => {
                let (side, place) = (self.side, self.place);
                format!("check `username`, the password and `auth` under `{side}` in {place}")
            }
            Reason::Rejected => self.rejected(),
            Reason::Deferred => self.deferred(),
            Reason::Quota => self.quota(),
            Reason::Busy => format!(
                "end the other session in the mailbox of {}, or give the probe a mailbox of its own",
                self.target.reader()
            ),
            Reason::Marked => format!(
                "take out, or unmark, the mail of somebody else that is marked as deleted in the \
                 mailbox of {}, or give the probe a mailbox of its own",
                self.target.reader()
            ),
            Reason::Protocol => self.protocol(),
            Reason::Other => format!("look into {}", self.log()),
        }
    }

    /// The provider of access tokens is another server than that of the mail.
    fn token(&self, reason: Reason) -> String {
        let url = self.own_login().and_then(Login::oauth2).map(|provider| &provider.token_url);
        let host = url.map_or("the provider", |url| url.host.as_str());
        let oauth2 = format!("`oauth2` under `{}` in {}", self.side, self.place);
        match reason {
            Reason::Dns => format!("check the host in `token_url` of {oauth2}"),
            Reason::Refused | Reason::Unreachable => format!(
                "check that this machine may connect to {host} (HTTPS), and `token_url` of {oauth2}"
            ),
            Reason::Timeout | Reason::Closed => {
                format!("check that {host} is up and can be reached, and `token_url` of {oauth2}")
            }
            Reason::Tls | Reason::CertificateExpired | Reason::CertificateName => {
                format!("check the certificate and TLS of {host}, and `token_url` of {oauth2}")
            }
            Reason::CertificateUntrusted => {
                format!("name the authority of {host} in `ca_file` of {oauth2}")
            }
            Reason::Auth => format!(
                "check `client_id` and `client_secret_file` of {oauth2}, and that neither the secret \
                 nor the refresh token has expired or was revoked; if so, write a new one into its \
                 file and reload"
            ),
            Reason::Deferred => {
                format!("wait for {host}, which is overloaded or limits the requests of {oauth2}")
            }
            Reason::Rejected => {
                format!("check `scope` of {oauth2}, and what the provider lets this client do")
            }
            Reason::Protocol => {
                format!("check that `token_url` of {oauth2} is the token endpoint, not a page")
            }
            Reason::Quota | Reason::Busy | Reason::Marked | Reason::Other => {
                format!("check {oauth2}")
            }
        }
    }

    fn timeout(&self) -> String {
        let Endpoint { host, port, timeout, .. } = self.endpoint();
        let patience = format!(
            "; if it is always this slow, raise `timeout` ({}) in {}",
            format_duration(*timeout),
            self.place
        );
        match self.step {
            Step::Dns => format!("check the resolver of this machine ({host} was asked for)"),
            Step::Connect => {
                format!("check that {host} is up and that no firewall drops port {port}")
            }
            Step::Greeting if self.begins_in_the_clear() => {
                format!("check the load of {host}{}", self.perhaps_implicit())
            }
            Step::Auth => {
                format!("check on {host} what the login asks, its user database first{patience}")
            }
            Step::Data => format!("check the filters and the disk of {host}{patience}"),
            Step::Select | Step::Fetch | Step::Remove => {
                format!("check the mail storage and the load of {host}{patience}")
            }
            _ => format!("check the load and the log of {host}{patience}"),
        }
    }

    fn closed(&self) -> String {
        let Endpoint { port, tls, .. } = self.endpoint();
        let log = format!("look into {} for connections from this machine", self.log());
        match (self.step, tls) {
            (Step::Greeting, _) if self.begins_in_the_clear() => {
                format!("{log}{}", self.perhaps_implicit())
            }
            (Step::Tls, TlsMode::Implicit) if self.is_jmap() => {
                format!("{log}; if port {port} begins without TLS, {}", self.jmap_port())
            }
            (Step::Auth, TlsMode::None) if self.is_jmap() => {
                format!("{log}{}", self.perhaps_implicit())
            }
            (Step::Tls, TlsMode::Implicit) => format!(
                "{log}; if port {port} begins without TLS, set `tls: starttls` under `{}` in {}",
                self.side, self.place
            ),
            _ => log,
        }
    }

    fn rejected(&self) -> String {
        let Endpoint { host, .. } = self.endpoint();
        let Target { from, to, .. } = self.target;
        let user = self.target.reader();
        match (self.side, self.step) {
            (Side::Send, Step::Envelope) => {
                let takes =
                    format!("check that {host} takes mail from {from} to {to} from this machine");
                let Target { send, .. } = self.target;
                if send.login.is_some() || send.endpoint.mx {
                    return takes;
                }
                format!(
                    "{takes}; if only after a login, set `username` under `send` in {}, and `port` if \
                     it offers none there",
                    self.place
                )
            }
            (Side::Send, Step::Data) => {
                format!("look into {} for the filter that refused the mail", self.log())
            }
            (Side::Send, Step::Greeting) => format!(
                "check that {host} lets this machine in, and takes the name in `ehlo` under `send` in \
                 {}, and look into its log",
                self.place
            ),
            (Side::Send, _) => {
                format!("check that {host} lets this machine in, and look into its log")
            }
            (Side::Receive, Step::Auth) if self.is_jmap() && self.begins_in_the_clear() => {
                format!("check what the account {user} may do on {host}{}", self.perhaps_implicit())
            }
            (Side::Receive, Step::Select) if self.is_pop3() => {
                format!("check that the maildrop of {user} exists, and look into {}", self.log())
            }
            (Side::Receive, Step::Select) => format!(
                "check that the mailbox of {user} exists, and `folders` under `receive` in {}",
                self.place
            ),
            (Side::Receive, Step::Remove) => {
                format!("check that the account {user} may delete mail")
            }
            (Side::Receive, _) => format!("check what the account {user} may do on {host}"),
        }
    }

    fn quota(&self) -> String {
        let room = format!("make room in the mailbox of {}, or raise its quota", self.target.to);
        match (self.step, &self.target.send.login) {
            // A provider that keeps a copy of each mail refuses it when there is no room for that.
            (Step::Data, Some(login)) => format!(
                "{room}; if {} keeps copies of sent mail, in that of {} as well",
                self.endpoint().host,
                login.username
            ),
            _ => room,
        }
    }

    fn deferred(&self) -> String {
        match self.step {
            Step::Greeting if self.side == Side::Send => format!(
                "try again in some minutes, and look into {}; if it goes on, set `ehlo` under `send` \
                 in {} to the full name of this machine",
                self.log(),
                self.place
            ),
            Step::Envelope => format!(
                "try again in some minutes; if it was a greylist, exempt this machine from it on {}",
                self.endpoint().host
            ),
            _ => format!("try again in some minutes, and look into {}", self.log()),
        }
    }

    /// A port for implicit TLS says nothing to a client that waits for a greeting.
    fn perhaps_implicit(&self) -> String {
        format!(
            "; if port {} expects TLS from the first byte, set `tls: implicit` under `{}` in {}",
            self.endpoint().port,
            self.side,
            self.place
        )
    }

    fn is_jmap(&self) -> bool {
        let protocol = self.target.receive.as_ref().map(|side| &side.protocol);
        self.side == Side::Receive && matches!(protocol, Some(Protocol::Jmap { .. }))
    }

    fn is_pop3(&self) -> bool {
        let protocol = self.target.receive.as_ref().map(|side| &side.protocol);
        self.side == Side::Receive && protocol == Some(&Protocol::Pop3)
    }

    fn begins_in_the_clear(&self) -> bool {
        self.endpoint().tls != TlsMode::Implicit
    }

    fn log(&self) -> String {
        format!("the {} log of {}", self.service(), self.endpoint().host)
    }

    fn endpoint(&self) -> &Endpoint {
        match self.side {
            Side::Send => &self.target.send.endpoint,
            Side::Receive => {
                let receive = self.target.receive.as_ref();
                receive.map_or(&self.target.send.endpoint, |side| &side.endpoint)
            }
        }
    }

    fn service(&self) -> &'static str {
        let protocol = self.target.receive.as_ref().map(|side| &side.protocol);
        match (self.side, protocol) {
            (Side::Send, _) => "SMTP",
            (Side::Receive, Some(Protocol::Pop3)) => "POP3",
            (Side::Receive, Some(Protocol::Jmap { .. })) => "JMAP",
            (Side::Receive, Some(Protocol::Imap { .. }) | None) => "IMAP",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::config::Config;
    use ledger::Clue;

    fn target(tls: &str) -> Arc<Target> {
        let text = format!(
            "targets: [{{name: corp, host: mail.example.com, from: from@example.com, to: \
             to@example.com, send: {{tls: {tls}}}, receive: {{protocol: imap, tls: {tls}, \
             username: rita, password: x}}}}]"
        );
        let config = Config::parse(&text, Path::new("mailtrip.yml")).unwrap();
        config.targets.into_values().next().unwrap()
    }

    fn advice(target: &Target, side: Side, step: Step, reason: Reason) -> String {
        let failure = Failure {
            step,
            reason,
            down: false,
            shortage: None,
            clue: None,
            message: String::new(),
        };
        next_step(target, side, &failure, "mailtrip.yml:1")
    }

    #[test]
    fn the_code_of_a_bounce_tells_where_to_look() {
        let target = target("none");
        for (code, words) in [
            (Some("5.2.2"), "make room in the mailbox of to@example.com"),
            (Some("5.1.1"), "check that the address to@example.com exists"),
            (Some("4.4.7"), "check that mail.example.com reaches the servers"),
            (Some("5.7.1"), "filters and rules there for mail from from@example.com"),
            (Some("5.0.0"), "look into the log of mail.example.com"),
            (None, "look into the log of mail.example.com"),
        ] {
            let text = next_step_for_bounce(&target, code);
            assert!(text.contains(words), "{code:?}: {text}");
        }
    }

    #[test]
    fn every_step_and_reason_names_something_of_the_target_to_look_at() {
        let names = ["mail.example.com", "mailtrip.yml:1", "to@example.com", "rita"];
        for target in ["starttls", "implicit", "none"].map(target) {
            for side in Side::ALL {
                for (step, reason) in Step::of(side)
                    .iter()
                    .flat_map(|step| Reason::of(side).iter().map(move |reason| (*step, *reason)))
                {
                    let text = advice(&target, side, step, reason);
                    let named = names.iter().any(|name| text.contains(name));
                    assert!(named, "{side} {step} {reason}: {text}");
                    assert!(!text.ends_with('.') && !text.contains('\n'), "{text}");
                }
            }
        }
    }

    #[test]
    fn each_reason_has_words_of_its_own() {
        let target = target("starttls");
        for side in Side::ALL {
            let all = Reason::of(side).iter().map(|it| advice(&target, side, Step::Greeting, *it));
            let different: BTreeSet<String> = all.collect();
            assert_eq!(different.len(), Reason::of(side).len(), "{different:#?}");
        }
    }

    #[test]
    fn pop3_is_told_of_no_key_that_it_does_not_have() {
        let text = "targets: [{name: corp, host: mail.example.com, from: from@example.com, to: \
                    to@example.com, send: {tls: none}, receive: {protocol: pop3, tls: none, \
                    username: rita, password: x}}]";
        let config = Config::parse(text, Path::new("mailtrip.yml")).unwrap();
        let target = config.targets.into_values().next().unwrap();
        for step in Step::of(Side::Receive) {
            for reason in Reason::of(Side::Receive) {
                let text = advice(&target, Side::Receive, *step, *reason);
                assert!(!text.contains("folders"), "{step} {reason}: {text}");
            }
            let text = advice(&target, Side::Receive, Step::Select, Reason::Protocol);
            assert!(text.contains("set `protocol: imap` under `receive`"), "{text}");
        }
    }

    fn jmap(receive: &str) -> Arc<Target> {
        let text = format!(
            "targets: [{{name: corp, host: mail.example.com, from: from@example.com, to: to@example.com, send: {{tls: \
             none}}, receive: {{protocol: jmap, username: rita, password: x{receive}}}}}]"
        );
        let config = Config::parse(&text, Path::new("mailtrip.yml")).unwrap();
        config.targets.into_values().next().unwrap()
    }

    #[test]
    fn jmap_is_told_of_what_it_has() {
        let of = |receive: &str, step, reason, clue| {
            let failure =
                Failure { step, reason, down: false, shortage: None, clue, message: String::new() };
            next_step(&jmap(receive), Side::Receive, &failure, "mailtrip.yml:1")
        };
        let (auth, protocol) = (Step::Auth, Reason::Protocol);
        let implicit = "set `tls: implicit` under `receive`";
        let https = "set `port` under `receive` in mailtrip.yml:1 to that of HTTPS, mostly 443";
        for (receive, step, reason, clue, words) in [
            ("", auth, Reason::Auth, None, "set `auth: oauthbearer`"),
            (", auth: plain", auth, Reason::Auth, None, "set `auth: oauthbearer`"),
            (", auth: oauthbearer", auth, Reason::Auth, None, "that the token is whole"),
            ("", auth, protocol, Some(Clue::NoJmap), "_jmap._tcp.example.com"),
            ("", auth, protocol, Some(Clue::Elsewhere), "make it the `host` and `port`"),
            ("", auth, protocol, Some(Clue::OtherProtocol("IMAP")), "or `protocol: imap`"),
            ("", auth, protocol, Some(Clue::OtherProtocol("SMTP")), https),
            ("", Step::Tls, Reason::Tls, Some(Clue::NotTls), https),
            ("", Step::Tls, Reason::Closed, None, https),
            (", tls: none", auth, Reason::Closed, None, implicit),
            (", tls: none", auth, Reason::Rejected, None, implicit),
        ] {
            let text = of(receive, step, reason, clue);
            assert!(text.contains(words), "{receive} {step} {reason} {clue:?}: {text}");
            assert!(!text.contains("starttls"), "{text}");
        }
        let smtp = of("", auth, protocol, Some(Clue::OtherProtocol("SMTP")));
        assert!(!smtp.contains("`protocol: "), "{smtp}");
    }

    #[test]
    fn nothing_of_jmap_leads_to_a_word_that_it_does_not_have() {
        for target in ["", ", tls: none"].map(jmap) {
            for step in Step::of(Side::Receive) {
                for reason in Reason::of(Side::Receive) {
                    let text = advice(&target, Side::Receive, *step, *reason);
                    assert!(!text.contains("starttls"), "{step} {reason}: {text}");
                }
            }
        }
    }

    #[test]
    fn a_silent_port_for_implicit_tls_is_suspected_only_where_none_was_spoken() {
        for reason in [Reason::Timeout, Reason::Closed] {
            let suspects = |tls| {
                let text = advice(&target(tls), Side::Send, Step::Greeting, reason);
                text.contains("set `tls: implicit` under `send`")
            };
            assert!(suspects("starttls") && suspects("none") && !suspects("implicit"));
        }
    }
}
