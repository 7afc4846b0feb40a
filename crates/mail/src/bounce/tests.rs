use proptest::prelude::*;

use super::*;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

const POSTFIX: &str = include_str!("../../testdata/bounces/postfix-failed.eml");
const POSTFIX_DELAYED: &str = include_str!("../../testdata/bounces/postfix-delayed.eml");
const EXIM: &str = include_str!("../../testdata/bounces/exim.eml");
const MICROSOFT_365: &str = include_str!("../../testdata/bounces/microsoft365.eml");
const SENDMAIL: &str = include_str!("../../testdata/bounces/sendmail.eml");
const QMAIL: &str = include_str!("../../testdata/bounces/qmail.eml");

fn read(mail: &str) -> DsnReport {
    // As it comes from a server.
    DsnReport::parse(mail.replace('\n', "\r\n").as_bytes()).expect("a report")
}

fn text(bytes: Option<&Vec<u8>>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

type Expected = (Action, &'static str, &'static str, Option<&'static str>, &'static str);
/// A report of each family of servers, and what is read from it.
const FAMILIES: [(&str, Expected); 5] = [
    (
        POSTFIX,
        (
            Action::Failed,
            "5.1.1",
            "mx.example.org",
            Some("mail.example.net"),
            "550 5.1.1 <reader@example.net>: nobody of that name lives here",
        ),
    ),
    (
        POSTFIX_DELAYED,
        (
            Action::Delayed,
            "4.4.1",
            "mx.example.org",
            None,
            "connect to mail.example.net[192.0.2.7]:25: Connection timed out",
        ),
    ),
    (
        EXIM,
        (
            Action::Failed,
            "5.7.1",
            "relay.example.com",
            Some("mail.example.net"),
            "550-5.7.1 This host may not send for example.org; 550 5.7.1 ask your postmaster",
        ),
    ),
    (
        MICROSOFT_365,
        (
            Action::Failed,
            "5.1.10",
            "EXAMPLE.prod.outlook.com",
            None,
            "550 5.1.10 RESOLVER.ADR.RecipientNotFound; no recipient by that address",
        ),
    ),
    (
        SENDMAIL,
        (
            Action::Failed,
            "5.2.2",
            "hub.example.edu",
            Some("mail.example.net"),
            "552 5.2.2 mailbox full",
        ),
    ),
];

#[test]
fn reads_what_each_family_of_servers_writes() {
    for (mail, (action, code, reporting, remote, words)) in FAMILIES {
        let report = read(mail);
        let worst = report.worst().expect("a recipient");
        assert_eq!((worst.action, worst.code.as_deref()), (action, Some(code)), "{mail}");
        assert_eq!(text(report.reporting_server.as_ref()).as_deref(), Some(reporting), "{mail}");
        assert_eq!(text(worst.remote_server.as_ref()).as_deref(), remote, "{mail}");
        assert_eq!(text(worst.text.as_ref()).as_deref(), Some(words), "{mail}");
        let header = String::from_utf8_lossy(&report.returned_header).into_owned();
        assert!(header.contains(&format!("Message-ID: <{TOKEN}.mailtrip@")), "{header}");
        assert!(!header.contains("automatic test mail"), "the header alone: {header}");
    }
    assert_eq!(text(read(POSTFIX).envelope_id.as_ref()).as_deref(), Some(TOKEN));
}

#[test]
fn prose_that_only_people_understand_is_not_guessed_at() {
    assert_eq!(DsnReport::parse(QMAIL.as_bytes()), None);
}

#[test]
fn a_report_is_known_by_its_structure_alone() {
    let receipt =
        POSTFIX.replace("report-type=delivery-status", "report-type=disposition-notification");
    assert_eq!(DsnReport::parse(receipt.as_bytes()), None, "a read receipt");
    let mixed = POSTFIX.replace("multipart/report; report-type=delivery-status", "multipart/mixed");
    assert_eq!(read(&mixed), read(POSTFIX), "its part says what it is");
    let attachment = mixed.replace("message/delivery-status", "text/plain");
    assert_eq!(DsnReport::parse(attachment.as_bytes()), None, "a mail with attachments");
    let nested = format!("Content-Type: message/rfc822\n\n{POSTFIX}");
    assert_eq!(DsnReport::parse(nested.as_bytes()), None, "a report as an attachment");
    let without_type = POSTFIX.replace(" report-type=delivery-status;", "");
    assert!(DsnReport::parse(without_type.as_bytes()).is_some(), "its part says what it is");
    let other_words = POSTFIX.replace("Undelivered Mail Returned to Sender", "Hello");
    assert!(DsnReport::parse(other_words.as_bytes()).is_some(), "whatever its subject");
}

#[test]
fn the_worst_that_became_of_a_mail_counts() {
    let group =
        |action: &str| format!("\nFinal-Recipient: rfc822; a@b\nAction: {action}\nStatus: 2.0.0\n");
    for (actions, worst) in [
        (&["delivered", "failed", "delayed"][..], Some(Action::Failed)),
        (&["relayed", "Delayed (still)"][..], Some(Action::Delayed)),
        (&["expanded"][..], Some(Action::Expanded)),
        (&["vanished"][..], None),
        (&[][..], None),
    ] {
        let groups: String = actions.iter().map(|action| group(action)).collect();
        let mail = format!(
            "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\
             Content-Type: message/delivery-status\n\nReporting-MTA: dns; a\n{groups}\n--b--\n"
        );
        let report = DsnReport::parse(mail.as_bytes()).expect("a report");
        assert_eq!(report.worst().map(|it| it.action), worst, "{actions:?}");
    }
}

#[test]
fn a_report_that_is_cut_off_tells_what_stands_before_the_cut() {
    let end = POSTFIX.find("Content-Description: Undelivered").unwrap();
    let report = DsnReport::parse(&POSTFIX.as_bytes()[..end]).expect("a report");
    assert_eq!(report.worst().map(|it| it.action), Some(Action::Failed));
    assert_eq!(text(report.envelope_id.as_ref()).as_deref(), Some(TOKEN), "still known as ours");
    assert!(report.returned_header.is_empty());
    let filler = "x".repeat(REPORT_BYTES);
    let long =
        POSTFIX.replace("Subject: Mail round", &format!("X-Filler: {filler}\nSubject: Mail round"));
    assert_eq!(DsnReport::parse(long.as_bytes()).unwrap().worst().unwrap().action, Action::Failed);
}

#[test]
fn the_code_is_the_exact_one() {
    for (status, words, code) in [
        (Some("5.0.0"), "550 #5.1.0 no", Some("5.1.0")),
        (Some("5.0.0"), "451 4.7.1 later", Some("5.0.0")),
        (Some("5.0.0"), "550 we had to refuse this since 5.9.9 came out", Some("5.0.0")),
        (Some("5.1.1"), "550 5.7.1 no", Some("5.1.1")),
        (None, "550 5.7.1 no", Some("5.7.1")),
        (None, "550 no", None),
        (None, "10.5.1.1", None),
    ] {
        let exact = exact_code(status.map(str::to_owned), Some(words.as_bytes()));
        assert_eq!(exact.as_deref(), code, "{status:?} {words}");
    }
}

#[test]
fn an_envelope_id_is_decoded() {
    assert_eq!(decode_xtext(b"a+2Bb+3Dc"), b"a+b=c");
    assert_eq!(decode_xtext(b"a+zz+2"), b"a+zz+2", "no xtext, as it came");
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        let _ = DsnReport::parse(&bytes);
    }

    #[test]
    fn a_report_that_is_damaged_anywhere_is_read_or_not(
        which in 0_usize..5,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..60),
        cut: prop::sample::Index,
    ) {
        let mail = [POSTFIX, POSTFIX_DELAYED, EXIM, MICROSOFT_365, SENDMAIL][which];
        let mut bytes = mail.as_bytes().to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Some(report) = DsnReport::parse(&bytes) {
            prop_assert!(report.recipients.len() <= RECIPIENTS);
            prop_assert!(report.returned_header.len() <= 2 * REPORT_BYTES);
        }
    }
}

#[test]
fn of_a_mail_that_is_all_parts_the_beginning_is_read() {
    let head = "Content-Type: multipart/report; boundary=b\r\n\r\n";
    let parts = format!("{head}{}", "--b\r\n\r\n".repeat(9000));
    assert_eq!(beginning(parts.as_bytes()).split(|byte| *byte == b'\n').count(), 1 + REPORT_LINES);
    let long = format!("{head}{}\r\n--b\r\n", "x".repeat(LINE_BYTES));
    assert_eq!(beginning(long.as_bytes()), head.as_bytes());
}

#[test]
fn what_became_of_a_mail_is_read_wherever_it_stands() {
    let one = (Some(Action::Failed), Some("5.0.0".to_owned()), 1);
    for (server, groups, expected) in [
        (
            "without a group for the recipient",
            "Action: failed\nFinal-Recipient: rfc822;a@b\nStatus: 5.0.0\n",
            one.clone(),
        ),
        (
            "in the group about the mail",
            "Reporting-MTA: dns; a\nArrival-Date: Mon\nFinal-Recipient: rfc822; a@b\nAction: failed\nStatus: 5.0.0\n\n",
            one.clone(),
        ),
        (
            "without a recipient and a code",
            "Original-Recipient: <a@b>\nAction: failed\nRemote-MTA: 192.0.2.1\n",
            (one.0, None, 1),
        ),
        (
            "two recipients without an empty line",
            "Reporting-MTA: dns; a\n\nFinal-Recipient: rfc822; a@b\nAction: delayed\nStatus: 4.0.0\n\
             Final-Recipient: rfc822; c@b\nAction: failed\nStatus: 5.0.0\n",
            (one.0, one.1.clone(), 2),
        ),
        (
            "given up by a sending service",
            "X-Queue-ID: 5\n\nFinal-Recipient: rfc822; a@b\nAction: expired\nStatus:\n",
            (one.0, None, 1),
        ),
        (
            "the code alone",
            "Reporting-MTA: dns; a\n\nFinal-Recipient: rfc822; a@b\nStatus: 5.0.0\n",
            one.clone(),
        ),
        (
            "a code that may pass",
            "Reporting-MTA: dns; a\n\nFinal-Recipient: rfc822; a@b\nStatus: 4.4.7\n",
            (None, None, 0),
        ),
        ("nothing", "Reporting-MTA: dns; a\nArrival-Date: Mon\n", (None, None, 0)),
    ] {
        let mail = format!(
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n\
             \n{groups}\n--b--\n"
        );
        let report = read(&mail);
        let worst = report.worst();
        let said = (
            worst.map(|it| it.action),
            worst.and_then(|it| it.code.clone()),
            report.recipients.len(),
        );
        assert_eq!(said, expected, "{server}");
    }
}
