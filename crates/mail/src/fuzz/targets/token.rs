//! The answer of a token endpoint (OAuth2).
//!
//! Input: two bytes for the HTTP status, then the body.

use std::sync::LazyLock;

use hyper::StatusCode;

use crate::auth::{OAuth2, TokenUrl};
use crate::fuzz::shown::{self, PASSWORD};
use crate::net::tls::TlsClients;
use crate::oauth::endpoint::Endpoint;
use crate::options::TlsOptions;
use crate::secret::Secret;
use crate::secret_source::SecretSource;

pub(in crate::fuzz) fn check(input: &[u8]) {
    static ENDPOINT: LazyLock<Endpoint> = LazyLock::new(endpoint);
    let Some((status, body)) = input.split_at_checked(2) else { return };
    let status = 100 + u16::from_be_bytes([status[0], status[1]]) % 500;
    let status = StatusCode::from_u16(status).unwrap();
    let scrubber = ENDPOINT.scrubber(Some(&Secret::new("refresh-me-not".to_owned())));
    match ENDPOINT.read(status, body, &scrubber) {
        Ok(given) => {
            assert!(status.is_success(), "a token with {status}");
            for token in [Some(given.access_token), given.refresh_token].iter().flatten() {
                // It goes into a line of a login.
                assert!(token.expose().bytes().all(|byte| byte.is_ascii_graphic()));
                assert!((1..=16_384).contains(&token.expose().len()));
            }
        }
        Err(fault) => {
            shown::check(&fault.message);
            assert!(!fault.message.contains("refresh-me-not"), "{}", fault.message);
        }
    }
}

fn endpoint() -> Endpoint {
    let host = "login.example.test".to_owned();
    let client = OAuth2 {
        token_url: TokenUrl { host, port: 443, path: "/token".to_owned() },
        client_id: "monitor".to_owned(),
        client_secret: Some(SecretSource::Fixed(Secret::new(PASSWORD.to_owned()))),
        scope: None,
        refresh_token: None,
        tls_options: TlsOptions::default(),
    };
    let tls = TlsClients::default().client(&client.tls_options).unwrap();
    Endpoint::new(client, tls)
}
