//! Secrets in files that change while the exporter runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ledger::Reason;
use mail::pop3::Waiting;
use mail::smtp::Smtp;
use mail::trace::Trace;
use mail::wire::{ConnectionContext, Dialer};
use mailtrip_exporter::config::{Target, TlsMode};
use tempfile::TempDir;
use testserver::faults::{CREDENTIALS, Fault, GREETING, Gate};
use testserver::record::Stats;
use testserver::{Certificate, Options, Protocol, Server};
use tokio::time::Instant;

use crate::support::logins::{log_in_to_receive, log_in_to_send};
use crate::support::{
    DEADLINE, Exporter, MAILBOXES, PASSWORD, TargetText, Trust, USER, World, config, protected,
    quoted,
};

const NEXT: &str = "n3xt pass &4";

/// Secrets as Kubernetes mounts them: `password` leads through `..data` to the folder of a version.
struct Volume(TempDir);

impl Volume {
    fn new(password: &str) -> Self {
        let volume = Self(tempfile::tempdir().unwrap());
        volume.swap("..1", password);
        symlink("..data/password", volume.path().join("password")).unwrap();
        volume
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The value of a key that names the file.
    fn file(&self) -> String {
        quoted(self.path().join("password").to_str().unwrap())
    }

    /// A new version, in one step.
    fn swap(&self, version: &str, password: &str) {
        let folder = self.path().join(version);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("password"), password).unwrap();
        let next = self.path().join("..data_tmp");
        symlink(version, &next).unwrap();
        fs::rename(next, self.path().join("..data")).unwrap();
    }

    fn target_text(&self, world: &World) -> TargetText {
        let text = world.target("a").unset("receive.password");
        text.set("send.username", "sam")
            .set("send.password_file", &self.file())
            .set("receive.password_file", &self.file())
    }

    fn target(&self, world: &World) -> Arc<Target> {
        config(&[self.target_text(world)]).targets.into_values().next().unwrap()
    }
}

fn set_password(world: &World, password: &str) {
    for user in ["sam", USER] {
        world.post.set_password(user, password);
    }
}

/// Changes the password and the file once the client of this session has read the file and is connected.
async fn rotate_meanwhile(server: &Server, world: &World, volume: &Volume, gate: &Gate) {
    let before = server.stats().connections;
    let is_connected = |stats: &Stats| stats.connections > before;
    assert!(server.wait_until(DEADLINE, is_connected).await);
    set_password(world, NEXT);
    volume.swap("..2", NEXT);
    gate.open();
}

fn held(server: &Server) -> Gate {
    let gate = Gate::default();
    server.faults().once(GREETING, Fault::Held(gate.clone()));
    gate
}

#[tokio::test]
async fn a_password_is_read_again_before_the_login_once_its_file_has_changed() {
    for protocol in MAILBOXES {
        let world = World::new(protocol).await;
        let volume = Volume::new(PASSWORD);
        let target = volume.target(&world);
        for (version, password) in [("..2", NEXT), ("..3", PASSWORD)] {
            set_password(&world, password);
            volume.swap(version, password);
            let (sent, said) = log_in_to_send(&target.send).await;
            assert_eq!(sent, Ok(()), "{said}");
            assert!(!said.contains("< 535"), "no login is refused: {said}");
            let (received, said) = log_in_to_receive(target.receive.as_ref().unwrap()).await;
            assert_eq!(received, Ok(()), "{said}");
            assert!(!said.contains("refused"), "no login is refused: {said}");
        }
    }
}

#[tokio::test]
async fn a_login_that_the_change_overtakes_is_made_again_with_the_new_password() {
    for protocol in MAILBOXES {
        let world = World::new(protocol).await;
        for server in [&world.smtp, &world.mailbox] {
            set_password(&world, PASSWORD);
            let volume = Volume::new(PASSWORD);
            let target = volume.target(&world);
            let gate = held(server);
            let login = async {
                match server.protocol() {
                    Protocol::Smtp => log_in_to_send(&target.send).await,
                    _ => log_in_to_receive(target.receive.as_ref().unwrap()).await,
                }
            };
            let rotation = rotate_meanwhile(server, &world, &volume, &gate);
            let ((outcome, said), ()) = tokio::join!(login, rotation);
            assert_eq!(outcome, Ok(()), "{said}");
            assert!(said.contains("the file holds another password"), "{said}");
            assert_eq!(said.matches("connected to").count(), 2, "{said}");
        }
    }
}

#[tokio::test]
async fn a_pop3_login_that_was_made_ready_is_made_again_with_the_new_password() {
    let world = World::new(Protocol::Pop3).await;
    let volume = Volume::new(PASSWORD);
    let receive = volume.target(&world).receive.clone().unwrap();
    let clients = ConnectionContext::default();
    let dialer = Dialer::new(&receive.endpoint, Some(&receive.login), &clients).unwrap();
    let trace = Trace::new(Some(&receive.login));
    let end = Instant::now() + DEADLINE;
    let waiting = Waiting::open(dialer, receive.login, trace.clone(), end).await.unwrap();
    set_password(&world, NEXT);
    volume.swap("..2", NEXT);
    let entered = waiting.enter(end).await;
    assert!(entered.is_ok(), "{:?}\n{}", entered.err(), trace.transcript());
}

#[tokio::test]
async fn a_corrected_password_is_shown_as_a_digest_again() {
    let trust = Trust::new();
    let options = protected(TlsMode::StartTls, &trust, Certificate::Good);
    let options = options.mechanisms(&["PLAIN", "CRAM-MD5"]);
    let world = World::with(Protocol::Imap, options, Options::new()).await;
    let volume = Volume::new("wrong");
    let text = volume.target_text(&world).protect("send", TlsMode::StartTls, &trust);
    let target = config(&[text]).targets.into_values().next().unwrap();
    let login = target.send.login.as_ref();
    let clients = ConnectionContext::default();
    let dialer = Dialer::new(&target.send.endpoint, login, &clients).unwrap();
    let log_in = || async {
        let end = Instant::now() + DEADLINE;
        Smtp::open(&dialer, login, None, Trace::new(login), end).await.map(drop)
    };
    world.smtp.faults().once(CREDENTIALS, Fault::reply("535 5.7.8 no"));
    assert_eq!(log_in().await.unwrap_err().reason, Reason::Auth);
    let passwords_shown = || {
        let sessions = world.smtp.sessions();
        sessions.iter().filter(|session| session.received_contains(b"AUTH PLAIN")).count()
    };
    assert_eq!(passwords_shown(), 1, "the first refusal of all may be for the digest");
    volume.swap("..2", "wrong, too");
    assert_eq!(log_in().await.unwrap_err().reason, Reason::Auth);
    assert_eq!(world.smtp.stats().logins_refused, 3, "one login more for the other password");
    volume.swap("..3", PASSWORD);
    for _ in 0..2 {
        assert_eq!(log_in().await, Ok(()));
    }
    assert_eq!(passwords_shown(), 1);
    assert_eq!(world.smtp.stats().logins_refused, 3);
}

#[tokio::test]
async fn a_refused_login_is_made_again_once_and_only_if_the_file_has_changed() {
    let world = World::new(Protocol::Imap).await;
    let volume = Volume::new(PASSWORD);
    let target = volume.target(&world);
    set_password(&world, "neither");
    let (outcome, said) = log_in_to_send(&target.send).await;
    assert_eq!(outcome.unwrap_err().reason, Reason::Auth);
    assert_eq!(said.matches("connected to").count(), 1, "{said}");
    let gate = held(&world.smtp);
    let rotation = async {
        rotate_meanwhile(&world.smtp, &world, &volume, &gate).await;
        set_password(&world, "neither");
    };
    // The gate lets the client on only after this task has waited, so the password is wrong by then.
    let ((outcome, said), ()) = tokio::join!(log_in_to_send(&target.send), rotation);
    assert_eq!(outcome.unwrap_err().reason, Reason::Auth);
    assert_eq!(said.matches("connected to").count(), 2, "{said}");
}

#[tokio::test]
async fn a_file_of_no_use_leaves_the_password_in_use_and_a_refusal_names_it() {
    let world = World::new(Protocol::Imap).await;
    let volume = Volume::new(PASSWORD);
    let target = volume.target(&world);
    volume.swap("..2", "");
    let (outcome, said) = log_in_to_send(&target.send).await;
    assert_eq!(outcome, Ok(()), "{said}");
    set_password(&world, NEXT);
    let failure = log_in_to_send(&target.send).await.0.unwrap_err();
    let path = volume.path().join("password");
    let named = format!("the password is an old one: {}: ", path.display());
    assert!(failure.message.contains(&named), "{failure}");
    assert!(failure.message.contains("an empty password"), "{failure}");
}

#[tokio::test]
async fn what_a_server_says_of_the_old_and_of_the_new_password_is_hidden() {
    let world = World::new(Protocol::Imap).await;
    let volume = Volume::new(PASSWORD);
    let target = volume.target(&world);
    volume.swap("..2", NEXT);
    set_password(&world, NEXT);
    let words = format!("535 5.7.8 {PASSWORD} was before {NEXT}");
    world.smtp.faults().on(CREDENTIALS, Fault::Reply(words));
    let failure = log_in_to_send(&target.send).await.0.unwrap_err();
    assert!(failure.message.contains("<secret> was before <secret>"), "{failure}");
}

#[tokio::test]
async fn an_exporter_whose_passwords_rotate_sees_no_failure() {
    for protocol in MAILBOXES {
        let world = World::new(protocol).await;
        let volume = Volume::new(PASSWORD);
        let text = volume.target_text(&world).set("interval", "1s");
        let exporter = Exporter::start(&[text]).await;
        let mut received = 0;
        for (version, password) in [("..2", NEXT), ("..3", PASSWORD)] {
            exporter.until("a", "received", |s| s.totals.received > received).await;
            set_password(&world, password);
            volume.swap(version, password);
            let seen = exporter.snapshot("a").totals.received;
            let after = exporter.until("a", "received", |s| s.totals.received > seen + 1).await;
            received = after.totals.received;
            let sides = [&after.sides.send, &after.sides.receive];
            let failures = sides.map(|side| side.last_failure.clone());
            assert!(failures.iter().all(Option::is_none), "{protocol:?}: {failures:?}");
        }
        let longest = Duration::from_secs(2);
        assert!(tokio::time::timeout(longest * 4, exporter.supervisor.stop()).await.is_ok());
    }
}
