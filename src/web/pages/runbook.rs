//! The runbook: the text of `deploy/runbook.md`, with an anchor for each alert.

use std::sync::LazyLock;

use askama::Template;
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use super::status::{Assets, Links};
use crate::web::mount::PathPrefix;

const SOURCE: &str = include_str!("../../../deploy/runbook.md");

/// It does not change while the program runs.
static RUNBOOK: LazyLock<Runbook> = LazyLock::new(|| Runbook::new(SOURCE));

/// The page.
pub(in crate::web) fn page(links: Links<'_>) -> Result<String, askama::Error> {
    let page = RunbookPage {
        base: links.base,
        links,
        assets: Assets::ALL,
        version: crate::build::VERSION,
        runbook: &RUNBOOK,
    };
    page.render()
}

#[derive(Template)]
#[template(path = "runbook.html", whitespace = "minimize")]
struct RunbookPage<'a> {
    base: &'a PathPrefix,
    links: Links<'a>,
    assets: Assets,
    version: &'static str,
    runbook: &'a Runbook,
}

/// A text that was written as Markdown.
struct Runbook {
    html: String,
    /// Each heading below the title, after its anchor.
    headings: Vec<(String, String)>,
}

impl Runbook {
    fn new(markdown: &str) -> Self {
        let mut events: Vec<Event<'_>> =
            Parser::new_ext(markdown, Options::ENABLE_TABLES).filter_map(shown).collect();
        let headings = set_anchors(&mut events);
        let mut text = String::with_capacity(2 * markdown.len());
        html::push_html(&mut text, without_links_to_files(events).into_iter());
        Self { html: text, headings }
    }
}

/// An event as it is shown: HTML within the text is text.
fn shown(event: Event<'_>) -> Option<Event<'_>> {
    match event {
        Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
        Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock) => None,
        event => Some(event),
    }
}

/// Gives each heading below the title its anchor, the one that an alert links to: its text in lower
/// case.
fn set_anchors(events: &mut [Event<'_>]) -> Vec<(String, String)> {
    let mut headings = Vec::new();
    let mut rest = events;
    while let Some((event, after)) = rest.split_first_mut() {
        if let Event::Start(Tag::Heading { level, id, .. }) = event
            && *level != HeadingLevel::H1
        {
            let words = after.iter().take_while(|event| !matches!(event, Event::End(_)));
            let words: String = words.filter_map(text).collect();
            let anchor = words.to_lowercase().replace(' ', "-");
            *id = Some(CowStr::from(anchor.clone()));
            headings.push((anchor, words));
        }
        rest = after;
    }
    headings
}

fn text<'a>(event: &'a Event<'_>) -> Option<&'a str> {
    match event {
        Event::Text(text) | Event::Code(text) => Some(text),
        _ => None,
    }
}

/// Leaves out the links to files that lie beside the text and are not served; their words stay.
fn without_links_to_files(events: Vec<Event<'_>>) -> Vec<Event<'_>> {
    let is_served = |to: &str| ["#", "https://", "http://"].iter().any(|it| to.starts_with(it));
    let mut is_left_out = false;
    let kept = events.into_iter().filter(|event| match event {
        Event::Start(Tag::Link { dest_url, .. }) => {
            is_left_out = !is_served(dest_url);
            !is_left_out
        }
        Event::End(TagEnd::Link) => !is_left_out,
        _ => true,
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_has_its_anchor_and_its_line_in_the_contents() {
        let base = &"/mail".parse().unwrap();
        let links = Links { base, telemetry_path: "/metrics", shows_config: false };
        let page = page(links).unwrap();
        let alerts: Vec<&str> =
            SOURCE.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert!(alerts.len() > 20, "{alerts:?}");
        for alert in alerts {
            let anchor = alert.to_lowercase();
            let heading = format!("<h2 id=\"{anchor}\">{alert}</h2>");
            assert!(page.contains(&heading), "no {heading} in {page}");
            assert!(page.contains(&format!("<a href=\"#{anchor}\">{alert}</a>")), "{alert}");
        }
        assert_eq!(page.matches("<h1").count(), 1, "{page}");
    }

    #[test]
    fn a_link_to_a_file_is_its_words_and_another_one_stays() {
        let runbook = Runbook::new(
            "# T\n\n[a file](prometheus/a.yml), [below](#b), [far](https://a.test/).\n\n## B `c`\n",
        );
        let expected =
            "<p>a file, <a href=\"#b\">below</a>, <a href=\"https://a.test/\">far</a>.</p>";
        assert!(runbook.html.contains(expected), "{}", runbook.html);
        let anchor = ("b-c".to_owned(), "B c".to_owned());
        assert_eq!(runbook.headings.last(), Some(&anchor));
    }

    #[test]
    fn html_in_the_text_is_text() {
        let runbook = Runbook::new("a <b>c</b>\n\n<script>\nd\n</script>\n");
        assert!(!runbook.html.contains("<b>") && !runbook.html.contains("<script"));
        assert!(runbook.html.contains("&lt;b&gt;c"), "{}", runbook.html);
    }
}
