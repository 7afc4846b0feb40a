//! User name and credentials of a side: a password from one of three sources, or an OAuth2 provider.

use super::oauth;
use super::section::{Found, Level, Place, Report, Section};
use super::source::{self, Sources};
use super::{Auth, Credentials, Login, Mechanism, SecretSource};
use super::{value, written};

/// Where a password comes from, or access tokens in its place; one of them.
pub const PASSWORD_KEYS: [&str; 4] = ["password", "password_file", "password_env", "oauth2"];

/// A comment of somebody who explains a password looks like the rest of the password of another.
const COMMENT_AFTER_PASSWORD: &str = "ends before ` #`, where a comment begins; put the password in \
                                      'single quotes', with what follows if that belongs to it";

/// The words of `auth`.
pub(super) const MECHANISMS: [(&str, Auth); 8] = [
    ("auto", Auth::Auto),
    ("plain", Auth::Only(Mechanism::Plain)),
    ("login", Auth::Only(Mechanism::Login)),
    ("cram-md5", Auth::Only(Mechanism::CramMd5)),
    ("scram-sha-1", Auth::Only(Mechanism::ScramSha1)),
    ("scram-sha-256", Auth::Only(Mechanism::ScramSha256)),
    ("xoauth2", Auth::Only(Mechanism::XOAuth2)),
    ("oauthbearer", Auth::Only(Mechanism::OAuthBearer)),
];

/// What was said about a login.
enum Username {
    /// Nothing.
    Absent,
    /// `none`: no login.
    None(Level),
    /// A name, or one that is not good and was reported.
    Name(Option<String>),
}

/// The login of a send side: `Some(None)` for a server that needs none, `None` with a problem
/// reported.
pub(super) fn optional(
    section: &Section<'_>,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<Option<Login>> {
    let password = find_password(section, report);
    match username(section, report) {
        Username::Name(name) => login(section, name, password, false, sources, report).map(Some),
        Username::None(level) => {
            let stray = password.filter(|password| password.level >= level);
            stray.is_none_or(|password| reject(&password.place, report)).then_some(None)
        }
        Username::Absent => match password {
            None => Some(None),
            Some(password) if section.is_partial() => {
                read_credentials(section, &password, sources, report);
                None
            }
            Some(password) if password.level == Level::Own => {
                reject(&password.place, report);
                None
            }
            Some(_) => {
                let advice = "`defaults` has a password for it; `none` for no login";
                section.miss("username", advice, report);
                None
            }
        },
    }
}

/// The login of a mailbox, which always has one; `None` with a problem reported. By HTTP it is made by the field
/// Authorization.
pub(super) fn required(
    section: &Section<'_>,
    is_by_http: bool,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<Login> {
    let password = find_password(section, report);
    let name = match username(section, report) {
        Username::Name(name) => name,
        Username::Absent => {
            section.miss("username", "the account that reads the mailbox", report);
            None
        }
        Username::None(_) => {
            if let Some(found) = section.find("username") {
                report.add(found.place.problem("cannot be `none`: a mailbox needs a login"));
            }
            None
        }
    };
    login(section, name, password, is_by_http, sources, report)
}

fn login(
    section: &Section<'_>,
    username: Option<String>,
    password: Option<Found<'_>>,
    is_by_http: bool,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<Login> {
    let auth = section.read("auth", report, value::choice(&MECHANISMS)).unwrap_or_default();
    let Some(password) = password else {
        let advice = "write `password_file`, `password_env` or `password` beside `username`, or \
                      `oauth2`";
        section.miss("password", advice, report);
        return None;
    };
    let credentials = read_credentials(section, &password, sources, report);
    let login = Login { username: username?, credentials: credentials?, auth };
    if let (Auth::Only(mechanism), Some(found)) = (auth, section.find("auth"))
        && let Err(message) = fits(&login, mechanism, is_by_http)
    {
        report.add(found.place.problem(message));
        return None;
    }
    let is_basic =
        is_by_http && login.has_password() && !matches!(auth, Auth::Only(Mechanism::OAuthBearer));
    if is_basic
        && login.username.contains(':')
        && let Some(found) = section.find("username")
    {
        let message = "holds a colon, which ends the user name in HTTP Basic (RFC 7617)";
        report.add(found.place.problem(message));
        return None;
    }
    Some(login)
}

/// Whether this login can be made so.
fn fits(login: &Login, mechanism: Mechanism, is_by_http: bool) -> Result<(), &'static str> {
    match mechanism {
        // A token for a program may be given as a password.
        Mechanism::OAuthBearer if is_by_http => Ok(()),
        Mechanism::Plain if is_by_http && login.has_password() => Ok(()),
        _ if is_by_http => Err(
            "by jmap there are plain (Basic, with a password) and oauthbearer (Bearer); `auto` fits either",
        ),
        _ if login.mechanisms().contains(&mechanism) => Ok(()),
        _ if login.has_password() => Err("needs `oauth2`; `auto` fits either"),
        _ => Err("needs a password; `auto` fits either"),
    }
}

fn username(section: &Section<'_>, report: &mut Report) -> Username {
    let Some(found) = section.find("username") else { return Username::Absent };
    let name = report.accept(&found.place, value::line(found.node));
    match name {
        Some(name) if name.eq_ignore_ascii_case("none") => Username::None(found.level),
        name => Username::Name(name),
    }
}

/// The password key of the nearest layer that has one.
fn find_password<'a>(section: &Section<'a>, report: &mut Report) -> Option<Found<'a>> {
    [Level::Own, Level::Defaults].into_iter().find_map(|level| {
        let mut found = PASSWORD_KEYS.iter().filter_map(|key| section.find_in(level, key));
        let first = found.next()?;
        for other in found {
            let message = format!("stands beside another password on line {}", first.place.line);
            let message = format!("{message}; keep one of {}", PASSWORD_KEYS.join(", "));
            report.add(other.place.problem(message));
        }
        Some(first)
    })
}

fn read_credentials(
    section: &Section<'_>,
    found: &Found<'_>,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<Credentials> {
    if found.place.key.ends_with("oauth2") {
        let provider = section.child("oauth2", report);
        return oauth::provider(&provider, sources, report).map(Credentials::OAuth2);
    }
    let node = found.node;
    let password = match found.place.key.rsplit('.').next() {
        Some("password_file") => {
            written::path_of_secret(node).and_then(|path| sources.password_file(&found.place, path))
        }
        Some("password_env") => written::name_of_variable(node)
            .and_then(|name| sources.password_variable(name))
            .map(SecretSource::Fixed),
        _ => {
            if node.is_commented {
                report.warn(found.place.problem(COMMENT_AFTER_PASSWORD));
            }
            written::password(node).and_then(source::password).map(SecretSource::Fixed)
        }
    };
    report.accept(&found.place, password).map(Credentials::Password)
}

/// Reports a password that nobody logs in with; always `false`.
fn reject(place: &Place<'_>, report: &mut Report) -> bool {
    report.add(place.problem("is a password without a `username`; write one, or leave both out"));
    false
}
