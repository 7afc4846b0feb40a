//! What a round trip comes to, in sentences that say where to look next.

use std::time::Duration;

use crate::config::{Endpoint, Target, TlsMode};
use crate::mail::{Failure, Reason, Side, Stage};
use crate::target::ledger::FoundIn;
use crate::target::message::{Token, subject};

/// What one round trip came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The check of the mailbox.
    pub mailbox: Check,
    /// The sending of the mail.
    pub sent: Sent,
    /// The way of the mail to the mailbox.
    pub arrival: Arrival,
    /// The newest look that failed since the last one that succeeded.
    pub look_failure: Option<Failure>,
    /// Whether the mail that arrived was taken out of the mailbox again.
    pub removal: Removal,
    /// Whether somebody ended it early.
    pub was_interrupted: bool,
    /// The id of the mail.
    pub token: Token,
}

/// How the check of the mailbox went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// It did not come to its end.
    Unfinished,
    /// A fresh login worked and the mailbox could be read.
    Passed,
    /// It could not.
    Failed(Failure),
}

/// How the sending went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It was not begun.
    NotTried,
    /// It was cut short: the server may have the mail.
    Unfinished,
    /// The SMTP server has the mail.
    Accepted {
        /// From the beginning of the transmission to the server's reply.
        took: Duration,
        /// That reply.
        reply: String,
    },
    /// It has not.
    NotAccepted(Failure),
    /// The connection ended before the server's reply: it may have the mail.
    Doubtful(Failure),
}

/// What became of the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Nobody looked for it.
    NotAwaited,
    /// It was looked for, and not seen in this time.
    NotSeen(Duration),
    /// It was seen.
    Seen {
        /// Since the beginning of the transmission.
        roundtrip: Duration,
        /// Where.
        folder: FoundIn,
    },
}

/// How the removal of the mail went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It was not begun, or did not come to its end.
    Unfinished,
    /// The mail is gone from the mailbox.
    Done,
    /// It may still be there.
    Failed(Failure),
}

impl Verdict {
    /// Nothing has happened yet.
    pub(super) fn new(token: Token) -> Self {
        Self {
            mailbox: Check::Unfinished,
            sent: Sent::NotTried,
            arrival: Arrival::NotAwaited,
            look_failure: None,
            removal: Removal::Unfinished,
            was_interrupted: false,
            token,
        }
    }

    /// Whether the mail was sent, received and removed.
    pub fn is_good(&self) -> bool {
        matches!(self.mailbox, Check::Passed)
            && matches!(self.sent, Sent::Accepted { .. })
            && matches!(self.arrival, Arrival::Seen { .. })
            && self.removal == Removal::Done
    }

    /// The verdict, a sentence for each thing that is wrong, or one that nothing is.
    pub fn sentences(&self, target: &Target) -> Vec<String> {
        let name = &target.name;
        let mut sentences = Vec::new();
        if let Check::Failed(failure) = &self.mailbox {
            sentences.push(cannot(target, Side::Receive, failure));
        }
        match &self.sent {
            Sent::NotAccepted(failure) => sentences.push(cannot(target, Side::Send, failure)),
            Sent::Doubtful(failure) => {
                let fate = match self.arrival {
                    Arrival::Seen { roundtrip, .. } => {
                        format!("the mail arrived all the same, after {}", seconds(roundtrip))
                    }
                    _ => "nobody knows whether the server has the mail".to_owned(),
                };
                sentences.push(format!("{}; {fate}", cannot(target, Side::Send, failure)));
            }
            Sent::NotTried | Sent::Unfinished | Sent::Accepted { .. } => {}
        }
        if self.was_interrupted {
            sentences.push(format!("{name} was not tested to the end: interrupted"));
        } else if let (Sent::Accepted { reply, .. }, Arrival::NotSeen(waited)) =
            (&self.sent, self.arrival)
        {
            sentences.push(self.not_seen(target, reply, waited));
        }
        if let Removal::Failed(failure) = &self.removal {
            sentences.push(format!(
                "{name} delivers, but the mail could not be removed ({}): {failure}; check that the \
                 account may delete mail",
                place(Side::Receive, failure)
            ));
        }
        if sentences.is_empty() {
            sentences.extend(self.praise(target));
        }
        sentences
    }

    /// What is left to do about a mail that may turn up unobserved.
    pub fn left_behind(&self, target: &Target) -> Option<String> {
        let is_out = match self.sent {
            Sent::NotTried | Sent::NotAccepted(_) => false,
            Sent::Unfinished | Sent::Accepted { .. } | Sent::Doubtful(_) => true,
        };
        if !is_out || self.removal == Removal::Done {
            return None;
        }
        let what = match self.arrival {
            Arrival::Seen { .. } => "The mail is still in the mailbox",
            _ => "The mail may still arrive",
        };
        Some(format!(
            "{what}: an exporter that watches this mailbox removes it after {}; without one, delete \
             the mail with the subject \"{}\" by hand",
            humantime::format_duration(target.lost_after),
            subject(self.token)
        ))
    }

    fn praise(&self, target: &Target) -> Option<String> {
        let (Sent::Accepted { took, .. }, Arrival::Seen { roundtrip, folder }) =
            (&self.sent, self.arrival)
        else {
            return None;
        };
        let folder = match folder {
            FoundIn::Inbox => "",
            FoundIn::Junk => ", but filed as junk",
            FoundIn::Other => ", not in the inbox but in another folder",
        };
        let (sent, received) = (seconds(*took), seconds(roundtrip));
        Some(format!("{} works: sent in {sent}, received after {received}{folder}", target.name))
    }

    fn not_seen(&self, target: &Target, reply: &str, waited: Duration) -> String {
        let name = &target.name;
        let waited = seconds(waited);
        match &self.look_failure {
            Some(failure) => format!(
                "{name} accepted the mail, but the mailbox could not be read to the end ({}): \
                 {failure}; {}",
                place(Side::Receive, failure),
                advice(target, Side::Receive, failure)
            ),
            None => format!(
                "{name} accepted the mail, but it was not seen in the mailbox within {waited}; look \
                 into the queue and the log of {} for \"{reply}\", and check that mail to {} comes \
                 into this mailbox",
                target.send.endpoint.host, target.to
            ),
        }
    }
}

/// A duration of a verdict: `0.061 s`, `12.35 s`.
pub(super) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds.fract() == 0.0 {
        format!("{seconds} s")
    } else if seconds < 1.0 {
        format!("{seconds:.3} s")
    } else {
        format!("{seconds:.2} s")
    }
}

fn cannot(target: &Target, side: Side, failure: &Failure) -> String {
    let name = &target.name;
    if target.passive && failure.down {
        return format!(
            "{name} is passive and down: not applicable ({}): {failure}",
            place(side, failure)
        );
    }
    format!(
        "{name} cannot {side} ({}): {failure}; {}",
        place(side, failure),
        advice(target, side, failure)
    )
}

/// Where it happened and why, in the words of the labels.
fn place(side: Side, failure: &Failure) -> String {
    format!("side {side}, stage {}, reason {}", failure.stage, failure.reason)
}

/// The next thing to look at.
fn advice(target: &Target, side: Side, failure: &Failure) -> String {
    let endpoint = match side {
        Side::Send => &target.send.endpoint,
        Side::Receive => &target.receive.endpoint,
    };
    let Endpoint { host, port, .. } = endpoint;
    match failure.reason {
        Reason::Dns => format!("check `host` and the resolver of this machine ({host})"),
        Reason::Refused => {
            format!("check that the service runs on {host} and that port {port} is right")
        }
        Reason::Unreachable => format!("check the routes and firewalls between here and {host}"),
        Reason::Timeout => timeout_advice(side, endpoint, failure.stage),
        Reason::Closed => closed_advice(side, endpoint, failure.stage),
        Reason::Tls => format!(
            "check `tls: {}` of the {side} side against what port {port} speaks",
            endpoint.tls.label()
        ),
        Reason::CertificateExpired => format!("renew the certificate of {host}"),
        Reason::CertificateUntrusted => "have the server send its whole chain, or name its \
                                         authority in `tls_options: ca_file`"
            .to_owned(),
        Reason::CertificateName => "set `host` to a name in the certificate, or `tls_options: \
                                    server_name`"
            .to_owned(),
        Reason::Auth => format!("check username, password and `auth` of the {side} side"),
        Reason::Rejected if side == Side::Receive => {
            format!("check what the account {} may do", target.receive.login.username)
        }
        Reason::Rejected => format!(
            "check that {host} takes mail from {} to {} from this machine",
            target.from, target.to
        ),
        Reason::Deferred => {
            "it may be a greylist or a passing trouble: try again in some minutes, \
                             and look into the log of the server"
                .to_owned()
        }
        Reason::Quota => format!("make room in the mailbox of {}", target.to),
        Reason::Busy => "another program has the mailbox open: try again".to_owned(),
        Reason::Protocol => format!("check that port {port} speaks {}", service(side, target)),
        Reason::Other => format!("look into the log of {host}"),
    }
}

fn timeout_advice(side: Side, endpoint: &Endpoint, stage: Stage) -> String {
    let Endpoint { host, port, timeout, .. } = endpoint;
    match stage {
        Stage::Dns => "check the resolver of this machine".to_owned(),
        Stage::Connect => format!("check that {host} is up and that no firewall drops port {port}"),
        Stage::Greeting if endpoint.tls != TlsMode::Implicit => format!(
            "check the load of {host}; if port {port} expects TLS from the first byte, set `tls: \
             implicit` on the {side} side"
        ),
        _ => format!(
            "check the load and the log of {host}; if it is always this slow, raise `timeout` ({})",
            humantime::format_duration(*timeout)
        ),
    }
}

fn closed_advice(side: Side, endpoint: &Endpoint, stage: Stage) -> String {
    let Endpoint { host, port, .. } = endpoint;
    let log = format!("look into the log of {host} for connections from this machine");
    match (stage, endpoint.tls) {
        (Stage::Greeting, TlsMode::StartTls | TlsMode::None) => format!(
            "{log}; if port {port} expects TLS from the first byte, set `tls: implicit` on the \
             {side} side"
        ),
        (Stage::Tls, TlsMode::Implicit) => {
            format!(
                "{log}; if port {port} begins without TLS, set `tls: starttls` on the {side} side"
            )
        }
        _ => log,
    }
}

fn service(side: Side, target: &Target) -> &'static str {
    match (side, target.receive.protocol.label()) {
        (Side::Send, _) => "SMTP",
        (Side::Receive, "pop3") => "POP3",
        (Side::Receive, _) => "IMAP",
    }
}
