//! What a mail server is told, and what it says: SMTP, IMAP and POP3 as a client speaks them that measures.
//!
//! Knows no target, no configuration file and no metric. A dialogue ends well or in a [`Failure`] with step and
//! reason; [`wire`] reads and writes bounded lines under a deadline; [`smtp`], [`imap`] and [`pop3`] speak
//! over it; [`outer`] ends a dialogue whatever goes on in it; [`trace`] keeps what happened: the steps, the
//! transcript, the facts about TLS. None keeps state between two dialogues.

pub use fault::Fault;
pub use interrupted::{Interrupted, Refusal, RefusalScope};
pub use ledger::{Action, Clue, Failure, LoginDelay, Reason, Shortage, Side, Step};

pub mod auth;
pub mod bounce;
pub mod departure;
pub mod descriptors;
mod fault;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
pub mod header;
pub mod imap;
pub mod inspection;
mod interrupted;
pub mod net;
pub mod oauth;
pub mod options;
pub mod outer;
pub mod pop3;
pub mod sasl;
pub mod secret;
pub mod shortage;
pub mod smtp;
pub mod test_mail;
pub mod text;
pub mod threads;
pub mod throttle;
pub mod trace;
pub mod visit;
pub mod wire;
