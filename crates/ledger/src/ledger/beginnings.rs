//! What all accounts have in common that have just begun.

use std::sync::LazyLock;

use super::{Histogram, Ledger, SenderMailbox, SideState, Totals};
use crate::Shared;

#[derive(Default)]
struct Beginnings {
    totals: Shared<Totals>,
    roundtrips: Shared<Histogram>,
    side: Shared<SideState>,
    sender_mailbox: Shared<SenderMailbox>,
}

static BEGINNINGS: LazyLock<Beginnings> = LazyLock::new(Beginnings::default);

impl Ledger {
    /// Takes no room for what is as in any account that has just begun, until it changes.
    pub(super) fn share_beginnings(&mut self) {
        let Beginnings { totals, roundtrips, side, sender_mailbox } = &*BEGINNINGS;
        self.totals.join(totals);
        self.roundtrips.join(roundtrips);
        self.sides.send.join(side);
        self.sides.receive.join(side);
        self.sender_mailbox.join(sender_mailbox);
    }
}
