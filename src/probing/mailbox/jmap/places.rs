//! Which mailboxes of an account are the folders of the configuration.

use std::collections::{BTreeMap, HashMap};

use crate::config::Folder;
use ledger::FoundIn;
use mail::jmap::Mailbox;

/// How deep a folder may lie.
const DEPTH: usize = 50;

/// Where a mail lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: FoundIn,
    /// Whether nobody receives there.
    pub(super) holds_copies: bool,
}

/// The folders of the configuration, by their ids.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// In the order in which a mail that lies in several is said to lie in one.
    ids: Vec<String>,
    places: BTreeMap<String, (usize, Place)>,
    not_there: Vec<String>,
}

impl Places {
    /// Finds them. One that is named by its use is passed over where there is none.
    ///
    /// # Errors
    /// The folder that is named and not there, or all of them.
    pub(super) fn find(
        mailboxes: &[Mailbox],
        folders: &[Folder],
        copy_folders: &[Folder],
    ) -> Result<Self, String> {
        let by_id: HashMap<&str, &Mailbox> =
            mailboxes.iter().map(|mailbox| (mailbox.id.as_str(), mailbox)).collect();
        let mut found = Self::default();
        let all = || folders.iter().chain(copy_folders);
        for (index, folder) in all().enumerate() {
            let place = Place { kind: folder.kind(), holds_copies: index >= folders.len() };
            match (that_of(folder, mailboxes, &by_id), folder) {
                (Some(mailbox), _) => found.add(&mailbox.id, place),
                (None, Folder::SpecialUse(_)) => found.not_there.push(folder.to_string()),
                (None, Folder::Name(name)) => return Err(name.clone()),
            }
        }
        match found.ids.is_empty() {
            true => Err(all().map(Folder::to_string).collect::<Vec<_>>().join(", ")),
            false => Ok(found),
        }
    }

    /// By its name and by its use it may be the same.
    fn add(&mut self, id: &str, place: Place) {
        if !self.places.contains_key(id) {
            self.places.insert(id.to_owned(), (self.ids.len(), place));
            self.ids.push(id.to_owned());
        }
    }

    /// Their ids.
    pub(super) fn ids(&self) -> &[String] {
        &self.ids
    }

    /// The folders named by their use that the server does not have, as they are configured.
    pub(super) fn not_there(&self) -> &[String] {
        &self.not_there
    }

    /// Where a mail lies that lies in these mailboxes; `None`: nowhere that is looked into.
    pub(super) fn of(&self, mailboxes: &[String]) -> Option<Place> {
        let places = mailboxes.iter().filter_map(|id| self.places.get(id));
        places.min_by_key(|(rank, _)| *rank).map(|(_, place)| *place)
    }
}

/// The mailbox that a folder of the configuration is.
fn that_of<'a>(
    folder: &Folder,
    all: &'a [Mailbox],
    by_id: &HashMap<&str, &'a Mailbox>,
) -> Option<&'a Mailbox> {
    let with_role = |role: &str| {
        let has_it = |its: &str| its.eq_ignore_ascii_case(role);
        all.iter().find(|mailbox| mailbox.role.as_deref().is_some_and(has_it))
    };
    match folder {
        Folder::SpecialUse(usage) => with_role(usage.trim_start_matches('\\')),
        Folder::Name(name) if folder.kind() == FoundIn::Inbox => {
            let has_name = |mailbox: &&Mailbox| {
                mailbox.parent_id.is_none() && mailbox.name.eq_ignore_ascii_case(name)
            };
            // Whatever else is called so.
            with_role("inbox").or_else(|| all.iter().find(has_name))
        }
        Folder::Name(name) => all.iter().find(|mailbox| is_at(mailbox, name, by_id)),
    }
}

/// Whether this is its name behind those of the mailboxes above it, with slashes between: compared from its end, up to
/// the first name that is another one.
fn is_at(mailbox: &Mailbox, path: &str, by_id: &HashMap<&str, &Mailbox>) -> bool {
    let (mut mailbox, mut rest) = (mailbox, path);
    for _ in 0..DEPTH {
        let Some(before) = rest.strip_suffix(&mailbox.name) else { return false };
        let Some(above) = mailbox.parent_id.as_deref().and_then(|id| by_id.get(id)) else {
            return before.is_empty();
        };
        let Some(before) = before.strip_suffix('/') else { return false };
        (mailbox, rest) = (above, before);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(id: &str, name: &str, role: Option<&str>, parent: Option<&str>) -> Mailbox {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Mailbox { id: id.into(), name: name.into(), role: owned(role), parent_id: owned(parent) }
    }

    #[test]
    fn a_folder_is_found_by_its_name_and_by_its_use() {
        let all = [
            mailbox("1", "Posteingang", Some("inbox"), None),
            mailbox("2", "Werbung", Some("junk"), None),
            mailbox("3", "b", None, Some("4")),
            mailbox("4", "a", None, None),
            mailbox("5", "loop", None, Some("5")),
        ];
        let name = |name: &str| Folder::Name(name.into());
        let usage = |usage: &str| Folder::SpecialUse(usage.into());
        let folders = [name("INBOX"), usage(r"\Junk"), name("a/b"), usage(r"\Archive")];
        let places = Places::find(&all, &folders, &[usage(r"\Sent"), name("a")]).unwrap();
        assert_eq!(places.ids(), ["1", "2", "3", "4"]);
        assert_eq!(places.not_there(), [r"\Archive", r"\Sent"]);
        let of = |ids: &[&str]| {
            let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
            places.of(&ids).map(|place| (place.kind, place.holds_copies))
        };
        assert_eq!(of(&["4", "2"]), Some((FoundIn::Junk, false)), "where somebody receives");
        assert_eq!(of(&["4"]), Some((FoundIn::Other, true)));
        assert_eq!((of(&["5"]), of(&[])), (None, None));
        assert_eq!(Places::find(&all, &[name("none")], &[]).err().as_deref(), Some("none"));
        assert!(Places::find(&all, &[usage(r"\All")], &[]).is_err());
    }
    #[test]
    fn the_inbox_is_that_with_the_role_whatever_else_is_called_so() {
        let all = [mailbox("1", "Inbox", None, None), mailbox("2", "Eingang", Some("inbox"), None)];
        let inbox = [Folder::Name("INBOX".into())];
        assert_eq!(Places::find(&all, &inbox, &[]).unwrap().ids(), ["2"]);
        assert_eq!(Places::find(&all[..1], &inbox, &[]).unwrap().ids(), ["1"]);
    }

    #[test]
    fn a_name_with_a_slash_is_one_name_as_well() {
        let all = [
            mailbox("1", "a/b", None, None),
            mailbox("2", "b", None, Some("3")),
            mailbox("3", "x", None, None),
            mailbox("4", "c", None, Some("1")),
        ];
        let names = ["x/b", "a/b/c"].map(|name| Folder::Name(name.into()));
        assert_eq!(Places::find(&all, &names, &[]).unwrap().ids(), ["2", "4"]);
        for none in ["b", "/a/b", "a/b/", "b/c"] {
            assert!(Places::find(&all, &[Folder::Name(none.into())], &[]).is_err(), "{none}");
        }
    }

    /// Each mailbox lies in the next: whoever follows all of them for each folder is busy for minutes.
    #[test]
    fn what_the_server_says_of_its_mailboxes_keeps_nobody_waiting() {
        let id = |number: usize| format!("id{number}");
        let all: Vec<Mailbox> = (0..2000)
            .map(|number| mailbox(&id(number), &number.to_string(), None, Some(&id(number + 1))))
            .collect();
        let folders: Vec<Folder> = (1..300).map(|it| Folder::Name(format!("none{it}"))).collect();
        let began = std::time::Instant::now();
        for folder in &folders {
            assert!(Places::find(&all, std::slice::from_ref(folder), &[]).is_err());
        }
        assert!(began.elapsed().as_secs() < 10);
    }
}
