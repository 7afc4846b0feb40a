//! What the pages and the metrics see of the targets. All of it comes from memory.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use tokio::time::Instant;

use super::Supervisor;
use crate::account::history::{Evidence, Probe};
use crate::account::{Account, Delay, UsualWay};
use crate::clock;
use crate::config::{Target, TargetName};
use crate::layers::readings::{Checks, Readings};
use crate::layers::rounds::{CheckLimiter, Checker};
use crate::probing::mailbox::Subscriber;
use crate::standing::findings::{Findings, Standing};
use crate::store::Store;
use ledger::{Availability, OutstandingMail, Shared, Snapshot};
use mail::inspection::Inspection;

/// A target with everything that is known of it.
#[derive(Debug, Clone)]
pub struct View {
    /// Its configuration.
    pub target: Arc<Target>,
    /// Its account, now.
    pub snapshot: Snapshot,
    /// What the header of the newest mail showed.
    pub inspection: Option<Arc<Inspection>>,
    /// What was usual on the way of that mail; `None` where it is not learned.
    pub usual: Option<Arc<UsualWay>>,
    /// The layers below its mail service, now.
    pub layers: Shared<Readings>,
    /// What was found about it outside its mails; `None` if nothing is looked for.
    pub standing: Option<Shared<Findings>>,
    /// Whether its mails are looked for in no junk folder, though one is configured by its use.
    pub lacks_junk_folder: bool,
    /// When its next mail is due; see [`View::next_mail_at`].
    pub next_mail: Option<Instant>,
    /// What a mail waits for that is due.
    pub waits_for: Option<Delay>,
}

impl View {
    /// When its next mail is due, by the wall clock; `None`: it is being sent, or waits to be.
    pub fn next_mail_at(&self) -> Option<SystemTime> {
        let until = self.next_mail?.checked_duration_since(Instant::now())?;
        clock::wall().checked_add(until)
    }

    /// Whether both show the same.
    fn is_like(&self, other: &View) -> bool {
        let headers = [self, other].map(|it| it.inspection.as_ref().map(Arc::as_ptr));
        let [own, others] = headers;
        Arc::ptr_eq(&self.target, &other.target)
            && own == others
            && self.usual == other.usual
            && self.layers.is_same(&other.layers)
            && self.standing == other.standing
            && self.lacks_junk_folder == other.lacks_junk_folder
            && self.next_mail == other.next_mail
            && self.waits_for == other.waits_for
            && self.snapshot == other.snapshot
    }
}

/// All targets at one moment, by name. What of them did not change since the ones before is the same memory while
/// those are held, so that many who read them, however long, take little more than one.
#[derive(Debug, Clone, Default)]
pub struct Views(Arc<Vec<Arc<View>>>);

impl Deref for Views {
    type Target = [Arc<View>];

    fn deref(&self) -> &[Arc<View>] {
        &self.0
    }
}

impl FromIterator<View> for Views {
    fn from_iter<I: IntoIterator<Item = View>>(views: I) -> Self {
        Self(Arc::new(views.into_iter().map(Arc::new).collect()))
    }
}

/// The newest views, as long as somebody holds them.
#[derive(Debug, Default)]
pub(super) struct NewestViews(Mutex<Weak<Vec<Arc<View>>>>);

impl NewestViews {
    /// Views of these targets as they are now, which have in common with the newest what is the same.
    fn renew(&self, handles: Vec<TargetHandle>) -> Views {
        // Two who begin together do not each make all of them.
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = newest.upgrade();
        let mut before = before.iter().flat_map(|views| views.iter()).peekable();
        let renewed = handles.into_iter().map(|handle| {
            let view = handle.view();
            let name = &view.target.name;
            while before.next_if(|earlier| earlier.target.name < *name).is_some() {}
            match before.peek() {
                Some(earlier) if earlier.is_like(&view) => Arc::clone(earlier),
                _ => Arc::new(view),
            }
        });
        let views = Arc::new(renewed.collect());
        *newest = Arc::downgrade(&views);
        Views(views)
    }
}

/// Everything that is known of a target.
#[derive(Debug, Clone)]
pub struct Details {
    /// The target and its account.
    pub view: View,
    /// The mails that are waited for, oldest first, as many as were asked for at most.
    pub awaited: Vec<OutstandingMail>,
    /// What happened lately.
    pub evidence: Evidence,
    /// How it was over the latest hours and days.
    pub availability: Availability,
}

/// Where the view of a target comes from.
#[derive(Clone)]
pub struct TargetHandle {
    /// Its configuration.
    pub target: Arc<Target>,
    /// Its account.
    pub account: Arc<Account>,
    /// The checks of the layers below its mail service.
    pub checks: Arc<Checks>,
    /// Its standing outside its mails; `None` if nothing is looked for.
    pub standing: Option<Arc<Standing>>,
    pub(super) subscriber: Arc<Subscriber>,
}

impl TargetHandle {
    /// Its rounds of checks.
    pub(super) fn checker(
        &self,
        limiter: &Arc<CheckLimiter>,
        store: Option<Arc<Store>>,
    ) -> Checker {
        let (target, checks) = (Arc::clone(&self.target), Arc::clone(&self.checks));
        let (limiter, account) = (Arc::clone(limiter), Arc::clone(&self.account));
        Checker { target, checks, store, limiter, account }
    }

    /// What is known of it now.
    fn view(self) -> View {
        let Self { target, account, checks, standing, subscriber } = self;
        let snapshot = account.snapshot();
        let (inspection, usual) = account.inspection_and_usual();
        // A reload may have switched it off since.
        let usual = usual.filter(|_| target.usual);
        let lacks_junk_folder = account.lacks_junk_folder();
        let (layers, next_mail) = (checks.readings(), subscriber.next_send());
        let waits_for = subscriber.waits_for();
        let standing = standing.map(|standing| standing.findings());
        View {
            target,
            snapshot,
            inspection,
            usual,
            layers,
            standing,
            lacks_junk_folder,
            next_mail,
            waits_for,
        }
    }
}

impl Supervisor {
    /// Where the views of all targets come from, by name.
    pub fn handles(&self) -> Vec<TargetHandle> {
        self.state().targets.values().map(|running| running.handle.clone()).collect()
    }

    /// Every target, by name.
    pub fn views(&self) -> Views {
        self.newest_views.renew(self.handles())
    }

    /// One target.
    pub fn view(&self, name: &str) -> Option<View> {
        self.find(name).map(TargetHandle::view)
    }

    /// One target with what happened lately, and the oldest of the mails that are waited for.
    pub fn details(&self, name: &str, most_awaited: usize) -> Option<Details> {
        let handle = self.find(name)?;
        let (awaited, evidence) = (
            handle.account.read(|ledger, _| ledger.outstanding_mails(most_awaited)),
            handle.account.evidence(),
        );
        let availability = handle.account.availability();
        Some(Details { view: handle.view(), awaited, evidence, availability })
    }

    /// The newest probes of a target, newest first; none of one that is not there.
    pub fn newest_probes(&self, name: &str) -> Vec<Probe> {
        self.find(name).map(|handle| handle.account.newest_probes()).unwrap_or_default()
    }

    /// How a target was over the latest hours and days; `None`: it is not there.
    pub fn availability(&self, name: &str) -> Option<Availability> {
        self.find(name).map(|handle| handle.account.availability())
    }

    fn find(&self, name: &str) -> Option<TargetHandle> {
        let name = TargetName::new(name)?;
        self.state().targets.get(&name).map(|running| running.handle.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use ledger::{Attempt, Failure, Reason, Rules, Step};
    use mail::fuzz::Budget;

    const TARGETS: usize = 500;

    /// Targets whose accounts and checks have something to tell.
    fn handles() -> Vec<TargetHandle> {
        let mut yaml = String::from("targets:\n");
        for number in 0..TARGETS {
            let receive = "{protocol: imap, username: u, password: p}";
            let addresses = "from: a@b.example, to: a@b.example, ping: true, ports: ['web:80']";
            writeln!(yaml, "- {{name: t{number:03}, host: h, {addresses}, receive: {receive}}}")
                .unwrap();
        }
        let config = Config::parse(&yaml, Path::new("test.yml")).unwrap();
        let handle = |target: &Arc<Target>| {
            let account = Arc::new(Account::new(target.name.clone(), Rules::from(target.as_ref())));
            fail(&account);
            let subscriber =
                Subscriber::new(Arc::clone(target), Arc::clone(&account), Instant::now());
            let checks = Checks::default();
            checks.set_target(target);
            let (target, checks) = (Arc::clone(target), checks.into());
            let subscriber = subscriber.into();
            TargetHandle { target, account, checks, standing: None, subscriber }
        };
        config.targets.values().map(handle).collect()
    }

    fn fail(account: &Account) {
        let failure = Failure {
            step: Step::Auth,
            reason: Reason::Auth,
            down: false,
            shortage: None,
            clue: None,
            message: "no".into(),
        };
        account.check_ended(&Attempt { failures: vec![failure], ..Attempt::default() });
    }

    #[test]
    fn views_take_little_of_each_target_and_those_beside_others_next_to_nothing() {
        let (handles, newest) = (handles(), NewestViews::default());
        let mut views = Vec::new();
        for bytes_of_each in [400, 60, 60] {
            let budget = Budget { bytes: 0, per_byte: bytes_of_each };
            let again = handles.clone();
            budget.hold("views", TARGETS, || views.push(newest.renew(again)));
        }
        fail(&handles[7].account);
        let changed = newest.renew(handles.clone());
        let is_shared = |number: usize| Arc::ptr_eq(&views[0][number], &changed[number]);
        assert!((0..TARGETS).all(|number| is_shared(number) == (number != 7)));
        let failures = |views: &Views| views[7].snapshot.totals.check_failures;
        assert_eq!((failures(&views[0]), failures(&changed)), (1, 2), "each is of its moment");
    }

    #[test]
    fn views_are_of_the_targets_that_are_there_now() {
        let (mut handles, newest) = (handles(), NewestViews::default());
        let before = newest.renew(handles.clone());
        handles.retain(|handle| handle.target.name.as_str() != "t003");
        let after = newest.renew(handles);
        let names = |views: &Views| -> Vec<String> {
            views.iter().map(|view| view.target.name.to_string()).collect()
        };
        assert_eq!((before.len(), after.len()), (TARGETS, TARGETS - 1));
        assert!(!names(&after).contains(&"t003".to_owned()));
        assert_eq!(names(&before)[3], "t003", "a scrape that has begun keeps it");
        assert!(Arc::ptr_eq(&before[4], &after[3]));
    }
}
