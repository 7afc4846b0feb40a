//! The process with the mail servers: some post offices with the accounts between them, each with an SMTP server
//! (STARTTLS) and an IMAP server (TLS from the first byte). It prints where they are, and ends with its
//! standard input.

use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};
use testserver::{Authority, Certificate, Delivery, Options, Post, Protocol, Server};
use tokio::io::AsyncReadExt;

/// How long after its acceptance a mail is in the mailbox.
pub(crate) const DELAY: Duration = Duration::from_millis(50);
/// How many post offices there are: what is shared in one is behind one lock.
const OFFICES: usize = 16;
/// The password of everybody.
pub(crate) const PASSWORD: &str = "tr0ub4dor-3";

/// Serves until the standard input ends.
///
/// # Errors
/// A server does not start.
pub(crate) async fn serve(accounts: &str) -> Result<(), String> {
    let accounts: usize = accounts.parse().map_err(|error| format!("{accounts}: {error}"))?;
    let authority = Authority::new().map_err(|error| error.to_string())?;
    let certificate = authority.server(Certificate::Good).map_err(|error| error.to_string())?;
    let (mut servers, mut ports) = (Vec::new(), Vec::new());
    for office in 0..OFFICES.min(accounts) {
        let post = Post::new();
        for number in (office..accounts).step_by(OFFICES) {
            post.add_account(&user(number), PASSWORD, &[&address(number)]);
            post.set_delivery(&user(number), Delivery::at_once().after(DELAY));
        }
        let start = |protocol, options| Server::start(protocol, &post, options);
        let smtp = start(Protocol::Smtp, Options::new().starttls(&certificate).login_required());
        let smtp = smtp.await.map_err(|error| error.to_string())?;
        let imap = start(Protocol::Imap, Options::new().implicit_tls(&certificate));
        let imap = imap.await.map_err(|error| error.to_string())?;
        ports.push(json!({"smtp": smtp.port(), "imap": imap.port()}));
        servers.push((post, smtp, imap));
    }
    let authority = authority.ca_pem().map_err(|error| error.to_string())?;
    println!("{}", json!({"authority": String::from_utf8_lossy(&authority), "offices": ports}));
    let mut rest = Vec::new();
    let ended = tokio::io::stdin().read_to_end(&mut rest).await;
    ended.map(|_| ()).map_err(|error| error.to_string())
}

fn user(number: usize) -> String {
    format!("user-{number}")
}

fn address(number: usize) -> String {
    format!("user-{number}@example.test")
}

/// The name of a target.
pub(crate) fn target(number: usize) -> String {
    format!("target-{number:05}")
}

/// The configuration of so many targets, each with an account of its own at these servers.
///
/// # Errors
/// The servers said something else.
pub(crate) fn configuration(
    servers: &Value,
    targets: usize,
    period: Duration,
    authority: &str,
) -> Result<String, String> {
    let mut text =
        format!("defaults: {{interval: {}s, timeout: 30s}}\ntargets:\n", period.as_secs());
    for (number, smtp, imap) in places(servers, 0..targets)? {
        let (user, address) = (user(number), address(number));
        let login = format!(
            "username: {user}, password: {PASSWORD}, tls_options: {{ca_file: '{authority}'}}"
        );
        text.push_str(&format!(
            "  - {{name: {}, host: 127.0.0.1, from: {address}, to: {address}, \
             send: {{port: {smtp}, tls: starttls, {login}}}, \
             receive: {{protocol: imap, port: {imap}, tls: implicit, {login}}}}}\n",
            target(number)
        ));
    }
    Ok(text)
}

/// Such accounts as `floor.c` takes them: user, port of SMTP, port of IMAP.
///
/// # Errors
/// The servers said something else.
pub(crate) fn accounts(servers: &Value, numbers: Range<usize>) -> Result<Vec<String>, String> {
    let places = places(servers, numbers)?.into_iter();
    Ok(places.map(|(number, smtp, imap)| format!("{}:{smtp}:{imap}", user(number))).collect())
}

/// The number of each account, and the ports of SMTP and IMAP where it is.
fn places(servers: &Value, numbers: Range<usize>) -> Result<Vec<(usize, u64, u64)>, String> {
    let offices = servers.get("offices").and_then(Value::as_array).cloned().unwrap_or_default();
    let place = |number: usize| {
        let office = offices.get(number % offices.len().max(1));
        let port = |name: &str| office?.get(name)?.as_u64();
        Some((number, port("smtp")?, port("imap")?))
    };
    let places: Option<_> = numbers.map(place).collect();
    places.ok_or_else(|| format!("no ports: {servers}"))
}
