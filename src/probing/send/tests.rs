//! The wait for a connection or a place, with a clock that is moved by hand.

use std::num::NonZeroU32;
use std::path::Path;

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;
use crate::config::Config;
use crate::probing::lag::{Lateness, Part};
use ledger::{Rules, Token};
use mail::wire::ConnectionContext;

const MINUTE: Duration = Duration::from_secs(60);

/// What sends once a minute, to a server that is not there.
fn sender() -> Sender {
    let text = "targets: [{name: a, host: 127.0.0.1, interval: 1m, from: a@b.test, to: a@b.test, send: {port: 1, tls: \
                none}, receive: {protocol: imap, port: 1, tls: none, username: u, password: p}}]";
    let config = Config::parse(text, Path::new("test.yml")).unwrap();
    let target = Arc::clone(config.targets.values().next().unwrap());
    let account = Arc::new(Account::new(target.name.clone(), Rules::from(target.as_ref())));
    let subscriber = Subscriber::new(Arc::clone(&target), Arc::clone(&account), Instant::now());
    let mailbox = MailboxHandle::new(
        Arc::new(target.receive.as_ref().unwrap().mailbox_id()),
        None,
        Instant::now(),
    );
    let clients = ConnectionContext::default();
    let dialer = Dialer::new(&target.send.endpoint, None, &clients).unwrap();
    Sender {
        target,
        account,
        turn: Arc::new(Semaphore::new(1)),
        mailbox: Some(Arc::new(mailbox)),
        subscriber: Arc::new(subscriber),
        sender_mailbox: None,
        dialer,
        slots: Arc::new(Bound::new(1)),
        pace: Arc::new(Pace::new(NonZeroU32::MIN)),
        origin: Arc::new(Origin { instance: Token::random(), host: None }),
    }
}

fn run(sender: &Arc<Sender>, first: Instant) -> (JoinHandle<()>, CancellationToken) {
    let (sender, cancel) = (Arc::clone(sender), CancellationToken::new());
    let cancelled = cancel.clone();
    (tokio::spawn(async move { sender.run(first, &cancelled).await }), cancel)
}

fn skipped(sender: &Sender) -> u64 {
    sender.account.snapshot().totals.periods_skipped
}

fn starts(sender: &Sender) -> Lateness {
    sender.pace.lag.of(Part::Start)
}

/// Waits until it has begun to send.
async fn begins(sender: &Sender) {
    let begins = async {
        while starts(sender).counts.iter().sum::<u64>() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(10 * MINUTE, begins).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_period_that_goes_by_in_a_queue_is_counted_when_it_does_and_the_wait_is_shown() {
    for queue in [Delay::Connection, Delay::Place] {
        let sender = Arc::new(sender());
        let held = match queue {
            Delay::Place => sender.pace.begin(Duration::ZERO).await.unwrap(),
            _ => sender.slots.acquire().await.unwrap(),
        };
        let (running, cancel) = run(&sender, Instant::now());
        sleep(MINUTE / 2).await;
        assert_eq!((sender.subscriber.waits_for(), skipped(&sender)), (Some(queue), 0));
        for periods in 1..=3 {
            sleep(MINUTE).await;
            assert_eq!(skipped(&sender), periods, "{queue:?}");
        }
        assert_eq!(sender.subscriber.waits_for(), Some(queue));
        // A reload ends the wait, and nothing of it is lost.
        cancel.cancel();
        running.await.unwrap();
        assert_eq!((sender.subscriber.waits_for(), skipped(&sender)), (None, 3));
        drop(held);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waited_sends_once_its_turn_comes_and_then_by_the_periods_of_before() {
    let (sender, first) = (Arc::new(sender()), Instant::now());
    let held = sender.slots.acquire().await.unwrap();
    let (running, cancel) = run(&sender, first);
    sleep(MINUTE * 5 / 2).await;
    drop(held);
    begins(&sender).await;
    while sender.account.snapshot().sides.send.last_attempt.is_none() {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(sender.subscriber.waits_for(), None);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(sender.subscriber.next_send(), Some(first + MINUTE * 3));
    assert_eq!(skipped(&sender), 2);
    cancel.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_changed_target_does_not_wait_for_its_former_self_in_a_queue() {
    let former = Arc::new(sender());
    let _held = former.slots.acquire().await.unwrap();
    // It was cancelled, say, and has not noticed yet.
    let (running, _) = run(&former, Instant::now());
    sleep(MINUTE / 2).await;
    let (account, turn) = (Arc::clone(&former.account), Arc::clone(&former.turn));
    let changed = Arc::new(Sender { account, turn, ..sender() });
    let due = Instant::now();
    let (changed_running, _) = run(&changed, due);
    begins(&changed).await;
    assert!(due.elapsed() < Duration::from_secs(1), "{:?}", due.elapsed());
    assert_eq!(skipped(&changed), 0);
    running.abort();
    changed_running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_began_late_tells_how_late_its_first_mail_is() {
    let (sender, first) = (Arc::new(sender()), Instant::now());
    sleep(Duration::from_secs(7)).await;
    let (running, _) = run(&sender, first);
    begins(&sender).await;
    assert!(starts(&sender).sum >= Duration::from_secs(7), "{:?}", starts(&sender));
    running.abort();
}
