//! The mails of an account as JMAP shows them: each under an id for life, and what has changed from state to state.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use super::{Folder, Post};

/// The most changes that are kept; a client that knows of none of these reads anew.
const MAX_CHANGES: usize = 10_000;

/// Which mail it is, in which folder: another one where it is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EmailKey {
    pub(crate) uid_validity: u32,
    pub(crate) uid: u32,
}

impl EmailKey {
    /// Reads what [`fmt::Display`] writes.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (uid_validity, uid) = text.strip_prefix('M')?.split_once('-')?;
        Some(Self { uid_validity: uid_validity.parse().ok()?, uid: uid.parse().ok()? })
    }
}

impl fmt::Display for EmailKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "M{}-{}", self.uid_validity, self.uid)
    }
}

/// What has become of mails between two states (RFC 8620, section 5.2).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct EmailChanges {
    pub(crate) created: Vec<EmailKey>,
    pub(crate) updated: Vec<EmailKey>,
    pub(crate) destroyed: Vec<EmailKey>,
    /// The state that this leads to.
    pub(crate) state: u64,
    pub(crate) has_more: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Created,
    Updated,
    Destroyed,
}

/// The journal of an account. It is brought up to date whenever it is looked into, so an account that nobody reads
/// by JMAP costs nothing.
#[derive(Debug, Default)]
pub(crate) struct Emails {
    /// What was there at the newest look, with its flags.
    known: BTreeMap<EmailKey, BTreeSet<String>>,
    /// The newest changes; each leads to a state of its own.
    changes: VecDeque<(EmailKey, Change)>,
    state: u64,
}

impl Emails {
    /// The number of the newest change.
    pub(crate) fn state(&self) -> u64 {
        self.state
    }

    /// What has changed since `state`, `most` changes at most; `None` if nobody knows any more, or not yet.
    pub(crate) fn since(&self, state: u64, most: usize) -> Option<EmailChanges> {
        let ago = usize::try_from(self.state.checked_sub(state)?).ok()?;
        let first = self.changes.len().checked_sub(ago)?;
        let mut net: BTreeMap<EmailKey, Option<Change>> = BTreeMap::new();
        let mut taken = 0;
        for (key, change) in self.changes.iter().skip(first).take(most.max(1)) {
            taken += 1;
            let before = net.get(key).copied().flatten();
            let now = match (before, change) {
                (Some(Change::Created), Change::Updated) => Some(Change::Created),
                (Some(Change::Created), Change::Destroyed) => None,
                (_, change) => Some(*change),
            };
            net.insert(*key, now);
        }
        let of = |wanted: Change| {
            let its = net.iter().filter(|(_, change)| **change == Some(wanted));
            its.map(|(key, _)| *key).collect()
        };
        Some(EmailChanges {
            created: of(Change::Created),
            updated: of(Change::Updated),
            destroyed: of(Change::Destroyed),
            state: state + taken,
            has_more: state + taken < self.state,
        })
    }

    fn catch_up(&mut self, folders: &BTreeMap<String, Folder>) {
        for folder in folders.values() {
            for message in &folder.messages {
                let key = EmailKey { uid_validity: folder.uid_validity, uid: message.uid };
                match self.known.get(&key) {
                    Some(flags) if *flags == message.flags => continue,
                    Some(_) => self.note(key, Change::Updated),
                    None => self.note(key, Change::Created),
                }
                self.known.insert(key, message.flags.clone());
            }
        }
        let is_there = |key: &EmailKey| {
            let mut folders = folders.values();
            let own = folders.find(|folder| folder.uid_validity == key.uid_validity);
            own.is_some_and(|folder| folder.message(key.uid).is_some())
        };
        let gone: Vec<EmailKey> = self.known.keys().copied().filter(|key| !is_there(key)).collect();
        for key in gone {
            self.known.remove(&key);
            self.note(key, Change::Destroyed);
        }
    }

    fn note(&mut self, key: EmailKey, change: Change) {
        self.state += 1;
        self.changes.push_back((key, change));
        if self.changes.len() > MAX_CHANGES {
            self.changes.pop_front();
        }
    }
}

impl Post {
    /// Looks into the journal and the folders of a user at one moment; `None` if there is no such user.
    pub(crate) fn emails<T>(
        &self,
        user: &str,
        look: impl FnOnce(&Emails, &BTreeMap<String, Folder>) -> T,
    ) -> Option<T> {
        let mut state = self.lock();
        let account = state.accounts.get_mut(user)?;
        account.emails.catch_up(&account.folders);
        Some(look(&account.emails, &account.folders))
    }

    /// The first user, by name, whose password this is.
    pub(crate) fn user_of_password(&self, password: &str) -> Option<String> {
        let state = self.lock();
        let mut accounts = state.accounts.iter();
        accounts.find(|(_, account)| account.password == password).map(|(user, _)| user.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_lead_from_each_change_to_the_next() {
        let post = Post::new();
        post.add_account("rita", "p", &[]);
        let since = |state, most| {
            let looked = post.emails("rita", |emails, _| emails.since(state, most));
            looked.flatten()
        };
        assert_eq!(since(0, 9), Some(EmailChanges::default()));
        post.insert("rita", "INBOX", b"a\r\n");
        post.insert("rita", "Junk", b"b\r\n");
        let first = since(0, 1).expect("a change");
        assert_eq!((first.created.len(), first.state, first.has_more), (1, 1, true));
        let second = since(first.state, 1).expect("another");
        assert_eq!((second.created.len(), second.state, second.has_more), (1, 2, false));
        post.clear("rita");
        let gone = since(second.state, 9).expect("they are gone");
        assert_eq!((gone.destroyed.len(), gone.created.len(), gone.state), (2, 0, 4));
        assert!(since(0, 9).expect("all of it").destroyed.is_empty(), "they came and went");
        assert_eq!(since(5, 9), None, "a state that has never been");
    }
}
