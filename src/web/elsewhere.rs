//! Where else there is something to see of a target: its alerts and its dashboard, at addresses that flags give.

use std::str::FromStr;

use thiserror::Error;

use crate::config::TargetName;
use crate::web::mount::is_host;
use crate::web::paths::escaped;

/// What stands for the name of a target in an address.
const PLACEHOLDER: &str = "{target}";

/// An address of another site, in which `{target}` stands for the name of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressTemplate(String);

/// A text that is no such address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressTemplateError {
    /// It begins with something else than the schemes of web pages.
    #[error("must begin with http:// or https://")]
    Scheme,
    /// What should be a host is none, or has a user before it.
    #[error("write a host, with its port where it has one, after http:// or https://")]
    Host,
    /// It holds a space or another character that no address holds.
    #[error("`{0}` cannot stand in an address: write it as % and two hexadecimal digits")]
    Character(char),
    /// A percent sign that escapes nothing, as in `%s`.
    #[error(
        "% is followed by two hexadecimal digits; where the name of the target belongs, write {{target}}"
    )]
    Percent,
    /// A placeholder that nobody fills in.
    #[error("{{{0}}} is not filled in, only {{target}} is")]
    Placeholder(String),
}

/// The other sites that the page of a target links to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// Its alerts, `--web.alerts-url`.
    pub alerts: Option<AddressTemplate>,
    /// Its dashboard, `--web.dashboard-url`.
    pub dashboard: Option<AddressTemplate>,
}

impl Elsewhere {
    /// The links for a target: the words and the address.
    pub(in crate::web) fn links(&self, target: &TargetName) -> Vec<(&'static str, String)> {
        let sites = [("Alerts", &self.alerts), ("Dashboard", &self.dashboard)];
        let link = |(words, template): (_, &Option<AddressTemplate>)| {
            template.as_ref().map(|template| (words, template.address(target)))
        };
        sites.into_iter().filter_map(link).collect()
    }
}

impl AddressTemplate {
    /// The address for a target. Its name is escaped, so that it cannot become another part of the
    /// address; within quotes, as in a matcher of Prometheus, also so that it cannot end them.
    fn address(&self, target: &TargetName) -> String {
        let mut address = String::with_capacity(self.0.len());
        let mut rest = self.0.as_str();
        let mut quotes = 0;
        while let Some((before, after)) = rest.split_once(PLACEHOLDER) {
            quotes += before.matches('"').count() + before.matches("%22").count();
            let name = match quotes % 2 {
                0 => target.as_str().to_owned(),
                _ => target.as_str().replace('\\', r"\\").replace('"', r#"\""#),
            };
            address.push_str(before);
            address.extend(escaped(&name));
            rest = after;
        }
        address + rest
    }
}

impl FromStr for AddressTemplate {
    type Err = AddressTemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let schemes = ["http://", "https://"];
        let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
        let rest = rest.ok_or(AddressTemplateError::Scheme)?;
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if !is_host(host) {
            return Err(AddressTemplateError::Host);
        }
        if let Some(wrong) = text.chars().find(|it| !it.is_ascii_graphic() || "<>`\\".contains(*it))
        {
            return Err(AddressTemplateError::Character(wrong));
        }
        if !text.split('%').skip(1).all(begins_with_two_digits) {
            return Err(AddressTemplateError::Percent);
        }
        match text.split('{').skip(1).find_map(foreign_placeholder) {
            Some(name) => Err(AddressTemplateError::Placeholder(name.to_owned())),
            None => Ok(Self(text.to_owned())),
        }
    }
}

fn begins_with_two_digits(text: &str) -> bool {
    text.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2
}

/// The name between braces, if it is one and not that of the target: a filter such as
/// `{target="…"}` has braces of its own.
fn foreign_placeholder(after_brace: &str) -> Option<&str> {
    let (name, _) = after_brace.split_once('}')?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (is_name && name != "target").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(alerts: &str, name: &str) -> Vec<(&'static str, String)> {
        let elsewhere = Elsewhere { alerts: Some(alerts.parse().unwrap()), dashboard: None };
        elsewhere.links(&TargetName::new(name).unwrap())
    }

    #[test]
    fn the_name_of_the_target_is_filled_in_and_cannot_leave_its_place() {
        for (template, name, expected) in [
            (
                "https://a.test/d/x?var-target={target}",
                "corp-mx",
                "https://a.test/d/x?var-target=corp-mx",
            ),
            (
                "http://a.test:9093/#/alerts?filter={target=\"{target}\"}",
                "a&b=c/ü#\"",
                "http://a.test:9093/#/alerts?filter={target=\"a%26b%3Dc%2F%C3%BC%23%5C%22\"}",
            ),
            (
                "https://a.test/g?expr=A%7Bt%3D%22{target}%22%7D&var={target}",
                "a\\b\"",
                "https://a.test/g?expr=A%7Bt%3D%22a%5C%5Cb%5C%22%22%7D&var=a%5Cb%22",
            ),
            ("https://a.test/{target}/{target}", "../x", "https://a.test/..%2Fx/..%2Fx"),
            ("https://a.test", "corp", "https://a.test"),
        ] {
            assert_eq!(links(template, name), [("Alerts", expected.to_owned())]);
        }
        let target = TargetName::new("a").unwrap();
        assert_eq!(Elsewhere::default().links(&target), []);
    }

    #[test]
    fn what_is_no_address_of_a_page_is_refused_with_what_to_write() {
        for (text, expected) in [
            ("", "must begin with http:// or https://"),
            ("javascript:alert(1)", "must begin with http:// or https://"),
            ("/alerts", "must begin with http:// or https://"),
            ("https://", "write a host"),
            ("https://ann:secret@a.test/", "write a host"),
            ("https://{target}.a.test/", "write a host"),
            ("https://a.test/b c", "` ` cannot stand in an address"),
            ("https://a.test/ü", "`ü` cannot stand in an address"),
            ("https://a.test/?q=%s", "write {target}"),
            ("https://a.test/?q=%2", "write {target}"),
            ("https://a.test/?q={name}", "{name} is not filled in, only {target} is"),
            ("https://a.test/?q={}", "{} is not filled in"),
        ] {
            let error = text.parse::<AddressTemplate>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
