use std::collections::VecDeque;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{advance, timeout};

use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

/// Eight slots, four of them for one client or for those who have not asked yet.
fn door() -> Arc<Door> {
    let least_wait = 5 * MILLISECOND;
    let scarce_wait = Duration::from_secs(2);
    let (connections, new_connections, per_peer) = (8, 4, 4);
    Door::new(Limits {
        connections,
        new_connections,
        per_peer,
        least_wait,
        scarce_wait,
        ..Limits::default()
    })
}

/// A connection that has been answered and is kept.
async fn kept(door: &Arc<Door>, last: u8) -> Seat {
    let seat = door.enter(address(last)).await.unwrap();
    seat.set(Phase::Admission);
    seat.set(Phase::Answer);
    seat.set(Phase::Kept);
    advance(MILLISECOND).await;
    seat
}

/// A connection that has not sent anything.
async fn new(door: &Arc<Door>, last: u8) -> Seat {
    let seat = door.enter(address(last)).await.unwrap();
    seat.set(Phase::FirstHead);
    advance(MILLISECOND).await;
    seat
}

/// Whether the connection is to end.
async fn is_over(seat: &Seat) -> bool {
    timeout(Duration::ZERO, seat.over()).await.is_ok()
}

async fn who_leaves(seats: &[Seat]) -> Vec<usize> {
    let mut leaving = Vec::new();
    for (index, seat) in seats.iter().enumerate() {
        if is_over(seat).await {
            leaving.push(index);
        }
    }
    leaving
}

#[test]
fn an_ipv6_client_is_its_first_64_bits() {
    let peer = |text: &str| Peer::of(text.parse().unwrap());
    assert_eq!(peer("192.0.2.1"), peer("::ffff:192.0.2.1"));
    assert_ne!(peer("192.0.2.1"), peer("192.0.2.2"));
    assert_eq!(peer("2001:db8:0:1::1"), peer("2001:db8:0:1:ffff::2"));
    assert_ne!(peer("2001:db8:0:1::1"), peer("2001:db8:0:2::1"));
    assert_ne!(peer("::1"), peer("127.0.0.1"));
}

#[tokio::test(start_paused = true)]
async fn where_all_slots_are_taken_the_longest_idle_of_who_holds_most_leaves() {
    let door = door();
    let mut seats = vec![kept(&door, 1).await, kept(&door, 9).await];
    for _ in 0..3 {
        seats.push(kept(&door, 2).await);
        seats.push(kept(&door, 3).await);
    }
    assert!(who_leaves(&seats).await.is_empty());
    advance(5 * MILLISECOND).await;
    seats.push(new(&door, 4).await);
    assert_eq!(who_leaves(&seats).await, [2], "the first of those who hold three");
    seats.remove(2);
    seats.push(new(&door, 4).await);
    assert_eq!(who_leaves(&seats).await, [2], "now the other one holds most");
}

#[tokio::test(start_paused = true)]
async fn a_client_takes_what_is_beyond_its_share_from_itself() {
    let door = door();
    let other = kept(&door, 1).await;
    let mut seats = Vec::new();
    for _ in 0..4 {
        seats.push(kept(&door, 2).await);
    }
    advance(5 * MILLISECOND).await;
    seats.push(new(&door, 2).await);
    assert_eq!(who_leaves(&seats).await, [0]);
    assert!(!is_over(&other).await);

    // One that has all its share at work waits for itself alone.
    seats.remove(0);
    for seat in &seats {
        seat.set(Phase::Answer);
    }
    assert!(door.enter(address(2)).await.is_none());
    assert!(door.enter(address(3)).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn who_has_not_asked_yet_leaves_the_slots_of_those_who_have() {
    let door = door();
    let scraper = kept(&door, 1).await;
    let mut strangers = Vec::new();
    for last in 2..6 {
        strangers.push(new(&door, last).await);
    }
    advance(5 * MILLISECOND).await;
    strangers.push(new(&door, 6).await);
    assert_eq!(who_leaves(&strangers).await, [0], "the fifth takes the place of the first");
    assert!(!is_over(&scraper).await, "half of the slots are free");
}

#[tokio::test(start_paused = true)]
async fn who_had_to_leave_before_leaves_before_who_did_not() {
    let door = door();
    let mut seats = Vec::new();
    for last in 1..=4 {
        seats.push(new(&door, last).await);
    }
    advance(5 * MILLISECOND).await;
    seats.push(new(&door, 5).await);
    assert_eq!(who_leaves(&seats).await, [0]);
    // It comes again at once, and so is the one that has waited least.
    seats.remove(0);
    seats.push(new(&door, 1).await);
    assert_eq!(who_leaves(&seats).await, [0]);
    seats.remove(0);
    advance(5 * MILLISECOND).await;
    let scraper = new(&door, 6).await;
    assert_eq!(who_leaves(&seats).await, [3], "the client that comes again and again");
    assert!(!is_over(&scraper).await);
}

#[tokio::test(start_paused = true)]
async fn nobody_leaves_before_its_request_could_come() {
    let door = door();
    let first = door.enter(address(1)).await.unwrap();
    let _others =
        [door.enter(address(2)).await, door.enter(address(3)).await, door.enter(address(4)).await];
    let started = Instant::now();
    let _fifth = door.enter(address(5)).await.unwrap();
    assert_eq!(started.elapsed(), 5 * MILLISECOND);
    assert!(is_over(&first).await);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_has_just_come_is_answered() {
    let door = door();
    let mut seats = Vec::new();
    for last in 0..4 {
        seats.push(new(&door, last).await);
    }
    advance(5 * MILLISECOND).await;
    seats.push(new(&door, 5).await);
    seats[0].set(Phase::Admission);
    assert!(who_leaves(&seats).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn while_slots_are_scarce_waits_are_short() {
    let door = door();
    let waits = new(&door, 1).await;
    advance(Duration::from_secs(3)).await;
    let second = new(&door, 2).await;
    assert!(!is_over(&waits).await, "slots are not scarce");
    let third = new(&door, 3).await;
    let _fourth = new(&door, 4).await;
    assert!(is_over(&waits).await, "three of the four slots were taken");
    assert!(!is_over(&second).await && !is_over(&third).await);
}

#[tokio::test(start_paused = true)]
async fn there_are_never_more_than_an_eighth_too_many() {
    let door = door();
    let mut seats = Vec::new();
    for last in 1..=8 {
        seats.push(kept(&door, last).await);
    }
    advance(5 * MILLISECOND).await;
    seats.push(kept(&door, 9).await);
    assert_eq!(who_leaves(&seats).await, [0]);
    let entering = door.enter(address(10));
    let mut entering = std::pin::pin!(entering);
    let early = timeout(Duration::from_secs(1), entering.as_mut()).await;
    assert!(early.is_err(), "the first has not gone yet");
    seats.remove(0);
    assert!(entering.await.is_some());
}

#[tokio::test(start_paused = true)]
async fn each_wait_has_its_own_end() {
    let door = door();
    let seat = door.enter(address(1)).await.unwrap();
    let limits = Limits::default();
    for (phase, expected) in [
        (Phase::Handshake, limits.handshake),
        (Phase::FirstHead, limits.header_read),
        (Phase::NextHead, limits.header_read),
        (Phase::Kept, limits.keep_alive),
    ] {
        seat.set(phase);
        let started = Instant::now();
        seat.over().await;
        assert_eq!(started.elapsed(), expected, "{phase:?}");
    }
    for phase in [Phase::Admission, Phase::Answer] {
        seat.set(phase);
        assert!(timeout(limits.keep_alive * 2, seat.over()).await.is_err(), "{phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_begun_head_is_waited_for_as_the_first_one_and_a_taken_byte_counts() {
    let door = door();
    let seat = door.enter(address(1)).await.unwrap();
    let (mut client, server) = tokio::io::duplex(64);
    let mut server = seat.observe(server);
    seat.set(Phase::Kept);
    let limits = Limits::default();
    advance(limits.keep_alive - MILLISECOND).await;
    server.write_all(b"answer").await.unwrap();
    advance(2 * MILLISECOND).await;
    assert!(!is_over(&seat).await, "it has just taken some of its answer");
    client.write_all(b"G").await.unwrap();
    server.read_u8().await.unwrap();
    let started = Instant::now();
    client.write_all(b"E").await.unwrap();
    server.read_u8().await.unwrap();
    seat.over().await;
    assert_eq!(started.elapsed(), limits.header_read);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_its_time_is_not_cut_short_while_slots_are_scarce() {
    let door = door();
    let mut seats = vec![kept(&door, 1).await];
    seats[0].set(Phase::Answer);
    for last in 2..=7 {
        seats.push(kept(&door, last).await);
    }
    advance(Duration::from_secs(3)).await;
    seats.push(kept(&door, 8).await);
    assert!(!is_over(&seats[0]).await, "its client waits for us");
    assert!(is_over(&seats[1]).await, "we wait for its client");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_is_done_earns_no_longer_stay() {
    let door = door();
    let mut seats = Vec::new();
    for last in 1..=4 {
        seats.push(door.enter(address(last)).await.unwrap());
    }
    advance(4 * MILLISECOND).await;
    seats.iter().for_each(|seat| seat.set(Phase::FirstHead));
    let started = Instant::now();
    let _fifth = door.enter(address(5)).await.unwrap();
    assert_eq!(started.elapsed(), MILLISECOND);
}

#[tokio::test(start_paused = true)]
async fn who_was_answered_lately_shakes_hands_while_strangers_press_each_other_out() {
    let door = door();
    drop(kept(&door, 1).await);
    let scraper = new(&door, 1).await;
    let mut strangers = VecDeque::new();
    for last in 2..=40 {
        strangers.push_back(new(&door, last).await);
        if strangers.len() > 3 {
            let oldest = strangers.pop_front().unwrap();
            assert!(is_over(&oldest).await, "the oldest stranger leaves for {last}");
        }
        advance(5 * MILLISECOND).await;
        assert!(!is_over(&scraper).await, "not the scraper for {last}");
    }
    advance(Limits::default().acquaintance).await;
    drop((strangers, scraper));
    let scraper = new(&door, 1).await;
    let _next = [new(&door, 50).await, new(&door, 51).await, new(&door, 52).await];
    advance(5 * MILLISECOND).await;
    let _last = new(&door, 53).await;
    assert!(is_over(&scraper).await, "not answered for so long, it is a stranger");
}

#[tokio::test(start_paused = true)]
async fn only_a_few_connections_are_welcome_and_a_client_takes_them_from_itself() {
    let (connections, new_connections, per_peer) = (20, 10, 9);
    let limits = Limits { connections, new_connections, per_peer, ..Limits::default() };
    let door = Door::new(limits.clone());
    drop(kept(&door, 1).await);
    let mut seats = Vec::new();
    for _ in 0..=limits.welcome_connections {
        seats.push(new(&door, 1).await);
    }
    advance(limits.least_wait).await;
    for last in 2..=6 {
        seats.push(new(&door, last).await);
    }
    advance(limits.least_wait).await;
    let _last = new(&door, 7).await;
    assert_eq!(who_leaves(&seats).await, [0], "with more than the few it is as all others");
}
