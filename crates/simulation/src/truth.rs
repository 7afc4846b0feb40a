//! What really happened to the mails of each site, as its servers saw it. The exporter knows nothing of it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use testserver::{Happening, Message};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::site::{self, Site};
use crate::trace::Trace;

/// One test mail that a server accepted.
#[derive(Debug, Clone, Default)]
pub struct Mail {
    /// When the server took responsibility for it.
    pub accepted: Duration,
    /// When it came to be seen first.
    pub placed: Option<Duration>,
    /// How many copies of it lie in folders.
    pub present: u32,
    /// Whether it will never be seen.
    pub is_gone: bool,
    /// When a report came that it could not be delivered.
    pub reported: Option<Duration>,
    /// How many reports about it lie in folders.
    pub reports: u32,
    /// Whether it is marked as deleted.
    pub is_marked: bool,
}

/// What happened at one site.
#[derive(Debug, Clone, Default)]
pub struct SiteTruth {
    /// The mails, by token; those of long ago are forgotten.
    pub mails: BTreeMap<String, Mail>,
    /// How many mails were accepted, ever.
    pub accepted: u64,
    /// How many of them were seen, ever.
    pub placed: u64,
    /// About how many of them a report came, ever.
    pub reported: u64,
    /// What happened to mails and when, without their tokens, as one number.
    times: DefaultHasher,
}

impl SiteTruth {
    /// A number that is the same where the same happened at the same times.
    pub fn times(&self) -> u64 {
        self.times.finish()
    }
}

/// A mail that a server holds back until somebody decides about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The number of the site.
    pub site: usize,
    /// The number of the mail.
    pub number: u64,
    /// Its token.
    pub token: String,
    /// Its header.
    pub header: String,
}

/// What happened at all sites. A clone is the same.
#[derive(Clone)]
pub struct Truth {
    state: Arc<Mutex<State>>,
    /// Is notified when mails are held back.
    pub news: Arc<Notify>,
    clock: Clock,
    trace: Trace,
}

#[derive(Default)]
struct State {
    sites: Vec<SiteTruth>,
    held: Vec<Held>,
    wrong: Option<String>,
}

impl Truth {
    /// Looks on at these sites from now on.
    pub fn watch(sites: &[Site], clock: &Clock, trace: &Trace) -> Self {
        let state = State { sites: vec![SiteTruth::default(); sites.len()], ..State::default() };
        let truth = Self {
            state: Arc::new(Mutex::new(state)),
            news: Arc::default(),
            clock: clock.clone(),
            trace: trace.clone(),
        };
        for site in sites.iter().filter(|site| site.is_owner()) {
            let observer = truth.clone();
            site.post.observe(move |happening| observer.see(happening));
        }
        truth
    }

    /// What happened at a site.
    pub fn site<T>(&self, number: usize, look: impl FnOnce(&SiteTruth) -> T) -> T {
        let empty = SiteTruth::default();
        look(self.state().sites.get(number).unwrap_or(&empty))
    }

    /// The mails that were held back since the last time.
    pub fn take_held(&self) -> Vec<Held> {
        std::mem::take(&mut self.state().held)
    }

    /// A mail will never be seen.
    pub fn discarded(&self, held: &Held) {
        let mut state = self.state();
        let site = state.sites.get_mut(held.site);
        if let Some(mail) = site.and_then(|site| site.mails.get_mut(&held.token)) {
            mail.is_gone = true;
        }
    }

    /// What the exporter has done to a mailbox that it must not do, or an error that it has logged, if it has.
    pub fn wrong(&self) -> Option<String> {
        self.state().wrong.clone().or_else(|| self.trace.failed())
    }

    /// See [`Trace::take_disk_error`].
    pub fn take_disk_error(&self) -> Option<String> {
        self.trace.take_disk_error()
    }

    /// Forgets mails of which nothing is left and that are older than this.
    pub fn forget(&self, older_than: Duration) {
        let now = self.clock.age();
        for site in &mut self.state().sites {
            site.mails.retain(|_, mail| {
                mail.present + mail.reports > 0 || now.saturating_sub(mail.accepted) < older_than
            });
        }
    }

    fn see(&self, happening: Happening) {
        let now = self.clock.age();
        let kind = std::mem::discriminant(&happening);
        let mut state = self.state();
        let State { sites, held, wrong } = &mut *state;
        let (Happening::Accepted { user, bytes, .. }
        | Happening::Placed { user, message: Message { bytes, .. }, .. }
        | Happening::Removed { user, message: Message { bytes, .. }, .. }
        | Happening::Flagged { user, message: Message { bytes, .. }, .. }) = &happening;
        let Some(Meant { token, target, is_report }) = Meant::by(bytes) else {
            let touched = match happening {
                Happening::Removed { .. } => "removed",
                Happening::Flagged { .. } => "changed",
                Happening::Accepted { .. } => "sent",
                Happening::Placed { .. } => return,
            };
            *wrong = Some(format!("{user}: a mail of somebody else was {touched}"));
            return;
        };
        let Some((number, site)) =
            sites.iter_mut().enumerate().find(|(number, _)| site::name(*number) == target)
        else {
            return;
        };
        (kind, now).hash(&mut site.times);
        let what = if is_report { "report about" } else { "mail" };
        let note = |words: &str| {
            self.trace.note(&format!("{target}: {what} {} {words}", short(&token)));
        };
        let mail = site.mails.entry(token.clone()).or_default();
        let there = if is_report { &mut mail.reports } else { &mut mail.present };
        match &happening {
            Happening::Accepted { number: mails_number, is_held, .. } => {
                note("accepted");
                site.accepted += 1;
                mail.accepted = now;
                if *is_held {
                    let text = String::from_utf8_lossy(bytes);
                    let header = text.split("\r\n\r\n").next().unwrap_or_default().to_owned();
                    held.push(Held { site: number, number: *mails_number, token, header });
                    self.news.notify_one();
                }
            }
            Happening::Placed { folder, .. } => {
                note(&format!("in {folder}"));
                *there += 1;
                let (ever, when) = match is_report {
                    true => (&mut site.reported, &mut mail.reported),
                    false => (&mut site.placed, &mut mail.placed),
                };
                *ever += u64::from(when.is_none());
                when.get_or_insert(now);
            }
            Happening::Removed { folder, .. } => {
                note(&format!("out of {folder}"));
                *there = there.saturating_sub(1);
            }
            Happening::Flagged { message, .. } => mail.is_marked = message.has_flag("\\Deleted"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which test mail is meant by a mail that lies in a mailbox.
struct Meant {
    token: String,
    target: String,
    is_report: bool,
}

impl Meant {
    /// What is meant by this mail, as whoever does not know the exporter's code would find it.
    fn by(mail: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(mail);
        let is_report = text.starts_with(site::REPORT);
        let mark = text.lines().find_map(|line| line.strip_prefix("X-Mailtrip: "))?;
        let value = |name: &str| {
            let (_, value) = mark.split_once(name)?;
            Some(value.split(';').next()?.trim().to_owned())
        };
        Some(Self { token: value("token=")?, target: value("target=")?, is_report })
    }
}

/// Enough of a token to tell it from others.
pub fn short(token: &str) -> &str {
    token.get(..8).unwrap_or(token)
}
