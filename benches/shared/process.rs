//! What a process takes of the machine, by proc(5).

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// What a process takes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken {
    pub(crate) resident_bytes: u64,
    /// The most that was resident at any time.
    pub(crate) highest_bytes: u64,
    /// What of the resident is no file: heap and stacks.
    pub(crate) anonymous_bytes: u64,
    pub(crate) descriptors: usize,
    pub(crate) threads: u64,
    pub(crate) processor: Duration,
}

/// What a process takes now; nothing if it has ended.
pub(crate) fn taken(pid: Option<u32>) -> Taken {
    let folder = folder(pid);
    let status = fs::read_to_string(folder.join("status")).unwrap_or_default();
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let word = line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next());
        word.and_then(|word| word.parse().ok()).unwrap_or_default()
    };
    Taken {
        resident_bytes: field("VmRSS") * 1024,
        highest_bytes: field("VmHWM") * 1024,
        anonymous_bytes: field("RssAnon") * 1024,
        descriptors: fs::read_dir(folder.join("fd")).map(Iterator::count).unwrap_or_default(),
        threads: field("Threads"),
        processor: ticks(&folder),
    }
}

/// The processor time of a process at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProcessorTime {
    whole: Duration,
    /// To the nanosecond, of each thread that runs.
    threads: BTreeMap<u32, Duration>,
}

impl ProcessorTime {
    /// As it is now; nothing if the process has ended.
    pub(crate) fn of(pid: Option<u32>) -> Self {
        let folder = folder(pid);
        let tasks = fs::read_dir(folder.join("task")).into_iter().flatten().flatten();
        let threads = tasks.filter_map(|task| {
            let id = task.file_name().to_str()?.parse().ok()?;
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
            Some((id, Duration::from_nanos(nanoseconds)))
        });
        Self { threads: threads.collect(), whole: ticks(&folder) }
    }

    /// What was used since: to the nanosecond, unless a thread has ended meanwhile and took with it what
    /// it had used; then to a hundredth of a second.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        if self.threads.is_empty()
            || earlier.threads.keys().any(|id| !self.threads.contains_key(id))
        {
            return self.whole.saturating_sub(earlier.whole);
        }
        let sum = |time: &Self| time.threads.values().sum::<Duration>();
        sum(self).saturating_sub(sum(earlier))
    }
}

/// Has the kernel count the highest resident size from here on (proc(5), clear_refs).
pub(crate) fn forget_highest(pid: Option<u32>) {
    // Without the right to it, the figure stays the highest of all.
    let _ = fs::write(folder(pid).join("clear_refs"), "5");
}

/// User and system time, fields 14 and 15 of stat in hundredths of a second.
fn ticks(folder: &std::path::Path) -> Duration {
    let stat = fs::read_to_string(folder.join("stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

fn folder(pid: Option<u32>) -> PathBuf {
    PathBuf::from(format!("/proc/{}", pid.unwrap_or_default()))
}
