//! How many connections may be open at one time to one SMTP server and account.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::config::{Config, Target};

/// To one of these at most `max_connections` connections are open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct SlotKey {
    host: String,
    port: u16,
    user: Option<String>,
}

/// The limit of each, and the permits.
pub(super) type Slots = HashMap<SlotKey, (u32, Arc<Semaphore>)>;

impl SlotKey {
    /// Where a target sends to.
    pub(super) fn of(target: &Target) -> Self {
        let endpoint = &target.send.endpoint;
        let user = target.send.login.as_ref().map(|login| login.username.clone());
        Self { host: endpoint.host.clone(), port: endpoint.port, user }
    }
}

/// One semaphore for each server and account, with the lowest limit that a target sets; those in use
/// go on as long as their limit is the same.
pub(super) fn arrange(config: &Config, in_use: &Slots) -> Slots {
    let mut limits: HashMap<SlotKey, u32> = HashMap::new();
    for target in config.targets.values() {
        let limit = target.send.max_connections.get();
        limits
            .entry(SlotKey::of(target))
            .and_modify(|least| *least = limit.min(*least))
            .or_insert(limit);
    }
    let semaphore = |key: &SlotKey, limit: u32| match in_use.get(key) {
        Some((known, semaphore)) if *known == limit => Arc::clone(semaphore),
        _ => Arc::new(Semaphore::new(usize::try_from(limit).unwrap_or(usize::MAX))),
    };
    limits.into_iter().map(|(key, limit)| (key.clone(), (limit, semaphore(&key, limit)))).collect()
}
