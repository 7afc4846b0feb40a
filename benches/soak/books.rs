//! The books of the exporter and those of the servers, once nothing is under way.

use serde_json::Value;

use crate::hostile::page::Page;
use crate::judge::Watcher;
use crate::plan::Kind;
use crate::run::{GUEST, Target};

/// What one target's account says.
struct Account {
    accepted: u64,
    doubtful: u64,
    received: u64,
    lost: u64,
    bounced: u64,
    returned: u64,
    duplicate: u64,
    outstanding: u64,
}

impl Account {
    fn of(page: &Page, name: &str) -> Self {
        let count = |what: &str| page.value(name, what) as u64;
        Self {
            accepted: count("probes_accepted_total"),
            doubtful: count("probes_doubtful_total"),
            received: count("probes_received_total"),
            lost: count("probes_lost_total"),
            bounced: count("probes_bounced_total"),
            returned: count("probes_returned_total"),
            duplicate: count("probes_duplicate_total"),
            outstanding: count("outstanding_messages"),
        }
    }
}

fn kind(target: &Target) -> Option<Kind> {
    let mut kinds = Kind::all().into_iter().map(|(kind, _)| kind).chain([Kind::Floods]);
    kinds.find(|kind| kind.label() == target.kind)
}

/// Whether all mails of such a target come to an end once its servers behave: a mailbox that could
/// not be read is checked again only with the next period.
pub(crate) fn settles(target: &Target) -> bool {
    kind(target).is_some_and(|kind| !kind.is_unread() && kind != Kind::Floods)
}

/// Whether none is outstanding.
pub(crate) fn is_settled(page: &Page, target: &Target) -> bool {
    page.value(&target.name, "outstanding_messages") == 0.0
}

/// Holds each account to itself and to the servers.
pub(crate) fn compare(targets: &[Target], page: &Page, servers: &Value, watcher: &mut Watcher) {
    for target in targets {
        let Target { name, .. } = target;
        let account = Account::of(page, name);
        let Account { accepted, doubtful, received, lost, bounced, .. } = account;
        let placed = account.outstanding + received + lost + bounced;
        let balance = format!("{name}: {accepted} accepted, {placed} accounted for");
        watcher.expect(
            "accepted = outstanding + received + lost + bounced",
            accepted == placed,
            balance,
        );

        let book = |what: &str| {
            let book = servers.get(name).and_then(|book| book.get(what));
            book.and_then(Value::as_u64).unwrap_or_default()
        };
        if name == GUEST {
            // Its account began anew each time.
            continue;
        }
        let by_server = book("accepted");
        let is_equal = (accepted..=accepted + doubtful).contains(&by_server);
        let words =
            format!("{name}: {by_server} by the server, {accepted} (+ {doubtful} doubtful)");
        watcher.expect("accepted by the server = accepted by the exporter", is_equal, words);

        let Some(copies) = kind(target).and_then(Kind::copies) else { continue };
        let left = book("left");
        let removed = (by_server * copies).saturating_sub(left);
        let seen = received + account.returned + account.duplicate;
        let words = format!("{name}: {removed} taken out of the mailbox, {seen} seen");
        // One that nobody waits for is taken out with the next check, which does not come any more.
        let is_equal = (removed..=removed + left).contains(&seen);
        watcher.expect("removed = received + returned + duplicate", is_equal, words);
    }
}
