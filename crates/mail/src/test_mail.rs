//! The test mail: how it is made, and how it is known again.
//!
//! Known again is only a mail whose token is live, that is known to one of our ledgers: by its
//! `X-Mailtrip` header, or where a filter has taken that away, by our Message-ID or by a Subject
//! with the token from our sender. A reply, a forward, a vacation answer or a bounce is never ours.
//! Relays add In-Reply-To and References to a mail whose Message-ID they replace, so these make an
//! answer only of a mail that is known by nothing but its Subject. Whoever waits for answers asks for them
//! ([`Header::answered`]).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lettre::Address;
use lettre::message::header::{HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Mailbox, Message};
use mail_parser::parsers::MessageStream;
use mail_parser::{MessageParser, MimeHeaders};

use ledger::{Instance, Token};

use crate::content::mime::Layout;
use crate::content::{Content, Form, Values};
use crate::dkim::Signer;
use crate::header::bounded;
use answer::{Answer, BEHIND_TOKEN, is_by_mail_system};
pub(crate) use stamps::{date, received_date};
use stamps::{newest_received, stamps};

mod answer;
mod body;
mod stamps;

/// The header fields that show whether a mail is ours, an answer to one of ours, or what a mail system has written:
/// whoever reads no whole header asks for these.
pub(crate) const FIELDS: [&str; 10] = [
    "X-Mailtrip",
    "Message-ID",
    "Subject",
    "From",
    "In-Reply-To",
    "References",
    "Content-Type",
    "Auto-Submitted",
    "Return-Path",
    "X-Failed-Recipients",
];

/// For whom a test mail is made.
#[derive(Debug, Clone, Copy)]
pub struct Addressed<'a> {
    /// The name of the target, for whoever finds the mail.
    pub target: &'a str,
    /// The sender.
    pub from: &'a Address,
    /// The recipient.
    pub to: &'a Address,
    /// How often such a mail is sent.
    pub interval: Duration,
    /// From which age on anybody may remove it.
    pub lost_after: Duration,
    /// Whether an automatic answer is wanted.
    pub wants_answer: bool,
    /// What the configuration wants it to be like; `None`: nothing.
    pub form: Option<&'a Form>,
}

/// Why a test mail cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Unwritten {
    /// The addresses do not make a message.
    #[error("{0}")]
    Message(#[from] lettre::error::Error),
    /// It cannot be signed.
    #[error("it cannot be signed: {0}")]
    Signature(#[from] openssl::error::ErrorStack),
}

/// Writes the test mail as [`compose`] does, and signs it where its form says so. The hash of a large one takes
/// a while, in which others have their turn.
///
/// # Errors
/// See [`Unwritten`].
pub async fn write(
    addressed: Addressed<'_>,
    token: Token,
    instance: Instance,
    now: SystemTime,
    host: &str,
) -> Result<Content, Unwritten> {
    let content = compose(addressed, token, instance, now, host)?;
    match addressed.form.and_then(|form| form.signer.as_ref()) {
        Some(signer) => Ok(signer.sign(content, now).await?),
        None => Ok(content),
    }
}

/// Writes the test mail with this token, complete by RFC 5322, with CRLF line ends; without a signature, for
/// which its size leaves room.
///
/// It is a MIME message by its own word (RFC 2045 section 4): filters hold the lack of that against a mail.
/// It is loop-safe: `Auto-Submitted` (RFC 3834) and its relatives keep vacation responders and list
/// servers silent, unless an answer is wanted. Its body says to people what it is and how to stop it. Its form
/// may say otherwise; what it is known by again but the Subject is always there.
///
/// # Errors
/// lettre's, if the addresses do not make a message.
pub fn compose(
    addressed: Addressed<'_>,
    token: Token,
    instance: Instance,
    now: SystemTime,
    host: &str,
) -> Result<Content, lettre::error::Error> {
    let mark = Mark { token, expires: now + addressed.lost_after };
    let values = Values { token, target: addressed.target, time: now };
    let nothing = Form::default();
    let form = addressed.form.unwrap_or(&nothing);
    let text = form.body.as_ref().map(|body| body.text.fill(values));
    let mut text = text.unwrap_or_else(|| body::text(addressed, instance, host));
    let sampled = form.sample.map(|sample| sample.put_into(form, &mut text));
    let form = sampled.as_ref().unwrap_or(form);
    let layout = Layout::new(form, text, token);
    let mut message = Message::builder()
        .from(Mailbox::new(None, addressed.from.clone()))
        .to(Mailbox::new(None, addressed.to.clone()))
        .subject(form.subject_of(values))
        .date(now)
        .message_id(Some(message_id(token, addressed.from)))
        .header(MIME_VERSION_1_0)
        .header(layout.content_type())
        .body(layout.beginning())?;
    let silencers = SILENCERS.iter().filter(|_| !addressed.wants_answer);
    let own = [("X-Mailtrip", mark.write(addressed.target, instance, now))]
        .into_iter()
        .chain(silencers.map(|(name, value)| (*name, (*value).to_owned())))
        .map(|(name, value)| (name, Some(value)));
    let wanted = form
        .fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_ref().map(|value| value.fill(values))));
    let headers = message.headers_mut();
    for (name, value) in own.chain(wanted) {
        match (HeaderName::new_from_ascii(name.to_owned()), value) {
            (Ok(name), Some(value)) => headers.insert_raw(HeaderValue::new(name, value)),
            (Ok(_), None) => drop(headers.remove_raw(name)),
            (Err(_), _) => {}
        }
    }
    let reserved = form.signer.as_ref().map_or(0, Signer::field_size);
    Ok(layout.finish(message.formatted(), u64::try_from(reserved).unwrap_or_default()))
}

/// The least size that a mail of this form can be asked to have, in bytes, with room for the name of any host; `None` if
/// it cannot be written at all.
pub fn least_size(addressed: Addressed<'_>) -> Option<u64> {
    // A text is encoded in another way where padding may follow it.
    let form = addressed.form.map(|form| Form { size: form.size.map(|_| 0), ..form.clone() });
    let longest_host = "h".repeat(HOST_CHARS);
    let addressed = Addressed { form: form.as_ref(), ..addressed };
    let token = Token::from(0);
    let content = compose(addressed, token, token, UNIX_EPOCH, &longest_host).ok()?;
    let signer = form.as_ref().and_then(|form| form.signer.as_ref());
    let signature = u64::try_from(signer.map_or(0, Signer::field_size)).ok()?;
    Some(content.size() + signature)
}

/// Whether the mail is known by its Subject where its X-Mailtrip was removed and its Message-ID written anew on the
/// way, as gateways do.
pub fn is_known_by_subject(addressed: Addressed<'_>) -> bool {
    let form = addressed.form.map(|form| Form { size: None, ..form.clone() });
    let addressed = Addressed { form: form.as_ref(), ..addressed };
    // Without a digit that a place next to it could continue.
    let token = Token::from(u128::MAX / 3);
    let Ok(content) = compose(addressed, token, token, UNIX_EPOCH, "host.example") else {
        return false;
    };
    let header = String::from_utf8_lossy(content.header());
    let mut is_left = true;
    let mut left = String::with_capacity(header.len());
    for line in header.split_inclusive('\n') {
        if !line.starts_with([' ', '\t']) {
            let name = line.split(':').next().unwrap_or_default();
            is_left = !["X-Mailtrip", "Message-ID"].iter().any(|it| it.eq_ignore_ascii_case(name));
        }
        if is_left {
            left.push_str(line);
        }
    }
    let header = Header::parse(left.as_bytes());
    let sender_of = |known: Token| (known == token).then(|| addressed.from.clone());
    !header.is_delivery_report && header.claim(sender_of) == Some(token)
}

/// What keeps responders and list servers silent (RFC 3834 section 5; Exchange; an old custom).
const SILENCERS: [(&str, &str); 3] = [
    ("Auto-Submitted", "auto-generated"),
    ("X-Auto-Response-Suppress", "All"),
    ("Precedence", "bulk"),
];

/// The longest name of a host in the DNS.
const HOST_CHARS: usize = 253;

impl Form {
    /// The Subject of the mail with these values.
    pub fn subject_of(&self, values: Values<'_>) -> String {
        let own = self.subject.as_ref().map(|subject| subject.fill(values));
        own.unwrap_or_else(|| subject(values.token))
    }
}

/// The Subject of the test mail with this token, where its form has no other.
pub fn subject(token: Token) -> String {
    format!("Mail round-trip test {token}")
}

fn message_id(token: Token, from: &Address) -> String {
    format!("<{token}{BEHIND_TOKEN}{}>", from.domain())
}

/// What the `X-Mailtrip` header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The mail's id.
    pub token: Token,
    /// From when on anybody may remove the mail.
    pub expires: SystemTime,
}

impl Mark {
    fn write(&self, target: &str, instance: Instance, sent: SystemTime) -> String {
        format!(
            "v=1; token={}; target={}; instance={instance}; sent={}; expires={}",
            self.token,
            percent_encode(target),
            humantime::format_rfc3339_seconds(sent),
            humantime::format_rfc3339_seconds(self.expires),
        )
    }

    fn parse(value: &str) -> Option<Self> {
        let mut version = None;
        let mut token = None;
        let mut expires = None;
        for field in value.split(';') {
            let Some((key, value)) = field.split_once('=') else { continue };
            let value = value.trim();
            match key.trim() {
                "v" => version = Some(value),
                "token" => token = value.parse().ok(),
                "expires" => expires = humantime::parse_rfc3339(value).ok(),
                _ => {}
            }
        }
        (version == Some("1")).then_some(Self { token: token?, expires: expires? })
    }
}

/// Keeps a header value ASCII, and free of what separates its fields.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// What the header of a mail in the mailbox says about whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// What an `X-Mailtrip` header says; `None` if there is none, it makes no sense, or the mail
    /// is a report or an automatic answer.
    pub mark: Option<Mark>,
    has_mark_header: bool,
    message_id_token: Option<Token>,
    subject_token: Option<Token>,
    from: Option<String>,
    /// A report or an automatic answer, whatever else is in it.
    is_automatic: bool,
    /// A reply, as far as In-Reply-To and References show.
    is_reply: bool,
    answer: Answer,
    /// A report (RFC 6522) that may say what became of a mail of ours, or what a mail system sends in
    /// the place of one: only its parts show which.
    pub is_delivery_report: bool,
    /// When the newest `Received` header was written.
    pub received: Option<SystemTime>,
    /// Whether that is the only one: by the server that accepted the mail.
    pub is_stamped_once: bool,
    /// Whether there are more: it went on from the server that accepted it.
    pub is_stamped_again: bool,
}

impl Header {
    /// Reads a header block; hostile input gives at worst nothing.
    pub fn parse(block: &[u8]) -> Self {
        let block = bounded(block);
        let Some(message) = MessageParser::default().parse_headers(&*block) else {
            return Self::default();
        };
        let raw = |name: &'static str| message.header_raw(name).map(unfold);
        let mark = raw("X-Mailtrip").map(|value| decoded(&value));
        let kind = message.content_type();
        let is_multipart = |wanted: &str| {
            kind.is_some_and(|kind| {
                kind.ctype().eq_ignore_ascii_case("multipart")
                    && kind.subtype().is_some_and(|subtype| subtype.eq_ignore_ascii_case(wanted))
            })
        };
        let is_report = is_multipart("report");
        let is_of_delivery = kind
            .and_then(|kind| kind.attribute("report-type"))
            .is_none_or(|of| of.trim().eq_ignore_ascii_case("delivery-status"));
        let is_present = |name| raw(name).is_some_and(|value| !value.is_empty());
        let answers_by_itself = raw("Auto-Submitted")
            .is_some_and(|value| value.to_ascii_lowercase().starts_with("auto-replied"));
        let is_automatic = is_report || answers_by_itself;
        let has_mark_header = mark.is_some();
        let mark = mark.as_deref().and_then(Mark::parse).filter(|_| !is_automatic);
        let message_id_token: Option<Token> = message
            .message_id()
            .and_then(|id| id.split_once(BEHIND_TOKEN).and_then(|(token, _)| token.parse().ok()));
        let stamp_count = stamps(&message).take(2).count();
        let header = Self {
            has_mark_header,
            mark,
            message_id_token,
            subject_token: message.subject().and_then(Token::find),
            from: message
                .from()
                .and_then(|from| from.first())
                .and_then(|from| from.address())
                .map(str::to_ascii_lowercase),
            is_automatic,
            is_reply: is_present("In-Reply-To") || is_present("References"),
            answer: Answer::read(&message, is_report),
            is_delivery_report: is_report && is_of_delivery,
            received: newest_received(&message),
            is_stamped_once: stamp_count == 1,
            is_stamped_again: stamp_count > 1,
        };
        // No mail system writes a mark or our Message-ID into the header of its report; a gateway that wraps a mail
        // keeps them.
        let is_wrapped_report = is_multipart("mixed") && is_from_mail_system(&message);
        let is_delivery_report =
            header.is_delivery_report || (is_wrapped_report && !header.is_test_mail());
        Self { is_delivery_report, ..header }
    }

    /// The tokens in this header of a mail that came back in a report: by its mark, and by its
    /// Message-ID. Only the owner of a token knows whether it is alive.
    pub fn returned_tokens(&self) -> impl Iterator<Item = Token> + use<> {
        self.mark.map(|mark| mark.token).into_iter().chain(self.message_id_token)
    }

    /// Whether the mail carries this token, in its mark, its Message-ID or its Subject.
    pub fn carries(&self, token: Token) -> bool {
        self.returned_tokens().chain(self.subject_token).any(|carried| carried == token)
    }

    /// Whether the mail carries this token, or names it as what it answers. Anybody's reply does.
    pub fn names(&self, token: Token) -> bool {
        self.carries(token) || self.answer.tokens().any(|answered| answered == token)
    }

    /// Whether this is the address in From.
    pub fn is_from(&self, address: &str) -> bool {
        self.from.as_deref().is_some_and(|from| from.eq_ignore_ascii_case(address))
    }

    /// The live token of this mail, if it is ours. `sender_of` gives the sender of the target that
    /// a token belongs to, and `None` for a token that nobody knows.
    pub fn claim(&self, sender_of: impl Fn(Token) -> Option<Address>) -> Option<Token> {
        if self.is_automatic {
            return None;
        }
        if self.has_mark_header {
            return self.mark.map(|mark| mark.token).filter(|token| sender_of(*token).is_some());
        }
        if let Some(token) = self.message_id_token.filter(|token| sender_of(*token).is_some()) {
            return Some(token);
        }
        let token = self.subject_token.filter(|_| !self.is_reply)?;
        let sender = sender_of(token)?.to_string().to_ascii_lowercase();
        (self.from.as_deref() == Some(sender.as_str())).then_some(token)
    }

    /// Whether it is the header of a test mail, of anybody, and not of what answers one.
    pub fn is_test_mail(&self) -> bool {
        self.mark.is_some() || (!self.is_automatic && self.message_id_token.is_some())
    }

    /// The token of the mail that this one answers (RFC 5322 section 3.6.4), whoever wrote it: by In-Reply-To, by
    /// what is newest in References, or by its Subject. `wants` says whether an answer to the mail with a token
    /// is waited for. A report and what a mail system writes is no answer.
    pub fn answered(&self, wants: impl Fn(Token) -> bool) -> Option<Token> {
        if self.is_delivery_report {
            return None;
        }
        let other = self.message_id_token.into_iter().chain(self.subject_token);
        self.answer.tokens().chain(other).filter(|_| self.answer.is_one).find(|it| wants(*it))
    }

    /// The same header of what may be a report by its type and was read and is none: it may be an answer, and
    /// nothing else.
    #[must_use]
    pub fn of_no_report(self) -> Self {
        Self { is_delivery_report: false, is_automatic: true, mark: None, ..self }
    }
}

fn unfold(value: &str) -> String {
    value.replace(['\r', '\n'], "").trim().to_owned()
}

/// What a gateway that encodes long fields (RFC 2047) has made of a value, undone.
fn decoded(value: &str) -> String {
    if !value.contains("=?") {
        return value.to_owned();
    }
    let line = format!("{value}\n");
    let text = MessageStream::new(line.as_bytes()).parse_unstructured();
    text.as_text().map_or_else(|| value.to_owned(), str::to_owned)
}

/// Whether a mail says that no person sent it: by the null sender (RFC 5321, section 4.5.5) or by the name
/// under which mail systems write. Such a mail may be a report under a type that does not show it; to read
/// every mail with attachments for that would be to read people's mail.
fn is_from_mail_system(message: &mail_parser::Message<'_>) -> bool {
    let raw = |name: &'static str| message.header_raw(name).map(unfold);
    if ["Return-Path", "From"].into_iter().any(|name| raw(name).as_deref() == Some("<>")) {
        return true;
    }
    is_by_mail_system(message)
}

#[cfg(test)]
mod tests;
