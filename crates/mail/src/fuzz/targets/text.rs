//! What is shown of the words of a server: harmless, cut, without the password in any form.
//!
//! Input: the words.

use crate::fuzz::shown::{self, PASSWORD, USER};
use crate::text::{SHOWN_CHARS, Scrubber, shown};

pub(in crate::fuzz) fn check(input: &[u8]) {
    let harmless = shown(input);
    assert!(harmless.chars().count() <= SHOWN_CHARS + 1, "{harmless}");
    assert!(harmless.chars().all(|character| !crate::text::is_unsafe(character)));
    if !harmless.ends_with('…') {
        assert_eq!(shown(harmless.as_bytes()), harmless, "what is harmless stays as it is");
    }
    let scrubber = Scrubber::for_login(USER, PASSWORD);
    let scrubbed = scrubber.show(input);
    shown::check(&scrubbed);
    if !scrubbed.ends_with('…') {
        assert_eq!(scrubber.show(scrubbed.as_bytes()), scrubbed, "what is scrubbed stays as it is");
    }
    shown::check(&scrubber.scrub(&harmless));
}
