//! The tables of docs/configuration.md say of each key what the table of the program says.

use std::fs;

use crate::config::reference::{Default, Home, Key, Kind};

/// Where the page has the keys of a map.
fn heading(home: Home) -> Option<&'static str> {
    Some(match home {
        Home::Main => "## Keys of the file",
        Home::Target => "## Keys of a target",
        Home::Send | Home::Receive => "## Keys of `send` and `receive`",
        Home::TlsOptions => "## Keys of `tls_options`",
        Home::OAuth2 => "## Keys of `oauth2`",
        Home::Inspect => "## Keys of `inspect`",
        Home::Ping => "## Keys of `ping`",
        Home::Mail => "## Keys of `mail`",
        Home::Attachment => "## Keys of `attachment`",
        Home::Dkim => "## Keys of `dkim`",
        Home::Dnsbl => "## Keys of `dnsbl`",
        Home::DnsblList => "## Keys of a list of `dnsbl`",
        Home::DomainChecks => "## Keys of `domain_checks`",
        Home::Included | Home::Defaults | Home::SenderMailbox => return None,
    })
}

/// The row of a key: what stands under `default`, and under `meaning`.
fn row<'a>(section: &'a str, key: &str) -> Option<(&'a str, &'a str)> {
    section.lines().find_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let (names, first) = (cells.next()?, cells.next()?);
        let meaning = cells.next().unwrap_or(first);
        names.contains(&format!("`{key}`")).then_some((first, meaning))
    })
}

/// Whether these words stand there, and not the beginning of a longer one: `1 to 100` is not in `1 to 1000`.
fn has_words(text: &str, words: &str) -> bool {
    text.match_indices(words).any(|(at, _)| {
        let (before, after) =
            (text[..at].chars().next_back(), text[at + words.len()..].chars().next());
        ![before, after].into_iter().flatten().any(char::is_alphanumeric)
    })
}

#[test]
fn a_bound_is_not_found_in_a_longer_number() {
    assert!(has_words("From 1 to 100.", "1 to 100"));
    assert!(!has_words("1 to 1000", "1 to 100"));
    assert!(!has_words("11 to 100", "1 to 100"));
}

fn is_right(key: &Key, default: &str, meaning: &str) -> Result<(), String> {
    let quoted = |text: &str| format!("`{text}`");
    let expected = match key.default {
        Default::Required => Some("required".to_owned()),
        Default::Nothing | Default::Told(_) => None,
        value => Some(quoted(&value.to_string())),
    };
    if let Some(expected) = expected.filter(|expected| !default.contains(expected)) {
        return Err(format!("has no default {expected}"));
    }
    let needed: Vec<String> = match &key.kind {
        // Everybody knows those of a port.
        Kind::Number(..) if key.name == "port" => Vec::new(),
        kind @ (Kind::Number(..) | Kind::Duration(_) | Kind::Bytes(..)) => {
            let words = kind.to_string();
            vec![words.split_once(" from ").unwrap().1.to_owned()]
        }
        Kind::Word(words) => words.iter().map(|word| quoted(word)).collect(),
        _ => Vec::new(),
    };
    let missing = needed.into_iter().find(|part| !has_words(meaning, part));
    missing.map_or(Ok(()), |missing| Err(format!("does not say {missing}")))
}

#[test]
fn the_page_of_the_configuration_has_each_key_with_its_default_and_bounds() {
    let page = fs::read_to_string("docs/configuration.md").unwrap();
    let mut wrong = Vec::new();
    for home in Home::ALL {
        let Some(heading) = heading(home) else { continue };
        let section = page.split(&format!("\n{heading}\n")).nth(1).unwrap_or_default();
        let section = section.split("\n## ").next().unwrap_or_default();
        for key in home.keys() {
            let verdict =
                row(section, key.name).map(|(default, meaning)| is_right(key, default, meaning));
            match verdict {
                None => wrong.push(format!("{heading}: no row for {}", key.name)),
                Some(Err(what)) => wrong.push(format!("{heading}: {} {what}", key.name)),
                Some(Ok(())) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
