//! `expect`: what must become of the test mails of a target in place of their delivery.

use ledger::{Expectation, FoundIn};
use mail::content::Form;

use crate::config::section::{Level, Report, Section};
use crate::config::{Target, TlsMode, value};

/// `expect` and `refused_at`, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// What must become of a mail.
    pub outcome: Expectation,
    /// How far a mail goes that must be refused; of any other it is the whole way.
    pub refused_at: RefusedAt,
}

/// How far a test goes that must be refused. A server may say no earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedAt {
    /// To the login, for which no password is sent.
    Login,
    /// To RCPT: no mail is sent.
    Recipient,
    /// To the end of the mail.
    Message,
}

/// The words of `expect`.
pub(in crate::config) const OUTCOMES: [(&str, Option<Expectation>); 4] = [
    ("delivered", None),
    ("refused", Some(Expectation::Refused)),
    ("junk", Some(Expectation::Junk)),
    ("nothing", Some(Expectation::Nothing)),
];

/// The words of `refused_at`.
pub(in crate::config) const PLACES: [(&str, RefusedAt); 3] = [
    ("login", RefusedAt::Login),
    ("recipient", RefusedAt::Recipient),
    ("message", RefusedAt::Message),
];

impl RefusedAt {
    /// As the configuration has it.
    pub fn label(self) -> &'static str {
        let own = PLACES.iter().find(|(_, place)| *place == self);
        own.map_or("message", |(word, _)| word)
    }
}

impl Expected {
    /// How far its test goes where no mail is sent at all; `None`: the mail is sent.
    pub fn stops_at(&self) -> Option<RefusedAt> {
        let is_short =
            self.outcome == Expectation::Refused && self.refused_at != RefusedAt::Message;
        is_short.then_some(self.refused_at)
    }

    /// What is expected, as a part of a sentence.
    pub fn words(&self) -> &'static str {
        match (self.outcome, self.refused_at) {
            (Expectation::Refused, RefusedAt::Login) => "a login without TLS to be refused",
            (Expectation::Refused, RefusedAt::Recipient) => "the recipient to be refused",
            (Expectation::Refused, RefusedAt::Message) => "the mail to be refused",
            (Expectation::Junk, _) => "the mail to be found as junk",
            (Expectation::Nothing, _) => "the mail to be found nowhere",
        }
    }
}

impl Target {
    /// What must become of its test mails; `None`: they are to be delivered.
    pub fn expected(&self) -> Option<&Expected> {
        self.wants.as_ref()?.expect.as_ref()
    }
}

/// Whether the mails of the target are not to be delivered.
pub(in crate::config) fn is_expected(section: &Section<'_>) -> bool {
    outcome(section, &mut Report::default()).is_some()
}

/// Whether the mails of the target must be refused, so that nobody need look for them.
pub(in crate::config) fn needs_no_mailbox(section: &Section<'_>) -> bool {
    outcome(section, &mut Report::default()) == Some(Expectation::Refused)
}

fn outcome(section: &Section<'_>, report: &mut Report) -> Option<Expectation> {
    section.read("expect", report, value::choice(&OUTCOMES)).flatten()
}

/// What is expected of a mail of this form. One with a sample can be refused for what is in it alone.
pub(super) fn expected(
    section: &Section<'_>,
    form: Option<&Form>,
    report: &mut Report,
) -> Option<Expected> {
    let has_sample = form.is_some_and(|form| form.sample.is_some());
    let usual = if has_sample { RefusedAt::Message } else { RefusedAt::Recipient };
    let outcome = outcome(section, report);
    let refused_at = section.read("refused_at", report, value::choice(&PLACES));
    Some(Expected { outcome: outcome?, refused_at: refused_at.unwrap_or(usual) })
}

/// What does not go together with the rest of the target.
pub(super) fn check(target: &Target, section: &Section<'_>, report: &mut Report) {
    let expected = target.expected();
    // That of `defaults` is for those that must be refused.
    if expected.is_none_or(|it| it.outcome != Expectation::Refused)
        && let Some(found) = section.find_in(Level::Own, "refused_at")
    {
        report.add(found.place.problem("means nothing without `expect: refused`"));
    }
    let mut contradicts = |key: &str, message: &str| {
        if let Some(found) = section.find(key) {
            report.add(found.place.problem(message));
        }
    };
    let Some(expected) = expected else { return };
    if target.messages.get() > 1 {
        contradicts("messages", "must be 1 with `expect`: each test is judged by itself");
    }
    let is_by_login = expected.stops_at() == Some(RefusedAt::Login);
    if is_by_login && target.send.login.is_some() {
        contradicts("refused_at", "does not go with `send.username`: nobody logs in");
    }
    if is_by_login && target.send.endpoint.tls != TlsMode::None {
        contradicts(
            "refused_at",
            "login needs `send.tls: none`: the login is asked for without TLS",
        );
    }
    let finds_junk = target.receive.as_ref().is_some_and(|side| {
        [FoundIn::Junk, FoundIn::Other].iter().any(|kind| side.protocol.looks_into(*kind))
    });
    if expected.outcome == Expectation::Junk && !finds_junk {
        let message = "junk needs a mailbox with another folder than the inbox: `receive` with \
                       `protocol: imap` and the folder for junk in `folders`";
        contradicts("expect", message);
    }
}

/// What is allowed and hardly meant, as sentences without the name of the target.
pub(in crate::config) fn doubts(target: &Target) -> Vec<String> {
    let Some(expected) = target.expected() else { return Vec::new() };
    let mut doubts = Vec::new();
    if expected.stops_at() == Some(RefusedAt::Recipient) && target.send.login.is_some() {
        let message = "`expect: refused` with `send.username`: a server relays for who has logged in; leave the \
                       login out to test what strangers may do";
        doubts.push(message.to_owned());
    }
    let has_sample = target.form().is_some_and(|form| form.sample.is_some());
    if expected.stops_at().is_some() && has_sample {
        let message =
            "`mail.sample` is never sent: with `refused_at` the test ends before the mail";
        doubts.push(message.to_owned());
    }
    doubts
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::config::Config;

    fn configured(keys: &str, send: &str, receive: &str) -> Result<Target, String> {
        let yaml = format!(
            "targets: [{{name: a, host: h, from: a@b.example, to: c@b.example, {keys} send: {{{send}}}, \
             receive: {{protocol: imap, username: u, password: p, {receive}}}}}]\n"
        );
        let config = Config::parse(&yaml, Path::new("a.yml"));
        let config = config.map_err(|problems| format!("{problems:?}"))?;
        let target = config.targets.into_values().next().ok_or("no target")?;
        Ok(Target::clone(&target))
    }

    fn expected(keys: &str) -> Option<Expected> {
        configured(keys, "", "").unwrap().expected().copied()
    }

    #[test]
    fn a_refusal_is_awaited_at_the_recipient_unless_the_mail_holds_a_sample() {
        let refused = |refused_at| Some(Expected { outcome: Expectation::Refused, refused_at });
        assert_eq!(expected("expect: delivered,"), None);
        assert_eq!(expected("expect: refused,"), refused(RefusedAt::Recipient));
        assert_eq!(expected("expect: refused, refused_at: message,"), refused(RefusedAt::Message));
        let sampled = expected("expect: refused, mail: {sample: gtube},");
        assert_eq!(sampled, refused(RefusedAt::Message));
        assert_eq!(expected("expect: junk,").map(|it| it.stops_at()), Some(None));
    }

    #[test]
    fn what_must_not_pass_is_waited_for_a_period() {
        let lost_after = |keys: &str| configured(keys, "", "").unwrap().lost_after;
        assert_eq!(lost_after("expect: nothing, interval: 10m,"), Duration::from_secs(600));
        let written = lost_after("expect: nothing, interval: 10m, lost_after: 1h,");
        assert_eq!(written, Duration::from_secs(3600));
        assert_eq!(lost_after("expect: delivered,"), Duration::from_secs(24 * 3600));
    }

    #[test]
    fn contradictions_are_problems() {
        for (keys, send, receive, problem) in [
            ("refused_at: login,", "tls: none", "", "means nothing without `expect: refused`"),
            (
                "expect: junk, refused_at: message,",
                "",
                "",
                "means nothing without `expect: refused`",
            ),
            ("expect: refused, messages: 2,", "", "", "must be 1 with `expect`"),
            ("expect: refused, refused_at: login,", "", "", "needs `send.tls: none`"),
            (
                "expect: refused, refused_at: login,",
                "tls: none, username: u, password: p",
                "",
                "does not go with `send.username`",
            ),
            ("expect: junk,", "", "folders: [INBOX]", "another folder than the inbox"),
            ("expect: maybe,", "", "", "must be one of delivered, refused, junk, nothing"),
        ] {
            let said = configured(keys, send, receive).unwrap_err();
            assert!(said.contains(problem), "{keys} {said}");
        }
        configured("expect: refused, refused_at: login,", "tls: none", "").unwrap();
        configured("expect: junk,", "", "folders: [INBOX, Spam]").unwrap();
    }

    #[test]
    fn what_is_hardly_meant_is_said() {
        let doubts_of = |keys, send| doubts(&configured(keys, send, "").unwrap());
        assert!(doubts_of("expect: refused,", "").is_empty());
        assert!(doubts_of("expect: refused,", "username: u, password: p")[0].contains("strangers"));
        let early = "expect: refused, refused_at: recipient, mail: {sample: eicar},";
        assert!(doubts_of(early, "")[0].contains("never sent"));
    }
}
