//! From the YAML as written to a [`Config`]: the main file, the files it includes, and what all of
//! them name. Nothing stops at the first problem.
//!
//! Relative paths of secrets, certificates and includes start from the folder of the file that
//! names them; a relative `state_dir` starts from the working directory of the process.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::problem::{MISSING_AS_IS, NO_TARGETS};
use super::reference::Home;
use super::section::{Layer, Place, Report, Section};
use super::source::{self, Environment, Sources, Unreadable};
use super::{
    Config, Inputs, LOCATION, MailboxId, Problem, Problems, ReceiveSide, Target, TargetName,
    labels, target, value,
};
use crate::config::yaml::{self, Node, Value};

pub(super) const DEFAULT_STATE_DIR: &str = "./mailtrip-state";
/// How many probes may run at one time.
pub(super) const CONCURRENT_PROBES: RangeInclusive<u32> = 1..=100_000;
/// So many for each core, where nothing is said.
pub(super) const PROBES_A_CORE: u32 = 100;

impl Config {
    /// Reads a configuration file, the files it includes, and every secret and certificate that
    /// they name. It may come through a pipe, for ten seconds at most: then relative paths start from
    /// the working directory.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn load(path: &Path) -> Result<Config, Problems> {
        let mut inputs = Inputs::default();
        inputs.note_file(path);
        match source::read_main(path) {
            Ok((text, false)) => read(&text, path, &environment, inputs),
            Ok((text, true)) => read(&text, Path::new(name_of_pipe(path)), &environment, inputs),
            Err(unreadable) => Err(whole_file(path, unreadable, inputs)),
        }
    }

    /// The first of these two files that there is, and what it holds: see [`Config::load`]. One that cannot be
    /// looked for is one that there is.
    ///
    /// # Errors
    /// Those of it; and that there is neither.
    pub fn load_first<'a>(here: &'a Path, else_: &'a Path) -> (&'a Path, Result<Config, Problems>) {
        let is_missing = |path: &Path| matches!(path.try_exists(), Ok(false));
        match (is_missing(here), is_missing(else_)) {
            (true, false) => (else_, Config::load(else_)),
            (true, true) => {
                let mut inputs = Inputs::default();
                inputs.note_file(here);
                let message = format!("{MISSING_AS_IS}{}", else_.display());
                (here, Err(whole_file(here, Unreadable { line: None, message }, inputs)))
            }
            (false, _) => (here, Config::load(here)),
        }
    }

    /// Reads it again, as [`Config::load`] did.
    ///
    /// # Errors
    /// Those of it; and that what came through a pipe is gone.
    pub fn load_again(path: &Path) -> Result<Config, Problems> {
        let mut inputs = Inputs::default();
        inputs.note_file(path);
        if source::is_pipe(path) {
            let message = "is a pipe and cannot be read again: to reload, name a file in \
                           --config.file and restart"
                .to_owned();
            return Err(whole_file(path, Unreadable { line: None, message }, inputs));
        }
        match source::read_yaml(path) {
            Ok(text) => read(&text, path, &environment, inputs),
            Err(unreadable) => Err(whole_file(path, unreadable, inputs)),
        }
    }

    /// The same with the text of the main file from memory; `path` is its name in problems, and
    /// its folder is where relative paths start.
    ///
    /// # Errors
    /// Everything that is wrong with the text and the files it names.
    pub fn parse(text: &str, path: &Path) -> Result<Config, Problems> {
        read(text, path, &environment, Inputs::default())
    }
}

fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// What a pipe is called in problems; without a folder, so that relative paths start from the working
/// directory.
fn name_of_pipe(path: &Path) -> &'static str {
    if path == Path::new("/dev/stdin") { "stdin" } else { "pipe" }
}

/// The one problem of a file that is of no use.
fn whole_file(path: &Path, Unreadable { line, message }: Unreadable, inputs: Inputs) -> Problems {
    let problem = Problem { file: path.to_owned(), line, key: String::new(), message };
    Problems::new(vec![problem]).found_in(inputs)
}

/// [`Config::parse`] with the environment and what was read already.
pub(super) fn read(
    text: &str,
    path: &Path,
    environment: Environment<'_>,
    inputs: Inputs,
) -> Result<Config, Problems> {
    let mut report = Report::default();
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut sources = Sources::new(environment, folder, inputs);
    let root = parse_file(text, path, &mut report);
    let main = root.as_deref().and_then(|root| main_section(root, path, &mut report));
    let mut unmatched_includes = Vec::new();
    let included = match &main {
        Some(main) => {
            read_includes(main, path, &mut sources.inputs, &mut unmatched_includes, &mut report)
        }
        None => Vec::new(),
    };
    let (mut targets, places) = convert(main.as_ref(), &included, &mut sources, &mut report);
    let location = main.as_ref().and_then(|main| locate(main, &mut targets, &mut report));
    let lacks_targets = |main: &Section<'_>| targets.is_empty() && !lists_no_targets(main);
    if main.as_ref().is_some_and(lacks_targets) && report.is_empty() {
        report.add_file(path, NO_TARGETS.to_owned());
    }
    let state_dir = main.as_ref().and_then(|main| main.read("state_dir", &mut report, value::line));
    let concurrent = main.as_ref().and_then(|main| {
        main.read("max_concurrent_probes", &mut report, value::integer(CONCURRENT_PROBES))
    });
    if !report.is_empty() {
        return Err(Problems::new(report.into_problems()).found_in(sources.inputs));
    }
    let state_dir = PathBuf::from(state_dir.as_deref().unwrap_or(DEFAULT_STATE_DIR));
    let remarks = report.into_warnings();
    let inputs = sources.inputs;
    Ok(Config {
        state_dir,
        location,
        max_concurrent_probes: concurrent
            .and_then(NonZeroU32::new)
            .unwrap_or_else(default_concurrent_probes),
        targets,
        places,
        remarks,
        unmatched_includes,
        inputs,
        shard: None,
        in_other_shards: 0,
        shared_warnings: Vec::new(),
    })
}

/// By the cores that this process may use.
fn default_concurrent_probes() -> NonZeroU32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let probes = u32::try_from(cores).unwrap_or(u32::MAX).saturating_mul(PROBES_A_CORE);
    NonZeroU32::new(probes.min(*CONCURRENT_PROBES.end())).unwrap_or(NonZeroU32::MIN)
}

/// The place of observation, which becomes a label of all targets.
fn locate(
    main: &Section<'_>,
    targets: &mut BTreeMap<TargetName, Arc<Target>>,
    report: &mut Report,
) -> Option<String> {
    let location = main.read("location", report, labels::location)?;
    for target in targets.values_mut() {
        Arc::make_mut(target).labels.insert(LOCATION.to_owned(), location.clone());
    }
    Some(location)
}

/// Whether a list was written, with nothing in it: a fresh installation has it. A template makes it by mistake, so
/// that a reload does not take away the last target.
fn lists_no_targets(main: &Section<'_>) -> bool {
    let found = main.find("targets");
    found.is_some_and(|found| matches!(&found.node.value, Value::List(items) if items.is_empty()))
}

/// An included file.
struct Included {
    file: PathBuf,
    root: Option<Rc<Node>>,
}

fn parse_file(text: &str, file: &Path, report: &mut Report) -> Option<Rc<Node>> {
    let (root, faults) = yaml::parse(text);
    let broken = !faults.is_empty();
    for fault in faults {
        report.add(Place { file, line: fault.line, key: fault.key }.problem(fault.message));
    }
    match root {
        Some(root) if !root.is_null() => Some(root),
        _ => {
            if !broken {
                report.add_file(file, "is empty; write at least `targets`".to_owned());
            }
            None
        }
    }
}

fn top_layer<'a>(root: &'a Node, file: &'a Path, report: &mut Report) -> Option<Layer<'a>> {
    Layer::new(Place { file, line: root.line, key: String::new() }, root, report)
}

fn main_section<'a>(root: &'a Node, file: &'a Path, report: &mut Report) -> Option<Section<'a>> {
    let section = Section::over(top_layer(root, file, report)?, None);
    section.check_keys(Home::Main, report);
    Some(section)
}

fn read_includes(
    main: &Section<'_>,
    main_file: &Path,
    inputs: &mut Inputs,
    unmatched: &mut Vec<String>,
    report: &mut Report,
) -> Vec<Included> {
    // One file under two names, or the main file itself under a pattern, is read once.
    let mut known: BTreeSet<_> = main_file.canonicalize().into_iter().collect();
    let mut included = Vec::new();
    let items = main.find("include").and_then(|_| main.list("include", report));
    for (place, node) in items.unwrap_or_default() {
        let Some(pattern) = report.accept(&place, value::line(node)) else { continue };
        let Some(paths) = report.accept(&place, inputs.matching(place.folder(), &pattern)) else {
            continue;
        };
        if paths.is_empty() {
            unmatched.push(pattern);
        }
        for file in paths {
            if file.canonicalize().is_ok_and(|path| !known.insert(path)) {
                continue;
            }
            inputs.note_file(&file);
            match source::read_yaml(&file) {
                Ok(text) => {
                    let root = parse_file(&text, &file, report);
                    included.push(Included { file, root });
                }
                Err(Unreadable { line, message }) => {
                    report.add(Problem { file, line, key: String::new(), message });
                }
            }
        }
    }
    included
}

/// The files that an entry of `include` means, in alphabetical order.
pub(super) fn matching(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    if !pattern.contains(['*', '?', '[']) {
        let path = folder.join(pattern);
        return match path.try_exists() {
            Ok(true) => Ok(vec![path]),
            _ => Err(format!("does not exist below {}", folder.display())),
        };
    }
    let folder = folder.to_str().ok_or("cannot be searched: the folder's name is not UTF-8")?;
    let absolute = Path::new(pattern).is_absolute() || folder.is_empty();
    let whole = match absolute {
        true => pattern.to_owned(),
        false => format!("{}/{pattern}", glob::Pattern::escape(folder)),
    };
    // Editors keep their copies in files that begin with a dot.
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
    let paths = glob::glob_with(&whole, options)
        .map_err(|error| format!("is not a file pattern: {}", error.msg))?;
    paths.map(|path| path.map_err(|error| format!("cannot be searched: {error}"))).collect()
}

/// The targets of all files, and where each is written.
fn convert(
    main: Option<&Section<'_>>,
    included: &[Included],
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> (BTreeMap<TargetName, Arc<Target>>, BTreeMap<TargetName, String>) {
    let Some(main) = main else { return Default::default() };
    let defaults = main.find("defaults");
    let defaults = defaults.and_then(|found| Layer::new(found.place, found.node, report));
    if let Some(defaults) = &defaults {
        target::convert(&Section::defaults_only(defaults.clone()), sources, report);
    }
    let mut collection = Collection::default();
    collection.add_all(main, defaults.as_ref(), sources, report);
    for Included { file, root } in included {
        let Some(layer) = root.as_deref().and_then(|root| top_layer(root, file, report)) else {
            continue;
        };
        let section = Section::over(layer, None);
        section.check_keys(Home::Included, report);
        collection.add_all(&section, defaults.as_ref(), sources, report);
    }
    let Collection { targets, places, .. } = collection;
    // Built in one go the maps have no room that stays empty.
    (targets.into_iter().collect(), places.into_iter().collect())
}

/// The targets so far, and where each name and each mailbox was first written.
#[derive(Default)]
struct Collection<'a> {
    targets: BTreeMap<TargetName, Arc<Target>>,
    places: BTreeMap<TargetName, String>,
    names: HashMap<String, Place<'a>>,
    mailboxes: HashMap<MailboxId, (Place<'a>, TargetName, ReceiveSide)>,
}

impl<'a> Collection<'a> {
    fn add_all(
        &mut self,
        file: &Section<'a>,
        defaults: Option<&Layer<'a>>,
        sources: &mut Sources<'_>,
        report: &mut Report,
    ) {
        let found = file.find("targets");
        if let Some(found) =
            found.as_ref().filter(|found| matches!(found.node.value, Value::Map(_)))
        {
            report.add(found.place.problem("must be a list: begin each target with `- name:`"));
            return;
        }
        let items = found.and_then(|_| file.list("targets", report));
        for (place, node) in items.unwrap_or_default() {
            let Some(own) = Layer::new(place, node, report) else { continue };
            let section = Section::over(own, defaults.cloned());
            self.check_name(&section, report);
            if let Some(target) = target::convert(&section, sources, report) {
                self.add(&section, Arc::new(target), report);
            }
        }
    }

    fn check_name(&mut self, section: &Section<'a>, report: &mut Report) {
        let Some(found) = section.find("name") else { return };
        let Ok(name) = value::text(found.node) else { return };
        match self.names.get(name) {
            Some(first) => {
                let message =
                    format!("is also the name of the target at {}", first.file_and_line());
                report.add(found.place.problem(message));
            }
            None => {
                self.names.insert(name.to_owned(), found.place);
            }
        }
    }

    fn add(&mut self, section: &Section<'a>, target: Arc<Target>, report: &mut Report) {
        let receive = section.child("receive", report).place().clone();
        if let Some(side) = &target.receive {
            self.add_mailbox(receive, &target.name, side, report);
        }
        if let Some(side) = &target.sender_mailbox {
            let place = section.child("sender_mailbox", report).place().clone();
            self.add_mailbox(place, &target.name, side, report);
        }
        self.places.insert(target.name.clone(), section.place().file_and_line());
        self.targets.insert(target.name.clone(), target);
    }

    fn add_mailbox(
        &mut self,
        place: Place<'a>,
        name: &TargetName,
        side: &ReceiveSide,
        report: &mut Report,
    ) {
        let id = side.mailbox_id();
        let Some((first_place, first_name, first)) = self.mailboxes.get(&id) else {
            self.mailboxes.insert(id, (place, name.clone(), side.clone()));
            return;
        };
        if let Some(key) = first_difference(first, side) {
            let message = format!(
                "differs between target `{name}` here and target `{first_name}` at {}, which share \
                 the mailbox {id}; write the same",
                first_place.file_and_line(),
            );
            report.add(place.child(key).problem(message));
        }
    }
}

/// The first key in which two descriptions of one mailbox differ so that they are not one session.
fn first_difference(a: &ReceiveSide, b: &ReceiveSide) -> Option<&'static str> {
    let credentials = if b.login.has_password() { "password" } else { "oauth2" };
    let pairs = [
        ("tls", a.endpoint.tls == b.endpoint.tls),
        ("tls_options", a.endpoint.tls_options == b.endpoint.tls_options),
        ("ip_family", a.endpoint.ip_family == b.endpoint.ip_family),
        ("auth", a.login.auth == b.login.auth),
        (credentials, a.login.credentials.prove_the_same(&b.login.credentials)),
    ];
    pairs.iter().find(|(_, same)| !same).map(|(key, _)| *key)
}
