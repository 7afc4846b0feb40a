//! Connecting to the address that answers first (Happy Eyeballs, RFC 8305): the families take turns,
//! and an address that does not answer at once is overtaken by the next one, so that a broken IPv6
//! route or a dead address costs a quarter of a second and not the whole deadline.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Socket;
use crate::Fault;
use crate::descriptors;
use ledger::durations::Seconds;
use ledger::{Reason, Shortage};

/// The head start of an address before the next one is tried as well (RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);
/// The most addresses of one name that are tried.
const MOST_ADDRESSES: usize = 16;
/// The most that are asked at the same time: a host with many dead ones must not take the descriptors of
/// other targets. The one that has been silent for longest makes room for the next.
const MOST_AT_ONCE: usize = 3;
/// How many addresses an error names.
const NAMED: usize = 3;

/// A connection that came about.
#[derive(Debug)]
pub struct Connected {
    /// The socket, without Nagle's delay.
    pub socket: Socket,
    /// The address that answered first.
    pub address: SocketAddr,
    /// How long its own TCP handshake took, without the wait for addresses before it.
    pub handshake: Duration,
}

/// Connects to the address that answers first. They are tried in their order, with the families
/// alternating: each as soon as the one before has failed or has been silent for 250 ms.
///
/// # Errors
/// That of the address that came closest to an answer; it means *down* unless this host itself was
/// short of something.
pub async fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<Connected, Fault> {
    let order = alternating(addresses);
    let mut attempts = Attempts::default();
    let mut closest: Option<Fault> = None;
    let mut next = Instant::now();
    let mut waiting = order.iter();
    loop {
        if attempts.0.is_empty() || Instant::now() >= next {
            match waiting.next() {
                Some(address) => {
                    let given_up = attempts.make_room();
                    closest = given_up
                        .into_iter()
                        .fold(closest, |known, fault| Some(closer(known, fault)));
                    attempts.begin(*address, attempt(*address, deadline));
                    next = Instant::now() + HEAD_START;
                }
                None if attempts.0.is_empty() => break,
                None => next = deadline + HEAD_START,
            }
        }
        tokio::select! {
            ended = attempts.next_end() => match ended {
                Ok(connected) => return Ok(connected),
                Err(fault) => {
                    next = Instant::now();
                    closest = Some(closer(closest, fault));
                }
            },
            () = sleep_until(next), if waiting.len() > 0 => {}
        }
    }
    Err(closest.unwrap_or_else(|| Fault::down(Reason::Dns, "no address to connect to")))
}

/// The attempts under way, the oldest first.
///
/// They are looked at in this order and by nobody else: where this process was late and an answer is there
/// already, no other address is connected to, whose server would be left without a word.
#[derive(Default)]
struct Attempts(VecDeque<Attempt>);

struct Attempt {
    address: SocketAddr,
    began: Instant,
    end: Pin<Box<dyn Future<Output = Result<Connected, Fault>> + Send>>,
}

impl Attempts {
    fn begin(
        &mut self,
        address: SocketAddr,
        end: impl Future<Output = Result<Connected, Fault>> + Send + 'static,
    ) {
        self.0.push_back(Attempt { address, began: Instant::now(), end: Box::pin(end) });
    }

    /// What the next of them that ends comes to, which is none of them any more.
    async fn next_end(&mut self) -> Result<Connected, Fault> {
        poll_fn(|context| {
            let ended = self.0.iter_mut().enumerate().find_map(|(place, attempt)| {
                match attempt.end.as_mut().poll(context) {
                    Poll::Ready(end) => Some((place, end)),
                    Poll::Pending => None,
                }
            });
            let Some((place, end)) = ended else { return Poll::Pending };
            self.0.remove(place);
            Poll::Ready(end)
        })
        .await
    }

    /// Gives up the oldest where there are too many for another; what it came to.
    fn make_room(&mut self) -> Option<Fault> {
        if self.0.len() < MOST_AT_ONCE {
            return None;
        }
        let Attempt { address, began, .. } = self.0.pop_front()?;
        Some(no_answer(address, began))
    }
}

fn no_answer(address: SocketAddr, began: Instant) -> Fault {
    let message = format!("no answer from {address} within {}", Seconds(began.elapsed()));
    Fault::down(Reason::Timeout, message)
}

async fn attempt(address: SocketAddr, deadline: Instant) -> Result<Connected, Fault> {
    let began = Instant::now();
    match timeout_at(deadline, open(address)).await {
        Ok(Ok(socket)) => Ok(Connected { socket, address, handshake: began.elapsed() }),
        Ok(Err(error)) => Err(fault(address, &error, could_send_to)),
        Err(_) => Err(no_answer(address, began)),
    }
}

/// A connection whose descriptor is none of those that are kept for the listener and the store.
pub(super) async fn open(address: SocketAddr) -> io::Result<Socket> {
    #[cfg(feature = "simulation")]
    if let Some(network) = super::simulated::network() {
        return network.connect(address).await.map(Socket::Simulated);
    }
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let stream = descriptors::unless_kept(socket?)?.connect(address).await?;
    // Commands are short and each waits for its reply.
    let _ = stream.set_nodelay(true);
    Ok(Socket::Tcp(stream))
}

/// The addresses in the order of the resolver, but with one of the other family after each.
fn alternating(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return Vec::new() };
    let is_like_first = |address: &&SocketAddr| address.is_ipv6() == first.is_ipv6();
    let mut alike = addresses.iter().filter(is_like_first);
    let mut others = addresses.iter().filter(|address| !is_like_first(address));
    let mut order = Vec::new();
    loop {
        let pair = [alike.next(), others.next()];
        if pair == [None, None] || order.len() >= MOST_ADDRESSES {
            order.truncate(MOST_ADDRESSES);
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

/// `could_send_to` is asked whether this host has an address to send from, where that is in doubt.
fn fault(address: SocketAddr, error: &io::Error, could_send_to: fn(SocketAddr) -> bool) -> Fault {
    /// `EAFNOSUPPORT` of Linux.
    const NO_SUCH_FAMILY: i32 = 97;
    // This host has no IPv6 address, or no IPv6 at all; with an address it has no port left.
    let has_no_ipv6 = error.raw_os_error() == Some(NO_SUCH_FAMILY)
        || error.kind() == io::ErrorKind::AddrNotAvailable && !could_send_to(address);
    let reason = match error.kind() {
        _ if address.is_ipv6() && has_no_ipv6 => Reason::Unreachable,
        io::ErrorKind::ConnectionRefused => Reason::Refused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Reason::Unreachable,
        io::ErrorKind::TimedOut => Reason::Timeout,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Reason::Closed,
        _ => {
            let message = format!("cannot connect to {address}: {error}");
            return match Shortage::of_connect(error) {
                Some(shortage) => Fault::short(shortage, Reason::Other, message),
                None => Fault::new(Reason::Other, message),
            };
        }
    };
    Fault::down(reason, format!("cannot connect to {address}: {error}"))
}

/// Whether this host has an address to send from; nothing is sent. `true` if it cannot be found out.
fn could_send_to(address: SocketAddr) -> bool {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0; 8], 0).into(),
    };
    let asked = std::net::UdpSocket::bind(any).and_then(|socket| socket.connect(address));
    !matches!(asked, Err(error) if Shortage::of_bind(&error).is_none())
}

/// Both of them as one: the reason of the one that came closer to an answer, since an address
/// without a route says least about a server that has another one, and the words of both. One that this
/// host was too short of something to ask wins over all.
fn closer(known: Option<Fault>, new: Fault) -> Fault {
    let Some(known) = known else { return new };
    let rank = |fault: &Fault| match fault.reason {
        Reason::Refused | Reason::Closed => 0,
        Reason::Timeout => 1,
        Reason::Other => 2,
        _ => 3,
    };
    let (first, second) = match (known.shortage, new.shortage) {
        // An address that was not asked might have answered: nothing is known of the server.
        (Some(_), _) => return known,
        (None, Some(_)) => return new,
        (None, None) if rank(&new) < rank(&known) => (new, known),
        (None, None) => (known, new),
    };
    let named = first.message.matches("; ").count() + 1;
    let message = match named {
        NAMED.. => first.message,
        _ => format!("{}; {}", first.message, second.message),
    };
    Fault { message, ..first }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::net::TcpStream;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// A port that nobody listens on and nobody else gets.
    fn closed() -> (TcpSocket, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address("127.0.0.1:0")).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    /// A port that takes no connection and does not refuse one: its queue is full.
    async fn silent() -> (tokio::net::TcpListener, Vec<TcpStream>, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address("127.0.0.1:0")).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        let soon = Duration::from_millis(300);
        while let Ok(Ok(stream)) = tokio::time::timeout(soon, TcpStream::connect(address)).await {
            queue.push(stream);
        }
        (listener, queue, address)
    }

    #[test]
    fn the_families_take_turns_and_the_resolver_s_first_is_first() {
        let list = |text: &str| text.split(' ').map(address).collect::<Vec<_>>();
        let order = alternating(&list("[2001:db8::1]:25 [2001:db8::2]:25 192.0.2.1:25"));
        assert_eq!(order, list("[2001:db8::1]:25 192.0.2.1:25 [2001:db8::2]:25"));
        let order = alternating(&list("192.0.2.1:25 192.0.2.2:25 [2001:db8::1]:25"));
        assert_eq!(order, list("192.0.2.1:25 [2001:db8::1]:25 192.0.2.2:25"));
        let many: Vec<SocketAddr> = (1..=99).map(|port| ([127, 0, 0, 1], port).into()).collect();
        assert_eq!(alternating(&many).len(), MOST_ADDRESSES);
        assert!(alternating(&[]).is_empty());
    }

    #[tokio::test]
    async fn an_address_that_is_silent_is_overtaken() {
        let (_listener, _queue, silent) = silent().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let began = Instant::now();
        let deadline = began + Duration::from_secs(60);
        let connected = connect(&[silent, good], deadline).await.unwrap();
        assert_eq!(connected.address, good);
        assert!(connected.handshake < began.elapsed(), "the wait is not part of it");
        assert!(began.elapsed() < Duration::from_secs(30), "not the share of a dead address");
    }

    #[tokio::test]
    async fn an_answer_that_is_found_late_is_not_overtaken() {
        let [first, second] = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = [&first, &second].map(|listener| listener.local_addr().unwrap());
        second.set_nonblocking(true).unwrap();
        tokio::time::pause();
        // Which of two that are ready is taken may be left to chance.
        for _ in 0..20 {
            let mut connecting = pin!(connect(&addresses, Instant::now() + HEAD_START * 20));
            let begins = poll_fn(|context| Poll::Ready(connecting.as_mut().poll(context)));
            assert!(begins.await.is_pending());
            // The first answers, and nobody comes to look meanwhile.
            first.accept().unwrap();
            tokio::time::advance(HEAD_START * 2).await;
            assert_eq!(connecting.await.unwrap().address, addresses[0]);
            assert!(second.accept().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
        }
    }

    #[tokio::test]
    async fn an_address_that_refuses_costs_no_head_start() {
        let (_socket, refusing) = closed();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        // Time stands still unless nothing is left to do but to wait.
        tokio::time::pause();
        let began = Instant::now();
        let connected = connect(&[refusing, good], began + Duration::from_secs(5)).await.unwrap();
        assert_eq!((connected.address, began.elapsed()), (good, Duration::ZERO));
    }

    #[tokio::test]
    async fn what_came_closest_to_an_answer_is_told_first() {
        let (_socket, refusing) = closed();
        let nowhere = address("[2001:db8::1]:25");
        let deadline = Instant::now() + Duration::from_secs(5);
        let fault = connect(&[nowhere, refusing], deadline).await.unwrap_err();
        assert_eq!((fault.reason, fault.down), (Reason::Refused, true), "{}", fault.message);
        let begins = format!("cannot connect to {refusing}");
        assert!(fault.message.starts_with(&begins), "{}", fault.message);
        assert!(fault.message.contains("2001:db8::1"), "{}", fault.message);
    }

    #[test]
    fn a_host_without_ipv6_says_nothing_about_a_server() {
        for code in [97, 99] {
            let error = io::Error::from_raw_os_error(code);
            let v6 = fault(address("[2001:db8::1]:25"), &error, |_| false);
            assert_eq!((v6.reason, v6.down), (Reason::Unreachable, true), "{}", v6.message);
            let v4 = fault(address("192.0.2.1:25"), &error, |_| true);
            assert_eq!((v4.reason, v4.down), (Reason::Other, false), "{}", v4.message);
            // Every local port may be in use.
            assert_eq!(v4.shortage, (code == 99).then_some(Shortage::Ports));
            assert_eq!(v6.shortage, None);
            // With an IPv6 address it is the port that is missing.
            let v6_port = fault(address("[2001:db8::1]:25"), &error, |_| true);
            assert_eq!(v6_port.shortage, v4.shortage);
            let silent = Fault::down(Reason::Timeout, "no answer");
            assert_eq!(closer(Some(v6), silent.clone()).reason, Reason::Timeout);
            // Where an address could not be asked nothing is known of the server.
            let shortage = v4.shortage;
            for both in [closer(Some(silent.clone()), v4.clone()), closer(Some(v4), silent)] {
                assert_eq!((both.shortage, both.down), (shortage, shortage.is_none()));
            }
        }
    }

    #[tokio::test]
    async fn many_silent_addresses_take_few_descriptors() {
        let mut attempts = Attempts::default();
        for number in 1..=9 {
            let given_up = attempts.make_room();
            let oldest = format!("no answer from 192.0.2.{}:25", number.max(4) - 3);
            match given_up {
                Some(fault) => assert!(fault.message.starts_with(&oldest), "{number}: {fault:?}"),
                None => assert!(number <= 3, "{number}"),
            }
            attempts.begin(address(&format!("192.0.2.{number}:25")), std::future::pending());
        }
        assert_eq!(attempts.0.len(), MOST_AT_ONCE);
    }

    #[tokio::test]
    async fn silence_ends_at_the_deadline() {
        let (_listener, _queue, silent) = silent().await;
        let deadline = Instant::now() + Duration::from_millis(100);
        let fault = connect(&[silent], deadline).await.unwrap_err();
        assert_eq!((fault.reason, fault.down), (Reason::Timeout, true));
        assert!(fault.message.contains(&format!("no answer from {silent}")), "{}", fault.message);
    }
}
