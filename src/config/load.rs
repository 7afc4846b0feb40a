//! What a configuration asks of each mail server: how many connections there may be at one time, and how many mails go
//! there.

use std::collections::BTreeMap;
use std::fmt;

use super::{Config, MailboxId, Protocol, ReceiveSide, Target, TlsMode};

/// Seconds of an hour.
const HOUR: f64 = 3600.0;

/// What one server gets.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerLoad {
    /// Which server.
    pub server: Server,
    /// Whether any connection to it is protected by TLS.
    pub has_tls: bool,
    /// By user; without a login by an empty name.
    pub accounts: BTreeMap<String, AccountLoad>,
}

/// A service of a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// `smtp`, `imap`, `pop3` or `jmap`.
    pub protocol: &'static str,
    /// The host in lower case.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// What one account of a server has to bear.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AccountLoad {
    /// The most connections at one time.
    pub connections: u64,
    /// Mails sent in an hour, in the mean.
    pub mails_an_hour: f64,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", mail::options::BracketedHost(&self.host), self.port)
    }
}

impl ServerLoad {
    /// The most connections at one time.
    pub fn connections(&self) -> u64 {
        self.accounts.values().map(|account| account.connections).sum()
    }

    /// Mails sent to it in an hour, in the mean.
    pub fn mails_an_hour(&self) -> f64 {
        self.accounts.values().map(|account| account.mails_an_hour).sum()
    }
}

impl Config {
    /// What each server gets of its targets, those with the most connections first. A connection to send is open for each
    /// target, for `max_connections` at most of one account; a session for each mailbox by IMAP, held while mail is under
    /// way; two by POP3, where the next is made ready, and by JMAP, where one is for events.
    pub fn server_loads(&self) -> Vec<ServerLoad> {
        let mut tallies = BTreeMap::new();
        for target in self.targets.values() {
            count_sending(&mut tallies, target);
            target.mailboxes().for_each(|side| count_mailbox(&mut tallies, side));
        }
        let load = |(server, tally): (Server, Tally)| ServerLoad {
            server,
            has_tls: tally.has_tls,
            accounts: tally.accounts.into_iter().map(|(user, it)| (user, it.load())).collect(),
        };
        let mut loads: Vec<ServerLoad> = tallies.into_iter().map(load).collect();
        loads.sort_by_key(|load| std::cmp::Reverse(load.connections()));
        loads
    }
}

#[derive(Default)]
struct Tally {
    has_tls: bool,
    accounts: BTreeMap<String, AccountTally>,
}

#[derive(Default)]
struct AccountTally {
    /// Without a limit.
    connections: u64,
    /// The lowest limit that a target sets holds for all of the account.
    limit: Option<u64>,
    mails_an_hour: f64,
}

impl AccountTally {
    fn load(&self) -> AccountLoad {
        let connections = self.limit.map_or(self.connections, |most| most.min(self.connections));
        AccountLoad { connections, mails_an_hour: self.mails_an_hour }
    }
}

fn count_sending(tallies: &mut BTreeMap<Server, Tally>, target: &Target) {
    let endpoint = &target.send.endpoint;
    let host = endpoint.name().to_owned();
    let tally = tallies.entry(Server { protocol: "smtp", host, port: endpoint.port }).or_default();
    tally.has_tls |= endpoint.tls != TlsMode::None;
    let user = target.send.login.as_ref().map(|login| login.username.clone());
    let account = tally.accounts.entry(user.unwrap_or_default()).or_default();
    account.connections += 1;
    let limit = u64::from(target.send.max_connections.get());
    account.limit = Some(account.limit.map_or(limit, |most| most.min(limit)));
    account.mails_an_hour +=
        f64::from(target.messages.get()) * HOUR / target.interval.as_secs_f64();
}

fn count_mailbox(tallies: &mut BTreeMap<Server, Tally>, side: &ReceiveSide) {
    let MailboxId { protocol, host, port, user } = side.mailbox_id();
    let tally = tallies.entry(Server { protocol, host, port }).or_default();
    tally.has_tls |= side.endpoint.tls != TlsMode::None;
    let account = tally.accounts.entry(user).or_default();
    account.connections = match side.protocol {
        Protocol::Imap { .. } => 1,
        Protocol::Pop3 | Protocol::Jmap { .. } => 2,
    };
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn each_server_gets_what_its_accounts_may_have_open_and_send() {
        let target = |name: &str, send: &str, receive: &str| {
            format!(
                "- {{name: {name}, host: mail.example, interval: 10m, messages: 2, from: a@b.example, to: \
                 a@b.example, send: {{{send}}}, receive: {{password: p, {receive}}}}}\n"
            )
        };
        let text = [
            target("a", "", "protocol: imap, username: u"),
            target(
                "b",
                "username: sam, password: p, max_connections: 2",
                "protocol: imap, username: u",
            ),
            target("c", "username: sam, password: p", "protocol: imap, username: v, tls: none"),
            target("d", "username: sam, password: p", "protocol: pop3, username: u"),
            target("e", "username: sam, password: p", "protocol: jmap, username: u"),
        ];
        let text = format!("targets:\n{}", text.concat());
        let config = Config::parse(&text, Path::new("test.yml")).unwrap();
        let loads = config.server_loads();
        let lines: Vec<String> = loads
            .iter()
            .map(|load| {
                let ServerLoad { server, has_tls, .. } = load;
                let (connections, mails) = (load.connections(), load.mails_an_hour());
                format!("{} {server} {has_tls} {connections} {mails}", server.protocol)
            })
            .collect();
        assert_eq!(
            lines,
            [
                "smtp mail.example:25 true 3 60",
                "imap mail.example:143 true 2 0",
                "jmap mail.example:443 true 2 0",
                "pop3 mail.example:110 true 2 0"
            ]
        );
        assert_eq!(loads[0].accounts["sam"], AccountLoad { connections: 2, mails_an_hour: 48.0 });
        assert_eq!(loads[0].accounts[""].connections, 1);
    }
}
