//! `--web.systemd-socket`: sockets that systemd has opened for the program (sd_listen_fds(3)).

use std::env;
use std::io;

use listenfd::ListenFd;
use socket2::SockRef;
use tokio::net::TcpListener;

/// The most sockets that are taken.
const MOST: usize = 64;

/// All sockets that were passed, at least one. To be asked for once, and early: nothing else may have taken
/// their descriptors.
///
/// # Errors
///
/// None was passed to this process, or one is no TCP socket that listens. The message says what to do.
pub fn passed_by_systemd() -> io::Result<Vec<TcpListener>> {
    expect(|name| env::var(name).ok(), std::process::id()).map_err(io::Error::other)?;
    let mut passed = ListenFd::from_env();
    let listeners: io::Result<Vec<_>> =
        (0..passed.len()).map(|index| take(&mut passed, index)).collect();
    listeners.map_err(|error| {
        let message = format!(
            "--web.systemd-socket: {error}; each line ListenStream= of the .socket unit must be a port, or an \
             address with a port"
        );
        io::Error::new(error.kind(), message)
    })
}

/// Whether the environment says that this process was given sockets, and not more than are taken.
fn expect(environment: impl Fn(&str) -> Option<String>, process: u32) -> Result<(), String> {
    let number = |name| environment(name).and_then(|text| text.parse::<usize>().ok());
    let is_ours = environment("LISTEN_PID").is_some_and(|text| text == process.to_string());
    match number("LISTEN_FDS").filter(|_| is_ours) {
        Some(1..=MOST) => Ok(()),
        Some(count @ 1..) => {
            Err(format!("--web.systemd-socket: {count} sockets were passed; at most {MOST} are taken"))
        }
        _ => Err("--web.systemd-socket: no socket was passed to this process: have systemd start it by a \
                  .socket unit, or give --web.listen-address instead"
            .to_owned()),
    }
}

fn take(passed: &mut ListenFd, index: usize) -> io::Result<TcpListener> {
    let listener = passed.take_tcp_listener(index)?;
    let listener = listener.ok_or_else(|| io::Error::other("a socket was taken already"))?;
    if !SockRef::from(&listener).is_listener()? {
        return Err(io::Error::other("a socket was passed that does not listen"));
    }
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_that_were_passed_to_this_process_count() {
        let expected = |pid: Option<&'static str>, count: &'static str| {
            let value = move |name: &str| match name {
                "LISTEN_PID" => pid,
                _ => Some(count),
            };
            expect(|name| value(name).map(str::to_owned), 42)
        };
        assert_eq!(expected(Some("42"), "2"), Ok(()));
        for (pid, count) in [(None, "2"), (Some("41"), "2"), (Some("42"), "0"), (Some("42"), "x")] {
            let message = expected(pid, count).unwrap_err();
            assert!(message.contains("no socket was passed"), "{pid:?} {count}: {message}");
        }
        assert!(expected(Some("42"), "4000000000").unwrap_err().contains("at most 64"));
    }
}
