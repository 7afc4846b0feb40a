//! The POP3 server (RFC 1939): shows the inbox as it was at login.

use std::sync::Arc;

use super::wire::{End, Met, Wire};
use super::{Server, Shared, message, sasl};

/// The longest command line; RFC 2449 asks for 255 only, SASL responses may be longer.
const MAX_LINE_BYTES: usize = 12_288;

/// One dialogue.
pub(super) struct Session<'a> {
    wire: &'a mut Wire,
    user: Option<String>,
    maildrop: Option<Maildrop>,
}

/// The inbox as it was at login.
struct Maildrop {
    user: String,
    uid_validity: u32,
    messages: Vec<Entry>,
    /// Held for as long as the session lasts.
    _lock: Option<Lock>,
}

struct Entry {
    uid: u32,
    bytes: Arc<[u8]>,
    deleted: bool,
}

/// Holds the maildrop for one session; gives it back when dropped.
struct Lock {
    shared: Arc<Shared>,
    user: String,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.shared.post.unlock_maildrop(&self.user);
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(wire: &'a mut Wire) -> Self {
        Self { wire, user: None, maildrop: None }
    }

    pub(super) async fn run(mut self) -> Result<(), End> {
        self.wire.greet(&format!("+OK {} POP3 demo", Server::NAME)).await?;
        loop {
            let (name, rest) = self.wire.command(MAX_LINE_BYTES).await?;
            match name.as_str() {
                "CAPA" => self.capa().await?,
                "QUIT" => return self.quit().await,
                "NOOP" if self.maildrop.is_some() => self.wire.reply("+OK").await?,
                _ if self.maildrop.is_some() => self.transaction(&name, &rest).await?,
                "STLS" => self.stls().await?,
                "USER" => self.name_user(&rest).await?,
                "PASS" => self.pass(&rest).await?,
                "AUTH" => self.auth(&rest).await?,
                _ => self.wire.reply("-ERR log in first").await?,
            }
        }
    }

    async fn transaction(&mut self, name: &str, rest: &str) -> Result<(), End> {
        match name {
            "STAT" => self.stat().await,
            "LIST" => self.listing(rest, |_, entry| entry.bytes.len().to_string()).await,
            "UIDL" if self.has("UIDL") => {
                self.listing(rest, |maildrop, e| format!("{:x}.{:x}", maildrop.uid_validity, e.uid))
                    .await
            }
            "RETR" => self.retrieve(rest, None).await,
            "TOP" if self.has("TOP") => self.top(rest).await,
            "DELE" => self.dele(rest).await,
            "RSET" => {
                let messages = self.maildrop.iter_mut().flat_map(|maildrop| &mut maildrop.messages);
                messages.for_each(|entry| entry.deleted = false);
                self.wire.reply("+OK").await
            }
            _ => self.wire.reply("-ERR not a command here").await,
        }
    }

    fn capabilities(&self) -> Vec<String> {
        let shared = &self.wire.shared;
        let mut own: Vec<&str> = vec!["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"];
        if self.wire.tls_by_command().is_some() {
            own.push("STLS");
        }
        if shared.accepts_login(self.wire.is_encrypted()) {
            own.push("USER");
        }
        let mut own: Vec<String> = own.into_iter().map(str::to_owned).collect();
        if shared.accepts_login(self.wire.is_encrypted()) {
            own.push(format!("SASL {}", shared.mechanisms(&["PLAIN"]).join(" ")));
        }
        shared.faults.capabilities(&own)
    }

    fn has(&self, capability: &str) -> bool {
        self.capabilities().iter().any(|word| word == capability)
    }

    async fn capa(&mut self) -> Result<(), End> {
        self.wire.put("+OK\r\n");
        for capability in self.capabilities() {
            self.wire.put(format!("{capability}\r\n"));
        }
        self.wire.reply(".").await
    }

    async fn stls(&mut self) -> Result<(), End> {
        let Some(tls) = self.wire.tls_by_command().filter(|_| self.has("STLS")) else {
            return self.wire.reply("-ERR STLS is not available").await;
        };
        self.wire.reply("+OK begin TLS").await?;
        self.wire.start_tls(&tls).await?;
        self.user = None;
        Ok(())
    }

    async fn name_user(&mut self, rest: &str) -> Result<(), End> {
        if !self.has("USER") {
            return self.wire.reply("-ERR not without TLS").await;
        }
        self.user = Some(rest.to_owned());
        self.wire.reply("+OK").await
    }

    /// PASS: its argument is the rest of the line, spaces included.
    async fn pass(&mut self, password: &str) -> Result<(), End> {
        let Some(user) = self.user.take() else {
            return self.wire.reply("-ERR USER comes first").await;
        };
        self.log_in(&user, password).await
    }

    async fn auth(&mut self, rest: &str) -> Result<(), End> {
        let mut words = rest.split_ascii_whitespace();
        let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
        let is_offered = self
            .capabilities()
            .iter()
            .filter_map(|word| word.strip_prefix("SASL "))
            .any(|names| names.split(' ').any(|name| name == mechanism));
        let Some(login) = sasl::Login::by(&mechanism).filter(|_| is_offered) else {
            return self.wire.reply("-ERR mechanism not available").await;
        };
        let initial = words.next().map(|word| word.as_bytes().to_vec());
        match self.wire.authenticate(login, initial, "+ ", MAX_LINE_BYTES).await? {
            Some((user, password)) => self.log_in(&user, &password).await,
            None => self.wire.reply("-ERR not a response that can be read").await,
        }
    }

    async fn log_in(&mut self, user: &str, password: &str) -> Result<(), End> {
        if self.wire.meet_credentials(user, password).await? == Met::Answered {
            return Ok(());
        }
        let shared = self.wire.shared.clone();
        if !shared.post.login_is_right(user, password) {
            shared.log.login_refused();
            return self.wire.reply("-ERR [AUTH] wrong user name or password").await;
        }
        let lock = if shared.options.exclusive {
            if !shared.post.lock_maildrop(user) {
                shared.log.login_refused();
                return self.wire.reply("-ERR [IN-USE] another session has this maildrop").await;
            }
            Some(Lock { shared: shared.clone(), user: user.to_owned() })
        } else {
            None
        };
        self.wire.log_in(user, password);
        self.maildrop = Maildrop::open(&shared, user, lock);
        self.wire.reply("+OK welcome").await
    }

    async fn stat(&mut self) -> Result<(), End> {
        let left = self.entries().map(|(_, entry)| entry.bytes.len());
        let (count, bytes) = left.fold((0, 0), |(count, sum), size| (count + 1, sum + size));
        self.wire.reply(&format!("+OK {count} {bytes}")).await
    }

    /// LIST and UIDL: one line for one message, or a list of all.
    async fn listing(
        &mut self,
        rest: &str,
        show: impl Fn(&Maildrop, &Entry) -> String,
    ) -> Result<(), End> {
        let Some(maildrop) = &self.maildrop else { return Err(End::Close) };
        if !rest.trim().is_empty() {
            let line = match maildrop.entry(rest) {
                Some((number, entry)) => format!("+OK {number} {}", show(maildrop, entry)),
                None => "-ERR no such message".to_owned(),
            };
            return self.wire.reply(&line).await;
        }
        let lines: Vec<String> = maildrop
            .entries()
            .map(|(number, entry)| format!("{number} {}\r\n", show(maildrop, entry)))
            .collect();
        self.wire.put(format!("+OK {} messages\r\n", lines.len()));
        self.wire.put(lines.concat());
        self.wire.reply(".").await
    }

    async fn top(&mut self, rest: &str) -> Result<(), End> {
        let mut words = rest.split_ascii_whitespace();
        let number = words.next().unwrap_or_default();
        let Some(lines) = words.next().and_then(|lines| lines.parse().ok()) else {
            return self.wire.reply("-ERR TOP needs a message and a number of lines").await;
        };
        self.retrieve(number, Some(lines)).await
    }

    /// RETR, and TOP with so many lines of the body.
    async fn retrieve(&mut self, number: &str, body_lines: Option<usize>) -> Result<(), End> {
        let found = self.maildrop.as_ref().and_then(|maildrop| maildrop.entry(number));
        let Some(bytes) = found.map(|(_, entry)| entry.bytes.clone()) else {
            return self.wire.reply("-ERR no such message").await;
        };
        let (header, body) = message::split(&bytes);
        let header = header.split_inclusive(|byte| *byte == b'\n');
        let body = body.split_inclusive(|byte| *byte == b'\n');
        self.wire.put("+OK here it comes\r\n");
        for line in header.chain(body.take(body_lines.unwrap_or(usize::MAX))) {
            if line.starts_with(b".") {
                self.wire.put(".");
            }
            self.wire.put(message::without_line_end(line));
            self.wire.put("\r\n");
        }
        self.wire.reply(".").await
    }

    async fn dele(&mut self, number: &str) -> Result<(), End> {
        let found = self.maildrop.as_mut().and_then(|maildrop| maildrop.entry_mut(number));
        let line = match found {
            Some(entry) => {
                entry.deleted = true;
                "+OK"
            }
            None => "-ERR no such message",
        };
        self.wire.reply(line).await
    }

    /// QUIT: only now the deleted messages go (RFC 1939, section 6).
    async fn quit(mut self) -> Result<(), End> {
        if let Some(maildrop) = self.maildrop.take() {
            let gone: Vec<u32> =
                maildrop.messages.iter().filter(|e| e.deleted).map(|e| e.uid).collect();
            if !gone.is_empty() {
                self.wire.shared.post.with_folder(&maildrop.user, "INBOX", |folder| {
                    folder.messages.retain(|message| !gone.contains(&message.uid));
                });
            }
        }
        self.wire.log_out();
        self.wire.reply("+OK bye").await
    }

    fn entries(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.maildrop.iter().flat_map(Maildrop::entries)
    }
}

impl Maildrop {
    fn open(shared: &Shared, user: &str, lock: Option<Lock>) -> Option<Self> {
        shared.post.view_folder(user, "INBOX", |folder| {
            let entry = |message: &super::Message| Entry {
                uid: message.uid,
                bytes: message.bytes.clone(),
                deleted: false,
            };
            Self {
                user: user.to_owned(),
                uid_validity: folder.uid_validity,
                messages: folder.messages.iter().map(entry).collect(),
                _lock: lock,
            }
        })
    }

    /// The messages that are not deleted, with their numbers.
    fn entries(&self) -> impl Iterator<Item = (usize, &Entry)> {
        (1..).zip(&self.messages).filter(|(_, entry)| !entry.deleted)
    }

    fn entry(&self, number: &str) -> Option<(usize, &Entry)> {
        let number: usize = number.trim().parse().ok()?;
        self.entries().find(|(own, _)| *own == number)
    }

    fn entry_mut(&mut self, number: &str) -> Option<&mut Entry> {
        let index = self.entry(number)?.0.checked_sub(1)?;
        self.messages.get_mut(index)
    }
}
