use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use super::*;
use crate::config::Config;
use crate::layers::ping::{Obstacle, Outcome};
use crate::layers::readings::{Checks, Round};
use crate::mail::{Failure, Fault, Reason, Stage};
use crate::target::ledger::{Attempt, FoundIn, Ledger, LookStyle, Moment, Rules, Sighting};
use crate::target::message::Token;

/// A target, its account, and the time at which it is looked at.
struct Case {
    target: Arc<Target>,
    ledger: Ledger,
    checks: Checks,
    start: Moment,
    now: Moment,
}

impl Case {
    fn new(keys: &str) -> Self {
        let yaml = format!(
            "defaults: {{from: a@b.example, to: a@b.example, receive: {{protocol: pop3, username: \
             u, password: p}}}}\ntargets: [{{name: 'a <b> & \"c\"', host: 2001:db8::1{keys}}}]\n"
        );
        let config = Config::parse(&yaml, Path::new("test.yml")).unwrap();
        let target = Arc::clone(config.targets.values().next().unwrap());
        let ledger = Ledger::new(Rules::from(target.as_ref()));
        let checks = Checks::default();
        checks.set_target(&target);
        let wall = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let start = Moment { instant: Instant::now(), wall };
        Self { target, ledger, checks, start, now: start }
    }

    fn pass(&mut self, time: Duration) {
        self.now = Moment { instant: self.now.instant + time, wall: self.now.wall + time };
    }

    /// A mail is accepted, and seen after this time if there is one.
    fn mail(&mut self, roundtrip: Option<Duration>) {
        let token = Token::random();
        self.ledger.period_began(self.now);
        self.ledger.sending(token, self.now);
        self.ledger.accepted(token, self.now.instant, self.now);
        self.ledger.send_ended(1, 1, &Attempt::default(), self.now);
        if let Some(roundtrip) = roundtrip {
            self.pass(roundtrip);
            let sighting = Sighting {
                folder: FoundIn::Inbox,
                shown_at: self.now.instant,
                previous_look: Some(self.now.instant),
                dated: None,
                style: LookStyle::Command,
            };
            self.ledger.seen(token, sighting, self.now);
        }
    }

    fn check(&mut self, failure: Option<Failure>) {
        let attempt = Attempt { failures: failure.into_iter().collect(), ..Attempt::default() };
        self.ledger.check_ended(&attempt, self.now);
    }

    /// A round in which the ping came to this, and every port answered or none.
    fn round(&mut self, ping: Result<Outcome, Obstacle>, answers: bool) {
        let port = if answers {
            Ok(Duration::from_millis(1))
        } else {
            Err(Fault::down(Reason::Refused, "refused"))
        };
        let ports = vec![Reading::Is(port); self.target.port_checks().len()];
        let ping = self.target.ping.is_some().then_some(ping);
        let round = Round { began: self.now.wall, ping, ports };
        self.checks.record(round, self.target.passive);
    }

    /// The column of layers, the lowest first: words and condition, and a mark at the one to blame.
    fn column(&mut self) -> Vec<String> {
        let view = self.view();
        let lines = layers::lines(&view.snapshot, &view.layers);
        let shown = lines.iter().map(|line| {
            let blame = if line.is_to_blame { "!" } else { "" };
            format!("{}: {} ({}){blame}", line.heading, line.words, line.condition.class())
        });
        shown.collect()
    }

    fn view(&mut self) -> View {
        let snapshot = self.ledger.snapshot(self.now);
        let layers = self.checks.readings();
        View { target: Arc::clone(&self.target), snapshot, inspection: None, layers }
    }

    /// What the page says of the four measures, and in which condition the target is.
    fn measures(&mut self) -> ([String; 4], Condition) {
        let (now, view) = (self.now.wall, self.view());
        let row = Row::new(&view, now);
        let shown = |measure: &Measure| format!("{} {}", measure.value, measure.note);
        (row.measures.each_ref().map(|measure| shown(measure).trim().to_owned()), row.condition)
    }

    fn page(&mut self) -> String {
        let (now, view) = (self.now.wall, self.view());
        let rows = vec![Row::new(&view, now)];
        let page = StatusPage {
            version: "1.2.3",
            links: Links { telemetry_path: "/metrics", shows_config: true },
            refresh_seconds: 10,
            started: When::new(self.start.wall, now),
            reload_failed: false,
            summary: summary(&rows),
            rows,
        };
        page.render().unwrap()
    }
}

fn failure(message: &str, down: bool) -> Failure {
    Failure { stage: Stage::Auth, reason: Reason::Auth, down, message: message.to_owned() }
}

#[test]
fn before_the_first_probe_nothing_is_measured() {
    let mut case = Case::new("");
    assert_eq!(case.measures(), (["—"; 4].map(str::to_owned), Condition::Unmeasured));
    let page = case.page();
    assert!(page.contains("1 not measured yet") && page.contains("not tried yet"), "{page}");
}

#[test]
fn a_good_target_shows_its_four_measures() {
    let mut case = Case::new("");
    case.check(None);
    case.mail(Some(Duration::from_millis(6_100)));
    let expected = ["100 %", "100 %", "0", "0.10 min 6.1 s"].map(str::to_owned);
    assert_eq!(case.measures(), (expected, Condition::Well));
    case.pass(Duration::from_secs(180));
    let page = case.page();
    for expected in ["1 well", "1 accepted, 1 received", "works", "3 min ago", "[2001:db8::1]:25"] {
        assert!(page.contains(expected), "{expected} is missing in {page}");
    }
    assert!(!page.contains("Newest failure"));
    assert!(page.contains("datetime=\"2027-01-15T08:00:00Z\""), "{page}");
}

#[test]
fn a_mail_that_does_not_come_is_late() {
    let mut case = Case::new(", late_after: 60s");
    case.check(None);
    case.mail(None);
    case.pass(Duration::from_secs(59));
    let waiting = ["100 %", "100 %", "1 oldest 59 s", "—"].map(str::to_owned);
    assert_eq!(case.measures(), (waiting, Condition::Well));
    case.pass(Duration::from_secs(1));
    let late = ["100 %", "100 %", "1 late, oldest 60 s", "—"].map(str::to_owned);
    assert_eq!(case.measures(), (late, Condition::Late));
    assert!(case.page().contains("1 late"), "the counter is missing");
}

#[test]
fn a_side_that_fails_shows_stage_reason_and_the_words_of_the_server() {
    let mut case = Case::new("");
    case.mail(None);
    case.check(Some(failure("NO account locked", false)));
    case.check(Some(failure("NO account locked", false)));
    let (measures, condition) = case.measures();
    assert_eq!((measures[1].as_str(), condition), ("0 %", Condition::Failing));
    case.pass(Duration::from_secs(7));
    let page = case.page();
    for expected in [
        "1 failing",
        "fails, 2 in a row",
        "Newest failure to receive: stage <b>auth</b>, reason <b>auth</b>",
        "7 s ago",
        "<q>NO account locked</q>",
    ] {
        assert!(page.contains(expected), "{expected} is missing in {page}");
    }
}

#[test]
fn a_side_that_works_again_keeps_its_newest_failure_in_view() {
    let mut case = Case::new("");
    case.mail(None);
    case.check(Some(failure("NO account locked", false)));
    assert!(case.page().contains("<p class=\"failing\">"));
    case.check(None);
    let page = case.page();
    assert!(page.contains("NO account locked") && page.contains("1 well"), "{page}");
    assert!(!page.contains("<p class=\"failing\">"), "an old failure looks like one of now");
}

#[test]
fn a_passive_node_that_is_down_is_not_applicable() {
    let mut case = Case::new(", passive: true, cluster: corp");
    case.check(Some(failure("closed", true)));
    let attempt = Attempt { failures: vec![failure("closed", true)], ..Attempt::default() };
    case.ledger.send_ended(0, 1, &attempt, case.now);
    assert_eq!(case.measures(), (["n/a"; 4].map(str::to_owned), Condition::NotApplicable));
    let page = case.page();
    for expected in ["1 not applicable", "down, and passive", ">passive<", "cluster corp"] {
        assert!(page.contains(expected), "{expected} is missing in {page}");
    }
}

const SILENCE: Result<Outcome, Obstacle> = Ok(Outcome { sent: 5, received: 0, round_trips: None });
const REPLIES: Result<Outcome, Obstacle> = Ok(Outcome { sent: 5, received: 4, round_trips: None });

#[test]
fn the_column_shows_each_layer_and_which_is_to_blame() {
    let mut case = Case::new(", ping: true, late_after: 60s");
    let unmeasured = ["Network", "TCP", "Send", "Receive", "Delivery"];
    assert_eq!(case.column(), unmeasured.map(|layer| format!("{layer}: — (unmeasured)")));
    case.round(REPLIES, true);
    case.check(None);
    case.mail(Some(Duration::from_secs(1)));
    let well = [
        "Network: answers (well)",
        "TCP: answers (well)",
        "Send: works (well)",
        "Receive: works (well)",
        "Delivery: arrives (well)",
    ];
    assert_eq!(case.column(), well);
    assert!(case.page().contains("4 of 5 requests answered"));
    assert!(!case.page().contains("to blame</b>"));
    case.round(SILENCE, true);
    assert_eq!(case.column()[0], "Network: silent, but TCP answers (not-applicable)");
    case.mail(None);
    case.pass(Duration::from_secs(60));
    assert_eq!(case.column()[4], "Delivery: late, lost or bounced (failing)!");
    case.check(Some(failure("NO account locked", false)));
    assert_eq!(case.column()[3], "Receive: fails (failing)!");
    assert_eq!(case.column()[4], "Delivery: late, lost or bounced (failing)");
    case.round(REPLIES, false);
    let tcp = "TCP: send 25: refused, receive 110: refused (failing)!";
    assert_eq!(case.column()[1], tcp);
    case.pass(Duration::from_secs(1));
    case.round(SILENCE, false);
    assert_eq!(case.column()[0], "Network: no answer (failing)!");
    assert!(case.page().contains("no answer <b class=\"blame\">to blame</b>"));
}

#[test]
fn a_mail_test_since_the_round_began_clears_the_network_and_an_older_one_does_not() {
    let mut case = Case::new(", ping: true");
    case.check(None);
    case.pass(Duration::from_secs(1));
    case.round(SILENCE, false);
    assert_eq!(case.column()[0], "Network: no answer (failing)!");
    case.check(None);
    assert_eq!(case.column()[0], "Network: silent, but TCP answers (not-applicable)");
}

#[test]
fn a_ping_that_is_forbidden_or_not_asked_for_is_said_to_be_so() {
    let mut case = Case::new("");
    case.round(SILENCE, true);
    assert_eq!(case.column()[0], "Network: not checked (unmeasured)");
    let mut case = Case::new(", ping: true");
    case.round(Err(Obstacle::Forbidden), false);
    assert_eq!(case.column()[0], "Network: — (unmeasured)");
    let page = case.page();
    assert!(page.contains("net.ipv4.ping_group_range") && page.contains("CAP_NET_RAW"), "{page}");
}

#[test]
fn a_passive_node_that_is_down_has_no_layers() {
    let mut case = Case::new(", passive: true, ping: true");
    case.round(SILENCE, false);
    case.check(Some(failure("closed", true)));
    let attempt = Attempt { failures: vec![failure("closed", true)], ..Attempt::default() };
    case.ledger.send_ended(0, 1, &attempt, case.now);
    let layers = ["Network", "TCP", "Send", "Receive", "Delivery"];
    assert_eq!(case.column(), layers.map(|layer| format!("{layer}: n/a (not-applicable)")));
    let readings = case.checks.readings();
    assert!(readings.ports.iter().flat_map(|port| port.failures()).all(|(_, count)| count == 0));
    // Once it answers it is measured like any other.
    case.round(SILENCE, true);
    assert_eq!(case.column()[1], "TCP: answers (well)");
    assert_eq!(case.checks.readings().network(), Reading::Is(false));
}

#[test]
fn what_a_server_or_a_file_says_is_escaped_and_cut() {
    let mut case = Case::new("");
    let words = format!("<script>alert('x')</script>\x1b[31m\u{202e}{}", "y".repeat(10_000));
    case.check(Some(failure(&words, false)));
    let page = case.page();
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("&#60;script&#62;alert(&#39;x&#39;)"), "{page}");
    assert!(page.contains("\\u{1b}[31m\\u{202e}") && !page.contains('\x1b'), "{page}");
    assert!(page.contains("yyy…</q>") && !page.contains(&"y".repeat(500)), "{page}");
    assert!(page.contains("a &#60;b&#62; &#38; &#34;c&#34;"), "{page}");
}

#[test]
fn the_page_loads_nothing_and_runs_nothing() {
    let page = Case::new("").page();
    for forbidden in ["<script", "http://", "https://", " src=", "@import", "onclick", "url("] {
        assert!(!page.contains(forbidden), "{forbidden} in {page}");
    }
    assert!(page.contains("<meta http-equiv=\"refresh\" content=\"10\">"));
}

#[test]
fn times_are_shown_in_a_unit_that_suits_them() {
    let milliseconds = Duration::from_millis;
    let shown = |duration| format!("{} = {}", minutes(duration), exact(duration));
    assert_eq!(shown(milliseconds(110)), "0.0018 min = 110 ms");
    assert_eq!(shown(milliseconds(6_000)), "0.10 min = 6.0 s");
    assert_eq!(shown(milliseconds(754_000)), "12.6 min = 12 min");
    assert_eq!(shown(milliseconds(10_800_000)), "180 min = 3 h");
    let ages = [0, 119, 120, 7_199, 7_200, 172_800].map(|age| rough(Duration::from_secs(age)));
    assert_eq!(ages, ["0 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
}

#[test]
fn a_clock_that_was_set_back_makes_no_negative_age() {
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    assert_eq!(When::new(now + Duration::from_secs(5), now).age, "0 s ago");
}
