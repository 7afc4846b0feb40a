use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::StatusCode;

use super::*;

#[test]
fn a_body_is_compressed_as_the_client_prefers() {
    use Coding::{Gzip, Zstd};
    for (accept, expected) in [
        (Some("gzip"), Some(Gzip)),
        (Some("deflate, GZIP;q=0.1"), Some(Gzip)),
        (Some("x-gzip"), Some(Gzip)),
        (Some("*"), Some(Gzip)),
        (Some("gzip;q=0, *"), None),
        (Some("gzip;q=0"), None),
        (Some("br, deflate"), None),
        (Some("*;q=0"), None),
        (Some(""), None),
        (None, None),
        (Some("identity"), None),
        (Some("identity, gzip;q=0.5"), None),
        (Some("identity;q=0.5, gzip"), Some(Gzip)),
        (Some("zstd"), Some(Zstd)),
        (Some("ZSTD;q=0.1"), Some(Zstd)),
        (Some("gzip, deflate, br, zstd"), Some(Zstd)),
        (Some("gzip, zstd;q=0.5"), Some(Gzip)),
        (Some("zstd;q=0, *"), Some(Gzip)),
        (Some("zstd;q=0.5, identity"), None),
    ] {
        assert_eq!(Coding::negotiate(accept), expected, "{accept:?}");
    }
}

/// What a client makes of this body.
pub(in crate::web) fn unpacked(coding: &str, body: &[u8]) -> String {
    let mut unpacked = String::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(body).read_to_string(&mut unpacked).unwrap(),
        "zstd" => {
            let mut decoder = zstd::stream::read::Decoder::new(body).unwrap();
            // What must suffice for a client.
            decoder.window_log_max(Encoder::ZSTD_WINDOW).unwrap();
            decoder.read_to_string(&mut unpacked).unwrap()
        }
        other => panic!("{other}"),
    };
    unpacked
}

#[tokio::test]
async fn a_compressed_body_is_the_same_body() {
    for coding in ["gzip", "zstd"] {
        for length in [COMPRESS_FROM + 1, COMPRESS_ASIDE_FROM + 1] {
            let body = "mailtrip ".repeat(length / 9 + 1);
            let plain = Response::text(StatusCode::OK, body.clone());
            let response = compress(plain, Some(coding)).await;
            assert_eq!(response.headers[header::CONTENT_ENCODING], coding);
            assert!(response.body.len() < body.len() / 10);
            assert!(unpacked(coding, &response.body) == body);
        }
    }
}

#[tokio::test]
async fn a_short_body_and_an_encoded_one_stay_as_they_are() {
    let short = Response::text(StatusCode::OK, "x".repeat(COMPRESS_FROM));
    assert_eq!(compress(short, Some("gzip")).await.body.len(), COMPRESS_FROM);
    let encoded = Response::text(StatusCode::OK, "x".repeat(COMPRESS_FROM * 2))
        .with_header(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    assert_eq!(compress(encoded, Some("gzip")).await.headers[header::CONTENT_ENCODING], "br");
}

#[tokio::test]
async fn a_piece_of_text_that_hardly_takes_room_is_not_made_in_one_go() {
    const TAKEN: usize = 64 << 10;
    for coding in ["zstd", "gzip"] {
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&taken);
        let pieces = (0..64).map(move |_| {
            counted.fetch_add(TAKEN, Ordering::Relaxed);
            "x".repeat(TAKEN)
        });
        let response = compress(Response::in_pieces("text/plain", pieces), Some(coding)).await;
        let (rest, mut packed, mut before) = (response.rest.unwrap(), Vec::new(), 0);
        for piece in rest {
            packed.extend(piece.unwrap());
            let now = taken.load(Ordering::Relaxed);
            assert!(now - before <= TEXT_AT_ONCE + 2 * TAKEN, "{coding}: {}", now - before);
            before = now;
        }
        assert_eq!(unpacked(coding, &packed).len(), 64 * TAKEN);
    }
}
