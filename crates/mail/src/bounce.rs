//! Reading delivery status notifications (RFC 3464) in a `multipart/report` (RFC 6522), or in a
//! `multipart/mixed` as some servers have it: what became of a mail for each recipient, and which mail
//! it is.
//!
//! Pure. A mail is a notification by its structure alone, never by its subject or its sender; prose
//! that only people understand is not guessed at. Lenient in what it reads: a field that makes no
//! sense is as good as missing, a field of a recipient may stand in the group about the mail, and a
//! report that is cut off counts up to the cut.

use ledger::Action;

use mail_parser::{Message, MessageParser, MessagePart, MimeHeaders};

/// How much of a notification is worth reading, in bytes: what concerns us stands at its beginning,
/// and some servers return the whole mail behind it.
pub const REPORT_BYTES: usize = 64 << 10;
/// The most lines of a notification that are read, and the most bytes of one: a parser makes a part or
/// a field of each.
const REPORT_LINES: usize = 2000;
const LINE_BYTES: usize = 8 << 10;
/// The most recipients of one report; a test mail has one, and an alias may make some of it.
const RECIPIENTS: usize = 100;
/// In how many words at the beginning of a server's reply its enhanced code is looked for.
const CODE_WORDS: usize = 3;

/// A comment may follow, as behind any word of a header. `expired` is what a sending service writes
/// when it gives up.
fn action(value: &[u8]) -> Option<Action> {
    let word = words(value).next()?;
    let word = word.strip_suffix(b";").unwrap_or(word);
    let all =
        [Action::Failed, Action::Delayed, Action::Delivered, Action::Relayed, Action::Expanded];
    let is_known = |action: &Action| word.eq_ignore_ascii_case(action.label().as_bytes());
    let expired = word.eq_ignore_ascii_case(b"expired").then_some(Action::Failed);
    all.into_iter().find(is_known).or(expired)
}

/// A delivery status notification. Its bytes are the sending servers' words: as they came, to be
/// made harmless before they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DsnReport {
    /// `Original-Envelope-Id`: what the sender's ENVID said (RFC 3461 section 4.4), decoded.
    pub envelope_id: Option<Vec<u8>>,
    /// The server that wrote the report.
    pub reporting_server: Option<Vec<u8>>,
    /// What became of the mail for each recipient; at most 100 of them.
    pub recipients: Vec<Recipient>,
    /// The header of the returned mail; empty if none came back.
    pub returned_header: Vec<u8>,
}

/// What became of a mail for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// What became of it.
    pub action: Action,
    /// The enhanced status code (RFC 3463), as `5.1.1`.
    pub code: Option<String>,
    /// The server that the mail was to be handed to.
    pub remote_server: Option<Vec<u8>>,
    /// The words of whoever refused the mail or makes it wait, without line breaks.
    pub text: Option<Vec<u8>>,
}

impl DsnReport {
    /// Reads a mail, or its beginning; `None` if it is no delivery status notification. Of more than
    /// [`REPORT_BYTES`] the rest is passed over.
    pub fn parse(mail: &[u8]) -> Option<Self> {
        let mail = beginning(mail);
        let message = MessageParser::default().parse(mail)?;
        let parts = report_parts(&message)?;
        let status = parts.iter().find(|part| {
            is_type(part, "message", &["delivery-status", "global-delivery-status"])
        })?;
        let groups = groups(status.contents());
        let about_mail = groups.first()?;
        let recipients: Vec<Recipient> =
            groups.iter().filter_map(recipient).take(RECIPIENTS).collect();
        Some(Self {
            envelope_id: about_mail.value("Original-Envelope-Id").map(decode_xtext),
            reporting_server: about_mail.value("Reporting-MTA").map(without_type),
            recipients,
            returned_header: parts.iter().find_map(returned_header).unwrap_or_default(),
        })
    }

    /// What became of the mail, at worst; `None` if the report does not say.
    pub fn worst(&self) -> Option<&Recipient> {
        // Of several equals the first.
        self.recipients.iter().rev().max_by_key(|recipient| recipient.action)
    }
}

/// As much of a mail as is read.
fn beginning(mail: &[u8]) -> &[u8] {
    let mail = mail.get(..REPORT_BYTES).unwrap_or(mail);
    let lines = mail.split_inclusive(|byte| *byte == b'\n').take(REPORT_LINES);
    let read: usize = lines.map(<[u8]>::len).take_while(|length| *length <= LINE_BYTES).sum();
    mail.get(..read).unwrap_or(mail)
}

/// The parts of a mail that may be a delivery report, as far as its type shows; those of a mail that is
/// attached to it are not among them.
fn report_parts<'m, 'x>(message: &'m Message<'x>) -> Option<Vec<&'m MessagePart<'x>>> {
    let root = message.parts.first()?;
    let kind = root.content_type()?;
    let is_report = is_type(&root, "multipart", &["report"])
        && kind
            .attribute("report-type")
            .is_none_or(|kind| kind.trim().eq_ignore_ascii_case("delivery-status"));
    let may_be_report = is_report || is_type(&root, "multipart", &["mixed"]);
    may_be_report.then(|| message.parts.iter().skip(1).collect())
}

fn is_type(part: &&MessagePart<'_>, main: &str, subtypes: &[&str]) -> bool {
    part.content_type().is_some_and(|kind| {
        kind.ctype().eq_ignore_ascii_case(main)
            && kind
                .subtype()
                .is_some_and(|it| subtypes.iter().any(|known| it.eq_ignore_ascii_case(known)))
    })
}

/// The header of the mail that this part returns, whole or as a header alone.
fn returned_header(part: &&MessagePart<'_>) -> Option<Vec<u8>> {
    let is_returned = is_type(part, "message", &["rfc822", "global", "global-headers"])
        || is_type(part, "text", &["rfc822-headers"]);
    if !is_returned {
        return None;
    }
    let mut header = Vec::new();
    for line in lines(part.contents()).take_while(|line| !line.is_empty()) {
        header.extend_from_slice(line);
        header.extend_from_slice(b"\r\n");
    }
    Some(header)
}

/// A group of fields, each with its value unfolded.
#[derive(Default)]
struct Group(Vec<(Vec<u8>, Vec<u8>)>);

impl Group {
    fn value(&self, name: &str) -> Option<&[u8]> {
        let (_, value) =
            self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))?;
        (!value.is_empty()).then_some(value)
    }

    /// Whether this line begins a field of a recipient that a group has once.
    fn has_another_of(&self, line: &[u8]) -> bool {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii();
        ["Action", "Final-Recipient"].iter().any(|it| name.eq_ignore_ascii_case(it.as_bytes()))
            && self.0.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    fn push_line(&mut self, line: &[u8]) {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            if let Some((_, value)) = self.0.last_mut() {
                value.push(b' ');
                value.extend_from_slice(line.trim_ascii());
            }
        } else if let Some(colon) = line.iter().position(|byte| *byte == b':') {
            let (name, value) = line.split_at_checked(colon).unwrap_or_default();
            let value = value.get(1..).unwrap_or_default();
            self.0.push((name.trim_ascii().to_vec(), value.trim_ascii().to_vec()));
        }
    }
}

/// The groups of a report: the first about the mail, the rest each about a recipient. Some servers leave
/// out the empty line before a recipient: a second one begins a group all the same.
fn groups(text: &[u8]) -> Vec<Group> {
    let mut groups = vec![Group::default()];
    for line in lines(text) {
        let is_full = |group: &Group| {
            let is_end = line.trim_ascii().is_empty();
            (is_end && !group.0.is_empty()) || group.has_another_of(line)
        };
        if groups.last().is_some_and(is_full) {
            groups.push(Group::default());
        }
        if let Some(group) = groups.last_mut() {
            group.push_line(line);
        }
    }
    groups
}

/// Some servers write what became of the mail into the group about the mail. Without an action that
/// makes sense a permanent failure is one by its code (RFC 3463 section 2).
fn recipient(group: &Group) -> Option<Recipient> {
    let text = group.value("Diagnostic-Code").map(without_type);
    let status = group.value("Status").and_then(|value| words(value).find_map(enhanced_code));
    let is_permanent = status.as_deref().is_some_and(|status| status.starts_with('5'));
    let action = group.value("Action").and_then(action);
    let action = action.or(is_permanent.then_some(Action::Failed))?;
    Some(Recipient {
        action,
        code: exact_code(status, text.as_deref()),
        remote_server: group.value("Remote-MTA").map(without_type),
        text,
    })
}

/// Some servers report `5.0.0` for every failure, and the remote server's own code stands only in
/// its words.
fn exact_code(status: Option<String>, text: Option<&[u8]>) -> Option<String> {
    if status.as_deref().is_some_and(|status| !status.ends_with(".0.0")) {
        return status;
    }
    let mut said = words(text.unwrap_or_default()).take(CODE_WORDS).filter_map(enhanced_code);
    let class = |code: &str| code.split('.').next().map(str::to_owned);
    match &status {
        Some(status) => said.find(|code| class(code) == class(status)).or(Some(status.clone())),
        None => said.next(),
    }
}

/// `5.1.1`, alone or behind the code of a reply: `550-5.1.1`, `#5.1.0`.
fn enhanced_code(word: &[u8]) -> Option<String> {
    let word = std::str::from_utf8(word).ok()?;
    let word = word.rsplit(['-', '#']).next()?.trim_end_matches([';', ':', ',']);
    let mut parts = word.split('.');
    let class = parts.next().filter(|class| matches!(*class, "2" | "4" | "5"));
    let is_number = |part: &str| {
        (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_code = class.is_some()
        && parts.next().is_some_and(is_number)
        && parts.next().is_some_and(is_number)
        && parts.next().is_none();
    is_code.then(|| word.to_owned())
}

/// `dns; mail.example` without what kind of name or code it is.
fn without_type(value: &[u8]) -> Vec<u8> {
    let rest = value.iter().position(|byte| *byte == b';').and_then(|at| value.get(at + 1..));
    rest.unwrap_or(value).trim_ascii().to_vec()
}

/// What xtext means (RFC 3461 section 4): `+2B` is a `+`.
fn decode_xtext(value: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let (byte, after) = match (first, byte) {
            (b'+', Some(byte)) => (byte, after.get(2..).unwrap_or_default()),
            _ => (*first, after),
        };
        decoded.push(byte);
        rest = after;
    }
    decoded
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// The lines, whatever ends them.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

#[cfg(test)]
mod tests;
