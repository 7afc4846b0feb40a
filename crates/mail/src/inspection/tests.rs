//! The headers below are in the forms in which Postfix 3.7, Dovecot 2.3, Exim 4.96, Amavis 2.13,
//! Gmail and Exchange Online write theirs, with names and addresses of documentation.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;

/// Mon, 23 Nov 2026 10:00:00 +0000.
const SENT: u64 = 1_795_428_000;

fn at(seconds: f64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(SENT) + Duration::from_secs_f64(seconds)
}

/// A mail that was sent at 10:00:00.5 and seen a minute later.
fn minute() -> TransitTimes {
    TransitTimes { transmitted: Some(at(0.5)), seen: at(60.0), arrived: Some(at(14.2)) }
}

/// The fields above those of the sender, with bare line feeds; then the mail as it was sent.
fn inspect(trace: &str, authserv_id: Option<&str>) -> Inspection {
    let content = "From: <a@sender.example>\nTo: <b@receiver.example>\nSubject: x\n\n";
    let block = format!("{trace}{content}").replace('\n', "\r\n");
    let rules = Rules { authserv_id, scrubber: &Scrubber::default() };
    Inspection::read(block.as_bytes(), minute(), rules)
}

fn delays(inspection: &Inspection) -> Vec<Delay> {
    inspection.hops.iter().map(|hop| hop.delay).collect()
}

fn verdicts(inspection: &Inspection) -> Vec<(Method, Outcome)> {
    inspection.authentication.iter().map(|it| (it.method, it.outcome)).collect()
}

fn measured(seconds: f64) -> Delay {
    Delay::Measured(Duration::from_secs_f64(seconds))
}

fn by(inspection: &Inspection) -> Vec<&str> {
    inspection.hops.iter().map(|hop| hop.by.as_deref().unwrap_or("-")).collect()
}

fn kinds(inspection: &Inspection) -> Vec<HopKind> {
    inspection.hops.iter().map(|hop| hop.kind).collect()
}

/// Submission to Postfix, Amavis beside it, the receiver's Postfix, and Dovecot.
const POSTFIX: &str = "\
Return-Path: <a@sender.example>
Delivered-To: b@receiver.example
Received: from mx.receiver.example
\tby mx.receiver.example with LMTP
\tid abc (envelope-from <a@sender.example>)
\tfor <b@receiver.example>; Mon, 23 Nov 2026 10:00:12 +0000
Received: from out.sender.example (out.sender.example [203.0.113.5])
\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)
\t key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)
\t(No client certificate requested)
\tby mx.receiver.example (Postfix) with ESMTPS id 4XyZ123
\tfor <b@receiver.example>; Mon, 23 Nov 2026 11:00:11 +0100 (CET)
Authentication-Results: mx.receiver.example;
\tdkim=pass (2048-bit key; unprotected) header.d=sender.example header.i=@sender.example
\theader.a=rsa-sha256 header.s=s1 header.b=Zm9v; dkim-atps=neutral
Authentication-Results: mx.receiver.example; dmarc=pass (p=reject dis=none) header.from=sender.example
Authentication-Results: mx.receiver.example; spf=softfail (~all (say; no=pass)) smtp.mailfrom=sender.example
Received: from localhost (localhost [127.0.0.1])
\tby out.sender.example (Postfix) with ESMTP id 4XyZ122
\tfor <b@receiver.example>; Mon, 23 Nov 2026 10:00:09 +0000 (UTC)
Received: from out.sender.example ([127.0.0.1])
\tby localhost (out.sender.example [127.0.0.1]) (amavis, port 10024)
\twith ESMTP id aBcD for <b@receiver.example>; Mon, 23 Nov 2026 10:00:04 +0000 (UTC)
Received: from monitor.example (monitor.example [198.51.100.7])
\t(using TLSv1.2 with cipher ECDHE-RSA-AES256-GCM-SHA384 (256/256 bits))
\t(Authenticated sender: sam)
\tby out.sender.example (Postfix) with ESMTPSA id 4XyZ121
\tfor <b@receiver.example>; Mon, 23 Nov 2026 10:00:03 +0000 (UTC)
";

#[test]
fn postfix_amavis_and_dovecot_tell_where_the_time_went() {
    let inspection = inspect(POSTFIX, None);
    let out = "out.sender.example";
    let mx = "mx.receiver.example";
    assert_eq!(by(&inspection), [out, "localhost", out, mx, mx]);
    let delays = delays(&inspection);
    assert_eq!(delays, [2.5, 1.0, 5.0, 2.0, 1.0].map(measured));
    use HopKind::{Filter, Relay, Store, Submission};
    assert_eq!(kinds(&inspection), [Submission, Filter, Relay, Relay, Store]);
    assert_eq!(inspection.to_mailbox, measured(2.0), "from Dovecot's stamp to the arrival");
    let protection: Vec<_> = inspection.hops.iter().map(|hop| hop.is_protected).collect();
    assert_eq!(protection, [Some(true), None, None, Some(true), None]);
    let protocols: Vec<_> = inspection.hops.iter().map(|hop| hop.protocol.as_deref()).collect();
    assert_eq!(protocols, ["ESMTPSA", "ESMTP", "ESMTP", "ESMTPS", "LMTP"].map(Some));
    assert_eq!(inspection.hops[0].tls_version.as_deref(), Some("TLSv1.2"));
    assert_eq!(inspection.hops[0].from.as_deref(), Some("monitor.example"));
    assert!(inspection.hops.iter().all(|hop| hop.clock == Clock::Believed));
    assert_eq!(inspection.hop_count, 5);
}

#[test]
fn the_last_hop_is_the_one_from_another_host() {
    let last = inspect(POSTFIX, None).last_hop.unwrap();
    assert!(last.is_protected);
    assert_eq!(last.by.as_deref(), Some("mx.receiver.example"));
    assert_eq!(last.from.as_deref(), Some("out.sender.example"));
    assert_eq!(last.version.as_deref(), Some("TLSv1.3"));
    assert_eq!(last.cipher.as_deref(), Some("TLS_AES_256_GCM_SHA384"));

    let plain = POSTFIX.replace("with ESMTPS id", "with ESMTP id");
    let plain =
        plain.replace("(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)", "(");
    let last = inspect(&plain, None).last_hop.unwrap();
    assert!(!last.is_protected);
    assert_eq!((last.version, last.cipher), (None, None));
}

#[test]
fn the_fields_of_one_receiver_count_together() {
    let inspection = inspect(POSTFIX, None);
    assert_eq!(inspection.authserv_id.as_deref(), Some("mx.receiver.example"));
    let expected = [
        (Method::Spf, Outcome::SoftFail),
        (Method::Dkim, Outcome::Pass),
        (Method::Dmarc, Outcome::Pass),
    ];
    assert_eq!(verdicts(&inspection), expected);
    assert_eq!(verdicts(&inspect(POSTFIX, Some("MX.receiver.example"))), expected);
    assert_eq!(verdicts(&inspect(POSTFIX, Some("other.example"))), []);
}

#[test]
fn gmail() {
    let inspection = inspect(
        "\
Delivered-To: b@gmail.example
Received: by 2002:a05:6a10:1234:b0:5d2:abcd:ef01 with SMTP id x1csp123;
        Mon, 23 Nov 2026 02:00:06 -0800 (PST)
X-Received: by 2002:a17:907:1234 with SMTP id y1;
        Mon, 23 Nov 2026 02:00:06 -0800 (PST)
ARC-Authentication-Results: i=1; mx.google.com; spf=fail; dkim=fail
Return-Path: <a@sender.example>
Received: from out.sender.example (out.sender.example. [203.0.113.5])
        by mx.google.com with ESMTPS id z9si1234
        for <b@gmail.example>
        (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);
        Mon, 23 Nov 2026 02:00:05 -0800 (PST)
Received-SPF: pass (google.com: domain of a@sender.example designates 203.0.113.5)
Authentication-Results: mx.google.com;
       dkim=pass header.i=@sender.example header.s=s1 header.b=Zm9v;
       spf=pass (google.com: domain of a@sender.example designates 203.0.113.5 as permitted
       sender) smtp.mailfrom=a@sender.example;
       dmarc=pass (p=NONE sp=NONE dis=NONE) header.from=sender.example
Received: from monitor.example by out.sender.example with esmtpsa (TLS1.3) tls TLS_AES_256_GCM_SHA384
\t(Exim 4.96) (envelope-from <a@sender.example>) id 1abcde-000001-2A
\tfor b@gmail.example; Mon, 23 Nov 2026 10:00:02 +0000
",
        None,
    );
    assert_eq!(delays(&inspection), [1.5, 3.0, 1.0].map(measured));
    assert_eq!(inspection.authserv_id.as_deref(), Some("mx.google.com"));
    assert_eq!(verdicts(&inspection), Method::ALL.map(|method| (method, Outcome::Pass)));
    let last = inspection.last_hop.unwrap();
    assert_eq!(last.by.as_deref(), Some("mx.google.com"));
    assert_eq!((last.is_protected, last.version.as_deref()), (true, Some("TLSv1.3")));
}

/// Exchange Online: three hops inside, and results without an id.
const EXCHANGE: &str = "\
Received: from VI1PR05.eurprd05.prod.outlook.com (2603:10a6:803::1) by
 AM0PR05.eurprd05.prod.outlook.com with HTTPS; Mon, 23 Nov 2026 10:00:09 +0000
Received: from DB8P191CA.EURP191.PROD.OUTLOOK.COM (2603:10a6:10:130::20) by
 VI1PR05.eurprd05.prod.outlook.com (2603:10a6:803::1) with Microsoft SMTP Server
 (version=TLS1_2, cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.20.8158.24;
 Mon, 23 Nov 2026 10:00:08 +0000
Received: from DB1PEPF.eurprd03.prod.outlook.com (2603:10a6:10:130:cafe::72) by
 DB8P191CA.outlook.office365.com (2603:10a6:10:130::20) with Microsoft SMTP Server
 (version=TLS1_3, cipher=TLS_AES_256_GCM_SHA384) id 15.20.8158.24 via Frontend
 Transport; Mon, 23 Nov 2026 10:00:08 +0000
Authentication-Results: spf=pass (sender IP is 203.0.113.5)
 smtp.mailfrom=sender.example; dkim=none (message not signed)
 header.d=none;dmarc=bestguesspass action=none
 header.from=sender.example;compauth=pass reason=109
Received-SPF: Pass (protection.outlook.com: domain of sender.example designates
 203.0.113.5 as permitted sender) receiver=protection.outlook.com;
Received: from out.sender.example (203.0.113.5) by
 DB1PEPF.mail.protection.outlook.com (10.167.8.133) with Microsoft SMTP Server
 (version=TLS1_3, cipher=TLS_AES_256_GCM_SHA384) id 15.20.8158.14 via Frontend
 Transport; Mon, 23 Nov 2026 10:00:07 +0000
";

#[test]
fn exchange_online() {
    let inspection = inspect(EXCHANGE, None);
    assert_eq!(delays(&inspection), [6.5, 1.0, 0.0, 1.0].map(measured));
    let expected = [
        (Method::Spf, Outcome::Pass),
        (Method::Dkim, Outcome::None),
        (Method::Dmarc, Outcome::Other),
    ];
    assert_eq!(verdicts(&inspection), expected);
    assert_eq!(inspection.authserv_id, None);
    let last = inspection.last_hop.unwrap();
    assert_eq!((last.is_protected, last.version.as_deref()), (true, Some("TLSv1.2")));
}

#[test]
fn exim_and_qmail() {
    let inspection = inspect(
        "\
Received: from [203.0.113.5] (helo=out.sender.example)
\tby mx.receiver.example with esmtps  (TLS1.3) tls TLS_AES_256_GCM_SHA384
\t(Exim 4.96)
\t(envelope-from <a@sender.example>)
\tid 1abcde-000001-2A
\tfor b@receiver.example;
\tMon, 23 Nov 2026 10:00:05 +0000
Received: (qmail 12345 invoked by uid 0); 23 Nov 2026 10:00:04 -0000
Received: from unknown (HELO monitor.example) (198.51.100.7)
  by out.sender.example with SMTP; 23 Nov 2026 10:00:03 -0000
",
        None,
    );
    assert_eq!(by(&inspection), ["out.sender.example", "-", "mx.receiver.example"]);
    assert_eq!(delays(&inspection), [2.5, 1.0, 1.0].map(measured));
    let last = inspection.last_hop.unwrap();
    assert_eq!((last.is_protected, last.version.as_deref()), (true, Some("TLSv1.3")));
    assert_eq!(last.cipher.as_deref(), Some("TLS_AES_256_GCM_SHA384"));
}

/// A hop of this server, with this date.
fn hop(by: &str, date: &str) -> String {
    format!("Received: from x.example (x.example [203.0.113.9]) by {by} with ESMTP id 1; {date}\n")
}

fn time(second: u64) -> String {
    format!("Mon, 23 Nov 2026 10:{:02}:{:02} +0000", second / 60, second % 60)
}

#[test]
fn a_stamp_in_the_future_is_not_believed_nor_what_follows_from_it() {
    let trace = hop("c.example", &time(30))
        + &hop("b.example", "Mon, 23 Nov 2026 12:00:00 +0000")
        + &hop("b.example", "Mon, 23 Nov 2026 11:59:55 +0000")
        + &hop("a.example", &time(5));
    let inspection = inspect(&trace, None);
    // Two stamps of one clock still have a difference.
    assert_eq!(delays(&inspection), [measured(4.5), Delay::Skewed, measured(5.0), Delay::Skewed]);
    let clocks: Vec<Clock> = inspection.hops.iter().map(|hop| hop.clock).collect();
    let ahead = |seconds| Clock::Ahead(Duration::from_secs(seconds));
    assert_eq!(clocks, [Clock::Believed, ahead(7135), ahead(7140), Clock::Believed]);
}

#[test]
fn a_stamp_before_the_transmission_is_not_believed() {
    let trace = hop("b.example", &time(30)) + &hop("a.example", "Mon, 23 Nov 2026 09:59:50 +0000");
    let inspection = inspect(&trace, None);
    assert_eq!(delays(&inspection), [Delay::Skewed, Delay::Skewed]);
    assert_eq!(inspection.hops[0].clock, Clock::Behind(Duration::from_millis(9_500)));
}

#[test]
fn stamps_in_the_wrong_order_make_no_delay() {
    let trace = hop("d.example", &time(40))
        + &hop("c.example", &time(20))
        + &hop("b.example", &time(30))
        + &hop("a.example", &time(1));
    let inspection = inspect(&trace, None);
    // Nobody can say which of b and c is off.
    let skewed = Delay::Skewed;
    assert_eq!(delays(&inspection), [measured(0.5), skewed, skewed, skewed]);
    assert_eq!(inspection.hops[1].clock, Clock::Contradicted);
    assert_eq!(inspection.hops[2].clock, Clock::Contradicted);

    let trace = hop("b.example", &time(4)) + &hop("a.example", &time(5));
    // A second is within what clocks may differ; the delay is not known all the same.
    assert_eq!(delays(&inspect(&trace, None)), [measured(4.5), skewed]);
}

#[test]
fn the_first_stamp_may_lie_in_the_second_of_the_transmission() {
    let delays = delays(&inspect(&hop("a.example", &time(0)), None));
    assert_eq!(delays, [measured(0.0)]);
}

#[test]
fn the_way_into_the_mailbox_is_known_only_by_a_good_clock_and_to_whoever_looked() {
    let read = |date: &str, arrived| {
        let block = format!("{}\n", hop("mx.example", date)).replace('\n', "\r\n");
        let transit = TransitTimes { arrived, ..minute() };
        let rules = Rules { authserv_id: None, scrubber: &Scrubber::default() };
        Inspection::read(block.as_bytes(), transit, rules).to_mailbox
    };
    assert_eq!(read(&time(10), Some(at(50.3))), measured(40.0));
    assert_eq!(read(&time(10), Some(at(9.8))), measured(0.0), "a clock that is a little off");
    assert_eq!(read(&time(10), None), Delay::Unknown, "nobody looked");
    assert_eq!(read("garbage", Some(at(50.3))), Delay::Unknown);
    assert_eq!(read(&time(600), Some(at(50.3))), Delay::Skewed, "the stamp lies in the future");
}

#[test]
fn beyond_the_hops_that_are_shown_the_rest_of_the_way_is_one_stretch() {
    // It waits between the eighth, the last that is shown, and the ninth.
    let seconds = (1..=8_u64).chain([40, 41]);
    let hops: Vec<String> = seconds.map(|second| hop("mx.example", &time(second))).collect();
    let hops: Vec<String> = hops.into_iter().rev().collect();
    let block = format!("{}\n", hops.concat()).replace('\n', "\r\n");
    let transit = TransitTimes { arrived: Some(at(42.0)), ..minute() };
    let rules = Rules { authserv_id: None, scrubber: &Scrubber::default() };
    let inspection = Inspection::read(block.as_bytes(), transit, rules);
    assert_eq!((inspection.hops.len(), inspection.hop_count), (8, 10));
    assert_eq!(inspection.to_mailbox, measured(34.0));
    assert_eq!(inspection.longest_wait(), Some((8, Duration::from_secs(34))));
}

#[test]
fn the_longest_wait_is_the_first_of_the_longest_stretches_and_no_accident_of_stamps() {
    let longest = |seconds: &[u64]| {
        let hops = seconds.iter().map(|second| hop("mx.example", &time(*second)));
        let hops: Vec<String> = hops.rev().collect();
        let mut inspection = inspect(&hops.concat(), None);
        inspection.to_mailbox = Delay::Measured(Duration::from_secs(1));
        inspection.longest_wait()
    };
    assert_eq!(longest(&[1, 4, 7]), Some((1, Duration::from_secs(3))));
    assert_eq!(longest(&[1, 2, 3]), None);
    let mut inspection = inspect(&hop("mx.example", "garbage"), None);
    assert_eq!(inspection.longest_wait(), None);
    inspection.to_mailbox = Delay::Measured(Duration::from_secs(9));
    assert_eq!(inspection.longest_wait(), Some((1, Duration::from_secs(9))), "into the mailbox");
}

#[test]
fn what_an_older_program_has_kept_can_be_read() {
    let mut kept = serde_json::to_value(inspect(POSTFIX, None)).unwrap();
    let inspection = kept.as_object_mut().unwrap();
    inspection.remove("to_mailbox");
    for hop in inspection["hops"].as_array_mut().unwrap() {
        for newer in ["is_protected", "tls_version", "protocol"] {
            hop.as_object_mut().unwrap().remove(newer);
        }
    }
    let read: Inspection = serde_json::from_value(kept).unwrap();
    assert_eq!((read.hops.len(), read.to_mailbox), (5, Delay::Unknown));
    assert_eq!(read.hops[0].is_protected, None);
}

#[test]
fn dates_that_are_none_give_no_delay() {
    for date in ["", "yesterday", "Mon, 99 Foo 2026 99:99:99 +9999", "\u{7}\u{1b}[31m", "0"] {
        let trace = hop("b.example", &time(9)) + &hop("a.example", date);
        let inspection = inspect(&trace, None);
        assert_eq!(delays(&inspection), [Delay::Unknown, Delay::Unknown], "{date}");
        assert_eq!(inspection.hops[0].clock, Clock::Unknown);
    }
}

#[test]
fn a_mail_of_an_earlier_process_has_no_first_delay() {
    let block = hop("b.example", &time(9)) + &hop("a.example", &time(5)) + "\n";
    let transit = TransitTimes { transmitted: None, ..minute() };
    let rules = Rules { authserv_id: None, scrubber: &Scrubber::default() };
    let inspection = Inspection::read(block.as_bytes(), transit, rules);
    assert_eq!(delays(&inspection), [Delay::Unknown, measured(4.0)]);
}

#[test]
fn hundreds_of_hops_are_eight() {
    let trace: String = (0..300).rev().map(|n| hop(&format!("h{n}.example"), &time(5))).collect();
    let inspection = inspect(&trace, None);
    assert_eq!(inspection.hop_count, 300);
    assert_eq!(inspection.hops.len(), MAX_HOPS);
    assert_eq!(inspection.hops[0].by.as_deref(), Some("h0.example"));
    assert_eq!(inspection.hops[7].by.as_deref(), Some("h7.example"));
}

#[test]
fn a_header_that_is_too_long_tells_nothing_of_hops_but_still_of_its_top() {
    let mut trace = POSTFIX.to_owned();
    while trace.len() < HEADER_BYTES {
        trace += &hop("h.example", &time(5));
    }
    let inspection = inspect(&trace, None);
    assert!(inspection.is_cut);
    assert_eq!((inspection.hops.len(), inspection.hop_count), (0, 0));
    assert_eq!(verdicts(&inspection).len(), 3);
    assert!(!inspect(POSTFIX, None).is_cut);
}

/// The receiver, and below it what a sender has made up.
fn forged(forged: &str) -> String {
    let received = "Received: from evil.example (evil.example [203.0.113.66])\n\
         \tby mx.receiver.example (Postfix) with ESMTP id 1; Mon, 23 Nov 2026 10:00:09 +0000\n";
    format!(
        "{received}Authentication-Results: mx.receiver.example; spf=fail smtp.mailfrom=x\n{forged}"
    )
}

#[test]
fn what_stands_below_the_sender_is_not_believed() {
    let own = hop("evil.example", &time(5));
    let claim = "Authentication-Results: mx.receiver.example; dkim=pass; dmarc=pass; spf=pass\n";
    let fails = [(Method::Spf, Outcome::Fail)];
    for id in [None, Some("mx.receiver.example")] {
        assert_eq!(verdicts(&inspect(&forged(&format!("{own}{claim}")), id)), fails);
        // In the mail as it was sent, where no server has written anything below the receiver.
        let sent = forged(&format!("Subject: x\n{claim}"));
        assert_eq!(verdicts(&inspect(&sent, id)), fails);
    }
}

#[test]
fn another_id_is_not_believed_wherever_it_stands() {
    let claim = "Authentication-Results: mx.evil.example; dkim=pass; spf=pass\n";
    let fails = [(Method::Spf, Outcome::Fail)];
    assert_eq!(verdicts(&inspect(&forged(claim), None)), fails);
    let above = format!("{claim}{}", forged(""));
    assert_eq!(verdicts(&inspect(&above, Some("mx.receiver.example"))), fails);
    assert_eq!(verdicts(&inspect(&above, Some("receiver.example"))), []);
}

#[test]
fn a_configured_id_is_found_behind_servers_that_pass_on() {
    let trace = EXCHANGE.replace("Authentication-Results: spf=pass", "X-Old: spf=pass")
        + "Authentication-Results: filter.example; spf=fail\n"
        + &hop("mx1.filter.example", &time(3))
        + &hop("out.sender.example", &time(2))
        + "Authentication-Results: filter.example; dkim=pass\n";
    let trace = trace.replace("from out.sender.example (203", "from mx1.filter.example (203");
    assert_eq!(verdicts(&inspect(&trace, Some("filter.example"))), [(Method::Spf, Outcome::Fail)]);
}

#[test]
fn results_are_a_closed_set() {
    let value = |value: &str| {
        let trace = format!("{}Authentication-Results: m.example; {value}\n", hop("m.example", ""));
        verdicts(&inspect(&trace, None)).first().map(|(_, outcome)| outcome.label())
    };
    for (written, expected) in [
        ("spf=pass", Some("pass")),
        ("SPF/1 = HardFail reason=\"a; dkim=pass\"", Some("fail")),
        ("spf=temperror", Some("temperror")),
        ("dkim=fail; dkim=pass; dkim=fail", Some("pass")),
        ("dkim=policy (it; spf=pass)", Some("policy")),
        ("dmarc=<script>alert(1)</script>", Some("other")),
        ("none", None),
        ("arc=pass; iprev=pass", None),
        ("spf=", None),
    ] {
        assert_eq!(value(written), expected, "{written}");
    }
}

#[test]
fn spam_filters() {
    let spam = |header: &str| {
        let told = inspect(&format!("{header}\n"), None).spam;
        told.into_iter().map(|it| (it.filter.label(), it.score, it.is_spam)).collect::<Vec<_>>()
    };
    for (header, expected) in [
        (
            "X-Spam-Flag: YES\nX-Spam-Status: Yes, score=7.3 required=5.0 tests=A,B\n\tversion=3.4.6",
            ("spamassassin", Some(7.3), Some(true)),
        ),
        (
            "X-Spam-Status: No, score=-2.9 tagged_above=-999 required=6.2\n\ttests=[ALL_TRUSTED=-1]",
            ("spamassassin", Some(-2.9), Some(false)),
        ),
        ("X-Spam-Flag: NO\nX-Spam-Score: 0.1", ("spamassassin", Some(0.1), Some(false))),
        (
            "X-Spamd-Result: default: False [-1.20 / 15.00];\n\tMIME_GOOD(-0.10)[text/plain]",
            ("rspamd", Some(-1.2), Some(false)),
        ),
        ("X-Spam-Status: Yes, score=17.25", ("rspamd", Some(17.25), Some(true))),
        ("X-Rspamd-Score: 12.314971\nX-Spam: Yes", ("rspamd", Some(12.314_971), Some(true))),
        ("X-MS-Exchange-Organization-SCL: -1", ("exchange", Some(-1.0), Some(false))),
        (
            "X-Forefront-Antispam-Report:\n CIP:203.0.113.5;CTRY:DE;LANG:en;SCL:5;SRV:;IPV:NLI;SFV:SPM;",
            ("exchange", Some(5.0), Some(true)),
        ),
        (
            "X-Proofpoint-Spam-Details: rule=inbound_notspam policy=inbound phishscore=9 score=0",
            ("proofpoint", Some(0.0), Some(false)),
        ),
        ("X-Proofpoint-Spam-Details: rule=spam score=99", ("proofpoint", Some(99.0), Some(true))),
        (
            "X-Barracuda-Spam-Status: No, SCORE=0.50 using per-user scores of TAG_LEVEL=3.5",
            ("barracuda", Some(0.5), Some(false)),
        ),
        (
            "X-Barracuda-Spam-Score: 3.60\nX-Barracuda-Spam-Flag: YES",
            ("barracuda", Some(3.6), Some(true)),
        ),
    ] {
        assert_eq!(spam(header), [expected], "{header}");
    }
    for header in [
        "X-Spam-Score: NaN",
        "X-Rspamd-Score: inf",
        "X-Spam-Score: 1e999",
        "X-Spam-Score: 1.2.3",
        "X-Spam: maybe",
    ] {
        assert_eq!(spam(header), [], "{header}");
    }
}

#[test]
fn names_are_escaped_cut_and_scrubbed() {
    let long = "x".repeat(10_000);
    let scrubber = Scrubber::for_login("sam", "hunter2hunter2");
    let rules = Rules { authserv_id: None, scrubber: &scrubber };
    let block = format!(
        "Received: from \x1b[31m.example by hunter2hunter2 with ESMTP; {time}\n\
         Received: from <b>x</b> by {long}.example with ESMTP; {time}\n\
         Authentication-Results: {long}hunter2; spf=pass\n\n",
        time = time(5),
    );
    let inspection = Inspection::read(block.as_bytes(), minute(), rules);
    assert_eq!(inspection.hops[1].by.as_deref(), Some("<secret>"));
    let all = format!("{inspection:?}");
    assert!(!all.contains('\x1b') && !all.contains("hunter2hunter2"), "{all}");
    assert!(all.len() < 2_000, "{}", all.len());
}

#[test]
fn a_field_that_is_not_utf_8_hides_no_other() {
    let mut block = b"X-Odd: \xff\xfe\n\xe9 no field\n folded\n".to_vec();
    block.extend_from_slice(hop("a.example", &time(5)).as_bytes());
    block.extend_from_slice(b"\nReceived: from x by body.example; x\n");
    let rules = Rules { authserv_id: None, scrubber: &Scrubber::default() };
    let inspection = Inspection::read(&block, minute(), rules);
    assert_eq!(by(&inspection), ["a.example"]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(block in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let rules = Rules { authserv_id: None, scrubber: &Scrubber::default() };
        Inspection::read(&block, minute(), rules);
    }

    #[test]
    fn no_value_makes_it_panic(
        name in proptest::sample::select(vec![
            "Received", "Authentication-Results", "X-Spam-Status", "X-Spamd-Result",
            "X-Forefront-Antispam-Report", "X-Proofpoint-Spam-Details", "X-Barracuda-Spam-Status",
        ]),
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "from", "by", "with", "ESMTPS", "id", "for", ";", "(", ")", "\"", "\\", "=", "[",
                "]", "spf", "dkim=pass", "23", "Nov", "2026", "10:00:00", "+9999", "-0000", "<", "é",
                "127.0.0.1", "::1", "a.example", "score=", "-1.5", "SCL:", "65536", "99999999999",
            ]),
            0..30,
        ),
        glue in proptest::sample::select(vec!["", " ", "\r\n "]),
        id in proptest::option::of("[a-z.]{0,12}"),
    ) {
        let block = format!("{name}: {}\r\n\r\n", words.join(glue));
        let rules = Rules { authserv_id: id.as_deref(), scrubber: &Scrubber::default() };
        let inspection = Inspection::read(block.as_bytes(), minute(), rules);
        for hop in inspection.hops {
            prop_assert!(hop.delay.measured().unwrap_or_default() <= Duration::from_secs(63));
        }
    }
}

fn outgoing(trace: &str) -> Option<String> {
    inspect(trace, None).outgoing.map(|address| address.to_string())
}

#[test]
fn the_address_that_the_receiver_saw_is_where_the_mail_goes_out() {
    assert_eq!(outgoing(POSTFIX).as_deref(), Some("203.0.113.5"), "by its stamp");
    let stamp = "Received: from out.sender.example (out.sender.example [203.0.113.5])\n\
                 \tby mx.receiver.example with ESMTPS; Mon, 23 Nov 2026 10:00:02 +0000\n";
    let before = "Received: from x ([192.0.2.9]) by out.sender.example with ESMTPSA; Mon, 23 Nov 2026 10:00:01 \
                  +0000\n";
    let by_spf = "Received-SPF: pass (mx.receiver.example: client-ip=192.0.2.1 in a comment)\n\
                  \tclient-ip=198.51.100.7; envelope-from=\"a@sender.example\";\n";
    assert_eq!(outgoing(&format!("{by_spf}{stamp}{before}")).as_deref(), Some("198.51.100.7"));
    let by_iprev = "Authentication-Results: mx.receiver.example;\n\
                    \tiprev=pass (name) policy.iprev=2001:db8::25\n";
    assert_eq!(outgoing(&format!("{by_iprev}{stamp}{before}")).as_deref(), Some("2001:db8::25"));
    // What stands below the stamp of the receiver anybody may have written.
    let forged = format!("{stamp}{before}{by_spf}{by_iprev}");
    assert_eq!(outgoing(&forged).as_deref(), Some("203.0.113.5"));
    let of_the_relay = format!("{stamp}{by_spf}{by_iprev}{before}");
    assert_eq!(outgoing(&of_the_relay).as_deref(), Some("203.0.113.5"));
}

#[test]
fn the_address_of_whoever_wrote_the_mail_is_not_where_it_goes_out() {
    let submission = "Received: from monitor.example (monitor.example [198.51.100.7])\n\tby mail.example with \
                      ESMTPSA; Mon, 23 Nov 2026 10:00:02 +0000\n";
    let delivery =
        "Received: from mail.example by mail.example with LMTP; Mon, 23 Nov 2026 10:00:03 +0000\n";
    assert_eq!(outgoing(&format!("{delivery}{submission}")), None, "one server has both mailboxes");
    // It was handed over without a login, or its first stamp was removed: nobody can tell.
    let direct = submission.replace("ESMTPSA", "ESMTPS");
    assert_eq!(outgoing(&format!("{delivery}{direct}")), None);
    let local = "Received: by mail.example; Mon, 23 Nov 2026 10:00:01 +0000\n";
    assert_eq!(outgoing(&format!("{submission}{local}")), None, "by a login");
}

#[test]
fn the_receiver_with_the_configured_id_is_who_saw_the_address() {
    let hop = |from: &str, address: &str, by: &str| {
        format!(
            "Received: from {from} ({from} [{address}])\n\tby {by} with ESMTPS; Mon, 23 Nov 2026 10:00:02 +0000\n"
        )
    };
    let trace = [
        hop("gateway.filter.example", "203.0.113.80", "mx.mailbox.example"),
        hop("out.sender.example", "203.0.113.5", "gateway.filter.example"),
        hop("monitor.example", "198.51.100.7", "out.sender.example"),
    ];
    let saw = |id: Option<&str>| inspect(&trace.concat(), id).outgoing.map(|it| it.to_string());
    assert_eq!(saw(Some("gateway.filter.example")).as_deref(), Some("203.0.113.5"));
    assert_eq!(saw(None).as_deref(), Some("203.0.113.80"), "what the mailbox saw");
    assert_eq!(saw(Some("unknown.example")), None);
}

#[test]
fn an_address_of_the_own_network_says_nothing_to_others() {
    let stamp = |address: &str| {
        format!(
            "Received: from a.example (a.example [{address}])\n\tby mx.receiver.example with SMTP; \
             Mon, 23 Nov 2026 10:00:02 +0000\nReceived: by a.example; Mon, 23 Nov 2026 10:00:01 +0000\n"
        )
    };
    for address in ["192.168.1.2", "127.0.0.1", "100.64.0.1", "IPv6:fd00::1"] {
        assert_eq!(outgoing(&stamp(address)), None, "{address}");
    }
    assert_eq!(outgoing(&stamp("IPv6:2001:db8::1")).as_deref(), Some("2001:db8::1"));
    assert_eq!(outgoing(""), None);
}

/// What the header shows of a mail that was sent to an address elsewhere at 10:00:00.5, or of its answer, and that came
/// back at 10:00:14.2.
fn back(header: &str) -> Inspection {
    let block = format!("{header}\n").replace('\n', "\r\n");
    let rules = Rules { authserv_id: None, scrubber: &Scrubber::default() };
    let ends = Ends { from: "a@sender.example", to: "echo@other.example" };
    Inspection::read_back(block.as_bytes(), minute(), rules, ends)
}

/// The test mail itself, which a rule on the other side sent back.
const REDIRECTED: &str = "\
Received: from mx.other.example (mx.other.example [203.0.113.5])
\tby mx.sender.example (Postfix) with ESMTPS id 4 for <a@sender.example>; Mon, 23 Nov 2026 10:00:13 +0000
Received: by mx.other.example (Postfix, from userid 5000) id 3; Mon, 23 Nov 2026 10:00:11 +0000
Received: from mx.other.example by mx.other.example with LMTP id 2
\t(envelope-from <a@sender.example>) for <Echo@other.example>; Mon, 23 Nov 2026 10:00:10 +0000
Received: from out.sender.example (out.sender.example [198.51.100.7])
\tby mx.other.example (Postfix) with ESMTPS id 1 for <echo@other.example>; Mon, 23 Nov 2026 10:00:09 +0000
Received: from monitor.example (monitor.example [198.51.100.9])
\tby out.sender.example (Postfix) with ESMTPSA id 0 for <echo@other.example>; Mon, 23 Nov 2026 10:00:01 +0000
X-Mailtrip: v=1; token=000000000000000000000000000000ab; expires=2026-11-24T10:00:00Z
Date: Mon, 23 Nov 2026 10:00:00 +0000
";

/// An answer of a responder there.
const ANSWER: &str = "\
Received: from mx.other.example (mx.other.example [203.0.113.5])
\tby mx.sender.example (Postfix) with ESMTPS id 4 for <a@sender.example>; Mon, 23 Nov 2026 10:00:13 +0000
Received: by mx.other.example (Postfix, from userid 5000) id 3; Mon, 23 Nov 2026 10:00:11 +0000
Date: Mon, 23 Nov 2026 10:00:10 +0000
In-Reply-To: <000000000000000000000000000000ab.mailtrip@sender.example>
";

#[test]
fn a_mail_that_was_sent_back_was_there_when_it_was_last_taken_in_for_its_recipient() {
    let it = back(REDIRECTED).there_and_back.unwrap();
    assert!(!it.is_answer);
    assert_eq!((it.out, it.back), (measured(9.5), measured(4.2)));
    // The way of the whole loop is told as before.
    assert_eq!(delays(&back(REDIRECTED)), delays(&inspect(REDIRECTED, None)));
    // Nothing but the stamps is left of it.
    let it = back(&REDIRECTED.replace("X-Mailtrip", "X-Other")).there_and_back.unwrap();
    assert!(!it.is_answer && it.out == measured(9.5), "{it:?}");
}

#[test]
fn where_the_other_side_does_not_say_for_whom_it_takes_mail_nobody_knows_when_it_was_there() {
    let silent = REDIRECTED.replace(" for <Echo@other.example>", "");
    let silent = silent.replace("id 1 for <echo@other.example>", "id 1");
    let it = back(&silent).there_and_back.unwrap();
    assert_eq!((it.out, it.back), (Delay::Unknown, Delay::Unknown), "only the relay here says so");
    // The recipient was rewritten before the other side took the mail in.
    let rewritten = REDIRECTED.replace(" for <Echo@other.example>", "");
    let rewritten =
        rewritten.replace("id 1 for <echo@other.example>", "id 1 for <box17@internal.example>");
    assert_eq!(back(&rewritten).there_and_back.map(|it| it.out), Some(Delay::Unknown));
    // The relay here has filtered it, and taken it in again.
    let filtered = silent.replace(
        "Received: from monitor.example",
        "Received: by out.sender.example (Postfix, from userid 111) id 5; Mon, 23 Nov 2026 10:00:02 +0000\n\
         Received: from monitor.example",
    );
    assert_eq!(back(&filtered).there_and_back.map(|it| it.out), Some(Delay::Unknown));
    let it = back(
        "X-Mailtrip: v=1; token=000000000000000000000000000000ab; expires=2026-11-24T10:00:00Z\n",
    );
    assert_eq!(it.there_and_back.map(|it| it.out), Some(Delay::Unknown));
}

#[test]
fn what_has_the_sender_of_the_test_mail_is_no_answer() {
    let silent = REDIRECTED.replace(" for <Echo@other.example>", "");
    let silent = silent.replace(" for <echo@other.example>", "").replace("X-Mailtrip", "X-Other");
    let it = back(&format!("{silent}From: Probe <A@sender.example>\n")).there_and_back.unwrap();
    assert!(!it.is_answer, "the first stamp is that of the relay here");
    assert_eq!((it.out, it.back), (Delay::Unknown, Delay::Unknown));
}

#[test]
fn an_answer_began_by_its_date_or_with_its_first_stamp_whichever_is_earlier() {
    let inspection = back(ANSWER);
    let it = inspection.there_and_back.unwrap();
    assert!(it.is_answer && inspection.is_of_answer());
    assert_eq!((it.out, it.back), (measured(9.5), measured(4.2)));
    assert_eq!(inspection.hops.len(), 2);
    assert_eq!(inspection.hops[0].delay, Delay::Unknown, "before it was the way out");
    assert_eq!(inspection.hops[1].delay, measured(2.0));
    let stamped = back(&ANSWER.replace("Date:", "X-Date:")).there_and_back.unwrap();
    assert_eq!((stamped.out, stamped.back), (measured(10.5), measured(3.2)));
    let date = "Date: Mon, 23 Nov 2026 10:00:10 +0000\n";
    assert_eq!(back(date).there_and_back.map(|it| it.out), Some(measured(9.5)));
}

#[test]
fn a_clock_of_the_other_side_that_is_wrong_tells_nothing() {
    let wrong = |text: &str| text.replace("23 Nov 2026 10:00:1", "23 Nov 2026 11:00:1");
    for header in [wrong(ANSWER), wrong(REDIRECTED)] {
        let it = back(&header).there_and_back.unwrap();
        assert_eq!((it.out, it.back), (Delay::Skewed, Delay::Skewed), "{header}");
    }
    let nothing = back("Subject: x\n").there_and_back.unwrap();
    assert_eq!((nothing.out, nothing.back), (Delay::Unknown, Delay::Unknown));
}

#[test]
fn the_header_of_an_answer_shows_no_address_of_this_side() {
    let received = "Received: from out.other.example (out.other.example [203.0.113.5])\n\tby mx.sender.example \
        (Postfix) with ESMTPS id 4; Mon, 23 Nov 2026 10:00:13 +0000\nReceived: by out.other.example (Postfix) \
        id 3; Mon, 23 Nov 2026 10:00:11 +0000\n";
    assert!(inspect(received, None).outgoing.is_some());
    assert_eq!(back(received).outgoing, None);
}

#[test]
fn the_keys_of_the_signatures_are_found_each_once_and_only_names() {
    let of = |fields: &str| {
        let found = inspect(fields, None).signatures.into_iter();
        found.map(|it| format!("{}._domainkey.{}", it.selector, it.domain)).collect::<Vec<_>>()
    };
    let signed = "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\n\td=Sender.example.; s=2026 ;\n\tt=1; \
                  h=from:to; bh=AAAA;\n\tb=AA/+\n\tAA==\n";
    assert_eq!(of(signed), ["2026._domainkey.sender.example"]);
    let other = signed.replace("2026", "a.b");
    let both = [signed, signed, &other].concat();
    assert_eq!(of(&both), ["2026._domainkey.sender.example", "a.b._domainkey.sender.example"]);
    for broken in ["s=;", "s=a b!;", "s=..;", "s;", &format!("s={};", "x".repeat(64))] {
        assert_eq!(of(&signed.replace("s=2026 ;", broken)), [""; 0], "{broken}");
    }
    let many: String = (0..9).map(|number| signed.replace("2026", &number.to_string())).collect();
    assert_eq!(of(&many).len(), 4);
    let inspection = inspect(&many, None);
    assert!(inspection.is_sound());
    let read: Inspection =
        serde_json::from_str(&serde_json::to_string(&inspection).unwrap()).unwrap();
    assert_eq!(read, inspection, "it outlives the process");
}
