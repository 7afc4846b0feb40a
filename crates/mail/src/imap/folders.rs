//! Folders: finding them by their use, opening one, and taking mails of ours out of it.

use super::encode::{quote, sequence_sets};
use super::numbers::{Numbers, Sorted};
use super::parse::{self, Listed};
use super::{Imap, Selected, View, is_at_the_end};
use crate::Interrupted;
use ledger::{Failure, Step};

/// What ID says (RFC 2971): strings, because some servers take offence at anything else.
const IDENTITY: &str =
    concat!("(\"name\" \"mailtrip_exporter\" \"version\" \"", env!("CARGO_PKG_VERSION"), "\")");

impl Imap {
    /// The folders whose attributes name their use. Servers do so in different ways, and some that
    /// announce one refuse it: they are asked in the next. Without any, the folders of the first level.
    ///
    /// # Errors
    /// The connection's, or the refusal of a plain LIST.
    pub async fn list(&mut self) -> Result<Vec<Listed>, Interrupted> {
        self.trace().enter(Step::Select);
        let has = |name: &str| self.capabilities.contains(name);
        let mut ways = Vec::new();
        if has("SPECIAL-USE") {
            // RFC 6154: select by use, or have it shown.
            ways.extend([r#"LIST (SPECIAL-USE) "" "*""#, r#"LIST "" "*" RETURN (SPECIAL-USE)"#]);
        }
        if has("XLIST") {
            ways.push(r#"XLIST "" "*""#);
        }
        for way in ways {
            let listed = match self.ask_for_list(way).await {
                Ok(listed) => listed,
                Err(Interrupted::Refused(_)) => continue,
                Err(broken) => return Err(broken),
            };
            if listed.iter().any(|folder| folder.tells_use()) {
                return Ok(listed);
            }
        }
        // Below the first level a server without any of this may keep a whole file system.
        self.ask_for_list(r#"LIST "" "%""#).await
    }

    async fn ask_for_list(&mut self, command: &str) -> Result<Vec<Listed>, Interrupted> {
        Ok(self.command(command).await?.folders)
    }

    /// Opens a folder, named as the server writes it. A server that refuses and knows ID learns who
    /// asks, once, and asked again: some open a mailbox to programs only that say their name.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn select(&mut self, name: &[u8]) -> Result<Selected, Interrupted> {
        self.trace().enter(Step::Select);
        let command = format!("SELECT {}", quote(name));
        self.view = View::default();
        let answer = match self.command(&command).await {
            Err(Interrupted::Refused(_)) if self.may_identify() => {
                self.identify().await?;
                self.view = View::default();
                self.command(&command).await?
            }
            answer => answer?,
        };
        let exists = self.view.exists();
        let mut selected = Selected { uid_validity: None, uid_next: None, exists };
        for code in answer.codes() {
            if let Some(value) = parse::code_number(code, "UIDVALIDITY") {
                selected.uid_validity = Some(value).filter(|value| *value > 0);
            }
            if let Some(value) = parse::code_number(code, "UIDNEXT") {
                selected.uid_next = Some(value).filter(|value| !is_at_the_end(*value));
            }
        }
        self.view.take_news();
        Ok(selected)
    }

    fn may_identify(&self) -> bool {
        self.capabilities.contains("ID") && !self.has_identified
    }

    async fn identify(&mut self) -> Result<(), Failure> {
        self.has_identified = true;
        match self.command(&format!("ID {IDENTITY}")).await {
            Ok(_) | Err(Interrupted::Refused(_)) => Ok(()),
            Err(Interrupted::Broken(failure)) => Err(failure),
        }
    }

    /// Whether a folder is but a label here, so that a mail that is taken out of it is kept elsewhere
    /// (X-GM-EXT-1, Gmail).
    pub fn keeps_what_is_removed(&self) -> bool {
        self.capabilities.contains("X-GM-EXT-1") && self.capabilities.contains("MOVE")
    }

    /// Moves mails of the selected folder into another one (RFC 6851); gives their UIDs there, as far
    /// as the server reports them (COPYUID, RFC 4315 section 3).
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn move_to(&mut self, uids: &[u32], folder: &[u8]) -> Result<Vec<u32>, Interrupted> {
        self.trace().enter(Step::Remove);
        let mut there = Vec::new();
        for set in sequence_sets(uids) {
            let answer = self.command(&format!("UID MOVE {set} {}", quote(folder))).await?;
            let moved = answer.codes().filter_map(parse::copied_to).map(Numbers::sorted);
            let room = uids.len() - there.len().min(uids.len());
            there.extend(moved.flat_map(|moved| moved.rising().take(room).collect::<Vec<_>>()));
        }
        Ok(there)
    }

    /// Marks mails of the selected folder as deleted.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn mark_deleted(&mut self, uids: &[u32]) -> Result<(), Interrupted> {
        self.trace().enter(Step::Remove);
        for set in sequence_sets(uids) {
            self.command(&format!("UID STORE {set} +FLAGS.SILENT (\\Deleted)")).await?;
        }
        Ok(())
    }

    /// The mails of the selected folder that are marked as deleted, whosever they are.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn marked_deleted(&mut self) -> Result<Sorted, Interrupted> {
        self.trace().enter(Step::Remove);
        Ok(self.search("DELETED").await?.sorted())
    }

    /// Whether mails can be taken out one by one (UIDPLUS, RFC 4315).
    pub fn expunges_by_uid(&self) -> bool {
        self.capabilities.contains("UIDPLUS")
    }

    /// Takes these mails, which are marked as deleted, out of the selected folder.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn expunge_these(&mut self, uids: &[u32]) -> Result<(), Interrupted> {
        self.trace().enter(Step::Remove);
        for set in sequence_sets(uids) {
            self.command(&format!("UID EXPUNGE {set}")).await?;
        }
        Ok(())
    }

    /// Takes every mail that is marked as deleted out of the selected folder.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn expunge(&mut self) -> Result<(), Interrupted> {
        self.trace().enter(Step::Remove);
        self.command("EXPUNGE").await.map(drop)
    }
}
