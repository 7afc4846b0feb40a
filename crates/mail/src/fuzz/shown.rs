//! What holds for everything that people see of what a stranger has said.

use crate::text::is_unsafe;

/// A password that the clients of the targets log in with; no input holds it by chance.
pub const PASSWORD: &str = "Zebra-77_x+y";
/// The user that goes with it.
pub const USER: &str = "rita@example.test";

/// Holds a text that is shown to being harmless and free of the password.
///
/// # Panics
/// It is not.
pub fn check(text: &str) {
    for line in text.lines() {
        let harmful = line.chars().find(|character| is_unsafe(*character));
        assert_eq!(harmful, None, "shown as it came: {line:?}");
    }
    // As it is, and in the forms in which servers give it back (base64, percent, in its own).
    for form in [
        PASSWORD,
        "WmVicmEtNzdfeCt5",
        "Zebra-77_x%2By",
        "AHJpdGFAZXhhbXBsZS50ZXN0AFplYnJhLTc3X3greQ",
    ] {
        assert!(!text.contains(form), "the password is shown: {text}");
    }
}
