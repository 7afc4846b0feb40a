//! Mail protocols for a client that measures: SMTP, IMAP, POP3 and JMAP, bounded, timed and recorded.
//!
//! Every line and every answer has a largest size, every step a deadline, and a [`trace::Trace`] records the
//! steps with their times, the transcript without its secrets, and the facts about TLS. A dialogue ends well,
//! or in a [`Failure`] with step and reason; an [`Interrupted`] command was refused in a session that goes on,
//! or the session is broken. The crate knows no monitored target, no configuration file and no metric.
//!
//! # A look into an inbox
//!
//! ```
//! use std::collections::BTreeSet;
//! use std::time::Duration;
//!
//! use mail::auth::Login;
//! use mail::imap::Imap;
//! use mail::options::{Endpoint, TlsMode};
//! use mail::trace::Trace;
//! use mail::wire::{ConnectionContext, Dialer};
//! use tokio::time::Instant;
//!
//! # use testserver::{Options, Post, Protocol, Server};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let post = Post::new();
//! # post.add_account("rita", "secret", &["rita@example.test"]);
//! # post.insert("rita", "INBOX", b"Subject: hello\r\n\r\nhello\r\n");
//! # let server = Server::start(Protocol::Imap, &post, Options::new()).await?;
//! # let (host, port) = ("127.0.0.1", server.port());
//! let endpoint = Endpoint::new(host, port, TlsMode::None).with_timeout(Duration::from_secs(5));
//! let login = Login::with_password("rita", "secret");
//! let dialer = Dialer::new(&endpoint, Some(&login), &ConnectionContext::default())?;
//! let trace = Trace::new(Some(&login));
//!
//! let end = Instant::now() + Duration::from_secs(20);
//! let mut imap = Imap::open(&dialer, &login, trace.clone(), end).await?;
//! let inbox = imap.select(b"INBOX").await?;
//! let mut headers = Vec::new();
//! imap.fetch_from(1, &BTreeSet::new(), &mut |mail, _| headers.extend(mail.header)).await?;
//! imap.log_out().await;
//!
//! assert_eq!((inbox.exists, headers.len()), (1, 1));
//! assert!(headers[0].starts_with(b"Subject: hello"));
//! assert!(trace.durations().iter().any(|(step, _)| *step == mail::Step::Fetch));
//! # Ok(())
//! # }
//! ```
//!
//! # The modules
//!
//! A module uses those above it in this list.
//!
//! - [`throttle`]: log lines once a minute; [`descriptors`] and [`shortage`]: what the system runs out of;
//!   [`threads`]: blocking calls under a limit; [`Fault`]: a failure before its step is known.
//! - [`secret`]: a value that is never shown; [`secret_source`]: where it comes from, and when its file is read
//!   again; [`options`]: an endpoint and its TLS options; [`auth`]: a login.
//! - [`text`]: scrubbing of secrets, and shortening and escaping of what a server wrote. `tags`: records and fields
//!   of tags and values.
//! - [`net`]: names, MX records, connections, TLS. [`dnsbl`]: lists of addresses.
//! - [`trace`]: the record of a dialogue.
//! - [`http`]: one question by HTTP. [`oauth`]: access tokens.
//! - [`wire`]: bounded lines over one connection, and the way to a server. `sasl`: logging in over it.
//! - [`content`]: a mail in chunks; [`dkim`]: its signature.
//! - [`smtp`], [`imap`], [`pop3`], [`jmap`]: the protocols; [`visit`]: a greeting and a farewell.
//! - [`discovery`]: the servers of a mail address, and how far they let a client come.
//! - [`departure`]: a hand-over that may have succeeded; [`outer`]: the limit around a whole dialogue.
//! - [`header`], [`test_mail`], [`bounce`], [`inspection`]: the test mail, delivery reports, and what a header
//!   tells. [`posture`]: what a domain publishes about its mail.

pub use fault::Fault;
pub use interrupted::{Interrupted, Refusal, RefusalScope};
pub use ledger::{Action, Clue, Failure, LoginDelay, Reason, Shortage, Side, Step};

pub mod auth;
pub mod bounce;
pub mod content;
pub mod departure;
pub mod descriptors;
pub mod discovery;
pub mod dkim;
pub mod dnsbl;
mod fault;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
pub mod header;
pub mod http;
pub mod imap;
pub mod inspection;
mod interrupted;
pub mod jmap;
pub mod net;
pub mod oauth;
pub mod options;
pub mod outer;
pub mod pop3;
pub mod posture;
mod sasl;
pub mod secret;
pub mod secret_source;
pub mod shortage;
pub mod smtp;
mod tags;
pub mod test_mail;
pub mod text;
pub mod threads;
pub mod throttle;
pub mod trace;
pub mod visit;
pub mod wire;
