//! Taking out what is ours: what the server refuses, what it says and does not do, and what an earlier process has left.

use super::*;
use crate::store::FolderRecord;

fn destroyed(said: &str, shown: &[String]) -> String {
    format!(r#"["Email/set",{{{said}}},"0"],{}"#, list(shown))
}

/// The memory of a process that has these to take out, and how its record is written then.
fn kept(words: &[&str]) -> (Memory, Vec<String>) {
    let mut memory = Memory::default();
    let to_remove: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let record = FolderRecord { to_remove: to_remove.clone(), ..FolderRecord::default() };
    memory.restore(&record, crate::clock::now());
    (memory, to_remove)
}

fn record(memory: &Memory) -> Vec<String> {
    memory.record(crate::clock::now()).to_remove
}

/// The time comes at which what was put off is asked for again.
fn promote(memory: &mut Memory) {
    memory.promote_expired(SystemTime::now() + Duration::from_secs(120));
}

#[tokio::test]
async fn a_mail_that_comes_while_ours_are_taken_out_is_seen() {
    let mut reading = Reading::of(|line| match line {
        _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
        _ if line.contains("Email/query") => newest(r#""m1""#),
        _ if line.contains("Email/set") => {
            destroyed(r#""oldState":"1","newState":"4","destroyed":["m1"]"#, &[])
        }
        _ if line.contains(r#""sinceState":"1""#) => {
            changes(r#""m9""#, "4", &[mail("m9", "in", 9)])
        }
        _ if line.contains("Email/changes") => changes("", "4", &[]),
        _ => list(&[mail("m1", "in", 1)]),
    })
    .await;
    reading.look(false).await.unwrap();
    reading.remove().await.unwrap();
    reading.look(false).await.unwrap();
    assert_eq!(reading.tokens(), [1, 9]);
}

#[tokio::test]
async fn a_mail_that_the_server_refuses_to_take_out_stays_known_and_holds_up_no_other() {
    let log = Log::default();
    let asked = log.clone();
    let ids: Vec<String> = (0..60).map(|number| format!("m{number:02}")).collect();
    let all: Vec<String> = (0..60).map(|it| mail(&ids[it as usize], "in", it)).collect();
    let quoted: Vec<String> = ids.iter().map(|id| format!("{id:?}")).collect();
    let mut reading = Reading::of(move |line| {
        asked.note(line);
        match line {
            _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
            _ if line.contains("Email/query") => newest(&quoted.join(",")),
            _ if line.contains("Email/set") => {
                let refused = ids.iter().filter(|id| line.contains(id.as_str()));
                let refused: Vec<String> =
                    refused.map(|id| format!(r#""{id}":{{"type":"forbidden"}}"#)).collect();
                destroyed(&format!(r#""notDestroyed":{{{}}}"#, refused.join(",")), &[])
            }
            _ => list(&all),
        }
    })
    .await;
    reading.look(false).await.unwrap();
    for tries in 0..5 {
        assert_eq!(reading.session.has_to_remove(&reading.memory, false), tries < 3);
        assert!(reading.session.has_to_remove(&reading.memory, true), "a check asks again");
        let failure = Failure::from(reading.remove().await.unwrap_err());
        assert_eq!((failure.step, failure.reason), (Step::Remove, Reason::Rejected));
    }
    assert!(log.with("Email/set")[1].contains(r#""destroy":["m50","m51""#), "those not yet tried");
    assert_eq!(record(&reading.memory).len(), 60, "a restart forgets none");
}

#[tokio::test]
async fn a_mail_that_is_gone_as_the_server_says_and_shown_is_given_up_for_a_day() {
    let mut reading = Reading::of(|line| match line {
        _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
        _ if line.contains("Email/query") => newest(r#""m2""#),
        _ if line.contains("Email/set") => {
            destroyed(r#""destroyed":["m2"]"#, &[mail("m2", "in", 2)])
        }
        _ => list(&[mail("m2", "in", 2)]),
    })
    .await;
    reading.look(false).await.unwrap();
    for _ in 0..3 {
        assert!(reading.session.has_to_remove(&reading.memory, true));
        let failure = Failure::from(reading.remove().await.unwrap_err());
        assert_eq!(failure.message, super::super::super::STILL_THERE);
    }
    promote(&mut reading.memory);
    assert!(!reading.session.has_to_remove(&reading.memory, true));
    assert_eq!(
        record(&reading.memory),
        [format!("m2/{:032x}", 2)],
        "no restart takes it for a second"
    );
    reading.memory.promote_expired(SystemTime::now() + Duration::from_secs(25 * 3600));
    assert!(reading.session.has_to_remove(&reading.memory, true));
}

#[tokio::test]
async fn a_server_that_says_nothing_of_a_mail_has_taken_it_out_if_it_shows_it_no_more() {
    let mut sets = 0;
    let mut reading = Reading::of(move |line| match line {
        _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
        _ if line.contains("Email/query") => newest(r#""m1""#),
        _ if line.contains("Email/set") => {
            let there = [mail("m1", "in", 1)];
            sets += 1;
            destroyed(r#""destroyed":[]"#, if sets == 1 { &there } else { &[] })
        }
        _ => list(&[mail("m1", "in", 1)]),
    })
    .await;
    reading.look(false).await.unwrap();
    let failure = Failure::from(reading.remove().await.unwrap_err());
    assert!(failure.message.contains("no word about it"), "{failure}");
    reading.remove().await.unwrap();
    assert!(record(&reading.memory).is_empty());
}

#[tokio::test]
async fn a_busy_server_has_nothing_forgotten() {
    let mut reading = Reading::of(|line| match line {
        _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
        _ => http("429 Too Many Requests", ""),
    })
    .await;
    let (memory, words) = kept(&["m1", "m2"]);
    reading.memory = memory;
    for _ in 0..4 {
        let failure = Failure::from(reading.remove().await.unwrap_err());
        assert_eq!((failure.step, failure.reason), (Step::Remove, Reason::Deferred));
        promote(&mut reading.memory);
    }
    assert_eq!(record(&reading.memory), words);
}

#[tokio::test]
async fn a_mail_at_which_sessions_end_is_forgotten_and_the_others_are_taken_out() {
    let log = Log::default();
    let asked = log.clone();
    let mut reading = Reading::of(move |line| {
        asked.note(line);
        match line {
            _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
            _ if line.contains("Email/set") => destroyed(r#""destroyed":["m2"]"#, &[]),
            _ if line.contains("m1") => HANG_UP.to_owned(),
            _ => list(&[mail("m2", "in", 2)]),
        }
    })
    .await;
    (reading.memory, _) = kept(&["m1", "m2"]);
    for _ in 0..8 {
        promote(&mut reading.memory);
        if reading.remove().await.is_err() {
            reading.reopen().await;
        }
    }
    assert_eq!(log.with("Email/set").len(), 1);
    assert!(record(&reading.memory).is_empty());
    assert!(log.with(&alone("m1")).len() <= 6, "three times, over a second connection each");
}

#[tokio::test]
async fn what_lies_where_nothing_is_looked_for_stays() {
    let log = Log::default();
    let asked = log.clone();
    let mut reading = Reading::of(move |line| {
        asked.note(line);
        match line {
            _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
            _ => list(&[mail("m1", "elsewhere", 1)]),
        }
    })
    .await;
    (reading.memory, _) = kept(&["m1"]);
    reading.remove().await.unwrap();
    reading.remove().await.unwrap();
    assert!(log.with("Email/set").is_empty() && record(&reading.memory).is_empty());
}

#[tokio::test]
async fn what_an_earlier_process_left_is_read_again_and_others_mail_stays() {
    let asked: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&asked);
    let mut reading = Reading::of(move |line| {
        log.lock().unwrap().push(line.to_owned());
        match line {
            _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
            _ if line.contains("Email/query") => newest(""),
            _ if line.contains("Email/set") => {
                format!(r#"["Email/set",{{"destroyed":["m1","m3"]}},"0"],{}"#, list(&[]))
            }
            // The second is another mail by now, the third has expired, the fourth is gone.
            _ => list(&[mail("m1", "in", 1), mail("m2", "in", 7), mail("m3", "in", 3)]),
        }
    })
    .await;
    let token = |number: u128| format!("{number:032x}");
    let record = crate::store::FolderRecord {
        to_remove: vec![
            format!("m1/{}", token(1)),
            format!("m2/{}", token(2)),
            "m3".into(),
            "m4".into(),
        ],
        ..crate::store::FolderRecord::default()
    };
    reading.memory.restore(&record, crate::clock::now());
    assert_eq!(reading.memory.record(crate::clock::now()).to_remove, record.to_remove);
    reading.look(false).await.unwrap();
    reading.remove().await.unwrap();
    reading.remove().await.unwrap();
    let removal = asked.lock().unwrap().iter().rfind(|line| line.contains("Email/set")).cloned();
    assert!(removal.unwrap().contains(r#""destroy":["m1","m3"]"#));
}

#[tokio::test]
async fn a_copy_whose_time_is_not_over_is_taken_out_when_it_is() {
    let mark = mail("m1", "in", 1).replace("2020-01-01", "2199-01-01");
    let mut reading = Reading::of(move |line| match line {
        _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
        _ => list(std::slice::from_ref(&mark)),
    })
    .await;
    // As it was to be discarded before a restart.
    let record = crate::store::FolderRecord { to_remove: vec!["m1".into()], ..Default::default() };
    reading.memory.restore(&record, crate::clock::now());
    reading.remove().await.unwrap();
    let kept = reading.memory.record(crate::clock::now());
    assert!(kept.to_remove.is_empty() && kept.left_overs.len() == 1, "{kept:?}");
}

#[tokio::test]
async fn one_mail_that_the_server_refuses_does_not_put_off_the_others() {
    let mut sets = 0;
    let mut reading = Reading::of(move |line| match line {
        _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
        _ if line.contains("Email/query") => newest(r#""m1","m2""#),
        _ if line.contains("Email/changes") => {
            let id = format!("m{}", sets + 2);
            changes(&format!(r#""{id}""#), &id, &[mail(&id, "in", sets + 2)])
        }
        _ if line.contains("Email/set") => {
            sets += 1;
            let gone = format!("m{}", sets + 1);
            let refused = r#""notDestroyed":{"m1":{"type":"forbidden"}}"#;
            destroyed(&format!(r#""destroyed":["{gone}"],{refused}"#), &[mail("m1", "in", 1)])
        }
        _ => list(&[mail("m1", "in", 1), mail("m2", "in", 2)]),
    })
    .await;
    for _ in 0..6 {
        reading.look(false).await.unwrap();
        assert!(reading.session.has_to_remove(&reading.memory, false));
        assert!(reading.remove().await.is_err(), "one stays");
    }
}
