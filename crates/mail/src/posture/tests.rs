use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::base::iana::{Class, Rcode};
use domain::base::name::Name;
use domain::base::{Message, MessageBuilder, Rtype, Ttl};
use domain::rdata::{A, Cname, Mx, Ptr, Txt};
use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

use super::*;

/// What the name server of a test knows.
#[derive(Clone)]
enum Record {
    Text(String),
    A([u8; 4]),
    Mx(&'static str),
    Alias(&'static str),
    Ptr(&'static str),
    /// The answer does not stand up to DNSSEC: it is there for those who do not want it validated.
    Bogus,
    /// The zone's own name servers do not answer.
    Broken,
    /// The same, the first time.
    BrokenOnce,
}

fn text(text: &str) -> Record {
    Record::Text(text.to_owned())
}

/// A name server of this machine, the questions that it has heard, and its end.
struct Server {
    resolver: Resolver,
    heard: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

async fn server(records: &[(&str, Record)]) -> Server {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = socket.local_addr().unwrap();
    let mut known: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for (name, record) in records {
        known.entry((*name).to_owned()).or_default().push(record.clone());
    }
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&heard);
    let task = tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let query = Message::from_octets(buffer[..length].to_vec()).unwrap();
            let question = query.sole_question().unwrap();
            let name = question.qname().to_string().to_ascii_lowercase();
            log.lock().unwrap().push(format!("{} {name}", question.qtype()));
            let mut records = known.get(&name).cloned().unwrap_or_default();
            let is_first = log.lock().unwrap().iter().filter(|it| it.ends_with(&name)).count() == 1;
            if is_first && records.iter().any(|it| matches!(it, Record::BrokenOnce)) {
                records = vec![Record::Broken];
            }
            socket.send_to(&answer(&query, &records, question.qtype()), from).await.unwrap();
        }
    });
    let _task = AbortOnDropHandle::new(task);
    Server { resolver: Resolver::of_server(address).telling_bogus(), heard, _task }
}

fn answer(query: &Message<Vec<u8>>, records: &[Record], kind: Rtype) -> Vec<u8> {
    let is = |wanted: fn(&Record) -> bool| records.iter().any(wanted);
    let is_bogus = is(|record| matches!(record, Record::Bogus)) && !query.header().cd();
    let code = match () {
        () if is_bogus || is(|record| matches!(record, Record::Broken)) => Rcode::SERVFAIL,
        () if records.is_empty() => Rcode::NXDOMAIN,
        () => Rcode::NOERROR,
    };
    let mut answer = MessageBuilder::new_vec().start_answer(query, code).unwrap();
    let owner = query.sole_question().unwrap();
    let (owner, class, ttl) = (owner.qname(), Class::IN, Ttl::from_secs(60));
    let name = |text: &str| text.parse::<Name<Vec<u8>>>().unwrap();
    for record in records {
        match record {
            Record::Text(text) if kind == Rtype::TXT => {
                let data = Txt::<Vec<u8>>::build_from_slice(text.as_bytes()).unwrap();
                answer.push((owner, class, ttl, data)).unwrap();
            }
            Record::A(address) if kind == Rtype::A => {
                answer.push((owner, class, ttl, A::new(Ipv4Addr::from(*address)))).unwrap();
            }
            Record::Mx(host) if kind == Rtype::MX => {
                answer.push((owner, class, ttl, Mx::new(10, name(host)))).unwrap();
            }
            Record::Alias(other) if kind == Rtype::CNAME => {
                answer.push((owner, class, ttl, Cname::new(name(other)))).unwrap();
            }
            Record::Ptr(other) if kind == Rtype::PTR => {
                answer.push((owner, class, ttl, Ptr::new(name(other)))).unwrap();
            }
            _ => {}
        }
    }
    answer.finish()
}

impl Server {
    fn means<'a>(&'a self, clients: &'a ConnectionContext) -> Means<'a> {
        let end = Instant::now() + Duration::from_secs(30);
        Means { resolver: &self.resolver, clients, end }
    }

    fn heard(&self) -> usize {
        self.heard.lock().unwrap().len()
    }
}

async fn spf_of(records: &[(&str, Record)]) -> (Outcome, usize) {
    let server = server(records).await;
    let clients = ConnectionContext::default();
    let outcome = spf("send.example", server.means(&clients)).await;
    (outcome, server.heard())
}

#[tokio::test]
async fn look_ups_are_counted_in_all_records_and_end_with_the_eleventh() {
    let own = text("v=spf1 include:a.example a mx -all");
    let addressed = ("send.example", Record::A([192, 0, 2, 1]));
    let served = ("send.example", Record::Mx("mx.example"));
    let other = |text: &str| ("a.example", Record::Text(text.to_owned()));
    let of = async |text: &str| {
        spf_of(&[("send.example", own.clone()), addressed.clone(), served.clone(), other(text)])
            .await
    };
    let (ten, _) = of("v=spf1 ptr ptr ptr ptr ptr ptr exists:%{i}.x.example ?all").await;
    assert_eq!(ten.is_well, Reading::Is(true), "{ten:?}");
    assert!(ten.words.contains("10 look-ups"), "{ten:?}");
    let (eleven, _) = of("v=spf1 ptr ptr ptr ptr ptr ptr ptr exists:%{i}.x.example ?all").await;
    assert!(eleven.words.contains("the eleventh is in the record of a.example"), "{eleven:?}");
    // A circle ends as well, and asks no more than that.
    let (circle, heard) = of("v=spf1 include:send.example include:send.example -all").await;
    assert_eq!(circle.is_well, Reading::Is(false), "{circle:?}");
    assert!(heard < 40, "{heard} questions");
    let (nothing, _) = of("v=spf1 a:x1.example a:x2.example exists:x3.example -all").await;
    assert!(
        nothing.words.contains("find nothing: x1.example, x2.example, x3.example"),
        "{nothing:?}"
    );
    let (gone, _) = spf_of(&[("send.example", own.clone()), addressed, served]).await;
    assert!(gone.words.contains("a.example, whose record"), "{gone:?}");
}

#[tokio::test]
async fn a_record_that_lets_everybody_pass_is_found_behind_another() {
    for (own, other, expected) in [
        ("v=spf1 redirect=a.example", "v=spf1 +all", false),
        ("v=spf1 include:a.example -all", "v=spf1 all", false),
        ("v=spf1 include:a.example -all", "v=spf1 ip4:0.0.0.0/0 -all", false),
        ("v=spf1 ?include:a.example -all", "v=spf1 all", true),
    ] {
        let (outcome, _) = spf_of(&[("send.example", text(own)), ("a.example", text(other))]).await;
        assert_eq!(outcome.is_well, Reading::Is(expected), "{own}: {outcome:?}");
        assert_eq!(outcome.words.contains("record of a.example"), !expected, "{outcome:?}");
    }
}

#[tokio::test]
async fn without_an_answer_nothing_is_known_and_a_bogus_one_is_a_failure() {
    let clients = ConnectionContext::default();
    for (record, expected) in [
        (Record::Broken, Reading::Unmeasured),
        // What has passed a moment later is no matter of DNSSEC.
        (Record::BrokenOnce, Reading::Is(true)),
        (Record::Bogus, Reading::Is(false)),
    ] {
        let name = "_dmarc.send.example";
        let server = server(&[(name, record), (name, text("v=DMARC1; p=reject"))]).await;
        let outcome = dmarc("send.example", server.means(&clients)).await;
        assert_eq!(outcome.is_well, expected, "{outcome:?}");
        assert_eq!(outcome.words.contains("DNSSEC"), expected == Reading::Is(false), "{outcome:?}");
    }
}

#[tokio::test]
async fn the_record_of_the_nearest_name_counts() {
    let clients = ConnectionContext::default();
    let strict = ("_dmarc.example.com", text("v=DMARC1; p=reject"));
    let above = server(std::slice::from_ref(&strict)).await;
    let outcome = dmarc("a.b.example.com", above.means(&clients)).await;
    assert!(outcome.words.starts_with("_dmarc.example.com: v=DMARC1"), "{outcome:?}");
    let broken = ("_dmarc.a.b.example.com", text("v=DMARC1; q=reject"));
    let both = server(&[strict, broken]).await;
    let outcome = dmarc("a.b.example.com", both.means(&clients)).await;
    assert_eq!(outcome.is_well, Reading::Is(false), "{outcome:?}");
}

#[tokio::test]
async fn a_domain_that_takes_no_mail_is_visited_by_nobody() {
    let clients = ConnectionContext::default();
    let server = server(&[("receive.example", Record::Mx("."))]).await;
    let found = receiving("receive.example", true, server.means(&clients)).await;
    let states: Vec<_> = found.iter().map(|(check, outcome)| (*check, outcome.is_well)).collect();
    let unknown = Reading::Unmeasured;
    assert_eq!(
        states,
        [(Check::Mx, Reading::Is(false)), (Check::Dane, unknown), (Check::MtaSts, unknown),]
    );
}

#[tokio::test]
async fn a_host_that_is_an_alias_or_does_not_exist_fails_though_nobody_is_met() {
    let clients = ConnectionContext::default();
    for (record, part) in [
        (
            ("mx.invalid", Record::Alias("other.invalid")),
            "mx.invalid is an alias (CNAME) of other.invalid",
        ),
        (("mx2.invalid", Record::A([192, 0, 2, 1])), "mx.invalid does not exist"),
        (("mx.invalid", text("x")), "mx.invalid has no address"),
    ] {
        let server = server(&[("receive.example", Record::Mx("mx.invalid")), record]).await;
        let (_, outcome) =
            receiving("receive.example", false, server.means(&clients)).await.remove(0);
        assert_eq!(outcome.is_well, Reading::Is(false), "{outcome:?}");
        assert!(outcome.words.contains(part), "{outcome:?}");
    }
}

#[tokio::test]
async fn only_signatures_of_the_domain_itself_count() {
    let clients = ConnectionContext::default();
    let key = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    let server = server(&[("s1._domainkey.send.example", text(key))]).await;
    let of = |domain: &str, selector: &str| Signature {
        domain: domain.to_owned(),
        selector: selector.to_owned(),
    };
    for (signatures, expected) in [
        (vec![], Reading::Unmeasured),
        (vec![of("relay.example", "x")], Reading::Unmeasured),
        (vec![of("relay.example", "x"), of("send.example", "s1")], Reading::Is(true)),
        (vec![of("send.example", "s1"), of("send.example", "s2")], Reading::Is(false)),
    ] {
        let outcome = dkim("mail.send.example", &signatures, server.means(&clients)).await;
        assert_eq!(outcome.is_well, expected, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_name_has_to_lead_back_to_the_address() {
    let clients = ConnectionContext::default();
    let address = IpAddr::from([198, 51, 100, 7]);
    let named = ("7.100.51.198.in-addr.arpa", Record::Ptr("out.example"));
    for (back, expected) in [
        (Record::A([198, 51, 100, 7]), Reading::Is(true)),
        (Record::A([198, 51, 100, 8]), Reading::Is(false)),
        (Record::Broken, Reading::Unmeasured),
    ] {
        let server = server(&[named.clone(), ("out.example", back)]).await;
        let outcome = ptr(&[address], server.means(&clients)).await;
        assert_eq!(outcome.is_well, expected, "{outcome:?}");
    }
    let nameless = server(&[]).await;
    let outcome = ptr(&[address], nameless.means(&clients)).await;
    assert!(outcome.words.contains("198.51.100.7 has no name"), "{outcome:?}");
}

#[test]
fn each_check_has_a_label_and_a_remedy_of_its_own() {
    for check in Check::ALL {
        assert_eq!(Check::of_label(check.label()), Some(check));
        assert!(!check.remedy().ends_with('.') && check.remedy().len() > 40, "{check:?}");
    }
    assert_eq!(Check::of_label("weather"), None);
}
