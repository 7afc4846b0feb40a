//! The counters of the layers below the mail service, as rows of the table `counter`.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::config::TargetName;
use ledger::Reason;

const PING_SENT: &str = "ping.sent";
const PING_RECEIVED: &str = "ping.received";
/// What stands before the name of a port, and between it and the reason. A reason holds no dot, so the
/// last of these ends the name, whatever is in it.
const PORT: &str = "port.";
const FAILURES: &str = ".failures.";

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
    for (name, value) in rows(counters) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        upsert.execute((target.as_str(), name, value))?;
    }
    Ok(())
}

/// Reads the counters of a target.
pub(crate) fn read(
    connection: &Connection,
    target: &TargetName,
) -> rusqlite::Result<LayerCounters> {
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
    use super::LayerCounters;
    use crate::config::TargetName;
    use crate::store::Store;

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
        let load = async |store: &Store| store.load_layers(vec![one.clone(), two.clone()]).await;
        store.record_layers(&one, LayerCounters { ping_sent: 6, ..LayerCounters::default() });
        store.record_layers(&one, counters.clone());
        assert_eq!(load(&store).await[&one], counters, "also before it is written");
        store.committed().await;
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        let loaded = load(&store).await;
        assert_eq!(loaded[&one], counters);
        assert_eq!(loaded[&two], LayerCounters::default());
        assert_eq!(store.errors(), 0);
    }
}
