//! The form in which metrics leave: OpenMetrics or the classic text format, as it is or gzipped.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};

use super::message::Response;
use mail::threads;

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

    /// The value of Content-Type.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The answer to a scrape: `openmetrics`, as prometheus-client writes it, in the format that the
/// header Accept of the request prefers.
pub fn metrics_response(accept: Option<&str>, openmetrics: String) -> Response {
    let format = Format::negotiate(accept);
    let body = match format {
        Format::OpenMetrics => openmetrics,
        Format::Text => classic_text(&openmetrics),
    };
    Response::new(StatusCode::OK, format.content_type(), body)
}

/// Turns the OpenMetrics text of prometheus-client into the text format 0.0.4: no units, no end
/// mark, no exemplars, no `_created` samples; the family of a counter is called as its samples
/// are, and types that the format does not have become `gauge` or `untyped`.
pub fn classic_text(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut family = Family::default();
    for line in openmetrics.split_terminator('\n') {
        if let Some(comment) = line.strip_prefix("# ") {
            family.comment(comment, &mut text);
        } else if !family.is_creation_time(line) {
            text.push_str(without_exemplar(line));
            text.push('\n');
        }
    }
    text
}

/// Bodies below this many bytes are sent as they are.
const COMPRESS_FROM: usize = 1024;

/// Bodies from this many bytes on are compressed on a thread that may block: about 3 ms of work.
const COMPRESS_ASIDE_FROM: usize = 256 * 1024;

/// Compresses the body where `accept_encoding` allows gzip and the body is worth it.
pub(in crate::web) async fn compress(
    mut response: Response,
    accept_encoding: Option<&str>,
) -> Response {
    if response.body.len() <= COMPRESS_FROM
        || response.headers.contains_key(header::CONTENT_ENCODING)
        || !accepts_gzip(accept_encoding)
    {
        return response;
    }
    let compressed = if response.body.len() <= COMPRESS_ASIDE_FROM {
        gzip(&response.body).ok()
    } else {
        let body = response.body.clone();
        // Without a thread the body goes as it is.
        threads::run(move || gzip(&body)).await.ok().and_then(Result::ok)
    };
    if let Some(compressed) = compressed {
        response.body = compressed;
        response.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn gzip(body: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish().map(Bytes::from)
}

/// Whether the header Accept-Encoding allows gzip (RFC 9110, section 12.5.3).
fn accepts_gzip(accept_encoding: Option<&str>) -> bool {
    let named = best_quality(accept_encoding, |coding| {
        ["gzip", "x-gzip"].iter().any(|name| coding.name.eq_ignore_ascii_case(name))
    });
    named.or_else(|| best_quality(accept_encoding, |coding| coding.name == "*")).unwrap_or(0) > 0
}

/// The highest weight among the wanted members of a header; `None` if it has none of them.
fn best_quality(header: Option<&str>, wanted: impl Fn(&MediaRange<'_>) -> bool) -> Option<u32> {
    let ranges = header?.split(',').map(MediaRange::parse);
    ranges.filter(wanted).map(|range| range.quality).max()
}

/// One member of Accept or Accept-Encoding.
struct MediaRange<'a> {
    name: &'a str,
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

/// The family whose samples are being read.
#[derive(Default)]
struct Family<'a> {
    name: &'a str,
    kind: &'a str,
    help: Option<&'a str>,
}

impl<'a> Family<'a> {
    /// Takes one line of metadata, without its `# `. The help comes before the type, which decides
    /// the name that both carry.
    fn comment(&mut self, comment: &'a str, text: &mut String) {
        let mut words = comment.splitn(3, ' ');
        match (words.next(), words.next(), words.next().unwrap_or_default()) {
            (Some("HELP"), Some(_), help) => self.help = Some(help),
            (Some("TYPE"), Some(name), kind) => {
                self.name = name;
                self.kind = kind;
                self.write_metadata(text);
            }
            _ => {}
        }
    }

    fn write_metadata(&mut self, text: &mut String) {
        let (suffix, kind) = match self.kind {
            "counter" => ("_total", "counter"),
            "info" => ("_info", "gauge"),
            "stateset" => ("", "gauge"),
            "gauge" | "histogram" | "summary" => ("", self.kind),
            _ => ("", "untyped"),
        };
        if let Some(help) = self.help.take() {
            text.extend(["# HELP ", self.name, suffix, " ", help, "\n"]);
        }
        text.extend(["# TYPE ", self.name, suffix, " ", kind, "\n"]);
    }

    /// Whether `sample` says when a series of this family began.
    fn is_creation_time(&self, sample: &str) -> bool {
        matches!(self.kind, "counter" | "histogram" | "summary")
            && sample
                .strip_prefix(self.name)
                .and_then(|rest| rest.strip_prefix("_created"))
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
    }
}

/// The sample without what follows ` # ` after its value. A `#` in a label value is no mark.
fn without_exemplar(sample: &str) -> &str {
    if !sample.contains('#') {
        return sample;
    }
    let (labels, value) = sample.split_at_checked(end_of_labels(sample)).unwrap_or((sample, ""));
    match value.find(" # ") {
        Some(end) => sample.get(..labels.len() + end).unwrap_or(sample),
        None => sample,
    }
}

/// The index after the name and labels of a sample.
fn end_of_labels(sample: &str) -> usize {
    let mut in_quotes = false;
    let mut escaped = false;
    let mut in_labels = false;
    for (index, byte) in sample.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_quotes => escaped = true,
            b'"' => in_quotes = !in_quotes,
            _ if in_quotes => {}
            b'{' => in_labels = true,
            b'}' => return index + 1,
            b' ' if !in_labels => return index,
            _ => {}
        }
    }
    sample.len()
}

#[cfg(test)]
mod tests;
