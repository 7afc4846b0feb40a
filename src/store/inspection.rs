//! What the header of the newest mail of each target says, as rows of the table `inspection`. A row that
//! cannot be read says nothing.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use crate::config::TargetName;
use ledger::Usual;
use mail::inspection::Inspection;

/// No header says so much.
const MOST_BYTES: usize = 64 << 10;

/// What a row says.
#[derive(Serialize, Deserialize)]
struct Facts<I> {
    #[serde(flatten)]
    inspection: I,
    /// An older program passes it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usual: Option<String>,
}

/// What the header of the newest mail says, and where it came to.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptInspection {
    /// The mailbox, as `imap://user@host:port`.
    pub mailbox: Arc<str>,
    /// What it says.
    pub inspection: Arc<Inspection>,
    /// What is usual on the way there; `None`: it is not learned.
    pub usual: Option<Usual>,
}

/// Writes the newest inspection of a target; `None`: there is none any more.
pub(super) fn write(
    connection: &Connection,
    target: &TargetName,
    kept: Option<&KeptInspection>,
) -> rusqlite::Result<()> {
    // JSON has no words for a date before 1970 alone; neither that nor what is too long to be read again
    // is kept.
    let facts = kept.and_then(|kept| {
        let usual = kept.usual.as_ref().map(Usual::to_text);
        serde_json::to_string(&Facts { inspection: &*kept.inspection, usual }).ok()
    });
    let facts = facts.filter(|facts| facts.len() <= MOST_BYTES);
    let (Some(kept), Some(facts)) = (kept, facts) else {
        let mut forget = connection.prepare_cached("DELETE FROM inspection WHERE target = ?1")?;
        return forget.execute([target.as_str()]).map(drop);
    };
    connection
        .prepare_cached("INSERT OR REPLACE INTO inspection VALUES (?1, ?2, ?3)")?
        .execute((target.as_str(), &*kept.mailbox, facts))
        .map(drop)
}

/// Reads the newest inspection of a target.
pub(crate) fn read(
    connection: &Connection,
    target: &TargetName,
) -> rusqlite::Result<Option<KeptInspection>> {
    let row: Option<(String, String)> = connection
        .prepare_cached("SELECT mailbox, facts FROM inspection WHERE target = ?1")?
        .query_row([target.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(row.filter(|(_, facts)| facts.len() <= MOST_BYTES).and_then(|(mailbox, facts)| {
        let Facts::<Inspection> { inspection, usual } = serde_json::from_str(&facts).ok()?;
        let inspection = Arc::new(inspection.is_sound().then_some(inspection)?);
        let usual = usual.and_then(|text| Usual::from_text(&text));
        Some(KeptInspection { mailbox: mailbox.into(), inspection, usual })
    }))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use mail::inspection::{Rules, TransitTimes};
    use mail::text::Scrubber;

    use super::*;
    use crate::store::Store;

    const DAY: Duration = Duration::from_secs(86_400);
    const HEADER: &[u8] = b"Received: from a.example (a.example [203.0.113.5]) by mx.example.test \
        (Postfix) with ESMTPS id 1 (version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384); \
        Fri, 11 Sep 2026 10:00:01 +0000\r\n\
        Authentication-Results: mx.example.test; dkim=pass; spf=softfail\r\n\
        X-Spam-Status: Yes, score=7.5 required=5.0\r\n\
        Received: by b.example with LMTP; garbage\r\n\r\n";

    fn kept() -> KeptInspection {
        let seen = UNIX_EPOCH + Duration::from_millis(1_789_120_803_250);
        let transit =
            TransitTimes { transmitted: Some(seen - DAY / 1440), seen, arrived: Some(seen) };
        let rules = Rules { authserv_id: None, scrubber: &Scrubber::default() };
        let inspection = Inspection::read(HEADER, transit, rules);
        assert!(!inspection.authentication.is_empty() && !inspection.spam.is_empty());
        assert!(inspection.last_hop.as_ref().is_some_and(|hop| hop.version.is_some()));
        let mut usual = Usual::default();
        usual.learn("1 example.test", DAY);
        let inspection = Arc::new(inspection);
        KeptInspection { mailbox: "imap://u@h:143".into(), inspection, usual: Some(usual) }
    }

    #[tokio::test]
    async fn what_a_header_says_comes_back_and_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let one = TargetName::new("one").unwrap();
        let loaded = async |store: &Store| {
            store.load(vec![(one.clone(), DAY)]).await.remove(&one).unwrap_or_default().inspection
        };
        let store = Store::open(folder.path()).unwrap();
        store.record_inspection(&one, Some(kept()));
        assert_eq!(loaded(&store).await, Some(kept()), "also before it is written");
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(loaded(&store).await, Some(kept()));
        store.record_inspection(&one, None);
        assert_eq!(loaded(&store).await, None);
        store.written().await;
        assert_eq!(loaded(&store).await, None);
        assert_eq!(store.errors(), 0);
    }

    #[tokio::test]
    async fn what_is_too_long_to_be_read_again_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let one = TargetName::new("one").unwrap();
        let store = Store::open(folder.path()).unwrap();
        let long = |count| {
            let mut inspection = (*kept().inspection).clone();
            inspection.authentication =
                std::iter::repeat_n(inspection.authentication[0], count).collect();
            KeptInspection { inspection: Arc::new(inspection), ..kept() }
        };
        let file = Connection::open(folder.path().join("mailtrip.db")).unwrap();
        for (count, rows) in [(1, 1), (MOST_BYTES, 0)] {
            store.record_inspection(&one, Some(long(count)));
            store.written().await;
            let query = "SELECT count(*) FROM inspection";
            assert_eq!(file.query_row(query, [], |row| row.get(0)), Ok(rows), "{count}");
        }
    }

    #[tokio::test]
    async fn what_is_usual_may_be_missing_or_be_nonsense_and_an_older_program_passes_it_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let one = TargetName::new("one").unwrap();
        store.record_inspection(&one, Some(kept()));
        store.written().await;
        let file = Connection::open(folder.path().join("mailtrip.db")).unwrap();
        let facts: String =
            file.query_row("SELECT facts FROM inspection", [], |row| row.get(0)).unwrap();
        let older: Inspection = serde_json::from_str(&facts).unwrap();
        assert_eq!(older, *kept().inspection);
        for change in ["json_set(facts, '$.usual', 'x')", "json_remove(facts, '$.usual')"] {
            file.execute(&format!("UPDATE inspection SET facts = {change}"), []).unwrap();
            let read = store.load(vec![(one.clone(), DAY)]).await.remove(&one).unwrap();
            assert_eq!(read.inspection, Some(KeptInspection { usual: None, ..kept() }), "{change}");
        }
    }

    #[tokio::test]
    async fn a_row_without_sense_says_nothing() {
        for nonsense in [
            "facts = '{}'",
            "facts = substr(facts, 1, 40)",
            "facts = replace(facts, 'mx.example.test', 'mx\\u001b[31m')",
            "facts = replace(facts, '\"Spf\"', '\"Weather\"')",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path()).unwrap();
            let one = TargetName::new("one").unwrap();
            store.record_inspection(&one, Some(kept()));
            store.written().await;
            let file = Connection::open(folder.path().join("mailtrip.db")).unwrap();
            file.execute(&format!("UPDATE inspection SET {nonsense}"), []).unwrap();
            let read = store
                .load(vec![(one.clone(), DAY)])
                .await
                .remove(&one)
                .unwrap_or_default()
                .inspection;
            assert_eq!(read, None, "{nonsense}");
            assert_eq!(store.errors(), 0);
        }
    }
}
