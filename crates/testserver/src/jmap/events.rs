//! The stream of events (RFC 8620, section 7.3).

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::account::account_id;
use super::request::Request;
use crate::faults::Announce;
use crate::wire::{End, Wire};

/// How an open stream begins; also for a script that goes on otherwise.
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";

/// Tells each new state of the mails as the script has them announced, until the client leaves, or after the first
/// if that is what it wants.
pub(super) async fn tell(wire: &mut Wire, user: &str, request: &Request) -> Result<(), End> {
    let ends_after_state = request.variable("closeafter") == Some("state");
    let ping = request.variable("ping").and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
    let (account, post) = (account_id(user), wire.shared.post.clone());
    let newest = || post.emails(user, |emails, _| emails.state()).unwrap_or_default();
    let mut changes = post.changes();
    let mut told = newest();
    wire.put(HEAD);
    wire.flush().await?;
    loop {
        let mut is_time_to_ping = false;
        let next = async {
            let pause =
                sleep(Duration::from_secs(if ping == 0 { u64::from(u32::MAX) } else { ping }));
            tokio::select! {
                // The post office lives as long as this does.
                _ = changes.changed() => {}
                () = pause => is_time_to_ping = true,
            }
        };
        wire.wait_for(next).await?;
        if is_time_to_ping {
            send(wire, "ping", &json!({"interval": ping}).to_string()).await?;
            continue;
        }
        let state = newest();
        match wire.shared.faults.announce() {
            Announce::Never => continue,
            _ if state == told => continue,
            Announce::After(delay) => wire.wait_for(sleep(delay)).await?,
            Announce::AtOnce => {}
        }
        told = state;
        let change =
            json!({"@type": "StateChange", "changed": {&account: {"Email": state.to_string()}}});
        send(wire, "state", &change.to_string()).await?;
        if ends_after_state {
            wire.put("0\r\n\r\n");
            wire.flush().await?;
            return Err(End::Close);
        }
    }
}

async fn send(wire: &mut Wire, name: &str, data: &str) -> Result<(), End> {
    let event = format!("event: {name}\ndata: {data}\n\n");
    wire.put(format!("{:x}\r\n{event}\r\n", event.len()));
    wire.flush().await
}
