//! What of a single value is written and no part of its text: anchors, tags and line ends.

use std::cell::Cell;

use saphyr_parser::{ScalarStyle, Span, Tag};

/// How a single value is written. The default is that of lists and maps, of which nothing is kept.
#[derive(Default)]
pub(crate) struct Form {
    /// Whether a tag changes it, or looks like a part of it.
    is_tagged: bool,
    /// Whether it stands behind an anchor and without quotes.
    is_anchored: bool,
    /// Whether an alias names it.
    is_aliased: Cell<bool>,
    /// Whether it goes over several lines, which were joined.
    is_joined: bool,
}

impl Form {
    /// Of a value with this text.
    pub(super) fn of(
        text: &str,
        style: ScalarStyle,
        is_anchored: bool,
        tag: Option<&Tag>,
        span: Span,
    ) -> Self {
        let is_plain = style == ScalarStyle::Plain;
        let lines = span.end.line().saturating_sub(span.start.line());
        let is_joined = match style {
            ScalarStyle::Literal => false,
            // It ends where the line behind it begins; empty ones between count.
            ScalarStyle::Folded => lines > 1 && text.contains(' '),
            _ => lines > 0,
        };
        Self {
            is_tagged: tag.is_some_and(|tag| is_plain || !is_string(tag)),
            is_anchored: is_plain && is_anchored,
            is_aliased: Cell::new(false),
            is_joined,
        }
    }

    /// An alias names the value.
    pub(super) fn alias(&self) {
        self.is_aliased.set(true);
    }

    /// Whether the writer may have meant another text, of which more stands there; to be asked once
    /// all of the document was read. An anchor that an alias names is meant as one.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.is_tagged || self.is_joined || self.is_anchored && !self.is_aliased.get()
    }
}

/// Whether it says that the value is a text, which each may be.
pub(super) fn is_string(tag: &Tag) -> bool {
    tag.is_yaml_core_schema() && tag.suffix == "str"
}
