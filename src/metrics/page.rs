//! The page of metrics as a list of parts, so that it can be written a part of it at a time.

use std::ops::Range;

use super::family::Writer;
use super::pieces::Syntax;
use super::{
    ExporterFacts, expectation, inspection, layers, replies, standing, targets, test_mail, usual,
};
use crate::supervisor::{View, Views};

/// Some of the targets of a scrape, as they were when it began.
#[derive(Debug, Clone, Default)]
pub(super) struct Page {
    all: Views,
    range: Range<usize>,
}

impl Page {
    /// A page of no target of `all` yet.
    pub(super) fn new(all: Views) -> Self {
        Self { all, range: 0..0 }
    }

    /// Its targets.
    pub(super) fn views(&self) -> impl Iterator<Item = &View> {
        let views = self.all.get(self.range.clone()).unwrap_or_default();
        views.iter().map(|view| &**view)
    }

    /// How many targets it has.
    pub(super) fn len(&self) -> usize {
        self.range.len()
    }

    /// The page of at most `most` targets from number `first` on.
    pub(super) fn of(&self, first: usize, most: usize) -> Self {
        let end = self.all.len().min(first.saturating_add(most));
        Self { all: self.all.clone(), range: first.min(end)..end }
    }

    /// Whether there are targets that do not fit on it.
    pub(super) fn is_long(&self) -> bool {
        self.all.len() > self.range.len()
    }

    /// Where its range ends; `None` if that is the last target.
    pub(super) fn next(&self) -> Option<usize> {
        (self.range.end < self.all.len()).then_some(self.range.end)
    }
}

/// What writes one family for the targets of a page.
type Write = dyn Fn(&Page, &mut Writer<'_>) + Send + Sync;

/// A part of the page that is written for some of the targets at a time.
pub(super) struct Part {
    write: Box<Write>,
    /// It tells of no target, and may have several families.
    pub(super) is_of_exporter: bool,
}

impl Part {
    /// The one family that `write` writes.
    pub(super) fn family(write: impl Fn(&Page, &mut Writer<'_>) + Send + Sync + 'static) -> Self {
        Self { write: Box::new(write), is_of_exporter: false }
    }

    /// Adds the text of this part for the targets of `page` to `text`; `is_first` if none of them was
    /// written before.
    pub(super) fn append_to(&self, text: &mut String, page: &Page, syntax: Syntax, is_first: bool) {
        (self.write)(page, &mut Writer::new(text, syntax, is_first));
    }
}

/// Every part of a page, in its order; those of the targets only if there are any, and those of what few
/// targets want only if one of `all` wants it.
pub(super) fn parts(all: &Views, exporter: Option<ExporterFacts>) -> Vec<Part> {
    let mut parts = Vec::new();
    if !all.is_empty() {
        parts.extend(targets::parts());
        parts.extend(inspection::parts());
        parts.extend(usual::parts(all));
        parts.extend(test_mail::parts(all));
        parts.extend(replies::parts(all));
        parts.extend(layers::parts());
        parts.extend(expectation::parts(all));
        parts.extend(standing::parts(all));
        parts.extend(targets::infos());
    }
    parts.extend(exporter.map(|facts| Part {
        write: Box::new(move |_, writer| facts.encode(writer)),
        is_of_exporter: true,
    }));
    parts
}
