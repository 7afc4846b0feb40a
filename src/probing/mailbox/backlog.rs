//! The mails of a folder or maildrop with which something is still to be done, or was done lately: each is
//! in exactly one state. How many there may be of a kind is up to those who set it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use ledger::LineInstant;
use ledger::Token;
use mail::test_mail::Header;

/// How many reports are read in one look into a folder.
const REPORTS: usize = 20;
/// The least time between two tries with one of them.
const BETWEEN_TRIES: Duration = Duration::from_secs(60);

/// The mails by what names them to the server: an IMAP UID, or a POP3 unique id.
#[derive(Debug)]
pub(super) struct Backlog<Id> {
    mails: BTreeMap<Id, BacklogState>,
    /// How many there are of each kind.
    counts: [usize; KINDS],
}

/// What is to be done with one of them.
#[derive(Debug, Clone)]
pub(super) enum BacklogState {
    /// Its header was asked for and not shown: to be asked for again.
    Unread(Box<Unread>),
    /// A report that may be about a mail of ours: to be read.
    Report(Box<PendingReport>),
    /// A probe that nobody here waits for, to be removed from this time on.
    LeftOver(SystemTime),
    /// To be removed once its header was read again: a left-over whose time has come, or ours of an
    /// earlier process.
    ToConfirm(Confirmation),
    /// The same, from this time on: it was not shown when it was last asked for.
    PutOff(Confirmation, SystemTime),
    /// Ours, to be removed.
    ToRemove(Removal),
    /// Ours, marked as deleted: it goes once nobody else's mail is marked as well.
    Marked(Removal),
    /// Ours, removed as the server said.
    Expunged(Removal),
    /// Somebody else's, at which a session broke: it is not asked for again.
    Broken,
}

/// The states by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Unread,
    Report,
    LeftOver,
    ToConfirm,
    PutOff,
    ToRemove,
    Marked,
    Expunged,
    Broken,
}

/// How many kinds there are.
const KINDS: usize = Kind::Broken as usize + 1;

/// A mail whose header the server did not show.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Unread {
    /// How often that was so while it showed others, once a minute at most.
    pub(super) tries: u32,
    /// When it last was.
    pub(super) last: Option<LineInstant>,
    /// When it was last asked for.
    pub(super) asked: Option<LineInstant>,
    /// When the newest look was asked for that did not have the mail.
    pub(super) before: Option<LineInstant>,
    /// What had been removed under its UID before, as the server said.
    pub(super) removed: Option<Removal>,
    /// Whether the session ended when it was asked for (JMAP).
    pub(super) breaks: bool,
}

impl Unread {
    /// Notes that it was not shown while others were, once a minute at most. Whether it is tried no more.
    pub(super) fn has_failed(&mut self, now: LineInstant, most_tries: u32) -> bool {
        let is_soon = |last: LineInstant| now.saturating_duration_since(last) < BETWEEN_TRIES;
        if self.last.is_some_and(is_soon) {
            return false;
        }
        (self.tries, self.last) = (self.tries + 1, Some(now));
        self.tries >= most_tries
    }
}

/// A report that was not read yet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PendingReport {
    /// The server's date.
    pub(super) server_date: Option<SystemTime>,
    /// How often it was asked for.
    pub(super) tries: u32,
    /// When it last was.
    pub(super) asked: Option<LineInstant>,
    /// When the newest look was asked for that did not have the mail.
    pub(super) before: Option<LineInstant>,
}

/// A mail whose header is to be read again.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Confirmation {
    /// What it must carry; `None`: it must be a test mail of anybody, or a report about one.
    pub(super) token: Option<Token>,
    /// Whether it is enough that it answers the mail with this token.
    pub(super) is_answer: bool,
    /// How often it was asked for.
    pub(super) tries: u32,
}

impl Confirmation {
    /// Of a mail that was to be removed so.
    pub(super) fn of(removal: Removal) -> Self {
        let Removal { token, is_answer, .. } = removal;
        Self { token, is_answer, tries: 0 }
    }

    /// What is to follow it.
    pub(super) fn removal(self) -> Removal {
        Removal { is_answer: self.is_answer, ..Removal::of(self.token) }
    }
}

/// The removal of one mail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Removal {
    /// By what the mail is known again; `None`: by being a test mail, or a report about one.
    pub(super) token: Option<Token>,
    /// Whether it was taken for naming the mail with this token as what it answers.
    pub(super) is_answer: bool,
    /// How often the server said that it is removed.
    pub(super) times: u32,
    /// Whether its whole header is to be read before.
    pub(super) inspects: bool,
    /// Whether a session broke at it: it is removed, and not read again.
    pub(super) is_broken: bool,
    /// How often the server has refused to remove it (JMAP).
    pub(super) refused: u32,
}

impl Removal {
    /// Of a mail that carries this, or of one that anybody may remove.
    pub(super) fn of(token: Option<Token>) -> Self {
        Self { token, ..Self::default() }
    }

    /// In the store: its token, with a plus behind it if it is an answer; `None`: it has none.
    pub(super) fn word(self) -> Option<String> {
        let mark = if self.is_answer { ANSWER } else { "" };
        self.token.map(|token| format!("{token}{mark}"))
    }

    /// What [`Self::word`] has written.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        let plain = word.strip_suffix(ANSWER);
        let token = plain.unwrap_or(word).parse().ok()?;
        Some(Self { is_answer: plain.is_some(), ..Self::of(Some(token)) })
    }

    /// Whether this header has the token that the mail must have.
    pub(super) fn is_named_in(self, header: &Header) -> bool {
        let is_named =
            |token| if self.is_answer { header.names(token) } else { header.carries(token) };
        self.token.is_some_and(is_named)
    }
}

/// What stands behind the token of an answer.
const ANSWER: &str = "+";

impl BacklogState {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Unread(_) => Kind::Unread,
            Self::Report(_) => Kind::Report,
            Self::LeftOver(_) => Kind::LeftOver,
            Self::ToConfirm(_) => Kind::ToConfirm,
            Self::PutOff(..) => Kind::PutOff,
            Self::ToRemove(_) => Kind::ToRemove,
            Self::Marked(_) => Kind::Marked,
            Self::Expunged(_) => Kind::Expunged,
            Self::Broken => Kind::Broken,
        }
    }

    /// The removal of a mail of ours that is still there.
    pub(super) fn lying(&self) -> Option<Removal> {
        match self {
            Self::ToRemove(removal) | Self::Marked(removal) => Some(*removal),
            Self::ToConfirm(confirmation) | Self::PutOff(confirmation, _) => {
                Some(confirmation.removal())
            }
            _ => None,
        }
    }

    /// What was removed under this UID, as the server said.
    pub(super) fn gone(&self) -> Option<Removal> {
        match self {
            Self::Expunged(removal) => Some(*removal),
            Self::ToRemove(removal) | Self::Marked(removal) if removal.times > 0 => Some(*removal),
            Self::Unread(unread) => unread.removed,
            _ => None,
        }
    }

    /// Whether it was read and is not to be read once more.
    pub(super) fn is_read(&self) -> bool {
        !matches!(self.kind(), Kind::Unread | Kind::Expunged | Kind::Broken)
    }

    /// Whether a session broke at it.
    pub(super) fn is_broken(&self) -> bool {
        match self {
            Self::Broken => true,
            Self::ToRemove(removal) | Self::Marked(removal) => removal.is_broken,
            _ => false,
        }
    }
}

impl<Id: Ord> Default for Backlog<Id> {
    fn default() -> Self {
        Self { mails: BTreeMap::new(), counts: [0; KINDS] }
    }
}

impl<Id: Ord + Clone> Backlog<Id> {
    /// The state of a mail; `None`: there is nothing to do with it.
    pub(super) fn get(&self, id: Id) -> Option<&BacklogState> {
        self.mails.get(&id)
    }

    /// The kind of this state.
    pub(super) fn kind(&self, id: Id) -> Option<Kind> {
        self.get(id).map(BacklogState::kind)
    }

    /// The mail is in this state from now on; gives that before.
    pub(super) fn set(&mut self, id: Id, state: BacklogState) -> Option<BacklogState> {
        self.count(state.kind(), 1);
        let before = self.mails.insert(id, state);
        self.uncount(before.as_ref());
        before
    }

    /// There is nothing to do with the mail any more; gives the state before.
    pub(super) fn remove(&mut self, id: Id) -> Option<BacklogState> {
        let before = self.mails.remove(&id);
        self.uncount(before.as_ref());
        before
    }

    /// The same if the mail is in a state of this kind.
    pub(super) fn remove_if(&mut self, id: Id, kind: Kind) -> Option<BacklogState> {
        if self.kind(id.clone()) == Some(kind) { self.remove(id) } else { None }
    }

    /// How many there are of this kind.
    pub(super) fn len(&self, kind: Kind) -> usize {
        self.counts.get(kind as usize).copied().unwrap_or_default()
    }

    /// Whether there is any of this kind.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.len(kind) > 0
    }

    /// All of them, by their ids.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (Id, &BacklogState)> {
        self.mails.iter().map(|(id, state)| (id.clone(), state))
    }

    /// The ids of a kind, the lowest first.
    pub(super) fn ids(&self, kind: Kind) -> impl DoubleEndedIterator<Item = Id> {
        self.iter().filter(move |(_, state)| state.kind() == kind).map(|(id, _)| id)
    }

    /// Probes that nobody waits for, and from when on they may be removed.
    pub(super) fn left_overs(&self) -> impl Iterator<Item = (Id, SystemTime)> {
        self.iter().filter_map(|(id, state)| match state {
            BacklogState::LeftOver(due) => Some((id, *due)),
            _ => None,
        })
    }

    /// The lowest id of a kind.
    pub(super) fn first(&self, kind: Kind) -> Option<Id> {
        if self.has(kind) { self.ids(kind).next() } else { None }
    }

    /// Some of the reports, the oldest first, as far as it is time to ask for them.
    pub(super) fn reports_to_read(&self, now: LineInstant) -> Vec<(Id, PendingReport)> {
        if !self.has(Kind::Report) {
            return Vec::new();
        }
        let is_soon = |at: LineInstant| now.saturating_duration_since(at) < BETWEEN_TRIES;
        let due = self.iter().filter_map(|(id, state)| match state {
            BacklogState::Report(report) if !report.asked.is_some_and(is_soon) => {
                Some((id, **report))
            }
            _ => None,
        });
        due.take(REPORTS).collect()
    }

    /// A report is about to be asked for. It is counted before, as the session may end with it, and is not asked for
    /// any more after `most_tries`.
    pub(super) fn try_report(
        &mut self,
        id: Id,
        pending: PendingReport,
        now: LineInstant,
        most_tries: u32,
    ) {
        self.remove_if(id.clone(), Kind::Report);
        let tries = pending.tries + 1;
        if tries < most_tries {
            let pending = PendingReport { tries, asked: Some(now), ..pending };
            self.set(id, BacklogState::Report(Box::new(pending)));
        }
    }

    /// Of this kind only those with the highest ids stay, this many at most.
    pub(super) fn keep_highest(&mut self, kind: Kind, most: usize) {
        let excess = self.len(kind).saturating_sub(most);
        let lowest: Vec<Id> = self.ids(kind).take(excess).collect();
        for id in lowest {
            self.remove(id);
        }
    }

    /// What is known of a mail that was not shown.
    pub(super) fn unread_mut(&mut self, id: Id) -> Option<&mut Unread> {
        match self.mails.get_mut(&id) {
            Some(BacklogState::Unread(unread)) => Some(unread),
            _ => None,
        }
    }

    /// The removal of a mail that is still there.
    pub(super) fn removal_mut(&mut self, id: Id) -> Option<&mut Removal> {
        match self.mails.get_mut(&id) {
            Some(BacklogState::ToRemove(removal) | BacklogState::Marked(removal)) => Some(removal),
            _ => None,
        }
    }

    fn count(&mut self, kind: Kind, by: usize) {
        if let Some(count) = self.counts.get_mut(kind as usize) {
            *count += by;
        }
    }

    fn uncount(&mut self, state: Option<&BacklogState>) {
        if let Some(count) = state.and_then(|state| self.counts.get_mut(state.kind() as usize)) {
            *count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mail_is_in_one_state_and_counted_once() {
        let mut backlog = Backlog::default();
        let now = SystemTime::now();
        for uid in 1..=5_u32 {
            assert!(backlog.set(uid, BacklogState::LeftOver(now)).is_none());
        }
        backlog.set(2, BacklogState::ToConfirm(Confirmation::default()));
        backlog.set(2, BacklogState::ToRemove(Removal::default()));
        backlog.remove(5);
        backlog.remove(1);
        assert!(backlog.remove_if(4, Kind::ToRemove).is_none());
        let counts = |backlog: &Backlog<u32>| {
            [Kind::LeftOver, Kind::ToConfirm, Kind::ToRemove].map(|kind| backlog.len(kind))
        };
        assert_eq!(counts(&backlog), [2, 0, 1]);
        backlog.keep_highest(Kind::LeftOver, 1);
        assert_eq!((counts(&backlog), backlog.first(Kind::LeftOver)), ([1, 0, 1], Some(4)));
    }

    #[test]
    fn a_mail_takes_little_room() {
        assert!(size_of::<BacklogState>() <= 64);
    }

    #[test]
    fn a_reply_is_what_is_to_be_removed_only_where_an_answer_was_taken() {
        let token = Token::random();
        let reply =
            format!("From: a@b.example\r\nIn-Reply-To: <{token}.mailtrip@b.example>\r\n\r\n");
        let reply = Header::parse(reply.as_bytes());
        let removal = Removal::of(Some(token));
        assert!(!removal.is_named_in(&reply), "its id was given to somebody's reply");
        let answer = Removal { is_answer: true, ..removal };
        assert!(answer.is_named_in(&reply));
        for removal in [removal, answer] {
            assert_eq!(Removal::from_word(&removal.word().unwrap()), Some(removal));
            let kept = Confirmation::of(removal).removal();
            assert_eq!(kept, removal, "until it is confirmed");
        }
    }
}
