//! Which arrived mails wait for their whole header to be read, and what becomes of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Disposition, Subscriber};
use crate::config::Target;
use ledger::Token;
use mail::inspection::{Ends, Inspection, Rules, Sizes, TransitTimes};
use mail::text::Scrubber;

/// The most mails that wait at a time; the oldest are not inspected.
const MAX_EXPECTED: usize = 100;

/// The mails that were judged ours and whose headers their targets want to know. A header is asked for
/// only once its mail has been reported to the account: it delays no round trip.
#[derive(Default)]
pub struct Inspector {
    expected: Mutex<VecDeque<Expected>>,
    kept: Option<Kept>,
}

/// The header of one mail, for whoever asks for it.
struct Kept {
    token: Token,
    block: Mutex<Option<Vec<u8>>>,
}

impl Inspector {
    /// One that keeps the header of the mail with this token, unread.
    pub fn keeping(token: Token) -> Self {
        let kept = Some(Kept { token, block: Mutex::default() });
        Self { kept, ..Self::default() }
    }

    /// The header that was kept; once.
    pub fn take_kept(&self) -> Option<Vec<u8>> {
        self.kept.as_ref()?.block.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A mail has arrived: says whether its header is to be read before it is removed. One that is at
    /// hand is read at once.
    pub(super) fn judge_arrival(
        &self,
        token: Token,
        subscriber: &Arc<Subscriber>,
        transit: TransitTimes,
        block: Option<&[u8]>,
    ) -> Disposition {
        if !subscriber.target.inspect {
            return Disposition::Remove(token);
        }
        let mail = Expected { token, subscriber: Arc::clone(subscriber), transit };
        if let Some(block) = block {
            mail.inspect(block, None);
            return Disposition::Remove(token);
        }
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        if expected.len() >= MAX_EXPECTED {
            expected.pop_front();
        }
        expected.push_back(mail);
        Disposition::Inspect(token)
    }

    /// Whether the size of this mail is to be asked for too.
    pub fn wants_size(&self, token: Token) -> bool {
        let expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        let mail = expected.iter().find(|mail| mail.token == token);
        // An answer is no smaller for what was taken of the mail that it answers.
        let is_told = |target: &Target| target.form().is_some() && !target.takes_replies();
        mail.is_some_and(|mail| is_told(&mail.subscriber.target))
    }

    /// Reads the header block of this mail, which has so many bytes in its mailbox; that of a mail that nobody expects
    /// is dropped unread.
    pub fn read(&self, token: Token, block: &[u8], size: Option<u64>) {
        if let Some(kept) = self.kept.as_ref().filter(|kept| kept.token == token) {
            *kept.block.lock().unwrap_or_else(PoisonError::into_inner) = Some(block.to_vec());
        } else if let Some(mail) = self.take(token) {
            mail.inspect(block, size);
        }
    }

    fn take(&self, token: Token) -> Option<Expected> {
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        let index = expected.iter().position(|mail| mail.token == token)?;
        expected.remove(index)
    }
}

impl Expected {
    fn inspect(self, block: &[u8], size: Option<u64>) {
        let target = &self.subscriber.target;
        let Some(mailbox) = target.mailbox() else { return };
        let mut inspection = read_header(target, block, self.transit);
        let sent = self.subscriber.account.sent_bytes(self.token);
        inspection.sizes = size.map(|arrived| Sizes { sent, arrived });
        self.subscriber.account.inspected(mailbox.into(), inspection, target.usual);
    }
}

/// What the header block of a mail of this target shows; none of the secrets of the target.
pub fn read_header(target: &Target, block: &[u8], transit: TransitTimes) -> Inspection {
    let sender = target.send.login.as_ref().map(Scrubber::of).unwrap_or_default();
    let receiver =
        target.receive.as_ref().map(|side| Scrubber::of(&side.login)).unwrap_or_default();
    let scrubber = receiver.and(sender);
    let rules = Rules { authserv_id: target.authserv_id.as_deref(), scrubber: &scrubber };
    match target.takes_replies() {
        true => {
            let ends = Ends { from: target.from.as_ref(), to: target.to.as_ref() };
            Inspection::read_back(block, transit, rules, ends)
        }
        false => Inspection::read(block, transit, rules),
    }
}

/// A mail whose header is to be read.
struct Expected {
    token: Token,
    subscriber: Arc<Subscriber>,
    transit: TransitTimes,
}
