//! What a running exporter has measured, in place of a probe of our own: it is asked once, and its answer is
//! judged and shown as a verdict of our own is.
//!
//! `address` is where it is, `answer` what it says of a target, `result` what that comes to, `output`
//! how it is shown.

use std::path::PathBuf;
use std::time::Duration;

use hyper::{Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::Instant;

use crate::config::{Endpoint, TlsMode, TlsOptions, authorities_of_flag, secret_of_flag};
pub use address::Address;
use answer::{Problem, Report};
use mail::net::tls::{TlsClient, words};
use mail::{http, text};
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
}

impl Question {
    /// What the exporter says of the target.
    ///
    /// # Errors
    /// Why it says nothing, in one sentence.
    pub async fn ask(&self, target: &str) -> Result<Report, String> {
        let named = |problem: String| format!("the exporter at {}: {problem}", self.address);
        let (status, body) = self.exchange(target).await.map_err(named)?;
        if status != StatusCode::OK {
            return Err(named(self.refusal(status, &body)));
        }
        serde_json::from_slice(&body).map_err(|_| {
            named(
                "the answer is not what an exporter says of a target: check the address".to_owned(),
            )
        })
    }

    async fn exchange(&self, target: &str) -> Result<http::Answer, String> {
        let deadline = Instant::now() + self.timeout.unwrap_or(TIMEOUT);
        let Address { is_https, host, port, path } = &self.address;
        let (mode, default_port) = match is_https {
            true => (TlsMode::Implicit, 443),
            false => (TlsMode::None, 80),
        };
        let ca_file = self.ca_file.as_ref().map(|path| {
            authorities_of_flag(path).map_err(|why| format!("{}: {why}", path.display()))
        });
        let tls_options = TlsOptions { ca_file: ca_file.transpose()?, ..TlsOptions::default() };
        let endpoint = Endpoint { tls_options, ..Endpoint::new(host, *port, mode) };
        let tls = is_https.then(|| TlsClient::new(&endpoint.tls_options)).transpose();
        let tls = tls.map_err(|error| format!("cannot use TLS: {}", words(&error)))?;
        // By the query, where every name can stand.
        let name = utf8_percent_encode(target, ESCAPED);
        let get = Request::get(format!("{path}/api/targets/?name={name}"));
        let request = http::question(&endpoint, default_port, get, String::new());
        let mut request = request.map_err(|fault| fault.message)?;
        if let Some(path) = &self.login_file {
            let login = secret_of_flag(path).map_err(|why| format!("{}: {why}", path.display()))?;
            http::authorize(&mut request, &login);
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
            (401, _) if self.login_file.is_none() => {
                "wants a login: name a file with user:password by --exporter-login-file".to_owned()
            }
            (401, _) => "refuses the login in the file of --exporter-login-file".to_owned(),
            (300..=399, _) => format!(
                "answers with a redirect (HTTP status {}), which is not followed: write the address \
                 that it leads to",
                status.as_u16()
            ),
            _ => format!("answers with HTTP status {status}"),
        }
    }
}
