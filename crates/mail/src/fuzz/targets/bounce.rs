//! Delivery status notifications.
//!
//! Input: a mail.

use crate::bounce::{DsnReport, REPORT_BYTES};
use crate::fuzz::shown::{self, PASSWORD, USER};
use crate::test_mail::Header;
use crate::text::Scrubber;

pub(in crate::fuzz) fn check(input: &[u8]) {
    let report = DsnReport::parse(input);
    let more = [input, &vec![b'x'; REPORT_BYTES]].concat();
    let beginning = more.get(..REPORT_BYTES).unwrap_or_default();
    assert_eq!(DsnReport::parse(beginning), DsnReport::parse(&more), "only the beginning is read");
    let Some(report) = report else { return };
    assert!(report.recipients.len() <= 100, "{} recipients", report.recipients.len());
    assert_eq!(report.worst().is_some(), !report.recipients.is_empty());
    let scrubber = Scrubber::for_login(USER, PASSWORD);
    for recipient in &report.recipients {
        assert!(report.worst().is_some_and(|worst| worst.action >= recipient.action));
        if let Some(code) = &recipient.code {
            assert!(is_enhanced_code(code), "{code}");
        }
        let texts = [&recipient.text, &recipient.remote_server];
        texts.into_iter().flatten().for_each(|text| shown::check(&scrubber.show(text)));
        let is_one_line = |text: &Vec<u8>| !text.contains(&b'\n');
        assert!(recipient.text.as_ref().is_none_or(is_one_line), "{:?}", recipient.text);
    }
    assert!(report.returned_header.len() <= 2 * REPORT_BYTES);
    Header::parse(&report.returned_header);
}

fn is_enhanced_code(code: &str) -> bool {
    let parts: Vec<&str> = code.split('.').collect();
    let is_number = |part: &&str| (1..=3).contains(&part.len()) && part.parse::<u16>().is_ok();
    parts.len() == 3 && parts.iter().all(is_number)
}
