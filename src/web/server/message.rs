//! What a route sees of a request, and what it answers.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode, Uri};

use super::authority;

/// A request after the listener's own work: it is authenticated where that is asked for, its body
/// was read and dropped, and HEAD has become GET.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method; never HEAD.
    pub method: Method,
    /// The path as sent, not decoded.
    pub path: String,
    /// The parameters of the query, decoded, in their order.
    pub query: Vec<(String, String)>,
    /// The header Accept, several joined by commas; `None` where it is missing.
    pub accept: Option<String>,
    /// The header Accept-Encoding, several joined by commas; `None` where it is missing.
    pub accept_encoding: Option<String>,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// The client runs on this machine: the connection comes from a loopback address
    /// (IPv4-mapped ones included) and the request neither says that a proxy passed it on nor
    /// asks for a foreign host name, as a page does that rebinds its name to 127.0.0.1.
    pub is_loopback: bool,
    /// The client is known: a user with a right password, or a verified client certificate where
    /// the configuration demands one.
    pub is_authenticated: bool,
}

impl Request {
    /// Reads the parts of `head`, a request from `peer`.
    pub(in crate::web) fn new(
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        peer: SocketAddr,
        is_authenticated: bool,
    ) -> Self {
        let query = uri.query().unwrap_or_default();
        Self {
            method: if method == Method::HEAD { Method::GET } else { method.clone() },
            path: uri.path().to_owned(),
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            accept: joined(headers, &header::ACCEPT),
            accept_encoding: joined(headers, &header::ACCEPT_ENCODING),
            peer,
            is_loopback: is_loopback(peer, uri, headers),
            is_authenticated,
        }
    }

    /// The first value of the query parameter `name`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// An answer with its body. The listener adds what every answer carries, compresses the body where
/// the client accepts that, and drops it where HEAD was asked.
#[derive(Debug)]
pub struct Response {
    pub(in crate::web) status: StatusCode,
    pub(in crate::web) headers: HeaderMap,
    /// The whole body, or the beginning of one that `rest` completes.
    pub(in crate::web) body: Bytes,
    pub(in crate::web) rest: Option<Rest>,
}

/// What makes the rest of a body, a piece at a time. It may take a while, and is asked off the
/// threads of the runtime.
pub(in crate::web) struct Rest(Box<dyn Iterator<Item = io::Result<Bytes>> + Send>);

impl Rest {
    /// The rest that `pieces` are.
    pub(in crate::web) fn new(
        pieces: impl Iterator<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Self {
        Self(Box::new(pieces))
    }
}

impl Iterator for Rest {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        self.0.next()
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Rest").finish_non_exhaustive()
    }
}

impl Response {
    /// An answer of any media type.
    pub fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { status, headers, body: body.into(), rest: None }
    }

    /// An answer whose body is made while the client takes it, but for the first two pieces: so many
    /// may be all.
    pub fn in_pieces(
        content_type: &'static str,
        pieces: impl IntoIterator<Item = String, IntoIter: Send + 'static>,
    ) -> Self {
        let mut pieces = pieces.into_iter();
        let beginning = pieces.next().unwrap_or_default();
        let mut response = Self::new(StatusCode::OK, content_type, beginning);
        if let Some(second) = pieces.next() {
            let rest = std::iter::once(second).chain(pieces).map(Bytes::from).map(Ok);
            response.rest = Some(Rest::new(rest));
        }
        response
    }

    /// Plain text in UTF-8.
    pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// A page. Its policy lets it load and run what this listener itself serves as a file, and
    /// nothing that stands in the page: no inline script or style, no frame, no other host.
    pub fn html(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::new(status, "text/html; charset=utf-8", body).with_header(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                 connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            ),
        )
    }

    /// A picture in SVG. Should somebody open it as a page, it loads and runs nothing. Whoever shows it may
    /// keep it for a minute.
    pub fn svg(body: impl Into<Bytes>) -> Self {
        Self::new(StatusCode::OK, "image/svg+xml", body)
            .with_header(
                header::CONTENT_SECURITY_POLICY,
                HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
            )
            .with_header(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=60"))
    }

    /// 404 with a text that says what is missing.
    pub fn not_found(body: impl Into<Bytes>) -> Self {
        Self::text(StatusCode::NOT_FOUND, body)
    }

    /// 405 (RFC 9110, section 15.5.6): `allowed` lists the methods of the resource, as
    /// `GET, HEAD`.
    pub fn method_not_allowed(allowed: &'static str) -> Self {
        Self::text(StatusCode::METHOD_NOT_ALLOWED, format!("use one of {allowed}\n"))
            .with_header(header::ALLOW, HeaderValue::from_static(allowed))
    }

    /// The same answer with `name` set to `value`.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers so far.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body, not compressed; of one that is made while it is sent, the beginning.
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

/// All values of a list header as one list (RFC 9110, section 5.3). What is not ASCII is left out.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<&str> =
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// See [`Request::is_loopback`].
fn is_loopback(peer: SocketAddr, uri: &Uri, headers: &HeaderMap) -> bool {
    let forwarded = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];
    let host = authority::of(uri, headers).unwrap_or("localhost");
    peer.ip().to_canonical().is_loopback()
        && !forwarded.iter().any(|name| headers.contains_key(*name))
        && names_this_machine(host)
}

/// Whether the value of Host cannot be a name that a stranger owns: an address, or `localhost`.
fn names_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(peer: &str, uri: &str, headers: &[(&'static str, &str)]) -> Request {
        let map = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        Request::new(&Method::GET, &uri.parse().unwrap(), &map, peer.parse().unwrap(), false)
    }

    #[test]
    fn parameters_are_decoded() {
        let request = request("10.0.0.1:9", "/probe?target=a%20b+c%26&empty&target=second", &[]);
        assert_eq!(request.path, "/probe");
        assert_eq!(request.parameter("target"), Some("a b c&"));
        assert_eq!(request.parameter("empty"), Some(""));
        assert_eq!(request.parameter("none"), None);
    }

    #[test]
    fn several_accept_headers_are_one_list() {
        let mut map = HeaderMap::new();
        map.append(header::ACCEPT, HeaderValue::from_static("text/html"));
        map.append(header::ACCEPT, HeaderValue::from_static("*/*;q=0.1"));
        assert_eq!(joined(&map, &header::ACCEPT).as_deref(), Some("text/html,*/*;q=0.1"));
    }

    #[test]
    fn only_a_client_of_this_machine_is_loopback() {
        for peer in ["127.0.0.1:5", "127.8.0.1:5", "[::1]:5", "[::ffff:127.0.0.1]:5"] {
            assert!(request(peer, "/", &[]).is_loopback, "{peer}");
        }
        for peer in ["10.0.0.1:5", "[::ffff:10.0.0.1]:5", "[2001:db8::1]:5"] {
            assert!(!request(peer, "/", &[]).is_loopback, "{peer}");
        }
    }

    #[test]
    fn a_proxy_or_a_foreign_name_on_this_machine_is_not_loopback() {
        for header in ["forwarded", "x-forwarded-for", "x-real-ip", "via"] {
            assert!(!request("127.0.0.1:5", "/", &[(header, "10.0.0.1")]).is_loopback, "{header}");
        }
        for (host, expected) in [
            ("localhost:9925", true),
            ("127.0.0.1:9925", true),
            ("[::1]:9925", true),
            ("[::1]", true),
            ("LocalHost", true),
            ("evil.example:9925", false),
            ("localhost.evil.example", false),
        ] {
            assert_eq!(request("[::1]:5", "/", &[("host", host)]).is_loopback, expected, "{host}");
        }
        let absolute = request("[::1]:5", "http://evil.example/", &[("host", "localhost")]);
        assert!(!absolute.is_loopback);
    }
}
