//! Reading an account: the newest mails at the first contact, what has changed since, and what a server did not show.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::memory::{Memory, found};
use super::{Session, Viewing};
use crate::clock::on_time_line;
use crate::probing::mailbox::backlog::{Kind, Unread};
use crate::probing::mailbox::{CLOCK_SLACK, FIRST_CONTACT_HEADERS, Judge, Since};
use ledger::Failure;
use mail::bounce::DsnReport;
use mail::jmap::{Changes, Email, EmailId};
use mail::test_mail::Header;
use mail::{Interrupted, Refusal, RefusalScope};

/// How many batches of changes are read in one look.
const ROUNDS: usize = 20;
/// How often a mail is asked for that the server does not show, or refuses to.
pub(super) const READ_TRIES: u32 = 3;
/// The least time between two of these.
pub(super) const BETWEEN_TRIES: Duration = Duration::from_secs(60);

/// What has changed, and how it was learned.
enum Learned {
    /// With the mails.
    Shown(Changes),
    /// Without the mails, which the server did not give.
    Named(Changes),
    /// The same, as a session has ended when they were asked for.
    Broke(Changes),
}

impl Session {
    /// The first contact: the newest mails, as far back as mail of ours or a left-over may lie. Gives the state that
    /// this is, and whether that were all.
    async fn read_newest(
        &mut self,
        memory: &mut Memory,
        since: Since,
        judge: &mut Judge<'_>,
    ) -> Result<(String, bool), Failure> {
        let ids = self.places.ids();
        let (state, newest) = self.jmap.newest(ids, oldest(since), FIRST_CONTACT_HEADERS).await?;
        let viewing = self.viewing(memory);
        let is_all = newest.len() < FIRST_CONTACT_HEADERS;
        let newest: Vec<EmailId> =
            newest.into_iter().filter(|id| memory.is_to_be_read(id)).collect();
        self.read(memory, &newest, Some(viewing), judge).await?;
        Ok((state, is_all))
    }

    /// The same where nothing is known of the account.
    pub(super) async fn meet(
        &mut self,
        memory: &mut Memory,
        since: Since,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        let (state, _) = self.read_newest(memory, since, judge).await?;
        memory.state = Some(state);
        Ok(())
    }

    /// What has changed since this state, and if the server cannot tell any more, the newest mails. `told` is the
    /// state of which the server has told by itself, and when. Gives whether that was all.
    pub(super) async fn read_changes(
        &mut self,
        memory: &mut Memory,
        mut state: String,
        mut told: Option<(String, Instant)>,
        since: Since,
        judge: &mut Judge<'_>,
    ) -> Result<bool, Failure> {
        for _ in 0..ROUNDS {
            let Some(learned) = self.learn_changes(memory, &state).await? else {
                memory.state = None;
                self.meet(memory, since, judge).await?;
                return Ok(true);
            };
            let (Learned::Shown(changes) | Learned::Named(changes) | Learned::Broke(changes)) =
                &learned;
            memory.forget(&changes.destroyed);
            let viewing = self.viewing_of(memory, changes, told.take());
            self.take_changes(memory, &learned, since, viewing, judge).await?;
            let is_stuck = changes.has_more && changes.state == state;
            memory.state = Some(changes.state.clone());
            if self.meet_unlisted(memory, since, judge).await? {
                return Ok(true);
            }
            if !changes.has_more {
                return Ok(true);
            }
            if is_stuck {
                break;
            }
            state.clone_from(&changes.state);
        }
        // Somebody changes a whole mailbox: what has come meanwhile must not wait for the end of that.
        let (state, is_all) = self.read_newest(memory, since, judge).await?;
        if is_all {
            memory.state = Some(state);
        }
        Ok(is_all)
    }

    /// Asks what has changed, for the mails as well if the session has not ended with that the last time; `None`
    /// where the server cannot tell.
    async fn learn_changes(
        &mut self,
        memory: &mut Memory,
        state: &str,
    ) -> Result<Option<Learned>, Failure> {
        let has_broken = std::mem::replace(&mut memory.is_asking, true);
        if !has_broken {
            match self.jmap.changes(state).await {
                Ok(changes) => {
                    memory.is_asking = false;
                    return Ok(changes.map(Learned::Shown));
                }
                Err(Interrupted::Refused(refusal)) => {
                    memory.is_asking = false;
                    if !may_be_of_a_mail(&refusal) {
                        return Err(refusal.failure);
                    }
                }
                Err(broken) => return Err(broken.into()),
            }
        }
        let changes = match self.jmap.changed_ids(state).await {
            Err(refusal) if refusal.is_of_the_request() => None,
            changes => changes?,
        };
        memory.is_asking = false;
        let learned = if has_broken { Learned::Broke } else { Learned::Named };
        Ok(changes.map(learned))
    }

    async fn take_changes(
        &mut self,
        memory: &mut Memory,
        learned: &Learned,
        since: Since,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        let named = |changes: &Changes| -> Vec<EmailId> {
            let all = changes.created.iter().chain(&changes.updated);
            all.filter(|id| memory.is_to_be_read(id)).cloned().collect()
        };
        let wanted = match learned {
            Learned::Named(changes) => named(changes),
            Learned::Broke(changes) => {
                let named = named(changes);
                for id in &named {
                    let before = viewing.previous_look;
                    memory.set_unread(id, Unread { before, breaks: true, ..Unread::default() });
                }
                // Those that are known are no reason.
                named.into_iter().filter(|id| memory.is_to_be_read(id)).collect()
            }
            Learned::Shown(changes) => {
                self.take_in(memory, &changes.created, &changes.emails, viewing, judge);
                self.wanted_of(memory, changes, since, viewing)
            }
        };
        self.read(memory, &wanted, Some(viewing), judge).await
    }

    /// Of the mails that have changed those that are to be read. Most have got another flag, and are known, or older
    /// than what matters.
    fn wanted_of(
        &mut self,
        memory: &mut Memory,
        changes: &Changes,
        since: Since,
        viewing: Viewing,
    ) -> Vec<EmailId> {
        let mut missing: BTreeSet<&EmailId> = changes.updated.iter().collect();
        let mut wanted = Vec::new();
        for email in changes.places.iter().filter(|email| !email.mailboxes.is_empty()) {
            missing.remove(&email.id);
            self.note_unlisted(&email.mailboxes);
            let Some(place) = self.places.of(&email.mailboxes) else { continue };
            let received = email.received_at.zip(oldest(since));
            let is_old = received.is_some_and(|(received, oldest)| received < oldest);
            if !is_old && memory.is_to_be_read(&email.id) && memory.is_news(&email.id, place) {
                wanted.push(email.id.clone());
            }
        }
        memory.note_unread(missing.into_iter(), viewing);
        wanted
    }

    /// Asks for these, and has those judged that lie where is looked. Each counts as not shown before it is asked for:
    /// the session may end with it. `viewing` is the look that named them; `None`: they are seen now.
    pub(super) async fn read(
        &mut self,
        memory: &mut Memory,
        ids: &[EmailId],
        viewing: Option<Viewing>,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        for batch in ids.chunks(self.jmap.batch().max(1)) {
            if batch.len() == 1 {
                self.read_each(memory, batch, viewing, judge).await?;
                continue;
            }
            memory.begin_to_ask(batch);
            match self.jmap.emails(batch).await {
                Ok(emails) => {
                    let viewing = viewing.unwrap_or_else(|| self.viewing(memory));
                    self.take_in(memory, batch, &emails, viewing, judge);
                }
                Err(Interrupted::Refused(refusal)) if may_be_of_a_mail(&refusal) => {
                    memory.end_asking(batch);
                    self.read_each(memory, batch, viewing, judge).await?;
                }
                Err(interrupted) => return Err(interrupted.into()),
            }
        }
        Ok(())
    }

    /// The same, each by itself: a single mail that the server does not show must not hide the others.
    pub(super) async fn read_each(
        &mut self,
        memory: &mut Memory,
        ids: &[EmailId],
        viewing: Option<Viewing>,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        let mut has_paused = false;
        for id in ids {
            let before = memory.begin_to_ask_alone(id);
            match self.jmap.emails(std::slice::from_ref(id)).await {
                Ok(emails) => {
                    memory.restore_unread(id, before);
                    let viewing = viewing.unwrap_or_else(|| self.viewing(memory));
                    self.take_in(memory, std::slice::from_ref(id), &emails, viewing, judge);
                    has_paused = false;
                }
                Err(Interrupted::Refused(refusal)) if may_be_of_a_mail(&refusal) => {
                    memory.restore_unread(id, before);
                    let is_passing = refusal.scope == RefusalScope::Passing;
                    self.refusal = Some(Interrupted::Refused(refusal));
                    // Twice in a row it is no matter of these mails: the others are asked for later.
                    if std::mem::replace(&mut has_paused, is_passing) && is_passing {
                        break;
                    }
                }
                Err(interrupted) => return Err(interrupted.into()),
            }
        }
        Ok(())
    }

    /// Has all of these judged that lie where is looked, and notes which of those asked for were not shown.
    fn take_in(
        &mut self,
        memory: &mut Memory,
        asked: &[EmailId],
        emails: &[Email],
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) {
        let mut missing: BTreeSet<&EmailId> = asked.iter().collect();
        // Each mail lies in one mailbox at least (RFC 8621 section 4.1.1).
        for email in emails.iter().filter(|email| !email.mailboxes.is_empty()) {
            missing.remove(&email.id);
            self.note_unlisted(&email.mailboxes);
            (self.has_shown, memory.has_shown) = (true, true);
            let unread = memory.take_unread(&email.id);
            let Some(place) = self.places.of(&email.mailboxes) else { continue };
            if memory.is_news(&email.id, place) {
                let previous_look = unread.map_or(viewing.previous_look, |unread| unread.before);
                memory.judge(email, place, Viewing { previous_look, ..viewing }, judge);
            }
        }
        memory.note_unread(missing.into_iter(), viewing);
    }

    /// What the server told of by itself was there when it said so; what came after it shows by another state.
    fn viewing_of(
        &self,
        memory: &Memory,
        changes: &Changes,
        told: Option<(String, Instant)>,
    ) -> Viewing {
        let viewing = self.viewing(memory);
        match told.filter(|(state, _)| *state == changes.state) {
            Some((_, at)) => {
                let said = at.checked_sub(viewing.network).unwrap_or(at);
                let (asked_at, shown_at) = (on_time_line(said), on_time_line(at));
                Viewing { asked_at, shown_at, ..viewing }
            }
            None => viewing,
        }
    }

    /// Reads some of the reports that may be about mails of ours, the oldest first, and has them judged. One that
    /// the server does not show is given up after three tries: it stays where it is.
    pub(super) async fn read_reports(
        &mut self,
        memory: &mut Memory,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        let now = on_time_line(Instant::now());
        for (id, pending) in memory.backlog.reports_to_read(now) {
            memory.backlog.try_report(id.clone(), pending, now, READ_TRIES);
            let emails = match self.jmap.emails(std::slice::from_ref(&id)).await {
                Err(Interrupted::Refused(_)) => continue,
                emails => emails?,
            };
            let Some(email) = emails.first() else { continue };
            let beginning = match self.jmap.beginning(&email.blob_id).await {
                Err(Interrupted::Refused(_)) => continue,
                beginning => beginning?,
            };
            memory.backlog.remove_if(id.clone(), Kind::Report);
            // Of a mail that cannot be read its header is known all the same.
            let beginning = beginning.unwrap_or_else(|| email.block.clone());
            let Some(place) = self.places.of(&email.mailboxes) else { continue };
            let viewing = Viewing { previous_look: pending.before, ..self.viewing(memory) };
            let mut found = found(place, viewing, pending.server_date);
            found.report = DsnReport::parse(&beginning);
            if found.report.is_none() {
                // It may be an answer to a mail of ours.
                found.header = Header::parse(&beginning).of_no_report();
            }
            let disposition = judge(&found);
            memory.apply(&id, disposition, &found);
        }
        Ok(())
    }
}

/// Since when mails matter, by the date of the server.
fn oldest(since: Since) -> Option<SystemTime> {
    since.left_overs.checked_sub(CLOCK_SLACK)
}

/// Whether a single mail may be the reason: a server that dies at one is not there for a while.
fn may_be_of_a_mail(refusal: &Refusal) -> bool {
    matches!(refusal.scope, RefusalScope::Request | RefusalScope::Passing)
}
