//! The documentation: the pages that `docs/SUMMARY.md` lists, as they were when the program was built, with a list of
//! all of them and a search.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use askama::Template;

use super::markdown::{self, Heading, Text};
use super::status::{Assets, Links};
use crate::web::mount::PathPrefix;

/// Where the list of all pages is; each page is below it.
pub(in crate::web) const DOCS: &str = "/docs";

/// So many of the sections that a search finds are shown.
const MOST_SHOWN: usize = 50;

/// The longest search, in characters; its field takes no more either.
const MOST_SEARCHED: usize = 255;

/// How many characters of a section are shown of what was found.
const EXCERPT: usize = 160;

/// Some pages under one title.
struct Part {
    title: &'static str,
    pages: &'static [Page],
}

/// One page.
struct Page {
    title: &'static str,
    /// Where it lies in the repository.
    file: &'static str,
    /// As it was written.
    text: &'static str,
}

/// Written by `build.rs`.
const PARTS: &[Part] = include!(concat!(env!("OUT_DIR"), "/documentation.rs"));

impl Page {
    /// The path at which it is served, below the prefix.
    fn path(&self) -> String {
        match self.file {
            // The README of the project has the path that it would have.
            "docs/README.md" => format!("{DOCS}/overview"),
            "deploy/runbook.md" => "/runbook".to_owned(),
            // docs/security.md has the path that it would have.
            "SECURITY.md" => format!("{DOCS}/reporting"),
            file => {
                let name = file.strip_prefix("docs/").unwrap_or(file);
                let name = name.strip_suffix(".md").unwrap_or(name);
                let name = name.strip_suffix("/README").unwrap_or(name);
                format!("{DOCS}/{}", name.replace('/', "-").to_lowercase())
            }
        }
    }
}

fn pages() -> impl Iterator<Item = &'static Page> {
    PARTS.iter().flat_map(|part| part.pages)
}

/// The address of what a link in `file` leads to, `to` as it is written there; `None`: it is not served.
pub(super) fn address(base: &PathPrefix, file: &str, to: &str) -> Option<String> {
    let (path, anchor) = to.split_at(to.find('#').unwrap_or(to.len()));
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            ".." => parts.pop().map(|_| ())?,
            "." | "" => {}
            part => parts.push(part),
        }
    }
    let found = parts.join("/");
    let folder = format!("{found}/README.md");
    let page = pages().find(|page| page.file == found || page.file == folder)?;
    Some(format!("{base}{}{anchor}", page.path()))
}

/// The page at a path; `None`: there is none.
pub(in crate::web) fn page(links: Links<'_>, path: &str) -> Option<Result<String, askama::Error>> {
    let all: Vec<&Page> = pages().collect();
    let place = all.iter().position(|page| page.path() == path)?;
    let page = all.get(place)?;
    let text = Text::new(page.text, |to| address(links.base, page.file, to));
    let before = place.checked_sub(1).and_then(|before| all.get(before));
    let page = DocumentPage {
        base: links.base,
        links,
        assets: Assets::ALL,
        version: crate::build::VERSION,
        title: page.title,
        path,
        html: &text.html,
        sections: text.headings.iter().filter(|heading| heading.is_section).collect(),
        before: before.copied(),
        after: all.get(place + 1).copied(),
    };
    Some(page.render())
}

/// The list of all pages, with the sections that have all words of `search` where there are any.
pub(in crate::web) fn contents(links: Links<'_>, search: &str) -> Result<String, askama::Error> {
    let page = ContentsPage {
        base: links.base,
        links,
        assets: Assets::ALL,
        version: crate::build::VERSION,
        search,
        found: Found::new(search),
    };
    page.render()
}

#[derive(Template)]
#[template(path = "document.html", whitespace = "minimize")]
struct DocumentPage<'a> {
    base: &'a PathPrefix,
    links: Links<'a>,
    assets: Assets,
    version: &'static str,
    title: &'static str,
    path: &'a str,
    html: &'a str,
    sections: Vec<&'a Heading>,
    before: Option<&'static Page>,
    after: Option<&'static Page>,
}

#[derive(Template)]
#[template(path = "documents.html", whitespace = "minimize")]
struct ContentsPage<'a> {
    base: &'a PathPrefix,
    links: Links<'a>,
    assets: Assets,
    version: &'static str,
    search: &'a str,
    found: Found,
}

impl DocumentPage<'_> {
    fn is_here(&self, page: &Page) -> bool {
        page.path() == self.path
    }
}

/// A piece of a page that a search finds.
struct Section {
    page: &'static Page,
    heading: Option<Heading>,
    words: String,
    /// The words in lower case.
    lower: String,
}

/// All of them: read once, since reading all pages anew would hold up other answers.
static SECTIONS: LazyLock<Vec<Section>> = LazyLock::new(|| {
    let of_page = |page: &'static Page| {
        let section = move |(heading, words): (_, String)| Section {
            page,
            heading,
            lower: words.to_lowercase(),
            words,
        };
        markdown::sections(page.text).into_iter().map(section)
    };
    pages().flat_map(of_page).collect()
});

impl Section {
    /// What an address ends with that leads to it.
    fn anchor(&self) -> String {
        self.heading.as_ref().map(|heading| format!("#{}", heading.anchor)).unwrap_or_default()
    }

    fn title(&self) -> &str {
        self.heading.as_ref().map_or(self.page.title, |heading| &heading.words)
    }
}

/// What a search found.
#[derive(Default)]
struct Found {
    /// The sections that have all words, each with an excerpt, those with one in their heading first.
    shown: Vec<(&'static Section, String)>,
    /// How many have all words, shown or not.
    all: usize,
}

impl Found {
    fn new(search: &str) -> Self {
        let search: String = search.to_lowercase().chars().take(MOST_SEARCHED).collect();
        // Each once: what a search costs grows with the words.
        let words: BTreeSet<&str> = search.split_whitespace().collect();
        if words.is_empty() {
            return Self::default();
        }
        let has_all = |section: &&Section| words.iter().all(|word| section.lower.contains(word));
        let is_headed = |section: &&Section| {
            let title = section.title().to_lowercase();
            words.iter().any(|word| title.contains(word))
        };
        let (mut found, others): (Vec<_>, Vec<_>) =
            SECTIONS.iter().filter(has_all).partition(is_headed);
        found.extend(others);
        let all = found.len();
        let shown = found.into_iter().take(MOST_SHOWN);
        let shown = shown.map(|section| (section, excerpt(&section.words, &words))).collect();
        Self { shown, all }
    }
}

/// Some words around the first place that has one of those searched.
fn excerpt(text: &str, words: &BTreeSet<&str>) -> String {
    let all: Vec<&str> = text.split_whitespace().collect();
    let is_wanted = |word: &&str| {
        let word = word.to_lowercase();
        words.iter().any(|wanted| word.contains(wanted))
    };
    let first = all.iter().position(is_wanted).unwrap_or_default().saturating_sub(4);
    let mut excerpt = String::from(if first > 0 { "…" } else { "" });
    let mut length = 0;
    for word in all.iter().skip(first) {
        length += word.chars().count() + 1;
        if length > EXCERPT {
            excerpt.push('…');
            break;
        }
        excerpt.push_str(word);
        excerpt.push(' ');
    }
    excerpt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_has_an_address_of_its_own() {
        let addresses: BTreeSet<String> = pages().map(Page::path).collect();
        assert_eq!(addresses.len(), pages().count());
    }

    #[test]
    fn a_link_between_files_leads_to_the_page_that_is_served() {
        let base = &"/mail".parse().unwrap();
        for (file, to, expected) in [
            ("docs/pages.md", "limits.md", Some("/mail/docs/limits")),
            ("docs/pages.md", "../deploy/runbook.md#a", Some("/mail/runbook#a")),
            ("docs/pages.md", "../deploy", Some("/mail/docs/deploy")),
            ("docs/pages.md", "../README.md#b", Some("/mail/docs/readme#b")),
            ("deploy/README.md", "mixin/", Some("/mail/docs/deploy-mixin")),
            ("README.md", "docs/limits.md", Some("/mail/docs/limits")),
            ("docs/pages.md", "../mailtrip.example.yml", None),
            ("docs/pages.md", "../../etc/passwd", None),
        ] {
            assert_eq!(address(base, file, to).as_deref(), expected, "{file} {to}");
        }
    }

    #[test]
    fn a_search_finds_the_sections_that_have_all_words_and_those_in_headings_first() {
        let found = Found::new("File DESCRIPTORS");
        let (first, excerpt) = found.shown.first().unwrap();
        assert_eq!(
            (first.page.file, first.anchor().as_str()),
            ("docs/limits.md", "#file-descriptors")
        );
        assert!(excerpt.contains("descriptors"), "{excerpt}");
        assert!(found.all > 1 && found.all == found.shown.len());
        assert_eq!(Found::new("descriptors nosuchword").all, 0);
        let too_long = format!("descriptors {}nosuchword", " ".repeat(MOST_SEARCHED));
        assert_eq!(
            Found::new(&too_long).all,
            Found::new("descriptors").all,
            "what is beyond the longest search costs nothing"
        );
        assert_eq!(Found::new("a a a a a a a a nosuchword").all, 0);
        assert_eq!(Found::new(" ").all, 0);
        let common = Found::new("e");
        assert!(common.shown.len() == MOST_SHOWN && common.all > MOST_SHOWN);
    }

    #[test]
    fn an_excerpt_counts_characters() {
        let words = ["ä".repeat(79), "ö".repeat(79)];
        let kept = excerpt(&format!("{} {} end", words[0], words[1]), &BTreeSet::from(["ä"]));
        assert_eq!(kept, format!("{} {} …", words[0], words[1]));
    }
}
