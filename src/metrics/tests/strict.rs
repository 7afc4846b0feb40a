//! A reader of OpenMetrics 1.0.0 that forgives nothing, written by its specification.

use std::collections::{BTreeMap, HashSet};

/// One family as its metadata and samples tell.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) kind: String,
    pub(super) unit: Option<String>,
    pub(super) samples: Vec<Sample>,
}

/// The labels, the value and the time of an exemplar.
pub(super) type Exemplar = (Vec<(String, String)>, f64, f64);

/// One line with a value.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: String,
    /// What follows ` # `.
    pub(super) exemplar: Option<Exemplar>,
}

/// The families by name.
///
/// # Panics
/// If the page breaks a rule.
pub(super) fn read(page: &str) -> BTreeMap<String, Family> {
    let page = page.strip_suffix("# EOF\n").expect("it ends with EOF");
    let mut families = BTreeMap::<String, Family>::new();
    let mut current = String::new();
    let mut series = HashSet::new();
    for line in page.split_terminator('\n') {
        if let Some(metadata) = line.strip_prefix("# ") {
            let mut words = metadata.splitn(3, ' ');
            let (what, name) = (words.next().unwrap(), words.next().unwrap());
            let text = words.next().unwrap();
            if what == "HELP" {
                let is_new = families.insert(name.to_owned(), Family::default()).is_none();
                assert!(is_new, "{name} comes twice");
                name.clone_into(&mut current);
            }
            assert_eq!(name, current, "{line}");
            let family = families.get_mut(name).unwrap();
            assert!(family.samples.is_empty(), "{line} comes after samples");
            match what {
                "HELP" => {}
                "TYPE" => text.clone_into(&mut family.kind),
                "UNIT" => family.unit = Some(text.to_owned()),
                _ => panic!("{line}"),
            }
        } else {
            let family = families.get_mut(&current).unwrap();
            let (name, sample) = read_sample(line);
            let suffix = name.strip_prefix(&current).unwrap_or_else(|| panic!("{line}"));
            let is_right = match family.kind.as_str() {
                "gauge" => suffix.is_empty(),
                "counter" => suffix == "_total",
                "histogram" => matches!(suffix, "_sum" | "_count" | "_bucket"),
                kind => panic!("{kind} is not used here"),
            };
            assert!(is_right, "{line} in a {}", family.kind);
            assert!(series.insert(format!("{name}{:?}", sample.labels)), "{line} comes twice");
            assert!(sample.exemplar.is_none() || suffix == "_bucket", "{line}");
            family.samples.push(sample);
        }
    }
    families
}

fn read_sample(line: &str) -> (&str, Sample) {
    let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
    let (labels, rest) = read_labels(rest);
    let (value, exemplar) = match rest.strip_prefix(' ').unwrap().split_once(" # ") {
        Some((value, exemplar)) => (value, Some(read_exemplar(exemplar))),
        None => (rest.strip_prefix(' ').unwrap(), None),
    };
    assert!(value == "NaN" || value == "+Inf" || value.parse::<f64>().unwrap().is_finite());
    (name, Sample { labels, value: value.to_owned(), exemplar })
}

fn read_exemplar(text: &str) -> Exemplar {
    let (labels, rest) = read_labels(text);
    let characters: usize =
        labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
    assert!(characters <= 128, "{text}");
    let (value, time) = rest.strip_prefix(' ').unwrap().split_once(' ').unwrap();
    (labels, value.parse().unwrap(), time.parse().unwrap())
}

/// The labels at the beginning, and what follows them.
fn read_labels(text: &str) -> (Vec<(String, String)>, &str) {
    let Some(mut rest) = text.strip_prefix('{') else { return (Vec::new(), text) };
    let mut labels = Vec::new();
    while let Some((name, after)) = rest.split_once("=\"") {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        assert!(!name.is_empty() && name.chars().all(is_name), "{text}");
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().expect("the value ends") {
                (at, '"') => break at,
                (_, '\\') => value.push(match characters.next().unwrap().1 {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    other => panic!("\\{other} in {text}"),
                }),
                (_, character) => value.push(character),
            }
        };
        labels.push((name.to_owned(), value));
        rest = &after[end + 1..];
        match rest.split_at(1) {
            (",", next) => rest = next,
            ("}", next) => return (labels, next),
            _ => panic!("{text}"),
        }
    }
    panic!("{text}")
}
