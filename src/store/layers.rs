//! The layers below the mail service: their counters as rows of the table `counter`, their newest readings
//! as rows of the table `layer`. A row that does not make sense is no reading.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, Row, params};

use super::rows::{from_seconds, to_seconds};
use crate::config::TargetName;
use ledger::{Reading, Reason};
use mail::Fault;
use mail::text::shown;

const PING_SENT: &str = "ping.sent";
const PING_RECEIVED: &str = "ping.received";
/// What stands before the name of a port, and between it and the reason. A reason holds no dot, so the
/// last of these ends the name, whatever is in it.
const PORT: &str = "port.";
const FAILURES: &str = ".failures.";
/// The names in the table `layer` beside those of the ports.
const ROUND: &str = "round";
const PING: &str = "ping";
const MEASURED: &str = "measured";
const NOT_APPLICABLE: &str = "not_applicable";
const UNMEASURED: &str = "unmeasured";
/// Seconds; no connection takes longer.
const LONGEST: f64 = 1e9;

/// Why a port does not answer, the values of the label `reason`.
pub const PORT_REASONS: [Reason; 5] =
    [Reason::Dns, Reason::Refused, Reason::Unreachable, Reason::Timeout, Reason::Other];

/// The counters of the layers below a target's mail service, from 0 at its beginning. They outlive the
/// process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LayerCounters {
    /// ICMP echo requests sent.
    pub ping_sent: u64,
    /// Replies to them that came in time.
    pub ping_received: u64,
    /// Connections that did not come about, by the name of the port and by reason, in the order of
    /// [`PORT_REASONS`].
    pub port_failures: BTreeMap<String, [u64; PORT_REASONS.len()]>,
}

/// What is kept of the layers below a target's mail service.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayerRecord {
    /// The counters.
    pub counters: LayerCounters,
    /// When the newest round of checks that is over began.
    pub began: Option<SystemTime>,
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
    write_counters(connection, target, &record.counters)?;
    // What is known already is not written again.
    let mut upsert = connection.prepare_cached(
        "INSERT INTO layer VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT DO UPDATE SET place = excluded.place, at = excluded.at, state = excluded.state,
           sent = excluded.sent, received = excluded.received, seconds = excluded.seconds,
           least = excluded.least, most = excluded.most, reason = excluded.reason,
           down = excluded.down, words = excluded.words
         WHERE at <> excluded.at OR place <> excluded.place",
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
        write(LayerRow::new(ROUND.to_owned(), "", began, MEASURED))?;
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
/// Writes the newest counters of a target.
fn write_counters(
    connection: &Connection,
    target: &TargetName,
    counters: &LayerCounters,
) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO counter VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
    )?;
    for (name, value) in rows(counters) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        upsert.execute((target.as_str(), name, value))?;
    }
    Ok(())
}

/// Reads what is kept of the layers of a target.
pub(crate) fn read(connection: &Connection, target: &TargetName) -> rusqlite::Result<LayerRecord> {
    let counters = read_counters(connection, target)?;
    let mut record = LayerRecord { counters, ..LayerRecord::default() };
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
        _ if name == ROUND => record.began = Some(at),
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

fn read_counters(connection: &Connection, target: &TargetName) -> rusqlite::Result<LayerCounters> {
    let mut counters = LayerCounters::default();
    for (name, value) in super::rows::counters(connection, target)? {
        if let Some(counter) = counter(&mut counters, &name) {
            *counter = u64::try_from(value).unwrap_or(0);
        }
    }
    Ok(counters)
}

/// Every counter that has counted something, by its name in the table.
fn rows(counters: &LayerCounters) -> impl Iterator<Item = (String, u64)> {
    let pings = [(PING_SENT, counters.ping_sent), (PING_RECEIVED, counters.ping_received)];
    let pings = pings.into_iter().map(|(name, count)| (name.to_owned(), count));
    let ports = counters.port_failures.iter().flat_map(|(port, failures)| {
        let reasons = PORT_REASONS.into_iter().zip(*failures);
        reasons.map(move |(reason, count)| (format!("{PORT}{port}{FAILURES}{reason}"), count))
    });
    pings.chain(ports).filter(|(_, count)| *count > 0)
}

/// The counter of this name; `None` if it is not one of the layers, or of a reason that there no longer is.
fn counter<'a>(counters: &'a mut LayerCounters, name: &str) -> Option<&'a mut u64> {
    match name {
        PING_SENT => return Some(&mut counters.ping_sent),
        PING_RECEIVED => return Some(&mut counters.ping_received),
        _ => {}
    }
    let (port, reason) = name.strip_prefix(PORT)?.rsplit_once(FAILURES)?;
    let index = PORT_REASONS.iter().position(|known| known.label() == reason)?;
    counters.port_failures.entry(port.to_owned()).or_default().get_mut(index)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::store::Store;

    const DAY: Duration = Duration::from_secs(86_400);

    async fn loaded(store: &Store, target: &TargetName) -> LayerRecord {
        store.load(vec![(target.clone(), DAY)]).await.remove(target).unwrap().layers
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
            counters: LayerCounters { ping_sent: 3, ..LayerCounters::default() },
            began: Some(at(0)),
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
        for record in [before, record()] {
            store.record_layers(&one, record, false);
            store.committed().await;
        }
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(loaded(&store, &one).await, record());
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
            store.committed().await;
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

    #[tokio::test]
    async fn the_counters_of_the_layers_come_back_whatever_a_port_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let ports =
            ["send", "a", "a.failures.dns", "ping.sent", ".failures.", "a.failures.refused"];
        let failures = |index: u64| [index, 0, index + 10, index + 20, index + 30];
        let port_failures =
            (1..).zip(ports).map(|(index, port)| (port.to_owned(), failures(index)));
        let counters = LayerCounters {
            ping_sent: 7,
            ping_received: 5,
            port_failures: port_failures.collect(),
        };
        let [one, two] = ["one", "two"].map(|name| TargetName::new(name).unwrap());
        let record = |counters: LayerCounters| LayerRecord { counters, ..LayerRecord::default() };
        let before = LayerCounters { ping_sent: 6, ..LayerCounters::default() };
        store.record_layers(&one, record(before), true);
        store.record_layers(&one, record(counters.clone()), true);
        let read = loaded(&store, &one).await;
        assert_eq!(read.counters, counters, "also before it is written");
        store.committed().await;
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(loaded(&store, &one).await.counters, counters);
        assert_eq!(loaded(&store, &two).await, LayerRecord::default());
        assert_eq!(store.errors(), 0);
    }
}
