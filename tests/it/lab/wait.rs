//! Waiting for something to become true, never for time to pass.

use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// How long a control of the lab may take to show its effect.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

const STEP: Duration = Duration::from_millis(10);

/// Returns as soon as `condition` holds.
///
/// # Panics
/// If it does not within [`DEADLINE`]; `what` names it.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < end, "waited {DEADLINE:?} in vain until {what}");
        sleep(STEP).await;
    }
}

/// Returns when `port` accepts connections.
///
/// # Panics
/// As [`until`].
pub(crate) async fn until_open(address: IpAddr, port: u16) {
    until(&format!("{address} port {port} is open"), async || {
        TcpStream::connect((address, port)).await.is_ok()
    })
    .await;
}

/// Returns when the server on `port` greets with `prefix`.
///
/// # Panics
/// As [`until`].
pub(crate) async fn until_greeting(address: IpAddr, port: u16, prefix: &str) {
    until(&format!("{address} port {port} greets with {prefix:?}"), async || {
        let Ok(stream) = TcpStream::connect((address, port)).await else { return false };
        let mut line = String::new();
        let read = timeout(DEADLINE, BufReader::new(stream).read_line(&mut line)).await;
        matches!(read, Ok(Ok(_))) && line.starts_with(prefix)
    })
    .await;
}

/// Returns when `port` refuses connections.
///
/// # Panics
/// As [`until`].
pub(crate) async fn until_refused(address: IpAddr, port: u16) {
    until(&format!("{address} port {port} refuses connections"), async || {
        TcpStream::connect((address, port)).await.is_err()
    })
    .await;
}
