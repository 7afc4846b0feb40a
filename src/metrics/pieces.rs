//! The text of a scrape, a piece at a time, so that it is never whole in memory.

use std::vec;

use super::ExporterFacts;
use super::page::{Page, Part, parts};
use crate::supervisor::Views;

/// A piece ends once it has this many bytes.
const PIECE: usize = 64 * 1024;

/// The room for one, with the last targets that begin within it.
const ROOM: usize = PIECE + PIECE / 4;

/// So many targets of a family are written before it is known how long their text is: some hundred bytes to
/// a few kilobytes each.
const TARGETS_AT_FIRST: usize = 32;

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// The text format of Prometheus, version 0.0.4.
    Classic,
}

/// The metrics of these targets, and of the exporter where its facts are given.
pub fn pieces(views: Views, exporter: Option<ExporterFacts>, syntax: Syntax) -> Pieces {
    let mut parts = parts(&views, exporter).into_iter();
    let part = parts.next();
    let page = Page::new(views);
    Pieces { page, part, parts, first: 0, of_each: None, syntax, is_at_end: false }
}

/// The text, in pieces of about 64 KiB. A family is whole before the next begins.
pub struct Pieces {
    page: Page,
    /// The part that is being written, and the number of its next target.
    part: Option<Part>,
    first: usize,
    /// How many bytes a target of it took, where that is known.
    of_each: Option<usize>,
    /// The parts that follow.
    parts: vec::IntoIter<Part>,
    syntax: Syntax,
    is_at_end: bool,
}

impl Iterator for Pieces {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut text = String::with_capacity(if self.page.is_long() { ROOM } else { 0 });
        while text.len() < PIECE && !self.is_at_end {
            self.append_to(&mut text);
        }
        (!text.is_empty()).then_some(text)
    }
}

impl Pieces {
    /// Adds a part of some targets, or the end.
    fn append_to(&mut self, text: &mut String) {
        let Some(part) = &self.part else {
            // The page may be large, and whoever waits for the end may take its time.
            self.page = Page::default();
            self.is_at_end = true;
            if self.syntax == Syntax::OpenMetrics {
                text.push_str("# EOF\n");
            }
            return;
        };
        let (is_first, begin) = (self.first == 0, text.len());
        let page = self.page.of(self.first, at_once(self.of_each, begin));
        let next = if part.is_of_exporter { None } else { page.next() };
        part.append_to(text, &page, self.syntax, is_first);
        self.first = next.unwrap_or(0);
        self.of_each = next.map(|_| (text.len() - begin) / page.len().max(1));
        if next.is_none() {
            self.part = self.parts.next();
        }
    }
}

/// How many targets fill a piece that has so many bytes, where each takes `of_each`.
fn at_once(of_each: Option<usize>, bytes: usize) -> usize {
    const MOST: usize = 4096;
    let fits = |of_each: usize| PIECE.saturating_sub(bytes) / of_each.max(1);
    of_each.map_or(TARGETS_AT_FIRST, |of_each| fits(of_each).clamp(1, MOST))
}
