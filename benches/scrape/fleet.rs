//! Targets that look as they do after some periods, without a server.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ledger::{
    Attempt, Failure, FoundIn, LineInstant, Reading, Reason, SessionKind, Sighting, Step, TlsFacts,
    Token, Transmission,
};
use mail::inspection::{Inspection, Rules, TransitTimes};
use mail::text::Scrubber;
use mailtrip_exporter::config::Config;
use mailtrip_exporter::layers::ping::{Outcome, RoundTrips};
use mailtrip_exporter::layers::readings::Round;
use mailtrip_exporter::probing::send::Origin;
use mailtrip_exporter::supervisor::{Supervisor, TargetHandle};

/// So many periods are over.
const PERIODS: usize = 24;
/// One target of so many has failed now and then, and fails now.
const FAILING_OF: usize = 20;

/// A supervisor of so many targets. None of their loops has had a turn to speak of.
pub(crate) async fn supervisor(targets: usize) -> Arc<Supervisor> {
    let config = Config::parse(&configuration(targets), Path::new("bench.yml")).unwrap();
    let origin = Origin { instance: Token::random(), host: None };
    let supervisor = Supervisor::start(config, None, origin).await.unwrap();
    for (number, handle) in supervisor.handles().iter().enumerate() {
        for period in 0..PERIODS {
            live(handle, number, period + 1 == PERIODS).await;
        }
    }
    supervisor
}

fn configuration(targets: usize) -> String {
    let mut text = String::from("targets:\n");
    for number in 0..targets {
        // Nobody listens at port 9, should a loop have its turn.
        write!(
            text,
            "- name: mail-{number:05}.example\n  host: 127.0.0.1\n  interval: 5m\n  cluster: c{}\n  \
             labels: {{site: site-{}, customer: customer-{}}}\n  from: probe@t{number}.example\n  \
             to: probe@t{number}.example\n  ping: true\n  inspect: true\n  \
             send: {{port: 9, username: u, password: p}}\n  \
             receive: {{protocol: imap, port: 9, username: u{number}, password: p}}\n",
            number / 2,
            number % 17,
            number % 401,
        )
        .unwrap();
    }
    text
}

/// A period of a target.
async fn live(handle: &TargetHandle, number: usize, is_newest: bool) {
    let TargetHandle { target, account, checks, .. } = handle;
    let token = Token::random();
    let is_failing = number.is_multiple_of(FAILING_OF) && is_newest;
    account.check_ended(&attempt(&Step::RECEIVE, number, is_failing));
    account.sending("", &[token]).await;
    let began = now();
    account.accepted(token, &Transmission::at(began));
    account.send_ended(
        1,
        1,
        &Attempt { tokens: vec![token], ..attempt(&Step::SEND, number, false) },
    );
    let seen = now();
    account.seen(
        token,
        Sighting {
            folder: FoundIn::Inbox,
            shown_at: seen,
            asked_at: seen,
            previous_look: Some(began),
            dated: None,
            is_stamped_once: false,
            looks_failed: false,
            network: Duration::ZERO,
            attended_since: began,
            style: SessionKind::Held,
        },
    );
    let now = SystemTime::now();
    let transit = TransitTimes { transmitted: Some(now), seen: now, arrived: Some(now) };
    let rules = Rules { authserv_id: None, scrubber: &Scrubber::default() };
    let mailbox = target.receive.as_ref().unwrap().mailbox_id().to_string();
    account.inspected(mailbox.into(), Inspection::read(HEADER.as_bytes(), transit, rules), false);
    let took = Duration::from_micros(700 + number as u64);
    let round_trips = Some(RoundTrips { min: took, mean: took * 2, max: took * 3 });
    let ping = Some(Ok(Outcome { sent: 3, received: 3, round_trips }));
    let ports = target.port_checks().iter().map(|_| Some(Reading::Is(Ok(took)))).collect();
    checks.record(Round { began: SystemTime::now(), ping, ports }, false);
}

fn now() -> LineInstant {
    mailtrip_exporter::clock::now().instant
}

fn attempt(steps: &[Step], number: usize, fails: bool) -> Attempt {
    let failure = Failure {
        step: Step::Auth,
        reason: Reason::Auth,
        down: false,
        shortage: None,
        clue: None,
        message: "the server refuses the login: NO [AUTHENTICATIONFAILED] Authentication failed"
            .into(),
    };
    let time = |step: &Step| (*step, Duration::from_micros(1_234 + (number * 37 % 40_000) as u64));
    let in_days = |days: u64| SystemTime::now() + Duration::from_secs(days * 86_400);
    Attempt {
        failures: if fails { vec![failure] } else { Vec::new() },
        steps: steps.iter().map(time).collect(),
        address: Some(([192, 0, 2, 1], 993).into()),
        handshake: Some(Duration::from_millis(1)),
        tls: Some(TlsFacts {
            version: "TLSv1.3",
            cipher: "TLS_AES_256_GCM_SHA384".into(),
            leaf_not_after: in_days(60),
            chain_not_after: in_days(60),
            is_resumed: false,
        }),
        ..Attempt::default()
    }
}

const HEADER: &str = "Authentication-Results: mx.example; spf=pass; dkim=pass; dmarc=pass\n\
    Received: from out.example (out.example [192.0.2.7]) by mx.example with ESMTPS id 2\n\
    \t(TLS1.3); Mon, 30 Nov 2026 03:00:01 +0000\n\
    Received: from probe (probe [192.0.2.8]) by out.example with ESMTPSA id 1;\n\
    \tMon, 30 Nov 2026 03:00:00 +0000\n\
    X-Spam-Status: No, score=-1.2 required=5.0\n\n";
