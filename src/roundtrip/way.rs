//! The way of the mail, as its header tells it: in lines for people, and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::test_mail::TestMail;
use super::verdict::Arrival;
use crate::config::Target;
use crate::probing::mailbox::read_header;
use ledger::durations::between_stamps;
use mail::inspection::{Delay, Hop, Inspection, TransitTimes};

/// Reads the header of the mail once it was seen: that which was kept, or that which stood beside it.
pub(super) fn read(
    target: &Target,
    mail: &mut TestMail,
    kept: Option<Vec<u8>>,
) -> Option<Inspection> {
    let block = mail.header.take().or(kept)?;
    let Some(Arrival::Seen { roundtrip, .. }) = mail.seen else { return None };
    let seen = crate::clock::wall();
    let transmitted = seen.checked_sub(mail.transmitted.elapsed());
    let arrived = transmitted.and_then(|begin| begin.checked_add(roundtrip));
    Some(read_header(target, &block, TransitTimes { transmitted, seen, arrived }))
}

/// A line for the whole, one for each stretch, and one for what was said of the mail: a heading, and what
/// stands behind it.
pub(super) fn lines(way: &Inspection) -> Vec<(String, String)> {
    let mut lines = vec![(format!("{:<9}", "way"), summary(way))];
    if let Some(ways) = way.there_and_back {
        let (out, back) = (time(ways.out), time(ways.back));
        lines.push((String::new(), format!("  out {out}, back {back}")));
    }
    let ends = way.hops.iter().map(|hop| (hop.kind.label(), words(hop)));
    let ends = ends.chain([("mailbox", String::new())]);
    if !way.hops.is_empty() {
        let stretches = ends.zip(way.stretches());
        lines.extend(stretches.map(|((kind, words), delay)| {
            (
                String::new(),
                format!("  {kind:<10} {:>10}   {words}", time(delay)).trim_end().to_owned(),
            )
        }));
    }
    let verdicts = verdicts(way);
    if !verdicts.is_empty() {
        lines.push((String::new(), format!("  {verdicts}")));
    }
    lines
}

fn summary(way: &Inspection) -> String {
    let hops = match way.hop_count {
        _ if way.is_cut => {
            return "unknown: its header is too long to be read completely".to_owned();
        }
        0 => return "unknown: no server has left a word in the header".to_owned(),
        1 => "1 hop".to_owned(),
        count => format!("{count} hops"),
    };
    let Some((at, wait)) = way.longest_wait() else { return hops };
    let end = way.hops.get(at).map_or("the mailbox", name);
    format!("{hops}, longest wait {} before {end}", between_stamps(wait))
}

fn words(hop: &Hop) -> String {
    let tls = match (hop.is_protected, &hop.tls_version) {
        (Some(true), Some(version)) => format!(", {version}"),
        (Some(true), None) => ", TLS".to_owned(),
        (Some(false), _) => ", no TLS".to_owned(),
        (None, _) => String::new(),
    };
    format!("{}{tls}", name(hop))
}

fn name(hop: &Hop) -> &str {
    hop.by.as_deref().unwrap_or("unnamed server")
}

fn time(delay: Delay) -> String {
    match delay {
        Delay::Measured(delay) => between_stamps(delay),
        Delay::Skewed => "clocks?".to_owned(),
        Delay::Unknown => "unknown".to_owned(),
    }
}

/// What the receiver and the filters said of the mail.
fn verdicts(way: &Inspection) -> String {
    let checks = way.authentication.iter();
    let checks = checks.map(|it| format!("{} {}", it.method.label(), it.outcome.label()));
    let filters = way.spam.iter().map(|it| {
        let verdict = match it.is_spam {
            Some(true) => " spam",
            Some(false) => " not spam",
            None => "",
        };
        let score = it.score.map(|score| format!(" {score}")).unwrap_or_default();
        format!("{}{verdict}{score}", it.filter.label())
    });
    checks.chain(filters).collect::<Vec<_>>().join(", ")
}

/// The member `way` of the document.
pub(super) fn document(way: &Inspection) -> Value {
    let seconds = |delay: Delay| delay.measured().as_ref().map(Duration::as_secs_f64);
    let hops = way.hops.iter().map(|hop| {
        json!({
            "by": hop.by,
            "from": hop.from,
            "kind": hop.kind.label(),
            "delay_seconds": seconds(hop.delay),
            "protocol": hop.protocol,
            "tls": hop.is_protected,
            "tls_version": hop.tls_version,
        })
    });
    let authentication = way.authentication.iter();
    let authentication = authentication
        .map(|it| json!({ "method": it.method.label(), "outcome": it.outcome.label() }));
    let spam = way
        .spam
        .iter()
        .map(|it| json!({ "filter": it.filter.label(), "score": it.score, "spam": it.is_spam }));
    json!({
        "hop_count": way.hop_count,
        "hops": hops.collect::<Vec<Value>>(),
        "to_mailbox_seconds": seconds(way.to_mailbox),
        "authentication": authentication.collect::<Vec<Value>>(),
        "spam": spam.collect::<Vec<Value>>(),
        "there_and_back": way.there_and_back.map(|it| {
            json!({
                "out_seconds": seconds(it.out),
                "back_seconds": seconds(it.back),
                "answer": it.is_answer,
            })
        }),
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use mail::inspection::Rules;
    use mail::text::Scrubber;

    use super::*;

    fn inspect(header: &str) -> Inspection {
        // Mon, 23 Nov 2026 10:00:00 +0000.
        let transmitted = UNIX_EPOCH + Duration::from_secs(1_795_428_000);
        let seen = transmitted + Duration::from_secs(300);
        let transit = TransitTimes { transmitted: Some(transmitted), seen, arrived: Some(seen) };
        let rules = Rules { authserv_id: None, scrubber: &Scrubber::default() };
        Inspection::read(header.replace('\n', "\r\n").as_bytes(), transit, rules)
    }

    const HEADER: &str = "\
Received: from relay.example (relay.example [203.0.113.5]) by mx.example.test (Postfix) with ESMTP id 2;
 Mon, 23 Nov 2026 10:04:59 +0000
Authentication-Results: mx.example.test; spf=pass; dkim=fail
Received: from monitor.example (monitor.example [198.51.100.7]) by relay.example (Postfix)
 with ESMTPSA id 1 (version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384); Mon, 23 Nov 2026 10:00:00 +0000
X-Spam-Status: Yes, score=7.5 required=5.0

";

    #[test]
    fn each_stretch_has_a_line_and_the_longest_is_named() {
        let lines = lines(&inspect(HEADER)).into_iter().map(|(heading, words)| heading + &words);
        assert_eq!(
            lines.collect::<Vec<_>>(),
            [
                "way      2 hops, longest wait 4 min 59 s before mx.example.test",
                "  submission  under 1 s   relay.example, TLSv1.3",
                "  relay      4 min 59 s   mx.example.test, no TLS",
                "  mailbox           1 s",
                "  spf pass, dkim fail, spamassassin spam 7.5",
            ]
        );
    }

    #[test]
    fn a_way_of_which_no_header_tells_is_unknown() {
        let lines = lines(&inspect("Subject: x\n\n"));
        let words: Vec<&str> = lines.iter().map(|(_, words)| words.as_str()).collect();
        assert_eq!(words, ["unknown: no server has left a word in the header"]);
    }

    #[test]
    fn the_document_says_the_same() {
        let document = document(&inspect(HEADER));
        let relay = &document["hops"][1];
        assert_eq!((&relay["tls"], &relay["delay_seconds"]), (&json!(false), &json!(299.0)));
        assert_eq!(document["to_mailbox_seconds"], json!(1.0));
        assert_eq!(document["authentication"][1], json!({"method": "dkim", "outcome": "fail"}));
        assert_eq!(document["spam"][0]["score"], json!(7.5));
    }
}
