//! The bracket of an arrival and the clock of the server, held to an oracle that knows when each mail
//! came: over a network with latency and jitter, by clocks that are off, drift and are set.

use super::super::arrival::arrival;
use super::*;

/// One mail, and what goes on around it.
#[derive(Debug, Clone)]
struct Mail {
    /// Between the one before and this.
    pause_ms: u32,
    /// From the server's acceptance to its being shown.
    delay_ms: u32,
    /// Of the server, before it replies to the final dot.
    thinking_ms: u16,
    /// Of each way of the network, for one message after the other.
    jitter_ms: [u16; 8],
    restarts: bool,
    /// By how many seconds the server's clock is set before this mail.
    set: Option<i16>,
}

fn mail() -> impl Strategy<Value = Mail> {
    let delay = prop_oneof![3 => 0_u32..400, 2 => 0_u32..20_000, 1 => 0_u32..200_000];
    let set = prop_oneof![9 => Just(None), 1 => (-3_000_i16..3_000).prop_map(Some)];
    let jitter = prop::array::uniform8(0_u16..30);
    (1_000_u32..600_000, delay, 0_u16..3_000, jitter, prop::bool::weighted(0.1), set).prop_map(
        |(pause_ms, delay_ms, thinking_ms, jitter_ms, restarts, set)| Mail {
            pause_ms,
            delay_ms,
            thinking_ms,
            jitter_ms,
            restarts,
            set,
        },
    )
}

#[derive(Debug, Clone)]
struct Path {
    style: SessionKind,
    /// One way.
    latency_ms: u16,
    offset_ms: i32,
    /// Of the server's clock against ours, in millionths; an operating system slews by 500 at most.
    drift: i16,
}

fn path() -> impl Strategy<Value = Path> {
    let style = prop_oneof![Just(SessionKind::Held), Just(SessionKind::PerPoll)];
    (style, 0_u16..300, -90_000_i32..90_000, -450_i16..450).prop_map(
        |(style, latency_ms, offset_ms, drift)| Path { style, latency_ms, offset_ms, drift },
    )
}

/// Both hosts. Times are from the beginning on.
struct World {
    path: Path,
    start: Moment,
    elapsed: Duration,
    set: i64,
    attended_since: Duration,
    jitter: std::iter::Cycle<std::array::IntoIter<u16, 8>>,
}

impl World {
    fn now(&self) -> Moment {
        let Moment { instant, wall } = self.start;
        Moment { instant: instant + self.elapsed, wall: wall + self.elapsed }
    }

    fn at(&self, instant: LineInstant) -> Duration {
        instant - self.start.instant
    }

    /// Time passes until then, if that is to come.
    fn wait_until(&mut self, then: Duration) {
        self.elapsed = self.elapsed.max(then);
    }

    /// A message goes one way.
    fn travel(&mut self) {
        let jitter = self.jitter.next().unwrap();
        self.elapsed += Duration::from_millis((self.path.latency_ms + jitter).into());
    }

    fn network(&self) -> Duration {
        Duration::from_millis(u64::from(self.path.latency_ms) * 2 + 20)
    }

    /// The server's date of what happens then: whole seconds.
    fn date(&self, then: Duration) -> SystemTime {
        let drift = then.as_secs_f64() * f64::from(self.path.drift) / 1e6;
        let ahead = f64::from(self.path.offset_ms) / 1e3 + self.set as f64 + drift;
        let since = self.start.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap() + then;
        let seconds = (since.as_secs_f64() + ahead).floor();
        SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)
    }

    /// A question and its answer: when the server read it; the time is then that of the answer.
    fn ask(&mut self) -> Duration {
        self.travel();
        let read = self.elapsed;
        self.travel();
        read
    }
}

/// A mail under way: what the oracle knows.
struct Underway {
    token: Token,
    transmitted: Duration,
    handed_over: Duration,
    accepted: Duration,
    came: Duration,
}

fn send(world: &mut World, ledger: &mut Ledger, mail: &Mail) -> Underway {
    world.jitter = mail.jitter_ms.into_iter().cycle();
    let token = Token::random();
    ledger.period_began(world.now());
    ledger.sending(token, world.now());
    let transmitted = world.elapsed;
    for _ in 0..8 {
        world.ask();
    }
    let handed_over = world.elapsed;
    world.travel();
    world.elapsed += Duration::from_millis(mail.thinking_ms.into());
    let came = world.elapsed + Duration::from_millis(mail.delay_ms.into());
    world.travel();
    let at = |elapsed: Duration| world.start.instant + elapsed;
    let transmission = Transmission {
        began: at(transmitted),
        handed_over: at(handed_over),
        network: world.network(),
    };
    ledger.accepted(token, &transmission, world.now());
    Underway { token, transmitted, handed_over, accepted: world.elapsed, came }
}

/// Looks until the mail is shown; gives the sighting.
fn look_until_seen(world: &mut World, ledger: &mut Ledger, mail: &Underway) -> Sighting {
    let style = world.path.style;
    let mut looked: Option<LineInstant> = None;
    loop {
        let next = ledger.next_look(style, looked).unwrap();
        world.wait_until(world.at(next));
        if style == SessionKind::PerPoll && looked.is_some() {
            // A session is begun only after the one before, and its login is the last of its steps.
            for _ in 0..6 {
                world.ask();
            }
        }
        let asked = world.now().instant;
        let read = world.ask();
        if mail.came <= read {
            return Sighting {
                folder: FoundIn::Inbox,
                shown_at: world.now().instant,
                asked_at: asked,
                previous_look: looked,
                dated: None,
                is_stamped_once: false,
                looks_failed: false,
                network: world.network(),
                attended_since: world.start.instant + world.attended_since,
                style,
            };
        }
        looked = Some(asked);
        ledger.looked_everywhere(asked, world.now());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_truth_lies_in_the_bracket_and_the_round_trip_beside_it(
        path in path(),
        mails in prop::collection::vec(mail(), 1..30),
    ) {
        let rules = Rules { lost_after: Duration::from_secs(86_400), ..RULES };
        let (mut ledger, mut clock) = (Ledger::new(rules), ServerClock::default());
        let start = Bench::new(rules).now();
        let jitter = [0; 8].into_iter().cycle();
        let elapsed = Duration::from_secs(600);
        let mut world = World { path, start, elapsed, set: 0, attended_since: elapsed, jitter };
        let mut was_set = false;
        for mail in &mails {
            world.elapsed += Duration::from_millis(mail.pause_ms.into());
            if let Some(seconds) = mail.set {
                world.set += i64::from(seconds);
                was_set = true;
            }
            let sent = send(&mut world, &mut ledger, mail);
            if mail.restarts {
                let mut stored = StoredAccount::default();
                stored.apply(&ledger.take_changes(world.now()));
                world.elapsed += Duration::from_millis(u64::from(mail.delay_ms) / 2);
                world.attended_since = world.elapsed;
                ledger = Ledger::restore(rules, &stored, world.now());
                clock = ServerClock::new(clock.offset(world.now()));
            }
            let late = ledger.totals.late;
            let sighting = look_until_seen(&mut world, &mut ledger, &sent);
            let dated = clock.span(world.date(sent.came), world.now());
            let sighting = Sighting { dated, ..sighting };
            let came = world.start.instant + sent.came;
            let known = *ledger.outstanding.iter().find(|it| it.token == sent.token).unwrap();
            let arrival = arrival(&known, &sighting);
            prop_assert!(arrival.watched.holds(came), "what the looks show is certain: {arrival:?}");
            // A clock that was set is noticed once a mail contradicts it.
            prop_assert!(was_set || arrival.bracket.holds(came), "{arrival:?}, came {came:?}");
            let verdict = ledger.seen(sent.token, sighting, world.now());
            let SightingOutcome::Received { roundtrip, stamped } = verdict else { panic!("{verdict:?}") };
            clock.learn(world.date(sent.came), stamped, world.now());
            ledger.looked_everywhere(sighting.asked_at, world.now());
            // From here on it is known again, if it was learned anew.
            let drift = world.elapsed.as_secs_f64() * f64::from(world.path.drift) / 1e6;
            let truth = f64::from(world.path.offset_ms) / 1e3 + world.set as f64 + drift;
            let known_again =
                clock.offset(world.now()).is_some_and(|it| it.least <= truth && truth <= it.most);
            match roundtrip {
                None => prop_assert!(mail.restarts, "nobody was away, and nobody can tell"),
                Some(roundtrip) => {
                    let least = sent.handed_over - sent.transmitted;
                    let most = world.at(sighting.shown_at) - sent.transmitted;
                    prop_assert!(least < roundtrip && roundtrip <= most);
                    let off = sent.came.abs_diff(sent.transmitted + roundtrip);
                    prop_assert!(was_set || off <= arrival.watched.width());
                }
            }
            // Late is what came later by the server's books, as far as the network lets anybody tell.
            let waited = sent.came.saturating_sub(sent.accepted);
            let counted = ledger.totals.late - late;
            let unsure = world.network() * 8 + Duration::from_millis(200);
            if !was_set && !mail.restarts {
                prop_assert!(waited + unsure > rules.late_after || counted == 0, "{waited:?}");
                prop_assert!(waited < rules.late_after + unsure || counted == 1, "{waited:?}");
            }
            was_set &= !known_again;
        }
    }
}
