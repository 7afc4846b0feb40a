//! What is kept, as rows: written as upserts of the newest state, so that a write may be repeated.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};

use super::{FolderKey, FolderRecord, availability, failures, newest};
use crate::clock;
use crate::config::{Secret, TargetName};
use ledger::Token;
use ledger::{
    AccountRecord, Changes, ClockOffset, Histogram, MailRecord, MailState, Purpose, StoredAccount,
    Totals,
};

/// The most that a counter can have counted, and the longest sum of round trips: what is more is no record
/// of ours, and would leave no room for what is still to be counted.
pub(super) const MOST: u64 = 1 << 62;
const LONGEST_SUM: Duration = Duration::from_secs(1 << 50);

/// Writes what has changed of a target.
pub(super) fn write_changes(
    connection: &Connection,
    target: &TargetName,
    changes: &Changes,
) -> rusqlite::Result<()> {
    if let Some(account) = &changes.account {
        write_account(connection, target, account)?;
        write_counters(connection, target, account.clone())?;
        for (side, counters) in account.sides.iter() {
            failures::write_side(connection, target, side, &counters.failures)?;
        }
    }
    if let Some(measured) = &changes.newest {
        newest::write(connection, target, measured)?;
    }
    let mut upsert = connection.prepare_cached(
        "INSERT INTO mail VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT DO UPDATE SET state = excluded.state, late = max(late, excluded.late),
           transmitted = coalesce(excluded.transmitted, transmitted),
           handed_over = coalesce(excluded.handed_over, handed_over),
           accepted = coalesce(excluded.accepted, accepted),
           ended = coalesce(excluded.ended, ended), test = excluded.test",
    )?;
    let mut forget =
        connection.prepare_cached("DELETE FROM mail WHERE target = ?1 AND token = ?2")?;
    for (token, record) in &changes.mails {
        let token = token.to_string();
        match record {
            None => forget.execute((target.as_str(), token))?,
            Some(mail) => upsert.execute((
                target.as_str(),
                token,
                word(mail.state),
                mail.is_late,
                mail.transmitted.map(to_seconds),
                mail.handed_over.map(to_seconds),
                mail.accepted.map(to_seconds),
                mail.ended.map(to_seconds),
                number(mail.purpose),
            ))?,
        };
    }
    Ok(())
}

/// Writes how far a folder has been read.
pub(super) fn write_folder(
    connection: &Connection,
    (mailbox, folder): &FolderKey,
    record: &FolderRecord,
) -> rusqlite::Result<()> {
    let is_word = |id: &&String| !id.is_empty() && !id.contains(char::is_whitespace);
    let to_remove: Vec<&str> =
        record.to_remove.iter().filter(is_word).map(String::as_str).collect();
    let left_overs: Vec<String> = record
        .left_overs
        .iter()
        .filter(|(id, _)| is_word(&id))
        .map(|(id, due)| format!("{id}={:.0}", to_seconds(*due)))
        .collect();
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO folder VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute((
            mailbox,
            folder,
            record.uid_validity,
            record.next_uid,
            record.clock.map(|clock| clock.least),
            record.clock.map(|clock| clock.most),
            record.clock.map(|clock| to_seconds(clock.known_at)),
            record.looked_at.map(to_seconds),
            to_remove.join(" "),
            left_overs.join(" "),
        ))?;
    Ok(())
}

/// Reads a target's account, without the mails that ended before `forgotten`: their rows are
/// deleted.
pub(crate) fn read_account(
    connection: &Connection,
    target: &TargetName,
    forgotten: SystemTime,
) -> rusqlite::Result<StoredAccount> {
    // Only tidying, which must not stand in the way of reading: what is left over the ledger forgets.
    let _ = connection
        .prepare_cached("DELETE FROM mail WHERE target = ?1 AND ended < ?2 AND state != 'sending'")
        .and_then(|mut delete| delete.execute((target.as_str(), to_seconds(forgotten))));
    let mut account = connection
        .prepare_cached("SELECT * FROM target WHERE name = ?1")?
        .query_row([target.as_str()], account)
        .optional()?
        .unwrap_or_default();
    read_counters(connection, target, &mut account)?;
    let failures = failures::read_sides(connection, target)?;
    (account.sides.send.failures, account.sides.receive.failures) =
        (failures.send, failures.receive);
    let mails = connection
        .prepare_cached(
            "SELECT token, state, late, transmitted, handed_over, accepted, ended, test FROM mail
             WHERE target = ?1",
        )?
        .query_map([target.as_str()], mail)?
        .collect::<rusqlite::Result<_>>()?;
    let newest = newest::read(connection, target);
    let availability = availability::read(connection, target);
    Ok(StoredAccount { account, newest, mails, availability })
}

/// Ends the wait for the mails that were under way when an older copy was made: nobody can say what has become of them
/// since, and those that had arrived would be late and lost once more.
pub(super) fn leave_mails_under_way(connection: &Connection) -> rusqlite::Result<()> {
    let statement = "UPDATE mail SET state = 'left', ended = ?1 WHERE state = 'outstanding'";
    connection.execute(statement, [to_seconds(clock::wall())]).map(|_| ())
}

/// Reads the folders of a mailbox.
pub(crate) fn read_folders(
    connection: &Connection,
    mailbox: &str,
) -> rusqlite::Result<BTreeMap<String, FolderRecord>> {
    connection
        .prepare_cached(
            "SELECT folder, uid_validity, next_uid, to_remove, left_overs, clock_offset_least,
               clock_offset_most, clock_known_at, looked_at FROM folder WHERE mailbox = ?1",
        )?
        .query_map([mailbox], folder)?
        .collect()
}

/// Writes the newest refresh token of one origin.
pub(super) fn write_refresh_token(
    connection: &Connection,
    origin: &str,
    token: &Secret,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO refresh_token VALUES (?1, ?2, ?3)")?
        .execute((origin, token.expose(), to_seconds(clock::wall())))?;
    Ok(())
}

/// Reads the newest refresh token of one origin.
pub(crate) fn read_refresh_token(
    connection: &Connection,
    origin: &str,
) -> rusqlite::Result<Option<Secret>> {
    connection
        .prepare_cached("SELECT token FROM refresh_token WHERE origin = ?1")?
        .query_row([origin], |row| row.get(0).map(Secret::new))
        .optional()
}

fn write_account(
    connection: &Connection,
    target: &TargetName,
    account: &AccountRecord,
) -> rusqlite::Result<()> {
    let Totals {
        probes,
        accepted,
        doubtful,
        received,
        late,
        lost,
        bounced,
        returned,
        duplicate,
        left,
        found: [inbox, junk, other],
        checks,
        check_failures,
        looks: _,
        roundtrips_unknown: _,
        checks_skipped: _,
        periods_skipped,
    } = account.totals;
    let counters = [
        probes,
        accepted,
        doubtful,
        received,
        late,
        lost,
        bounced,
        returned,
        duplicate,
        left,
        inbox,
        junk,
        other,
        checks,
        check_failures,
        periods_skipped,
    ];
    let buckets: Vec<String> = account.roundtrips.counts.iter().map(u64::to_string).collect();
    let mut upsert = connection.prepare_cached(
        "INSERT OR REPLACE INTO target VALUES
         (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
          ?20, ?21)",
    )?;
    upsert.raw_bind_parameter(1, target.as_str())?;
    for (column, counter) in (2..).zip(counters) {
        upsert.raw_bind_parameter(column, i64::try_from(counter).unwrap_or(i64::MAX))?;
    }
    upsert.raw_bind_parameter(18, account.roundtrips.sum.as_secs_f64())?;
    upsert.raw_bind_parameter(19, buckets.join(" "))?;
    upsert.raw_bind_parameter(20, account.last_sent.map(to_seconds))?;
    upsert.raw_bind_parameter(21, account.last_roundtrip.map(|it| it.as_secs_f64()))?;
    upsert.raw_execute()?;
    Ok(())
}

fn write_counters(
    connection: &Connection,
    target: &TargetName,
    mut account: AccountRecord,
) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO counter VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
    )?;
    each_counter(&mut account, &mut |name, value| {
        if *value > 0 {
            let value = i64::try_from(*value).unwrap_or(i64::MAX);
            upsert.execute((target.as_str(), name, value))?;
        }
        Ok(())
    })
}

/// The rows of a target in the table `counter`, by their names.
pub(super) fn counters(
    connection: &Connection,
    target: &TargetName,
) -> rusqlite::Result<BTreeMap<String, i64>> {
    connection
        .prepare_cached("SELECT name, value FROM counter WHERE target = ?1")?
        .query_map([target.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn read_counters(
    connection: &Connection,
    target: &TargetName,
    account: &mut AccountRecord,
) -> rusqlite::Result<()> {
    let known = counters(connection, target)?;
    each_counter(account, &mut |name, value| {
        *value = known.get(&name).and_then(|known| u64::try_from(*known).ok()).unwrap_or(0);
        Ok(())
    })
}

/// The counters of the table `counter`, by their names there.
fn each_counter(
    account: &mut AccountRecord,
    visit: &mut dyn FnMut(String, &mut u64) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    visit("looks".into(), &mut account.totals.looks)?;
    visit("roundtrips_unknown".into(), &mut account.totals.roundtrips_unknown)?;
    visit("checks_skipped".into(), &mut account.totals.checks_skipped)?;
    visit("sender_mailbox_failures".into(), &mut account.sender_mailbox_failures)?;
    for (side, counters) in account.sides.iter_mut() {
        visit(format!("{side}.not_applicable"), &mut counters.not_applicable)?;
    }
    Ok(())
}

fn account(row: &Row<'_>) -> rusqlite::Result<AccountRecord> {
    let counter = |column: &str| {
        row.get::<_, i64>(column).map(|value| u64::try_from(value).unwrap_or_default())
    };
    let totals = Totals {
        probes: counter("probes")?,
        accepted: counter("accepted")?,
        doubtful: counter("doubtful")?,
        received: counter("received")?,
        late: counter("late")?,
        lost: counter("lost")?,
        bounced: counter("bounced")?,
        returned: counter("returned")?,
        duplicate: counter("duplicate")?,
        left: counter("left_with_outage")?,
        found: [counter("found_inbox")?, counter("found_junk")?, counter("found_other")?],
        checks: counter("checks")?,
        check_failures: counter("check_failures")?,
        looks: 0,
        roundtrips_unknown: 0,
        checks_skipped: 0,
        periods_skipped: counter("periods_skipped")?,
    };
    let sum = Duration::try_from_secs_f64(row.get("roundtrip_seconds_sum")?).unwrap_or_default();
    // More is added to it.
    let sum = if sum <= LONGEST_SUM { sum } else { Duration::ZERO };
    let mut roundtrips = Histogram { sum, ..Histogram::default() };
    let buckets: String = row.get("roundtrip_buckets")?;
    for (count, text) in roundtrips.counts.iter_mut().zip(buckets.split(' ')) {
        *count = text.parse().ok().filter(|count| *count <= MOST).unwrap_or_default();
    }
    let last_sent = row.get::<_, Option<f64>>("last_sent")?.and_then(from_seconds);
    let last_roundtrip = row.get::<_, Option<f64>>("last_roundtrip")?;
    let last_roundtrip = last_roundtrip.and_then(|it| Duration::try_from_secs_f64(it).ok());
    Ok(AccountRecord { totals, roundtrips, last_roundtrip, last_sent, ..AccountRecord::default() })
}

fn mail(row: &Row<'_>) -> rusqlite::Result<(Token, MailRecord)> {
    let token: String = row.get(0)?;
    let written: String = row.get(1)?;
    let time = |column: usize| {
        row.get::<_, Option<f64>>(column).map(|seconds| seconds.and_then(from_seconds))
    };
    let record = MailRecord {
        state: state(&written).ok_or_else(|| invalid(1, "the state of a mail"))?,
        purpose: purpose(row.get(7)?).ok_or_else(|| invalid(7, "what a mail was sent for"))?,
        is_late: row.get(2)?,
        transmitted: time(3)?,
        handed_over: time(4)?,
        accepted: time(5)?,
        ended: time(6)?,
    };
    Ok((token.parse().map_err(|_| invalid(0, "a token"))?, record))
}

fn folder(row: &Row<'_>) -> rusqlite::Result<(String, FolderRecord)> {
    let to_remove: String = row.get(3)?;
    let left_overs: String = row.get(4)?;
    let left_over = |word: &str| {
        let (id, due) = word.rsplit_once('=')?;
        Some((id.to_owned(), from_seconds(due.parse().ok()?)?))
    };
    let record = FolderRecord {
        uid_validity: row.get(1)?,
        next_uid: row.get(2)?,
        clock: clock(row)?,
        looked_at: row.get::<_, Option<f64>>(8)?.and_then(from_seconds),
        to_remove: to_remove.split_whitespace().map(str::to_owned).collect(),
        left_overs: left_overs.split_whitespace().filter_map(left_over).collect(),
    };
    Ok((row.get(0)?, record))
}

fn clock(row: &Row<'_>) -> rusqlite::Result<Option<ClockOffset>> {
    let number = |column: usize| row.get::<_, Option<f64>>(column);
    let (least, most, known_at) = (number(5)?, number(6)?, number(7)?);
    Ok(least
        .zip(most)
        .zip(known_at.and_then(from_seconds))
        .map(|((least, most), known_at)| ClockOffset { least, most, known_at }))
}

/// How the state of a mail stands in its row. That one has returned is known to the counters only.
fn word(state: MailState) -> &'static str {
    match state {
        MailState::Returned => MailState::Received.label(),
        state => state.label(),
    }
}

/// The state of a mail by the word in its row. One that was refused has no row.
fn state(written: &str) -> Option<MailState> {
    let is_written = |state: &MailState| *state != MailState::Refused && word(*state) == written;
    MailState::ALL.into_iter().find(is_written)
}

/// What a mail was sent for, as it stands in its row.
fn number(purpose: Purpose) -> u8 {
    match purpose {
        Purpose::Delivery => 0,
        Purpose::Test => 1,
        Purpose::FormerTest => 2,
    }
}

fn purpose(written: u8) -> Option<Purpose> {
    let all = [Purpose::Delivery, Purpose::Test, Purpose::FormerTest];
    all.into_iter().find(|purpose| number(*purpose) == written)
}

fn invalid(column: usize, what: &str) -> rusqlite::Error {
    let problem = format!("the row does not hold {what}");
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, problem.into())
}

/// Seconds since 1970, exact to a microsecond.
pub(super) fn to_seconds(time: SystemTime) -> f64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

pub(super) fn from_seconds(seconds: f64) -> Option<SystemTime> {
    let distance = Duration::try_from_secs_f64(seconds.abs()).ok()?;
    if seconds < 0.0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) }
}
