use std::collections::BTreeSet;

use super::*;

fn composed(name: &str, token: Token) -> String {
    composed_for(name, token, false)
}

fn composed_for(name: &str, token: Token, wants_answer: bool) -> String {
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let from = "probe@sender.example".parse().unwrap();
    let to = "probe@receiver.example".parse().unwrap();
    let interval = Duration::from_secs(300);
    let lost_after = Duration::from_secs(24 * 3600);
    let addressed = Addressed {
        target: name,
        from: &from,
        to: &to,
        interval,
        lost_after,
        wants_answer,
        form: None,
    };
    let content = compose(addressed, token, Token::from(7), now, "host.example").unwrap();
    String::from_utf8(content.to_vec()).unwrap()
}

fn knows(token: Token) -> impl Fn(Token) -> Option<Address> {
    move |asked| (asked == token).then(|| "probe@sender.example".parse().unwrap())
}

fn without(mail: &str, field: &str) -> String {
    let (header, body) = mail.split_once("\r\n\r\n").unwrap();
    let mut skip = false;
    let kept: Vec<&str> = header
        .split("\r\n")
        .filter(|line| {
            if !line.starts_with([' ', '\t']) {
                skip = line.to_lowercase().starts_with(&format!("{}:", field.to_lowercase()));
            }
            !skip
        })
        .collect();
    format!("{}\r\n\r\n{body}", kept.join("\r\n"))
}

#[test]
fn the_mail_is_complete_and_loop_safe() {
    let token = Token::from(0xabc);
    let mail = composed("a", token);
    for expected in [
        "From: probe@sender.example\r\n",
        "To: probe@receiver.example\r\n",
        "Subject: Mail round-trip test 00000000000000000000000000000abc\r\n",
        "Message-ID: <00000000000000000000000000000abc.mailtrip@sender.example>\r\n",
        "Date: Fri, 15 Jan 2027 08:00:00 ",
        "Auto-Submitted: auto-generated\r\n",
        "X-Auto-Response-Suppress: All\r\n",
        "Precedence: bulk\r\n",
        "To stop it: remove the target \"a\"",
        "host.example",
    ] {
        assert!(mail.contains(expected), "no {expected:?} in\n{mail}");
    }
    let mark = "X-Mailtrip: v=1; token=00000000000000000000000000000abc; target=a; \
                instance=00000000000000000000000000000007; sent=2027-01-15T08:00:00Z; \
                expires=2027-01-16T08:00:00Z\r\n";
    assert!(mail.replace("\r\n ", " ").contains(mark), "{mail}");
    assert!(!mail.replace("\r\n", "").contains(['\r', '\n']), "every line ends in CRLF");
    assert!(mail.lines().all(|line| line.len() <= 998));
}

#[test]
fn it_is_known_again_by_its_mark() {
    let token = Token::random();
    let header = Header::parse(composed("a b; token=x, ü", token).as_bytes());
    assert_eq!(header.claim(knows(token)), Some(token));
    let mark = header.mark.unwrap();
    assert_eq!(mark.expires, UNIX_EPOCH + Duration::from_secs(1_800_000_000 + 86_400));
}

#[test]
fn a_token_that_nobody_knows_is_foreign() {
    let header = Header::parse(composed("a", Token::from(1)).as_bytes());
    assert_eq!(header.claim(knows(Token::from(2))), None);
    assert!(header.mark.is_some(), "but it can be swept when it has expired");
}

#[test]
fn without_the_mark_the_message_id_or_the_subject_tells() {
    let token = Token::random();
    let unmarked = without(&composed("a", token), "X-Mailtrip");
    assert_eq!(Header::parse(unmarked.as_bytes()).claim(knows(token)), Some(token));
    let by_id = without(&unmarked, "Subject");
    assert_eq!(Header::parse(by_id.as_bytes()).claim(knows(token)), Some(token));
    let by_subject = without(&unmarked, "Message-ID");
    assert_eq!(Header::parse(by_subject.as_bytes()).claim(knows(token)), Some(token));
    let other_sender = by_subject.replace("From: probe@", "From: somebody@");
    assert_eq!(Header::parse(other_sender.as_bytes()).claim(knows(token)), None);
}

#[test]
fn a_mark_of_somebody_else_is_not_overruled_by_the_subject() {
    let token = Token::random();
    let mail = composed("a", Token::from(5)).replace(
        "Subject: Mail round-trip test 00000000000000000000000000000005",
        &format!("Subject: Mail round-trip test {token}"),
    );
    assert_eq!(Header::parse(mail.as_bytes()).claim(knows(token)), None);
}

#[test]
fn answers_are_never_ours() {
    let token = Token::random();
    let mail = composed("a", token);
    for (what, answer) in [
        ("a vacation answer", mail.replace("auto-generated", "auto-replied (vacation)")),
        (
            "a bounce",
            format!(
                "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n{}",
                without(&mail, "Content-Type")
            ),
        ),
    ] {
        for variant in [answer.clone(), without(&answer, "X-Mailtrip")] {
            assert_eq!(Header::parse(variant.as_bytes()).claim(knows(token)), None, "{what}");
        }
    }
}

#[test]
fn what_a_relay_adds_for_replies_makes_a_reply_only_of_a_mail_known_by_its_subject() {
    let token = Token::random();
    let mail = composed("a", token);
    let new_id = without(&mail, "Message-ID");
    let by_subject = without(&new_id, "X-Mailtrip");
    for field in ["In-Reply-To", "References"] {
        let with = |mail: &str| format!("{field}: <{token}.mailtrip@a.example>\r\n{mail}");
        let claim = |mail: &str| Header::parse(with(mail).as_bytes()).claim(knows(token));
        assert_eq!(claim(&new_id), Some(token), "by the mark, {field}");
        assert_eq!(claim(&without(&mail, "X-Mailtrip")), Some(token), "by the id, {field}");
        assert_eq!(claim(&by_subject), None, "by the subject, {field}");
        // The header of a mail that came back, and of a left-over.
        let header = Header::parse(with(&new_id).as_bytes());
        assert_eq!(header.returned_tokens().collect::<Vec<_>>(), [token]);
        assert!(header.mark.is_some());
    }
}

/// The header of an answer to the mail with this token, as responders write it.
fn answer(fields: &str) -> Header {
    let block = format!("From: echo@receiver.example\nTo: probe@sender.example\n{fields}\n\n");
    Header::parse(block.replace('\n', "\r\n").as_bytes())
}

#[test]
fn an_answer_is_known_by_the_id_that_it_names_or_by_its_subject() {
    let token = Token::random();
    let id = format!("<{token}.mailtrip@sender.example>");
    for fields in [
        format!("In-Reply-To: {id}"),
        format!("In-Reply-To: {id}\nAuto-Submitted: auto-replied (vacation)\nReturn-Path: <>"),
        format!("References: <a@b.example>\n {id}"),
        format!("Subject: Re: Mail round-trip test {token}"),
        format!("Subject: =?utf-8?q?Automatisch:_Mail_round-trip_test_{token}?="),
        format!("Subject: Fwd: {token}\nContent-Type: multipart/mixed; boundary=b"),
    ] {
        let header = answer(&fields);
        assert_eq!(header.answered(|asked| asked == token), Some(token), "{fields}");
        assert_eq!(header.answered(|_| false), None, "nobody waits for it: {fields}");
        assert!(header.names(token), "{fields}");
        let is_in_subject = fields.contains(&format!(" {token}")) || fields.contains("_test_");
        assert_eq!(header.carries(token), is_in_subject, "{fields}");
        assert_eq!(header.claim(knows(token)), None, "it is not the mail itself: {fields}");
        assert!(!header.is_test_mail());
    }
}

#[test]
fn of_all_that_an_answer_names_the_likeliest_counts_for_which_somebody_waits() {
    let [first, second, third] = [1, 2, 3].map(Token::from);
    let id = |token| format!("<{token}.mailtrip@sender.example>");
    let header = answer(&format!(
        "In-Reply-To: {}\nReferences: {} {}\nSubject: {first}",
        id(second),
        id(first),
        id(third)
    ));
    assert_eq!(header.answered(|_| true), Some(second), "In-Reply-To before all");
    assert_eq!(header.answered(|asked| asked != second), Some(third), "then what is newest");
    assert_eq!(header.answered(|asked| asked == first), Some(first));
}

#[test]
fn reports_and_what_mail_systems_write_are_no_answers() {
    let token = Token::random();
    let named = format!("In-Reply-To: <{token}.mailtrip@sender.example>\nSubject: {token}");
    for kind in ["delivery-status", "disposition-notification", "feedback-report"] {
        let fields = format!("{named}\nContent-Type: multipart/report; report-type={kind}");
        assert_eq!(answer(&fields).answered(|_| true), None, "{kind}");
        assert_eq!(answer(&fields).of_no_report().answered(|_| true), None, "{kind}, unreadable");
    }
    // Some write their bounces and warnings as plain text.
    for signs in [
        "From: Mail Delivery System <Mailer-Daemon@a.example>",
        "From: MAILER-DAEMON-x@a.example",
        "From: mail-daemon@a.example",
        "From: <>\nReturn-Path: <bounces@a.example>",
        "Return-Path: <>",
        "From: noreply@a.example\nX-Failed-Recipients: b@a.example",
    ] {
        let block = format!("{signs}\n{named}\n\n");
        assert_eq!(Header::parse(block.as_bytes()).answered(|_| true), None, "{signs}");
    }
}

#[test]
fn what_looks_like_a_report_and_is_none_may_be_an_answer() {
    let token = Token::random();
    let fields =
        format!("Return-Path: <>\nContent-Type: multipart/mixed; boundary=b\nSubject: Re: {token}");
    let header = answer(&fields);
    assert!(header.is_delivery_report && header.answered(|_| true).is_none(), "first it is read");
    let header = header.of_no_report();
    assert!(!header.is_delivery_report);
    assert_eq!(header.answered(|_| true), Some(token));
    assert_eq!(header.claim(knows(token)), None);
}

#[test]
fn a_mail_that_wants_an_answer_silences_nobody() {
    let mail = composed_for("a", Token::random(), true);
    for silencer in ["Auto-Submitted", "X-Auto-Response-Suppress", "Precedence"] {
        assert!(!mail.contains(silencer), "{silencer} in\n{mail}");
    }
    assert!(
        mail.contains("arrives here and is answered") && mail.contains("To stop it: "),
        "{mail}"
    );
}

#[test]
fn a_mark_that_a_gateway_has_encoded_is_read() {
    let token = Token::random();
    let mail = without(&without(&composed("a", token), "Message-ID"), "Subject");
    let start = mail.find("X-Mailtrip: ").unwrap() + "X-Mailtrip: ".len();
    let end = start + mail[start..].find("\r\n").unwrap();
    let encode = |byte: u8| match byte {
        b' ' => "_".to_owned(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("={byte:02X}"),
    };
    let (first, second) = mail[start..end].split_at(40);
    let word =
        |part: &str| format!("=?us-ascii?Q?{}?=", part.bytes().map(encode).collect::<String>());
    let encoded = format!("{}{}\r\n {}{}", &mail[..start], word(first), word(second), &mail[end..]);
    assert_eq!(Header::parse(encoded.as_bytes()).claim(knows(token)), Some(token));
}

#[test]
fn a_mail_with_attachments_may_be_a_report_only_if_a_mail_system_sent_it() {
    let report = |fields: &str| {
        let block = format!("{fields}\r\nContent-Type: Multipart/Mixed; boundary=b\r\n\r\n");
        Header::parse(block.as_bytes()).is_delivery_report
    };
    for sender in [
        "From: Mailer Daemon <MAILER-DAEMON@a.example>",
        "From: Postmaster@a.example",
        "From: <>",
        "Return-Path: <>\r\nFrom: gateway@a.example",
    ] {
        assert!(report(sender), "{sender}");
    }
    for sender in ["From: pat@a.example", "From: Postmaster <pat@a.example>", "Subject: none"] {
        assert!(!report(sender), "{sender}");
    }
}

#[test]
fn a_test_mail_that_a_gateway_wraps_is_no_report_whoever_seems_to_have_sent_it() {
    let token = Token::random();
    let wrapped = without(&composed("a", token), "Content-Type");
    for sender in ["From: postmaster@sender.example", "Return-Path: <>\r\nFrom: x@y.example"] {
        let wrapped = format!(
            "{sender}\r\nContent-Type: multipart/mixed; boundary=b\r\n{}",
            without(&wrapped, "From")
        );
        for taken_away in ["X-Nothing", "Message-ID", "X-Mailtrip"] {
            let header = Header::parse(without(&wrapped, taken_away).as_bytes());
            assert!(!header.is_delivery_report, "{sender}, without {taken_away}");
            assert_eq!(header.claim(knows(token)), Some(token), "{sender}, without {taken_away}");
        }
        let answer =
            format!("Auto-Submitted: auto-replied\r\n{}", without(&wrapped, "Auto-Submitted"));
        assert!(
            Header::parse(answer.as_bytes()).is_delivery_report,
            "what answers is no test mail"
        );
    }
}

#[test]
fn a_forward_with_our_header_inside_is_not_ours() {
    let token = Token::random();
    let forward = format!(
        "From: a@b.example\r\nSubject: Fwd: something\r\nContent-Type: message/rfc822\r\n\r\n{}",
        composed("a", token)
    );
    let header = Header::parse(forward.as_bytes());
    assert_eq!(header.claim(knows(token)), None);
    assert_eq!(header.mark, None);
}

#[test]
fn hostile_headers_are_harmless() {
    for block in [
        &b""[..],
        b"\0\0\0",
        b"X-Mailtrip: v=1; token=; expires=\r\n\r\n",
        b"X-Mailtrip: v=2; token=00000000000000000000000000000001; expires=2026-01-01T00:00:00Z\r\n\r\n",
        b"Message-ID: <\xff.mailtrip@>\r\nSubject: =?utf-8?b?////?=\r\n\r\n",
        b"Received: ;;;; Mon, 99 Foo 99999 99:99:99\r\n\r\n",
    ] {
        let header = Header::parse(block);
        assert_eq!((header.claim(|_| Some("a@b.example".parse().unwrap())), header.mark), (None, None));
    }
}

#[test]
fn the_newest_hop_gives_the_servers_date() {
    let block = b"Received: from a by b; Mon, 23 Nov 2026 10:00:05 +0000\r\n\
                  Received: from c by a; Mon, 23 Nov 2026 10:00:00 +0000\r\n\r\n";
    let expected = UNIX_EPOCH + Duration::from_secs(1_795_428_005);
    let header = Header::parse(block);
    assert_eq!((header.received, header.is_stamped_once), (Some(expected), false));
    let (first, _) = block.split_at(block.len() / 2);
    assert!(Header::parse(&[first, b"\r\n\r\n"].concat()).is_stamped_once);
    assert!(!Header::parse(b"Subject: a\r\n\r\n").is_stamped_once);
    for comment in ["(UTC; a comment)", "(envelope-from <a@b>)", "(a (nested; one) \\); b)"] {
        let date = format!("from a by b (a; b); Mon, 23 Nov 2026 10:00:05 +0000 {comment}");
        assert_eq!(received_date(&date), Some(expected), "{comment}");
    }
}

#[test]
fn tokens_are_random_and_32_hex_digits() {
    let tokens: BTreeSet<String> = (0..100).map(|_| Token::random().to_string()).collect();
    assert_eq!(tokens.len(), 100);
    let is_token = |text: &String| text.len() == 32 && text.parse::<Token>().is_ok();
    assert!(tokens.iter().all(is_token), "{tokens:?}");
    assert_eq!(Token::from(10).to_string(), "0000000000000000000000000000000a");
}

#[test]
fn only_32_hex_digits_are_a_token() {
    assert_eq!("0".repeat(31).parse::<Token>(), Err(ledger::NotAToken));
    assert_eq!(format!("+{}", "0".repeat(31)).parse::<Token>(), Err(ledger::NotAToken));
    assert_eq!(Token::find(&format!("x{} y", "0".repeat(32))), None);
    assert_eq!(Token::find(&format!("x ({:032x})", 5)), Some(Token::from(5)));
}
