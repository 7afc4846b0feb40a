//! How far the reading of a folder has come, where it is cut off: by the end of its time, by a configuration
//! that changes, or by the end of the process. A server answers in the order that it likes; only the
//! end of an answer says that a mail is none of those that were asked for.

/// What is known of a reading that has not come to its end.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Whether a first contact has begun and is not over.
    is_meeting: bool,
    /// The lowest and the highest UID that it has read, and with them all between that it wanted.
    met: Option<(u32, u32)>,
    /// From which UID on a reading of what is new has begun and is not over.
    cut_off: Option<u32>,
}

impl Progress {
    /// The first UID that was not looked at for certain, and 0 before the end of the first contact, where
    /// the mails that were read say that it is `next_uid`.
    pub(super) fn certain(&self, next_uid: u32) -> u32 {
        let certain = self.cut_off.map_or(next_uid, |from| from.min(next_uid));
        if self.is_meeting { 0 } else { certain }
    }

    /// A first contact begins that wants these UIDs, the highest first; gives those that are left to be read.
    /// What came after one that was cut off is read in the order in which it came, so that none between
    /// stays unread, and then the others, the newest first.
    pub(super) fn begin_to_meet(&mut self, falling: &[u32]) -> Vec<u32> {
        self.is_meeting = true;
        let Some((lowest, highest)) = self.met else { return falling.to_vec() };
        let later = falling.iter().rev().filter(|uid| **uid > highest);
        later.chain(falling.iter().filter(|uid| **uid < lowest)).copied().collect()
    }

    /// These were read, in the order that [`Progress::begin_to_meet`] gave.
    pub(super) fn have_met(&mut self, uids: &[u32]) {
        let (Some(first), Some(last)) = (uids.iter().min(), uids.iter().max()) else { return };
        let (lowest, highest) = self.met.unwrap_or((*first, *last));
        self.met = Some((lowest.min(*first), highest.max(*last)));
    }

    /// The first contact is over.
    pub(super) fn end_meeting(&mut self) {
        (self.is_meeting, self.met) = (false, None);
    }

    /// A reading of what is new begins: from which UID on, and whether the one before was cut off there.
    pub(super) fn begin_to_read(&mut self, next_uid: u32) -> (u32, bool) {
        let from = self.cut_off.unwrap_or(next_uid).max(1);
        (from, self.cut_off.replace(from).is_some())
    }

    /// What is new was read up to this UID.
    pub(super) fn have_read(&mut self, uid: u32) {
        self.cut_off = Some(uid.saturating_add(1));
    }

    /// The reading of what is new is over.
    pub(super) fn end_reading(&mut self) {
        self.cut_off = None;
    }
}
