//! The database file: opened, checked, and made where it is missing. It explains itself to whoever
//! looks into it with `sqlite3`: begin with `.schema` and `SELECT * FROM mails`.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::{INSTANCE_FILE, StoreError, columns, findings};
use ledger::{Instance, Token};
use mail::text::harmless;

/// The version of the schema below. A newer one is refused, an older one brought up.
pub(super) const VERSION: i64 = 7;
/// How long somebody who writes with `sqlite3` is waited for.
const BUSY: Duration = Duration::from_millis(500);
/// Records of ended mails that are older than this belong to targets that are gone.
const FORGOTTEN_AFTER_DAYS: u32 = 100;

/// What is not taken over: a clock is learned anew.
const CLOCK_OF_VERSION_3: &str = "clock_offset_seconds";

/// What was counted until version 4 and is not any more: failures by reason, and again by step; the
/// requests of the pings, and the replies.
const COUNTERS_OF_VERSION_4: [&str; 2] = ["*failures.*", "ping.*"];

/// Until version 6 what a mail was sent for was known of the newest only, and is marked by what stands before its server.
const TESTS_OF_VERSION_6: &str = "UPDATE mail SET test = 1 WHERE target IN (SELECT target FROM newest WHERE send_server GLOB '#*')";

const TABLES: [&str; 12] = [
    "meta",
    "target",
    "failure",
    "mail",
    "folder",
    "refresh_token",
    "newest",
    "layer",
    "inspection",
    "availability",
    "availability_now",
    "outage",
];

/// SQLite keeps the comments inside the parentheses. A column that an older version has not has a
/// default, so that its rows can be taken over.
const SCHEMA: &str = "
CREATE TABLE meta ( -- one row: what this file is
  schema_version INTEGER NOT NULL, -- of these tables; mailtrip_exporter refuses one it does not know
  instance       TEXT NOT NULL,    -- random id of this state directory, in the header of every test mail
  created        TEXT NOT NULL     -- UTC
) STRICT;

CREATE TABLE target ( -- the account of each target, also of one that is not configured at present
  name                  TEXT PRIMARY KEY,
  -- accepted = outstanding mails + received + bounced + lost + left_with_outage
  probes                INTEGER NOT NULL, -- test mails tried: accepted, refused and doubtful
  accepted              INTEGER NOT NULL, -- accepted by the SMTP server
  doubtful              INTEGER NOT NULL, -- handed over without a reply
  received              INTEGER NOT NULL, -- seen in the mailbox, late ones included
  late                  INTEGER NOT NULL, -- not seen late_after after they were accepted
  lost                  INTEGER NOT NULL, -- not seen lost_after after they were accepted
  bounced               INTEGER NOT NULL DEFAULT 0, -- outstanding, and reported as undeliverable
  returned              INTEGER NOT NULL, -- doubtful, lost or bounced, and seen after all
  duplicate             INTEGER NOT NULL, -- further copies of received mails
  left_with_outage      INTEGER NOT NULL, -- outstanding when a passive node went down
  found_inbox           INTEGER NOT NULL, -- received, by folder
  found_junk            INTEGER NOT NULL,
  found_other           INTEGER NOT NULL,
  checks                INTEGER NOT NULL, -- of the mailbox
  check_failures        INTEGER NOT NULL,
  periods_skipped       INTEGER NOT NULL,
  roundtrip_seconds_sum REAL NOT NULL,
  roundtrip_buckets     TEXT NOT NULL,    -- how many took up to 0.1 0.5 2 5 15 60 300 900 3600 21600 s, and more
  last_sent             REAL,             -- newest test mail; seconds since 1970
  last_roundtrip        REAL              -- of the newest mail that arrived; seconds
) STRICT, WITHOUT ROWID;

CREATE TABLE failure ( -- what has failed, by cause; absent: it never did
  target TEXT NOT NULL,    -- target.name
  place  TEXT NOT NULL,    -- send; receive; port.NAME: a TCP port
  step   TEXT NOT NULL,    -- of the dialogue; empty for a port
  reason TEXT NOT NULL,
  count  INTEGER NOT NULL,
  newest REAL NOT NULL,    -- when it happened last; seconds since 1970
  PRIMARY KEY (target, place, step, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE mail ( -- the test mails under way, and those whose wait ended within lost_after
  target      TEXT NOT NULL,    -- target.name
  token       TEXT NOT NULL,    -- in the header X-Mailtrip, the Message-ID and the Subject
  state       TEXT NOT NULL CHECK (state IN
              ('sending', 'outstanding', 'doubtful', 'lost', 'bounced', 'received', 'left')),
  late        INTEGER NOT NULL, -- 1: was not seen late_after after it was accepted
  transmitted REAL,             -- times in seconds since 1970; the view mails shows them as UTC
  handed_over REAL,             -- all of it but the final dot was written: it arrives after this
  accepted    REAL,
  ended       REAL,             -- doubtful, lost, bounced, received or left since; of one sending: seen
  test        INTEGER NOT NULL DEFAULT 0 CHECK (test IN (0, 1, 2)), -- 1: of what must not pass; 2: as is not expected any more
  PRIMARY KEY (target, token)
) STRICT, WITHOUT ROWID;

CREATE TABLE folder ( -- how far each folder of each mailbox has been read
  mailbox              TEXT NOT NULL, -- protocol://user@host:port
  folder               TEXT NOT NULL, -- as the server writes it; empty for POP3, * for JMAP
  uid_validity         INTEGER NOT NULL, -- IMAP; another one voids the UIDs
  next_uid             INTEGER NOT NULL, -- the first UID that was not looked at; 0: none was
  clock_offset_least   REAL,          -- by how many seconds the server's clock is ahead at least
  clock_offset_most    REAL,          -- and at most, as learned from arrivals
  clock_known_at       REAL,          -- when that was so; seconds since 1970
  looked_at            REAL,          -- newest look, while mail is waited for; seconds since 1970
  to_remove            TEXT NOT NULL, -- UIDs, UIDL ids or ids of JMAP of our mails that are not taken out yet
  left_overs           TEXT NOT NULL, -- id=time of test mails that nobody here waits for, and when they may go
  PRIMARY KEY (mailbox, folder)
) STRICT, WITHOUT ROWID;

CREATE TABLE refresh_token ( -- OAuth2: what a provider has given in place of the token in refresh_token_file
  origin  TEXT PRIMARY KEY, -- SHA-256 of endpoint, client and the token in the file: another file begins anew
  token   TEXT NOT NULL,    -- the newest one; a secret
  changed REAL NOT NULL     -- when it was given; seconds since 1970
) STRICT, WITHOUT ROWID;

CREATE TABLE newest ( -- the newest measurement of each target; shown until it is outlived, by the next process too
  target                  TEXT PRIMARY KEY, -- target.name
  interval                REAL NOT NULL,    -- the test period by which it was measured, in seconds
  send_server             TEXT NOT NULL,    -- what was measured, smtp://user@host:port; a target with another begins anew
  send_state              TEXT NOT NULL,    -- measured; not_applicable: passive and down; outlived; unmeasured
  send_ability            REAL,             -- measured: the share of the mails that was accepted
  send_up                 INTEGER,          -- 1: the server answered
  send_failures           INTEGER,          -- in a row; -1: passive and down
  send_attempt            REAL,             -- newest attempt: how old all this is; times in seconds since 1970
  send_success            REAL,             -- newest that succeeded
  send_steps              TEXT,             -- of the newest attempt, in seconds: dns=0.001 connect=0.02
  send_address            TEXT,             -- of the server that answered it
  send_tls_version        TEXT,             -- what the newest handshake showed
  send_tls_cipher         TEXT,
  send_tls_resumed        INTEGER,
  send_certificate_end    REAL,
  send_chain_end          REAL,             -- the earliest end in its chain
  send_failed             REAL,             -- newest failure
  send_failed_step        TEXT,
  send_failed_reason      TEXT,
  send_failed_down        INTEGER,          -- 1: the service was not there
  send_failed_words       TEXT,
  receive_server          TEXT NOT NULL,    -- protocol://user@host:port
  receive_state           TEXT NOT NULL,
  receive_ability         REAL,             -- measured: 1 if the mailbox could be read
  receive_up              INTEGER,
  receive_failures        INTEGER,
  receive_attempt         REAL,
  receive_success         REAL,
  receive_steps           TEXT,
  receive_address         TEXT,
  receive_tls_version     TEXT,
  receive_tls_cipher      TEXT,
  receive_tls_resumed     INTEGER,
  receive_certificate_end REAL,
  receive_chain_end       REAL,
  receive_failed          REAL,
  receive_failed_step     TEXT,
  receive_failed_reason   TEXT,
  receive_failed_down     INTEGER,
  receive_failed_words    TEXT,
  period_began            REAL,             -- the newest period of which the round trip tells
  period_received         INTEGER NOT NULL, -- mails with a round trip that came since,
  period_seconds          REAL NOT NULL,    -- and the sum of these
  before_received         INTEGER NOT NULL, -- the same of the period before
  before_seconds          REAL NOT NULL,
  arrival_unknown         INTEGER NOT NULL, -- whether a mail came of which nobody can tell when: 1 since, 2 before, 3 both
  delivery                REAL,             -- seconds from acceptance to arrival of the newest mail that came
  has_arrived             INTEGER,          -- 1: the newest mail whose wait is over came
  sender_server           TEXT,             -- the sender's own mailbox, protocol://user@host:port
  sender_up               INTEGER,          -- 1: it could be read
  sender_visited          REAL,
  expected                TEXT,             -- what the newest test of what must not pass was to show, as in expect
  expected_met            INTEGER,          -- 1: it did; absent: it has proved nothing
  expected_words          TEXT,
  expected_sent           REAL,             -- when its mail was handed over, or was to be
  expected_judged         REAL              -- when that was known
) STRICT, WITHOUT ROWID;

CREATE TABLE layer ( -- the newest readings of the layers below the mail service, shown until they are outlived
  target   TEXT NOT NULL, -- target.name
  name     TEXT NOT NULL, -- ping, port.NAME, round: when the newest round of checks began
  place    TEXT NOT NULL, -- what was asked, host or host:port; another one begins anew
  at       REAL NOT NULL, -- when it was measured; seconds since 1970
  state    TEXT NOT NULL, -- measured; not_applicable: passive and down; unmeasured
  sent     INTEGER,       -- requests of the ping
  received INTEGER,       -- replies to them
  seconds  REAL,          -- their mean round trip; the TCP handshake; round: the test period
  least    REAL,
  most     REAL,
  reason   TEXT,          -- why no connection came about
  down     INTEGER,       -- 1: there is no service
  words    TEXT,
  PRIMARY KEY (target, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE inspection ( -- what the header of the newest mail of each target says
  target  TEXT PRIMARY KEY, -- target.name
  mailbox TEXT NOT NULL,    -- where it came to, protocol://user@host:port
  facts   TEXT NOT NULL     -- JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE availability ( -- how each target was; to be read with /api/targets/NAME/history
  target TEXT PRIMARY KEY, -- also one that is not configured any more, for 90 days
  hours  BLOB NOT NULL,    -- the latest 8 days hour by hour, without the present one: numbers of 7 bits a
  days   BLOB NOT NULL     -- byte, see crates/ledger/src/availability/series.rs; 90 days likewise
) STRICT, WITHOUT ROWID;

CREATE TABLE availability_now ( -- the present hour and day of each target, written twice a minute
  target  TEXT PRIMARY KEY,
  written REAL NOT NULL, -- seconds since 1970
  hour    BLOB NOT NULL,
  day     BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE outage ( -- the latest outages of each target, at most 20 a side
  target TEXT NOT NULL,
  side   TEXT NOT NULL, -- send, receive
  began  REAL NOT NULL, -- the first attempt that failed; seconds since 1970
  ended  REAL,          -- the first that did not; absent: it goes on
  step   TEXT NOT NULL, -- where the first attempt failed,
  reason TEXT NOT NULL, -- why,
  words  TEXT NOT NULL, -- and in which words
  PRIMARY KEY (target, side, began)
) STRICT, WITHOUT ROWID;

CREATE VIEW mails AS -- the mails with readable times
  SELECT target, token, state, late,
    strftime('%Y-%m-%d %H:%M:%f', transmitted, 'unixepoch') AS transmitted_utc,
    strftime('%Y-%m-%d %H:%M:%f', accepted, 'unixepoch') AS accepted_utc,
    strftime('%Y-%m-%d %H:%M:%f', ended, 'unixepoch') AS ended_utc
  FROM mail ORDER BY target, coalesce(transmitted, accepted, ended);
";

/// A table beside the schema: what else is counted, with room for more without a new version. Made
/// where it is missing; a program that does not know it leaves it as it is.
const COUNTERS: &str = "
CREATE TABLE IF NOT EXISTS counter ( -- of a target, beside those in the table target; absent: 0
  target TEXT NOT NULL,    -- target.name; empty: of this file, whose one counter is commits
  name   TEXT NOT NULL,    -- looks; roundtrips_unknown; checks_skipped; sender_mailbox_failures;
                           -- SIDE.not_applicable of each side, send and receive
  value  INTEGER NOT NULL,
  PRIMARY KEY (target, name)
) STRICT, WITHOUT ROWID;
";

/// Opens the database in `directory`, which exists, and makes it (mode 0600) if it is missing.
pub(crate) fn open(directory: &Path, path: &Path) -> Result<(Connection, Instance), StoreError> {
    let failed = |source| StoreError::Io { action: "open", path: path.to_owned(), source };
    // SQLite gives its other files the mode of this one. It is closed again before SQLite opens it.
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let instance_file = directory.join(INSTANCE_FILE);
    let opened = connect(path).and_then(|connection| {
        let is_new = is_empty(&connection)?;
        Ok((connection, is_new))
    });
    let (mut connection, is_new) = opened.map_err(|error| explain(path, error))?;
    if is_new {
        let instance = inherited(&instance_file)?.unwrap_or_else(Token::random);
        create(&mut connection, instance).map_err(|error| explain(path, error))?;
        // Its id is in the database now; a file that stays does no harm.
        let _ = fs::remove_file(&instance_file);
    }
    let (instance, version) = check(&connection, path)?;
    if version < VERSION {
        bring_up(&mut connection).map_err(|error| explain(path, error))?;
    }
    configure(&connection).map_err(|error| explain(path, error))?;
    Ok((connection, instance))
}

/// Opens a database that was just made of one that was checked.
pub(super) fn reopen(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path)?;
    configure(&connection)?;
    Ok(connection)
}

/// How many commits it holds.
pub(super) fn commits(connection: &Connection, path: &Path) -> Result<u64, StoreError> {
    let query =
        "SELECT coalesce(max(value), 0) FROM counter WHERE target = '' AND name = 'commits'";
    let commits: i64 =
        connection.query_row(query, [], |row| row.get(0)).map_err(|error| explain(path, error))?;
    Ok(u64::try_from(commits).unwrap_or_default())
}

/// Counts the commit that is about to be made, and gives its number.
pub(super) fn count_commit(connection: &Connection) -> rusqlite::Result<u64> {
    let upsert = "INSERT INTO counter VALUES ('', 'commits', 1)
                  ON CONFLICT DO UPDATE SET value = value + 1 RETURNING value";
    let commits: i64 = connection.prepare_cached(upsert)?.query_row([], |row| row.get(0))?;
    Ok(u64::try_from(commits).unwrap_or_default())
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    // More than there are statements.
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

fn create(connection: &mut Connection, instance: Instance) -> rusqlite::Result<()> {
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    change.execute_batch(SCHEMA)?;
    change.execute(
        "INSERT INTO meta VALUES (?1, ?2, strftime('%Y-%m-%d %H:%M:%S', 'now'))",
        (VERSION, instance.to_string()),
    )?;
    change.commit()
}

/// Makes the tables anew and takes over what an older version has kept, all of it or nothing.
fn bring_up(connection: &mut Connection) -> rusqlite::Result<()> {
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    change.execute_batch("DROP VIEW mails")?;
    let mut older =
        change.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?;
    let mut tables = Vec::new();
    for table in TABLES {
        if older.exists([table])? {
            tables.push(table);
        }
    }
    drop(older);
    for table in &tables {
        change.execute_batch(&format!("ALTER TABLE {table} RENAME TO older_{table}"))?;
    }
    change.execute_batch(SCHEMA)?;
    for table in tables {
        let columns: String = change.query_row(
            "SELECT group_concat(name) FROM pragma_table_info(?1) WHERE name != ?2",
            [&format!("older_{table}"), CLOCK_OF_VERSION_3],
            |row| row.get(0),
        )?;
        change.execute_batch(&format!(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM older_{table};
             DROP TABLE older_{table};"
        ))?;
    }
    change.execute_batch(COUNTERS)?;
    change.execute_batch(TESTS_OF_VERSION_6)?;
    change
        .execute("DELETE FROM counter WHERE name GLOB ?1 OR name GLOB ?2", COUNTERS_OF_VERSION_4)?;
    change.execute("UPDATE meta SET schema_version = ?1", [VERSION])?;
    change.commit()
}

/// Whether it is a whole database of ours, whose, and of which version.
fn check(connection: &Connection, path: &Path) -> Result<(Instance, i64), StoreError> {
    let damaged =
        |detail: &str| StoreError::Damaged { path: path.to_owned(), detail: in_one_line(detail) };
    let has_meta = connection
        .prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'meta'")
        .and_then(|mut query| query.exists([]))
        .map_err(|error| explain(path, error))?;
    if !has_meta {
        return Err(damaged("it holds the tables of another program"));
    }
    let version: i64 = connection
        .query_row("SELECT schema_version FROM meta", [], |row| row.get(0))
        .map_err(|error| explain(path, error))?;
    if version > VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), version });
    }
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| explain(path, error))?;
    if verdict != "ok" {
        return Err(damaged(&verdict));
    }
    if version == VERSION
        && let Some(column) =
            columns::missing(connection, SCHEMA, &TABLES).map_err(|error| explain(path, error))?
    {
        return Err(damaged(&format!("it has no {column}")));
    }
    let instance: String = connection
        .query_row("SELECT instance FROM meta", [], |row| row.get(0))
        .map_err(|error| explain(path, error))?;
    let instance = instance.parse().map_err(|_| damaged("meta.instance is not 32 hex digits"))?;
    Ok((instance, version))
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    // Without the second one SQLite takes and gives back 64 kB for what each statement may have to undo.
    connection.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY")?;
    connection.execute_batch(&[COUNTERS, findings::TABLE].concat())?;
    // A write, so that a database that cannot be written is told of now.
    connection.execute(
        "DELETE FROM mail WHERE ended < ?1 - ?2 * 86400",
        (super::rows::to_seconds(crate::clock::wall()), FORGOTTEN_AFTER_DAYS),
    )?;
    connection.execute("UPDATE meta SET schema_version = schema_version", []).map(|_| ())
}

/// The id of a state directory from the time before the database.
fn inherited(path: &Path) -> Result<Option<Instance>, StoreError> {
    match fs::read(path) {
        Ok(text) => String::from_utf8_lossy(&text)
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| StoreError::NoInstance { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::Io { action: "read", path: path.to_owned(), source }),
    }
}

fn explain(path: &Path, source: rusqlite::Error) -> StoreError {
    let path: PathBuf = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Damaged { path, detail: in_one_line(&source.to_string()) }
        }
        _ => StoreError::Database { path, source },
    }
}

/// What SQLite says of a file may hold line ends, and what it has read there.
fn in_one_line(detail: &str) -> String {
    harmless(detail.split_whitespace().collect::<Vec<_>>().join(" ").as_bytes())
}
