//! A relay before a real server that stops a dialogue at a chosen point, so that a test can do
//! something exactly there.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::DEADLINE;

/// Where a dialogue stops. It stays there until the client closes it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// The server never hears these words, nor what follows. No words at all: whatever comes next.
    Before(&'static str),
    /// The server hears these words, and its answer never reaches the client.
    AnswerTo(&'static str),
}

/// A port that leads to a server, for as long as this is kept.
pub(crate) struct Relay {
    port: u16,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    stop: Mutex<Option<Stop>>,
    is_reached: watch::Sender<bool>,
}

impl Relay {
    /// A relay to this port of 127.0.0.1 that lets everything pass.
    pub(crate) async fn new(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let serving = tokio::spawn(serve(listener, server, Arc::clone(&shared)));
        Self { port, shared, serving }
    }

    /// The port to connect to, on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The dialogues stop there from now on, those under way as well.
    pub(crate) fn stop_at(&self, stop: Stop) {
        self.shared.is_reached.send_replace(false);
        self.shared.set(Some(stop));
    }

    /// New dialogues pass from now on.
    pub(crate) fn let_pass(&self) {
        self.shared.set(None);
    }

    /// Waits until a dialogue has come to the stop.
    pub(crate) async fn reached(&self) {
        let mut is_reached = self.shared.is_reached.subscribe();
        let reached = timeout(DEADLINE, is_reached.wait_for(|is_reached| *is_reached)).await;
        let stop = self.shared.stop();
        assert!(reached.is_ok(), "no dialogue has come to {stop:?}");
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn stop(&self) -> Option<Stop> {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, stop: Option<Stop>) {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = stop;
    }

    fn reached(&self) {
        self.is_reached.send_replace(true);
    }
}

async fn serve(listener: TcpListener, server: u16, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A server that is not there closes the client's connection, as it would by itself.
            if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                Dialogue { shared, said: Vec::new(), stopped: None }.relay(client, server).await;
            }
        });
    }
}

struct Dialogue {
    shared: Arc<Shared>,
    /// Everything that the client has said.
    said: Vec<u8>,
    stopped: Option<Stop>,
}

impl Dialogue {
    /// Until one of them closes; then both connections end.
    async fn relay(mut self, mut client: TcpStream, mut server: TcpStream) {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let (mut asked, mut answered) = ([0; 4096], [0; 4096]);
        loop {
            let passed = tokio::select! {
                read = from_client.read(&mut asked) => match read {
                    Ok(1..) if self.is_deaf() => Ok(()),
                    Ok(count @ 1..) => {
                        let words = self.hear(asked.get(..count).unwrap_or_default());
                        to_server.write_all(&words).await
                    }
                    _ => return,
                },
                read = from_server.read(&mut answered) => match read {
                    Ok(1..) if self.stopped.is_some() => {
                        self.shared.reached();
                        Ok(())
                    }
                    Ok(count @ 1..) => {
                        to_client.write_all(answered.get(..count).unwrap_or_default()).await
                    }
                    _ => return,
                },
            };
            if passed.is_err() {
                return;
            }
        }
    }

    /// Whether the server hears nothing more.
    fn is_deaf(&self) -> bool {
        matches!(self.stopped, Some(Stop::Before(_)))
    }

    /// What of these words of the client the server is to hear.
    fn hear(&mut self, words: &[u8]) -> Vec<u8> {
        let before = self.said.len();
        self.said.extend_from_slice(words);
        let Some(stop) = self.shared.stop() else { return words.to_vec() };
        let (Stop::Before(needle) | Stop::AnswerTo(needle)) = stop;
        let Some(found) = self.find(needle, before) else { return words.to_vec() };
        self.stopped = Some(stop);
        if !self.is_deaf() {
            return words.to_vec();
        }
        self.shared.reached();
        self.said.get(before..found).unwrap_or_default().to_vec()
    }

    /// Where the client has said this, as part of what it said from `from` on.
    fn find(&self, needle: &str, from: usize) -> Option<usize> {
        if needle.is_empty() {
            return Some(from);
        }
        let start = from.saturating_sub(needle.len() - 1);
        let said = self.said.get(start..).unwrap_or_default();
        let found = said.windows(needle.len()).position(|window| window == needle.as_bytes())?;
        Some(start + found)
    }
}
