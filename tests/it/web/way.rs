//! The way of the latest mail as a picture, in a real browser.

use std::time::{Duration, SystemTime};

use mail::inspection::{Inspection, Rules, TransitTimes};
use mail::text::Scrubber;
use serde_json::json;
use testserver::Protocol;

use super::pages::UNFOLD;
use crate::support::browser::Browser;
use crate::support::{Exporter, World, serve};

/// A mail that waited so many seconds in the queue of `out.sender.example`, was passed on in clear, and went
/// through a filter.
fn after(wait: u64) -> Inspection {
    let begin = SystemTime::now() - Duration::from_secs(300);
    let stamp = |seconds| {
        let at = begin + Duration::from_secs(seconds);
        let since_1970 = at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        mail_parser::DateTime::from_timestamp(since_1970.cast_signed()).to_rfc822()
    };
    let lines = [
        format!(
            "Received: from mx.receiver.example by imap.receiver.example with LMTP id 5; {}",
            stamp(wait + 6)
        ),
        format!(
            "Received: from localhost (localhost [127.0.0.1]) by mx.receiver.example (rspamd) with ESMTP id 4; {}",
            stamp(wait + 5)
        ),
        format!(
            "Received: from relay.sender.example (relay.sender.example [203.0.113.5]) by mx.receiver.example \
             (Postfix) with ESMTP id 3; {}",
            stamp(wait + 3)
        ),
        "Authentication-Results: mx.receiver.example; spf=pass; dkim=fail; dmarc=none".to_owned(),
        format!(
            "Received: from out.sender.example (out.sender.example [203.0.113.4]) by relay.sender.example \
             (Postfix) with ESMTPS id 2 (version=TLSv1.2 cipher=ECDHE-RSA-AES256-GCM-SHA384); {}",
            stamp(wait + 1)
        ),
        format!(
            "Received: from monitor.example (monitor.example [198.51.100.7]) (using TLSv1.3 with cipher \
             TLS_AES_256_GCM_SHA384 (256/256 bits)) by out.sender.example (Postfix) with ESMTPSA id 1; {}",
            stamp(1)
        ),
        "X-Spamd-Result: default: False [1.20 / 15.00]".to_owned(),
    ];
    let block = lines.join("\r\n") + "\r\n\r\n";
    let arrived = begin + Duration::from_secs(wait + 7);
    let transit =
        TransitTimes { transmitted: Some(begin), seen: SystemTime::now(), arrived: Some(arrived) };
    let rules = Rules { authserv_id: None, scrubber: &Scrubber::default() };
    Inspection::read(block.as_bytes(), transit, rules)
}

/// Tells the account of a target what the header of its newest mail says.
fn inspected(exporter: &Exporter, name: &str, inspection: Inspection) {
    let handles = exporter.supervisor.handles();
    let handle = handles.iter().find(|handle| handle.target.name.as_str() == name).unwrap();
    let mailbox = handle.target.receive.as_ref().unwrap().mailbox_id().to_string();
    handle.account.inspected(mailbox.into(), inspection, handle.target.usual);
}

#[tokio::test]
async fn the_way_of_a_mail_shows_where_it_waited_and_where_it_was_in_clear() {
    let world = World::new(Protocol::Imap).await;
    let target = |name| world.target(name).set("interval", "1d");
    let targets = [target("patient"), target("strict").set("late_after", "2m")];
    let exporter = Exporter::start(&targets).await;
    for name in ["patient", "strict"] {
        exporter.received(name, 1).await;
        inspected(&exporter, name, after(247));
    }
    let (address, shutdown) = serve(&exporter.supervisor, false).await;
    let mut browser = Browser::start().await;
    for (name, is_open) in [("patient", false), ("strict", true)] {
        browser.open(&format!("http://{address}/targets/{name}")).await;
        let open = "document.getElementById('inspection-fold').open";
        assert_eq!(browser.value(open).await, json!(is_open), "{name}: unfolded where it was slow");
    }
    let heading = browser.text("document.querySelector('#inspection summary').innerText").await;
    assert!(heading.contains("longest wait 4 min 7 s"), "{heading}");
    browser.value(UNFOLD).await;
    let shown = browser.text("document.getElementById('inspection').innerText").await;
    for words in [
        "Longest wait: 4 min 7 s, from out.sender.example to relay.sender.example",
        "TLS 1.3",
        "no TLS",
        "rspamd: not spam, score 1.2",
        "the mailbox",
        "fail",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    // As long as it took, and as it was protected.
    let rails =
        "[...document.querySelectorAll('.rail')].map(it => it.getBoundingClientRect().height)";
    let heights: Vec<f64> = serde_json::from_value(browser.value(rails).await).unwrap();
    let longest = heights.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
    assert_eq!((longest, heights.len()), (1, 7), "{heights:?}");
    let lines = "[...document.querySelectorAll('.rail')].map(it => \
                 [...it.querySelectorAll('line')].at(-1).getAttribute('class'))";
    let expected =
        json!(["protected", "protected slow", "clear", "inside", "inside", "inside", "inside"]);
    assert_eq!(browser.value(lines).await, expected);
    for width in [360, 1280] {
        browser.resize(width, 740, 1.0).await;
        let fits = "[...document.querySelectorAll('#inspection *')].every(it => \
                    it.getBoundingClientRect().right <= innerWidth + 1)";
        assert_eq!(browser.value(fits).await, json!(true), "{width}");
    }
    assert_eq!(browser.complaints(), [""; 0]);
    browser.end().await;
    drop(shutdown);
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_wait_that_is_slower_than_usual_unfolds_the_way_and_stands_beside_what_is_usual() {
    let world = World::new(Protocol::Imap).await;
    let target = world.target("a").set("interval", "1d").set("inspect", "{usual: true}");
    let exporter = Exporter::start(&[target]).await;
    exporter.received("a", 1).await;
    let (address, shutdown) = serve(&exporter.supervisor, false).await;
    let mut browser = Browser::start().await;
    let page = format!("http://{address}/targets/a");
    let open = "document.getElementById('inspection-fold').open";
    for _ in 0..20 {
        inspected(&exporter, "a", after(4));
    }
    browser.open(&page).await;
    assert_eq!(browser.value(open).await, json!(false), "four seconds are no reason to look");
    inspected(&exporter, "a", after(247));
    browser.open(&page).await;
    assert_eq!(browser.value(open).await, json!(true));
    let shown = browser.text("document.getElementById('inspection').innerText").await;
    let words = "Longest wait: 4 min 7 s, usually 5 s, from out.sender.example";
    assert!(shown.contains(words), "{shown}");

    let record = browser.value("fetch('/api/targets/a').then(answer => answer.json())").await;
    let hop = &record["inspection"]["hops"][1];
    assert_eq!(
        (hop["usual_seconds"].as_f64(), hop["delay_seconds"].as_f64()),
        (Some(5.5), Some(247.0))
    );
    assert_eq!(record["inspection"]["to_mailbox_usual_seconds"].as_f64(), Some(1.0));
    let metrics = browser.text("fetch('/metrics').then(answer => answer.text())").await;
    let sample = "mailtrip_hop_usual_delay_seconds{target=\"a\",hop=\"2\"} 5.5";
    assert!(metrics.contains(sample), "{metrics}");
    assert_eq!(browser.complaints(), [""; 0]);
    browser.end().await;
    drop(shutdown);
    exporter.supervisor.stop().await;
}
