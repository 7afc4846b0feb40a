//! What it means that a server answers with another status than 200.

use super::channel::Answer;
use ledger::Reason;

/// Whether the server sends its client elsewhere.
pub(super) fn is_redirect(answer: &Answer) -> bool {
    matches!(answer.status, 301 | 302 | 303 | 307 | 308)
}

/// Why a question was not answered.
pub(super) fn reason_of(answer: &Answer) -> Reason {
    match answer.status {
        401 => Reason::Auth,
        429 | 500..=599 => Reason::Deferred,
        // A limit of the request or of their number (RFC 8620 section 3.6.1).
        400 if problem(answer).is_some_and(|said| said.contains("jmap:error:limit")) => {
            Reason::Deferred
        }
        400 | 403 => Reason::Rejected,
        _ => Reason::Protocol,
    }
}

/// What a server says of a request that it does not answer (RFC 9457).
fn problem(answer: &Answer) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Problem {
        #[serde(rename = "type")]
        kind: Option<String>,
        title: Option<String>,
        detail: Option<String>,
    }
    let problem: Problem = serde_json::from_slice(&answer.body).ok()?;
    let said: Vec<String> =
        [problem.kind, problem.title, problem.detail].into_iter().flatten().collect();
    Some(said.join(", ")).filter(|said| !said.is_empty())
}

/// The words for an answer that is none.
pub(super) fn refused(answer: &Answer) -> String {
    let Answer { status, phrase, .. } = answer;
    let said = problem(answer).map(|said| format!(", {said}")).unwrap_or_default();
    format!("the server answered with HTTP {status} {phrase}{said}")
}
