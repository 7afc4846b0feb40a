//! The session resource (RFC 8620 section 2): where on the server what is asked, and for which account.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::channel::authority;
use super::few::Members;
use crate::discovery::host_name;
use crate::options::{BracketedHost, Endpoint, TlsMode};

/// The capability of mail (RFC 8621 section 1.3.1).
pub(super) const MAIL: &str = "urn:ietf:params:jmap:mail";
/// That of the protocol itself (RFC 8620 section 2).
pub(super) const CORE: &str = "urn:ietf:params:jmap:core";
/// The longest path that is asked for.
const PATH_BYTES: usize = 2048;
/// How many accounts and capabilities are looked at.
const LISTED: usize = 100;

/// What the session resource says.
#[derive(Debug)]
pub(super) struct Resource {
    /// The path of the calls.
    pub(super) api: String,
    /// The path of events with its variables; `None`: there is none on this server.
    pub(super) events: Option<String>,
    /// The path of whole mails with its variables; `None`: there is none on this server.
    pub(super) download: Option<String>,
    /// The account whose mail is read.
    pub(super) account: String,
    /// How many mails may be asked for at once.
    pub(super) most_in_get: usize,
    /// How many may be removed at once.
    pub(super) most_in_set: usize,
}

/// A server that another one sends its clients to; by HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its name in ASCII and lower case, without a final dot.
    pub host: String,
    /// Its TCP port, never 0.
    pub port: u16,
}

impl Site {
    /// That of a URL, if it is one of HTTPS whose host is a name.
    fn of(url: &str) -> Option<Self> {
        let rest = strip(url, "https://")?;
        let authority = rest.split(['/', '?', '#', '\\']).next()?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
            None => (authority, 443),
        };
        Some(Self { host: host_name(host)?, port })
    }
}

/// Why a session resource, or a place in it, is of no use.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Useless {
    /// It is not what it should be, in words.
    Flaw(String),
    /// It leads to another server: to which, and in words.
    Elsewhere(Option<Site>, String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    api_url: String,
    #[serde(default)]
    event_source_url: Option<String>,
    #[serde(default)]
    download_url: Option<String>,
    #[serde(default)]
    accounts: Members<IgnoredAny, LISTED>,
    #[serde(default)]
    primary_accounts: Members<String, LISTED>,
    #[serde(default)]
    capabilities: Capabilities,
}

#[derive(Default, Deserialize)]
struct Capabilities {
    #[serde(default, rename = "urn:ietf:params:jmap:core")]
    core: Core,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Core {
    max_objects_in_get: Option<u64>,
    max_objects_in_set: Option<u64>,
}

impl Resource {
    /// Reads it as it was given by the server of `endpoint`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(body: &[u8], endpoint: &Endpoint) -> Result<Self, Useless> {
        let written: Written = serde_json::from_slice(body).map_err(|error| {
            Useless::Flaw(format!("this is no session resource of JMAP: {error}"))
        })?;
        let primary = written.primary_accounts.0.into_iter().find(|(of, _)| of == MAIL);
        let account = match (primary, written.accounts.0.as_slice()) {
            (Some((_, account)), _) => account,
            (None, [(account, _)]) => account.clone(),
            (None, _) => {
                return Err(Useless::Flaw("the login has no account for mail (JMAP)".to_owned()));
            }
        };
        let path = |url: String| path_on(&url, endpoint);
        let core = written.capabilities.core;
        let most =
            |told: Option<u64>| usize::try_from(told.unwrap_or(500)).unwrap_or(usize::MAX).max(1);
        Ok(Self {
            api: path(written.api_url)?,
            // Without them mail is found all the same.
            events: written.event_source_url.and_then(|url| path(url).ok()),
            download: written.download_url.and_then(|url| path(url).ok()),
            account,
            most_in_get: most(core.max_objects_in_get),
            most_in_set: most(core.max_objects_in_set),
        })
    }
}

/// The path of a URL that leads to this server by the same scheme: no other is shown a password.
///
/// # Errors
/// Where it leads to instead.
pub(super) fn path_on(url: &str, endpoint: &Endpoint) -> Result<String, Useless> {
    let scheme = if endpoint.tls == TlsMode::None { "http://" } else { "https://" };
    let is_good = url.len() <= PATH_BYTES && url.bytes().all(|byte| byte.is_ascii_graphic());
    let path = match strip(url, scheme) {
        _ if !is_good => None,
        Some(rest) => {
            let host = BracketedHost(endpoint.name());
            let with_port = format!("{host}:{}", endpoint.port);
            strip(rest, &with_port).or_else(|| strip(rest, &authority(endpoint)))
        }
        None => Some(url).filter(|url| url.starts_with('/') && !url.starts_with("//")),
    };
    match path {
        Some(path) if path.is_empty() || path.starts_with('?') => Ok(format!("/{path}")),
        Some(path) if path.starts_with('/') => Ok(path.to_owned()),
        _ => {
            let words = format!(
                "the server sends its client to {}, which is not at {scheme}{}: no password is sent there; if it is \
                 right, make that the `host` and `port`",
                without_secrets(url),
                authority(endpoint)
            );
            Err(Useless::Elsewhere(Site::of(url).filter(|_| is_good), words))
        }
    }
}

/// A reference without its fragment, and where it names neither a server nor a whole path, resolved by the path under
/// which it was given (RFC 3986 section 5.2).
pub(super) fn resolved(reference: &str, at: &str) -> String {
    let reference = reference.split('#').next().unwrap_or_default();
    let (path, query) = match reference.find('?') {
        Some(end) => reference.split_at(end),
        None => (reference, ""),
    };
    let base = at.split('?').next().unwrap_or_default();
    let names_scheme = path.split('/').next().is_some_and(|first| first.contains(':'));
    if path.is_empty() {
        return format!("{base}{query}");
    }
    if path.starts_with('/') || names_scheme {
        return reference.to_owned();
    }
    let mut parts: Vec<&str> = base.split('/').skip(1).collect();
    parts.pop();
    let mut last = "";
    for part in path.split('/') {
        last = part;
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    if matches!(last, "." | "..") {
        parts.push("");
    }
    format!("/{}{query}", parts.join("/"))
}

/// A URL without its query and without what stands before the host: either may hold a password.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("//").unwrap_or(("", url));
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}//{host}{path}"),
        None => url.to_owned(),
    }
}

/// What follows a beginning in any case.
fn strip<'a>(text: &'a str, beginning: &str) -> Option<&'a str> {
    let start = text.get(..beginning.len())?;
    start.eq_ignore_ascii_case(beginning).then(|| text.get(beginning.len()..)).flatten()
}

/// A path whose variables (RFC 6570 level 1) have these values.
pub(super) fn expand(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |path, (name, value)| {
        path.replace(&format!("{{{name}}}"), &escaped(value))
    })
}

fn escaped(value: &str) -> String {
    let is_unreserved =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let escape = |byte: u8| match is_unreserved(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    value.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new("Mail.example.com.", 443, TlsMode::Implicit)
    }

    #[test]
    fn only_the_same_server_is_asked() {
        for (url, path) in [
            ("/jmap/", "/jmap/"),
            ("https://mail.example.com/jmap?x={y}", "/jmap?x={y}"),
            ("HTTPS://MAIL.example.com:443/a", "/a"),
            ("https://mail.example.com", "/"),
            ("https://mail.example.com?x={y}", "/?x={y}"),
        ] {
            assert_eq!(path_on(url, &endpoint()), Ok(path.to_owned()), "{url}");
        }
        let long = format!("/{}", "a".repeat(PATH_BYTES));
        for bad in [
            "http://mail.example.com/jmap",
            "https://mail.example.com.evil.example/",
            "https://mail.example.com:8443/",
            "https://mail.example.com@evil.example/",
            "//evil.example/",
            "jmap/",
            "/a b",
            "/a\r\nX: y",
            "",
            &long,
        ] {
            assert!(path_on(bad, &endpoint()).is_err(), "{bad}");
        }
        let plain = Endpoint::new("::1", 8080, TlsMode::None);
        assert_eq!(path_on("http://[::1]:8080/jmap", &plain), Ok("/jmap".to_owned()));
    }

    #[test]
    fn another_server_is_known_by_its_name_and_port() {
        for (url, site) in [
            ("https://API.example.com./jmap", Some(("api.example.com", 443))),
            ("https://api.example.com:8443?x", Some(("api.example.com", 8443))),
            ("http://api.example.com/", None),
            ("https://a@evil.example/", None),
            ("https://api.example.com:0/", None),
            ("https://192.0.2.1/", None),
            ("https://api.example.com\\@evil.example/", Some(("api.example.com", 443))),
            ("https://a.example/ b", None),
        ] {
            let site = site.map(|(host, port)| Site { host: host.to_owned(), port });
            let Err(Useless::Elsewhere(found, words)) = path_on(url, &endpoint()) else {
                panic!("{url}")
            };
            assert_eq!(found, site, "{url}");
            assert!(words.contains("no password is sent there"), "{words}");
        }
    }

    #[test]
    fn a_message_shows_no_password_of_a_url() {
        for (url, shown) in [
            ("https://anna:pw@evil.example/p?token=7", "https://evil.example/p,"),
            ("https://evil.example/a@b", "https://evil.example/a@b,"),
            ("//anna:pw@evil.example", "//evil.example,"),
        ] {
            let Err(Useless::Elsewhere(_, message)) = path_on(url, &endpoint()) else {
                panic!("{url}")
            };
            assert!(message.contains(&format!(" to {shown}")), "{message}");
        }
    }

    #[test]
    fn a_reference_is_resolved_where_it_was_given() {
        for (reference, path) in [
            ("jmap/", "/a/jmap/"),
            ("../b/./c?d", "/b/c?d"),
            ("../../..", "/"),
            (".", "/a/"),
            ("?z", "/a/session?z"),
            ("#top", "/a/session"),
            ("/b#top", "/b"),
            ("//evil.example/", "//evil.example/"),
            ("https://evil.example/", "https://evil.example/"),
            ("mailto:a", "mailto:a"),
        ] {
            assert_eq!(resolved(reference, "/a/session?x/y"), path, "{reference}");
        }
    }

    #[test]
    fn a_value_in_a_path_is_no_part_of_its_syntax() {
        let path = expand("/d/{a}/{b}?t={t}", &[("a", "x/../y"), ("b", "G1-_"), ("t", "a b&c")]);
        assert_eq!(path, "/d/x%2F..%2Fy/G1-_?t=a%20b%26c");
    }

    #[test]
    fn the_resource_names_the_account_of_the_mail() {
        let read = |json: &str| Resource::read(json.as_bytes(), &endpoint());
        let whole = read(
            r#"{"apiUrl":"/api/","eventSourceUrl":"https://push.example/e","downloadUrl":"/d/{blobId}",
                "capabilities":{"urn:ietf:params:jmap:core":{"maxObjectsInGet":7}},
                "accounts":{"a":{},"b":{}},
                "primaryAccounts":{"urn:ietf:params:jmap:mail":"b","x":"a"},"state":"0"}"#,
        )
        .unwrap();
        assert_eq!((whole.account.as_str(), whole.most_in_get, whole.most_in_set), ("b", 7, 500));
        assert_eq!((whole.events, whole.download.as_deref()), (None, Some("/d/{blobId}")));
        assert_eq!(read(r#"{"apiUrl":"/","accounts":{"a":{}}}"#).unwrap().account, "a");
        for bad in [
            r#"{"apiUrl":"/","accounts":{"a":{},"b":{}}}"#,
            r#"{"apiUrl":"https://other.example/","accounts":{"a":{}}}"#,
            r#"{"apiUrl":7}"#,
            "<html>",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
