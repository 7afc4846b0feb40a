//! The page of metrics as a list of parts, so that it can be written a part of it at a time.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;

use super::classic::classic_text;
use super::pieces::Syntax;
use super::{ExporterFacts, inspection, layers, targets};
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
type Write = dyn Fn(&Page, &mut DescriptorEncoder<'_>) -> fmt::Result + Send + Sync;

/// A part of the page that is written for some of the targets at a time.
#[derive(Clone)]
pub(super) struct Part {
    write: Arc<Write>,
    complete: Option<Complete>,
    /// It tells of no target, and may have several families.
    pub(super) is_of_exporter: bool,
}

/// Adds to the text of a family in OpenMetrics what the library cannot write.
type Complete = fn(&Page, &str) -> Result<String, fmt::Error>;

impl Part {
    /// The one family that `write` writes.
    pub(super) fn family(
        write: impl Fn(&Page, &mut DescriptorEncoder<'_>) -> fmt::Result + Send + Sync + 'static,
    ) -> Self {
        Self { write: Arc::new(write), complete: None, is_of_exporter: false }
    }

    /// The same part, whose text is completed by `complete` where it is OpenMetrics.
    pub(super) fn completed(self, complete: Complete) -> Self {
        Self { complete: Some(complete), ..self }
    }

    /// Adds the text of this part for the targets of `page` to `text`; `is_first` if none of them was
    /// written before.
    pub(super) fn append_to(
        &self,
        text: &mut String,
        page: &Page,
        syntax: Syntax,
        is_first: bool,
    ) -> fmt::Result {
        let mut registry = Registry::default();
        registry
            .register_collector(Box::new(PartOfPage { part: self.clone(), page: page.clone() }));
        let begin = text.len();
        encode_registry(text, &registry)?;
        let family = text.get(begin..).unwrap_or_default();
        let replaced = match (syntax, self.complete) {
            (Syntax::OpenMetrics, Some(complete)) => complete(page, family)?,
            // The samples are the same in both, and what they are of was said.
            (Syntax::Classic, _) if is_first => classic_text(family),
            _ => {
                if !is_first {
                    text.drain(begin..begin + header_length(family));
                }
                return Ok(());
            }
        };
        let skipped = if is_first { 0 } else { header_length(&replaced) };
        text.truncate(begin);
        text.push_str(replaced.get(skipped..).unwrap_or_default());
        Ok(())
    }
}

/// How many bytes the help, type and unit take that stand at the beginning of a family.
fn header_length(family: &str) -> usize {
    let lines = family.split_inclusive('\n').take_while(|line| line.starts_with("# "));
    lines.map(str::len).sum()
}

/// Every part of a page, in its order; those of the targets only if it has any.
pub(super) fn parts(has_targets: bool, exporter: Option<ExporterFacts>) -> Vec<Part> {
    let mut parts = Vec::new();
    if has_targets {
        parts.extend(targets::parts());
        parts.extend(inspection::parts());
        parts.extend(layers::parts());
        parts.extend(targets::infos());
    }
    parts.extend(exporter.map(|facts| Part {
        write: Arc::new(move |_, encoder| facts.encode(encoder)),
        complete: None,
        is_of_exporter: true,
    }));
    parts
}

struct PartOfPage {
    part: Part,
    page: Page,
}

impl fmt::Debug for PartOfPage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PartOfPage").finish_non_exhaustive()
    }
}

impl Collector for PartOfPage {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        (self.part.write)(&self.page, &mut encoder)
    }
}
