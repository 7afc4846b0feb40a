//! Random bytes. They come from the operating system; in a simulation (feature `simulation`) from its seed, so
//! that it can be repeated to the byte.

/// Fills `bytes`.
///
/// # Errors
/// The operating system gives none.
pub fn fill(bytes: &mut [u8]) -> Result<(), getrandom::Error> {
    #[cfg(feature = "simulation")]
    if simulated::fill(bytes) {
        return Ok(());
    }
    getrandom::fill(bytes)
}

#[cfg(feature = "simulation")]
pub use simulated::{Source, draw_from};

#[cfg(feature = "simulation")]
mod simulated {
    use std::cell::RefCell;

    /// Fills bytes by a rule that can be repeated.
    pub type Source = Box<dyn FnMut(&mut [u8])>;

    thread_local! {
        static SOURCE: RefCell<Option<Source>> = const { RefCell::new(None) };
    }

    /// What this thread draws from now on comes from `source`; `None`: from the operating system again.
    pub fn draw_from(source: Option<Source>) {
        SOURCE.with_borrow_mut(|present| *present = source);
    }

    /// Whether there is a source, which has filled the bytes then.
    pub(super) fn fill(bytes: &mut [u8]) -> bool {
        SOURCE.with_borrow_mut(|source| source.as_mut().map(|source| source(bytes))).is_some()
    }
}
