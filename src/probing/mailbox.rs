//! One mailbox, and the task that reads it: the check of each period and the looks between, on behalf of
//! every target that receives there.
//!
//! [`MailboxHandle`] is what the targets see of it and `mailbox_task` the loop over it; both take what is in
//! `shared`. [`imap`], [`pop3`] and [`jmap`] are what a look is in each protocol, `backlog` what is still to be done
//! with which mail. `subscribers` says whose a mail is, `reports` whose a delivery status notification is, and
//! [`Inspector`] reads the headers of those that have arrived. What was seen before is remembered from session
//! to session, so that a look reads only what is new, and nothing in the mailbox is touched that is not ours.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use lettre::Address;

use ledger::Failure;
use ledger::FoundIn;
use ledger::LineInstant;
use ledger::Token;
use mail::bounce::DsnReport;
use mail::test_mail::Header;

mod announcements;
mod backlog;
pub mod imap;
mod inspector;
pub mod jmap;
mod kept;
mod latest;
mod mailbox_handle;
mod mailbox_task;
pub mod pop3;
mod preparation;
pub(crate) mod reader;
pub(crate) mod reports;
#[cfg(test)]
mod scripted;
mod shared;
mod subscribers;

pub use inspector::{Inspector, read_header};
pub use mailbox_handle::MailboxHandle;
pub use preparation::Preparation;
pub(crate) use subscribers::left_over_until;
pub use subscribers::{Role, Subscriber};

/// The most headers that are read at the first contact with a folder or maildrop.
const FIRST_CONTACT_HEADERS: usize = 500;
/// The most left-overs of others that are remembered for a folder.
const LEFT_OVERS: usize = 1000;
/// The most mails of ours that wait to be taken out of a folder.
const TO_REMOVE: usize = 4096;
/// How often a mail that does not go is removed again.
const REMOVAL_TRIES: u32 = 3;
/// What is wrong with it.
const STILL_THERE: &str = "a mail that was removed in an earlier session is still there";
/// How far a server's clock may be off when mails are sorted out by its date.
const CLOCK_SLACK: Duration = Duration::from_secs(600);

/// A mail whose header was read.
#[derive(Debug)]
pub struct Found {
    /// What the header says.
    pub header: Header,
    /// When the server took it in, by the server's clock.
    pub server_date: Option<SystemTime>,
    /// Where it lies.
    pub folder: FoundIn,
    /// When the reply that first could show it was read, on the time line of the accounts.
    pub shown_at: LineInstant,
    /// When that reply was asked for.
    pub asked_at: LineInstant,
    /// When the newest look before was asked for that did not show it.
    pub previous_look: Option<LineInstant>,
    /// Whether it was seen before, by nobody who waited for it: since when it lies there is not known.
    pub was_left: bool,
    /// How long the network takes there and back.
    pub network: Duration,
    /// Tokens of mails that are known to lie here, under whatever name: they are not reported again.
    pub accounted: BTreeSet<Token>,
    /// The whole header block, where it was read anyway (POP3).
    pub block: Option<Vec<u8>>,
    /// Whether its `Received` were asked for.
    pub has_stamps: bool,
    /// Whether it lies where nobody receives: a mail of ours is a copy there, and not its arrival.
    pub is_copy: bool,
    /// What it reports, once that was read.
    pub report: Option<DsnReport>,
}

impl Found {
    /// When a mail that is left over may be taken out where only its own mark says then whose it is: not before the time
    /// of that is over.
    pub(crate) fn over_by_its_mark(&self, due: SystemTime) -> SystemTime {
        self.header.mark.map_or(due, |mark| due.max(mark.expires))
    }

    /// Whether this is the mail with this token itself, sent by this address, and never left: a server has accepted it, and
    /// none has brought it back. So is the copy that a server puts into the mailbox of who sent it.
    pub(crate) fn never_left(&self, token: Token, sender: &Address) -> bool {
        let sender_of = |claimed| (claimed == token).then(|| sender.clone());
        self.has_stamps && !self.header.is_stamped_again && self.header.claim(sender_of).is_some()
    }
}

/// What is to be done with a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It is ours, with this token: take it out.
    Remove(Token),
    /// The same, but have the [`Inspector`] read its whole header first.
    Inspect(Token),
    /// It is ours and says nothing more, as a report that was applied or a sent copy: take it out.
    Discard,
    /// It may be about a mail of ours: read what it reports and ask again.
    ReadReport,
    /// A probe that nobody here waits for; anybody may take it out from this time on.
    LeftOver(SystemTime),
    /// Somebody's mail.
    Leave,
}

/// From when on mails matter in a folder of which it is not known what was read before.
#[derive(Debug, Clone, Copy)]
pub struct Since {
    /// The oldest mail of ours that may come or turn up; `None` if there is none.
    pub ours: Option<SystemTime>,
    /// The oldest left-over of anybody, or that mail of ours if it is older.
    pub left_overs: SystemTime,
}

impl Since {
    /// Only mail from this time on matters, whosever it is.
    pub fn all(time: SystemTime) -> Self {
        Self { ours: Some(time), left_overs: time }
    }
}

/// Decides about each mail that is read.
pub type Judge<'a> = dyn FnMut(&Found) -> Disposition + Send + 'a;

/// What a session came to, beside the mails that were judged.
#[derive(Debug, Default)]
pub struct Looked {
    /// Ours was found, but could not be taken out; it is tried again next time.
    pub removal_failure: Option<Failure>,
}
