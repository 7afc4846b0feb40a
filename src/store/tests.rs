use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Instant, UNIX_EPOCH};

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use ledger::PerSide;
use ledger::Token;
use ledger::{
    AccountRecord, CauseCount, ClockOffset, Failures, Histogram, MailRecord, MailState, Newest,
    Purpose, SideCounters, Totals,
};
use ledger::{Reason, Step};

const DAY: Duration = Duration::from_secs(86_400);

fn name(text: &str) -> TargetName {
    TargetName::new(text).unwrap()
}

fn mailbox() -> MailboxId {
    MailboxId { protocol: "imap", host: "mail.example".into(), port: 993, user: "u".into() }
}

/// A time that a microsecond does not change, so that it can be compared.
fn time(seconds: u64) -> SystemTime {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    UNIX_EPOCH + Duration::from_secs(now - 1000 + seconds) + Duration::from_millis(250)
}

fn mail(state: MailState) -> MailRecord {
    MailRecord {
        state,
        purpose: Purpose::Delivery,
        is_late: false,
        transmitted: None,
        handed_over: None,
        accepted: None,
        ended: None,
    }
}

fn sending() -> (Token, Changes) {
    let token = Token::random();
    let record = MailRecord { transmitted: Some(time(0)), ..mail(MailState::Sending) };
    (token, one(token, Some(record)))
}

fn one(token: Token, record: Option<MailRecord>) -> Changes {
    Changes { mails: [(token, record)].into(), ..Changes::default() }
}

async fn account(store: &Store, target: &TargetName) -> StoredAccount {
    store.load(vec![(target.clone(), DAY)]).await.remove(target).unwrap_or_default().account
}

/// A connection beside the store's own, as `sqlite3` makes one.
fn look_into(folder: &TempDir) -> Connection {
    Connection::open(folder.path().join(DATABASE_FILE)).unwrap()
}

fn open_error(folder: &TempDir) -> String {
    Store::open(folder.path()).unwrap_err().to_string()
}

/// Asks until the answer is yes.
async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_child_process_that_is_about_to_start_does_not_keep_the_directory_locked() {
    let folder = tempfile::tempdir().unwrap();
    let locked = lock(folder.path()).unwrap();
    // What a child has between its fork and its exec.
    let inherited = locked.0.try_clone().unwrap();
    assert!(matches!(lock(folder.path()), Err(StoreError::InUse { .. })));
    drop(locked);
    lock(folder.path()).unwrap();
    drop(inherited);
}

#[test]
fn the_instance_is_made_once_and_kept_private() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("a/b");
    let first = Store::open(&directory).unwrap().instance;
    assert_eq!(Store::open(&directory).unwrap().instance, first);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let open = Store::open(&directory).unwrap();
    let files: Vec<PathBuf> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    drop(open);
    assert_ne!(Store::open(&folder.path().join("c")).unwrap().instance, first);
}

#[test]
fn the_instance_of_a_directory_without_a_database_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("instance");
    let id = Token::random();
    std::fs::write(&old, format!("{id}\n")).unwrap();
    assert_eq!(Store::open(folder.path()).unwrap().instance, id);
    assert!(!old.exists());
    assert_eq!(Store::open(folder.path()).unwrap().instance, id);

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("instance"), "nonsense").unwrap();
    let error = open_error(&folder);
    assert!(error.ends_with("remove the file to start a new instance"), "{error}");
}

#[test]
fn a_directory_that_cannot_be_used_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let error = Store::open(&folder.path().join("file/x")).unwrap_err().to_string();
    assert!(error.contains("choose another folder with `state_dir`"), "{error}");
}

#[test]
fn a_second_process_is_refused_and_told_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let first = Store::open(folder.path()).unwrap();
    let error = open_error(&folder);
    assert_eq!(
        error,
        format!(
            "the state directory {} is in use by another mailtrip_exporter (process {}); \
             stop that one, or give this one its own `state_dir`",
            folder.path().display(),
            std::process::id()
        )
    );
    drop(first);
    Store::open(folder.path()).unwrap();
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    look_into(&folder).execute("UPDATE meta SET schema_version = 8", []).unwrap();
    let error = open_error(&folder);
    assert!(
        error.contains("newer version of mailtrip_exporter (schema 8, this one knows up to 7)")
    );
    let version: i64 = look_into(&folder)
        .query_row("SELECT schema_version FROM meta", [], |row| row.get(0))
        .unwrap();
    assert_eq!(version, 8, "untouched");
}

/// The tables of version 1, without their comments.
const VERSION_1: &str = "
CREATE TABLE meta (schema_version INTEGER NOT NULL, instance TEXT NOT NULL, created TEXT NOT NULL) STRICT;
CREATE TABLE target (name TEXT PRIMARY KEY, probes INTEGER NOT NULL, accepted INTEGER NOT NULL,
  doubtful INTEGER NOT NULL, received INTEGER NOT NULL, late INTEGER NOT NULL, lost INTEGER NOT NULL,
  returned INTEGER NOT NULL, duplicate INTEGER NOT NULL, left_with_outage INTEGER NOT NULL,
  found_inbox INTEGER NOT NULL, found_junk INTEGER NOT NULL, found_other INTEGER NOT NULL,
  checks INTEGER NOT NULL, check_failures INTEGER NOT NULL, periods_skipped INTEGER NOT NULL,
  roundtrip_seconds_sum REAL NOT NULL, roundtrip_buckets TEXT NOT NULL, last_sent REAL
) STRICT, WITHOUT ROWID;
CREATE TABLE mail (target TEXT NOT NULL, token TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN
  ('sending', 'outstanding', 'doubtful', 'lost', 'received', 'left')), late INTEGER NOT NULL,
  transmitted REAL, accepted REAL, ended REAL, PRIMARY KEY (target, token)) STRICT, WITHOUT ROWID;
CREATE TABLE folder (mailbox TEXT NOT NULL, folder TEXT NOT NULL, uid_validity INTEGER NOT NULL,
  next_uid INTEGER NOT NULL, clock_offset_seconds REAL, to_remove TEXT NOT NULL,
  left_overs TEXT NOT NULL, PRIMARY KEY (mailbox, folder)) STRICT, WITHOUT ROWID;
CREATE VIEW mails AS SELECT target, token FROM mail;
INSERT INTO meta VALUES (1, '000102030405060708090a0b0c0d0e0f', '2026-01-01 00:00:00');
INSERT INTO target VALUES ('a', 9, 8, 1, 5, 2, 1, 0, 0, 1, 4, 1, 0, 7, 1, 0, 12.5,
  '0 5 0 0 0 0 0 0 0 0 0', 1800000000.25);
INSERT INTO mail VALUES ('a', 'ffffffffffffffffffffffffffffffff', 'outstanding', 1, 1.5, 2.5, NULL);
INSERT INTO folder VALUES ('imap://u@mail.example:993', 'INBOX', 7, 42, 0.5, '40', '');
";

#[tokio::test]
async fn an_account_of_the_first_version_is_taken_over_and_can_hold_bounced_mails() {
    let folder = tempfile::tempdir().unwrap();
    look_into(&folder).execute_batch(VERSION_1).unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.instance.to_string(), "000102030405060708090a0b0c0d0e0f");
    let kept = account(&store, &name("a")).await;
    let totals = kept.account.totals;
    assert_eq!((totals.accepted, totals.received, totals.lost, totals.bounced), (8, 5, 1, 0));
    assert_eq!(kept.account.roundtrips.counts[1], 5);
    let token = "ffffffffffffffffffffffffffffffff".parse().unwrap();
    assert_eq!(kept.mails[&token].state, MailState::Outstanding);
    assert!(kept.mails[&token].is_late);
    assert_eq!(store.load_folders(&mailbox()).await["INBOX"].next_uid, 42);

    store.record(&name("a"), one(token, Some(mail(MailState::Bounced))));
    store.written().await;
    assert_eq!(store.errors(), 0);
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(account(&store, &name("a")).await.mails[&token].state, MailState::Bounced);
}

#[tokio::test]
async fn of_version_4_what_is_not_counted_that_way_any_more_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    look_into(&folder)
        .execute_batch(
            "DROP TABLE failure; UPDATE meta SET schema_version = 4;
             INSERT INTO counter VALUES ('a', 'send.failures.dns', 3), ('a', 'looks', 5),
               ('a', 'send.step_failures.dns', 3), ('a', 'port.web.failures.dns', 1),
               ('a', 'ping.sent', 7);",
        )
        .unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(account(&store, &name("a")).await.account.totals.looks, 5);
    let names: String = look_into(&folder)
        .query_row("SELECT group_concat(name) FROM counter WHERE target = 'a'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(names, "looks");
    assert_eq!(store.errors(), 0);
}

#[tokio::test]
async fn a_store_of_version_5_opens_and_keeps_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    // Version 6 has added these tables, and version 7 columns that may be empty.
    look_into(&folder)
        .execute_batch(
            "DROP TABLE availability; DROP TABLE availability_now; DROP TABLE outage;
             UPDATE meta SET schema_version = 5;
             INSERT INTO newest (target, interval, send_server, send_state, receive_server,
               receive_state, period_received, period_seconds, before_received, before_seconds,
               arrival_unknown) VALUES ('a', 300, 'smtp://h:25', 'measured', 'imap://u@h:993',
               'measured', 0, 0, 0, 0, 0);
             INSERT INTO layer (target, name, place, at, state) VALUES ('a', 'port.web', 'h:80',
               1.79e9, 'measured');",
        )
        .unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(account(&store, &name("a")).await.availability, Default::default());
    let rows: (i64, i64, i64) = look_into(&folder)
        .query_row(
            "SELECT schema_version, (SELECT count(*) FROM newest WHERE interval = 300),
               (SELECT count(*) FROM layer WHERE place = 'h:80') FROM meta",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap();
    assert_eq!(rows, (7, 1, 1));
    assert_eq!(store.errors(), 0);
}

#[tokio::test]
async fn of_version_6_a_test_of_what_must_not_pass_is_known_by_its_server() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    let columns = "target, token, state, late";
    let row = |target: &str| {
        format!(
            "INSERT INTO mail ({columns}) VALUES ('{target}', '{}', 'lost', 0);",
            Token::random()
        )
    };
    let newest = |target: &str, server: &str| {
        format!(
            "INSERT INTO newest (target, interval, send_server, send_state, receive_server, receive_state,
               period_received, period_seconds, before_received, before_seconds, arrival_unknown)
             VALUES ('{target}', 300, '{server}', 'measured', '', 'measured', 0, 0, 0, 0, 0);"
        )
    };
    let rows = [
        row("a"),
        row("b"),
        newest("a", "#nothing recipient a@h b@h None smtp://h:25"),
        newest("b", "smtp://u#x@h:25"),
        "CREATE TABLE older (target, token, state, late, transmitted, handed_over, accepted, ended);
         DROP VIEW mails; INSERT INTO older SELECT target, token, state, late, transmitted, handed_over,
           accepted, ended FROM mail; DROP TABLE mail; ALTER TABLE older RENAME TO mail;
         CREATE VIEW mails AS SELECT target FROM mail; UPDATE meta SET schema_version = 6;"
            .to_owned(),
    ];
    look_into(&folder).execute_batch(&rows.concat()).unwrap();
    let store = Store::open(folder.path()).unwrap();
    for (target, purpose) in [("a", Purpose::Test), ("b", Purpose::Delivery)] {
        let mails = account(&store, &name(target)).await.mails;
        assert_eq!(mails.values().map(|mail| mail.purpose).collect::<Vec<_>>(), [purpose]);
    }
}

#[tokio::test]
async fn a_failure_without_sense_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    look_into(&folder)
        .execute_batch(
            "INSERT INTO failure VALUES ('a', 'send', 'dns', 'timeout', 2, 1.79e9),
               ('a', 'send', 'select', 'timeout', 1, 1.79e9), ('a', 'send', 'tls', 'tls', 0, 1.79e9),
               ('a', 'send', 'data', 'closed', 9223372036854775807, 1.79e9),
               ('a', 'send', 'auth', 'auth', 1, 9e99), ('a', 'receive', 'auth', 'quota', 1, 1.79e9),
               ('a', 'port.web', '', 'auth', 1, 1.79e9), ('a', 'port.web', '', 'dns', -1, 1.79e9);",
        )
        .unwrap();
    let sides = account(&store, &name("a")).await.account.sides;
    let only = sides.send.failures.newest().unwrap();
    assert_eq!((only.cause, only.count), ((Step::Dns, Reason::Timeout), 2));
    assert_eq!((sides.send.failures.total(), sides.receive.failures.total()), (2, 0));
    let stored = store.load(vec![(name("a"), DAY)]).await.remove(&name("a")).unwrap_or_default();
    assert_eq!(stored.layers.port_failures.len(), 0);
    assert_eq!(store.errors(), 0);
}

#[tokio::test]
async fn what_cannot_be_taken_over_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    look_into(&folder).execute_batch(VERSION_1).unwrap();
    // A column that nobody knows: what it holds would be lost.
    look_into(&folder).execute_batch("ALTER TABLE mail ADD COLUMN note TEXT").unwrap();
    let error = open_error(&folder);
    assert!(error.contains("cannot use"), "{error}");
    let version: i64 = look_into(&folder)
        .query_row("SELECT schema_version FROM meta, mail WHERE note IS NULL", [], |row| row.get(0))
        .unwrap();
    assert_eq!(version, 1, "untouched");
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE_FILE);
    let text = "this was never a database, but somebody's notes\n".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let error = open_error(&folder);
    assert!(error.contains("mailtrip.db is damaged (file is not a database"), "{error}");
    assert!(error.contains("move it away"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn the_database_of_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    look_into(&folder).execute_batch("CREATE TABLE notes (text)").unwrap();
    let error = open_error(&folder);
    assert!(error.contains("it holds the tables of another program"), "{error}");
}

#[tokio::test]
async fn a_damaged_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for _ in 0..500 {
        store.record(&name("a"), sending().1);
    }
    drop(store);
    let path = folder.path().join(DATABASE_FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    assert!(bytes.len() > 3 * 4096, "the mails fill pages of their own");
    let middle = bytes.len() - 3 * 4096;
    bytes[middle..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let error = open_error(&folder);
    assert!(error.contains("is damaged (") && error.contains("put a good copy"), "{error}");
}

/// An account whose counters all differ.
fn counted() -> AccountRecord {
    let totals = Totals {
        probes: 1,
        accepted: 2,
        doubtful: 3,
        received: 4,
        late: 5,
        lost: 6,
        bounced: 16,
        returned: 7,
        duplicate: 8,
        left: 9,
        found: [10, 11, 12],
        checks: 13,
        check_failures: 14,
        looks: 17,
        roundtrips_unknown: 25,
        periods_skipped: 15,
        checks_skipped: 16,
    };
    let roundtrips = Histogram {
        counts: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        sum: Duration::from_millis(1_234_500),
    };
    let (mut send, mut receive) = (SideCounters::default(), SideCounters::default());
    let failures = |cause, count| CauseCount { cause, count, last: time(count) };
    send.failures = Failures::counted([failures((Step::Data, Reason::Deferred), 18)]);
    receive.failures = Failures::counted([
        failures((Step::Select, Reason::Busy), 20),
        failures((Step::Remove, Reason::Busy), 21),
    ]);
    (send.not_applicable, receive.not_applicable) = (22, 23);
    let sender_mailbox_failures = 24;
    let last_sent = Some(time(7));
    let sides = PerSide { send, receive };
    let last_roundtrip = Some(Duration::from_millis(1_250));
    AccountRecord { totals, sides, sender_mailbox_failures, roundtrips, last_roundtrip, last_sent }
}

#[tokio::test]
async fn an_account_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let record = counted();
    let mut stored = StoredAccount { account: record.clone(), ..StoredAccount::default() };
    for state in [
        MailState::Outstanding,
        MailState::Doubtful,
        MailState::Lost,
        MailState::Bounced,
        MailState::Received,
        MailState::Left,
    ] {
        let (token, changes) = sending();
        store.record(&name("a"), changes);
        store.written().await;
        let record = MailRecord {
            is_late: state == MailState::Lost,
            purpose: match state {
                MailState::Outstanding => Purpose::Test,
                MailState::Left => Purpose::FormerTest,
                _ => Purpose::Delivery,
            },
            accepted: Some(time(3)),
            ended: (state != MailState::Outstanding).then(|| time(9)),
            ..mail(state)
        };
        store.record(&name("a"), one(token, Some(record)));
        let whole = MailRecord { transmitted: Some(time(0)), ..record };
        stored.mails.insert(token, whole);
    }
    store.record(&name("a"), Changes { account: Some(record), ..Changes::default() });
    assert_eq!(account(&store, &name("a")).await, stored);
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(account(&store, &name("a")).await, stored);
    assert_eq!(account(&store, &name("b")).await, StoredAccount::default());
    for token in stored.mails.keys() {
        store.record(&name("a"), one(*token, None));
    }
    assert_eq!(account(&store, &name("a")).await.mails.len(), 0);
    assert_eq!(store.errors(), 0);
}

#[tokio::test]
async fn mails_that_ended_long_ago_are_forgotten_when_the_account_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let now = SystemTime::now();
    let ended =
        |ago: u32| Some(MailRecord { ended: Some(now - DAY * ago), ..mail(MailState::Received) });
    let (old, new, waiting) = (Token::random(), Token::random(), sending());
    store.record(&name("a"), one(old, ended(2)));
    store.record(&name("a"), one(new, ended(0)));
    store.record(&name("a"), waiting.1);
    let kept: Vec<Token> = account(&store, &name("a")).await.mails.into_keys().collect();
    assert!(kept.contains(&new) && kept.contains(&waiting.0) && kept.len() == 2);
    let rows: i64 =
        look_into(&folder).query_row("SELECT count(*) FROM mail", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 2, "the file stays small");
    store.record(&name("gone"), one(old, ended(200)));
    drop(store);
    drop(Store::open(folder.path()).unwrap());
    let rows: i64 =
        look_into(&folder).query_row("SELECT count(*) FROM mail", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 2, "neither do targets that never come back fill it");
}

#[tokio::test]
async fn the_memory_of_folders_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let record = FolderRecord {
        uid_validity: u32::MAX,
        next_uid: 17,
        clock: Some(ClockOffset { least: -1.5, most: 0.25, known_at: time(3) }),
        looked_at: Some(time(4)),
        to_remove: vec!["12".into(), "a=b;c".into()],
        left_overs: vec![("x=y".into(), UNIX_EPOCH + Duration::from_secs(1_900_000_000))],
    };
    store.record_folder(&mailbox(), "INBOX", FolderRecord::default());
    store.record_folder(&mailbox(), "INBOX", record.clone());
    let odd = FolderRecord { to_remove: vec!["two words".into()], ..FolderRecord::default() };
    store.record_folder(&mailbox(), "Junk", odd);
    let other = MailboxId { port: 143, ..mailbox() };
    store.record_folder(&other, "INBOX", FolderRecord::default());
    let expected = BTreeMap::from([
        ("INBOX".to_owned(), record),
        ("Junk".to_owned(), FolderRecord::default()),
    ]);
    assert_eq!(store.load_folders(&mailbox()).await, expected);
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.load_folders(&mailbox()).await, expected);
}

#[tokio::test]
async fn the_file_explains_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (token, changes) = sending();
    store.record(&name("mail server"), changes);
    store.written().await;
    let file = look_into(&folder);
    let schema: String = file
        .query_row("SELECT group_concat(sql, '\n') FROM sqlite_schema", [], |row| row.get(0))
        .unwrap();
    let tables = [
        "TABLE meta",
        "TABLE target",
        "TABLE mail",
        "TABLE folder",
        "TABLE counter",
        "TABLE newest",
        "TABLE layer",
        "TABLE inspection",
        "TABLE availability",
        "TABLE availability_now",
        "TABLE outage",
    ];
    for object in tables.into_iter().chain(["VIEW mails"]) {
        let begin = schema.find(&format!("CREATE {object} ")).unwrap();
        let line = schema[begin..].lines().next().unwrap();
        assert!(line.contains(" -- "), "{line}");
    }
    let (state, sent, shown): (String, f64, String) = file
        .query_row(
            "SELECT state, (SELECT transmitted FROM mail WHERE mail.token = mails.token),
             transmitted_utc FROM mails WHERE target = 'mail server' AND token = ?1",
            [token.to_string()],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap();
    assert_eq!(state, "sending");
    assert!((sent - time(0).duration_since(UNIX_EPOCH).unwrap().as_secs_f64()).abs() < 5.0);
    assert!(shown.starts_with("20") && shown.ends_with(".250"), "{shown}");
}

/// A trigger of the database makes every insert fail, as a full disk does.
fn break_writes(folder: &TempDir) -> Connection {
    let saboteur = look_into(folder);
    saboteur
        .execute_batch(
            "CREATE TRIGGER broken BEFORE INSERT ON mail BEGIN SELECT RAISE(FAIL, 'full'); END",
        )
        .unwrap();
    saboteur
}

#[tokio::test]
async fn a_store_that_fails_is_counted_and_written_when_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let saboteur = break_writes(&folder);
    let (first, changes) = sending();
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    store.record(&name("a"), changes);
    store.committed().await;
    assert!(begin.elapsed() < COMMIT * 2, "sending does not wait for a broken store");
    tokio::time::resume();
    eventually("the failure is counted", async || store.errors() > 0).await;
    let (second, changes) = sending();
    store.record(&name("a"), changes);
    store.committed().await;
    let accepted = MailRecord { accepted: Some(time(1)), ..mail(MailState::Outstanding) };
    store.record(&name("a"), one(first, Some(accepted)));
    let seen = account(&store, &name("a")).await;
    assert_eq!(seen.mails[&first].state, MailState::Outstanding, "from memory");
    saboteur.execute_batch("DROP TRIGGER broken").unwrap();
    eventually("the rows are written", async || {
        let count = "SELECT count(*) FROM mail WHERE token IN (?1, ?2) AND transmitted NOT NULL";
        let rows: i64 = saboteur
            .query_row(count, [first.to_string(), second.to_string()], |row| row.get(0))
            .unwrap();
        rows == 2
    })
    .await;
    let errors = store.errors();
    let (third, changes) = sending();
    eventually("the store is sound again", async || {
        store.record(&name("a"), changes.clone());
        store.committed().await;
        let place = "SELECT count(*) FROM mail WHERE token = ?1";
        saboteur.query_row(place, [third.to_string()], |row| row.get::<_, i64>(0)).unwrap() == 1
    })
    .await;
    assert_eq!(store.errors(), errors);
}

#[tokio::test]
async fn a_database_that_somebody_locks_holds_up_a_send_for_a_second_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let other = look_into(&folder);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (token, changes) = sending();
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    store.record(&name("a"), changes);
    store.committed().await;
    assert!(begin.elapsed() < Duration::from_millis(1100));
    tokio::time::resume();
    eventually("the failure is counted", async || store.errors() > 0).await;
    other.execute_batch("COMMIT").unwrap();
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert!(account(&store, &name("a")).await.mails.contains_key(&token), "written at the end");
}

#[tokio::test]
async fn what_nobody_waits_for_is_written_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let file = look_into(&folder);
    for earlier in [None, Some(Changes { newest: Some(Newest::default()), ..Changes::default() })] {
        // A measurement has more time: the writer sleeps longer, and is woken for the mail.
        earlier.into_iter().for_each(|measured| store.record(&name("a"), measured));
        let (token, changes) = sending();
        store.record(&name("a"), changes);
        eventually("the mail is written", async || {
            let count = "SELECT count(*) FROM mail WHERE token = ?1";
            file.query_row(count, [token.to_string()], |row| row.get::<_, i64>(0)).unwrap() == 1
        })
        .await;
    }
    assert_eq!(store.errors(), 0);
}

#[test]
fn what_waits_for_a_broken_store_is_bounded_and_newest() {
    let shared = Shared::default();
    let (token, changes) = sending();
    shared.record(&name("a"), changes);
    shared.record(&name("a"), one(token, Some(mail(MailState::Outstanding))));
    let many = (0..work::MOST_MAILS).map(|_| (Token::random(), None)).collect();
    shared.record(
        &name("b"),
        Changes { account: Some(AccountRecord::default()), mails: many, newest: None },
    );
    assert_eq!(shared.errors(), 1, "the one mail too many is dropped, and that is counted");
    shared.record(&name("a"), one(token, Some(mail(MailState::Received))));
    assert_eq!(shared.errors(), 1, "a mail that waits already is brought up to date");
}

/// The process that is killed: registers mails and says which of them it was told are committed.
/// It is this very test, started again with a directory in its environment.
#[test]
fn a_process_that_is_killed() {
    let Some(directory) = std::env::var_os(KILLED_IN) else { return };
    let store = Store::open(Path::new(&directory)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        loop {
            let (token, changes) = sending();
            store.record(&name("a"), changes);
            store.written().await;
            assert_eq!(store.errors(), 0);
            let mut out = io::stdout().lock();
            writeln!(out, "committed {token}").and_then(|()| out.flush()).unwrap();
        }
    });
}

const KILLED_IN: &str = "MAILTRIP_TEST_KILLED_IN";

#[tokio::test]
async fn nothing_that_was_committed_is_lost_by_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut committed: Vec<Token> = Vec::new();
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::a_process_that_is_killed", "--nocapture"])
            .env(KILLED_IN, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut token = || {
            let line =
                lines.find(|line| line.as_ref().is_ok_and(|it| it.contains("committed ")))?;
            line.unwrap().rsplit(' ').next().unwrap().parse::<Token>().ok()
        };
        committed.extend((0..50 * round).map(|_| token().expect("the child registers mails")));
        // SIGKILL, in the middle of whatever it is doing.
        child.kill().unwrap();
        child.wait().unwrap();
        committed.extend(std::iter::from_fn(token));
    }
    let store = Store::open(folder.path()).unwrap();
    let kept = account(&store, &name("a")).await.mails;
    for token in &committed {
        assert_eq!(kept[token].state, MailState::Sending);
    }
    assert!(kept.len() <= committed.len() + 3, "one in each round was not told of yet");
}

mod availability;
mod losses;
