//! Writing what IMAP commands hold: strings, dates, folder names.

use std::time::SystemTime;

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};

/// A quoted string (RFC 3501 section 4.3).
pub(super) fn quote(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The longest sequence set; RFC 2683 section 3.2.1.5 asks clients for lines of 1000 bytes at most.
const SET_BYTES: usize = 800;

/// These UIDs as sequence sets that are short enough for a command, each rising, with ranges: some
/// servers take no others.
pub(super) fn sequence_sets(uids: &[u32]) -> Vec<String> {
    let mut uids = uids.to_vec();
    uids.sort_unstable();
    uids.dedup();
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for uid in uids {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(uid) => *last = uid,
            _ => ranges.push((uid, uid)),
        }
    }
    let mut sets: Vec<String> = Vec::new();
    for (first, last) in ranges {
        let range = if first == last { first.to_string() } else { format!("{first}:{last}") };
        match sets.last_mut() {
            Some(set) if set.len() + range.len() < SET_BYTES => {
                set.push(',');
                set.push_str(&range);
            }
            _ => sets.push(range),
        }
    }
    sets
}

/// `23-Nov-2026` of the day in UTC, and one day before it: the server may be in another zone.
pub(super) fn imap_date(day: SystemTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = day.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let date = mail_parser::DateTime::from_timestamp(
        i64::try_from(seconds.saturating_sub(86_400)).unwrap_or(i64::MAX),
    );
    let month = usize::from(date.month).saturating_sub(1);
    format!("{}-{}-{}", date.day, MONTHS.get(month).unwrap_or(&"Jan"), date.year)
}

/// A folder name in modified UTF-7 (RFC 3501 section 5.1.3), as it goes over the wire.
pub fn encode_folder_name(name: &str) -> Vec<u8> {
    fn flush(pending: &mut Vec<u8>, encoded: &mut Vec<u8>) {
        const ENGINE: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);
        if !pending.is_empty() {
            encoded.push(b'&');
            encoded.extend_from_slice(ENGINE.encode(&pending).as_bytes());
            encoded.push(b'-');
            pending.clear();
        }
    }
    let mut encoded = Vec::with_capacity(name.len());
    let mut pending: Vec<u8> = Vec::new();
    for character in name.chars() {
        match u8::try_from(character) {
            Ok(byte @ b' '..=b'~') => {
                flush(&mut pending, &mut encoded);
                encoded.push(byte);
                if byte == b'&' {
                    encoded.push(b'-');
                }
            }
            _ => {
                let mut units = [0; 2];
                pending.extend(
                    character.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()),
                );
            }
        }
    }
    flush(&mut pending, &mut encoded);
    encoded
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn folder_names_go_in_modified_utf_7() {
        // The example of RFC 3501 section 5.1.3.
        assert_eq!(
            encode_folder_name("~peter/mail/台北/日本語"),
            b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"
        );
        assert_eq!(encode_folder_name("R&D"), b"R&-D");
        assert_eq!(encode_folder_name("Entwürfe"), b"Entw&APw-rfe");
    }

    #[test]
    fn sets_rise_have_ranges_and_are_short_enough_for_a_command() {
        assert_eq!(sequence_sets(&[9, 7, 8, 3, 3, u32::MAX]), ["3,7:9,4294967295"]);
        assert!(sequence_sets(&[]).is_empty());
        let many: Vec<u32> = (0..1000).map(|number| 4_000_000_000 + 2 * number).collect();
        let sets = sequence_sets(&many);
        assert!(sets.iter().all(|set| set.len() <= SET_BYTES), "{sets:?}");
        let named = sets.iter().flat_map(|set| set.split(',')).map(|uid| uid.parse().unwrap());
        assert_eq!(named.collect::<Vec<u32>>(), many);
    }

    #[test]
    fn quotes_are_escaped() {
        assert_eq!(quote(br#"p"a\ss"#), r#""p\"a\\ss""#);
    }

    #[test]
    fn a_search_begins_a_day_early_because_of_time_zones() {
        let first_of_march = SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_323_200);
        assert_eq!(imap_date(first_of_march), "28-Feb-2026");
    }
}
