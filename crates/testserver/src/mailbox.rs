//! The accounts behind the servers: who may log in, which folders there are, what lies in them,
//! and how a mail that was accepted gets there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use delivery::Delivery;
pub(crate) use emails::EmailKey;
pub(crate) use emails::Emails;
pub use journal::Happening;
use journal::Outside;

mod account;
mod delivery;
mod emails;
mod folder;
mod journal;

/// The most messages that an account holds, those on their way included.
pub const MAX_MESSAGES: usize = 50_000;

/// The most bytes of messages that an account holds, those on their way included.
pub const MAX_BYTES: usize = 64 << 20;

/// The post office that the servers of a test or of the demo share: SMTP puts mail in, IMAP, POP3
/// and JMAP show it. A clone is the same post office.
#[derive(Clone)]
pub struct Post {
    inner: Arc<Inner>,
}

/// One message in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The UID (RFC 3501, section 2.3.1.1).
    pub uid: u32,
    /// The flags, as `\Seen`; system flags in the spelling of RFC 3501.
    pub flags: BTreeSet<String>,
    /// The INTERNALDATE: when it came, by the clock of the server.
    pub internal_date: SystemTime,
    /// The message as RFC 5322 has it, lines ending in CRLF.
    pub bytes: Arc<[u8]>,
}

impl Message {
    /// Whether `flag` is set; `flag` as `\Seen`, in any case.
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| own.eq_ignore_ascii_case(flag))
    }
}

/// A mailbox folder, as the sessions see it.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub(crate) special_use: Option<&'static str>,
    pub(crate) uid_validity: u32,
    pub(crate) uid_next: u32,
    pub(crate) messages: Vec<Message>,
}

/// There is no room in the account, for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MailboxFull;

struct Inner {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    ended: CancellationToken,
    outside: Mutex<Outside>,
}

#[derive(Default)]
struct State {
    accounts: BTreeMap<String, Account>,
    /// Address in lower case, and the user who owns it.
    addresses: BTreeMap<String, String>,
    clock_offset_seconds: i64,
    last_uid_validity: u32,
    /// How many mails were accepted.
    accepted: u64,
}

struct Account {
    password: String,
    folders: BTreeMap<String, Folder>,
    /// Taken in turn; without one, mail is delivered at once.
    deliveries: VecDeque<Delivery>,
    next_deliveries: VecDeque<Delivery>,
    /// With the number of each.
    held: Vec<(u64, Delivery, Arc<[u8]>)>,
    /// Bytes of each mail that was accepted and is neither held nor in a folder.
    under_way: Vec<usize>,
    /// Whether a POP3 session has the maildrop for itself.
    locked: bool,
    emails: Emails,
}

impl Default for Post {
    fn default() -> Self {
        Self::new()
    }
}

impl Post {
    /// A post office without accounts.
    pub fn new() -> Self {
        let inner = Inner {
            state: Mutex::new(State { last_uid_validity: 1_000_000, ..State::default() }),
            changed: watch::Sender::new(()),
            ended: CancellationToken::new(),
            outside: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Opens the account `user` with the folders INBOX, Junk and Trash; mail to any of
    /// `addresses` is delivered there. An account of that name that was there before is replaced.
    pub fn add_account(&self, user: &str, password: &str, addresses: &[&str]) {
        self.change(|state| {
            let folders = [("INBOX", None), ("Junk", Some("\\Junk")), ("Trash", Some("\\Trash"))];
            let folders = folders.map(|(name, use_)| (name.to_owned(), state.new_folder(use_)));
            let account = Account {
                password: password.to_owned(),
                folders: BTreeMap::from(folders),
                deliveries: VecDeque::new(),
                next_deliveries: VecDeque::new(),
                held: Vec::new(),
                under_way: Vec::new(),
                locked: false,
                emails: Emails::default(),
            };
            state.accounts.insert(user.to_owned(), account);
            for address in addresses {
                state.addresses.insert(address.to_ascii_lowercase(), user.to_owned());
            }
        });
    }

    /// Changes the password of `user`; open sessions stay.
    pub fn set_password(&self, user: &str, password: &str) {
        self.with_account(user, |account| account.password = password.to_owned());
    }

    /// Adds an empty folder to an account. `name` is the name on the wire (modified UTF-7, RFC
    /// 3501, section 5.1.3); `special_use` as `\Archive` (RFC 6154). One that exists is emptied.
    pub fn add_folder(&self, user: &str, name: &str, special_use: Option<&'static str>) {
        self.change(|state| {
            let folder = state.new_folder(special_use);
            if let Some(account) = state.accounts.get_mut(user) {
                account.folders.insert(canonical_folder(name).to_owned(), folder);
            }
        });
    }

    /// Takes a folder away, with what is in it.
    pub fn remove_folder(&self, user: &str, name: &str) {
        self.with_account(user, |account| account.folders.remove(canonical_folder(name)));
    }

    /// How mail to `user` is delivered from now on.
    pub fn set_delivery(&self, user: &str, delivery: Delivery) {
        self.set_deliveries(user, [delivery]);
    }

    /// How mail to `user` is delivered from now on: in each of these ways in turn, over and over.
    pub fn set_deliveries(&self, user: &str, ways: impl IntoIterator<Item = Delivery>) {
        self.with_account(user, |account| account.deliveries = ways.into_iter().collect());
    }

    /// How the next mail to `user` is delivered; several calls are for as many mails, in order.
    pub fn deliver_next(&self, user: &str, delivery: Delivery) {
        self.with_account(user, |account| account.next_deliveries.push_back(delivery));
    }

    /// Delivers every mail to `user` that [`Delivery::held`] held back; returns how many.
    pub fn release(&self, user: &str) -> usize {
        let held = self.with_account(user, |account| std::mem::take(&mut account.held));
        let held = held.unwrap_or_default();
        for (_, delivery, bytes) in &held {
            self.place(user, delivery, bytes);
        }
        held.len()
    }

    /// Sets the clock by which mail is dated this many seconds ahead of the true one (behind, if
    /// negative).
    pub fn set_clock_offset_seconds(&self, seconds: i64) {
        self.change(|state| state.clock_offset_seconds = seconds);
    }

    /// The messages in a folder, by UID; empty if there is no such folder.
    pub fn messages(&self, user: &str, folder: &str) -> Vec<Message> {
        self.view_folder(user, folder, |folder| folder.messages.clone()).unwrap_or_default()
    }

    /// Puts a message into a folder, dated now by the server's clock; returns its UID, `None` if
    /// there is no such folder.
    pub fn insert(&self, user: &str, folder: &str, bytes: &[u8]) -> Option<u32> {
        self.insert_dated(user, folder, bytes, self.now())
    }

    /// The same with a given INTERNALDATE.
    pub fn insert_dated(
        &self,
        user: &str,
        folder: &str,
        bytes: &[u8],
        internal_date: SystemTime,
    ) -> Option<u32> {
        self.with_folder(user, folder, |folder| folder.add(bytes.into(), internal_date, []))
    }

    /// Gives a folder a new UIDVALIDITY and all its messages new UIDs, as after a restored backup.
    pub fn renumber(&self, user: &str, folder: &str) {
        self.change(|state| {
            state.last_uid_validity += 1;
            let validity = state.last_uid_validity;
            let Some(folder) = state.folder_mut(user, folder) else { return };
            folder.uid_validity = validity;
            folder.uid_next = 1;
            for message in &mut folder.messages {
                message.uid = folder.uid_next;
                folder.uid_next += 1;
            }
        });
    }

    /// Removes every message of an account, held ones included.
    pub fn clear(&self, user: &str) {
        self.with_account(user, |account| {
            account.held.clear();
            for folder in account.folders.values_mut() {
                folder.messages.clear();
            }
        });
    }

    /// A receiver that is notified of each change in any account: a mail came or went, a flag changed.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.inner.changed.subscribe()
    }

    /// Waits until `wanted` holds, looking again at each change; false if `limit` passes first.
    pub async fn wait_until(&self, limit: Duration, wanted: impl Fn(&Post) -> bool) -> bool {
        let mut changes = self.changes();
        let seen = async { while !wanted(self) && changes.changed().await.is_ok() {} };
        tokio::time::timeout(limit, seen).await.is_ok()
    }

    /// The time by the clock that dates mail.
    pub fn now(&self) -> SystemTime {
        let seconds = self.lock().clock_offset_seconds;
        let offset = Duration::from_secs(seconds.unsigned_abs());
        let clock = self.outside().clock.clone();
        let now = clock.map_or_else(SystemTime::now, |clock| clock());
        let shifted = if seconds < 0 { now.checked_sub(offset) } else { now.checked_add(offset) };
        shifted.unwrap_or(now)
    }

    /// The password of a user.
    pub(crate) fn password(&self, user: &str) -> Option<String> {
        self.lock().accounts.get(user).map(|account| account.password.clone())
    }

    /// Whether `user` may log in with `password`.
    pub(crate) fn login_is_right(&self, user: &str, password: &str) -> bool {
        self.lock().accounts.get(user).is_some_and(|account| account.password == password)
    }

    /// The user who owns an address.
    pub(crate) fn owner(&self, address: &str) -> Option<String> {
        self.lock().addresses.get(&address.to_ascii_lowercase()).cloned()
    }

    /// Takes responsibility for a mail to `user`: it is delivered by the account's rule.
    pub(crate) fn accept(&self, user: &str, mail: &Arc<[u8]>) -> Result<(), MailboxFull> {
        let accepted = self.change(|state| {
            let number = state.accepted + 1;
            let Some(account) = state.accounts.get_mut(user) else { return Ok(None) };
            if !account.has_room(mail.len()) {
                return Err(MailboxFull);
            }
            let delivery = account.next_delivery();
            if delivery.is_held() {
                account.held.push((number, delivery.clone(), mail.clone()));
            } else {
                account.under_way.push(mail.len());
            }
            state.accepted = number;
            Ok(Some((number, delivery)))
        })?;
        let Some((number, delivery)) = accepted else { return Ok(()) };
        let (user_name, is_held) = (user.to_owned(), delivery.is_held());
        self.tell(|| Happening::Accepted { user: user_name, number, is_held, bytes: mail.clone() });
        if !is_held {
            self.carry(user, delivery, mail.clone());
        }
        Ok(())
    }

    /// The names of an account's folders, each with its special use, in order.
    pub(crate) fn folders(&self, user: &str) -> Vec<(String, Option<&'static str>)> {
        let state = self.lock();
        let folders = state.accounts.get(user).map(|account| account.folders.iter());
        folders.into_iter().flatten().map(|(name, f)| (name.clone(), f.special_use)).collect()
    }

    /// Looks into a folder; `None` if there is no such folder.
    pub(crate) fn view_folder<T>(
        &self,
        user: &str,
        folder: &str,
        look: impl FnOnce(&Folder) -> T,
    ) -> Option<T> {
        self.lock().folder_mut(user, folder).map(|folder| look(folder))
    }

    /// Changes a folder and notifies those who wait; `None` if there is no such folder.
    pub(crate) fn with_folder<T>(
        &self,
        user: &str,
        folder: &str,
        change: impl FnOnce(&mut Folder) -> T,
    ) -> Option<T> {
        let observer = self.outside().observer.clone();
        let (changed, happenings) = self.change(|state| {
            let folder_state = state.folder_mut(user, folder)?;
            let Some(_) = observer else { return Some((change(folder_state), Vec::new())) };
            let before = folder_state.messages.clone();
            let changed = change(folder_state);
            let name = (user, canonical_folder(folder));
            Some((changed, journal::changes(name, &before, folder_state)))
        })?;
        if let Some(observer) = observer {
            happenings.into_iter().for_each(|happening| observer(happening));
        }
        Some(changed)
    }

    /// Takes the maildrop for one POP3 session; false if another one has it.
    pub(crate) fn lock_maildrop(&self, user: &str) -> bool {
        let before =
            self.with_account(user, |account| std::mem::replace(&mut account.locked, true));
        before == Some(false)
    }

    /// Gives the maildrop back.
    pub(crate) fn unlock_maildrop(&self, user: &str) {
        self.with_account(user, |account| account.locked = false);
    }

    /// Delivers now, or starts the task that will. The task does not keep the post office alive
    /// and ends with it.
    fn carry(&self, user: &str, delivery: Delivery, mail: Arc<[u8]>) {
        if delivery.delay().is_zero() {
            return self.arrive(user, &delivery, &mail);
        }
        let (post, ended) = (Arc::downgrade(&self.inner), self.inner.ended.clone());
        let user = user.to_owned();
        tokio::spawn(async move {
            let delay = tokio::time::sleep(delivery.delay());
            if ended.run_until_cancelled(delay).await.is_none() {
                return;
            }
            if let Some(inner) = post.upgrade() {
                Post { inner }.arrive(&user, &delivery, &mail);
            }
        });
    }

    fn arrive(&self, user: &str, delivery: &Delivery, mail: &Arc<[u8]>) {
        self.with_account(user, |account| {
            let own = account.under_way.iter().position(|bytes| *bytes == mail.len());
            own.map(|position| account.under_way.swap_remove(position));
        });
        self.place(user, delivery, mail);
    }

    fn place(&self, user: &str, delivery: &Delivery, mail: &Arc<[u8]>) {
        let now = self.now();
        let mail = delivery.as_delivered(mail);
        self.with_folder(user, delivery.folder(), |folder| {
            for _ in 0..delivery.number_of_copies() {
                folder.add(mail.clone(), now, []);
            }
        });
    }

    fn with_account<T>(&self, user: &str, change: impl FnOnce(&mut Account) -> T) -> Option<T> {
        self.change(|state| state.accounts.get_mut(user).map(change))
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.inner.changed.send_replace(());
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

impl State {
    fn new_folder(&mut self, special_use: Option<&'static str>) -> Folder {
        self.last_uid_validity += 1;
        let uid_validity = self.last_uid_validity;
        Folder { special_use, uid_validity, uid_next: 1, messages: Vec::new() }
    }

    fn folder_mut(&mut self, user: &str, folder: &str) -> Option<&mut Folder> {
        self.accounts.get_mut(user)?.folders.get_mut(canonical_folder(folder))
    }
}

/// `INBOX` in any case is the inbox (RFC 3501, section 5.1); other names are as they are.
pub(crate) fn canonical_folder(name: &str) -> &str {
    if name.eq_ignore_ascii_case("INBOX") { "INBOX" } else { name }
}
