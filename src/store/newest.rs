//! The newest measurements of the targets, as rows of the table `newest`. A row that does not make sense
//! is no measurement, and no reason to lose the account beside it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension, Row};

use super::rows::{from_seconds, to_seconds};
use crate::config::TargetName;
use ledger::{Measured, Newest, PerSide, Period, Reading};

/// The columns, in the order in which they are bound.
const COLUMNS: [&str; 22] = [
    "target",
    "interval",
    "send_server",
    "send_state",
    "send_ability",
    "send_up",
    "send_failures",
    "send_attempt",
    "send_success",
    "receive_server",
    "receive_state",
    "receive_ability",
    "receive_up",
    "receive_failures",
    "receive_attempt",
    "receive_success",
    "period_began",
    "period_received",
    "period_seconds",
    "before_received",
    "before_seconds",
    "arrival_unknown",
];
const MEASURED: &str = "measured";
const NOT_APPLICABLE: &str = "not_applicable";
const OUTLIVED: &str = "outlived";
const UNMEASURED: &str = "unmeasured";
/// Stands for failures that do not count: passive and down.
const UNCOUNTED: i64 = -1;
/// More of a period is no record of ours, and would leave no room for the next mail.
const MOST_RECEIVED: u32 = 1 << 30;
const LONGEST_SUM: f64 = 1e12;

/// Writes the newest measurements of a target.
pub(super) fn write(
    connection: &Connection,
    target: &TargetName,
    newest: &Newest,
) -> rusqlite::Result<()> {
    let places: Vec<String> = (1..=COLUMNS.len()).map(|place| format!("?{place}")).collect();
    let (columns, places) = (COLUMNS.join(", "), places.join(", "));
    let mut upsert = connection
        .prepare_cached(&format!("INSERT OR REPLACE INTO newest ({columns}) VALUES ({places})"))?;
    upsert.raw_bind_parameter(1, target.as_str())?;
    upsert.raw_bind_parameter(2, newest.interval.as_secs_f64())?;
    for (first, measured) in [(3, &newest.sides.send), (10, &newest.sides.receive)] {
        upsert.raw_bind_parameter(first, &*measured.server)?;
        upsert.raw_bind_parameter(first + 1, state(measured))?;
        upsert.raw_bind_parameter(first + 2, measured.ability.value())?;
        upsert.raw_bind_parameter(first + 3, measured.up)?;
        upsert.raw_bind_parameter(first + 4, failures(measured.consecutive_failures))?;
        upsert.raw_bind_parameter(first + 5, measured.last_attempt.map(to_seconds))?;
        upsert.raw_bind_parameter(first + 6, measured.last_success.map(to_seconds))?;
    }
    upsert.raw_bind_parameter(17, newest.period_began.map(to_seconds))?;
    for (first, period) in [(18, &newest.period), (20, &newest.previous_period)] {
        upsert.raw_bind_parameter(first, period.received)?;
        upsert.raw_bind_parameter(first + 1, period.sum.as_secs_f64())?;
    }
    let unknown = [newest.period, newest.previous_period].map(|period| period.has_unknown);
    upsert.raw_bind_parameter(22, i64::from(unknown[0]) + 2 * i64::from(unknown[1]))?;
    upsert.raw_execute()?;
    Ok(())
}

/// Reads the newest measurements of a target; nothing of a row that cannot be read.
pub(crate) fn read(connection: &Connection, target: &TargetName) -> Newest {
    let columns = COLUMNS.join(", ");
    let row = connection
        .prepare_cached(&format!("SELECT {columns} FROM newest WHERE target = ?1"))
        .and_then(|mut query| query.query_row([target.as_str()], newest).optional());
    row.ok().flatten().unwrap_or_default()
}

fn newest(row: &Row<'_>) -> rusqlite::Result<Newest> {
    let (mut period, mut previous_period) = (period(row, "period")?, period(row, "before")?);
    let unknown: i64 = row.get("arrival_unknown")?;
    (period.has_unknown, previous_period.has_unknown) = (unknown & 1 != 0, unknown & 2 != 0);
    Ok(Newest {
        interval: Duration::try_from_secs_f64(row.get("interval")?).unwrap_or_default(),
        sides: PerSide { send: measured(row, "send")?, receive: measured(row, "receive")? },
        period_began: date(row, "period_began")?,
        period,
        previous_period,
    })
}

fn measured(row: &Row<'_>, side: &str) -> rusqlite::Result<Measured> {
    let column = |name: &str| format!("{side}_{name}");
    let server: String = row.get(&*column("server"))?;
    let state: String = row.get(&*column("state"))?;
    let ability: Option<f64> = row.get(&*column("ability"))?;
    let failures: Option<i64> = row.get(&*column("failures"))?;
    let ability = match (state.as_str(), ability.filter(|share| (0.0..=1.0).contains(share))) {
        (NOT_APPLICABLE, _) => Reading::NotApplicable,
        (MEASURED, Some(share)) => Reading::Is(share),
        _ => Reading::Unmeasured,
    };
    let consecutive_failures = match failures.map(|count| (count, u32::try_from(count))) {
        Some((UNCOUNTED, _)) => Reading::NotApplicable,
        Some((_, Ok(count))) => Reading::Is(count),
        _ => Reading::Unmeasured,
    };
    Ok(Measured {
        server: Arc::from(server),
        ability,
        is_outlived: state == OUTLIVED,
        up: row.get(&*column("up"))?,
        consecutive_failures,
        last_attempt: date(row, &column("attempt"))?,
        last_success: date(row, &column("success"))?,
    })
}

fn period(row: &Row<'_>, name: &str) -> rusqlite::Result<Period> {
    let received: u32 = row.get(&*format!("{name}_received"))?;
    let seconds: f64 = row.get(&*format!("{name}_seconds"))?;
    if received > MOST_RECEIVED || !(0.0..=LONGEST_SUM).contains(&seconds) {
        return Ok(Period::default());
    }
    let sum = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Ok(Period { received, sum, has_unknown: false })
}

fn date(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<SystemTime>> {
    row.get::<_, Option<f64>>(column).map(|seconds| seconds.and_then(from_seconds))
}

fn state(measured: &Measured) -> &'static str {
    match measured.ability {
        Reading::Is(_) => MEASURED,
        Reading::NotApplicable => NOT_APPLICABLE,
        Reading::Unmeasured if measured.is_outlived => OUTLIVED,
        Reading::Unmeasured => UNMEASURED,
    }
}

fn failures(reading: Reading<u32>) -> Option<i64> {
    match reading {
        Reading::Is(count) => Some(i64::from(count)),
        Reading::NotApplicable => Some(UNCOUNTED),
        Reading::Unmeasured => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::store::Store;
    use ledger::Changes;

    const DAY: Duration = Duration::from_secs(86_400);

    fn name() -> TargetName {
        TargetName::new("one").unwrap()
    }

    fn all() -> Newest {
        // Times that a microsecond does not change.
        let at = |seconds: u64| Some(UNIX_EPOCH + Duration::from_secs(1_790_000_000 + seconds));
        Newest {
            interval: Duration::from_millis(1500),
            sides: PerSide {
                send: Measured {
                    server: "smtp://u@mail.example:25".into(),
                    ability: Reading::Is(0.25),
                    is_outlived: false,
                    up: Some(true),
                    consecutive_failures: Reading::Is(3),
                    last_attempt: at(1),
                    last_success: at(2),
                },
                receive: Measured {
                    server: "imap://v@mail.example:143".into(),
                    ability: Reading::NotApplicable,
                    is_outlived: false,
                    up: Some(false),
                    consecutive_failures: Reading::NotApplicable,
                    last_attempt: at(3),
                    last_success: None,
                },
            },
            period_began: at(4),
            period: Period { received: 2, sum: Duration::from_millis(2500), has_unknown: true },
            previous_period: Period {
                received: 1,
                sum: Duration::from_millis(500),
                has_unknown: false,
            },
        }
    }

    async fn loaded(store: &Store) -> Newest {
        store.load(vec![(name(), DAY)]).await.remove(&name()).unwrap().newest
    }

    #[tokio::test]
    async fn the_newest_measurements_come_back_as_they_were() {
        let mut outlived = all();
        (outlived.sides.send.ability, outlived.sides.send.is_outlived) =
            (Reading::Unmeasured, true);
        outlived.sides.receive = Measured::default();
        (outlived.period.has_unknown, outlived.previous_period.has_unknown) = (false, true);
        for newest in [Newest::default(), all(), outlived] {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path()).unwrap();
            for newest in [Newest::default(), newest.clone()] {
                store.record(&name(), Changes { newest: Some(newest), ..Changes::default() });
            }
            assert_eq!(loaded(&store).await, newest, "also before it is written");
            drop(store);
            let store = Store::open(folder.path()).unwrap();
            assert_eq!(loaded(&store).await, newest);
            assert_eq!(store.errors(), 0);
        }
    }

    #[tokio::test]
    async fn a_row_without_sense_is_no_measurement() {
        for nonsense in [
            "send_ability = 1.5",
            "send_ability = NULL",
            "send_state = 'unknown'",
            "interval = -1",
            "period_received = -1",
            "send_up = 7, send_failures = -7, period_seconds = 9e99",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path()).unwrap();
            store.record(&name(), Changes { newest: Some(all()), ..Changes::default() });
            store.committed().await;
            let file = rusqlite::Connection::open(folder.path().join("mailtrip.db")).unwrap();
            file.execute(&format!("UPDATE newest SET {nonsense}"), []).unwrap();
            let newest = loaded(&store).await;
            assert_ne!(newest, all(), "{nonsense}");
            let has_ability = newest.sides.send.ability.value().is_some();
            assert_eq!(
                has_ability,
                !nonsense.contains("_state")
                    && !nonsense.contains("ability")
                    && !nonsense.contains("period_received"),
                "{nonsense}"
            );
            assert_eq!(store.errors(), 0);
        }
    }
}
