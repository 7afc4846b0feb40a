//! The text format of Prometheus, version 0.0.4, made of what prometheus-client writes.

/// Turns the OpenMetrics text of prometheus-client into the text format 0.0.4: no units, no end
/// mark, no `_created` samples; the family of a counter is called as its samples
/// are, and types that the format does not have become `gauge` or `untyped`.
pub fn classic_text(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut family = Family::default();
    for line in openmetrics.split_terminator('\n') {
        if let Some(comment) = line.strip_prefix("# ") {
            family.comment(comment, &mut text);
        } else if !family.is_creation_time(line) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
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

#[cfg(test)]
mod tests;
