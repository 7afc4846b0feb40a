//! What the account of the mails goes by, out of the configuration.

use std::time::SystemTime;

use ledger::{Rules, Servers, SessionKind, Token};
use mail::content::Values;
use mail::test_mail::{Addressed, subject};

use super::{Protocol, ReceiveSide, Target};

impl From<&Target> for Rules {
    fn from(target: &Target) -> Self {
        Self {
            interval: target.interval,
            late_after: target.late_after,
            lost_after: target.lost_after,
            max_outstanding: target.max_outstanding,
            passive: target.passive,
            expectation: target.awaited(),
        }
    }
}

impl From<&Target> for Servers {
    fn from(target: &Target) -> Self {
        let endpoint = &target.send.endpoint;
        let scheme = if endpoint.mx { "mx" } else { "smtp" };
        let user = target.send.login.as_ref().map(|login| format!("{}@", login.username));
        let (user, host, port) = (user.unwrap_or_default(), endpoint.name(), endpoint.port);
        let tested = target.tested();
        Self {
            send: format!("{tested}{scheme}://{user}{host}:{port}").into(),
            receive: target.mailbox().unwrap_or_default().into(),
        }
    }
}

impl Target {
    /// Its mailbox, as `imap://user@host:port`; `None` if it has none.
    pub fn mailbox(&self) -> Option<String> {
        self.receive.as_ref().map(|side| side.mailbox_id().to_string())
    }

    /// What a look for its mails costs.
    pub fn session_kind(&self) -> SessionKind {
        self.receive.as_ref().map_or(SessionKind::Held, |side| side.protocol.session_kind())
    }

    /// Who reads its mailbox; its recipient, if nobody does.
    pub fn reader(&self) -> &str {
        self.receive.as_ref().map_or(self.to.as_ref(), |side| &side.login.username)
    }

    /// The mailboxes that it has to do with: its own, and that of its sender.
    pub fn mailboxes(&self) -> impl Iterator<Item = &ReceiveSide> {
        self.receive.iter().chain(self.sender_mailbox.as_deref())
    }
}

impl Protocol {
    /// What a look costs in this protocol.
    pub fn session_kind(&self) -> SessionKind {
        match self {
            Protocol::Imap { .. } | Protocol::Jmap { .. } => SessionKind::Held,
            Protocol::Pop3 => SessionKind::PerPoll,
        }
    }
}

impl Target {
    /// The Subject of its test mail with this token, if it was sent at this time.
    pub fn subject(&self, token: Token, time: SystemTime) -> String {
        let values = Values { token, target: self.name.as_str(), time };
        self.form().map_or_else(|| subject(token), |form| form.subject_of(values))
    }

    /// For whom its test mails are made.
    pub fn addressed(&self) -> Addressed<'_> {
        let Self { name, from, to, interval, lost_after, .. } = self;
        let target = name.as_str();
        let (interval, lost_after) = (*interval, *lost_after);
        let (wants_answer, form) = (self.takes_replies(), self.form());
        Addressed { target, from, to, interval, lost_after, wants_answer, form }
    }
}
