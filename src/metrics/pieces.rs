//! The text of a scrape, a piece at a time, so that it is never whole in memory.

use std::vec;

use super::ExporterFacts;
use super::page::{Page, Part, parts};
use crate::supervisor::View;

/// A piece ends once it has this many bytes.
const PIECE: usize = 64 * 1024;

/// How many targets are written at once: some hundred bytes to a few kilobytes of a family each.
const TARGETS_AT_ONCE: usize = 32;

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// The text format of Prometheus, version 0.0.4.
    Classic,
}

/// The metrics of these targets, and of the exporter where its facts are given.
pub fn pieces(views: Vec<View>, exporter: Option<ExporterFacts>, syntax: Syntax) -> Pieces {
    let mut parts = parts(!views.is_empty(), exporter).into_iter();
    let part = parts.next();
    Pieces { page: Page::new(views), part, parts, first: 0, syntax, is_at_end: false }
}

/// The text, in pieces of about 64 KiB. A family is whole before the next begins.
pub struct Pieces {
    page: Page,
    /// The part that is being written, and the number of its next target.
    part: Option<Part>,
    first: usize,
    /// The parts that follow.
    parts: vec::IntoIter<Part>,
    syntax: Syntax,
    is_at_end: bool,
}

impl Iterator for Pieces {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut text = String::new();
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
        let page = self.page.of(self.first, TARGETS_AT_ONCE);
        let next = if part.is_of_exporter { None } else { page.next() };
        // Writing to a string does not fail, and the page holds no histogram without buckets.
        let written = part.text(&page, self.syntax).unwrap_or_default();
        text.push_str(if self.first == 0 { &written } else { without_header(&written) });
        self.first = next.unwrap_or(0);
        if next.is_none() {
            self.part = self.parts.next();
        }
    }
}

/// The samples of a family without its help, type and unit, which stand at its beginning.
fn without_header(family: &str) -> &str {
    let mut samples = family;
    while let Some((line, rest)) = samples.split_once('\n')
        && line.starts_with("# ")
    {
        samples = rest;
    }
    samples
}
