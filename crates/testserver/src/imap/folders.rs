//! The commands on folders: LIST, STATUS, SELECT.

use super::command::Arguments;
use super::selected::Selected;
use super::{Session, quoted};
use crate::faults::Faults;
use crate::mailbox::{Folder, canonical_folder};
use crate::wire::End;

impl Session<'_> {
    /// LIST and LSUB, with selection and return options (RFC 5258, RFC 6154).
    pub(super) async fn list(
        &mut self,
        user: &str,
        name: &str,
        mut arguments: Arguments,
    ) -> Result<(), End> {
        let selection = if arguments.opens() { options(&mut arguments) } else { Some(Vec::new()) };
        let (reference, patterns) = (arguments.text(), arguments.list());
        let (Some(selection), Some(reference), Some(patterns)) = (selection, reference, patterns)
        else {
            return self.finish("BAD a reference and a pattern were expected").await;
        };
        let special_use = self.has("SPECIAL-USE");
        let only_special = selection.iter().any(|word| word.eq_ignore_ascii_case("SPECIAL-USE"));
        if only_special && !special_use {
            return self.finish("BAD not an option here").await;
        }
        let patterns: Vec<String> = patterns.iter().map(|p| format!("{reference}{p}")).collect();
        if patterns.iter().all(String::is_empty) {
            self.wire.put(format!("* {name} (\\Noselect) \"/\" \"\"\r\n"));
            return self.finish("OK done").await;
        }
        for (folder, attribute) in self.wire.shared.post.folders(user) {
            let attribute = attribute.filter(|_| special_use);
            let wanted = patterns.iter().any(|pattern| matches(pattern, &folder));
            if wanted && (attribute.is_some() || !only_special) {
                let attribute = attribute.map(|word| format!(" {word}")).unwrap_or_default();
                let folder = quoted(&folder);
                self.wire.put(format!("* {name} (\\HasNoChildren{attribute}) \"/\" {folder}\r\n"));
            }
        }
        self.finish("OK done").await
    }

    /// STATUS (RFC 3501, section 6.3.10).
    pub(super) async fn status(&mut self, user: &str, mut arguments: Arguments) -> Result<(), End> {
        let (Some(name), Some(items)) = (arguments.text(), arguments.list()) else {
            return self.finish("BAD a folder and a list of items were expected").await;
        };
        let values = self.wire.shared.post.view_folder(user, &name, |folder| {
            let value = |item: &String| status_item(folder, &item.to_ascii_uppercase());
            items.iter().map(value).collect::<Option<Vec<String>>>()
        });
        match values {
            None => self.finish("NO [NONEXISTENT] no such folder").await,
            Some(None) => self.finish("BAD not an item of STATUS").await,
            Some(Some(values)) => {
                let name = quoted(canonical_folder(&name));
                self.wire.put(format!("* STATUS {name} ({})\r\n", values.join(" ")));
                self.finish("OK done").await
            }
        }
    }

    /// SELECT, and EXAMINE with `read_only`.
    pub(super) async fn select(
        &mut self,
        user: &str,
        mut arguments: Arguments,
        read_only: bool,
    ) -> Result<(), End> {
        self.selected = None;
        let Some(name) = arguments.text() else {
            return self.finish("BAD a folder was expected").await;
        };
        let faults = &self.wire.shared.faults;
        let opened = self.wire.shared.post.view_folder(user, &name, |folder| {
            (Selected::open(user, &name, read_only, folder), select_lines(folder, faults))
        });
        let Some((selected, lines)) = opened else {
            return self.finish("NO [NONEXISTENT] no such folder").await;
        };
        self.selected = Some(selected);
        let may_change =
            if read_only { "" } else { "\\Answered \\Deleted \\Draft \\Flagged \\Seen \\*" };
        self.wire.put(lines);
        self.wire.put(format!("* OK [PERMANENTFLAGS ({may_change})] may be changed\r\n"));
        let access = if read_only { "READ-ONLY" } else { "READ-WRITE" };
        self.finish(&format!("OK [{access}] done")).await
    }
}

fn select_lines(folder: &Folder, faults: &Faults) -> String {
    let unseen = folder.messages.iter().position(|message| !message.has_flag("\\Seen"));
    let unseen = unseen.map(|at| format!("* OK [UNSEEN {}] first unseen\r\n", at + 1));
    let validity = format!("* OK [UIDVALIDITY {}] valid\r\n", folder.uid_validity);
    format!(
        "* FLAGS (\\Answered \\Deleted \\Draft \\Flagged \\Seen)\r\n* {} EXISTS\r\n* 0 RECENT\r\n\
         {}{}* OK [UIDNEXT {}] next\r\n",
        folder.messages.len(),
        unseen.unwrap_or_default(),
        if faults.hides_uid_validity() { "" } else { &validity },
        faults.uid_next().unwrap_or(folder.uid_next),
    )
}

fn status_item(folder: &Folder, item: &str) -> Option<String> {
    let value = match item {
        "MESSAGES" => folder.messages.len().to_string(),
        "RECENT" => "0".to_owned(),
        "UIDNEXT" => folder.uid_next.to_string(),
        "UIDVALIDITY" => folder.uid_validity.to_string(),
        "UNSEEN" => {
            folder.messages.iter().filter(|message| !message.has_flag("\\Seen")).count().to_string()
        }
        _ => return None,
    };
    Some(format!("{item} {value}"))
}

fn options(arguments: &mut Arguments) -> Option<Vec<String>> {
    let mut words = Vec::new();
    while let Some(word) = arguments.text() {
        words.push(word);
    }
    arguments.closes().then_some(words)
}

/// Whether a name fits a LIST pattern: `*` is anything, `%` anything within one level. Works from
/// left to right with one way back, so that no pattern takes long.
fn matches(pattern: &str, name: &str) -> bool {
    if pattern.eq_ignore_ascii_case("INBOX") {
        return name == "INBOX";
    }
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        match (pattern.get(p), name.get(n)) {
            (Some(b'*' | b'%'), _) => {
                back = Some((p, n));
                p += 1;
            }
            (Some(wanted), Some(here)) if wanted == here => (p, n) = (p + 1, n + 1),
            _ => match back {
                Some((star, from))
                    if pattern.get(star) == Some(&b'*') || name.get(from) != Some(&b'/') =>
                {
                    back = Some((star, from + 1));
                    (p, n) = (star + 1, from + 1);
                }
                _ => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|rest| matches!(rest, b'*' | b'%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_the_rfc_says() {
        assert!(matches("*", "Archive/2026"));
        assert!(matches("%", "Archive"));
        assert!(!matches("%", "Archive/2026"));
        assert!(matches("Arch%/20*", "Archive/2026"));
        assert!(matches("inbox", "INBOX"));
        assert!(!matches("Junk", "Junk2"));
    }
}
