//! Where a row of the table is played: its servers, and the target between them.

use std::time::Duration;

use mailtrip_exporter::config::TlsMode;
use testserver::{Certificate, Delivery, Options, Protocol, Server};

use super::script;
use super::table::{Kind, Row};
use crate::support::{TargetText, Trust, USER, World};

/// The period of all: their rounds begin spread over it. A client that is answered may take as long.
pub(crate) const INTERVAL: &str = "15s";
/// How long a client waits that waits in vain.
pub(crate) const SHORT: Duration = Duration::from_secs(3);

/// The servers of one row, with somebody's mail in the inbox; they last as long as this.
pub(crate) struct Played {
    pub(crate) world: World,
    pub(crate) target: TargetText,
}

impl Played {
    /// Starts the servers and writes the script. `name` is that of the target.
    pub(crate) async fn set(row: &Row, name: &str, trust: &Trust) -> Self {
        let odd = server_options(row, trust);
        let (send, receive) = match row.server {
            Kind::Smtp => (odd, Options::new()),
            _ => (Options::new(), odd),
        };
        let mailbox = match row.server {
            Kind::Pop3 => Protocol::Pop3,
            Kind::Jmap => Protocol::Jmap,
            Kind::Smtp | Kind::Imap => Protocol::Imap,
        };
        let world = World::with(mailbox, send, receive).await;
        world.post.insert(USER, "INBOX", b"Subject: somebody's\r\n\r\nhands off\r\n");
        if row.waits_for_mail() {
            world.post.set_delivery(USER, Delivery::lost());
        }
        script::write(row, hostile(row, &world).faults());
        let target = target(row, world.target(name), trust);
        Self { world, target }
    }
}

/// The server that does what the row says.
fn hostile<'a>(row: &Row, world: &'a World) -> &'a Server {
    if row.server == Kind::Smtp { &world.smtp } else { &world.mailbox }
}

fn server_options(row: &Row, trust: &Trust) -> Options {
    if !row.does.starts_with("STARTTLS") || row.does == "STARTTLS: stripped" {
        return Options::new();
    }
    let tls = trust.authority.server(Certificate::Good);
    Options::new().starttls(&tls.unwrap_or_else(|error| panic!("no certificate: {error}")))
}

fn target(row: &Row, target: TargetText, trust: &Trust) -> TargetText {
    let side = row.server.side().label();
    let target = if row.does.starts_with("STARTTLS") {
        target.protect(side, TlsMode::StartTls, trust)
    } else if row.does.starts_with("TLS") {
        target.protect(side, TlsMode::Implicit, trust)
    } else {
        target
    };
    let target = if row.waits_for_mail() {
        // Long enough apart for IDLE, or events, in between.
        target.set("receive.min_look_interval", "5s")
    } else {
        target
    };
    // For its own tag a client waits as well, and says at the end what came instead.
    let waits = row.waits() || row.does == "a wrong tag";
    let timeout = if waits { format!("{}s", SHORT.as_secs()) } else { INTERVAL.to_owned() };
    target.sender_logs_in().set("timeout", &timeout)
}
