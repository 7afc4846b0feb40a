//! The paths of a target: its page, and the same as JSON.

use std::borrow::Cow;

use percent_encoding::{
    AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_decode_str, utf8_percent_encode,
};

use crate::config::TargetName;

/// The pages of the targets, each under its name.
pub(in crate::web) const TARGET_PAGES: &str = "/targets/";

/// The targets as JSON, each under its name.
pub(in crate::web) const TARGET_REPORTS: &str = "/api/targets/";

/// What a name may hold unescaped in a path (RFC 3986 section 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The name of a target as a part of an address.
pub(in crate::web) fn escaped(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, ESCAPED)
}

/// The path of a target below `parent`, which is [`TARGET_PAGES`] or [`TARGET_REPORTS`].
pub(in crate::web) fn of_target(parent: &str, name: &TargetName) -> String {
    let escaped = escaped(name.as_str());
    match name.as_str() {
        // A browser takes these for steps up, escaped or not.
        "." | ".." => format!("{parent}?name={escaped}"),
        _ => format!("{parent}{escaped}"),
    }
}

/// The name in a path below `parent`, decoded; `None` if there is none.
pub(in crate::web) fn target_name(path: &str, parent: &str) -> Option<String> {
    let name = path.strip_prefix(parent).filter(|name| !name.is_empty())?;
    percent_decode_str(name).decode_utf8().ok().map(Cow::into_owned)
}
