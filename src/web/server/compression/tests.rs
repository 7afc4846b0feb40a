use std::io::Read;

use hyper::StatusCode;

use super::*;

#[test]
fn gzip_is_sent_only_where_it_is_allowed() {
    for (accept, expected) in [
        (Some("gzip"), true),
        (Some("deflate, GZIP;q=0.1"), true),
        (Some("x-gzip"), true),
        (Some("*"), true),
        (Some("gzip;q=0, *"), false),
        (Some("gzip;q=0"), false),
        (Some("br, deflate"), false),
        (Some("*;q=0"), false),
        (Some(""), false),
        (None, false),
    ] {
        assert_eq!(accepts_gzip(accept), expected, "{accept:?}");
    }
}

#[tokio::test]
async fn a_compressed_body_is_the_same_body() {
    for length in [COMPRESS_FROM + 1, COMPRESS_ASIDE_FROM + 1] {
        let body = "mailtrip ".repeat(length / 9 + 1);
        let plain = Response::text(StatusCode::OK, body.clone());
        let response = compress(plain, Some("gzip")).await;
        assert_eq!(response.headers[header::CONTENT_ENCODING], "gzip");
        assert!(response.body.len() < body.len() / 10);
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&response.body[..]).read_to_string(&mut unpacked).unwrap();
        assert!(unpacked == body);
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
