//! What `check` prints: each target and warning while they are few or all are asked for, else what many
//! have in common; at the end one line.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::Config;

/// More targets than this are counted and not listed.
const MANY_TARGETS: usize = 20;

/// More warnings than this are counted, where they are not all asked for.
const MANY_WARNINGS: usize = 20;

/// So many of the targets with the same warning are named.
const NAMED: usize = 3;

/// What is said of a configuration that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// What will be probed, one line a target; none of many.
    pub targets: Vec<String>,
    /// What is worth a look.
    pub warnings: Vec<String>,
    /// The last line.
    pub summary: String,
}

impl Findings {
    /// Those of the configuration in `file`, with these warnings; all of them if `verbose`.
    pub fn of(file: &Path, config: &Config, warnings: Vec<String>, verbose: bool) -> Self {
        let is_short = !verbose && config.targets.len() > MANY_TARGETS;
        let counts = format!(
            "{}, {}",
            counted(config.targets.len(), "target"),
            counted(warnings.len(), "warning")
        );
        let way = if is_short { "; `check --verbose` lists all of them" } else { "" };
        Self {
            targets: if is_short { Vec::new() } else { config.describe() },
            warnings: if is_short { in_short(warnings) } else { warnings },
            summary: format!("{} is good: {counts}{way}", file.display()),
        }
    }
}

/// The last line where something is wrong: `problems` has one a line.
pub fn summary_of_problems(problems: &str) -> String {
    format!(
        "{}; the exporter does not start with this configuration",
        counted(problems.lines().count(), "problem")
    )
}

/// Each warning once, with the targets that it is for.
fn in_short(warnings: Vec<String>) -> Vec<String> {
    let mut order = Vec::new();
    let mut targets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for warning in warnings {
        let of_target = warning.strip_prefix("target `").and_then(|rest| rest.split_once("`: "));
        let (name, message) = match of_target {
            Some((name, message)) => (Some(name.to_owned()), message.to_owned()),
            None => (None, warning),
        };
        if !targets.contains_key(&message) {
            order.push(message.clone());
        }
        targets.entry(message).or_default().extend(name);
    }
    let left = order.len().saturating_sub(MANY_WARNINGS);
    let listed = order.into_iter().take(MANY_WARNINGS).map(|message| {
        let names = targets.remove(&message).unwrap_or_default();
        format!("{}{message}", of_targets(&names))
    });
    let more = (left > 0).then(|| format!("and {left} more"));
    listed.chain(more).collect()
}

/// For whom a warning is, before it.
fn of_targets(names: &[String]) -> String {
    let named: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    let named = named.join(", ");
    match names.len() {
        0 => String::new(),
        1 => format!("target {named}: "),
        count if count <= NAMED => format!("targets {named}: "),
        count => format!("{count} targets, among them {named}: "),
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(targets: usize, more: &str) -> Config {
        let mut text = "targets:\n".to_owned();
        for number in 0..targets {
            text += &format!(
                "- {{name: t{number}, host: h.example, from: a@b.example, to: a@b.example, {more} \
                 receive: {{protocol: imap, username: u{number}, password: hunter2}}}}\n"
            );
        }
        Config::parse(&text, Path::new("mailtrip.yml")).unwrap()
    }

    fn findings(config: &Config, verbose: bool) -> Findings {
        Findings::of(Path::new("mailtrip.yml"), config, config.warnings(), verbose)
    }

    #[test]
    fn few_targets_are_listed_and_the_last_line_counts() {
        let said = findings(&config(20, ""), false);
        assert_eq!(said.targets.len(), 20);
        assert_eq!(said.summary, "mailtrip.yml is good: 20 targets, no warnings");
        let said = findings(&config(1, "interval: 2d,"), false);
        assert_eq!(said.summary, "mailtrip.yml is good: 1 target, no warnings");
    }

    #[test]
    fn of_many_targets_is_told_what_they_have_in_common_unless_each_is_asked_for() {
        let config = config(500, "lost_after: 1m, late_after: 1m,");
        let early =
            "`lost_after` is shorter than `interval`: a mail is given up before the next is sent";
        let said = findings(&config, false);
        assert_eq!(said.targets, [""; 0]);
        assert_eq!(said.warnings, [format!("500 targets, among them `t0`, `t1`, `t10`: {early}")]);
        let way = "; `check --verbose` lists all of them";
        assert_eq!(said.summary, format!("mailtrip.yml is good: 500 targets, 500 warnings{way}"));
        let all = findings(&config, true);
        assert_eq!((all.targets.len(), all.warnings.len()), (500, 500));
        assert_eq!(all.summary, "mailtrip.yml is good: 500 targets, 500 warnings");
    }

    #[test]
    fn different_warnings_stay_apart_up_to_a_bound() {
        let of = |number: usize| format!("target `a`: number {number}");
        let two =
            ["target `a`: same".to_owned(), "of all".to_owned(), "target `b`: same".to_owned()];
        assert_eq!(in_short(two.to_vec()), ["targets `a`, `b`: same", "of all"]);
        let said = in_short((0..25).map(of).collect());
        assert_eq!((said.len(), said.last().map(String::as_str)), (21, Some("and 5 more")));
    }

    #[test]
    fn problems_are_counted() {
        let said = summary_of_problems("a.yml:1: b\na.yml:2: c");
        assert_eq!(said, "2 problems; the exporter does not start with this configuration");
    }
}
