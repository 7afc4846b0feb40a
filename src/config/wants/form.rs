//! `mail`: what the test mail is like.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use mail::content::{AttachedData, Attachment, BodyText, Form, Sample, Template};
use mail::dkim::Signer;
use mail::test_mail::least_size;

use super::value;
use crate::config::reference::Home;
use crate::config::section::{Found, Level, Report, Section};
use crate::config::source::Sources;
use crate::config::value::WrittenBytes;
use crate::config::yaml::{Node, Value};
use crate::config::{PemFile, Target, written};

pub(in crate::config) use doubts::doubts;

mod doubts;

/// Of the whole mail.
pub(in crate::config) const SIZES: RangeInclusive<u64> = 2_000..=50_000_000;
/// Of what is attached, before it is encoded.
pub(in crate::config) const ATTACHED_SIZES: RangeInclusive<u64> = 1..=36_000_000;
const MOST_BODY_BYTES: usize = 256_000;
const MOST_FILE_BYTES: usize = 1_000_000;
const MOST_SUBJECT_CHARS: usize = 200;
const MOST_FIELDS: usize = 20;
const MOST_NAME_CHARS: usize = 76;
const MOST_VALUE_CHARS: usize = 900;
const MOST_FILE_NAME_CHARS: usize = 100;

/// The words of `sample`.
pub(in crate::config) const SAMPLES: [(&str, Sample); 2] =
    [("eicar", Sample::Eicar), ("gtube", Sample::Gtube)];

/// The name of an attachment that has none.
pub(in crate::config) const FILE_NAME: &str = "attachment.bin";

/// Fields that the exporter writes, or the servers on the way.
const OTHERS_FIELDS: [&str; 13] = [
    "X-Mailtrip",
    "Message-ID",
    "Date",
    "From",
    "To",
    "Subject",
    "MIME-Version",
    "DKIM-Signature",
    "Received",
    "Return-Path",
    "Authentication-Results",
    "Cc",
    "Bcc",
];
const OTHERS_PREFIXES: [&str; 2] = ["content-", "x-spam-"];

/// The form of the test mail; `None` if nothing is said of it.
pub(super) fn form(
    section: &Section<'_>,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<Form> {
    section.find("mail")?;
    let mail = section.child("mail", report);
    mail.check_keys(Home::Mail, report);
    let form = Form {
        subject: mail.read("subject", report, subject),
        fields: fields(&mail, report),
        body: body(&mail, sources, report),
        size: mail.read("size", report, value::bytes(SIZES)),
        attachment: attachment(&mail, sources, report),
        sample: mail.read("sample", report, value::choice(&SAMPLES)),
        signer: signer(&mail, sources, report),
    };
    (form != Form::default()).then_some(form)
}

/// What the form of the mail needs of the rest.
pub(super) fn check(target: &Target, section: &Section<'_>, report: &mut Report) {
    let Some(form) = target.form() else { return };
    let mail = section.child("mail", report);
    if let (Some(size), Some(found)) = (form.size, mail.find("size"))
        && let Some(least) = least_size(target.addressed()).filter(|least| *least > size)
    {
        let least = WrittenBytes(least);
        report.add(
            found.place.problem(format!("must be at least {least}, for the rest of the mail")),
        );
    }
    if form.sample == Some(Sample::Eicar)
        && form.attachment.is_some()
        && let Some(found) = mail.find("sample")
    {
        let message = "is attached itself; leave `attachment` out";
        report.add(found.place.problem(message));
    }
    if form.signer.is_some() && !target.send.endpoint.mx {
        let place = mail.child("dkim", report).place().clone();
        let message =
            "needs `send.mx: true`: a relay signs what is handed to it, if it is to be signed";
        report.add(place.problem(message));
    }
}

fn subject(node: &Node) -> Result<Template, String> {
    let line = value::line(node)?;
    if line.chars().count() > MOST_SUBJECT_CHARS {
        return Err(format!("must be at most {MOST_SUBJECT_CHARS} characters"));
    }
    template(&line)
}

fn template(text: &str) -> Result<Template, String> {
    Template::parse(text).map_err(|error| error.to_string())
}

/// Those of the target replace those of the defaults.
fn fields(mail: &Section<'_>, report: &mut Report) -> Vec<(String, Option<Template>)> {
    let mut fields: Vec<(String, Option<Template>)> = Vec::new();
    if mail.find("headers").is_none() {
        return fields;
    }
    let headers = mail.child("headers", report);
    for (place, name, node) in headers.entries() {
        let Some(value) = report.accept(&place, field(name, node)) else { continue };
        match fields.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some(known) => *known = (name.to_owned(), value),
            None => fields.push((name.to_owned(), value)),
        }
    }
    if fields.len() > MOST_FIELDS {
        report.add(headers.place().problem(format!("must be at most {MOST_FIELDS} fields")));
    }
    fields
}

/// The value of a field, or `None` where it is to be left out.
fn field(name: &str, node: &Node) -> Result<Option<Template>, String> {
    // RFC 5322 section 3.6.8.
    let is_of_name = |byte: u8| (33..=126).contains(&byte) && byte != b':';
    if !(1..=MOST_NAME_CHARS).contains(&name.len()) || !name.bytes().all(is_of_name) {
        return Err(format!(
            "is no name of a field: it must be 1 to {MOST_NAME_CHARS} printable ASCII characters without a colon"
        ));
    }
    let lower = name.to_ascii_lowercase();
    if OTHERS_FIELDS.iter().any(|own| own.eq_ignore_ascii_case(name))
        || OTHERS_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
    {
        let message = "is a field that the exporter itself or a server on the way writes; choose another \
                       (`subject` has a key of its own)";
        return Err(message.to_owned());
    }
    if matches!(&node.value, Value::Scalar { text, .. } if text.is_empty() && !node.is_null()) {
        return Ok(None);
    }
    let value = value::line(node)?;
    if value.chars().count() > MOST_VALUE_CHARS {
        return Err(format!("must be at most {MOST_VALUE_CHARS} characters"));
    }
    if lower == "auto-submitted" && value.trim().to_ascii_lowercase().starts_with("auto-replied") {
        let message =
            "cannot be auto-replied: an automatic answer is never taken for the test mail";
        return Err(message.to_owned());
    }
    template(&value).map(Some)
}

/// One of two keys, that of the nearest layer which has one.
fn one_of<'a>(section: &Section<'a>, keys: [&str; 2], report: &mut Report) -> Option<Found<'a>> {
    [Level::Own, Level::Defaults].into_iter().find_map(|level| {
        let mut found = keys.iter().filter_map(|key| section.find_in(level, key));
        let first = found.next()?;
        if let Some(other) = found.next() {
            let [one, two] = keys;
            report.add(other.place.problem(format!("stands beside `{one}`; keep that or `{two}`")));
        }
        Some(first)
    })
}

fn body(
    mail: &Section<'_>,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<Arc<BodyText>> {
    let found = one_of(mail, ["body", "body_file"], report)?;
    let body = match found.place.key.ends_with("body_file") {
        true => file(&found, sources, MOST_BODY_BYTES).and_then(|file| {
            let text =
                std::str::from_utf8(&file.pem).map_err(|_| "names a file that is not UTF-8")?;
            // Editors of Windows put it before the text.
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            Ok(BodyText { text: lines(text)?, file: Some(file.path) })
        }),
        false => value::text(found.node).and_then(lines).map(|text| BodyText { text, file: None }),
    };
    report.accept(&found.place, body).map(|body| sources.shared_body(body))
}

/// A text of several lines.
fn lines(text: &str) -> Result<Template, String> {
    let mut text = text.replace("\r\n", "\n");
    if text.len() > MOST_BODY_BYTES {
        return Err(format!("must be at most {}", WrittenBytes(MOST_BODY_BYTES as u64)));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err("must be lines without control characters".to_owned());
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    template(&text)
}

/// What is in the file that is named here.
fn file(found: &Found<'_>, sources: &mut Sources<'_>, most: usize) -> Result<PemFile, String> {
    let path = value::line(found.node)?;
    let file = sources.pem(found.place.folder(), &path)?;
    if file.pem.len() > most {
        return Err(format!("names a file of more than {}", WrittenBytes(most as u64)));
    }
    Ok(file)
}

fn attachment(
    mail: &Section<'_>,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<Attachment> {
    mail.find("attachment")?;
    let attachment = mail.child("attachment", report);
    attachment.check_keys(Home::Attachment, report);
    let name = attachment.read("name", report, file_name);
    let data = match one_of(&attachment, ["size", "file"], report) {
        Some(found) if found.place.key.ends_with("file") => {
            let file = file(&found, sources, MOST_FILE_BYTES);
            let PemFile { path, pem } = report.accept(&found.place, file)?;
            AttachedData::File { path, bytes: pem }
        }
        Some(_) => AttachedData::Meaningless(attachment.read(
            "size",
            report,
            value::bytes(ATTACHED_SIZES),
        )?),
        None if mail.find("size").is_some() => AttachedData::Filling,
        None => {
            attachment.miss(
                "size",
                "write it, or `file`, or `mail.size`, which the attachment then fills",
                report,
            );
            return None;
        }
    };
    let of_file = match &data {
        AttachedData::File { path, .. } => name_of(path),
        AttachedData::Filling | AttachedData::Meaningless(_) => None,
    };
    let name = name.or(of_file).unwrap_or_else(|| FILE_NAME.to_owned());
    Some(Attachment { name, data })
}

fn file_name(node: &Node) -> Result<String, String> {
    let name = value::line(node)?;
    is_file_name(&name).then_some(name).ok_or_else(|| {
        format!(
            "must be at most {MOST_FILE_NAME_CHARS} printable ASCII characters without quotes, slashes and \
             backslashes"
        )
    })
}

fn is_file_name(name: &str) -> bool {
    let fits = |byte: u8| (32..=126).contains(&byte) && !matches!(byte, b'"' | b'\\' | b'/');
    (1..=MOST_FILE_NAME_CHARS).contains(&name.len()) && name.bytes().all(fits)
}

/// The name of a file, if an attachment can have it.
fn name_of(path: &Path) -> Option<String> {
    path.file_name()?.to_str().filter(|name| is_file_name(name)).map(str::to_owned)
}

fn signer(mail: &Section<'_>, sources: &mut Sources<'_>, report: &mut Report) -> Option<Signer> {
    mail.find("dkim")?;
    let dkim = mail.child("dkim", report);
    dkim.check_keys(Home::Dkim, report);
    let domain = dkim.require("domain", "the domain that signs", report, value::server_name);
    let advice = "the name of the key below `_domainkey`";
    let selector = dkim.require("selector", advice, report, selector);
    let advice = "the file of the private key";
    let key = dkim.require("key_file", advice, report, written::path_of_secret);
    let found = dkim.find("key_file")?;
    let key = report.accept(&found.place, sources.pem(found.place.folder(), key?));
    let (domain, selector, key) = (domain?, selector?, key?);
    let signer = Signer::new(domain, selector, key);
    report.accept(&found.place, signer.map_err(|bad| format!("names a file that {bad}")))
}

/// Labels of a name in the DNS (RFC 6376 section 3.1).
fn selector(node: &Node) -> Result<String, String> {
    let text = value::line(node)?;
    let label = |label: &str| {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(word)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() <= 200 && text.split('.').all(label) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("must be a name such as s1 or 2026.mail, of letters, digits, - and dots".to_owned())
}
