//! How the targets were over the latest hours and days, kept.

use super::*;
use ledger::{Availability, Failure, KeptAvailability, Side, Span};

const HOUR: Duration = Duration::from_secs(3600);

/// Three days of a side that is able, with an outage of the other that goes on.
fn three_days() -> Availability {
    let (mut availability, now) = (Availability::default(), time(0));
    let abilities = PerSide { send: Some(1.0), receive: Some(0.0) };
    availability.count_time(abilities, now - DAY * 3, now);
    availability.count_mails(2, 1, now);
    availability.count_roundtrip(Duration::from_millis(400), now);
    let (step, reason, message) = (Step::Auth, Reason::Auth, "no \"such\" user".to_owned());
    let failure = Failure { step, reason, down: false, shortage: None, clue: None, message };
    availability.failed(Side::Receive, &failure, now - DAY);
    availability
}

async fn kept(store: &Store, target: &str) -> KeptAvailability {
    account(store, &name(target)).await.availability
}

fn shown(kept: &KeptAvailability) -> String {
    let availability = Availability::restore(kept, time(0));
    let buckets = [Span::Hour, Span::Day].map(|span| availability.buckets(span, time(0)));
    let outages = Side::ALL.map(|side| availability.outages(side).cloned().collect::<Vec<_>>());
    format!("{buckets:?} {outages:?}")
}

#[tokio::test]
async fn it_comes_back_as_it_was_written_or_not_yet() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut availability = three_days();
    let mut expected = KeptAvailability::default();
    let changes = availability.take_changes();
    expected.apply(&changes, SystemTime::now());
    store.record_availability(&name("one"), changes);
    assert_eq!(shown(&kept(&store, "one").await), shown(&expected), "before it is written");
    store.written().await;
    let abilities = PerSide { send: Some(1.0), receive: Some(1.0) };
    availability.count_time(abilities, time(0), time(0) + HOUR / 60);
    availability.recovered(Side::Receive, time(60));
    let changes = availability.take_changes();
    expected.apply(&changes, SystemTime::now());
    store.record_availability(&name("one"), changes);
    drop(store);

    let store = Store::open(folder.path()).unwrap();
    let whole = kept(&store, "one").await;
    assert_eq!(whole.before, expected.before);
    assert!(whole.written >= expected.written, "so that it is known since when nobody has looked");
    assert_eq!(shown(&whole), shown(&expected), "also what was written at the end");
    assert_eq!(kept(&store, "another").await, KeptAvailability::default());
    assert_eq!(store.errors(), 0);
}

#[tokio::test]
async fn what_makes_no_sense_is_left_out_and_costs_nothing_else() {
    for (nonsense, is_hour, is_before, outages) in [
        ("availability_now SET hour = X'ff'", false, true, 1),
        ("availability_now SET hour = X''", false, true, 1),
        ("availability SET hours = zeroblob(1000000)", true, false, 1),
        ("outage SET step = 'weather'", true, true, 0),
        ("outage SET reason = 'quota'", true, true, 0),
        ("outage SET began = 9e99", true, true, 0),
        ("outage SET words = 'no' || char(27, 8238)", true, true, 1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.record_availability(&name("one"), three_days().take_changes());
        store.written().await;
        let changed = look_into(&folder).execute(&format!("UPDATE {nonsense}"), []).unwrap();
        assert_eq!(changed, 1, "{nonsense}");
        let availability = Availability::restore(&kept(&store, "one").await, time(0));
        let hours = availability.buckets(Span::Hour, time(0));
        let present = hours.iter().any(|(begins, _)| *begins + HOUR > time(0));
        assert_eq!((present, hours.len() > 50), (is_hour, is_before), "{nonsense}");
        let kept: Vec<_> = availability.outages(Side::Receive).collect();
        assert_eq!(kept.len(), outages, "{nonsense}");
        assert!(kept.iter().all(|it| !it.words.chars().any(mail::text::is_unsafe)));
        assert_eq!(availability.buckets(Span::Day, time(0)).len(), 4, "{nonsense}");
        assert_eq!(store.errors(), 0);
    }
}

#[tokio::test]
async fn a_target_that_is_gone_is_kept_for_90_days() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for target in ["gone for long", "gone", "there"] {
        store.record_availability(&name(target), three_days().take_changes());
    }
    store.written().await;
    drop(store);
    for (target, days) in [("gone for long", 91), ("gone", 89)] {
        let back = "UPDATE availability_now SET written = written - 86400 * ?1 WHERE target = ?2";
        look_into(&folder).execute(back, (days, target)).unwrap();
    }
    let store = Store::open(folder.path()).unwrap();
    store.record_availability(&name("there"), three_days().take_changes());
    store.written().await;
    let first = kept(&store, "gone for long").await;
    assert!(!first.before.hours.is_empty(), "not at the start: the clock may be wrong");
    crate::store::availability::fade(&look_into(&folder)).unwrap();
    assert_eq!(kept(&store, "gone for long").await, KeptAvailability::default());
    for target in ["gone", "there"] {
        let kept = kept(&store, target).await;
        assert!(!kept.before.hours.is_empty() && kept.outages.receive.len() == 1, "{target}");
    }
}

#[tokio::test]
async fn a_target_takes_some_kilobytes_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    const TARGETS: i64 = 50;
    let pages = || -> i64 {
        let pages = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        look_into(&folder).query_row(pages, [], |row| row.get(0)).unwrap()
    };
    store.record_availability(&name("first"), three_days().take_changes());
    store.written().await;
    let before = pages();
    let (mut availability, now) = (Availability::default(), time(0));
    let mut at = now - DAY * 90;
    while at < now {
        let later = at + HOUR;
        let abilities = PerSide { send: Some(1.0), receive: Some(0.9) };
        availability.count_time(abilities, at, later);
        for index in 0..12 {
            availability.count_roundtrip(Duration::from_millis(350 + 15 * index), later);
        }
        at = later;
    }
    let changes = availability.take_changes();
    for target in 0..TARGETS {
        store.record_availability(&name(&format!("target {target}")), changes.clone());
    }
    store.written().await;
    let each = (pages() - before) / TARGETS;
    assert!((2_000..12_000).contains(&each), "{each} bytes each");
}
