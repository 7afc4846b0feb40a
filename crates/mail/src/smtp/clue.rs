//! What a refusal points to: by its code and by what the session saw before it.

use super::{Reply, Smtp};
use ledger::{Clue, Step};

/// That the domain of the sender is bad, has no mail server or fails SPF (RFC 3463 section 3.2, RFC 7372, RFC 7505).
const SENDER_DOMAIN: [(u16, u16); 4] = [(1, 7), (1, 8), (7, 23), (7, 27)];

impl Smtp {
    /// The clue in a refusal of the step under way.
    pub(super) fn clue(&self, reply: &Reply) -> Option<Clue> {
        if self.name.is_empty() {
            return Some(Clue::AddressOnly);
        }
        let step = self.wire.trace().step();
        if reply.code == 432 && reply.is_about((3, 2)) {
            return Some(Clue::Connections);
        }
        match step {
            Some(Step::Auth) => self.clue_at_the_login(reply),
            Some(Step::Envelope | Step::Data) => self.clue_at_the_mail(reply),
            _ => None,
        }
    }

    /// Why TLS is not offered, if that shows: firewalls write a keyword that they do not know over with X.
    pub(super) fn masked_tls(&self) -> Option<Clue> {
        self.features.any_keyword(|word| word.starts_with("XXX")).then_some(Clue::StartTlsMasked)
    }

    /// Why no login is offered.
    pub(super) fn no_login(&self) -> Clue {
        Clue::no_login(self.could_protect())
    }

    fn clue_at_the_login(&self, reply: &Reply) -> Option<Clue> {
        match reply.code {
            535 if reply.is_about((7, 139)) => Some(Clue::LoginSwitchedOff),
            _ if self.wire.is_protected() => None,
            // RFC 3207 section 4, RFC 4954 section 6.
            530 | 538 => Some(Clue::TlsFirst),
            _ => reply.is_about((7, 11)).then_some(Clue::TlsFirst),
        }
    }

    fn clue_at_the_mail(&self, reply: &Reply) -> Option<Clue> {
        let is_protected = self.wire.is_protected();
        match reply.code {
            _ if self.is_named_in(reply) => Some(Clue::EhloName),
            504 if reply.is_about((5, 2)) => Some(match self.name.contains('.') {
                true => Clue::EhloNameOrAddress,
                false => Clue::EhloName,
            }),
            500..=504 | 555 | 556 => Some(Clue::AnotherMatter),
            500.. if reply.is_about((7, 25)) => Some(Clue::AnotherMatter),
            500.. if SENDER_DOMAIN.iter().any(|about| reply.is_about(*about)) => {
                Some(Clue::SenderDomain)
            }
            450 if reply.is_about((7, 1)) => Some(Clue::EhloNameOrGreylist),
            _ if reply.is_about((3, 1)) => Some(Clue::NoRoom),
            _ if reply.is_about((3, 4)) || reply.is_about((2, 3)) => Some(Clue::TooLarge),
            // A limit of size by servers without enhanced codes (RFC 1870 section 6.1).
            552 if reply.enhanced().is_none() && self.is_large => Some(Clue::TooLarge),
            // What Microsoft says of a client that has not logged in.
            _ if reply.is_about((7, 57)) => Some(Clue::LoginFirst),
            535 => Some(Clue::LoginFirst),
            451 if reply.is_about((7, 3)) && !is_protected => Some(Clue::TlsFirst),
            451 if reply.is_about((7, 3)) => Some(Clue::LoginFirst),
            530 if is_protected => Some(Clue::LoginFirst),
            530 if self.is_logged_in => Some(Clue::TlsFirst),
            530 => Some(match (self.could_protect(), self.features.mechanisms().is_empty()) {
                (true, true) => Clue::TlsFirst,
                (false, false) => Clue::LoginFirst,
                _ => Clue::TlsOrLoginFirst,
            }),
            _ => None,
        }
    }

    /// Whether the reply begins with the name that EHLO said: `<monitor>: Helo command rejected`.
    fn is_named_in(&self, reply: &Reply) -> bool {
        let named = format!("<{}>", self.name);
        reply
            .lines
            .iter()
            .any(|line| line.split(' ').take(2).any(|word| word.trim_end_matches(':') == named))
    }

    fn could_protect(&self) -> bool {
        !self.wire.is_protected() && self.features.has("STARTTLS")
    }
}

impl Reply {
    /// Whether its enhanced code has this subject and detail (RFC 3463), whatever its class.
    fn is_about(&self, (subject, detail): (u16, u16)) -> bool {
        self.enhanced().is_some_and(|(_, a, b)| (a, b) == (subject, detail))
    }
}
