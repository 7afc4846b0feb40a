//! A page of metrics, read.

use std::collections::BTreeMap;

use super::table::{Kind, Seen};

/// The series of one page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    /// By the name without labels.
    series: BTreeMap<String, Vec<Series>>,
}

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// The name with the labels, as it stands there.
    #[allow(dead_code, reason = "the soak compares pages by it")]
    pub(crate) key: String,
    labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

impl Series {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

impl Page {
    /// Reads the text format; what is no sample is left out.
    pub(crate) fn read(text: &str) -> Self {
        let mut page = Self::default();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        for series in lines.filter_map(series) {
            let name = series.key.split('{').next().unwrap_or_default().to_owned();
            page.series.entry(name).or_default().push(series);
        }
        page
    }

    /// The samples of one target under `name`, which lacks the `mailtrip_`.
    pub(crate) fn of<'a>(
        &'a self,
        target: &'a str,
        name: &'a str,
    ) -> impl Iterator<Item = &'a Series> {
        let named = self.series.get(&format!("mailtrip_{name}")).into_iter().flatten();
        named.filter(move |series| series.label("target") == Some(target))
    }

    /// The one of these; NaN without any.
    pub(crate) fn value(&self, target: &str, name: &str) -> f64 {
        self.of(target, name).next().map_or(f64::NAN, |series| series.value)
    }

    #[allow(dead_code, reason = "the soak compares pages")]
    pub(crate) fn all(&self) -> impl Iterator<Item = &Series> {
        self.series.values().flatten()
    }

    /// How many failures both sides of a target had.
    pub(crate) fn failures(&self, target: &str) -> f64 {
        self.of(target, "failures_total").map(|series| series.value).sum()
    }

    /// What is seen of a target whose server of this kind is the hostile one.
    pub(crate) fn seen(&self, target: &str, server: Kind) -> Seen {
        let text = |name: &str| self.value(target, name).to_string();
        let outstanding = self.value(target, "outstanding_messages");
        let accepted = self.value(target, "probes_accepted_total");
        let roundtrip = self.value(target, "roundtrip_minutes");
        Seen {
            send: text("send_ability_percent"),
            receive: text("receive_ability_percent"),
            outstanding: match outstanding {
                none if none.is_nan() => "NaN",
                0.0 => "0",
                all if all >= accepted => "all",
                _ => "some",
            }
            .to_owned(),
            roundtrip: if roundtrip.is_nan() { "NaN" } else { "measured" }.to_owned(),
            failures: self.failures_seen(target, server),
        }
    }

    /// Steps and reasons; those of the other side are named as such.
    fn failures_seen(&self, target: &str, server: Kind) -> String {
        let mut words = Vec::new();
        for label in ["step", "reason"] {
            for series in self.of(target, "failure_reasons_total") {
                let word = series.label(label).unwrap_or_default();
                let side = series.label("side").unwrap_or_default();
                let is_other = side != server.side().label();
                words.push(if is_other { format!("{side}: {word}") } else { word.to_owned() });
            }
        }
        words.dedup();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    }
}

fn series(line: &str) -> Option<Series> {
    let (key, value) = line.rsplit_once(' ')?;
    let (_, labels) = key.split_once('{').unwrap_or((key, ""));
    let labels = labels.trim_end_matches('}').split("\",").filter_map(|label| {
        let (name, value) = label.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('"').to_owned()))
    });
    Some(Series { key: key.to_owned(), labels: labels.collect(), value: value.parse().ok()? })
}
