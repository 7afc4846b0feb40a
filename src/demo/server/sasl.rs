//! The credentials in SASL responses, as the three protocols share them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// A user name and a password.
pub(super) type Credentials = (String, String);

/// The text in a base64 response; `None` if it is none.
pub(super) fn decode(response: &[u8]) -> Option<String> {
    String::from_utf8(BASE64_STANDARD.decode(response).ok()?).ok()
}

/// The credentials in the response of PLAIN (RFC 4616); who the client would like to act as does
/// not matter here.
pub(super) fn plain(response: &[u8]) -> Option<Credentials> {
    let text = decode(response)?;
    let mut parts = text.split('\0').skip(1);
    let credentials = (parts.next()?.to_owned(), parts.next()?.to_owned());
    parts.next().is_none().then_some(credentials)
}
