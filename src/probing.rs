//! The loops that measure: test mails are sent, and looked for where they are to arrive.

pub mod bound;
pub mod mailbox;
pub mod send;
