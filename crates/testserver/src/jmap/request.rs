//! A question by HTTP.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{API, DOWNLOAD, EVENTS, SESSION, WELL_KNOWN};
use crate::Post;
use crate::wire::{End, Wire};

/// The longest line of a head.
const LINE_BYTES: usize = 16 << 10;
/// The most fields of a head.
const FIELDS: usize = 100;
/// The longest body.
const BODY_BYTES: usize = 1 << 20;

/// One question.
pub(super) struct Request {
    method: String,
    /// The path with its query.
    target: String,
    pub(super) host: String,
    pub(super) authorization: Option<String>,
    /// Whether the client wants the connection closed behind the answer.
    pub(super) closes: bool,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Reads one; `None` if it is none.
    pub(super) async fn read(wire: &mut Wire) -> Result<Option<Self>, End> {
        let line = wire.read_line(LINE_BYTES).await?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let mut words = line.split(' ');
        let (method, target) = (words.next(), words.next());
        let is_http = words.next() == Some("HTTP/1.1");
        let (Some(method), Some(target), true) = (method, target, is_http) else { return Ok(None) };
        let mut request = Self {
            method: method.to_owned(),
            target: target.to_owned(),
            host: String::new(),
            authorization: None,
            closes: false,
            body: Vec::new(),
        };
        let mut length = 0;
        for _ in 0..FIELDS {
            let field = wire.read_line(LINE_BYTES).await?;
            if field.is_empty() {
                if length > BODY_BYTES {
                    return Ok(None);
                }
                request.body = wire.read_bytes(length).await?;
                return Ok(Some(request));
            }
            let field = String::from_utf8_lossy(&field).into_owned();
            let Some((name, value)) = field.split_once(':') else { return Ok(None) };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "host" => request.host = value.to_owned(),
                "authorization" => request.authorization = Some(value.to_owned()),
                "connection" => request.closes = value.eq_ignore_ascii_case("close"),
                "content-length" => match value.parse() {
                    Ok(told) => length = told,
                    Err(_) => return Ok(None),
                },
                _ => {}
            }
        }
        Ok(None)
    }

    /// The line that the record keeps of it.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The value of a variable of the query, as it is written.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// At which point of the script it is.
    pub(super) fn point(&self) -> &'static str {
        match (self.method.as_str(), self.path()) {
            ("GET", WELL_KNOWN | SESSION) => "SESSION",
            ("POST", API) => "API",
            ("GET", EVENTS) => "EVENTS",
            ("GET", path) if path.starts_with(DOWNLOAD) => "DOWNLOAD",
            _ => "NOTHING",
        }
    }

    /// The user and the password that it claims: those of RFC 7617, or the token of RFC 6750, which is the password
    /// of an account.
    pub(super) fn credentials(&self, post: &Post) -> Option<(String, String)> {
        let (scheme, value) = self.authorization.as_deref()?.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("Bearer") {
            let user = post.user_of_password(value).unwrap_or_default();
            return Some((user, value.to_owned()));
        }
        let pair = BASE64_STANDARD.decode(value).ok()?;
        let pair = String::from_utf8(pair).ok()?;
        let (user, password) = pair.split_once(':')?;
        scheme.eq_ignore_ascii_case("Basic").then(|| (user.to_owned(), password.to_owned()))
    }
}
