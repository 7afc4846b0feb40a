//! What a running exporter has measured, in place of a probe of our own: it is asked once, or until it has
//! measured something, and its answer is judged and shown as a verdict of our own is.
//!
//! `address` is where it is, `answer` what it says of a target, `result` what that comes to, `output`
//! how it is shown.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::{Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::{Endpoint, TlsMode, TlsOptions, authorities_of_flag, secret_of_flag};
use crate::roundtrip::state::{State, Thresholds};
pub use address::Address;
use answer::{Problem, Report};
use mail::net::tls::{TlsClient, words};
use mail::{http, text, threads};
pub use output::{document, line, show};
pub use result::Finding;

mod address;
mod answer;
mod output;
mod result;

/// The longest answer that is read; one with all transcripts has some 100 kB.
const MOST_BYTES: usize = 4 << 20;
/// How long it is waited for unless `--timeout` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long it is left alone before it is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// The flag that names the file of the login.
const LOGIN_FLAG: &str = "--exporter-login-file";
/// The most characters of what an exporter says about a problem.
const PROBLEM_CHARS: usize = 300;
/// What a name may hold unescaped in the query (RFC 3986 section 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How a running exporter is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Where it is.
    pub address: Address,
    /// A file with `user:password`.
    pub login_file: Option<PathBuf>,
    /// The authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// How long the answer may take.
    pub timeout: Option<Duration>,
    /// How long it is asked again while it does not answer or has measured nothing.
    pub wait: Option<Duration>,
}

/// Why an exporter says nothing.
enum Silence {
    /// It may say something another time.
    Now(String),
    /// It will not.
    Ever(String),
}

impl Question {
    /// What the exporter says of the target, and what that is to a monitoring system.
    ///
    /// # Errors
    /// Why it says nothing, in one sentence.
    pub async fn ask(&self, target: &str, thresholds: &Thresholds) -> Result<Finding, String> {
        let until = Instant::now() + self.wait.unwrap_or_default();
        loop {
            let finding = self.ask_once(target).await.map(|report| Finding::of(report, thresholds));
            let may_change = match &finding {
                Ok(finding) => finding.state == State::Unknown,
                Err(silence) => matches!(silence, Silence::Now(_)),
            };
            if may_change && Instant::now() + PAUSE < until {
                sleep(PAUSE).await;
                continue;
            }
            return finding.map_err(|(Silence::Now(problem) | Silence::Ever(problem))| {
                format!("the exporter at {}: {problem}", self.address)
            });
        }
    }

    async fn ask_once(&self, target: &str) -> Result<Report, Silence> {
        let (status, body) = self.exchange(target).await.map_err(Silence::Now)?;
        if status.is_server_error() {
            return Err(Silence::Now(self.refusal(status, &body)));
        }
        if status != StatusCode::OK {
            return Err(Silence::Ever(self.refusal(status, &body)));
        }
        let report = Report::read(&body).map_err(|wrong| {
            Silence::Ever(format!(
                "the answer is not what an exporter says of a target ({wrong}): check the address, and \
                 that its version is that of this program ({})",
                env!("CARGO_PKG_VERSION")
            ))
        })?;
        // Both as they are shown.
        if report.name != text::shown(target.as_bytes()) {
            let problem = format!("it answers with another target, `{}`", report.name);
            return Err(Silence::Ever(problem));
        }
        Ok(report)
    }

    async fn exchange(&self, target: &str) -> Result<http::Answer, String> {
        let deadline = Instant::now() + self.timeout.unwrap_or(TIMEOUT);
        let Address { is_https, host, port, path } = &self.address;
        let (mode, default_port) = match is_https {
            true => (TlsMode::Implicit, 443),
            false => (TlsMode::None, 80),
        };
        let ca_file = match &self.ca_file {
            Some(path) => {
                Some(read("--exporter-ca-file", path, authorities_of_flag, deadline).await?)
            }
            None => None,
        };
        let tls_options = TlsOptions { ca_file, ..TlsOptions::default() };
        let endpoint =
            Endpoint { tls_options: tls_options.into(), ..Endpoint::new(host, *port, mode) };
        let tls = is_https.then(|| TlsClient::new(&endpoint.tls_options)).transpose();
        let tls = tls.map_err(|error| format!("cannot use TLS: {}", words(&error)))?;
        // By the query, where every name can stand.
        let name = utf8_percent_encode(target, ESCAPED);
        let get = Request::get(format!("{path}/api/targets/?name={name}"));
        let request = http::question(&endpoint, default_port, get, String::new());
        let mut request = request.map_err(|fault| fault.message)?;
        if let Some(path) = &self.login_file {
            let login = read(LOGIN_FLAG, path, secret_of_flag, deadline).await?;
            let added = http::authorize(&mut request, &login);
            added.map_err(|fault| in_file(LOGIN_FLAG, path, &fault.message))?;
        }
        let answer = http::ask(&endpoint, tls.as_ref(), request, MOST_BYTES, deadline).await;
        answer.map_err(|fault| fault.message)
    }

    /// What a status means that is none of success.
    fn refusal(&self, status: StatusCode, body: &[u8]) -> String {
        let problem: Option<Problem> = serde_json::from_slice(body).ok();
        match (status.as_u16(), problem) {
            (404, Some(Problem { error })) => {
                text::cut_to(&text::shown(error.as_bytes()), PROBLEM_CHARS)
            }
            (404, None) => {
                "has no /api/targets/ there: write the address of its status page, path \
                            included"
                    .to_owned()
            }
            (401, _) => match &self.login_file {
                Some(path) => in_file(LOGIN_FLAG, path, "refuses the login in the file"),
                None => "wants a login: name a file with user:password by --exporter-login-file"
                    .to_owned(),
            },
            (300..=399, _) => format!(
                "answers with a redirect (HTTP status {}), which is not followed: write the address \
                 that it leads to",
                status.as_u16()
            ),
            _ => format!("answers with HTTP status {status}"),
        }
    }
}

/// What is in the file that a flag names. Where it is on a server that is away, reading it may never end.
async fn read<T: Send + 'static>(
    flag: &str,
    path: &Path,
    read: fn(&Path) -> Result<T, String>,
    deadline: Instant,
) -> Result<T, String> {
    let owned = path.to_owned();
    let outcome = timeout_at(deadline, threads::run(move || read(&owned))).await;
    let outcome = match outcome {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(none)) => Err(format!("cannot be read: {none}")),
        Err(_) => Err("cannot be read in time".to_owned()),
    };
    outcome.map_err(|why| in_file(flag, path, &why))
}

/// What is wrong with the file that a flag names.
fn in_file(flag: &str, path: &Path, why: &str) -> String {
    format!("{why} ({flag} {})", path.display())
}
