//! The checks of the layers below the mail service.
//!
//! [`ping`] asks the network, [`tcp`] a port; [`rounds`] has both asked in each period and keeps the
//! newest answers in [`readings`]. What they and the account of the mails say together makes a
//! [`Column`](ledger::Column).

pub mod ping;
mod places;
pub mod readings;
pub mod rounds;
pub mod tcp;
