//! What a target takes: memory, counted by an allocator, and the time of a processor.
//!
//! Both are of the thread alone, so that tests beside each other do not count each other's.
#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What a target may take.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// The most bytes that it may hold at once.
    pub bytes: usize,
    /// And so many more for each byte of its input.
    pub per_byte: usize,
}

/// How much of a processor's time a target may take, and how much more for each byte: hundreds of times of
/// what is usual without optimisation, and far less than what a square of the longest input takes.
const TIME: Duration = Duration::from_secs(2);
const TIME_PER_BYTE: Duration = Duration::from_micros(40);

impl Budget {
    /// Runs `work` on an input of so many bytes.
    ///
    /// # Panics
    /// It took more than it may.
    pub fn hold(&self, name: &str, length: usize, work: impl FnOnce()) {
        let before = HELD.get();
        PEAK.set(before);
        let began = processor_time();
        work();
        let took = processor_time().saturating_sub(began);
        let peak = usize::try_from(PEAK.get() - before).unwrap_or_default();
        let most = self.bytes + self.per_byte * length;
        assert!(peak <= most, "{name} held {peak} bytes for {length} of input; {most} are allowed");
        let longest = TIME + TIME_PER_BYTE * u32::try_from(length).unwrap_or(u32::MAX);
        assert!(took <= longest, "{name} took {took:?} for {length} bytes; {longest:?} is allowed");
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanoseconds)
}

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator; it counts. Whoever runs targets makes it the allocator of the process:
/// without it no target ever takes too much memory.
pub struct Counting;

fn count(bytes: usize, sign: i64) {
    // A thread that ends allocates without being counted.
    let _ = HELD.try_with(|held| {
        let now = held.get() + sign * i64::try_from(bytes).unwrap_or(i64::MAX);
        held.set(now);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now)));
    });
}

// SAFETY: everything is the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: as the caller promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
