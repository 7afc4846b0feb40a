//! The values of the JSON: names, times and durations.

use std::time::{Duration, SystemTime};

use crate::account::Delay;
use crate::web::absence::Absence;
use ledger::Condition;

/// The value of `condition`.
pub(super) fn condition_name(condition: Condition) -> &'static str {
    match condition {
        Condition::Failing => "failing",
        Condition::Late => "late",
        Condition::Impaired => "impaired",
        Condition::Unmeasured => "unmeasured",
        Condition::NotApplicable => "not_applicable",
        Condition::Well => "well",
    }
}

/// The value of `waits_for`: the key of the configuration that admits no more.
pub(super) fn queue_name(queue: Delay) -> Option<&'static str> {
    match queue {
        Delay::Connection => Some("max_connections"),
        Delay::Place => Some("max_concurrent_probes"),
        Delay::Sending | Delay::Exporter => None,
    }
}

/// The value of `roundtrip_absence`.
pub(super) fn absence_name(absence: Absence) -> &'static str {
    match absence {
        Absence::NotMeasuredYet => "not_measured_yet",
        Absence::NotMeasuredLately => "not_measured_lately",
        Absence::NoMailYet => "no_mail_yet",
        Absence::NoMailLately => "no_mail_lately",
        Absence::ArrivedUnknown => "arrival_unknown",
        Absence::StandbyDown | Absence::NotToPass => "not_applicable",
    }
}

/// As RFC 3339 has it, in UTC, to the millisecond.
pub(super) fn date(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

/// To the microsecond, so that no digits are shown that were not measured.
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e6
}
