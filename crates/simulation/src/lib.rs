//! Months in the life of the exporter within a minute.
//!
//! The real supervisor, probing, mailbox tasks, accounts and store live in a [`world`] whose network and clocks
//! are in memory: [`network`], [`clock`]. Time stands still while anything is to be done and then jumps to the
//! next event. The servers are those of `testserver`. A [`plan`], drawn from a seed, says what goes wrong when:
//! [`trouble`] with a [`site`], processes that are killed at any await or told to stop, power losses, clocks that
//! are set, disks that fail, reloads. The [`truth`] knows what really happened to each mail, and the [`oracle`]
//! holds everything that the exporter says to it, each minute and at each event. What happened stands in the
//! [`trace`]. If something is wrong, [`shrink`] finds the fewest events with which it is.
//!
//! One seed is one run, to the byte, if it is compiled with `--cfg tokio_unstable`, as `make simulate` does: only
//! then the choices of the runtime follow from the seed as well.

pub mod clock;
pub mod fate;
mod life;
mod log;
pub mod network;
mod options;
pub mod oracle;
mod panics;
pub mod plan;
pub mod shrink;
pub mod site;
mod state;
pub mod trace;
pub mod trouble;
pub mod truth;
pub mod world;

pub use options::{Options, Outcome};
pub use world::run;
