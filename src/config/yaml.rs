//! YAML text as a tree that remembers lines. It knows nothing of configuration keys.
//!
//! An alias shares the node that it names and `<<` copies references, so that no document grows in
//! memory beyond a bounded multiple of its text; nesting is bounded too.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

pub(crate) use characters::{invisible, opens_typographic_quote, shown};
use form::Form;

mod characters;
mod fault;
mod form;
mod hidden;
mod layout;
mod open;

/// A value and where it begins. It has no `Debug`: it may hold a password.
pub(crate) struct Node {
    /// The line it begins in, from 1.
    pub(crate) line: usize,
    /// What it is.
    pub(crate) value: Value,
    /// What a single value stands in.
    pub(crate) quotes: Quotes,
    /// Whether a comment follows a value without quotes, in its last line.
    pub(crate) is_commented: bool,
    /// What else of a single value is written.
    pub(crate) form: Form,
    /// How many nodes it is made of, aliases counted as if they were written out.
    size: usize,
    /// How deep it is nested below itself.
    height: usize,
}

/// What stands around a single value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// Nothing.
    None,
    /// `"`, in which a backslash begins an escape.
    Double,
    /// `'`, or the indentation of a block: each character stands for itself.
    Literal,
}

/// The three shapes of YAML.
pub(crate) enum Value {
    /// A single value; its type is that which its reader expects.
    Scalar {
        /// The text, unescaped.
        text: String,
        /// Whether it stands without quotes and could be a number, a boolean or null.
        plain: bool,
    },
    /// A list.
    List(Vec<Rc<Node>>),
    /// A map in the order of the text; no key occurs twice.
    Map(Vec<Entry>),
}

/// A key and its value.
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: Rc<str>,
    /// The line of the key.
    pub(crate) line: usize,
    /// The value.
    pub(crate) node: Rc<Node>,
}

/// Something wrong with the text itself.
pub(crate) struct Fault {
    /// The line, from 1.
    pub(crate) line: usize,
    /// The path of the key; empty where the parser gave up.
    pub(crate) key: String,
    /// What is wrong and what to do.
    pub(crate) message: String,
}

/// The deepest nesting.
const MAX_DEPTH: usize = 64;

/// The most nodes of a document, each alias counted as all that it stands for.
const MAX_NODES: usize = 2_000_000;

impl Node {
    /// What it is, for a message.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// Whether nothing was written, or `null` or `~`.
    pub(crate) fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar { text, plain: true } => {
                matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }
}

/// Reads one document. The tree is `None` where there is none; what it has of faults beside that
/// did not hinder reading on.
pub(crate) fn parse(text: &str) -> (Option<Rc<Node>>, Vec<Fault>) {
    let mut builder = Builder { comments: Comments::of(text), ..Builder::default() };
    let root = match builder.build(text) {
        Ok(()) => builder.root.take(),
        Err(fault) => {
            builder.faults.push(fault);
            None
        }
    };
    (root, builder.faults)
}

/// A key as it may be shown: what does not look like one may be a password written in its place.
pub(crate) fn shown_key(key: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    if !key.is_empty() && key.len() <= 64 && key.chars().all(plain) { key } else { "?" }
}

/// The collections that are open, and what is known so far.
#[derive(Default)]
struct Builder<'t> {
    comments: Comments<'t>,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    nodes: usize,
    documents: usize,
    root: Option<Rc<Node>>,
    faults: Vec<Fault>,
}

/// A collection whose end was not yet read.
struct Open {
    line: usize,
    anchor: usize,
    collected: Collected,
}

enum Collected {
    List(Vec<Rc<Node>>),
    Map {
        entries: Vec<Entry>,
        seen: HashMap<Rc<str>, usize>,
        merged: Vec<Merged>,
        key: Option<Key>,
    },
}

/// A key whose value was not yet read.
struct Key {
    name: Rc<str>,
    line: usize,
    merge: bool,
}

/// The value of a `<<`.
struct Merged {
    line: usize,
    node: Rc<Node>,
}

impl Builder<'_> {
    fn build(&mut self, text: &str) -> Result<(), Fault> {
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| fault::of_syntax(text, &error))?;
            self.take(event, span)?;
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let line = span.start.line();
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(self.fault(line, "a second document begins here; write one only"));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, line)?;
                let is_string = tag.as_deref().is_some_and(form::is_string);
                let plain = style == ScalarStyle::Plain && !is_string;
                self.check_tag(tag.as_deref(), line);
                let form = Form::of(&text, style, anchor > 0, tag.as_deref(), span);
                let value = Value::Scalar { text: text.into_owned(), plain };
                let quotes = quotes(style);
                let is_commented = quotes == Quotes::None && self.comments.follow(span.end);
                let node = Node { line, value, quotes, is_commented, form, size: 1, height: 0 };
                self.complete(node, anchor);
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), line);
                self.open(line, anchor, Collected::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), line);
                let map = Collected::Map {
                    entries: Vec::new(),
                    seen: HashMap::new(),
                    merged: Vec::new(),
                    key: None,
                };
                self.open(line, anchor, map)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, line)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn open(&mut self, line: usize, anchor: usize, collected: Collected) -> Result<(), Fault> {
        self.count(1, line)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(self.too_deep(line));
        }
        self.open.push(Open { line, anchor, collected });
        Ok(())
    }

    fn close(&mut self) {
        let Some(Open { line, anchor, collected }) = self.open.pop() else { return };
        let value = match collected {
            Collected::List(items) => Value::List(items),
            Collected::Map { mut entries, mut seen, merged, .. } => {
                for Merged { line, node } in merged {
                    self.merge(&mut entries, &mut seen, &node, line);
                }
                Value::Map(entries)
            }
        };
        let (size, height) = measure(&value);
        let (quotes, is_commented, form) = (Quotes::None, false, Form::default());
        self.complete(Node { line, value, quotes, is_commented, form, size, height }, anchor);
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Result<(), Fault> {
        let Some(node) = self.anchors.get(&anchor).map(Rc::clone) else {
            return Err(self.fault(line, "the alias stands inside what it names"));
        };
        node.form.alias();
        self.count(node.size, line)?;
        if self.open.len() + node.height > MAX_DEPTH {
            return Err(self.too_deep(line));
        }
        self.attach(node, line);
        Ok(())
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), Fault> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        let message = format!("the file holds more than {MAX_NODES} values, aliases written out");
        Err(self.fault(line, &message))
    }

    fn complete(&mut self, node: Node, anchor: usize) {
        let line = node.line;
        let node = Rc::new(node);
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.attach(node, line);
    }

    /// Puts a node into the collection that is open.
    fn attach(&mut self, node: Rc<Node>, line: usize) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut open.collected {
            Collected::List(items) => items.push(node),
            Collected::Map { key: key @ None, .. } => {
                *key = Some(Key::from_node(&node, line));
                if !matches!(node.value, Value::Scalar { .. }) {
                    let message = "a key must be a word; a value that begins with `{` or `[`, as \
                                   templates do, needs quotes";
                    self.faults.push(self.fault(line, message));
                }
            }
            Collected::Map { entries, seen, merged, key } => {
                let Some(Key { name, line, merge }) = key.take() else { return };
                if merge {
                    merged.push(Merged { line, node });
                } else if let Some(first) = seen.get(&name) {
                    let message = format!("is written twice; the first is on line {first}");
                    let key = join(&self.path(), shown_key(&name));
                    self.faults.push(Fault { line, key, message });
                } else {
                    seen.insert(Rc::clone(&name), line);
                    entries.push(Entry { key: name, line, node });
                }
            }
        }
    }

    /// `<<`: the entries of a map, or of each map of a list, that are not there yet.
    fn merge(
        &mut self,
        entries: &mut Vec<Entry>,
        seen: &mut HashMap<Rc<str>, usize>,
        node: &Node,
        line: usize,
    ) {
        match &node.value {
            Value::Map(added) => {
                for Entry { key, line, node } in added {
                    if !seen.contains_key(key) {
                        seen.insert(Rc::clone(key), *line);
                        let (key, node) = (Rc::clone(key), Rc::clone(node));
                        entries.push(Entry { key, line: *line, node });
                    }
                }
            }
            Value::List(maps) if maps.iter().all(|map| matches!(map.value, Value::Map(_))) => {
                for map in maps {
                    self.merge(entries, seen, map, line);
                }
            }
            _ => {
                let key = join(&self.path(), "<<");
                let message = "must be a map or a list of maps, as in `<<: *name`".to_owned();
                self.faults.push(Fault { line, key, message });
            }
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, line: usize) {
        if tag.is_some_and(|tag| !tag.is_yaml_core_schema()) {
            let message = "tags mean nothing here; a value that begins with `!` needs quotes";
            self.faults.push(self.fault(line, message));
        }
    }

    fn too_deep(&self, line: usize) -> Fault {
        self.fault(line, &format!("is nested deeper than {MAX_DEPTH} levels"))
    }

    fn fault(&self, line: usize, message: &str) -> Fault {
        Fault { line, key: self.path(), message: message.to_owned() }
    }

    /// The path of what is being read; long ones, of nesting that is no configuration, are cut.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in self.open.iter().take(8) {
            match &open.collected {
                Collected::List(items) => path = format!("{path}[{}]", items.len()),
                Collected::Map { key: Some(key), .. } => path = join(&path, shown_key(&key.name)),
                Collected::Map { .. } => {}
            }
        }
        path
    }
}

impl Key {
    fn from_node(node: &Node, line: usize) -> Self {
        match &node.value {
            Value::Scalar { text, plain } => {
                Self { name: text.as_str().into(), line, merge: *plain && text == "<<" }
            }
            Value::List(_) | Value::Map(_) => Self { name: "?".into(), line, merge: false },
        }
    }
}

/// A path and one key more.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Size and height of a collection.
fn measure(value: &Value) -> (usize, usize) {
    let children: Vec<&Node> = match value {
        Value::Scalar { .. } => Vec::new(),
        Value::List(items) => items.iter().map(Rc::as_ref).collect(),
        Value::Map(entries) => entries.iter().map(|entry| entry.node.as_ref()).collect(),
    };
    let size = children.iter().fold(1_usize, |sum, node| sum.saturating_add(node.size));
    let height = children.iter().map(|node| node.height).max().unwrap_or(0) + 1;
    (size, height)
}

fn quotes(style: ScalarStyle) -> Quotes {
    match style {
        ScalarStyle::Plain => Quotes::None,
        ScalarStyle::DoubleQuoted => Quotes::Double,
        ScalarStyle::SingleQuoted | ScalarStyle::Literal | ScalarStyle::Folded => Quotes::Literal,
    }
}

/// The lines that may end in a comment, by their number.
#[derive(Default)]
struct Comments<'t>(HashMap<usize, &'t str>);

impl<'t> Comments<'t> {
    /// Longer lines, which people do not write, are not looked into.
    const LONGEST_LINE: usize = 1000;

    fn of(text: &'t str) -> Self {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        let may_end_in_one = |line: &str| {
            line.len() <= Self::LONGEST_LINE && (line.contains(" #") || line.contains("\t#"))
        };
        Self(lines.filter(|(_, line)| may_end_in_one(line)).collect())
    }

    /// Whether one follows this place, with nothing but blanks between.
    fn follow(&self, place: Marker) -> bool {
        let Some(line) = self.0.get(&place.line()) else { return false };
        let rest: String = line.chars().skip(place.col()).collect();
        rest.trim_start().starts_with('#')
    }
}
