//! The log: messages of this program to standard error, as logfmt or JSON.

use clap::{Args, ValueEnum};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

use line::Lines;

mod line;

/// The flags that start with `--log.`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Log {
    /// The least important messages that are logged
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info", global = true)]
    pub level: LogLevel,

    /// How messages are written
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "logfmt", global = true)]
    pub format: LogFormat,
}

/// `--log.level`: messages of this level and above are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What the exporter could not do
    Error,
    /// What needs a look soon
    Warn,
    /// Starts, reloads, and servers that go up or down
    Info,
    /// Each probe
    Debug,
    /// Each step of a probe
    Trace,
}

/// `--log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// key=value pairs
    Logfmt,
    /// One JSON object a line
    Json,
}

/// Logs to standard error from now on, once in a process.
///
/// # Errors
///
/// Something has taken over the log already.
pub fn init(log: Log) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
    tracing::subscriber::set_global_default(subscriber(log, std::io::stderr))
}

fn subscriber<W>(log: Log, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer();
    let layer = layer.with_ansi(false).event_format(Lines(log.format)).with_writer(writer);
    Registry::default().with(layer.with_filter(filter(log.level)))
}

/// This program down to `level`; its libraries down to warnings, since what they say below that is
/// about bytes and may hold passwords.
fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let ours =
        [env!("CARGO_PKG_NAME"), "mail::", "ledger::", "testserver::"].map(|name| (name, level));
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_targets(ours)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: LogLevel, format: LogFormat, events: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let log = Log { level, format };
        tracing::subscriber::with_default(subscriber(log, move || writer.clone()), events);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// Logs a message, and says where.
    fn message() -> String {
        tracing::warn!(side = "send", none = "", count = 3, share = 0.5, "cannot send");
        format!("log.rs:{}", line!() - 1)
    }

    #[test]
    fn a_message_is_one_line_of_pairs_in_the_order_of_other_exporters() {
        let mut caller = String::new();
        let text = logged(LogLevel::Info, LogFormat::Logfmt, || caller = message());
        let (time, rest) = text.strip_prefix("ts=").unwrap().split_once(' ').unwrap();
        let since = humantime::parse_rfc3339(time).unwrap().elapsed().unwrap();
        assert!(since < std::time::Duration::from_secs(600) && time.len() == 24, "{time}");
        let expected = format!(
            "level=warn caller={caller} msg=\"cannot send\" side=send none=\"\" count=3 share=0.5\n"
        );
        assert_eq!(rest, expected);
    }

    #[test]
    fn a_message_is_one_object_in_json() {
        let mut caller = String::new();
        let text = logged(LogLevel::Info, LogFormat::Json, || caller = message());
        let rest = text.strip_prefix("{\"ts\":\"").unwrap().split_once("\",").unwrap().1;
        let expected = format!(
            "\"level\":\"warn\",\"caller\":\"{caller}\",\"msg\":\"cannot send\",\"side\":\"send\",\
             \"none\":\"\",\"count\":3,\"share\":0.5}}\n"
        );
        assert_eq!(rest, expected);
    }

    #[test]
    fn what_a_field_holds_begins_no_line_and_no_pair() {
        for format in [LogFormat::Logfmt, LogFormat::Json] {
            let error = "a \"b\"\nc=\x1b[31m\x7f\u{9b}2J";
            let text = logged(LogLevel::Info, format, || tracing::info!(error, "c"));
            assert_eq!(text.lines().count(), 1, "{text}");
            let shown = r#""a \"b\"\nc=\u001b[31m\u007f\u009b2J""#;
            assert!(text.contains(shown), "{text}");
            assert!(!text.trim_end().contains(char::is_control), "{text}");
        }
    }

    #[test]
    fn libraries_speak_from_warnings_up_at_every_level() {
        let events = || {
            tracing::warn!(target: "hyper", "library warning");
            tracing::info!(target: "hyper::proto", "library info");
            tracing::info!(target: "mail_parser", "library with a name that begins as one of ours");
            tracing::error!(target: "mailtrip_exporter::web::server", "our error");
            tracing::debug!(target: "mailtrip_exporter::web::server", "our debug");
            tracing::trace!(target: "mail::shortage::news", "our trace");
        };
        for (level, expected) in [
            (LogLevel::Error, vec!["our error"]),
            (LogLevel::Warn, vec!["library warning", "our error"]),
            (LogLevel::Info, vec!["library warning", "our error"]),
            (LogLevel::Debug, vec!["library warning", "our error", "our debug"]),
            (LogLevel::Trace, vec!["library warning", "our error", "our debug", "our trace"]),
        ] {
            let text = logged(level, LogFormat::Logfmt, events);
            assert_eq!(text.lines().count(), expected.len(), "{level:?}: {text}");
            for (line, message) in text.lines().zip(expected) {
                assert!(line.contains(message), "{level:?}: {text}");
            }
        }
    }
}
