//! One target: its own keys over the defaults.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use lettre::Address;

use super::reference::Home;
use super::section::{Report, Section};
use super::series::SeriesText;
use super::side::{self, IP_FAMILIES, Shared};
use super::source::Sources;
use super::{Target, TargetName, labels, layers, value, wants};

pub(super) const INTERVAL: Duration = Duration::from_secs(5 * 60);
pub(super) const INTERVALS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(7 * DAY);
/// Of `late_after` and `lost_after`.
pub(super) const AGES: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(365 * DAY);
const LOST_AFTER: Duration = Duration::from_secs(24 * 3600);
/// The least time that mail which must not pass is waited for, unless another is written.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(600);
pub(super) const MAX_OUTSTANDING: usize = 1000;
pub(super) const OUTSTANDING: RangeInclusive<usize> = 1..=100_000;
pub(super) const MESSAGES: RangeInclusive<u32> = 1..=100;
const DAY: u64 = 24 * 3600;

/// The target that a section describes; `None` with a problem reported.
pub(super) fn convert(
    section: &Section<'_>,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<Target> {
    let home = if section.is_partial() { Home::Defaults } else { Home::Target };
    section.check_keys(home, report);
    let name = name(section, report);
    let from = section.require("from", "the sender of the test mails", report, value::address);
    let to = section.require("to", "the recipient of the test mails", report, value::address);
    let messages = section.read("messages", report, value::integer(MESSAGES));
    let max_outstanding = section.read("max_outstanding", report, value::integer(OUTSTANDING));
    let Times { interval, late_after, lost_after } = times(section, report);
    let shared = shared(section, to.clone(), report);
    let host = layers::Host { name: shared.host.as_deref(), ip_family: shared.ip_family };
    let ping = layers::ping(section, host, report);
    let ports = layers::ports(section, host, report);
    let checks_ports = layers::are_ports_checked(section, report);
    let port_timeout = layers::port_timeout(section, report);
    let send = side::send(&shared, sources, report);
    let receive = side::receive(&shared, sources, report);
    let sender_mailbox = side::sender_mailbox(&shared, sources, report);
    let inspect = inspect(section, report);
    let wants = wants::wants(section, sources, inspect.is_some(), report);
    let target = Target {
        interval,
        messages: messages.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN),
        late_after,
        lost_after,
        max_outstanding: max_outstanding.unwrap_or(MAX_OUTSTANDING),
        passive: section.read("passive", report, value::boolean).unwrap_or(false),
        cluster: section.read("cluster", report, value::line),
        labels: labels::labels(section, report),
        inspect: inspect.is_some(),
        usual: inspect.is_some_and(|how| how.usual),
        authserv_id: section.read("authserv_id", report, value::authserv_id),
        ping,
        ports,
        checks_ports,
        port_timeout,
        name: name?,
        from: from?,
        to: to?,
        send: send?,
        receive: receive?,
        sender_mailbox: sender_mailbox?,
        wants,
        series_text: SeriesText::default(),
    };
    wants::check(&target, section, report);
    Some(target)
}

/// `inspect`: how headers are read.
struct Inspect {
    usual: bool,
}

/// `None`: they are not read.
fn inspect(section: &Section<'_>, report: &mut Report) -> Option<Inspect> {
    if section.find("inspect").is_none() {
        return Some(Inspect { usual: false });
    }
    let written = section.switch("inspect", report)?;
    written.check_keys(Home::Inspect, report);
    let usual = written.read("usual", report, value::boolean);
    Some(Inspect { usual: usual.unwrap_or(false) })
}

/// The name, which stands in the target itself only.
fn name(section: &Section<'_>, report: &mut Report) -> Option<TargetName> {
    section.require("name", "the nick name, the label `target`", report, |node| {
        TargetName::new(value::text(node)?).ok_or_else(|| {
            let most = TargetName::MAX_CHARS;
            format!("must be 1 to {most} characters, without spaces around and control characters")
        })
    })
}

struct Times {
    interval: Duration,
    late_after: Duration,
    lost_after: Duration,
}

fn times(section: &Section<'_>, report: &mut Report) -> Times {
    let interval = section.read("interval", report, value::duration(INTERVALS));
    let interval = interval.unwrap_or(INTERVAL);
    let age = || value::duration(AGES);
    let late_after = section.read("late_after", report, age()).unwrap_or(interval);
    let lost_after = section.read("lost_after", report, age());
    // What must not pass is not waited for a whole day, and longer than a queue takes that tries again.
    let patience =
        if wants::expect::is_expected(section) { interval.max(PATIENCE) } else { LOST_AFTER };
    // A default never contradicts what was written: mail cannot be lost before it is late.
    let times =
        Times { interval, late_after, lost_after: lost_after.unwrap_or(patience.max(late_after)) };
    if times.lost_after < times.late_after && !section.is_partial() {
        let written = section.find("lost_after").map(|found| found.place);
        let message = format!(
            "must be at least `late_after`, here {}",
            ledger::durations::Written(late_after)
        );
        report.add(written.as_ref().unwrap_or(section.place()).problem(message));
    }
    times
}

/// What both sides share; a host that is missing everywhere is reported once.
fn shared<'s, 'a>(
    section: &'s Section<'a>,
    to: Option<Address>,
    report: &mut Report,
) -> Shared<'s, 'a> {
    // Checked here too: both sides may have a `tls` of their own.
    section.read("ssl", report, value::boolean);
    let host = section.read("host", report, value::host);
    let timeout = section.read("timeout", report, value::duration(TIMEOUTS)).unwrap_or(TIMEOUT);
    let ip_family = section.read("ip_family", report, value::choice(&IP_FAMILIES));
    let mut host_reported = host.is_none() && section.find("host").is_some();
    let receives = section.find("receive").is_some();
    let side_has = |side, key| {
        // The sides report what is wrong with them when they are read themselves.
        section.child(side, &mut Report::default()).find(key).is_some()
    };
    if section.find("host").is_none()
        && receives
        && !side_has("send", "host")
        && !side_has("send", "mx")
        && !side_has("receive", "host")
    {
        section.miss("host", "write it here, or under `send` and under `receive`", report);
        host_reported = true;
    }
    Shared {
        target: section,
        host,
        host_reported,
        to,
        ip_family: ip_family.unwrap_or_default(),
        timeout,
    }
}
