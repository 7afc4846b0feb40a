//! Mails that the server does not show, or at which it fails.

use super::*;

const FAILS: &str = r#"["error",{"type":"serverFail"},"0"]"#;

#[tokio::test]
async fn a_mail_that_is_named_and_not_shown_is_asked_for_again() {
    let mut is_shown = false;
    let mut reading = Reading::of(move |line| match line {
        _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
        _ if line.contains("Email/query") => newest(""),
        _ if line.contains(r#""sinceState":"1""#) => changes(r#""m1""#, "2", &[]),
        _ if line.contains("Email/changes") => {
            is_shown = true;
            changes("", "2", &[])
        }
        _ if is_shown => list(&[mail("m1", "in", 1)]),
        _ => list(&[]),
    })
    .await;
    reading.look(false).await.unwrap();
    let before = reading.memory.looked_at;
    reading.look(false).await.unwrap();
    assert!(reading.seen.is_empty());
    reading.reopen_after(2).await;
    reading.look(false).await.unwrap();
    assert_eq!(reading.tokens(), [1]);
    assert_eq!(reading.before, [before], "the look before it was named");
}

#[tokio::test]
async fn one_that_lies_in_a_new_folder_when_it_is_shown_is_judged_at_once() {
    let without = r#"["Mailbox/get",{"list":[{"id":"in","name":"Inbox","role":"inbox"}]},"0"]"#;
    let (mut lists, mut is_shown) = (0, false);
    let mut reading = Reading::of(move |line| match line {
        _ if line.contains("Mailbox/get") => {
            lists += 1;
            if lists == 1 { without.to_owned() } else { MAILBOXES.to_owned() }
        }
        _ if line.contains("Email/query") => newest(if is_shown { r#""m1""# } else { "" }),
        _ if line.contains(r#""sinceState":"1""#) => changes(r#""m1""#, "2", &[]),
        _ if line.contains("Email/changes") => {
            is_shown = true;
            changes("", "2", &[])
        }
        _ if is_shown => list(&[mail("m1", "junk", 1)]),
        _ => list(&[]),
    })
    .await;
    for _ in 0..2 {
        reading.look(false).await.unwrap();
    }
    assert!(reading.seen.is_empty());
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    reading.look(false).await.unwrap();
    assert_eq!(reading.tokens(), [1]);
}

#[tokio::test]
async fn an_answer_without_a_list_is_none() {
    for bad in [
        r#"["Email/get",{"state":"1"},"0"],["Email/query",{"ids":[]},"1"]"#,
        r#"["Email/get",{"state":"1","list":[]},"0"],["Email/query",{},"1"]"#,
    ] {
        let mut reading = Reading::of(move |line| match line {
            _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
            _ => bad.to_owned(),
        })
        .await;
        assert_eq!(reading.look(false).await.unwrap_err().reason, Reason::Protocol, "{bad}");
    }
}

#[tokio::test]
async fn a_mail_that_is_refused_does_not_stop_the_reading() {
    for has_other in [true, false] {
        let mut looks = 0;
        let mut reading = Reading::of(move |line| match line {
            _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
            _ if line.contains("Email/query") && looks == 0 => newest(""),
            _ if line.contains("Email/query") && has_other => newest(r#""m1","m0""#),
            _ if line.contains("Email/query") => newest(r#""m1""#),
            _ if line.contains(r#""sinceState":"2""#) => {
                changes(r#""m2""#, "3", &[mail("m2", "in", 2)])
            }
            _ if line.contains("Email/changes") => {
                looks += 1;
                let all = [&named(r#""m1""#, "", "2"), FAILS, FAILS];
                all[..if line.contains("Email/get") { 3 } else { 1 }].join(",")
            }
            _ if line.contains(&alone("m0")) => list(&[mail("m0", "in", 0)]),
            _ => FAILS.to_owned(),
        })
        .await;
        reading.look(false).await.unwrap();
        let second = reading.look(true).await;
        assert_eq!(
            second.is_ok(),
            has_other,
            "another mail proves that it is a matter of this one"
        );
        reading.look(false).await.unwrap();
        assert_eq!(reading.tokens(), [2]);
    }
}

#[tokio::test]
async fn a_mail_whose_answer_nobody_can_read_does_not_hide_the_others() {
    let mut reading = Reading::of(|line| match line {
        _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
        _ if line.contains("Email/query") => newest(r#""m1","m2""#),
        _ if line.contains("m1") => list(&[mail("m1", "in", 1).replace("v=1", r"\ud83d")]),
        _ => list(&[mail("m2", "in", 2)]),
    })
    .await;
    reading.look(true).await.unwrap();
    assert_eq!(reading.tokens(), [2]);
}

/// The server ends the session when it is asked for one mail, be it by itself.
#[tokio::test]
async fn a_mail_at_which_sessions_end_is_passed_over() {
    for answer in [HANG_UP.to_owned(), http("502 Bad Gateway", "")] {
        let hangs = answer == HANG_UP;
        let log = Log::default();
        let asked = log.clone();
        let mut reading = Reading::of(move |line| {
            asked.note(line);
            match line {
                _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
                _ if line.contains("Email/query") && line.contains(r#""limit":20"#) => {
                    newest(r#""m1","m2""#)
                }
                _ if line.contains("Email/query") => newest(""),
                _ if line.contains(r#""sinceState":"1""#) && line.contains("Email/get") => {
                    answer.clone()
                }
                _ if line.contains(r#""sinceState":"1""#) => named(r#""m1","m2""#, "", "2"),
                _ if line.contains("Email/changes") => changes("", "2", &[]),
                _ if line.contains("m1") => answer.clone(),
                _ => list(&[mail("m2", "in", 2)]),
            }
        })
        .await;
        reading.look(false).await.unwrap();
        let mut failures = 0;
        for _ in 0..6 {
            failures += usize::from(reading.look(true).await.is_err());
            reading.reopen_after(61).await;
        }
        assert_eq!(reading.tokens(), [2]);
        assert!(reading.look(true).await.is_ok());
        assert_eq!(failures > 0, hangs);
        let (tries, before) = (log.with(&alone("m1")).len(), log.0.lock().unwrap().len());
        assert!((3..=6).contains(&tries), "{tries}");
        assert!(reading.memory.take_remarks().join(" ").contains("the mail m1 cannot be read"));
        reading.look(true).await.unwrap();
        assert_eq!(log.with(&alone("m1")).len(), tries, "of {before} questions");
    }
}

#[tokio::test]
async fn a_busy_server_fails_the_look_and_loses_no_mail() {
    let mut asked = 0;
    let mut reading = Reading::of(move |line| match line {
        _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
        _ if line.contains("Email/query") => newest(""),
        _ if line.contains("Email/changes") => {
            asked += 1;
            if asked <= 2 {
                return http("429 Too Many Requests", "");
            }
            changes(r#""m1""#, "2", &[mail("m1", "in", 1)])
        }
        _ => list(&[]),
    })
    .await;
    reading.look(false).await.unwrap();
    assert_eq!(reading.look(false).await.unwrap_err().reason, Reason::Deferred);
    reading.look(false).await.unwrap();
    assert_eq!(reading.tokens(), [1]);
}

#[tokio::test]
async fn left_overs_that_were_recalled_are_judged_in_the_next_session() {
    for answer in [HANG_UP.to_owned(), http("503 Service Unavailable", "")] {
        let mut asked = 0;
        let mut reading = Reading::of(move |line| match line {
            _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
            _ if line.contains("Email/query") => newest(""),
            _ if line.contains("Email/changes") => changes("", "1", &[]),
            _ if line.contains("Email/get") => {
                asked += 1;
                // A connection that is closed is opened once more.
                if asked <= 2 {
                    return answer.clone();
                }
                list(&[mail("m1", "in", 1), mail("m2", "in", 2)])
            }
            _ => list(&[]),
        })
        .await;
        for id in ["m1", "m2", "m3"] {
            let left = crate::probing::mailbox::backlog::BacklogState::LeftOver(
                SystemTime::now() + Duration::from_secs(600),
            );
            reading.memory.backlog.set(EmailId::read(id).unwrap(), left);
        }
        reading.memory.recall_left_overs();
        while reading.look(false).await.is_err() {
            reading.reopen().await;
        }
        let mut tokens = reading.tokens();
        tokens.sort_unstable();
        assert_eq!(tokens, [1, 2]);
        assert!(reading.memory.record(crate::clock::now()).left_overs.is_empty(), "m3 is gone");
    }
}
