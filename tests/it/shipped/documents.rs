//! The documents: every link leads somewhere, every example holds, and the index misses no page.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use mailtrip_exporter::config::Config;
use openssl::pkey::PKey;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use tempfile::TempDir;

use super::rules;

/// A README that is longer is read by nobody.
const LONGEST_README: usize = 200;

/// A file in Markdown.
#[derive(Debug, Default)]
struct Document {
    /// The anchors of its headings, as GitHub makes them.
    anchors: BTreeSet<String>,
    /// Where its links and pictures lead.
    links: Vec<String>,
    /// Its blocks of code, each with its language.
    blocks: Vec<(String, String)>,
}

/// What the words of a document belong to.
enum Within {
    Text,
    Heading(String),
    Code(String, String),
}

impl Document {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let mut document = Self::default();
        let mut within = Within::Text;
        for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Heading { .. }) => within = Within::Heading(String::new()),
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                    within = Within::Code(language.to_string(), String::new());
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    document.links.push(dest_url.to_string());
                }
                Event::Html(html) | Event::InlineHtml(html) => {
                    document.links.extend(sources(&html));
                }
                Event::Text(words) | Event::Code(words) => match &mut within {
                    Within::Heading(text) | Within::Code(_, text) => text.push_str(&words),
                    Within::Text => {}
                },
                Event::End(TagEnd::Heading(_) | TagEnd::CodeBlock) => {
                    document.take(std::mem::replace(&mut within, Within::Text));
                }
                _ => {}
            }
        }
        document
    }

    fn take(&mut self, complete: Within) {
        match complete {
            Within::Heading(words) => drop(self.anchors.insert(anchor(&words))),
            Within::Code(language, code) => self.blocks.push((language, code)),
            Within::Text => {}
        }
    }
}

/// The anchor of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The addresses of pictures in HTML.
fn sources(html: &str) -> Vec<String> {
    let after = ["src=\"", "srcset=\""].into_iter().flat_map(|name| html.split(name).skip(1));
    after.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document of the project, by its path.
fn documents() -> BTreeMap<PathBuf, Document> {
    let mut found = BTreeMap::new();
    let mut folders =
        ["docs", "deploy", "grafana", "tests/testdata"].map(|it| root().join(it)).to_vec();
    let is_document = |path: &Path| path.extension().is_some_and(|ending| ending == "md");
    let at_the_top = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    for path in at_the_top.filter(|path| is_document(path)) {
        found.insert(path.clone(), Document::read(&path));
    }
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let (path, kind) = entry.map(|it| (it.path(), it.file_type().unwrap())).unwrap();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && is_document(&path) {
                found.insert(path.clone(), Document::read(&path));
            }
        }
    }
    found
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
        plain
    })
}

#[test]
fn every_link_leads_somewhere() {
    let documents = documents();
    let mut dead = Vec::new();
    for (path, document) in &documents {
        let here = path.parent().unwrap();
        for link in document.links.iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { plain(&here.join(file)) };
            let has_anchor =
                || documents.get(&target).is_some_and(|there| there.anchors.contains(anchor));
            if !target.exists() || !anchor.is_empty() && !has_anchor() {
                dead.push(format!("{}: {link}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(dead.is_empty(), "these links lead nowhere:\n{}", dead.join("\n"));
}

#[test]
fn the_readme_is_short_and_the_index_has_every_page() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let lines = readme.lines().count();
    assert!(lines <= LONGEST_README, "README.md has {lines} lines: move some to docs/");
    let alerts = format!("{} [alerts]", rules::alerts().len());
    assert!(readme.contains(&alerts), "README.md does not say {alerts}");
    let documents = documents();
    let index = &documents[&root().join("docs/README.md")].links;
    for path in documents.keys() {
        let Ok(page) = path.strip_prefix(root().join("docs")) else { continue };
        let page = page.to_str().unwrap();
        let is_listed = index.iter().any(|link| link.split('#').next() == Some(page));
        let is_list = ["README.md", "SUMMARY.md"].contains(&page);
        assert!(is_listed || is_list, "docs/README.md has no link to {page}");
    }
}

#[test]
fn every_image_in_the_documents_has_the_version_of_the_program() {
    let mut count = 0;
    for path in documents().keys() {
        let text = fs::read_to_string(path).unwrap();
        let images = text.split_whitespace().filter_map(|it| it.strip_prefix("mailtrip_exporter:"));
        for version in images.filter(|it| it.starts_with(|first: char| first.is_ascii_digit())) {
            assert_eq!(version, env!("CARGO_PKG_VERSION"), "{path:?}");
            count += 1;
        }
    }
    assert!(count > 2, "only {count} were found");
}

/// The blocks of all documents in a language, each with the document.
fn blocks(language: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for (path, document) in documents() {
        let blocks = document.blocks.into_iter().filter(|(of, _)| of == language);
        found.extend(blocks.map(|(_, code)| (path.clone(), code)));
    }
    found
}

/// Makes the files that a configuration names, and names them relative to the folder.
fn with_files(folder: &TempDir, code: &str) -> String {
    let mut text = code.to_owned();
    let key = PKey::generate_ed25519().unwrap().private_key_to_pem_pkcs8().unwrap();
    for (at, word) in code.match_indices("_file: ") {
        let (before, rest) = (&code[..at], &code[at + word.len()..]);
        let path = rest.split([',', '}', '\n', ' ']).next().unwrap().trim_matches(['\'', '"']);
        let name = path.rsplit('/').next().unwrap();
        let content = if before.ends_with("key") { &key[..] } else { b"secret\n" };
        fs::write(folder.path().join(name), content).unwrap();
        text = text.replace(path, name);
    }
    text
}

#[test]
fn every_whole_configuration_in_the_documents_is_accepted() {
    let mut count = 0;
    for (path, code) in blocks("yaml") {
        let has = |key: &str| code.lines().any(|line| line.trim_start().starts_with(key));
        if !(code.starts_with("targets:") || code.contains("\ntargets:")) || !has("from:") {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let text = with_files(&folder, &code);
        if let Err(problems) = Config::parse(&text, &folder.path().join("mailtrip.yml")) {
            panic!("{path:?}:\n{problems}\n{text}");
        }
        count += 1;
    }
    assert!(count > 2, "only {count} were found");
}

#[tokio::test]
async fn every_whole_configuration_for_prometheus_in_the_documents_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prometheus.yml");
    let whole = blocks("yaml").into_iter().filter(|(_, code)| code.starts_with("scrape_configs:"));
    let whole: Vec<_> = whole.collect();
    assert!(!whole.is_empty());
    for (_, code) in whole {
        fs::write(&file, code).unwrap();
        rules::run("promtool", &["check", "config", file.to_str().unwrap()]).await;
    }
}

#[test]
fn every_shell_script_in_the_documents_can_be_read() {
    let scripts = blocks("sh");
    assert!(!scripts.is_empty());
    for (path, code) in scripts {
        let mut shell = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
        shell.stdin.take().unwrap().write_all(code.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success(), "{path:?}:\n{code}");
    }
}
