//! Reading headers: of many mails the fields that matter, and of one the whole header or its beginning.
//!
//! Some servers know no `HEADER.FIELDS` and answer it with an empty block. A block with none of the
//! fields that were asked for is taken for no header, and the whole one is asked for: of the first hundred
//! one by one, and of the others at once, if that has shown more.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::answer::LITERAL_BYTES;
use super::encode::sequence_sets;
use super::parse::Fetched;
use super::{Imap, Sink};
use crate::test_mail::FIELDS;
use crate::{Fault, Interrupted};
use ledger::{Failure, Reason, Step};

/// What shows beside [`FIELDS`] whether a mail was on its way.
const STAMPS: &str = " RECEIVED";
/// How many blocks of one answer that hold none of these are asked for as a whole.
const HOLLOW: usize = 100;
/// The most mails that are asked for at once by their UIDs.
const UIDS: usize = 10_000;

/// What the server made of the request for one mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// This.
    Bytes(Vec<u8>),
    /// It has said OK, and nothing of the mail: it is gone.
    Gone,
    /// It has refused to show it.
    Refused,
}

impl Shown {
    fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Shown::Bytes(bytes) => Some(bytes),
            Shown::Gone | Shown::Refused => None,
        }
    }
}

impl Imap {
    /// The headers of the mails from `uid` on, without those in `except`, each given to `sink` as it is
    /// read, so that their number does not matter. Leaves every flag as it is. Gives the refusal of a
    /// server that shows only some of them, or none.
    ///
    /// # Errors
    /// The connection's; what was given by then stays given.
    pub async fn fetch_from(
        &mut self,
        uid: u32,
        except: &BTreeSet<u32>,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Failure>, Interrupted> {
        let began = Instant::now();
        // What was announced so far is about to be fetched. What is announced during the search may not be.
        self.view.take_news();
        let refusal = if except.is_empty() {
            // `n:*` also gives the last mail if its UID is below n (RFC 3501 section 6.4.8).
            self.fetch(&format!("UID FETCH {uid}:*"), sink).await?
        } else {
            let found = self.uids_from(uid).await?;
            let uids = found.rising().filter(|uid| !except.contains(uid)).take(UIDS);
            self.fetch_these(&uids.collect::<Vec<u32>>(), sink).await?
        };
        self.view.settle(began);
        Ok(refusal)
    }

    /// The headers of these mails. Otherwise as [`Imap::fetch_from`].
    ///
    /// # Errors
    /// The connection's.
    pub async fn fetch_these(
        &mut self,
        uids: &[u32],
        sink: &mut Sink<'_>,
    ) -> Result<Option<Failure>, Interrupted> {
        let mut refusal = None;
        for set in sequence_sets(uids) {
            refusal = self.fetch(&format!("UID FETCH {set}"), sink).await?.or(refusal);
        }
        Ok(refusal)
    }

    /// The headers of the newest `count` of the `exists` mails in the folder. Otherwise as
    /// [`Imap::fetch_from`].
    ///
    /// # Errors
    /// The connection's.
    pub async fn fetch_newest(
        &mut self,
        count: u32,
        exists: u32,
        except: &BTreeSet<u32>,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Failure>, Interrupted> {
        if except.is_empty() {
            let first = exists.saturating_sub(count).saturating_add(1);
            return self.fetch(&format!("FETCH {first}:*"), sink).await;
        }
        let found = self.uids_from(1).await?;
        let count = usize::try_from(count).unwrap_or(UIDS).min(UIDS);
        let uids = found.falling().filter(|uid| !except.contains(uid)).take(count);
        self.fetch_these(&uids.collect::<Vec<u32>>(), sink).await
    }

    /// Has whole headers asked for from the beginning, as it was learned of this server.
    pub fn set_asks_whole_headers(&mut self, asks: bool) {
        self.asks_whole_headers |= asks;
    }

    /// Whether this server gives no header but a whole one.
    pub fn asks_whole_headers(&self) -> bool {
        self.asks_whole_headers
    }

    /// Has the `Received` of each mail asked for as well.
    pub fn set_reads_stamps(&mut self, reads: bool) {
        self.reads_stamps = reads;
    }

    /// Whether they are.
    pub fn reads_stamps(&self) -> bool {
        self.reads_stamps
    }

    async fn fetch(
        &mut self,
        command: &str,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Failure>, Interrupted> {
        let mut rest = Vec::new();
        let mut refusal = self.fetch_once(command, &mut rest, sink).await?;
        if self.asks_whole_headers {
            let uids: Vec<u32> = rest.iter().filter_map(|mail| mail.uid).collect();
            for set in sequence_sets(&uids) {
                let set = format!("UID FETCH {set}");
                refusal = self.fetch_once(&set, &mut Vec::new(), sink).await?.or(refusal);
            }
        } else {
            // Nobody knows yet what they are.
            rest.into_iter().for_each(|mail| sink(mail, Instant::now()));
        }
        Ok(refusal)
    }

    /// Fetches once. Mails without any of the wanted fields, beyond those that are asked for one by one, are
    /// not given on but come into `rest`, without their blocks.
    async fn fetch_once(
        &mut self,
        command: &str,
        rest: &mut Vec<Fetched>,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Failure>, Interrupted> {
        self.trace().enter(Step::Fetch);
        let asks_whole_headers = self.asks_whole_headers;
        let tag = self.next_tag();
        let items = items(asks_whole_headers, self.reads_stamps);
        self.wire.send(&format!("{tag} {command} {items}")).await?;
        let mut hollow = Vec::new();
        let mut take = |mail: Fetched, shown_at: Instant| {
            let is_hollow = mail.header.as_deref().is_some_and(|block| !has_wanted_field(block));
            if !is_hollow {
                sink(mail, shown_at);
            } else if hollow.len() < HOLLOW {
                hollow.push((mail, shown_at));
            } else if !asks_whole_headers && rest.len() < UIDS {
                rest.push(Fetched { header: None, ..mail });
            } else {
                // A whole header may have none of them; one that is empty is none.
                let is_header =
                    |block: &Vec<u8>| asks_whole_headers && fields(block).next().is_some();
                sink(Fetched { header: mail.header.filter(is_header), ..mail }, shown_at);
            }
        };
        let answer = self.read_answer(&tag, &mut take).await;
        let refusal = match answer.map_err(|not_ok| self.no_continuation(not_ok)) {
            Ok(_) => None,
            // BAD, and response codes about the server, do not concern the mails.
            Err(interrupted) if interrupted.is_of_the_request() => Some(interrupted.into()),
            Err(interrupted) => return Err(interrupted),
        };
        Ok(refusal.or(self.ask_for_whole(hollow, sink).await?))
    }

    /// Asks for the whole headers of mails of which none of the wanted fields was shown, and gives them on.
    /// One without any field is given as an empty block; then there is a failure as well.
    async fn ask_for_whole(
        &mut self,
        hollow: Vec<(Fetched, Instant)>,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Failure>, Failure> {
        let mut failure = None;
        let came_whole = self.asks_whole_headers;
        for (mail, shown_at) in hollow {
            let header = match mail.uid {
                Some(uid) if !came_whole => self.header(uid).await?,
                _ => mail.header.clone(),
            };
            self.asks_whole_headers |= header.as_deref().is_some_and(has_wanted_field);
            let is_empty = header.as_deref().is_none_or(|block| fields(block).next().is_none());
            if is_empty {
                let message = "the server shows an empty header of a mail";
                failure = Some(self.wire.fail(Fault::new(Reason::Protocol, message)));
            }
            let header = if is_empty { Some(Vec::new()) } else { header };
            sink(Fetched { header, ..mail }, shown_at);
        }
        Ok(failure)
    }

    /// The whole header of one mail with the empty line that ends it, cut at 64 KiB; `None` if the
    /// server does not show it. Leaves the mail, and what is known of news, as it is.
    ///
    /// # Errors
    /// The connection's.
    pub async fn header(&mut self, uid: u32) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.show_header(uid).await?.bytes())
    }

    /// The same, with the reason where there is none.
    ///
    /// # Errors
    /// The connection's.
    pub async fn show_header(&mut self, uid: u32) -> Result<Shown, Failure> {
        self.fetch_part(uid, "HEADER").await
    }

    /// The beginning of one mail, 64 KiB at most; otherwise as [`Imap::header`].
    ///
    /// # Errors
    /// The connection's.
    pub async fn beginning(&mut self, uid: u32) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.fetch_part(uid, "").await?.bytes())
    }

    async fn fetch_part(&mut self, uid: u32, part: &str) -> Result<Shown, Failure> {
        self.trace().enter(Step::Fetch);
        let tag = self.next_tag();
        let items = format!("BODY.PEEK[{part}]<0.{LITERAL_BYTES}>");
        self.wire.send(&format!("{tag} UID FETCH {uid} ({items})")).await?;
        let mut shown = Shown::Gone;
        let mut keep = |mail: Fetched, _: Instant| {
            if mail.uid == Some(uid) {
                shown = mail.header.map_or(Shown::Refused, Shown::Bytes);
            }
        };
        let answer = self.read_answer(&tag, &mut keep).await;
        match answer.map_err(|not_ok| self.no_continuation(not_ok)) {
            Ok(_) => Ok(shown),
            Err(Interrupted::Refused(_)) => Ok(Shown::Refused),
            Err(Interrupted::Broken(failure)) => Err(failure),
        }
    }
}

/// What is asked for of each mail.
fn items(whole_headers: bool, with_stamps: bool) -> String {
    let stamps = if with_stamps { STAMPS } else { "" };
    let block = match whole_headers {
        true => format!("HEADER]<0.{LITERAL_BYTES}>"),
        false => {
            let fields = FIELDS.join(" ").to_ascii_uppercase();
            format!("HEADER.FIELDS ({fields}{stamps})]")
        }
    };
    format!("(UID INTERNALDATE BODY.PEEK[{block})")
}

/// The names of the fields in a header block.
fn fields(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = block.split(|byte| *byte == b'\n');
    lines.filter(|line| !line.starts_with(b" ") && !line.starts_with(b"\t")).filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        line.get(..colon).map(<[u8]>::trim_ascii)
    })
}

fn has_wanted_field(block: &[u8]) -> bool {
    let is_wanted = |name: &[u8]| FIELDS.iter().any(|it| name.eq_ignore_ascii_case(it.as_bytes()));
    fields(block).any(is_wanted)
}
