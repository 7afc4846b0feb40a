//! Mails that come, move, or change.

use super::*;

fn sent() -> Folder {
    Folder::SpecialUse(r"\Sent".into())
}

const WITH_SENT: &str = r#"["Mailbox/get",{"list":[{"id":"in","name":"Inbox","role":"inbox"},
    {"id":"sent","name":"Sent","role":"sent"}]},"0"]"#;

#[tokio::test]
async fn a_copy_that_becomes_the_arrival_is_judged_again() {
    let mut looks = 0;
    let labels = |folders: &str| mail("m1", "x", 1).replace(r#"{"x":true}"#, folders);
    let mut reading = Reading::with_copies(&[sent()], move |line| match line {
        _ if line.contains("Mailbox/get") => WITH_SENT.to_owned(),
        _ if line.contains("Email/query") => newest(r#""m1""#),
        _ if line.contains("Email/changes") => {
            looks += 1;
            let place = if looks == 1 { r#"{"sent":true}"# } else { r#"{"sent":true,"in":true}"# };
            changed("", r#""m1""#, "2", &[], &[labels(place)])
        }
        _ if looks == 0 => list(&[labels(r#"{"sent":true}"#)]),
        _ => list(&[labels(r#"{"sent":true,"in":true}"#)]),
    })
    .await;
    for _ in 0..3 {
        reading.look(false).await.unwrap();
    }
    let folders: Vec<FoundIn> = reading.seen.iter().map(|(_, folder)| *folder).collect();
    assert_eq!(folders, [FoundIn::Other, FoundIn::Inbox], "another flag is no news");
    assert!(reading.before[1].is_some(), "the look before did not have it there");
}

#[tokio::test]
async fn a_flag_of_a_mail_that_was_judged_or_is_too_old_costs_no_header() {
    let log = Log::default();
    let asked = log.clone();
    let old =
        || mail("m2", "in", 2).replace("2026-", "1970-").replace("-11-30", "-01-01T00:00:01Z x");
    let mut reading = Reading::of(move |line| {
        asked.note(line);
        let stranger = mail("m1", "in", 1).replace("X-Mailtrip", "Subject");
        let old = old().replace("1970-01-01T00:00:01Z xT19:40:16Z", "1970-01-01T00:00:01Z");
        match line {
            _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
            _ if line.contains("Email/query") => newest(r#""m1""#),
            _ if line.contains("Email/changes") => {
                changed("", r#""m1","m2""#, "2", &[], &[stranger, old])
            }
            _ => list(&[stranger]),
        }
    })
    .await;
    for _ in 0..3 {
        reading.look(false).await.unwrap();
    }
    assert_eq!(reading.seen.len(), 1);
    let headers =
        log.with("header:X-Mailtrip").iter().filter(|it| !it.contains("Email/changes")).count();
    assert_eq!(headers, 1, "that of the first contact");
}

#[tokio::test]
async fn a_mail_that_is_moved_in_is_read() {
    let mut reading = Reading::of(|line| match line {
        _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
        _ if line.contains("Email/query") => newest(""),
        _ if line.contains("Email/changes") => {
            changed("", r#""m1""#, "2", &[], &[mail("m1", "junk", 1)])
        }
        _ => list(&[mail("m1", "junk", 1)]),
    })
    .await;
    reading.look(false).await.unwrap();
    reading.look(false).await.unwrap();
    assert_eq!(reading.tokens(), [1]);
    assert_eq!(reading.seen[0].1, FoundIn::Junk);
}

#[tokio::test]
async fn nobody_waits_for_the_end_of_changes_without_end() {
    for is_stuck in [true, false] {
        let (mut queries, mut rounds) = (0, 0);
        let mut reading = Reading::of(move |line| match line {
            _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
            _ if line.contains("Email/query") => {
                queries += 1;
                newest(if queries == 1 { "" } else { r#""m1""# })
            }
            _ if line.contains("Email/changes") => {
                rounds += 1;
                let state = if is_stuck { "1".to_owned() } else { format!("9{rounds}") };
                changes("", &state, &[]).replace("false", "true")
            }
            _ => list(&[mail("m1", "in", 1)]),
        })
        .await;
        reading.look(false).await.unwrap();
        assert!(reading.look(false).await.unwrap(), "the newest are all there is");
        assert_eq!(reading.tokens(), [1], "stuck: {is_stuck}");
    }
}

#[tokio::test]
async fn a_folder_that_comes_with_its_first_mail_is_looked_into_at_once() {
    let without = r#"["Mailbox/get",{"list":[{"id":"in","name":"Inbox","role":"inbox"}]},"0"]"#;
    for shows_changes in [true, false] {
        let (mut lists, mut queries) = (0, 0);
        let mut reading = Reading::of(move |line| match line {
            _ if line.contains("Mailbox/get") => {
                lists += 1;
                if lists == 1 { without.to_owned() } else { MAILBOXES.to_owned() }
            }
            _ if line.contains("Email/query") => {
                queries += 1;
                newest(if queries == 1 { "" } else { r#""m1""# })
            }
            _ if line.contains("Email/changes") && shows_changes => {
                changes(r#""m1""#, "2", &[mail("m1", "junk", 1)])
            }
            _ if line.contains("Email/changes") && line.contains("Email/get") => {
                r#"["error",{"type":"serverFail"},"0"]"#.to_owned()
            }
            _ if line.contains("Email/changes") => named(r#""m1""#, "", "2"),
            _ => list(&[mail("m1", "junk", 1)]),
        })
        .await;
        reading.look(false).await.unwrap();
        assert!(reading.memory.lacks_junk_folder());
        reading.look(false).await.unwrap();
        assert_eq!(reading.seen.len(), 1, "with the mails: {shows_changes}");
        assert_eq!(reading.seen[0].1, FoundIn::Junk);
        assert_eq!(reading.before, [None], "nobody has looked there before");
        assert!(!reading.memory.lacks_junk_folder());
    }
}

#[tokio::test]
async fn a_server_that_gives_no_fields_one_by_one_is_asked_once_a_look() {
    let log = Log::default();
    let asked = log.clone();
    let mut reading = Reading::of(move |line| match line {
        _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
        _ if line.contains("Email/query") => newest(""),
        _ => {
            asked.note(line);
            if !line.contains(":asRaw:all") {
                return changes("", "1", &[]);
            }
            let refused = r#"["error",{"type":"invalidArguments"},"1"]"#;
            format!("{},{refused},{}", named("", "", "1"), list(&[]))
        }
    })
    .await;
    for _ in 0..4 {
        reading.look(false).await.unwrap();
    }
    assert_eq!(log.with("Email/changes").len(), 4, "twice in the first of three looks");
}

#[tokio::test]
async fn when_the_look_before_was_is_kept_with_the_folders_that_it_saw() {
    let answer = |line: &str| match line {
        _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
        _ if line.contains("Email/query") => newest(r#""m1""#),
        _ => list(&[mail("m1", "in", 1)]),
    };
    for (is_other, folders) in
        [(false, MAILBOXES.to_owned()), (true, MAILBOXES.replace("junk\"", "new\""))]
    {
        let mut first = Reading::of(move |line| match line {
            _ if line.contains("Mailbox/get") => folders.clone(),
            _ => newest(""),
        })
        .await;
        first.look(false).await.unwrap();
        let now = crate::clock::now();
        let record = first.memory.record(now);
        let mut next = Reading::of(answer).await;
        next.memory.restore(&record, now);
        assert_eq!(
            next.memory.record(now),
            record,
            "nothing is lost by a restart before the first look"
        );
        next.look(false).await.unwrap();
        assert_eq!(next.before.first().unwrap().is_none(), is_other);
    }
}
