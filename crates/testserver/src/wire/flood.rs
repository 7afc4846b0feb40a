//! Answers that the client is not to wait for: floods, series, trickles.

use std::time::Duration;

use tokio::time::sleep;

use super::{End, Met, Wire};
use crate::faults::Series;

/// What is sent at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// Where a flood of junk ends in silence.
const JUNK_BYTES: usize = 64 << 20;

impl Wire {
    /// Is silent until the client goes away.
    pub(super) async fn hang(&mut self) -> Result<Met, End> {
        loop {
            self.input.clear();
            self.receive().await?;
        }
    }

    /// The pattern over and over, to 64 MiB, then silence.
    pub(super) async fn junk(&mut self, pattern: &[u8]) -> Result<Met, End> {
        let chunk = repeated(pattern);
        let mut sent = 0;
        while sent < JUNK_BYTES {
            self.send(&chunk).await?;
            sent += chunk.len();
        }
        self.hang().await
    }

    /// The pattern over and over until the client goes away.
    pub(super) async fn flood(&mut self, first: &[u8], pattern: &[u8]) -> Result<Met, End> {
        self.send(first).await?;
        let chunk = repeated(pattern);
        loop {
            self.send(&chunk).await?;
            // A client that always takes all of it leaves no other task a turn.
            tokio::task::yield_now().await;
        }
    }

    /// The bytes over and over, one at a time, until the client goes away.
    pub(super) async fn trickle(&mut self, bytes: &[u8], pause: Duration) -> Result<Met, End> {
        loop {
            for byte in bytes {
                self.send(&[*byte]).await?;
                self.wait_for(sleep(pause)).await?;
            }
        }
    }

    /// A numbered series, in pieces as large as a chunk.
    pub(super) async fn series(&mut self, series: &Series) -> Result<Met, End> {
        let mut chunk = series.head.clone();
        for number in 1..=series.count {
            chunk.extend(series.each.replace("{n}", &number.to_string()).into_bytes());
            if chunk.len() >= CHUNK_BYTES {
                self.send(&chunk).await?;
                chunk.clear();
                tokio::task::yield_now().await;
            }
        }
        if !series.tail.is_empty() {
            chunk.extend(self.fill_in(&series.tail).into_bytes());
        }
        self.send(&chunk).await?;
        Ok(Met::Answered)
    }
}

fn repeated(pattern: &[u8]) -> Vec<u8> {
    pattern.repeat((CHUNK_BYTES / pattern.len().max(1)).max(1))
}
