//! The answer to a command: its untagged responses, whatever stands between them, and the tagged one
//! that ends it. Lines that no RFC knows are passed over; only the own tag says how a command ended.

use std::time::Duration;

use tokio::time::Instant;

use super::parse::{self, Fetched, Response, Status, Untagged};
use super::{Imap, Sink};
use crate::mail::{Failure, Fault, Reason};

/// The longest line that is read; the answer to a SEARCH is one line.
pub(super) const LINE_BYTES: usize = 1 << 20;
/// How much of a literal is kept; the rest of it is read and dropped.
pub(super) const LITERAL_BYTES: usize = 64 << 10;
/// The longest literal that is read.
const LONGEST_LITERAL_BYTES: usize = 64 << 20;
/// The most that the answer to one command may hold.
const ANSWER_BYTES: usize = 8 << 20;
/// The most lines of one answer that are no responses.
const ODD_LINES: usize = 1000;
/// How long a server that has said BYE may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The answer to a command that the server said OK to.
pub(in crate::mail) struct Answer {
    pub(super) untagged: Vec<Untagged>,
    /// The response code of the tagged response.
    pub(super) code: Option<String>,
}

/// Why there is no tagged OK.
pub(super) enum Interrupted {
    /// The server waits for more of the command, and says this.
    Continuation(Vec<u8>),
    /// It said NO or BAD; the session goes on.
    Refused(Failure),
    /// The session is of no more use.
    Failure(Failure),
}

impl From<Failure> for Interrupted {
    fn from(failure: Failure) -> Self {
        Interrupted::Failure(failure)
    }
}

/// The lines of an answer that are no responses.
#[derive(Default)]
struct OddLines {
    first: Vec<u8>,
    count: usize,
}

/// What a line is to one who waits for the end of a command.
enum Kind<'a> {
    Untagged,
    /// `+`, behind the tag too.
    Continuation(&'a [u8]),
    /// Behind the tag.
    Tagged(&'a [u8]),
    /// Empty lines, text without a star, a tag of nobody.
    Odd,
}

impl<'a> Kind<'a> {
    fn of(response: &'a Response, tag: &str) -> Self {
        let line = response.first_line();
        if response.is_untagged() {
            return Kind::Untagged;
        }
        if let Some(challenge) = line.strip_prefix(b"+") {
            return Kind::Continuation(challenge.trim_ascii());
        }
        let (word, rest) = parse::split_word(line);
        if !word.eq_ignore_ascii_case(tag.as_bytes()) {
            return Kind::Odd;
        }
        match rest.strip_prefix(b"+") {
            Some(challenge) => Kind::Continuation(challenge.trim_ascii()),
            None => Kind::Tagged(rest),
        }
    }
}

impl Imap {
    /// Reads until the tagged response: OK, or a failure. Mails of a FETCH go to `sink`, the rest of
    /// what is needed is kept and bounded; what is not needed costs nothing but time.
    pub(super) async fn read_answer(
        &mut self,
        tag: &str,
        sink: &mut Sink<'_>,
    ) -> Result<Answer, Interrupted> {
        let mut untagged = Vec::new();
        let mut kept = 0;
        let mut odd = OddLines::default();
        let mut piece = None;
        loop {
            let response = self.read_response().await;
            let response = response.map_err(|failure| self.explain(failure, &odd))?;
            let line = response.first_line();
            match Kind::of(&response, tag) {
                Kind::Untagged => match self.take_untagged(&response)? {
                    Some(Untagged::Fetch(fetched)) => {
                        let shown_at = self.view.shown_at(fetched.number, Instant::now());
                        if let Some(whole) = put_together(&mut piece, fetched) {
                            sink(whole, shown_at);
                        }
                    }
                    other => {
                        // It may have given the number of the piece to another mail.
                        piece = None;
                        kept += other.as_ref().map_or(0, |_| response.size());
                        untagged.extend(other);
                    }
                },
                Kind::Continuation(challenge) => {
                    return Err(Interrupted::Continuation(challenge.to_vec()));
                }
                Kind::Tagged(rest) => return self.end(rest, line, untagged),
                Kind::Odd => self.pass_over(line, &mut odd)?,
            }
            if kept > ANSWER_BYTES {
                let message = format!("an answer of more than {ANSWER_BYTES} bytes");
                return Err(self.wire.fail(Fault::new(Reason::Protocol, message)).into());
            }
        }
    }

    /// What the tagged response, `rest` behind its tag, makes of the answer.
    fn end(
        &mut self,
        rest: &[u8],
        line: &[u8],
        untagged: Vec<Untagged>,
    ) -> Result<Answer, Interrupted> {
        let Some((status, code, text)) = parse::tagged(rest) else {
            return Err(self.wire.fail_protocol(line).into());
        };
        match (status, self.farewell.is_some()) {
            (Status::Ok | Status::PreAuth, false) => Ok(Answer { untagged, code }),
            (Status::Ok | Status::PreAuth, true) => Err(self.ended().into()),
            (Status::No | Status::Bad, false) => {
                Err(Interrupted::Refused(self.refusal(status, code, &text)))
            }
            (Status::No | Status::Bad, true) => {
                let refusal = self.refusal(status, code, &text);
                // A plain refusal leaves a session that goes on; this one is over.
                Err(Interrupted::Failure(match refusal.reason {
                    Reason::Rejected | Reason::Protocol => {
                        Failure { reason: Reason::Closed, ..refusal }
                    }
                    _ => refusal,
                }))
            }
        }
    }

    fn pass_over(&mut self, line: &[u8], odd: &mut OddLines) -> Result<(), Failure> {
        odd.count += 1;
        if odd.first.is_empty() {
            odd.first = line.to_vec();
        }
        if odd.count > ODD_LINES {
            return Err(self.wire.fail_protocol(&odd.first));
        }
        Ok(())
    }

    /// A session that ended in the middle of an answer: after BYE that is what was announced, and
    /// after lines that are no IMAP there was no answer.
    fn explain(&self, failure: Failure, odd: &OddLines) -> Failure {
        match failure.reason {
            Reason::Closed | Reason::Timeout if self.farewell.is_some() => self.ended(),
            Reason::Closed | Reason::Timeout if !odd.first.is_empty() => {
                self.wire.fail_protocol(&odd.first)
            }
            _ => failure,
        }
    }

    /// The failure of a session that the server has ended.
    pub(super) fn ended(&self) -> Failure {
        let words = self.farewell.as_deref().unwrap_or_default();
        let words = self.wire.trace().words(words.as_bytes());
        let message = format!("the server ended the session: {words}");
        self.wire.fail(Fault::new(Reason::Closed, message))
    }

    /// One response with its literals.
    pub(super) async fn read_response(&mut self) -> Result<Response, Failure> {
        let mut response = Response::default();
        response.push_line(self.wire.read_line(LINE_BYTES).await?);
        while let Some(size) = response.announced_literal() {
            let kept = size.min(LITERAL_BYTES);
            if size > LONGEST_LITERAL_BYTES || response.size() + kept > ANSWER_BYTES {
                let message =
                    format!("the server announces {size} bytes where a header was asked for");
                return Err(self.wire.fail(Fault::new(Reason::Protocol, message)));
            }
            response.push_literal(self.wire.read_exact(kept).await?);
            // Anybody can send a mail with such a header; it must not blind the watch.
            self.wire.skip(size - kept).await?;
            response.push_line(self.wire.read_line_unseen(LINE_BYTES).await?);
            if response.is_cut_behind_literal() {
                // A literal that was announced too short by its last line end.
                response.push_line(self.wire.read_line_unseen(LINE_BYTES).await?);
            }
            if !response.goes_on_behind_literal() {
                // What follows was written by the sender of a mail; it is not read as the server's word.
                let message = "a literal that is longer than the server announced";
                return Err(self.wire.fail(Fault::new(Reason::Protocol, message)));
            }
        }
        Ok(response)
    }

    /// Notes what concerns the session; gives the rest. What follows a BYE is read for a moment only:
    /// it may say why.
    pub(super) fn take_untagged(
        &mut self,
        response: &Response,
    ) -> Result<Option<Untagged>, Failure> {
        match response.untagged() {
            Untagged::Exists(count) => {
                self.view.tell(count, Instant::now());
                Ok(None)
            }
            Untagged::Expunge(number) => {
                self.view.expunge(number);
                Ok(None)
            }
            Untagged::Bye(text) => {
                if self.farewell.is_none() {
                    self.farewell = Some(text);
                    self.wire.expect_reply_within(LAST_WORDS);
                }
                Ok(None)
            }
            Untagged::BeyondNumbers => {
                let message = "the server names a mail by a number of more than 32 bits";
                Err(self.wire.fail(Fault::new(Reason::Protocol, message)))
            }
            Untagged::Other => Ok(None),
            untagged => Ok(Some(untagged)),
        }
    }

    /// The response codes are those of RFC 5530.
    pub(super) fn refusal(&self, status: Status, code: Option<String>, text: &str) -> Failure {
        let word = code.as_deref().and_then(|code| code.split(' ').next()).unwrap_or_default();
        let reason = match (word.to_ascii_uppercase().as_str(), status) {
            ("INUSE", _) => Reason::Busy,
            // A limit of logins or commands, as Yahoo has it.
            ("LIMIT", _) => Reason::Deferred,
            ("UNAVAILABLE" | "SERVERBUG" | "CONTACTADMIN", _) => Reason::Other,
            ("AUTHENTICATIONFAILED" | "AUTHORIZATIONFAILED" | "EXPIRED" | "PRIVACYREQUIRED", _) => {
                Reason::Auth
            }
            (_, Status::Bad) => Reason::Protocol,
            _ => Reason::Rejected,
        };
        let answer = if status == Status::Bad { "BAD" } else { "NO" };
        let code = code.map(|code| format!("[{code}] ")).unwrap_or_default();
        let words = self.trace().words(format!("{answer} {code}{text}").as_bytes());
        // The tag tells nobody anything.
        let asked = self.wire.asked_for();
        let tag = self.newest_tag();
        let command = asked.strip_prefix(&tag).map_or(asked, str::trim_start);
        let message = format!("the server refused {command}: {}", words.trim_end());
        self.wire.fail(Fault::new(reason, message))
    }
}

/// Servers may tell of one mail in several responses in a row, its UID in one of them. Gives what is
/// known of it once its UID is.
fn put_together(piece: &mut Option<Fetched>, fetched: Fetched) -> Option<Fetched> {
    let before = piece.take().filter(|before| before.number == fetched.number);
    let whole = match before {
        Some(before) => Fetched {
            number: fetched.number,
            uid: fetched.uid.or(before.uid),
            internal_date: fetched.internal_date.or(before.internal_date),
            header: fetched.header.or(before.header),
        },
        None => fetched,
    };
    let is_complete = whole.uid.is_some() && whole.header.is_some();
    if !is_complete && whole.number < u32::MAX {
        *piece = Some(whole.clone());
    }
    whole.uid.is_some().then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(uid: Option<u32>, header: Option<&str>) -> Fetched {
        let header = header.map(|header| header.as_bytes().to_vec());
        Fetched { number: 7, uid, internal_date: None, header }
    }

    #[test]
    fn a_mail_told_in_pieces_is_one_mail() {
        for (first, second) in [
            (told(Some(5), None), told(None, Some("Subject: a"))),
            (told(None, Some("Subject: a")), told(Some(5), None)),
        ] {
            let mut piece = None;
            let _ = put_together(&mut piece, first);
            let whole = put_together(&mut piece, second).unwrap();
            assert_eq!(whole, told(Some(5), Some("Subject: a")));
            assert_eq!(piece, None);
        }
        let mut piece = None;
        put_together(&mut piece, told(Some(5), None));
        let other = Fetched { number: 8, ..told(None, Some("Subject: b")) };
        assert_eq!(put_together(&mut piece, other), None, "its UID is not known");
    }
}
