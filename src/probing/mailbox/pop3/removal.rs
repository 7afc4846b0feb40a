//! Which mail of a maildrop is to be removed, and that it still is the one.

use crate::clock;
use crate::probing::mailbox::backlog::Removal;
use crate::probing::mailbox::reports;
use ledger::Failure;
use mail::Interrupted;
use mail::pop3::Pop3;
use mail::test_mail::{Header, Mark};

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
        (Some(_), _) => removal.is_named_in(&header),
        (None, false) => header.mark.is_some_and(is_over),
        (None, true) => match pop3.beginning(number).await {
            Ok(beginning) => reports::is_about_a_test_mail(&beginning),
            Err(Interrupted::Refused(refusal)) => return Ok(Confirmed::Refused(refusal.failure)),
            Err(Interrupted::Broken(failure)) => return Err(failure),
        },
    };
    Ok(if is_ours { Confirmed::Ours } else { Confirmed::Stranger })
}
