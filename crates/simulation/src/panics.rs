//! Panics of tasks, which a runtime keeps to itself.

use std::cell::RefCell;
use std::panic;
use std::sync::Once;

thread_local! {
    static FIRST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on a panic of this thread is known.
pub(crate) fn watch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            FIRST.with_borrow_mut(|first| {
                first.get_or_insert_with(|| info.to_string());
            });
            usual(info);
        }));
    });
    FIRST.set(None);
}

/// The first panic since.
pub(crate) fn panicked() -> Option<String> {
    FIRST.with_borrow(|first| first.as_ref().map(|words| words.replace('\n', " ")))
}
