//! The documentation that the exporter serves: all of it, with links that lead somewhere, and laid out for a phone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use mailtrip_exporter::web::elsewhere::Elsewhere;
use mailtrip_exporter::web::mount::Mount;
use mailtrip_exporter::web::routes::App;
use serde_json::json;
use testserver::Protocol;
use tokio_util::sync::DropGuard;

use crate::support::browser::Browser;
use crate::support::http::{self, Answer};
use crate::support::{Exporter, World, serve, serve_app};

/// The most that all pages may take in the program, in bytes.
const MOST_TEXT: u64 = 600_000;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files that the summary lists, as they are written there.
fn listed() -> Vec<String> {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let lines = summary.lines().filter_map(|line| line.strip_prefix("- ["));
    lines.map(|line| line.split_once("](").unwrap().1.trim_end_matches(')').to_owned()).collect()
}

/// What stands between `before` and the next quote, at each place.
fn attributes<'a>(page: &'a str, before: &str) -> BTreeSet<&'a str> {
    page.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// The exporter without targets that matter, below a path.
struct Site {
    address: String,
    exporter: Exporter,
    answers: BTreeMap<String, Answer>,
    _shutdown: DropGuard,
}

impl Site {
    async fn start() -> Self {
        let world = World::new(Protocol::Imap).await;
        let exporter = Exporter::start(&[world.target("a")]).await;
        let app = App {
            supervisor: exporter.supervisor.clone(),
            elsewhere: Elsewhere::default(),
            mount: Mount::new(None, Some(&"/mail".parse().unwrap())),
            telemetry_path: "/metrics".to_owned(),
            enable_lifecycle: false,
            enable_details: false,
        };
        let (address, shutdown) = serve_app(app).await;
        let address = address.to_string();
        Self { address, exporter, answers: BTreeMap::new(), _shutdown: shutdown }
    }

    /// The page at a path, asked for once.
    async fn page(&mut self, path: &str) -> &str {
        if !self.answers.contains_key(path) {
            let answer = http::get(&self.address, path).await;
            self.answers.insert(path.to_owned(), answer);
        }
        let answer = &self.answers[path];
        // The configuration is for authenticated clients, but it is there.
        assert!([200, 403].contains(&answer.status), "{path}: {}", answer.status);
        answer.text()
    }
}

#[test]
fn every_document_is_listed_once_and_all_of_them_are_small() {
    let listed = listed();
    let unique: BTreeSet<_> = listed.iter().collect();
    assert_eq!(unique.len(), listed.len(), "{listed:?}");
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_page = name.ends_with(".md") && name != "SUMMARY.md";
        assert!(!is_page || listed.contains(&name), "docs/SUMMARY.md does not list {name}");
    }
    let size = |file: &String| fs::metadata(root().join("docs").join(file)).unwrap().len();
    let all: u64 = listed.iter().map(size).sum();
    assert!(all < MOST_TEXT, "{all} bytes of documentation are part of the program");
}

#[tokio::test]
async fn every_document_is_served_and_every_link_within_leads_somewhere() {
    let mut site = Site::start().await;
    let contents = site.page("/mail/docs").await.to_owned();
    let list = contents.split("<nav class=\"parts\"").nth(1).unwrap();
    let pages: Vec<String> = attributes(list, "href=\"").into_iter().map(str::to_owned).collect();
    assert_eq!(pages.len(), listed().len(), "{pages:?}");
    for path in &pages {
        let page = site.page(path).await.to_owned();
        for (part, sign) in
            [("style=\"", "inline style"), ("<img", "a picture"), ("<script", "a script")]
        {
            assert!(!page.contains(part), "{path} has {sign}");
        }
        for link in attributes(&page, "href=\"") {
            let (to, anchor) = link.split_once('#').unwrap_or((link, ""));
            let to = if to.is_empty() { path } else { to };
            if ["https://", "http://"].iter().any(|scheme| to.starts_with(scheme)) {
                continue;
            }
            assert!(to.starts_with("/mail"), "{path} links to {link}");
            let found = site.page(to).await;
            let id = format!("id=\"{anchor}\"");
            assert!(
                anchor.is_empty() || found.contains(&id),
                "{path} links to {link}, which has no such place"
            );
        }
    }
    let page = http::get(&site.address, "/mail/docs/limits").await;
    let neighbours = ["rel=\"prev\" href=\"/mail/docs/", "rel=\"next\" href=\"/mail/docs/"];
    assert!(neighbours.iter().all(|it| page.text().contains(it)), "{}", page.text());
    assert!(page.text().contains("aria-current=\"page\">Resources of the machine</a>"));
    assert_eq!(http::get(&site.address, "/mail/docs/nothing").await.status, 404);
    assert_eq!(http::get(&site.address, "/mail/docs/").await.status, 200);
    site.exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_search_leads_to_sections_and_shows_what_was_typed_as_text() {
    let mut site = Site::start().await;
    // Words of headings of the overview and of others, and more hits than are shown.
    for search in ["find+a+fault", "watch", "e"] {
        let page = http::get(&site.address, &format!("/mail/docs?search={search}")).await;
        let found = page.text().split("<ul class=\"found\">").nth(1).unwrap();
        let found = found.split("</ul>").next().unwrap();
        for link in attributes(found, "href=\"") {
            let (to, anchor) = link.split_once('#').unwrap_or((link, ""));
            let has_place = site.page(to).await.contains(&format!("id=\"{anchor}\""));
            assert!(anchor.is_empty() || has_place, "{search}: {link} leads nowhere");
        }
        assert_eq!(page.text().contains("The first 50 of "), search == "e", "{found}");
    }
    let page = http::get(&site.address, "/mail/docs?search=DESCRIPTORS+listener").await;
    let found = page.text().split("<ul class=\"found\">").nth(1).unwrap();
    assert!(found.contains("href=\"/mail/docs/limits#file-descriptors\""), "{found}");
    let page = http::get(&site.address, "/mail/docs?search=%3Cb%3E%22nowhere").await;
    assert!(page.text().contains("Nothing has all of these words"), "{}", page.text());
    assert!(!page.text().contains("<b>\"nowhere"), "{}", page.text());
    site.exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_phone_shows_every_document_without_scrolling_sideways() {
    let world = World::new(Protocol::Imap).await;
    let exporter = Exporter::start(&[world.target("a")]).await;
    let (address, shutdown) = serve(&exporter.supervisor, false).await;
    let contents = http::get(&address.to_string(), "/docs").await;
    let mut browser = Browser::start().await;
    browser.resize(390, 800, 1.0).await;
    for path in attributes(contents.text(), "href=\"/docs") {
        browser.open(&format!("http://{address}/docs{path}")).await;
        let fits = "document.documentElement.scrollWidth <= innerWidth";
        assert_eq!(browser.value(fits).await, json!(true), "/docs{path}");
    }
    // A wide table scrolls within its box, which the keyboard reaches.
    browser.open(&format!("http://{address}/docs/migration")).await;
    let wide =
        "[...document.querySelectorAll('.scroll')].filter(it => it.scrollWidth > it.clientWidth)";
    assert_ne!(browser.value(&format!("{wide}.length")).await, json!(0));
    assert_eq!(browser.value(&format!("{wide}.every(it => it.tabIndex === 0)")).await, json!(true));
    assert_eq!(browser.complaints(), [""; 0]);
    browser.end().await;
    drop(shutdown);
    exporter.supervisor.stop().await;
}
