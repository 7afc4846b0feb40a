//! `expect`: what must become of the test mails of a target in place of their delivery.

use std::time::Duration;

use lettre::Address;

use ledger::{Awaited, Expectation, FoundIn, Step};
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

impl Expected {
    /// How far its test goes, as the end of a sentence.
    pub fn ending(&self) -> &'static str {
        match self.stops_at() {
            Some(RefusedAt::Login) => "; no password and no mail are sent",
            Some(RefusedAt::Recipient) => "; no mail is sent",
            Some(RefusedAt::Message) | None => "; the mail is sent",
        }
    }
}

impl Target {
    /// What must become of its test mails; `None`: they are to be delivered.
    pub fn expected(&self) -> Option<&Expected> {
        self.wants.as_ref()?.expect.as_ref()
    }

    /// The same as the account of the mails goes by it.
    pub fn awaited(&self) -> Option<Awaited> {
        let expected = self.expected()?;
        let judged_from = match expected.stops_at() {
            Some(RefusedAt::Login) => Step::Auth,
            None if self.has_sample() => Step::Data,
            _ => Step::Envelope,
        };
        let domain = |address: &Address| address.domain().to_ascii_lowercase();
        let looks_into =
            |kind| self.receive.as_ref().is_some_and(|it| it.protocol.looks_into(kind));
        Some(Awaited {
            outcome: expected.outcome,
            judged_from,
            is_sender_tested: domain(&self.from) == domain(&self.to),
            is_other_junk: !looks_into(FoundIn::Junk),
        })
    }

    /// What is tested, behind a `#`, to stand before the server: what was found by another test says nothing of this.
    /// Empty: nothing.
    pub fn tested(&self) -> String {
        let Some(expected) = self.expected() else { return String::new() };
        let sample = self.form().and_then(|form| form.sample);
        let (outcome, place) = (expected.outcome.label(), expected.refused_at.label());
        format!("#{outcome} {place} {} {} {sample:?} ", self.from, self.to)
    }

    /// Whether its mail may lie in a folder for junk that nobody looks into, where the server `lacks` one of that use.
    pub fn hides_junk(&self, lacks: bool) -> bool {
        let looks_into =
            |kind| self.receive.as_ref().is_some_and(|it| it.protocol.looks_into(kind));
        lacks && looks_into(FoundIn::Junk)
    }

    fn has_sample(&self) -> bool {
        self.form().is_some_and(|form| form.sample.is_some())
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
        contradicts(
            "refused_at",
            "does not go with `send.username`: nobody logs in; `send: {username: none}` leaves that of `defaults` out",
        );
    }
    if is_by_login && target.send.endpoint.tls != TlsMode::None {
        contradicts(
            "refused_at",
            "login needs `send.tls: none`: the login is asked for without TLS",
        );
    }
    let finds_junk = target.receive.as_ref().is_some_and(|side| side.protocol.knows_junk());
    if expected.outcome == Expectation::Junk && !finds_junk {
        let message = r"junk needs one folder for junk beside the inbox: `receive` with `protocol: imap` or `jmap`, and in `folders` \Junk or a single other folder";
        contradicts("expect", message);
    }
}

/// The span of time in which tools as fail2ban count refusals, and some more.
const USUAL_BAN: Duration = Duration::from_secs(15 * 60);

/// Whether the address is in one of the domains that are kept for examples (RFC 2606 section 3).
fn is_for_examples(address: &Address) -> bool {
    let domain = address.domain().to_ascii_lowercase();
    ["example.com", "example.net", "example.org"].contains(&domain.as_str())
}

/// What is allowed and hardly meant, as sentences without the name of the target.
pub(in crate::config) fn doubts(target: &Target) -> Vec<String> {
    let mut doubts = Vec::new();
    let mut doubt = |is_so: bool, message: &str| doubts.extend(is_so.then(|| message.to_owned()));
    let Some(expected) = target.expected() else {
        doubt(
            target.has_sample(),
            "`mail.sample` without `expect`: a filter that does its work makes the target fail",
        );
        return doubts;
    };
    let is_whole = expected.stops_at().is_none();
    let own = |kind| target.receive.as_ref().is_some_and(|it| it.protocol.looks_into(kind));
    doubt(
        expected.outcome == Expectation::Nothing && !own(FoundIn::Junk) && !own(FoundIn::Other),
        "`expect: nothing` with the inbox alone: a mail in a folder for junk is not found; it needs `protocol: imap` \
         or `jmap`, and that folder in `folders`",
    );
    doubt(
        expected.outcome == Expectation::Refused && target.interval < USUAL_BAN,
        "`expect: refused` with an `interval` below 15m: the server may take the exporter for an attacker and ban its \
         address; 1h is enough",
    );
    doubt(
        is_whole && target.receive.is_none(),
        "without `receive` a mail that passes stays in the mailbox of `to`, or goes to whoever has that address",
    );
    doubt(
        target.has_sample() && is_whole && target.send.login.is_some(),
        "`mail.sample` with `send.username`: the provider may suspend the account that sends it",
    );
    doubt(
        expected.stops_at() == Some(RefusedAt::Recipient) && is_for_examples(&target.from),
        "`from` is in a domain for examples, which takes no mail: a server may refuse it before it judges `to`",
    );
    doubt(
        expected.stops_at() == Some(RefusedAt::Recipient) && target.send.login.is_some(),
        "`expect: refused` with `send.username`: a server relays for who has logged in; leave the login out to test \
         what strangers may do",
    );
    doubt(
        !is_whole && target.has_sample(),
        "`mail.sample` is never sent: with `refused_at` the test ends before the mail",
    );
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
    fn what_must_not_pass_is_waited_for_a_period_or_a_quarter_of_an_hour() {
        let lost_after = |keys: &str| configured(keys, "", "").unwrap().lost_after;
        assert_eq!(lost_after("expect: nothing, interval: 10m,"), Duration::from_secs(900));
        assert_eq!(lost_after("expect: nothing, interval: 20m,"), Duration::from_secs(1200));
        let written = lost_after("expect: nothing, interval: 10m, lost_after: 1h,");
        assert_eq!(written, Duration::from_secs(3600));
        assert_eq!(lost_after("expect: delivered,"), Duration::from_secs(24 * 3600));
    }

    #[test]
    fn what_is_asked_of_all_targets_is_not_asked_of_a_foreign_domain() {
        let asked = |keys: &str| {
            let yaml = format!(
                "defaults: {{domain_checks: true, dnsbl: {{lists: [bl.example]}}}}\n\
                 targets: [{{name: a, host: h, from: a@b.example, to: c@d.example, {keys} receive: \
                 {{protocol: imap, username: u, password: p}}}}]\n"
            );
            let config = Config::parse(&yaml, Path::new("a.yml")).unwrap();
            let target = config.targets.into_values().next().unwrap();
            (target.domain_checks().is_some(), target.dnsbl().is_some())
        };
        assert_eq!(asked(""), (true, true));
        assert_eq!(asked("expect: nothing,"), (false, false));
        assert_eq!(asked("expect: nothing, domain_checks: true,"), (true, false));
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
            ("expect: junk,", "", "folders: [INBOX]", "beside the inbox"),
            ("expect: junk,", "", "folders: [INBOX, Spam, Archive]", "a single other folder"),
            ("expect: maybe,", "", "", "must be one of delivered, refused, junk, nothing"),
        ] {
            let said = configured(keys, send, receive).unwrap_err();
            assert!(said.contains(problem), "{keys} {said}");
        }
        configured("expect: refused, refused_at: login,", "tls: none", "").unwrap();
        configured("expect: junk,", "", "folders: [INBOX, Spam]").unwrap();
    }

    #[test]
    fn what_the_defaults_say_of_mailboxes_is_for_targets_that_have_one() {
        let yaml = "defaults: {receive: {protocol: imap, tls: implicit}}\n\
                    targets: [{name: a, host: h, from: a@b.example, to: c@d.example, expect: refused}]\n";
        let config = Config::parse(yaml, Path::new("a.yml")).unwrap();
        assert!(config.targets.into_values().all(|target| target.receive.is_none()));
    }

    #[test]
    fn what_is_hardly_meant_is_said() {
        let doubts_of = |keys: &str, send| {
            doubts(&configured(&format!("interval: 1h, {keys}"), send, "").unwrap())
        };
        assert!(doubts_of("expect: refused,", "").is_empty());
        assert!(doubts_of("expect: refused,", "username: u, password: p")[0].contains("strangers"));
        assert!(doubts_of("mail: {sample: gtube},", "")[0].contains("without `expect`"));
        let often = doubts(&configured("expect: refused,", "", "").unwrap());
        assert!(often[0].contains("ban its address"), "{often:?}");
        let inbox = configured("expect: nothing,", "", "folders: [INBOX]").unwrap();
        assert!(doubts(&inbox)[0].contains("the inbox alone"));
        let early = "expect: refused, refused_at: recipient, mail: {sample: eicar},";
        assert!(doubts_of(early, "")[0].contains("never sent"));
    }
}
