//! What a client sends to the listener: requests, their headers, their host, their bodies; and the header
//! Authorization.
//!
//! Input: what comes on one connection.

use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hyper::header::HeaderValue;
use secrecy::ExposeSecret;
use tokio::runtime::Builder;

use crate::config::Config;
use crate::probing::send::Origin;
use crate::supervisor::Supervisor;
use crate::web::elsewhere::Elsewhere;
use crate::web::mount::Mount;
use crate::web::routes::App;
use crate::web::server::auth::basic::credentials;
use crate::web::server::negotiation::Format;
use crate::web::server::{Request, Response, serve_played};
use ledger::Token;
use mail::fuzz::script::Script;
use mail::fuzz::targets::{block_on, piece};
use mail::text::is_unsafe;

pub(in crate::fuzz) fn check(input: &[u8]) {
    authorization(input);
    encodings(input);
    let (whole, piece) = (requests(input, usize::MAX), piece(input));
    let in_pieces = requests(input, piece);
    // hyper may give a connection up sooner in one than in the other: at a head that is too long, and at
    // what is no HTTP. What it took for a request before that is the same.
    let both = whole.len().min(in_pieces.len());
    assert_eq!(whole.get(..both), in_pieces.get(..both), "in pieces of {piece}");
    pages(input);
}

/// The requests that an input is, when it comes in pieces of this size.
fn requests(input: &[u8], piece: usize) -> Vec<String> {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let script = Script::new(input, piece);
    let seen = Arc::clone(&requests);
    let answer = move |request: Request| {
        seen.lock().unwrap().push(format!("{request:?}"));
        std::future::ready(Response::text(hyper::StatusCode::OK, String::new()))
    };
    block_on(async { serve_played(script.connect(), answer).await });
    let requests = requests.lock().unwrap();
    requests.clone()
}

/// The pages themselves.
fn pages(input: &[u8]) {
    thread_local! {
        static APP: &'static App = Box::leak(Box::new(app()));
    }
    let app = APP.with(|app| *app);
    let script = Script::new(input, usize::MAX);
    block_on(async {
        serve_played(script.connect(), async |request: Request| app.answer(request).await).await;
    });
    let said = String::from_utf8_lossy(&script.heard()).into_owned();
    assert!(!said.contains("HTTP/1.1 500"), "{said}");
    let is_page = said.contains("text/html") && !said.contains("text/plain");
    assert!(!is_page || !said.contains("<zq"), "what was asked for is in the page: {said}");
    let is_harmless = |it: char| !is_unsafe(it) || matches!(it, '\r' | '\n' | '\t');
    let is_packed = said.contains("content-encoding: ");
    assert!(is_packed || said.chars().all(is_harmless), "shown as it came: {said:?}");
}

/// One with two targets. The runtime that its loops are in never runs.
fn app() -> App {
    let text = "defaults: {host: 127.0.0.1, from: a@b.test, to: a@b.test, receive: {protocol: imap, \
                username: u, password: pw}}\ntargets: [{name: one}, {name: 'b & c'}]";
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let supervisor = runtime.block_on(async {
        let config = Config::parse(text, Path::new("fuzz.yml")).unwrap();
        let origin = Origin { instance: Token::random(), host: None };
        Supervisor::start(config, None, origin).await.unwrap()
    });
    std::mem::forget(runtime);
    let telemetry_path = "/metrics".to_owned();
    let (mount, elsewhere) = (Mount::default(), Elsewhere::default());
    App {
        supervisor,
        mount,
        elsewhere,
        telemetry_path,
        enable_lifecycle: false,
        enable_details: true,
    }
}

fn authorization(input: &[u8]) {
    for line in input.split(|byte| *byte == b'\n') {
        let line = line.strip_prefix(b"Authorization: ").unwrap_or(line).trim_ascii();
        let Ok(header) = HeaderValue::from_bytes(line) else { continue };
        let Some((name, password)) = credentials(&header) else { continue };
        assert!(!name.contains(':'), "{name}");
        let pair = [name.as_bytes(), b":", password.expose_secret()].concat();
        let again = format!("Basic {}", BASE64_STANDARD.encode(pair));
        let again = credentials(&HeaderValue::from_str(&again).unwrap()).unwrap();
        assert_eq!(again.0, name);
        assert_eq!(again.1.expose_secret(), password.expose_secret());
    }
}

/// The format of the metrics that a client asks for.
fn encodings(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let types = text.lines().take(50).map(|line| Format::negotiate(Some(line)).content_type());
    assert!(types.into_iter().all(|kind| kind.contains("text")));
}
