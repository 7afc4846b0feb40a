//! Bodies that are compressed where the client accepts it, whole or a piece at a time.

use std::io::{self, Write};
use std::iter;
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

/// After so much text others have their turn, be the compressed piece full or not: about 3 ms of work.
const TEXT_AT_ONCE: usize = 256 * 1024;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// RFC 8878. It takes less time than gzip.
    Zstd,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// What the header Accept-Encoding prefers (RFC 9110, section 12.5.3), of equals the first above;
    /// `None` if nothing or `identity`. Zstd is for those who name it.
    fn negotiate(accept_encoding: Option<&str>) -> Option<Self> {
        let quality_of = |names: &[&str]| {
            best_quality(accept_encoding, |coding| {
                names.iter().any(|name| coding.name.eq_ignore_ascii_case(name))
            })
        };
        let gzip = quality_of(&["gzip", "x-gzip"]).or_else(|| quality_of(&["*"])).unwrap_or(0);
        let zstd = quality_of(&["zstd"]).unwrap_or(0);
        let least = quality_of(&["identity"]).unwrap_or(0).max(1);
        if zstd >= least && zstd >= gzip {
            Some(Coding::Zstd)
        } else {
            (gzip >= least).then_some(Coding::Gzip)
        }
    }

    /// The value of Content-Encoding.
    fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
        })
    }
}

/// Compresses the body where `accept_encoding` allows it and the body is worth it.
pub(in crate::web) async fn compress(
    mut response: Response,
    accept_encoding: Option<&str>,
) -> Response {
    let is_small = response.rest.is_none() && response.body.len() <= COMPRESS_FROM;
    if is_small || response.headers.contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let Some(coding) = Coding::negotiate(accept_encoding) else { return response };
    // Without memory for it the body goes as it is.
    let Ok(encoder) = Encoder::new(coding) else { return response };
    let beginning = mem::take(&mut response.body);
    if let Some(rest) = response.rest.take() {
        let pieces = iter::once(Ok(beginning)).chain(rest);
        response.rest = Some(Rest::new(Compressed { pieces, encoder: Some(encoder) }));
    } else if let Some(compressed) = compressed(encoder, &beginning).await {
        response.body = compressed;
    } else {
        response.body = beginning;
        return response;
    }
    response.headers.insert(header::CONTENT_ENCODING, coding.name());
    response
}

/// A whole body; `None` where there is no thread to compress it.
async fn compressed(mut encoder: Encoder, body: &Bytes) -> Option<Bytes> {
    let compress = {
        let body = body.clone();
        move || {
            encoder.write(&body)?;
            encoder.finish()
        }
    };
    let outcome = if body.len() <= COMPRESS_ASIDE_FROM {
        compress()
    } else {
        threads::run(compress).await.ok()?
    };
    outcome.ok()
}

/// What compresses a body, a piece at a time.
enum Encoder {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl Encoder {
    /// How far back zstd looks for what repeats, as a power of two: 128 KiB. More of it makes metrics
    /// hardly smaller, and every connection has one.
    const ZSTD_WINDOW: u32 = 17;

    fn new(coding: Coding) -> io::Result<Self> {
        match coding {
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1)?;
                encoder.window_log(Self::ZSTD_WINDOW)?;
                Ok(Encoder::Zstd(encoder))
            }
            Coding::Gzip => Ok(Encoder::Gzip(GzEncoder::new(Vec::new(), Compression::fast()))),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Encoder::Zstd(encoder) => encoder.write_all(bytes),
            Encoder::Gzip(encoder) => encoder.write_all(bytes),
        }
    }

    /// What it has written and nobody has taken yet.
    fn written(&mut self) -> &mut Vec<u8> {
        match self {
            Encoder::Zstd(encoder) => encoder.get_mut(),
            Encoder::Gzip(encoder) => encoder.get_mut(),
        }
    }

    fn finish(self) -> io::Result<Bytes> {
        let written = match self {
            Encoder::Zstd(encoder) => encoder.finish(),
            Encoder::Gzip(encoder) => encoder.finish(),
        };
        written.map(Bytes::from)
    }
}

/// The pieces of a body, compressed; empty ones between them, where a piece takes long.
struct Compressed<I> {
    pieces: I,
    /// `None` after the end.
    encoder: Option<Encoder>,
}

impl<I: Iterator<Item = io::Result<Bytes>>> Iterator for Compressed<I> {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        let mut encoder = self.encoder.take()?;
        let mut text = 0;
        for piece in self.pieces.by_ref() {
            match piece.and_then(|piece| encoder.write(&piece).map(|()| piece.len())) {
                Ok(length) => text += length,
                Err(error) => return Some(Err(error)),
            }
            if text >= TEXT_AT_ONCE && encoder.written().len() < PIECE {
                self.encoder = Some(encoder);
                return Some(Ok(Bytes::new()));
            }
            if encoder.written().len() >= PIECE {
                let compressed = mem::take(encoder.written());
                self.encoder = Some(encoder);
                return Some(Ok(compressed.into()));
            }
        }
        Some(encoder.finish())
    }
}

#[cfg(test)]
pub(in crate::web) mod tests;
