//! The database of the account, damaged.
//!
//! Input: changes of a good file, four bytes each: place (three), and the new byte. Or, behind a `V`, lines
//! `table.column=value`: values that SQLite takes there, whatever they mean.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use rusqlite::types::Value;

use crate::config::{Config, Target, TargetName};
use crate::layers::readings::Checks;
use crate::store::{StoreError, availability, findings, inspection, readings, rows, schema};
use ledger::{
    Availability, ClockOffset, Ledger, Moment, PerSide, Rules, ServerClock, Side, Span,
    StoredAccount,
};
use mail::text::is_unsafe;

const DAY: Duration = Duration::from_secs(86_400);

pub(in crate::fuzz) fn check(input: &[u8]) {
    static GOOD: LazyLock<Vec<u8>> = LazyLock::new(good);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mailtrip.db");
    let mut bytes = GOOD.clone();
    let values = input.strip_prefix(b"V");
    if values.is_none() {
        for change in input.chunks_exact(4) {
            let place = u32::from_be_bytes([0, change[0], change[1], change[2]]);
            let length = bytes.len();
            bytes[usize::try_from(place).unwrap() % length] = change[3];
        }
    }
    std::fs::write(&path, &bytes).unwrap();
    if let Some(values) = values {
        set_values(&path, values);
    }
    match schema::open(folder.path(), &path) {
        Ok((connection, _)) => read(&connection),
        Err(error) => told(&error),
    }
}

fn read(connection: &Connection) {
    let name = TargetName::new("one").unwrap();
    let now = SystemTime::now();
    let kept = readings::read(connection, &name).unwrap_or_default();
    let checks = Checks::restored(kept);
    checks.set_target(&target());
    checks.readings();
    if let Ok(Some(kept)) = inspection::read(connection, &name) {
        assert!(kept.inspection.is_sound());
    }
    for finding in findings::read(connection, &name).unwrap_or_default() {
        assert!(!finding.words.chars().any(is_unsafe), "{}", finding.words);
    }
    let _ = rows::read_refresh_token(connection, "origin");
    if let Ok(stored) = rows::read_account(connection, &name, now - DAY) {
        go_on(&stored);
    }
    let folders = rows::read_folders(connection, "imap://u@h:993").unwrap_or_default();
    for folder in folders.values() {
        let (mut clock, now) = (ServerClock::new(folder.clock), crate::clock::now());
        let offset = clock.offset(now);
        let is_sound = |it: ClockOffset| it.least.is_finite() && it.most.is_finite();
        assert!(offset.is_none_or(|it| is_sound(it) && it.least <= it.most), "{offset:?}");
        clock.span(now.wall, Moment { wall: now.wall + DAY, ..now });
    }
}

/// The account goes on from what was stored.
fn go_on(stored: &StoredAccount) {
    let now = crate::clock::now();
    let mut ledger = Ledger::restore(Rules::from(&*target()), stored, now);
    let later = Moment { instant: now.instant + DAY, wall: now.wall + DAY };
    for now in [now, later] {
        ledger.snapshot(now);
        let availability = ledger.availability(now);
        for span in [Span::Hour, Span::Day] {
            for (begins, bucket) in availability.buckets(span, now.wall) {
                assert!(begins <= now.wall, "{begins:?}");
                let measured = |side: Side| bucket.sides[side].measured();
                assert!(Side::ALL.into_iter().all(|side| measured(side) <= span.width()));
            }
        }
        for side in Side::ALL {
            assert!(availability.outages(side).all(|it| !it.words.chars().any(is_unsafe)));
        }
    }
    let judged = stored.newest.judgement.iter();
    assert!(judged.clone().all(|it| !it.words.chars().any(is_unsafe)), "{judged:?}");
    let roundtrips = stored.account.roundtrips;
    assert!(roundtrips.sum.checked_add(100 * 366 * DAY).is_some(), "{:?}", roundtrips.sum);
    let has_room = |count: &u64| count.checked_add(1 << 40).is_some();
    assert!(roundtrips.counts.iter().all(has_room), "{:?}", roundtrips.counts);
}

fn told(error: &StoreError) {
    let told = error.to_string();
    assert!(!told.chars().any(is_unsafe), "shown as it came: {told:?}");
}

/// A database with a row in every table.
fn good() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mailtrip.db");
    let (connection, _) = schema::open(folder.path(), &path).unwrap();
    connection.execute_batch(ROWS).unwrap();
    let (mut availability, now) = (Availability::default(), SystemTime::now());
    let abilities = PerSide { send: Some(0.5), receive: None };
    availability.count_time(abilities, now - 2 * DAY, now);
    availability.count_roundtrip(Duration::from_secs(1), now);
    let (name, changes) = (TargetName::new("one").unwrap(), availability.take_changes());
    availability::write(&connection, &name, &changes).unwrap();
    connection.pragma_update(None, "journal_mode", "DELETE").unwrap();
    drop(connection);
    std::fs::read(&path).unwrap()
}

const ROWS: &str = "
INSERT INTO target (name, probes, accepted, doubtful, received, late, lost, returned, duplicate,
  left_with_outage, found_inbox, found_junk, found_other, checks, check_failures, periods_skipped,
  roundtrip_seconds_sum, roundtrip_buckets, last_sent)
  VALUES ('one', 9, 8, 1, 7, 1, 1, 0, 0, 0, 6, 1, 0, 99, 1, 0, 12.5, '1 2 3 1 0 0 0 0 0 0 0', 1.79e9);
INSERT INTO mail (target, token, state, late, transmitted, accepted)
  VALUES ('one', '0123456789abcdef0123456789abcdef', 'outstanding', 0, 1.79e9, 1.79e9);
INSERT INTO folder VALUES ('imap://u@h:993', 'INBOX', 3, 120, -0.5, 0.5, 1.79e9, 1.79e9, '117 118',
  '119=1790000000');
INSERT INTO refresh_token VALUES ('origin', 'token', 1.79e9);
INSERT INTO counter VALUES ('one', 'looks', 5);
INSERT INTO finding VALUES ('one', 'dnsbl', 'bl.example', '', 1.79e9, 'not_well', 'listed');
INSERT INTO outage VALUES ('one', 'send', 1.78e9, NULL, 'dns', 'timeout', 'no');
INSERT INTO failure VALUES ('one', 'send', 'dns', 'timeout', 1, 1.79e9),
  ('one', 'port.send', '', 'refused', 2, 1.79e9);
INSERT INTO newest VALUES ('one', 60, 'smtp://u@h:25', 'measured', 0.5, 1, 2, 1.79e9, 1.79e9,
  'dns=0.001 tls=0.02', '127.0.0.1:25', 'TLSv1.3', 'TLS_AES_256_GCM_SHA384', 0, 1.8e9, 1.79e9,
  1.78e9, 'auth', 'auth', 0, 'no', 'imap://u@h:143', 'not_applicable', NULL, 0, -1, 1.79e9, NULL,
  'dns=0.001', NULL, NULL, NULL, NULL, NULL, NULL, 1.78e9, 'connect', 'refused', 1, 'no', 1.79e9, 1,
  2.5, 2, 3.5, 1, 0.2, 1, 'imap://s@h:143', 1, 1.79e9, 'refused', 1, '550 no', 1.79e9,
  1.79e9);
INSERT INTO layer VALUES ('one', 'round', '', 1.79e9, 'measured', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  ('one', 'ping', '127.0.0.1', 1.79e9, 'measured', 3, 2, 0.002, 0.001, 0.003, NULL, NULL, NULL),
  ('one', 'port.send', '127.0.0.1:25', 1.79e9, 'measured', NULL, NULL, 0.002, NULL, NULL, NULL, NULL, NULL),
  ('one', 'port.receive', '127.0.0.1:143', 1.79e9, 'measured', NULL, NULL, NULL, NULL, NULL, 'refused', 1, 'no');
INSERT INTO inspection VALUES ('one', 'imap://u@h:143', '{\"seen\":{\"secs_since_epoch\":1790000000,
  \"nanos_since_epoch\":0},\"is_cut\":false,\"hops\":[],\"hop_count\":0,\"authentication\":[],
  \"authserv_id\":\"h\",\"spam\":[],\"last_hop\":null}');
";

/// What can be set is set.
fn set_values(path: &Path, values: &[u8]) {
    let connection = Connection::open(path).unwrap();
    for line in values.split(|byte| *byte == b'\n').take(32) {
        let line = String::from_utf8_lossy(line);
        let Some((column, value)) = line.split_once('=') else { continue };
        let Some((table, column)) = column.split_once('.') else { continue };
        let is_name = |text: &str| text.bytes().all(|it| it.is_ascii_lowercase() || it == b'_');
        if !is_name(table) || !is_name(column) {
            continue;
        }
        let value = match (value.parse::<i64>(), value.parse::<f64>()) {
            (Ok(number), _) => Value::Integer(number),
            (_, Ok(number)) => Value::Real(number),
            _ => Value::Text(value.to_owned()),
        };
        let _ = connection.execute(&format!("UPDATE {table} SET {column} = ?1"), [value]);
    }
}

fn target() -> Arc<Target> {
    static CONFIG: LazyLock<Config> = LazyLock::new(|| {
        let text = "targets: [{name: a, host: 127.0.0.1, from: a@b.test, to: a@b.test, ping: true, send: {tls: none}, \
                    receive: {protocol: imap, tls: none, username: u, password: pw}}]";
        Config::parse(text, Path::new("fuzz.yml")).unwrap()
    });
    Arc::clone(CONFIG.targets.values().next().unwrap())
}
