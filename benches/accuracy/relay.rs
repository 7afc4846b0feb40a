//! Distance: a port before a server that holds back what passes for as long as it would be under way.
//!
//! Chunks are delayed each and not one after the other: as on a real line, many are under way at a
//! time. What cannot be delayed is the handshake of TCP, which the kernel answers itself; its three
//! ways are made up for before the server is connected, so that its greeting comes when it would.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// What one read takes at most.
const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks that are under way at most, each way.
const CHUNKS: usize = 1024;

/// A port that leads to a server over a distance, for as long as this is kept.
pub(crate) struct Relay {
    port: u16,
    connected: Connected,
    serving: JoinHandle<()>,
}

/// When clients connected that then said something.
type Connected = Arc<Mutex<Vec<SystemTime>>>;

/// What is under way: when it is due, and nothing for the end.
type UnderWay = (Instant, Vec<u8>);

impl Relay {
    /// A relay to this port of 127.0.0.1 that is so far away, one way.
    ///
    /// # Panics
    /// If no port can be had.
    pub(crate) async fn new(server: u16, latency: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap_or_else(|error| panic!("no port for a relay: {error}"));
        let port = listener.local_addr().map_or(0, |address| address.port());
        let connected = Connected::default();
        let serving = tokio::spawn(serve(listener, server, latency, Arc::clone(&connected)));
        Self { port, connected, serving }
    }

    /// The port to connect to, on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How far the nearest connection of a client that said something lies from this moment.
    pub(crate) fn distance_to_connection(&self, moment: SystemTime) -> Option<Duration> {
        let connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        let distance = |at: &SystemTime| {
            at.duration_since(moment).or_else(|_| moment.duration_since(*at)).unwrap_or_default()
        };
        connected.iter().map(distance).min()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, server: u16, latency: Duration, connected: Connected) {
    while let Ok((client, _)) = listener.accept().await {
        let (at, connected) = (SystemTime::now(), Arc::clone(&connected));
        tokio::spawn(async move {
            sleep(3 * latency).await;
            // A server that is not there closes the client's connection, as it would by itself.
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let note = move || {
                connected.lock().unwrap_or_else(PoisonError::into_inner).push(at);
            };
            tokio::join!(
                carry(from_client, to_server, latency, note),
                carry(from_server, to_client, latency, || {}),
            );
        });
    }
}

/// Until the one closes, and the other has been told.
async fn carry(
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    latency: Duration,
    note_first: impl FnOnce(),
) {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    tokio::join!(depart(from, sender, latency, note_first), arrive(to, receiver));
}

async fn depart(
    mut from: impl AsyncRead + Unpin,
    under_way: mpsc::Sender<UnderWay>,
    latency: Duration,
    note_first: impl FnOnce(),
) {
    let mut note_first = Some(note_first);
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        // A connection that is reset has ended as well.
        let count = from.read(&mut buffer).await.unwrap_or(0);
        let chunk = buffer.get(..count).unwrap_or_default().to_vec();
        let is_end = chunk.is_empty();
        if let Some(note) = note_first.take_if(|_| !is_end) {
            note();
        }
        if under_way.send((Instant::now() + latency, chunk)).await.is_err() || is_end {
            return;
        }
    }
}

async fn arrive(mut to: impl AsyncWrite + Unpin, mut under_way: mpsc::Receiver<UnderWay>) {
    while let Some((due, chunk)) = under_way.recv().await {
        sleep_until(due).await;
        if chunk.is_empty() {
            let _ = to.shutdown().await;
            return;
        }
        if to.write_all(&chunk).await.is_err() {
            return;
        }
    }
}
