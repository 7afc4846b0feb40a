//! One question by HTTP or HTTPS over a connection of its own, and its answer: bounded, and by a deadline. No
//! redirect is followed, for a question may hold secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use crate::net;
use crate::net::tls::{Resumption, TlsClient};
use crate::options::{BracketedHost, Endpoint};
use crate::secret::Secret;
use crate::{Fault, Reason};
use ledger::Clue;

/// The longest head of an answer that is read.
const HEAD_BYTES: usize = 64 << 10;

/// What a server answered: its status and the whole body.
pub type Answer = (StatusCode, Bytes);

/// A question for JSON, begun in `builder` with its method and path. A port that is `default_port`, the one
/// that the scheme implies, is left out of the name of the host.
///
/// # Errors
/// [`Reason::Other`] for a path or a host that no question can hold.
pub fn question(
    endpoint: &Endpoint,
    default_port: u16,
    builder: hyper::http::request::Builder,
    body: String,
) -> Result<Request<Full<Bytes>>, Fault> {
    let host = BracketedHost(&endpoint.host);
    let authority = match endpoint.port {
        port if port == default_port => host.to_string(),
        port => format!("{host}:{port}"),
    };
    let agent = concat!("mailtrip_exporter/", env!("CARGO_PKG_VERSION"));
    builder
        .header(HOST, authority)
        .header(USER_AGENT, agent)
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| Fault::new(Reason::Other, format!("cannot be asked: {error}")))
}

/// Adds a login, as `user:password` (RFC 7617).
///
/// # Errors
/// [`Reason::Other`] if there is no colon.
pub fn authorize(request: &mut Request<Full<Bytes>>, login: &Secret) -> Result<(), Fault> {
    if !login.expose().contains(':') {
        let message = "the login is not user:password, it has no colon";
        return Err(Fault::new(Reason::Other, message));
    }
    let value = format!("Basic {}", STANDARD.encode(login.expose()));
    // Base64 is always a good value.
    if let Ok(mut value) = HeaderValue::from_str(&value) {
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(())
}

/// Asks the server of `endpoint`, under TLS if there is a client for it, and reads a body of so many bytes
/// at most.
///
/// # Errors
/// The connection's reasons; [`Reason::Timeout`] where the answer is not complete by the deadline;
/// [`Reason::Protocol`] for what is no answer, and for one that is too long.
pub async fn ask(
    endpoint: &Endpoint,
    tls: Option<&TlsClient>,
    request: Request<Full<Bytes>>,
    most_bytes: usize,
    deadline: Instant,
) -> Result<Answer, Fault> {
    let answer = ask_whole(endpoint, tls, request, most_bytes, deadline).await?;
    Ok((answer.status(), answer.into_body()))
}

/// The same with the header of the answer.
///
/// # Errors
/// Those of [`ask`].
pub async fn ask_whole(
    endpoint: &Endpoint,
    tls: Option<&TlsClient>,
    request: Request<Full<Bytes>>,
    most_bytes: usize,
    deadline: Instant,
) -> Result<Response<Bytes>, Fault> {
    let dialogue = Box::pin(async {
        let addresses = net::resolve(endpoint, deadline).await?;
        let socket = net::connect(&addresses, deadline).await?.socket;
        let Some(tls) = tls else { return exchange(socket, request, most_bytes).await };
        // What this certificate is like is no fact about a mail server.
        let handshake = tls.handshake(endpoint, socket, deadline, Resumption::Never).await;
        exchange(handshake.outcome?, request, most_bytes).await.map_err(left_after_tls)
    });
    let outcome = timeout_at(deadline, dialogue).await;
    outcome.unwrap_or_else(|_| Err(Fault::new(Reason::Timeout, "no answer in time")))
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
    most_bytes: usize,
) -> Result<Response<Bytes>, Fault> {
    let shake = http1::Builder::new().max_buf_size(HEAD_BYTES).handshake(TokioIo::new(stream));
    let (mut sender, connection) = shake.await.map_err(|error| http_fault(&error))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| http_fault(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, most_bytes).collect().await;
        let body = body.map_err(|error| match error.downcast_ref::<hyper::Error>() {
            Some(error) => http_fault(error),
            None => {
                let message = format!("an answer of more than {most_bytes} bytes");
                Fault::new(Reason::Protocol, message)
            }
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    let (mut answer, mut connection) = (std::pin::pin!(answer), std::pin::pin!(connection));
    let mut is_open = true;
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            // The answer says as well how it ended.
            _ = &mut connection, if is_open => is_open = false,
        }
    }
}

/// A server that leaves at the first words under TLS and does not say why.
fn left_after_tls(fault: Fault) -> Fault {
    match fault.reason {
        Reason::Closed if fault.clue.is_none() => fault.with(Some(Clue::LeftAfterTls)),
        _ => fault,
    }
}

fn http_fault(error: &hyper::Error) -> Fault {
    let io: Option<&std::io::Error> =
        std::error::Error::source(error).and_then(|source| source.downcast_ref());
    let words = io.map_or_else(|| error.to_string(), net::tls::io_words);
    let message = format!("the answer cannot be read: {words}");
    let reason = match io {
        Some(io) => {
            let fault = Fault::of_system(io, net::io_reason(io), message);
            return fault.with(net::tls::io_clue(io));
        }
        None if error.is_incomplete_message() || error.is_canceled() || error.is_closed() => {
            Reason::Closed
        }
        None => Reason::Protocol,
    };
    Fault::new(reason, message)
}
