//! The labels of a series: of a target its name, those of the series, and the configured ones.

use crate::config::push_label;
use crate::supervisor::View;

/// The labels of a sample.
pub(super) trait SampleLabels {
    /// Writes them, the brace that closes them, and a space.
    fn append_to(&self, text: &mut String);
}

/// All labels of one series of a target.
#[derive(Clone, Copy)]
pub(super) struct Labels<'a, const N: usize> {
    of_target: (&'a str, &'a str),
    own: [(&'static str, &'a str); N],
}

/// Those of a series that has these of its own.
pub(super) fn labels<'a, const N: usize>(
    view: &'a View,
    own: [(&'static str, &'a str); N],
) -> Labels<'a, N> {
    Labels { of_target: view.target.series_labels(), own }
}

impl<const N: usize> SampleLabels for Labels<'_, N> {
    fn append_to(&self, text: &mut String) {
        let (begin, end) = self.of_target;
        text.push_str(begin);
        for (name, value) in self.own {
            text.push(',');
            push_label(text, name, value);
        }
        text.push_str(end);
    }
}

/// Those of a series of the exporter, at least one.
impl SampleLabels for [(&str, &str)] {
    fn append_to(&self, text: &mut String) {
        for (number, (name, value)) in self.iter().enumerate() {
            if number > 0 {
                text.push(',');
            }
            push_label(text, name, value);
        }
        text.push_str("} ");
    }
}
