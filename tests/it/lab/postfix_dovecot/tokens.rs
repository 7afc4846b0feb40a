//! Which access tokens let whom in: Dovecot asks here at each login.
//!
//! This is token introspection (RFC 7662) over HTTP on loopback. A token that was revoked is refused
//! from the next login on; there is no cache, and no key whose change Dovecot would have to notice.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::spawn_local;

use super::background::Background;

/// The good tokens, each with the address that it is for.
#[derive(Clone, Default)]
pub(crate) struct Tokens(Arc<Mutex<HashMap<String, String>>>);

impl Tokens {
    /// Lets the user with this address in by this token.
    pub(crate) fn allow(&self, token: &str, address: &str) {
        self.with(|tokens| tokens.insert(token.to_owned(), address.to_owned()));
    }

    /// Lets nobody in by this token any more.
    pub(crate) fn revoke(&self, token: &str) {
        self.with(|tokens| tokens.remove(token));
    }

    fn with<T>(&self, change: impl FnOnce(&mut HashMap<String, String>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// RFC 7662 section 2.2: of a token that is not good nothing is told.
    fn introspect(&self, form: &[u8]) -> Value {
        let token = form_urlencoded::parse(form).find(|(name, _)| name == "token");
        let address = token.and_then(|(_, token)| self.with(|all| all.get(&*token).cloned()));
        match address {
            Some(address) => json!({"active": true, "username": address, "scope": "mail"}),
            None => json!({"active": false}),
        }
    }
}

/// Answers Dovecot by `tokens` on this port of 127.0.0.1, until the answer is dropped.
///
/// # Panics
/// If the port cannot be had.
pub(crate) fn serve_introspection(port: u16, tokens: Tokens) -> Background {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, port))
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .unwrap_or_else(|error| panic!("port {port} cannot be bound: {error}"));
    Background::start(async move || {
        let listener = TcpListener::from_std(listener)
            .unwrap_or_else(|error| panic!("port {port} cannot be listened on: {error}"));
        while let Ok((stream, _)) = listener.accept().await {
            let tokens = tokens.clone();
            let answer = service_fn(move |request| answer(tokens.clone(), request));
            // A connection that breaks is opened anew by Dovecot.
            spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    })
}

async fn answer(
    tokens: Tokens,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let form = request.into_body().collect().await;
    let form = form.map(|form| form.to_bytes()).unwrap_or_default();
    let mut response = Response::new(Full::from(tokens.introspect(&form).to_string()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}
