//! Answers that are too large to be written out, and those made from the proper one.

use std::fmt;
use std::sync::Arc;

/// Many answers that differ by a number: `{n}` in `each` stands for 1, 2, 3 and so on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// What stands before them, as it is.
    pub head: Vec<u8>,
    /// One of them; a line end is not added.
    pub each: String,
    /// How many there are; [`Series::ENDLESS`] until the client goes away.
    pub count: u64,
    /// What stands behind them: with the placeholders of a [`Reply`](super::Fault::Reply), and
    /// nothing if it is empty.
    pub tail: String,
}

impl Series {
    /// More than any client waits for.
    pub const ENDLESS: u64 = u64::MAX;
}

/// An answer by HTTP, its length told as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    status: u16,
    fields: String,
    body: String,
}

impl HttpAnswer {
    /// With this status, no more fields, and no body.
    pub fn new(status: u16) -> Self {
        Self { status, fields: String::new(), body: String::new() }
    }

    /// A redirect to this place.
    pub fn redirect(location: &str) -> Self {
        Self::new(307).field("Location", location)
    }

    /// With one more field.
    pub fn field(self, name: &str, value: &str) -> Self {
        Self { fields: format!("{}{name}: {value}\r\n", self.fields), ..self }
    }

    /// With this body, in which the placeholders of a [`Reply`](super::Fault::Reply) stand for what they do there.
    pub fn body(self, body: impl Into<String>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// Its bytes, the placeholders of the body filled in.
    pub(crate) fn written(&self, fill_in: impl Fn(&str) -> String) -> Vec<u8> {
        let Self { status, fields, body } = self;
        let body = fill_in(body);
        let length = body.len();
        format!("HTTP/1.1 {status} Scripted\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
            .into_bytes()
    }
}

/// Makes another answer of the proper one.
#[derive(Clone)]
pub struct Alteration(Arc<dyn Fn(Vec<u8>) -> Vec<u8> + Send + Sync>);

impl Alteration {
    /// By this function.
    pub fn new(alter: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self(Arc::new(alter))
    }

    pub(crate) fn apply(&self, answer: Vec<u8>) -> Vec<u8> {
        (self.0)(answer)
    }
}

impl fmt::Debug for Alteration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alteration").finish_non_exhaustive()
    }
}

/// The same function, not one that does the same.
impl PartialEq for Alteration {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Alteration {}
