//! The truth: when which mail was delivered, by the files of the mailboxes.
//!
//! Dovecot names a file after the microsecond in which it began to write it, and moves it into the
//! folder `new` when it is whole. A thread is told of each such move by the kernel (inotify), and
//! reads the token from the header before the exporter can have removed the mail. The server's
//! protocol, its dates and the exporter have no part in it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::SystemTime;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use crate::lab::{Account, Lab, Mail};

/// Whoever looks for mails sees what was delivered; the thread ends with the process.
pub(crate) struct Truth {
    inotify: Arc<OwnedFd>,
    book: Arc<Mutex<Book>>,
}

/// When a mail was delivered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    /// By the name of its file: the truth that reports are held against.
    pub(crate) named: SystemTime,
    /// When its file was whole and in its place: no client can have seen it before.
    pub(crate) moved: SystemTime,
}

#[derive(Default)]
struct Book {
    /// The folders `new`, by the number of their watch.
    folders: HashMap<i32, PathBuf>,
    /// By token.
    deliveries: HashMap<String, Delivery>,
    missed: usize,
}

impl Truth {
    /// Watches nothing yet.
    ///
    /// # Panics
    /// If the kernel has no inotify to give.
    pub(crate) fn start() -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC)
            .unwrap_or_else(|error| panic!("mailboxes cannot be watched: {error}"));
        let truth = Self { inotify: Arc::new(inotify), book: Arc::default() };
        let (inotify, book) = (Arc::clone(&truth.inotify), Arc::clone(&truth.book));
        thread::spawn(move || watch(&inotify, &book));
        truth
    }

    /// From now on the mails to this user are seen, in INBOX.
    ///
    /// # Panics
    /// If the folder cannot be watched.
    pub(crate) fn watch(&self, lab: &Lab, account: &Account) {
        let folder = lab.folder().join("mail").join(&account.address).join("Maildir/new");
        // Held, so that no mail comes from a folder that is not in the book.
        let mut book = lock(&self.book);
        let watch =
            inotify::add_watch(&self.inotify, &folder, WatchFlags::MOVED_TO | WatchFlags::CREATE)
                .unwrap_or_else(|error| panic!("{} cannot be watched: {error}", folder.display()));
        book.folders.insert(watch, folder);
    }

    /// When the mail with this token was delivered; of copies the first.
    pub(crate) fn delivery(&self, token: &str) -> Option<Delivery> {
        lock(&self.book).deliveries.get(token).copied()
    }

    /// Mails so far that went before they could be read.
    pub(crate) fn missed(&self) -> usize {
        lock(&self.book).missed
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch(inotify: &OwnedFd, book: &Mutex<Book>) {
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut events = inotify::Reader::new(inotify, &mut buffer);
    loop {
        let event = events.next().unwrap_or_else(|error| panic!("inotify failed: {error}"));
        assert!(!event.events().contains(ReadFlags::QUEUE_OVERFLOW), "too many mails at a time");
        let moved = SystemTime::now();
        let folder = lock(book).folders.get(&event.wd()).cloned();
        let (Some(folder), Some(name)) = (folder, event.file_name()) else { continue };
        let delivery = delivery(&folder, OsStr::from_bytes(name.to_bytes()));
        let mut book = lock(book);
        match delivery {
            Some((token, named)) => {
                book.deliveries.entry(token).or_insert(Delivery { named, moved });
            }
            None => book.missed += 1,
        }
    }
}

/// The token of a mail, and when it was delivered.
fn delivery(new: &Path, name: &OsStr) -> Option<(String, SystemTime)> {
    let path = new.join(name);
    // A session that opens the mailbox moves its mails into `cur`.
    let text = fs::read(&path).ok().or_else(|| read_in_cur(new, name))?;
    let mail = Mail { folder: "INBOX".into(), flags: String::new(), path };
    Some((token(&String::from_utf8_lossy(&text))?, mail.delivered()?))
}

fn read_in_cur(new: &Path, name: &OsStr) -> Option<Vec<u8>> {
    let entries = fs::read_dir(new.with_file_name("cur")).ok()?;
    let is_it = |entry: &fs::DirEntry| entry.file_name().as_bytes().starts_with(name.as_bytes());
    entries.flatten().find(is_it).and_then(|entry| fs::read(entry.path()).ok())
}

/// From the header field, however it is folded.
fn token(mail: &str) -> Option<String> {
    let (_, field) = mail.split_once("X-Mailtrip:")?;
    let (_, token) = field.split_once("token=")?;
    let token: String = token.chars().take_while(char::is_ascii_hexdigit).collect();
    (token.len() == 32).then_some(token)
}
