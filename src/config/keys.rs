//! Every key of the configuration by the map it stands in, and what is meant by one that is not known.

use super::likeness::nearest;

/// A map with keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// The top of the main file.
    Main,
    /// The top of an included file.
    Included,
    /// A target.
    Target,
    /// `defaults`.
    Defaults,
    /// `send`.
    Send,
    /// `receive`.
    Receive,
    /// `sender_mailbox`.
    SenderMailbox,
    /// `tls_options`.
    TlsOptions,
    /// `oauth2`.
    OAuth2,
    /// `ping`.
    Ping,
}

const MAIN: &[&str] = &["state_dir", "include", "defaults", "targets"];

const INCLUDED: &[&str] = &["targets"];

/// The first one has no place in `defaults`.
const TARGET: &[&str] = &[
    "name",
    "host",
    "interval",
    "messages",
    "late_after",
    "lost_after",
    "max_outstanding",
    "passive",
    "cluster",
    "labels",
    "from",
    "to",
    "timeout",
    "ip_family",
    "ssl",
    "send",
    "receive",
    "sender_mailbox",
    "inspect",
    "authserv_id",
    "ping",
    "ports",
    "port_checks",
    "port_timeout",
];

const SEND: &[&str] = &[
    "host",
    "mx",
    "port",
    "tls",
    "tls_options",
    "ip_family",
    "username",
    "password",
    "password_file",
    "password_env",
    "oauth2",
    "auth",
    "ehlo",
    "max_connections",
];

const RECEIVE: &[&str] = &[
    "protocol",
    "host",
    "port",
    "tls",
    "tls_options",
    "ip_family",
    "username",
    "password",
    "password_file",
    "password_env",
    "oauth2",
    "auth",
    "folders",
    "min_look_interval",
];

const TLS_OPTIONS: &[&str] =
    &["ca_file", "server_name", "insecure_skip_verify", "min_version", "cert_file", "key_file"];

const OAUTH2: &[&str] =
    &["token_url", "client_id", "client_secret_file", "scope", "refresh_token_file", "ca_file"];

const PING: &[&str] = &["packets", "size", "interval", "timeout"];

impl Home {
    /// The keys, in the order in which they are listed.
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Home::Main => MAIN,
            Home::Included => INCLUDED,
            Home::Target => TARGET,
            Home::Defaults => TARGET.get(1..).unwrap_or_default(),
            Home::Send => SEND,
            Home::Receive | Home::SenderMailbox => RECEIVE,
            Home::TlsOptions => TLS_OPTIONS,
            Home::OAuth2 => OAUTH2,
            Home::Ping => PING,
        }
    }

    /// What to write in place of a key that is not known here; `None` if it is like none.
    pub(super) fn hint(self, key: &str) -> Option<String> {
        let meant = match self {
            Home::Main => {
                let is_of_target = TARGET.contains(&key);
                let home = "it belongs to a target under `targets`, or under `defaults`";
                is_of_target.then(|| home.to_owned())
            }
            Home::Included => MAIN.contains(&key).then(|| "it belongs in the main file".to_owned()),
            Home::Target | Home::Defaults => in_target(key),
            Home::Send => in_side("send", ("receive", RECEIVE), key),
            Home::Receive => in_side("receive", ("send", SEND), key),
            Home::SenderMailbox => in_side("sender_mailbox", ("send", SEND), key),
            Home::OAuth2 => in_oauth2(key),
            Home::TlsOptions | Home::Ping => None,
        };
        meant.or_else(|| nearest(key, self.keys()).map(did_you_mean))
    }
}

fn did_you_mean(key: &str) -> String {
    format!("did you mean `{key}`?")
}

/// The key that is meant by a name of another place, or of the classic mail test.
fn in_target(key: &str) -> Option<String> {
    if key == "name" {
        return Some("each target has a name of its own".to_owned());
    }
    let written = key.to_ascii_lowercase().replace(['_', '-'], "");
    let meant = match written.as_str() {
        "testperiod" | "period" => "interval",
        "sendhost" | "smtphost" => "send.host",
        "sendport" | "smtpport" => "send.port",
        "senduser" | "sendusername" => "send.username",
        "sendpassword" => "send.password",
        "fromid" | "sender" => "from",
        "toid" | "recipient" => "to",
        "receivehost" => "receive.host",
        "receiveport" => "receive.port",
        "receiveuser" | "receiveusername" => "receive.username",
        "receivepassword" => "receive.password",
        "ispassive" => "passive",
        "server" | "hostname" => "host",
        "nickname" => "name",
        _ => "",
    };
    if !meant.is_empty() {
        return Some(did_you_mean(meant));
    }
    let homes = [("send", SEND), ("receive", RECEIVE)];
    let homes: Vec<String> = homes
        .iter()
        .filter(|(_, keys)| keys.contains(&key))
        .map(|(side, _)| format!("`{side}`"))
        .collect();
    (!homes.is_empty()).then(|| format!("it belongs under {}", homes.join(" or ")))
}

/// Where a key belongs that stands under a side by mistake; `other` is the other side.
fn in_side(side: &str, other: (&str, &[&str]), key: &str) -> Option<String> {
    match key.to_ascii_lowercase().as_str() {
        "user" | "login" | "account" => Some(did_you_mean("username")),
        "pass" | "pwd" => Some(did_you_mean("password")),
        "server" | "hostname" => Some(did_you_mean("host")),
        "ssl" => Some("it belongs to the target; the key here is `tls`".to_owned()),
        key if other.1.contains(&key) => Some(format!("it belongs under `{}`", other.0)),
        key if TARGET.contains(&key) => {
            Some(format!("it belongs to the target, not under `{side}`"))
        }
        _ => None,
    }
}

/// Secrets of `oauth2` are written into files.
fn in_oauth2(key: &str) -> Option<String> {
    let file = |key: &str| Some(format!("write it into a file and name that in `{key}`"));
    match key {
        "client_secret" => file("client_secret_file"),
        "refresh_token" => file("refresh_token_file"),
        _ => None,
    }
}
