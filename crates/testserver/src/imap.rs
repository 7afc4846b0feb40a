//! The IMAP server (RFC 3501 with a few extensions): shows the folders of one account.
//!
//! This file is the dialogue: reading commands, and those that need no folder. [`selected`] has
//! the commands on messages, [`fetch`] and [`search`] what they show and find, [`folders`] the
//! commands on folders.

use self::command::{Arguments, Literal, MAX_COMMAND_BYTES, Request, literal_at_end};
use self::selected::Selected;
use super::faults::{self, Announce};
use super::wire::{End, Met, Wire};
use super::{Server, sasl};

mod command;
mod envelope;
mod fetch;
mod folders;
mod search;
mod selected;

const CAPABILITIES: [&str; 11] = [
    "IMAP4rev1",
    "LITERAL+",
    "ID",
    "IDLE",
    "LIST-EXTENDED",
    "MOVE",
    "NAMESPACE",
    "SASL-IR",
    "SPECIAL-USE",
    "UIDPLUS",
    "UNSELECT",
];

/// One dialogue.
pub(super) struct Session<'a> {
    wire: &'a mut Wire,
    tag: String,
    user: Option<String>,
    selected: Option<Selected>,
}

impl<'a> Session<'a> {
    pub(super) fn new(wire: &'a mut Wire) -> Self {
        Self { wire, tag: String::new(), user: None, selected: None }
    }

    pub(super) async fn run(mut self) -> Result<(), End> {
        let (capabilities, name) = (self.capabilities().join(" "), Server::NAME);
        self.wire.greet(&format!("* OK [CAPABILITY {capabilities}] {name} ready")).await?;
        loop {
            let Some(request) = self.read_command().await? else { continue };
            self.tag = request.tag;
            let met = self.wire.meet_command(&self.tag, &request.name, &request.line).await?;
            if met == Met::Answered {
                continue;
            }
            if request.name == "LOGOUT" {
                return self.logout().await;
            }
            match &self.user {
                None => self.before_login(&request.name, request.arguments).await?,
                Some(user) => {
                    let user = user.clone();
                    self.after_login(&user, &request.name, request.arguments).await?;
                }
            }
        }
    }

    /// Reads one command with its literals; `None` if it was refused already.
    async fn read_command(&mut self) -> Result<Option<Request>, End> {
        let first = self.wire.read_line(MAX_COMMAND_BYTES).await?;
        let mut request = Request::new(&first);
        let mut line = first;
        let mut literal_bytes = 0;
        while let Some(Literal { bytes, waits, start }) = literal_at_end(&line) {
            literal_bytes += bytes;
            if literal_bytes > MAX_COMMAND_BYTES {
                self.wire.reply(&format!("{} BAD literal too large", request.tag)).await?;
                // The bytes of one that does not wait are on their way and would be read as commands.
                return if waits { Ok(None) } else { Err(End::Close) };
            }
            if waits {
                self.wire.reply("+ go on").await?;
            }
            request.add(line.get(..start).unwrap_or_default());
            request.add_literal(self.wire.read_bytes(bytes).await?);
            line = self.wire.read_line(MAX_COMMAND_BYTES).await?;
        }
        request.add(&line);
        request.settle();
        Ok(Some(request))
    }

    async fn before_login(&mut self, name: &str, arguments: Arguments) -> Result<(), End> {
        match name {
            "CAPABILITY" => self.capability().await,
            "NOOP" => self.finish("OK nothing new").await,
            "ID" if self.has("ID") => self.id().await,
            "STARTTLS" => self.start_tls().await,
            "LOGIN" => self.login(arguments).await,
            "AUTHENTICATE" => self.authenticate(arguments).await,
            _ => self.finish("BAD not a command before login").await,
        }
    }

    async fn after_login(
        &mut self,
        user: &str,
        name: &str,
        arguments: Arguments,
    ) -> Result<(), End> {
        match name {
            "CAPABILITY" => self.capability().await,
            "ID" if self.has("ID") => self.id().await,
            "NOOP" | "CHECK" => self.finish_synchronised("OK done").await,
            "IDLE" if self.has("IDLE") => self.idle().await,
            "NAMESPACE" if self.has("NAMESPACE") => {
                self.wire.put("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
                self.finish("OK done").await
            }
            "LIST" | "LSUB" => self.list(user, name, arguments).await,
            "STATUS" => self.status(user, arguments).await,
            "SELECT" | "EXAMINE" => self.select(user, arguments, name == "EXAMINE").await,
            _ => match self.selected.take() {
                Some(mut selected) => {
                    let kept = self.on_messages(&mut selected, name, arguments).await?;
                    self.selected = kept.then_some(selected);
                    Ok(())
                }
                None => self.finish("BAD not a command here").await,
            },
        }
    }

    /// Sends the tagged line that ends a command.
    async fn finish(&mut self, text: &str) -> Result<(), End> {
        self.wire.put(format!("{} {text}\r\n", self.tag));
        self.wire.flush().await
    }

    /// The same after telling what changed in the selected folder.
    async fn finish_synchronised(&mut self, text: &str) -> Result<(), End> {
        if let Some(selected) = &mut self.selected {
            let news = selected.synchronise(&self.wire.shared, true);
            self.wire.put(news);
        }
        self.finish(text).await
    }

    fn capabilities(&self) -> Vec<String> {
        let shared = &self.wire.shared;
        let mut own: Vec<String> = CAPABILITIES.map(str::to_owned).to_vec();
        if self.wire.tls_by_command().is_some() {
            own.push("STARTTLS".to_owned());
        }
        let login = shared.accepts_login(self.wire.is_encrypted());
        if login {
            let mechanisms = shared.mechanisms(&["PLAIN"]);
            own.extend(mechanisms.iter().map(|mechanism| format!("AUTH={mechanism}")));
        } else {
            own.push("LOGINDISABLED".to_owned());
        }
        shared.faults.capabilities(&own)
    }

    fn has(&self, capability: &str) -> bool {
        self.capabilities().iter().any(|word| word.eq_ignore_ascii_case(capability))
    }

    async fn capability(&mut self) -> Result<(), End> {
        let capabilities = self.capabilities().join(" ");
        self.wire.put(format!("* CAPABILITY {capabilities}\r\n"));
        self.finish("OK done").await
    }

    async fn id(&mut self) -> Result<(), End> {
        self.wire.put("* ID (\"name\" \"mailtrip demo\")\r\n");
        self.finish("OK done").await
    }

    async fn start_tls(&mut self) -> Result<(), End> {
        let Some(tls) = self.wire.tls_by_command().filter(|_| self.has("STARTTLS")) else {
            return self.finish("BAD STARTTLS is not available").await;
        };
        self.finish("OK begin TLS").await?;
        self.wire.start_tls(&tls).await
    }

    async fn login(&mut self, mut arguments: Arguments) -> Result<(), End> {
        if self.has("LOGINDISABLED") {
            return self.finish("NO [PRIVACYREQUIRED] not without TLS").await;
        }
        match (arguments.text(), arguments.text()) {
            (Some(user), Some(password)) if arguments.is_empty() => {
                self.log_in(user, &password).await
            }
            _ => self.finish("BAD user name and password were expected").await,
        }
    }

    async fn authenticate(&mut self, mut arguments: Arguments) -> Result<(), End> {
        let mechanism = arguments.text().unwrap_or_default().to_ascii_uppercase();
        let is_offered = self.has(&format!("AUTH={mechanism}"));
        let Some(login) = sasl::Login::by(&mechanism).filter(|_| is_offered) else {
            return self.finish("NO mechanism not available").await;
        };
        let initial = arguments.text().map(String::into_bytes);
        if initial.is_some() && !self.has("SASL-IR") {
            return self.finish("BAD no initial response here").await;
        }
        match self.wire.authenticate(login, initial, "+ ", MAX_COMMAND_BYTES).await? {
            Some((user, password)) => self.log_in(user, &password).await,
            None => self.finish("BAD not a response that can be read").await,
        }
    }

    async fn log_in(&mut self, user: String, password: &str) -> Result<(), End> {
        if self.wire.meet_credentials(&user, password).await? == Met::Answered {
            return Ok(());
        }
        if !self.wire.log_in(&user, password) {
            return self.finish("NO [AUTHENTICATIONFAILED] wrong user name or password").await;
        }
        self.user = Some(user);
        let capabilities = self.capabilities().join(" ");
        self.finish(&format!("OK [CAPABILITY {capabilities}] welcome")).await
    }

    async fn logout(mut self) -> Result<(), End> {
        self.wire.log_out();
        self.wire.put("* BYE see you\r\n");
        self.finish("OK done").await
    }

    /// IDLE (RFC 2177): announces what changes until the client says DONE.
    async fn idle(&mut self) -> Result<(), End> {
        self.wire.reply("+ idling").await?;
        if self.wire.meet(faults::IDLING).await? == Met::Answered {
            return Ok(());
        }
        let post = self.wire.shared.post.clone();
        let mut changes = post.changes();
        changes.mark_changed();
        let line = loop {
            let announce = self.wire.shared.faults.announce();
            let news = async {
                drop(changes.changed().await);
                match announce {
                    Announce::AtOnce => {}
                    Announce::After(delay) => tokio::time::sleep(delay).await,
                    Announce::Never => std::future::pending::<()>().await,
                }
            };
            tokio::select! {
                line = self.wire.read_line(MAX_COMMAND_BYTES) => break line?,
                () = news => {
                    if let Some(selected) = &mut self.selected {
                        let news = selected.synchronise(&self.wire.shared, true);
                        self.wire.put(news);
                        self.wire.flush().await?;
                    }
                }
            }
        };
        if self.wire.meet(faults::DONE).await? == Met::Answered {
            return Ok(());
        }
        let done = line.eq_ignore_ascii_case(b"DONE");
        self.finish(if done { "OK done" } else { "BAD DONE was expected" }).await
    }
}

/// A string as the protocol writes it: quoted, or as a literal where that is not possible.
fn quoted(text: &str) -> String {
    if text.is_ascii() && !text.contains(['\r', '\n', '\0']) {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        format!("{{{}}}\r\n{text}", text.len())
    }
}
