//! What an account has room for, and whose turn it is there.

use super::{Account, Delivery, MAX_BYTES, MAX_MESSAGES};

impl Account {
    /// The delivery that was scripted for the next mail alone, else the one whose turn it is.
    pub(super) fn next_delivery(&mut self) -> Delivery {
        if let Some(next) = self.next_deliveries.pop_front() {
            return next;
        }
        let Some(delivery) = self.deliveries.pop_front() else { return Delivery::at_once() };
        self.deliveries.push_back(delivery.clone());
        delivery
    }

    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let stored = self.folders.values().flat_map(|f| f.messages.iter().map(|m| m.bytes.len()));
        let held = self.held.iter().map(|(_, _, mail)| mail.len());
        let all = stored.chain(held).chain(self.under_way.iter().copied());
        let (count, total) = all.fold((0, 0), |(count, total), size| (count + 1, total + size));
        count < MAX_MESSAGES && total + bytes <= MAX_BYTES
    }
}
