//! Taking out what is ours.

use super::*;

#[tokio::test]
async fn a_mail_that_does_not_go_is_reported_and_given_up_after_three_tries() {
    let mut reading = Reading::of(|line| match line {
        _ if line.contains("Mailbox/get") => MAILBOXES.to_owned(),
        _ if line.contains("Email/query") => newest(r#""m1","m2""#),
        _ if line.contains("Email/set") => format!(
            r#"["Email/set",{{"destroyed":["m2"],"notDestroyed":{{"m1":{{"type":"forbidden"}}}}}},"0"],{}"#,
            list(&[mail("m2", "in", 2)])
        ),
        _ => list(&[mail("m1", "in", 1), mail("m2", "in", 2)]),
    })
    .await;
    reading.look(false).await.unwrap();
    for _ in 0..3 {
        assert!(reading.session.has_to_remove(&reading.memory, true));
        let failure = Failure::from(reading.remove().await.unwrap_err());
        assert_eq!(
            (failure.step, failure.message.as_str()),
            (Step::Remove, super::super::super::STILL_THERE)
        );
        assert!(reading.session.trace().transcript().contains("forbidden"));
    }
    assert!(!reading.session.has_to_remove(&reading.memory, true));
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
    let removal = asked.lock().unwrap().iter().rfind(|line| line.contains("Email/set")).cloned();
    assert!(removal.unwrap().contains(r#""destroy":["m1","m3"]"#));
}
