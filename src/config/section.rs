//! A map of the configuration as its reader sees it: a target's own keys over those of `defaults`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::problem::Problem;
use super::reference::Home;
use super::value;
use crate::config::yaml::{self, Entry, Node, Value, shown_key};

/// Which of two layers a key was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// `defaults`.
    Defaults,
    /// The target itself.
    Own,
}

/// Where something stands, for a problem.
#[derive(Debug, Clone)]
pub(super) struct Place<'a> {
    /// The file.
    pub(super) file: &'a Path,
    /// The line, from 1.
    pub(super) line: usize,
    /// The path of the key.
    pub(super) key: String,
}

impl Place<'_> {
    /// The same line, one key below.
    pub(super) fn child(&self, key: &str) -> Self {
        Self { key: yaml::join(&self.key, key), ..self.clone() }
    }

    /// What is wrong here.
    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem {
            file: self.file.to_path_buf(),
            line: Some(self.line),
            key: self.key.clone(),
            message: message.into(),
        }
    }

    /// The folder that relative paths in this file start from.
    pub(super) fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    /// `file:line`.
    pub(super) fn file_and_line(&self) -> String {
        format!("{}:{}", self.file.display(), self.line)
    }
}

/// The most problems that are kept, so that a hostile file cannot fill the memory.
const MAX_PROBLEMS: usize = 100_000;

/// The problems found so far; each once, however many targets inherit it.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: BTreeSet<Problem>,
    warnings: BTreeSet<Problem>,
}

impl Report {
    /// Takes one in. More than anyone corrects in one go are not kept.
    pub(super) fn add(&mut self, problem: Problem) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.insert(problem);
        }
    }

    /// Takes in what is no problem and yet worth a look.
    pub(super) fn warn(&mut self, warning: Problem) {
        if self.warnings.len() < MAX_PROBLEMS {
            self.warnings.insert(warning);
        }
    }

    /// Takes one in that concerns a whole file.
    pub(super) fn add_file(&mut self, file: &Path, message: String) {
        let file = PathBuf::from(file);
        self.add(Problem { file, line: None, key: String::new(), message });
    }

    /// The value, or `None` with the problem taken in.
    pub(super) fn accept<T>(&mut self, place: &Place<'_>, value: Result<T, String>) -> Option<T> {
        value.map_err(|message| self.add(place.problem(message))).ok()
    }

    /// Whether there was none.
    pub(super) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// All of them.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_iter().collect()
    }

    /// What is worth a look.
    pub(super) fn into_warnings(self) -> Vec<Problem> {
        self.warnings.into_iter().collect()
    }
}

/// A map that was written, and its place.
#[derive(Clone)]
pub(super) struct Layer<'a> {
    /// Where it stands.
    pub(super) place: Place<'a>,
    entries: &'a [Entry],
}

impl<'a> Layer<'a> {
    /// The map at `place`, or `None` with a problem taken in.
    pub(super) fn new(place: Place<'a>, node: &'a Node, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => Some(Self { place, entries }),
            _ if node.is_null() => {
                report.add(place.problem(value::NO_VALUE));
                None
            }
            Value::Scalar { .. } | Value::List(_) => {
                report.add(place.problem(format!("must be a map of keys, not {}", node.kind())));
                None
            }
        }
    }

    /// All entries, for a map whose keys are free.
    pub(super) fn entries(&self) -> impl Iterator<Item = (Place<'a>, &'a str, &'a Node)> + '_ {
        self.entries.iter().map(|entry| {
            let place = Place { line: entry.line, ..self.place.child(shown_key(&entry.key)) };
            (place, entry.key.as_ref(), entry.node.as_ref())
        })
    }

    fn find(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key.as_ref() == key)
    }

    fn check_keys(&self, home: Home, report: &mut Report) {
        let known = home.names();
        for (place, key, node) in self.entries() {
            // At the top of a file `x-` begins a place for anchors, as in other programs' files.
            let is_own = self.place.key.is_empty() && key.starts_with("x-");
            if is_own || known.contains(&key) {
                continue;
            }
            let advice = home.hint(key);
            let place = match &advice {
                // A word without a value may be a value, even a password, in the place of a key.
                None if node.is_null() => Place { line: place.line, ..self.place.child("?") },
                _ => place,
            };
            let advice =
                advice.unwrap_or_else(|| format!("the keys here are {}", known.join(", ")));
            let unseen = yaml::invisible(key).map(yaml::shown);
            let unseen = unseen.map(|unseen| format!("; {unseen} stands in it"));
            report.add(
                place.problem(format!("is not a key; {advice}{}", unseen.unwrap_or_default())),
            );
        }
    }
}

/// A key that was found.
#[derive(Clone)]
pub(super) struct Found<'a> {
    /// Where it stands.
    pub(super) place: Place<'a>,
    /// In which layer.
    pub(super) level: Level,
    /// Its value.
    pub(super) node: &'a Node,
}

/// A map of the configuration, its own layer over that of the defaults.
pub(super) struct Section<'a> {
    own: Option<Layer<'a>>,
    defaults: Option<Layer<'a>>,
    place: Place<'a>,
    partial: bool,
}

impl<'a> Section<'a> {
    /// A map over the defaults, if there are any.
    pub(super) fn over(own: Layer<'a>, defaults: Option<Layer<'a>>) -> Self {
        let place = own.place.clone();
        Self { own: Some(own), defaults, place, partial: false }
    }

    /// The defaults alone, to check them: nothing is missing there.
    pub(super) fn defaults_only(defaults: Layer<'a>) -> Self {
        let place = defaults.place.clone();
        Self { own: None, defaults: Some(defaults), place, partial: true }
    }

    /// Where the section stands, and where what it lacks is reported.
    pub(super) fn place(&self) -> &Place<'a> {
        &self.place
    }

    /// Whether keys may be missing: in the defaults, and in a map that is none.
    pub(super) fn is_partial(&self) -> bool {
        self.partial
    }

    /// Reports every unknown key of the own layer, of the defaults only where they stand alone.
    /// `hint` knows keys of other places.
    pub(super) fn check_keys(&self, home: Home, report: &mut Report) {
        let layer = if self.own.is_some() { &self.own } else { &self.defaults };
        if let Some(layer) = layer.as_ref().filter(|_| self.own.is_some() || self.partial) {
            layer.check_keys(home, report);
        }
    }

    /// The key, from the own layer or else from the defaults.
    pub(super) fn find(&self, key: &str) -> Option<Found<'a>> {
        self.find_in(Level::Own, key).or_else(|| self.find_in(Level::Defaults, key))
    }

    /// The key in one layer.
    pub(super) fn find_in(&self, level: Level, key: &str) -> Option<Found<'a>> {
        let layer = match level {
            Level::Own => self.own.as_ref(),
            Level::Defaults => self.defaults.as_ref(),
        }?;
        let entry = layer.find(key)?;
        let place = Place { line: entry.line, ..layer.place.child(key) };
        Some(Found { place, level, node: &entry.node })
    }

    /// The value of a key, `None` if it is not there or not good.
    pub(super) fn read<T>(
        &self,
        key: &str,
        report: &mut Report,
        read: impl FnOnce(&'a Node) -> Result<T, String>,
    ) -> Option<T> {
        let found = self.find(key)?;
        report.accept(&found.place, read(found.node).map_err(|message| unseen(found.node, message)))
    }

    /// The value of a key that must be there; `advice` says what to write.
    pub(super) fn require<T>(
        &self,
        key: &str,
        advice: &str,
        report: &mut Report,
        read: impl FnOnce(&'a Node) -> Result<T, String>,
    ) -> Option<T> {
        if self.find(key).is_none() {
            self.miss(key, advice, report);
        }
        self.read(key, report, read)
    }

    /// Reports that a key is missing.
    pub(super) fn miss(&self, key: &str, advice: &str, report: &mut Report) {
        if !self.partial {
            report.add(self.place.child(key).problem(format!("is missing: {advice}")));
        }
    }

    /// The map below a key; empty where it is not written. Its own layer is over the defaults'.
    pub(super) fn child(&self, key: &str, report: &mut Report) -> Section<'a> {
        let mut partial = self.partial;
        let mut layer = |level| {
            let found = self.find_in(level, key)?;
            let layer = Layer::new(found.place, found.node, report);
            partial |= layer.is_none();
            layer
        };
        let own = layer(Level::Own);
        let defaults = layer(Level::Defaults);
        let place = match (&own, self.partial, &defaults) {
            (Some(own), ..) => own.place.clone(),
            (None, true, Some(defaults)) => defaults.place.clone(),
            _ => self.place.child(key),
        };
        Section { own, defaults, place, partial }
    }

    /// The map below a key that may also be `true` or `false`; `None` if it is off or not written.
    /// The own layer decides, else the defaults; a map is on, over that of the defaults.
    pub(super) fn switch(&self, key: &str, report: &mut Report) -> Option<Section<'a>> {
        let mut is_on = None;
        let mut layer = |level| {
            let found = self.find_in(level, key)?;
            if let Value::Map(_) = found.node.value {
                is_on.get_or_insert(true);
                return Layer::new(found.place, found.node, report);
            }
            let written = report.accept(&found.place, value::boolean(found.node));
            is_on.get_or_insert(written.unwrap_or(false));
            None
        };
        let own = layer(Level::Own);
        let defaults = layer(Level::Defaults);
        let place = own.as_ref().map_or(self.place.child(key), |own| own.place.clone());
        let partial = self.partial;
        (is_on == Some(true)).then_some(Section { own, defaults, place, partial })
    }

    /// The entries of both layers, those of the defaults first.
    pub(super) fn entries(&self) -> impl Iterator<Item = (Place<'a>, &'a str, &'a Node)> + '_ {
        self.defaults.iter().chain(&self.own).flat_map(Layer::entries)
    }

    /// The items of a list with their places; `None` if the key is not there.
    pub(super) fn list(
        &self,
        key: &str,
        report: &mut Report,
    ) -> Option<Vec<(Place<'a>, &'a Node)>> {
        let found = self.find(key)?;
        items(&found, report)
    }
}

/// The items of a list with their places, or `None` with a problem taken in.
pub(super) fn items<'a>(
    found: &Found<'a>,
    report: &mut Report,
) -> Option<Vec<(Place<'a>, &'a Node)>> {
    let Value::List(nodes) = &found.node.value else {
        let message = match found.node.is_null() {
            true => value::NO_VALUE.to_owned(),
            false => format!("must be a list, as [a, b], not {}", found.node.kind()),
        };
        report.add(found.place.problem(message));
        return None;
    };
    let item = |(index, node): (usize, &'a Rc<Node>)| {
        let key = format!("{}[{index}]", found.place.key);
        (Place { file: found.place.file, line: node.line, key }, node.as_ref())
    };
    Some(nodes.iter().enumerate().map(item).collect())
}

/// The message, and which character that is not seen or not what it seems may be the reason. Secrets are
/// not read this way.
fn unseen(node: &Node, message: String) -> String {
    let Value::Scalar { text, .. } = &node.value else { return message };
    match yaml::invisible(text).map(yaml::shown) {
        Some(character) if !message.contains(&character) => {
            format!("{message}; it holds {character}")
        }
        None if yaml::opens_typographic_quote(text) && !message.contains("typographic") => {
            format!("{message}; it begins with a typographic quotation mark")
        }
        _ => message,
    }
}
