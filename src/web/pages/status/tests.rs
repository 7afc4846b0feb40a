use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::account::Delay;
use crate::config::{Config, TargetName};
use crate::layers::ping::{Obstacle, Outcome};
use crate::layers::readings::{Checks, Round};
use crate::web::server::Request;
use ledger::Token;
use ledger::{Attempt, FoundIn, Ledger, Moment, Rules, SessionKind, Sighting, Transmission};
use ledger::{Failure, MailState, Reason, Step, TlsFacts};
use mail::Fault;

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
        let start = Moment { instant: crate::clock::now().instant, wall };
        Self { target, ledger, checks, start, now: start }
    }

    /// Time goes by, and then the mailbox is looked into.
    fn pass(&mut self, time: Duration) {
        self.now = Moment { instant: self.now.instant + time, wall: self.now.wall + time };
        self.ledger.looked_everywhere(self.now.instant, self.now);
    }

    /// A mail is accepted, and seen after this time if there is one.
    fn mail(&mut self, roundtrip: Option<Duration>) {
        let token = Token::random();
        self.ledger.period_began(self.now);
        self.ledger.sending(token, self.now);
        self.ledger.accepted(token, &Transmission::at(self.now.instant), self.now);
        self.ledger.send_ended(1, 1, &Attempt::default(), self.now);
        if let Some(roundtrip) = roundtrip {
            self.pass(roundtrip);
            let sighting = Sighting {
                folder: FoundIn::Inbox,
                shown_at: self.now.instant,
                asked_at: self.now.instant,
                network: Duration::ZERO,
                attended_since: self.start.instant,
                previous_look: Some(self.now.instant),
                dated: None,
                is_stamped_once: false,
                looks_failed: false,
                style: SessionKind::Held,
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
        let ports = vec![Some(Reading::Is(port)); self.target.port_checks().len()];
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

    /// What there is to say of the network beside its state.
    fn network_note(&mut self) -> String {
        let view = self.view();
        layers::lines(&view.snapshot, &view.layers).remove(0).note
    }

    fn view(&mut self) -> View {
        let snapshot = self.ledger.snapshot(self.now);
        let layers = self.checks.readings();
        View {
            target: Arc::clone(&self.target),
            snapshot,
            inspection: None,
            usual: None,
            standing: None,
            layers,
            lacks_junk_folder: false,
            next_mail: None,
            waits_for: None,
        }
    }

    /// What the page says of the four measures, and in which condition the target is.
    fn measures(&mut self) -> ([String; 4], Condition) {
        let (now, view) = (self.now.wall, self.view());
        let row = Row::new(&view, &[], now);
        let shown = |measure: &Measure| format!("{} {}", measure.value, measure.note);
        (row.measures.each_ref().map(|measure| shown(measure).trim().to_owned()), row.condition)
    }

    fn page(&mut self) -> String {
        let (now, view) = (self.now.wall, self.view());
        let views = [view];
        let query = Query::default();
        let listing = Listing::new(&views, &query);
        let rows = listing.shown.iter().map(|view| ListedRow::new(view, &[], now)).collect();
        let base = &PathPrefix::default();
        let page = StatusPage {
            base,
            assets: Assets::ALL,
            version: "1.2.3",
            links: Links { base, telemetry_path: "/metrics", shows_config: true },
            query: &query,
            refresh_seconds: 10,
            started: When::new(self.start.wall, now),
            reload_failed: false,
            shortages: Vec::new(),
            pasts: BTreeMap::new(),
            location: None,
            sharing: None,
            listing,
            rows,
            well: Vec::new(),
        };
        page.render().unwrap()
    }
}

/// What a reader sees of a page.
fn text(page: &str) -> String {
    let page = page.replace("<wbr>", "");
    let parts = page.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    let words: Vec<&str> = parts.flat_map(str::split_whitespace).collect();
    words.join(" ")
}

fn failure(message: &str, down: bool) -> Failure {
    let (step, reason) = (Step::Auth, Reason::Auth);
    Failure { step, reason, down, shortage: None, clue: None, message: message.to_owned() }
}

#[test]
fn before_the_first_probe_nothing_is_measured() {
    let mut case = Case::new("");
    let absent = ["not measured yet", "not measured yet", "no mail yet", "no mail yet"];
    let absent = absent.map(str::to_owned);
    assert_eq!(case.measures(), (absent, Condition::Unmeasured));
    let page = text(&case.page());
    assert!(!page.contains(" — ") && !page.contains("n/a"), "{page}");
    assert!(page.contains("1 not measured yet") && page.contains("not tried yet"), "{page}");
}

#[test]
fn a_good_target_shows_its_four_measures() {
    let mut case = Case::new("");
    case.check(None);
    case.mail(Some(Duration::from_millis(6_100)));
    let expected = ["100 %", "100 %", "0", "6.1 s 0.10 min"].map(str::to_owned);
    assert_eq!(case.measures(), (expected, Condition::Well));
    case.pass(Duration::from_secs(180));
    let page = case.page();
    for expected in ["1 well", "1 accepted, 1 received", "works", "3 min ago", "[2001:db8::1]:25"] {
        assert!(text(&page).contains(expected), "{expected} is missing in {page}");
    }
    assert!(!page.contains("class=\"words"));
    assert!(page.contains("datetime=\"2027-01-15T08:00:00Z\""), "{page}");
}

#[test]
fn a_name_is_shown_with_the_address_that_answered() {
    let mut case =
        Case::new(", receive: {protocol: imap, host: mail.example.com, username: u, password: p}");
    case.check(None);
    let address = Some("[2001:db8::7]:143".parse().unwrap());
    case.ledger.check_ended(&Attempt { address, ..Attempt::default() }, case.now);
    let page = text(&case.page());
    assert!(page.contains("mail.example.com:143 via 2001:db8::7"), "{page}");
}

#[test]
fn a_mail_that_does_not_come_is_late() {
    let mut case = Case::new(", late_after: 60s");
    case.check(None);
    case.mail(None);
    case.pass(Duration::from_secs(59));
    let waiting = ["100 %", "100 %", "1 oldest 59 s", "no mail yet"].map(str::to_owned);
    assert_eq!(case.measures(), (waiting, Condition::Well));
    case.pass(Duration::from_secs(1));
    let late = ["100 %", "100 %", "1 1 late, oldest 60 s", "no mail yet"].map(str::to_owned);
    assert_eq!(case.measures(), (late, Condition::Late));
    assert!(case.page().contains("1 late"), "the counter is missing");
}

#[test]
fn of_two_outstanding_mails_the_late_one_is_told() {
    let mut case = Case::new(", late_after: 60s");
    case.check(None);
    case.mail(None);
    case.pass(Duration::from_secs(50));
    case.mail(None);
    assert_eq!(case.measures().0[2], "2 oldest 50 s");
    case.pass(Duration::from_secs(10));
    assert_eq!(case.measures().0[2], "2 1 late, oldest 60 s");
    case.pass(Duration::from_secs(50));
    assert_eq!(case.measures().0[2], "2 2 late, oldest 110 s");
}

#[test]
fn a_side_that_fails_shows_step_reason_and_the_words_of_the_server() {
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
        "Cannot receive : step auth , reason auth , 7 s ago NO account locked To do: check username",
    ] {
        assert!(text(&page).contains(expected), "{expected} is missing in {page}");
    }
}

#[test]
fn a_side_that_works_again_leaves_its_newest_failure_to_the_page_of_the_target() {
    let mut case = Case::new("");
    case.mail(None);
    case.check(Some(failure("NO account locked", false)));
    assert!(case.page().contains("<div class=\"words failing\">"));
    case.check(None);
    let page = case.page();
    assert!(!page.contains("NO account locked") && text(&page).contains("1 well"), "{page}");
    let view = case.view();
    let row = Row::new(&view, &[], case.now.wall);
    let past = row.sides[1].past.as_ref().unwrap();
    assert_eq!(past.what, "Latest failure to receive");
    assert_eq!(past.words.as_deref(), Some("NO account locked"));
}

#[test]
fn a_passive_node_that_is_down_is_not_applicable() {
    let mut case = Case::new(", passive: true, cluster: corp");
    case.check(Some(failure("closed", true)));
    let attempt = Attempt { failures: vec![failure("closed", true)], ..Attempt::default() };
    case.ledger.send_ended(0, 1, &attempt, case.now);
    assert_eq!(
        case.measures(),
        (["standby is down"; 4].map(str::to_owned), Condition::NotApplicable)
    );
    let page = case.page();
    let words = "The standby is down, as a passive node may be: that is no failure";
    for expected in ["1 not applicable", "down (passive)", "passive", "cluster corp", words] {
        assert!(text(&page).contains(expected), "{expected} is missing in {page}");
    }
}

const SILENCE: Result<Outcome, Obstacle> = Ok(Outcome { sent: 5, received: 0, round_trips: None });
const REPLIES: Result<Outcome, Obstacle> = Ok(Outcome { sent: 5, received: 4, round_trips: None });

#[test]
fn delivery_is_not_known_while_a_mail_is_due_and_the_mailbox_cannot_be_read() {
    let mut case = Case::new(", late_after: 60s");
    case.check(None);
    case.mail(Some(Duration::from_secs(1)));
    case.check(Some(failure("NO account locked", false)));
    case.mail(None);
    assert_eq!(case.column()[4], "Delivery: arrives (well)");
    let minute = Duration::from_secs(60);
    case.now = Moment { instant: case.now.instant + minute, wall: case.now.wall + minute };
    assert_eq!(case.column()[4], "Delivery: not known: the mailbox cannot be read (unmeasured)");
}

#[test]
fn the_column_shows_each_layer_and_which_is_to_blame() {
    let mut case = Case::new(", ping: true, late_after: 60s");
    let unmeasured = ["Network", "TCP", "Send", "Receive", "Delivery"];
    assert_eq!(
        case.column(),
        unmeasured.map(|layer| format!("{layer}: not measured yet (unmeasured)"))
    );
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
    assert_eq!(case.network_note(), "4 of 5 requests answered");
    assert!(!case.page().contains("<small class=\"failing\">"), "something is to blame");
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
    let page = case.page();
    assert!(page.contains("<small class=\"failing\">Network: no answer</small>"), "{page}");
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
    assert_eq!(case.column()[0], "Network: not checked (not-applicable)");
    let mut case = Case::new(", ping: true");
    case.round(Err(Obstacle::Forbidden), false);
    assert_eq!(case.column()[0], "Network: not measured yet (unmeasured)");
    let note = case.network_note();
    assert!(note.contains("net.ipv4.ping_group_range") && note.contains("CAP_NET_RAW"), "{note}");
}

#[test]
fn a_passive_node_that_is_down_has_no_layers() {
    let mut case = Case::new(", passive: true, ping: true");
    case.round(SILENCE, false);
    case.check(Some(failure("closed", true)));
    let attempt = Attempt { failures: vec![failure("closed", true)], ..Attempt::default() };
    case.ledger.send_ended(0, 1, &attempt, case.now);
    let layers = ["Network", "TCP", "Send", "Receive", "Delivery"];
    assert_eq!(
        case.column(),
        layers.map(|layer| format!("{layer}: standby is down (not-applicable)"))
    );
    let readings = case.checks.readings();
    assert!(readings.ports.iter().all(|port| port.failures.total() == 0));
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
    assert!(!page.contains("<script>"), "{page}");
    assert!(page.contains("&#60;script&#62;alert(&#39;x&#39;)"), "{page}");
    assert!(page.contains("\\u{1b}[31m\\u{202e}") && !page.contains('\x1b'), "{page}");
    assert!(page.contains("yyy…</q>") && !page.contains(&"y".repeat(500)), "{page}");
    assert!(page.contains("a &#60;b&#62; &#38; &#34;c&#34;"), "{page}");
}

#[test]
fn the_page_loads_what_the_exporter_serves_and_nothing_stands_in_it_that_runs() {
    let page = Case::new("").page();
    for forbidden in ["<script>", "<style", " style=", "http://", "https://", " onclick", "url("] {
        assert!(!page.contains(forbidden), "{forbidden} in {page}");
    }
    let loaded: Vec<&str> = page.split("src=\"").skip(1).collect();
    assert!(
        !loaded.is_empty() && loaded.iter().all(|address| address.starts_with("/assets/")),
        "{page}"
    );
    assert!(page.contains("<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>"));
}

/// Targets of these names, with nothing known of them; `b` has failed to receive.
fn views(names: &[String]) -> Vec<View> {
    let view = |name: &String| {
        let mut case = Case::new(", cluster: Corp, labels: {site: fra}");
        if name == "b" {
            case.check(Some(failure("NO", false)));
        }
        let mut view = case.view();
        let mut target = Target::clone(&view.target);
        target.name = TargetName::new(name).unwrap();
        view.target = Arc::new(target);
        view
    };
    names.iter().map(view).collect()
}

/// The names that a query shows, and what the page says of their number.
fn listed(views: &[View], query: &str) -> Vec<String> {
    let uri = query.parse().unwrap();
    let peer = "127.0.0.1:5".parse().unwrap();
    let headers = hyper::HeaderMap::new();
    let request = Request::new(&hyper::Method::GET, &uri, &headers, peer, false);
    let listing = Listing::new(views, &Query::of(&request));
    listing.shown.iter().map(|view| view.target.name.to_string()).collect()
}

#[test]
fn the_worst_come_first_unless_the_order_is_by_name() {
    let views = views(&["a", "b", "c"].map(str::to_owned));
    assert_eq!(listed(&views, "/"), ["b", "a", "c"]);
    assert_eq!(listed(&views, "/?sort=name"), ["a", "b", "c"]);
    assert_eq!(listed(&views, "/?state=failing"), ["b"]);
    assert_eq!(listed(&views, "/?state=well"), [""; 0]);
    assert_eq!(listed(&views, "/?state=nonsense&page=x").len(), 3);
}

#[test]
fn a_search_needs_all_its_words_in_name_host_cluster_or_labels() {
    let views = views(&["Alpha", "beta"].map(str::to_owned));
    assert_eq!(listed(&views, "/?search=ALPH"), ["Alpha"]);
    for search in ["2001:db8", "corp", "site%3Dfra", "corp+fra"] {
        assert_eq!(listed(&views, &format!("/?search={search}")).len(), 2, "{search}");
    }
    assert_eq!(listed(&views, "/?search=alpha+beta"), [""; 0]);
}

#[test]
fn ten_thousand_targets_are_shown_a_page_at_a_time() {
    let one = views(&["x".to_owned()]);
    let many = vec![one[0].clone(); 10_000];
    let query = |page| Query { page, ..Query::default() };
    let listing = Listing::new(&many, &query(49));
    let counts = (listing.shown.len(), listing.matching, listing.page, listing.pages);
    assert_eq!(counts, (200, 10_000, 49, 50));
    assert_eq!(Listing::new(&many, &query(usize::MAX)).page, 49, "beyond the end");
    assert_eq!(Listing::new(&[], &query(7)).pages, 1);
}

#[test]
fn a_query_is_kept_in_the_links_of_the_page() {
    let query = Query {
        search: "a&b <c>".to_owned(),
        state: Some(Condition::Late),
        order: Order::Name,
        page: 2,
    };
    assert_eq!(query.to_string(), "/?search=a%26b+%3Cc%3E&state=late&sort=name&page=3");
    assert_eq!(query.with_page(0).to_string(), "/?search=a%26b+%3Cc%3E&state=late&sort=name");
    assert_eq!(query.with_state(None).to_string(), "/?search=a%26b+%3Cc%3E&sort=name");
    assert_eq!(Query::default().to_string(), "/");
}

/// What the page of the fleet folds, and what stands open.
fn folded(count: usize, query: &Query) -> (usize, usize) {
    let mut cases: Vec<Case> = (0..count).map(|_| Case::new("")).collect();
    for (index, case) in cases.iter_mut().enumerate() {
        case.check((index == 3).then(|| failure("NO", false)));
        case.mail(Some(Duration::from_secs(1)));
    }
    let now = cases[0].now.wall;
    let views: Vec<View> = cases.iter_mut().map(Case::view).collect();
    let rows = views.iter().map(|view| ListedRow::new(view, &[], now)).collect();
    let (rows, well) = split(rows, query);
    (rows.len(), well.len())
}

#[test]
fn many_targets_that_are_well_are_folded_unless_a_reader_chooses() {
    let all = Query::default();
    assert_eq!(folded(26, &all), (26, 0), "25 are well");
    assert_eq!(folded(27, &all), (1, 26));
    for query in [
        Query { search: "a".to_owned(), ..all.clone() },
        Query { state: Some(Condition::Well), ..all.clone() },
        Query { order: Order::Name, ..all.clone() },
        all.with_page(1),
    ] {
        assert_eq!(folded(27, &query), (27, 0), "{query}");
    }
}

/// The notes of a target whose newest mails came to this, newest first.
fn notes(case: &mut Case, states: &[MailState]) -> Vec<String> {
    let now = case.now.wall;
    let probe = |state: &MailState| Probe { state: *state, ..a_probe(now) };
    let probes: Vec<Probe> = states.iter().map(probe).collect();
    let view = case.view();
    let shown = |note: &Note| format!("{}: {}", note.class, note.what);
    Row::new(&view, &probes, now).notes.iter().map(shown).collect()
}

fn a_probe(began: SystemTime) -> Probe {
    Probe {
        token: Token::random(),
        began,
        steps: Arc::new([]),
        failure: None,
        accepted_after: None,
        roundtrip: None,
        folder: None,
        state: MailState::Received,
        is_late: false,
        ended: None,
        report: None,
    }
}

#[test]
fn a_loss_is_told_even_after_other_mail_has_arrived() {
    let mut case = Case::new(", lost_after: 1d");
    case.check(None);
    case.mail(Some(Duration::from_secs(1)));
    assert_eq!(notes(&mut case, &[MailState::Received]), [""; 0]);
    let lost =
        "late: One of the latest 2 mails was lost: accepted, and not in the mailbox after 1 day";
    assert_eq!(notes(&mut case, &[MailState::Received, MailState::Lost]), [lost]);
    // Of the four only three were accepted.
    let both = [MailState::Refused, MailState::Bounced, MailState::Bounced, MailState::Lost];
    let told = notes(&mut case, &both);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], "late: 2 of the latest 3 mails bounced");
    assert!(told[1].starts_with("late: One of the latest 3 mails was lost: "), "{told:?}");
    let only = notes(&mut case, &[MailState::Lost]);
    assert!(only[0].starts_with("late: The latest mail was lost: "), "{only:?}");
    let all = notes(&mut case, &[MailState::Bounced; 2]);
    assert_eq!(all, ["late: All of the latest 2 mails bounced"]);
}

#[test]
fn a_note_leads_to_its_alert_in_the_runbook() {
    let mut case = Case::new(", late_after: 60s");
    case.check(None);
    case.mail(None);
    case.pass(Duration::from_secs(60));
    case.check(Some(failure("NO account locked", false)));
    let attempt = Attempt { failures: vec![failure("closed", false)], ..Attempt::default() };
    case.ledger.send_ended(0, 1, &attempt, case.now);
    let states = [MailState::Lost, MailState::Bounced];
    let probes = states.map(|state| Probe { state, ..a_probe(case.now.wall) });
    let (now, view) = (case.now.wall, case.view());
    let anchors: Vec<_> =
        Row::new(&view, &probes, now).notes.iter().filter_map(|note| note.runbook).collect();
    let expected = [
        "mailtripcannotsend",
        "mailtripcannotreceive",
        "mailtripmailslost",
        "mailtripmailsbounced",
    ];
    assert_eq!(anchors, expected);
    let base = &"/mail".parse().unwrap();
    let links = Links { base, telemetry_path: "/metrics", shows_config: false };
    let runbook = crate::web::pages::runbook::page(links).unwrap();
    let others = [
        "mailtripmailoverdue",
        "mailtripportunreachable",
        "mailtripnetworkunreachable",
        "mailtripcertificateexpiring",
        "mailtripcertificateexpired",
    ];
    for anchor in expected.into_iter().chain(others) {
        assert!(runbook.contains(&format!("<h2 id=\"{anchor}\">")), "{anchor}");
    }
    assert!(case.page().contains("href=\"/runbook#mailtripcannotreceive\""));
}

#[test]
fn a_loss_comes_before_a_mail_that_is_late_and_what_to_do_stands_there_once() {
    let mut case = Case::new(", late_after: 60s");
    case.check(None);
    case.mail(None);
    case.pass(Duration::from_secs(60));
    case.check(None);
    let probes = [Probe { state: MailState::Lost, ..a_probe(case.now.wall) }];
    let (now, view) = (case.now.wall, case.view());
    let row = Row::new(&view, &probes, now);
    let shown: Vec<_> = row.notes.iter().map(|it| (&*it.what, it.advice.is_some())).collect();
    let [(lost, true), (late, false)] = *shown else { panic!("{shown:?}") };
    assert!(lost.contains("was lost") && late.contains("is late"), "{shown:?}");
}

#[test]
fn a_port_beside_the_sides_that_does_not_answer_is_told_with_its_reason() {
    let mut case = Case::new(", ports: ['web:10.0.0.9:443']");
    case.check(None);
    case.mail(Some(Duration::from_secs(1)));
    case.round(SILENCE, true);
    assert_eq!(notes(&mut case, &[]), [""; 0]);
    case.round(SILENCE, false);
    let (now, view) = (case.now.wall, case.view());
    let row = Row::new(&view, &[], now);
    let note = row.notes.iter().find(|note| note.what.contains("443")).unwrap();
    assert_eq!(note.what, "Port 443 of 10.0.0.9 (web) does not answer");
    assert_eq!(note.words.as_deref(), Some("refused: refused"));
}

#[test]
fn a_certificate_that_ends_within_two_weeks_or_has_ended_is_told_with_whose_it_is() {
    const DAY: i64 = 86_400;
    for (own, chain, told) in [
        (13 * DAY, 13 * DAY, Some("The certificate of [2001:db8::1]:110 ends in 13 days")),
        (
            90 * DAY,
            13 * DAY,
            Some("A certificate in the chain of [2001:db8::1]:110 ends in 13 days"),
        ),
        (-3 * DAY, 13 * DAY, Some("The certificate of [2001:db8::1]:110 ended 3 days ago")),
        (15 * DAY, 15 * DAY, None),
    ] {
        let mut case = Case::new("");
        let now = case.now.wall;
        let end = |seconds: i64| match u64::try_from(seconds) {
            Ok(seconds) => now + Duration::from_secs(seconds),
            Err(_) => now - Duration::from_secs(seconds.unsigned_abs()),
        };
        let facts = TlsFacts {
            version: "TLSv1.3",
            cipher: "x".to_owned(),
            leaf_not_after: end(own),
            chain_not_after: end(chain),
            is_resumed: false,
        };
        let attempt = Attempt { tls: Some(facts), ..Attempt::default() };
        case.ledger.check_ended(&attempt, case.now);
        let told: Vec<String> = told.iter().map(|words| format!("late: {words}")).collect();
        assert_eq!(notes(&mut case, &[]), told);
    }
}

#[test]
fn a_mail_that_is_due_and_waits_is_told_with_what_it_waits_for() {
    let mut case = Case::new("");
    let mut view = case.view();
    for (waits_for, key) in [
        (Some(Delay::Connection), Some("max_connections")),
        (Some(Delay::Place), Some("max_concurrent_probes")),
        (None, None),
    ] {
        view.waits_for = waits_for;
        let words = crate::web::pages::target::recipe(&view, case.now.wall);
        assert_eq!(words.contains("waits for"), key.is_some(), "{words}");
        assert!(key.is_none_or(|key| words.contains(key)), "{words}");
    }
}
