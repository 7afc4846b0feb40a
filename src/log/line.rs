//! One message as a line: `ts`, `level`, `caller` and `msg`, the keys of other exporters, then the fields.

use std::fmt::{self, Debug};
use std::path::Path;
use std::time::SystemTime;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::LogFormat;

/// Writes each message in this format.
pub(super) struct Lines(pub(super) LogFormat);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let pairs = pairs(event);
        let line = match self.0 {
            LogFormat::Logfmt => logfmt(&pairs),
            LogFormat::Json => json(&pairs),
        };
        writeln!(writer, "{line}")
    }
}

type Pair = (&'static str, Value);

fn pairs(event: &Event<'_>) -> Vec<Pair> {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let metadata = event.metadata();
    let time = humantime::format_rfc3339_millis(SystemTime::now());
    let mut pairs = vec![
        ("ts", Value::from(time.to_string())),
        ("level", Value::from(metadata.level().as_str().to_ascii_lowercase())),
    ];
    if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
        let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy();
        pairs.push(("caller", Value::from(format!("{name}:{line}"))));
    }
    pairs.extend(fields.message.map(|message| ("msg", message)));
    pairs.append(&mut fields.others);
    pairs
}

/// What a message says, and its fields in the order in which they are written.
#[derive(Default)]
struct Fields {
    message: Option<Value>,
    others: Vec<Pair>,
}

impl Fields {
    fn take(&mut self, field: &Field, value: impl Into<Value>) {
        match field.name() {
            "message" => self.message = Some(value.into()),
            name => self.others.push((name, value.into())),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, value);
    }
}

fn logfmt(pairs: &[Pair]) -> String {
    let pair = |(key, value): &Pair| match value {
        Value::String(text) if can_stand_bare(text) => format!("{key}={text}"),
        // A string in JSON is in quotes.
        value => format!("{key}={}", escaped(value)),
    };
    pairs.iter().map(pair).collect::<Vec<_>>().join(" ")
}

fn can_stand_bare(text: &str) -> bool {
    let is_bare = |c: char| c > ' ' && !c.is_control() && !matches!(c, '=' | '"' | '\\');
    !text.is_empty() && text.chars().all(is_bare)
}

fn json(pairs: &[Pair]) -> String {
    let pair = |(key, value): &Pair| format!("{}:{}", Value::from(*key), escaped(value));
    format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(","))
}

/// The value in JSON with every control character escaped: JSON itself lets those above U+007E stand, of which
/// some terminals take U+009B for the beginning of a command.
fn escaped(value: &Value) -> String {
    let mut escaped = String::new();
    for c in value.to_string().chars() {
        match c.is_control() {
            true => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => escaped.push(c),
        }
    }
    escaped
}
