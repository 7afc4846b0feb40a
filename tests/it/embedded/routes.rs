//! Which way a test mail takes, and under which addresses: to internationalised names and addresses,
//! over either family.

use std::sync::Arc;

use ledger::{Failure, Reason, Step};
use testserver::{Options, Protocol, Server};

use crate::support::{Exporter, PASSWORD, TargetText, World, dialogues};

/// The failure of the first send.
pub(crate) async fn failure(target: TargetText) -> Failure {
    let snapshot = Exporter::start(&[target]).await.measured("a").await;
    let failure =
        snapshot.sides.send.last_failure.clone().unwrap_or_else(|| panic!("nothing failed")).1;
    Arc::unwrap_or_clone(failure)
}

#[tokio::test]
async fn an_address_beyond_ascii_goes_to_a_server_that_offers_it() {
    let world = World::new(Protocol::Imap).await;
    world.post.add_account("erik", PASSWORD, &["jörg@example.test"]);
    world.smtp.faults().offer("SMTPUTF8");
    let target = world.target("a").set("from", "grüße@example.test");
    let target = target.set("to", "jörg@example.test").set("receive.username", "erik");
    Exporter::start(&[target]).await.received("a", 1).await;
    let said = String::from_utf8_lossy(&dialogues(&world.smtp).remove(0).received).into_owned();
    assert!(said.contains("MAIL FROM:<grüße@example.test> BODY=8BITMIME SMTPUTF8\r\n"), "{said}");
    assert!(said.contains("RCPT TO:<jörg@example.test>\r\n"), "{said}");
    // RFC 6532: as it is, not encoded.
    assert!(said.contains("\r\nFrom: grüße@example.test\r\n"), "{said}");
    assert!(said.contains("\r\nTo: jörg@example.test\r\n"), "{said}");
}

#[tokio::test]
async fn a_server_that_cannot_take_an_address_is_not_asked() {
    let world = World::new(Protocol::Imap).await;
    let failure = failure(world.target("a").set("to", "jörg@example.test")).await;
    assert_eq!((failure.step, failure.reason), (Step::Envelope, Reason::Other), "{failure}");
    assert!(failure.message.contains("jörg@example.test needs a server that offers SMTPUTF8"));
    for session in world.smtp.sessions() {
        assert!(!session.received_contains(b"MAIL"), "nothing was to be said");
    }
}

#[tokio::test]
async fn a_domain_beyond_ascii_goes_to_every_server() {
    let world = World::new(Protocol::Imap).await;
    world.post.add_account("ida", PASSWORD, &["to@xn--mller-kva.example"]);
    let target = world.target("a").set("to", "to@MÜLLER.example").set("receive.username", "ida");
    Exporter::start(&[target]).await.received("a", 1).await;
    let said = String::from_utf8_lossy(&dialogues(&world.smtp).remove(0).received).into_owned();
    assert!(said.contains("RCPT TO:<to@xn--mller-kva.example>\r\n"), "{said}");
    assert!(!said.contains("SMTPUTF8"), "{said}");
}

#[tokio::test]
async fn a_name_with_an_address_in_each_family_is_reached_by_the_one_that_answers() {
    // `localhost` is ::1 and 127.0.0.1; the embedded server listens on the latter alone.
    let world = World::with(Protocol::Imap, Options::new(), Options::new()).await;
    let target = world.target("a").set("send.host", "localhost").set("receive.host", "localhost");
    let exporter = Exporter::start(&[target]).await;
    let snapshot = exporter.received("a", 1).await;
    for (side, server) in
        [(&snapshot.sides.send, &world.smtp), (&snapshot.sides.receive, &world.mailbox)]
    {
        assert_eq!(side.address, Some(Server::address(server)), "{snapshot:#?}");
    }
}
