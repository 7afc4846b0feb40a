//! One look into the mailbox, by either protocol, and what is taken out after it.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::watch::Settings;
use super::super::{Found, Judgement, Member, imap, members, pop3};
use super::{Outcome, Patrol, only, recipients};
use crate::mail::trace::Trace;
use crate::mail::{Failure, Stage};
use crate::target::clock::for_timer;

/// How often in a row a removal may bring up more of ours before it waits for the next look.
const REMOVAL_ROUNDS: usize = 3;
/// How often a session is opened in one look where each breaks at another mail of somebody else, which the
/// next passes over.
const OPENINGS: usize = 3;

impl Patrol {
    /// A fresh IMAP session, and a look into every folder.
    pub(super) async fn open_imap(
        &mut self,
        settings: &Settings,
        members: &[Arc<Member>],
    ) -> Outcome {
        let trace = Trace::new(Some(&settings.login));
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
            result = opened.await.map(|session| self.session = Some(session));
            if result.is_ok() || !self.imap.has_learned_to_pass_over() {
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
        let asked = Some(told.unwrap_or_else(Instant::now));
        let decides = recipients(members).any(|member| member.account.is_look_due());
        let trace = session.trace().clone();
        trace.clear();
        let mut judge = self.judge(members);
        let since = members::since(members, self.started);
        let result = session.look(&mut self.imap, told, decides, since, &mut judge).await;
        trace.finish();
        if result.is_ok() {
            self.session = Some(session);
        }
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
            if let Err(failure) = removed.await {
                if imap::is_in_step(&failure) {
                    self.session = Some(session);
                } else {
                    self.back_off(settings);
                }
                return Some(failure);
            }
            session.trace().finish();
            let durations = session.trace().durations();
            for member in recipients(members) {
                member.account.removed(&only(Stage::Remove, &durations));
            }
        }
        self.session = Some(session);
        None
    }

    /// One POP3 session: a check if it has a `slot`, else a look.
    pub(super) async fn look_pop3(
        &mut self,
        settings: &Settings,
        members: &[Arc<Member>],
        slot: Option<Instant>,
    ) -> Outcome {
        let is_check = slot.is_some();
        let prepared = if is_check { None } else { self.preparation.take() };
        let trace = prepared
            .as_ref()
            .map_or_else(|| Trace::new(Some(&settings.login)), |prepared| prepared.trace().clone());
        let now = Instant::now();
        let started = self.started;
        let mut judge = self.judge(members);
        let dialer = &settings.dialer;
        let dialer = if is_check { dialer.clone() } else { dialer.resuming() };
        let (end, busy_until) = (now + settings.period, now + settings.timeout);
        let opened = async {
            let login = &settings.login;
            let pop3 = pop3::log_in(&dialer, login, prepared, &trace, end, busy_until).await?;
            let since = &|| members::since(members, started);
            pop3::Session::look(pop3, &mut self.pop3, since, is_check, &mut judge).await
        };
        let opened = opened.await;
        drop(judge);
        trace.finish();
        if let Some(slot) = slot {
            self.report_check(members, &trace, opened.as_ref().err(), slot);
        }
        match opened {
            Ok(session) => {
                if self.pop3.has_to_remove() {
                    self.commit(settings).await;
                }
                let removal_failure =
                    session.remove_and_close(&mut self.pop3).await.removal_failure;
                trace.finish();
                let durations = trace.durations();
                for member in recipients(members) {
                    member.account.removed(&only(Stage::Remove, &durations));
                }
                let asked = self.pop3.looked_at().map(for_timer);
                let asked_everywhere = asked;
                Outcome { trace, asked, asked_everywhere, result: Ok(()), removal_failure }
            }
            Err(failure) => Outcome::failed(trace, failure),
        }
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
