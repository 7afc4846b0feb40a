//! The web configuration as written: YAML in, settings and problems out.
//!
//! What the exporter-toolkit starts with is read here as well, and what it refuses is refused.

use std::path::Path;

use super::basic::{Unfit, Users};
use super::problems::Problems;
use super::rate::RateLimit;
use super::watched::Watched;
use crate::config::yaml::{self, Entry, Node, Value, shown_key};

pub(super) use headers::Headers;
pub(super) use tls::{ClientAuth, Pem, PemSource, TlsSettings};

mod headers;
mod rate;
mod tls;

/// What the file says, as far as it is right.
#[derive(Default)]
pub(super) struct Settings {
    /// `tls_server_config`; `None` for plain HTTP.
    pub(super) tls: Option<TlsSettings>,
    /// `basic_auth_users`.
    pub(super) users: Users,
    /// `headers` of `http_server_config`.
    pub(super) headers: Headers,
    /// `rate_limit`; `None` without a limit.
    pub(super) rate_limit: Option<RateLimit>,
}

/// Reads the file at `path`. What is wrong goes to `problems`; the settings are then not complete.
pub(super) fn read(path: &Path, watched: &mut Watched, problems: &mut Problems) -> Settings {
    let text = match watched.read(path).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => {
            problems.add_whole("is not UTF-8");
            return Settings::default();
        }
        Err(error) => {
            problems.add_whole(format!("cannot be read: {error}"));
            return Settings::default();
        }
    };
    let (root, faults) = yaml::parse(&text);
    for fault in faults {
        problems.add(fault.line, &fault.key, fault.message);
    }
    match root {
        Some(root) => settings(&root, path, problems),
        None => Settings::default(),
    }
}

const SECTIONS: [&str; 4] =
    ["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"];

fn settings(document: &Node, path: &Path, problems: &mut Problems) -> Settings {
    let document = Section::of(document, document.line, "", problems);
    document.refuse_others(&SECTIONS, problems);
    let mut settings = Settings::default();
    let mut http2 = true;
    if let Some(section) = document.section("http_server_config", problems) {
        (http2, settings.headers) = headers::read(&section, problems);
    }
    if let Some(section) = document.section("tls_server_config", problems) {
        settings.tls = tls::read(&section, path, http2, problems);
    }
    if let Some(section) = document.section("basic_auth_users", problems) {
        settings.users = users(&section, problems);
    }
    if let Some(section) = document.section("rate_limit", problems) {
        settings.rate_limit = rate::read(&section, problems);
    }
    settings
}

/// A mapping of the file. What is `null` in it counts as not written.
struct Section<'a> {
    name: &'a str,
    line: usize,
    entries: &'a [Entry],
}

impl<'a> Section<'a> {
    /// The mapping `node`, with the path of its key, which stands in `line`.
    fn of(node: &'a Node, line: usize, name: &'a str, problems: &mut Problems) -> Self {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            _ if node.is_null() => &[],
            _ => {
                problems.add(node.line, name, "must be a mapping of keys to values");
                &[]
            }
        };
        Self { name, line, entries }
    }

    /// The mapping at `key`.
    fn section(&self, key: &'a str, problems: &mut Problems) -> Option<Section<'a>> {
        let entry = self.find(key)?;
        Some(Section::of(&entry.node, entry.line, key, problems))
    }

    fn find(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key.as_ref() == key && !entry.node.is_null())
    }

    /// The path of `key`, for a message.
    fn path(&self, key: &str) -> String {
        yaml::join(self.name, key)
    }

    /// Every key but `known` is a problem.
    fn refuse_others(&self, known: &[&str], problems: &mut Problems) {
        for entry in self.entries {
            if !known.contains(&entry.key.as_ref()) {
                let text = format!("unknown key: there are {}", known.join(", "));
                problems.add(entry.line, &self.path(shown_key(&entry.key)), text);
            }
        }
    }

    /// The text at `key` and its line; `None` where it is missing or empty.
    fn text(&self, key: &str, problems: &mut Problems) -> Option<(usize, &'a str)> {
        let entry = self.find(key)?;
        match text(&entry.node) {
            Some("") => None,
            Some(text) => Some((entry.line, text)),
            None => {
                problems.add(entry.line, &self.path(key), "must be text");
                None
            }
        }
    }

    /// The texts of the list at `key`, each with its line; `None` where it is missing.
    fn texts(&self, key: &str, problems: &mut Problems) -> Option<Vec<(usize, &'a str)>> {
        let entry = self.find(key)?;
        let items = match &entry.node.value {
            Value::List(items) => items
                .iter()
                .map(|item| text(item).map(|text| (item.line, text)))
                .collect::<Option<Vec<_>>>(),
            _ => None,
        };
        if items.is_none() {
            problems.add(entry.line, &self.path(key), "must be a list of texts");
        }
        items
    }

    /// Whether `key` says yes.
    fn boolean(&self, key: &str, default: bool, problems: &mut Problems) -> bool {
        let Some(entry) = self.find(key) else { return default };
        if let Value::Scalar { text, plain: true } = &entry.node.value {
            match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "y" => return true,
                "false" | "no" | "off" | "n" => return false,
                _ => {}
            }
        }
        problems.add(entry.line, &self.path(key), "must be true or false");
        default
    }
}

fn users(section: &Section<'_>, problems: &mut Problems) -> Users {
    let mut users = Users::default();
    for entry in section.entries {
        let name = entry.key.as_ref();
        let key = section.path(name);
        if name.contains(':') {
            problems.add(entry.line, &key, "a user name cannot hold a colon (RFC 7617)");
        }
        match text(&entry.node).map_or(Err(Unfit::NoHash), |hash| users.add(name, hash)) {
            Ok(()) => {}
            Err(Unfit::NoHash) => {
                let text = format!("must be a bcrypt hash, as `htpasswd -nBC 10 {name}` prints it");
                problems.add(entry.line, &key, text);
            }
            Err(Unfit::Cost(cost)) => {
                let text = format!(
                    "has a bcrypt cost of {cost}: a check would take minutes; make one with a cost \
                     of {} or less, as `htpasswd -nBC 10 {name}` does",
                    Users::HIGHEST_COST
                );
                problems.add(entry.line, &key, text);
            }
        }
    }
    users
}

/// A value that is text.
fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text),
        _ => None,
    }
}
