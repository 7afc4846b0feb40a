//! A store that does not hold what an earlier process kept says so, and one that is new does not.

use std::fs;

use super::*;

/// A folder in which a process kept a mail and ended: cleanly, or killed with all files as they were.
async fn used(is_killed: bool) -> (TempDir, Token) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.loss(), None, "a first start");
    let (token, changes) = sending();
    store.record(&name("a"), changes);
    store.written().await;
    if !is_killed {
        return (folder, token);
    }
    // What the files hold at this moment is what a killed process leaves.
    let left = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), left.path().join(entry.file_name())).unwrap();
    }
    (left, token)
}

fn file(folder: &TempDir, end: &str) -> PathBuf {
    beside(&folder.path().join(DATABASE_FILE), end)
}

/// What the next start says is lost.
fn loss(folder: &TempDir) -> String {
    Store::open(folder.path()).unwrap().loss().map(ToString::to_string).unwrap_or_default()
}

async fn has(folder: &TempDir, token: Token) -> bool {
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.loss(), None);
    account(&store, &name("a")).await.mails.contains_key(&token)
}

#[tokio::test]
async fn what_is_whole_is_no_loss() {
    for is_killed in [false, true] {
        let (folder, token) = used(is_killed).await;
        assert_eq!(file(&folder, "-wal").exists(), is_killed);
        for _ in 0..3 {
            assert!(has(&folder, token).await, "killed: {is_killed}");
        }
    }
    // A program before it knew of marks.
    let (folder, token) = used(false).await;
    fs::remove_file(folder.path().join("mailtrip.commits")).unwrap();
    assert!(has(&folder, token).await);
    fs::write(folder.path().join("mailtrip.commits"), "nonsense").unwrap();
    assert!(has(&folder, token).await);
}

#[tokio::test]
async fn an_emptied_database_is_told_of_once() {
    for is_killed in [false, true] {
        let (folder, _) = used(is_killed).await;
        fs::write(file(&folder, ""), "").unwrap();
        let words = loss(&folder);
        assert!(words.contains("mailtrip.db was empty"), "{words}");
        assert!(words.contains("mails under way") && words.contains("counters"), "{words}");
        assert_eq!(loss(&folder), "", "the new account is whole");
    }
}

#[tokio::test]
async fn a_deleted_database_is_told_of_by_any_file_beside_it() {
    for left in ["lock", "mailtrip.commits", "mailtrip.db-wal"] {
        let (folder, _) = used(true).await;
        for entry in fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() != left {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        let words = loss(&folder);
        assert!(
            words.contains(&format!(
                "mailtrip.db is missing, but files of an earlier process ({left})"
            )),
            "{words}"
        );
    }
}

#[tokio::test]
async fn a_lost_or_cut_off_log_is_told_of_with_what_it_held() {
    let (folder, token) = used(true).await;
    fs::remove_file(file(&folder, "-wal")).unwrap();
    let words = loss(&folder);
    assert!(words.contains("lacks the latest 1 of 1 commits"), "{words}");
    assert!(words.contains("`-wal` file is missing"), "{words}");
    assert!(!has(&folder, token).await);

    let (folder, _) = used(true).await;
    let log = fs::OpenOptions::new().write(true).open(file(&folder, "-wal")).unwrap();
    log.set_len(log.metadata().unwrap().len() / 2).unwrap();
    let words = loss(&folder);
    assert!(words.contains("was truncated or is an older one"), "{words}");
}

#[tokio::test]
async fn an_older_copy_and_another_database_are_told_of() {
    let (folder, _) = used(false).await;
    // The store was closed in the meantime; the copy is of then.
    let copy = fs::read(file(&folder, "")).unwrap();
    let store = Store::open(folder.path()).unwrap();
    for _ in 0..3 {
        store.record(&name("a"), sending().1);
        store.written().await;
    }
    drop(store);
    fs::write(file(&folder, ""), copy).unwrap();
    let words = loss(&folder);
    assert!(words.contains("lacks the latest 3 of 4 commits (an older copy"), "{words}");

    let (other, _) = used(false).await;
    fs::copy(file(&other, ""), file(&folder, "")).unwrap();
    let words = loss(&folder);
    assert!(words.contains("not the database that was here last"), "{words}");
    assert_eq!(loss(&folder), "");
}

#[tokio::test]
async fn mails_under_way_in_an_older_copy_are_not_waited_for() {
    let (folder, _) = used(false).await;
    let store = Store::open(folder.path()).unwrap();
    let token = Token::random();
    let record = MailRecord { accepted: Some(time(0)), ..mail(MailState::Outstanding) };
    store.record(&name("a"), one(token, Some(record)));
    store.written().await;
    drop(store);
    let copy = fs::read(file(&folder, "")).unwrap();
    let state = async || {
        let store = Store::open(folder.path()).unwrap();
        account(&store, &name("a")).await.mails[&token].state
    };
    assert_eq!(state().await, MailState::Outstanding, "after a restart");

    // The mail arrives, and the copy is put back.
    let store = Store::open(folder.path()).unwrap();
    store.record(&name("a"), one(token, Some(mail(MailState::Received))));
    store.written().await;
    drop(store);
    fs::write(file(&folder, ""), copy).unwrap();
    assert_eq!(state().await, MailState::Left);
    assert_eq!(state().await, MailState::Left, "after another restart");

    // Nobody knows how old the database of another exporter is.
    let (other, _) = used(false).await;
    let store = Store::open(other.path()).unwrap();
    let record = MailRecord { accepted: Some(time(0)), ..mail(MailState::Outstanding) };
    store.record(&name("a"), one(token, Some(record)));
    store.written().await;
    drop(store);
    fs::copy(file(&other, ""), file(&folder, "")).unwrap();
    let store = Store::open(folder.path()).unwrap();
    let words = store.loss().unwrap().to_string();
    assert!(words.contains("not the database") && words.contains("not waited for"), "{words}");
    drop(store);
    assert_eq!(state().await, MailState::Left, "in another database");
}

#[test]
fn a_database_without_one_of_its_columns_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    look_into(&folder).execute_batch("ALTER TABLE folder DROP COLUMN looked_at").unwrap();
    let error = open_error(&folder);
    assert!(error.contains("is damaged (it has no folder.looked_at)"), "{error}");
    look_into(&folder).execute_batch("DROP TABLE folder").unwrap();
    assert!(open_error(&folder).contains("it has no folder.mailbox"));
}

#[tokio::test]
async fn a_database_deleted_while_in_use_is_written_anew_with_all_it_held() {
    let (folder, first) = used(false).await;
    let store = Store::open(folder.path()).unwrap();
    for end in ["", "-wal", "-shm"] {
        fs::remove_file(file(&folder, end)).unwrap();
    }
    let (second, changes) = sending();
    store.record(&name("a"), changes);
    store.written().await;
    eventually("the file is there again", async || file(&folder, "-wal").exists()).await;
    assert_eq!(store.errors(), 0);
    let (third, changes) = sending();
    store.record(&name("a"), changes);
    drop(store);
    for token in [first, second, third] {
        assert!(has(&folder, token).await);
    }
    let mode = fs::metadata(file(&folder, "")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert!(!file(&folder, ".new").exists());
}

#[tokio::test]
async fn a_database_deleted_just_before_the_end_is_written_anew() {
    let (folder, token) = used(false).await;
    let store = Store::open(folder.path()).unwrap();
    fs::remove_file(file(&folder, "")).unwrap();
    drop(store);
    assert!(has(&folder, token).await);
}

#[tokio::test]
async fn a_log_deleted_while_in_use_costs_nothing_even_if_the_process_is_killed() {
    let (folder, first) = used(false).await;
    let store = Store::open(folder.path()).unwrap();
    fs::remove_file(file(&folder, "-wal")).unwrap();
    let (second, changes) = sending();
    store.record(&name("a"), changes);
    store.written().await;
    eventually("there is a log again", async || file(&folder, "-wal").exists()).await;
    let file = look_into(&folder);
    for token in [first, second] {
        let count = "SELECT count(*) FROM mail WHERE token = ?1";
        let rows: i64 = file.query_row(count, [token.to_string()], |row| row.get(0)).unwrap();
        assert_eq!(rows, 1, "somebody else sees it");
    }
}

#[tokio::test]
async fn a_database_replaced_while_in_use_is_left_alone_and_counted() {
    let (folder, _) = used(false).await;
    let (other, _) = used(false).await;
    let store = Store::open(folder.path()).unwrap();
    let copy = file(&folder, ".copy");
    fs::copy(file(&other, ""), &copy).unwrap();
    fs::rename(&copy, file(&folder, "")).unwrap();
    let bytes = fs::read(file(&folder, "")).unwrap();
    let (token, changes) = sending();
    store.record(&name("a"), changes);
    store.written().await;
    eventually("it is counted", async || store.errors() > 0).await;
    assert_eq!(fs::read(file(&folder, "")).unwrap(), bytes);
    // Moved away, it makes room for the one in use.
    fs::rename(file(&folder, ""), &copy).unwrap();
    store.record(&name("a"), sending().1);
    store.written().await;
    drop(store);
    assert!(has(&folder, token).await);
}
