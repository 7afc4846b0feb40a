//! The HTTP listener: connections in, requests to the routes, answers out.
//!
//! It knows no route and no metric. Everything that holds for every request is done here: limits
//! on connections, headers, bodies and time, TLS and authentication, HEAD, compression, the headers
//! that every answer carries, and the end on shutdown. A client that is slow, silent or hostile
//! holds one connection for a bounded time and delays no other.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use address::{ListenAddress, ListenAddressError, bind, parse_listen_address, reachable};
pub use auth::{WebConfig, WebConfigError};
pub use limits::Limits;
pub use message::{Request, Response};
pub use passed::passed_by_systemd;

use accepting::{accept_any, accept_loop};
use auth::{Admission, Protection};
use door::{Door, Phase, Seat};
use write_deadline::WriteDeadline;

mod accepting;
mod address;
pub mod auth;
pub(crate) mod authority;
mod compression;
mod door;
mod limits;
mod message;
pub mod negotiation;
mod outgoing;
mod passed;
mod recent;
mod write_deadline;

/// Serves `listeners` until `shutdown`, then lets the requests in flight end for at most three
/// seconds. Nothing that a client or the network does ends it earlier.
///
/// `answer` is asked once per request, in a task of its own: a client that hangs up does not end
/// it in the middle, and a panic in it becomes status 500.
pub async fn serve<A, F>(
    listeners: Vec<TcpListener>,
    web: WebConfig,
    answer: A,
    shutdown: CancellationToken,
) where
    A: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    serve_within(Limits::of_this_process(), listeners, web, answer, shutdown).await;
}

/// [`serve`] with other limits.
pub async fn serve_within<A, F>(
    limits: Limits,
    listeners: Vec<TcpListener>,
    web: WebConfig,
    answer: A,
    shutdown: CancellationToken,
) where
    A: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let tracker = TaskTracker::new();
    let door = Door::new(limits.clone());
    let server = Arc::new(Server { limits, web, answer, shutdown: shutdown.clone() });
    let each = |stream, peer, seat: Seat| {
        let server = server.clone();
        tracker.spawn(async move { server.connection(stream, peer, &seat).await });
    };
    tokio::select! {
        // It owns the listeners: with it they are closed.
        () = accept_loop(accept_any(listeners), &door, each) => {}
        () = shutdown.cancelled() => {}
    }
    tracker.close();
    // Every connection ends by itself within `limits.drain`.
    tracker.wait().await;
}

/// What all connections share.
struct Server<A> {
    limits: Limits,
    web: WebConfig,
    answer: A,
    shutdown: CancellationToken,
}

/// Whose request it is.
#[derive(Clone, Copy)]
struct Client<'a> {
    peer: SocketAddr,
    seat: &'a Seat,
    /// It showed a verified certificate.
    is_known: bool,
}

impl<A, F> Server<A>
where
    A: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    /// One connection from the accept to its end.
    async fn connection(&self, stream: TcpStream, peer: SocketAddr, seat: &Seat) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "HTTP connection lost");
            return;
        }
        let web = self.web.current().await;
        let Some(tls) = web.tls() else {
            let stream = WriteDeadline::new(seat.observe(stream), self.limits.write);
            self.requests(stream, Client { peer, seat, is_known: false }).await;
            return;
        };
        let handshake = async {
            // What makes it costs more than the connection; one that says nothing gets none.
            stream.readable().await?;
            let stream = WriteDeadline::new(seat.observe(stream), self.limits.write);
            tls.accept(stream).await
        };
        let outcome = tokio::select! {
            biased;
            outcome = handshake => outcome,
            () = seat.over() => {
                tracing::debug!(%peer, "TLS handshake timed out");
                return;
            }
            () = self.shutdown.cancelled() => return,
        };
        match outcome {
            Ok(stream) => {
                let is_known = web.knows_clients();
                self.requests(stream, Client { peer, seat, is_known }).await;
            }
            Err(error) => {
                let error = mail::net::tls::io_words(&error);
                tracing::debug!(%peer, error, "TLS handshake failed");
            }
        }
    }

    /// The requests of one connection.
    async fn requests<S>(&self, stream: S, client: Client<'_>)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        client.seat.set(Phase::FirstHead);
        let peer = client.peer;
        let service =
            service_fn(async |request| Ok::<_, Infallible>(self.respond(request, client).await));
        let connection = hyper::server::conn::http1::Builder::new()
            // The seat bounds the waits: it knows how scarce they are.
            .header_read_timeout(None)
            .max_header_size(self.limits.header_bytes)
            .max_buf_size(self.limits.header_bytes.max(8192))
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let outcome = tokio::select! {
            biased;
            outcome = connection.as_mut() => outcome,
            () = client.seat.over() => {
                tracing::debug!(%peer, "HTTP connection timed out");
                return;
            }
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let Ok(outcome) = timeout(self.limits.drain, connection).await else {
                    tracing::warn!(%peer, "HTTP request cut short by the shutdown");
                    return;
                };
                outcome
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%peer, error = error_chain(&error), "HTTP connection ended early");
        }
    }

    /// One request: admitted, answered, and dressed as every answer is.
    async fn respond(
        &self,
        request: hyper::Request<Incoming>,
        client: Client<'_>,
    ) -> hyper::Response<outgoing::Body> {
        let is_head = request.method() == Method::HEAD;
        client.seat.set(Phase::Admission);
        // It may have changed since the connection was accepted.
        let web = self.web.current().await;
        let (response, accept_encoding) = match self.admit(request, client, &web).await {
            Ok(request) => {
                client.seat.set(Phase::Answer);
                let accept_encoding = request.accept_encoding.clone();
                (self.ask(request).await, accept_encoding)
            }
            Err(refusal) => (refusal, None),
        };
        let response = compression::compress(response, accept_encoding.as_deref()).await;
        client.seat.set(Phase::Kept);
        let mut finished = self.finished(response, is_head, client.seat);
        web.add_headers(finished.headers_mut());
        finished
    }

    /// The request as the routes see it, or the answer that refuses it.
    async fn admit(
        &self,
        request: hyper::Request<Incoming>,
        client: Client<'_>,
        web: &Protection,
    ) -> Result<Request, Response> {
        let (head, body) = request.into_parts();
        if let Err(problem) = authority::check(head.version, &head.uri, &head.headers) {
            return Err(closing(Response::text(StatusCode::BAD_REQUEST, format!("{problem}\n"))));
        }
        if authority::is_foreign(&head.method, &head.uri, &head.headers) {
            let text = "this request comes from a page of another site: use a page of this \
                        exporter, or a program other than a browser\n";
            return Err(closing(Response::text(StatusCode::FORBIDDEN, text)));
        }
        if !web.allows_request() {
            let text = "rate_limit exceeded; try again later\n";
            return Err(Response::text(StatusCode::TOO_MANY_REQUESTS, text));
        }
        let has_users = web.has_users();
        if has_users {
            let authorization = head.headers.get(header::AUTHORIZATION);
            let asked = self.web.admits(web, authorization, client.seat.peer());
            match timeout(self.limits.answer, asked).await {
                Ok(Admission::Granted) => {}
                Ok(Admission::Refused) => return Err(auth::unauthorized()),
                Ok(Admission::Postponed) => return Err(auth::too_many_checks()),
                Err(_) => return Err(unavailable()),
            }
        }
        drop_body(body, &self.limits).await?;
        let known = has_users || client.is_known;
        Ok(Request::new(&head.method, &head.uri, &head.headers, client.peer, known))
    }

    async fn ask(&self, request: Request) -> Response {
        let path = request.path.clone();
        let answer = tokio::spawn((self.answer)(request));
        match timeout(self.limits.answer, answer).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::error!(%path, %error, "the answer to an HTTP request failed");
                Response::text(StatusCode::INTERNAL_SERVER_ERROR, "internal error, see the log\n")
            }
            Err(_) => unavailable(),
        }
    }

    /// The answer as it is sent, with the headers that every answer carries.
    fn finished(
        &self,
        response: Response,
        is_head: bool,
        seat: &Seat,
    ) -> hyper::Response<outgoing::Body> {
        let Response { status, mut headers, body, rest } = response;
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        set_default(&mut headers, header::CACHE_CONTROL, "no-store");
        set_default(&mut headers, header::VARY, "Accept, Accept-Encoding");
        if rest.is_none() {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let body = match rest {
            Some(_) if is_head => outgoing::none(),
            Some(rest) => outgoing::in_pieces(body, rest, self.limits.write, seat.progress()),
            None => outgoing::whole(if is_head { Bytes::new() } else { body }),
        };
        let mut finished = hyper::Response::new(body);
        *finished.status_mut() = status;
        *finished.headers_mut() = headers;
        finished
    }
}

fn unavailable() -> Response {
    Response::text(StatusCode::SERVICE_UNAVAILABLE, "this takes too long; try again later\n")
}

/// Reads the body of a request and forgets it: no route takes one, but a connection can go on only
/// after it.
async fn drop_body(body: Incoming, limits: &Limits) -> Result<(), Response> {
    let too_large = || Response::text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large\n");
    if body.size_hint().lower() > limits.body_bytes as u64 {
        return Err(closing(too_large()));
    }
    let read = async {
        let mut body = body;
        let mut left = limits.body_bytes;
        while let Some(frame) = body.frame().await {
            let length = frame.as_ref().map_or(0, |frame| frame.data_ref().map_or(0, Bytes::len));
            if frame.is_err() {
                let text = "the request ends early\n";
                return Err(Response::text(StatusCode::BAD_REQUEST, text));
            }
            left = left.checked_sub(length).ok_or_else(too_large)?;
        }
        Ok(())
    };
    match timeout(limits.body_read, read).await {
        Ok(outcome) => outcome.map_err(closing),
        Err(_) => {
            let text = "the request is incomplete\n";
            Err(closing(Response::text(StatusCode::REQUEST_TIMEOUT, text)))
        }
    }
}

/// The same answer, the last of its connection: what follows on it is the rest of a body.
fn closing(response: Response) -> Response {
    response.with_header(header::CONNECTION, HeaderValue::from_static("close"))
}

fn set_default(headers: &mut HeaderMap, name: header::HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}

/// An error with all its sources, as hyper's own text names none.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Serves the one connection of a client that is played from memory.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) async fn serve_played<A, F>(stream: mail::fuzz::script::Played, answer: A)
where
    A: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let limits = Limits::default();
    let door = Door::new(limits.clone());
    let peer = SocketAddr::from(([192, 0, 2, 1], 9));
    let Some(seat) = door.enter(peer.ip()).await else { return };
    let (web, shutdown) = (WebConfig::none(), CancellationToken::new());
    let server = Server { limits, web, answer, shutdown };
    server.requests(stream, Client { peer, seat: &seat, is_known: false }).await;
}

#[cfg(test)]
mod tests;
