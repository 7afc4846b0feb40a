//! What was found newest. A finding stands until the next one, and no longer than two rounds; also that of an
//! earlier process.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clock;
use crate::config::{Dnsbl, DnsblList, DomainChecks, Endpoint, Target};
use crate::store::{FindingKind, KeptFinding};
use ledger::{LineInstant, Moment, Reading, Shared};
use mail::posture::Check;
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
}

/// Everything that is looked for, in the order of the configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// The lists of addresses.
    pub dnsbl: Vec<Finding>,
    /// The checks of the domains, in the order of [`Check::ALL`].
    pub domain: Vec<Finding>,
}

impl Findings {
    /// Those of one kind.
    pub fn of(&self, kind: FindingKind) -> &[Finding] {
        match kind {
            FindingKind::Dnsbl => &self.dnsbl,
            FindingKind::Domain => &self.domain,
        }
    }

    fn of_mut(&mut self, kind: FindingKind) -> &mut [Finding] {
        match kind {
            FindingKind::Dnsbl => &mut self.dnsbl,
            FindingKind::Domain => &mut self.domain,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Finding> {
        self.dnsbl.iter().chain(&self.domain)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Finding> {
        self.dnsbl.iter_mut().chain(&mut self.domain)
    }
}

/// What is known of one thing that is looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Its name, as in the label.
    pub name: String,
    kind: FindingKind,
    /// About what it is; another one begins anew.
    place: String,
    /// Whether all is well: not listed, passed. [`Reading::NotApplicable`]: the domain does without.
    pub is_well: Reading<bool>,
    /// What was found, or why nothing was; empty before the first. One line that can be shown.
    pub words: String,
    /// When that was.
    pub at: Option<SystemTime>,
    stands: Duration,
    stands_until: Option<LineInstant>,
}

/// What a new finding says that the one before it did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// All is not well.
    Broken,
    /// All is well again, or there is nothing any more that could not be.
    Mended,
    /// It is not known any more.
    Lost,
}

impl Finding {
    /// What has changed since `before`, if it is worth a word.
    pub fn change_since(&self, before: &Finding) -> Option<Change> {
        match (before.is_well, self.is_well) {
            (was, now) if was == now => None,
            (_, Reading::Is(false)) => Some(Change::Broken),
            (Reading::Is(false), Reading::Is(true) | Reading::NotApplicable) => {
                Some(Change::Mended)
            }
            (Reading::Is(_), Reading::Unmeasured) => Some(Change::Lost),
            _ => None,
        }
    }

    /// One that is made once in `interval`.
    fn new(kind: FindingKind, name: &str, place: String, interval: Duration) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            place,
            is_well: Reading::Unmeasured,
            words: String::new(),
            at: None,
            stands: interval * 2 + SLACK,
            stands_until: None,
        }
    }

    /// The same with what is known of it.
    fn going_on(self, known: &Findings, kept: &[KeptFinding], now: Moment) -> Self {
        let is_it = |known: &&Finding| known.name == self.name && known.place == self.place;
        match known.of(self.kind).iter().find(is_it) {
            Some(known) => Self { stands: self.stands, ..known.clone() },
            None => self.restored(kept, now),
        }
    }

    /// The same with what an earlier process has kept of it, as far as it stands.
    fn restored(self, kept: &[KeptFinding], now: Moment) -> Self {
        let is_it = |kept: &&KeptFinding| {
            (kept.kind, &kept.name, &kept.place) == (self.kind, &self.name, &self.place)
        };
        let Some(kept) = kept.iter().find(is_it) else { return self };
        let until = now.moment_of(kept.at).map(|at| at + self.stands);
        let Some(until) = until.filter(|until| *until > now.instant) else { return self };
        let (is_well, words, at) = (kept.is_well, kept.words.clone(), Some(kept.at));
        Self { is_well, words, at, stands_until: Some(until), ..self }
    }

    fn forget(&mut self) {
        self.is_well = Reading::Unmeasured;
        self.words.clear();
        (self.at, self.stands_until) = (None, None);
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
        let (kept, now) = (std::mem::take(&mut state.kept), clock::now());
        let known = &state.findings;
        let list = |dnsbl: &Dnsbl, list: &DnsblList| {
            let place = place(target, dnsbl, list);
            Finding::new(FindingKind::Dnsbl, &list.name, place, dnsbl.interval)
                .going_on(known, &kept, now)
        };
        let check = |wanted: &DomainChecks, check: Check| {
            let place = place_of_check(target, wanted, check);
            Finding::new(FindingKind::Domain, check.label(), place, wanted.interval)
                .going_on(known, &kept, now)
        };
        let lists = |dnsbl: &Dnsbl| dnsbl.lists.iter().map(|one| list(dnsbl, one)).collect();
        let checks =
            |wanted: &DomainChecks| wanted.checks.iter().map(|one| check(wanted, *one)).collect();
        let findings = Findings {
            dnsbl: target.dnsbl().map(lists).unwrap_or_default(),
            domain: target.domain_checks().map(checks).unwrap_or_default(),
        };
        state.findings = findings.into();
    }

    /// Takes in what was found of one thing, and gives the finding before and after it.
    pub fn record(
        &self,
        kind: FindingKind,
        name: &str,
        is_well: Reading<bool>,
        words: &str,
    ) -> Option<(Finding, Finding)> {
        let (mut state, now) = (self.lock(), clock::now());
        let findings: &mut Findings = &mut state.findings;
        let finding = findings.of_mut(kind).iter_mut().find(|finding| finding.name == name)?;
        let before = finding.clone();
        finding.is_well = is_well;
        finding.words = cut_to(words, KeptFinding::WORDS_CHARS);
        finding.at = Some(now.wall);
        finding.stands_until = Some(now.instant + finding.stands);
        Some((before, finding.clone()))
    }

    /// Everything that is known now.
    pub fn findings(&self) -> Shared<Findings> {
        let (mut state, now) = (self.lock(), clock::now());
        // Who has them in common with others does not change them for nothing.
        if state.findings.all().any(|finding| finding.is_outlived(now)) {
            let findings: &mut Findings = &mut state.findings;
            for finding in findings.all_mut().filter(|it| it.is_outlived(now)) {
                finding.forget();
            }
        }
        state.findings.clone()
    }

    /// When the oldest finding of this kind was made, if everything was found out.
    pub fn oldest(&self, kind: FindingKind) -> Option<SystemTime> {
        let findings = self.findings();
        let at = |finding: &Finding| finding.at.filter(|_| finding.is_well != Reading::Unmeasured);
        let found: Option<Vec<SystemTime>> = findings.of(kind).iter().map(at).collect();
        found?.into_iter().min()
    }

    /// What is to be kept now.
    pub fn to_keep(&self) -> Vec<KeptFinding> {
        let findings = self.findings();
        let kept = |Finding { name, kind, place, is_well, words, at, .. }: &Finding| {
            Some(KeptFinding {
                kind: *kind,
                name: name.clone(),
                place: place.clone(),
                at: (*at)?,
                is_well: *is_well,
                words: words.clone(),
            })
        };
        findings.all().filter_map(kept).collect()
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

/// Which domain is checked, or which addresses, as the configuration says.
fn place_of_check(target: &Target, wanted: &DomainChecks, check: Check) -> String {
    let domain = target.domain_of(wanted, check).to_owned();
    let addresses = target.outgoing_addresses().iter().map(ToString::to_string);
    match check {
        Check::Ptr => std::iter::once(domain).chain(addresses).collect::<Vec<_>>().join(" "),
        _ => domain,
    }
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
        before.record(FindingKind::Dnsbl, "a.example", LISTED, "198.51.100.7 is listed");
        before.record(FindingKind::Dnsbl, "b.example", WELL, "");
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
        standing.record(FindingKind::Dnsbl, "b", WELL, "");
        standing.set_target(&target(&one));
        assert_eq!(states(&standing), [WELL]);
        let moved = Config::parse(&yaml(&one).replace("host: h", "host: i"), Path::new("a.yml"));
        standing.set_target(moved.unwrap().targets.values().next().unwrap());
        assert_eq!(states(&standing), [Reading::Unmeasured], "another server");
        standing.set_target(&target(&one));
        standing.record(FindingKind::Dnsbl, "b", WELL, "");
        standing.set_target(&target(&other));
        assert_eq!(states(&standing), [Reading::Unmeasured], "another zone");
    }

    #[test]
    fn what_is_looked_for_as_before_keeps_what_was_found() {
        let standing = of(TWO, Vec::new());
        standing.record(FindingKind::Dnsbl, "b.example", LISTED, "listed");
        standing.set_target(&target("lists: [b.example, c.example], addresses: [198.51.100.7]"));
        assert_eq!(states(&standing), [LISTED, Reading::Unmeasured]);
        assert_eq!(standing.record(FindingKind::Dnsbl, "a.example", WELL, ""), None, "it is gone");
        let before = standing.findings();
        assert!(standing.findings().is_same(&before), "nothing has changed");
    }

    #[test]
    fn a_round_is_due_at_once_where_something_is_not_known() {
        let standing = of(TWO, Vec::new());
        assert_eq!(standing.oldest(FindingKind::Dnsbl), None);
        standing.record(FindingKind::Dnsbl, "a.example", LISTED, "");
        assert_eq!(standing.oldest(FindingKind::Dnsbl), None);
        standing.record(FindingKind::Dnsbl, "b.example", WELL, "");
        assert!(standing.oldest(FindingKind::Dnsbl).is_some());
        standing.record(FindingKind::Dnsbl, "a.example", Reading::Unmeasured, "no answer");
        assert_eq!(standing.oldest(FindingKind::Dnsbl), None);
    }

    #[test]
    fn checks_of_domains_are_kept_beside_the_lists_and_stand_for_their_domain() {
        let both =
            "lists: [a.example], addresses: [198.51.100.7]}, domain_checks: {checks: [spf, ptr]";
        let before = of(both, Vec::new());
        before.record(FindingKind::Dnsbl, "a.example", WELL, "");
        before.record(FindingKind::Domain, "spf", Reading::Is(false), "no record");
        before.record(FindingKind::Domain, "ptr", Reading::NotApplicable, "");
        let after = of(both, before.to_keep());
        assert_eq!(after.findings().dnsbl[0].is_well, WELL);
        let states = |standing: &Standing| -> Vec<Reading<bool>> {
            standing.findings().domain.iter().map(|finding| finding.is_well).collect()
        };
        assert_eq!(states(&after), [Reading::Is(false), Reading::NotApplicable]);
        let elsewhere = both.replace("[spf, ptr]", "[spf, ptr], sending_domain: c.example");
        assert_eq!(states(&of(&elsewhere, before.to_keep())), [Reading::Unmeasured; 2]);
        let [failed, passed] = [false, true].map(|is_well| {
            let finding = after.findings().domain[0].clone();
            Finding { is_well: Reading::Is(is_well), ..finding }
        });
        let unknown = Finding { is_well: Reading::Unmeasured, ..failed.clone() };
        assert_eq!(failed.change_since(&unknown), Some(Change::Broken));
        assert_eq!(passed.change_since(&failed), Some(Change::Mended));
        assert_eq!(unknown.change_since(&passed), Some(Change::Lost));
        assert_eq!(passed.change_since(&unknown), None);
    }
}
