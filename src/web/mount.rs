//! Where the pages are: the address at which readers find them, and the prefix of the paths at which they are asked
//! for. The two differ where a proxy in front of the exporter changes the path.

use std::fmt;
use std::str::FromStr;

use hyper::http::uri::Authority;
use thiserror::Error;

/// What all paths begin with: empty, or with a slash at its beginning and none at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathPrefix(String);

/// A text that is no prefix of paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "write a path such as /mailtrip, of letters, digits and -._~!$&'()*+,;=:@ between its slashes"
)]
pub struct PathPrefixError;

/// The address at which readers find the pages, `--web.external-url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalUrl {
    /// Scheme, host and port, as `https://monitor.example.com`; `None` for a path alone.
    origin: Option<String>,
    path: PathPrefix,
}

/// A text that is no address of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ExternalUrlError {
    /// It begins neither with a scheme nor with a slash.
    #[error("write an address such as https://monitor.example.com/mailtrip, or its path /mailtrip")]
    Form,
    /// The scheme is another one.
    #[error("must begin with http:// or https://")]
    Scheme,
    /// What should be a host is none, or has a user before it.
    #[error("write a host, with its port where it has one, after http:// or https://")]
    Host,
    /// What follows the host is no path, or more than a path.
    #[error("has a wrong path: {0}")]
    Path(#[from] PathPrefixError),
}

impl FromStr for PathPrefix {
    type Err = PathPrefixError;

    /// Slashes at the ends may be there or not.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = text.trim_matches('/');
        if path.is_empty() {
            return Ok(Self::default());
        }
        match path.split('/').all(is_segment) {
            true => Ok(Self(format!("/{path}"))),
            false => Err(PathPrefixError),
        }
    }
}

/// Whether it is a segment of a path (RFC 3986 section 3.3) that nobody on the way rewrites.
fn is_segment(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
    !["", ".", ".."].contains(&text) && text.bytes().all(is_plain)
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ExternalUrl {
    type Err = ExternalUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text.starts_with('/') {
                true => Ok(Self { origin: None, path: text.parse()? }),
                false => Err(ExternalUrlError::Form),
            };
        };
        if !["http", "https"].contains(&scheme) {
            return Err(ExternalUrlError::Scheme);
        }
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        match is_host(host) {
            true => Ok(Self { origin: Some(format!("{scheme}://{host}")), path: path.parse()? }),
            false => Err(ExternalUrlError::Host),
        }
    }
}

/// Whether it is a host, with or without a port, and nothing before or after it.
pub(in crate::web) fn is_host(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else { return false };
    let rest = text.strip_prefix(authority.host());
    let is_port = |port: &str| port.strip_prefix(':').is_some_and(|it| it.parse::<u16>().is_ok());
    !authority.host().is_empty() && rest.is_some_and(|rest| rest.is_empty() || is_port(rest))
}

/// Where the pages are, for those who follow links and for those who ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mount {
    external_url: Option<String>,
    links: PathPrefix,
    routes: PathPrefix,
}

impl Mount {
    /// What the two flags say. Where one is missing, its path is that of the other.
    pub fn new(external_url: Option<&ExternalUrl>, route_prefix: Option<&PathPrefix>) -> Self {
        let outside = external_url.map(|url| &url.path);
        let address =
            |url: &ExternalUrl| url.origin.as_ref().map(|origin| format!("{origin}{}", url.path));
        Self {
            external_url: external_url.and_then(address),
            links: outside.or(route_prefix).cloned().unwrap_or_default(),
            routes: route_prefix.or(outside).cloned().unwrap_or_default(),
        }
    }

    /// The absolute address of the pages, without a slash at its end; `None` where only a path is
    /// known.
    pub fn external_url(&self) -> Option<&str> {
        self.external_url.as_deref()
    }

    /// What every path in a link begins with.
    pub fn links(&self) -> &PathPrefix {
        &self.links
    }

    /// What the path of every request begins with.
    pub fn routes(&self) -> &PathPrefix {
        &self.routes
    }

    /// The path of a request without the prefix, which begins with a slash; `None` if it does not
    /// have the prefix.
    pub(in crate::web) fn route<'a>(&self, path: &'a str) -> Option<&'a str> {
        match path.strip_prefix(self.routes.0.as_str())? {
            "" => Some("/"),
            route => route.starts_with('/').then_some(route),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(external_url: &str, route_prefix: &str) -> Mount {
        let url = (!external_url.is_empty()).then(|| external_url.parse().unwrap());
        let prefix = (!route_prefix.is_empty()).then(|| route_prefix.parse().unwrap());
        Mount::new(url.as_ref(), prefix.as_ref())
    }

    #[test]
    fn one_path_is_that_of_the_other_unless_both_are_given() {
        for (url, prefix, address, links, routes) in [
            ("", "", None, "", ""),
            ("", "/", None, "", ""),
            ("", "a/b/", None, "/a/b", "/a/b"),
            ("/a/", "", None, "/a", "/a"),
            ("/a", "/", None, "/a", ""),
            ("http://h.test:81", "", Some("http://h.test:81"), "", ""),
            ("https://h.test/", "/b", Some("https://h.test"), "", "/b"),
            ("https://[::1]:1/a/", "", Some("https://[::1]:1/a"), "/a", "/a"),
            ("https://h.test/a/c", "/b", Some("https://h.test/a/c"), "/a/c", "/b"),
        ] {
            let mount = mount(url, prefix);
            let all = (mount.external_url(), mount.links.0.as_str(), mount.routes.0.as_str());
            assert_eq!(all, (address, links, routes), "{url} {prefix}");
        }
    }

    #[test]
    fn what_is_no_address_or_no_path_is_refused() {
        for prefix in ["/a//b", "/a/../b", "/.", "/a b", "/a?b", "/a#b", "/a%20b", "/ü", "/a\"b"] {
            assert_eq!(prefix.parse::<PathPrefix>(), Err(PathPrefixError), "{prefix}");
        }
        for (url, expected) in [
            ("", ExternalUrlError::Form),
            ("monitor.example.com/a", ExternalUrlError::Form),
            ("ftp://h.test", ExternalUrlError::Scheme),
            ("https://", ExternalUrlError::Host),
            ("https:///a", ExternalUrlError::Host),
            ("https://:80/", ExternalUrlError::Host),
            ("https://ann:secret@h.test/", ExternalUrlError::Host),
            ("https://h.test:0x50/", ExternalUrlError::Host),
            ("https://h.test:99999/", ExternalUrlError::Host),
            ("https://h.test?a", ExternalUrlError::Host),
            ("https://h.test/?a", ExternalUrlError::Path(PathPrefixError)),
            ("https://h.test/a#b", ExternalUrlError::Path(PathPrefixError)),
        ] {
            assert_eq!(url.parse::<ExternalUrl>(), Err(expected), "{url}");
        }
    }

    #[test]
    fn a_request_is_routed_by_what_follows_the_prefix() {
        let mount = mount("", "/a");
        assert_eq!(mount.route("/a"), Some("/"));
        assert_eq!(mount.route("/a/"), Some("/"));
        assert_eq!(mount.route("/a/metrics"), Some("/metrics"));
        for path in ["/", "/metrics", "/ab", "/b/a", "*"] {
            assert_eq!(mount.route(path), None, "{path}");
        }
        assert_eq!(Mount::default().route("/metrics"), Some("/metrics"));
    }
}
