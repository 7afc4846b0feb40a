use super::*;

fn reply(line: &str) -> Reply {
    let (code, _, text) = parse_reply_line(line.as_bytes()).unwrap();
    Reply { code, lines: vec![String::from_utf8_lossy(text).into_owned()] }
}

#[test]
fn the_code_decides_the_reason_and_not_the_words() {
    for (line, reason) in [
        ("450 4.2.0 greylisted, mailbox full of joy", Reason::Deferred),
        ("452 4.2.2 over quota", Reason::Quota),
        ("452 too many recipients", Reason::Deferred),
        ("552 5.2.2 full", Reason::Quota),
        ("552 message too large or full", Reason::Quota),
        ("552 5.7.0 blocked because of its content", Reason::Rejected),
        ("552 5.3.4 too large", Reason::Rejected),
        ("550 5.7.1 greylist? no: rejected", Reason::Rejected),
        ("550 5.2.2 full", Reason::Quota),
        ("250 ok where it should not be", Reason::Protocol),
    ] {
        assert_eq!(reply(line).reason(), reason, "{line}");
    }
}

#[test]
fn only_421_with_4_3_2_says_that_the_service_goes_down() {
    assert!(reply("421 4.3.2 shutting down").is_going_down());
    assert!(!reply("421 4.7.0 too many errors").is_going_down());
    assert!(!reply("451 4.3.2 later").is_going_down());
}

#[test]
fn reads_bare_codes_and_refuses_what_is_no_reply() {
    assert_eq!(parse_reply_line(b"250"), Some((250, true, &b""[..])));
    assert_eq!(parse_reply_line(b"250-SIZE"), Some((250, false, &b"SIZE"[..])));
    for (line, text) in [("250\tok", "ok"), ("250ok", "ok"), ("250:  ok", ":  ok")] {
        assert_eq!(parse_reply_line(line.as_bytes()), Some((250, true, text.as_bytes())));
    }
    for bad in ["", "25", "2x0 a", "HTTP/1.1 400", "2500 x", "999 x", "+50 x"] {
        assert_eq!(parse_reply_line(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn features_are_found_in_any_case_and_the_old_spelling() {
    let features = Features(
        ["starttls.example", "StartTls", "AUTH=LOGIN", "auth plain login"].map(String::from).into(),
    );
    assert!(features.has("STARTTLS"));
    assert!(!features.has("STARTTLS.EXAMPLE"));
    assert_eq!(features.mechanisms(), ["LOGIN", "PLAIN", "LOGIN"]);
    let exchange = Features(["a", "X-EXPS GSSAPI NTLM LOGIN"].map(String::from).into());
    assert_eq!(exchange.mechanisms(), ["GSSAPI", "NTLM", "LOGIN"]);
}
