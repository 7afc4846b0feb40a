//! How many connections may be open at one time to one SMTP server and account.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Config, Target};
use crate::probing::bound::Bound;

/// To one of these at most `max_connections` connections are open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SlotKey {
    host: String,
    port: u16,
    user: Option<String>,
}

/// The connections to each.
pub(crate) type Slots = HashMap<SlotKey, Arc<Bound>>;

impl SlotKey {
    /// Where a target sends to.
    pub(crate) fn of(target: &Target) -> Self {
        let endpoint = &target.send.endpoint;
        let user = target.send.login.as_ref().map(|login| login.username.clone());
        Self { host: endpoint.name().to_owned(), port: endpoint.port, user }
    }
}

/// The connections to each server and account, with the lowest limit that a target sets; those in use
/// go on, with the limit that holds now for untouched targets as well.
pub(crate) fn reconcile(config: &Config, in_use: &Slots) -> Slots {
    let mut limits: HashMap<SlotKey, u32> = HashMap::new();
    for target in config.targets.values() {
        let limit = target.send.max_connections.get();
        limits
            .entry(SlotKey::of(target))
            .and_modify(|least| *least = limit.min(*least))
            .or_insert(limit);
    }
    let connections = |key: SlotKey, limit: u32| {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let connections = match in_use.get(&key) {
            Some(known) => {
                known.set_limit(limit);
                Arc::clone(known)
            }
            None => Arc::new(Bound::new(limit)),
        };
        (key, connections)
    };
    limits.into_iter().map(|(key, limit)| connections(key, limit)).collect()
}
