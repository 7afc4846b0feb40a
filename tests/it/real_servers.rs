//! The exporter's main job against a real Postfix and Dovecot, as its measures tell it.

use std::collections::BTreeMap;
use std::fs;
use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::Instance;
use ledger::{Reading, SideState, Snapshot};
use ledger::{Reason, Side, Step};
use mail::inspection::{Clock, HopKind, Outcome};
use mailtrip_exporter::config::Config;
use mailtrip_exporter::probing::send::Origin;
use mailtrip_exporter::roundtrip;
use mailtrip_exporter::supervisor::Supervisor;

use crate::lab::{Account, Lab, Service, until};

/// One target: what differs from a good one on port 25 and IMAP, both without TLS.
pub(crate) struct Target<'a> {
    name: &'a str,
    host: &'a str,
    interval: &'a str,
    from: String,
    to: String,
    /// More keys, each with a comma before it, as `, passive: true`.
    more: String,
    send: String,
    receive: String,
}

impl<'a> Target<'a> {
    /// Mail to `reader`, by an SMTP port that needs no login.
    pub(crate) fn new(lab: &Lab, name: &'a str, reader: &Account) -> Self {
        let ports = lab.ports();
        let target = Self {
            name,
            host: "localhost",
            interval: "1s",
            from: lab.sender().address.clone(),
            to: reader.address.clone(),
            more: String::new(),
            send: plain(ports.smtp),
            receive: String::new(),
        };
        target.receive("imap", &plain(ports.imap), reader)
    }

    pub(crate) fn every(self, interval: &'a str) -> Self {
        Self { interval, ..self }
    }

    pub(crate) fn from(self, address: &str) -> Self {
        Self { from: address.to_owned(), ..self }
    }

    pub(crate) fn more(mut self, more: &str) -> Self {
        self.more += &format!(", {more}");
        self
    }

    pub(crate) fn send(mut self, send: &str, login: Option<&Account>) -> Self {
        self.send = send.to_owned();
        if let Some(Account { address, password }) = login {
            self.send += &format!(", username: {address}, password: '{password}'");
        }
        self
    }

    pub(crate) fn receive(mut self, protocol: &str, receive: &str, reader: &Account) -> Self {
        let Account { address, password } = reader;
        self.receive =
            format!("protocol: {protocol}, {receive}, username: {address}, password: '{password}'");
        self
    }

    fn yaml(&self) -> String {
        let Self { name, host, interval, from, to, more, send, receive } = self;
        format!(
            "- {{name: {name}, host: '{host}', interval: {interval}, from: {from}, to: {to}{more}, \
             send: {{{send}}}, receive: {{{receive}}}}}\n"
        )
    }
}

/// A side on this port without TLS.
pub(crate) fn plain(port: u16) -> String {
    format!("port: {port}, tls: none")
}

pub(crate) fn protected(lab: &Lab, tls: &str, port: u16) -> String {
    let ca_file = lab.ca_file();
    format!("port: {port}, tls: {tls}, tls_options: {{ca_file: {}}}", ca_file.display())
}

pub(crate) fn config(_: &Lab, targets: &[Target<'_>]) -> Config {
    let targets: String = targets.iter().map(Target::yaml).collect();
    Config::parse(&format!("targets:\n{targets}"), Path::new("mailtrip.yml"))
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// The exporter at work on some targets.
pub(crate) struct Exporter {
    pub(crate) supervisor: Arc<Supervisor>,
    instance: Instance,
}

impl Exporter {
    pub(crate) async fn start(lab: &Lab, targets: &[Target<'_>]) -> Self {
        let instance = Instance::random();
        let origin = Origin { instance, host: Some("monitor.lab.test".into()) };
        let supervisor = Supervisor::start(config(lab, targets), None, origin).await.unwrap();
        Self { supervisor, instance }
    }

    /// The account of a target, now.
    pub(crate) fn snapshot(&self, name: &str) -> Snapshot {
        self.supervisor.view(name).expect("a target").snapshot
    }

    /// Waits until the account of a target is as wanted, and returns it.
    pub(crate) async fn until(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&Snapshot) -> bool,
    ) -> Snapshot {
        let mut last = self.snapshot(name);
        until(&format!("{name}: {what}"), async || {
            last = self.snapshot(name);
            wanted(&last)
        })
        .await;
        last
    }

    /// Waits until so many more mails have been received than now.
    async fn receives(&self, name: &str, count: u64) -> Snapshot {
        let before = self.snapshot(name).totals.received;
        let what = format!("{count} more mails received");
        self.until(name, &what, |now| now.totals.received >= before + count).await
    }
}

/// How often the side has failed.
pub(crate) fn failures(side: &SideState) -> u64 {
    side.by_reason.iter().sum()
}

/// Asserts that both sides are able and every mail has arrived or is under way.
pub(crate) fn assert_healthy(name: &str, snapshot: &Snapshot) {
    assert_eq!(snapshot.send_ability, Reading::Is(1.0), "{name}: {snapshot:?}");
    assert_eq!(snapshot.receive_ability, Reading::Is(true), "{name}: {snapshot:?}");
    assert!(snapshot.roundtrip.value().is_some(), "{name}: {snapshot:?}");
    for side in [&snapshot.sides.send, &snapshot.sides.receive] {
        assert_eq!((failures(side), side.not_applicable), (0, 0), "{name}: {side:?}");
        assert_eq!((side.up, side.consecutive_failures), (Some(true), Reading::Is(0)), "{name}");
    }
    let totals = &snapshot.totals;
    let outstanding = snapshot.outstanding.value().unwrap() as u64;
    assert_eq!(totals.accepted, outstanding + totals.received, "{name}: {totals:?}");
    assert_eq!(totals.doubtful + totals.duplicate + totals.returned + totals.lost, 0, "{name}");
}

#[tokio::test]
async fn mail_arrives_whatever_protects_the_connections() {
    let lab = Lab::shared().await;
    let ports = lab.ports();
    let sender = Some(lab.sender());
    let sends = [
        ("open", plain(ports.smtp), None),
        ("login", plain(ports.smtp_login), sender),
        ("starttls", protected(lab, "starttls", ports.smtp), None),
        ("submission", protected(lab, "starttls", ports.submission), sender),
        ("smtps", protected(lab, "implicit", ports.smtps), sender),
    ];
    let receives = [
        ("imap", "plain", plain(ports.imap)),
        ("imap", "starttls", protected(lab, "starttls", ports.imap)),
        ("imap", "implicit", protected(lab, "implicit", ports.imaps)),
        ("pop3", "plain", plain(ports.pop3)),
        ("pop3", "starttls", protected(lab, "starttls", ports.pop3)),
        ("pop3", "implicit", protected(lab, "implicit", ports.pop3s)),
    ];
    // The targets of one kind of mailbox share it.
    let mut names = Vec::new();
    for (protocol, protection, receive) in &receives {
        let reader = lab.user(&format!("ways-{protocol}-{protection}"), "odd: p\"a\\ss{}%u").await;
        for (way, send, login) in &sends {
            names.push((
                format!("{way}-{protocol}-{protection}"),
                send,
                *login,
                receive,
                *protocol,
                reader.clone(),
            ));
        }
    }
    let targets: Vec<Target<'_>> = names
        .iter()
        .map(|(name, send, login, receive, protocol, reader)| {
            let target = Target::new(lab, name, reader).every("3s");
            target.send(send, *login).receive(protocol, receive, reader)
        })
        .collect();
    let exporter = Exporter::start(lab, &targets).await;
    for (name, ..) in &names {
        let snapshot = exporter.until(name, "two mails", |now| now.totals.received >= 2).await;
        assert_healthy(name, &snapshot);
        let has_tls = |side: &SideState| side.tls.as_ref().map(|tls| tls.version);
        let sends_by_tls = !name.starts_with("open") && !name.starts_with("login");
        assert_eq!(has_tls(&snapshot.sides.send).is_some(), sends_by_tls, "{name}");
        assert_eq!(has_tls(&snapshot.sides.receive).is_some(), !name.ends_with("plain"), "{name}");
        assert!(snapshot.roundtrip.value().unwrap() < Duration::from_secs(3), "{name}");
    }
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn the_mailbox_is_left_empty_and_is_entered_once_a_period() {
    let lab = Lab::shared().await;
    let reader = lab.user("once", "secret").await;
    let exporter = Exporter::start(lab, &[Target::new(lab, "once", &reader)]).await;
    let snapshot = exporter.receives("once", 4).await;
    assert_healthy("once", &snapshot);
    until("the mailbox is empty", async || lab.mails(&reader).is_empty()).await;
    until("a login for each check is in the log", async || {
        lab.imap_logins(&reader) as u64 >= snapshot.totals.checks
    })
    .await;
    let logins = lab.imap_logins(&reader) as u64;
    let checks = exporter.snapshot("once").totals.checks;
    assert!(logins <= checks + 1, "{logins} logins for {checks} checks and the one under way");
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn of_several_mails_a_period_one_that_is_refused_does_not_stop_the_next() {
    let lab = Lab::shared().await;
    let reader = lab.user("several", "secret").await;
    lab.refuse_second(&reader, "550 5.7.1 not this one");
    let target = Target::new(lab, "several", &reader).every("5m");
    let exporter = Exporter::start(lab, &[target.more("messages: 3")]).await;
    let snapshot = exporter.receives("several", 2).await;
    let sent = |now: &Snapshot| now.send_ability == Reading::Is(2.0 / 3.0);
    exporter.until("several", "two of three are accepted", sent).await;
    assert_eq!((snapshot.totals.probes, snapshot.totals.accepted), (3, 2));
    assert_eq!(
        (failures(&snapshot.sides.send), snapshot.sides.send.failures_for(Reason::Rejected)),
        (1, 1)
    );
    assert_eq!(snapshot.sides.send.failures_in(Step::Envelope), 1);
    until("the mailbox is empty", async || lab.mails(&reader).is_empty()).await;
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_a_failure_of_its_own_side_only() {
    let lab = Lab::shared().await;
    let ports = lab.ports();
    let (one, two, three) = tokio::join!(
        lab.user("wrong-send", "secret"),
        lab.user("wrong-imap", "secret"),
        lab.user("wrong-pop3", "secret")
    );
    let wrong = |account: &Account| Account { password: "not it".into(), ..account.clone() };
    let exporter = Exporter::start(
        lab,
        &[
            Target::new(lab, "wrong-send", &one)
                .send(&plain(ports.smtp_login), Some(&wrong(lab.sender()))),
            Target::new(lab, "wrong-imap", &two).receive("imap", &plain(ports.imap), &wrong(&two)),
            Target::new(lab, "wrong-pop3", &three).receive(
                "pop3",
                &plain(ports.pop3),
                &wrong(&three),
            ),
        ],
    )
    .await;
    let sends = |now: &Snapshot| now.sides.send.failures_for(Reason::Auth) >= 2;
    let snapshot = exporter.until("wrong-send", "two logins refused", sends).await;
    assert_eq!(snapshot.send_ability, Reading::Is(0.0));
    assert_eq!(snapshot.receive_ability, Reading::Is(true));
    assert_eq!(snapshot.outstanding, Reading::Is(0));
    assert_eq!(snapshot.sides.send.failures_in(Step::Auth), failures(&snapshot.sides.send));
    assert_eq!(failures(&snapshot.sides.receive), 0);
    assert_eq!(snapshot.totals.accepted, 0);

    for name in ["wrong-imap", "wrong-pop3"] {
        let receives = |now: &Snapshot| {
            now.sides.receive.failures_for(Reason::Auth) >= 2 && now.totals.accepted >= 2
        };
        let snapshot = exporter.until(name, "two logins refused, two mails sent", receives).await;
        assert_eq!(snapshot.receive_ability, Reading::Is(false), "{name}");
        assert_eq!(snapshot.send_ability, Reading::Is(1.0), "{name}");
        assert_eq!(snapshot.outstanding, Reading::Is(snapshot.totals.accepted as usize), "{name}");
        assert_eq!(
            snapshot.sides.receive.failures_in(Step::Auth),
            failures(&snapshot.sides.receive)
        );
        assert_eq!(failures(&snapshot.sides.send), 0, "{name}");
        assert_eq!(snapshot.sides.receive.up, Some(true), "a refused login is no outage");
    }
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn an_outage_is_a_failure_of_an_active_node_and_not_applicable_to_a_passive_one() {
    let lab = Lab::start().await;
    let (one, two) = tokio::join!(lab.user("active", "secret"), lab.user("passive", "secret"));
    let exporter = Exporter::start(
        &lab,
        &[
            Target::new(&lab, "active", &one),
            Target::new(&lab, "passive", &two).more("passive: true"),
        ],
    )
    .await;
    for name in ["active", "passive"] {
        assert_healthy(name, &exporter.receives(name, 1).await);
    }

    lab.stop_smtp().await;
    let refused = |now: &Snapshot| now.sides.send.failures_for(Reason::Refused) >= 2;
    let snapshot = exporter.until("active", "two refused connections", refused).await;
    assert_eq!(snapshot.send_ability, Reading::Is(0.0));
    assert_eq!(snapshot.receive_ability, Reading::Is(true));
    assert_eq!(snapshot.sides.send.up, Some(false));
    assert_eq!(snapshot.outstanding, Reading::Is(0));
    let down = |now: &Snapshot| now.sides.send.not_applicable >= 2;
    let snapshot = exporter.until("passive", "two attempts not applicable", down).await;
    assert_eq!(snapshot.send_ability, Reading::NotApplicable);
    assert_eq!(snapshot.receive_ability, Reading::Is(true));
    assert_eq!(snapshot.outstanding, Reading::NotApplicable);
    assert_eq!(snapshot.roundtrip, Reading::NotApplicable);
    assert_eq!(failures(&snapshot.sides.send), 0);

    lab.start_smtp().await;
    for name in ["active", "passive"] {
        let snapshot = exporter.receives(name, 1).await;
        assert_eq!(snapshot.send_ability, Reading::Is(1.0), "{name}");
        assert!(snapshot.roundtrip.value().is_some(), "{name}");
    }

    lab.stop_dovecot().await;
    let down = |now: &Snapshot| now.receive_ability == Reading::Is(false);
    let snapshot = exporter.until("active", "receiving fails", down).await;
    assert_eq!(snapshot.send_ability, Reading::Is(1.0));
    assert!(failures(&snapshot.sides.receive) >= 1);
    let down = |now: &Snapshot| now.receive_ability == Reading::NotApplicable;
    let snapshot = exporter.until("passive", "receiving is not applicable", down).await;
    assert_eq!(snapshot.send_ability, Reading::Is(1.0));
    assert_eq!(snapshot.outstanding, Reading::NotApplicable);
    assert_eq!(failures(&snapshot.sides.receive), 0, "{:?}", snapshot.sides.receive);
    exporter.until("active", "mail is waiting", |now| now.outstanding.value() > Some(1)).await;

    lab.start_dovecot().await;
    for name in ["active", "passive"] {
        exporter.receives(name, 1).await;
        // A look may find the mail before the next check tells of the ability.
        let able = |now: &Snapshot| now.receive_ability == Reading::Is(true);
        exporter.until(name, "able to receive", able).await;
    }
    let caught_up = |now: &Snapshot| now.outstanding.value() <= Some(1);
    exporter.until("active", "what waited has been received", caught_up).await;
    assert_eq!(exporter.snapshot("active").totals.doubtful, 0);
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_passive_node_that_comes_up_is_measured() {
    let lab = Lab::start().await;
    let reader = lab.user("standby", "secret").await;
    lab.stop_smtp().await;
    lab.stop_service(Service::Imap).await;
    let target = Target::new(&lab, "standby", &reader).more("passive: true");
    let exporter = Exporter::start(&lab, &[target]).await;
    let down = |now: &Snapshot| {
        now.sides.send.not_applicable >= 2 && now.sides.receive.not_applicable >= 2
    };
    let snapshot = exporter.until("standby", "both sides are not applicable", down).await;
    assert_eq!(snapshot.send_ability, Reading::NotApplicable);
    assert_eq!(snapshot.receive_ability, Reading::NotApplicable);
    assert_eq!(snapshot.outstanding, Reading::NotApplicable);
    assert_eq!(snapshot.roundtrip, Reading::NotApplicable);
    assert_eq!(failures(&snapshot.sides.send) + failures(&snapshot.sides.receive), 0);
    assert_eq!((snapshot.totals.checks, snapshot.totals.accepted), (0, 0));

    lab.start_smtp().await;
    lab.start_dovecot().await;
    exporter.receives("standby", 1).await;
    // A look may find the mail before the next check tells of the ability.
    let is_measured = |now: &Snapshot| {
        now.send_ability == Reading::Is(1.0)
            && now.receive_ability == Reading::Is(true)
            && now.outstanding.value().is_some()
            && now.roundtrip.value().is_some()
    };
    exporter.until("standby", "measured like any other", is_measured).await;
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn held_mail_is_outstanding_and_late_and_its_whole_delay_is_told_when_it_comes() {
    let lab = Lab::shared().await;
    let (one, two) = tokio::join!(lab.user("held-imap", "secret"), lab.user("held-pop3", "secret"));
    lab.hold(&one);
    lab.hold(&two);
    let exporter = Exporter::start(
        lab,
        &[
            Target::new(lab, "held-imap", &one),
            Target::new(lab, "held-pop3", &two).receive("pop3", &plain(lab.ports().pop3), &two),
        ],
    )
    .await;
    for (name, reader) in [("held-imap", &one), ("held-pop3", &two)] {
        let late = |now: &Snapshot| now.outstanding.value() >= Some(3) && now.totals.late >= 2;
        let snapshot = exporter.until(name, "three outstanding, two late", late).await;
        assert_eq!(snapshot.send_ability, Reading::Is(1.0), "{name}");
        assert_eq!(snapshot.receive_ability, Reading::Is(true), "{name}");
        assert_eq!(snapshot.roundtrip, Reading::Unmeasured, "{name}");
        let first_accepted = snapshot.oldest_outstanding.expect("an outstanding mail");
        let held = first_accepted.elapsed().unwrap();
        lab.release(reader).await;
        let received = |now: &Snapshot| now.totals.received >= 3;
        let snapshot = exporter.until(name, "the held mails are received", received).await;
        assert!(snapshot.roundtrips.sum >= held, "{name}: {:?} {held:?}", snapshot.roundtrips);
        assert!(snapshot.totals.late >= 2, "{name}: late mails stay counted");
        assert_eq!(snapshot.totals.lost + snapshot.totals.duplicate, 0, "{name}");
        let caught_up = |now: &Snapshot| now.outstanding.value() <= Some(1);
        exporter.until(name, "nothing old is outstanding", caught_up).await;
    }
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_delay_is_measured_as_it_was() {
    let lab = Lab::shared().await;
    let reader = lab.user("slow", "secret").await;
    let delay = Duration::from_secs(2);
    lab.delay(&reader, delay);
    let target = Target::new(lab, "slow", &reader).every("10s");
    let exporter = Exporter::start(lab, &[target]).await;
    let snapshot = exporter.receives("slow", 1).await;
    let roundtrip = snapshot.roundtrip.value().unwrap();
    assert!(roundtrip >= delay, "{roundtrip:?}");
    // Postfix lets go of it by command, which takes its time on a busy machine.
    assert!(roundtrip < delay * 2, "{roundtrip:?}");
    exporter.supervisor.stop().await;
}

/// A mailbox as its owner sees it: folder, flags and text of each mail that is not ours.
fn foreign_mails(lab: &Lab, reader: &Account, instance: Option<Instance>) -> Vec<String> {
    let ours = instance.map(|instance| format!("instance={instance}"));
    let mails = lab.mails(reader).into_iter().filter_map(|mail| {
        let text = fs::read_to_string(&mail.path).ok()?;
        let is_ours = ours.as_ref().is_some_and(|ours| text.contains(ours));
        (!is_ours).then(|| format!("{} {} {text}", mail.folder, mail.flags))
    });
    let mut mails: Vec<String> = mails.collect();
    mails.sort();
    mails
}

#[tokio::test]
async fn mail_of_others_stays_as_it_is_flags_included() {
    let lab = Lab::shared().await;
    let reader = lab.user("neighbours", "secret").await;
    let token = Instance::random();
    for (folder, text) in [
        ("INBOX", "Subject: hello\n\nfrom a friend\n".to_owned()),
        (
            "INBOX",
            format!(
                "Subject: Re: Mail round-trip test {token}\nIn-Reply-To: <{token}.mailtrip@lab.test>\n\nwhat is this?\n"
            ),
        ),
        (
            "INBOX",
            format!(
                "X-Mailtrip: v=1; token={token}; target=other; instance={token}; \
             sent=2026-01-01T00:00:00Z; expires=2999-01-01T00:00:00Z\nSubject: test\n\nof others\n"
            ),
        ),
        ("Junk", "Subject: buy\n\nspam\n".to_owned()),
        ("Trash", "Subject: old\n\nthrown away\n".to_owned()),
    ] {
        lab.inject(&reader, folder, &text);
    }
    // One is read, flagged, and marked as deleted, but its owner has not expunged it.
    let mail = lab.mails(&reader).into_iter().find(|mail| mail.text().contains("friend")).unwrap();
    let name = mail.path.file_name().unwrap().to_string_lossy().into_owned();
    let cur = mail.path.parent().unwrap().parent().unwrap().join("cur");
    fs::rename(&mail.path, cur.join(format!("{name}:2,FST"))).unwrap();
    let before = foreign_mails(lab, &reader, None);
    assert_eq!(before.len(), 5);

    let ports = lab.ports();
    let exporter = Exporter::start(
        lab,
        &[
            Target::new(lab, "by-imap", &reader),
            Target::new(lab, "by-pop3", &reader).receive("pop3", &plain(ports.pop3), &reader),
        ],
    )
    .await;
    for name in ["by-imap", "by-pop3"] {
        let snapshot = exporter.receives(name, 3).await;
        assert_eq!(
            failures(&snapshot.sides.receive),
            0,
            "{name}: {:?}",
            snapshot.sides.receive.last_failure
        );
    }
    exporter.supervisor.stop().await;
    assert_eq!(foreign_mails(lab, &reader, Some(exporter.instance)), before);
}

#[tokio::test]
async fn a_refusal_has_the_reason_of_its_reply_code() {
    let lab = Lab::shared().await;
    let (one, two, three) = tokio::join!(
        lab.user("rejected", "secret"),
        lab.user("deferred", "secret"),
        lab.user("no-room", "secret")
    );
    lab.reject(&one);
    lab.greylist(&two);
    lab.refuse(&three, "452 4.2.2 mailbox full");
    let expected = BTreeMap::from([
        ("rejected", (&one, Reason::Rejected)),
        ("deferred", (&two, Reason::Deferred)),
        ("no-room", (&three, Reason::Quota)),
    ]);
    let targets: Vec<Target<'_>> =
        expected.iter().map(|(name, (reader, _))| Target::new(lab, name, reader)).collect();
    let exporter = Exporter::start(lab, &targets).await;
    for (name, (reader, reason)) in expected {
        let refused = |now: &Snapshot| now.sides.send.failures_for(reason) >= 2;
        let snapshot = exporter.until(name, "two refusals", refused).await;
        assert_eq!(snapshot.send_ability, Reading::Is(0.0), "{name}");
        assert_eq!(snapshot.receive_ability, Reading::Is(true), "{name}");
        assert_eq!(snapshot.outstanding, Reading::Is(0), "{name}");
        assert_eq!(
            failures(&snapshot.sides.send),
            snapshot.sides.send.failures_for(reason),
            "{name}"
        );
        assert_eq!(
            failures(&snapshot.sides.send),
            snapshot.sides.send.failures_in(Step::Envelope),
            "{name}"
        );
        assert_eq!(snapshot.sides.send.up, Some(true), "{name}");
        lab.deliver(reader);
        let snapshot = exporter.receives(name, 1).await;
        assert_eq!(snapshot.send_ability, Reading::Is(1.0), "{name}");
    }
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn mail_to_a_full_mailbox_is_accepted_and_does_not_arrive() {
    let lab = Lab::shared().await;
    let reader = lab.user("overflowing", "secret").await;
    lab.limit_mailbox(&reader, Some(1)).await;
    let exporter = Exporter::start(lab, &[Target::new(lab, "full", &reader)]).await;
    let late = |now: &Snapshot| now.totals.late >= 1;
    let snapshot = exporter.until("full", "a mail is late", late).await;
    assert_eq!(snapshot.send_ability, Reading::Is(1.0));
    assert_eq!(snapshot.receive_ability, Reading::Is(true));
    assert!(snapshot.outstanding.value() >= Some(1));
    assert_eq!(snapshot.totals.received, 0);
    lab.limit_mailbox(&reader, None).await;
    exporter.receives("full", 1).await;
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn mail_that_was_filed_as_junk_is_found_there() {
    let lab = Lab::shared().await;
    let reader = lab.user("junk", "secret").await;
    lab.deliver_into_junk(&reader);
    let exporter = Exporter::start(lab, &[Target::new(lab, "junk", &reader)]).await;
    let snapshot = exporter.receives("junk", 2).await;
    let [inbox, junk, other] = snapshot.totals.found;
    assert_eq!((inbox, other), (0, 0));
    assert_eq!(junk, snapshot.totals.received);
    until("the folder is empty", async || lab.mails(&reader).is_empty()).await;
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn servers_are_reached_by_ipv6() {
    let lab = Lab::shared().await;
    let reader = lab.user("six", "secret").await;
    let target = Target { host: "::1", ..Target::new(lab, "six", &reader) };
    let exporter = Exporter::start(lab, &[target]).await;
    assert_healthy("six", &exporter.receives("six", 2).await);
    exporter.supervisor.stop().await;
    assert!(lab.dovecot_log().lines().any(|line| {
        line.contains(&format!("user=<{}>", reader.address)) && line.contains("rip=::1")
    }));
}

#[tokio::test]
async fn the_probe_command_makes_a_round_trip() {
    let lab = Lab::shared().await;
    let reader = lab.user("probed", "secret").await;
    lab.inject(&reader, "INBOX", "Subject: foreign\n\nhands off\n");
    let before = foreign_mails(lab, &reader, None);
    let ports = lab.ports();
    let submission = protected(lab, "starttls", ports.submission);
    let by_imap = Target::new(lab, "by-imap", &reader)
        .send(&submission, Some(lab.sender()))
        .receive("imap", &protected(lab, "implicit", ports.imaps), &reader);
    let by_pop3 = Target::new(lab, "by-pop3", &reader)
        .send(&submission, Some(lab.sender()))
        .receive("pop3", &protected(lab, "starttls", ports.pop3), &reader);
    let config = config(lab, &[by_imap, by_pop3]);
    let options =
        roundtrip::Options { timeout: Some(Duration::from_secs(20)), ..Default::default() };
    for (name, target) in &config.targets {
        let mut out = Vec::new();
        let mut terminal = roundtrip::Terminal::plain(&mut out);
        let began = Instant::now();
        let verdict = roundtrip::run(target, &options, &mut terminal, pending()).await;
        let text = String::from_utf8(out).unwrap();
        assert!(verdict.is_good(), "{text}");
        assert!(began.elapsed() < Duration::from_secs(20), "{text}");
        for side in Side::ALL {
            assert!(text.contains(&format!("\n{side} ")), "{text}");
        }
        assert!(text.contains("250 2.0.0 Ok: queued as "), "{text}");
        assert!(text.contains(&format!("Verdict: {name} works: sent in ")), "{text}");
        assert_eq!(foreign_mails(lab, &reader, None), before, "{text}");
    }
}

#[tokio::test]
async fn the_headers_of_postfix_and_dovecot_are_understood() {
    let lab = Lab::shared().await;
    let ports = lab.ports();
    let receives = [("imap", plain(ports.imap)), ("pop3", plain(ports.pop3))];
    for (protocol, receive) in receives {
        let reader = lab.user(&format!("inspected-{protocol}"), "secret").await;
        lab.prepend(&reader, "Authentication-Results: mail.lab.test; spf=pass; dkim=none");
        let target = Target { interval: "1h", ..Target::new(lab, "inspected", &reader) };
        let submission = protected(lab, "starttls", ports.submission);
        let target = target.send(&submission, Some(lab.sender()));
        let target = target.receive(protocol, &receive, &reader);
        let exporter = Exporter::start(lab, &[target]).await;
        let mut inspection = None;
        until("the header was read", async || {
            inspection = exporter.supervisor.view("inspected").unwrap().inspection;
            inspection.is_some()
        })
        .await;
        let inspection = inspection.unwrap();
        exporter.supervisor.stop().await;

        let kinds: Vec<HopKind> = inspection.hops.iter().map(|hop| hop.kind).collect();
        assert_eq!(kinds, [HopKind::Submission, HopKind::Store], "{inspection:#?}");
        for hop in &inspection.hops {
            assert_eq!(hop.by.as_deref(), Some("mail.lab.test"), "{inspection:#?}");
            assert_eq!(hop.clock, Clock::Believed, "{inspection:#?}");
            // Delays are those of a machine with one clock, in its seconds.
            assert!(hop.delay.measured().is_some_and(|delay| delay < Duration::from_secs(10)));
        }
        let last = inspection.last_hop.as_ref().unwrap();
        // ESMTPSA says it; the version stands there only with smtpd_tls_received_header.
        assert!(last.is_protected, "{last:?}");
        assert_eq!(inspection.authserv_id.as_deref(), Some("mail.lab.test"));
        let outcomes: Vec<Outcome> =
            inspection.authentication.iter().map(|verdict| verdict.outcome).collect();
        assert_eq!(outcomes, [Outcome::Pass, Outcome::None], "{inspection:#?}");
    }
}
