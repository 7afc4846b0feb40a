//! Which way a test mail takes: by the MX of the recipient's domain as the outside world would, and to
//! a Postfix that takes internationalised addresses.
//!
//! A test of MX records starts itself again in namespaces of its own, where it is its own name server.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use domain::base::iana::{Class, Rcode};
use domain::base::name::Name;
use domain::base::{Message, MessageBuilder, Rtype, ToName, Ttl};
use domain::rdata::{A, Mx, Srv};
use ledger::{Reason, Step};
use testserver::Protocol;
use testserver::faults::Fault;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, UdpSocket};

use crate::embedded::routes::failure;
use crate::lab::namespace;
use crate::real::layers::run;
use crate::real::stack::target;
use crate::support::{Exporter, TargetText, World};

/// What the name server of a test knows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Record {
    Mx(&'static str, u16, &'static str),
    /// The name of a service, its port and its host.
    Srv(&'static str, u16, &'static str),
    A(&'static str, [u8; 4]),
}

/// A domain with two hosts, of which the first is preferred.
const TWO_HOSTS: &[Record] = &[
    Record::Mx("example.test", 10, "first.example.test"),
    Record::Mx("example.test", 20, "second.example.test"),
    Record::A("first.example.test", [127, 0, 0, 1]),
    Record::A("second.example.test", [127, 0, 0, 2]),
];

/// Runs the test again where it may be the name server of the machine; true in there.
fn is_inside(test: &str) -> bool {
    namespace::is_inside(&format!("real::routes::{test}"), &["--net"], &[])
}

/// Answers questions to the machine's name servers until the test ends: in here their addresses are
/// its own. That leaves `/etc/resolv.conf` as it is.
pub(super) async fn serve_names(records: &'static [Record]) {
    take_name_servers();
    for address in name_servers() {
        let socket = UdpSocket::bind((address, 53)).await.unwrap();
        tokio::spawn(async move {
            let mut question = [0; 1500];
            while let Ok((length, asker)) = socket.recv_from(&mut question).await {
                let answer = answer(&question[..length], records);
                socket.send_to(&answer, asker).await.unwrap();
            }
        });
    }
}

/// Gives this network the addresses of the machine's name servers.
pub(crate) fn take_name_servers() {
    run("ip", &["link", "set", "lo", "up"], "");
    for address in name_servers().iter().filter(|address| !address.is_loopback()) {
        let nodad: &[&str] = if address.is_ipv6() { &["nodad"] } else { &[] };
        let address = address.to_string();
        run("ip", &[&["address", "add", &address, "dev", "lo"], nodad].concat(), "");
    }
}

/// The addresses in `/etc/resolv.conf`, or the one that holds where there are none.
pub(crate) fn name_servers() -> BTreeSet<IpAddr> {
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let named = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let servers: BTreeSet<IpAddr> = named.filter_map(|word| word.trim().parse().ok()).collect();
    if servers.is_empty() { BTreeSet::from([Ipv4Addr::LOCALHOST.into()]) } else { servers }
}

fn answer(question: &[u8], records: &[Record]) -> Vec<u8> {
    let question = Message::from_octets(question.to_vec()).unwrap();
    let asked = question.sole_question().unwrap();
    let name = |text: &str| Name::<Vec<u8>>::from_str(text).unwrap();
    let is_known = |record: &Record| {
        let (Record::Mx(owner, ..) | Record::Srv(owner, ..) | Record::A(owner, _)) = record;
        asked.qname().name_eq(&name(owner))
    };
    let known: Vec<&Record> = records.iter().filter(|record| is_known(record)).collect();
    let code = if known.is_empty() { Rcode::NXDOMAIN } else { Rcode::NOERROR };
    let mut answer = MessageBuilder::new_vec().start_answer(&question, code).unwrap();
    for record in known {
        let (ttl, class) = (Ttl::from_secs(60), Class::IN);
        match *record {
            Record::Mx(owner, preference, host) if asked.qtype() == Rtype::MX => {
                let data = Mx::new(preference, name(host));
                answer.push((name(owner), class, ttl, data)).unwrap();
            }
            Record::Srv(owner, port, host) if asked.qtype() == Rtype::SRV => {
                let data = Srv::new(0, 1, port, name(host));
                answer.push((name(owner), class, ttl, data)).unwrap();
            }
            Record::A(owner, address) if asked.qtype() == Rtype::A => {
                answer.push((name(owner), class, ttl, A::new(Ipv4Addr::from(address)))).unwrap();
            }
            _ => {}
        }
    }
    answer.finish()
}

/// Greets everybody on this address with one line, and hangs up.
async fn greet(address: SocketAddr, line: &'static str) {
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let _ = client.write_all(format!("{line}\r\n").as_bytes()).await;
        }
    });
}

/// A target whose mail goes to the MX of the recipient's domain, on the port of this server.
fn by_mx(world: &World, to: &str) -> TargetText {
    let target = world.target("a").set("to", to).unset("send.host");
    target.set("send.mx", "true").set("send.port", &world.smtp.port().to_string())
}

#[tokio::test]
async fn mail_goes_to_the_hosts_of_the_domain_in_their_order() {
    if !is_inside("mail_goes_to_the_hosts_of_the_domain_in_their_order") {
        return;
    }
    serve_names(&[
        Record::Mx("example.test", 30, "third.example.test"),
        Record::Mx("example.test", 10, "first.example.test"),
        Record::Mx("example.test", 20, "second.example.test"),
        Record::Mx("example.test", 5, "nowhere.example.test"),
        Record::A("first.example.test", [127, 0, 0, 2]),
        Record::A("second.example.test", [127, 0, 0, 3]),
        Record::A("third.example.test", [127, 0, 0, 1]),
    ])
    .await;
    let world = World::new(Protocol::Imap).await;
    // Nobody listens at the first; the second has no time.
    greet(([127, 0, 0, 3], world.smtp.port()).into(), "421 busy").await;
    let exporter = Exporter::start(&[by_mx(&world, "to@example.test")]).await;
    let snapshot = exporter.received("a", 1).await;
    assert_eq!(snapshot.sides.send.last_failure, None, "a host that took the mail is no failure");
    let address = snapshot.sides.send.address.unwrap();
    assert_eq!(address.ip(), Ipv4Addr::LOCALHOST);
    let evidence = exporter.supervisor.details("a", 0).unwrap().evidence;
    let mut transcripts = evidence.transcripts.iter().filter_map(|one| one.text.as_deref());
    let transcript = transcripts.find(|text| text.contains("MAIL FROM")).unwrap();
    let position =
        |words: &str| transcript.find(words).unwrap_or_else(|| panic!("{words}: {transcript}"));
    let tried = ["MX 5 nowhere.example.test", "MX 10 first", "MX 20 second", "MX 30 third"];
    assert!(tried.map(position).is_sorted(), "{transcript}");
}

#[tokio::test]
async fn the_word_of_a_host_that_is_ready_counts() {
    if !is_inside("the_word_of_a_host_that_is_ready_counts") {
        return;
    }
    serve_names(TWO_HOSTS).await;
    let world = World::new(Protocol::Imap).await;
    world.smtp.faults().on("RCPT", Fault::reply("550 5.7.1 not wanted"));
    let listener = TcpListener::bind(("127.0.0.2", world.smtp.port())).await.unwrap();
    let failure = failure(by_mx(&world, "to@example.test")).await;
    assert_eq!((failure.step, failure.reason), (Step::Envelope, Reason::Rejected), "{failure}");
    let second = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
    assert!(second.is_err(), "the second host was asked as well");
}

#[tokio::test]
async fn the_host_that_came_furthest_tells_the_reason() {
    if !is_inside("the_host_that_came_furthest_tells_the_reason") {
        return;
    }
    serve_names(TWO_HOSTS).await;
    let world = World::new(Protocol::Imap).await;
    // The first offers no TLS, and nobody listens at the second.
    let target = by_mx(&world, "to@example.test").set("send.tls", "starttls");
    let failure = failure(target).await;
    let expected = (Step::Tls, Reason::Tls, false);
    assert_eq!((failure.step, failure.reason, failure.down), expected, "{failure}");
    assert!(failure.message.contains("MX 20 second.example.test: cannot connect"), "{failure}");
}

#[tokio::test]
async fn a_domain_without_mx_is_its_own_host() {
    if !is_inside("a_domain_without_mx_is_its_own_host") {
        return;
    }
    serve_names(&[Record::A("example.test", [127, 0, 0, 1])]).await;
    let world = World::new(Protocol::Imap).await;
    Exporter::start(&[by_mx(&world, "to@example.test")]).await.received("a", 1).await;
}

#[tokio::test]
async fn a_domain_that_cannot_be_reached_says_why() {
    if !is_inside("a_domain_that_cannot_be_reached_says_why") {
        return;
    }
    serve_names(&[
        Record::Mx("null.test", 0, "."),
        Record::Mx("down.test", 10, "one.down.test"),
        Record::Mx("down.test", 20, "two.down.test"),
        Record::A("one.down.test", [127, 0, 0, 7]),
        Record::A("two.down.test", [127, 0, 0, 8]),
    ])
    .await;
    let world = World::new(Protocol::Imap).await;
    let null = failure(by_mx(&world, "to@null.test")).await;
    assert_eq!((null.step, null.reason, null.down), (Step::Dns, Reason::Dns, false), "{null}");
    assert!(null.message.contains("takes no mail"), "{null}");
    let unknown = failure(by_mx(&world, "to@unknown.test")).await;
    assert_eq!((unknown.reason, unknown.down), (Reason::Dns, true), "{unknown}");
    let down = failure(by_mx(&world, "to@down.test")).await;
    let expected = (Step::Connect, Reason::Refused, true);
    assert_eq!((down.step, down.reason, down.down), expected, "{down}");
    for host in ["MX 10 one.down.test: ", "MX 20 two.down.test: "] {
        assert!(down.message.contains(host), "{down}");
    }
}

#[tokio::test]
async fn postfix_takes_an_address_beyond_ascii() {
    let lab = crate::lab::Lab::shared().await;
    let account = lab.user("routes-utf8", "secret").await;
    let target = target(lab, "a", &account).set("from", "grüße@lab.test").every("5m");
    let exporter = Exporter::start(&[target]).await;
    let accepted = exporter.until("a", "accepted", |snapshot| snapshot.totals.accepted == 1);
    assert_eq!(accepted.await.sides.send.last_failure, None);
}
