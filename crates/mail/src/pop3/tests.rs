use super::*;

#[test]
fn the_status_is_a_word_of_its_own() {
    assert_eq!(split_status(b"+OK ready"), Some((true, &b"ready"[..])));
    assert_eq!(split_status(b"+ok"), Some((true, &b""[..])));
    assert_eq!(split_status(b"-ERR [AUTH] no"), Some((false, &b"[AUTH] no"[..])));
    assert_eq!(split_status(b"+OKAY"), None);
    assert_eq!(split_status(b"* OK"), None);
    assert_eq!(split_status(b""), None);
}

#[test]
fn codes_tell_a_wrong_password_from_a_busy_maildrop() {
    assert_eq!(code(b"[in-use] locked"), Code::TryAgain);
    assert_eq!(code(b"[SYS/TEMP] later"), Code::Temporary);
    assert_eq!(code(b"[LOGIN-DELAY] wait"), Code::TryAgain);
    assert_eq!(code(b"[AUTH] no"), Code::Auth);
    assert_eq!(code(b"invalid password [IN-USE]"), Code::None);
}
