//! How a target was over the latest hours and days, as fragments of the pages: a line with a bar a day for
//! the list of all targets, and a section for the page of one. Days are those of UTC.
//!
//! The list may have hundreds of targets: there a few paths draw all bars of one. On the page of a target
//! each bar has a title.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::words::{exact, lasted};
use crate::config::TargetName;
use crate::web::paths;
use crate::web::ranges::{Range, Summary, lesser, outages, percent};
use ledger::{Availability, Bucket, Outage, Side, Span, Times};
use mail::text;

/// The days in the list of all targets, and on the page of one, with its hours.
const LISTED_DAYS: u32 = 30;
const DAYS: u32 = 90;
const HOURS: u32 = 72;
/// A bar in its own units, and the distance of the next.
const WIDTH: usize = 3;
const STEP: usize = 4;
/// The height of a bar, and the least that can be seen of an outage.
const HEIGHT: f64 = 24.0;
const LEAST_HEIGHT: f64 = 3.0;
/// More outages than this are folded.
const OPEN_OUTAGES: usize = 5;
/// Stands for what nobody knows.
const NOTHING: &str = "—";

/// The line in the list of all targets.
pub(super) struct Past {
    pub(super) shares: Vec<Share>,
    /// How long it was measured in all, where that is less than the longest range: the shares are those of
    /// that time.
    pub(super) measured: Option<String>,
    pub(super) strip: Strip,
}

/// The share of time in which the worse side was able.
pub(super) struct Share {
    pub(super) range: &'static str,
    pub(super) percent: String,
    /// That of both sides, in words.
    pub(super) title: String,
}

/// A bar a day, drawn by few paths.
pub(super) struct Strip {
    pub(super) width: usize,
    /// A stroke in dashes from day to day.
    pub(super) able: String,
    pub(super) unknown: String,
    /// Filled.
    pub(super) unable: String,
    /// What it shows, in words.
    pub(super) words: String,
}

/// The section on the page of one target.
pub(super) struct History {
    pub(super) ranges: Vec<RangeRow>,
    pub(super) charts: Vec<Chart>,
    /// The days with an outage, newest first: the charts for those who do not see them.
    pub(super) bad_days: Vec<BadDay>,
    pub(super) outages: Vec<OutageRow>,
    /// Those that are folded.
    pub(super) older: Vec<OutageRow>,
    pub(super) json: String,
    pub(super) badge: String,
}

/// One range.
pub(super) struct RangeRow {
    pub(super) range: &'static str,
    pub(super) send: String,
    pub(super) receive: String,
    pub(super) measured: String,
    pub(super) late: u32,
    pub(super) lost: u32,
    pub(super) median: String,
    pub(super) worst: String,
}

/// The hours or days of one side.
pub(super) struct Chart {
    pub(super) heading: String,
    pub(super) width: usize,
    pub(super) bars: Vec<Bar>,
    /// The first and the last day or hour.
    pub(super) ends: [String; 2],
    /// What it shows, in words.
    pub(super) words: String,
}

/// One hour or day.
pub(super) struct Bar {
    pub(super) x: usize,
    /// How high its unable part is, from above; `None`: it was able all the time, or nothing is known.
    pub(super) unable: Option<String>,
    /// Where its able part begins, and how high it is; `None`: there is none.
    pub(super) able: Option<(String, String)>,
    pub(super) title: String,
}

/// A day on which a side was not able all the time.
pub(super) struct BadDay {
    pub(super) date: String,
    pub(super) side: &'static str,
    pub(super) able: String,
    pub(super) unable: String,
}

/// One outage.
pub(super) struct OutageRow {
    pub(super) side: &'static str,
    pub(super) began: String,
    /// `None`: it goes on.
    pub(super) ended: Option<String>,
    pub(super) lasted: String,
    pub(super) step: &'static str,
    pub(super) reason: &'static str,
    pub(super) words: String,
}

impl Past {
    pub(super) fn new(availability: &Availability, now: SystemTime) -> Self {
        let Summary { ranges, days, .. } = Summary::of(availability, now);
        let shares = ranges.iter().map(|(range, bucket)| Share::new(*range, bucket));
        let days = latest(Span::Day, LISTED_DAYS, &days, now);
        let days = days.iter().map(|(_, day)| day.as_ref().and_then(lesser).map(|it| it.1));
        let [.., (range, all)] = &ranges;
        let is_short = longest(all).is_some_and(|measured| measured < range.length());
        Self {
            shares: shares.collect(),
            measured: is_short.then(|| measured(all)),
            strip: Strip::new(&days.collect::<Vec<_>>()),
        }
    }
}

impl Share {
    fn new(range: Range, bucket: &Bucket) -> Self {
        let worse = lesser(bucket).and_then(|(_, times)| percent(&times));
        let measured = measured(bucket);
        let side = |side: Side| match percent(&bucket.sides[side]) {
            Some(share) => format!("{side} {share}"),
            None => format!("{side} not measured"),
        };
        let title = match worse {
            Some(_) => format!(
                "Able in the latest {}: {}, {}; measured for {measured}",
                range.words(),
                side(Side::Send),
                side(Side::Receive)
            ),
            None => format!("Not measured in the latest {}", range.words()),
        };
        Self { range: range.words(), percent: worse.unwrap_or_else(|| NOTHING.to_owned()), title }
    }
}

impl Strip {
    fn new(days: &[Option<Times>]) -> Self {
        let share = |day: &Option<Times>| day.as_ref().and_then(Times::share);
        let dashes = |y: f64, is_drawn: &dyn Fn(&Option<Times>) -> bool| {
            let mut path = String::new();
            for (index, day) in days.iter().enumerate().filter(|(_, day)| is_drawn(day)) {
                let begins_run =
                    index.checked_sub(1).and_then(|it| days.get(it)).is_none_or(|it| !is_drawn(it));
                if begins_run {
                    path.push_str(&format!("M{} {y}", index * STEP));
                }
                let ends_run = days.get(index + 1).is_none_or(|it| !is_drawn(it));
                if ends_run {
                    path.push_str(&format!("H{}", index * STEP + WIDTH));
                }
                let _ = day;
            }
            path
        };
        let unable = days.iter().enumerate().filter_map(|(index, day)| {
            let height = unable_height(share(day)?)?;
            Some(format!("M{} 0h{WIDTH}v{height:.0}h-{WIDTH}z", index * STEP))
        });
        Self {
            width: width(days.len()),
            able: dashes(HEIGHT / 2.0, &|day| share(day).is_some_and(|share| share > 0.0)),
            unknown: dashes(HEIGHT - 1.0, &|day| share(day).is_none()),
            unable: unable.collect(),
            words: in_words(&format!("The latest {} days", days.len()), "day", days),
        }
    }
}

impl History {
    pub(super) fn new(name: &TargetName, availability: &Availability, now: SystemTime) -> Self {
        let Summary { ranges, hours, days } = Summary::of(availability, now);
        let spans = [(Span::Day, DAYS, &days), (Span::Hour, HOURS, &hours)];
        let charts = spans.into_iter().flat_map(|(span, count, known)| {
            let buckets = latest(span, count, known, now);
            Side::ALL.map(|side| Chart::new(span, side, &buckets))
        });
        let outages = outages(availability).into_iter();
        let outages = outages.map(|(side, it)| OutageRow::new(side, it, now));
        let mut outages: Vec<OutageRow> = outages.collect();
        let older = outages.split_off(outages.len().min(OPEN_OUTAGES));
        let ranges = ranges.iter().map(|(range, all)| RangeRow::new(*range, all));
        Self {
            ranges: ranges.collect(),
            charts: charts.collect(),
            bad_days: days.iter().rev().flat_map(BadDay::of).collect(),
            outages,
            older,
            json: paths::of_history(name),
            badge: paths::of_badge(name),
        }
    }
}

impl RangeRow {
    fn new(range: Range, bucket: &Bucket) -> Self {
        let share = |side: Side| percent(&bucket.sides[side]).unwrap_or_else(|| NOTHING.to_owned());
        let median = bucket.trips.median();
        let time = |time: Option<Duration>| time.map_or_else(|| NOTHING.to_owned(), exact);
        Self {
            range: range.words(),
            send: share(Side::Send),
            receive: share(Side::Receive),
            measured: measured(bucket),
            late: bucket.late,
            lost: bucket.lost,
            // It is known to a tenth at best.
            median: median.map_or_else(|| NOTHING.to_owned(), |it| format!("≈ {}", exact(it))),
            worst: time(bucket.trips.worst()),
        }
    }
}

impl Chart {
    fn new(span: Span, side: Side, buckets: &[(SystemTime, Option<Bucket>)]) -> Self {
        let times = |bucket: &Option<Bucket>| {
            bucket.as_ref().map(|it| it.sides[side]).filter(|it| it.share().is_some())
        };
        let bars = buckets.iter().enumerate().map(|(index, (begins, bucket))| {
            Bar::new(index, &date_of(span, *begins), times(bucket))
        });
        let all: Vec<_> = buckets.iter().map(|(_, bucket)| times(bucket)).collect();
        let heading = match side {
            Side::Send => "Send",
            Side::Receive => "Receive",
        };
        let unit = unit(span);
        let heading = format!("{heading}, the latest {} {unit}s", buckets.len());
        let words = in_words(&heading, unit, &all);
        let end = |end: Option<&(SystemTime, _)>| {
            end.map(|(begins, _)| date_of(span, *begins)).unwrap_or_default()
        };
        let ends = [end(buckets.first()), end(buckets.last())];
        Self { width: width(buckets.len()), bars: bars.collect(), ends, words, heading }
    }
}

impl BadDay {
    /// Those of either side.
    fn of((begins, bucket): &(SystemTime, Bucket)) -> impl Iterator<Item = Self> {
        let sides = Side::ALL.into_iter().map(|side| (side, &bucket.sides[side]));
        let bad = sides.filter(|(_, times)| !times.unable().is_zero());
        bad.map(|(side, times)| Self {
            date: date_of(Span::Day, *begins),
            side: side.label(),
            able: percent(times).unwrap_or_else(|| NOTHING.to_owned()),
            unable: lasted(times.unable()),
        })
    }
}

impl Bar {
    fn new(index: usize, date: &str, times: Option<Times>) -> Self {
        let x = index * STEP;
        let Some((times, share)) = times.and_then(|times| Some((times, times.share()?))) else {
            return Self { x, unable: None, able: None, title: format!("{date}: not measured") };
        };
        let unable = unable_height(share);
        // A gap parts them for eyes that do not see the colours.
        let top = unable.map_or(0.0, |height| height + 1.0);
        let able = Some(HEIGHT - top).filter(|height| *height > 0.0 && share > 0.0);
        let mut title = format!("{date}: able {}", percent(&times).unwrap_or_default());
        if !times.unable().is_zero() {
            title.push_str(&format!(", unable for {}", lasted(times.unable())));
        }
        Self {
            x,
            unable: unable.map(|height| format!("{height:.1}")),
            able: able.map(|height| (format!("{top:.1}"), format!("{height:.1}"))),
            title,
        }
    }
}

impl OutageRow {
    fn new(side: Side, outage: &Outage, now: SystemTime) -> Self {
        let until = outage.ended.unwrap_or(now);
        let date = |at: SystemTime| humantime::format_rfc3339_seconds(at).to_string();
        Self {
            side: side.label(),
            began: date(outage.began),
            ended: outage.ended.map(date),
            lasted: lasted(until.duration_since(outage.began).unwrap_or_default()),
            step: outage.step.label(),
            reason: outage.reason.label(),
            // Escaped where it was read; the page does not rely on that.
            words: text::shown(outage.words.as_bytes()),
        }
    }
}

/// The latest hours or days, oldest first, each with what is known of it.
fn latest(
    span: Span,
    count: u32,
    known: &[(SystemTime, Bucket)],
    now: SystemTime,
) -> Vec<(SystemTime, Option<Bucket>)> {
    let width = span.width();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let present = UNIX_EPOCH + Duration::from_secs(since - since % width.as_secs().max(1));
    let begins = (0..count).rev().filter_map(|ago| present.checked_sub(width * ago));
    let of = |begins: SystemTime| {
        let index = known.binary_search_by_key(&begins, |it| it.0).ok()?;
        known.get(index).map(|it| it.1.clone())
    };
    begins.map(|begins| (begins, of(begins))).collect()
}

/// How high the unable part is; `None`: there is none.
fn unable_height(share: f64) -> Option<f64> {
    (share < 1.0).then(|| ((1.0 - share) * HEIGHT).max(LEAST_HEIGHT))
}

fn width(bars: usize) -> usize {
    (bars * STEP).saturating_sub(STEP - WIDTH)
}

/// What a chart shows, for those who do not see it.
fn in_words(heading: &str, unit: &str, bars: &[Option<Times>]) -> String {
    let count = |is_so: &dyn Fn(Option<f64>) -> bool| {
        bars.iter().filter(|it| is_so(it.as_ref().and_then(Times::share))).count()
    };
    let able = count(&|share| share.is_some_and(|share| share >= 1.0));
    let unable = count(&|share| share.is_some_and(|share| share < 1.0));
    let unknown = count(&|share| share.is_none());
    let plural = if able == 1 { "" } else { "s" };
    format!(
        "{heading}: able all the time in {able} {unit}{plural}, not in {unable}, not measured in {unknown}"
    )
}

fn unit(span: Span) -> &'static str {
    match span {
        Span::Day => "day",
        Span::Hour => "hour",
    }
}

/// How long the side was measured that was measured longer.
fn measured(bucket: &Bucket) -> String {
    longest(bucket).map_or_else(|| NOTHING.to_owned(), lasted)
}

/// The same as a time; `None`: neither was measured.
fn longest(bucket: &Bucket) -> Option<Duration> {
    let measured = Side::ALL.into_iter().map(|side| bucket.sides[side].measured()).max();
    measured.filter(|it| !it.is_zero())
}

/// The date of a day, or the hour of UTC.
fn date_of(span: Span, begins: SystemTime) -> String {
    let date = humantime::format_rfc3339_seconds(begins).to_string();
    let (day, hour) = (date.get(..10).unwrap_or_default(), date.get(11..16).unwrap_or_default());
    match span {
        Span::Day => day.to_owned(),
        Span::Hour => format!("{day} {hour}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::{Failure, PerSide, Reason, Step};

    const DAY: Duration = Duration::from_secs(86_400);

    fn now() -> SystemTime {
        UNIX_EPOCH + DAY * 20_000 + Duration::from_secs(7200)
    }

    fn both(share: f64) -> PerSide<Option<f64>> {
        PerSide { send: Some(share), receive: Some(1.0) }
    }

    /// Two days able, then one unknown, then one with a short outage of sending, then today.
    fn some() -> Availability {
        let mut availability = Availability::default();
        let today = UNIX_EPOCH + DAY * 20_000;
        availability.count_time(both(1.0), today - DAY * 4, today - DAY * 2);
        availability.count_time(both(1.0), today - DAY, today - Duration::from_secs(10));
        availability.count_time(both(0.0), today - Duration::from_secs(10), today);
        availability.count_time(both(1.0), today, now());
        availability
    }

    #[test]
    fn the_strip_of_the_list_joins_what_is_alike_and_shows_the_shortest_outage() {
        let past = Past::new(&some(), now());
        let Strip { width, able, unknown, unable, words } = past.strip;
        assert_eq!(width, 119);
        assert_eq!(able, "M100 12H107M112 12H119");
        assert_eq!(unknown, "M0 23H99M108 23H111");
        assert_eq!(unable, "M112 0h3v3h-3z");
        assert_eq!(
            words,
            "The latest 30 days: able all the time in 3 days, not in 1, not measured in 26"
        );
        assert_eq!(past.measured.as_deref(), Some("3 days"), "of 30");
        let shares: Vec<_> = past.shares.iter().map(|it| (it.range, &*it.percent)).collect();
        assert_eq!(shares, [("24 h", "99.98 %"), ("7 d", "99.99 %"), ("30 d", "99.99 %")]);
        assert_eq!(
            past.shares[2].title,
            "Able in the latest 30 d: send 99.99 %, receive 100 %; measured for 3 days"
        );
    }

    #[test]
    fn shares_of_a_few_minutes_are_said_to_be_of_these() {
        let mut availability = Availability::default();
        availability.count_time(both(1.0), now() - Duration::from_secs(240), now());
        assert_eq!(Past::new(&availability, now()).measured.as_deref(), Some("4 min"));
    }

    #[test]
    fn one_day_is_one_and_less_than_a_second_is_not_nothing() {
        let mut availability = Availability::default();
        availability.count_time(both(0.0), now() - Duration::from_millis(800), now());
        let past = Past::new(&availability, now());
        assert_eq!(past.measured.as_deref(), Some("800 ms"));
        assert!(past.strip.words.contains("in 0 days, not in 1, "), "{}", past.strip.words);
        let mut availability = Availability::default();
        availability.count_time(both(1.0), now() - Duration::from_secs(60), now());
        let words = Past::new(&availability, now()).strip.words;
        assert!(words.contains("able all the time in 1 day, not in 0, "), "{words}");
    }

    #[test]
    fn a_target_that_was_just_begun_says_that_nothing_was_measured() {
        let past = Past::new(&Availability::default(), now());
        assert_eq!((&*past.strip.able, &*past.strip.unable), ("", ""));
        assert_eq!(past.strip.unknown, "M0 23H119");
        assert!(
            past.shares.iter().all(|it| it.percent == "—" && it.title.starts_with("Not measured"))
        );
        let name = TargetName::new("a b").unwrap();
        let history = History::new(&name, &Availability::default(), now());
        assert_eq!(history.badge, "/badge/a%20b.svg");
        assert_eq!(history.ranges[0].median, "—");
    }

    #[test]
    fn each_bar_of_the_page_of_a_target_has_its_day_and_side() {
        let history = History::new(&TargetName::new("one").unwrap(), &some(), now());
        let [send, receive, hours, _] = &*history.charts else { panic!() };
        assert_eq!((send.bars.len(), hours.bars.len()), (90, 72));
        assert_eq!(send.bars[88].title, "2024-10-03: able 99.98 %, unable for 10.0 s");
        assert_eq!(send.bars[88].unable.as_deref(), Some("3.0"));
        assert_eq!(receive.bars[88].title, "2024-10-03: able 100 %");
        assert_eq!((&receive.bars[88].unable, send.bars[87].able.is_none()), (&None, true));
        assert_eq!(send.bars[87].title, "2024-10-02: not measured");
        assert_eq!(send.ends, ["2024-07-07", "2024-10-04"]);
        assert_eq!(hours.ends, ["2024-10-01 03:00", "2024-10-04 02:00"]);
        let bad: Vec<_> = history
            .bad_days
            .iter()
            .map(|it| (&*it.date, it.side, &*it.able, &*it.unable))
            .collect();
        assert_eq!(bad, [("2024-10-03", "send", "99.98 %", "10.0 s")]);
        assert_eq!(hours.bars[67].title, "2024-10-03 22:00: able 100 %");
    }

    #[test]
    fn many_outages_are_folded_and_the_newest_is_first() {
        let mut availability = Availability::default();
        for index in 0..8 {
            let at = now() - DAY + Duration::from_secs(index * 600);
            let (step, reason, message) = (Step::Auth, Reason::Auth, format!("no {index}"));
            let failure =
                Failure { step, reason, down: false, shortage: None, clue: None, message };
            availability.failed(Side::Receive, &failure, at);
            if index < 7 {
                availability.recovered(Side::Receive, at + Duration::from_secs(120));
            }
        }
        let history = History::new(&TargetName::new("one").unwrap(), &availability, now());
        assert_eq!((history.outages.len(), history.older.len()), (5, 3));
        let newest = &history.outages[0];
        assert_eq!((&*newest.words, &newest.ended), ("no 7", &None));
        assert_eq!((newest.side, newest.step, newest.reason), ("receive", "auth", "auth"));
        assert_eq!(history.older[2].lasted, "2 min");
    }
}
