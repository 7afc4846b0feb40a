//! Writing metric families, in both text formats.

use std::time::Duration;

use super::labels::SampleLabels;
use super::pieces::Syntax;
use super::timestamp;
use ledger::Exemplar;

/// Where families are written, and how.
pub(super) struct Writer<'a> {
    text: &'a mut String,
    syntax: Syntax,
    describes: bool,
}

impl<'a> Writer<'a> {
    /// One that adds to `text`. It `describes` families if it says what each is; else it writes samples only, of
    /// a family that was described before.
    pub(super) fn new(text: &'a mut String, syntax: Syntax, describes: bool) -> Self {
        Self { text, syntax, describes }
    }

    /// Says what a family is; `counted` is what the format for counters adds to its name.
    fn describe(&mut self, name: &str, counted: &str, help: &str, kind: &str) {
        let is_classic = self.syntax == Syntax::Classic;
        // There a family of counters is called as its samples are.
        let counted = if is_classic { counted } else { "" };
        self.text.extend(["# HELP ", name, counted, " ", help, "\n"]);
        self.text.extend(["# TYPE ", name, counted, " ", kind, "\n"]);
        if let Some(unit) = unit(name).filter(|_| !is_classic) {
            self.text.extend(["# UNIT ", name, " ", unit, "\n"]);
        }
    }
}

/// One metric family that is being written.
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl<'a> Family<'a> {
    pub(super) fn gauge(writer: &'a mut Writer<'_>, name: &'static str, help: &str) -> Self {
        if writer.describes {
            writer.describe(name, "", help, "gauge");
        }
        Self { text: writer.text, name }
    }

    /// `name` is the name of the samples, which ends with `_total`.
    pub(super) fn counter(writer: &'a mut Writer<'_>, name: &'static str, help: &str) -> Self {
        if writer.describes {
            let family = name.strip_suffix(TOTAL).unwrap_or(name);
            writer.describe(family, TOTAL, help, "counter");
        }
        Self { text: writer.text, name }
    }

    pub(super) fn gauge_sample(&mut self, labels: &(impl SampleLabels + ?Sized), value: f64) {
        self.text.push_str(self.name);
        self.text.push('{');
        labels.append_to(self.text);
        push_number(self.text, value);
        self.text.push('\n');
    }

    pub(super) fn counter_sample(&mut self, labels: &(impl SampleLabels + ?Sized), value: u64) {
        self.text.push_str(self.name);
        self.text.push('{');
        labels.append_to(self.text);
        push_count(self.text, value);
        self.text.push('\n');
    }

    /// The one sample of a family without labels.
    pub(super) fn single(self, value: f64) {
        self.text.extend([self.name, " "]);
        push_number(self.text, value);
        self.text.push('\n');
    }

    /// The one sample of a family of counters without labels.
    pub(super) fn single_count(self, value: u64) {
        self.text.extend([self.name, " "]);
        push_count(self.text, value);
        self.text.push('\n');
    }
}

/// A family of histograms that is being written.
pub(super) struct Histograms<'a> {
    text: &'a mut String,
    has_exemplars: bool,
    /// What the samples begin with: that of the sum, that of the count, those of the buckets.
    sum: String,
    count: String,
    buckets: Vec<String>,
}

impl<'a> Histograms<'a> {
    /// Those with buckets up to each of `bounds`, in seconds, and beyond the last.
    pub(super) fn new(
        writer: &'a mut Writer<'_>,
        name: &'static str,
        help: &str,
        bounds: &[f64],
    ) -> Self {
        if writer.describes {
            writer.describe(name, "", help, "histogram");
        }
        let bucket = |bound: &str| format!("{name}_bucket{{le=\"{bound}\",");
        let mut number = dtoa::Buffer::new();
        let finite = bounds.iter().map(|bound| bucket(number.format(*bound)));
        Self {
            has_exemplars: writer.syntax == Syntax::OpenMetrics,
            sum: format!("{name}_sum{{"),
            count: format!("{name}_count{{"),
            buckets: finite.chain([bucket("+Inf")]).collect(),
            text: writer.text,
        }
    }

    /// `counts` are those of the buckets, and `exemplar` finds the example for one of them.
    pub(super) fn sample<'e>(
        &mut self,
        labels: &(impl SampleLabels + ?Sized),
        counts: &[u64],
        sum: Duration,
        exemplar: impl Fn(usize) -> Option<&'e Exemplar>,
    ) {
        let text = &mut *self.text;
        text.push_str(&self.sum);
        labels.append_to(text);
        push_number(text, sum.as_secs_f64());
        text.extend(["\n", &self.count]);
        labels.append_to(text);
        push_count(text, counts.iter().sum());
        text.push('\n');
        let mut up_to_here = 0;
        for (index, (begin, count)) in self.buckets.iter().zip(counts).enumerate() {
            up_to_here += count;
            text.push_str(begin);
            labels.append_to(text);
            push_count(text, up_to_here);
            if let Some(exemplar) = exemplar(index).filter(|_| self.has_exemplars) {
                push_exemplar(text, exemplar);
            }
            text.push('\n');
        }
    }
}

const TOTAL: &str = "_total";

/// The words at the end of a name that are a unit.
const UNITS: [&str; 5] = ["seconds", "bytes", "percent", "minutes", "messages"];

/// The unit of a family by its name.
fn unit(name: &str) -> Option<&str> {
    let (_, last) = name.rsplit_once('_')?;
    UNITS.contains(&last).then_some(last)
}

fn push_count(text: &mut String, count: u64) {
    text.push_str(itoa::Buffer::new().format(count));
}

/// Writes a number with a point, as the shortest digits that mean it.
fn push_number(text: &mut String, number: f64) {
    /// Below it a number has no more digits than [`f64`] tells apart.
    const EXACT: f64 = 9e15;
    if number.is_sign_positive() && number < EXACT {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in its range")]
        let whole = number as u64;
        // Most numbers are whole, and written much faster so.
        #[expect(clippy::cast_precision_loss, reason = "it came from such a number")]
        if whole as f64 == number {
            push_count(text, whole);
            text.push_str(".0");
            return;
        }
    }
    text.push_str(dtoa::Buffer::new().format(number));
}

/// Writes the token of a mail that is an example for a bucket, its round trip, and when it was found.
fn push_exemplar(text: &mut String, exemplar: &Exemplar) {
    use std::fmt::Write as _;
    let (token, found) = (exemplar.token, timestamp(exemplar.found));
    let roundtrip = exemplar.roundtrip.as_secs_f64();
    // Writing to a string does not fail.
    let _ = write!(text, " # {{token=\"{token}\"}} {roundtrip} {found}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(number: f64) -> String {
        let mut text = String::new();
        push_number(&mut text, number);
        text
    }

    #[test]
    fn numbers_have_a_point_or_are_not_numbers() {
        for (number, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (100.0, "100.0"),
            (-1.0, "-1.0"),
            (0.1, "0.1"),
            (1_800_000_000.0, "1800000000.0"),
            (1_800_000_000.125, "1800000000.125"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(written(number), expected);
        }
    }

    proptest! {
        #[test]
        fn every_number_is_read_as_it_was(bits in any::<u64>(), whole in 0..1_u64 << 54) {
            for number in [f64::from_bits(bits), whole as f64, whole as f64 / 1024.0] {
                let text = written(number);
                let mut buffer = dtoa::Buffer::new();
                prop_assert_eq!(&text, buffer.format(number));
                let again: f64 = text.parse().unwrap();
                prop_assert!(again == number || (again.is_nan() && number.is_nan()), "{text}");
            }
        }
    }
}
