//! What is known of large providers: their limits and habits, as far as a test mail meets them. It only
//! warns; nothing else in the program depends on who the provider is. The numbers are the providers'
//! own where they publish them; docs/providers.md has the table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Config, Protocol, ReceiveSide, ServerLoad, Target};

const DAY: f64 = 24.0 * 3600.0;

/// One provider.
#[derive(Debug)]
struct Provider {
    name: &'static str,
    /// Its hosts: these names and all below them.
    hosts: &'static [&'static str],
    /// The most mails of one account in a day.
    mails_a_day: Option<f64>,
    /// The most mails of one account in a minute.
    mails_a_minute: Option<f64>,
    /// The most SMTP connections of one account at one time.
    connections: Option<u64>,
    /// The most mails over one SMTP connection.
    mails_a_connection: Option<u32>,
    /// Whether it keeps a copy of each mail that is sent by SMTP.
    keeps_copies: bool,
    /// Whether it takes passwords, by IMAP and POP3 at least.
    takes_passwords: bool,
    /// What is wrong with reading a mailbox there by POP3.
    pop3: Option<&'static str>,
}

const fn named(name: &'static str, hosts: &'static [&'static str]) -> Provider {
    Provider {
        name,
        hosts,
        mails_a_day: None,
        mails_a_minute: None,
        connections: None,
        mails_a_connection: None,
        keeps_copies: false,
        takes_passwords: true,
        pop3: None,
    }
}

const PROVIDERS: [Provider; 8] = [
    Provider {
        // Workspace takes 2000.
        mails_a_day: Some(500.0),
        keeps_copies: true,
        pop3: Some(
            "shows only a few hundred of the oldest mails there, hides mails sent by the account \
             itself, and deletes none unless enabled in its settings; read it by IMAP",
        ),
        ..named("Gmail", &["gmail.com", "googlemail.com"])
    },
    Provider {
        mails_a_day: Some(10_000.0),
        mails_a_minute: Some(30.0),
        connections: Some(3),
        keeps_copies: true,
        takes_passwords: false,
        pop3: Some("refuses frequent logins there; read it by IMAP"),
        ..named("Microsoft 365", &["office365.com"])
    },
    Provider {
        keeps_copies: true,
        takes_passwords: false,
        pop3: Some("refuses more than one login in 15 minutes there; read it by IMAP"),
        ..named(
            "Outlook.com",
            &["smtp-mail.outlook.com", "imap-mail.outlook.com", "pop-mail.outlook.com"],
        )
    },
    Provider {
        mails_a_day: Some(500.0),
        mails_a_connection: Some(20),
        ..named("Yahoo", &["mail.yahoo.com", "aol.com", "mail.yahoo.co.jp"])
    },
    Provider {
        mails_a_day: Some(1000.0),
        pop3: Some("is not offered there; read it by IMAP"),
        ..named("iCloud", &["mail.me.com", "mail.icloud.com"])
    },
    Provider {
        mails_a_day: Some(500.0),
        pop3: Some("deletes no mail there; read it by IMAP"),
        ..named("Yandex", &["yandex.com", "yandex.ru"])
    },
    Provider {
        // From 50 an hour on, as it sees fit.
        mails_a_day: Some(1200.0),
        ..named("Zoho", &["zoho.com", "zoho.eu", "zoho.in"])
    },
    named("GMX and WEB.DE", &["gmx.net", "gmx.com", "web.de"]),
];

fn of(host: &str) -> Option<&'static Provider> {
    let is_below = |name: &str| {
        host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    PROVIDERS.iter().find(|provider| provider.hosts.iter().any(|name| is_below(name)))
}

/// Whether this is one of them, whose limits are known.
pub(super) fn is_known(host: &str) -> bool {
    of(host).is_some()
}

/// The name of the provider at this host, if it is one that is known to take no passwords.
pub(crate) fn takes_no_password(host: &str) -> Option<&'static str> {
    // Where the mail of its customers arrives.
    let host = match host.ends_with(".protection.outlook.com") {
        true => "office365.com",
        false => host,
    };
    of(host).filter(|provider| !provider.takes_passwords).map(|provider| provider.name)
}

/// What is worth a look where a side is at one of these providers, by target.
pub(super) fn target_warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    for target in config.targets.values() {
        let own = sending(target).into_iter().chain(receiving(target));
        warnings.extend(own.map(|message| format!("target `{}`: {message}", target.name)));
    }
    warnings
}

/// Where the targets of an account ask more of one of these providers than it allows.
pub(super) fn account_warnings(config: &Config) -> Vec<String> {
    let loads = config.server_loads();
    let mut warnings = Vec::new();
    for ((host, user), targets) in accounts(config) {
        if let Some(provider) = of(host) {
            let account = format!("the account {user} at {host}");
            let open = connections(&loads, host, user);
            warnings.extend(limits(provider, &account, &targets, open));
        }
    }
    warnings
}

/// How many connections an account may have open to send, by all ports of its host.
fn connections(loads: &[ServerLoad], host: &str, user: &str) -> u64 {
    let of_host =
        loads.iter().filter(|load| load.server.protocol == "smtp" && load.server.host == host);
    of_host.filter_map(|load| load.accounts.get(user)).map(|account| account.connections).sum()
}

/// The targets that send by one account: a host and a user, whichever port it is used by, as the limits
/// are those of the account.
fn accounts(config: &Config) -> BTreeMap<(&str, &str), Vec<&Arc<Target>>> {
    let mut accounts: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for target in config.targets.values() {
        let Some(login) = &target.send.login else { continue };
        let account = (target.send.endpoint.name(), login.username.as_str());
        accounts.entry(account).or_default().push(target);
    }
    accounts
}

fn limits(provider: &Provider, account: &str, targets: &[&Arc<Target>], open: u64) -> Vec<String> {
    let name = provider.name;
    let mut warnings = Vec::new();
    let mails_in = |span: f64| -> f64 {
        targets
            .iter()
            .map(|target| mails(target) * (span / seconds(target.interval)).max(1.0))
            .sum()
    };
    let day: f64 = targets.iter().map(|it| mails(it) * DAY / seconds(it.interval)).sum();
    if let Some(most) = provider.mails_a_day.filter(|most| day > *most) {
        warnings.push(format!(
            "{account} sends {day:.0} mails a day, but {name} may accept only {most}: make \
             `interval` longer"
        ));
    }
    let minute = mails_in(60.0);
    if let Some(most) = provider.mails_a_minute.filter(|most| minute > *most) {
        warnings.push(format!(
            "{account} may send {minute:.0} mails a minute, but {name} accepts {most}: lower \
             `messages`, or make `interval` longer"
        ));
    }
    if let Some(most) = provider.connections.filter(|most| open > *most) {
        warnings.push(format!(
            "{account} may open {open} connections at the same time, but {name} accepts {most}: \
             set `send.max_connections: {most}`"
        ));
    }
    warnings
}

fn sending(target: &Target) -> Vec<String> {
    let (side, mut warnings) = (&target.send, Vec::new());
    let (Some(provider), Some(login)) = (of(side.endpoint.name()), &side.login) else {
        return warnings;
    };
    let name = provider.name;
    let messages = target.messages.get();
    if let Some(most) = provider.mails_a_connection.filter(|most| messages > *most) {
        warnings.push(format!(
            "`messages` is {messages}, but {name} accepts {most} mails over one connection"
        ));
    }
    if provider.keeps_copies && target.sender_mailbox.is_none() {
        warnings.push(format!(
            "{name} keeps a copy of each mail in the mailbox of {}: name it under `sender_mailbox`, and \
             they are removed",
            login.username
        ));
    }
    if login.has_password() && !provider.takes_passwords {
        warnings.push(format!(
            "{name} no longer accepts passwords for SMTP, or will stop soon: set `oauth2` under \
             `send`"
        ));
    }
    warnings
}

fn receiving(target: &Target) -> Vec<String> {
    let sides = [
        ("receive", target.receive.as_ref()),
        ("sender_mailbox", target.sender_mailbox.as_deref()),
    ];
    let sides = sides.into_iter().filter_map(|(key, side)| Some((key, side?)));
    sides.flat_map(|(key, side)| reading(key, side)).collect()
}

fn reading(key: &str, side: &ReceiveSide) -> Vec<String> {
    let Some(provider) = of(side.endpoint.name()) else { return Vec::new() };
    let name = provider.name;
    let mut warnings = Vec::new();
    if let (Protocol::Pop3, Some(words)) = (&side.protocol, provider.pop3) {
        warnings.push(format!("`{key}`: POP3 of {name} {words}"));
    }
    if side.login.has_password() && !provider.takes_passwords {
        warnings.push(format!("{name} no longer accepts passwords: set `oauth2` under `{key}`"));
    }
    warnings
}

fn mails(target: &Target) -> f64 {
    f64::from(target.messages.get())
}

fn seconds(interval: Duration) -> f64 {
    interval.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The warnings about one target, or some alike.
    fn warned(count: usize, keys: &str, send: &str, receive: &str) -> Vec<String> {
        warned_of(&vec![send; count], keys, receive)
    }

    /// The same about targets that differ in how they send.
    fn warned_of(sends: &[&str], keys: &str, receive: &str) -> Vec<String> {
        let target = |(number, send): (usize, &&str)| {
            format!(
                "  - {{name: a{number}, host: mail.example.com, from: a@example.com, to: \
                 b@example.com, {keys} send: {{username: sam, {send}}}, receive: {{username: rita, \
                 {receive}}}}}\n"
            )
        };
        let text: String = sends.iter().enumerate().map(target).collect();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "of-client").unwrap();
        let path = folder.path().join("mailtrip.yml");
        let config = Config::parse(&format!("targets:\n{text}"), &path);
        let config = config.unwrap_or_else(|problems| panic!("{problems}"));
        [target_warnings(&config), account_warnings(&config)].concat()
    }

    const IMAP: &str = "protocol: imap, password: x";
    const TOKENS: &str =
        "oauth2: {token_url: 'https://a.example/t', client_id: a, client_secret_file: secret}";
    const COPIES: &str =
        "sender_mailbox: {protocol: imap, username: sam, password: x, host: imap.gmail.com},";

    fn assert_says(warnings: &[String], words: &[&str]) {
        assert_eq!(warnings.len(), words.len(), "{warnings:#?}");
        for (warning, words) in warnings.iter().zip(words) {
            assert!(warning.contains(words), "{warning} does not say {words}");
        }
    }

    #[test]
    fn a_provider_is_known_by_its_hosts_and_nobody_else_is() {
        for (host, name) in [
            ("smtp.gmail.com", Some("Gmail")),
            ("outlook.office365.com", Some("Microsoft 365")),
            ("imap.mail.me.com", Some("iCloud")),
            ("notgmail.com", None),
            ("gmail.com.example.org", None),
        ] {
            assert_eq!(of(host).map(|provider| provider.name), name, "{host}");
        }
        assert_says(&warned(1, "interval: 1s,", "password: x", IMAP), &[]);
    }

    #[test]
    fn more_mails_than_a_provider_takes_are_told_for_the_account() {
        let gmail = "host: smtp.gmail.com, password: x";
        assert_says(&warned(1, COPIES, gmail, IMAP), &[]);
        let often = format!("interval: 1m, {COPIES}");
        assert_says(
            &warned(1, &often, gmail, IMAP),
            &["sends 1440 mails a day, but Gmail may accept only 500"],
        );
        let submissions = format!("port: 465, {gmail}");
        assert_says(
            &warned(2, COPIES, &submissions, IMAP),
            &["the account sam at smtp.gmail.com sends 576 mails"],
        );
        let office = format!("host: smtp.office365.com, {TOKENS}");
        let many = format!("messages: 31, {COPIES}");
        assert_says(
            &warned(1, &many, &office, IMAP),
            &["31 mails a minute, but Microsoft 365 accepts 30"],
        );
        let yahoo = "host: smtp.mail.yahoo.com, password: x";
        let burst = "messages: 21, interval: 1d,";
        assert_says(&warned(1, burst, yahoo, IMAP), &["accepts 20 mails over one connection"]);
    }

    #[test]
    fn more_connections_than_a_provider_takes_are_told() {
        let office = |more: &str| format!("host: smtp.office365.com, {TOKENS}{more}");
        assert_says(&warned(3, COPIES, &office(""), IMAP), &[]);
        let words = "may open 4 connections at the same time, but Microsoft 365 accepts 3";
        assert_says(&warned(4, COPIES, &office(""), IMAP), &[words]);
        assert_says(&warned(4, COPIES, &office(", max_connections: 3"), IMAP), &[]);
        // The lowest limit holds for the account, by one port; by each port as many are opened.
        let (default, three) = (office(""), office(", max_connections: 3"));
        let strict = [default.as_str(), &default, &default, &three];
        assert_says(&warned_of(&strict, COPIES, IMAP), &[]);
        let other_port = office(", max_connections: 3, port: 2525");
        let by_two = [three.as_str(), &three, &three, &other_port, &other_port, &other_port];
        let words = "may open 6 connections at the same time, but Microsoft 365 accepts 3";
        assert_says(&warned_of(&by_two, COPIES, IMAP), &[words]);
    }

    #[test]
    fn copies_passwords_and_pop3_are_told_where_they_matter() {
        let gmail = "host: smtp.gmail.com, password: x";
        assert_says(&warned(1, "", gmail, IMAP), &["a copy of each mail in the mailbox of sam"]);
        let office = "host: smtp.office365.com, password: x";
        let receive = "protocol: imap, host: outlook.office365.com, password: x";
        let both = ["set `oauth2` under `send`", "set `oauth2` under `receive`"];
        assert_says(&warned(1, COPIES, office, receive), &both);
        for (host, words) in [
            ("pop.gmail.com", "POP3 of Gmail shows only a few hundred"),
            ("outlook.office365.com", "POP3 of Microsoft 365 refuses frequent logins"),
            ("mail.me.com", "is not offered"),
            ("pop.yandex.com", "deletes no mail"),
        ] {
            let receive = format!("protocol: pop3, host: {host}, {TOKENS}");
            assert_says(&warned(1, "", "password: x", &receive), &[words]);
        }
    }
}
