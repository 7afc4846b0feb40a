//! An example for each bucket of the round trips: the newest mail in it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Histogram;
use crate::Token;

/// A mail with its round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exemplar {
    /// Its id.
    pub token: Token,
    /// Its round trip.
    pub roundtrip: Duration,
    /// When it was found.
    pub found: SystemTime,
}

/// The newest mail in each bucket of [`Histogram`]. Most targets have mails in one or two buckets, so
/// that there is room only for these.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exemplars(Arc<[Exemplar]>);

impl Exemplars {
    /// The example for the bucket with this index.
    pub fn of(&self, bucket: usize) -> Option<&Exemplar> {
        self.0.iter().find(|exemplar| Histogram::bucket(exemplar.roundtrip) == bucket)
    }

    pub(super) fn put(&mut self, exemplar: Exemplar) {
        let bucket = Histogram::bucket(exemplar.roundtrip);
        let others = self.0.iter().filter(|it| Histogram::bucket(it.roundtrip) != bucket);
        self.0 = others.copied().chain([exemplar]).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_keeps_its_newest_mail() {
        let exemplar = |milliseconds| Exemplar {
            token: Token::random(),
            roundtrip: Duration::from_millis(milliseconds),
            found: SystemTime::UNIX_EPOCH,
        };
        let mut exemplars = Exemplars::default();
        let (first, newer, slow) = (exemplar(50), exemplar(100), exemplar(90_000_000));
        for exemplar in [first, slow, newer] {
            exemplars.put(exemplar);
        }
        let found: Vec<_> = (0..11).map(|bucket| exemplars.of(bucket).copied()).collect();
        let mut expected = vec![None; 11];
        (expected[0], expected[10]) = (Some(newer), Some(slow));
        assert_eq!(found, expected);
        assert_eq!(exemplars.0.len(), 2);
    }
}
