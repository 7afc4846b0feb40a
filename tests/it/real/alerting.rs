//! From a fault in a real mail server to the alert that somebody gets: the program, Prometheus,
//! Alertmanager and a webhook, all of them real, with the rules and routes that are shipped.

use std::collections::BTreeSet;

use tempfile::TempDir;

use crate::lab::{Account, Lab, Service};
use crate::real;
use crate::support::program::{Running, folder};
use crate::support::{TargetText, yaml};
use stack::{Message, Stack};

mod restart;
pub(crate) mod stack;

/// The exporter on three targets, and who watches it.
///
/// `active` has a mailbox that always works, `login` one whose password changes; `standby` is the
/// passive node on servers of its own.
struct World {
    lab: Lab,
    standby_lab: Lab,
    active: Account,
    login: Account,

    folder: TempDir,
    exporter: Running,
    stack: Stack,
}

/// A target whose mails are late after `late_after`; its period is one that a busy machine can keep to.
fn target(lab: &Lab, name: &str, reader: &Account, late_after: &str) -> TargetText {
    let target = real::stack::target(lab, name, reader).every("3s");
    target.set("host", "127.0.0.1").set("late_after", late_after)
}

impl World {
    /// The standby's servers are down.
    async fn start() -> Self {
        let (lab, standby_lab, stack) = tokio::join!(Lab::start(), Lab::start(), Stack::start());
        let (active, login, standby) = tokio::join!(
            lab.user("active", "secret"),
            lab.user("login", "secret"),
            standby_lab.user("standby", "secret"),
        );
        standby_lab.stop_smtp().await;
        standby_lab.stop_service(Service::Imap).await;
        let targets = [
            target(&lab, "active", &active, "6s"),
            target(&lab, "login", &login, "1m"),
            target(&standby_lab, "standby", &standby, "1m").set("passive", "true"),
        ];
        let folder = folder(&format!("state_dir: state\n{}", yaml(&targets)));
        let exporter = Running::start(folder.path(), &[]).await;
        stack.scrape(&exporter.address);
        Self { lab, standby_lab, active, login, folder, exporter, stack }
    }

    /// Waits until the exporter shows these values of a target.
    async fn shows(&self, target: &str, values: &[(&str, &str)]) {
        let holds = |page: &str| {
            values.iter().all(|(name, value)| {
                page.contains(&format!("\nmailtrip_{name}{{target=\"{target}\"}} {value}"))
            })
        };
        self.exporter.until("/metrics", holds).await;
    }

    async fn is_able(&self, target: &str) {
        let able = [("send_ability_percent", "100"), ("receive_ability_percent", "100")];
        self.shows(target, &able).await;
    }

    /// Ends the exporter without a word and starts it again.
    async fn restart_exporter(&mut self) {
        let new = Running::start(self.folder.path(), &[]);
        self.exporter.child.kill().await.unwrap();
        self.exporter = new.await;
        self.stack.scrape(&self.exporter.address);
    }

    /// Every alert of a target that was told to fire, apart from those of the error budget, which a
    /// test of a minute with so many faults exhausts.
    ///
    /// Alertmanager names an alert that it held back once more, as one that has ended, in the
    /// message on the end of the one that was told.
    fn told(&self, target: &str) -> BTreeSet<String> {
        let is_told =
            |it: &Message| it.is_firing && it.target == target && !it.alert.contains("ErrorBudget");
        self.stack.messages().into_iter().filter(is_told).map(|it| it.alert).collect()
    }

    /// Only these were told of a target.
    #[track_caller]
    fn told_only(&self, target: &str, alerts: &[&str]) {
        let alerts: BTreeSet<String> = alerts.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(self.told(target), alerts, "of {target:?}: {:#?}", self.stack.messages());
    }
}

#[tokio::test]
async fn each_fault_is_told_by_its_alert_and_by_no_other() {
    let mut world = World::start().await;
    for target in ["active", "login"] {
        world.is_able(target).await;
    }
    let down = [("send_ability_percent", "NaN"), ("receive_ability_percent", "NaN")];
    world.shows("standby", &down).await;

    // The queue is held: the mail was accepted and does not come.
    world.lab.hold(&world.active);
    let message = world.stack.tells("MailtripMailOverdue", "active", true).await;
    assert_eq!(message.receiver, "pager");
    assert!(message.description.contains("of active accepted has not arrived"), "{message:?}");
    world.lab.release(&world.active).await;
    world.stack.tells("MailtripMailOverdue", "active", false).await;
    world.told_only("active", &["MailtripMailOverdue"]);

    // A login is broken; the exporter is restarted meanwhile, which ends nothing.
    world.lab.user("login", "another").await;
    let message = world.stack.tells("MailtripCannotReceive", "login", true).await;
    assert_eq!(message.receiver, "pager");
    assert!(message.description.ends_with("in a row, reason: auth."), "{message:?}");
    world.restart_exporter().await;
    let failing = "mailtrip_consecutive_failures{target=\"login\",side=\"receive\"} ";
    let failed_again = |page: &str| {
        let count = page.lines().find_map(|line| line.strip_prefix(failing)?.parse().ok());
        count.is_some_and(|count: f64| count >= 3.0)
    };
    world.exporter.until("/metrics", failed_again).await;
    let ends = |it: &Message| it.target == "login" && !it.is_firing;
    assert!(!world.stack.messages().iter().any(ends), "{:#?}", world.stack.messages());
    world.lab.user("login", &world.login.password).await;
    world.stack.tells("MailtripCannotReceive", "login", false).await;
    world.told_only("login", &["MailtripCannotReceive"]);

    // SMTP is stopped: the port is to blame, and what stands on it is held back.
    world.lab.stop_smtp().await;
    for target in ["active", "login"] {
        let message = world.stack.tells("MailtripPortUnreachable", target, true).await;
        assert_eq!(message.receiver, "pager");
        let ending = format!("The port send of {target} accepts no connection, reason: refused.");
        assert_eq!(message.description, ending);
        world.stack.holds_back("MailtripCannotSend", target).await;
    }
    world.lab.start_smtp().await;
    for target in ["active", "login"] {
        world.stack.tells("MailtripPortUnreachable", target, false).await;
        world.is_able(target).await;
    }

    // The passive node, down all the while, takes over, and then is watched like any other.
    world.told_only("standby", &[]);
    world.standby_lab.start_smtp().await;
    world.standby_lab.start_dovecot().await;
    world.is_able("standby").await;
    world.standby_lab.user("standby", "another").await;
    let message = world.stack.tells("MailtripCannotReceive", "standby", true).await;
    assert!(message.description.ends_with("in a row, reason: auth."), "{message:?}");
    world.standby_lab.stop_service(Service::Imap).await;
    world.standby_lab.stop_smtp().await;
    world.stack.tells("MailtripCannotReceive", "standby", false).await;
    world.shows("standby", &down).await;

    world.told_only("active", &["MailtripMailOverdue", "MailtripPortUnreachable"]);
    world.told_only("login", &["MailtripCannotReceive", "MailtripPortUnreachable"]);
    world.told_only("standby", &["MailtripCannotReceive"]);
    // Nothing about the exporter itself.
    world.told_only("", &[]);
}
