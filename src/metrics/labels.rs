//! The labels of a series of a target: its name, those of the series, and the configured ones.

use std::fmt::{self, Write};

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
        write("target", target.name.as_str(), encoder)?;
        for (name, value) in self.own {
            write(name, value, encoder)?;
        }
        for (name, value) in &target.labels {
            write(name, value, encoder)?;
        }
        Ok(())
    }
}

/// Writes a label as the library does, in fewer steps where nothing is to be escaped: half of the time of a
/// scrape goes into labels.
fn write(name: &str, value: &str, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
    if value.bytes().any(|byte| matches!(byte, b'"' | b'\\' | b'\n')) {
        return (name, value).encode(encoder.encode_label());
    }
    let mut label = encoder.encode_label();
    // What is written as a key is written as it is.
    let mut text = label.encode_label_key()?;
    text.write_str(name)?;
    text.write_str("=\"")?;
    text.write_str(value)?;
    text.write_str("\"")
}
