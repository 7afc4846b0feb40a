//! Which servers there are, and what they do wrong.

use std::time::Duration;

use testserver::faults::{ACCEPTED, AFTER_DATA, CREDENTIALS, Fault, GREETING};
use testserver::{Delivery, Protocol};

use crate::support::{USER, World};

/// The period of every target but the floods, and the mails in it: half a mail a second. A machine that
/// is busy with more must not make a period too short for it.
pub(crate) const INTERVAL: &str = "6s";
pub(crate) const MESSAGES: &str = "3";
/// The period of a server that floods. Forty of them, of which the exporter keeps evidence, are to be over
/// before the minutes with which the last ones are compared.
pub(crate) const FLOOD_INTERVAL: &str = "10s";
/// What a processor would do nothing else for.
pub(crate) const LEFT_OUT: &str = "TLS: endless garbage";
/// When a mail that does not come is given up, and for how long one that ended is still known.
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(60);
/// How many targets behave, and how many there are of each kind that does not: together 50 probes a
/// second.
const WELL: usize = 55;
const OF_EACH_KIND: usize = 3;

/// What the servers of a target do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Well,
    SilentUponRcpt,
    ClosesUponData,
    ClosesOnceAccepted,
    RefusesRecipient,
    RefusesLogin,
    GreetsWithGarbage,
    ClosesWhileReading,
    SilentWhileReading,
    Trickles,
    SmtpFlaps,
    MailboxFlaps,
    Loses,
    HoldsBack,
    Doubles,
    Bounces,
    /// A row of the table of hostile servers.
    Floods,
}

impl Kind {
    const WRONG: [Kind; 15] = [
        Kind::SilentUponRcpt,
        Kind::ClosesUponData,
        Kind::ClosesOnceAccepted,
        Kind::RefusesRecipient,
        Kind::RefusesLogin,
        Kind::GreetsWithGarbage,
        Kind::ClosesWhileReading,
        Kind::SilentWhileReading,
        Kind::Trickles,
        Kind::SmtpFlaps,
        Kind::MailboxFlaps,
        Kind::Loses,
        Kind::HoldsBack,
        Kind::Doubles,
        Kind::Bounces,
    ];

    /// The kinds of the targets, in turn by IMAP and POP3.
    pub(crate) fn all() -> Vec<(Kind, Protocol)> {
        let well = std::iter::repeat_n(Kind::Well, WELL);
        let wrong = Kind::WRONG.into_iter().flat_map(|kind| [kind; OF_EACH_KIND]);
        let mailboxes = [Protocol::Imap, Protocol::Pop3, Protocol::Imap].into_iter().cycle();
        well.chain(wrong).zip(mailboxes).collect()
    }

    /// How it is called in names of targets.
    pub(crate) fn label(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// How often an accepted mail comes into the inbox in the end; `None` if mails are taken away
    /// meanwhile, for nobody reads them.
    pub(crate) fn copies(self) -> Option<u64> {
        match self {
            Kind::Doubles => Some(2),
            Kind::Loses => Some(0),
            _ if self.is_unread() => None,
            Kind::Bounces | Kind::Floods => None,
            _ => Some(1),
        }
    }

    /// Whether mail piles up, because the mailbox cannot be read.
    pub(crate) fn is_unread(self) -> bool {
        matches!(
            self,
            Kind::RefusesLogin
                | Kind::GreetsWithGarbage
                | Kind::ClosesWhileReading
                | Kind::SilentWhileReading
                | Kind::Trickles
        )
    }

    /// Has the servers do it from now on.
    pub(crate) fn begin(self, world: &World) {
        let reading = match world.mailbox.protocol() {
            Protocol::Pop3 => "UIDL",
            _ => "UID SEARCH",
        };
        let refusal = match world.mailbox.protocol() {
            Protocol::Pop3 => "-ERR [AUTH] no",
            _ => "{tag} NO no",
        };
        let (smtp, mailbox) = (world.smtp.faults(), world.mailbox.faults());
        match self {
            Kind::SilentUponRcpt => smtp.on("RCPT", Fault::Hang),
            Kind::ClosesUponData => smtp.on(AFTER_DATA, Fault::Close),
            Kind::ClosesOnceAccepted => smtp.on(ACCEPTED, Fault::Close),
            Kind::RefusesRecipient => smtp.on("RCPT", Fault::reply("450 4.2.0 not now")),
            Kind::RefusesLogin => mailbox.on(CREDENTIALS, Fault::reply(refusal)),
            Kind::GreetsWithGarbage => mailbox.on(GREETING, Fault::Garbage),
            Kind::ClosesWhileReading => mailbox.on(reading, Fault::Close),
            Kind::SilentWhileReading => mailbox.on(reading, Fault::Hang),
            Kind::Trickles => {
                mailbox.on(reading, Fault::Trickle(b"* 1 x\r\n".to_vec(), Duration::from_secs(1)));
            }
            Kind::Loses => world.post.set_delivery(USER, Delivery::lost()),
            Kind::HoldsBack => world.post.set_delivery(USER, Delivery::held()),
            Kind::Doubles => world.post.set_delivery(USER, Delivery::at_once().copies(2)),
            Kind::Bounces => {
                world.post.add_folder(USER, crate::servers::QUEUE, None);
                let queued = Delivery::at_once().into_folder(crate::servers::QUEUE);
                world.post.set_delivery(USER, queued);
            }
            Kind::Well | Kind::SmtpFlaps | Kind::MailboxFlaps | Kind::Floods => {}
        }
    }
}
