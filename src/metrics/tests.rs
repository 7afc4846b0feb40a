use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::*;
use crate::account::UsualWay;
use crate::config::{Config, Shard, Target, TargetName};
use crate::layers::ping::{Obstacle, Outcome, RoundTrips};
use crate::layers::readings::{Checks, Round};
use crate::probing::lag::Lag;
use crate::standing::findings::Standing;
use crate::store::FindingKind;
use crate::supervisor::{View, Views};
use ledger::TlsFacts;
use ledger::Token;
use ledger::UsualDelay;
use ledger::{
    Attempt, FoundIn, Ledger, Moment, Reading, Rules, SessionKind, Sighting, Transmission,
};
use ledger::{Failure, Reason, Step};
use mail::Fault;
use mail::inspection::{Inspection, TransitTimes};
use mail::text::Scrubber;

mod golden;
mod strict;

/// A target whose name and labels need escaping.
const ODD_NAME: &str = r#"a "b" \ ü"#;

fn target(passive: bool) -> Arc<Target> {
    let text = format!(
        "targets:\n- name: m\n  host: mail.example\n  passive: {passive}\n  cluster: corp\n  \
         labels: {{site: \"x\\n\\\"y\"}}\n  from: a@b.example\n  to: c@d.example\n  \
         ping: true\n  ports: ['web:80', 'closed:81', 'new:82']\n  \
         receive: {{protocol: imap, username: u, password: p}}\n"
    );
    let config = Config::parse(&text, Path::new("test.yml")).unwrap();
    let mut target = config.targets.values().next().unwrap().as_ref().clone();
    target.name = TargetName::new(ODD_NAME).unwrap();
    Arc::new(target)
}

fn now() -> Moment {
    Moment {
        instant: crate::clock::now().instant,
        wall: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
    }
}

fn facts() -> ExporterFacts {
    let reload = ReloadState { is_successful: true, last_success: now().wall };
    ExporterFacts {
        reload,
        started: now().wall,
        store_errors: 7,
        may_ping: Some(true),
        shortages: [1, 2, 3, 4, 5],
        lag: [lateness(), lateness()],
        external_url: Some("https://h.test/mail".to_owned()),
        shard: None,
        location: Some("fra".to_owned()),
        targets: 3,
    }
}

/// Of one that was late once.
fn lateness() -> Lateness {
    let lag = Lag::default();
    lag.observe(OwnPart::Start, Duration::from_millis(300));
    lag.of(OwnPart::Start)
}

/// All of it, as OpenMetrics.
fn encode(views: impl IntoIterator<Item = View>, facts: ExporterFacts) -> String {
    pieces(views.into_iter().collect(), Some(facts), Syntax::OpenMetrics).collect()
}

fn page(target: &Arc<Target>, ledger: &mut Ledger) -> String {
    page_of(target, ledger, None)
}

/// The page once a mail with this header has come.
fn page_of(target: &Arc<Target>, ledger: &mut Ledger, header: Option<&str>) -> String {
    page_with(target, ledger, header, &checked(target, Ok(ECHO)))
}

fn page_with(
    target: &Arc<Target>,
    ledger: &mut Ledger,
    header: Option<&str>,
    checks: &Checks,
) -> String {
    encode([view_with(target, ledger, header, checks)], facts())
}

fn view_with(
    target: &Arc<Target>,
    ledger: &mut Ledger,
    header: Option<&str>,
    checks: &Checks,
) -> View {
    let wall = now().wall;
    let transit = TransitTimes { transmitted: Some(wall), seen: wall, arrived: Some(wall) };
    let rules = mail::inspection::Rules { authserv_id: None, scrubber: &Scrubber::default() };
    let inspection =
        header.map(|header| Arc::new(Inspection::read(header.as_bytes(), transit, rules)));
    let (snapshot, layers) = (ledger.snapshot(now()), checks.readings());
    View {
        target: Arc::clone(target),
        snapshot,
        inspection,
        usual: None,
        standing: None,
        layers,
        lacks_junk_folder: false,
        next_mail: None,
        waits_for: None,
    }
}

/// A ping with one reply of two.
const ECHO: Outcome = Outcome {
    sent: 2,
    received: 1,
    round_trips: Some(RoundTrips {
        min: Duration::from_millis(1),
        mean: Duration::from_millis(2),
        max: Duration::from_millis(4),
    }),
};

/// Checks with a round in which the ping came to this, the ports `send` and `web` answered in 5 ms,
/// `receive` and `closed` refused, and the turn of `new` did not come.
fn checked(target: &Target, ping: Result<Outcome, Obstacle>) -> Checks {
    let checks = Checks::default();
    checks.set_target(target);
    let refused = Fault::down(Reason::Refused, "refused");
    let ports = vec![
        Some(Reading::Is(Ok(Duration::from_millis(5)))),
        Some(Reading::Is(Err(refused.clone()))),
        Some(Reading::Is(Ok(Duration::from_millis(5)))),
        Some(Reading::Is(Err(refused))),
        Some(Reading::Unmeasured),
    ];
    checks.record(Round { began: now().wall, ping: Some(ping), ports }, target.passive);
    checks
}

/// The value of a series without the label `target` and the configured one.
fn value(page: &str, series: &str) -> Option<f64> {
    let escaped = r#"target="a \"b\" \\ ü""#;
    let configured = r#"site="x\n\"y""#;
    let series = match series.trim_end_matches('}').split_once('{') {
        // The encoder puts the bound of a bucket first.
        Some((name, bound)) if bound.starts_with("le=") => {
            format!("{name}{{{bound},{escaped},{configured}}} ")
        }
        Some((name, labels)) => format!("{name}{{{escaped},{labels},{configured}}} "),
        None => format!("{series}{{{escaped},{configured}}} "),
    };
    // Without its exemplar.
    let value = |line: &str| line.strip_prefix(&series)?.split(' ').next()?.parse().ok();
    page.lines().find_map(value)
}

fn tls() -> TlsFacts {
    TlsFacts {
        version: "TLSv1.3",
        cipher: "TLS_AES_256_GCM_SHA384".into(),
        leaf_not_after: UNIX_EPOCH + Duration::from_secs(1_900_000_000),
        is_resumed: false,
        chain_not_after: UNIX_EPOCH + Duration::from_secs(1_850_000_000),
    }
}

/// An account in which every series exists.
fn busy(rules: Rules) -> Ledger {
    let mut ledger = Ledger::new(rules);
    let start = now();
    let later = |seconds| Moment {
        instant: start.instant + Duration::from_secs(seconds),
        wall: start.wall + Duration::from_secs(seconds),
    };
    let token = Token::random();
    ledger.period_began(start);
    ledger.sending(token, start);
    ledger.accepted(token, &Transmission::at(start.instant), later(1));
    let steps = |all: &[Step]| all.iter().map(|step| (*step, Duration::from_millis(5))).collect();
    let attempt = Attempt { steps: steps(&Step::SEND), tls: Some(tls()), ..Attempt::default() };
    ledger.send_ended(1, 1, &attempt, later(1));
    let attempt = Attempt { steps: steps(&Step::RECEIVE), ..attempt };
    ledger.check_ended(&attempt, later(1));
    let sighting = Sighting {
        folder: FoundIn::Junk,
        shown_at: later(90).instant,
        asked_at: later(90).instant,
        network: Duration::ZERO,
        attended_since: start.instant,
        previous_look: Some(later(89).instant),
        dated: None,
        is_stamped_once: false,
        looks_failed: false,
        style: SessionKind::Held,
    };
    ledger.seen(token, sighting, later(90));
    ledger
}

#[test]
fn the_four_are_nan_before_they_are_measured() {
    let target = target(false);
    let page = page(&target, &mut Ledger::new(Rules::from(target.as_ref())));
    for name in [
        "mailtrip_send_ability_percent",
        "mailtrip_receive_ability_percent",
        "mailtrip_outstanding_messages",
        "mailtrip_roundtrip_minutes",
    ] {
        assert!(value(&page, name).unwrap().is_nan(), "{name}");
    }
    assert_eq!(value(&page, "mailtrip_server_up{side=\"send\"}"), None);
    assert_eq!(value(&page, "mailtrip_consecutive_failures{side=\"send\"}"), None);
    for never in ["failures_total{side=\"send\"}", "tcp_port_failures_total{port_name=\"web\"}"] {
        assert_eq!(value(&page, &format!("mailtrip_{never}")), Some(0.0), "{never}");
    }
    assert!(!page.contains("\nmailtrip_failure_reasons_total"));
    assert_eq!(value(&page, "mailtrip_probes_found_total{folder=\"junk\"}"), Some(0.0));
}

#[test]
fn measured_values_have_their_units() {
    let target = target(false);
    let page = page(&target, &mut busy(Rules::from(target.as_ref())));
    for (series, expected) in [
        ("mailtrip_send_ability_percent", 100.0),
        ("mailtrip_receive_ability_percent", 100.0),
        ("mailtrip_outstanding_messages", 0.0),
        ("mailtrip_roundtrip_minutes", 1.5),
        ("mailtrip_roundtrip_last_seconds", 90.0),
        ("mailtrip_roundtrip_seconds_sum", 90.0),
        ("mailtrip_roundtrip_seconds_count", 1.0),
        ("mailtrip_roundtrip_seconds_bucket{le=\"60.0\"}", 0.0),
        ("mailtrip_roundtrip_seconds_bucket{le=\"300.0\"}", 1.0),
        ("mailtrip_roundtrip_seconds_bucket{le=\"+Inf\"}", 1.0),
        ("mailtrip_step_duration_seconds{side=\"receive\",step=\"delivery\"}", 89.0),
        ("mailtrip_step_duration_seconds{side=\"send\",step=\"tls\"}", 0.005),
        ("mailtrip_probes_found_total{folder=\"junk\"}", 1.0),
        ("mailtrip_interval_seconds", 300.0),
        ("mailtrip_late_after_seconds", 300.0),
        ("mailtrip_server_up{side=\"receive\"}", 1.0),
        ("mailtrip_last_success_timestamp_seconds{side=\"send\"}", 1_800_000_001.0),
        ("mailtrip_tls_chain_not_after_timestamp_seconds{side=\"send\"}", 1_850_000_000.0),
    ] {
        assert_eq!(value(&page, series), Some(expected), "{series}");
    }
    assert!(page.contains("\nmailtrip_store_errors_total 7\n"));
    for (resource, count) in
        [("descriptors", 1), ("memory", 2), ("ports", 3), ("threads", 4), ("look_ups", 5)]
    {
        let line = format!("mailtrip_exporter_shortages_total{{resource=\"{resource}\"}} {count}");
        assert!(page.contains(&line), "{line}");
    }
    assert!(page.contains("version=\"TLSv1.3\",cipher=\"TLS_AES_256_GCM_SHA384\",site="));
    assert!(page.contains(
        "passive=\"false\",mail_cluster=\"corp\",protocol=\"imap\",\
        send_host=\"mail.example\",receive_host=\"mail.example\",site=\"x\\n\\\"y\"} 1.0"
    ));
}

/// A header in which everything is found, stamped in the second of [`now`].
fn telling_header() -> String {
    let stamp = mail_parser::DateTime::from_timestamp(1_800_000_000).to_rfc822();
    let hop = |n: u32| {
        format!("Received: from x (x [203.0.113.{n}]) by h{n}.example with ESMTPS id 1; {stamp}\n")
    };
    let hops: String = (1..=9).map(hop).collect();
    "Authentication-Results: h1.example; spf=pass; dkim=fail; dmarc=<b>\n".to_owned()
        + &hops
        + "X-Spam-Status: Yes, score=7.5 required=5.0\n\
           X-Spamd-Result: default: False [-1.20 / 15.00]\n\
           X-MS-Exchange-Organization-SCL: -1\n\
           X-Proofpoint-Spam-Details: rule=notspam score=0\n\
           X-Barracuda-Spam-Status: No, SCORE=0.50\n\n"
}

#[test]
fn what_the_header_tells_is_there_once_it_was_read() {
    let target = target(false);
    let mut ledger = busy(Rules::from(target.as_ref()));
    let page = page_of(&target, &mut ledger, Some(&telling_header()));
    for (series, expected) in [
        ("mailtrip_hop_delay_seconds{hop=\"1\"}", 0.0),
        ("mailtrip_hop_delay_seconds{hop=\"8\"}", 0.0),
        ("mailtrip_authentication_result{method=\"spf\",result=\"pass\"}", 1.0),
        ("mailtrip_authentication_result{method=\"dkim\",result=\"fail\"}", 1.0),
        ("mailtrip_authentication_result{method=\"dmarc\",result=\"other\"}", 1.0),
        ("mailtrip_spam_score{filter=\"spamassassin\"}", 7.5),
        ("mailtrip_spam_flag{filter=\"spamassassin\"}", 1.0),
        ("mailtrip_spam_score{filter=\"exchange\"}", -1.0),
        ("mailtrip_spam_flag{filter=\"barracuda\"}", 0.0),
        ("mailtrip_last_hop_tls", 1.0),
    ] {
        assert_eq!(value(&page, series), Some(expected), "{series}");
    }
    assert!(!page.contains("hop=\"9\"") && !page.contains("<b>"));

    let without = page_of(&target, &mut ledger, None);
    let nothing = page_of(&target, &mut ledger, Some("Subject: x\n\n"));
    for name in
        ["hop_delay_seconds", "authentication_result", "spam_score", "spam_flag", "last_hop"]
    {
        let sample = format!("\nmailtrip_{name}{{");
        assert!(!without.contains(&sample) && !nothing.contains(&sample), "{name}");
    }
}

#[test]
fn what_is_usual_is_there_where_it_is_wanted_and_not_even_named_elsewhere() {
    let plain = target(false);
    let mut ledger = busy(Rules::from(plain.as_ref()));
    let name = "mailtrip_hop_usual_delay_seconds";
    let checks = Checks::default();
    let view = view_with(&plain, &mut ledger, Some(&telling_header()), &checks);
    assert!(!encode([view.clone()], facts()).contains(name));
    let mut wanting = plain.as_ref().clone();
    wanting.usual = true;
    let wanting = View { target: Arc::new(wanting), ..view };
    let page = encode([wanting.clone()], facts());
    assert!(page.contains(&format!("# HELP {name} ")) && !page.contains(&format!("{name}{{")));
    let median = Duration::from_millis(2_500);
    let usual = Some(UsualDelay { median, most: median });
    // The ninth is not the delay of a hop that is reported, but of the way into the mailbox.
    let way: UsualWay = [usual, None].into_iter().chain([usual; 7]).collect();
    let page = encode([View { usual: Some(Arc::new(way)), ..wanting }], facts());
    assert_eq!(value(&page, &format!("{name}{{hop=\"1\"}}")), Some(2.5));
    assert_eq!(value(&page, &format!("{name}{{hop=\"8\"}}")), Some(2.5));
    assert_eq!(page.matches(&format!("{name}{{")).count(), 7, "of hop 2 nothing is known");
}

#[test]
fn a_passive_target_that_is_down_is_nan() {
    let target = target(true);
    let mut ledger = busy(Rules::from(target.as_ref()));
    let down = Failure { down: true, ..failure(Step::Connect, Reason::Refused) };
    let attempt = Attempt { failures: vec![down], ..Attempt::default() };
    ledger.check_ended(&attempt, now());
    let page = page(&target, &mut ledger);
    for name in [
        "mailtrip_receive_ability_percent",
        "mailtrip_outstanding_messages",
        "mailtrip_roundtrip_minutes",
        "mailtrip_consecutive_failures{side=\"receive\"}",
    ] {
        assert!(value(&page, name).unwrap().is_nan(), "{name}");
    }
    assert_eq!(value(&page, "mailtrip_send_ability_percent"), Some(100.0));
    assert_eq!(value(&page, "mailtrip_server_up{side=\"receive\"}"), Some(0.0));
    let series = "mailtrip_attempts_not_applicable_total{side=\"receive\"}";
    assert_eq!(value(&page, series), Some(1.0));
}

#[test]
fn layers_ping_and_ports_have_their_values() {
    let target = target(false);
    let page = page(&target, &mut busy(Rules::from(target.as_ref())));
    for (series, expected) in [
        ("mailtrip_ping_availability_percent", 100.0),
        ("mailtrip_ping_packet_loss_percent", 50.0),
        ("mailtrip_ping_rtt_min_seconds", 0.001),
        ("mailtrip_ping_rtt_avg_seconds", 0.002),
        ("mailtrip_ping_rtt_max_seconds", 0.004),
        ("mailtrip_tcp_port_availability_percent{port_name=\"send\"}", 100.0),
        ("mailtrip_tcp_port_availability_percent{port_name=\"receive\"}", 0.0),
        ("mailtrip_tcp_port_response_seconds{port_name=\"web\"}", 0.005),
        ("mailtrip_tcp_port_failures_total{port_name=\"web\"}", 0.0),
        ("mailtrip_tcp_port_failures_total{port_name=\"closed\"}", 1.0),
        ("mailtrip_tcp_port_failure_reasons_total{port_name=\"closed\",reason=\"refused\"}", 1.0),
        ("mailtrip_layer_state{layer=\"network\"}", 1.0),
        ("mailtrip_layer_state{layer=\"tcp\"}", 0.0),
        ("mailtrip_layer_state{layer=\"send\"}", 1.0),
        ("mailtrip_layer_state{layer=\"delivery\"}", 1.0),
    ] {
        assert_eq!(value(&page, series), Some(expected), "{series}");
    }
    for series in [
        "mailtrip_tcp_port_availability_percent{port_name=\"new\"}",
        "mailtrip_tcp_port_response_seconds{port_name=\"closed\"}",
    ] {
        assert!(value(&page, series).unwrap().is_nan(), "{series}");
    }
    let newest = "mailtrip_tcp_port_last_failure_timestamp_seconds";
    for port in ["receive", "closed"] {
        let date = value(&page, &format!("{newest}{{port_name=\"{port}\",reason=\"refused\"}}"));
        assert!(date.is_some_and(|date| date > 1_700_000_000.0), "{port}: {date:?}");
    }
    assert_eq!(page.matches(&format!("\n{newest}{{")).count(), 2, "the others have not failed");
    assert!(page.contains("\nmailtrip_ping_permitted 1.0\n"));
}

#[test]
fn what_the_system_forbids_to_ping_is_nan_and_never_0() {
    let target = target(false);
    let checks = checked(&target, Err(Obstacle::Forbidden));
    let page = page_with(&target, &mut busy(Rules::from(target.as_ref())), None, &checks);
    for gauge in ["availability_percent", "packet_loss_percent", "rtt_min_seconds"] {
        assert!(value(&page, &format!("mailtrip_ping_{gauge}")).unwrap().is_nan(), "{gauge}");
    }
    assert!(value(&page, "mailtrip_layer_state{layer=\"network\"}").unwrap().is_nan());
    let sharded = ExporterFacts { shard: Shard::parse("1/3", "").ok(), ..facts() };
    for (location, labels) in [(Some("fra"), ",location=\"fra\""), (None, "")] {
        let facts = ExporterFacts { location: location.map(str::to_owned), ..sharded.clone() };
        let page = encode(None, facts);
        let info = format!("\nmailtrip_shard_info{{shard=\"1\",shards=\"3\"{labels}}} 1.0\n");
        assert!(page.contains(&info), "{page}");
        let place = if labels.is_empty() { "" } else { "{location=\"fra\"}" };
        assert!(page.contains(&format!("\nmailtrip_config_targets{place} 3.0\n")), "{page}");
    }
    assert!(!encode(None, facts()).contains("mailtrip_shard_info"));
    let permitted = ExporterFacts { may_ping: Some(false), ..facts() };
    assert!(encode(None, permitted).contains("\nmailtrip_ping_permitted 0.0\n"));
    let unknown = ExporterFacts { may_ping: None, ..facts() };
    assert!(!encode(None, unknown).contains("mailtrip_ping_permitted"));
}

fn failure(step: Step, reason: Reason) -> Failure {
    Failure { step, reason, down: false, shortage: None, clue: None, message: "no".into() }
}

#[test]
fn what_failed_is_there_by_cause_and_the_newest_with_its_date_also_after_a_success() {
    let target = target(false);
    let mut ledger = Ledger::new(Rules::from(target.as_ref()));
    let later = |seconds| {
        let Moment { instant, wall } = now();
        let elapsed = Duration::from_secs(seconds);
        Moment { instant: instant + elapsed, wall: wall + elapsed }
    };
    let failures = [
        failure(Step::Envelope, Reason::Deferred),
        failure(Step::Envelope, Reason::Deferred),
        failure(Step::Data, Reason::Closed),
    ];
    for (seconds, failure) in (1..).zip(failures) {
        let attempt = Attempt { failures: vec![failure], ..Attempt::default() };
        ledger.send_ended(0, 1, &attempt, later(seconds));
    }
    ledger.send_ended(1, 1, &Attempt::default(), later(9));
    let page = page(&target, &mut ledger);
    for (series, expected) in [
        ("failures_total{side=\"send\"}", Some(3.0)),
        ("failures_total{side=\"receive\"}", Some(0.0)),
        ("failure_reasons_total{side=\"send\",step=\"envelope\",reason=\"deferred\"}", Some(2.0)),
        ("failure_reasons_total{side=\"send\",step=\"data\",reason=\"closed\"}", Some(1.0)),
        ("failure_reasons_total{side=\"send\",step=\"data\",reason=\"deferred\"}", None),
        (
            "last_failure_timestamp_seconds{side=\"send\",step=\"data\",reason=\"closed\"}",
            Some(1_800_000_003.0),
        ),
    ] {
        assert_eq!(value(&page, &format!("mailtrip_{series}")), expected, "{series}");
    }
    let newest = "\nmailtrip_last_failure_timestamp_seconds{";
    assert_eq!(page.matches(newest).count(), 1, "one for each side that has failed");
}

#[test]
fn a_port_takes_three_series_that_of_a_side_one_and_ping_with_the_layers_ten() {
    let target = target(false);
    let page = page(&target, &mut busy(Rules::from(target.as_ref())));
    let of = |prefix: &str| page.lines().filter(|line| line.starts_with(prefix)).count();
    let of_failures = 2 + 1;
    assert_eq!(of("mailtrip_tcp_port_"), 2 + 3 * 3 + of_failures);
    assert_eq!(of("mailtrip_ping_") - of("mailtrip_ping_permitted") + of("mailtrip_layer_"), 10);
}

#[test]
fn the_page_ends_as_open_metrics_ends_and_every_help_is_one_line() {
    let target = target(false);
    let page = page(&target, &mut busy(Rules::from(target.as_ref())));
    assert!(page.ends_with("# EOF\n"));
    for line in page.lines() {
        let is_sample = line.starts_with("mailtrip_") || line.starts_with("process_");
        assert!(is_sample || line.starts_with("# "), "{line}");
        assert!(!line.contains("{}"), "{line}");
    }
}

/// Pages of targets that are all alike but for their names.
fn views(count: usize) -> Views {
    let target = target(false);
    let mut ledger = busy(Rules::from(target.as_ref()));
    let view =
        view_with(&target, &mut ledger, Some(&telling_header()), &checked(&target, Ok(ECHO)));
    let named = |number| {
        let mut target = target.as_ref().clone();
        target.name = TargetName::new(&format!("t{number}")).unwrap();
        View { target: Arc::new(target), ..view.clone() }
    };
    (0..count).map(named).collect()
}

/// The name of the family of each line, one for all lines that follow each other.
fn families(page: &str) -> Vec<(String, usize)> {
    let mut families: Vec<(String, usize)> = Vec::new();
    for line in page.lines() {
        if let Some(metadata) = line.strip_prefix("# HELP ") {
            families.push((metadata.split(' ').next().unwrap().to_owned(), 0));
        } else if !line.starts_with('#') {
            let (name, samples) = families.last_mut().unwrap();
            assert!(line.starts_with(name.as_str()), "{line} is in the family {name}");
            *samples += 1;
        }
    }
    families
}

#[test]
fn a_page_of_many_targets_has_each_family_once_and_whole() {
    const TARGETS: usize = 150;
    for syntax in [Syntax::OpenMetrics, Syntax::Classic] {
        let page = |views| pieces(views, None, syntax).collect::<String>();
        let (one, many) = (page(views(1)), page(views(TARGETS)));
        let expected: Vec<_> =
            families(&one).into_iter().map(|(name, samples)| (name, samples * TARGETS)).collect();
        assert_eq!(families(&many), expected);
        assert_eq!(many.contains("# EOF\n"), syntax == Syntax::OpenMetrics);
        assert_eq!(many.matches("# TYPE ").count(), one.matches("# TYPE ").count());
    }
}

#[test]
fn a_strict_reader_finds_the_unit_of_each_family_that_has_one() {
    let page: String = pieces(views(2), Some(facts()), Syntax::OpenMetrics).collect();
    let families = strict::read(&page);
    let of = |name: &str| families[name].unit.as_deref();
    assert_eq!(of("mailtrip_roundtrip_seconds"), Some("seconds"));
    assert_eq!(of("mailtrip_roundtrip_minutes"), Some("minutes"));
    assert_eq!(of("mailtrip_send_ability_percent"), Some("percent"));
    assert_eq!(of("mailtrip_outstanding_messages"), Some("messages"));
    assert_eq!(of("process_resident_memory_bytes"), Some("bytes"));
    assert_eq!(of("process_cpu_seconds"), Some("seconds"));
    assert_eq!(of("mailtrip_probes"), None);
    for (name, family) in &families {
        let last = name.rsplit('_').next();
        let is_unit =
            ["seconds", "bytes", "percent", "minutes", "messages"].contains(&last.unwrap());
        assert_eq!(family.unit.as_deref(), last.filter(|_| is_unit), "{name}");
    }
    assert!(families["mailtrip_probes"].samples.iter().all(|sample| sample.value == "1"));
    let site = ("site".to_owned(), "x\n\"y".to_owned());
    let infos = &families["mailtrip_target_info"].samples;
    assert!(infos.iter().all(|info| info.labels.contains(&site)));
}

#[test]
fn the_newest_mail_of_a_bucket_is_its_exemplar() {
    let target = target(false);
    let rules = Rules::from(target.as_ref());
    let view = |ledger: &mut Ledger| view_with(&target, ledger, None, &Checks::default());
    let (mut silent, mut busy) = (view(&mut Ledger::new(rules)), view(&mut busy(rules)));
    for (view, name) in [(&mut silent, "silent"), (&mut busy, "busy")] {
        let mut target = target.as_ref().clone();
        target.name = TargetName::new(name).unwrap();
        view.target = Arc::new(target);
    }
    let token = busy.snapshot.exemplars.of(6).expect("a mail took 90 s").token.to_string();
    let views: Views = [silent, busy].into_iter().collect();

    let page: String = pieces(views.clone(), None, Syntax::OpenMetrics).collect();
    let families = strict::read(&page);
    let with_exemplar: Vec<_> = families["mailtrip_roundtrip_seconds"]
        .samples
        .iter()
        .filter_map(|sample| Some((&sample.labels, sample.exemplar.as_ref()?)))
        .collect();
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let labels = vec![label("le", "300.0"), label("target", "busy"), label("site", "x\n\"y")];
    let exemplar = (vec![label("token", &token)], 90.0, 1_800_000_090.0);
    assert_eq!(with_exemplar, [(&labels, &exemplar)]);

    let page: String = pieces(views, None, Syntax::Classic).collect();
    assert!(!page.contains(&token) && page.contains("mailtrip_roundtrip_seconds_bucket"));
}

#[test]
fn the_text_of_many_targets_is_never_whole_in_memory() {
    for syntax in [Syntax::OpenMetrics, Syntax::Classic] {
        let pieces = pieces(views(300), Some(facts()), syntax);
        let mut length = 0;
        let budget = mail::fuzz::Budget { bytes: 512 << 10, per_byte: 0 };
        budget.hold("a scrape", 0, || length = pieces.map(|piece| piece.len()).sum::<usize>());
        assert!(length > 2 << 20, "{length}");
    }
}

#[test]
fn every_metric_is_documented() {
    let documentation = include_str!("../../docs/metrics.md");
    let target = target(false);
    let mut ledger = busy(Rules::from(target.as_ref()));
    let checks = checked(&target, Ok(ECHO));
    let view = view_with(&target, &mut ledger, Some(&telling_header()), &checks);
    let shard = Some(Shard::parse("0/2", "").unwrap());
    let page = encode([view], ExporterFacts { shard, ..facts() });
    assert!(page.contains("mailtrip_shard_info{"), "{page}");
    for line in page.lines() {
        let Some(name) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split(' ').next())
        else {
            continue;
        };
        let is_there = |ending| documentation.contains(&format!("`{name}{ending}`"));
        assert!(
            ["", "_total", "_info"].into_iter().any(is_there),
            "{name} is not in docs/metrics.md"
        );
    }
}

/// `promtool check metrics` reads the classic format and lints names, help texts and types.
#[test]
fn promtool_finds_nothing_but_the_minutes() {
    let page: String = pieces(views(1), Some(facts()), Syntax::Classic).collect();
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool is needed (`make test` installs it): {error}"));
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    let complaints: Vec<&str> = words.lines().filter(|line| !line.is_empty()).collect();
    // The unit is given by the generic mail-server model; the histogram has the base unit.
    let minutes = "mailtrip_roundtrip_minutes use base unit \"seconds\" instead of \"minutes\"";
    assert_eq!(complaints, [minutes]);
}

#[test]
fn no_label_of_the_exporter_can_be_configured() {
    let target = target(false);
    let mut ledger = busy(Rules::from(target.as_ref()));
    ledger.look_failed(&failure(Step::Fetch, Reason::Closed), now());
    let checks = checked(&target, Ok(ECHO));
    let view = view_with(&target, &mut ledger, Some(&telling_header()), &checks);
    let expecting = view_expecting("refused", Reading::Is(true));
    let page = encode([view, view_with_lists(), expecting], facts());
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    // An exemplar is not part of the series.
    let samples = samples.filter_map(|sample| sample.split(" # {").next());
    let labels = samples.filter_map(|line| line.split_once('{')?.1.rsplit_once('}'));
    let mut names = BTreeSet::new();
    for (labels, _) in labels {
        let mut rest = labels.replace(r"\\", "").replace(r#"\""#, "");
        while let Some((name, value)) = rest.clone().split_once("=\"") {
            names.insert(name.trim_start_matches(',').to_owned());
            rest = value.split_once('"').unwrap().1.to_owned();
        }
    }
    assert!(names.remove("site"), "the one that is configured");
    let known: BTreeSet<String> = crate::config::labels::OF_THE_EXPORTER.map(str::to_owned).into();
    assert_eq!(names, known);
}

/// A target that is listed on one list, not listed on another, and of which a third does not tell.
fn view_with_lists() -> View {
    let yaml = "targets: [{name: lists, host: h, from: a@b.example, to: a@b.example, receive: \
                {protocol: pop3, username: u, password: p}, dnsbl: {lists: [a.example, b.example, \
                c.example]}, domain_checks: {checks: [mx, spf, tls_rpt, dane]}}]\n";
    let config = Config::parse(yaml, Path::new("test.yml")).unwrap();
    let target = config.targets.values().next().unwrap();
    let standing = Standing::default();
    standing.set_target(target);
    standing.record(FindingKind::Dnsbl, "a.example", Reading::Is(false), "listed");
    standing.record(FindingKind::Dnsbl, "b.example", Reading::Is(true), "");
    let checked = [
        ("mx", Reading::Is(true)),
        ("spf", Reading::Is(false)),
        ("tls_rpt", Reading::NotApplicable),
    ];
    for (check, is_well) in checked {
        standing.record(FindingKind::Domain, check, is_well, "");
    }
    let mut ledger = Ledger::new(Rules::from(target.as_ref()));
    let checks = Checks::default();
    checks.set_target(target);
    let view = view_with(target, &mut ledger, None, &checks);
    View { standing: Some(standing.findings()), ..view }
}

#[test]
fn a_list_that_does_not_tell_is_nan_and_where_none_is_asked_nothing_tells_of_lists() {
    let page = encode([view_with_lists()], facts());
    let of_lists: Vec<&str> =
        page.lines().filter(|line| line.starts_with("mailtrip_dnsbl_listed{")).collect();
    let sample = |list: &str, value: &str| {
        format!("mailtrip_dnsbl_listed{{target=\"lists\",dnsbl=\"{list}\"}} {value}")
    };
    let expected = [("a.example", "1.0"), ("b.example", "0.0"), ("c.example", "NaN")];
    assert_eq!(of_lists, expected.map(|(list, value)| sample(list, value)));
    let target = target(false);
    let page = page_of(&target, &mut busy(Rules::from(target.as_ref())), None);
    assert!(!page.contains("dnsbl"), "a page of others");
}

#[test]
fn a_check_passed_failed_or_is_nan_and_where_none_is_made_nothing_tells_of_checks() {
    let page = encode([view_with_lists()], facts());
    let of_checks: Vec<&str> =
        page.lines().filter(|line| line.starts_with("mailtrip_domain_check_passed{")).collect();
    let sample = |check: &str, value: &str| {
        format!("mailtrip_domain_check_passed{{target=\"lists\",check=\"{check}\"}} {value}")
    };
    let expected = [("mx", "1.0"), ("spf", "0.0"), ("tls_rpt", "NaN"), ("dane", "NaN")];
    assert_eq!(of_checks, expected.map(|(check, value)| sample(check, value)));
    let target = target(false);
    let page = page_of(&target, &mut busy(Rules::from(target.as_ref())), None);
    assert!(!page.contains("domain_check"), "a page of others");
}

/// A target whose mails must not pass, and that has this to show for it.
fn view_expecting(expect: &str, is_met: Reading<bool>) -> View {
    let yaml = format!(
        "targets: [{{name: gate, host: h, from: a@b.example, to: a@b.example, expect: {expect}, receive: \
         {{protocol: imap, username: u, password: p}}}}]\n"
    );
    let config = Config::parse(&yaml, Path::new("test.yml")).unwrap();
    let target = config.targets.values().next().unwrap();
    let mut ledger = Ledger::new(Rules::from(target.as_ref()));
    ledger.judged("", is_met, "said", now());
    view_with(target, &mut ledger, None, &Checks::default())
}

#[test]
fn an_expectation_is_met_or_not_or_nothing_is_proved() {
    for (expect, is_met, value) in [
        ("refused", Reading::Is(true), "1.0"),
        ("junk", Reading::Is(false), "0.0"),
        ("nothing", Reading::Unmeasured, "NaN"),
    ] {
        let page = encode([view_expecting(expect, is_met)], facts());
        let sample =
            format!("mailtrip_expectation_met{{target=\"gate\",expect=\"{expect}\"}} {value}");
        assert!(page.lines().any(|line| line == sample), "{page}");
        for measure in ["send_ability_percent", "roundtrip_minutes"] {
            let nan = format!("mailtrip_{measure}{{target=\"gate\"}} NaN");
            assert!(page.lines().any(|line| line == nan), "{page}");
        }
    }
    let target = target(false);
    let page = page_of(&target, &mut busy(Rules::from(target.as_ref())), None);
    assert!(!page.contains("expectation"), "a page of others");
}
