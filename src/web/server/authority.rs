//! For whom a request is meant, and from whose page it comes.
//!
//! The browser of a user inside the network can be made to send requests here by any page that it
//! shows. What such a page cannot forge are the headers that are read here.

use hyper::header::{self, HeaderMap};
use hyper::http::uri::Authority;
use hyper::{Method, Uri, Version};

/// Holds the target of a request to RFC 9112, section 3.2, and RFC 9110, section 4.2.4.
///
/// # Errors
///
/// What is wrong: it is to be answered with 400.
pub(in crate::web) fn check(
    version: Version,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), &'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err("a request must have only one Host header");
    }
    let is_valid = first.is_none_or(|host| host.to_str().is_ok_and(is_host));
    if !is_valid || uri.authority().is_some_and(|authority| !is_host(authority.as_str())) {
        return Err("the host name is malformed");
    }
    if first.is_none() && version == Version::HTTP_11 {
        return Err("an HTTP/1.1 request needs a Host header");
    }
    Ok(())
}

/// The host, and the port where one is given, that a checked request is for. That of an absolute
/// target counts, whatever Host says (RFC 9112, section 3.2.2). `None` where HTTP/1.0 names none.
pub(in crate::web) fn of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    uri.authority()
        .map(Authority::as_str)
        .or_else(|| headers.get(header::HOST).map(|host| host.to_str().unwrap_or("?")))
}

/// Whether a page of another site asks for something to be done. Reading is not meant: other sites
/// do not see the answer. Programs that are no browser send neither header.
pub(in crate::web) fn is_foreign(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    if method.is_safe() {
        return false;
    }
    // A proxy may have changed Host, so what the browser itself has compared comes first.
    if let Some(site) = headers.get("sec-fetch-site") {
        return !["same-origin", "none"].iter().any(|own| site == own);
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => false,
        (Some(origin), None) => {
            !origin.to_str().is_ok_and(|origin| is_own(origin, of(uri, headers)))
        }
        (Some(_), Some(_)) => true,
    }
}

/// Whether `origin` (RFC 6454, section 7) is that of the pages at `authority`. The scheme is not
/// compared, because a proxy may add TLS.
fn is_own(origin: &str, authority: Option<&str>) -> bool {
    let (host, port) = match origin.split_once("://") {
        Some(("http", host)) => (host, ":80"),
        Some(("https", host)) => (host, ":443"),
        _ => return false,
    };
    let bare = |host: &str| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
    authority.is_some_and(|authority| bare(host) == bare(authority))
}

/// Whether `text` is a host with or without a port. An empty one is allowed (RFC 9110, section
/// 7.2), a user name before it is not.
fn is_host(text: &str) -> bool {
    text.is_empty() || (!text.contains('@') && text.parse::<Authority>().is_ok())
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in all {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn is_right(version: Version, uri: &str, hosts: &[&str]) -> bool {
        let all: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        check(version, &uri.parse().unwrap(), &headers(&all)).is_ok()
    }

    #[test]
    fn a_request_names_one_host() {
        let one = Version::HTTP_11;
        for host in ["a.example", "a.example:9925", "127.0.0.1:9925", "[::1]:9925", "my_host", ""] {
            assert!(is_right(one, "/", &[host]), "{host}");
        }
        for host in ["a b", "evil.example@127.0.0.1", "a/b", "[::1", "a?b"] {
            assert!(!is_right(one, "/", &[host]), "{host}");
        }
        assert!(!is_right(one, "/", &[]));
        assert!(!is_right(one, "http://a.example/", &[]));
        assert!(!is_right(one, "/", &["a.example", "b.example"]));
        assert!(!is_right(one, "/", &["a.example", "a.example"]));
        assert!(!is_right(one, "http://user@a.example/", &["a.example"]));
        assert!(is_right(Version::HTTP_10, "/", &[]));
        assert!(!is_right(Version::HTTP_10, "/", &["a.example", "b.example"]));
    }

    #[test]
    fn the_authority_of_an_absolute_target_counts() {
        let named = headers(&[("host", "a.example:1")]);
        assert_eq!(of(&"/".parse().unwrap(), &named), Some("a.example:1"));
        assert_eq!(of(&"http://b.example:2/".parse().unwrap(), &named), Some("b.example:2"));
        assert_eq!(of(&"/".parse().unwrap(), &headers(&[])), None);
    }

    #[test]
    fn only_what_another_site_wants_done_is_foreign() {
        let is = |method: Method, all: &[(&'static str, &str)]| {
            is_foreign(&method, &"/-/reload".parse().unwrap(), &headers(all))
        };
        let host = ("host", "exporter.example:9925");
        for (all, expected) in [
            (&[host][..], false),
            (&[host, ("sec-fetch-site", "same-origin")], false),
            (&[host, ("sec-fetch-site", "none")], false),
            (&[host, ("sec-fetch-site", "same-site")], true),
            (&[host, ("sec-fetch-site", "cross-site")], true),
            (&[host, ("sec-fetch-site", "")], true),
            (&[host, ("origin", "http://exporter.example:9925")], false),
            (&[host, ("origin", "https://EXPORTER.example:9925")], false),
            (&[host, ("origin", "http://exporter.example")], true),
            (&[host, ("origin", "https://evil.example")], true),
            (&[host, ("origin", "null")], true),
            (&[host, ("origin", "http://exporter.example:9925"), ("origin", "null")], true),
            (&[("host", "a.example"), ("origin", "https://a.example")], false),
            (&[("host", "a.example:443"), ("origin", "https://a.example")], false),
            (&[("host", "a.example:443"), ("origin", "http://a.example")], true),
            (&[("origin", "https://a.example")], true),
        ] {
            assert_eq!(is(Method::POST, all), expected, "{all:?}");
            assert_eq!(is(Method::PUT, all), expected, "{all:?}");
            assert!(!is(Method::GET, all) && !is(Method::HEAD, all), "{all:?}");
        }
    }
}
