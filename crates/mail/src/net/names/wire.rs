//! Questions to name servers (RFC 1035): by UDP, by TCP where an answer is cut short or the system says
//! so, to one server after the other as the system's settings want it.
//!
//! Questions share sockets, so that thousands of them may be without an answer at one time without
//! taking as many descriptors: silence of a name server costs memory only.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use domain::base::iana::Rcode;
use domain::base::message::Message;
use domain::base::name::Name;
use domain::base::{MessageBuilder, Rtype};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::settings::Settings;
use crate::descriptors;
use crate::net::happy_eyeballs;
use ledger::Shortage;

/// So many questions share a socket at most, if they begin within [`SHARED_FOR`]: the next ones come
/// from another port, which nobody can guess.
const SHARED_BY: usize = 64;
const SHARED_FOR: Duration = Duration::from_secs(1);
/// How long an answer by UDP may be where the question says so (EDNS).
const UDP_BYTES: u16 = 1232;
/// How many questions are asked by TCP at one time, and how long one waits for its turn.
const MOST_BY_TCP: usize = 64;
const TURN: Duration = Duration::from_secs(1);

/// An answer of a name server: one without an error, or that there is no such name.
pub(crate) type Answer = Arc<Message<Vec<u8>>>;

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::net) enum Trouble {
    /// A name server has no answer, and this is the code with which it says so.
    Refused(SocketAddr, Rcode),
    /// A name server holds its answer back, for it does not stand up to DNSSEC.
    Bogus(SocketAddr),
    /// No name server has answered in time.
    Silent(SocketAddr),
    /// No name server can be reached.
    Unreachable(String),
    /// It was not asked, or not to the end, for want of this.
    Short(Shortage, String),
}

/// The ways to the name servers.
#[derive(Debug)]
pub(super) struct Wire {
    sockets: Mutex<HashMap<SocketAddr, Shared>>,
    by_tcp: Semaphore,
    questions: AtomicUsize,
}

/// The newest socket to a name server.
#[derive(Debug)]
struct Shared {
    /// It is closed with the last question.
    socket: Weak<Socket>,
    opened: Instant,
    asked: usize,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) name: Name<Vec<u8>>,
    pub(crate) kind: Rtype,
    /// The answer is to be whole, which long ones are by UDP with EDNS only, and to say whether it was
    /// validated (RFC 6840 section 5.7).
    pub(crate) in_full: bool,
    /// The name server is to give it as it is, be it bogus (CD, RFC 4035 section 3.2.2).
    pub(crate) unchecked: bool,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            sockets: Mutex::default(),
            by_tcp: Semaphore::new(MOST_BY_TCP),
            questions: AtomicUsize::new(0),
        }
    }
}

impl Wire {
    /// Asks the name servers one after the other, and all of them again, as the settings say.
    ///
    /// # Errors
    /// The most telling of what each of them came to.
    pub(super) async fn ask(
        &self,
        question: &Question,
        settings: &Settings,
    ) -> Result<Answer, Trouble> {
        let mut servers = settings.servers.clone();
        if settings.rotates && !servers.is_empty() {
            let turn = self.questions.fetch_add(1, Ordering::Relaxed) % servers.len();
            servers.rotate_left(turn);
        }
        let mut trouble = None;
        for attempt in 0..settings.attempts {
            for server in &servers {
                // The wait doubles, and all servers share it (resolv.conf(5), as the C library does).
                let wait = match u32::try_from(servers.len()) {
                    Ok(count) if attempt > 0 => settings.timeout * (1 << attempt) / count,
                    _ => settings.timeout,
                };
                match self.ask_one(*server, question, settings, wait).await {
                    Ok(answer) => return Ok(answer),
                    Err(short @ Trouble::Short(..)) => return Err(short),
                    Err(other) => trouble = Some(more_telling(trouble, other)),
                }
            }
        }
        let unknown = || Trouble::Unreachable("no name server is known".to_owned());
        Err(trouble.unwrap_or_else(unknown))
    }

    /// How many sockets are open.
    #[cfg(test)]
    pub(super) fn open_sockets(&self) -> usize {
        lock(&self.sockets).values().filter(|shared| shared.socket.strong_count() > 0).count()
    }

    async fn ask_one(
        &self,
        server: SocketAddr,
        question: &Question,
        settings: &Settings,
        wait: Duration,
    ) -> Result<Answer, Trouble> {
        let mut edns = settings.uses_edns || question.in_full;
        loop {
            let asked = async {
                if settings.uses_tcp {
                    return self.by_tcp(server, question, edns).await;
                }
                let answer = self.by_udp(server, question, edns).await?;
                match answer.header().tc() {
                    true => self.by_tcp(server, question, edns).await,
                    false => Ok(answer),
                }
            };
            let answer = match timeout(wait, asked).await {
                Ok(answer) => answer?,
                Err(_) => return Err(Trouble::Silent(server)),
            };
            match answer.header().rcode() {
                Rcode::NOERROR | Rcode::NXDOMAIN => return Ok(Arc::new(answer)),
                // It does not understand EDNS (RFC 6891 section 7).
                Rcode::FORMERR | Rcode::NOTIMP if edns => edns = false,
                code => return Err(Trouble::Refused(server, code)),
            }
        }
    }

    async fn by_udp(
        &self,
        server: SocketAddr,
        question: &Question,
        edns: bool,
    ) -> Result<Message<Vec<u8>>, Trouble> {
        let failed = |error: io::Error| failed(server, &error);
        let socket = self.socket(server).map_err(failed)?;
        let mut ticket = socket.register(question, edns).map_err(failed)?;
        socket.socket.send(&ticket.query).await.map_err(failed)?;
        match (&mut ticket.answer).await {
            Ok(answer) => answer.map_err(|error| failed(error.into())),
            Err(_) => Err(failed(io::ErrorKind::ConnectionAborted.into())),
        }
    }

    /// The socket for the next question to this server.
    fn socket(&self, server: SocketAddr) -> io::Result<Arc<Socket>> {
        let mut sockets = lock(&self.sockets);
        sockets.retain(|_, shared| shared.socket.strong_count() > 0);
        if let Some(shared) = sockets.get_mut(&server)
            && shared.asked < SHARED_BY
            && shared.opened.elapsed() < SHARED_FOR
            && let Some(socket) = shared.socket.upgrade()
        {
            shared.asked += 1;
            return Ok(socket);
        }
        let socket = Arc::new(Socket::open(server)?);
        let shared = Shared { socket: Arc::downgrade(&socket), opened: Instant::now(), asked: 1 };
        sockets.insert(server, shared);
        Ok(socket)
    }

    async fn by_tcp(
        &self,
        server: SocketAddr,
        question: &Question,
        edns: bool,
    ) -> Result<Message<Vec<u8>>, Trouble> {
        let failed = |error: io::Error| failed(server, &error);
        let Ok(Ok(_place)) = timeout(TURN, self.by_tcp.acquire()).await else {
            let message = format!("no turn to ask the name server {} by TCP", server.ip());
            return Err(Trouble::Short(Shortage::LookUps, message));
        };
        let query = query(question, edns, random_number().map_err(failed)?).map_err(failed)?;
        let mut stream = happy_eyeballs::open(server).await.map_err(failed)?;
        let length = u16::try_from(query.len()).map_err(|error| failed(io::Error::other(error)))?;
        let sent = [&length.to_be_bytes(), query.as_slice()].concat();
        stream.write_all(&sent).await.map_err(failed)?;
        let length = stream.read_u16().await.map_err(failed)?;
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await.map_err(failed)?;
        answer_to(&query, answer)
            .ok_or_else(|| failed(io::Error::other("its answer is for another question")))
    }
}

/// A socket that asks one name server.
#[derive(Debug)]
struct Socket {
    socket: Arc<UdpSocket>,
    waiting: Arc<Mutex<Waiting>>,
    _reader: AbortOnDropHandle<()>,
}

type Reply = Result<Message<Vec<u8>>, Broken>;

/// Why a socket can be read no more, for all who wait: an error can be reported once only.
#[derive(Debug, Clone, Copy)]
struct Broken {
    kind: io::ErrorKind,
    /// The number that the system gave it.
    code: Option<i32>,
}

impl From<Broken> for io::Error {
    fn from(broken: Broken) -> Self {
        broken.code.map_or_else(|| broken.kind.into(), Self::from_raw_os_error)
    }
}

/// The questions without an answer, by number, with what was asked.
type Waiting = HashMap<u16, (Vec<u8>, oneshot::Sender<Reply>)>;

/// The place of a question in a socket; it is free again when the asker has gone.
struct Ticket {
    number: u16,
    query: Vec<u8>,
    answer: oneshot::Receiver<Reply>,
    waiting: Arc<Mutex<Waiting>>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        lock(&self.waiting).remove(&self.number);
    }
}

impl Socket {
    fn open(server: SocketAddr) -> io::Result<Self> {
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        // A port of the system's choice, which is a random one.
        let socket = descriptors::unless_kept(std::net::UdpSocket::bind((any, 0))?)?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let waiting = Arc::default();
        let reader = tokio::spawn(read(Arc::clone(&socket), Arc::clone(&waiting)));
        Ok(Self { socket, waiting, _reader: AbortOnDropHandle::new(reader) })
    }

    fn register(&self, question: &Question, edns: bool) -> io::Result<Ticket> {
        let (teller, answer) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        let mut number = random_number()?;
        while waiting.contains_key(&number) {
            number = number.wrapping_add(1);
        }
        let query = query(question, edns, number)?;
        waiting.insert(number, (query.clone(), teller));
        Ok(Ticket { number, query, answer, waiting: Arc::clone(&self.waiting) })
    }
}

/// Hands out the answers. What answers no question is passed over: anybody may have sent it.
async fn read(socket: Arc<UdpSocket>, waiting: Arc<Mutex<Waiting>>) {
    let mut buffer = vec![0; 4096];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(length) => {
                let packet = buffer.get(..length).unwrap_or_default();
                let Some((first, second)) = packet.first().zip(packet.get(1)) else { continue };
                let number = u16::from_be_bytes([*first, *second]);
                let mut waiting = lock(&waiting);
                let answer =
                    waiting.get(&number).and_then(|(query, _)| answer_to(query, packet.to_vec()));
                if let Some(answer) = answer
                    && let Some((_, teller)) = waiting.remove(&number)
                {
                    let _ = teller.send(Ok(answer));
                }
            }
            // Nobody listens there: it holds for all.
            Err(error) => {
                for (_, (_, teller)) in lock(&waiting).drain() {
                    let broken = Broken { kind: error.kind(), code: error.raw_os_error() };
                    let _ = teller.send(Err(broken));
                }
            }
        }
    }
}

/// A question as it is sent.
pub(crate) fn query(question: &Question, edns: bool, number: u16) -> io::Result<Vec<u8>> {
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_id(number);
    message.header_mut().set_rd(true);
    message.header_mut().set_ad(question.in_full);
    message.header_mut().set_cd(question.unchecked);
    let mut message = message.question();
    message.push((&question.name, question.kind)).map_err(io::Error::other)?;
    let mut message = message.additional();
    if edns {
        let opt = message.opt(|opt| {
            opt.set_udp_payload_size(UDP_BYTES);
            Ok(())
        });
        opt.map_err(io::Error::other)?;
    }
    Ok(message.finish())
}

/// The answer in these bytes, if they are one to this query.
pub(crate) fn answer_to(query: &[u8], answer: Vec<u8>) -> Option<Message<Vec<u8>>> {
    let query = Message::from_octets(query).ok()?;
    let answer = Message::from_octets(answer).ok()?;
    answer.is_answer(&query).then_some(answer)
}

fn random_number() -> io::Result<u16> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u16::from_be_bytes(bytes))
}

fn failed(server: SocketAddr, error: &io::Error) -> Trouble {
    let message = format!("the name server {}: {error}", server.ip());
    let shortage = match server {
        // This host may have no IPv6 address.
        SocketAddr::V6(_) if error.kind() == io::ErrorKind::AddrNotAvailable => None,
        // It asks for any port, by TCP or UDP.
        _ => Shortage::of_connect(error).or(Shortage::of_bind(error)),
    };
    match shortage {
        Some(shortage) => Trouble::Short(shortage, message),
        None => Trouble::Unreachable(message),
    }
}

/// Of two troubles the one that says more about the name: the word of a server, then silence.
fn more_telling(known: Option<Trouble>, new: Trouble) -> Trouble {
    let Some(known) = known else { return new };
    let rank = |trouble: &Trouble| match trouble {
        Trouble::Bogus(_) | Trouble::Refused(..) => 0,
        Trouble::Silent(_) => 1,
        Trouble::Unreachable(_) | Trouble::Short(..) => 2,
    };
    if rank(&new) < rank(&known) { new } else { known }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
