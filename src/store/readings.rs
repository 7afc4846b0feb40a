//! The layers below the mail service: their newest readings as rows of the table `layer`, with the
//! failures of their ports. A row that does not make sense is no reading.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, Row, params};

use super::failures::{self, PORT_REASONS};
use super::rows::{from_seconds, to_seconds};
use crate::config::TargetName;
use ledger::{Failures, Reading, Reason};
use mail::Fault;
use mail::text::shown;

/// The names in the table `layer`; what stands before that of a port.
const ROUND: &str = "round";
const PING: &str = "ping";
const PORT: &str = "port.";
const MEASURED: &str = "measured";
const NOT_APPLICABLE: &str = "not_applicable";
const UNMEASURED: &str = "unmeasured";
/// Seconds; no connection takes longer.
const LONGEST: f64 = 1e9;

/// Connections that did not come about, by the name of the port; from 0 at the beginning of the target.
pub type PortFailures = BTreeMap<String, Failures<Reason>>;

/// What is kept of the layers below a target's mail service.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayerRecord {
    /// What has failed; it outlives the process.
    pub port_failures: PortFailures,
    /// When the newest round of checks that is over began.
    pub began: Option<SystemTime>,
    /// The test period by which all this was measured.
    pub interval: Option<Duration>,
    /// The newest ping; `None`: none was made.
    pub ping: Option<KeptReading<PingOutcome>>,
    /// The newest connection to each port, by its name: how long it took to come about, or why it did not.
    pub ports: BTreeMap<String, KeptReading<Result<Duration, Fault>>>,
}

/// A reading with its time.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptReading<T> {
    /// Of what: a host, or `host:port`.
    pub place: String,
    /// When it was taken.
    pub at: SystemTime,
    /// The reading.
    pub reading: Reading<T>,
}

/// What the requests of one ping came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PingOutcome {
    /// Requests attempted: a host without a route is a host that does not answer.
    pub sent: u32,
    /// Those that were answered in time.
    pub received: u32,
    /// The least, mean and greatest round trip of those; `None` if there were none.
    pub round_trips: Option<RoundTrips>,
}

/// Round trips of the requests that were answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundTrips {
    /// The shortest.
    pub min: Duration,
    /// Their mean.
    pub mean: Duration,
    /// The longest.
    pub max: Duration,
}

/// Writes what is new of the layers of a target.
pub(super) fn write(
    connection: &Connection,
    target: &TargetName,
    record: &LayerRecord,
) -> rusqlite::Result<()> {
    for (port, failed) in &record.port_failures {
        failures::write_port(connection, target, port, failed)?;
    }
    // What is known already is not written again.
    let mut upsert = connection.prepare_cached(
        "INSERT INTO layer VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT DO UPDATE SET place = excluded.place, at = excluded.at, state = excluded.state,
           sent = excluded.sent, received = excluded.received, seconds = excluded.seconds,
           least = excluded.least, most = excluded.most, reason = excluded.reason,
           down = excluded.down, words = excluded.words
         WHERE at <> excluded.at OR place <> excluded.place OR seconds IS NOT excluded.seconds",
    )?;
    let mut write = |row: LayerRow| {
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        upsert.execute(params![
            target.as_str(),
            row.name,
            row.place,
            to_seconds(row.at),
            row.state,
            row.sent,
            row.received,
            seconds(row.took),
            seconds(row.least),
            seconds(row.most),
            row.fault.as_ref().map(|fault| fault.reason.label()),
            row.fault.as_ref().map(|fault| fault.down),
            row.fault.as_ref().map(|fault| &fault.message),
        ])
    };
    if let Some(began) = record.began {
        let row = LayerRow::new(ROUND.to_owned(), "", began, MEASURED);
        write(LayerRow { took: record.interval, ..row })?;
    }
    if let Some(ping) = &record.ping {
        write(LayerRow::of_ping(ping))?;
    }
    for (name, port) in &record.ports {
        write(LayerRow::of_port(name, port))?;
    }
    Ok(())
}

/// A row of the table `layer`, but for its target.
struct LayerRow {
    name: String,
    place: String,
    at: SystemTime,
    state: &'static str,
    sent: Option<u32>,
    received: Option<u32>,
    took: Option<Duration>,
    least: Option<Duration>,
    most: Option<Duration>,
    fault: Option<Fault>,
}

impl LayerRow {
    fn new(name: String, place: &str, at: SystemTime, state: &'static str) -> Self {
        let (place, nothing) = (place.to_owned(), None);
        let (sent, received, fault) = (None, None, None);
        Self {
            name,
            place,
            at,
            state,
            sent,
            received,
            took: nothing,
            least: nothing,
            most: nothing,
            fault,
        }
    }

    fn of_ping(ping: &KeptReading<PingOutcome>) -> Self {
        let row = Self::new(PING.to_owned(), &ping.place, ping.at, word(&ping.reading));
        let Reading::Is(outcome) = ping.reading else { return row };
        let trips = outcome.round_trips;
        Self {
            sent: Some(outcome.sent),
            received: Some(outcome.received),
            took: trips.map(|it| it.mean),
            least: trips.map(|it| it.min),
            most: trips.map(|it| it.max),
            ..row
        }
    }

    fn of_port(name: &str, port: &KeptReading<Result<Duration, Fault>>) -> Self {
        let row = Self::new(format!("{PORT}{name}"), &port.place, port.at, word(&port.reading));
        match &port.reading {
            Reading::Is(Ok(took)) => Self { took: Some(*took), ..row },
            Reading::Is(Err(fault)) => Self { fault: Some(fault.clone()), ..row },
            Reading::Unmeasured | Reading::NotApplicable => row,
        }
    }
}

fn word<T>(reading: &Reading<T>) -> &'static str {
    match reading {
        Reading::Is(_) => MEASURED,
        Reading::NotApplicable => NOT_APPLICABLE,
        Reading::Unmeasured => UNMEASURED,
    }
}

/// Reads what is kept of the layers of a target.
pub(crate) fn read(connection: &Connection, target: &TargetName) -> rusqlite::Result<LayerRecord> {
    let port_failures = failures::read_ports(connection, target)?;
    let mut record = LayerRecord { port_failures, ..LayerRecord::default() };
    let mut query = connection.prepare_cached("SELECT * FROM layer WHERE target = ?1")?;
    let mut rows = query.query([target.as_str()])?;
    while let Some(row) = rows.next()? {
        // What cannot be read was not measured.
        let _ = take(&mut record, row);
    }
    Ok(record)
}

fn take(record: &mut LayerRecord, row: &Row<'_>) -> rusqlite::Result<()> {
    let (name, place): (String, String) = (row.get("name")?, row.get("place")?);
    let Some(at) = from_seconds(row.get("at")?) else { return Ok(()) };
    match name.strip_prefix(PORT) {
        _ if name == ROUND => {
            (record.began, record.interval) = (Some(at), duration(row, "seconds")?);
        }
        _ if name == PING => {
            record.ping = Some(KeptReading { place, at, reading: reading(row, ping)? });
        }
        Some(port) => {
            let reading = reading(row, connection_outcome)?;
            record.ports.insert(port.to_owned(), KeptReading { place, at, reading });
        }
        None => {}
    }
    Ok(())
}

fn reading<T>(
    row: &Row<'_>,
    value: impl FnOnce(&Row<'_>) -> rusqlite::Result<Option<T>>,
) -> rusqlite::Result<Reading<T>> {
    let state: String = row.get("state")?;
    Ok(match state.as_str() {
        NOT_APPLICABLE => Reading::NotApplicable,
        MEASURED => value(row)?.map_or(Reading::Unmeasured, Reading::Is),
        _ => Reading::Unmeasured,
    })
}

/// No ping without a request makes a reading.
fn ping(row: &Row<'_>) -> rusqlite::Result<Option<PingOutcome>> {
    let (sent, received): (u32, u32) = (row.get("sent")?, row.get("received")?);
    let (min, mean) = (duration(row, "least")?, duration(row, "seconds")?);
    let trips = min.zip(mean).zip(duration(row, "most")?);
    let round_trips = trips.map(|((min, mean), max)| RoundTrips { min, mean, max });
    Ok((sent > 0 && received <= sent).then_some(PingOutcome { sent, received, round_trips }))
}

fn connection_outcome(row: &Row<'_>) -> rusqlite::Result<Option<Result<Duration, Fault>>> {
    if let Some(took) = duration(row, "seconds")? {
        return Ok(Some(Ok(took)));
    }
    let reason: String = row.get("reason")?;
    let Some(reason) = PORT_REASONS.into_iter().find(|known| known.label() == reason) else {
        return Ok(None);
    };
    let message = shown(row.get::<_, String>("words")?.as_bytes());
    Ok(Some(Err(Fault { down: row.get("down")?, ..Fault::new(reason, message) })))
}

fn duration(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Duration>> {
    let seconds = row.get::<_, Option<f64>>(column)?.filter(|seconds| *seconds <= LONGEST);
    Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::store::Store;
    use ledger::CauseCount;

    const DAY: Duration = Duration::from_secs(86_400);

    async fn loaded(store: &Store, target: &TargetName) -> LayerRecord {
        store.load(vec![(target.clone(), DAY)]).await.remove(target).unwrap_or_default().layers
    }

    fn record() -> LayerRecord {
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(1_790_000_000 + seconds);
        let ms = Duration::from_millis;
        let port = |seconds, reading| {
            let place = "mail.example:25".to_owned();
            KeptReading { place, at: at(seconds), reading }
        };
        let fault = Fault::down(Reason::Refused, "refused: \"no\"");
        let trips = RoundTrips { min: ms(1), mean: ms(2), max: ms(3) };
        LayerRecord {
            port_failures: BTreeMap::new(),
            began: Some(at(0)),
            interval: Some(ms(60_000)),
            ping: Some(KeptReading {
                place: "mail.example".to_owned(),
                at: at(1),
                reading: Reading::Is(PingOutcome {
                    sent: 3,
                    received: 2,
                    round_trips: Some(trips),
                }),
            }),
            ports: BTreeMap::from([
                ("send".to_owned(), port(2, Reading::Is(Ok(ms(7))))),
                ("web".to_owned(), port(3, Reading::Is(Err(fault)))),
                ("round".to_owned(), port(4, Reading::NotApplicable)),
                ("ping".to_owned(), port(5, Reading::Unmeasured)),
            ]),
        }
    }

    #[tokio::test]
    async fn the_newest_readings_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let one = TargetName::new("one").unwrap();
        let mut before = record();
        before.ports.get_mut("send").unwrap().at = UNIX_EPOCH;
        before.interval = None;
        for record in [before, record()] {
            store.record_layers(&one, record, false);
            store.written().await;
        }
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(loaded(&store, &one).await, record());
        assert_eq!(store.errors(), 0);
    }

    #[tokio::test]
    async fn the_failures_come_back_whatever_a_port_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let [one, two] = ["one", "two"].map(|name| TargetName::new(name).unwrap());
        let failures = |index: u64| {
            let last = |more: u64| UNIX_EPOCH + Duration::from_secs(1_790_000_000 + index + more);
            Failures::counted([
                CauseCount { cause: Reason::Refused, count: index, last: last(2) },
                CauseCount { cause: Reason::Dns, count: index + 10, last: last(1) },
            ])
        };
        let ports = (1..).zip(["send", "a", "port.a", "port.", "ping.sent", "é \"b\""]);
        let of = |index, port: &str| (port.to_owned(), failures(index));
        let port_failures: PortFailures = ports.map(|(index, port)| of(index, port)).collect();
        let record = |port_failures| LayerRecord { port_failures, ..LayerRecord::default() };
        store.record_layers(&one, record([of(9, "send")].into()), true);
        store.record_layers(&one, record(port_failures.clone()), true);
        let before = loaded(&store, &one).await.port_failures;
        assert_eq!(before, port_failures, "also before it is written");
        store.written().await;
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(loaded(&store, &one).await.port_failures, port_failures);
        assert_eq!(loaded(&store, &two).await, LayerRecord::default());
        assert_eq!(store.errors(), 0);
    }

    #[tokio::test]
    async fn a_reading_without_sense_is_none_and_costs_no_other() {
        for nonsense in [
            "state = 'good' WHERE name = 'port.send'",
            "seconds = -1 WHERE name = 'port.send'",
            "reason = 'weather' WHERE name = 'port.web'",
            "sent = 0 WHERE name = 'ping'",
            "received = 9 WHERE name = 'ping'",
            "at = 9e99 WHERE name = 'ping'",
            "name = 'weather' WHERE name = 'round'",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path()).unwrap();
            let one = TargetName::new("one").unwrap();
            store.record_layers(&one, record(), false);
            store.written().await;
            let file = Connection::open(folder.path().join("mailtrip.db")).unwrap();
            assert_eq!(file.execute(&format!("UPDATE layer SET {nonsense}"), []).unwrap(), 1);
            let (read, whole) = (loaded(&store, &one).await, record());
            let measured = |record: &LayerRecord| {
                let has_pinged =
                    record.ping.as_ref().is_some_and(|it| matches!(it.reading, Reading::Is(_)));
                let ports = record.ports.values();
                let ports = ports.filter(|it| matches!(it.reading, Reading::Is(_))).count();
                usize::from(record.began.is_some()) + usize::from(has_pinged) + ports
            };
            assert_eq!(measured(&read), measured(&whole) - 1, "{nonsense}: {read:?}");
            assert_eq!(store.errors(), 0);
        }
    }
}
