//! All targets as JSON, a piece at a time: of ten thousand it is some twenty megabytes.

use serde::Serialize;

use super::values::seconds;
use super::{Overview, ShortageRecord};
use crate::probing::lag::Lately;
use crate::supervisor::Views;
use crate::web::lateness;
use crate::web::mount::PathPrefix;

/// A piece ends once it has this many bytes.
const PIECE: usize = 64 * 1024;

/// The text `{"shortages":[…],"lateness":…,"targets":[…]}`, in pieces.
pub(in crate::web) struct Listing {
    views: Views,
    lately: Option<Lately>,
    base: PathPrefix,
    next: Next,
}

#[derive(Serialize)]
struct LatenessRecord {
    late_percent: f64,
    worst_seconds: f64,
    words: String,
}

#[derive(Clone, Copy)]
enum Next {
    Beginning,
    /// The target with this number.
    Target(usize),
    Nothing,
}

impl Listing {
    /// Its links begin with `base`; `lately`: how late the exporter itself was, `None`: it was in time.
    pub(in crate::web) fn new(views: Views, lately: Option<Lately>, base: PathPrefix) -> Self {
        Self { views, lately, base, next: Next::Beginning }
    }

    /// Adds what is next; `None` after the end, and where a value cannot be written, which is a bug: then the
    /// text has no end either.
    fn append_to(&mut self, text: &mut String) -> Option<()> {
        self.next = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Beginning => {
                let shortages: Vec<_> = ShortageRecord::current().collect();
                let lateness = json(&self.lately.map(LatenessRecord::from))?;
                text.extend(["{\"shortages\":", &json(&shortages)?]);
                text.extend([",\"lateness\":", &lateness, ",\"targets\":["]);
                Next::Target(0)
            }
            Next::Target(number) => match self.views.get(number) {
                Some(view) => {
                    text.push_str(if number == 0 { "" } else { "," });
                    text.push_str(&json(&Overview::new(view, &self.base))?);
                    Next::Target(number + 1)
                }
                None => {
                    text.push_str("]}");
                    self.views = Views::default();
                    Next::Nothing
                }
            },
            Next::Nothing => return None,
        };
        Some(())
    }
}

fn json(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

impl From<Lately> for LatenessRecord {
    fn from(lately: Lately) -> Self {
        Self {
            late_percent: lately.ratio * 100.0,
            worst_seconds: seconds(lately.worst),
            words: lateness::words(lately),
        }
    }
}

impl Iterator for Listing {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut text = String::new();
        while text.len() < PIECE && self.append_to(&mut text).is_some() {}
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::account::Delay;
    use crate::config::Config;
    use crate::supervisor::View;
    use ledger::{Ledger, Rules};
    use mail::fuzz::Budget;

    fn listing(targets: usize) -> Listing {
        let yaml = "targets: [{name: one, host: h, from: a@b.example, to: a@b.example, receive: \
                    {protocol: imap, username: u, password: p}}]";
        let config = Config::parse(yaml, Path::new("test.yml")).unwrap();
        let target = config.targets.values().next().unwrap();
        let snapshot = Ledger::new(Rules::from(target.as_ref())).snapshot(crate::clock::now());
        let view = || View {
            target: target.clone(),
            snapshot: snapshot.clone(),
            inspection: None,
            usual: None,
            standing: None,
            layers: ledger::Shared::default(),
            lacks_junk_folder: false,
            next_mail: None,
            waits_for: Some(Delay::Connection),
        };
        Listing::new((0..targets).map(|_| view()).collect(), None, PathPrefix::default())
    }

    #[test]
    fn the_pieces_are_one_value_whatever_their_number() {
        for count in [0, 1, 500] {
            let pieces: Vec<String> = listing(count).collect();
            assert_eq!(pieces.len() > 1, count == 500, "{count}: {}", pieces.len());
            let value: serde_json::Value = serde_json::from_str(&pieces.concat()).unwrap();
            let targets = value["targets"].as_array().unwrap();
            assert_eq!(targets.len(), count);
            assert!(value["shortages"].is_array() && value["lateness"].is_null());
            assert!(targets.iter().all(|target| target["name"] == "one"));
            assert!(targets.iter().all(|target| target["waits_for"] == "max_connections"));
        }
    }

    #[test]
    fn the_text_of_many_targets_is_never_whole_in_memory() {
        let (pieces, mut length) = (listing(1000), 0);
        let budget = Budget { bytes: 256 << 10, per_byte: 0 };
        budget.hold("a listing", 0, || length = pieces.map(|piece| piece.len()).sum::<usize>());
        assert!(length > 512 << 10, "{length}");
    }
}
