//! What happens in a post office, as it happens.

use std::fmt;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::{Folder, Message, Post};

/// One thing that happened to a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// A server took responsibility for a mail to `user`; the client does not know it yet.
    Accepted {
        /// Whose it is.
        user: String,
        /// The number of the mail: of all that were accepted, from 1 on.
        number: u64,
        /// Whether it is kept back until it is released.
        is_held: bool,
        /// The mail as it was accepted.
        bytes: Arc<[u8]>,
    },
    /// A mail came to be seen in a folder.
    Placed {
        /// Whose folder it is.
        user: String,
        /// Its name.
        folder: String,
        /// The mail.
        message: Message,
    },
    /// A mail is not in a folder any more.
    Removed {
        /// Whose folder it is.
        user: String,
        /// Its name.
        folder: String,
        /// The mail as it was.
        message: Message,
    },
    /// The flags of a mail have changed.
    Flagged {
        /// Whose folder it is.
        user: String,
        /// Its name.
        folder: String,
        /// The mail as it is.
        message: Message,
    },
}

/// Who is told of what happens.
pub(super) type Observer = Arc<dyn Fn(Happening) + Send + Sync>;

/// What dates mail, in place of the clock of the system.
pub(super) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The two that look on from outside.
#[derive(Clone, Default)]
pub(super) struct Outside {
    pub(super) observer: Option<Observer>,
    pub(super) clock: Option<Clock>,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}

impl Post {
    /// Puts a message into a folder as [`Post::insert`] does, with these flags.
    pub fn insert_flagged(
        &self,
        user: &str,
        folder: &str,
        bytes: &[u8],
        flags: &[&str],
    ) -> Option<u32> {
        let (now, flags) = (self.now(), flags.iter().map(|flag| (*flag).to_owned()));
        self.with_folder(user, folder, |folder| folder.add(bytes.into(), now, flags))
    }

    /// Delivers the one mail of this number, as [`Happening::Accepted`] told it, to `user`; false if it is not
    /// held back.
    pub fn release_one(&self, user: &str, number: u64) -> bool {
        let held = self.with_account(user, |account| {
            let at = account.held.iter().position(|(held, ..)| *held == number)?;
            Some(account.held.remove(at))
        });
        let Some((_, delivery, bytes)) = held.flatten() else { return false };
        self.place(user, &delivery, &bytes);
        true
    }

    /// Throws away the one mail of this number that is held back; false if there is none.
    pub fn discard_one(&self, user: &str, number: u64) -> bool {
        let discarded = self.with_account(user, |account| {
            let before = account.held.len();
            account.held.retain(|(held, ..)| *held != number);
            account.held.len() < before
        });
        discarded == Some(true)
    }

    /// Has `observer` told of everything that happens to mail from now on, as it happens and before anybody
    /// else can know it. It must not call the post office.
    pub fn observe(&self, observer: impl Fn(Happening) + Send + Sync + 'static) {
        self.outside().observer = Some(Arc::new(observer));
    }

    /// Dates mail by `clock` from now on, and not by the clock of the system.
    pub fn set_clock(&self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) {
        self.outside().clock = Some(Arc::new(clock));
    }

    pub(super) fn tell(&self, happening: impl FnOnce() -> Happening) {
        let observer = self.outside().observer.clone();
        if let Some(observer) = observer {
            observer(happening());
        }
    }

    pub(super) fn outside(&self) -> MutexGuard<'_, Outside> {
        self.inner.outside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a folder between two moments.
pub(super) fn changes(
    (user, name): (&str, &str),
    before: &[Message],
    after: &Folder,
) -> Vec<Happening> {
    // In the order of their UIDs, as a folder is.
    let by_uid = |messages: &[Message], uid| messages.binary_search_by_key(&uid, |it| it.uid);
    let mut happenings = Vec::new();
    for message in &after.messages {
        let earlier = by_uid(before, message.uid).ok().and_then(|at| before.get(at));
        if earlier.is_some_and(|earlier| earlier.flags == message.flags) {
            continue;
        }
        let (user, folder, message) = (user.to_owned(), name.to_owned(), message.clone());
        happenings.push(match earlier {
            None => Happening::Placed { user, folder, message },
            Some(_) => Happening::Flagged { user, folder, message },
        });
    }
    let is_gone = |message: &&Message| by_uid(&after.messages, message.uid).is_err();
    happenings.extend(before.iter().filter(is_gone).map(|message| Happening::Removed {
        user: user.to_owned(),
        folder: name.to_owned(),
        message: message.clone(),
    }));
    happenings
}
