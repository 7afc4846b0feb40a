//! A record of SPF (RFC 7208) as terms. Linear, and it holds no more than the record.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The most terms of one record.
pub(crate) const MOST_TERMS: usize = 256;

/// What a record says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// The mechanisms that ask name servers, up to `all`, in their order.
    pub(crate) questions: Vec<Question>,
    /// What holds for all others: `+`, `-`, `~` or `?`; `None`: there is no `all`.
    pub(crate) all: Option<char>,
    /// The domain whose record goes on from here; never with `all`.
    pub(crate) redirect: Option<String>,
    /// Every address passes, by `+all` or a network of all.
    pub(crate) opens: bool,
}

/// A mechanism that asks name servers (section 4.6.4). A name may hold macros, which only a mail fills.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// The record of another domain, and whether what passes there passes here (`+`).
    Include(String, bool),
    /// The addresses of a name; `None`: of the domain.
    A(Option<String>),
    /// The addresses of the servers that take its mail.
    Mx(Option<String>),
    /// The names of the address.
    Ptr,
    /// Whether there is such a name.
    Exists(String),
}

/// Whether the name holds a macro.
pub(crate) fn has_macro(name: &str) -> bool {
    name.contains('%')
}

/// Reads a record, which begins with `v=spf1`.
///
/// # Errors
/// Which term is wrong.
pub(crate) fn read(text: &str) -> Result<Record, String> {
    let (mut record, mut modifiers) = (Record::default(), Modifiers::default());
    for (index, term) in text.split(' ').filter(|term| !term.is_empty()).skip(1).enumerate() {
        if index >= MOST_TERMS {
            return Err(format!("it has more than {MOST_TERMS} terms"));
        }
        match modifier(term) {
            Some((name, value)) => modifiers.take(name, value)?,
            None => record.take(term).ok_or_else(|| format!("`{term}` is no term"))?,
        }
    }
    record.redirect = modifiers.redirect.filter(|_| record.all.is_none());
    Ok(record)
}

impl Record {
    /// Takes a mechanism in; `None`: it is none.
    fn take(&mut self, term: &str) -> Option<()> {
        let (qualifier, mechanism) = match term.chars().next() {
            Some(sign @ ('+' | '-' | '~' | '?')) => (sign, term.get(1..)?),
            _ => ('+', term),
        };
        match mechanism_of(mechanism)? {
            // What stands behind it is read, and means nothing (section 5.1).
            _ if self.all.is_some() => {}
            Mechanism::All => {
                self.all = Some(qualifier);
                self.opens |= qualifier == '+';
            }
            Mechanism::Address { is_of_all } => self.opens |= is_of_all && qualifier == '+',
            Mechanism::Question(Question::Include(name, _)) => {
                self.questions.push(Question::Include(name, qualifier == '+'));
            }
            Mechanism::Question(question) => self.questions.push(question),
        }
        Some(())
    }
}

/// The modifiers that have a meaning, each once (section 6).
#[derive(Default)]
struct Modifiers {
    redirect: Option<String>,
    exp: Option<String>,
}

impl Modifiers {
    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        let slot = match name.to_ascii_lowercase().as_str() {
            "redirect" => &mut self.redirect,
            "exp" => &mut self.exp,
            _ => return Ok(()),
        };
        let value = spec(value).ok_or_else(|| format!("`{name}={value}` is no term"))?;
        match slot.replace(value) {
            Some(_) => Err(format!("`{name}=` stands twice")),
            None => Ok(()),
        }
    }
}

enum Mechanism {
    All,
    /// `ip4` or `ip6`.
    Address {
        is_of_all: bool,
    },
    Question(Question),
}

/// `name=value`, where the name has the signs of one.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let is_sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(is_sign))
        .then_some((name, value))
}

fn mechanism_of(text: &str) -> Option<Mechanism> {
    let end = text.find([':', '/']).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    let value = rest.strip_prefix(':');
    Some(Mechanism::Question(match name.to_ascii_lowercase().as_str() {
        "all" => return rest.is_empty().then_some(Mechanism::All),
        "ip4" => return network(value?, 32, |it| it.parse::<Ipv4Addr>().is_ok()),
        "ip6" => return network(value?, 128, |it| it.parse::<Ipv6Addr>().is_ok()),
        "include" => Question::Include(spec(value?)?, true),
        "exists" => Question::Exists(spec(value?)?),
        "a" => Question::A(with_prefixes(rest)?),
        "mx" => Question::Mx(with_prefixes(rest)?),
        "ptr" if rest.is_empty() => Question::Ptr,
        "ptr" => {
            spec(value?)?;
            Question::Ptr
        }
        _ => return None,
    }))
}

fn network(value: &str, most: u8, is_address: impl Fn(&str) -> bool) -> Option<Mechanism> {
    let (address, prefix) =
        value.split_once('/').map_or((value, None), |(it, prefix)| (it, Some(prefix)));
    let is_good = is_address(address) && prefix.is_none_or(|prefix| is_prefix(prefix, most));
    let is_of_all = prefix.is_some_and(|prefix| prefix.bytes().all(|digit| digit == b'0'));
    is_good.then_some(Mechanism::Address { is_of_all })
}

/// `[:name][/prefix][//prefix]`.
fn with_prefixes(rest: &str) -> Option<Option<String>> {
    let (rest, v6) = rest.split_once("//").map_or((rest, None), |(rest, v6)| (rest, Some(v6)));
    // A macro may hold a slash, as a delimiter.
    let (name, v4) = match rest.rsplit_once('/') {
        Some((name, v4)) if !v4.contains('}') => (name, Some(v4)),
        _ => (rest, None),
    };
    let is_good = v6.is_none_or(|it| is_prefix(it, 128)) && v4.is_none_or(|it| is_prefix(it, 32));
    match name.strip_prefix(':') {
        _ if !is_good => None,
        Some(name) => spec(name).map(Some),
        None => name.is_empty().then_some(None),
    }
}

fn is_prefix(text: &str, most: u8) -> bool {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number && text.parse().is_ok_and(|length: u8| length <= most)
}

/// A name, perhaps with macros (section 7.1), in lower case and without its final dot.
fn spec(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let after = rest.get(at + 1..)?;
        rest = match after.chars().next()? {
            '%' | '_' | '-' => after.get(1..)?,
            '{' => {
                let (inside, behind) = after.get(1..)?.split_once('}')?;
                is_macro(inside).then_some(behind)?
            }
            _ => return None,
        };
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_visible = name.bytes().all(|byte| byte.is_ascii_graphic());
    let is_whole = has_macro(name)
        || name.split('.').all(|part| (1..=63).contains(&part.len()))
            && name.rsplit_once('.').is_some_and(|(_, last)| is_top_level(last));
    (is_whole && is_visible && name.len() <= 253).then(|| name.to_ascii_lowercase())
}

/// Whether it can be the last part of a name (section 7.1): an address is none.
fn is_top_level(part: &str) -> bool {
    part.bytes().any(|byte| !byte.is_ascii_digit())
}

/// The inside of `%{…}`: a letter, how many parts, whether in reverse, and where they are divided.
fn is_macro(inside: &str) -> bool {
    let mut signs = inside.chars();
    let is_letter = signs.next().is_some_and(|c| "slodiphcrtv".contains(c.to_ascii_lowercase()));
    let rest = signs.as_str().trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.strip_prefix(['r', 'R']).unwrap_or(rest);
    is_letter && rest.chars().all(|c| ".-+,/_=".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terms_that_ask_are_found() {
        let text = "v=spf1 +mx a:colo.Example.com/28 include:_spf.example.net. ip4:192.0.2.0/24 \
                    ip6:2001:db8::/32 exists:%{ir}.%{l1r+-}._spf.%{d} ptr ptr:example.org a//64 -all a";
        let record = read(text).unwrap();
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(
            record.questions,
            [
                Question::Mx(None),
                Question::A(some("colo.example.com")),
                Question::Include("_spf.example.net".to_owned(), true),
                Question::Exists("%{ir}.%{l1r+-}._spf.%{d}".to_owned()),
                Question::Ptr,
                Question::Ptr,
                Question::A(None),
            ]
        );
        assert_eq!((record.all, record.redirect), (Some('-'), None));
        let record = read("v=spf1 redirect=_spf.example.com foo=bar").unwrap();
        assert_eq!((record.all, record.redirect.as_deref()), (None, Some("_spf.example.com")));
        assert_eq!(read("v=spf1 ?all redirect=x.example").unwrap().redirect, None);
        assert_eq!(read("v=spf1").unwrap(), Record::default());
    }

    #[test]
    fn a_record_by_which_every_address_passes_is_told() {
        for (text, expected) in [
            ("+all", true),
            ("all", true),
            ("ip4:0.0.0.0/0 -all", true),
            ("ip6:::/0 -all", true),
            ("-ip4:0.0.0.0/0 ~all", false),
            ("ip4:192.0.2.0/24 ?all", false),
            ("-all all", false),
        ] {
            assert_eq!(read(&format!("v=spf1 {text}")).unwrap().opens, expected, "{text}");
        }
    }

    #[test]
    fn a_term_that_is_none_spoils_the_record() {
        for term in [
            "al",
            "all:x",
            "-",
            "ip4:192.0.2.256",
            "ip4:192.0.2.1/33",
            "ip4",
            "ip6:192.0.2.1",
            "include",
            "include:",
            "include:.a.example",
            "a:/24",
            "a:192.0.2.1",
            "include:localhost",
            "a/x",
            "mx//129",
            "exists:%{q}",
            "exists:%x",
            "exists:%{i",
            "a:ü.example",
            "redirect=a.example redirect=b.example",
            "redirect=",
            "ip4:192.0.2.1/",
            "ipv4:192.0.2.1",
        ] {
            assert!(read(&format!("v=spf1 {term} -all")).is_err(), "{term}");
        }
    }
}
