//! Each key of the table: what it says is what the parser and the schema do.

use std::time::Duration;

use ledger::durations::Written;

use super::{MAIN, parse};
use crate::config::reference::{Default, Home, Key, Kind};

/// A target that lacks nothing, with each map that has keys but `oauth2`.
const TARGET: &str = "\
targets:
- name: a
  host: h.example
  from: a@h.example
  to: b@h.example
  send: {username: u, password: p}
  receive: {protocol: imap, username: u, password: p}
";
const LISTS: &str = "lists: [a.example], ";
const SENDER_MAILBOX: &str = "  sender_mailbox: {protocol: imap, username: s, password: p}\n";

/// The path of the map in `defaults`, where each key may stand alone.
fn path(home: Home) -> Option<&'static [&'static str]> {
    Some(match home {
        Home::Target | Home::Main | Home::Included => return None,
        Home::Defaults => &[],
        Home::Send => &["send"],
        Home::Receive => &["receive"],
        Home::SenderMailbox => &["sender_mailbox"],
        Home::TlsOptions => &["send", "tls_options"],
        Home::OAuth2 => &["send", "oauth2"],
        Home::Inspect => &["inspect"],
        Home::Ping => &["ping"],
        Home::Mail => &["mail"],
        Home::Attachment => &["mail", "attachment"],
        Home::Dkim => &["mail", "dkim"],
        Home::Dnsbl => &["dnsbl"],
        Home::DomainChecks => &["domain_checks"],
        // It stands in a list.
        Home::DnsblList => return None,
    })
}

/// A configuration with this key in `defaults`, and its path in messages.
fn with(path: &[&str], key: &str, value: &str) -> (String, String) {
    let open: String = path.iter().map(|map| format!("{map}: {{")).collect();
    let close = "}".repeat(path.len());
    let sender_mailbox = if path == ["sender_mailbox"] { SENDER_MAILBOX } else { "" };
    let before = match (path, key) {
        // It cannot be before the mail is late.
        (_, "lost_after") => "late_after: 1ms, ",
        (["dnsbl"], "addresses" | "interval") => LISTS,
        _ => "",
    };
    let text =
        format!("defaults: {{{open}{before}{key}: {value}{close}}}\n{TARGET}{sender_mailbox}");
    let place: String = path.iter().map(|map| format!("{map}.")).collect();
    (text, format!("defaults.{place}{key}"))
}

/// Whether the parser has nothing against the key itself.
fn is_parsed(text: &str, place: &str) -> bool {
    let of_key = |key: &str| key == place || key.starts_with(&format!("{place}["));
    // That it does not go with another key is no word about its own form.
    let of_others =
        |message: &str| message.starts_with("needs ") || message.starts_with("does not go with ");
    parse(text)
        .err()
        .is_none_or(|problems| problems.iter().all(|it| !of_key(&it.key) || of_others(&it.message)))
}

struct Values {
    good: Vec<String>,
    bad: Vec<String>,
    /// What only the parser refuses: no schema compares durations.
    beyond: Vec<String>,
}

#[allow(clippy::too_many_lines, reason = "a table, which is read as a whole")]
fn values(kind: &Kind) -> Values {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let (good, bad): (&[&str], &[&str]) = match kind {
        Kind::Text | Kind::Verbatim | Kind::Path => (&[], &["[]", "{}", "", "''"]),
        Kind::Name => (&[], &[]),
        Kind::Host => (
            &["h.example", "h.example.", "'2001:db8::1'", "'[::1]'"],
            &["https://h", "'h:port'", "h..example", ".h", "[]", "7"],
        ),
        Kind::Address => (&["a@h.example"], &["a", "'A <a@h.example>'", "a@h.example.", "[]"]),
        Kind::Url => (&["https://h.example/a"], &["http://h.example/a", "h", "https://u@h/", "[]"]),
        Kind::Boolean => (&["true", "false"], &["yes", "'true'", "1", "", "[]"]),
        Kind::Lines => (&["a", "\"a\\nb\\tc\""], &["[]", "{}", "", "''"]),
        Kind::Fields => (
            &["{X-A: b, List-Id: '', c: 7}"],
            &["[]", "a", "", "{'a b': c}", "{'a:': b}", "{a: []}", "{a: }"],
        ),
        Kind::Bytes(..) => {
            (&["10kB", "'10 KiB'"], &["x", "''", "-1", "[]", "", "10kb", "1.5MB", "10k"])
        }
        Kind::Number(..) => (&[], &["x", "''", "1.5", "-1", "[]", ""]),
        Kind::Duration(_) => {
            (&["1m", "'0.5m'", "1m 1s"], &["5", "5 moons", "1M", "1y", "", "s", "[]"])
        }
        Kind::Word(_) => (&[], &["other", "''", "", "[]", "7"]),
        Kind::Paths => (&[], &["a", "{}", "[[]]"]),
        Kind::Folders => {
            (&["[a, '\\Sent']"], &["[]", "a", "['\\a b']", "['\\']", "[a, a]", "[[]]"])
        }
        Kind::Ports => (
            &["[25, '26']", "['a:1', 'b:h.example:2', 'c:[::1]:3', 'd:2001:db8::1:4']"],
            &["25", "[0]", "[65536]", "['send:1']", "['a b:1']", "['a:h:i:1']", "[x]"],
        ),
        Kind::Labels => (
            &["{a: b, c: 1, d: true, e: ''}"],
            &[
                "{a-b: c}",
                "{__a: b}",
                "{target: a}",
                "{job: a}",
                "{severity: a}",
                "[]",
                "a",
                "{a: }",
            ],
        ),
        Kind::Zones(_) => (
            &["[bl.example.org]", "[a.example, B.example.]"],
            &[
                "bl.example.org",
                "[]",
                "[a]",
                "[https://a.example]",
                "[127.0.0.1]",
                "[key.zen.dq.spamhaus.net]",
                "[{name: a}]",
                "[a.example, a.example]",
                "[[]]",
            ],
        ),
        Kind::IpAddresses => (
            &["[198.51.100.7, '2001:db8::25']"],
            &["198.51.100.7", "[]", "[mail.example]", "[7]", "[{}]"],
        ),
        Kind::Domain => (
            &["example.com", "Mail.Example.", "'bücher.example'"],
            &["a", "[]", "127.0.0.1", "https://a.example", "7", "{}"],
        ),
        Kind::Words(_) => (&["[mx]", "[SPF, dane]"], &["mx", "[]", "[weather]", "[{}]", "[7]"]),
        Kind::Map(_) => (&["{}"], &["[]", "a", "", "{other: a}"]),
        Kind::Switch(_) => (&["{}", "true", "false"], &["[]", "a", "", "{other: a}"]),
        Kind::List(_) => (&[], &[]),
    };
    let mut values = Values { good: owned(good), bad: owned(bad), beyond: Vec::new() };
    match kind {
        Kind::Number(least, most) => {
            values.good.extend([least.to_string(), most.to_string(), format!("'{most}'")]);
            values.bad.extend([least.saturating_sub(1).to_string(), (most + 1).to_string()]);
        }
        Kind::Bytes(least, most) => {
            values.good.extend([least.to_string(), most.to_string(), format!("'{most}'")]);
            values.bad.extend([least.saturating_sub(1).to_string(), (most + 1).to_string()]);
            values.beyond.push(format!("'{} B'", most + 1));
        }
        Kind::Duration(range) => {
            let (least, most) = (*range.start(), *range.end());
            let written = |it: Duration| Written(it).to_string();
            values.good.retain(|it| {
                range.contains(&humantime::parse_duration(it.trim_matches('\'')).unwrap())
            });
            values.good.extend([written(least), written(most)]);
            values.beyond.push(written(most + Duration::from_secs(1)));
            if let Some(below) = least.checked_sub(Duration::from_micros(1)) {
                values.beyond.push(humantime::format_duration(below).to_string());
            }
        }
        Kind::Word(words) => {
            values.good.extend(words.iter().map(|word| format!("'{word}'")));
            values.good.extend(words.iter().map(|word| format!("'{}'", word.to_uppercase())));
            values.good.extend(words.iter().map(|word| (*word).to_owned()));
        }
        _ => {}
    }
    values
}

/// Each key that may stand in `defaults`.
fn keys() -> impl Iterator<Item = (Home, &'static [&'static str], &'static Key)> {
    let homes = Home::ALL.into_iter().filter_map(|home| Some((home, path(home)?)));
    homes.flat_map(|(home, path)| home.keys().iter().map(move |key| (home, path, key)))
}

#[test]
fn bounds_words_and_forms_are_those_of_the_parser_and_of_the_schema() {
    let mut tried = 0;
    for (_, path, key) in keys() {
        let values = values(&key.kind);
        for value in values.good {
            let (text, place) = with(path, key.name, &value);
            assert!(
                is_parsed(&text, &place),
                "{place} must take {value}: {:?}",
                parse(&text).err()
            );
            assert_eq!(MAIN.problems(&text), None, "the schema must take {place}: {value}");
            tried += 1;
        }
        for value in values.bad {
            let (text, place) = with(path, key.name, &value);
            assert!(parse(&text).is_err(), "{place} must refuse {value}");
            assert!(MAIN.problems(&text).is_some(), "the schema must refuse {place}: {value}");
            tried += 1;
        }
        for value in values.beyond {
            let (text, place) = with(path, key.name, &value);
            assert!(!is_parsed(&text, &place), "{place} must refuse {value}");
        }
    }
    assert!(tried > 300, "{tried}");
}

/// Another value than the default.
fn other(key: &Key) -> Option<String> {
    Some(match (&key.default, &key.kind) {
        (Default::Boolean(value), _) => (!value).to_string(),
        (Default::Number(_), Kind::Number(least, most)) => (least + (most - least) / 2).to_string(),
        (Default::Duration(_), Kind::Duration(range)) => Written(*range.end()).to_string(),
        (Default::Text(text), Kind::Word(words)) => {
            format!("'{}'", words.iter().rev().find(|word| *word != text)?)
        }
        _ => return None,
    })
}

#[test]
fn defaults_are_those_of_the_parser() {
    let mut count = 0;
    for (home, path, key) in keys() {
        let default = match key.default {
            Default::Required | Default::Nothing | Default::Told(_) => continue,
            Default::Text(text) => format!("'{text}'"),
            default => default.to_string(),
        };
        // The map is what turns it on.
        let base = match home {
            Home::Ping => "defaults: {ping: {}}\n".to_owned(),
            Home::Dnsbl => format!("defaults: {{dnsbl: {{{LISTS}}}}}\n"),
            Home::DomainChecks => "defaults: {domain_checks: {}}\n".to_owned(),
            _ => String::new(),
        };
        let sender_mailbox = if home == Home::SenderMailbox { SENDER_MAILBOX } else { "" };
        let without = parse(&format!("{base}{TARGET}{sender_mailbox}")).unwrap().to_yaml();
        let (text, place) = with(path, key.name, &default);
        assert_eq!(parse(&text).unwrap().to_yaml(), without, "{place}: {default}");
        // That the page shows the key at all.
        let Some(other) = other(key) else { continue };
        if let Ok(config) = parse(&with(path, key.name, &other).0) {
            assert_ne!(config.to_yaml(), without, "{place}: {other}");
            count += 1;
        }
    }
    assert!(count > 15, "{count}");
    let dir = Home::Main.keys().iter().find(|key| key.name == "state_dir").unwrap();
    let config = parse(TARGET).unwrap();
    assert_eq!(config.state_dir.to_str(), Some(dir.default.to_string().as_str()));
}

#[test]
fn what_is_required_is_refused_where_it_is_missing() {
    let oauth2 = "oauth2: {token_url: 'https://h.example/', client_id: c, client_secret_file: s}";
    for (whole, required) in [
        (TARGET.to_owned(), vec!["name: a\n", "  from: a@h.example\n", "  to: b@h.example\n"]),
        (
            TARGET.to_owned(),
            vec!["  host: h.example\n", "protocol: imap, ", ", password: p}\n  receive"],
        ),
        (TARGET.to_owned(), vec!["  receive: {protocol: imap, username: u, password: p}\n"]),
        (
            TARGET.replacen("password: p", oauth2, 1),
            vec!["token_url: 'https://h.example/', ", "client_id: c, ", ", client_secret_file: s"],
        ),
    ] {
        assert_eq!(MAIN.problems(&whole), None, "{whole}");
        for part in required {
            let rest = if part.contains("receive\n") || part.ends_with("receive") {
                "}\n  receive"
            } else {
                ""
            };
            let rest = if part.starts_with("name") { "passive: true\n" } else { rest };
            let text = whole.replacen(part, rest, 1);
            assert_ne!(text, whole, "{part}");
            assert!(parse(&text).is_err(), "{text}");
            assert!(MAIN.problems(&text).is_some(), "{text}");
        }
    }
}
