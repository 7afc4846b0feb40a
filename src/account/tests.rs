use std::time::Duration;

use rusqlite::Connection;

use super::*;
use ledger::Servers;
use mail::inspection::{Rules as HeaderRules, TransitTimes};
use mail::text::Scrubber;

const RULES: Rules = Rules {
    interval: Duration::from_secs(60),
    late_after: Duration::from_secs(60),
    lost_after: Duration::from_secs(600),
    max_outstanding: 10,
    passive: false,
    expectation: None,
};

#[tokio::test]
async fn a_mail_is_in_the_file_before_it_goes_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path()).unwrap());
    let file = Connection::open(folder.path().join("mailtrip.db")).unwrap();
    let name = TargetName::new("one").unwrap();
    let account = Account::restore(name, RULES, &StoredAccount::default(), store);
    // Without the wait the writer would hardly be as fast twenty times.
    for _ in 0..20 {
        let token = Token::random();
        account.sending("", &[token]).await;
        let query = "SELECT state FROM mail WHERE target = 'one' AND token = ?1";
        let state = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        let state = file.query_row(query, [token.to_string()], state).unwrap();
        assert_eq!(state, "sending");
    }
}

#[tokio::test]
async fn what_is_usual_outlives_the_process_and_is_forgotten_with_the_mailbox_and_the_wish() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path()).unwrap());
    let name = TargetName::new("one").unwrap();
    let account =
        || Account::restore(name.clone(), RULES, &StoredAccount::default(), Arc::clone(&store));
    let header = || {
        let seen = std::time::SystemTime::now();
        let transit = TransitTimes { transmitted: None, seen, arrived: Some(seen) };
        let rules = HeaderRules { authserv_id: None, scrubber: &Scrubber::default() };
        let since_1970 = seen.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let date = mail_parser::DateTime::from_timestamp(since_1970.cast_signed()).to_rfc822();
        let block = format!("Received: from a.example by mx.b.example with SMTP; {date}\r\n\r\n");
        Inspection::read(block.as_bytes(), transit, rules)
    };
    let usual = |account: &Account| account.inspection_and_usual().1.and_then(|way| way.of(1));
    let mailbox = "imap://a@h:143";
    let first = account();
    for _ in 0..21 {
        first.inspected(mailbox.into(), header(), true);
    }
    assert!(usual(&first).is_some());
    let kept = async || {
        let stored = store.load(vec![(name.clone(), Duration::ZERO)]).await.remove(&name);
        stored.unwrap().inspection
    };
    let next = account().with_inspection(kept().await, Some(mailbox));
    assert_eq!(usual(&next), usual(&first));
    next.inspected(mailbox.into(), header(), false);
    assert!(next.inspection().is_some() && usual(&next).is_none(), "it is not wanted any more");
    let elsewhere = account().with_inspection(kept().await, Some("imap://b@h:143"));
    assert_eq!((elsewhere.inspection(), usual(&elsewhere)), (None, None));
}

#[tokio::test]
async fn a_header_that_a_late_look_finds_in_the_mailbox_before_tells_nothing_of_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path()).unwrap());
    let name = TargetName::new("one").unwrap();
    let kept = StoredAccount::default();
    let account = Account::restore(name.clone(), RULES, &kept, Arc::clone(&store));
    let servers =
        |mailbox: &str| Servers { send: Arc::from("smtp://h:25"), receive: Arc::from(mailbox) };
    let header = || {
        let seen = std::time::SystemTime::now();
        let transit = TransitTimes { transmitted: None, seen, arrived: Some(seen) };
        let rules = HeaderRules { authserv_id: None, scrubber: &Scrubber::default() };
        Inspection::read(b"X-Spam-Score: 1\r\n\r\n", transit, rules)
    };
    account.update(|ledger, now| ledger.measures(servers("imap://a@h:143"), now));
    account.update(|ledger, now| ledger.measures(servers("imap://b@h:143"), now));
    account.inspected("imap://a@h:143".into(), header(), false);
    assert_eq!(account.inspection(), None);
    account.inspected("imap://b@h:143".into(), header(), false);
    assert!(account.inspection().is_some());
    let stored = store.load(vec![(name.clone(), Duration::ZERO)]).await.remove(&name).unwrap();
    assert_eq!(stored.inspection.map(|it| it.mailbox).as_deref(), Some("imap://b@h:143"));
}
