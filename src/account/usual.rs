//! What is usual on the way of the mails of a target: the stretches of the ledger by the names of their
//! servers.

use std::net::IpAddr;
use std::sync::Arc;

use ledger::{Usual, UsualDelay};
use mail::inspection::{Hop, Inspection};

/// What was usual on the way of the newest mail before it went there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsualWay(Vec<Option<UsualDelay>>);

impl UsualWay {
    /// What was usual on the stretch of this number in [`Inspection::stretches`]; `None`: that is not known.
    pub fn of(&self, stretch: usize) -> Option<UsualDelay> {
        self.0.get(stretch).copied().flatten()
    }
}

impl FromIterator<Option<UsualDelay>> for UsualWay {
    fn from_iter<I: IntoIterator<Item = Option<UsualDelay>>>(stretches: I) -> Self {
        Self(stretches.into_iter().collect())
    }
}

/// What was learned of the mails of a target, and what that says of the newest of them.
#[derive(Debug, Default)]
pub(super) struct Learned {
    /// From all of them.
    pub(super) usual: Usual,
    /// Of the newest.
    pub(super) way: Arc<UsualWay>,
}

impl Learned {
    /// What was kept, as it is of this mail, which was the last to be learned: it is compared with those before it.
    pub(super) fn restored(usual: Usual, newest: &Inspection) -> Self {
        let mut before = usual.clone();
        for (stretch, delay) in stretches(newest).zip(newest.stretches()) {
            if let Some(delay) = delay.measured() {
                before.unlearn(&stretch, delay);
            }
        }
        Self { way: way(&before, newest).into(), usual }
    }

    /// One more mail has come.
    pub(super) fn learn(&mut self, newest: &Inspection) {
        self.way = way(&self.usual, newest).into();
        for (stretch, delay) in stretches(newest).zip(newest.stretches()) {
            if let Some(delay) = delay.measured() {
                self.usual.learn(&stretch, delay);
            }
        }
    }
}

fn way(usual: &Usual, newest: &Inspection) -> UsualWay {
    stretches(newest).map(|stretch| usual.of(&stretch)).collect()
}

/// What the stretches of this way are called: by their place before the mailbox and the domain of the server
/// at their end. Servers that share the work of one place are one, and a server more at the beginning
/// changes nothing of what comes after it.
fn stretches(inspection: &Inspection) -> impl Iterator<Item = String> {
    let hops = inspection.hops.iter().rev().enumerate().rev();
    let hops = hops.map(|(before, hop)| format!("{} {}", before + 1, domain(hop)));
    hops.chain(["0".to_owned()])
}

/// The domain of a server, without the digits by which one is told from the next.
fn domain(hop: &Hop) -> String {
    let name = hop.by.as_deref().unwrap_or_default().to_ascii_lowercase();
    if name.parse::<IpAddr>().is_ok() {
        return String::new();
    }
    let domain = match name.split_once('.') {
        Some((_, domain)) if domain.contains('.') => domain,
        _ => name.as_str(),
    };
    domain.chars().filter(|character| !character.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use mail::inspection::{Rules, TransitTimes};
    use mail::text::Scrubber;

    use super::*;

    /// A mail through these servers, each so many seconds after the one before.
    fn mail(hops: &[(&str, u64)]) -> Inspection {
        let begin: SystemTime = UNIX_EPOCH + Duration::from_secs(1_795_428_000);
        let mut second = 0;
        let mut lines = Vec::new();
        for (by, delay) in hops {
            second += delay;
            let time = format!("Mon, 23 Nov 2026 10:{:02}:{:02} +0000", second / 60, second % 60);
            lines.push(format!("Received: from x.example by {by} with ESMTP id 1; {time}\r\n"));
        }
        let arrived = begin + Duration::from_secs(second);
        let transit =
            TransitTimes { transmitted: Some(begin), seen: arrived, arrived: Some(arrived) };
        let rules = Rules { authserv_id: None, scrubber: &Scrubber::default() };
        let block: String = lines.into_iter().rev().collect();
        Inspection::read(format!("{block}\r\n").as_bytes(), transit, rules)
    }

    fn medians(learned: &Learned) -> Vec<Option<u64>> {
        let seconds = |usual: &Option<UsualDelay>| usual.map(|usual| usual.median.as_secs());
        learned.way.0.iter().map(seconds).collect()
    }

    #[test]
    fn a_mail_is_compared_with_those_before_it_by_the_same_way() {
        let mut learned = Learned::default();
        let usual = mail(&[("out.a.example", 1), ("mx1.b.example", 1)]);
        for _ in 0..20 {
            learned.learn(&usual);
            assert_eq!(medians(&learned), [None; 3], "twenty are needed");
        }
        learned.learn(&mail(&[("out.a.example", 1), ("mx2.b.example", 500)]));
        assert_eq!(medians(&learned), [Some(1), Some(1), Some(0)], "one of several at this place");
        learned.learn(&mail(&[("new.c.example", 9), ("out.a.example", 1), ("mx1.b.example", 1)]));
        assert_eq!(medians(&learned), [None, Some(1), Some(1), Some(0)], "one more before them");
        learned.learn(&mail(&[("other.d.example", 1), ("mx1.b.example", 1)]));
        assert_eq!(medians(&learned), [None, Some(1), Some(0)], "another way");
    }

    #[test]
    fn servers_of_one_domain_are_one_and_names_without_one_stand_for_themselves() {
        let name = |by: &str| stretches(&mail(&[(by, 1)])).next().unwrap();
        assert_eq!(name("MX1.Example.COM"), name("mx27.example.com"));
        assert_eq!(
            name("AM0PR05.eurprd05.prod.outlook.com"),
            name("VI1PR07.eurprd07.prod.outlook.com")
        );
        assert_ne!(name("example.com"), name("example.org"));
        assert_ne!(name("mailhost"), name("localhost"));
        assert_eq!(name("2002:a05:6a10::1"), name("2002:a05:6a10::2"));
    }

    #[test]
    fn after_a_restart_a_mail_is_still_compared_with_those_before_it() {
        let mut learned = Learned::default();
        let (quick, slow) = (mail(&[("out.a.example", 1)]), mail(&[("out.a.example", 500)]));
        let all = std::iter::repeat_n(&quick, 20).chain(std::iter::repeat_n(&slow, 20));
        for newest in all {
            learned.learn(newest);
            let restored = Learned::restored(learned.usual.clone(), newest);
            assert_eq!(medians(&restored), medians(&learned));
        }
        assert_eq!(medians(&learned), [Some(1), Some(0)], "the last but one of the slow ones");
    }
}
