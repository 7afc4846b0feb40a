//! The check of the network: ICMP echo over IPv4 (RFC 792) and IPv6 (RFC 4443).
//!
//! An unprivileged datagram socket is tried first, a raw one where that is forbidden. Only a reply
//! from the host that was asked, with our number and our data, counts, and only in its time.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;

use crate::config::PingCheck;
use ledger::Shortage;
use mail::Fault;
use mail::descriptors;
use mail::net;
use packet::Echo;

pub use crate::store::{PingOutcome as Outcome, RoundTrips};

pub(crate) mod packet;

/// Why the network could not be asked: nothing was measured.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Obstacle {
    /// The system allows neither kind of socket.
    #[error(
        "this system does not permit the exporter to ping: allow its group to use ICMP sockets \
         (sysctl net.ipv4.ping_group_range, for IPv6 as well), or give it the capability \
         CAP_NET_RAW"
    )]
    Forbidden,
    /// The socket could not be opened for another reason.
    #[error("cannot open an ICMP socket: {0}")]
    Socket(String),
    /// This process was short of something, which is counted.
    #[error("cannot ping: {error}; {}", .shortage.words())]
    Short {
        /// What of.
        shortage: Shortage,
        /// What the system said.
        error: String,
    },
    /// The host has no address.
    #[error("{}", .0.message)]
    Unresolved(Fault),
}

impl Obstacle {
    /// What this process was short of, if that is why.
    pub fn shortage(&self) -> Option<Shortage> {
        match self {
            Obstacle::Short { shortage, .. } => Some(*shortage),
            Obstacle::Unresolved(fault) => fault.shortage,
            Obstacle::Forbidden | Obstacle::Socket(_) => None,
        }
    }

    fn short(shortage: Shortage, error: &io::Error) -> Self {
        mail::shortage::count(shortage);
        Obstacle::Short { shortage, error: error.to_string() }
    }
}

/// Sends the requests and waits for the replies, until `deadline` at the latest. The first address
/// of the host that this system has a socket for is asked.
///
/// # Errors
/// See [`Obstacle`].
pub async fn ping(check: &PingCheck, deadline: Instant) -> Result<Outcome, Obstacle> {
    let addresses = net::addresses(&check.host, 0, check.ip_family, deadline);
    let addresses = addresses.await.map_err(Obstacle::Unresolved)?;
    let mut obstacle = Obstacle::Forbidden;
    for address in addresses {
        match open(address.ip()) {
            Ok((socket, is_raw)) => {
                let echo = Echo::new(address.ip(), is_raw, check.size)
                    .map_err(|error| Obstacle::Socket(error.to_string()))?;
                return Exchange::new(check, socket, echo, address).run(deadline).await;
            }
            // Another address tells nothing of this one.
            Err(short @ Obstacle::Short { .. }) => return Err(short),
            Err(error) => obstacle = error,
        }
    }
    Err(obstacle)
}

/// An ICMP socket, and whether it is a raw one.
fn open(address: IpAddr) -> Result<(UdpSocket, bool), Obstacle> {
    let (domain, protocol) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let opened = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Ok(socket) => Ok((socket, false)),
        Err(error) if Shortage::of(&error).is_some() => Err(error),
        Err(_) => Socket::new(domain, Type::RAW, Some(protocol)).map(|socket| (socket, true)),
    };
    let ready = opened.and_then(|(socket, is_raw)| {
        let socket = descriptors::unless_kept(socket)?;
        socket.set_nonblocking(true)?;
        // The socket has the calls of a UDP socket, and this is how the runtime takes one.
        Ok((UdpSocket::from_std(std::net::UdpSocket::from(socket))?, is_raw))
    });
    ready.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Obstacle::Forbidden,
        _ => match Shortage::of(&error) {
            Some(shortage) => Obstacle::short(shortage, &error),
            None => Obstacle::Socket(error.to_string()),
        },
    })
}

/// The requests of one period under way.
struct Exchange<'a> {
    check: &'a PingCheck,
    socket: UdpSocket,
    echo: Echo,
    host: SocketAddr,
    /// When each request was sent, and how long its reply took.
    requests: Vec<(Instant, Option<Duration>)>,
}

impl<'a> Exchange<'a> {
    fn new(check: &'a PingCheck, socket: UdpSocket, echo: Echo, host: SocketAddr) -> Self {
        Self { check, socket, echo, host, requests: Vec::new() }
    }

    async fn run(mut self, deadline: Instant) -> Result<Outcome, Obstacle> {
        let mut buffer = vec![0; self.echo.longest_reply()];
        let mut next = Instant::now();
        loop {
            let is_sending = self.requests.len() < usize::from(self.check.packets);
            let wake = if is_sending { next } else { self.end() }.min(deadline);
            if Instant::now() >= wake {
                if !is_sending || Instant::now() >= deadline {
                    return Ok(self.outcome());
                }
                self.send(deadline).await?;
                next += self.check.interval;
            } else if !is_sending && self.requests.iter().all(|(_, reply)| reply.is_some()) {
                return Ok(self.outcome());
            } else {
                self.listen(&mut buffer, wake).await;
            }
        }
    }

    /// When the wait for the last reply is over.
    fn end(&self) -> Instant {
        let last = self.requests.last().map_or_else(Instant::now, |(sent, _)| *sent);
        last + self.check.timeout
    }

    /// A request that this process could not send would read as one without a reply: then nothing is
    /// measured.
    async fn send(&mut self, deadline: Instant) -> Result<(), Obstacle> {
        let number = u16::try_from(self.requests.len()).unwrap_or(u16::MAX);
        let request = self.echo.request(number);
        self.requests.push((Instant::now(), None));
        let sent = timeout_at(deadline, self.socket.send_to(&request, self.host)).await;
        if let Ok(Err(error)) = sent {
            if let Some(shortage) = Shortage::of(&error) {
                return Err(Obstacle::short(shortage, &error));
            }
            debug!(host = %self.check.host, %error, "cannot send an ICMP echo request");
        }
        Ok(())
    }

    /// Reads one packet, of whomever it is, or waits until `wake`.
    async fn listen(&mut self, buffer: &mut [u8], wake: Instant) {
        let Ok(read) = timeout_at(wake, self.socket.recv_from(buffer)).await else { return };
        let now = Instant::now();
        let (length, from) = match read {
            Ok(read) => read,
            Err(error) => {
                debug!(host = %self.check.host, %error, "cannot read ICMP packets");
                return sleep_until(wake).await;
            }
        };
        let packet = buffer.get(..length).unwrap_or_default();
        let number = self.echo.number_of_reply(packet).filter(|_| from.ip() == self.host.ip());
        let request = number.and_then(|number| self.requests.get_mut(usize::from(number)));
        let Some((sent, reply @ None)) = request else { return };
        let duration = now.saturating_duration_since(*sent);
        if duration <= self.check.timeout {
            *reply = Some(duration);
        }
    }

    fn outcome(&self) -> Outcome {
        let replies: Vec<Duration> = self.requests.iter().filter_map(|(_, reply)| *reply).collect();
        let received = u32::try_from(replies.len()).unwrap_or(u32::MAX);
        let round_trips = match (replies.iter().min(), replies.iter().max()) {
            (Some(min), Some(max)) => {
                let mean = replies.iter().sum::<Duration>() / received;
                Some(RoundTrips { min: *min, mean, max: *max })
            }
            _ => None,
        };
        let sent = u32::try_from(self.requests.len()).unwrap_or(u32::MAX);
        Outcome { sent, received, round_trips }
    }
}
