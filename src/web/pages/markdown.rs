//! Texts that were written as Markdown, as HTML: with an anchor for each heading, tables that can scroll, and links
//! that lead to what is served. HTML within a text is left out, as are pictures.

use std::collections::BTreeMap;

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// A text as it is shown.
pub(in crate::web) struct Text {
    /// The text itself.
    pub(in crate::web) html: String,
    /// Its headings below the title, in order.
    pub(in crate::web) headings: Vec<Heading>,
}

/// A heading below the title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) struct Heading {
    /// What a link to it ends with: its words in lower case with hyphens, as on the usual forges.
    pub(in crate::web) anchor: String,
    /// Its words, without marks.
    pub(in crate::web) words: String,
    /// Whether it stands right below the title.
    pub(in crate::web) is_section: bool,
}

/// What is read beside the plain Markdown.
const EXTENSIONS: Options = Options::ENABLE_TABLES;

impl Text {
    /// Reads a text. `served` gives the address of what a link to a file leads to; `None`: it is not served, and
    /// the words of the link stay without it.
    pub(in crate::web) fn new(markdown: &str, served: impl Fn(&str) -> Option<String>) -> Self {
        let shown = Parser::new_ext(markdown, EXTENSIONS).filter(|event| !is_html(event));
        let mut events = with_links(shown, served);
        let headings = set_anchors(&mut events);
        let mut html = String::with_capacity(2 * markdown.len());
        html::push_html(&mut html, events.into_iter().flat_map(in_frame));
        // For readers of the screen; what looks like it in a text is escaped.
        Self { html: html.replace("<th>", "<th scope=\"col\">"), headings }
    }
}

/// The sections of a text, each with the heading before it: `None` for what stands below the title.
pub(in crate::web) fn sections(markdown: &str) -> Vec<(Option<Heading>, String)> {
    let mut events: Vec<Event<'_>> = Parser::new_ext(markdown, EXTENSIONS).collect();
    let mut headings = set_anchors(&mut events).into_iter();
    let mut sections = vec![(None, String::new())];
    for event in &events {
        if let Event::Start(Tag::Heading { id: Some(_), .. }) = event {
            sections.push((headings.next(), String::new()));
        }
        let Some((_, words)) = sections.last_mut() else { continue };
        match event {
            Event::Text(text) | Event::Code(text) => words.push_str(text),
            Event::End(TagEnd::Link | TagEnd::Emphasis | TagEnd::Strong) => {}
            Event::SoftBreak | Event::HardBreak | Event::End(_) => words.push(' '),
            _ => {}
        }
    }
    sections
}

fn is_html(event: &Event<'_>) -> bool {
    let is_block = matches!(event, Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock));
    is_block || matches!(event, Event::Html(_) | Event::InlineHtml(_))
}

/// The events with links that lead somewhere, and without pictures.
fn with_links<'a>(
    events: impl Iterator<Item = Event<'a>>,
    served: impl Fn(&str) -> Option<String>,
) -> Vec<Event<'a>> {
    let mut kept = Vec::new();
    let mut is_link = false;
    let mut pictures = 0_u32;
    for event in events {
        match event {
            Event::Start(Tag::Image { .. }) => pictures += 1,
            Event::End(TagEnd::Image) => pictures = pictures.saturating_sub(1),
            _ if pictures > 0 => {}
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let leads_as_it_is = is_anchor(&dest_url) || is_address(&dest_url);
                let to = if leads_as_it_is {
                    Some(dest_url)
                } else {
                    served(&dest_url).map(CowStr::from)
                };
                is_link = to.is_some();
                kept.extend(
                    to.map(|dest_url| Event::Start(Tag::Link { link_type, dest_url, title, id })),
                );
            }
            Event::End(TagEnd::Link) if !is_link => {}
            event => kept.push(event),
        }
    }
    kept
}

fn is_anchor(to: &str) -> bool {
    to.starts_with('#')
}

fn is_address(to: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| to.starts_with(scheme))
}

/// Gives each heading below the title its anchor.
fn set_anchors(events: &mut [Event<'_>]) -> Vec<Heading> {
    let mut headings = Vec::new();
    let mut uses = BTreeMap::new();
    let mut rest = events;
    while let Some((event, after)) = rest.split_first_mut() {
        if let Event::Start(Tag::Heading { level, id, .. }) = event
            && *level != HeadingLevel::H1
        {
            let within =
                after.iter().take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
            let words: String = within.filter_map(text).collect();
            let anchor = unused(anchor(&words), &mut uses);
            *id = Some(CowStr::from(anchor.clone()));
            headings.push(Heading { anchor, words, is_section: *level == HeadingLevel::H2 });
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

fn anchor(words: &str) -> String {
    let kept = |sign: &char| sign.is_alphanumeric() || ['-', '_', ' '].contains(sign);
    words.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

/// The anchor with a number behind it where it was used before.
fn unused(anchor: String, uses: &mut BTreeMap<String, u32>) -> String {
    let before = uses.entry(anchor.clone()).or_insert(0);
    *before += 1;
    match *before {
        1 => anchor,
        count => format!("{anchor}-{}", count - 1),
    }
}

/// A table in a box that scrolls; without alignment, which would be inline style.
fn in_frame(event: Event<'_>) -> impl Iterator<Item = Event<'_>> {
    let (before, event, after) = match event {
        Event::Start(Tag::Table(columns)) => {
            let columns = vec![pulldown_cmark::Alignment::None; columns.len()];
            (Some("<div class=\"scroll\" tabindex=\"0\">"), Event::Start(Tag::Table(columns)), None)
        }
        event @ Event::End(TagEnd::Table) => (None, event, Some("</div>")),
        event => (None, event, None),
    };
    let markup = |text: &'static str| Event::Html(CowStr::from(text));
    before.map(markup).into_iter().chain([event]).chain(after.map(markup))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nowhere(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn a_link_to_a_file_leads_to_what_is_served_or_is_its_words() {
        let served = |to: &str| (to == "b.md#c").then(|| "/docs/b#c".to_owned());
        let text = Text::new(
            "[a file](prometheus/a.yml), [page](b.md#c), [below](#b), [far](https://a.test/).\n",
            served,
        );
        let expected = "<p>a file, <a href=\"/docs/b#c\">page</a>, <a href=\"#b\">below</a>, \
                        <a href=\"https://a.test/\">far</a>.</p>";
        assert!(text.html.contains(expected), "{}", text.html);
        let text = Text::new(
            "[a](javascript:alert(1)) [b](//evil.test/) [c](data:text/html,d)\n",
            nowhere,
        );
        assert_eq!(text.html, "<p>a b c</p>\n");
    }

    #[test]
    fn html_and_pictures_in_the_text_are_left_out() {
        let text =
            Text::new("a <b>c</b> ![d](e.png)\n\n<script>\nd()\n</script>\n\n`<i>`\n", nowhere);
        assert_eq!(text.html, "<p>a c </p>\n<p><code>&lt;i&gt;</code></p>\n");
    }

    #[test]
    fn headings_have_the_anchors_of_a_forge_and_equal_ones_have_numbers() {
        let text = Text::new("# T\n\n## B: `c_d` (e)\n\n### F\n\n## F\n\n[to it](#f-1)\n", nowhere);
        let found: Vec<_> = text
            .headings
            .iter()
            .map(|it| (it.anchor.as_str(), it.words.as_str(), it.is_section))
            .collect();
        assert_eq!(found, [("b-c_d-e", "B: c_d (e)", true), ("f", "F", false), ("f-1", "F", true)]);
        assert!(text.html.contains("<h2 id=\"f-1\">F</h2>"), "{}", text.html);
    }

    #[test]
    fn a_table_scrolls_in_a_box_and_has_no_inline_style() {
        let text = Text::new("| a | b |\n|:-:|--:|\n| 1 | 2 |\n", nowhere);
        assert!(
            text.html.contains("<div class=\"scroll\" tabindex=\"0\"><table>"),
            "{}",
            text.html
        );
        assert!(
            text.html.contains("</table>\n</div>") && !text.html.contains("style"),
            "{}",
            text.html
        );
    }

    #[test]
    fn sections_have_their_words_and_the_heading_before_them() {
        let found = sections("# T\n\nfirst\n\n## A `b`\n\nsecond [c](d.md)\nthird\n");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], (None, "T first ".to_owned()));
        let (heading, words) = &found[1];
        assert_eq!(heading.as_ref().map(|it| it.anchor.as_str()), Some("a-b"));
        assert_eq!(words, "A b second c third ");
    }
}
