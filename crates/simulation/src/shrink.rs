//! The fewest events with which something is still wrong.

use crate::options::{Options, Outcome};
use crate::plan;
use crate::world::run;

/// The shortest beginning of the plan with which something is wrong, given that something is with `options`; and
/// what it came to. `progress` is told how many events are tried.
pub fn shortest(options: &Options, wrong: Outcome, progress: impl Fn(usize)) -> (Options, Outcome) {
    // None after the last that had happened can matter.
    let (mut fails, mut works) = (wrong.events, 0);
    let with = |events| Options { events: Some(events), ..options.clone() };
    let mut newest = wrong;
    let kind = newest.wrong.as_ref().map(|wrong| kind(&wrong.what));
    while works < fails {
        let events = works + (fails - works) / 2;
        progress(events);
        let outcome = run(&with(events));
        // Another thing that is wrong, as after a trouble that never ends, is not the one that is looked for.
        if outcome.wrong.as_ref().map(|wrong| self::kind(&wrong.what)) == kind {
            (fails, newest) = (events, outcome);
        } else {
            works = events + 1;
        }
    }
    (with(fails), newest)
}

/// What is wrong, without the site and the numbers.
fn kind(what: &str) -> String {
    let what = what.split_once(": ").map_or(what, |(_, what)| what);
    what.chars().filter(|it| !it.is_ascii_digit()).take(30).collect()
}

/// The events that happen with these options.
pub fn events(options: &Options) -> Vec<plan::Planned> {
    let mut events = crate::world::plan_of(options);
    events.truncate(options.events.unwrap_or(usize::MAX));
    events
}
