//! The newest measurements of the targets, as rows of the table `newest`. A row that does not make sense
//! is no measurement, and no reason to lose the account beside it.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::rows::{from_seconds, to_seconds};
use crate::config::TargetName;
use ledger::{
    Expectation, Failure, KeptJudgement, Measured, Newest, PerSide, Period, Reading, Reason, Side,
    Step, TlsFacts, Visited,
};
use mail::text::shown;

/// The columns of each side, behind `send_` and `receive_`, in the order of [`side_values`].
const OF_SIDE: [&str; 19] = [
    "server",
    "state",
    "ability",
    "up",
    "failures",
    "attempt",
    "success",
    "steps",
    "address",
    "tls_version",
    "tls_cipher",
    "tls_resumed",
    "certificate_end",
    "chain_end",
    "failed",
    "failed_step",
    "failed_reason",
    "failed_down",
    "failed_words",
];
/// The others, in the order of [`values`].
const OTHERS: [&str; 18] = [
    "target",
    "interval",
    "period_began",
    "period_received",
    "period_seconds",
    "before_received",
    "before_seconds",
    "arrival_unknown",
    "delivery",
    "has_arrived",
    "sender_server",
    "sender_up",
    "sender_visited",
    "expected",
    "expected_met",
    "expected_words",
    "expected_sent",
    "expected_judged",
];
/// As OpenSSL names them.
const TLS_VERSIONS: [&str; 4] = ["TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1"];
/// More is no record of ours.
const MOST_STEPS: usize = 16;
const LONGEST_CIPHER: usize = 64;
const LONGEST_STEP: f64 = 1e9;
const MEASURED: &str = "measured";
const NOT_APPLICABLE: &str = "not_applicable";
const OUTLIVED: &str = "outlived";
const UNMEASURED: &str = "unmeasured";
/// Stands for failures that do not count: passive and down.
const UNCOUNTED: i64 = -1;
/// More of a period is no record of ours, and would leave no room for the next mail.
const MOST_RECEIVED: u32 = 1 << 30;
const LONGEST_SUM: f64 = 1e12;

static UPSERT: LazyLock<String> = LazyLock::new(|| {
    let columns: Vec<String> = columns().collect();
    let places = vec!["?"; columns.len()].join(", ");
    format!("INSERT OR REPLACE INTO newest ({}) VALUES ({places})", columns.join(", "))
});

fn columns() -> impl Iterator<Item = String> {
    let sides = Side::ALL.into_iter();
    let of_sides = sides.flat_map(|side| OF_SIDE.map(|column| format!("{side}_{column}")));
    OTHERS.into_iter().map(str::to_owned).chain(of_sides)
}

/// Writes the newest measurements of a target.
pub(super) fn write(
    connection: &Connection,
    target: &TargetName,
    newest: &Newest,
) -> rusqlite::Result<()> {
    let sides = newest.sides.iter().flat_map(|(_, measured)| side_values(measured));
    let values = values(target, newest).into_iter().chain(sides);
    connection.prepare_cached(&UPSERT)?.execute(params_from_iter(values))?;
    Ok(())
}

fn values(target: &TargetName, newest: &Newest) -> [Value; OTHERS.len()] {
    let Newest { period, previous_period: before, sender_mailbox, .. } = newest;
    let unknown = i64::from(period.has_unknown) + 2 * i64::from(before.has_unknown);
    let judgement = newest.judgement.as_ref();
    [
        target.as_str().to_owned().into(),
        newest.interval.as_secs_f64().into(),
        newest.period_began.map(to_seconds).into(),
        period.received.into(),
        period.sum.as_secs_f64().into(),
        before.received.into(),
        before.sum.as_secs_f64().into(),
        unknown.into(),
        newest.delivery.map(|it| it.as_secs_f64()).into(),
        newest.has_arrived.into(),
        sender_mailbox.server.to_string().into(),
        sender_mailbox.up.into(),
        sender_mailbox.at.map(to_seconds).into(),
        judgement.map(|it| it.expectation.label().to_owned()).into(),
        judgement.and_then(|it| it.is_met).into(),
        judgement.map(|it| it.words.to_string()).into(),
        judgement.map(|it| to_seconds(it.sent)).into(),
        judgement.map(|it| to_seconds(it.at)).into(),
    ]
}

fn side_values(measured: &Measured) -> [Value; OF_SIDE.len()] {
    let steps = measured.steps.iter();
    let steps: Vec<String> =
        steps.map(|(step, took)| format!("{step}={}", took.as_secs_f64())).collect();
    let tls = measured.tls.as_deref();
    let (failed, failure) = measured.last_failure.as_ref().map(|(at, it)| (*at, &**it)).unzip();
    [
        measured.server.to_string().into(),
        state(measured).to_owned().into(),
        measured.ability.value().into(),
        measured.up.into(),
        failures(measured.consecutive_failures).into(),
        measured.last_attempt.map(to_seconds).into(),
        measured.last_success.map(to_seconds).into(),
        steps.join(" ").into(),
        measured.address.map(|address| address.to_string()).into(),
        tls.map(|tls| tls.version.to_owned()).into(),
        tls.map(|tls| tls.cipher.clone()).into(),
        tls.map(|tls| tls.is_resumed).into(),
        tls.map(|tls| to_seconds(tls.leaf_not_after)).into(),
        tls.map(|tls| to_seconds(tls.chain_not_after)).into(),
        failed.map(to_seconds).into(),
        failure.map(|failure| failure.step.label().to_owned()).into(),
        failure.map(|failure| failure.reason.label().to_owned()).into(),
        failure.map(|failure| failure.down).into(),
        failure.map(|failure| failure.message.clone()).into(),
    ]
}

/// Reads the newest measurements of a target; nothing of a row that cannot be read.
pub(crate) fn read(connection: &Connection, target: &TargetName) -> Newest {
    let row = connection
        .prepare_cached("SELECT * FROM newest WHERE target = ?1")
        .and_then(|mut query| query.query_row([target.as_str()], newest).optional());
    row.ok().flatten().unwrap_or_default()
}

fn newest(row: &Row<'_>) -> rusqlite::Result<Newest> {
    let (mut period, mut previous_period) = (period(row, "period")?, period(row, "before")?);
    let unknown: i64 = row.get("arrival_unknown")?;
    (period.has_unknown, previous_period.has_unknown) = (unknown & 1 != 0, unknown & 2 != 0);
    Ok(Newest {
        interval: Duration::try_from_secs_f64(row.get("interval")?).unwrap_or_default(),
        sides: PerSide { send: measured(row, Side::Send)?, receive: measured(row, Side::Receive)? },
        period_began: date(row, "period_began")?,
        period,
        previous_period,
        delivery: row.get::<_, Option<f64>>("delivery")?.and_then(duration),
        has_arrived: row.get("has_arrived")?,
        sender_mailbox: Visited {
            server: row.get::<_, Option<String>>("sender_server")?.unwrap_or_default().into(),
            up: row.get("sender_up")?,
            at: date(row, "sender_visited")?,
        },
        judgement: judgement(row),
    })
}

fn judgement(row: &Row<'_>) -> Option<KeptJudgement> {
    let text = |name| row.get::<_, String>(name).ok();
    let date = |name| date(row, name).ok().flatten();
    let expected = text("expected")?;
    Some(KeptJudgement {
        expectation: Expectation::ALL.into_iter().find(|known| known.label() == expected)?,
        is_met: row.get("expected_met").ok()?,
        words: shown(text("expected_words")?.as_bytes()).into(),
        sent: date("expected_sent")?,
        at: date("expected_judged")?,
    })
}

fn measured(row: &Row<'_>, side: Side) -> rusqlite::Result<Measured> {
    let column = |name: &str| format!("{side}_{name}");
    let server: String = row.get(&*column("server"))?;
    let state: String = row.get(&*column("state"))?;
    let ability: Option<f64> = row.get(&*column("ability"))?;
    let failures: Option<i64> = row.get(&*column("failures"))?;
    let ability = match (state.as_str(), ability.filter(|share| (0.0..=1.0).contains(share))) {
        (NOT_APPLICABLE, _) => Reading::NotApplicable,
        (MEASURED, Some(share)) => Reading::Is(share),
        _ => Reading::Unmeasured,
    };
    let consecutive_failures = match failures.map(|count| (count, u32::try_from(count))) {
        Some((UNCOUNTED, _)) => Reading::NotApplicable,
        Some((_, Ok(count))) => Reading::Is(count),
        _ => Reading::Unmeasured,
    };
    Ok(Measured {
        server: Arc::from(server),
        ability,
        is_outlived: state == OUTLIVED,
        up: row.get(&*column("up"))?,
        consecutive_failures,
        last_attempt: date(row, &column("attempt"))?,
        last_success: date(row, &column("success"))?,
        // What only explains a measurement costs no more than itself.
        steps: row.get(&*column("steps")).map_or_else(|_| Arc::default(), |it| steps(it, side)),
        address: row.get(&*column("address")).ok().and_then(|it: String| it.parse().ok()),
        tls: tls(row, column).map(Arc::new),
        last_failure: failure(row, side, column),
    })
}

fn steps(text: String, side: Side) -> Arc<[(Step, Duration)]> {
    let step = |word: &str| {
        let (name, seconds) = word.split_once('=')?;
        let step = Step::of(side).iter().find(|step| step.label() == name)?;
        Some((*step, seconds.parse().ok().and_then(duration)?))
    };
    text.split_whitespace().filter_map(step).take(MOST_STEPS).collect()
}

fn tls(row: &Row<'_>, column: impl Fn(&str) -> String) -> Option<TlsFacts> {
    let text = |name| row.get::<_, String>(&*column(name)).ok();
    let date = |name| date(row, &column(name)).ok().flatten();
    let version = text("tls_version")?;
    let cipher = text("tls_cipher")?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (cipher.len() <= LONGEST_CIPHER && cipher.bytes().all(is_name)).then_some(TlsFacts {
        version: TLS_VERSIONS.into_iter().find(|known| *known == version)?,
        cipher,
        leaf_not_after: date("certificate_end")?,
        chain_not_after: date("chain_end")?,
        is_resumed: row.get(&*column("tls_resumed")).ok()?,
    })
}

fn failure(
    row: &Row<'_>,
    side: Side,
    column: impl Fn(&str) -> String,
) -> Option<(SystemTime, Arc<Failure>)> {
    let text = |name| row.get::<_, String>(&*column(name)).ok();
    let at = date(row, &column("failed")).ok().flatten()?;
    let (step, reason) = (text("failed_step")?, text("failed_reason")?);
    let failure = Failure {
        step: *Step::of(side).iter().find(|known| known.label() == step)?,
        reason: *Reason::of(side).iter().find(|known| known.label() == reason)?,
        down: row.get(&*column("failed_down")).ok()?,
        shortage: None,
        clue: None,
        message: shown(text("failed_words")?.as_bytes()),
    };
    Some((at, Arc::new(failure)))
}

fn duration(seconds: f64) -> Option<Duration> {
    (seconds <= LONGEST_STEP).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

fn period(row: &Row<'_>, name: &str) -> rusqlite::Result<Period> {
    let received: u32 = row.get(&*format!("{name}_received"))?;
    let seconds: f64 = row.get(&*format!("{name}_seconds"))?;
    if received > MOST_RECEIVED || !(0.0..=LONGEST_SUM).contains(&seconds) {
        return Ok(Period::default());
    }
    let sum = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Ok(Period { received, sum, has_unknown: false })
}

fn date(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<SystemTime>> {
    row.get::<_, Option<f64>>(column).map(|seconds| seconds.and_then(from_seconds))
}

fn state(measured: &Measured) -> &'static str {
    match measured.ability {
        Reading::Is(_) => MEASURED,
        Reading::NotApplicable => NOT_APPLICABLE,
        Reading::Unmeasured if measured.is_outlived => OUTLIVED,
        Reading::Unmeasured => UNMEASURED,
    }
}

fn failures(reading: Reading<u32>) -> Option<i64> {
    match reading {
        Reading::Is(count) => Some(i64::from(count)),
        Reading::NotApplicable => Some(UNCOUNTED),
        Reading::Unmeasured => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::store::Store;
    use ledger::Changes;

    const DAY: Duration = Duration::from_secs(86_400);

    fn name() -> TargetName {
        TargetName::new("one").unwrap()
    }

    fn all() -> Newest {
        // Times that a microsecond does not change.
        let at = |seconds: u64| Some(UNIX_EPOCH + Duration::from_secs(1_790_000_000 + seconds));
        Newest {
            interval: Duration::from_millis(1500),
            sides: PerSide {
                send: Measured {
                    server: "smtp://u@mail.example:25".into(),
                    ability: Reading::Is(0.25),
                    is_outlived: false,
                    up: Some(true),
                    consecutive_failures: Reading::Is(3),
                    last_attempt: at(1),
                    last_success: at(2),
                    steps: [(Step::Dns, ms(1)), (Step::Tls, ms(30))].into(),
                    address: Some("[2001:db8::1]:25".parse().unwrap()),
                    tls: Some(Arc::new(TlsFacts {
                        version: "TLSv1.3",
                        cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
                        leaf_not_after: at(1000).unwrap(),
                        chain_not_after: UNIX_EPOCH - DAY,
                        is_resumed: false,
                    })),
                    last_failure: at(5).map(|at| (at, Arc::new(failure()))),
                },
                receive: Measured {
                    server: "imap://v@mail.example:143".into(),
                    ability: Reading::NotApplicable,
                    is_outlived: false,
                    up: Some(false),
                    consecutive_failures: Reading::NotApplicable,
                    last_attempt: at(3),
                    ..Measured::default()
                },
            },
            period_began: at(4),
            period: Period { received: 2, sum: Duration::from_millis(2500), has_unknown: true },
            previous_period: Period {
                received: 1,
                sum: Duration::from_millis(500),
                has_unknown: false,
            },
            delivery: Some(ms(125)),
            has_arrived: Some(true),
            sender_mailbox: Visited {
                server: "imap://s@mail.example:143".into(),
                up: Some(false),
                at: at(6),
            },
            judgement: Some(KeptJudgement {
                expectation: Expectation::Junk,
                is_met: Some(false),
                words: "550 5.7.1 'no'".into(),
                sent: at(7).unwrap(),
                at: at(8).unwrap(),
            }),
        }
    }

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn failure() -> Failure {
        Failure {
            step: Step::Auth,
            reason: Reason::Auth,
            down: false,
            shortage: None,
            clue: None,
            message: "the login was refused: 535 'no'".to_owned(),
        }
    }

    async fn loaded(store: &Store) -> Newest {
        store.load(vec![(name(), DAY)]).await.remove(&name()).unwrap_or_default().account.newest
    }

    #[tokio::test]
    async fn the_newest_measurements_come_back_as_they_were() {
        let mut outlived = all();
        (outlived.sides.send.ability, outlived.sides.send.is_outlived) =
            (Reading::Unmeasured, true);
        outlived.sides.receive = Measured::default();
        (outlived.period.has_unknown, outlived.previous_period.has_unknown) = (false, true);
        outlived.judgement = all().judgement.map(|it| KeptJudgement { is_met: None, ..it });
        for newest in [Newest::default(), all(), outlived] {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path()).unwrap();
            for newest in [Newest::default(), newest.clone()] {
                store.record(&name(), Changes { newest: Some(newest), ..Changes::default() });
            }
            assert_eq!(loaded(&store).await, newest, "also before it is written");
            drop(store);
            let store = Store::open(folder.path()).unwrap();
            assert_eq!(loaded(&store).await, newest);
            assert_eq!(store.errors(), 0);
        }
    }

    #[tokio::test]
    async fn a_row_without_sense_is_no_measurement() {
        for nonsense in [
            "send_ability = 1.5",
            "send_ability = NULL",
            "send_state = 'unknown'",
            "interval = -1",
            "period_received = -1",
            "send_up = 7, send_failures = -7, period_seconds = 9e99",
            "send_steps = 'dns=-1 nothing=1 dns tls=1e99'",
            "send_tls_version = 'TLSv9'",
            "send_tls_cipher = 'a\"b'",
            "send_certificate_end = 1e300",
            "send_failed_reason = 'weather'",
            "send_address = 'nowhere', delivery = -1",
            "expected = 'delivered'",
            "expected_met = 7",
            "expected_judged = 9e99",
            "expected_words = NULL",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path()).unwrap();
            store.record(&name(), Changes { newest: Some(all()), ..Changes::default() });
            store.written().await;
            let file = rusqlite::Connection::open(folder.path().join("mailtrip.db")).unwrap();
            file.execute(&format!("UPDATE newest SET {nonsense}"), []).unwrap();
            let newest = loaded(&store).await;
            assert_ne!(newest, all(), "{nonsense}");
            let has_ability = newest.sides.send.ability.value().is_some();
            assert_eq!(
                has_ability,
                !nonsense.contains("_state")
                    && !nonsense.contains("ability")
                    && !nonsense.contains("period_received"),
                "{nonsense}"
            );
            assert_eq!(store.errors(), 0);
        }
    }
}
