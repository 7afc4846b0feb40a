//! The exporter's main job against a real Postfix and Dovecot, as its measures tell it.

use std::time::Duration;

use ledger::{Reading, Reason, SideState, Snapshot, Step};
use mail::inspection::{Clock, HopKind, Outcome};
use mailtrip_exporter::config::TlsMode;

use crate::lab::{Account, Lab, Service, until};
use crate::real::scenarios::{self, Refusal};
use crate::real::stack::{failures, healthy, plain, protected, target};
use crate::support::Exporter;

#[tokio::test]
async fn mail_arrives_whatever_protects_the_connections() {
    // Found by a look, and not by the check of the next period.
    let longest = Duration::from_secs(9);
    scenarios::mail_arrives_whatever_protects_the_connections(
        Lab::shared().await,
        "10s",
        2,
        longest,
    )
    .await;
}

#[tokio::test]
async fn the_mailbox_is_left_empty_and_is_entered_once_a_period() {
    let lab = Lab::shared().await;
    let reader = lab.user("once", "secret").await;
    let exporter = Exporter::start(&[target(lab, "once", &reader)]).await;
    let snapshot = healthy(&exporter, "once", 4).await;
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
    let target = target(lab, "several", &reader).every("5m");
    let exporter = Exporter::start(&[target.set("messages", "3")]).await;
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
    let exporter = Exporter::start(&[
        target(lab, "wrong-send", &one).send(&plain(ports.smtp_login), Some(&wrong(lab.sender()))),
        target(lab, "wrong-imap", &two).receive("imap", &plain(ports.imap), &wrong(&two)),
        target(lab, "wrong-pop3", &three).receive("pop3", &plain(ports.pop3), &wrong(&three)),
    ])
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

/// Nothing has failed but the session that the server may have left in the middle, when it was stopped.
fn assert_only_cut_off(side: &SideState) {
    let all = failures(side);
    assert!(all <= 1 && all == side.failures_for(Reason::Closed), "{side:?}");
}

#[tokio::test]
async fn an_outage_is_a_failure_of_an_active_node_and_not_applicable_to_a_passive_one() {
    let lab = Lab::start().await;
    let (one, two) = tokio::join!(lab.user("active", "secret"), lab.user("passive", "secret"));
    let exporter = Exporter::start(&[
        target(&lab, "active", &one),
        target(&lab, "passive", &two).set("passive", "true"),
    ])
    .await;
    for name in ["active", "passive"] {
        healthy(&exporter, name, 1).await;
    }

    lab.stop_smtp().await;
    let refused = |now: &Snapshot| now.sides.send.failures_for(Reason::Refused) >= 2;
    let snapshot = exporter.until("active", "two refused connections", refused).await;
    assert_eq!(snapshot.send_ability, Reading::Is(0.0));
    assert_eq!(snapshot.receive_ability, Reading::Is(true));
    assert_eq!(snapshot.sides.send.up, Some(false));
    // One that was accepted may be left in the queue, and none of those that were refused.
    assert!(snapshot.outstanding.value().is_some_and(|count| count <= 1), "{snapshot:?}");
    let down = |now: &Snapshot| now.sides.send.not_applicable >= 2;
    let snapshot = exporter.until("passive", "two attempts not applicable", down).await;
    assert_eq!(snapshot.send_ability, Reading::NotApplicable);
    assert_eq!(snapshot.receive_ability, Reading::Is(true));
    assert_eq!(snapshot.outstanding, Reading::NotApplicable);
    assert_eq!(snapshot.roundtrip, Reading::NotApplicable);
    assert_only_cut_off(&snapshot.sides.send);

    lab.start_smtp().await;
    for name in ["active", "passive"] {
        exporter.receives(name, 1).await;
        // It may arrive before the server has answered.
        let able = |now: &Snapshot| now.send_ability == Reading::Is(1.0);
        let snapshot = exporter.until(name, "able to send", able).await;
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
    assert_only_cut_off(&snapshot.sides.receive);
    exporter.until("active", "mail is waiting", |now| now.outstanding.value() > Some(1)).await;

    lab.start_dovecot().await;
    for name in ["active", "passive"] {
        exporter.receives(name, 1).await;
        // A look may find the mail before the next check tells of the ability.
        let able = |now: &Snapshot| now.receive_ability == Reading::Is(true);
        exporter.until(name, "able to receive", able).await;
    }
    let caught_up = |now: &Snapshot| now.outstanding.value().is_some_and(|count| count <= 1);
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
    let target = target(&lab, "standby", &reader).set("passive", "true");
    let exporter = Exporter::start(&[target]).await;
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
    let exporter = Exporter::start(&[
        target(lab, "held-imap", &one),
        target(lab, "held-pop3", &two).receive("pop3", &plain(lab.ports().pop3), &two),
    ])
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
        let caught_up = |now: &Snapshot| now.outstanding.value().is_some_and(|count| count <= 1);
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
    let target = target(lab, "slow", &reader).every("10s");
    let exporter = Exporter::start(&[target]).await;
    let snapshot = exporter.receives("slow", 1).await;
    let roundtrip = snapshot.roundtrip.value().unwrap();
    assert!(roundtrip >= delay, "{roundtrip:?}");
    // Postfix lets go of it by command, which takes its time on a busy machine.
    assert!(roundtrip < delay * 2, "{roundtrip:?}");
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn mail_of_others_stays_as_it_is_flags_included() {
    scenarios::mail_of_others_stays_as_it_is_flags_included(Lab::shared().await, 3).await;
}

#[tokio::test]
async fn a_refusal_has_the_reason_of_its_reply_code() {
    let full = |lab: &Lab, reader: &Account| lab.refuse(reader, "452 4.2.2 mailbox full");
    let refusals = [
        Refusal { name: "rejected", refuse: Lab::reject, reason: Reason::Rejected, words: "550 " },
        Refusal { name: "deferred", refuse: Lab::greylist, reason: Reason::Deferred, words: "45" },
        Refusal { name: "no-room", refuse: full, reason: Reason::Quota, words: "mailbox full" },
    ];
    scenarios::a_refusal_has_the_reason_of_its_reply_code(Lab::shared().await, &refusals).await;
}

#[tokio::test]
async fn mail_to_a_full_mailbox_is_accepted_and_does_not_arrive() {
    let lab = Lab::shared().await;
    let reader = lab.user("overflowing", "secret").await;
    lab.limit_mailbox(&reader, Some(1)).await;
    let exporter = Exporter::start(&[target(lab, "full", &reader)]).await;
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
    let exporter = Exporter::start(&[target(lab, "junk", &reader)]).await;
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
    let target = target(lab, "six", &reader).set("host", "'::1'");
    let exporter = Exporter::start(&[target]).await;
    healthy(&exporter, "six", 2).await;
    exporter.supervisor.stop().await;
    assert!(lab.dovecot_log().lines().any(|line| {
        line.contains(&format!("user=<{}>", reader.address)) && line.contains("rip=::1")
    }));
}

#[tokio::test]
async fn the_probe_command_makes_a_round_trip() {
    scenarios::the_probe_command_makes_a_round_trip(Lab::shared().await).await;
}

#[tokio::test]
async fn of_two_servers_the_one_in_whose_queue_a_mail_waited_is_named() {
    let (first, second) = tokio::join!(Lab::start(), Lab::start());
    first.relay_to(&second, "out.lab.test").await;
    let (reader, held) = tokio::join!(second.user("far", "secret"), first.user("far", "secret"));
    let delay = Duration::from_secs(6);
    first.delay(&held, delay);
    let target = target(&second, "far", &reader).every("1h");
    let target = target.send(&plain(first.ports().smtp), None);
    let exporter = Exporter::start(&[target]).await;
    exporter.receives("far", 1).await;
    let mut inspection = None;
    until("the header was read", async || {
        inspection = exporter.supervisor.view("far").unwrap().inspection;
        inspection.is_some()
    })
    .await;
    let inspection = inspection.unwrap();
    exporter.supervisor.stop().await;
    let kinds: Vec<HopKind> = inspection.hops.iter().map(|hop| hop.kind).collect();
    assert_eq!(kinds, [HopKind::Submission, HopKind::Relay, HopKind::Store], "{inspection:#?}");
    let names: Vec<_> = inspection.hops.iter().map(|hop| hop.by.as_deref()).collect();
    assert_eq!(names, ["out.lab.test", "mail.lab.test", "mail.lab.test"].map(Some));
    let protection: Vec<_> = inspection.hops.iter().map(|hop| hop.is_protected).collect();
    assert_eq!(protection, [None, Some(true), None], "in clear only within the machine");
    // Between two stamps in whole seconds.
    let (stretch, wait) = inspection.longest_wait().expect("it waited");
    assert_eq!(stretch, 1, "in the queue of the first: {inspection:#?}");
    assert!(wait + Duration::from_secs(1) >= delay && wait < delay * 3, "{wait:?}");
}

#[tokio::test]
async fn the_headers_of_postfix_and_dovecot_are_understood() {
    let lab = Lab::shared().await;
    let ports = lab.ports();
    let receives = [("imap", plain(ports.imap)), ("pop3", plain(ports.pop3))];
    for (protocol, receive) in receives {
        let reader = lab.user(&format!("inspected-{protocol}"), "secret").await;
        lab.prepend(&reader, "Authentication-Results: mail.lab.test; spf=pass; dkim=none");
        let target = target(lab, "inspected", &reader).every("1h");
        let submission = protected(lab, TlsMode::StartTls, ports.submission);
        let target = target.send(&submission, Some(lab.sender()));
        let target = target.receive(protocol, &receive, &reader);
        let exporter = Exporter::start(&[target]).await;
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
