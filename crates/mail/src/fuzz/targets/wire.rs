//! The reader of lines and literals, held against the plainest that there can be.
//!
//! Input: how many reads, two bytes for each (what, how much), and what the server says.

use std::time::Duration;

use tokio::time::Instant;

use super::{block_on, endpoint, piece};
use crate::fuzz::script::{HANG_UP, Script, TURN};
use crate::options::TlsMode;
use crate::trace::Trace;
use crate::wire::{ConnectionContext, Dialer, Wire};
use ledger::Reason;

const MOST_READS: usize = 16;

pub(in crate::fuzz) fn check(input: &[u8]) {
    let Some((count, rest)) = input.split_first() else { return };
    let count = usize::from(*count) % MOST_READS;
    let (reads, words) = rest.split_at_checked(2 * count).unwrap_or((rest, &[]));
    let connection = words.split(|byte| *byte == HANG_UP).next().unwrap_or_default();
    let said: Vec<u8> = connection.iter().copied().filter(|byte| *byte != TURN).collect();
    for piece in [usize::MAX, piece(input)] {
        block_on(async {
            let endpoint = &endpoint(TlsMode::None);
            let dialer = Dialer::new(endpoint, None, &ConnectionContext::default()).unwrap();
            let dialer = dialer.playing(Script::new(words, piece));
            let end = Instant::now() + Duration::from_secs(600);
            let mut wire = dialer.dial(Trace::new(None), end).await.unwrap();
            let mut plain = Plain(&said);
            for read in reads.chunks_exact(2) {
                // Up to some thousands, so that the end of a chunk is passed.
                let most = usize::from(read[1]) * if read[0] & 0x80 == 0 { 1 } else { 33 };
                if !one(&mut wire, &mut plain, read[0] & 0x7f, most).await {
                    return;
                }
            }
            // What was not read stays for the next.
            while one(&mut wire, &mut plain, 3, usize::MAX).await {}
        });
    }
}

/// One read of both; whether the connection goes on.
async fn one(wire: &mut Wire, plain: &mut Plain<'_>, what: u8, most: usize) -> bool {
    let (read, expected) = match what % 5 {
        0 => (wire.read_line(most).await, plain.line(most)),
        1 => {
            let piece = wire.read_line_piece(most.max(1)).await;
            let expected = plain.piece(most.max(1));
            assert_eq!(piece.as_ref().ok(), expected.as_ref().ok());
            (piece.map(|(piece, _)| piece), expected.map(|(piece, _)| piece))
        }
        2 => (wire.read_exact(most).await, plain.exact(most)),
        3 => (wire.read_line_cut(most).await, plain.line_cut(most)),
        _ => (wire.skip(most).await.map(|()| Vec::new()), plain.exact(most).map(|_| Vec::new())),
    };
    match (read, expected) {
        (Ok(read), Ok(expected)) => assert_eq!(read, expected, "read {what} of {most}"),
        (Err(failure), Err(reason)) => {
            assert_eq!(failure.reason, reason, "read {what} of {most}: {failure}");
            return false;
        }
        (read, expected) => panic!("read {what} of {most}: {read:?} and not {expected:?}"),
    }
    true
}

/// What is still to be read.
struct Plain<'a>(&'a [u8]);

impl Plain<'_> {
    /// What stands before the next line feed, which is taken too.
    fn up_to_feed(&mut self) -> Option<Vec<u8>> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let line = self.0[..end].to_vec();
        self.0 = &self.0[end + 1..];
        Some(line)
    }

    fn line(&mut self, most: usize) -> Result<Vec<u8>, Reason> {
        let length = self.0.iter().position(|byte| *byte == b'\n').unwrap_or(self.0.len());
        if length > most {
            return Err(Reason::Protocol);
        }
        self.up_to_feed().map(without_return).ok_or(Reason::Closed)
    }

    fn piece(&mut self, most: usize) -> Result<(Vec<u8>, bool), Reason> {
        let length = self.0.iter().position(|byte| *byte == b'\n').unwrap_or(self.0.len());
        if length > most {
            return self.exact(most).map(|piece| (piece, false));
        }
        self.up_to_feed().map(|line| (without_return(line), true)).ok_or(Reason::Closed)
    }

    fn line_cut(&mut self, keep: usize) -> Result<Vec<u8>, Reason> {
        let mut line = self.up_to_feed().ok_or(Reason::Closed)?;
        line.truncate(keep);
        Ok(without_return(line))
    }

    fn exact(&mut self, count: usize) -> Result<Vec<u8>, Reason> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Reason::Closed)?;
        self.0 = rest;
        Ok(bytes.to_vec())
    }
}

fn without_return(mut line: Vec<u8>) -> Vec<u8> {
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    line
}
