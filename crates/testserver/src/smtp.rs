//! The SMTP server (RFC 5321): takes mail for the accounts of the post office.

use std::sync::Arc;

use super::wire::{End, Met, Wire};
use super::{Server, faults, message, sasl};

/// The largest message, announced by SIZE (RFC 1870).
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// The longest command line, AUTH with its initial response included (RFC 4954, section 4).
const MAX_LINE_BYTES: usize = 12_288;
/// The longest line of mail; RFC 5321 asks for 1,000 only.
const MAX_MAIL_LINE_BYTES: usize = 64 << 10;
const MAX_RECIPIENTS: usize = 100;

/// One dialogue.
pub(super) struct Session<'a> {
    wire: &'a mut Wire,
    greeted_by: Option<String>,
    extended: bool,
    user: Option<String>,
    from: Option<String>,
    /// Address and the user who owns it.
    recipients: Vec<(String, String)>,
}

impl<'a> Session<'a> {
    pub(super) fn new(wire: &'a mut Wire) -> Self {
        Self {
            wire,
            greeted_by: None,
            extended: false,
            user: None,
            from: None,
            recipients: Vec::new(),
        }
    }

    pub(super) async fn run(mut self) -> Result<(), End> {
        self.wire.greet(&format!("220 {} ESMTP demo", Server::NAME)).await?;
        loop {
            let (name, rest) = self.wire.command(MAX_LINE_BYTES).await?;
            match name.as_str() {
                "EHLO" | "HELO" => self.hello(&name, &rest).await?,
                "STARTTLS" => self.start_tls().await?,
                "AUTH" => self.auth(&rest).await?,
                "MAIL" => self.mail(&rest).await?,
                "RCPT" => self.rcpt(&rest).await?,
                "DATA" => self.data().await?,
                "RSET" => {
                    self.forget_mail();
                    self.wire.reply("250 2.0.0 Ok").await?;
                }
                "NOOP" => self.wire.reply("250 2.0.0 Ok").await?,
                "VRFY" => self.wire.reply("252 2.5.0 Send some mail and see").await?,
                "QUIT" => {
                    self.wire.log_out();
                    return self.wire.reply("221 2.0.0 Bye").await;
                }
                _ => self.wire.reply("500 5.5.2 Command not recognised").await?,
            }
        }
    }

    async fn hello(&mut self, name: &str, rest: &str) -> Result<(), End> {
        if rest.trim().is_empty() {
            return self.wire.reply("501 5.5.4 Say who you are").await;
        }
        self.greeted_by = Some(rest.trim().to_owned());
        self.extended = name == "EHLO";
        self.forget_mail();
        if !self.extended {
            return self.wire.reply(&format!("250 {}", Server::NAME)).await;
        }
        let mut lines = vec![Server::NAME.to_owned()];
        lines.extend(self.capabilities());
        let last = lines.len();
        for (line, number) in lines.iter().zip(1..) {
            let separator = if number < last { '-' } else { ' ' };
            self.wire.put(format!("250{separator}{line}\r\n"));
        }
        self.wire.flush().await
    }

    /// The keywords of EHLO. The mechanisms of AUTH can be left out one by one, as `AUTH PLAIN`.
    fn capabilities(&self) -> Vec<String> {
        let shared = &self.wire.shared;
        let mut own = vec![
            "PIPELINING".to_owned(),
            format!("SIZE {MAX_MESSAGE_BYTES}"),
            "8BITMIME".to_owned(),
            "ENHANCEDSTATUSCODES".to_owned(),
        ];
        if self.wire.tls_by_command().is_some() {
            own.push("STARTTLS".to_owned());
        }
        if shared.accepts_login(self.wire.is_encrypted()) {
            own.push("AUTH".to_owned());
            let mechanisms = shared.mechanisms(&["PLAIN", "LOGIN"]);
            own.extend(mechanisms.iter().map(|mechanism| format!("AUTH {mechanism}")));
        }
        let offered = shared.faults.capabilities(&own);
        let (auth, mut others): (Vec<_>, Vec<_>) =
            offered.into_iter().partition(|word| word == "AUTH" || word.starts_with("AUTH "));
        let mechanisms: Vec<&str> =
            auth.iter().filter_map(|word| word.strip_prefix("AUTH ")).collect();
        if auth.iter().any(|word| word == "AUTH") && !mechanisms.is_empty() {
            others.push(format!("AUTH {}", mechanisms.join(" ")));
        }
        others
    }

    fn has(&self, capability: &str) -> bool {
        self.capabilities().iter().any(|word| word == capability)
    }

    async fn start_tls(&mut self) -> Result<(), End> {
        let Some(tls) = self.wire.tls_by_command().filter(|_| self.has("STARTTLS")) else {
            return self.wire.reply("502 5.5.1 STARTTLS is not available").await;
        };
        self.wire.reply("220 2.0.0 Ready to start TLS").await?;
        self.wire.start_tls(&tls).await?;
        self.greeted_by = None;
        self.user = None;
        self.forget_mail();
        Ok(())
    }

    async fn auth(&mut self, rest: &str) -> Result<(), End> {
        let mut words = rest.split_ascii_whitespace();
        let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
        let initial = words.next().map(|word| word.as_bytes().to_vec());
        if !self.extended || self.user.is_some() {
            return self.wire.reply("503 5.5.1 Not now").await;
        }
        let offered = self.capabilities().into_iter().find(|word| word.starts_with("AUTH "));
        let offered = offered.unwrap_or_default();
        let is_offered = offered.split(' ').skip(1).any(|name| name == mechanism);
        let Some(login) = sasl::Login::by(&mechanism).filter(|_| is_offered) else {
            return self.wire.reply("504 5.5.4 Mechanism not available").await;
        };
        let credentials = self.wire.authenticate(login, initial, "334 ", MAX_LINE_BYTES).await?;
        let Some((user, password)) = credentials else {
            return self.wire.reply("501 5.5.2 Not a response that can be read").await;
        };
        if self.wire.meet_credentials(&user, &password).await? == Met::Answered {
            return Ok(());
        }
        if !self.wire.log_in(&user, &password) {
            return self.wire.reply("535 5.7.8 Wrong user name or password").await;
        }
        self.user = Some(user);
        self.wire.reply("235 2.7.0 Welcome").await
    }

    async fn mail(&mut self, rest: &str) -> Result<(), End> {
        if self.greeted_by.is_none() || self.from.is_some() {
            return self.wire.reply("503 5.5.1 Not now").await;
        }
        if self.wire.shared.options.login_required && self.user.is_none() {
            return self.wire.reply("530 5.7.0 Log in first").await;
        }
        let Some((from, parameters)) = path(rest, "FROM:") else {
            return self.wire.reply("501 5.5.4 MAIL FROM:<address> was expected").await;
        };
        let size = parameters.iter().find_map(|word| word.strip_prefix("SIZE="));
        if size
            .and_then(|size| size.parse().ok())
            .is_some_and(|size: usize| size > MAX_MESSAGE_BYTES)
        {
            return self.wire.reply("552 5.3.4 Too large").await;
        }
        self.from = Some(from);
        self.wire.reply("250 2.1.0 Ok").await
    }

    async fn rcpt(&mut self, rest: &str) -> Result<(), End> {
        if self.from.is_none() {
            return self.wire.reply("503 5.5.1 MAIL comes first").await;
        }
        let Some((address, _)) = path(rest, "TO:") else {
            return self.wire.reply("501 5.5.4 RCPT TO:<address> was expected").await;
        };
        if self.recipients.len() >= MAX_RECIPIENTS {
            return self.wire.reply("452 4.5.3 Too many recipients").await;
        }
        let Some(user) = self.wire.shared.post.owner(&address) else {
            return self.wire.reply("550 5.1.1 No such user here").await;
        };
        self.recipients.push((address, user));
        self.wire.reply("250 2.1.5 Ok").await
    }

    async fn data(&mut self) -> Result<(), End> {
        if self.recipients.is_empty() {
            return self.wire.reply("503 5.5.1 RCPT comes first").await;
        }
        self.wire.reply("354 End data with <CR><LF>.<CR><LF>").await?;
        let mail = self.read_mail().await?;
        if self.wire.meet(faults::AFTER_DATA).await? == Met::Answered {
            self.forget_mail();
            return Ok(());
        }
        let answer = match mail {
            Some(mail) => self.hand_over(&mail),
            None => "552 5.3.4 Too large".to_owned(),
        };
        self.forget_mail();
        if answer.starts_with("250") && self.wire.meet(faults::ACCEPTED).await? == Met::Answered {
            return Ok(());
        }
        self.wire.reply(&answer).await
    }

    /// Reads to the final dot; `None` if the mail is too large to be kept.
    async fn read_mail(&mut self) -> Result<Option<Vec<u8>>, End> {
        let mut mail = Some(Vec::new());
        loop {
            let line = self.wire.read_line(MAX_MAIL_LINE_BYTES).await?;
            if line == b"." {
                return Ok(mail);
            }
            let line = line.strip_prefix(b".").unwrap_or(&line);
            let fits = mail.take().filter(|mail| mail.len() + line.len() < MAX_MESSAGE_BYTES);
            mail = fits.map(|mut mail| {
                mail.extend_from_slice(line);
                mail.extend_from_slice(b"\r\n");
                mail
            });
        }
    }

    /// Gives the mail to the post office, once for each user; returns the answer.
    fn hand_over(&mut self, mail: &[u8]) -> String {
        let shared = &self.wire.shared;
        let mut traced = self.received_field().into_bytes();
        traced.extend_from_slice(mail);
        let traced: Arc<[u8]> = traced.into();
        let mut users: Vec<&str> = self.recipients.iter().map(|(_, user)| user.as_str()).collect();
        users.sort_unstable();
        users.dedup();
        if users.iter().any(|user| shared.post.accept(user, &traced).is_err()) {
            return "452 4.2.2 Mailbox full".to_owned();
        }
        shared.log.mail_accepted();
        format!("250 2.0.0 Ok: queued as {:X}", shared.log.stats().mails_accepted)
    }

    /// The trace field that is put on top (RFC 5321, section 4.4).
    fn received_field(&self) -> String {
        let by_protocol = match (self.extended, self.wire.is_encrypted(), self.user.is_some()) {
            (false, ..) => "SMTP",
            (true, false, false) => "ESMTP",
            (true, true, false) => "ESMTPS",
            (true, false, true) => "ESMTPA",
            (true, true, true) => "ESMTPSA",
        };
        let client = self.greeted_by.as_deref().unwrap_or_default();
        let client: String = client.chars().filter(|c| c.is_ascii_graphic()).take(255).collect();
        let address = self.wire.peer.ip();
        let date = message::rfc5322_date(self.wire.shared.post.now());
        let recipient = self.recipients.first().map_or("", |(address, _)| address);
        format!(
            "Received: from {client} ([{address}])\r\n\tby {} with {by_protocol}\r\n\tfor \
             <{recipient}>; {date}\r\n",
            Server::NAME,
        )
    }

    fn forget_mail(&mut self) {
        self.from = None;
        self.recipients.clear();
    }
}

/// The address in `FROM:<address>` and the parameters behind it, in upper case.
fn path(rest: &str, keyword: &str) -> Option<(String, Vec<String>)> {
    let (head, rest) = rest.split_at_checked(keyword.len())?;
    if !head.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let (address, parameters) = rest.trim_start().strip_prefix('<')?.split_once('>')?;
    let parameters = parameters.split_ascii_whitespace().map(str::to_ascii_uppercase).collect();
    Some((address.to_owned(), parameters))
}
