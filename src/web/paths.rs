//! The paths of a target: its page, the same as JSON, its history and its badge.

use std::borrow::Cow;

use percent_encoding::{
    AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_decode_str, utf8_percent_encode,
};

use crate::config::TargetName;

/// The pages of the targets, each under its name.
pub(in crate::web) const TARGET_PAGES: &str = "/targets/";

/// The targets as JSON, each under its name.
pub(in crate::web) const TARGET_REPORTS: &str = "/api/targets/";

/// The badges of the targets, each under its name with [`SVG`] behind it.
pub(in crate::web) const BADGES: &str = "/badge/";
/// What stands behind the name of a badge.
pub(in crate::web) const SVG: &str = ".svg";

/// The history of the target that a parameter names, for names that no path can hold.
pub(in crate::web) const HISTORY_BY_NAME: &str = "/api/history";

/// What stands behind the path of a target as JSON for its history.
pub(in crate::web) const HISTORY: &str = "/history";

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

/// The path of the history of a target.
pub(in crate::web) fn of_history(name: &TargetName) -> String {
    match name.as_str() {
        "." | ".." => format!("{HISTORY_BY_NAME}?name={name}"),
        _ => format!("{}{HISTORY}", of_target(TARGET_REPORTS, name)),
    }
}

/// The path of a target as JSON whose history is at this path; `None`: this is no path of a history.
pub(in crate::web) fn without_history(path: &str) -> Option<&str> {
    path.strip_suffix(HISTORY).filter(|parent| parent.starts_with(TARGET_REPORTS))
}

/// The path of the badge of a target.
pub(in crate::web) fn of_badge(name: &TargetName) -> String {
    format!("{BADGES}{}{SVG}", escaped(name.as_str()))
}

/// The name in a path below `parent`, decoded; `None` if there is none.
pub(in crate::web) fn target_name(path: &str, parent: &str) -> Option<String> {
    let name = path.strip_prefix(parent).filter(|name| !name.is_empty())?;
    percent_decode_str(name).decode_utf8().ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_of_any_target_has_a_path_of_its_own() {
        for name in ["one", "history", "a/history", "é b", ".", ".."] {
            let path = of_history(&TargetName::new(name).unwrap());
            assert!(!path.contains("//"), "a proxy merges the slashes of {path}");
            let (path, query) = path.split_once('?').unwrap_or((&path, ""));
            let found = match path {
                HISTORY_BY_NAME => query.strip_prefix("name=").map(str::to_owned),
                path => target_name(without_history(path).unwrap(), TARGET_REPORTS),
            };
            assert_eq!(found.as_deref(), Some(name), "{path}");
            assert_eq!(
                without_history(&of_target(TARGET_REPORTS, &TargetName::new(name).unwrap())),
                None
            );
        }
    }
}
