//! One look into the mailbox, by any protocol, and what is taken out after it.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::imap::NotRemoved;
use super::super::reader::{Scope, Visit};
use super::super::shared::Settings;
use super::super::{Disposition, Found, Since, Subscriber, subscribers};
use super::{LookOutcome, MailboxTask, only, recipients};
use ledger::{Failure, SessionKind, Step};
use mail::outer::{MARGIN, enforced};
use mail::trace::Trace;

/// How often in a row a removal may bring up more of ours before it waits for the next look.
const REMOVAL_ROUNDS: usize = 3;
/// How often a session is opened in one look where each breaks at another mail of somebody else, which the
/// next passes over.
const OPENINGS: usize = 3;

impl MailboxTask {
    /// A fresh session, and a look everywhere, `until` then.
    pub(super) async fn open(
        &mut self,
        settings: &Settings,
        trace: Trace,
        until: Instant,
        is_check: bool,
    ) -> LookOutcome {
        let (began, started) = (Instant::now(), self.started);
        let end = match settings.session_kind() {
            // It is given up after a period; what is under way then still has its time.
            SessionKind::Held => began + settings.period + settings.access.timeout,
            SessionKind::PerPoll => until,
        };
        let shared = Arc::clone(&self.shared);
        let since = || subscribers::since(&shared.schedule().subscribers, started);
        let visit = Visit { trace: &trace, end, since: &since, is_check };
        let mut judge = self.mail_judge();
        let mut openings = 0;
        let looked = loop {
            openings += 1;
            let opened = self.reader.open(&settings.access, &visit, &mut judge);
            let opened = enforced(until + MARGIN, opened).await;
            let opened = opened.unwrap_or_else(|| Err(trace.overrun(began.elapsed())));
            if opened.is_ok() || !self.learn_to_pass_over() || openings >= OPENINGS {
                break opened;
            }
        };
        trace.finish();
        LookOutcome::of(trace, looked)
    }

    /// A look over the session that is held.
    pub(super) async fn look_over_held(
        &mut self,
        subscribers: &[Arc<Subscriber>],
        trace: Trace,
        announced: Option<Instant>,
        until: Instant,
    ) -> LookOutcome {
        let began = Instant::now();
        let decides = recipients(subscribers)
            .any(|subscriber| subscriber.account.read(ledger::Ledger::is_look_due));
        let scope = if decides { Scope::Deciding } else { Scope::Newest };
        trace.clear();
        let mut judge = self.mail_judge();
        let since = self.since();
        let looked = self.reader.look(announced, scope, since, &mut judge);
        let looked = enforced(until + MARGIN, looked).await;
        let looked = looked.unwrap_or_else(|| Err(trace.overrun(began.elapsed())));
        trace.finish();
        self.learn_to_pass_over();
        LookOutcome::of(trace, looked)
    }

    /// Removes what the look has found. A held session whose server only refused is still good; one that is
    /// not held ends.
    pub(super) async fn remove(
        &mut self,
        settings: &Settings,
        subscribers: &[Arc<Subscriber>],
        trace: &Trace,
        is_check: bool,
    ) -> Option<Failure> {
        let began = Instant::now();
        let until = began + settings.longest_turn();
        let is_held = settings.session_kind() == SessionKind::Held;
        for _ in 0..REMOVAL_ROUNDS {
            if !self.reader.has_to_go_on(is_check) {
                break;
            }
            if self.reader.has_to_remove(is_check) {
                self.commit(settings).await;
            }
            if is_held {
                trace.clear();
            }
            let mut judge = self.mail_judge();
            let since = self.since();
            let removed = self.reader.remove(&self.inspector, is_check, since, &mut judge);
            let removed = enforced(until + MARGIN, removed).await;
            let removed = removed.unwrap_or_else(|| {
                let failure = trace.overrun(began.elapsed());
                let step = if is_held { failure.step } else { Step::Remove };
                Err(NotRemoved::Broken(Failure { step, ..failure }))
            });
            if removed.is_ok() || !is_held {
                trace.finish();
                let durations = trace.durations();
                for subscriber in recipients(subscribers) {
                    subscriber
                        .account
                        .update(|ledger, _| ledger.removed(&only(Step::Remove, &durations)));
                }
            }
            if let Err(not_removed) = removed {
                self.learn_to_pass_over();
                if let NotRemoved::Broken(failure) = &not_removed
                    && is_held
                {
                    self.back_off(settings, failure);
                }
                return Some(not_removed.into());
            }
        }
        None
    }

    /// Whether the newest session broke at a mail that the next passes over. One of ours it does not.
    fn learn_to_pass_over(&mut self) -> bool {
        let subscribers = Arc::clone(&self.shared.schedule().subscribers);
        self.reader.learn_to_pass_over(|header| {
            subscribers::claimant(&subscribers, header, |_| true).is_some()
        })
    }

    /// Tells the targets whose mails arrive here what else there is to know of the mailbox.
    pub(super) fn report_remarks(&mut self, subscribers: &[Arc<Subscriber>]) {
        let remarks = self.reader.take_remarks();
        for subscriber in recipients(subscribers) {
            let lacks = self.reader.lacks_junk_folder();
            subscriber.account.set_lacks_junk_folder(lacks);
            let hides_junk = subscriber.target.hides_junk(lacks);
            subscriber.account.update(|ledger, _| ledger.hides_junk(hides_junk));
            remarks.iter().for_each(|remark| subscriber.account.remark(remark));
        }
    }

    /// From when on mails matter to whoever subscribes now.
    fn since(&self) -> Since {
        subscribers::since(&self.shared.schedule().subscribers, self.started)
    }

    /// Decides about each mail on behalf of whoever subscribes to the mailbox when it is read: a target may
    /// have joined since the look began, and a mail is read once.
    fn mail_judge(&self) -> impl FnMut(&Found) -> Disposition + Send + use<> {
        let shared = Arc::clone(&self.shared);
        let (clock, inspector) = (Arc::clone(&self.clock), Arc::clone(&self.inspector));
        let watch = self.watch;
        move |found| {
            let subscribers = Arc::clone(&shared.schedule().subscribers);
            subscribers::judge_mail(&subscribers, found, &clock, &inspector, watch)
        }
    }
}
