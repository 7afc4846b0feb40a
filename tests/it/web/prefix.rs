//! The pages below a path, behind a proxy and without one: a real browser follows every link.

use std::collections::BTreeSet;

use mailtrip_exporter::web::elsewhere::Elsewhere;
use mailtrip_exporter::web::mount::Mount;
use mailtrip_exporter::web::routes::App;
use serde_json::{Value, json};
use testserver::Protocol;

use crate::support::browser::Browser;
use crate::support::proxy::Proxy;
use crate::support::{Exporter, World, http, quoted, serve_app};

/// A name that is almost that of the target.
const UNKNOWN: &str = "a%20b%2Fd";

/// Everything that a page loads or leads to, and the anchors that it lacks.
const LINKS: &str = "(() => {
  const all = [...document.querySelectorAll('a, link, script, form')];
  const to = all.map(it => it.href || it.src || it.getAttribute('action')).filter(it => it);
  const addresses = to.map(it => new URL(it, location.href));
  const isHere = it => it.hash && it.pathname === location.pathname;
  const lost = addresses.filter(isHere).filter(it => !document.getElementById(it.hash.slice(1)));
  return {to: addresses.map(it => it.origin + it.pathname + it.search), lost: lost.map(String)};
})()";

/// The address of every page that links lead to from this one on. Each of them is there.
async fn followed(browser: &mut Browser, start: &str) -> BTreeSet<String> {
    let mut waiting = vec![start.to_owned()];
    let mut seen = BTreeSet::from([start.to_owned()]);
    while let Some(address) = waiting.pop() {
        browser.open(&address).await;
        let status = "performance.getEntriesByType('navigation')[0].responseStatus";
        assert_eq!(browser.value(status).await, json!(200), "{address}");
        let links = browser.value(LINKS).await;
        assert_eq!(links["lost"], json!([]), "{address}");
        for link in links["to"].as_array().unwrap().iter().filter_map(Value::as_str) {
            assert!(link.starts_with(start), "{address} leads to {link}");
            // The documents are many, and all of them are read in a test of their own.
            let is_document = link.contains("/docs/");
            if seen.insert(link.to_owned()) && !is_document {
                waiting.push(link.to_owned());
            }
        }
    }
    seen
}

/// Follows every link from the page at `start` on, and lets the scripts of the pages do their work.
async fn explore(browser: &mut Browser, start: &str) {
    let seen = followed(browser, start).await;
    for path in [
        "",
        "targets/a%20b%2Fc",
        "runbook",
        "docs",
        "docs/install",
        "metrics",
        "config",
        "api/targets",
        "api/targets/a%20b%2Fc",
        "-/healthy",
        "-/ready",
    ] {
        assert!(seen.contains(&format!("{start}{path}")), "nothing leads to {path}: {seen:#?}");
    }
    for name in ["page.css", "page.js", "icon.svg"] {
        let asset = format!("{start}assets/{name}?v=");
        assert!(seen.iter().any(|it| it.starts_with(&asset)), "no {asset}: {seen:#?}");
    }

    browser.open(start).await;
    browser.click("input[name=search]").await;
    browser.type_text("nowhere").await;
    browser.wait_for("document.body.innerText.includes('No target matches')").await;
    assert_eq!(browser.text("location.href").await, format!("{start}?search=nowhere"));
    browser.click(".nothing a").await;
    browser.loaded().await;
    assert_eq!(browser.text("location.href").await, start);
    let path =
        "fetch('api/targets').then(answer => answer.json()).then(all => all.targets[0].path)";
    let name = format!("fetch(await {path}).then(answer => answer.json()).then(one => one.name)");
    let name = browser.text(&format!("(async () => {name})()")).await;
    assert_eq!(name, "a b/c");

    for (link, to) in [("p a[href$='c']", "targets/a%20b%2Fc"), ("a.back", "")] {
        browser.open(&format!("{start}targets/{UNKNOWN}")).await;
        browser.click(&format!(".absent {link}")).await;
        browser.loaded().await;
        assert_eq!(browser.text("location.href").await, format!("{start}{to}"));
    }
}

#[tokio::test]
async fn every_link_works_below_a_path_and_behind_a_proxy_that_keeps_or_removes_it() {
    let world = World::new(Protocol::Imap).await;
    let exporter = Exporter::start(&[world.target(&quoted("a b/c"))]).await;
    let mut browser = Browser::start().await;
    for (external_url, route_prefix, proxy) in [
        (None, Some("/mail"), None),
        (Some("/mail"), None, Some(("/mail", "/mail"))),
        (Some("https://monitor.example.com/mail/"), Some("/"), Some(("/mail", ""))),
        (Some("/mail"), Some("/other/place"), Some(("/mail", "/other/place"))),
    ] {
        let external_url = external_url.map(|url| url.parse().unwrap());
        let route_prefix = route_prefix.map(|prefix| prefix.parse().unwrap());
        let app = App {
            supervisor: exporter.supervisor.clone(),
            elsewhere: Elsewhere::default(),
            mount: Mount::new(external_url.as_ref(), route_prefix.as_ref()),
            telemetry_path: "/metrics".to_owned(),
            enable_lifecycle: false,
            enable_details: true,
        };
        let (address, _shutdown) = serve_app(app).await;
        let address = address.to_string();
        let proxy = match proxy {
            Some((outside, inside)) => Some(Proxy::start(&address, outside, inside).await),
            None => None,
        };
        let outside = proxy.as_ref().map_or(&address, |proxy| &proxy.address);
        assert_eq!(http::get(outside, "/metrics").await.status, 404);
        explore(&mut browser, &format!("http://{outside}/mail/")).await;
    }
    // For a page without an icon of its own, as the metrics are, a browser looks beside all paths.
    let is_ours = |it: &&String| !it.ends_with("/favicon.ico") && !it.ends_with(UNKNOWN);
    let complaints: Vec<_> = browser.complaints().iter().filter(is_ours).collect();
    assert_eq!(complaints, [""; 0], "the console of the browser");
    browser.end().await;
    exporter.supervisor.stop().await;
}
