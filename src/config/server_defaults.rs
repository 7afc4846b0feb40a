//! How many connections of one client mail servers admit as they come: a hint where a configuration may open more, for
//! nobody knows from here which software a server runs, and how it is set up.

use super::{Config, ServerLoad, provider};

/// A limit that a server has unless somebody changes it.
struct Limit {
    protocol: &'static str,
    connections: u64,
    /// It counts connections with TLS only.
    of_tls: bool,
    software: &'static str,
    setting: &'static str,
}

const LIMITS: [Limit; 5] = [
    // For the server as a whole.
    limit("smtp", 20, "Exim", "smtp_accept_max"),
    limit("smtp", 50, "Postfix", "smtpd_client_connection_count_limit"),
    // Of Debian, a client; Courier's own is less.
    limit("imap", 20, "Courier", "MAXPERIP"),
    // A process each, which stays as long as the session if that has TLS.
    Limit { of_tls: true, ..limit("imap", 100, "Dovecot", "process_limit of imap-login") },
    Limit { of_tls: true, ..limit("pop3", 100, "Dovecot", "process_limit of pop3-login") },
];

const fn limit(
    protocol: &'static str,
    connections: u64,
    software: &'static str,
    setting: &'static str,
) -> Limit {
    Limit { protocol, connections, of_tls: false, software, setting }
}

/// One for each server that may get more than some software admits.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let loads = config.server_loads();
    let unknown = loads.iter().filter(|load| !provider::is_known(&load.server.host));
    unknown.filter_map(warning).collect()
}

fn warning(load: &ServerLoad) -> Option<String> {
    let ServerLoad { server, has_tls, .. } = load;
    let connections = load.connections();
    let exceeded = LIMITS.iter().filter(|limit| {
        limit.protocol == server.protocol
            && connections > limit.connections
            && (*has_tls || !limit.of_tls)
    });
    let exceeded = exceeded.map(|Limit { connections, software, setting, .. }| {
        format!("{connections} if it is {software} (`{setting}`)")
    });
    let exceeded: Vec<String> = exceeded.collect();
    if exceeded.is_empty() {
        return None;
    }
    let less = match server.protocol {
        "smtp" => "set `send.max_connections`",
        _ => "let targets share mailboxes",
    };
    Some(format!(
        "up to {connections} connections at the same time go to {server} by {}, which by default admits {}: raise that \
         there, or {less}",
        server.protocol,
        exceeded.join(", "),
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The warnings about so many targets, each with a mailbox of its own.
    fn warned(count: usize, host: &str, keys: &str) -> Vec<String> {
        let target = |number: usize| {
            format!(
                "- {{name: t{number}, host: {host}, from: a@b.example, to: a@b.example, send: {{username: u{number}, \
                 password: p}}, receive: {{protocol: imap, username: u{number}, password: p, {keys}}}}}\n"
            )
        };
        let text = format!("targets:\n{}", (0..count).map(target).collect::<String>());
        warnings(&Config::parse(&text, Path::new("test.yml")).unwrap())
    }

    #[test]
    fn only_what_exceeds_a_default_is_told_and_whose_it_is() {
        assert_eq!(warned(20, "mail.example", ""), [""; 0]);
        let few = warned(21, "mail.example", "");
        assert_eq!(few.len(), 2, "{few:?}");
        assert!(few.concat().contains("20 if it is Exim (`smtp_accept_max`): raise"), "{few:?}");
        assert!(few.concat().contains("to mail.example:143 by imap"), "{few:?}");
        let many = warned(101, "mail.example", "").concat();
        for words in ["up to 101 connections", "50 if it is Postfix", "100 if it is Dovecot"] {
            assert!(many.contains(words), "{many}");
        }
        let plain = warned(101, "mail.example", "tls: none").concat();
        assert!(!plain.contains("Dovecot"), "no process holds such a session: {plain}");
    }

    #[test]
    fn of_a_provider_its_own_limits_are_told_elsewhere() {
        assert_eq!(warned(101, "imap.gmail.com", ""), [""; 0]);
    }
}
