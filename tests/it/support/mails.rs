//! Mails of others, as their servers write them.

use std::time::SystemTime;

use super::PASSWORD;

/// A report about a mail, as servers write them.
pub(crate) fn report(mail: &str, action: &str, status: &str) -> String {
    let header = mail.split("\r\n\r\n").next().unwrap_or_default();
    format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@relay.example.test\r\nSubject: Returned\r\n\
         Auto-Submitted: auto-replied\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=cut\r\n\r\n\
         --cut\r\nContent-Type: text/plain\r\n\r\nThe mail came back.\r\n\
         --cut\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; relay.example.test\r\n\r\n\
         Final-Recipient: rfc822; to@example.test\r\nAction: {action}\r\nStatus: {status}\r\n\
         Remote-MTA: dns; mx.example.test\r\n\
         Diagnostic-Code: smtp; 550 {status} <b>not\r\n  \x1b[31mhere {PASSWORD}\r\n\r\n\
         --cut\r\nContent-Type: text/rfc822-headers\r\n\r\n{header}\r\n\r\n--cut--\r\n"
    )
}

/// A date as the header of a mail has it.
pub(crate) fn mail_date(date: SystemTime) -> String {
    let seconds = date.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    mail_parser::DateTime::from_timestamp(i64::try_from(seconds).unwrap()).to_rfc822()
}
