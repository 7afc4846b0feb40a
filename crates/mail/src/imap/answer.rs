//! The answer to a command: its untagged responses, whatever stands between them, and the tagged one
//! that ends it. Lines that no RFC knows are passed over; only the own tag says how a command ended.

use std::time::Duration;

use tokio::time::Instant;

use super::numbers::Numbers;
use super::parse::{self, Fetched, Listed, Response, Status, TooMuch, Untagged};
use super::{Imap, Sink};
use crate::{Fault, Interrupted, Refusal, RefusalScope};
use ledger::{Clue, Failure, Reason, Step};

/// The longest line that is held; that of a SEARCH may be longer, its numbers are read bit by bit.
pub(super) const LINE_BYTES: usize = 64 << 10;
/// How much of a literal is kept; the rest of it is read and dropped.
pub(super) const LITERAL_BYTES: usize = 64 << 10;
/// How much of a longer line is read at once.
const PIECE_BYTES: usize = 4096;
/// The longest line of numbers that is read.
const LONGEST_LINE_BYTES: usize = 8 << 20;
/// The longest literal that is read.
const LONGEST_LITERAL_BYTES: usize = 64 << 20;
/// The most that one response may hold: a line and a literal, and what stands around them.
const RESPONSE_BYTES: usize = LINE_BYTES + LITERAL_BYTES + (16 << 10);
/// The most literals of one response; that to our FETCH has one.
const LITERALS: usize = 64;
/// The most untagged responses to one command, and in one IDLE. Each mail of a FETCH is one.
pub(super) const RESPONSES: usize = 100_000;
/// The most folders with a use of their own.
const FOLDERS: usize = 100;
/// The most response codes of one answer that say something, and the most bytes of them.
const CODES: usize = 100;
const CODE_BYTES: usize = 64 << 10;
/// The most lines of one answer that are no responses.
const ODD_LINES: usize = 1000;
/// How long a server that has said BYE may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The answer to a command that the server said OK to: of its untagged responses what somebody needs,
/// each kind of it bounded.
#[derive(Default)]
pub(crate) struct Answer {
    /// What SEARCH has found.
    pub(super) found: Numbers,
    /// The folders that have a use of their own.
    pub(super) folders: Vec<Listed>,
    /// What the server can do, if it said so.
    pub(super) capabilities: Option<Vec<String>>,
    /// The response codes of the untagged responses that say something about a folder.
    codes: Vec<String>,
    code_bytes: usize,
    /// The response code of the tagged response.
    pub(super) code: Option<String>,
}

impl Answer {
    /// The response codes, that of the tagged response last.
    pub(super) fn codes(&self) -> impl Iterator<Item = &str> {
        self.codes.iter().map(String::as_str).chain(self.code.as_deref())
    }

    fn take(&mut self, untagged: Untagged) -> Result<(), TooMuch> {
        match untagged {
            Untagged::Search(found) => {
                self.found.append(found).map_err(|_| parse::TOO_MANY_RANGES)?;
            }
            // The others are never asked for.
            Untagged::List(listed) if listed.has_use() => {
                if self.folders.len() >= FOLDERS {
                    return Err(TooMuch(FOLDERS, "folders with a use"));
                }
                self.folders.push(listed);
            }
            Untagged::Capability(words) => self.capabilities = Some(words),
            Untagged::Condition { code: Some(code), .. } if parse::tells_of_a_folder(&code) => {
                self.code_bytes += code.len();
                if self.codes.len() >= CODES || self.code_bytes > CODE_BYTES {
                    return Err(TooMuch(CODES, "response codes, or too long ones"));
                }
                self.codes.push(code);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Why there is no tagged OK.
pub(super) enum NotOk {
    /// The server waits for more of the command, and says this.
    Continuation(Vec<u8>),
    /// It said NO or BAD, or the session is over.
    Interrupted(Interrupted),
}

impl From<Failure> for NotOk {
    fn from(failure: Failure) -> Self {
        NotOk::Interrupted(Interrupted::Broken(failure))
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
    ) -> Result<Answer, NotOk> {
        let mut answer = Answer::default();
        let mut responses = 0;
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
                        let taken = other.map_or(Ok(()), |other| answer.take(other));
                        taken.map_err(|too_much| self.too_much(too_much))?;
                    }
                },
                Kind::Continuation(challenge) => {
                    return Err(NotOk::Continuation(challenge.to_vec()));
                }
                Kind::Tagged(rest) => return self.end(rest, line, answer),
                Kind::Odd => self.pass_over(line, &mut odd)?,
            }
            responses += 1;
            self.check_count(responses)?;
        }
    }

    /// What the tagged response, `rest` behind its tag, makes of the answer.
    fn end(&mut self, rest: &[u8], line: &[u8], answer: Answer) -> Result<Answer, NotOk> {
        let Some((status, code, text)) = parse::tagged(rest) else {
            return Err(self.wire.fail_protocol(line).into());
        };
        match (status, self.farewell.is_some()) {
            (Status::Ok | Status::PreAuth, false) => {
                self.has_mailbox |= self.trace().step() == Some(Step::Select);
                Ok(Answer { code, ..answer })
            }
            (Status::Ok | Status::PreAuth, true) => Err(self.ended().into()),
            (Status::No | Status::Bad, false) => {
                let refusal = self.refusal(status, code, &text);
                Err(NotOk::Interrupted(Interrupted::Refused(refusal)))
            }
            (Status::No | Status::Bad, true) => {
                let Refusal { failure, scope } = self.refusal(status, code, &text);
                // A plain refusal leaves a session that goes on; this one is over.
                Err(NotOk::from(match scope {
                    RefusalScope::Request | RefusalScope::Syntax => {
                        Failure { reason: Reason::Closed, ..failure }
                    }
                    _ => failure,
                }))
            }
        }
    }

    /// The failure of a server that says more than anybody can need.
    pub(super) fn too_much(&self, TooMuch(most, what): TooMuch) -> Failure {
        let message = format!("more than {most} {what} in answer to {}", self.wire.asked_for());
        self.wire.fail(Fault::new(Reason::Protocol, message))
    }

    /// So many responses have come by now.
    ///
    /// # Errors
    /// There are more than [`RESPONSES`].
    pub(super) fn check_count(&self, responses: usize) -> Result<(), Failure> {
        if responses <= RESPONSES {
            return Ok(());
        }
        Err(self.too_much(TooMuch(RESPONSES, "untagged responses")))
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
        match failure.is_without_answer() {
            true if self.farewell.is_some() => self.ended(),
            true if !odd.first.is_empty() => self.wire.fail_protocol(&odd.first),
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
        let mut response = self.read_first_line().await?;
        while let Some(size) = response.announced_literal() {
            let kept = size.min(LITERAL_BYTES);
            if size > LONGEST_LITERAL_BYTES {
                self.note_broken(&response, None, true);
                let message =
                    format!("the server announces {size} bytes where a header was asked for");
                return Err(self.wire.fail(Fault::new(Reason::Protocol, message)));
            }
            if response.literals() >= LITERALS {
                return Err(self.too_much(TooMuch(LITERALS, "literals in one response")));
            }
            self.check_size(response.size() + kept)?;
            let literal = self.read_literal(&response, kept).await?;
            response.push_literal(literal);
            // Anybody can send a mail with such a header; it must not blind the watch.
            self.skip_literal(&response, size - kept).await?;
            response.push_line(self.wire.read_line_unseen(LINE_BYTES).await?);
            if response.is_cut_behind_literal() {
                // A literal that was announced too short by its last line end.
                response.push_line(self.wire.read_line_unseen(LINE_BYTES).await?);
            }
            self.check_size(response.size())?;
            self.check_literal(&response, size > kept)?;
        }
        Ok(response)
    }

    /// The first line of a response. Of a SEARCH that does not fit into one, the numbers.
    async fn read_first_line(&mut self) -> Result<Response, Failure> {
        let mut response = Response::default();
        let (line, mut is_whole) = self.wire.read_line_piece(LINE_BYTES).await?;
        self.trace().received(&line);
        if is_whole {
            response.push_line(line);
            return Ok(response);
        }
        if !response.begin_numbers(&line) {
            let message = format!("a line of more than {LINE_BYTES} bytes");
            return Err(self.wire.fail(Fault::new(Reason::Protocol, message)));
        }
        let mut read = line.len();
        drop(line);
        while !is_whole {
            if read > LONGEST_LINE_BYTES {
                let message = format!("a line of more than {LONGEST_LINE_BYTES} bytes");
                return Err(self.wire.fail(Fault::new(Reason::Protocol, message)));
            }
            let piece;
            (piece, is_whole) = self.wire.read_line_piece(PIECE_BYTES).await?;
            read += piece.len();
            response.go_on(&piece);
        }
        Ok(response)
    }

    fn check_size(&self, size: usize) -> Result<(), Failure> {
        if size <= RESPONSE_BYTES {
            return Ok(());
        }
        Err(self.too_much(TooMuch(RESPONSE_BYTES, "bytes in one response")))
    }

    /// Notes what concerns the session; gives the rest. What follows a BYE is read for a moment only:
    /// it may say why.
    pub(super) fn take_untagged(
        &mut self,
        response: &Response,
    ) -> Result<Option<Untagged>, Failure> {
        match response.untagged() {
            Untagged::Exists(count) => {
                self.view.announce(count, Instant::now());
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
            Untagged::TooMuch(too_much) => Err(self.too_much(too_much)),
            Untagged::Other => Ok(None),
            untagged => Ok(Some(untagged)),
        }
    }

    /// The response codes are those of RFC 5530.
    pub(super) fn refusal(&self, status: Status, code: Option<String>, text: &str) -> Refusal {
        let word = code.as_deref().and_then(|code| code.split(' ').next()).unwrap_or_default();
        let (reason, scope) = match (word.to_ascii_uppercase().as_str(), status) {
            ("INUSE", _) => (Reason::Busy, RefusalScope::Passing),
            // A limit of logins or commands, as Yahoo has it, or a trouble that passes.
            ("LIMIT" | "UNAVAILABLE", _) => (Reason::Deferred, RefusalScope::Passing),
            ("SERVERBUG" | "CONTACTADMIN", _) => (Reason::Other, RefusalScope::Server),
            ("AUTHENTICATIONFAILED" | "AUTHORIZATIONFAILED" | "EXPIRED" | "PRIVACYREQUIRED", _) => {
                (Reason::Auth, RefusalScope::Credentials)
            }
            (_, Status::Bad) => (Reason::Protocol, RefusalScope::Syntax),
            _ => (Reason::Rejected, RefusalScope::Request),
        };
        let answer = if status == Status::Bad { "BAD" } else { "NO" };
        let code = code.as_deref().map(|code| format!("[{code}] ")).unwrap_or_default();
        let words = self.trace().words(format!("{answer} {code}{text}").as_bytes());
        // The tag says nothing to a reader.
        let asked = self.wire.asked_for();
        let tag = self.newest_tag();
        let command = asked.strip_prefix(&tag).map_or(asked, str::trim_start);
        let mut message = format!("the server refused {command}: {}", words.trim_end());
        let clue = self.clue(status, word);
        if let Some(error) = self.login_error.as_ref().filter(|_| clue == Some(Clue::NoMailbox)) {
            message += &format!(" (the login was taken with {error})");
        }
        Refusal { failure: self.wire.fail(Fault::new(reason, message).with(clue)), scope }
    }
}

/// Servers may report one mail in several responses in a row, its UID in one of them. Gives what is
/// known of it once its UID is.
fn put_together(piece: &mut Option<Fetched>, fetched: Fetched) -> Option<Fetched> {
    let before = piece.take().filter(|before| before.number == fetched.number);
    let whole = match before {
        Some(before) => Fetched {
            number: fetched.number,
            uid: fetched.uid.or(before.uid),
            internal_date: fetched.internal_date.or(before.internal_date),
            header: fetched.header.or(before.header),
            size: fetched.size.or(before.size),
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

    fn fetched(uid: Option<u32>, header: Option<&str>) -> Fetched {
        let header = header.map(|header| header.as_bytes().to_vec());
        Fetched { number: 7, uid, internal_date: None, header, size: None }
    }

    #[test]
    fn a_mail_told_in_pieces_is_one_mail() {
        for (first, second) in [
            (fetched(Some(5), None), fetched(None, Some("Subject: a"))),
            (fetched(None, Some("Subject: a")), fetched(Some(5), None)),
        ] {
            let mut piece = None;
            let _ = put_together(&mut piece, first);
            let whole = put_together(&mut piece, second).unwrap();
            assert_eq!(whole, fetched(Some(5), Some("Subject: a")));
            assert_eq!(piece, None);
        }
        let mut piece = None;
        put_together(&mut piece, fetched(Some(5), None));
        let other = Fetched { number: 8, ..fetched(None, Some("Subject: b")) };
        assert_eq!(put_together(&mut piece, other), None, "its UID is not known");
    }
}
