//! A network in memory: names, ports, latency, and what goes wrong between two hosts.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use mail::net::simulated::{Connection, Pending};
use testserver::Server;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::trace::Trace;
use link::{Link, connected};

mod link;

/// The address of the exporter's host.
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);
/// A name server that does not answer at all is given up by the exporter itself; this one says so after a while.
const NAME_SERVER_TIMEOUT: Duration = Duration::from_secs(10);

/// How a port meets who wants to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// It accepts.
    #[default]
    Open,
    /// It refuses.
    Refuses,
    /// There is no way to its host.
    Unreachable,
    /// Nothing ever comes back.
    Silent,
}

/// What becomes of a question for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lookup {
    /// It is answered.
    #[default]
    Answered,
    /// There is no such name.
    NoName,
    /// The name servers fail.
    Fails,
    /// They do not answer.
    Silent,
}

/// The way to a port.
#[derive(Debug, Clone, Default)]
pub struct Way {
    /// How it meets who connects.
    pub reach: Reach,
    /// How long a byte is under way, in one direction.
    pub latency: Duration,
    /// How many of a hundred new connections are cut at some byte.
    pub cut_percent: u8,
    /// Bytes of open connections do not arrive; those that were sent meanwhile do, once it is over.
    pub is_held: bool,
}

/// The network of a world. A clone is the same network.
#[derive(Clone)]
pub struct Network(Arc<Mutex<State>>);

struct State {
    names: BTreeMap<String, (IpAddr, Lookup)>,
    ports: BTreeMap<SocketAddr, Port>,
    chance: fastrand::Rng,
    next_client_port: u16,
    /// How often the process has used the network.
    uses: u64,
    /// With which use the process dies.
    dies_with: Option<u64>,
    /// The process is dead: nothing comes from it, and nothing reaches it.
    is_cut_off: bool,
    died: Arc<Notify>,
    /// Where everything that is said is written down.
    listener: Option<Trace>,
}

struct Port {
    server: Arc<Server>,
    way: Way,
    open: Vec<Weak<Mutex<Link>>>,
    /// The most that were open at one time since this was asked for.
    most_open: usize,
}

impl Network {
    /// A network without hosts; what is left to chance comes from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            names: BTreeMap::new(),
            ports: BTreeMap::new(),
            chance: fastrand::Rng::with_seed(seed),
            next_client_port: 20_000,
            uses: 0,
            dies_with: None,
            is_cut_off: false,
            died: Arc::default(),
            listener: None,
        })))
    }

    /// Writes down everything that is said from now on.
    pub fn write_down(&self, trace: &Trace) {
        self.state().listener = Some(trace.clone());
    }

    /// The words of the client or of the server in a connection to this address.
    fn is_said(&self, server: SocketAddr, is_clients: bool, words: &[u8]) {
        let Some(trace) = self.state().listener.clone() else { return };
        let arrow = if is_clients { "->" } else { "<-" };
        trace.whisper(&format!("      {arrow} {server} {}", words.escape_ascii()));
    }

    /// Gives a name its address, in place of one that it had.
    pub fn name(&self, name: &str, address: IpAddr) {
        self.state().names.insert(name.to_owned(), (address, Lookup::Answered));
    }

    /// How questions for this name are answered from now on.
    pub fn set_lookup(&self, name: &str, lookup: Lookup) {
        if let Some((_, known)) = self.state().names.get_mut(name) {
            *known = lookup;
        }
    }

    /// Has a server listen there.
    pub fn listen(&self, address: SocketAddr, server: Arc<Server>) {
        let port = Port { server, way: Way::default(), open: Vec::new(), most_open: 0 };
        self.state().ports.insert(address, port);
    }

    /// Changes the way to a port, for connections that are open as well as for new ones.
    pub fn change_way(&self, address: SocketAddr, change: impl FnOnce(&mut Way)) {
        let mut state = self.state();
        let Some(port) = state.ports.get_mut(&address) else { return };
        change(&mut port.way);
        let is_held = port.way.is_held;
        port.open.retain(|link| link.strong_count() > 0);
        let open: Vec<_> = port.open.iter().filter_map(Weak::upgrade).collect();
        drop(state);
        open.iter().for_each(|link| Link::hold(link, is_held));
    }

    /// The most connections to this address that were open at one time since the last time this was asked.
    pub fn take_most_open(&self, address: SocketAddr) -> usize {
        let mut state = self.state();
        state.ports.get_mut(&address).map_or(0, |port| std::mem::take(&mut port.most_open))
    }

    /// The process dies with so many uses of the network from now on.
    pub fn die_after(&self, uses: u64) {
        let mut state = self.state();
        state.dies_with = Some(state.uses + uses);
    }

    /// The process is dead from now on.
    pub fn cut_off(&self) {
        let mut state = self.state();
        (state.is_cut_off, state.dies_with) = (true, None);
    }

    /// A new process has begun.
    pub fn revive(&self) {
        let mut state = self.state();
        (state.is_cut_off, state.dies_with, state.died) = (false, None, Arc::default());
    }

    /// Is notified when the process dies by [`Network::die_after`].
    pub fn died(&self) -> Arc<Notify> {
        Arc::clone(&self.state().died)
    }

    /// Whether the process is dead.
    pub fn is_cut_off(&self) -> bool {
        self.state().is_cut_off
    }

    /// Counts a use by the process; false if it is dead.
    fn is_used(&self) -> bool {
        let mut state = self.state();
        state.uses += 1;
        if state.dies_with.is_some_and(|last| last <= state.uses) {
            (state.is_cut_off, state.dies_with) = (true, None);
            state.died.notify_one();
        }
        !state.is_cut_off
    }

    async fn open(self, address: SocketAddr) -> io::Result<Box<dyn Connection>> {
        if !self.is_used() {
            return pending().await;
        }
        let way = || self.state().ports.get(&address).map(|port| port.way.clone());
        let latency = way().ok_or(io::ErrorKind::ConnectionRefused)?.latency;
        sleep(latency * 2).await;
        let way = way().ok_or(io::ErrorKind::ConnectionRefused)?;
        if way.is_held || way.reach == Reach::Silent {
            return pending().await;
        }
        match way.reach {
            Reach::Refuses => return Err(io::ErrorKind::ConnectionRefused.into()),
            Reach::Unreachable => return Err(io::ErrorKind::HostUnreachable.into()),
            Reach::Open | Reach::Silent => {}
        }
        let mut state = self.state();
        let is_cut = state.chance.u8(0..100) < way.cut_percent;
        // Short dialogues are to be met, and long ones anywhere.
        let cut_after = is_cut.then(|| 1 << state.chance.u32(0..12));
        let cut_after = cut_after.map(|most: usize| state.chance.usize(0..most));
        state.next_client_port = state.next_client_port.checked_add(1).unwrap_or(20_000);
        let client = SocketAddr::from((CLIENT, state.next_client_port));
        let Some(port) = state.ports.get_mut(&address) else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let (ours, theirs) = connected((client, address), (way.latency, cut_after), self.clone());
        port.open.retain(|link| link.strong_count() > 0);
        port.open.push(Arc::downgrade(&ours.link));
        port.most_open = port.most_open.max(port.open.len());
        tokio::spawn(port.server.serve(Box::new(theirs), client));
        Ok(Box::new(ours))
    }

    async fn look_up(self, name: String) -> Result<Vec<IpAddr>, String> {
        if !self.is_used() {
            return pending().await;
        }
        let known = self.state().names.get(&name).copied();
        match known {
            Some((address, Lookup::Answered)) => Ok(vec![address]),
            None | Some((_, Lookup::NoName)) => Ok(Vec::new()),
            Some((_, Lookup::Fails)) => Err("the name server fails".to_owned()),
            Some((_, Lookup::Silent)) => {
                sleep(NAME_SERVER_TIMEOUT).await;
                Err("no answer of the name servers".to_owned())
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl mail::net::simulated::Network for Network {
    fn connect(&self, address: SocketAddr) -> Pending<io::Result<Box<dyn Connection>>> {
        Box::pin(self.clone().open(address))
    }

    fn look_up(&self, host: &str) -> Pending<Result<Vec<IpAddr>, String>> {
        Box::pin(self.clone().look_up(host.to_owned()))
    }
}
