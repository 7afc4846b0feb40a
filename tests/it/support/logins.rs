//! Logging in to one side of a target, and what was said meanwhile.

use std::time::Duration;

use ledger::Failure;
use mail::imap::Imap;
use mail::jmap::Jmap;
use mail::pop3::Pop3;
use mail::smtp::Smtp;
use mail::trace::Trace;
use mail::wire::{ConnectionContext, Dialer};
use mailtrip_exporter::config::{Protocol, ReceiveSide, SendSide};
use tokio::time::Instant;

/// Logs in to the sending server, and gives the transcript as well.
pub(crate) async fn log_in_to_send(side: &SendSide) -> (Result<(), Failure>, String) {
    send_with(side, &ConnectionContext::default()).await
}

/// The same with these clients.
pub(crate) async fn send_with(
    side: &SendSide,
    clients: &ConnectionContext,
) -> (Result<(), Failure>, String) {
    let trace = Trace::new(side.login.as_ref());
    let dialer = Dialer::new(&side.endpoint, side.login.as_ref(), clients).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    let outcome = Smtp::open(&dialer, side.login.as_ref(), None, trace.clone(), end).await;
    (outcome.map(drop), trace.transcript())
}

/// Logs in to the mailbox, and gives the transcript as well.
pub(crate) async fn log_in_to_receive(side: &ReceiveSide) -> (Result<(), Failure>, String) {
    receive_with(side, &ConnectionContext::default()).await
}

/// The same with these clients.
pub(crate) async fn receive_with(
    side: &ReceiveSide,
    clients: &ConnectionContext,
) -> (Result<(), Failure>, String) {
    let trace = Trace::new(Some(&side.login));
    let dialer = Dialer::new(&side.endpoint, Some(&side.login), clients).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    let (login, record) = (&side.login, trace.clone());
    let outcome = match side.protocol {
        Protocol::Imap { .. } => Imap::open(&dialer, login, record, end).await.map(drop),
        Protocol::Pop3 => Pop3::open(&dialer, login, record, end).await.map(drop),
        Protocol::Jmap { .. } => Jmap::open(&dialer, login, record, end).await.map(drop),
    };
    (outcome, trace.transcript())
}
