//! `mail`, written down again.

use mail::content::{AttachedData, BodyText, Form, Sample};

use super::{Text, Yaml};
use crate::config::Target;
use crate::config::value::WrittenBytes;
use crate::config::wants::form::SAMPLES;

/// What the mail is like, as a part of a sentence; nothing of what only its text says.
fn described(form: &Form) -> Option<String> {
    let mut parts: Vec<String> = form.size.map(in_words).into_iter().collect();
    if let Some(attachment) = &form.attachment {
        let size = match &attachment.data {
            AttachedData::Meaningless(size) => format!(" of {}", in_words(*size)),
            AttachedData::Filling | AttachedData::File { .. } => String::new(),
        };
        parts.push(format!("with {}{size}", attachment.name));
    }
    parts.extend(form.sample.map(|sample| format!("with the sample {}", label_of(sample))));
    if let Some(signer) = &form.signer {
        parts.push(format!("signed by {}._domainkey.{}", signer.selector(), signer.domain()));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

impl Target {
    /// What the test mail is like, as `10MB, with report.pdf`; `None`: nothing that shows from outside is said of it.
    pub fn mail_in_words(&self) -> Option<String> {
        self.form().and_then(described)
    }
}

fn label_of(sample: Sample) -> &'static str {
    let own = SAMPLES.iter().find(|(_, known)| *known == sample);
    own.map_or("", |(word, _)| word)
}

fn in_words(bytes: u64) -> String {
    let written = WrittenBytes(bytes).to_string();
    if written.ends_with('B') { written } else { format!("{written} bytes") }
}

impl Yaml {
    pub(super) fn mail(&mut self, form: &Form) {
        self.head(2, "mail");
        if let Some(subject) = &form.subject {
            self.line(3, "subject", Text(&subject.to_string()));
        }
        if !form.fields.is_empty() {
            self.head(3, "headers");
        }
        for (name, value) in &form.fields {
            let value = value.as_ref().map(ToString::to_string).unwrap_or_default();
            self.line(4, &Text(name).to_string(), Text(&value));
        }
        match form.body.as_deref() {
            Some(BodyText { file: Some(path), .. }) => {
                self.line(3, "body_file", Text(&path.to_string_lossy()));
            }
            Some(BodyText { text, file: None }) => self.lines(&text.to_string()),
            None => {}
        }
        if let Some(size) = form.size {
            self.line(3, "size", WrittenBytes(size));
        }
        if let Some(attachment) = &form.attachment {
            self.head(3, "attachment");
            self.line(4, "name", Text(&attachment.name));
            match &attachment.data {
                AttachedData::Filling => {}
                AttachedData::Meaningless(size) => self.line(4, "size", WrittenBytes(*size)),
                AttachedData::File { path, .. } => {
                    self.line(4, "file", Text(&path.to_string_lossy()));
                }
            }
        }
        if let Some(sample) = form.sample {
            self.line(3, "sample", label_of(sample));
        }
        if let Some(signer) = &form.signer {
            self.head(3, "dkim");
            self.line(4, "domain", Text(signer.domain()));
            self.line(4, "selector", Text(signer.selector()));
            self.line(4, "key_file", Text(&signer.file().path.to_string_lossy()));
        }
    }

    /// The text in lines of its own, where each character is what it seems: between double quotes a brace could be
    /// taken for a variable.
    fn lines(&mut self, text: &str) {
        let is_plain =
            |c: char| c.is_alphanumeric() || c.is_ascii_graphic() || matches!(c, ' ' | '\n');
        if !text.chars().all(is_plain) {
            self.line(3, "body", Text(text));
            return;
        }
        self.put(format_args!("{:1$}body: |2+\n", "", 3 * 2));
        for line in text.lines() {
            match line.is_empty() {
                true => self.put(format_args!("\n")),
                false => self.put(format_args!("{:1$}{line}\n", "", 4 * 2)),
            }
        }
    }
}
