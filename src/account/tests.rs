use std::time::Duration;

use rusqlite::Connection;

use super::*;

#[tokio::test]
async fn a_mail_is_in_the_file_before_it_goes_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path()).unwrap());
    let file = Connection::open(folder.path().join("mailtrip.db")).unwrap();
    let rules = Rules {
        interval: Duration::from_secs(60),
        late_after: Duration::from_secs(60),
        lost_after: Duration::from_secs(600),
        max_outstanding: 10,
        passive: false,
    };
    let name = TargetName::new("one").unwrap();
    let account = Account::restore(name, rules, &StoredAccount::default(), store);
    // Without the wait the writer would hardly be as fast twenty times.
    for _ in 0..20 {
        let token = Token::random();
        account.sending(&[token]).await;
        let query = "SELECT state FROM mail WHERE target = 'one' AND token = ?1";
        let state = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        let state = file.query_row(query, [token.to_string()], state).unwrap();
        assert_eq!(state, "sending");
    }
}
