//! The standing of a target outside its mails: what others publish or say of the addresses that it sends from.
//!
//! [`rounds`] and [`domain_rounds`] ask once in a while, [`limiter`] and [`domains`] see to it that nobody is asked too
//! often, however many targets ask the same, and [`findings`] keeps what is newest. Not in the way of any mail, and no part of whether mail
//! arrives.

pub mod domain_rounds;
pub mod domains;
pub mod findings;
pub mod limiter;
pub mod rounds;
