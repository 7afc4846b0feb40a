use std::collections::HashMap as Answers;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::config::Config;

const HOUR: Duration = Duration::from_secs(3600);

/// What a name server says for a name: an address, that there is none, or this code.
#[derive(Clone, Copy)]
enum Say {
    Address([u8; 4]),
    NoName,
    Code(u8),
}

/// A name server with these names below `bl.example`; it notes what it is asked.
struct Server {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    says: Arc<Mutex<Answers<&'static str, Say>>>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    async fn new(says: &[(&'static str, Say)]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let heard = Arc::<Mutex<Vec<_>>>::default();
        let says = Arc::new(Mutex::new(says.iter().copied().collect::<Answers<_, _>>()));
        let (log, known) = (Arc::clone(&heard), Arc::clone(&says));
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let (name, end) = question(&buffer[..length]);
                let is_text = buffer[end + 1] == 16;
                let kind = if is_text { "TXT " } else { "" };
                log.lock().unwrap().push(format!("{kind}{name}"));
                let say = known.lock().unwrap().get(name.as_str()).copied();
                let answer = answer(&buffer[..end + 4], say.unwrap_or(Say::NoName), is_text);
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        Self { address, heard, says, _task: AbortOnDropHandle::new(task) }
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    fn limiter(&self) -> Limiter {
        Limiter::new(Resolver::of_server(self.address))
    }
}

/// The name that is asked for, without its zone, and where it ends.
fn question(packet: &[u8]) -> (String, usize) {
    let (mut labels, mut at) = (Vec::new(), 12);
    while packet[at] != 0 {
        let length = usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..=at + length]).into_owned());
        at += length + 1;
    }
    (labels.join(".").trim_end_matches(".bl.example").to_owned(), at + 1)
}

fn answer(asked: &[u8], say: Say, is_text: bool) -> Vec<u8> {
    let mut answer = asked.to_vec();
    let code = match say {
        Say::Address(_) => 0,
        Say::NoName => 3,
        Say::Code(code) => code,
    };
    answer[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, 0, 0, 0, 0, 0]);
    if let Say::Address(address) = say {
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, if is_text { 16 } else { 1 }, 0, 1, 0, 0, 0, 60]);
        match is_text {
            true => answer.extend(b"\0\x05\x04spam"),
            false => answer.extend([&[0, 4][..], &address].concat()),
        }
    }
    answer
}

fn zone() -> Zone {
    let yaml = "targets: [{name: a, host: h, from: a@b.example, to: a@b.example, receive: \
                {protocol: pop3, username: u, password: p}, dnsbl: {lists: [bl.example]}}]\n";
    let config = Config::parse(yaml, Path::new("test.yml")).unwrap();
    let target = config.targets.values().next().unwrap();
    target.dnsbl().unwrap().lists[0].zone.clone()
}

const TEST_ENTRY: (&str, Say) = ("2.0.0.127", Say::Address([127, 0, 0, 2]));
const LISTED: (&str, Say) = ("7.100.51.198", Say::Address([127, 0, 0, 4]));

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(198, 51, 100, last).into()
}

async fn ask(limiter: &Limiter, last: u8) -> Answer {
    limiter.ask(&zone(), address(last), HOUR, Instant::now() + HOUR).await
}

#[tokio::test]
async fn a_list_that_passes_its_test_tells_and_gives_its_reason() {
    let server = Server::new(&[TEST_ENTRY, LISTED]).await;
    let limiter = server.limiter();
    assert_eq!(ask(&limiter, 7).await, Answer::Listed("127.0.0.4: spam".to_owned()));
    assert_eq!(server.heard(), ["2.0.0.127", "1.0.0.127", "7.100.51.198", "TXT 7.100.51.198"]);
    assert_eq!(ask(&limiter, 8).await, Answer::NotListed);
    assert_eq!(server.heard(), ["8.100.51.198"], "the test is that of before");
}

#[tokio::test]
async fn a_test_that_was_passed_long_ago_is_made_anew() {
    let server = Server::new(&[TEST_ENTRY]).await;
    let (limiter, week) = (server.limiter(), HOUR * 24 * 7);
    let ask = async |last| limiter.ask(&zone(), address(last), week, Instant::now() + week).await;
    assert_eq!(ask(7).await, Answer::NotListed);
    server.heard();
    tokio::time::pause();
    tokio::time::advance(PASSED_STANDS).await;
    tokio::time::resume();
    assert_eq!(ask(7).await, Answer::NotListed);
    assert!(
        server.heard().is_empty(),
        "what was said of an address stands for half of the interval"
    );
    assert_eq!(ask(8).await, Answer::NotListed);
    assert_eq!(server.heard(), ["2.0.0.127", "1.0.0.127", "8.100.51.198"]);
}

#[tokio::test]
async fn a_list_that_fails_its_test_tells_nothing() {
    let whole_world = ("1.0.0.127", Say::Address([127, 0, 0, 2]));
    let refusal = ("2.0.0.127", Say::Address([127, 255, 255, 254]));
    for (says, word) in [
        (&[LISTED][..], "does not list its test entry"),
        (&[TEST_ENTRY, whole_world, LISTED], "the whole world"),
        (&[refusal, LISTED], "public resolvers"),
        (&[("2.0.0.127", Say::Code(2)), LISTED], "SERVFAIL"),
    ] {
        let server = Server::new(says).await;
        match ask(&server.limiter(), 7).await {
            Answer::Unknown(why) => assert!(why.contains(word), "{why}"),
            told => panic!("{word}: {told:?}"),
        }
        assert!(!server.heard().contains(&"7.100.51.198".to_owned()), "{word}");
    }
}

#[tokio::test]
async fn a_list_of_ipv4_alone_is_not_dead() {
    let ask_ipv6 = async |server: &Server| {
        let address = "2001:db8::25".parse().unwrap();
        server.limiter().ask(&zone(), address, HOUR, Instant::now() + HOUR).await
    };
    assert_eq!(ask_ipv6(&Server::new(&[TEST_ENTRY]).await).await, Answer::NotItsKind);
    assert!(matches!(ask_ipv6(&Server::new(&[]).await).await, Answer::Unknown(_)), "that one is");
}

#[tokio::test]
async fn no_answer_about_an_address_is_no_word_that_it_is_not_listed() {
    let server = Server::new(&[TEST_ENTRY, ("7.100.51.198", Say::Code(5))]).await;
    let answer = ask(&server.limiter(), 7).await;
    assert!(matches!(&answer, Answer::Unknown(why) if why.contains("REFUSED")), "{answer:?}");
}

#[tokio::test]
async fn many_who_ask_the_same_ask_once() {
    let server = Server::new(&[TEST_ENTRY]).await;
    let limiter = Arc::new(server.limiter());
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let limiter = Arc::clone(&limiter);
        askers.spawn(async move { ask(&limiter, 8).await });
    }
    let answers = askers.join_all().await;
    assert!(answers.iter().all(|answer| *answer == Answer::NotListed));
    assert_eq!(server.heard(), ["2.0.0.127", "1.0.0.127", "8.100.51.198"]);
}

#[tokio::test(start_paused = true)]
async fn questions_to_one_list_are_a_second_apart() {
    let limiter = Limiter::default();
    let (list, began) = (limiter.list(&zone()), Instant::now());
    for second in 0..4 {
        list.pace().await;
        assert_eq!(began.elapsed(), APART * second);
    }
    tokio::time::advance(APART * 5).await;
    list.pace().await;
    assert_eq!(began.elapsed(), APART * 8, "who comes later need not wait");
}

#[tokio::test]
async fn what_was_learned_stands_for_half_an_interval() {
    let server = Server::new(&[TEST_ENTRY]).await;
    let limiter = server.limiter();
    assert_eq!(ask(&limiter, 7).await, Answer::NotListed);
    server.says.lock().unwrap().insert(LISTED.0, LISTED.1);
    assert_eq!(ask(&limiter, 7).await, Answer::NotListed);
    // Time alone passes; the socket is asked by the clock of the machine again.
    tokio::time::pause();
    tokio::time::advance(HOUR / 2).await;
    tokio::time::resume();
    assert_eq!(ask(&limiter, 7).await, Answer::Listed("127.0.0.4: spam".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_list_in_vain_does_not_know() {
    let limiter = Limiter::default();
    let list = limiter.list(&zone());
    let _turn = list.turn.acquire().await.unwrap();
    let end = Instant::now() + HOUR;
    let answer = limiter.ask(&zone(), address(7), HOUR, end).await;
    assert!(matches!(&answer, Answer::Unknown(why) if why.contains("turn")), "{answer:?}");
    assert_eq!(Instant::now(), end);
}
