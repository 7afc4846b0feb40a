//! How often the sides and the TCP ports of a target have failed, and of what, as rows of the table
//! `failure`. A row that does not make sense is left out.

use std::collections::BTreeMap;
use std::time::SystemTime;

use rusqlite::Connection;

use super::rows::{MOST, from_seconds, to_seconds};
use crate::config::TargetName;
use ledger::{Cause, CauseCount, Failures, PerSide, Reason, Side, Step};

/// What stands before the name of a port in the column `place`.
const PORT: &str = "port.";
/// The step of a port: it has none.
const NO_STEP: &str = "";

/// Why a port does not answer, the values of the label `reason`.
pub const PORT_REASONS: [Reason; 5] =
    [Reason::Dns, Reason::Refused, Reason::Unreachable, Reason::Timeout, Reason::Other];

/// Writes what has failed on one side.
pub(super) fn write_side(
    connection: &Connection,
    target: &TargetName,
    side: Side,
    failures: &Failures<Cause>,
) -> rusqlite::Result<()> {
    for CauseCount { cause: (step, reason), count, last } in failures.iter() {
        write(connection, target, (side.label(), step.label(), *reason), *count, *last)?;
    }
    Ok(())
}

/// Writes how often a port did not answer.
pub(super) fn write_port(
    connection: &Connection,
    target: &TargetName,
    port: &str,
    failures: &Failures<Reason>,
) -> rusqlite::Result<()> {
    let place = format!("{PORT}{port}");
    for CauseCount { cause, count, last } in failures.iter() {
        write(connection, target, (&place, NO_STEP, *cause), *count, *last)?;
    }
    Ok(())
}

/// Reads what has failed on each side.
pub(super) fn read_sides(
    connection: &Connection,
    target: &TargetName,
) -> rusqlite::Result<PerSide<Failures<Cause>>> {
    let rows = read(connection, target)?;
    let of = |side: Side| {
        let rows = rows.iter().filter(|row| row.place == side.label());
        Failures::counted(rows.filter_map(|row| {
            let step = Step::of(side).iter().find(|step| step.label() == row.step)?;
            row.counted((*step, row.reason(Reason::of(side))?))
        }))
    };
    Ok(PerSide { send: of(Side::Send), receive: of(Side::Receive) })
}

/// Reads how often each port did not answer, by its name.
pub(super) fn read_ports(
    connection: &Connection,
    target: &TargetName,
) -> rusqlite::Result<BTreeMap<String, Failures<Reason>>> {
    let mut ports = BTreeMap::<String, Vec<CauseCount<Reason>>>::new();
    for row in read(connection, target)? {
        let count = row.reason(&PORT_REASONS).and_then(|reason| row.counted(reason));
        if let (Some(port), Some(count)) = (row.place.strip_prefix(PORT), count) {
            ports.entry(port.to_owned()).or_default().push(count);
        }
    }
    Ok(ports.into_iter().map(|(port, counts)| (port, Failures::counted(counts))).collect())
}

/// A row of the table.
struct FailureRow {
    place: String,
    step: String,
    reason: String,
    count: i64,
    newest: f64,
}

impl FailureRow {
    fn reason(&self, known: &[Reason]) -> Option<Reason> {
        known.iter().copied().find(|reason| reason.label() == self.reason)
    }

    fn counted<C>(&self, cause: C) -> Option<CauseCount<C>> {
        let count = u64::try_from(self.count).ok().filter(|count| (1..=MOST).contains(count))?;
        Some(CauseCount { cause, count, last: from_seconds(self.newest)? })
    }
}

fn write(
    connection: &Connection,
    target: &TargetName,
    (place, step, reason): (&str, &str, Reason),
    count: u64,
    last: SystemTime,
) -> rusqlite::Result<()> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "INSERT INTO failure VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET count = excluded.count, newest = excluded.newest
             WHERE count <> excluded.count OR newest <> excluded.newest",
        )?
        .execute((target.as_str(), place, step, reason.label(), count, to_seconds(last)))?;
    Ok(())
}

fn read(connection: &Connection, target: &TargetName) -> rusqlite::Result<Vec<FailureRow>> {
    connection
        .prepare_cached("SELECT place, step, reason, count, newest FROM failure WHERE target = ?1")?
        .query_map([target.as_str()], |row| {
            Ok(FailureRow {
                place: row.get(0)?,
                step: row.get(1)?,
                reason: row.get(2)?,
                count: row.get(3)?,
                newest: row.get(4)?,
            })
        })?
        .collect()
}
