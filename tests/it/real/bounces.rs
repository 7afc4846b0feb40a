//! Bounces and delays as a real Postfix reports them, found in the sender's mailbox of a real Dovecot.

use ledger::Action;
use ledger::Reading;
use mailtrip_exporter::account::history::Probe;

use crate::lab::Lab;
use crate::real::scenarios;
use crate::real::stack::{PROTOCOLS, flag, mails, target};
use crate::support::Exporter;
use crate::support::mails::report;

/// The only probe so far.
fn probe(exporter: &Exporter, name: &str) -> Probe {
    let details = exporter.supervisor.details(name, 0).expect("a target");
    details.evidence.probes.into_iter().next().expect("a probe")
}

/// Mails that are none of ours, one of them read and flagged.
fn inject_foreign(lab: &Lab) -> Vec<String> {
    let sender = lab.sender();
    lab.inject(sender, "INBOX", "Subject: hello\n\nfrom a friend\n");
    lab.inject(
        sender,
        "INBOX",
        "Subject: away\nAuto-Submitted: auto-replied\nIn-Reply-To: <a@lab.test>\n\nuntil May\n",
    );
    let theirs = "Message-ID: <a@lab.test>\r\nSubject: lunch\r\n\r\n";
    lab.inject(sender, "INBOX", &report(theirs, "failed", "5.1.1").replace("\r\n", "\n"));
    flag(lab, sender, "friend", "FS");
    mails(lab, sender)
}

#[tokio::test]
async fn a_mail_to_a_full_mailbox_is_bounced_and_the_report_is_found_and_removed() {
    let lab = Lab::start().await;
    assert_eq!(inject_foreign(&lab).len(), 3);
    for protocol in PROTOCOLS {
        let reader = lab.user(&format!("full-{protocol}"), "secret").await;
        lab.limit_mailbox(&reader, Some(1)).await;
        let (exporter, bounced) =
            scenarios::a_bounce_is_found_and_removed(&lab, protocol, &reader, "5.2.2").await;
        let notice = &bounced.last_report.as_ref().expect("a notice").1;
        let text = notice.text.clone().expect("what Dovecot said");
        assert!(text.contains("5.2.2") && text.contains("Quota exceeded"), "{text}");
        let probe = probe(&exporter, protocol);
        assert_eq!(probe.outcome().label(), "bounced");
        let told = probe.report.expect("what the report says");
        assert!(
            told.starts_with("failed: 5.2.2 mail.lab.test ") && told.ends_with(&text),
            "{told}"
        );
        exporter.supervisor.stop().await;
    }
}

#[tokio::test]
async fn a_delay_that_postfix_tells_of_is_shown_and_ends_nothing() {
    let lab = Lab::start().await;
    lab.warn_of_delays().await;
    let reader = lab.user("delayed", "secret").await;
    lab.defer(&reader, "4.4.1 the next server does not answer");
    let text = target(&lab, "imap", &reader).every("1h");
    let text = text.sender_mailbox("imap", lab.ports().imap, lab.sender());
    let exporter = Exporter::start(&[text]).await;
    let delayed = exporter.until("imap", "delayed", |s| s.last_report.is_some()).await;
    let notice = &delayed.last_report.as_ref().expect("a notice").1;
    assert_eq!((notice.action, notice.code.as_deref()), (Action::Delayed, Some("4.4.1")));
    assert!(notice.text.as_ref().expect("a reason").contains("the next server does not answer"));
    assert_eq!((delayed.outstanding, delayed.totals.bounced), (Reading::Is(1), 0));
    let probe = probe(&exporter, "imap");
    assert_eq!(probe.outcome().label(), "outstanding");
    assert!(probe.report.expect("what the report says").starts_with("delayed: 4.4.1 "));
    lab.wait_for_mails(lab.sender(), 0).await;
    exporter.supervisor.stop().await;
}
