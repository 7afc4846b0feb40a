//! What really happened to the mails of each site, as its servers saw it. The exporter knows nothing of it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use testserver::Happening;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::site::Site;
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
        for (number, site) in sites.iter().enumerate() {
            let observer = truth.clone();
            site.post.observe(move |happening| observer.see(number, happening));
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

    /// Forgets mails of which nothing is left and that are older than this.
    pub fn forget(&self, older_than: Duration) {
        let now = self.clock.age();
        for site in &mut self.state().sites {
            site.mails.retain(|_, mail| {
                mail.present > 0 || now.saturating_sub(mail.accepted) < older_than
            });
        }
    }

    fn see(&self, number: usize, happening: Happening) {
        let now = self.clock.age();
        let mut state = self.state();
        let State { sites, held, wrong } = &mut *state;
        let Some(site) = sites.get_mut(number) else { return };
        (std::mem::discriminant(&happening), now).hash(&mut site.times);
        match happening {
            Happening::Accepted { user, number: mail, is_held, bytes } => {
                let token = token(&bytes).unwrap_or_else(|| format!("none-{mail}"));
                self.trace.note(&format!("{user}: accepted {}", short(&token)));
                site.accepted += 1;
                site.mails.insert(token.clone(), Mail { accepted: now, ..Mail::default() });
                if is_held {
                    held.push(Held { site: number, number: mail, token });
                    self.news.notify_one();
                }
            }
            Happening::Placed { user, folder, message } => {
                let Some(token) = token(&message.bytes) else { return };
                self.trace.note(&format!("{user}: in {folder} {}", short(&token)));
                let mail = site.mails.entry(token).or_default();
                site.placed += u64::from(mail.placed.is_none());
                mail.placed.get_or_insert(now);
                mail.present += 1;
            }
            Happening::Removed { user, folder, message } => match token(&message.bytes) {
                Some(token) => {
                    self.trace.note(&format!("{user}: out of {folder} {}", short(&token)));
                    let mail = site.mails.entry(token).or_default();
                    mail.present = mail.present.saturating_sub(1);
                }
                None => *wrong = Some(format!("{user}: a mail of somebody else was removed")),
            },
            Happening::Flagged { user, message, .. } => {
                if token(&message.bytes).is_none() {
                    *wrong = Some(format!("{user}: a mail of somebody else was changed"));
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token in the header of a test mail, as whoever does not know our code would find it.
fn token(mail: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(mail);
    let mark = text.lines().find_map(|line| line.strip_prefix("X-Mailtrip: "))?;
    let (_, token) = mark.split_once("token=")?;
    Some(token.chars().take_while(char::is_ascii_hexdigit).collect())
}

/// Enough of a token to tell it from others.
pub fn short(token: &str) -> &str {
    token.get(..8).unwrap_or(token)
}
