//! How the body of an HTTP answer ends (RFC 9112 sections 6 and 7), read from whatever pieces it comes in.

/// The longest line in a chunked body: a size with its extensions, or a field of the trailer.
const LINE_BYTES: usize = 4096;
/// The most fields of a trailer.
const TRAILER_FIELDS: usize = 100;

/// How much of a body is still to come.
#[derive(Debug)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunked),
    /// All until the server closes the connection.
    UntilClosed,
}

/// Where a chunked body is.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    part: Part,
    line: Vec<u8>,
    trailer_fields: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Part {
    #[default]
    Size,
    Data(u64),
    AfterData,
    Trailer,
    Over,
}

/// The bytes are no chunks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotChunked;

impl Framing {
    /// Whether all of the body has come.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Framing::Length(left) => *left == 0,
            Framing::Chunked(chunked) => chunked.part == Part::Over,
            Framing::UntilClosed => false,
        }
    }

    /// Appends what `input` has of the body to `body`, up to `most` bytes there; gives how many bytes of the
    /// input are done with.
    ///
    /// # Errors
    /// The input is not what a chunked body consists of.
    pub(super) fn take(
        &mut self,
        input: &[u8],
        body: &mut Vec<u8>,
        most: usize,
    ) -> Result<usize, NotChunked> {
        match self {
            Framing::Length(left) => {
                let taken = append(input, *left, body, most);
                *left -= taken as u64;
                Ok(taken)
            }
            Framing::UntilClosed => Ok(append(input, u64::MAX, body, most)),
            Framing::Chunked(chunked) => {
                let mut used = 0;
                while let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty()) {
                    let step = chunked.take(rest, body, most)?;
                    if step == 0 {
                        break;
                    }
                    used += step;
                }
                Ok(used)
            }
        }
    }
}

impl Chunked {
    fn take(&mut self, input: &[u8], body: &mut Vec<u8>, most: usize) -> Result<usize, NotChunked> {
        if let Part::Data(left) = self.part {
            let taken = append(input, left, body, most);
            let left = left - taken as u64;
            self.part = if left == 0 { Part::AfterData } else { Part::Data(left) };
            return Ok(taken);
        }
        if self.part == Part::Over {
            return Ok(0);
        }
        let end = input.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(input.len(), |end| end + 1);
        self.line.extend_from_slice(input.get(..taken).unwrap_or_default());
        if self.line.len() > LINE_BYTES {
            return Err(NotChunked);
        }
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            self.part = self.after(line.trim_ascii())?;
        }
        Ok(taken)
    }

    /// What follows this line.
    fn after(&mut self, line: &[u8]) -> Result<Part, NotChunked> {
        match self.part {
            Part::Size => Ok(match size(line).ok_or(NotChunked)? {
                0 => Part::Trailer,
                size => Part::Data(size),
            }),
            Part::AfterData if line.is_empty() => Ok(Part::Size),
            Part::Trailer if line.is_empty() => Ok(Part::Over),
            Part::Trailer if self.trailer_fields < TRAILER_FIELDS => {
                self.trailer_fields += 1;
                Ok(Part::Trailer)
            }
            Part::Trailer | Part::AfterData | Part::Data(_) | Part::Over => Err(NotChunked),
        }
    }
}

/// The size of a chunk, in hexadecimal digits before its extensions.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    u64::from_str_radix(digits, 16).ok()
}

fn append(input: &[u8], left: u64, body: &mut Vec<u8>, most: usize) -> usize {
    let room = most.saturating_sub(body.len());
    let count = input.len().min(room).min(usize::try_from(left).unwrap_or(usize::MAX));
    body.extend_from_slice(input.get(..count).unwrap_or_default());
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKS: &[u8] = b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\nmore";

    #[test]
    fn chunks_are_read_from_whatever_pieces_they_come_in() {
        for step in 1..CHUNKS.len() {
            let (mut framing, mut body) = (Framing::Chunked(Chunked::default()), Vec::new());
            let mut used = 0;
            for piece in CHUNKS.chunks(step) {
                used += framing.take(piece, &mut body, 100).unwrap();
            }
            assert_eq!((body.as_slice(), used), (&b"hello world"[..], CHUNKS.len() - 4));
            assert!(framing.is_over());
        }
    }

    #[test]
    fn no_more_than_there_is_room_for_is_taken() {
        let (mut framing, mut body) = (Framing::Chunked(Chunked::default()), Vec::new());
        assert_eq!(framing.take(CHUNKS, &mut body, 3), Ok(10));
        assert_eq!((body.as_slice(), framing.is_over()), (&b"hel"[..], false));
        let (mut framing, mut body) = (Framing::Length(4), Vec::new());
        assert_eq!(framing.take(b"hello", &mut body, 100), Ok(4));
        assert!(framing.is_over() && body == b"hell");
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        let long = [b'1'; LINE_BYTES + 1];
        for bad in
            [&b"\r\n"[..], b"x\r\n", b"-1\r\n", b"1\r\nab\r\n", b"11111111111111111\r\n", &long]
        {
            let (mut framing, mut body) = (Framing::Chunked(Chunked::default()), Vec::new());
            assert_eq!(framing.take(bad, &mut body, 100), Err(NotChunked), "{bad:?}");
        }
    }
}
