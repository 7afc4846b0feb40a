//! How large a mail is, as the server that keeps it counts it (RFC 3501 section 6.4.5).

use tokio::time::Instant;

use super::Imap;
use super::parse::Fetched;
use crate::Interrupted;
use ledger::{Failure, Step};

impl Imap {
    /// The size of one mail in bytes, with CRLF line ends; `None` if the server does not tell it.
    ///
    /// # Errors
    /// The connection's.
    pub async fn size(&mut self, uid: u32) -> Result<Option<u64>, Failure> {
        self.trace().enter(Step::Fetch);
        let tag = self.next_tag();
        self.wire.send(&format!("{tag} UID FETCH {uid} (RFC822.SIZE)")).await?;
        let mut size = None;
        let mut keep = |mail: Fetched, _: Instant| {
            if mail.uid == Some(uid) {
                size = size.or(mail.size);
            }
        };
        let answer = self.read_answer(&tag, &mut keep).await;
        match answer.map_err(|not_ok| self.no_continuation(not_ok)) {
            Ok(_) => Ok(size.map(u64::from)),
            Err(Interrupted::Refused(_)) => Ok(None),
            Err(Interrupted::Broken(failure)) => Err(failure),
        }
    }
}
