use std::time::Duration;

use domain::base::iana::{Class, TlsaCertificateUsage, TlsaMatchingType, TlsaSelector};
use domain::base::rdata::ComposeRecordData;
use domain::base::{MessageBuilder, Ttl};
use domain::rdata::Tlsa as TlsaData;
use tokio::net::UdpSocket;

use super::*;

fn name(text: &str) -> Name<Vec<u8>> {
    text.parse().unwrap()
}

/// An answer with these records.
fn answer<D: ComposeRecordData>(
    code: Rcode,
    records: impl IntoIterator<Item = D>,
) -> Message<Vec<u8>> {
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_qr(true);
    message.header_mut().set_ad(true);
    message.header_mut().set_rcode(code);
    let mut message = message.question().answer();
    for record in records {
        message.push((name("example.com"), Class::IN, Ttl::from_secs(60), record)).unwrap();
    }
    message.into_message()
}

fn found<D: ComposeRecordData>(records: impl IntoIterator<Item = D>) -> Message<Vec<u8>> {
    answer(Rcode::NOERROR, records)
}

#[test]
fn services_come_in_the_order_in_which_they_are_tried() {
    let service = |priority, weight, port, host| SrvData::new(priority, weight, port, name(host));
    let answer = found([
        service(20, 0, 465, "backup.example."),
        service(10, 5, 465, "b.example."),
        service(10, 60, 465, "A.Example."),
        service(10, 5, 465, "a2.example."),
    ]);
    let hosts: Vec<String> =
        services(&answer).unwrap().list.into_iter().map(|service| service.host).collect();
    assert_eq!(hosts, ["a.example", "a2.example", "b.example", "backup.example"]);
    let not_offered = services(&found([service(0, 0, 0, ".")])).unwrap().list;
    assert_eq!(not_offered, [Service { priority: 0, weight: 0, port: 0, host: String::new() }]);
}

#[test]
fn the_strings_of_a_text_are_one_and_texts_are_not() {
    let text = |text: &[u8]| Txt::<Vec<u8>>::build_from_slice(text).unwrap();
    let long = "v=DKIM1; p=".to_owned() + &"A".repeat(500);
    let answer = found([text(long.as_bytes()), text(b"other"), text(b"\xff")]);
    assert_eq!(texts(&answer).unwrap().list, [long.as_str(), "other", "\u{fffd}"]);
}

#[test]
fn every_kind_is_read() {
    let address: Ipv4Addr = "192.0.2.1".parse().unwrap();
    assert_eq!(ipv4(&found([A::new(address)])).unwrap().list, [address]);
    let address: Ipv6Addr = "2001:db8::1".parse().unwrap();
    assert_eq!(ipv6(&found([Aaaa::new(address)])).unwrap().list, [address]);
    let answer =
        found([MxData::new(20, name("mx2.example")), MxData::new(10, name("MX1.example"))]);
    let hosts: Vec<String> =
        exchangers(&answer).unwrap().list.into_iter().map(|mx| mx.to_string()).collect();
    assert_eq!(hosts, ["MX 10 mx1.example", "MX 20 mx2.example"]);
    assert_eq!(pointers(&found([Ptr::new(name("Mail.example."))])).unwrap().list, ["mail.example"]);
    let (usage, selector) = (TlsaCertificateUsage::from_int(3), TlsaSelector::from_int(1));
    let answer = found([TlsaData::new(usage, selector, TlsaMatchingType::from_int(9), vec![7_u8])]);
    let expected = Tlsa { usage: 3, selector: 1, matching: 9, data: vec![7] };
    assert_eq!(tlsa(&answer).unwrap().list, [expected]);
    // Another kind than the one that was asked for, as an alias.
    assert!(ipv6(&answer).unwrap().list.is_empty());
}

#[test]
fn no_such_name_and_no_such_record_are_answers_and_an_error_is_none() {
    let none = |code| ipv4(&answer(code, [] as [A; 0]));
    let (empty, absent) = (none(Rcode::NOERROR).unwrap(), none(Rcode::NXDOMAIN).unwrap());
    assert!(empty.list.is_empty() && empty.has_name);
    assert!(absent.list.is_empty() && !absent.has_name);
    for code in [Rcode::SERVFAIL, Rcode::REFUSED] {
        let fault = none(code).unwrap_err();
        assert_eq!(
            (fault.reason, fault.message),
            (Reason::Dns, format!("the name server says {code}"))
        );
    }
}

#[test]
fn what_is_too_much_is_left_out_and_said_to_be() {
    let many = found((0..=MOST_RECORDS).map(|last| A::new([192, 0, 2, last as u8].into())));
    let records = ipv4(&many).unwrap();
    assert_eq!((records.list.len(), records.is_whole), (MOST_RECORDS, false));
    let text = Txt::<Vec<u8>>::build_from_slice(&[b'x'; 10_000]).unwrap();
    let records = texts(&found([text.clone(), text])).unwrap();
    assert_eq!((records.list.len(), records.is_whole), (1, false));
    assert!(ipv4(&found([A::new([192, 0, 2, 1].into())])).unwrap().is_whole);
}

/// A name server that answers one question with an address, as validated, and tells how each asked.
async fn server() -> (SocketAddr, tokio::task::JoinHandle<(bool, bool)>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let mut buffer = [0; 1500];
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let query = Message::from_octets(&buffer[..length]).unwrap();
        let mut answer = MessageBuilder::new_vec().start_answer(&query, Rcode::NOERROR).unwrap();
        answer.header_mut().set_ad(true);
        let question = query.sole_question().unwrap();
        let data = A::new([192, 0, 2, 1].into());
        answer.push((question.qname(), Class::IN, Ttl::from_secs(60), data)).unwrap();
        socket.send_to(&answer.finish(), from).await.unwrap();
        (query.header().ad(), query.opt().is_some())
    });
    (address, heard)
}

#[tokio::test]
async fn a_name_server_of_this_machine_is_asked_whether_it_validated_and_believed() {
    let (address, heard) = server().await;
    let end = Instant::now() + Duration::from_secs(30);
    let records = Resolver::of_server(address).ipv4("mail.example", end).await.unwrap();
    assert_eq!(records.list, [Ipv4Addr::new(192, 0, 2, 1)]);
    assert!(records.is_authentic);
    assert_eq!(heard.await.unwrap(), (true, true), "asked without AD or EDNS");
}

#[tokio::test]
async fn silence_is_no_answer_and_its_words_do_not_hold_the_name() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = Resolver::of_server(socket.local_addr().unwrap());
    let end = Instant::now() + Duration::from_millis(200);
    let fault = resolver.texts("secret.example", end).await.unwrap_err();
    assert_eq!((fault.reason, fault.down), (Reason::Timeout, true));
    let end = Instant::now() + Duration::from_secs(1);
    let long = format!("{}.example", "x".repeat(64));
    let fault = resolver.texts(&long, end).await.unwrap_err();
    assert!(!fault.message.contains("xx"), "{}", fault.message);
}
