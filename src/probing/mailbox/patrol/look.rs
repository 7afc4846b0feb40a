//! One look into the mailbox, by either protocol, and what is taken out after it.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::imap::NotRemoved;
use super::super::watch::Settings;
use super::super::{Found, Judgement, Member, imap, members, pop3};
use super::check::judged;
use super::{Outcome, Patrol, only, recipients};
use crate::clock::for_timer;
use ledger::{Failure, Step};
use mail::outer::{MARGIN, enforced};
use mail::trace::Trace;
use mail::wire::Dialer;

/// How often in a row a removal may bring up more of ours before it waits for the next look.
const REMOVAL_ROUNDS: usize = 3;
/// How often a session is opened in one look where each breaks at another mail of somebody else, which the
/// next passes over.
const OPENINGS: usize = 3;

impl Patrol {
    /// A fresh IMAP session, and a look into every folder, `until` then.
    pub(super) async fn open_imap(
        &mut self,
        settings: &Settings,
        members: &[Arc<Member>],
        trace: Trace,
        until: Instant,
    ) -> Outcome {
        let began = Instant::now();
        // The session is given up after a period; what is under way then still has its time.
        let end = Instant::now() + settings.period + settings.timeout;
        let folders = settings.folders.as_deref().unwrap_or_default();
        let since = members::since(members, self.started);
        let mut judge = self.judge(members);
        let mut asked = None;
        let mut result = Ok(());
        for _ in 0..OPENINGS {
            let opened = async {
                let mut session = imap::Session::open(
                    &settings.dialer,
                    &settings.login,
                    folders,
                    &settings.copy_folders,
                    trace.clone(),
                    end,
                )
                .await?;
                asked = Some(Instant::now());
                session.look_everywhere(&mut self.imap, since, &mut judge).await?;
                Ok(session)
            };
            let opened = enforced(until + MARGIN, opened).await;
            let opened = opened.unwrap_or_else(|| Err(trace.overrun(began.elapsed())));
            result = opened.map(|session| self.session = Some(session));
            if result.is_ok() || !self.learn_to_pass_over(members) {
                break;
            }
        }
        trace.finish();
        Outcome { trace, asked, asked_everywhere: asked, result, removal_failure: None }
    }

    pub(super) async fn look_imap(
        &mut self,
        members: &[Arc<Member>],
        told: Option<Instant>,
        until: Instant,
    ) -> Outcome {
        let Some(mut session) = self.session.take() else {
            return Outcome {
                trace: Trace::new(None),
                asked: None,
                asked_everywhere: None,
                result: Ok(()),
                removal_failure: None,
            };
        };
        let began = Instant::now();
        let asked = Some(told.unwrap_or(began));
        let decides = recipients(members).any(|member| member.account.is_look_due());
        let trace = session.trace().clone();
        trace.clear();
        let mut judge = self.judge(members);
        let since = members::since(members, self.started);
        let looked = session.look(&mut self.imap, told, decides, since, &mut judge);
        let result = enforced(until + MARGIN, looked).await;
        let result = result.unwrap_or_else(|| Err(trace.overrun(began.elapsed())));
        trace.finish();
        if result.is_ok() {
            self.session = Some(session);
        }
        self.learn_to_pass_over(members);
        let asked_everywhere = result.as_ref().ok().copied().flatten();
        let result = result.map(drop);
        Outcome { trace, asked, asked_everywhere, result, removal_failure: None }
    }

    /// Takes out what the look has found. A session whose server only refused is still good.
    pub(super) async fn remove_imap(
        &mut self,
        settings: &Settings,
        members: &[Arc<Member>],
        is_check: bool,
    ) -> Option<Failure> {
        let mut session = self.session.take()?;
        let (began, trace) = (Instant::now(), session.trace().clone());
        let until = began + settings.longest_turn();
        for _ in 0..REMOVAL_ROUNDS {
            if !session.has_to_remove(&self.imap, is_check) {
                break;
            }
            self.commit(settings).await;
            session.trace().clear();
            let mut judge = self.judge(members);
            let since = members::since(members, self.started);
            let removed =
                session.remove(&mut self.imap, &self.inspector, is_check, since, &mut judge);
            let removed = enforced(until + MARGIN, removed).await;
            let removed = removed.unwrap_or_else(|| Err(trace.overrun(began.elapsed()).into()));
            if let Err(not_removed) = removed {
                self.learn_to_pass_over(members);
                match &not_removed {
                    NotRemoved::Refused(_) => self.session = Some(session),
                    NotRemoved::Broken(failure) => self.back_off(settings, failure),
                }
                return Some(not_removed.into());
            }
            session.trace().finish();
            let durations = session.trace().durations();
            for member in recipients(members) {
                member.account.removed(&only(Step::Remove, &durations));
            }
        }
        self.session = Some(session);
        None
    }

    /// One POP3 session for a look.
    pub(super) async fn look_pop3(
        &mut self,
        settings: &Settings,
        members: &[Arc<Member>],
        until: Instant,
    ) -> Outcome {
        let prepared = self.preparation.take();
        let trace = prepared
            .as_ref()
            .map_or_else(|| Trace::new(Some(&settings.login)), |prepared| prepared.trace().clone());
        let way = Way { dialer: settings.dialer.resuming(), prepared, is_check: false };
        let opened = self.open_pop3(settings, members, way, &trace, until).await;
        match opened {
            Ok(session) => self.remove_pop3(settings, members, session, trace).await,
            Err(failure) => Outcome::failed(trace, failure),
        }
    }

    /// The same for a check, which is reported before anything is taken out.
    pub(super) async fn check_pop3(
        &mut self,
        settings: &Settings,
        members: &[Arc<Member>],
        trace: Trace,
        until: Instant,
        slot: Instant,
    ) -> Outcome {
        let way = Way { dialer: settings.dialer.clone(), prepared: None, is_check: true };
        let opened = self.open_pop3(settings, members, way, &trace, until).await;
        let opened = judged(settings, members, opened, until).await;
        self.report_check(members, &trace, opened.as_ref().err(), slot);
        match opened {
            Ok(session) => self.remove_pop3(settings, members, session, trace).await,
            Err(failure) => Outcome::failed(trace, failure),
        }
    }

    /// Logs in and reads what is new.
    async fn open_pop3(
        &mut self,
        settings: &Settings,
        members: &[Arc<Member>],
        Way { dialer, prepared, is_check }: Way,
        trace: &Trace,
        until: Instant,
    ) -> Result<pop3::Session, Failure> {
        let (began, started) = (Instant::now(), self.started);
        let mut judge = self.judge(members);
        let busy_until = began + settings.timeout;
        let opened = async {
            let login = &settings.login;
            let pop3 = pop3::log_in(&dialer, login, prepared, trace, until, busy_until).await?;
            let since = &|| members::since(members, started);
            pop3::Session::look(pop3, &mut self.pop3, since, is_check, &mut judge).await
        };
        let opened = enforced(until + MARGIN, opened).await;
        let opened = opened.unwrap_or_else(|| Err(trace.overrun(began.elapsed())));
        trace.finish();
        opened
    }

    /// Takes out what the session has found, and ends it.
    async fn remove_pop3(
        &mut self,
        settings: &Settings,
        members: &[Arc<Member>],
        session: pop3::Session,
        trace: Trace,
    ) -> Outcome {
        if self.pop3.has_to_remove() {
            self.commit(settings).await;
        }
        let began = Instant::now();
        let until = began + settings.longest_turn();
        let closed = enforced(until + MARGIN, session.remove_and_close(&mut self.pop3)).await;
        let removal_failure = match closed {
            Some(looked) => looked.removal_failure,
            None => Some(Failure { step: Step::Remove, ..trace.overrun(began.elapsed()) }),
        };
        trace.finish();
        let durations = trace.durations();
        for member in recipients(members) {
            member.account.removed(&only(Step::Remove, &durations));
        }
        let asked = self.pop3.looked_at().map(for_timer);
        Outcome { trace, asked, asked_everywhere: asked, result: Ok(()), removal_failure }
    }

    /// Whether the newest session broke at a mail that the next passes over. One of ours it does not.
    fn learn_to_pass_over(&mut self, members: &[Arc<Member>]) -> bool {
        self.imap.learn_to_pass_over(|token| {
            let owner = members.iter().find(|member| member.account.is_live(token));
            owner.map(|member| member.target.from.clone())
        })
    }

    /// Tells the targets whose mails arrive here what else there is to know of the mailbox.
    pub(super) fn tell_remarks(&mut self, members: &[Arc<Member>]) {
        let remarks = self.imap.take_remarks();
        for member in recipients(members) {
            member.account.set_lacks_junk_folder(self.imap.lacks_junk_folder());
            remarks.iter().for_each(|remark| member.account.remark(remark));
        }
    }

    pub(super) fn judge(
        &self,
        members: &[Arc<Member>],
    ) -> impl FnMut(&Found) -> Judgement + Send + use<> {
        let members = members.to_vec();
        let (clock, inspector) = (Arc::clone(&self.clock), Arc::clone(&self.inspector));
        let attended_since = self.attended_since;
        move |found| members::judge(&members, found, &clock, &inspector, attended_since)
    }
}

/// How a POP3 session is opened.
struct Way {
    dialer: Dialer,
    /// What was made ready for it.
    prepared: Option<pop3::Prepared>,
    is_check: bool,
}
