//! The messages of a folder.

use std::sync::Arc;
use std::time::SystemTime;

use super::{Folder, Message};

impl Folder {
    /// Appends a message under the next UID and returns that.
    pub(crate) fn add(
        &mut self,
        bytes: Arc<[u8]>,
        internal_date: SystemTime,
        flags: impl IntoIterator<Item = String>,
    ) -> u32 {
        let uid = self.uid_next;
        self.uid_next += 1;
        let flags = flags.into_iter().collect();
        self.messages.push(Message { uid, flags, internal_date, bytes });
        uid
    }

    /// The message with this UID.
    pub(crate) fn message(&self, uid: u32) -> Option<&Message> {
        self.messages.get(self.index(uid)?)
    }

    /// The same, to be changed.
    pub(crate) fn message_mut(&mut self, uid: u32) -> Option<&mut Message> {
        let index = self.index(uid)?;
        self.messages.get_mut(index)
    }

    /// UIDs only ever grow, so the messages are in their order.
    fn index(&self, uid: u32) -> Option<usize> {
        self.messages.binary_search_by_key(&uid, |message| message.uid).ok()
    }
}
