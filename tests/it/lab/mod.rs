//! The machinery of the real mail servers: two stacks, Cyrus for JMAP, what both are made of, and namespaces.

mod background;
pub(crate) mod certificates;
pub(crate) mod claim;
pub(crate) mod clamav;
pub(crate) mod cyrus;
pub(crate) mod exim_courier;
pub(crate) mod maildir;
pub(crate) mod namespace;
mod postfix_dovecot;
mod process;
mod root;
pub(crate) mod rspamd;
pub(crate) mod tool;
pub(crate) mod wait;

pub(crate) use maildir::Mail;
pub(crate) use postfix_dovecot::{Account, Answering, DOMAIN, HOST, Imap, Lab, Ports, Service};
pub(crate) use wait::until;
