//! The words of each verdict that can come about agree with its state.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::config::Config;
use crate::roundtrip::nagios;
use crate::roundtrip::verdict::{Check, Sent};
use ledger::{Action, DeliveryReport, Failure, Reason, Shortage, Step, Token};

const LATE: Duration = Duration::from_secs(30);
const LIMITS: [Thresholds; 3] = [
    Thresholds { warning: None, critical: None },
    Thresholds { warning: Some(Duration::from_secs(20)), critical: None },
    Thresholds { warning: Some(Duration::from_secs(5)), critical: Some(Duration::from_secs(20)) },
];

fn target(passive: bool) -> Arc<Target> {
    let text = format!(
        "targets:\n- {{name: corp, host: h.example, from: a@b.example, to: c@d.example, passive: \
         {passive}, late_after: 30s, receive: {{protocol: imap, username: u, password: p}}}}\n"
    );
    let config = Config::parse(&text, Path::new("mailtrip.yml")).unwrap();
    config.targets.into_values().next().unwrap()
}

/// Of a server that is down, of one that refuses, and of this machine.
fn failures(step: Step) -> [Failure; 3] {
    let failure = |reason, down, shortage| Failure {
        step,
        reason,
        down,
        shortage,
        clue: None,
        message: "why it is so".to_owned(),
    };
    [
        failure(Reason::Refused, true, None),
        failure(Reason::Rejected, false, None),
        failure(Reason::Other, false, Some(Shortage::Descriptors)),
    ]
}

fn checks() -> Vec<Check> {
    let failed = failures(Step::Auth).map(Check::Failed);
    [Check::Passed, Check::Unfinished].into_iter().chain(failed).collect()
}

fn sendings() -> Vec<Sent> {
    let accepted =
        Sent::Accepted { took: Duration::from_secs(1), reply: "250 ok".into(), bytes: 1000 };
    let refused = failures(Step::Envelope).map(Sent::NotAccepted);
    let doubtful = failures(Step::Data).map(Sent::Doubtful);
    [accepted, Sent::NotTried, Sent::Unfinished]
        .into_iter()
        .chain(refused)
        .chain(doubtful)
        .collect()
}

fn arrivals() -> Vec<Arrival> {
    let seen = |seconds, folder| Arrival::Seen { roundtrip: Duration::from_secs(seconds), folder };
    let times = [2, 10, 25, 60].map(|time| seen(time, FoundIn::Inbox));
    let others = [
        Arrival::NotAwaited,
        Arrival::NotSeen(LATE),
        Arrival::Bounced(Duration::from_secs(3)),
        seen(2, FoundIn::Junk),
        seen(25, FoundIn::Junk),
        seen(2, FoundIn::Other),
    ];
    times.into_iter().chain(others).collect()
}

/// Every verdict that can come about.
fn verdicts() -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for mailbox in checks() {
        for sent in sendings() {
            for arrival in arrivals() {
                let is_looked_for = mailbox == Check::Passed
                    && matches!(sent, Sent::Accepted { .. } | Sent::Doubtful(_));
                if is_looked_for || arrival == Arrival::NotAwaited {
                    verdicts.extend(endings(&mailbox, &sent, arrival));
                }
            }
        }
    }
    verdicts
}

fn endings(mailbox: &Check, sent: &Sent, arrival: Arrival) -> Vec<Verdict> {
    let came = matches!(arrival, Arrival::Seen { .. } | Arrival::Bounced(_));
    let removals = match came {
        true => [Removal::Done, Removal::Unfinished]
            .into_iter()
            .chain(failures(Step::Remove).map(Removal::Failed))
            .collect(),
        false => vec![Removal::Unfinished],
    };
    let looks = match arrival {
        Arrival::NotSeen(_) => {
            [None].into_iter().chain(failures(Step::Fetch).map(Some)).collect::<Vec<_>>()
        }
        _ => vec![None],
    };
    let out_of_time = Ending::OutOfTime(Duration::from_secs(50));
    let mut verdicts = Vec::new();
    let lacked = Ending::LackedTime(Duration::from_secs(50));
    for ending in [Ending::Complete, Ending::Interrupted, out_of_time, lacked] {
        for removal in &removals {
            for look_failure in &looks {
                for is_held_back in [false, true] {
                    verdicts.push(Verdict {
                        mailbox: mailbox.clone(),
                        sent: sent.clone(),
                        arrival,
                        removal: removal.clone(),
                        look_failure: look_failure.clone(),
                        ending,
                        is_held_back: is_held_back
                            && ending == out_of_time
                            && arrival == Arrival::NotAwaited,
                        notice: Some(bounce()),
                        ..Verdict::new(Token::random(), "mailtrip.yml:2")
                    });
                }
            }
        }
    }
    verdicts.retain(can_come_about);
    verdicts
}

fn bounce() -> DeliveryReport {
    DeliveryReport {
        token: Token::random(),
        action: Action::Failed,
        code: Some("5.1.1".to_owned()),
        remote_server: None,
        text: None,
    }
}

/// Nothing is left undone where nobody cut it short, and a removal that failed ends it.
fn can_come_about(verdict: &Verdict) -> bool {
    let is_complete = verdict.ending == Ending::Complete;
    let came = matches!(verdict.arrival, Arrival::Seen { .. } | Arrival::Bounced(_));
    let is_undone = verdict.mailbox == Check::Unfinished
        || matches!(verdict.sent, Sent::NotTried | Sent::Unfinished)
        || (came && verdict.removal == Removal::Unfinished)
        || (verdict.mailbox == Check::Passed
            && matches!(verdict.sent, Sent::Accepted { .. })
            && verdict.arrival == Arrival::NotAwaited);
    if is_complete { !is_undone } else { !came || verdict.removal == Removal::Unfinished }
}

/// What the words may be, and what they may not.
fn words(state: State) -> (&'static [&'static str], &'static [&'static str]) {
    match state {
        State::Ok => (
            &["corp works: ", "corp is passive and down: not applicable"],
            &["cannot", "not fully tested", "not tested", "slow", "could not", "did not pass"],
        ),
        State::Warning => (
            &["corp is slow: ", "corp delivers: ", "corp delivers, but"],
            &["works", "cannot", "not applicable", "not fully tested", "too slow"],
        ),
        State::Critical => (
            &[
                "corp cannot ",
                "corp is too slow: ",
                "but it bounced",
                "it was not seen",
                "did not pass",
                "could not be read completely",
            ],
            &["works"],
        ),
        State::Unknown => (
            &["was not fully tested", "was not tested", "could not be read completely"],
            &["works", "cannot ", "slow"],
        ),
    }
}

#[test]
fn the_words_agree_with_the_state() {
    let mut seen = [0; 4];
    for verdict in verdicts() {
        for target in [false, true].map(target) {
            for limits in &LIMITS {
                let (state, line) = nagios::line(&verdict, &target, limits);
                seen[usize::from(state.exit_code())] += 1;
                let about = format!("{line}\n{verdict:#?}");
                let said = verdict.sentences(&target, limits).join("; ");
                let (needed, forbidden) = words(state);
                assert!(needed.iter().any(|part| said.contains(part)), "{about}");
                let has = forbidden.iter().find(|part| said.contains(*part));
                assert_eq!(has, None, "{about}");
                assert!(line.starts_with(&format!("MAILTRIP {state} - ")), "{about}");
                assert!(state != State::Ok || !line.contains("=0%"), "{about}");
                let is_good = is_successful(&verdict, &target, limits);
                assert!(!is_good || state <= State::Warning, "{about}");
                assert!(state != State::Ok || is_good != said.contains("passive"), "{about}");
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
}

/// A target whose mail is to become this, and is waited for half a minute.
fn expecting(outcome: &str) -> Arc<Target> {
    let text = format!(
        "targets:\n- {{name: corp, host: h.example, from: a@b.example, to: c@d.example, expect: {outcome}, \
         interval: 30s, lost_after: 30s, receive: {{protocol: imap, username: u, password: p}}}}\n"
    );
    let config = Config::parse(&text, Path::new("mailtrip.yml")).unwrap();
    config.targets.into_values().next().unwrap()
}

#[test]
fn what_must_not_pass_is_well_where_it_did_not_and_unknown_where_nothing_is_proved() {
    let seen = |folder| Arrival::Seen { roundtrip: Duration::from_secs(2), folder };
    let [down, refused, _] = failures(Step::Envelope);
    let accepted =
        Sent::Accepted { took: Duration::from_secs(1), reply: "250 ok".into(), bytes: 1000 };
    let doubtful = Sent::Doubtful(failures(Step::Data)[0].clone());
    let (ok, critical, unknown) = (State::Ok, State::Critical, State::Unknown);
    let bounced = Arrival::Bounced(Duration::from_secs(3));
    let shortly = Arrival::NotSeen(LATE / 2);
    for (sent, arrival, of_refused, of_junk, of_nothing) in [
        (Sent::NotAccepted(refused), Arrival::NotAwaited, ok, critical, ok),
        (Sent::NotAccepted(down), Arrival::NotAwaited, unknown, unknown, unknown),
        (accepted.clone(), seen(FoundIn::Inbox), critical, critical, critical),
        (accepted.clone(), seen(FoundIn::Junk), critical, ok, critical),
        (accepted.clone(), seen(FoundIn::Other), critical, critical, critical),
        (accepted.clone(), bounced, critical, critical, ok),
        (accepted.clone(), Arrival::NotSeen(LATE), critical, critical, ok),
        (accepted.clone(), shortly, critical, unknown, unknown),
        (accepted, Arrival::NotAwaited, critical, unknown, unknown),
        (doubtful.clone(), seen(FoundIn::Inbox), critical, critical, critical),
        (doubtful, Arrival::NotSeen(LATE), unknown, unknown, unknown),
    ] {
        for (outcome, state) in
            [("refused", of_refused), ("junk", of_junk), ("nothing", of_nothing)]
        {
            let verdict = Verdict {
                mailbox: Check::Passed,
                sent: sent.clone(),
                arrival,
                ..Verdict::new(Token::random(), "mailtrip.yml:2")
            };
            let judged = judge(&verdict, &expecting(outcome), &LIMITS[0]).0;
            assert_eq!(judged, state, "{outcome}: {sent:?}, {arrival:?}");
        }
    }
    let unseen = || Verdict {
        mailbox: Check::Passed,
        sent: sendings().remove(0),
        arrival: Arrival::NotSeen(LATE),
        ..Verdict::new(Token::random(), "mailtrip.yml:2")
    };
    let unmarked = Verdict { lacks_junk_folder: true, ..unseen() };
    let interrupted = Verdict { ending: Ending::Interrupted, ..unseen() };
    for outcome in ["junk", "nothing"] {
        for unproved in [&unmarked, &interrupted] {
            assert_eq!(judge(unproved, &expecting(outcome), &LIMITS[0]).0, State::Unknown);
        }
    }
}
