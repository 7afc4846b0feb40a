//! What the exporter logs, as lines of the trace.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::trace::Trace;

/// Does `work`, with everything that is logged by it in the trace.
pub(crate) fn into_trace<T>(trace: &Trace, work: impl FnOnce() -> T) -> T {
    let lines =
        tracing_subscriber::registry().with(Lines(trace.clone()).with_filter(LevelFilter::INFO));
    tracing::subscriber::with_default(lines, work)
}

struct Lines(Trace);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        let mut line = Line(format!("    {level}"));
        event.record(&mut line);
        self.0.note(&line.0);
        if level == Level::ERROR {
            self.0.fail(&line.0);
        }
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            // Where the state lies is another place in each run.
            "path" => Ok(()),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
