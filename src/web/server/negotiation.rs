//! What the client prefers, by the headers Accept and Accept-Encoding (RFC 9110, section 12.5).

use crate::metrics::Syntax;

/// The format of an answer to a scrape: one that a client may ask for, and that is written here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics1(Escaping),
    /// OpenMetrics 0.0.1: the same text under the name that older clients ask for.
    OpenMetrics0,
    /// The text format of Prometheus, version 1.0.0: the same text as version 0.0.4 where no name
    /// has to be quoted, and none has.
    Text1(Escaping),
    /// The text format of Prometheus, version 0.0.4.
    Text0,
}

/// What has become of the names that are not made of letters, digits, underscores and colons only.
/// There is none, so that each is true of the same text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escaping {
    /// They are quoted.
    AllowUtf8,
    /// The other characters have become underscores.
    Underscores,
    /// The other characters have become their code points.
    Values,
}

impl Escaping {
    /// The scheme that a client asks for; `underscores` if none, as the rules say, or one that would
    /// change the names: `dots` doubles each underscore.
    fn asked(value: Option<&str>) -> Self {
        match value {
            // The second is how the negotiation page spells it.
            Some("allow-utf-8" | "allow-utf8") => Escaping::AllowUtf8,
            Some("values") => Escaping::Values,
            _ => Escaping::Underscores,
        }
    }
}

impl Format {
    /// Chooses by the header Accept, as the page of Prometheus on content negotiation says: the
    /// format with the highest weight, of equal ones the first; where there is none, text 0.0.4. A
    /// wildcard stands for text 0.0.4 where that is not named, and loses a tie.
    pub fn negotiate(accept: Option<&str>) -> Self {
        let mut best = None;
        for range in ranges(accept) {
            let quality = best.map_or(0, |(quality, _)| quality);
            if let Some(format) = Self::asked_by(&range).filter(|_| range.quality > quality) {
                best = Some((range.quality, format));
            }
        }
        let names_text = ranges(accept).any(|range| Self::asked_by(&range) == Some(Self::Text0));
        let any = best_quality(accept, |range| !names_text && range.is_wildcard()).unwrap_or(0);
        best.filter(|(quality, _)| *quality >= any).map_or(Self::Text0, |(_, format)| format)
    }

    /// The one format that a member of Accept means; none if it is not written here.
    fn asked_by(range: &MediaRange<'_>) -> Option<Self> {
        let is = |name: &str| range.name.eq_ignore_ascii_case(name);
        let escaping = Escaping::asked(range.escaping);
        if is("application/openmetrics-text") {
            match range.version {
                None | Some("1.0.0") => Some(Self::OpenMetrics1(escaping)),
                Some("0.0.1") => Some(Self::OpenMetrics0),
                Some(_) => None,
            }
        } else if is("text/plain") {
            match range.version {
                None | Some("0.0.4") => Some(Self::Text0),
                Some("1.0.0") => Some(Self::Text1(escaping)),
                Some(_) => None,
            }
        } else {
            None
        }
    }

    /// How it is written.
    pub fn syntax(self) -> Syntax {
        match self {
            Format::OpenMetrics1(_) | Format::OpenMetrics0 => Syntax::OpenMetrics,
            Format::Text1(_) | Format::Text0 => Syntax::Classic,
        }
    }

    /// The value of Content-Type.
    #[rustfmt::skip]
    pub fn content_type(self) -> &'static str {
        use Escaping::{AllowUtf8, Underscores, Values};
        match self {
            Format::OpenMetrics1(AllowUtf8) => "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            Format::OpenMetrics1(Underscores) => "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
            Format::OpenMetrics1(Values) => "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=values",
            Format::OpenMetrics0 => "application/openmetrics-text; version=0.0.1; charset=utf-8",
            Format::Text1(AllowUtf8) => "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            Format::Text1(Underscores) => "text/plain; version=1.0.0; charset=utf-8; escaping=underscores",
            Format::Text1(Values) => "text/plain; version=1.0.0; charset=utf-8; escaping=values",
            Format::Text0 => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The highest weight among the wanted members of a header; `None` if it has none of them.
pub(super) fn best_quality(
    header: Option<&str>,
    wanted: impl Fn(&MediaRange<'_>) -> bool,
) -> Option<u32> {
    ranges(header).filter(wanted).map(|range| range.quality).max()
}

/// The members of a header.
fn ranges(header: Option<&str>) -> impl Iterator<Item = MediaRange<'_>> {
    header.into_iter().flat_map(|header| header.split(',')).map(MediaRange::parse)
}

/// One member of Accept or Accept-Encoding.
pub(super) struct MediaRange<'a> {
    pub(super) name: &'a str,
    version: Option<&'a str>,
    escaping: Option<&'a str>,
    /// The weight in thousandths, 0 to 1000.
    quality: u32,
}

impl<'a> MediaRange<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let mut range = Self { name, version: None, escaping: None, quality: 1000 };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            let (key, value) = (key.trim(), value.trim().trim_matches('"'));
            if key.eq_ignore_ascii_case("version") {
                range.version = Some(value);
            } else if key.eq_ignore_ascii_case("escaping") {
                range.escaping = Some(value);
            } else if key.eq_ignore_ascii_case("q") {
                range.quality = parse_quality(value);
            }
        }
        range
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
