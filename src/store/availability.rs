//! How each target was over the latest hours and days, and its outages. A row that does not make sense is
//! left out; the bytes check themselves where they are read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};
use tokio::time::Instant;

use super::change::Change;
use super::rows::{from_seconds, to_seconds};
use super::schema;
use crate::clock;
use crate::config::TargetName;
use ledger::{
    AvailabilityChanges, KeptAvailability, Outage, Outages, PerSide, PerSpan, Reason, Side, Span,
    Step,
};
use mail::text::shown;

/// More bytes of hours or days are no record of ours.
const MOST_BYTES: usize = 64 * 1024;
/// How often it is looked for targets that are gone for long,
const FADE_EVERY: Duration = Duration::from_secs(86_400);
/// and when the process has run how long for the first time: a clock that was far ahead at its start is set
/// by then, and the rows of the targets there are have been written again.
const FADE_FIRST: Duration = Duration::from_secs(6 * 3600);

/// When it is next looked for targets that are gone for long.
pub(super) struct Fading(Instant);

impl Default for Fading {
    fn default() -> Self {
        Self(Instant::now() + FADE_FIRST)
    }
}

/// Writes what is new of the targets, in a transaction of its own; how many commits there were by then.
pub(super) fn write_all(
    connection: &Connection,
    availabilities: &BTreeMap<TargetName, AvailabilityChanges>,
    fading: &mut Fading,
) -> rusqlite::Result<u64> {
    let change = Change::begin(connection)?;
    for (target, changes) in availabilities {
        write(connection, target, changes)?;
    }
    fading.tidy(connection);
    let commits = schema::count_commit(connection)?;
    change.commit()?;
    Ok(commits)
}

/// Writes what is new of a target.
pub(crate) fn write(
    connection: &Connection,
    target: &TargetName,
    changes: &AvailabilityChanges,
) -> rusqlite::Result<()> {
    let name = target.as_str();
    if let Some(PerSpan { hours, days }) = &changes.present {
        connection
            .prepare_cached("INSERT OR REPLACE INTO availability_now VALUES (?1, ?2, ?3, ?4)")?
            .execute((name, to_seconds(clock::wall()), &**hours, &**days))?;
    }
    if let Some(PerSpan { hours, days }) = &changes.before {
        connection
            .prepare_cached("INSERT OR REPLACE INTO availability VALUES (?1, ?2, ?3)")?
            .execute((name, &**hours, &**days))?;
    }
    let Some(outages) = &changes.outages else { return Ok(()) };
    connection.prepare_cached("DELETE FROM outage WHERE target = ?1")?.execute([name])?;
    let mut insert = connection
        .prepare_cached("INSERT OR REPLACE INTO outage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    for (side, outages) in outages.iter() {
        for Outage { began, ended, step, reason, words } in outages {
            let (began, ended) = (to_seconds(*began), ended.map(to_seconds));
            let cause = (step.label(), reason.label());
            insert.execute((name, side.label(), began, ended, cause.0, cause.1, &**words))?;
        }
    }
    Ok(())
}

/// Reads what is kept of a target; nothing of what cannot be read.
pub(crate) fn read(connection: &Connection, target: &TargetName) -> KeptAvailability {
    let spans = |query: &str| {
        let row = connection.prepare_cached(query).and_then(|mut query| {
            query
                .query_row([target.as_str()], |row| Ok((bytes(row, 0)?, bytes(row, 1)?)))
                .optional()
        });
        let (hours, days) = row.ok().flatten().unwrap_or_default();
        PerSpan { hours, days }
    };
    let written = "SELECT written FROM availability_now WHERE target = ?1";
    let written = connection
        .prepare_cached(written)
        .and_then(|mut it| it.query_row([target.as_str()], |row| row.get(0)));
    KeptAvailability {
        written: written.ok().and_then(from_seconds),
        present: spans("SELECT hour, day FROM availability_now WHERE target = ?1"),
        before: spans("SELECT hours, days FROM availability WHERE target = ?1"),
        outages: PerSide {
            send: outages(connection, target, Side::Send).unwrap_or_default(),
            receive: outages(connection, target, Side::Receive).unwrap_or_default(),
        },
    }
}

impl Fading {
    /// Deletes what is kept of targets of which nothing was written for as long as days are kept. Only
    /// tidying, which must not stand in the way of writing: it is tried again another day.
    pub(super) fn tidy(&mut self, connection: &Connection) {
        let now = Instant::now();
        if self.0 <= now {
            self.0 = now + FADE_EVERY;
            let _ = fade(connection);
        }
    }
}

/// The tidying itself.
pub(super) fn fade(connection: &Connection) -> rusqlite::Result<()> {
    let kept = Span::Day.width() * u32::try_from(Span::Day.length()).unwrap_or(u32::MAX);
    let fades = clock::wall().checked_sub(kept).unwrap_or(SystemTime::UNIX_EPOCH);
    connection.execute("DELETE FROM availability_now WHERE written < ?1", [to_seconds(fades)])?;
    for table in ["availability", "outage"] {
        let of_none = format!(
            "DELETE FROM {table} WHERE target NOT IN (SELECT target FROM availability_now)"
        );
        connection.execute(&of_none, [])?;
    }
    Ok(())
}

fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Arc<[u8]>> {
    let bytes = row.get_ref(column)?.as_blob()?;
    Ok(bytes.get(..MOST_BYTES).unwrap_or(bytes).into())
}

fn outages(
    connection: &Connection,
    target: &TargetName,
    side: Side,
) -> rusqlite::Result<Vec<Outage>> {
    let newest = i64::try_from(Outages::MOST).unwrap_or(i64::MAX);
    let mut query = connection.prepare_cached(
        "SELECT began, ended, step, reason, words FROM outage WHERE target = ?1 AND side = ?2
         ORDER BY began DESC LIMIT ?3",
    )?;
    let rows = query.query_map((target.as_str(), side.label(), newest), |row| outage(row, side))?;
    let mut outages: Vec<Outage> = rows.filter_map(Result::ok).collect();
    outages.reverse();
    Ok(outages)
}

fn outage(row: &Row<'_>, side: Side) -> rusqlite::Result<Outage> {
    let (step, reason): (String, String) = (row.get(2)?, row.get(3)?);
    let step = Step::of(side).iter().find(|known| known.label() == step);
    let reason = Reason::of(side).iter().find(|known| known.label() == reason);
    Ok(Outage {
        began: from_seconds(row.get(0)?).ok_or_else(|| invalid(0))?,
        ended: row.get::<_, Option<f64>>(1)?.and_then(from_seconds),
        step: *step.ok_or_else(|| invalid(2))?,
        reason: *reason.ok_or_else(|| invalid(3))?,
        words: shown(row.get::<_, String>(4)?.as_bytes()).into(),
    })
}

fn invalid(column: usize) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, "no outage of ours".into())
}
