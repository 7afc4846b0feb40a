//! A mail server for tests that says what its script makes of each line, over as many connections at once as
//! the client opens.

use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::config::{Config, Target};
use mail::wire::{ConnectionContext, Dialer};

/// What a script says to have the connection closed.
pub(super) const HANG_UP: &str = "\0";

/// The target whose mailbox it is, and the way to it. `script` gives what is said to each line.
pub(super) async fn serve(
    protocol: &str,
    greeting: &'static str,
    script: impl FnMut(&str) -> String + Send + 'static,
) -> (Arc<Target>, Dialer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = format!(
        "targets: [{{name: a, host: 127.0.0.1, from: a@b.test, to: a@b.test, send: {{tls: none}}, receive: \
         {{protocol: {protocol}, port: {port}, tls: none, username: u, password: pw}}}}]"
    );
    let config = Config::parse(&text, Path::new("mailtrip.yml")).unwrap();
    let target = Arc::clone(config.targets.values().next().unwrap());
    let side = target.receive.as_ref().unwrap();
    let dialer =
        Dialer::new(&side.endpoint, Some(&side.login), &ConnectionContext::default()).unwrap();
    let script = Arc::new(Mutex::new(script));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let script = Arc::clone(&script);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let _ = stream.write_all(greeting.as_bytes()).await;
                let mut line = String::new();
                while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                    let said = (script.lock().unwrap())(line.trim_end());
                    // A line of its own that nobody says: the connection ends.
                    if said == HANG_UP || stream.write_all(said.as_bytes()).await.is_err() {
                        break;
                    }
                    line.clear();
                }
            });
        }
    });
    (target, dialer)
}
