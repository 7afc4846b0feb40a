//! How often something was tried with a mail: counted before it is tried, so that a try counts as well
//! that breaks the session, or is given up from outside.

use std::collections::BTreeMap;

use crate::probing::mailbox::LEFT_OVERS;

/// How often a mail is asked for that the server does not show, or at which it falls silent.
pub(super) const READ_TRIES: u32 = 3;

/// The tries with some mails of a folder, by UID; of the newest 1000.
#[derive(Debug, Default)]
pub(super) struct Tries(BTreeMap<u32, u32>);

impl Tries {
    /// Counts one with this mail; whether it is the last.
    pub(super) fn begin(&mut self, uid: u32) -> bool {
        let tries = self.0.entry(uid).or_insert(0);
        *tries += 1;
        let is_last = *tries >= READ_TRIES;
        while self.0.len() > LEFT_OVERS {
            self.0.pop_first();
        }
        is_last
    }

    /// Nothing needs to be tried any more.
    pub(super) fn end(&mut self, uid: u32) {
        self.0.remove(&uid);
    }
}
