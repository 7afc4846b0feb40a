use super::*;
use crate::probing::mailbox::scripted::serve;

/// A maildrop of left-overs that goes on where the session before has ended.
fn maildrop(count: usize) -> impl FnMut(&str) -> String + Send {
    let mut mails: BTreeSet<usize> = (1..=count).collect();
    let mut there: Vec<usize> = Vec::new();
    let mut deleted: Vec<usize> = Vec::new();
    move |line| {
        let mut words = line.split(' ');
        let (command, number) = (words.next(), words.next().and_then(|it| it.parse().ok()));
        let number: usize = number.unwrap_or_default();
        match command.unwrap_or_default() {
            "CAPA" => "+OK\r\nUSER\r\nTOP\r\nUIDL\r\n.\r\n".to_owned(),
            "PASS" => {
                (there, deleted) = (mails.iter().copied().collect(), Vec::new());
                "+OK\r\n".to_owned()
            }
            "STAT" => format!("+OK {} 1\r\n", there.len()),
            "UIDL" => {
                let lines = there.iter().zip(1..).map(|(mail, at)| format!("{at} id{mail}\r\n"));
                format!("+OK\r\n{}.\r\n", lines.collect::<String>())
            }
            "TOP" => format!(
                "+OK\r\nX-Mailtrip: v=1; token={number:032x}; expires=2020-01-01T00:00:00Z\r\n\r\n.\r\n"
            ),
            "DELE" => {
                deleted.push(number);
                "+OK\r\n".to_owned()
            }
            "QUIT" => {
                for number in deleted.drain(..) {
                    mails.remove(&there[number - 1]);
                }
                "+OK\r\n".to_owned()
            }
            _ => "+OK\r\n".to_owned(),
        }
    }
}

#[tokio::test]
async fn more_than_a_session_takes_out_goes_with_the_next_one() {
    const MAILS: usize = REMOVALS + 100;
    let (target, dialer) = serve("pop3", "+OK hello\r\n", maildrop(MAILS)).await;
    let mut memory = Memory::default();
    let id = |number| Id::of(format!("id{number}").as_bytes());
    for number in 1..=MAILS {
        memory.backlog.set(id(number), BacklogState::ToRemove(Removal::default()));
    }
    let since = Since { ours: None, left_overs: SystemTime::now() };
    for left in [MAILS - REMOVALS, 0] {
        let end = Instant::now() + Duration::from_secs(60);
        let (login, trace) = (&target.receive.as_ref().unwrap().login, Trace::new(None));
        let pop3 = log_in(&dialer, login, None, &trace, end, end).await.unwrap();
        let mut judge = |_: &Found| Disposition::Leave;
        let session = Session::look(pop3, &mut memory, &|| since, false, &mut judge).await.unwrap();
        let there = session.listing.entries().count();
        let looked = session.remove_and_close(&mut memory).await;
        assert!(looked.removal_failure.is_none(), "{:?}", looked.removal_failure);
        assert_eq!(there, if left == 0 { MAILS - REMOVALS } else { MAILS });
        let is_to_go = |number: &usize| memory.backlog.kind(id(*number)) == Some(Kind::ToRemove);
        let still_to_go = (1..=MAILS).filter(is_to_go).filter(|number| *number > REMOVALS).count();
        assert_eq!(
            still_to_go,
            MAILS - REMOVALS,
            "known until the server shows that they are gone"
        );
    }
}
