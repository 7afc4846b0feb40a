//! The pages in a real browser: what a reader clicks, types, sees and hears.

use serde_json::json;
use testserver::faults::{self, Fault};
use testserver::{Delivery, Protocol};
use tokio_util::sync::DropGuard;

use crate::support::browser::Browser;
use crate::support::mails::report;
use crate::support::{Exporter, USER, World, serve};

/// What a server says to break the page.
const HOSTILE: &str = "{tag} NO </q></p></table><script>document.title='broken'</script>\
    <img src=x onerror=\"document.title='broken'\"><style>body{display:none}</style>";

/// An exporter behind its pages: `good` works, and mail to `hostile` cannot be read.
struct Site {
    exporter: Exporter,
    address: String,
    good: World,
    _hostile: World,
    _shutdown: DropGuard,
}

impl Site {
    async fn start() -> Self {
        let good = World::new(Protocol::Imap).await;
        let hostile = World::new(Protocol::Imap).await;
        let words = format!("{HOSTILE} {}", "unbroken".repeat(40));
        hostile.mailbox.faults().on(faults::CREDENTIALS, Fault::reply(&words));
        let targets = [
            good.target("good").set("interval", "1s").set("cluster", "corp"),
            hostile.target("hostile").set("interval", "1s"),
        ];
        let exporter = Exporter::start(&targets).await;
        let (address, _shutdown) = serve(&exporter.supervisor, false).await;
        let address = format!("http://{address}");
        exporter.received("good", 1).await;
        exporter
            .until("hostile", "a failure to receive", |now| {
                now.sides.receive.last_failure.is_some()
            })
            .await;
        Self { exporter, address, good, _hostile: hostile, _shutdown }
    }

    async fn end(self, browser: Browser) {
        assert_eq!(browser.complaints(), [""; 0], "the console of the browser");
        browser.end().await;
        self.exporter.supervisor.stop().await;
    }
}

/// The names of the targets on the status page, in their order.
const NAMES: &str =
    "[...document.querySelectorAll('.targets tbody th > a')].map(link => link.textContent).join()";

/// Asks for news now and not in some seconds.
pub(super) const ASK: &str = "document.dispatchEvent(new Event('visibilitychange'))";

/// Unfolds everything; innerText leaves out what is folded.
pub(super) const UNFOLD: &str =
    "document.querySelectorAll('details').forEach(it => { it.open = true; })";

#[tokio::test]
async fn a_reader_clicks_to_a_target_and_sees_what_happened_step_by_step() {
    let site = Site::start().await;
    let mut browser = Browser::start().await;
    browser.open(&site.address).await;
    assert_eq!(browser.text(NAMES).await, "hostile,good", "the worst comes first");
    browser.click("a[href='/targets/good']").await;
    browser.loaded().await;
    assert_eq!(browser.text("document.querySelector('h1').innerText").await, "good");
    let steps = "[...document.querySelectorAll('#newest .waterfall tbody th')].map(it => \
                  it.innerText).join()";
    browser
        .wait_for(&format!("{ASK}, {steps} === 'dns,connect,greeting,envelope,data,delivery'"))
        .await;
    let bars = "[...document.querySelectorAll('#newest rect')].every(bar => \
                bar.getBoundingClientRect().width > 0)";
    assert_eq!(browser.value(bars).await, json!(true));
    browser.value(UNFOLD).await;
    for (section, words) in [
        ("#sides", "TCP ports"),
        ("#inspection", "The way of the latest mail"),
        ("#probes", "received"),
        ("#checks", "passed"),
        ("#awaited", "Outstanding mails"),
        ("#transcripts", "EHLO"),
    ] {
        let text = browser.text(&format!("document.querySelector('{section}').innerText")).await;
        assert!(text.contains(words), "{section}: {text}");
    }
    browser.click("nav a[href='/']").await;
    browser.loaded().await;
    assert_eq!(browser.text(NAMES).await, "hostile,good");
    site.end(browser).await;
}

#[tokio::test]
async fn search_and_state_choose_while_a_reader_types() {
    let site = Site::start().await;
    let mut browser = Browser::start().await;
    browser.open(&site.address).await;
    browser.click("input[name=search]").await;
    browser.type_text("CORP").await;
    browser.wait_for(&format!("{NAMES} === 'good'")).await;
    assert_eq!(browser.text("location.search").await, "?search=CORP");
    let told = "document.getElementById('live-words').textContent";
    browser.wait_for(&format!("{told} === '1 of 2 targets'")).await;
    let focus = "document.activeElement.name";
    assert_eq!(browser.text(focus).await, "search", "the reader types on");
    browser.type_text(" nowhere").await;
    browser
        .wait_for(&format!(
            "{NAMES} === '' && document.body.innerText.includes('No target \
                            matches')"
        ))
        .await;
    browser.click(".nothing a").await;
    browser.loaded().await;
    browser.click("a.tile.failing").await;
    browser.loaded().await;
    assert_eq!(browser.text(NAMES).await, "hostile");
    assert_eq!(browser.text("document.querySelector('select').value").await, "failing");
    site.end(browser).await;
}

#[tokio::test]
async fn without_scripts_everything_is_there_and_the_form_asks_the_server() {
    let site = Site::start().await;
    let mut browser = Browser::start().await;
    browser.forbid_scripts().await;
    browser.open(&site.address).await;
    assert_eq!(browser.text(NAMES).await, "hostile,good");
    assert_eq!(browser.value("document.getElementById('pause').hidden").await, json!(true));
    let refresh = "document.querySelector('meta[http-equiv=refresh]').content";
    assert_eq!(browser.text(refresh).await, "10");
    browser.click("input[name=search]").await;
    browser.type_text("goo").await;
    browser.click("#filter button").await;
    browser.loaded().await;
    assert_eq!(browser.text(NAMES).await, "good");
    assert!(browser.text("location.search").await.contains("search=goo"));
    browser.click("a[href='/targets/good']").await;
    browser.loaded().await;
    assert_eq!(browser.text("document.querySelector('h1').innerText").await, "good");
    site.end(browser).await;
}

#[tokio::test]
async fn the_page_refreshes_in_place_and_keeps_the_place_of_its_reader() {
    let site = Site::start().await;
    let mut browser = Browser::start().await;
    browser.resize(900, 400, 1.0).await;
    browser.open(&format!("{}/targets/good", site.address)).await;
    browser.value("document.querySelectorAll('summary')[1].focus(); window.scrollTo(0, 300)").await;
    browser.value("document.querySelectorAll('details')[1].open = true; window.mark = 1").await;
    let before =
        browser.text("[scrollY, document.activeElement.closest('details').id].join()").await;
    let probes = "document.querySelector('#head p').innerText";
    let first = browser.text(probes).await;
    // By itself, without being asked.
    browser.wait_for(&format!("{probes} !== {}", json!(first))).await;
    let after =
        browser.text("[scrollY, document.activeElement.closest('details')?.id].join()").await;
    assert_eq!(after, before, "scroll position and focus");
    assert_eq!(browser.value("document.querySelectorAll('details')[1].open").await, json!(true));
    assert_eq!(browser.value("window.mark").await, json!(1), "the page was loaded anew");
    assert_eq!(browser.text("document.getElementById('live-words').textContent").await, "");

    browser.click("#pause").await;
    let pressed = "document.getElementById('pause').getAttribute('aria-pressed') === 'true'";
    browser.wait_for(pressed).await;
    let loads = browser.text("document.body.dataset.loaded").await;
    browser.value(ASK).await;
    site.exporter.received("good", site.exporter.snapshot("good").totals.received + 1).await;
    browser.value(ASK).await;
    assert_eq!(browser.text("document.body.dataset.loaded").await, loads, "paused");
    browser.click("#pause").await;
    browser.wait_for(&format!("document.body.dataset.loaded > {loads}")).await;
    assert!(site.good.inbox_len() <= 1);
    site.end(browser).await;
}

#[tokio::test]
async fn an_exporter_that_is_gone_is_told_and_what_was_there_stays() {
    let site = Site::start().await;
    let mut browser = Browser::start().await;
    browser.open(&site.address).await;
    let Site { exporter, _shutdown, .. } = site;
    drop(_shutdown);
    let told = "document.getElementById('live-words').textContent.includes('does not answer')";
    browser.wait_for(&format!("{ASK}, {told}")).await;
    assert_eq!(browser.text(NAMES).await, "hostile,good");
    browser.end().await;
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn hostile_words_are_shown_as_words() {
    let site = Site::start().await;
    let mut browser = Browser::start().await;
    for path in ["/", "/targets/hostile", "/targets/hostile"] {
        browser.open(&format!("{}{path}", site.address)).await;
        browser.value(ASK).await;
        browser.wait_for("document.body.dataset.loaded >= 1").await;
        let text = browser.text("document.querySelector('.words q').innerText").await;
        assert!(text.contains("<script>document.title='broken'</script><img src=x"), "{text}");
        let foreign = "document.querySelectorAll('main script, main img, main style').length";
        assert_eq!(browser.value(foreign).await, json!(0));
        assert!(!browser.text("document.title").await.contains("broken"));
    }
    site.end(browser).await;
}

#[tokio::test]
async fn a_bounce_shows_itself_on_the_open_page_with_code_server_and_words() {
    let world = World::new(Protocol::Imap).await;
    world.post.set_delivery(USER, Delivery::lost());
    let exporter = Exporter::start(&[world.target("a")]).await;
    let mail = world.sent(1).await.remove(0);
    let (address, shutdown) = serve(&exporter.supervisor, false).await;
    let address = format!("http://{address}");
    let mut browser = Browser::start().await;
    browser.open(&format!("{address}/targets/a")).await;
    assert_eq!(browser.value("document.getElementById('notice')").await, json!(null));
    world.post.insert(USER, "INBOX", report(&mail, "failed", "5.1.1").as_bytes());
    exporter.until("a", "bounced", |now| now.totals.bounced == 1).await;
    browser.wait_for(&format!("{ASK}, document.getElementById('notice') !== null")).await;
    browser.value(UNFOLD).await;
    let wanted = ["5.1.1", "mx.example.test", "550 5.1.1 <b>not \\u{1b}[31mhere <secret>"];
    for section in ["#notice", "#probes"] {
        let text = browser.text(&format!("document.querySelector('{section}').innerText")).await;
        assert!(wanted.iter().all(|words| text.contains(words)), "{section}: {text}");
    }
    let api = "fetch('/api/targets/a').then(answer => answer.json())";
    let record = browser.value(api).await;
    let newest = &record["newest_report"];
    assert_eq!((&newest["action"], &newest["code"]), (&json!("failed"), &json!("5.1.1")));
    assert_eq!(
        (&newest["remote_server"], &newest["words"]),
        (&json!(wanted[1]), &json!(wanted[2]))
    );
    assert_eq!(
        (&record["condition"], &record["layers"]["to_blame"]),
        (&json!("impaired"), &json!("delivery"))
    );
    assert_eq!(browser.complaints(), [""; 0]);
    browser.end().await;
    drop(shutdown);
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn the_open_page_of_a_target_that_is_removed_says_so_and_shows_the_way_back() {
    let site = Site::start().await;
    let mut browser = Browser::start().await;
    browser.open(&format!("{}/targets/good", site.address)).await;
    // As if it had been another one's page, whose target the configuration no longer has.
    browser.value("history.replaceState(null, '', '/targets/goood')").await;
    browser.wait_for(&format!("{ASK}, document.querySelector('#main > .absent') !== null")).await;
    let words = browser.text("document.getElementById('main').innerText").await;
    assert!(words.contains("There is no target goood.") && words.contains("Did you mean good?"));
    let live = "document.getElementById('live-words').innerText";
    assert_eq!(browser.text(live).await, "There is no target goood.");
    // It comes back.
    browser.value("history.replaceState(null, '', '/targets/good')").await;
    browser.value(ASK).await;
    browser.wait_for("document.querySelector('#head h1')?.innerText === 'good'").await;
    browser.end().await;
    site.exporter.supervisor.stop().await;
}

#[tokio::test]
async fn json_has_the_layers_and_what_the_header_told() {
    let site = Site::start().await;
    let mut browser = Browser::start().await;
    browser.open(&format!("{}/targets/good", site.address)).await;
    browser.wait_for(&format!("{ASK}, document.getElementById('inspection') !== null")).await;
    let record = browser.value("fetch('/api/targets/good').then(answer => answer.json())").await;
    let states = record["layers"]["states"].as_array().unwrap();
    let words: Vec<_> = states.iter().map(|it| it["state"].as_str().unwrap()).collect();
    assert_eq!(words, ["unmeasured", "good", "good", "good", "good"]);
    let ports = record["layer_checks"]["ports"].as_array().unwrap();
    assert!(ports.len() == 2 && ports.iter().all(|port| port["answers"] == true), "{ports:?}");
    let inspection = &record["inspection"];
    let hops = inspection["hops"].as_array().unwrap();
    assert!(!hops.is_empty() && inspection["hop_count"] == hops.len(), "{inspection:#}");
    browser.value(UNFOLD).await;
    let shown = browser.text("document.getElementById('inspection').innerText").await;
    let by = hops[0]["by"].as_str().unwrap();
    assert!(shown.contains(by) && shown.contains("the mailbox"), "{by}: {shown}");
    site.end(browser).await;
}

/// Every text whose contrast to what is behind it is below that of WCAG 2.1, level AA.
const FAINT: &str = "(() => {
  const channels = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(it => it / 255)
    .map(it => it <= 0.03928 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4)
    .reduce((sum, it, index) => sum + it * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const back = channels(getComputedStyle(at).backgroundColor);
      if (back.length === 3 || back[3] === 1) return back;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest('svg')) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(channels(style.color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) faint.push(ratio.toFixed(2) + ' ' + walker.currentNode.data.trim());
  }
  return faint.join('\\n');
})()";

/// What a screen reader could not make sense of.
const UNNAMED: &str = "(() => {
  const problems = [];
  const all = selector => [...document.querySelectorAll(selector)];
  for (const field of all('input, select')) if (!field.labels.length) problems.push('no label: ' + field.outerHTML);
  for (const head of all('thead th')) if (!head.scope) problems.push('no scope: ' + head.outerHTML);
  for (const link of all('a, button')) if (!link.innerText.trim() && !link.hidden) problems.push('no name: ' + link.outerHTML);
  for (const picture of all('svg')) {
    if (picture.getAttribute('aria-hidden') !== 'true' && !picture.getAttribute('aria-label')) problems.push('no words: ' + picture.outerHTML);
  }
  for (const named of all('[aria-labelledby]')) {
    if (!document.getElementById(named.getAttribute('aria-labelledby'))) problems.push('dangling: ' + named.id);
  }
  const ids = all('[id]').map(it => it.id);
  if (new Set(ids).size !== ids.length) problems.push('an id twice: ' + ids.join());
  const levels = all('h1, h2, h3, h4').map(it => Number(it.tagName[1]));
  if (levels[0] !== 1 || levels.filter(it => it === 1).length !== 1) problems.push('headings: ' + levels.join());
  levels.forEach((level, at) => { if (at && level > levels[at - 1] + 1) problems.push('headings: ' + levels.join()); });
  for (const landmark of ['header', 'main', 'nav', 'footer']) if (!all(landmark).length) problems.push('no ' + landmark);
  if (!document.documentElement.lang || !document.title) problems.push('no language or title');
  const status = document.querySelector('[role=status]');
  if (!status || all('[aria-live=assertive]').length) problems.push('live regions');
  return problems.join('\\n');
})()";

#[tokio::test]
async fn every_text_can_be_read_and_everything_has_a_name_in_light_and_dark() {
    let site = Site::start().await;
    let mut browser = Browser::start().await;
    let mut backgrounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        for path in [
            "/",
            "/?search=nothing-is-so",
            "/targets/good",
            "/targets/hostile",
            "/runbook",
            "/docs",
            "/docs?search=mail",
            "/docs/limits",
        ] {
            browser.open(&format!("{}{path}", site.address)).await;
            assert_eq!(browser.text(FAINT).await, "", "{scheme} {path}");
            assert_eq!(browser.text(UNNAMED).await, "", "{scheme} {path}");
        }
        backgrounds.push(browser.text("getComputedStyle(document.body).backgroundColor").await);
    }
    assert_ne!(backgrounds[0], backgrounds[1], "dark is not light");
    site.end(browser).await;
}

#[tokio::test]
async fn the_keyboard_reaches_what_the_mouse_does() {
    let site = Site::start().await;
    let mut browser = Browser::start().await;
    browser.open(&site.address).await;
    browser.press("Tab", 9).await;
    assert_eq!(browser.text("document.activeElement.className").await, "skip");
    let mut reached = Vec::new();
    for _ in 0..30 {
        browser.press("Tab", 9).await;
        let style = "getComputedStyle(document.activeElement).outlineStyle";
        let what =
            browser.text("document.activeElement.innerText || document.activeElement.name").await;
        if what == "good" {
            assert_eq!(browser.text(style).await, "solid", "the focus can be seen");
            browser.press("Enter", 13).await;
            browser.loaded().await;
            assert_eq!(browser.text("location.pathname").await, "/targets/good");
            return site.end(browser).await;
        }
        reached.push(what);
    }
    panic!("the link was never reached: {reached:?}");
}

#[tokio::test]
async fn a_phone_shows_everything_without_scrolling_sideways() {
    let site = Site::start().await;
    let mut browser = Browser::start().await;
    for width in [360, 700, 1280] {
        browser.resize(width, 740, 1.0).await;
        for path in ["/", "/targets/good", "/targets/hostile", "/runbook"] {
            browser.open(&format!("{}{path}", site.address)).await;
            let wide = browser
                .text(
                    "[...document.querySelectorAll('main *')].filter(it => !it.closest('pre') && \
                     !it.closest('.unseen') && it.getBoundingClientRect().right > innerWidth + 1)\
                     .map(it => it.outerHTML.slice(0, 120)).join('\\n')",
                )
                .await;
            let page = "document.documentElement.scrollWidth <= innerWidth";
            assert_eq!(browser.value(page).await, json!(true), "{width} {path}: {wide}");
            assert_eq!(wide, "", "{width} {path}");
        }
    }
    site.end(browser).await;
}

#[tokio::test]
async fn a_thousand_targets_are_paged_and_searched() {
    let world = World::new(Protocol::Imap).await;
    world.smtp.faults().on(faults::CONNECT, Fault::Close);
    world.mailbox.faults().on(faults::CONNECT, Fault::Close);
    let targets: Vec<_> = (0..1_000)
        .map(|number| world.target(&format!("bulk-{number:04}")).set("interval", "1h"))
        .collect();
    let exporter = Exporter::start(&targets).await;
    let (address, shutdown) = serve(&exporter.supervisor, false).await;
    let address = format!("http://{address}");
    let mut browser = Browser::start().await;
    browser.open(&format!("{address}/?sort=name")).await;
    let count = "document.getElementById('count').innerText";
    assert_eq!(browser.text(count).await, "1000 targets, page 1 of 5");
    browser.click(".pages a[rel=next]").await;
    browser.loaded().await;
    assert!(browser.text(NAMES).await.starts_with("bulk-0200,"));
    browser.click("input[name=search]").await;
    browser.type_text("0777").await;
    browser.wait_for(&format!("{NAMES} === 'bulk-0777'")).await;
    assert_eq!(browser.text(count).await, "1 of 1000 targets");
    assert_eq!(browser.complaints(), [""; 0]);
    browser.end().await;
    drop(shutdown);
    exporter.supervisor.stop().await;
}
