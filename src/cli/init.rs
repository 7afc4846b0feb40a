//! The flags of `init`. The doc comments are the help texts.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use lettre::Address;

use crate::config::{TargetName, parse_address};
use mail::discovery::MailProtocol;

/// What `init` is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Init {
    /// The mail address: test mails go from it to itself, through the servers of its domain
    #[arg(value_name = "ADDRESS", value_parser = address)]
    pub address: Address,

    /// A file that holds the password alone; without it the password is asked for unseen, or read from
    /// the first line of standard input where that is no terminal
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub password_file: Option<PathBuf>,

    /// The folder for the files; that of the service, /etc/mailtrip_exporter, gets them where the service reads them
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,

    /// The name of the target [default: the domain of the address]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub name: Option<TargetName>,

    /// A file with the authorities to trust instead of the system's; the configuration names it as well
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ca_file: Option<PathBuf>,

    /// Read the mailbox by this protocol and no other [default: the first by which it can be read: imap, pop3, jmap]
    #[arg(long, value_enum, value_name = "PROTOCOL")]
    pub protocol: Option<MailboxProtocol>,

    /// Let the password go to servers outside of the domain without being asked
    #[arg(long)]
    pub yes: bool,
}

/// The values of `--protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MailboxProtocol {
    /// IMAP, by TLS
    Imap,
    /// POP3, by TLS
    Pop3,
    /// JMAP, by HTTPS
    Jmap,
}

impl From<MailboxProtocol> for MailProtocol {
    fn from(protocol: MailboxProtocol) -> Self {
        match protocol {
            MailboxProtocol::Imap => Self::Imap,
            MailboxProtocol::Pop3 => Self::Pop3,
            MailboxProtocol::Jmap => Self::Jmap,
        }
    }
}

fn address(text: &str) -> Result<Address, String> {
    parse_address(text)
}

fn name(text: &str) -> Result<TargetName, String> {
    let wrong = || "must be one line of 1 to 100 characters, without spaces around it".to_owned();
    TargetName::new(text).ok_or_else(wrong)
}
