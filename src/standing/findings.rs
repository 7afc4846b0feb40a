//! What was found newest. A finding stands until the next one, and no longer than two rounds; also that of an
//! earlier process.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clock;
use crate::config::{Dnsbl, DnsblList, Endpoint, Target};
use crate::store::{FindingKind, KeptFinding};
use ledger::{LineInstant, Moment, Reading, Shared};
use mail::text::cut_to;

/// Beyond two rounds: turns of the loops, and name servers that are slow.
const SLACK: Duration = Duration::from_secs(120);

/// The findings of one target: its rounds write them, the metrics and the page read them. The lock is held for
/// one of either, never across an await.
#[derive(Debug, Default)]
pub struct Standing {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    findings: Shared<Findings>,
    /// Of an earlier process, until it is known what is looked for.
    kept: Vec<KeptFinding>,
    stands: Duration,
}

/// Everything that is looked for, in the order of the configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// The lists of addresses.
    pub dnsbl: Vec<Finding>,
}

/// What is known of one thing that is looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Its name, as in the label.
    pub name: String,
    /// About what it is; another one begins anew.
    place: String,
    /// Whether all is well: not listed.
    pub is_well: Reading<bool>,
    /// What was found, or why nothing was; empty before the first. One line that can be shown.
    pub words: String,
    /// When that was.
    pub at: Option<SystemTime>,
    stands_until: Option<LineInstant>,
}

impl Finding {
    fn new(name: &str, place: &str) -> Self {
        Self {
            name: name.to_owned(),
            place: place.to_owned(),
            is_well: Reading::Unmeasured,
            words: String::new(),
            at: None,
            stands_until: None,
        }
    }

    /// The same with what an earlier process has kept of it, as far as it stands.
    fn restored(self, kept: &[KeptFinding], stands: Duration, now: Moment) -> Self {
        let is_it = |kept: &&KeptFinding| kept.name == self.name && kept.place == self.place;
        let Some(kept) = kept.iter().find(is_it) else { return self };
        let until = now.moment_of(kept.at).map(|at| at + stands);
        let Some(until) = until.filter(|until| *until > now.instant) else { return self };
        let (is_well, words, at) = (kept.is_well, kept.words.clone(), Some(kept.at));
        Self { is_well, words, at, stands_until: Some(until), ..self }
    }

    fn is_outlived(&self, now: Moment) -> bool {
        self.stands_until.is_some_and(|until| until <= now.instant)
    }
}

impl Standing {
    /// That of a target about which an earlier process has found this.
    pub fn restored(kept: Vec<KeptFinding>) -> Self {
        Self { state: Mutex::new(State { kept, ..State::default() }) }
    }

    /// Goes by this configuration from now on: what is looked for as before keeps what was found.
    pub fn set_target(&self, target: &Target) {
        let mut state = self.lock();
        let kept = std::mem::take(&mut state.kept);
        let mut findings = Findings::default();
        if let Some(dnsbl) = target.dnsbl() {
            state.stands = dnsbl.interval * 2 + SLACK;
            let (now, known) = (clock::now(), &state.findings.dnsbl);
            let finding = |list: &DnsblList| {
                let (name, place) = (&list.name, place(target, dnsbl, list));
                let is_it = |known: &&Finding| known.name == *name && known.place == place;
                let new = || Finding::new(name, &place).restored(&kept, state.stands, now);
                known.iter().find(is_it).cloned().unwrap_or_else(new)
            };
            findings.dnsbl = dnsbl.lists.iter().map(finding).collect();
        }
        state.findings = findings.into();
    }

    /// Takes in what one list said, and gives the finding before and after it.
    pub fn record(
        &self,
        list: &str,
        is_well: Reading<bool>,
        words: &str,
    ) -> Option<(Finding, Finding)> {
        let mut state = self.lock();
        let (now, stands) = (clock::now(), state.stands);
        let findings: &mut Findings = &mut state.findings;
        let finding = findings.dnsbl.iter_mut().find(|finding| finding.name == list)?;
        let before = finding.clone();
        finding.is_well = is_well;
        finding.words = cut_to(words, KeptFinding::WORDS_CHARS);
        finding.at = Some(now.wall);
        finding.stands_until = Some(now.instant + stands);
        Some((before, finding.clone()))
    }

    /// Everything that is known now.
    pub fn findings(&self) -> Shared<Findings> {
        let (mut state, now) = (self.lock(), clock::now());
        // Who has them in common with others does not change them for nothing.
        if state.findings.dnsbl.iter().any(|finding| finding.is_outlived(now)) {
            let findings: &mut Findings = &mut state.findings;
            for finding in findings.dnsbl.iter_mut().filter(|it| it.is_outlived(now)) {
                *finding = Finding::new(&finding.name, &finding.place);
            }
        }
        state.findings.clone()
    }

    /// When the oldest finding was made, if everything was found out.
    pub fn oldest(&self) -> Option<SystemTime> {
        let findings = self.findings();
        let at = |finding: &Finding| finding.at.filter(|_| finding.is_well != Reading::Unmeasured);
        let found: Option<Vec<SystemTime>> = findings.dnsbl.iter().map(at).collect();
        found?.into_iter().min()
    }

    /// What is to be kept now.
    pub fn to_keep(&self) -> Vec<KeptFinding> {
        let findings = self.findings();
        let kept = |Finding { name, place, is_well, words, at, .. }: &Finding| {
            Some(KeptFinding {
                kind: FindingKind::Dnsbl,
                name: name.clone(),
                place: place.clone(),
                at: (*at)?,
                is_well: *is_well,
                words: words.clone(),
            })
        };
        findings.dnsbl.iter().filter_map(kept).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About which addresses a list is asked, as the configuration says: by their server, where a header shows them. With
/// them the file of the zone, whose name says nothing of what is in it.
fn place(target: &Target, dnsbl: &Dnsbl, list: &DnsblList) -> String {
    let mut place: Vec<String> = dnsbl.addresses.iter().map(ToString::to_string).collect();
    if place.is_empty() {
        let Endpoint { host, port, .. } = &target.send.endpoint;
        place.push(format!("{host}:{port}"));
    }
    place.extend(list.zone.file().map(|file| file.display().to_string()));
    place.join(" ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::config::Config;

    const WELL: Reading<bool> = Reading::Is(true);
    const LISTED: Reading<bool> = Reading::Is(false);

    fn yaml(lists: &str) -> String {
        format!(
            "targets: [{{name: a, host: h, from: a@b.example, to: a@b.example, receive: \
             {{protocol: pop3, username: u, password: p}}, dnsbl: {{{lists}}}}}]\n"
        )
    }

    fn target(lists: &str) -> Arc<Target> {
        let config = Config::parse(&yaml(lists), Path::new("test.yml")).unwrap();
        Arc::clone(config.targets.values().next().unwrap())
    }

    fn of(lists: &str, kept: Vec<KeptFinding>) -> Standing {
        let standing = Standing::restored(kept);
        standing.set_target(&target(lists));
        standing
    }

    fn states(standing: &Standing) -> Vec<Reading<bool>> {
        standing.findings().dnsbl.iter().map(|finding| finding.is_well).collect()
    }

    const TWO: &str = "lists: [a.example, b.example], addresses: [198.51.100.7]";

    #[test]
    fn findings_of_an_earlier_process_stand_for_their_addresses_and_two_rounds() {
        let before = of(TWO, Vec::new());
        before.record("a.example", LISTED, "198.51.100.7 is listed");
        before.record("b.example", WELL, "");
        let kept = |age: u64| -> Vec<KeptFinding> {
            let kept = before.to_keep().into_iter();
            kept.map(|it| KeptFinding { at: it.at - Duration::from_secs(age), ..it }).collect()
        };
        let after = of(TWO, kept(7000));
        assert_eq!(states(&after), [LISTED, WELL]);
        assert_eq!(after.findings().dnsbl[0].words, "198.51.100.7 is listed");
        assert_eq!(states(&of(TWO, kept(7500))), [Reading::Unmeasured; 2], "too old");
        let elsewhere = TWO.replace("100.7", "100.8");
        assert_eq!(states(&of(&elsewhere, kept(0))), [Reading::Unmeasured; 2]);
        assert_eq!(states(&of("lists: [b.example]", kept(0))), [Reading::Unmeasured]);
    }

    #[test]
    fn what_was_found_of_another_server_or_in_another_zone_does_not_stand() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| {
            let path = folder.path().join(name);
            std::fs::write(&path, "key.example.net").unwrap();
            format!("lists: [{{name: b, zone_file: '{}'}}]", path.display())
        });
        let standing = of(&one, Vec::new());
        standing.record("b", WELL, "");
        standing.set_target(&target(&one));
        assert_eq!(states(&standing), [WELL]);
        let moved = Config::parse(&yaml(&one).replace("host: h", "host: i"), Path::new("a.yml"));
        standing.set_target(moved.unwrap().targets.values().next().unwrap());
        assert_eq!(states(&standing), [Reading::Unmeasured], "another server");
        standing.set_target(&target(&one));
        standing.record("b", WELL, "");
        standing.set_target(&target(&other));
        assert_eq!(states(&standing), [Reading::Unmeasured], "another zone");
    }

    #[test]
    fn what_is_looked_for_as_before_keeps_what_was_found() {
        let standing = of(TWO, Vec::new());
        standing.record("b.example", LISTED, "listed");
        standing.set_target(&target("lists: [b.example, c.example], addresses: [198.51.100.7]"));
        assert_eq!(states(&standing), [LISTED, Reading::Unmeasured]);
        assert_eq!(standing.record("a.example", WELL, ""), None, "it is gone");
        let before = standing.findings();
        assert!(standing.findings().is_same(&before), "nothing has changed");
    }

    #[test]
    fn a_round_is_due_at_once_where_something_is_not_known() {
        let standing = of(TWO, Vec::new());
        assert_eq!(standing.oldest(), None);
        standing.record("a.example", LISTED, "");
        assert_eq!(standing.oldest(), None);
        standing.record("b.example", WELL, "");
        assert!(standing.oldest().is_some());
        standing.record("a.example", Reading::Unmeasured, "no answer");
        assert_eq!(standing.oldest(), None);
    }
}
