//! A dialogue as it is written in a file, and the server that plays it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use ledger::Token;
use mailtrip_exporter::config::Target;
use testserver::{Certificate, ServerTls};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_openssl::SslStream;

use crate::support::Trust;

/// One file.
#[derive(Debug, Clone)]
pub(super) struct Script {
    head: BTreeMap<String, String>,
    steps: Vec<Step>,
    /// The sources of what differs from the RFCs.
    pub(super) sources: Vec<String>,
}

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// The server says this.
    Say(String),
    /// The client says something that fits this pattern.
    Hear(String),
    /// The mail is handed over, up to its final dot.
    Mail,
    /// Both shake hands.
    Tls,
    /// The server closes the connection.
    Close,
    /// The client connects again.
    Accept,
}

impl Script {
    /// Reads a file; a line that is none is a panic that names it.
    pub(super) fn parse(name: &str, text: &str) -> Self {
        let (head, body) = text.split_once("\n---\n").unwrap_or_else(|| panic!("{name}: no `---`"));
        let head = head.lines().map(|line| {
            let (key, value) = line.split_once(": ").unwrap_or_else(|| panic!("{name}: {line}"));
            (key.to_owned(), value.to_owned())
        });
        let mut script = Self { head: head.collect(), steps: Vec::new(), sources: Vec::new() };
        for line in body.lines().filter(|line| !line.is_empty()) {
            let step = match line.split_at_checked(2) {
                Some(("S:", words)) => Step::Say(words.strip_prefix(' ').unwrap_or("").to_owned()),
                Some(("C:", words)) => Step::Hear(words.trim_start().to_owned()),
                Some(("@ ", source)) => {
                    script.sources.push(source.to_owned());
                    continue;
                }
                _ => match line {
                    "mail" => Step::Mail,
                    "tls" => Step::Tls,
                    "close" => Step::Close,
                    "accept" => Step::Accept,
                    _ => panic!("{name}: {line}"),
                },
            };
            script.steps.push(step);
        }
        script
    }

    /// The value of a key above the line.
    pub(super) fn head(&self, key: &str) -> Option<&str> {
        self.head.get(key).map(String::as_str)
    }

    /// `smtp`, `imap`, `pop3` or `jmap`.
    pub(super) fn protocol(&self) -> &str {
        self.head("protocol").expect("a protocol")
    }

    /// What the client does.
    pub(super) fn steps(&self) -> impl Iterator<Item = &str> {
        let usual =
            if matches!(self.protocol(), "imap" | "jmap") { "look, remove" } else { "look" };
        self.head("steps").unwrap_or(usual).split(", ")
    }
}

/// The test mail of a dialogue.
#[derive(Debug, Clone)]
pub(super) struct Mail {
    pub(super) token: Token,
    /// All of it, with CRLF.
    pub(super) whole: Vec<u8>,
}

impl Mail {
    pub(super) fn new(target: &Target) -> Self {
        let token = Token::random();
        Self { token, whole: super::composed(target, token) }
    }

    /// The header with the empty line that ends it.
    fn header(&self) -> String {
        let text = String::from_utf8_lossy(&self.whole);
        let end = text.find("\r\n\r\n").map_or(text.len(), |end| end + 4);
        text[..end].to_owned()
    }
}

/// What became of a script.
#[derive(Debug, Default)]
pub(super) struct Played {
    /// What the client said in place of what was expected.
    pub(super) mismatch: Option<String>,
    /// Whether every step was made.
    pub(super) is_over: bool,
}

/// A server that plays one script.
pub(super) struct Server {
    listener: TcpListener,
    tls: ServerTls,
}

trait Line: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

/// A connection and what is known of it.
struct Player {
    listener: TcpListener,
    tls: ServerTls,
    line: Option<BufStream<Box<dyn Line>>>,
    /// That of the newest command of an IMAP client.
    tag: String,
    mail: Mail,
    /// Whether what is said are the answers and questions of HTTP.
    is_http: bool,
}

impl Server {
    pub(super) async fn start(trust: &Trust) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Self { listener, tls: trust.authority.server(Certificate::Good).unwrap() }
    }

    pub(super) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// Plays until the client has left.
    pub(super) fn play(self, script: Script, mail: Mail) -> JoinHandle<Played> {
        let Self { listener, tls } = self;
        tokio::spawn(async move {
            let is_http = script.protocol() == "jmap";
            let (line, tag) = (None, String::new());
            let mut player = Player { listener, tls, line, tag, mail, is_http };
            let mut played = Played::default();
            player.accept().await;
            for step in &script.steps {
                if let Err(mismatch) = player.make(step).await {
                    played.mismatch = Some(mismatch);
                    return played;
                }
            }
            played.is_over = true;
            player.agree(script.protocol()).await;
            played
        })
    }
}

impl Player {
    async fn accept(&mut self) {
        self.line = None;
        let (socket, _) = self.listener.accept().await.unwrap();
        self.line = Some(BufStream::new(Box::new(socket)));
    }

    async fn make(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Say(words) => {
                let words = self.filled_in(words);
                let words = if self.is_http { http_answer(&words) } else { words };
                self.say(&words).await;
            }
            Step::Hear(pattern) => {
                let heard =
                    if self.is_http { self.hear_question().await } else { self.hear().await };
                let line = heard.ok_or(format!("the client left before {pattern}"))?;
                if pattern.starts_with("{tag}") {
                    self.tag = line.split(' ').next().unwrap_or_default().to_owned();
                }
                if !fits(&line, &self.filled_in(pattern)) {
                    return Err(format!("expected {pattern}, heard {line}"));
                }
            }
            Step::Mail => loop {
                let line = self.hear().await.ok_or("the client left within the mail")?;
                if line == "." {
                    break;
                }
            },
            Step::Tls => self.shake_hands().await?,
            Step::Close => self.line = None,
            Step::Accept => self.accept().await,
        }
        Ok(())
    }

    async fn shake_hands(&mut self) -> Result<(), String> {
        let line = self.line.take().ok_or("nobody is connected")?;
        let session = self.tls.session().map_err(|error| error.to_string())?;
        let stream = SslStream::new(session, line.into_inner());
        let mut stream = stream.map_err(|error| error.to_string())?;
        Pin::new(&mut stream).accept().await.map_err(|error| error.to_string())?;
        self.line = Some(BufStream::new(Box::new(stream)));
        Ok(())
    }

    async fn say(&mut self, words: &str) {
        if let Some(line) = &mut self.line {
            // Who has left hears nothing; the next step notices.
            let _ = line.write_all(words.as_bytes()).await;
            let _ = line.flush().await;
        }
    }

    async fn hear(&mut self) -> Option<String> {
        let mut heard = String::new();
        let read = self.line.as_mut()?.read_line(&mut heard).await.ok()?;
        (read > 0).then(|| heard.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// A question by HTTP: its method, its path, and the line that is its body.
    async fn hear_question(&mut self) -> Option<String> {
        let question = self.hear().await?;
        let mut has_body = false;
        loop {
            let field = self.hear().await?;
            if field.is_empty() {
                break;
            }
            has_body |= field.starts_with("Content-Length: ");
        }
        let question = question.trim_end_matches(" HTTP/1.1").to_owned();
        if has_body { Some(format!("{question} {}", self.hear().await?)) } else { Some(question) }
    }

    /// What stands in braces is filled in.
    fn filled_in(&self, words: &str) -> String {
        let header = self.mail.header();
        let mut text = words.to_owned();
        if let Some((before, after)) = words.split_once("{literal") {
            let (less, after) = after.split_once('}').expect("a closing brace");
            let less: usize = less.strip_prefix('-').map_or(0, |less| less.parse().unwrap());
            text = format!("{before}{{{}}}\r\n{header}{after}", header.len() - less);
        }
        if words == "{header}" {
            return header;
        }
        let date = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        text.replace("{tag}", &self.tag)
            .replace("{token}", &self.mail.token.to_string())
            .replace("{date}", &imap_date(date))
            .replace("{utc}", &humantime::format_rfc3339_seconds(SystemTime::now()).to_string())
            .replace("{fields}", &jmap_fields(&header, "\"header:{name}:asRaw:all\":[{value}]"))
            .replace("{headers}", &jmap_fields(&header, "{\"name\":\"{name}\",\"value\":{value}}"))
            .replace("<space>", " ")
            .replace("<tab>", "\t")
            .replace("<nul>", "\0")
            + "\r\n"
    }

    /// Says yes to whatever else the client wants.
    async fn agree(&mut self, protocol: &str) {
        while let Some(line) = self.hear().await {
            let yes = match protocol {
                "imap" => format!("{} OK\r\n", line.split(' ').next().unwrap_or_default()),
                "pop3" => "+OK\r\n".to_owned(),
                "jmap" => continue,
                _ => "221 bye\r\n".to_owned(),
            };
            self.say(&yes).await;
        }
    }
}

/// The answer by HTTP whose status and body these are.
fn http_answer(words: &str) -> String {
    let words = words.trim_end_matches(['\r', '\n']);
    let (status, body) = words.split_once(' ').expect("a status and a body");
    format!("HTTP/1.1 {status} \r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Fields of the header as Email/get has them, in this form.
fn jmap_fields(header: &str, form: &str) -> String {
    let unfolded = header.replace("\r\n ", " ").replace("\r\n\t", " ");
    let member = |name: &&str| {
        let mut lines = unfolded.lines();
        let value = lines.find_map(|line| line.strip_prefix(&format!("{name}:")))?;
        let value = serde_json::to_string(value).unwrap();
        Some(form.replace("{name}", name).replace("{value}", &value))
    };
    let members = ["X-Mailtrip", "Message-ID", "Subject"].iter().filter_map(member);
    members.collect::<Vec<_>>().join(",")
}

/// Whether the line fits the pattern, in which a star stands for anything.
fn fits(line: &str, pattern: &str) -> bool {
    let pattern = pattern.trim_end_matches(['\r', '\n']);
    let mut parts = pattern.split('*');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(found) = rest.find(part) else { return false };
        rest = &rest[found + part.len()..];
    }
    true
}

/// INTERNALDATE of a time since 1970, in UTC.
fn imap_date(since_1970: Duration) -> String {
    let seconds = i64::try_from(since_1970.as_secs()).unwrap();
    let date = mail_parser::DateTime::from_timestamp(seconds);
    let month =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
            [usize::from(date.month) - 1];
    format!(
        "{:02}-{month}-{} {:02}:{:02}:{:02} +0000",
        date.day, date.year, date.hour, date.minute, date.second
    )
}
