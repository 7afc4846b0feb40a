//! The first word of an answer, and its response code.

/// Why a session could not be opened or used for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// `[IN-USE]`, `[LOGIN-DELAY]` (RFC 2449): another try may succeed.
    TryAgain,
    /// `[SYS/TEMP]` (RFC 3206): a trouble of the server that passes.
    Temporary,
    /// `[AUTH]`: the credentials are wrong.
    Auth,
    /// `[SYS/PERM]`: something is broken at the server.
    Permanent,
    /// None, or one not known.
    None,
}

/// `+OK` or `-ERR`, which one server writes `+ERR`, and the text behind it.
pub(super) fn split_status(line: &[u8]) -> Option<(bool, &[u8])> {
    let starts = |word: &[u8]| {
        line.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
            && line.get(word.len()).is_none_or(|next| *next == b' ' || *next == b'\t')
    };
    if starts(b"+OK") {
        Some((true, line.get(3..).unwrap_or_default().trim_ascii()))
    } else if starts(b"-ERR") || starts(b"+ERR") {
        Some((false, line.get(4..).unwrap_or_default().trim_ascii()))
    } else {
        None
    }
}

/// The response code at the beginning of the text behind `-ERR`.
pub(super) fn code(text: &[u8]) -> Code {
    let Some(inner) = text.strip_prefix(b"[") else { return Code::None };
    let word = inner.split(|byte| *byte == b']').next().unwrap_or_default().to_ascii_uppercase();
    match word.as_slice() {
        b"IN-USE" | b"LOGIN-DELAY" => Code::TryAgain,
        b"SYS/TEMP" => Code::Temporary,
        b"AUTH" => Code::Auth,
        b"SYS/PERM" => Code::Permanent,
        _ => Code::None,
    }
}
