//! How the pages are laid out, in a real browser: what leads, what is folded, and that no word is cut.

use serde_json::json;
use testserver::faults::{self, Fault};
use testserver::{Delivery, Protocol};

use super::pages::{ASK, UNFOLD};
use crate::support::browser::Browser;
use crate::support::{Exporter, USER, World, serve};

/// The most that the page of a target may be high in a window of usual width, in pixels.
const MOST_HEIGHT: u64 = 3_000;

/// Where the top of an element is.
fn top(selector: &str) -> String {
    format!("document.querySelector('{selector}').getBoundingClientRect().top")
}

#[tokio::test]
async fn the_page_of_a_failing_target_is_short_and_leads_with_cause_advice_and_dialogue() {
    let world = World::new(Protocol::Imap).await;
    let words = format!("550-5.7.1 go away\r\n550 5.7.1 {}", "and stay away ".repeat(12));
    world.smtp.faults().on("RCPT", Fault::reply(words));
    let refusal = Fault::reply("{tag} NO [AUTHENTICATIONFAILED] account locked");
    world.mailbox.faults().on(faults::CREDENTIALS, refusal);
    let target = world.target("a").set("interval", "1s").set("messages", "30");
    let exporter = Exporter::start(&[target]).await;
    exporter.until("a", "a full history", |now| now.totals.probes >= 60).await;
    assert_eq!(exporter.supervisor.details("a", 20).unwrap().evidence.probes.len(), 40);
    let (address, shutdown) = serve(&exporter.supervisor, false).await;
    let mut browser = Browser::start().await;
    browser.resize(1280, 900, 1.0).await;
    browser.open(&format!("http://{address}/targets/a")).await;
    let height = browser.value("document.documentElement.scrollHeight").await.as_u64().unwrap();
    assert!(height < MOST_HEIGHT, "{height} pixels");
    let open = "[...document.querySelectorAll('details[open]')].map(it => it.id).join()";
    assert_eq!(browser.text(open).await, "transcript-leading");
    let order = ["h1", ".words q", ".words .todo", ".lines", ".measure", "#sides"];
    let order = order.map(top).join(" < ").replace(" < ", ", ");
    let ascends = format!("[{order}].every((top, at, all) => !at || top > all[at - 1])");
    assert_eq!(browser.value(&ascends).await, json!(true), "{order}");
    let end = "['.lines', '.lines pre'].map(it => \
               document.querySelector(it).getBoundingClientRect().bottom)";
    let end = format!("({end}).reduce((outer, inner) => Math.abs(outer - inner) < 3)");
    assert_eq!(browser.value(&end).await, json!(true), "the end of the dialogue cannot be seen");

    // A reader scrolls to its beginning, and the page refreshes.
    let place = "document.querySelector('.lines').scrollTop";
    browser.value(&format!("{place} = -100000")).await;
    let before = browser.value(place).await;
    assert!(before.as_f64().unwrap() < 0.0, "there is nothing to scroll: {before}");
    browser.value("document.querySelector('.lines').id = 'old'").await;
    browser.wait_for(&format!("{ASK}, document.getElementById('old') === null")).await;
    assert_eq!(browser.value(place).await, before);
    assert_eq!(browser.complaints(), [""; 0]);
    browser.end().await;
    drop(shutdown);
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn the_page_of_a_healthy_target_begins_with_its_newest_probe() {
    let world = World::new(Protocol::Imap).await;
    let exporter = Exporter::start(&[world.target("a").set("interval", "1d")]).await;
    exporter.received("a", 1).await;
    let (address, shutdown) = serve(&exporter.supervisor, false).await;
    let mut browser = Browser::start().await;
    browser.open(&format!("http://{address}/targets/a")).await;
    let open = "[...document.querySelectorAll('details[open]')].map(it => it.id).join()";
    assert_eq!(browser.text(open).await, "newest-fold");
    let after_head = "document.querySelector('#head').nextElementSibling.innerText";
    assert!(browser.text(after_head).await.starts_with("Latest probe: received"));
    let head = browser.text("document.querySelector('#head').innerText").await;
    assert!(head.contains("Every 1 day one mail"), "{head}");
    let mean = "document.querySelector('.measure:last-child').innerText";
    let mean = browser.text(mean).await.replace("\u{b5}s", "ms");
    // In the unit that suits it, whichever that is, and then in minutes.
    let unit = [" ms", " s"].iter().find_map(|unit| mean.find(unit));
    assert!(unit.is_some() && unit < mean.find(" min"), "{mean}");
    browser.end().await;
    drop(shutdown);
    exporter.supervisor.stop().await;
}

/// Every box with more in it than it shows and, in a window of usual width, every word that is cut in
/// two: a phone has to cut long names.
const CUT: &str = "(() => {
  const cut = new Set();
  const walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
  while (innerWidth > 1000 && walker.nextNode()) {
    const text = walker.currentNode;
    if (!text.parentElement.checkVisibility() || text.parentElement.closest('.unseen, pre, svg')) continue;
    for (const word of text.data.matchAll(/[\\p{L}\\p{N}]+/gu)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].filter(it => it.width).map(it => Math.round(it.top)));
      if (lines.size > 1) cut.add(word[0]);
    }
  }
  for (const box of document.querySelectorAll('main td, main th, main dd, main .card, main .fold')) {
    if (box.clientWidth && !box.closest('.unseen') && box.scrollWidth > box.clientWidth + 1) cut.add(box.outerHTML.slice(0, 200));
  }
  return [...cut].join('\\n');
})()";

#[tokio::test]
async fn no_word_is_cut_and_nothing_is_hidden_at_its_edge() {
    let [good, held, silent] = [(); 3].map(|()| World::new(Protocol::Imap));
    let (good, held, silent) = (good.await, held.await, silent.await);
    held.post.set_delivery(USER, Delivery::held());
    silent.smtp.faults().on("RCPT", Fault::reply("550 5.1.1 no such user here"));
    let long = "mx-frankfurt-01.customer-relay.eu-central.outbound.mail.corp";
    let host = "relay-fallback.outbound.mail.example.invalid";
    assert!(long.len() >= 60 && host.len() >= 40);
    let targets = [
        good.target("good"),
        // No such host is needed to see its name, and nobody waits for it.
        good.target(long).set("send.host", host).set("receive.host", host),
        held.target("held").set("late_after", "1s").set("cluster", "corp").set("messages", "3"),
        silent.target("silent").set("ports", "['webmail:127.0.0.1:9']"),
    ];
    let targets = targets.map(|target| target.set("interval", "1s"));
    let exporter = Exporter::start(&targets).await;
    exporter.received("good", 2).await;
    exporter.until("held", "late", |now| now.late_outstanding > 2).await;
    exporter.until("silent", "a refusal", |now| now.sides.send.last_failure.is_some()).await;
    let (address, shutdown) = serve(&exporter.supervisor, false).await;
    let mut browser = Browser::start().await;
    for width in [1280, 390] {
        browser.resize(width, 900, 1.0).await;
        let page_of_long = format!("/targets/{long}");
        for path in [
            "/",
            "/targets/good",
            "/targets/held",
            "/targets/silent",
            "/targets/nobody",
            &page_of_long,
        ] {
            browser.open(&format!("http://{address}{path}")).await;
            browser.value("document.getElementById('pause')?.click()").await;
            browser.value(UNFOLD).await;
            assert_eq!(browser.text(CUT).await, "", "{width} {path}");
            let text = browser.text("document.body.innerText").await;
            assert!(!text.contains('`'), "{path}: {text}");
        }
    }
    browser.open(&format!("http://{address}/targets/held")).await;
    browser.value(UNFOLD).await;
    let ages = "[...document.querySelectorAll('td[data-heading=Age]')].map(it => it.innerText)";
    let ages = browser.value(ages).await;
    let ages: Vec<&str> = ages.as_array().unwrap().iter().filter_map(|it| it.as_str()).collect();
    let is_age = |it: &&str| it.split(' ').next().is_some_and(|count| count.parse::<u32>().is_ok());
    assert!(ages.len() > 2 && ages.iter().all(|it| is_age(it) && !it.contains("ago")), "{ages:?}");
    browser.end().await;
    drop(shutdown);
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_large_fleet_folds_what_is_well_and_unfolded_it_stays_so() {
    let world = World::new(Protocol::Imap).await;
    let targets: Vec<_> =
        (0..30).map(|number| world.target(&format!("fleet-{number:02}"))).collect();
    let exporter = Exporter::start(&targets).await;
    for number in 0..30 {
        exporter.received(&format!("fleet-{number:02}"), 1).await;
    }
    let (address, shutdown) = serve(&exporter.supervisor, false).await;
    let mut browser = Browser::start().await;
    browser.open(&format!("http://{address}/")).await;
    let seen =
        "[...document.querySelectorAll('tbody th')].filter(it => it.checkVisibility()).length";
    assert_eq!(
        browser.text("document.querySelector('#well h2').innerText").await,
        "30 targets are well"
    );
    assert_eq!(browser.value(seen).await, json!(0));
    browser.click("#well summary").await;
    browser.wait_for(&format!("{seen} === 30")).await;
    browser.wait_for(&format!("{ASK}, document.body.dataset.loaded >= 1")).await;
    assert_eq!(browser.value(seen).await, json!(30), "a refresh folds it");
    browser.open(&format!("http://{address}/?search=fleet-1")).await;
    assert_eq!(browser.value(seen).await, json!(10));
    browser.end().await;
    drop(shutdown);
    exporter.supervisor.stop().await;
}
