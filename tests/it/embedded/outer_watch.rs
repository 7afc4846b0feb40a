//! Every attempt has an end whatever the server does, and no measurement outlives its schedule: hanging
//! and endless servers, and mailboxes that allow a login only now and then.

use std::time::Duration;

use ledger::Reason;
use ledger::{Reading, Snapshot};
use testserver::Protocol;
use testserver::faults::{CREDENTIALS, Fault, GREETING};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{DEADLINE, Exporter, MAILBOXES, World, all, dialogues};

/// A mailbox that logs anybody in and then answers one command without ever coming to an end.
async fn endless_server(protocol: Protocol) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = match protocol {
                    Protocol::Imap => endless_imap(socket).await,
                    _ => endless_pop3(socket).await,
                };
            });
        }
    });
    port
}

async fn endless_imap(socket: TcpStream) -> std::io::Result<()> {
    let (read, mut write) = socket.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"* OK ready\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let (tag, command) = line.split_once(' ').unwrap_or_default();
        match command.split(' ').next().unwrap_or_default() {
            "CAPABILITY" => {
                write.write_all(b"* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR\r\n").await?;
            }
            // A header that has room for all that the reader would ever take.
            "SELECT" => {
                write.write_all(b"* 1 FETCH (BODY[HEADER] {4000000000}\r\n").await?;
                loop {
                    write.write_all(&[b'x'; 65_536]).await?;
                }
            }
            _ => {}
        }
        write.write_all(format!("{tag} OK done\r\n").as_bytes()).await?;
    }
    Ok(())
}

async fn endless_pop3(socket: TcpStream) -> std::io::Result<()> {
    let (read, mut write) = socket.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"+OK\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let answer: &[u8] = match line.split(' ').next().unwrap_or_default() {
            "CAPA" => b"+OK\r\nTOP\r\nUIDL\r\nSASL PLAIN\r\n.\r\n",
            "AUTH" => b"+ \r\n",
            "STAT" => b"+OK 1 10\r\n",
            "UIDL" => b"+OK\r\n1 a\r\n.\r\n",
            "TOP" => {
                write.write_all(b"+OK\r\n").await?;
                loop {
                    write.write_all(&[b'x'; 65_536]).await?;
                }
            }
            _ => b"+OK\r\n",
        };
        write.write_all(answer).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_stops_talking_fails_by_the_deadline_and_delays_nobody() {
    for protocol in MAILBOXES {
        let world = World::new(protocol).await;
        let port = endless_server(protocol).await.to_string();
        let evil = world.target("evil").set("interval", "1s").set("receive.port", &port);
        let evil = evil.set("timeout", "1s");
        let good = world.target("good").set("interval", "1s").set("late_after", "1h");
        let exporter = Exporter::start(&[evil, good]).await;
        let fails = |now: &Snapshot| now.totals.check_failures >= 3;
        let snapshot = exporter.until("evil", "three checks have failed", fails).await;
        assert_eq!(snapshot.receive_ability, Reading::Is(false));
        assert_eq!(snapshot.totals.check_failures, snapshot.totals.checks);
        let good = exporter.received("good", 3).await;
        assert_eq!(good.sides.receive.last_failure, None);
        let began = Instant::now();
        exporter.supervisor.stop().await;
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_check_ends_by_its_deadline_however_many_answers_it_takes() {
    let cases = [(Protocol::Imap, "CAPABILITY", "SELECT"), (Protocol::Pop3, "CAPA", "STAT")].map(
        |(protocol, first, last)| {
            let case = async move {
                let world = World::new(protocol).await;
                // Each answer comes in time, all of them together do not.
                for point in [GREETING, first, CREDENTIALS, last] {
                    world.mailbox.faults().on(point, Fault::delay(Duration::from_millis(1500)));
                }
                let target = world.target("a").set("interval", "1s").set("timeout", "2s");
                let exporter = Exporter::start(&[target]).await;
                let fails = |now: &Snapshot| now.totals.check_failures >= 2;
                let snapshot = exporter.until("a", "two checks have failed", fails).await;
                assert_eq!(snapshot.receive_ability, Reading::Is(false));
                assert_eq!(
                    snapshot.sides.receive.failures_for(Reason::Timeout),
                    snapshot.totals.checks
                );
                assert!(snapshot.totals.probes >= 2, "sending goes on");
                // The server is well again, and so is what is said of it.
                world.mailbox.faults().clear();
                exporter.received("a", 1).await;
            };
            (first.to_owned(), case)
        },
    );
    all(cases).await;
}

#[tokio::test]
async fn a_login_delay_is_kept_and_holds_up_no_mail() {
    let world = World::new(Protocol::Pop3).await;
    world.mailbox.faults().offer("LOGIN-DELAY 3");
    let exporter = Exporter::start(&[world.target("a").set("interval", "1s")]).await;
    exporter.measured("a").await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(9) {
        let snapshot = exporter.snapshot("a");
        assert_eq!(snapshot.receive_ability, Reading::Is(true));
        assert_eq!(snapshot.send_ability, Reading::Is(1.0));
        sleep(Duration::from_millis(100)).await;
    }
    let snapshot = exporter.snapshot("a");
    assert_eq!((snapshot.totals.periods_skipped, snapshot.totals.late), (0, 0), "{snapshot:#?}");
    assert!(snapshot.totals.accepted >= 8, "{snapshot:#?}");
    assert!(snapshot.totals.received >= 4, "{snapshot:#?}");
    assert!(snapshot.totals.checks_skipped >= 4, "{snapshot:#?}");
    assert_eq!(snapshot.check_interval, Duration::from_secs(3));
    let effect = snapshot.login_delay.effect(snapshot.interval).unwrap();
    assert!(effect.ends_with("checked every 3 s and not every 1 s"), "{effect}");
    exporter.supervisor.stop().await;
    let logins: Vec<Instant> = dialogues(&world.mailbox)
        .iter()
        .filter_map(|session| session.commands.iter().find(|it| it.line == "STAT"))
        .map(|command| command.at)
        .collect();
    assert!(logins.len() >= 3, "{logins:?}");
    for pair in logins.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_millis(2900), "{:?}", pair[1] - pair[0]);
    }
}

#[tokio::test]
async fn a_login_delay_that_nobody_can_keep_to_keeps_no_old_value() {
    let world = World::new(Protocol::Pop3).await;
    world.mailbox.faults().offer("LOGIN-DELAY 999999999999");
    let exporter = Exporter::start(&[world.target("a").set("interval", "1s")]).await;
    let snapshot = exporter.received("a", 2).await;
    assert_eq!(snapshot.receive_ability, Reading::Is(true));
    let effect = snapshot.login_delay.effect(snapshot.interval).unwrap();
    assert!(effect.contains("999999999999 s") && effect.ends_with("ignored"), "{effect}");
    world.mailbox.faults().on(CREDENTIALS, Fault::reply("-ERR [SYS/PERM] broken"));
    let fails = |now: &Snapshot| now.receive_ability == Reading::Is(false);
    exporter.until("a", "the mailbox is broken", fails).await;
}

#[tokio::test]
async fn every_loop_ends_within_its_time_under_a_server_that_hangs() {
    for protocol in MAILBOXES {
        let world = World::new(protocol).await;
        let target = world.target("a").set("interval", "10s").set("timeout", "1m");
        world.smtp.faults().on("RCPT", Fault::Hang);
        world.mailbox.faults().on(CREDENTIALS, Fault::Hang);
        let exporter = Exporter::start(&[target]).await;
        let sends = world.smtp.wait_until(DEADLINE, |stats| stats.connections >= 1).await;
        assert!(sends, "nothing was sent");
        let stopped = timeout(Duration::from_secs(5), exporter.supervisor.stop()).await;
        assert!(stopped.is_ok(), "the loops go on");
    }
}
