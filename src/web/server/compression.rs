//! Bodies that are compressed where the client accepts it, whole or a piece at a time.

use std::io::{self, Write};
use std::mem;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};

use super::message::{Response, Rest};
use super::negotiation::best_quality;
use mail::threads;

/// Bodies below this many bytes are sent as they are.
const COMPRESS_FROM: usize = 1024;

/// Bodies from this many bytes on are compressed on a thread that may block: about 3 ms of work.
const COMPRESS_ASIDE_FROM: usize = 256 * 1024;

/// A compressed piece of a body has at least this many bytes, unless it is the last.
const PIECE: usize = 64 * 1024;

/// Compresses the body where `accept_encoding` allows gzip and the body is worth it.
pub(in crate::web) async fn compress(
    mut response: Response,
    accept_encoding: Option<&str>,
) -> Response {
    let is_small = response.rest.is_none() && response.body.len() <= COMPRESS_FROM;
    if is_small
        || response.headers.contains_key(header::CONTENT_ENCODING)
        || !accepts_gzip(accept_encoding)
    {
        return response;
    }
    let beginning = mem::take(&mut response.body);
    if let Some(rest) = response.rest.take() {
        response.rest = Some(Rest::new(in_pieces(beginning, rest)));
    } else if let Some(compressed) = compressed(&beginning).await {
        response.body = compressed;
    } else {
        response.body = beginning;
        return response;
    }
    response.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

/// Whether the header Accept-Encoding allows gzip (RFC 9110, section 12.5.3).
fn accepts_gzip(accept_encoding: Option<&str>) -> bool {
    let named = best_quality(accept_encoding, |coding| {
        ["gzip", "x-gzip"].iter().any(|name| coding.name.eq_ignore_ascii_case(name))
    });
    named.or_else(|| best_quality(accept_encoding, |coding| coding.name == "*")).unwrap_or(0) > 0
}

/// A whole body; `None` where there is no thread to compress it.
async fn compressed(body: &Bytes) -> Option<Bytes> {
    if body.len() <= COMPRESS_ASIDE_FROM {
        return gzip(body).ok();
    }
    let body = body.clone();
    threads::run(move || gzip(&body)).await.ok().and_then(Result::ok)
}

fn gzip(body: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish().map(Bytes::from)
}

/// The pieces of a body, compressed.
struct Compressed<I> {
    pieces: I,
    /// `None` after the end.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

fn in_pieces(beginning: Bytes, rest: Rest) -> impl Iterator<Item = io::Result<Bytes>> {
    let pieces = std::iter::once(Ok(beginning)).chain(rest);
    Compressed { pieces, encoder: Some(GzEncoder::new(Vec::new(), Compression::fast())) }
}

impl<I: Iterator<Item = io::Result<Bytes>>> Iterator for Compressed<I> {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        let mut encoder = self.encoder.take()?;
        for piece in self.pieces.by_ref() {
            if let Err(error) = piece.and_then(|piece| encoder.write_all(&piece)) {
                return Some(Err(error));
            }
            if encoder.get_ref().len() >= PIECE {
                let compressed = mem::take(encoder.get_mut());
                self.encoder = Some(encoder);
                return Some(Ok(compressed.into()));
            }
        }
        Some(encoder.finish().map(Bytes::from))
    }
}

#[cfg(test)]
mod tests;
