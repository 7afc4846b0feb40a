//! What the client prefers, by the headers Accept and Accept-Encoding (RFC 9110, section 12.5).

use crate::metrics::Syntax;

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// The text format of Prometheus, version 0.0.4.
    Text,
}

impl Format {
    /// Chooses by the header Accept (RFC 9110, section 12.5.1): OpenMetrics where the client asks
    /// for version 1.0.0 or 0.0.1, or for any, and prefers it to the text format; else text. A
    /// wildcard stands for the text format where that is not named, and loses a tie.
    pub fn negotiate(accept: Option<&str>) -> Self {
        let openmetrics = best_quality(accept, |range| range.is_openmetrics()).unwrap_or(0);
        let preferred = match best_quality(accept, |range| range.is_text()) {
            Some(text) => openmetrics > text,
            None => openmetrics >= best_quality(accept, |range| range.is_wildcard()).unwrap_or(0),
        };
        if preferred && openmetrics > 0 { Format::OpenMetrics } else { Format::Text }
    }

    /// How it is written.
    pub fn syntax(self) -> Syntax {
        match self {
            Format::OpenMetrics => Syntax::OpenMetrics,
            Format::Text => Syntax::Classic,
        }
    }

    /// The value of Content-Type.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The highest weight among the wanted members of a header; `None` if it has none of them.
pub(super) fn best_quality(
    header: Option<&str>,
    wanted: impl Fn(&MediaRange<'_>) -> bool,
) -> Option<u32> {
    let ranges = header?.split(',').map(MediaRange::parse);
    ranges.filter(wanted).map(|range| range.quality).max()
}

/// One member of Accept or Accept-Encoding.
pub(super) struct MediaRange<'a> {
    pub(super) name: &'a str,
    version: Option<&'a str>,
    /// The weight in thousandths, 0 to 1000.
    quality: u32,
}

impl<'a> MediaRange<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let mut range = Self { name, version: None, quality: 1000 };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            if key.trim().eq_ignore_ascii_case("version") {
                range.version = Some(value);
            } else if key.trim().eq_ignore_ascii_case("q") {
                range.quality = parse_quality(value);
            }
        }
        range
    }

    fn is_openmetrics(&self) -> bool {
        self.name.eq_ignore_ascii_case("application/openmetrics-text")
            && matches!(self.version, None | Some("1.0.0" | "0.0.1"))
    }

    fn is_text(&self) -> bool {
        self.name.eq_ignore_ascii_case("text/plain") && matches!(self.version, None | Some("0.0.4"))
    }

    fn is_wildcard(&self) -> bool {
        matches!(self.name, "*/*" | "text/*")
    }
}

/// A weight (RFC 9110, section 12.4.2); what is none counts as refused.
fn parse_quality(value: &str) -> u32 {
    match value.parse::<f32>() {
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1000.0).round() as u32,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
