//! The world of the `demo` command under the real exporter: each target shows what it promises.

use std::sync::Arc;
use std::time::Duration;

use ledger::Token;
use ledger::{Reading, Snapshot};
use ledger::{Reason, Step};
use mailtrip_exporter::demo::Demo;
use mailtrip_exporter::probing::send::Origin;
use mailtrip_exporter::supervisor::Supervisor;
use tokio::time::{sleep, timeout};

/// Far beyond what anything here takes at a period of a second.
const DEADLINE: Duration = Duration::from_secs(60);

/// A demo with the exporter at work on it.
struct Running {
    demo: Demo,
    supervisor: Arc<Supervisor>,
}

impl Running {
    async fn start() -> Self {
        let demo = Demo::start_with(Duration::from_secs(1)).await.expect("the demo starts");
        let origin = Origin { instance: Token::random(), host: None };
        let config_file = Some(demo.config_file().to_owned());
        let supervisor = Supervisor::start(demo.config(), config_file, origin).await;
        Self { demo, supervisor: supervisor.expect("the configuration holds") }
    }

    /// Waits until a target shows what is `wanted`.
    async fn wait_for(&self, target: &str, what: &str, wanted: impl Fn(&Snapshot) -> bool) {
        let seen = async {
            while !wanted(&self.snapshot(target)) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(DEADLINE, seen).await.is_err() {
            panic!("{target} never showed {what}: {:#?}", self.snapshot(target));
        }
    }

    fn snapshot(&self, target: &str) -> Snapshot {
        self.supervisor.view(target).expect("the target exists").snapshot
    }
}

fn is_not_applicable(snapshot: &Snapshot) -> bool {
    snapshot.send_ability == Reading::NotApplicable
        && snapshot.receive_ability == Reading::NotApplicable
        && snapshot.outstanding == Reading::NotApplicable
        && snapshot.roundtrip == Reading::NotApplicable
}

fn is_able(snapshot: &Snapshot) -> bool {
    snapshot.send_ability == Reading::Is(1.0) && snapshot.receive_ability == Reading::Is(true)
}

#[tokio::test]
async fn every_target_shows_what_it_promises() {
    let running = Running::start().await;
    running.wait_for("standby", "a passive node that is down", is_not_applicable).await;
    for good in ["good-imap", "good-pop3"] {
        running
            .wait_for(good, "mail that arrives", |now| {
                is_able(now)
                    && now.totals.received >= 2
                    && now.roundtrip.value().is_some_and(|mean| mean < Duration::from_secs(1))
            })
            .await;
        let snapshot = running.snapshot(good);
        assert!(
            snapshot.sides.send.tls.is_some() && snapshot.sides.receive.tls.is_some(),
            "{good}: no TLS"
        );
    }
    running
        .wait_for("slow", "a round trip beyond the period and no late mail", |now| {
            now.roundtrip.value().is_some_and(|mean| mean > Duration::from_millis(1_200))
                && now.outstanding.value().is_some_and(|outstanding| outstanding >= 1)
                && now.totals.late == 0
        })
        .await;
    running
        .wait_for("refuses-logins", "a mailbox that cannot be read", |now| {
            let failure = now.sides.receive.last_failure.as_ref().map(|(_, failure)| failure);
            now.send_ability == Reading::Is(1.0)
                && now.receive_ability == Reading::Is(false)
                && now.outstanding.value().is_some_and(|outstanding| outstanding >= 2)
                && failure.is_some_and(|failure| {
                    (failure.step, failure.reason) == (Step::Auth, Reason::Auth)
                        && failure.message.contains("account locked, ask the postmaster")
                })
        })
        .await;
    running
        .wait_for("loses-mail", "outstanding, late and lost mail beside received mail", |now| {
            is_able(now)
                && now.outstanding.value().is_some_and(|outstanding| outstanding >= 1)
                && now.totals.late >= 1
                && now.totals.lost >= 1
                && now.totals.received > now.totals.lost
        })
        .await;
    running.supervisor.stop().await;
}

#[tokio::test]
async fn the_standby_node_comes_up_and_goes_down_without_a_failure() {
    let running = Running::start().await;
    running.wait_for("standby", "a passive node that is down", is_not_applicable).await;
    running
        .wait_for("standby", "a passive node that came up", |now| {
            is_able(now) && now.totals.received >= 1 && now.roundtrip.value().is_some()
        })
        .await;
    running.wait_for("standby", "a passive node that went down again", is_not_applicable).await;
    let snapshot = running.snapshot("standby");
    assert!(snapshot.sides.send.not_applicable >= 2);
    assert_eq!(snapshot.sides.send.last_failure, None);
    assert_eq!(snapshot.sides.receive.last_failure, None);
    running.supervisor.stop().await;
}

#[tokio::test]
async fn the_configuration_of_the_demo_is_clean_and_can_be_reloaded() {
    let running = Running::start().await;
    assert_eq!(running.supervisor.config().warnings(), [""; 0]);
    running.supervisor.reload().await.expect("the file holds the same configuration");
    assert_eq!(running.supervisor.config().targets, running.demo.config().targets);
    running.supervisor.stop().await;
}

#[tokio::test]
async fn what_the_demo_made_is_gone_when_it_ends() {
    let demo = Demo::start().await.expect("the demo starts");
    let folder = demo.config_file().parent().expect("a folder").to_owned();
    assert!(demo.config().state_dir.starts_with(&folder));
    let port = demo.config().targets.values().next().expect("a target").send.endpoint.port;
    drop(demo);
    assert!(!folder.exists());
    let refused = async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, refused).await.expect("the servers end");
}

#[tokio::test]
async fn the_introduction_says_where_to_look_at_what_and_how_to_stop() {
    let demo = Demo::start().await.expect("the demo starts");
    let text =
        demo.introduction("127.0.0.1:9925".parse().unwrap(), &"/mail".parse().unwrap(), "/metrics");
    for expected in [
        "http://127.0.0.1:9925/mail/\n",
        "http://127.0.0.1:9925/mail/metrics",
        "Ctrl-C",
        "45s",
        "30s",
        "6s",
    ] {
        assert!(text.contains(expected), "{expected} is missing in {text}");
    }
    for name in demo.config().targets.keys() {
        assert!(text.contains(name.as_str()), "{name} is missing in {text}");
    }
    assert!(text.lines().all(|line| line.len() <= 100), "{text}");
}
