//! The last file descriptors of the process, which no connection to a mail server may take.
//!
//! A new descriptor is always the lowest number that is free. So a socket whose number is among the
//! last ones shows that all before it are taken: whoever tests gives such a socket back, and the
//! listener and the store still find one. Nobody has to count.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// How many descriptors this process may have open; `u64::MAX` without a limit.
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many of so many descriptors no test may take: a sixteenth, from 12 to 64.
pub fn kept(limit: u64) -> u64 {
    (limit / 16).clamp(12, 64)
}

/// The socket of a test, unless it is one of the last descriptors; then it is closed.
///
/// # Errors
/// `EMFILE`, as if none had been left.
pub fn unless_kept<S: AsFd>(socket: S) -> io::Result<S> {
    let limit = limit();
    match is_among_the_last(&socket, limit, kept(limit)) {
        true => Err(Errno::MFILE.into()),
        false => Ok(socket),
    }
}

/// Whether a socket has one of the last `count` of `limit` descriptors.
pub fn is_among_the_last(socket: &impl AsFd, limit: u64, count: u64) -> bool {
    let number = u64::try_from(socket.as_fd().as_raw_fd()).unwrap_or(0);
    number >= limit.saturating_sub(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_descriptors_are_no_test_s() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let number = u64::try_from(socket.as_raw_fd()).unwrap();
        assert!(!is_among_the_last(&socket, number + 13, 12));
        assert!(is_among_the_last(&socket, number + 12, 12));
        // More than the whole: none is left.
        assert!(is_among_the_last(&socket, 5, 12));
        assert_eq!([48, 1024, 4096, u64::MAX].map(kept), [12, 64, 64, 64]);
        assert!(unless_kept(socket).is_ok(), "a test has hardly any open");
    }
}
