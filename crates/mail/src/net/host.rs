//! What this host is called.

use std::time::Duration;

use tokio::time::timeout;

use crate::threads;

/// How long the system may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The full name of this host, as EHLO wants it (RFC 5321 section 4.1.1.1); `None` if the system
/// knows only a short one or none, or takes longer than two seconds.
pub async fn full_name() -> Option<String> {
    // It may ask the resolver, so it blocks.
    timeout(PATIENCE, threads::run(ask_system)).await.ok()?.ok()?
}

/// The name of this host up to its first dot; `None` if it has none, or none in UTF-8.
pub fn short_name() -> Option<String> {
    let name = hostname::get().ok()?.into_string().ok()?;
    Some(name.split('.').next()?.to_owned())
}

fn ask_system() -> Option<String> {
    let name = hostname::get().ok()?.into_string().ok()?;
    if is_full(&name) {
        return Some(name);
    }
    let hints = dns_lookup::AddrInfoHints { flags: AI_CANONNAME, ..Default::default() };
    dns_lookup::getaddrinfo(Some(&name), None, Some(hints))
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|info| info.canonname)
        .find(|name| is_full(name))
}

/// `AI_CANONNAME` of Linux and the BSDs (RFC 3493 section 6.1).
const AI_CANONNAME: i32 = 2;

fn is_full(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.contains('.')
        && !name.starts_with("localhost")
        && name.parse::<std::net::IpAddr>().is_err()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_others_could_resolve_is_full() {
        assert!(is_full("monitor.example.com"));
        for name in
            ["monitor", "localhost.localdomain", "127.0.0.1", "a_b.example", "ümlaut.example", ""]
        {
            assert!(!is_full(name), "{name}");
        }
    }
}
