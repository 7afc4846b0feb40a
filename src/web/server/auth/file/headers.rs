//! `http_server_config`: HTTP/2 and the headers of each answer.

use hyper::HeaderMap;
use hyper::header::{self, HeaderName, HeaderValue};

use super::{Section, text};
use crate::web::server::auth::problems::Problems;

/// `headers`: what is added to each answer.
#[derive(Default)]
pub(in crate::web::server::auth) struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    /// Adds them to `headers`. A policy for the content stands beside that of a page, and both
    /// hold (CSP Level 3, section 8.1); any other takes the place of our own.
    pub(in crate::web::server::auth) fn add_to(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            if name == header::CONTENT_SECURITY_POLICY {
                headers.append(name, value.clone());
            } else {
                headers.insert(name, value.clone());
            }
        }
    }
}

/// The headers that can be set, with the only values that some of them can have.
const HEADERS: [(&str, HeaderName, &[&str]); 5] = [
    ("Content-Security-Policy", header::CONTENT_SECURITY_POLICY, &[]),
    ("X-Frame-Options", header::X_FRAME_OPTIONS, &["deny", "sameorigin"]),
    ("X-Content-Type-Options", header::X_CONTENT_TYPE_OPTIONS, &["nosniff"]),
    ("X-XSS-Protection", header::X_XSS_PROTECTION, &[]),
    ("Strict-Transport-Security", header::STRICT_TRANSPORT_SECURITY, &[]),
];

/// Whether HTTP/2 is asked for, and the headers.
pub(super) fn read(section: &Section<'_>, problems: &mut Problems) -> (bool, Headers) {
    section.refuse_others(&["http2", "headers"], problems);
    let http2 = section.boolean("http2", true, problems);
    let mut headers = Vec::new();
    let Some(entry) = section.find("headers") else { return (http2, Headers::default()) };
    let name = section.path("headers");
    let section = Section::of(&entry.node, entry.line, &name, problems);
    section.refuse_others(&HEADERS.map(|(name, _, _)| name), problems);
    for (name, header, allowed) in HEADERS {
        let Some(entry) = section.find(name) else { continue };
        let value = text(&entry.node).unwrap_or("\n");
        if !allowed.is_empty() && !allowed.contains(&value) {
            let text = format!("must be {}", allowed.join(" or "));
            problems.add(entry.line, &section.path(name), text);
            continue;
        }
        match HeaderValue::from_str(value) {
            // A blank one is not sent.
            Ok(value) if value.is_empty() => {}
            Ok(value) => headers.push((header, value)),
            Err(_) => {
                let text = "must be text in one line, for no header can hold more";
                problems.add(entry.line, &section.path(name), text);
            }
        }
    }
    (http2, Headers(headers))
}
