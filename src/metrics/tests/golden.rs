//! The whole text of some odd targets, byte for byte: a change of it is a change for everybody who reads it.

use super::*;

/// The targets by name: one of which everything is known, a passive one that is down, one of which nothing is
/// known, and one whose name and labels are as long as they are plain.
fn odd_views() -> Views {
    let [mut known, mut down, mut fresh, mut plain] =
        [false, true, false, false].map(|passive| target(passive).as_ref().clone());
    fresh.labels.clear();
    down.name = TargetName::new(r"\").unwrap();
    fresh.name = TargetName::new("fresh").unwrap();
    plain.name = TargetName::new("plain.example").unwrap();
    plain.labels = [("a", "ü\r{}"), ("b", ""), ("c_9", "x,y=\"\\\\\n\n")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    known.cluster = Some("\"\n\\".to_owned());
    let mut port = known.ports.first().unwrap().clone();
    port.name = "a \"port\"".into();
    known.ports = vec![port];
    let views = [
        (known, Some(telling_header()), Ok(ECHO), Some(0.0)),
        (down, None, Err(Obstacle::Forbidden), None),
        (fresh, Some("Subject: x\n\n".to_owned()), Ok(ECHO), None),
        (plain, None, Ok(Outcome { round_trips: None, received: 0, ..ECHO }), Some(0.123_456_789)),
    ];
    let view = |(target, header, ping, first): (Target, Option<String>, _, Option<f64>)| {
        let (target, rules) = (Arc::new(target.clone()), Rules::from(&target));
        let mut ledger = first.map_or_else(|| Ledger::new(rules), |first| eventful(rules, first));
        if target.passive {
            let down = Failure { down: true, ..failure(Step::Connect, Reason::Refused) };
            ledger.check_ended(&Attempt { failures: vec![down], ..Attempt::default() }, now());
        }
        view_with(&target, &mut ledger, header.as_deref(), &checked(&target, ping))
    };
    views.into_iter().map(view).collect()
}

/// Mails in every bucket, the first after so many seconds, and failures.
fn eventful(rules: Rules, first: f64) -> Ledger {
    let start = now();
    let later = |seconds| {
        let elapsed = Duration::from_secs_f64(seconds);
        Moment { instant: start.instant + elapsed, wall: start.wall + elapsed }
    };
    let mut ledger = Ledger::new(rules);
    let steps = |all: &[Step]| -> Vec<_> {
        all.iter().zip(1..).map(|(step, n)| (*step, Duration::from_nanos(7 << (2 * n)))).collect()
    };
    for number in 0..16_u8 {
        let seconds = f64::from(number).exp2() / 64.0 + first;
        let token = Token::find(&format!("{number:032x}")).unwrap();
        ledger.sending(token, later(0.1));
        ledger.accepted(token, &Transmission::at(later(0.1).instant), later(0.1));
        let came = later(seconds).instant;
        let sighting = Sighting {
            folder: FoundIn::Inbox,
            shown_at: came,
            asked_at: came,
            network: Duration::ZERO,
            attended_since: start.instant,
            previous_look: Some(came),
            dated: None,
            is_stamped_once: false,
            looks_failed: false,
            style: SessionKind::Held,
        };
        ledger.seen(token, sighting, later(seconds));
    }
    let tls = TlsFacts { cipher: "A\"B\\C\n".into(), ..tls() };
    let attempt = |all| Attempt { steps: steps(all), tls: Some(tls.clone()), ..Attempt::default() };
    ledger.send_ended(2, 3, &attempt(&Step::SEND), later(600.25));
    let failures = vec![failure(Step::Auth, Reason::Auth), failure(Step::Fetch, Reason::Closed)];
    ledger.check_ended(&Attempt { failures, ..attempt(&Step::RECEIVE) }, later(601.0));
    ledger
}

/// Without what is of this run, of this build or of this machine.
fn repeatable(page: &str) -> String {
    let line = |line: &str| {
        let is_of_this_run = OF_THIS_RUN.iter().any(|name| line.starts_with(name));
        match line.find("{version=").or(line.rfind(' ')).filter(|_| is_of_this_run) {
            Some(end) => format!("{} ...\n", line.get(..end).unwrap_or_default()),
            None => format!("{line}\n"),
        }
    };
    page.split_terminator('\n').map(line).collect()
}

const OF_THIS_RUN: [&str; 7] = [
    "mailtrip_build_info",
    "mailtrip_tcp_port_last_failure_timestamp_seconds",
    "process_cpu_seconds_total",
    "process_virtual_memory_bytes",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
];

#[test]
fn the_text_of_odd_targets_is_what_it_always_was() {
    let shard = Shard::parse("1/3", "").ok();
    for (syntax, expected) in [
        (Syntax::OpenMetrics, include_str!("../testdata/openmetrics.txt")),
        (Syntax::Classic, include_str!("../testdata/classic.txt")),
    ] {
        let facts = ExporterFacts { shard, ..facts() };
        let page = repeatable(&pieces(odd_views(), Some(facts), syntax).collect::<String>());
        for (line, expected) in page.split('\n').zip(expected.split('\n')) {
            assert_eq!(line, expected, "{syntax:?}");
        }
        assert_eq!(page.len(), expected.len(), "{syntax:?}");
    }
}

/// Where a family begins on one piece and ends on another, nothing between tells of it.
#[test]
fn targets_are_written_alike_wherever_a_piece_ends() {
    for syntax in [Syntax::OpenMetrics, Syntax::Classic] {
        let page: String = pieces(views(100), None, syntax).collect();
        let of = |target: &str| -> String {
            let label = format!("target=\"{target}\"");
            let lines = page.split_inclusive('\n').filter(|line| line.contains(&label));
            lines.map(|line| line.replace(&label, "target=\"t0\"")).collect()
        };
        let of_first = of("t0");
        assert!(of_first.lines().count() > 90);
        for target in ["t31", "t32", "t99"] {
            assert_eq!(of(target), of_first, "{syntax:?}");
        }
    }
}
