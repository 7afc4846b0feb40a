//! The file of `--web.config.file`.
//!
//! Input: its text.

use crate::web::server::WebConfig;
use mail::fuzz::shown::PASSWORD;
use mail::text::is_unsafe;

pub(in crate::fuzz) fn check(input: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.yml");
    std::fs::write(&path, input).unwrap();
    if let Err(error) = WebConfig::load(&path) {
        let told = error.to_string();
        let harmful = told.chars().find(|it| *it != '\n' && is_unsafe(*it));
        assert_eq!(harmful, None, "shown as it came: {told:?}");
        // A password in place of its hash. Names and paths are told.
        let text = String::from_utf8_lossy(input);
        let is_hash =
            text.matches(PASSWORD).count() == 1 && text.contains(&format!("bob: {PASSWORD}\n"));
        assert!(!is_hash || !told.contains(PASSWORD), "a password is told: {told}");
    }
}
