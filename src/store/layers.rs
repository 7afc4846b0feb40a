//! The counters of the layers below the mail service, as rows of the tables `counter` and `failure`.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};

use super::failures;
use crate::config::TargetName;
use ledger::{Failures, Reason};

const PING_SENT: &str = "ping.sent";
const PING_RECEIVED: &str = "ping.received";

/// The counters of the layers below a target's mail service, from 0 at its beginning. They outlive the
/// process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LayerCounters {
    /// ICMP echo requests sent.
    pub ping_sent: u64,
    /// Replies to them that came in time.
    pub ping_received: u64,
    /// Connections that did not come about, by the name of the port.
    pub port_failures: BTreeMap<String, Failures<Reason>>,
}

/// Writes the newest counters of a target.
pub(super) fn write(
    connection: &Connection,
    target: &TargetName,
    counters: &LayerCounters,
) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO counter VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
    )?;
    let pings = [(PING_SENT, counters.ping_sent), (PING_RECEIVED, counters.ping_received)];
    for (name, value) in pings.into_iter().filter(|(_, value)| *value > 0) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        upsert.execute((target.as_str(), name, value))?;
    }
    for (port, failed) in &counters.port_failures {
        failures::write_port(connection, target, port, failed)?;
    }
    Ok(())
}

/// Reads the counters of a target.
pub(super) fn read(
    connection: &Connection,
    target: &TargetName,
) -> rusqlite::Result<LayerCounters> {
    let mut query =
        connection.prepare_cached("SELECT value FROM counter WHERE target = ?1 AND name = ?2")?;
    let mut counter = |name: &str| -> rusqlite::Result<u64> {
        let value = query.query_row((target.as_str(), name), |row| row.get::<_, i64>(0));
        Ok(value.optional()?.and_then(|value| u64::try_from(value).ok()).unwrap_or(0))
    };
    Ok(LayerCounters {
        ping_sent: counter(PING_SENT)?,
        ping_received: counter(PING_RECEIVED)?,
        port_failures: failures::read_ports(connection, target)?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::LayerCounters;
    use crate::config::TargetName;
    use crate::store::{LayerRecord, Store};
    use ledger::{CauseCount, Failures, Reason};

    #[tokio::test]
    async fn the_counters_of_the_layers_come_back_whatever_a_port_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let ports = ["send", "a", "port.a", "port.", "ping.sent", "é \"b\""];
        let failures = |index: u64| {
            let last = |more: u64| UNIX_EPOCH + Duration::from_secs(1_790_000_000 + index + more);
            Failures::counted([
                CauseCount { cause: Reason::Refused, count: index, last: last(2) },
                CauseCount { cause: Reason::Dns, count: index + 10, last: last(1) },
            ])
        };
        let port_failures =
            (1..).zip(ports).map(|(index, port)| (port.to_owned(), failures(index)));
        let counters = LayerCounters {
            ping_sent: 7,
            ping_received: 5,
            port_failures: port_failures.collect(),
        };
        let [one, two] = ["one", "two"].map(|name| TargetName::new(name).unwrap());
        let load = async |store: &Store| {
            let targets = [&one, &two].map(|name| (name.clone(), Duration::ZERO));
            let stored = store.load(targets.into()).await;
            [&one, &two].map(|name| stored[name].layers.counters.clone())
        };
        let record = |counters: LayerCounters| LayerRecord { counters, ..LayerRecord::default() };
        let before = LayerCounters { ping_sent: 6, ..LayerCounters::default() };
        store.record_layers(&one, record(before), true);
        store.record_layers(&one, record(counters.clone()), true);
        assert_eq!(load(&store).await[0], counters, "also before it is written");
        store.committed().await;
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(load(&store).await, [counters, LayerCounters::default()]);
        assert_eq!(store.errors(), 0);
    }
}
