//! The bounds of the listener.

use std::time::Duration;

use crate::descriptors;

/// What a client may take of the listener. The default is right for production where the system
/// allows 1,024 open files; [`Limits::of_this_process`] asks how many it does allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at one time, an eighth more while some are about to leave; for a further one
    /// that which has waited longest for its client leaves.
    pub connections: usize,
    /// Of these, those that have not asked for anything yet: TLS handshakes and first requests. A
    /// handshake takes a processor a millisecond, and all that are under way may come first.
    pub new_connections: usize,
    /// Of these, those of one client: an IPv4 address, or the /64 of an IPv6 address.
    pub per_peer: usize,
    /// How many connections of a client that was answered lately may ask before any other has to leave.
    pub welcome_connections: usize,
    /// How long a client counts as answered lately.
    pub acquaintance: Duration,
    /// How long a connection may wait for its client before it has to leave for another.
    pub least_wait: Duration,
    /// How long it may wait while three quarters of the slots are taken.
    pub scarce_wait: Duration,
    /// The longest TLS handshake.
    pub handshake: Duration,
    /// The longest wait for a whole request header.
    pub header_read: Duration,
    /// The longest wait for the next request of a connection to begin.
    pub keep_alive: Duration,
    /// The most bytes of a request header; beyond it the answer is 431.
    pub header_bytes: usize,
    /// The longest wait for a whole request body; beyond it the answer is 408.
    pub body_read: Duration,
    /// The most bytes of a request body; beyond it the answer is 413.
    pub body_bytes: usize,
    /// The longest wait for a password check and for a route; beyond it the answer is 503.
    pub answer: Duration,
    /// The longest time in which a client takes its answer; beyond it the connection is closed.
    pub write: Duration,
    /// How long requests in flight may go on after the shutdown.
    pub drain: Duration,
}

impl Limits {
    /// The default, with connections for a quarter of the files that this process may have open:
    /// the rest is for mail servers.
    pub fn of_this_process() -> Self {
        Self::for_open_files(mail::descriptors::limit())
    }

    fn for_open_files(files: u64) -> Self {
        let connections = usize::try_from(descriptors::for_clients(files)).unwrap_or(usize::MAX);
        let per_peer = connections / 2;
        let new_connections = per_peer.min(Self::default().new_connections);
        Self { connections, new_connections, per_peer, ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            new_connections: 128,
            per_peer: 128,
            welcome_connections: 4,
            // Longer than the interval of any scrape.
            acquaintance: Duration::from_secs(600),
            least_wait: Duration::from_millis(5),
            scarce_wait: Duration::from_secs(2),
            handshake: Duration::from_secs(10),
            header_read: Duration::from_secs(10),
            // What Prometheus itself keeps a connection for.
            keep_alive: Duration::from_secs(300),
            header_bytes: 16 * 1024,
            body_read: Duration::from_secs(10),
            body_bytes: 64 * 1024,
            answer: Duration::from_secs(60),
            write: Duration::from_secs(60),
            drain: Duration::from_secs(3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_for_a_quarter_of_the_open_files() {
        let slots = |files: u64| {
            let limits = Limits::for_open_files(files);
            (limits.connections, limits.new_connections, limits.per_peer)
        };
        assert_eq!(Limits::for_open_files(1024), Limits::default());
        assert_eq!(slots(2048), (512, 128, 256));
        assert_eq!(slots(u64::MAX), (1024, 128, 512));
        assert_eq!(slots(10), (16, 8, 8));
        let own = Limits::of_this_process().connections;
        assert!((16..=1024).contains(&own), "{own}");
    }
}
