//! What goes wrong with one mail server: kinds of trouble, what each does to the server, and what an observer
//! who knows of it must conclude.

use std::fmt;
use std::time::Duration;

use testserver::Delivery;
use testserver::faults::{self, Fault};

use crate::network::{Lookup, Reach};
use crate::site::Site;

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// On the way to the SMTP server, or in it.
    Send,
    /// On the way to the mailbox, or in its server.
    Receive,
    /// Between the two.
    Delivery,
}

impl Place {
    /// All of them.
    pub const ALL: [Place; 3] = [Place::Send, Place::Receive, Place::Delivery];
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The port meets connections so.
    Port(Reach),
    /// Questions for the name of the host are met so.
    Name(Lookup),
    /// Packets get lost, all of them; connections stay open.
    Hole,
    /// So many of a hundred connections are reset at some byte.
    Cuts(u8),
    /// Each byte is under way so many milliseconds longer.
    Far(u16),
    /// At this point of the dialogue the server says this instead of what it should.
    Says(&'static str, &'static str),
    /// The server says this and hangs up.
    Leaves(&'static str, &'static str),
    /// The server says nothing any more.
    Hangs(&'static str),
    /// The server closes the connection.
    Closes(&'static str),
    /// The server resets the connection.
    Resets(&'static str),
    /// The server answers by junk.
    Garbage(&'static str),
    /// The server answers so many seconds late.
    Slow(&'static str, u8),
    /// The server does not have a capability that it had.
    Without(&'static str),
    /// The password is another for the time being.
    Password,
    /// The host has another address for the time being.
    Moves,
    /// New mail shows in a folder only once that is selected anew.
    FrozenView,
    /// Mails take so many seconds.
    Late(u32),
    /// So many of a hundred mails are never seen again.
    Loses(u8),
    /// Mails cannot be delivered, and a report says so.
    Bounces,
    /// Mails come into the folder for junk.
    Junk,
    /// Mails come twice.
    Twice,
}

/// What somebody who knows of the trouble concludes for a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Each attempt succeeds.
    Works,
    /// Each attempt fails.
    Fails,
    /// Each attempt fails since nobody is there: a passive target is excused.
    Down,
    /// It depends.
    Unsure,
}

impl Trouble {
    /// One of those that may befall this place; `is_pop3` if the mailbox is one of POP3.
    pub fn draw(place: Place, is_pop3: bool, chance: &mut fastrand::Rng) -> Self {
        let troubles: &[Trouble] = match (place, is_pop3) {
            (Place::Send, _) => &SEND,
            (Place::Receive, false) => &IMAP,
            (Place::Receive, true) => &POP3,
            (Place::Delivery, _) => return Self::draw_delivery(is_pop3, chance),
        };
        let number = chance.usize(0..NETWORK.len() + troubles.len());
        NETWORK.iter().chain(troubles).nth(number).copied().unwrap_or(Trouble::Hole)
    }

    fn draw_delivery(is_pop3: bool, chance: &mut fastrand::Rng) -> Self {
        match chance.u8(0..if is_pop3 { 8 } else { 9 }) {
            0..4 => Trouble::Late(1 << chance.u32(1..14)),
            4 | 5 => Trouble::Loses(chance.choice([20, 50, 100]).unwrap_or(100)),
            6 => Trouble::Twice,
            7 => Trouble::Bounces,
            _ => Trouble::Junk,
        }
    }

    /// What it means for the side that it befalls.
    pub fn effect(self) -> Effect {
        match self {
            Trouble::Port(Reach::Open) | Trouble::Name(Lookup::Answered) => Effect::Works,
            Trouble::Port(_) | Trouble::Name(_) | Trouble::Hole => Effect::Down,
            Trouble::Password => Effect::Fails,
            // Mail of others lies there, which is not read whole.
            Trouble::Without("TOP") => Effect::Fails,
            Trouble::Far(_) | Trouble::FrozenView | Trouble::Without(_) => Effect::Works,
            Trouble::Moves | Trouble::Bounces => Effect::Works,
            Trouble::Late(_) | Trouble::Loses(_) | Trouble::Junk | Trouble::Twice => Effect::Works,
            Trouble::Hangs(point)
            | Trouble::Closes(point)
            | Trouble::Resets(point)
            | Trouble::Garbage(point)
            | Trouble::Says(point, _)
            | Trouble::Leaves(point, _)
                if ALWAYS_MET.contains(&point) =>
            {
                Effect::Fails
            }
            Trouble::Slow(..) => Effect::Works,
            _ => Effect::Unsure,
        }
    }

    /// Has it befall a site, in which nothing else is wrong at this place.
    pub fn begin(self, site: &Site, place: Place) {
        let server = site.server(place);
        match self {
            Trouble::Port(reach) => site.change_way(place, |way| way.reach = reach),
            Trouble::Name(lookup) => site.network.set_lookup(&site.host(place), lookup),
            Trouble::Hole => site.change_way(place, |way| way.is_held = true),
            Trouble::Cuts(percent) => site.change_way(place, |way| way.cut_percent = percent),
            Trouble::Far(milliseconds) => site.change_way(place, |way| {
                way.latency += Duration::from_millis(milliseconds.into());
            }),
            Trouble::Says(point, words) => server.faults().on(point, Fault::reply(words)),
            Trouble::Leaves(point, words) => server.faults().on(point, Fault::last_words(words)),
            Trouble::Hangs(point) => server.faults().on(point, Fault::Hang),
            Trouble::Closes(point) => server.faults().on(point, Fault::Close),
            Trouble::Resets(point) => server.faults().on(point, Fault::Reset),
            Trouble::Garbage(point) => {
                server.faults().on(point, Fault::Raw(b"\x01\xff\0junk\r\n".to_vec()));
            }
            Trouble::Slow(point, seconds) => {
                let delay = Duration::from_secs(seconds.into());
                server.faults().on(point, Fault::delay(delay));
            }
            Trouble::Without(capability) => server.faults().leave_out(capability),
            Trouble::Password => site.post.set_password(&site.account, "another"),
            Trouble::Moves => {
                site.network.name(&site.host(place), site.other_address(place).ip());
                site.change_way(place, |way| way.reach = Reach::Refuses);
            }
            Trouble::FrozenView => server.faults().freeze_view(),
            // Who releases them decides when, and which.
            Trouble::Late(_) | Trouble::Loses(_) | Trouble::Bounces => {
                site.post.set_delivery(&site.account, Delivery::held());
            }
            Trouble::Junk => {
                site.post.set_delivery(&site.account, Delivery::at_once().into_folder("Junk"));
            }
            Trouble::Twice => site.post.set_delivery(&site.account, Delivery::at_once().copies(2)),
        }
        if matches!(self, Trouble::Port(_)) {
            server.reset_sessions();
        }
    }

    /// Takes it away again.
    pub fn end(self, site: &Site, place: Place) {
        match place {
            Place::Delivery => site.post.set_delivery(&site.account, Delivery::at_once()),
            Place::Send | Place::Receive => {
                site.network.name(&site.host(place), site.address(place).ip());
                let latency = site.fate.latency;
                site.change_way(place, |way| {
                    *way = crate::network::Way { latency, ..Default::default() };
                });
                site.server(place).faults().clear();
            }
        }
        if place == Place::Receive {
            site.post.set_password(&site.account, &site.password);
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

/// Points of a dialogue that every attempt comes to, before it has succeeded.
const ALWAYS_MET: [&str; 8] = [
    faults::CONNECT,
    faults::GREETING,
    "EHLO",
    "MAIL",
    "RCPT",
    "DATA",
    faults::AFTER_DATA,
    faults::CREDENTIALS,
];

const NETWORK: [Trouble; 14] = [
    Trouble::Port(Reach::Refuses),
    Trouble::Port(Reach::Unreachable),
    Trouble::Port(Reach::Silent),
    Trouble::Name(Lookup::NoName),
    Trouble::Name(Lookup::Fails),
    Trouble::Name(Lookup::Silent),
    Trouble::Moves,
    Trouble::Hole,
    Trouble::Cuts(30),
    Trouble::Cuts(100),
    Trouble::Far(300),
    Trouble::Hangs(faults::GREETING),
    Trouble::Closes(faults::CONNECT),
    Trouble::Garbage(faults::GREETING),
];

const SEND: [Trouble; 20] = [
    Trouble::Says(faults::GREETING, "554 no service"),
    Trouble::Leaves(faults::GREETING, "421 too busy"),
    Trouble::Leaves("MAIL", "421 going down"),
    Trouble::Says("MAIL", "451 4.3.0 later"),
    Trouble::Says("RCPT", "450 4.2.0 greylisted"),
    Trouble::Says("RCPT", "550 5.1.1 no such user"),
    Trouble::Says("DATA", "452 4.3.1 no room"),
    Trouble::Says(faults::AFTER_DATA, "554 5.7.1 it is junk"),
    Trouble::Hangs("EHLO"),
    Trouble::Hangs("MAIL"),
    Trouble::Hangs("RCPT"),
    Trouble::Hangs(faults::AFTER_DATA),
    Trouble::Hangs(faults::ACCEPTED),
    Trouble::Closes(faults::ACCEPTED),
    Trouble::Resets(faults::ACCEPTED),
    Trouble::Closes("DATA"),
    Trouble::Resets("RCPT"),
    Trouble::Slow("MAIL", 9),
    Trouble::Slow(faults::ACCEPTED, 14),
    Trouble::Hangs("QUIT"),
];

const IMAP: [Trouble; 24] = [
    Trouble::Password,
    Trouble::Password,
    Trouble::Says(faults::CREDENTIALS, "{tag} NO [UNAVAILABLE] later"),
    Trouble::Leaves(faults::CREDENTIALS, "* BYE shutting down"),
    Trouble::Hangs(faults::CREDENTIALS),
    Trouble::Says("SELECT", "{tag} NO [SERVERBUG] internal error"),
    Trouble::Hangs("SELECT"),
    Trouble::Says("UID FETCH", "{tag} NO no"),
    Trouble::Hangs("UID FETCH"),
    Trouble::Closes("UID FETCH"),
    Trouble::Says("UID STORE", "{tag} NO [LIMIT] read only"),
    Trouble::Hangs("UID STORE"),
    Trouble::Closes("UID EXPUNGE"),
    Trouble::Hangs("UID EXPUNGE"),
    Trouble::Hangs("NOOP"),
    Trouble::Closes("NOOP"),
    Trouble::Says("NOOP", "{tag} BAD what"),
    Trouble::Hangs(faults::IDLING),
    Trouble::Closes("IDLE"),
    Trouble::Hangs(faults::DONE),
    Trouble::Slow("SELECT", 7),
    Trouble::Without("IDLE"),
    Trouble::Without("UIDPLUS"),
    Trouble::FrozenView,
];

const POP3: [Trouble; 14] = [
    Trouble::Password,
    Trouble::Password,
    Trouble::Says(faults::CREDENTIALS, "-ERR [IN-USE] maildrop is locked"),
    Trouble::Says(faults::CREDENTIALS, "-ERR [SYS/TEMP] later"),
    Trouble::Hangs(faults::CREDENTIALS),
    Trouble::Leaves(faults::CREDENTIALS, "-ERR going down"),
    Trouble::Says("UIDL", "-ERR no"),
    Trouble::Hangs("UIDL"),
    Trouble::Closes("UIDL"),
    Trouble::Hangs("TOP"),
    Trouble::Closes("DELE"),
    Trouble::Hangs("QUIT"),
    Trouble::Slow("UIDL", 6),
    Trouble::Without("TOP"),
];
