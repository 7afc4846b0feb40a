//! The JMAP server (RFC 8620, RFC 8621) over HTTP/1.1: one connection after another question, kept open.

use serde_json::{Value, json};

use super::Server;
use super::faults;
use super::wire::{End, Met, Wire};
use account::{account_id, resource};
use request::Request;

mod account;
mod calls;
mod events;
mod query;
mod request;

/// Where a client begins (RFC 8620, section 2.2).
const WELL_KNOWN: &str = "/.well-known/jmap";
/// Where a redirect of a script may send it.
const SESSION: &str = "/jmap/session";
const API: &str = "/jmap/api/";
const DOWNLOAD: &str = "/jmap/download/";
const EVENTS: &str = "/jmap/events";
/// How many mails may be asked for, or destroyed, at once.
const MAX_OBJECTS: usize = 500;
/// How many calls one request may have.
const MAX_CALLS: usize = 16;

/// One connection.
pub(super) struct Session<'a> {
    wire: &'a mut Wire,
    is_logged_in: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(wire: &'a mut Wire) -> Self {
        Self { wire, is_logged_in: false }
    }

    pub(super) async fn run(mut self) -> Result<(), End> {
        // HTTP has no greeting, but a script may have its way there.
        self.wire.meet(faults::GREETING).await?;
        loop {
            let Some(request) = Request::read(self.wire).await? else {
                self.send(400, "text/plain", b"no request".to_vec()).await?;
                return Err(End::Close);
            };
            self.answer(&request).await?;
            if request.closes {
                return Err(End::Close);
            }
        }
    }

    async fn answer(&mut self, request: &Request) -> Result<(), End> {
        let (point, line) = (request.point(), request.line());
        if request.path() == WELL_KNOWN
            && self.wire.meet(faults::WELL_KNOWN).await? == Met::Answered
        {
            return Ok(());
        }
        if self.wire.meet_command("", point, line.as_bytes()).await? == Met::Answered {
            return Ok(());
        }
        let Some(user) = self.log_in(request, point).await? else { return Ok(()) };
        match point {
            "SESSION" => {
                let body = resource(&user, request, self.wire);
                self.send_json(200, &body).await
            }
            "API" => self.api(&user, request).await,
            "DOWNLOAD" => self.download(&user, request).await,
            "EVENTS" => events::tell(self.wire, &user, request).await,
            _ => self.problem(404, "about:blank", "there is nothing here").await,
        }
    }

    /// Whose credentials they are; `None` if they were refused, or the script has answered. What the session
    /// resource is asked for with is the login.
    async fn log_in(&mut self, request: &Request, point: &str) -> Result<Option<String>, End> {
        let claimed = request.credentials(&self.wire.shared.post);
        let (user, password) = claimed.clone().unwrap_or_default();
        let field = request.authorization.as_deref().unwrap_or_default();
        if point == "SESSION" {
            let met = self.wire.meet_authorization((&user, &password), field).await?;
            if met == Met::Answered {
                return Ok(None);
            }
        }
        let is_right = claimed.is_some() && self.wire.shared.post.login_is_right(&user, &password);
        if is_right {
            if point == "SESSION" && !std::mem::replace(&mut self.is_logged_in, true) {
                self.wire.log_in(&user, &password);
            }
            return Ok(Some(user));
        }
        self.wire.shared.log.login_refused();
        self.problem(401, "about:blank", "wrong user name or password").await?;
        Ok(None)
    }

    async fn api(&mut self, user: &str, request: &Request) -> Result<(), End> {
        let Some(calls) = calls::Calls::read(&request.body) else {
            let kind = "urn:ietf:params:jmap:error:notRequest";
            return self.problem(400, kind, "this is no request").await;
        };
        if calls.0.len() > MAX_CALLS {
            let kind = "urn:ietf:params:jmap:error:limit";
            return self.problem(400, kind, "maxCallsInRequest").await;
        }
        let mut responses = Vec::new();
        for call in calls.0 {
            let (point, line) = (call.name.to_ascii_uppercase(), call.arguments.to_string());
            if self.wire.meet_command("", &point, line.as_bytes()).await? == Met::Answered {
                return Ok(());
            }
            let upon = self.wire.shared.faults.upon();
            let answer = match self.wire.take_call_error() {
                Some((kind, description)) => Err(json!({"type": kind, "description": description})),
                None if call.name == "Email/set"
                    && self.wire.shared.faults.pretends_to_destroy() =>
                {
                    Ok(json!({"destroyed": call.arguments.get("destroy")}))
                }
                None => {
                    calls::answer(&self.wire.shared.post, user, &call, &responses, upon.as_deref())
                }
            };
            responses.push(match answer {
                Ok(arguments) => json!([call.name, arguments, call.id]),
                Err(error) => json!(["error", error, call.id]),
            });
        }
        self.send_json(200, &json!({"methodResponses": responses, "sessionState": "0"})).await
    }

    /// The bytes of a mail: its blob has its name.
    async fn download(&mut self, user: &str, request: &Request) -> Result<(), End> {
        let mut parts = request.path().trim_start_matches(DOWNLOAD).split('/');
        let (account, blob) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let bytes = calls::mail(&self.wire.shared.post, user, blob);
        match bytes.filter(|_| account == account_id(user)) {
            Some(bytes) => self.send(200, "message/rfc822", bytes.to_vec()).await,
            None => self.problem(404, "about:blank", "no such blob").await,
        }
    }

    async fn problem(&mut self, status: u16, kind: &str, detail: &str) -> Result<(), End> {
        self.send_json(status, &json!({"type": kind, "status": status, "detail": detail})).await
    }

    async fn send_json(&mut self, status: u16, body: &Value) -> Result<(), End> {
        self.send(status, "application/json", body.to_string().into_bytes()).await
    }

    async fn send(&mut self, status: u16, kind: &str, body: Vec<u8>) -> Result<(), End> {
        let body = self.wire.altered(body);
        let (name, length) = (Server::NAME, body.len());
        let login = match status {
            401 => "WWW-Authenticate: Basic realm=\"mail\"\r\nWWW-Authenticate: Bearer\r\n",
            _ => "",
        };
        self.wire.put(format!(
            "HTTP/1.1 {status} {}\r\nServer: {name}\r\nContent-Type: {kind}\r\n{login}Content-Length: {length}\r\n\r\n",
            phrase(status)
        ));
        self.wire.put(body);
        self.wire.flush().await
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        _ => "Not Found",
    }
}
