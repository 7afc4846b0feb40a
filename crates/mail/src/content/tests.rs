use std::time::{Duration, UNIX_EPOCH};

use ledger::Token;
use lettre::Address;
use mail_parser::{MessageParser, MimeHeaders};

use super::*;
use crate::dkim::tests::{ed25519, rsa};
use crate::fuzz::measure::Budget;
use crate::test_mail::{Addressed, Header, write};

fn text(text: &str) -> Option<Arc<BodyText>> {
    Some(BodyText { text: Template::parse(text).unwrap(), file: None }.into())
}

fn attachment(data: AttachedData) -> Option<Attachment> {
    Some(Attachment { name: "report.PDF".to_owned(), data })
}

fn written_as(form: &Form, token: Token) -> Content {
    let from: Address = "probe@sender.example".parse().unwrap();
    let to: Address = "probe@receiver.example".parse().unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let addressed = Addressed {
        target: "a",
        from: &from,
        to: &to,
        interval: Duration::from_secs(300),
        lost_after: Duration::from_secs(24 * 3600),
        wants_answer: false,
        form: Some(form),
    };
    let content = write(addressed, token, Token::from(7), now, "host.example");
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(content).unwrap()
}

fn shown(form: &Form) -> String {
    String::from_utf8(written_as(form, Token::from(0xabc)).to_vec()).unwrap()
}

#[test]
fn subject_fields_and_text_are_those_of_the_form() {
    let field = |name: &str, value: &str| {
        let value = (!value.is_empty()).then(|| Template::parse(value).unwrap());
        (name.to_owned(), value)
    };
    let form = Form {
        subject: Some(Template::parse("Invoice {token}").unwrap()),
        fields: vec![
            field("X-Company", "acme {target}"),
            field("precedence", ""),
            field("Auto-Submitted", "no"),
        ],
        body: text("Of {time}: two.\r\nlines"),
        ..Form::default()
    };
    let mail = shown(&form);
    assert!(mail.contains("Subject: Invoice 00000000000000000000000000000abc\r\n"), "{mail}");
    assert!(mail.contains("X-Company: acme a\r\n"), "{mail}");
    assert!(mail.contains("Auto-Submitted: no\r\n"), "{mail}");
    assert!(!mail.to_ascii_lowercase().contains("precedence"), "{mail}");
    assert!(mail.ends_with("\r\n\r\nOf 2027-01-15T08:00:00Z: two.\r\nlines\r\n"), "{mail}");
    // With another Subject it is known by the rest, and by the Subject where the token is in it.
    let token = Token::from(0xabc);
    assert_eq!(Header::parse(mail.as_bytes()).claim(|_| "x@y.example".parse().ok()), Some(token));
    let bare = format!("From: probe@sender.example\r\nSubject: Invoice {token}\r\n\r\n");
    let claimed = Header::parse(bare.as_bytes()).claim(|_| "probe@sender.example".parse().ok());
    assert_eq!(claimed, Some(token));
}

#[test]
fn the_size_is_exact_to_the_byte() {
    let bodies = [None, text("a"), text("Grüße\n"), text("漢字漢字漢字\n")];
    let attached = [
        None,
        attachment(AttachedData::Filling),
        attachment(AttachedData::Meaningless(1000)),
        attachment(AttachedData::File { path: PathBuf::new(), bytes: vec![7; 1001].into() }),
    ];
    let signers = [None, Some(rsa()), Some(ed25519())];
    for (at, size) in (5000..5040).chain([65_536, 131_072, 300_001]).enumerate() {
        let form = Form {
            body: bodies[at % bodies.len()].clone(),
            attachment: attached[at / 3 % attached.len()].clone(),
            signer: signers[at % signers.len()].clone(),
            size: Some(size),
            ..Form::default()
        };
        let content = written_as(&form, Token::from(at as u128));
        assert_eq!(content.size(), size, "{form:?}");
        let mail = content.to_vec();
        assert_eq!(mail.len() as u64, size, "{form:?}");
        assert!(content.chunks().all(|chunk| chunk.len() <= CHUNK));
        let mail = String::from_utf8(mail).unwrap();
        assert!(mail.ends_with("\r\n"));
        assert!(mail.lines().all(|line| line.len() <= 998), "{mail}");
        assert!(!mail.replace("\r\n", "").contains(['\r', '\n']));
    }
}

#[test]
fn the_least_size_is_that_of_the_text_as_it_is_encoded_where_padding_follows() {
    let from: Address = "probe@sender.example".parse().unwrap();
    let to: Address = "probe@receiver.example".parse().unwrap();
    let form = Form { body: text(&"漢字".repeat(5000)), size: Some(50_000), ..Form::default() };
    let addressed = Addressed {
        target: "a",
        from: &from,
        to: &to,
        interval: Duration::from_secs(300),
        lost_after: Duration::from_secs(24 * 3600),
        wants_answer: false,
        form: Some(&form),
    };
    let least = crate::test_mail::least_size(addressed).unwrap();
    let sent = written_as(&form, Token::from(1)).size();
    assert!(sent > 50_000 && (sent..sent + 600).contains(&least), "{least} for {sent}");
}

#[test]
fn a_size_that_is_too_small_has_no_effect() {
    let whole = shown(&Form::default()).len() as u64;
    for size in [1, whole, whole + 1] {
        assert_eq!(shown(&Form { size: Some(size), ..Form::default() }).len() as u64, whole);
    }
}

#[test]
fn an_attachment_arrives_as_it_was_and_the_text_stays_readable() {
    let bytes: Arc<[u8]> = (0..5000).map(|at| (at % 251) as u8).collect();
    let file = AttachedData::File { path: PathBuf::new(), bytes: bytes.clone() };
    for size in [None, Some(20_000)] {
        let form = Form {
            body: text("Grüße\n.\n"),
            attachment: attachment(file.clone()),
            size,
            ..Form::default()
        };
        let mail = written_as(&form, Token::from(1)).to_vec();
        let message = MessageParser::default().parse(&mail).unwrap();
        assert!(message.body_text(0).unwrap().starts_with("Grüße\r\n.\r\n"));
        let attached = message.attachment(0).unwrap();
        assert_eq!(attached.contents(), &*bytes);
        assert_eq!(attached.attachment_name(), Some("report.PDF"));
        assert_eq!(attached.content_type().unwrap().subtype(), Some("pdf"));
        assert_eq!(message.attachment_count(), 1);
    }
}

#[test]
fn a_large_mail_is_never_held_whole() {
    let form = Form {
        attachment: attachment(AttachedData::Filling),
        size: Some(10_000_000),
        signer: Some(ed25519()),
        ..Form::default()
    };
    let budget = Budget { bytes: 400_000, per_byte: 0 };
    budget.hold("a mail of 10 MB", 10_000_000, || {
        let content = written_as(&form, Token::from(1));
        assert_eq!(content.chunks().map(|chunk| chunk.len()).sum::<usize>(), 10_000_000);
    });
}

#[test]
fn what_is_made_is_the_same_each_time_and_another_in_each_mail() {
    let form = Form {
        attachment: attachment(AttachedData::Filling),
        size: Some(200_000),
        ..Form::default()
    };
    let content = written_as(&form, Token::from(u128::MAX));
    assert_eq!(content.to_vec(), content.to_vec());
    let attached = |content: &Content| {
        let mail = content.to_vec();
        let message = MessageParser::default().parse(&mail).unwrap();
        message.attachment(0).unwrap().contents().to_vec()
    };
    let first = attached(&content);
    assert!(first.len() > 140_000, "it fills what the text leaves: {}", first.len());
    assert_ne!(first, attached(&written_as(&form, Token::from(u128::MAX / 3))));
    // No byte is more frequent than chance has it.
    let mut counts = [0_usize; 256];
    first.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    assert!(counts.iter().all(|count| (first.len() / 512..first.len() / 128).contains(count)));
}
