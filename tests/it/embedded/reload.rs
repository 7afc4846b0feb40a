//! A reload changes only what it changes, and a stop ends everything soon, whatever the servers do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ledger::{Reading, Snapshot};
use mailtrip_exporter::config::{Config, Shard};
use mailtrip_exporter::store::Store;
use mailtrip_exporter::supervisor::{ReloadError, Supervisor};
use tempfile::TempDir;
use testserver::faults::{self, AFTER_DATA, CONNECT, CREDENTIALS, Fault, GREETING, Gate};
use testserver::record::Stats;
use testserver::{Delivery, Options, Post, Protocol, Server};
use tokio::time::Instant;

use crate::support::{
    DEADLINE, Exporter, MAILBOXES, PASSWORD, TargetText, USER, World, all, origin, yaml,
};

/// An exporter with a configuration file that can be written again.
struct Configured {
    folder: TempDir,
    exporter: Exporter,
}

impl Configured {
    async fn start(targets: &[TargetText]) -> Self {
        let (folder, config, file) = Self::write(targets);
        let supervisor = Supervisor::start(config, file, origin()).await.unwrap();
        Self { folder, exporter: Exporter { supervisor } }
    }

    /// One that keeps its state.
    async fn start_with_store(targets: &[TargetText]) -> Self {
        let (folder, config, file) = Self::write(targets);
        let store = Arc::new(Store::open(folder.path()).unwrap());
        let supervisor = Supervisor::start_with_store(config, file, origin(), store).await.unwrap();
        Self { folder, exporter: Exporter { supervisor } }
    }

    fn write(targets: &[TargetText]) -> (TempDir, Config, Option<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mailtrip.yml");
        std::fs::write(&file, yaml(targets)).unwrap();
        let config = Config::load(&file).unwrap();
        (folder, config, Some(file))
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("mailtrip.yml")
    }

    fn supervisor(&self) -> &Arc<Supervisor> {
        &self.exporter.supervisor
    }

    async fn reload(&self, targets: &[TargetText]) {
        std::fs::write(self.file(), yaml(targets)).unwrap();
        self.supervisor().reload().await.unwrap();
    }

    fn names(&self) -> Vec<String> {
        self.supervisor().views().iter().map(|view| view.target.name.to_string()).collect()
    }
}

#[tokio::test]
async fn an_untouched_target_keeps_its_session_and_its_mails_under_way() {
    let (world, other) = (World::new(Protocol::Imap).await, World::new(Protocol::Imap).await);
    world.post.set_delivery(USER, Delivery::held());
    let kept = world.target("kept");
    let configured = Configured::start(std::slice::from_ref(&kept)).await;
    let exporter = &configured.exporter;
    exporter.until("kept", "outstanding", |s| s.outstanding == Reading::Is(1)).await;
    for round in 0..3 {
        let added = other.target("added").set("interval", &format!("{}m", round + 5));
        configured.reload(&[kept.clone(), added]).await;
        assert_eq!(configured.names(), ["added", "kept"]);
        configured.reload(std::slice::from_ref(&kept)).await;
        assert_eq!(configured.names(), ["kept"]);
        assert!(configured.supervisor().view("added").is_none());
    }
    world.post.release(USER);
    let snapshot = exporter.received("kept", 1).await;
    assert_eq!((snapshot.totals.accepted, snapshot.totals.checks), (1, 1));
    let stats = world.mailbox.stats();
    assert_eq!((stats.connections, stats.logins), (1, 1), "the same session all along");
    assert_eq!(world.smtp.stats().connections, 1);
}

#[tokio::test]
async fn another_limit_of_connections_holds_for_untouched_targets_as_well() {
    let world = World::new(Protocol::Imap).await;
    // Every send takes a whole period.
    world.smtp.faults().on("MAIL", Fault::Hang);
    let target = |name: &str| world.target(name).sender_logs_in();
    let untouched = ["a", "b", "c"].map(|name| target(name).set("interval", "2s"));
    let strict = target("strict").set("interval", "1h").set("send.max_connections", "1");
    let together: Vec<_> = untouched.iter().cloned().chain([strict]).collect();
    let configured = Configured::start(&together).await;
    let skipped = |s: &Snapshot| s.totals.periods_skipped >= 1;
    configured.exporter.until("c", "waiting for a connection", skipped).await;
    assert_eq!(world.smtp.stats().sessions_most, 1);
    configured.reload(&untouched).await;
    assert!(world.smtp.wait_until(DEADLINE, |stats| stats.sessions_most == 3).await);
}

#[tokio::test]
async fn a_changed_target_keeps_its_counters_and_its_mails_under_way() {
    let world = World::new(Protocol::Imap).await;
    let configured = Configured::start(&[world.target("a")]).await;
    let exporter = &configured.exporter;
    exporter.received("a", 1).await;
    world.post.set_delivery(USER, Delivery::held());
    // A shorter period: the next send is due within it.
    configured.reload(&[world.target("a").set("interval", "2s").set("late_after", "1h")]).await;
    let snapshot = exporter.until("a", "outstanding", |s| s.outstanding == Reading::Is(1)).await;
    assert_eq!((snapshot.totals.accepted, snapshot.totals.received), (2, 1));
    assert_eq!(snapshot.interval, Duration::from_secs(2));
    configured.reload(&[world.target("a").set("interval", "7m").set("late_after", "1h")]).await;
    let snapshot = exporter.snapshot("a");
    assert!(snapshot.outstanding.value() >= Some(1), "{snapshot:#?}");
    assert_eq!(snapshot.interval, Duration::from_secs(420));
    let accepted = snapshot.totals.accepted;
    world.post.release(USER);
    let snapshot = exporter.received("a", accepted).await;
    assert_eq!(snapshot.totals.doubtful, 0, "{snapshot:#?}");
}

/// Its neighbour in the mailbox has seen the mail, and nobody waited for it then.
#[tokio::test]
async fn a_target_that_comes_back_receives_the_mail_that_came_meanwhile() {
    for mailbox in MAILBOXES {
        let world = World::new(mailbox).await;
        world.post.set_delivery(USER, Delivery::held());
        let [stays, leaves] = ["stays", "leaves"].map(|name| world.target(name));
        let both = [stays.clone(), leaves];
        let configured = Configured::start_with_store(&both).await;
        let exporter = &configured.exporter;
        exporter.until("leaves", "outstanding", |s| s.outstanding == Reading::Is(1)).await;
        exporter.until("stays", "outstanding", |s| s.outstanding == Reading::Is(1)).await;
        configured.reload(&[stays]).await;
        world.post.release(USER);
        exporter.received("stays", 1).await;
        world.inbox_holds(1).await;
        configured.reload(&both).await;
        exporter.received("leaves", 1).await;
        world.inbox_holds(0).await;
        exporter.supervisor.stop().await;
    }
}

/// A server that holds back its answer to the final dot of the first mail, which it has.
fn held_at_the_dot(world: &World) -> Gate {
    let gate = Gate::default();
    world.smtp.faults().once(faults::ACCEPTED, Fault::Held(gate.clone()));
    gate
}

/// The same with a mail of which nobody knows yet whether it was accepted.
#[tokio::test]
async fn a_target_that_comes_back_while_it_sends_receives_the_mail_that_is_there_already() {
    for mailbox in MAILBOXES {
        let world = World::new(mailbox).await;
        let stays = world.target("stays");
        let configured = Configured::start(std::slice::from_ref(&stays)).await;
        let exporter = &configured.exporter;
        exporter.received("stays", 1).await;
        let gate = held_at_the_dot(&world);
        let both = [stays.clone().set("interval", "2s"), world.target("leaves")];
        configured.reload(&both).await;
        world.inbox_holds(1).await;
        configured.reload(&both[..1]).await;
        // Its neighbour has looked since.
        exporter.received("stays", 3).await;
        configured.reload(&both).await;
        gate.open();
        exporter.received("leaves", 1).await;
        exporter.supervisor.stop().await;
    }
}

#[tokio::test]
async fn a_send_under_way_outlives_reloads_and_its_result_counts() {
    let world = World::new(Protocol::Imap).await;
    let gate = held_at_the_dot(&world);
    let target = |interval| {
        let target = world.target("a").sender_logs_in();
        target.set("interval", interval).set("late_after", "1h")
    };
    let configured = Configured::start(&[target("1h")]).await;
    world.inbox_holds(1).await;
    // The second finds a loop that waits for the send of the one before it.
    configured.reload(&[target("1s")]).await;
    configured.reload(&[target("1s").set("messages", "2")]).await;
    let exporter = &configured.exporter;
    // Time for more periods, each of which would send if it could.
    exporter.until("a", "a check", |s| s.totals.checks >= 3).await;
    let snapshot = exporter.snapshot("a");
    assert_eq!((world.smtp.stats().sessions_most, world.smtp.stats().count("DATA")), (1, 1));
    assert_eq!((snapshot.totals.accepted, snapshot.totals.doubtful), (0, 0));
    gate.open();
    let snapshot = exporter.received("a", 3).await;
    assert_eq!(snapshot.totals.doubtful, 0, "{snapshot:#?}");
    assert_eq!(snapshot.sides.send.last_failure, None);
    assert!(snapshot.totals.periods_skipped >= 1, "{snapshot:#?}");
    assert_eq!(world.smtp.stats().sessions_most, 1, "never two at once");
}

#[tokio::test]
async fn a_removed_target_ends_its_send_and_finds_it_when_it_comes_back() {
    let world = World::new(Protocol::Imap).await;
    let gate = held_at_the_dot(&world);
    let target = world.target("a").sender_logs_in().set("interval", "1s").set("late_after", "1h");
    let configured = Configured::start(std::slice::from_ref(&target)).await;
    world.inbox_holds(1).await;
    let other = World::new(Protocol::Imap).await;
    configured.reload(&[other.target("b")]).await;
    assert_eq!(configured.names(), ["b"]);
    configured.reload(&[other.target("b"), target]).await;
    assert_eq!(world.smtp.stats().count("DATA"), 1, "it waits for its own send");
    gate.open();
    let snapshot = configured.exporter.received("a", 1).await;
    assert_eq!(snapshot.totals.doubtful, 0, "{snapshot:#?}");
    assert_eq!(world.smtp.stats().sessions_most, 1);
}

#[tokio::test]
async fn mail_of_a_target_that_joins_while_a_check_is_under_way_is_found() {
    for mailbox in MAILBOXES {
        let world = World::new(mailbox).await;
        let gate = Gate::default();
        world.mailbox.faults().once(CREDENTIALS, Fault::Held(gate.clone()));
        let target = |name| world.target(name).set("interval", "1h");
        let configured = Configured::start(&[target("a")]).await;
        world.inbox_holds(1).await;
        configured.reload(&[target("a"), target("b")]).await;
        world.inbox_holds(2).await;
        gate.open();
        configured.exporter.received("b", 1).await;
        configured.exporter.received("a", 1).await;
    }
}

#[tokio::test]
async fn a_check_under_way_outlives_a_reload_and_its_result_counts() {
    for mailbox in MAILBOXES {
        let world = World::new(mailbox).await;
        let gate = Gate::default();
        world.mailbox.faults().once(CREDENTIALS, Fault::Held(gate.clone()));
        let target = |interval| world.target("a").set("interval", interval);
        let configured = Configured::start(&[target("1h")]).await;
        let logs_in = |stats: &Stats| {
            ["AUTH", "AUTHENTICATE", "SESSION"].iter().any(|name| stats.count(name) >= 1)
        };
        assert!(world.mailbox.wait_until(DEADLINE, logs_in).await);
        configured.reload(&[target("2h")]).await;
        let exporter = &configured.exporter;
        let snapshot = exporter.snapshot("a");
        assert_eq!(snapshot.totals.checks, 0, "{snapshot:#?}");
        gate.open();
        let snapshot = exporter.until("a", "a check", |s| s.totals.checks == 1).await;
        assert_eq!(snapshot.receive_ability, Reading::Is(true));
        assert_eq!(
            (snapshot.totals.check_failures, &snapshot.sides.receive.last_failure),
            (0, &None)
        );
        assert_eq!(world.mailbox.stats().sessions_most, 1);
        exporter.received("a", 1).await;
    }
}

#[tokio::test]
async fn a_stop_lets_a_mail_learn_its_answer_if_it_comes_soon() {
    let world = World::new(Protocol::Imap).await;
    let gate = held_at_the_dot(&world);
    world.post.set_delivery(USER, Delivery::held());
    let exporter = Exporter::start(&[world.target("a")]).await;
    assert!(world.smtp.wait_until(DEADLINE, |stats| stats.mails_accepted == 1).await);
    let stopping = tokio::spawn(async move { exporter.supervisor.stop().await });
    // The mailbox is left at once, the mail is not.
    assert!(world.mailbox.wait_until(DEADLINE, |stats| stats.connections_open == 0).await);
    assert_eq!(world.smtp.stats().connections_open, 1);
    gate.open();
    stopping.await.unwrap();
    // Only whoever has heard the answer says good-bye.
    assert!(world.smtp.wait_until(DEADLINE, |stats| stats.connections_open == 0).await);
    assert_eq!(world.smtp.stats().count("QUIT"), 1);
}

#[tokio::test]
async fn a_removed_target_leaves_its_servers_in_peace() {
    for mailbox in MAILBOXES {
        let (gone, kept) = (World::new(mailbox).await, World::new(mailbox).await);
        gone.post.set_delivery(USER, Delivery::held());
        let targets = [gone.target("gone"), kept.target("kept")];
        let targets = targets.map(|target| target.set("interval", "1s"));
        let configured = Configured::start(&targets).await;
        let exporter = &configured.exporter;
        exporter.until("gone", "outstanding", |s| s.outstanding.value() >= Some(1)).await;
        configured.reload(&targets[1..]).await;
        assert_eq!(configured.names(), ["kept"]);
        for server in [&gone.smtp, &gone.mailbox] {
            let closed = server.wait_until(DEADLINE, |stats| stats.connections_open == 0).await;
            assert!(closed, "{:?}", server.stats());
        }
        let connections = || (gone.smtp.stats().connections, gone.mailbox.stats().connections);
        let before = connections();
        let received = exporter.snapshot("kept").totals.received;
        exporter.received("kept", received + 3).await;
        assert_eq!(connections(), before);
    }
}

#[tokio::test]
async fn a_mailbox_that_is_no_longer_watched_is_logged_out_of_before_the_reload_is_over() {
    let (gone, kept) = (World::new(Protocol::Imap).await, World::new(Protocol::Imap).await);
    // The next send is near enough for the session to be held.
    let targets = [gone.target("gone"), kept.target("kept")];
    let targets = targets.map(|target| target.set("interval", "30s"));
    let configured = Configured::start(&targets).await;
    configured.exporter.received("gone", 1).await;
    gone.inbox_holds(0).await;
    assert_eq!(gone.mailbox.stats().sessions_open, 1);
    configured.reload(&targets[1..]).await;
    assert_eq!(gone.mailbox.stats().sessions_open, 0);
    assert_eq!(gone.mailbox.stats().count("LOGOUT"), 1);
}

#[tokio::test]
async fn a_bad_file_changes_nothing() {
    let world = World::new(Protocol::Imap).await;
    world.post.set_delivery(USER, Delivery::held());
    let target = world.target("a");
    let configured = Configured::start(std::slice::from_ref(&target)).await;
    let exporter = &configured.exporter;
    exporter.until("a", "outstanding", |s| s.outstanding == Reading::Is(1)).await;
    let before = configured.supervisor().reload_state();
    assert!(before.is_successful);
    let config = configured.supervisor().config();
    let pem = configured.folder.path().join("ca.pem");
    std::fs::write(&pem, "no certificate").unwrap();
    let bad = [
        "targets: [".to_owned(),
        String::new(),
        yaml(&[target.clone().set("intervall", "1s")]),
        yaml(&[target.clone(), target.clone()]),
        yaml(&[target
            .clone()
            .set("send.tls", "implicit")
            .set("send.tls_options", &format!("{{ca_file: {}}}", pem.display()))]),
    ];
    for text in bad {
        std::fs::write(configured.file(), &text).unwrap();
        let error = configured.supervisor().reload().await.unwrap_err();
        assert!(matches!(error, ReloadError::Config(_)), "{error}");
        let state = configured.supervisor().reload_state();
        assert!(!state.is_successful);
        assert_eq!(state.last_success, before.last_success);
        assert!(Arc::ptr_eq(&configured.supervisor().config(), &config));
    }
    std::fs::remove_file(configured.file()).unwrap();
    configured.supervisor().reload().await.unwrap_err();
    world.post.release(USER);
    exporter.received("a", 1).await;
    assert_eq!(world.mailbox.stats().logins, 1);
    configured.reload(&[target]).await;
    let state = configured.supervisor().reload_state();
    assert!(state.is_successful && state.last_success > before.last_success);
}

#[tokio::test]
async fn a_reload_does_not_take_away_the_last_target() {
    let world = World::new(Protocol::Imap).await;
    let configured = Configured::start(&[world.target("a")]).await;
    std::fs::write(configured.file(), "targets: []\n").unwrap();
    let error = configured.supervisor().reload().await.unwrap_err();
    assert!(matches!(error, ReloadError::NoTargets), "{error}");
    assert!(error.to_string().contains("restart the exporter"), "{error}");
    assert!(!configured.supervisor().reload_state().is_successful);
    assert_eq!(configured.names(), ["a"]);
    // Whoever begins without may go on without, and the first target comes by a reload.
    let config = Config::load(&configured.file()).unwrap();
    let file = Some(configured.file());
    let empty = Supervisor::start(config, file, origin()).await.unwrap();
    empty.reload().await.unwrap();
    std::fs::write(configured.file(), yaml(&[world.target("a")])).unwrap();
    empty.reload().await.unwrap();
    assert_eq!(empty.views().len(), 1);
}

#[tokio::test]
async fn a_shard_without_targets_of_its_own_knows_of_the_others() {
    let world = World::new(Protocol::Imap).await;
    let configured = Configured::start(&[world.target("a")]).await;
    let parts = ["0/2", "1/2"].map(|words| {
        let config = Config::load(&configured.file()).unwrap();
        config.part_of(Some(Shard::parse(words, "").unwrap()))
    });
    std::fs::write(configured.file(), "targets: []\n").unwrap();
    for part in parts {
        let file = Some(configured.file());
        let supervisor = Supervisor::start(part, file, origin()).await.unwrap();
        let error = supervisor.reload().await.unwrap_err();
        assert!(matches!(error, ReloadError::NoTargets), "{error}");
        supervisor.stop().await;
    }
}

#[tokio::test]
async fn without_a_file_there_is_nothing_to_reload() {
    let world = World::new(Protocol::Imap).await;
    let exporter = Exporter::start(&[world.target("a")]).await;
    let error = exporter.supervisor.reload().await.unwrap_err();
    assert!(matches!(error, ReloadError::NoFile));
    assert!(!exporter.supervisor.reload_state().is_successful);
}

#[tokio::test]
async fn members_of_a_shared_mailbox_come_and_go_without_a_new_login() {
    for mailbox in MAILBOXES {
        let world = World::new(mailbox).await;
        let target = |number: u32| world.target(&format!("t{number:02}"));
        let first: Vec<_> = (0..1).map(target).collect();
        let configured = Configured::start(&first).await;
        let exporter = &configured.exporter;
        exporter.received("t00", 1).await;
        let before = world.mailbox.stats().logins;
        for count in [20, 5, 20] {
            let members: Vec<_> = (0..count).map(target).collect();
            configured.reload(&members).await;
            assert_eq!(configured.names().len(), count as usize);
        }
        // The first of the new ones sends at once, and is found.
        exporter.received("t05", 1).await;
        let logins = world.mailbox.stats().logins - before;
        // POP3 needs a session for each look; IMAP opens one for the mails under way.
        let most = if mailbox == Protocol::Imap { 1 } else { 8 };
        assert!(logins <= most, "{mailbox:?}: {logins} logins");
        assert!(world.mailbox.stats().sessions_most <= 1);
        let snapshot = exporter.snapshot("t00");
        assert_eq!((snapshot.totals.received, snapshot.totals.checks), (1, 1));
    }
}

#[tokio::test]
async fn a_changed_password_is_used_from_the_next_check_on() {
    let world = World::new(Protocol::Imap).await;
    world.post.set_password(USER, "changed");
    let target = world.target("a").set("interval", "1s");
    let configured = Configured::start(std::slice::from_ref(&target)).await;
    let exporter = &configured.exporter;
    exporter.until("a", "refused", |s| s.receive_ability == Reading::Is(false)).await;
    configured.reload(&[target.set("receive.password", "changed")]).await;
    exporter.until("a", "able", |s| s.receive_ability == Reading::Is(true)).await;
    exporter.received("a", 1).await;
}

/// Stops, and checks that it does not take long and leaves nothing behind.
async fn assert_stops(exporter: &Exporter, world: &World) {
    let began = Instant::now();
    exporter.supervisor.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    for server in [&world.smtp, &world.mailbox] {
        let closed = server.wait_until(DEADLINE, |stats| stats.connections_open == 0).await;
        assert!(closed, "{:?}", server.stats());
    }
    assert!(exporter.supervisor.views().is_empty());
}

#[tokio::test]
async fn a_stop_is_soon_whatever_the_servers_do() {
    let hangs: Vec<(Protocol, bool, &'static str)> = [
        (Protocol::Imap, true, CONNECT),
        (Protocol::Imap, true, GREETING),
        (Protocol::Imap, true, "EHLO"),
        (Protocol::Imap, true, "RCPT"),
        (Protocol::Imap, true, AFTER_DATA),
        (Protocol::Imap, true, "QUIT"),
        (Protocol::Imap, false, CONNECT),
        (Protocol::Imap, false, GREETING),
        (Protocol::Imap, false, CREDENTIALS),
        (Protocol::Imap, false, "SELECT"),
        (Protocol::Imap, false, "UID FETCH"),
        (Protocol::Imap, false, "NOOP"),
        (Protocol::Imap, false, "UID STORE"),
        (Protocol::Imap, false, "UID EXPUNGE"),
        (Protocol::Imap, false, "LOGOUT"),
        (Protocol::Pop3, false, GREETING),
        (Protocol::Pop3, false, CREDENTIALS),
        (Protocol::Pop3, false, "UIDL"),
        (Protocol::Pop3, false, "TOP"),
        (Protocol::Pop3, false, "DELE"),
        (Protocol::Pop3, false, "QUIT"),
    ]
    .into();
    all(hangs.into_iter().map(|(mailbox, is_send, point)| {
        let case = async move {
            let world = World::new(mailbox).await;
            let server = if is_send { &world.smtp } else { &world.mailbox };
            server.faults().on(point, Fault::Hang);
            let exporter = Exporter::start(&[world.target("a")]).await;
            // LOGOUT is what the stop itself says.
            let point_is_met = |stats: &Stats| match point {
                CONNECT | GREETING => stats.connections >= 1,
                CREDENTIALS => stats.count("AUTH") + stats.count("AUTHENTICATE") >= 1,
                AFTER_DATA => stats.count("DATA") >= 1,
                "LOGOUT" => stats.count("UID EXPUNGE") >= 1,
                command => stats.count(command) >= 1,
            };
            assert!(server.wait_until(DEADLINE, point_is_met).await, "{:?}", server.stats());
            assert_stops(&exporter, &world).await;
        };
        (format!("{mailbox:?} {is_send} {point}"), case)
    }))
    .await;
}

#[tokio::test]
async fn a_stop_while_idling_or_waiting_for_a_busy_maildrop_is_soon() {
    let world = World::new(Protocol::Imap).await;
    world.post.set_delivery(USER, Delivery::held());
    let exporter = Exporter::start(&[world.target("a")]).await;
    assert!(world.mailbox.wait_until(DEADLINE, |stats| stats.count("IDLE") >= 1).await);
    assert_stops(&exporter, &world).await;

    let world = World::new(Protocol::Pop3).await;
    world.mailbox.faults().on(CREDENTIALS, Fault::reply("-ERR [IN-USE] locked"));
    let exporter = Exporter::start(&[world.target("a")]).await;
    assert!(world.mailbox.wait_until(DEADLINE, |stats| stats.logins_refused >= 1).await);
    assert_stops(&exporter, &world).await;
}

#[tokio::test]
async fn many_hung_targets_stop_as_soon_as_one() {
    let post = Post::new();
    post.add_account(USER, PASSWORD, &["to@example.test"]);
    let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
    let imap = Server::start(Protocol::Imap, &post, Options::new()).await.unwrap();
    smtp.faults().on("MAIL", Fault::Hang);
    imap.faults().on("SELECT", Fault::Hang);
    let targets: Vec<_> = (0..40)
        .map(|number| {
            let user = format!("u{number}");
            post.add_account(&user, PASSWORD, &[]);
            let target = TargetText::new(&user, &smtp, &imap).set("receive.username", &user);
            target.set("interval", "1s").set("send.max_connections", "40")
        })
        .collect();
    let exporter = Exporter::start(&targets).await;
    assert!(imap.wait_until(DEADLINE, |stats| stats.count("SELECT") >= 40).await);
    let began = Instant::now();
    exporter.supervisor.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(imap.wait_until(DEADLINE, |stats| stats.connections_open == 0).await);
}

#[tokio::test]
async fn a_reload_after_the_stop_starts_nothing() {
    let world = World::new(Protocol::Imap).await;
    let configured = Configured::start(&[world.target("a")]).await;
    configured.exporter.received("a", 1).await;
    configured.supervisor().stop().await;
    let connections = || (world.smtp.stats().connections, world.mailbox.stats().connections);
    let before = connections();
    std::fs::write(configured.file(), yaml(&[world.target("b").set("interval", "1s")])).unwrap();
    let outcome = configured.supervisor().reload().await;
    assert!(matches!(outcome, Err(ReloadError::Stopped)), "{outcome:?}");
    assert_eq!(configured.names(), [""; 0]);
    assert!(configured.supervisor().view("b").is_none());
    assert_eq!(connections(), before);
}
