//! The loops that measure: test mails are sent, and looked for where they are to arrive.

pub mod bound;
pub mod lag;
pub mod mailbox;
pub mod pace;
pub mod send;
