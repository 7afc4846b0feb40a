//! Bounces and delays as a real Postfix reports them, found in the sender's mailbox of a real Dovecot.

use std::fs;

use ledger::Action;
use ledger::Reading;
use mailtrip_exporter::account::history::Probe;

use crate::bounces::report;
use crate::lab::{Account, Lab};
use crate::real_servers::{Exporter, Target};

/// A target whose bounces are looked for in the mailbox of the lab's sender.
fn target<'a>(lab: &Lab, protocol: &'static str, reader: &Account) -> Target<'a> {
    let Account { address, password } = lab.sender();
    let port = if protocol == "imap" { lab.ports().imap } else { lab.ports().pop3 };
    let sender_mailbox = format!(
        "sender_mailbox: {{protocol: {protocol}, port: {port}, tls: none, username: {address}, \
         password: '{password}'}}"
    );
    Target::new(lab, protocol, reader).every("1h").more(&sender_mailbox)
}

/// The only probe so far.
fn probe(exporter: &Exporter, name: &str) -> Probe {
    let details = exporter.supervisor.details(name, 0).expect("a target");
    details.evidence.probes.into_iter().next().expect("a probe")
}

/// A mailbox as its owner sees it: folder, flags and text of each mail.
fn mails(lab: &Lab, account: &Account) -> Vec<String> {
    let mails = lab.mails(account).into_iter();
    let mut mails: Vec<String> =
        mails.map(|mail| format!("{} {} {}", mail.folder, mail.flags, mail.text())).collect();
    mails.sort();
    mails
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
    let mail = lab.mails(sender).into_iter().find(|mail| mail.text().contains("friend")).unwrap();
    let name = mail.path.file_name().unwrap().to_string_lossy().into_owned();
    let cur = mail.path.parent().unwrap().parent().unwrap().join("cur");
    fs::rename(&mail.path, cur.join(format!("{name}:2,FS"))).unwrap();
    mails(lab, sender)
}

#[tokio::test]
async fn a_mail_to_a_full_mailbox_is_bounced_and_the_report_is_found_and_removed() {
    let lab = Lab::start().await;
    let before = inject_foreign(&lab);
    assert_eq!(before.len(), 3);
    for protocol in ["imap", "pop3"] {
        let reader = lab.user(&format!("full-{protocol}"), "secret").await;
        lab.limit_mailbox(&reader, Some(1)).await;
        let exporter = Exporter::start(&lab, &[target(&lab, protocol, &reader)]).await;
        let bounced = exporter.until(protocol, "bounced", |s| s.totals.bounced == 1).await;
        assert_eq!((bounced.outstanding, bounced.delivers), (Reading::Is(0), Reading::Is(false)));
        assert_eq!(bounced.sender_mailbox.up, Some(true));
        let (_, notice) = bounced.last_report.expect("a notice");
        assert_eq!((notice.action, notice.code.as_deref()), (Action::Failed, Some("5.2.2")));
        assert_eq!(notice.remote_server.as_deref(), Some("mail.lab.test"));
        let text = notice.text.expect("what Dovecot said");
        assert!(text.contains("5.2.2") && text.contains("Quota exceeded"), "{text}");
        let probe = probe(&exporter, protocol);
        assert_eq!(probe.outcome().label(), "bounced");
        let told = probe.report.expect("what the report says");
        assert!(
            told.starts_with("failed: 5.2.2 mail.lab.test ") && told.ends_with(&text),
            "{told}"
        );
        lab.wait_for_mails(lab.sender(), before.len()).await;
        assert_eq!(mails(&lab, lab.sender()), before, "{protocol}: the rest as it was");
        exporter.supervisor.stop().await;
    }
}

#[tokio::test]
async fn a_delay_that_postfix_tells_of_is_shown_and_ends_nothing() {
    let lab = Lab::start().await;
    lab.warn_of_delays().await;
    let reader = lab.user("delayed", "secret").await;
    lab.defer(&reader, "4.4.1 the next server does not answer");
    let exporter = Exporter::start(&lab, &[target(&lab, "imap", &reader)]).await;
    let delayed = exporter.until("imap", "delayed", |s| s.last_report.is_some()).await;
    let (_, notice) = delayed.last_report.expect("a notice");
    assert_eq!((notice.action, notice.code.as_deref()), (Action::Delayed, Some("4.4.1")));
    assert!(notice.text.expect("a reason").contains("the next server does not answer"));
    assert_eq!((delayed.outstanding, delayed.totals.bounced), (Reading::Is(1), 0));
    let probe = probe(&exporter, "imap");
    assert_eq!(probe.outcome().label(), "outstanding");
    assert!(probe.report.expect("what the report says").starts_with("delayed: 4.4.1 "));
    lab.wait_for_mails(lab.sender(), 0).await;
    exporter.supervisor.stop().await;
}
