//! The metrics of a target and of its two sides.

use super::family::{Family, Histograms, Writer};
use super::labels::{Labels, labels};
use super::{Page, Part, count, failures, timestamp};
use crate::supervisor::View;
use ledger::{FoundIn, Histogram, Reading, Side, SideState, Snapshot, Totals};

/// A gauge of a target; `None` leaves the series out.
struct TargetGauge {
    name: &'static str,
    help: &'static str,
    value: fn(&Snapshot) -> Option<f64>,
}

const TARGET_GAUGES: [TargetGauge; 8] = [
    TargetGauge {
        name: "mailtrip_send_ability_percent",
        help: "Share of the latest period's test mails that the SMTP server accepted, in percent. \
               NaN before the first send, while a passive target is down, and once the result is \
               outdated",
        value: |it| nan(it.send_ability, |share| share * 100.0),
    },
    TargetGauge {
        name: "mailtrip_receive_ability_percent",
        help: "100 if the latest check logged in afresh and read the mailbox, else 0. NaN before \
               the first check, while a passive target is down, and once the result is outdated",
        value: |it| nan(it.receive_ability, |able| if able { 100.0 } else { 0.0 }),
    },
    TargetGauge {
        name: "mailtrip_outstanding_messages",
        help: "Test mails that the SMTP server accepted and that are not in the mailbox yet. NaN \
               before the first and while a passive target is down",
        value: |it| nan(it.outstanding, count),
    },
    TargetGauge {
        name: "mailtrip_roundtrip_minutes",
        help: "Mean delay in minutes from transmission to reception, over the test mails received \
               in the current period or, if there are none, in the previous one. NaN if neither \
               has any",
        value: |it| nan(it.roundtrip, |mean| mean.as_secs_f64() / 60.0),
    },
    TargetGauge {
        name: "mailtrip_roundtrip_last_seconds",
        help: "Delay from transmission to reception of the latest test mail that arrived. Absent \
               before the first",
        value: |it| it.last_roundtrip.map(|delay| delay.as_secs_f64()),
    },
    TargetGauge {
        name: "mailtrip_oldest_outstanding_timestamp_seconds",
        help: "Unix time at which the oldest outstanding test mail was accepted. NaN if none is \
               outstanding",
        value: |it| Some(it.oldest_outstanding.map_or(f64::NAN, timestamp)),
    },
    TargetGauge {
        name: "mailtrip_interval_seconds",
        help: "Configured test period",
        value: |it| Some(it.interval.as_secs_f64()),
    },
    TargetGauge {
        name: "mailtrip_late_after_seconds",
        help: "Configured age at which an accepted test mail counts as late",
        value: |it| Some(it.late_after.as_secs_f64()),
    },
];

/// A gauge of a side; `None` leaves the series out.
struct SideGauge {
    name: &'static str,
    help: &'static str,
    value: fn(&SideState) -> Option<f64>,
}

const SIDE_GAUGES: [SideGauge; 6] = [
    SideGauge {
        name: "mailtrip_consecutive_failures",
        help: "Consecutive periods (send) or checks (receive) that failed. NaN while a passive \
               target is down",
        value: |it| match it.consecutive_failures {
            Reading::Unmeasured => None,
            reading => nan(reading, f64::from),
        },
    },
    SideGauge {
        name: "mailtrip_server_up",
        help: "1 if the server answered the latest attempt, 0 if it is down: no address, no \
               connection, no greeting, or a reply that it is not available",
        value: |it| it.up.map(|up| if up { 1.0 } else { 0.0 }),
    },
    SideGauge {
        name: "mailtrip_last_attempt_timestamp_seconds",
        help: "Unix time at which the latest attempt ended",
        value: |it| it.last_attempt.map(timestamp),
    },
    SideGauge {
        name: "mailtrip_last_success_timestamp_seconds",
        help: "Unix time at which the latest successful attempt ended",
        value: |it| it.last_success.map(timestamp),
    },
    SideGauge {
        name: "mailtrip_tls_certificate_not_after_timestamp_seconds",
        help: "Unix time at which the server's certificate expires, even if it was rejected",
        value: |it| it.tls.as_ref().map(|tls| timestamp(tls.leaf_not_after)),
    },
    SideGauge {
        name: "mailtrip_tls_chain_not_after_timestamp_seconds",
        help: "Unix time at which the first certificate of the verified chain expires, or of the \
               chain that was sent if it was rejected",
        value: |it| it.tls.as_ref().map(|tls| timestamp(tls.chain_not_after)),
    },
];

/// A counter of a target.
struct TargetCounter {
    name: &'static str,
    help: &'static str,
    value: fn(&Totals) -> u64,
}

const TARGET_COUNTERS: [TargetCounter; 14] = [
    TargetCounter {
        name: "mailtrip_probes_total",
        help: "Test mails attempted",
        value: |it| it.probes,
    },
    TargetCounter {
        name: "mailtrip_probes_accepted_total",
        help: "Test mails that the SMTP server accepted",
        value: |it| it.accepted,
    },
    TargetCounter {
        name: "mailtrip_probes_doubtful_total",
        help: "Test mails handed over without a reply, so that it is unknown whether they were \
               accepted",
        value: |it| it.doubtful,
    },
    TargetCounter {
        name: "mailtrip_probes_received_total",
        help: "Accepted test mails found in the mailbox, including late ones",
        value: |it| it.received,
    },
    TargetCounter {
        name: "mailtrip_probes_late_total",
        help: "Accepted test mails not found by the look that is due after late_after, or with a \
               later date of the server",
        value: |it| it.late,
    },
    TargetCounter {
        name: "mailtrip_probes_lost_total",
        help: "Accepted test mails not found by the look that is due after lost_after",
        value: |it| it.lost,
    },
    TargetCounter {
        name: "mailtrip_probes_bounced_total",
        help: "Accepted test mails that a delivery status notification reported as undeliverable",
        value: |it| it.bounced,
    },
    TargetCounter {
        name: "mailtrip_probes_returned_total",
        help: "Doubtful, lost or bounced test mails that arrived after all",
        value: |it| it.returned,
    },
    TargetCounter {
        name: "mailtrip_probes_duplicate_total",
        help: "Additional copies of test mails that were already received",
        value: |it| it.duplicate,
    },
    TargetCounter {
        name: "mailtrip_roundtrips_unknown_total",
        help: "Received test mails whose time of arrival is unknown, because the exporter was not \
               running and the server gives no usable date",
        value: |it| it.roundtrips_unknown,
    },
    TargetCounter {
        name: "mailtrip_checks_total",
        help: "Mailbox checks: a fresh login, once a period",
        value: |it| it.checks,
    },
    TargetCounter {
        name: "mailtrip_check_failures_total",
        help: "Mailbox checks that failed",
        value: |it| it.check_failures,
    },
    TargetCounter {
        name: "mailtrip_looks_total",
        help: "Looks into the mailbox between checks while test mails are outstanding, including \
               failed ones. Each POP3 look is a login",
        value: |it| it.looks,
    },
    TargetCounter {
        name: "mailtrip_periods_skipped_total",
        help: "Sends and mailbox checks skipped because the previous one was still running, no \
               connection was free, the server did not allow another login yet, or the exporter was \
               suspended",
        value: |it| it.periods_skipped.saturating_add(it.checks_skipped),
    },
];

/// The families of the targets, but for [`infos`].
pub(super) fn parts() -> Vec<Part> {
    let mut parts: Vec<Part> = TARGET_GAUGES
        .iter()
        .map(|gauge| Part::family(|page, writer| page.encode_target_gauge(gauge, writer)))
        .collect();
    parts.extend(
        SIDE_GAUGES
            .iter()
            .map(|gauge| Part::family(|page, writer| page.encode_side_gauge(gauge, writer))),
    );
    parts.extend(
        TARGET_COUNTERS.iter().map(|counter| {
            Part::family(|page, writer| page.encode_target_counter(counter, writer))
        }),
    );
    parts.extend([
        Part::family(Page::encode_not_applicable),
        Part::family(Page::encode_sender_mailbox_up),
    ]);
    parts.extend(failures::parts());
    parts.extend([
        Part::family(Page::encode_found),
        Part::family(Page::encode_roundtrips),
        Part::family(Page::encode_steps),
    ]);
    parts
}

/// The families whose labels tell of the targets.
pub(super) fn infos() -> [Part; 2] {
    [Part::family(Page::encode_tls_infos), Part::family(Page::encode_target_infos)]
}

impl Page {
    fn encode_target_gauge(&self, gauge: &TargetGauge, writer: &mut Writer<'_>) {
        let mut family = Family::gauge(writer, gauge.name, gauge.help);
        for view in self.views() {
            if let Some(value) = (gauge.value)(&view.snapshot) {
                family.gauge_sample(&labels(view, []), value);
            }
        }
    }

    fn encode_sender_mailbox_up(&self, writer: &mut Writer<'_>) {
        let mut family = Family::gauge(
            writer,
            "mailtrip_sender_mailbox_up",
            "1 if the latest look into the sender's own mailbox (for bounces and sent copies) \
             succeeded, else 0. Absent without sender_mailbox",
        );
        for view in self.views().filter(|view| view.target.sender_mailbox.is_some()) {
            if let Some(up) = view.snapshot.sender_mailbox.up {
                family.gauge_sample(&labels(view, []), if up { 1.0 } else { 0.0 });
            }
        }
    }

    fn encode_side_gauge(&self, gauge: &SideGauge, writer: &mut Writer<'_>) {
        let mut family = Family::gauge(writer, gauge.name, gauge.help);
        for (view, side, state) in self.sides() {
            if let Some(value) = (gauge.value)(state) {
                family.gauge_sample(&labels(view, [("side", side.label())]), value);
            }
        }
    }

    fn encode_target_counter(&self, counter: &TargetCounter, writer: &mut Writer<'_>) {
        let mut family = Family::counter(writer, counter.name, counter.help);
        for view in self.views() {
            let value = (counter.value)(&view.snapshot.totals);
            family.counter_sample(&labels(view, []), value);
        }
    }

    fn encode_not_applicable(&self, writer: &mut Writer<'_>) {
        let mut family = Family::counter(
            writer,
            "mailtrip_attempts_not_applicable_total",
            "Attempts while a passive target was down. Not included in any other counter. Absent for \
             a target that is not passive",
        );
        for (view, side, state) in self.sides() {
            if view.target.passive || state.not_applicable > 0 {
                let labels = labels(view, [("side", side.label())]);
                family.counter_sample(&labels, state.not_applicable);
            }
        }
    }

    fn encode_found(&self, writer: &mut Writer<'_>) {
        let mut family = Family::counter(
            writer,
            "mailtrip_probes_found_total",
            "Received test mails by folder. Absent for a kind of folder that is not looked into",
        );
        for view in self.views() {
            let protocol = view.target.receive.as_ref().map(|side| &side.protocol);
            for (folder, count) in FoundIn::ALL.into_iter().zip(view.snapshot.totals.found) {
                if protocol.is_some_and(|it| it.looks_into(folder)) || count > 0 {
                    let labels = labels(view, [("folder", folder.label())]);
                    family.counter_sample(&labels, count);
                }
            }
        }
    }

    fn encode_roundtrips(&self, writer: &mut Writer<'_>) {
        let mut histograms = Histograms::new(
            writer,
            "mailtrip_roundtrip_seconds",
            "Delay from transmission to reception of the test mails",
            &Histogram::BOUNDS_SECONDS,
        );
        for view in self.views() {
            let Histogram { counts, sum } = &*view.snapshot.roundtrips;
            let exemplar = |bucket| view.snapshot.exemplars.of(bucket);
            histograms.sample(&labels(view, []), counts, *sum, exemplar);
        }
    }

    fn encode_steps(&self, writer: &mut Writer<'_>) {
        let mut family = Family::gauge(
            writer,
            "mailtrip_step_duration_seconds",
            "Duration of each step of the latest attempt. The step delivery is the time from \
             acceptance to arrival of the latest mail that arrived",
        );
        for (view, side, state) in self.sides() {
            for (step, duration) in state.steps.iter() {
                let labels = labels(view, [("side", side.label()), ("step", step.label())]);
                family.gauge_sample(&labels, duration.as_secs_f64());
            }
            if let (Side::Receive, Some(delivery)) = (side, view.snapshot.delivery) {
                let labels = labels(view, [("side", side.label()), ("step", "delivery")]);
                family.gauge_sample(&labels, delivery.as_secs_f64());
            }
        }
    }

    fn encode_tls_infos(&self, writer: &mut Writer<'_>) {
        let mut family = Family::gauge(
            writer,
            "mailtrip_tls_info",
            "TLS version and cipher suite of the latest connection. Always 1",
        );
        for (view, side, state) in self.sides() {
            if let Some(tls) = &state.tls {
                let labels = labels(
                    view,
                    [
                        ("side", side.label()),
                        ("version", tls.version),
                        ("cipher", tls.cipher.as_str()),
                    ],
                );
                family.gauge_sample(&labels, 1.0);
            }
        }
    }

    fn encode_target_infos(&self, writer: &mut Writer<'_>) {
        let mut family =
            Family::gauge(writer, "mailtrip_target_info", "Configuration of the target. Always 1");
        for view in self.views() {
            family.gauge_sample(&target_info(view), 1.0);
        }
    }

    /// Every side of every target.
    pub(super) fn sides(&self) -> impl Iterator<Item = (&View, Side, &SideState)> {
        self.views().flat_map(|view| {
            view.snapshot.sides.iter().map(move |(side, state)| (view, side, &**state))
        })
    }
}

fn target_info(view: &View) -> Labels<'_, 5> {
    let target = &view.target;
    let receive = target.receive.as_ref();
    labels(
        view,
        [
            ("passive", if target.passive { "true" } else { "false" }),
            ("mail_cluster", target.cluster.as_deref().unwrap_or_default()),
            ("protocol", receive.map_or("", |side| side.protocol.label())),
            ("send_host", target.send.endpoint.name()),
            ("receive_host", receive.map_or("", |side| side.endpoint.name())),
        ],
    )
}

/// The value, or NaN where there is none.
fn nan<T>(reading: Reading<T>, value: impl FnOnce(T) -> f64) -> Option<f64> {
    Some(reading.value().map_or(f64::NAN, value))
}
