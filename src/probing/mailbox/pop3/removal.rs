//! Which mail of a maildrop is to be removed, and that it still is the one.

use crate::clock;
use crate::probing::mailbox::backlog::Removal;
use crate::probing::mailbox::reports;
use ledger::Failure;
use ledger::Token;
use mail::Interrupted;
use mail::pop3::{Id, Pop3};
use mail::test_mail::{Header, Mark};

/// A mail that is to be removed, in the store: its id, and its token behind a slash.
pub(super) fn word(id: Id, token: Option<Token>) -> String {
    token.map_or_else(|| id.to_string(), |token| format!("{id}/{token}"))
}

/// What [`word`] has written.
pub(super) fn from_word(word: &str) -> (Id, Option<Token>) {
    let parts = word.rsplit_once('/').and_then(|(id, token)| Some((id, token.parse().ok()?)));
    let (id, token) = parts.map_or((word, None), |(id, token)| (id, Some(token)));
    (Id::from_kept(id), token)
}

/// What a mail turned out to be that was to be removed.
pub(super) enum Confirmed {
    /// It is the one, or another that anybody may remove.
    Ours,
    /// It is somebody else's.
    Stranger,
    /// The server does not show it.
    Refused(Failure),
}

/// Reads the mail of this number again. One that was known by a token must carry it; else it must be a
/// test mail whose time has passed, or a report about a test mail.
///
/// # Errors
/// The connection's.
pub(super) async fn is_still_ours(
    pop3: &mut Pop3,
    number: u32,
    removal: Removal,
) -> Result<Confirmed, Failure> {
    let block = match pop3.header(number).await {
        Ok(block) => block,
        Err(Interrupted::Refused(refusal)) => return Ok(Confirmed::Refused(refusal.failure)),
        Err(Interrupted::Broken(failure)) => return Err(failure),
    };
    let header = Header::parse(&block);
    let is_over = |mark: Mark| mark.expires <= clock::wall();
    let is_ours = match (removal.token, header.is_delivery_report) {
        (Some(token), _) => header.carries(token),
        (None, false) => header.mark.is_some_and(is_over),
        (None, true) => match pop3.beginning(number).await {
            Ok(beginning) => reports::is_about_a_test_mail(&beginning),
            Err(Interrupted::Refused(refusal)) => return Ok(Confirmed::Refused(refusal.failure)),
            Err(Interrupted::Broken(failure)) => return Err(failure),
        },
    };
    Ok(if is_ours { Confirmed::Ours } else { Confirmed::Stranger })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_comes_back_from_the_store_as_it_was() {
        let token = Token::random();
        for (id, token) in [("a/b", None), ("a/b", Some(token)), ("0000002a5f", Some(token))] {
            let id = Id::of(id.as_bytes());
            assert_eq!(from_word(&word(id, token)), (id, token));
        }
    }
}
