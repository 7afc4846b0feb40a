//! The account of the test mails of one mail server, and the words in which everything else speaks of them.
//!
//! Pure: events and times go in, a [`Snapshot`] and the time of the next look come out. The manifest has no
//! runtime, no TLS and no database, and clippy refuses clocks, files and sockets. The one thing that it asks
//! the system for is the randomness of a [`Token`].
//!
//! The modules, in the order in which to read them; what is public stands in the root:
//!
//! - `step`, `per_side`, `failure`, `failures`, `clue`, `shortage`: where in a dialogue something happens
//!   ([`Side`], [`Step`], [`PerSide`]), what goes wrong there ([`Failure`], [`Reason`], [`Clue`], [`Shortage`])
//!   and how often ([`Failures`]);
//! - `token`, `action`, `tls_facts`, `login_delay`: what mails, delivery reports and servers say ([`Token`],
//!   [`Action`], [`TlsFacts`], [`LoginDelay`]);
//! - [`durations`]: how a duration is written for people;
//! - `time_line`: the clock that goes on while the machine is suspended ([`LineInstant`]);
//! - `ledger`: the account ([`Ledger`]): in which [`MailState`] each mail is, when it is late or lost, when to
//!   look for it, and how long a measurement stands;
//! - `availability`: how the target was over the latest hours and days ([`Availability`]);
//! - `expectation`: what is expected of mails that must not pass ([`Expectation`], [`Judged`]);
//! - `usual`: how long mails usually take on each stretch of their way ([`Usual`]);
//! - `layers`: which layer is to blame ([`Column`], [`Layer`]);
//! - `condition`: how a target is, in one word ([`Condition`]).
//!
//! A mail that is sent, accepted and seen:
//!
//! ```
//! use std::time::{Duration, Instant, SystemTime};
//!
//! use ledger::{Attempt, FoundIn, Ledger, LineInstant, Moment, Reading, Rules, SessionKind};
//! use ledger::{Sighting, Token, Transmission};
//!
//! let rules = Rules {
//!     interval: Duration::from_secs(300),
//!     late_after: Duration::from_secs(300),
//!     lost_after: Duration::from_secs(3600),
//!     max_outstanding: 20,
//!     passive: false,
//!     expectation: None,
//! };
//! // The ledger reads no clock: the time is an argument of each event.
//! let start = Moment {
//!     instant: LineInstant::new(Instant::now(), Duration::ZERO),
//!     wall: SystemTime::now(),
//! };
//! let after = |seconds| {
//!     let elapsed = Duration::from_secs(seconds);
//!     Moment { instant: start.instant + elapsed, wall: start.wall + elapsed }
//! };
//!
//! let mut ledger = Ledger::new(rules);
//! let token = Token::random();
//! ledger.period_began(start);
//! ledger.sending(token, start);
//! ledger.accepted(token, &Transmission::at(start.instant), after(1));
//! ledger.send_ended(1, 1, &Attempt::default(), after(1));
//! assert_eq!(ledger.snapshot(after(1)).outstanding, Reading::Is(1));
//! assert!(ledger.next_look(SessionKind::Held, None).is_some());
//!
//! let sighting = Sighting {
//!     folder: FoundIn::Inbox,
//!     shown_at: after(3).instant,
//!     asked_at: after(3).instant,
//!     previous_look: Some(after(3).instant),
//!     dated: None,
//!     is_stamped_once: false,
//!     looks_failed: false,
//!     network: Duration::ZERO,
//!     attended_since: start.instant,
//!     style: SessionKind::Held,
//! };
//! ledger.seen(token, sighting, after(3));
//! let snapshot = ledger.snapshot(after(3));
//! assert_eq!(snapshot.outstanding, Reading::Is(0));
//! assert_eq!(snapshot.roundtrip, Reading::Is(Duration::from_secs(3)));
//! assert_eq!(snapshot.totals.received, 1);
//! ```

pub use action::Action;
pub use availability::{
    Availability, AvailabilityChanges, Bucket, KeptAvailability, Outage, Outages, PerSpan, Span,
    Times, Trips,
};
pub use clue::Clue;
pub use condition::Condition;
pub use expectation::{Awaited, Expectation, HIDDEN_JUNK, Judged, Purpose};
pub use failure::{Failure, Reason};
pub use failures::{Cause, CauseCount, Failures};
pub use layers::{Column, Layer, NetworkEvidence};
pub use ledger::*;
pub use login_delay::LoginDelay;
pub use per_side::PerSide;
pub use shared::Shared;
pub use shortage::Shortage;
pub use step::{Side, Step};
pub use time_line::LineInstant;
pub use tls_facts::{TlsFacts, certificate_date};
pub use token::{Instance, NotAToken, Token};
pub use usual::{Usual, UsualDelay};

mod action;
mod availability;
mod clue;
mod condition;
pub mod durations;
mod expectation;
mod failure;
mod failures;
mod layers;
mod ledger;
mod login_delay;
pub mod lot;
mod per_side;
mod shared;
mod shortage;
mod step;
mod time_line;
mod tls_facts;
mod token;
mod usual;

/// Where a test's time begins.
#[cfg(test)]
fn some_instant() -> LineInstant {
    LineInstant::new(some_clock(), std::time::Duration::ZERO)
}

/// What the monotonic clock shows in a test: only the system can make an [`std::time::Instant`].
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
fn some_clock() -> std::time::Instant {
    std::time::Instant::now()
}
