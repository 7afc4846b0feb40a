//! What is meant by a key that is not known: one of another place, of another program, or a slip of the pen.

use super::likeness::nearest;
use super::reference::Home;

impl Home {
    /// The keys alone.
    pub(super) fn names(self) -> Vec<&'static str> {
        self.keys().iter().map(|key| key.name).collect()
    }

    fn has(self, key: &str) -> bool {
        self.keys().iter().any(|it| it.name == key)
    }

    /// What to write in place of a key that is not known here; `None` if it is like none.
    pub(super) fn hint(self, key: &str) -> Option<String> {
        let meant = match self {
            Home::Main => {
                let is_of_target = Home::Target.has(key);
                let home = "it belongs to a target under `targets`, or under `defaults`";
                is_of_target.then(|| home.to_owned())
            }
            Home::Included => Home::Main.has(key).then(|| "it belongs in the main file".to_owned()),
            Home::Target | Home::Defaults => in_target(key),
            Home::Send => in_side("send", ("receive", Home::Receive), key),
            Home::Receive => in_side("receive", ("send", Home::Send), key),
            Home::SenderMailbox => in_side("sender_mailbox", ("send", Home::Send), key),
            Home::OAuth2 => in_oauth2(key),
            Home::TlsOptions
            | Home::Inspect
            | Home::Ping
            | Home::Mail
            | Home::Attachment
            | Home::Dkim
            | Home::Dnsbl
            | Home::DomainChecks => None,
            Home::DnsblList => {
                (key == "zone").then(|| "write a zone without a key as a text".to_owned())
            }
        };
        meant.or_else(|| nearest(key, &self.names()).map(did_you_mean))
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
        "rbl" | "blacklist" | "blocklist" | "dnsbls" => "dnsbl",
        _ => "",
    };
    if !meant.is_empty() {
        return Some(did_you_mean(meant));
    }
    let homes = [("send", Home::Send), ("receive", Home::Receive)];
    let homes: Vec<String> = homes
        .iter()
        .filter(|(_, home)| home.has(key))
        .map(|(side, _)| format!("`{side}`"))
        .collect();
    (!homes.is_empty()).then(|| format!("it belongs under {}", homes.join(" or ")))
}

/// Where a key belongs that stands under a side by mistake; `other` is the other side.
fn in_side(side: &str, other: (&str, Home), key: &str) -> Option<String> {
    match key.to_ascii_lowercase().as_str() {
        "user" | "login" | "account" => Some(did_you_mean("username")),
        "pass" | "pwd" => Some(did_you_mean("password")),
        "server" | "hostname" => Some(did_you_mean("host")),
        "ssl" => Some("it belongs to the target; the key here is `tls`".to_owned()),
        key if other.1.has(key) => Some(format!("it belongs under `{}`", other.0)),
        key if Home::Target.has(key) => {
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
