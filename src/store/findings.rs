//! What was found about the standing of a target outside its mails, as rows of a table beside the schema:
//! made where it is missing, and left as it is by a program that does not know it. A row that cannot be read
//! says nothing.

use std::time::SystemTime;

use rusqlite::{Connection, Row, params};

use super::rows::{from_seconds, to_seconds};
use crate::config::TargetName;
use ledger::Reading;
use mail::text::{cut_to, shown};

pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS finding ( -- of each target, shown until it is outlived; beside the schema
  target TEXT NOT NULL, -- target.name
  kind   TEXT NOT NULL, -- dnsbl: a list of addresses by DNS; domain: a check of a domain
  name   TEXT NOT NULL, -- which one
  place  TEXT NOT NULL, -- about what; another one begins anew
  at     REAL NOT NULL, -- when it was found; seconds since 1970
  state  TEXT NOT NULL, -- well; not_well; not_applicable; unmeasured
  words  TEXT NOT NULL, -- what was found, or why nothing was
  PRIMARY KEY (target, kind, name)
) STRICT, WITHOUT ROWID;
";

const STATES: [(&str, Reading<bool>); 4] = [
    ("well", Reading::Is(true)),
    ("not_well", Reading::Is(false)),
    ("not_applicable", Reading::NotApplicable),
    ("unmeasured", Reading::Unmeasured),
];
/// More of a target is no record of ours.
const MOST_ROWS: usize = 100;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// Whether an outgoing address is on a list by DNS.
    Dnsbl,
    /// Whether what a domain publishes about its mail holds.
    Domain,
}

impl FindingKind {
    const ALL: [Self; 2] = [Self::Dnsbl, Self::Domain];

    fn label(self) -> &'static str {
        match self {
            Self::Dnsbl => "dnsbl",
            Self::Domain => "domain",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptFinding {
    /// What was looked for.
    pub kind: FindingKind,
    /// Which one of that kind: a list, a check.
    pub name: String,
    /// About what: addresses, a domain.
    pub place: String,
    /// When it was found.
    pub at: SystemTime,
    /// Whether all is well: not listed, passed.
    pub is_well: Reading<bool>,
    /// What was found, or why nothing was; one line that can be shown.
    pub words: String,
}

/// Writes what is newest of a target, in place of all that was.
pub(super) fn write(
    connection: &Connection,
    target: &TargetName,
    findings: &[KeptFinding],
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM finding WHERE target = ?1")?
        .execute([target.as_str()])?;
    let mut insert = connection
        .prepare_cached("INSERT OR REPLACE INTO finding VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    for KeptFinding { kind, name, place, at, is_well, words } in findings {
        let state = STATES.iter().find(|(_, state)| state == is_well);
        let state = state.map_or("unmeasured", |(label, _)| label);
        let at = to_seconds(*at);
        insert.execute(params![target.as_str(), kind.label(), name, place, at, state, words])?;
    }
    Ok(())
}

/// Reads what is kept of a target.
pub(crate) fn read(
    connection: &Connection,
    target: &TargetName,
) -> rusqlite::Result<Vec<KeptFinding>> {
    let mut query = connection.prepare_cached("SELECT * FROM finding WHERE target = ?1")?;
    let mut rows = query.query([target.as_str()])?;
    let mut findings = Vec::new();
    while let Some(row) = rows.next()? {
        if findings.len() < MOST_ROWS {
            findings.extend(finding(row).ok().flatten());
        }
    }
    Ok(findings)
}

fn finding(row: &Row<'_>) -> rusqlite::Result<Option<KeptFinding>> {
    let [kind, state, words]: [String; 3] =
        [row.get("kind")?, row.get("state")?, row.get("words")?];
    let kind = FindingKind::ALL.into_iter().find(|known| known.label() == kind);
    let state = STATES.iter().find(|(label, _)| *label == state);
    let (Some(kind), Some((_, is_well)), Some(at)) = (kind, state, from_seconds(row.get("at")?))
    else {
        return Ok(None);
    };
    let (name, place) = (row.get("name")?, row.get("place")?);
    let words = cut_to(&shown(words.as_bytes()), KeptFinding::WORDS_CHARS);
    Ok(Some(KeptFinding { kind, name, place, at, is_well: *is_well, words }))
}

impl KeptFinding {
    /// The longest words, in characters.
    pub const WORDS_CHARS: usize = 500;
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::store::Store;

    const DAY: Duration = Duration::from_secs(86_400);

    fn findings() -> Vec<KeptFinding> {
        let finding = |name: &str, is_well| KeptFinding {
            kind: FindingKind::Dnsbl,
            name: name.to_owned(),
            place: "198.51.100.7".to_owned(),
            at: UNIX_EPOCH + Duration::from_secs(1_790_000_000),
            is_well,
            words: format!("what {name} says"),
        };
        STATES.iter().map(|(label, state)| finding(label, *state)).collect()
    }

    async fn loaded(store: &Store, target: &TargetName) -> Vec<KeptFinding> {
        let mut stored = store.load(vec![(target.clone(), DAY)]).await;
        let mut findings = stored.remove(target).unwrap_or_default().findings;
        findings.sort_by_key(|it| STATES.iter().position(|(label, _)| *label == it.name));
        findings
    }

    #[tokio::test]
    async fn findings_come_back_and_only_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let one = TargetName::new("one").unwrap();
        let mut before = findings();
        before.push(KeptFinding { name: "gone".to_owned(), ..before[0].clone() });
        for findings in [before, findings()] {
            store.record_findings(&one, findings.clone());
            store.written().await;
        }
        assert_eq!(loaded(&store, &one).await, findings());
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(loaded(&store, &one).await, findings());
        assert_eq!(loaded(&store, &TargetName::new("two").unwrap()).await, []);
        assert_eq!(store.errors(), 0);
    }

    #[tokio::test]
    async fn a_row_without_sense_says_nothing_and_costs_no_other() {
        for nonsense in ["kind = 'weather'", "state = 'good'", "at = 9e99"] {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path()).unwrap();
            let one = TargetName::new("one").unwrap();
            store.record_findings(&one, findings());
            store.written().await;
            let file = Connection::open(folder.path().join("mailtrip.db")).unwrap();
            let change = format!("UPDATE finding SET {nonsense} WHERE name = 'not_well'");
            assert_eq!(file.execute(&change, []).unwrap(), 1);
            let read = loaded(&store, &one).await;
            let names: Vec<&str> = read.iter().map(|it| it.name.as_str()).collect();
            assert_eq!(names, ["well", "not_applicable", "unmeasured"], "{nonsense}");
            assert_eq!(store.errors(), 0);
        }
    }
}
