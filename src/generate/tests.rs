//! The schema before a validator that others wrote, and the table of keys before the parser itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value as Json, json};

use super::schema;
use crate::config::Config;
use crate::config::yaml::{self, Node, Value};

mod documentation;
mod table;

const DATA: &str = "tests/testdata/config/";

/// A schema that is ready.
struct Validator {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Validator {
    /// The compiler holds the schema itself to the schema of its draft.
    fn new(text: &str) -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("schema.json", serde_json::from_str(text).unwrap()).unwrap();
        let index = compiler.compile("schema.json", &mut schemas);
        let index = index.unwrap_or_else(|error| panic!("{error:#}"));
        Self { schemas, index }
    }

    /// What is wrong with a configuration, as an editor shows it.
    fn problems(&self, text: &str) -> Option<String> {
        let (root, faults) = yaml::parse(text);
        let Some(root) = root.filter(|_| faults.is_empty()) else {
            return Some("is not YAML".to_owned());
        };
        let document = json_of(&root);
        let problems = self.schemas.validate(&document, self.index).err();
        problems.map(|problems| format!("{problems:#}"))
    }
}

static MAIN: LazyLock<Validator> = LazyLock::new(|| Validator::new(&schema::text(false)));
static INCLUDED: LazyLock<Validator> = LazyLock::new(|| Validator::new(&schema::text(true)));

/// A document as an editor understands it, by the core schema of YAML 1.2.
fn json_of(node: &Node) -> Json {
    match &node.value {
        Value::Scalar { text, plain: true } => plain(text),
        Value::Scalar { text, plain: false } => json!(text),
        Value::List(items) => items.iter().map(|item| json_of(item)).collect(),
        Value::Map(entries) => {
            let entries = entries.iter().map(|it| (it.key.to_string(), json_of(&it.node)));
            Json::Object(entries.collect())
        }
    }
}

fn plain(text: &str) -> Json {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Json::Null,
        "true" | "True" | "TRUE" => json!(true),
        "false" | "False" | "FALSE" => json!(false),
        _ => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _) => json!(number),
            (_, Ok(number)) if number.is_finite() => json!(number),
            _ => json!(text),
        },
    }
}

/// A configuration that the program takes is good to the editor as well.
pub(crate) fn assert_editor_accepts(text: &str) {
    if let Some(problems) = MAIN.problems(text) {
        panic!("{problems}\n{text}");
    }
}

#[test]
fn the_file_for_editors_is_what_the_program_writes() {
    let file = fs::read_to_string("mailtrip.schema.json").unwrap();
    let hint = "run: target/debug/mailtrip_exporter generate schema > mailtrip.schema.json";
    assert!(file == schema::text(false), "mailtrip.schema.json is out of date; {hint}");
}

#[test]
fn an_editor_finds_the_schema_of_the_example_and_takes_it() {
    let example = include_str!("../../mailtrip.example.yml");
    assert_editor_accepts(example);
    let first = example.lines().next();
    assert_eq!(first, Some("# yaml-language-server: $schema=mailtrip.schema.json"));
    assert_editor_accepts(super::configuration::EXAMPLE);
    // What the packages put into /etc.
    assert_editor_accepts(include_str!("../../deploy/package/mailtrip.yml"));
}

#[test]
fn the_example_of_the_man_page_lacks_nothing_but_its_passwords() {
    let folder = tempfile::tempdir().unwrap();
    let text = super::configuration::EXAMPLE.replace("/run/secrets/", "");
    for name in ["sendtest", "receivetest"] {
        fs::write(folder.path().join(name), "secret\n").unwrap();
    }
    let config = Config::parse(&text, &folder.path().join("mailtrip.yml"));
    assert_eq!(config.unwrap_or_else(|problems| panic!("{problems}")).targets.len(), 1);
}

/// The files of a folder whose names end so.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.to_str().is_some_and(|path| path.ends_with(ending))).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} has no files {ending}");
    files
}

/// The blocks of YAML of a page that hold targets or defaults.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    for piece in page.split("```yaml\n").skip(1) {
        let block = piece.split("```").next().unwrap_or_default();
        let is_config = |line: &str| line == "targets:" || line.starts_with("defaults:");
        if block.lines().any(is_config) {
            blocks.push(block.to_owned());
        }
    }
    blocks
}

#[test]
fn the_configurations_of_the_documentation_are_good_to_an_editor() {
    let pages =
        files("docs", ".md").into_iter().chain(["README.md".into(), "deploy/README.md".into()]);
    let mut count = 0;
    for page in pages {
        for block in blocks(&fs::read_to_string(&page).unwrap()) {
            // What a page leaves out may stand in defaults that it leaves out as well.
            let has_defaults = block.lines().any(|line| line.starts_with("defaults:"));
            let whole = if has_defaults { block } else { format!("defaults: {{}}\n{block}") };
            let whole =
                if whole.contains("\ntargets:") { whole } else { whole + "\ninclude: [a]\n" };
            let problems = MAIN.problems(&whole);
            assert_eq!(problems, None, "{}: {whole}", page.display());
            count += 1;
        }
    }
    assert!(count > 3, "{count}");
}

#[test]
fn an_included_file_has_targets_alone() {
    for text in ["targets:\n- name: a\n", "x-own: 1\ntargets: []\n"] {
        assert_eq!(INCLUDED.problems(text), None, "{text}");
    }
    for text in ["targets: {}\n", "state_dir: a\n", "targets:\n- host: a\n"] {
        assert!(INCLUDED.problems(text).is_some(), "{text}");
    }
}

/// What is wrong with these cannot be seen by the form of one value: it needs other keys, targets, files or variables,
/// or the length of a duration.
const NOT_BY_FORM: &[&str] = &[
    "bad-address-internationalised.yml",
    "bad-duplicate-name-included.yml",
    "bad-duplicate-name.yml",
    "bad-duration-ranges.yml",
    "bad-include-missing.yml",
    "bad-include-with-more-keys.yml",
    "bad-lost-before-late.yml",
    "bad-mailbox-two-families.yml",
    "bad-mailbox-two-mechanisms.yml",
    "bad-mailbox-two-passwords.yml",
    "bad-mailbox-two-tls-modes.yml",
    "bad-mailbox-two-tls-options.yml",
    "bad-missing-host-of-a-port.yml",
    "bad-password-credentials-directory.yml",
    "bad-password-env-unset.yml",
    "bad-password-file-is-a-folder.yml",
    "bad-password-file-lines.yml",
    "bad-password-file-missing.yml",
    "bad-password-of-defaults-without-username.yml",
    "bad-tls-identity-files.yml",
    "bad-variables.yml",
];

#[test]
fn what_the_program_refuses_for_its_form_an_editor_refuses_too() {
    let mut accepted = Vec::new();
    for path in files(DATA, ".yml") {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let problems = MAIN.problems(&text);
        match Config::load(&path) {
            Ok(_) => assert_eq!(problems, None, "{name}"),
            Err(_) if problems.is_none() => accepted.push(name),
            Err(_) => {}
        }
    }
    assert_eq!(accepted, NOT_BY_FORM);
}

/// Where the program reads it from, for its own messages.
fn parse(text: &str) -> Result<Config, crate::config::Problems> {
    Config::parse(text, Path::new("mailtrip.yml"))
}
