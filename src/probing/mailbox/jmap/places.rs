//! Which mailboxes of an account are the folders of the configuration.

use std::collections::BTreeMap;

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
        let mut found = Self::default();
        let all = || folders.iter().chain(copy_folders);
        for (index, folder) in all().enumerate() {
            let place = Place { kind: folder.kind(), holds_copies: index >= folders.len() };
            let is_it = |mailbox: &&Mailbox| is_it(mailbox, folder, mailboxes);
            match (mailboxes.iter().find(is_it), folder) {
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

fn is_it(mailbox: &Mailbox, folder: &Folder, all: &[Mailbox]) -> bool {
    let has_role =
        |role: &str| mailbox.role.as_deref().is_some_and(|its| its.eq_ignore_ascii_case(role));
    match folder {
        Folder::SpecialUse(usage) => has_role(usage.trim_start_matches('\\')),
        Folder::Name(name) if folder.kind() == FoundIn::Inbox => {
            has_role("inbox")
                || (mailbox.parent_id.is_none() && mailbox.name.eq_ignore_ascii_case(name))
        }
        Folder::Name(name) => path(mailbox, all) == *name,
    }
}

/// Its name behind those of the mailboxes above it, with slashes between.
fn path(mailbox: &Mailbox, all: &[Mailbox]) -> String {
    let mut names = vec![mailbox.name.as_str()];
    let mut parent = mailbox.parent_id.as_ref();
    while let Some(above) = parent.and_then(|id| all.iter().find(|it| it.id == *id))
        && names.len() < DEPTH
    {
        names.push(&above.name);
        parent = above.parent_id.as_ref();
    }
    names.reverse();
    names.join("/")
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
}
