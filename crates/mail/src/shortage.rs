//! What the exporter itself may run out of: counted, and said in the log.

use std::sync::atomic::{AtomicU64, Ordering};

use ledger::Shortage;

use crate::descriptors;

pub mod news;

/// How often each was short since the process began; a shortage is its own index.
static COUNTS: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];

/// Counts that something was not done for want of this, and has it logged.
pub fn count(shortage: Shortage) {
    if let Some(count) = COUNTS.get(shortage as usize) {
        count.fetch_add(1, Ordering::Relaxed);
    }
    news::met(shortage);
}

/// How often each was short since the process began, in the order of [`Shortage::ALL`].
pub fn counts() -> [u64; 5] {
    COUNTS.each_ref().map(|count| count.load(Ordering::Relaxed))
}

/// What to do about it, as the end of a sentence: a command without a final stop.
pub fn advice(shortage: Shortage) -> String {
    match shortage {
        Shortage::Descriptors => format!(
            "raise its limit of open files, {} here, by `LimitNOFILE=` in the unit of the service \
             or `ulimit -n` before the start; or that of the system, `sysctl fs.file-max`",
            descriptors::limit()
        ),
        Shortage::Memory => "give it more memory, by `MemoryMax=` in the unit of the service or \
                             in the machine, or more to its sockets, `sysctl net.ipv4.tcp_mem`"
            .to_owned(),
        Shortage::Ports => "widen `sysctl net.ipv4.ip_local_port_range` of this machine, or find \
                            with `ss -s` what takes so many"
            .to_owned(),
        Shortage::Threads => "raise its limit of threads, by `TasksMax=` and `LimitNPROC=` in the \
                              unit of the service or `ulimit -u` before the start"
            .to_owned(),
        Shortage::LookUps => {
            "check that the name servers in /etc/resolv.conf answer, and fast".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shortage_has_a_count_of_its_own() {
        for (index, shortage) in Shortage::ALL.into_iter().enumerate() {
            let before = counts()[index];
            count(shortage);
            assert!(counts()[index] > before, "{shortage}");
        }
    }
}
