//! The labels of a series of a target: its name, those of the series, and the configured ones.

use std::fmt;

use prometheus_client::encoding::{EncodeLabel as _, EncodeLabelSet, LabelSetEncoder};

use crate::supervisor::View;

/// All labels of one series of a target.
#[derive(Clone, Copy)]
pub(super) struct Labels<'a, const N: usize> {
    view: &'a View,
    own: [(&'static str, &'a str); N],
}

/// Those of a series that has these of its own.
pub(super) fn labels<'a, const N: usize>(
    view: &'a View,
    own: [(&'static str, &'a str); N],
) -> Labels<'a, N> {
    Labels { view, own }
}

impl<const N: usize> EncodeLabelSet for Labels<'_, N> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let target = &self.view.target;
        ("target", target.name.as_str()).encode(encoder.encode_label())?;
        self.own.encode(encoder)?;
        for (name, value) in &target.labels {
            (name.as_str(), value.as_str()).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}
