//! How a target was over the latest hours and days, as a reader sees it in a browser.

use serde_json::json;
use testserver::Protocol;
use testserver::faults::{self, Fault};

use crate::support::browser::Browser;
use crate::support::{Exporter, World, serve};

/// What a server says to break the page.
const HOSTILE: &str = "{tag} NO </q></td></table><script>document.title='broken'</script>";

#[tokio::test]
async fn a_reader_sees_shares_bars_outages_and_a_badge() {
    let world = World::new(Protocol::Imap).await;
    world.mailbox.faults().on(faults::CREDENTIALS, Fault::reply(HOSTILE));
    let exporter = Exporter::start(&[world.target("a & b").set("interval", "1s")]).await;
    let (address, _shutdown) = serve(&exporter.supervisor, false).await;
    let fails = |now: &ledger::Snapshot| now.sides.receive.last_failure.is_some();
    exporter.until("a & b", "a failure to receive", fails).await;
    world.mailbox.faults().clear();
    exporter.received("a & b", 1).await;

    let mut browser = Browser::start().await;
    // Wide enough for tables with a head.
    browser.resize(1280, 900, 1.0).await;
    browser.open(&format!("http://{address}/")).await;
    let past = "document.querySelector('.past')";
    let drawn = format!("{past}.querySelector('svg').getBoundingClientRect().width > 50");
    assert_eq!(browser.value(&drawn).await, json!(true));
    let words = browser.text(&format!("{past}.querySelector('svg').ariaLabel")).await;
    // The measured time may lie on both sides of midnight.
    let days = ["not measured in 29", "not measured in 28"];
    assert!(!words.contains("not in 0") && days.iter().any(|it| words.contains(it)), "{words}");
    let shares = browser.text(&format!("{past}.innerText")).await;
    assert!(["24 h", "7 d", "30 d"].iter().all(|range| shares.contains(range)), "{shares}");
    assert!(shares.contains('%') && !shares.contains("100 %"), "there was an outage: {shares}");

    browser.open(&format!("http://{address}/targets/a%20%26%20b")).await;
    let section = "document.getElementById('history')";
    let text = browser.text(&format!("{section}.innerText")).await;
    for part in ["Able to receive", "auth, auth", "</table><script>", "Outages"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let bars =
        format!("[...{section}.querySelectorAll('svg')].map(it => it.children.length).join()");
    assert_eq!(browser.text(&bars).await, "90,90,72,72");
    let today = format!(
        "[...{section}.querySelectorAll('svg')[1].children].findLast(it => it.querySelector('.unable'))"
    );
    let title = browser.text(&format!("{today}.querySelector('title').textContent")).await;
    assert!(title.contains(": able ") && title.contains("unable for"), "{title}");
    let parts = format!("{today}.querySelectorAll('.unable, .able').length");
    assert_eq!(browser.value(&parts).await, json!(2), "told by a gap too");
    assert_eq!(browser.text("document.title").await, "a & b · mailtrip_exporter");

    let badge = format!("{section}.querySelector('a[href^=\"/badge/\"]').href");
    let badge = browser.text(&badge).await;
    browser.open(&badge).await;
    let title = browser.text("document.querySelector('title').textContent").await;
    // A check that has just failed is told as well.
    let is_able = title.starts_with("a & b: able ") && title.contains(" % · ");
    assert!(is_able || title == "a & b: failing", "{title}");
    assert_eq!(browser.complaints(), [""; 0], "the console of the browser");
    browser.end().await;
    exporter.supervisor.stop().await;
}
