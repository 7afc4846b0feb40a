//! The selected folder as the client knows it, and the commands on its messages.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::Session;
use super::command::{Arguments, NumberSet};
use super::{fetch, search};
use crate::Shared;
use crate::mailbox::{Folder, Message, Post};
use crate::wire::End;

/// A folder with the messages and flags that the client knows of.
pub(super) struct Selected {
    user: String,
    folder: String,
    read_only: bool,
    view: Vec<Known>,
}

/// One message in the client's view; its sequence number is its place there.
struct Known {
    uid: u32,
    flags: BTreeSet<String>,
}

impl Selected {
    pub(super) fn open(user: &str, name: &str, read_only: bool, folder: &Folder) -> Self {
        let view = folder.messages.iter().map(Known::from).collect();
        Self { user: user.to_owned(), folder: name.to_owned(), read_only, view }
    }

    /// The untagged lines with what changed since the client was last notified. Without
    /// `expunge` messages that are gone stay in the view (RFC 3501, section 7.4.1).
    pub(super) fn synchronise(&mut self, shared: &Shared, expunge: bool) -> String {
        let Self { user, folder, view, .. } = self;
        let has_frozen_view = shared.faults.has_frozen_view();
        let news = |view: &mut _, now: &_| news(view, now, expunge, has_frozen_view);
        let told = shared.post.view_folder(user, folder, |folder| news(view, &folder.messages));
        told.unwrap_or_else(|| news(view, &[]))
    }

    /// Takes note that the client knows the flags of a message.
    fn learn(&mut self, message: Option<&Message>) {
        let Some(message) = message else { return };
        if let Some(known) = self.view.iter_mut().find(|known| known.uid == message.uid) {
            known.flags.clone_from(&message.flags);
        }
    }

    /// The messages of a set in order, as (sequence number, UID).
    fn resolve(&self, set: &NumberSet, by_uid: bool) -> Vec<(u32, u32)> {
        let all = || (1..).zip(self.view.iter().map(|known| known.uid));
        let (last_number, last_uid) = all().last().unwrap_or_default();
        let last = if by_uid { last_uid } else { last_number };
        let wanted =
            |(number, uid): &(u32, u32)| set.contains(if by_uid { *uid } else { *number }, last);
        all().filter(wanted).collect()
    }
}

/// The lines that bring a view up to what is there `now`.
fn news(view: &mut Vec<Known>, now: &[Message], expunge: bool, is_frozen: bool) -> String {
    let by_uid = |uid| now.binary_search_by_key(&uid, |message: &Message| message.uid);
    let mut lines = String::new();
    if expunge {
        for index in (0..view.len()).rev() {
            if view.get(index).is_some_and(|known| by_uid(known.uid).is_err()) {
                view.remove(index);
                lines.push_str(&format!("* {} EXPUNGE\r\n", index + 1));
            }
        }
    }
    let last = view.last().map_or(0, |known| known.uid);
    let new = now.iter().filter(|message| message.uid > last);
    let before = view.len();
    if !is_frozen {
        view.extend(new.map(Known::from));
    }
    if view.len() > before {
        lines.push_str(&format!("* {} EXISTS\r\n", view.len()));
    }
    for (number, known) in (1..).zip(view) {
        let message = by_uid(known.uid).ok().and_then(|index| now.get(index));
        if let Some(message) = message.filter(|message| message.flags != known.flags) {
            known.flags = message.flags.clone();
            lines.push_str(&format!("* {number} FETCH ({})\r\n", fetch::flags(message)));
        }
    }
    lines
}

impl From<&Message> for Known {
    fn from(message: &Message) -> Self {
        Self { uid: message.uid, flags: message.flags.clone() }
    }
}

impl Session<'_> {
    /// Runs a command on messages; false if the folder is no longer selected then.
    pub(super) async fn on_messages(
        &mut self,
        selected: &mut Selected,
        name: &str,
        mut arguments: Arguments,
    ) -> Result<bool, End> {
        let (name, by_uid) = match name.strip_prefix("UID ") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let answer = match name {
            "SEARCH" => self.search(selected, arguments, by_uid),
            "FETCH" => self.fetch(selected, arguments, by_uid),
            "EXPUNGE" if !by_uid => self.expunge(selected, None),
            "EXPUNGE" if self.has("UIDPLUS") => {
                let set = arguments.text().and_then(|set| NumberSet::parse(&set));
                set.map_or(BAD_SET, |set| self.expunge(selected, Some(&set)))
            }
            "STORE" => self.store(selected, arguments, by_uid),
            "COPY" => self.copy(selected, arguments, by_uid, false),
            "MOVE" if self.has("MOVE") => self.copy(selected, arguments, by_uid, true),
            "CLOSE" | "UNSELECT" if !by_uid => {
                if name == "CLOSE" && !selected.read_only {
                    self.remove_deleted(selected, None);
                }
                self.finish("OK done").await?;
                return Ok(false);
            }
            _ => BAD_COMMAND,
        };
        let may_expunge = by_uid || !matches!(name, "SEARCH" | "FETCH" | "STORE");
        let news = selected.synchronise(&self.wire.shared, may_expunge);
        self.wire.put(news);
        self.finish(&answer).await?;
        Ok(true)
    }

    fn search(&mut self, selected: &Selected, mut arguments: Arguments, by_uid: bool) -> Answer {
        let Some(key) = search::parse(&mut arguments) else {
            return Cow::Borrowed("BAD not a search key that is known here");
        };
        let all = NumberSet::parse("1:*").map(|all| selected.resolve(&all, false));
        let all = all.unwrap_or_default();
        let last = all.last().copied().unwrap_or_default();
        let found = self.wire.shared.post.view_folder(&selected.user, &selected.folder, |folder| {
            let found = all.iter().filter(|(number, uid)| {
                let message = folder.message(*uid);
                message.is_some_and(|message| key.matches(message, *number, last))
            });
            found.map(|(number, uid)| format!(" {}", if by_uid { uid } else { number })).collect()
        });
        let found: String = found.unwrap_or_default();
        self.wire.put(format!("* SEARCH{found}\r\n"));
        DONE
    }

    fn fetch(&mut self, selected: &mut Selected, mut arguments: Arguments, by_uid: bool) -> Answer {
        let Some(set) = arguments.text().and_then(|set| NumberSet::parse(&set)) else {
            return BAD_SET;
        };
        let Some(items) = arguments.list().and_then(|words| fetch::parse(&words, by_uid)) else {
            return Cow::Borrowed("BAD not an item that is known here");
        };
        let marks_seen = !selected.read_only && items.iter().any(fetch::Item::marks_seen);
        for (number, uid) in selected.resolve(&set, by_uid) {
            let post = &self.wire.shared.post;
            if marks_seen {
                let seen = |flags: &mut BTreeSet<String>| flags.extend(["\\Seen".to_owned()]);
                let message = set_flags(post, &selected.user, &selected.folder, uid, seen);
                selected.learn(message.as_ref());
            }
            let message = post.view_folder(&selected.user, &selected.folder, |folder| {
                folder.message(uid).cloned()
            });
            if let Some(message) = message.flatten() {
                self.wire.put(fetch::line(number, &message, &items, marks_seen));
            }
        }
        DONE
    }

    fn store(&mut self, selected: &mut Selected, mut arguments: Arguments, by_uid: bool) -> Answer {
        let set = arguments.text().and_then(|set| NumberSet::parse(&set));
        let (Some(set), Some(item)) = (set, arguments.text()) else { return BAD_SET };
        let item = item.to_ascii_uppercase();
        let (item, silent) = match item.strip_suffix(".SILENT") {
            Some(item) => (item, true),
            None => (item.as_str(), false),
        };
        let Some(flags) = arguments.list() else { return Cow::Borrowed("BAD flags were expected") };
        let given: BTreeSet<String> = flags.iter().map(|flag| canonical_flag(flag)).collect();
        if selected.read_only {
            return Cow::Borrowed("NO [READ-ONLY] the folder was opened by EXAMINE");
        }
        let change: fn(&mut BTreeSet<String>, &BTreeSet<String>) = match item {
            "+FLAGS" => |flags, given| flags.extend(given.iter().cloned()),
            "-FLAGS" => |flags, given| flags.retain(|flag| !given.contains(flag)),
            "FLAGS" => |flags, given| flags.clone_from(given),
            _ => return Cow::Borrowed("BAD FLAGS, +FLAGS or -FLAGS was expected"),
        };
        for (number, uid) in selected.resolve(&set, by_uid) {
            let post = &self.wire.shared.post;
            let change = |flags: &mut BTreeSet<String>| change(flags, &given);
            let message = set_flags(post, &selected.user, &selected.folder, uid, change);
            let Some(message) = message else { continue };
            selected.learn(Some(&message));
            if !silent {
                let uid = if by_uid { format!(" UID {uid}") } else { String::new() };
                self.wire.put(format!("* {number} FETCH ({}{uid})\r\n", fetch::flags(&message)));
            }
        }
        DONE
    }

    /// EXPUNGE, and UID EXPUNGE with a set (RFC 4315). The lines come with the synchronisation.
    fn expunge(&mut self, selected: &Selected, set: Option<&NumberSet>) -> Answer {
        if selected.read_only {
            return Cow::Borrowed("NO [READ-ONLY] the folder was opened by EXAMINE");
        }
        let uids = set.map(|set| selected.resolve(set, true).iter().map(|(_, uid)| *uid).collect());
        self.remove_deleted(selected, uids);
        DONE
    }

    fn remove_deleted(&self, selected: &Selected, among: Option<BTreeSet<u32>>) {
        let goes = |message: &Message| {
            message.has_flag("\\Deleted")
                && among.as_ref().is_none_or(|uids| uids.contains(&message.uid))
        };
        self.wire.shared.post.with_folder(&selected.user, &selected.folder, |folder| {
            folder.messages.retain(|message| !goes(message));
        });
    }

    /// COPY, and MOVE (RFC 6851), with the COPYUID of RFC 4315.
    fn copy(
        &mut self,
        selected: &Selected,
        mut arguments: Arguments,
        by_uid: bool,
        moves: bool,
    ) -> Answer {
        let set = arguments.text().and_then(|set| NumberSet::parse(&set));
        let (Some(set), Some(target)) = (set, arguments.text()) else { return BAD_SET };
        if moves && selected.read_only {
            return Cow::Borrowed("NO [READ-ONLY] the folder was opened by EXAMINE");
        }
        let uids: BTreeSet<u32> =
            selected.resolve(&set, by_uid).into_iter().map(|(_, uid)| uid).collect();
        let (post, user) = (&self.wire.shared.post, &selected.user);
        let messages = post.view_folder(user, &selected.folder, |folder| {
            let wanted = folder.messages.iter().filter(|message| uids.contains(&message.uid));
            wanted.cloned().collect::<Vec<_>>()
        });
        let messages = messages.unwrap_or_default();
        let copied = post.with_folder(user, &target, |folder| {
            let add = |m: &Message| folder.add(m.bytes.clone(), m.internal_date, m.flags.clone());
            (messages.iter().map(add).collect::<Vec<u32>>(), folder.uid_validity)
        });
        let Some((new, validity)) = copied else {
            return Cow::Borrowed("NO [TRYCREATE] no such folder");
        };
        if moves {
            post.with_folder(user, &selected.folder, |folder| {
                folder.messages.retain(|message| !uids.contains(&message.uid));
            });
        }
        if messages.is_empty() || !self.has("UIDPLUS") {
            return DONE;
        }
        let old: Vec<u32> = messages.iter().map(|message| message.uid).collect();
        let code = format!("[COPYUID {validity} {} {}]", numbers(&old), numbers(&new));
        if moves {
            self.wire.put(format!("* OK {code} moved\r\n"));
            return DONE;
        }
        Cow::Owned(format!("OK {code} done"))
    }
}

/// The tagged line without its tag.
type Answer = Cow<'static, str>;

const DONE: Answer = Cow::Borrowed("OK done");
const BAD_SET: Answer = Cow::Borrowed("BAD a set of messages was expected");
const BAD_COMMAND: Answer = Cow::Borrowed("BAD not a command here");

/// Changes the flags of a message; returns it as it is then, `None` if it is gone.
fn set_flags(
    post: &Post,
    user: &str,
    folder: &str,
    uid: u32,
    change: impl FnOnce(&mut BTreeSet<String>),
) -> Option<Message> {
    let changed = post.with_folder(user, folder, |folder| {
        let message = folder.message_mut(uid)?;
        change(&mut message.flags);
        Some(message.clone())
    });
    changed.flatten()
}

fn canonical_flag(flag: &str) -> String {
    let known = ["\\Answered", "\\Deleted", "\\Draft", "\\Flagged", "\\Seen"];
    let system = known.iter().find(|known| known.eq_ignore_ascii_case(flag));
    system.map_or_else(|| flag.to_owned(), |known| (*known).to_owned())
}

fn numbers(uids: &[u32]) -> String {
    uids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}
