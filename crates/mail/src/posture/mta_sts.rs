//! MTA-STS (RFC 8461): a policy that has others send to the domain under verified TLS only. One that does not fit
//! the servers keeps mail away.

use std::time::Duration;

use hyper::Request;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use tokio::time::Instant;

use super::exchangers::{Servers, Visit, under_tls};
use super::{Means, Outcome, Tally};
use crate::http;
use crate::options::{Endpoint, TlsMode, TlsOptions};
use crate::tags::Tags;
use crate::text::shown;
use crate::{Fault, Reason};

/// The longest policy that is read (section 3.2).
const BYTES: usize = 64 << 10;
/// The most servers that a policy may name here.
const MOST_PATTERNS: usize = 100;
/// How long the answer with the policy may take (section 3.3).
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest that a policy may be kept, in seconds (section 3.2).
const MOST_AGE: u64 = 31_557_600;
const PATH: &str = "/.well-known/mta-sts.txt";

/// What the servers of the domain are to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Enforce,
    Testing,
    None,
}

/// A policy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    mode: Mode,
    /// Names of servers; one may begin with `*.`, for one part.
    patterns: Vec<String>,
}

pub(super) async fn check(
    domain: &str,
    servers: &Servers,
    visits: &[Visit],
    means: Means<'_>,
) -> Result<Outcome, Outcome> {
    let (place, questions) = (format!("_mta-sts.{domain}"), means.questions());
    let records = questions.texts_of(&place, "v=STSv1").await?;
    match records.as_slice() {
        [] => return Ok(Outcome::absent(format!("{place} has no record"))),
        [record] => {
            has_id(record).map_err(|why| Outcome::failed(format!("{place}: {why}: {record}")))?
        }
        many => {
            let words = format!("{place} has {} records, which are as none", many.len());
            return Ok(Outcome::failed(words));
        }
    }
    let server = format!("mta-sts.{domain}");
    let addresses = questions.addresses(&server).await?;
    if addresses.list.is_empty() {
        return Ok(Outcome::failed(format!("{server} has no address, and {place} has a record")));
    }
    if means.tls().client(&TlsOptions::default()).is_ok_and(|client| client.lacks_authorities()) {
        return Ok(Outcome::unknown(
            "no authorities were found on this machine, by which certificates are judged: install ca-certificates",
        ));
    }
    let policy = fetch(&server, means).await?;
    let policy = read(&policy)
        .map_err(|why| Outcome::failed(format!("the policy at https://{server}{PATH}: {why}")))?;
    if policy.mode == Mode::None {
        return Ok(Outcome::absent(format!("the policy of {domain} has `mode: none`")));
    }
    Ok(judge(&policy, servers, visits))
}

/// Whether the record has an id, by which others see that the policy is another one.
///
/// # Errors
/// It has none.
pub(crate) fn has_id(record: &str) -> Result<(), String> {
    let tags = Tags::read(record)?;
    let id = tags.get("id").ok_or("it has no `id=`")?;
    let is_id = (1..=32).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric());
    is_id.then_some(()).ok_or_else(|| "its `id=` is not 1 to 32 letters and digits".to_owned())
}

/// The policy as it is served. No redirect is followed (section 3.3).
async fn fetch(server: &str, means: Means<'_>) -> Result<Vec<u8>, Outcome> {
    let place = format!("https://{server}{PATH}");
    asked(server, means).await.map_err(|fault| {
        let words = format!("{place}: {}", fault.message);
        match fault.reason {
            _ if fault.shortage.is_some() => Outcome::unknown(words),
            Reason::Rejected
            | Reason::Protocol
            | Reason::Tls
            | Reason::CertificateExpired
            | Reason::CertificateName
            | Reason::CertificateUntrusted => Outcome::failed(words),
            // Nobody was met, which may be for the network of this host.
            _ => Outcome::unknown(words),
        }
    })
}

async fn asked(server: &str, means: Means<'_>) -> Result<Vec<u8>, Fault> {
    let options = TlsOptions::default();
    let client = means.tls().client(&options).map_err(|error| {
        let words = crate::net::tls::words(&error);
        Fault::new(Reason::Other, format!("cannot begin TLS: {words}"))
    })?;
    let endpoint = Endpoint::new(server, 443, TlsMode::Implicit).with_timeout(PATIENCE);
    let mut request = http::question(&endpoint, 443, Request::get(PATH), String::new())?;
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/plain"));
    let deadline = means.end.min(Instant::now() + PATIENCE);
    let answer = http::ask_whole(&endpoint, Some(&client), request, BYTES, deadline).await?;
    let status = answer.status();
    if status != hyper::StatusCode::OK {
        let redirect = if status.is_redirection() { " (no redirect is followed)" } else { "" };
        let message = format!("HTTP status {}{redirect}", status.as_u16());
        return Err(Fault::new(Reason::Rejected, message));
    }
    // What users of the server may lay there is of another kind (section 3.2).
    let kind = answer.headers().get(CONTENT_TYPE).map(|kind| shown(kind.as_bytes()));
    match kind.filter(|kind| !is_plain_text(kind)) {
        Some(kind) => {
            Err(Fault::new(Reason::Protocol, format!("it is `{kind}`, and no text/plain")))
        }
        None => Ok(answer.into_body().to_vec()),
    }
}

fn is_plain_text(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("text/plain")
}

/// Reads a policy.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(text: &[u8]) -> Result<Policy, String> {
    let text = str::from_utf8(text).map_err(|_| "it is not UTF-8")?;
    let (mut version, mut mode, mut age, mut patterns) = (None, None, None, Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (key, value) =
            line.split_once(':').ok_or("it has a line that is no key with a value")?;
        let value = value.trim();
        match key.trim_end() {
            "version" => version = version.or(Some(value)),
            "mode" => mode = mode.or(Some(value)),
            "max_age" => age = age.or(Some(value)),
            "mx" if patterns.len() < MOST_PATTERNS => patterns.push(value.to_ascii_lowercase()),
            "mx" => return Err(format!("it has more than {MOST_PATTERNS} lines `mx:`")),
            _ => {}
        }
    }
    if version != Some("STSv1") {
        return Err("it has no `version: STSv1`".to_owned());
    }
    let mode = match mode {
        Some("enforce") => Mode::Enforce,
        Some("testing") => Mode::Testing,
        Some("none") => Mode::None,
        _ => return Err("its `mode:` is none of enforce, testing, none".to_owned()),
    };
    let is_age = |age: &str| {
        let is_number = age.bytes().all(|byte| byte.is_ascii_digit());
        is_number && age.parse().is_ok_and(|seconds: u64| seconds <= MOST_AGE)
    };
    if !age.is_some_and(is_age) {
        return Err(format!("its `max_age:` is no number from 0 to {MOST_AGE}"));
    }
    if patterns.is_empty() && mode != Mode::None {
        return Err("it names no server (`mx:`)".to_owned());
    }
    Ok(Policy { mode, patterns })
}

impl Policy {
    /// Whether it names this server (section 4.1).
    fn names(&self, host: &str) -> bool {
        self.patterns.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(rest) => host.split_once('.').is_some_and(|(_, above)| above == rest),
            None => host == pattern,
        })
    }
}

fn judge(policy: &Policy, servers: &Servers, visits: &[Visit]) -> Outcome {
    let mode = if policy.mode == Mode::Testing { "testing" } else { "enforce" };
    let mut tally = Tally::default();
    let unnamed = servers.hosts.iter().chain(&servers.others).filter(|host| !policy.names(host));
    let unnamed = unnamed.map(|host| format!("mode {mode}: the policy does not name {host}"));
    tally.bad.extend(unnamed);
    for (host, visit) in servers.hosts.iter().zip(visits) {
        tally.take(match under_tls(host, visit).map(|shown| shown.objection.as_ref()) {
            Err(outcome) => outcome,
            Ok(Some(fault)) if fault.shortage.is_some() => Outcome::unknown(&fault.message),
            Ok(Some(fault)) => Outcome::failed(format!("mode {mode}: {}", fault.message)),
            Ok(None) => Outcome::passed(host),
        });
    }
    tally.outcome(|hosts| {
        format!("mode {mode}, fulfilled by {}{}", hosts.join(", "), servers.note())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::show::Shown;

    const GOOD: &str = "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.com\r\nmx: *.mx.example.com\r\n\
                        max_age: 604800\r\n";

    #[test]
    fn a_policy_names_servers_and_with_a_star_one_part() {
        let policy = read(GOOD.as_bytes()).unwrap();
        assert_eq!(policy.mode, Mode::Enforce);
        for (host, is_named) in [
            ("mx1.example.com", true),
            ("a.mx.example.com", true),
            ("mx.example.com", false),
            ("a.b.mx.example.com", false),
            ("mx2.example.com", false),
        ] {
            assert_eq!(policy.names(host), is_named, "{host}");
        }
    }

    #[test]
    fn what_is_no_policy_is_told() {
        for (old, new, word) in [
            ("STSv1", "STSv2", "no `version: STSv1`"),
            ("mode: enforce", "mode: on", "none of enforce"),
            ("604800", "a week", "no number from 0"),
            ("604800", "31557601", "no number from 0"),
            ("604800", "+5", "no number from 0"),
            ("mx:", "ax:", "names no server"),
            ("mode:", "mode", "no key with a value"),
        ] {
            let why = read(GOOD.replace(old, new).as_bytes()).unwrap_err();
            assert!(why.contains(word), "{new}: {why}");
        }
        assert!(read(b"version: STSv1\nmode: none\nmax_age: 0\n\n").is_ok());
        assert!(read(b"\xff").is_err());
    }

    #[test]
    fn a_policy_is_plain_text_with_whatever_parameters() {
        assert!(is_plain_text("Text/Plain; charset=utf-8") && is_plain_text("text/plain"));
        assert!(!is_plain_text("text/html") && !is_plain_text(""));
    }

    #[test]
    fn the_record_has_an_id() {
        assert_eq!(has_id("v=STSv1; id=20160831085700Z;"), Ok(()));
        for bad in ["v=STSv1", "v=STSv1; id=", "v=STSv1; id=2016-08-31", "v=STSv1; id"] {
            assert!(has_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_server_that_was_not_met_settles_nothing() {
        let policy = read(GOOD.as_bytes()).unwrap();
        let shown = || Shown { offers_tls: true, ..Shown::default() };
        let bad = Fault::new(Reason::CertificateName, "the certificate of mx1 is refused");
        let failure =
            || crate::trace::Trace::new(None).failure(Fault::down(Reason::Timeout, "silent"));
        let of = |host: &str, visit| {
            let hosts = vec![host.to_owned()];
            let servers = Servers { hosts, others: Vec::new(), is_authentic: false };
            judge(&policy, &servers, &[visit]).is_well.value()
        };
        let unseen =
            Shown { tls_unknown: Some("no answer in time".to_owned()), ..Shown::default() };
        assert_eq!(of("mx1.example.com", Ok(unseen)), None);
        let broken = Shown { tls_fault: Some("closed".to_owned()), ..shown() };
        assert_eq!(of("mx1.example.com", Ok(broken)), Some(false));
        assert_eq!(of("mx1.example.com", Ok(shown())), Some(true));
        assert_eq!(of("mx1.example.com", Err(failure())), None);
        assert_eq!(of("mx9.example.com", Err(failure())), Some(false));
        assert_eq!(of("mx1.example.com", Ok(Shown { offers_tls: false, ..shown() })), Some(false));
        assert_eq!(
            of("mx1.example.com", Ok(Shown { objection: Some(bad), ..shown() })),
            Some(false)
        );
    }
}
