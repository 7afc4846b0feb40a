//! What a refusal points to: by its response code and by what the session saw before it.

use super::Imap;
use super::parse::Status;
use ledger::{Clue, Step};

impl Imap {
    /// What a refusal with this response code points to.
    pub(super) fn clue(&self, status: Status, code: &str) -> Option<Clue> {
        let is_open = !self.wire.is_protected();
        match (self.trace().step(), status) {
            (Some(Step::Auth), _) if is_open && code.eq_ignore_ascii_case("PRIVACYREQUIRED") => {
                Some(Clue::TlsFirst)
            }
            (Some(Step::Auth), Status::Bad)
                if is_open && self.capabilities.contains("STARTTLS") =>
            {
                Some(Clue::TlsFirst)
            }
            // A server that speaks so far knows the command.
            (Some(Step::Select), Status::Bad) if !self.has_mailbox => Some(Clue::NoMailbox),
            _ => None,
        }
    }
}
