//! The address of an exporter.

use std::fmt;
use std::net::IpAddr;

use crate::config::parse_host;
use mail::options::BracketedHost;

/// Where an exporter serves, as `https://monitor.example.com:9925/mailtrip`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) is_https: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// Without the slash at its end.
    pub(super) path: String,
}

impl Address {
    /// Reads it.
    ///
    /// # Errors
    /// What to write. The text is not repeated: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return Err(
                "write it as http://127.0.0.1:9925 or https://monitor.example.com".to_owned()
            );
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("every user of this machine can see the arguments of a program: write user:password \
                        into a file and name it by --exporter-login-file"
                .to_owned());
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?' && byte != b'#') {
            return Err(
                "write it without a query, and other characters than ASCII as %xx".to_owned()
            );
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                let port = port.parse().ok().filter(|port| *port > 0);
                (host, port.ok_or("its port is not one from 1 to 65535")?)
            }
            _ => (authority, if is_https { 443 } else { 80 }),
        };
        let host = parse_host(host).map_err(|_| "it has no host such as monitor.example.com")?;
        Ok(Self { is_https, host, port, path: path.trim_end_matches('/').to_owned() })
    }
}

impl Address {
    /// Whether nobody else hears what is sent there.
    pub(crate) fn is_private(&self) -> bool {
        let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
        self.is_https || self.host == "localhost" || self.host.parse().is_ok_and(is_loopback)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_https, host, port, path } = self;
        let (scheme, default) = if *is_https { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", BracketedHost(host))?;
        if *port != default {
            write!(f, ":{port}")?;
        }
        f.write_str(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_shown() {
        for (text, shown) in [
            ("http://127.0.0.1:9925", "http://127.0.0.1:9925"),
            ("https://Monitor.example.com/mailtrip/", "https://monitor.example.com/mailtrip"),
            ("HTTP://[::1]:80/", "http://[::1]"),
            ("https://[2001:db8::1]", "https://[2001:db8::1]"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn by_http_only_this_machine_is_private() {
        for (text, is_private) in [
            ("http://127.0.0.1:9925", true),
            ("http://[::1]:9925", true),
            ("http://localhost", true),
            ("https://monitor.example.com", true),
            ("http://monitor.example.com", false),
            ("http://192.0.2.1:9925", false),
            ("http://localhost.example.com", false),
        ] {
            assert_eq!(Address::parse(text).unwrap().is_private(), is_private, "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused_without_repeating_it() {
        for (text, advice) in [
            ("monitor:9925", "write it as http://"),
            ("ftp://monitor", "write it as http://"),
            ("https://ann:hunter2@monitor", "--exporter-login-file"),
            ("http://monitor:0/", "port"),
            ("http://monitor:hunter2", "port"),
            ("http:///hunter2", "no host"),
            ("http://monitor/?name=hunter2", "without a query"),
            ("http://monitor/a b", "without a query"),
        ] {
            let refusal = Address::parse(text).unwrap_err();
            assert!(refusal.contains(advice) && !refusal.contains("hunter2"), "{text}: {refusal}");
        }
    }
}
