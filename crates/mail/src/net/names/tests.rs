use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Mutex;

use domain::base::iana::Class;
use domain::base::message::Message;
use domain::base::{MessageBuilder, ToName, Ttl};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A system of its own: its files, and a resolver that goes by them.
struct Bench {
    folder: tempfile::TempDir,
    names: Arc<Names>,
}

impl Bench {
    fn new(server: SocketAddr, system: System) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let files = Files {
            resolv_conf: file("resolv.conf"),
            hosts: file("hosts"),
            nsswitch: file("nsswitch.conf"),
            port: server.port(),
        };
        let names = Arc::new(Names::new(files, system));
        let bench = Self { folder, names };
        bench.write("resolv.conf", &format!("nameserver {}\nsearch .\n", server.ip()));
        bench.write("nsswitch.conf", "hosts: files dns\n");
        bench
    }

    /// One whose system must not be asked.
    fn with(server: SocketAddr) -> Self {
        Self::new(server, System::full())
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    async fn ask(
        &self,
        host: &str,
        family: IpFamily,
        wait: Duration,
    ) -> Result<Vec<String>, Fault> {
        let found = self.names.addresses(host, family, Instant::now() + wait).await?;
        Ok(found.into_iter().map(|address| address.to_string()).collect())
    }

    async fn v4(&self, host: &str) -> Result<Vec<String>, Fault> {
        self.ask(host, IpFamily::V4, SECOND * 30).await
    }
}

/// A name server that hears questions and never answers.
struct Silent {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Silent {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        Self { socket, address }
    }

    /// From where the questions came since the last time, one for each.
    fn heard(&self) -> Vec<SocketAddr> {
        let mut buffer = [0; 512];
        let mut heard = Vec::new();
        while let Ok((_, from)) = self.socket.recv_from(&mut buffer) {
            heard.push(from);
        }
        heard
    }
}

/// What a name server says to a question.
#[derive(Clone, Copy)]
enum Say {
    Address([u8; 4]),
    NoName,
    /// All of it by TCP only.
    CutShort([u8; 4]),
    Code(Rcode),
}

/// A name server that answers; questions that it heard, in their order.
struct Server {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn new(ip: &str, port: u16, say: fn(&str) -> Say) -> Self {
        // A port that is free for both.
        let (udp, tcp) = loop {
            let udp = tokio::net::UdpSocket::bind((ip, port)).await.unwrap();
            let address = udp.local_addr().unwrap();
            if let Ok(tcp) = tokio::net::TcpListener::bind(address).await {
                break (udp, tcp);
            }
            assert_eq!(port, 0);
        };
        let address = udp.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let log = Arc::clone(&heard);
        tasks.spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                let answer = answer(&buffer[..length], say, false, &log);
                // What answers no question is passed over.
                udp.send_to(b"nonsense", from).await.unwrap();
                udp.send_to(&answer, from).await.unwrap();
            }
        });
        let log = Arc::clone(&heard);
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let length = stream.read_u16().await.unwrap();
                let mut query = vec![0; length.into()];
                stream.read_exact(&mut query).await.unwrap();
                let answer = answer(&query, say, true, &log);
                stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        });
        Self { address, heard, _tasks: tasks }
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

fn answer(query: &[u8], say: fn(&str) -> Say, by_tcp: bool, log: &Mutex<Vec<String>>) -> Vec<u8> {
    let query = Message::from_octets(query).unwrap();
    let question = query.sole_question().unwrap();
    let name: Name<Vec<u8>> = question.qname().to_name();
    let edns = if query.opt().is_some() { " edns" } else { "" };
    let way = if by_tcp { " tcp" } else { "" };
    let name = name.to_string();
    log.lock().unwrap().push(format!("{} {name}{edns}{way}", question.qtype()));
    let (code, address) = match say(name.trim_end_matches('.')) {
        Say::Address(address) => (Rcode::NOERROR, Some(address)),
        Say::CutShort(address) => (Rcode::NOERROR, by_tcp.then_some(address)),
        Say::NoName => (Rcode::NXDOMAIN, None),
        Say::Code(code) => (code, None),
    };
    let is_cut = matches!(say(name.trim_end_matches('.')), Say::CutShort(_)) && !by_tcp;
    let mut message = MessageBuilder::new_vec().start_answer(&query, code).unwrap();
    message.header_mut().set_tc(is_cut);
    if let Some(address) = address.filter(|_| question.qtype() == Rtype::A) {
        let data = A::new(address.into());
        message.push((question.qname(), Class::IN, Ttl::from_secs(60), data)).unwrap();
    }
    message.finish()
}

#[tokio::test(start_paused = true)]
async fn literals_and_the_hosts_file_ask_nobody() {
    let silent = Silent::new();
    let bench = Bench::with(silent.address);
    bench.write("hosts", "192.0.2.7 mail.example mail\n2001:db8::7 mail.example\n");
    let any = |host: &'static str| bench.ask(host, IpFamily::Any, SECOND);
    assert_eq!(any("192.0.2.1").await.unwrap(), ["192.0.2.1"]);
    assert_eq!(any("2001:db8::1").await.unwrap(), ["2001:db8::1"]);
    assert_eq!(any("mail").await.unwrap(), ["192.0.2.7"]);
    let both: BTreeSet<String> = any("MAIL.example.").await.unwrap().into_iter().collect();
    assert_eq!(both, ["192.0.2.7", "2001:db8::7"].map(String::from).into());
    assert_eq!(bench.v4("mail.example").await.unwrap(), ["192.0.2.7"]);
    assert_eq!(bench.v4("localhost").await.unwrap(), ["127.0.0.1"]);
    let fault = any("no-such-host.invalid").await.unwrap_err();
    assert_eq!((fault.reason, fault.down), (Reason::Dns, true), "{}", fault.message);
    let fault = bench.ask("192.0.2.1", IpFamily::V6, SECOND).await.unwrap_err();
    assert_eq!(fault.message, "192.0.2.1 has no IPv6 address");
    assert!(silent.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_question_ends_with_its_asker_s_deadline_and_leaves_nothing_behind() {
    let silent = Silent::new();
    let bench = Bench::with(silent.address);
    let began = Instant::now();
    let fault = bench.ask("mail.example", IpFamily::Any, SECOND * 3).await.unwrap_err();
    assert_eq!(began.elapsed(), SECOND * 3);
    assert_eq!((fault.reason, fault.down, fault.shortage), (Reason::Timeout, true, None));
    assert_eq!(fault.message, "resolving mail.example took too long");
    tokio::task::yield_now().await;
    assert_eq!((bench.names.questions.len(), bench.names.wire.open_sockets()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_silent_name_server_is_asked_as_the_options_say_and_then_nobody_else() {
    let silent = Silent::new();
    // The system would know, and would hang as well.
    let bench = Bench::new(silent.address, System::new(|_| Ok(vec![[192, 0, 2, 9].into()])));
    bench.write("nsswitch.conf", "hosts: files mdns4_minimal dns\n");
    bench.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:2 attempts:3\n");
    let began = Instant::now();
    let fault = bench.v4("mail.example").await.unwrap_err();
    assert_eq!(began.elapsed(), SECOND * (2 + 4 + 8));
    assert_eq!((fault.reason, fault.down, fault.shortage), (Reason::Dns, true, None));
    assert!(fault.message.contains("no answer from the name server 127.0.0.1"), "{fault:?}");
    assert_eq!(silent.heard().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn askers_at_one_time_share_a_question_and_later_ones_ask_anew() {
    let silent = Silent::new();
    let bench = Bench::with(silent.address);
    let mut askers = JoinSet::new();
    let began = Instant::now();
    for seconds in [1, 2, 3, 4] {
        for _ in 0..10 {
            let names = Arc::clone(&bench.names);
            askers.spawn(async move {
                let deadline = began + SECOND * seconds;
                let fault = names.addresses("mail.example", IpFamily::Any, deadline).await;
                assert_eq!(fault.unwrap_err().reason, Reason::Timeout);
                assert_eq!(began.elapsed(), SECOND * seconds);
            });
        }
    }
    while let Some(asker) = askers.join_next().await {
        asker.unwrap();
    }
    assert_eq!(silent.heard().len(), 2, "one for each family");
    let _ = bench.ask("mail.example", IpFamily::Any, SECOND).await;
    let _ = bench.ask("mail.example", IpFamily::V6, SECOND).await;
    assert_eq!(silent.heard().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn many_silent_questions_take_few_descriptors() {
    let silent = Silent::new();
    let bench = Bench::with(silent.address);
    let mut askers = JoinSet::new();
    for index in 0..100 {
        let names = Arc::clone(&bench.names);
        let deadline = Instant::now() + SECOND;
        let host = format!("mail{index}.example");
        askers.spawn(async move { names.addresses(&host, IpFamily::Any, deadline).await });
    }
    while let Some(asker) = askers.join_next().await {
        assert_eq!(asker.unwrap().unwrap_err().reason, Reason::Timeout);
    }
    let heard = silent.heard();
    let sockets: BTreeSet<&SocketAddr> = heard.iter().collect();
    assert_eq!(heard.len(), 200);
    assert!((2..=4).contains(&sockets.len()), "{sockets:?}");
}

#[tokio::test]
async fn each_attempt_asks_in_the_search_domains_as_ndots_says() {
    let say = |name: &str| match name {
        "mx.b.example" | "mx.x.a.example" => Say::Address([192, 0, 2, 1]),
        _ => Say::NoName,
    };
    let server = Server::new("127.0.0.1", 0, say).await;
    let bench = Bench::with(server.address);
    bench.write("resolv.conf", "nameserver 127.0.0.1\nsearch a.example b.example\noptions edns0\n");
    for _ in 0..2 {
        assert_eq!(bench.v4("mx").await.unwrap(), ["192.0.2.1"]);
        assert_eq!(server.heard(), ["A mx.a.example edns", "A mx.b.example edns"]);
    }
    assert_eq!(bench.v4("mx.x").await.unwrap(), ["192.0.2.1"]);
    assert_eq!(server.heard(), ["A mx.x edns", "A mx.x.a.example edns"]);
    bench.write("resolv.conf", "nameserver 127.0.0.1\nsearch a.example\noptions ndots:2\n");
    assert_eq!(bench.v4("mx.x").await.unwrap(), ["192.0.2.1"]);
    assert_eq!(server.heard(), ["A mx.x.a.example"]);
    let fault = bench.v4("mx.y.").await.unwrap_err();
    assert_eq!((fault.reason, fault.down), (Reason::Dns, true));
    assert_eq!(fault.message, "cannot resolve mx.y.: there is no such name");
    assert_eq!(server.heard(), ["A mx.y"]);
    let fault = bench.ask("mx.x", IpFamily::V6, SECOND * 30).await.unwrap_err();
    assert_eq!(fault.message, "mx.x has no IPv6 address");
}

#[tokio::test]
async fn changes_of_the_system_s_files_are_seen_by_the_next_question() {
    let one = Server::new("127.0.0.1", 0, |_| Say::Address([192, 0, 2, 1])).await;
    let port = one.address.port();
    let two = Server::new("127.0.0.2", port, |_| Say::Address([192, 0, 2, 2])).await;
    let bench = Bench::with(one.address);
    assert_eq!(bench.v4("mail.example").await.unwrap(), ["192.0.2.1"]);
    bench.write("resolv.conf", "nameserver 127.0.0.2\n");
    assert_eq!(bench.v4("mail.example").await.unwrap(), ["192.0.2.2"]);
    // As editors do it: another file of the same length.
    bench.write("new", "nameserver 127.0.0.1\n");
    let file = |name: &str| bench.folder.path().join(name);
    fs::rename(file("new"), file("resolv.conf")).unwrap();
    assert_eq!(bench.v4("mail.example").await.unwrap(), ["192.0.2.1"]);
    bench.write("hosts", "192.0.2.3 mail.example\n");
    assert_eq!(bench.v4("mail.example").await.unwrap(), ["192.0.2.3"]);
    assert_eq!((one.heard().len(), two.heard().len()), (2, 1));
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_asked_for_by_tcp() {
    let server = Server::new("127.0.0.1", 0, |_| Say::CutShort([192, 0, 2, 1])).await;
    let bench = Bench::with(server.address);
    assert_eq!(bench.v4("mail.example").await.unwrap(), ["192.0.2.1"]);
    assert_eq!(server.heard(), ["A mail.example", "A mail.example tcp"]);
    bench.write("resolv.conf", "nameserver 127.0.0.1\noptions use-vc\n");
    assert_eq!(bench.v4("mail.example").await.unwrap(), ["192.0.2.1"]);
    assert_eq!(server.heard(), ["A mail.example tcp"]);
}

#[tokio::test]
async fn the_next_server_is_asked_where_one_cannot_tell() {
    let one = Server::new("127.0.0.1", 0, |_| Say::Code(Rcode::SERVFAIL)).await;
    let port = one.address.port();
    let two = Server::new("127.0.0.2", port, |_| Say::Address([192, 0, 2, 2])).await;
    let bench = Bench::with(one.address);
    // Nobody listens at the first.
    let servers = "nameserver 127.0.0.3\nnameserver 127.0.0.1\nnameserver 127.0.0.2\n";
    bench.write("resolv.conf", servers);
    assert_eq!(bench.v4("mail.example").await.unwrap(), ["192.0.2.2"]);
    assert_eq!((one.heard().len(), two.heard().len()), (1, 1));
    bench.write("resolv.conf", "nameserver 127.0.0.1\noptions attempts:1\n");
    let fault = bench.v4("mail.example").await.unwrap_err();
    assert_eq!((fault.reason, fault.down), (Reason::Dns, true));
    assert!(fault.message.ends_with("the name server 127.0.0.1 says SERVFAIL"), "{fault:?}");
    bench.write("resolv.conf", "nameserver 127.0.0.3\n");
    let fault = bench.v4("mail.example").await.unwrap_err();
    assert_eq!((fault.reason, fault.down), (Reason::Dns, true));
    assert!(fault.message.contains("the name server 127.0.0.3: "), "{fault:?}");
}

#[tokio::test]
async fn the_system_is_asked_for_what_no_name_server_knows() {
    let server = Server::new("127.0.0.1", 0, |_| Say::NoName).await;
    let own = |host: &str| match host {
        "printer.local" => Ok(vec![[192, 0, 2, 9].into()]),
        _ => Err(std::io::Error::other("unknown")),
    };
    let bench = Bench::new(server.address, System::new(own));
    // Nobody else is to be asked here.
    let unknown = "cannot resolve printer.local: there is no such name";
    assert_eq!(bench.v4("printer.local").await.unwrap_err().message, unknown);
    bench.write("nsswitch.conf", "hosts: files mdns4_minimal [NOTFOUND=return] dns\n");
    assert_eq!(bench.v4("printer.local").await.unwrap(), ["192.0.2.9"]);
    let fault = bench.v4("mail.example").await.unwrap_err();
    assert_eq!((fault.reason, fault.down, fault.shortage), (Reason::Dns, true, None));
}

#[tokio::test]
async fn a_look_up_that_never_had_its_turn_is_a_shortage_and_no_failure() {
    let server = Server::new("127.0.0.1", 0, |_| Say::NoName).await;
    let bench = Bench::new(server.address, System::full());
    bench.write("nsswitch.conf", "hosts: files ldap dns\n");
    let fault = bench.ask("mail.example", IpFamily::V4, SECOND / 5).await.unwrap_err();
    assert_eq!((fault.reason, fault.down), (Reason::Dns, false), "{}", fault.message);
    assert_eq!(fault.shortage, Some(Shortage::LookUps));
}

#[test]
fn other_ways_to_write_an_address_are_no_names() {
    for host in ["127.1", "0x7f000001", "10.0.0.0x1", "fe80::1%eth0", "1"] {
        assert!(looks_like_a_number(host), "{host}");
    }
    for host in ["mail.example", "mx1", "1.example", "0x", "mail.", "bad.cafe", "dead.beef"] {
        assert!(!looks_like_a_number(host), "{host}");
    }
}

#[tokio::test]
async fn loopback_written_shortly_is_left_to_the_system() {
    let silent = Silent::new();
    let bench = Bench::new(silent.address, System::own());
    assert_eq!(bench.v4("127.1").await.unwrap(), ["127.0.0.1"]);
    assert!(silent.heard().is_empty());
}

#[tokio::test]
async fn a_refusal_for_one_search_domain_leaves_the_others() {
    let say = |name: &str| match name {
        "mx.a.example" => Say::Code(Rcode::REFUSED),
        _ => Say::Address([192, 0, 2, 1]),
    };
    let server = Server::new("127.0.0.1", 0, say).await;
    let bench = Bench::with(server.address);
    bench.write("resolv.conf", "nameserver 127.0.0.1\nsearch a.example b.example\n");
    assert_eq!(bench.v4("mx").await.unwrap(), ["192.0.2.1"]);
}

#[test]
fn only_the_answer_to_the_question_is_one() {
    let question = |name: &str| Question {
        name: name.parse().unwrap(),
        kind: Rtype::A,
        in_full: false,
        unchecked: false,
    };
    let query = |name: &str, number| wire::query(&question(name), false, number).unwrap();
    let mut answer = query("mail.example.", 7);
    let asked = query("mail.example.", 7);
    assert!(wire::answer_to(&asked, answer.clone()).is_none(), "a question is no answer");
    // QR, the first bit of the flags.
    answer[2] |= 0x80;
    assert!(wire::answer_to(&asked, answer.clone()).is_some());
    assert!(wire::answer_to(&query("other.example.", 7), answer.clone()).is_none());
    assert!(wire::answer_to(&query("mail.example.", 8), answer).is_none());
}
