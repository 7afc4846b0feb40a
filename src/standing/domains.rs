//! What is known of domains: asked for all targets together, so that a domain that many of them have is looked at once,
//! and no more than some domains at one time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::limiter::stands;
use crate::clock;
use crate::config::{DomainChecks, Target};
use ledger::{LineInstant, Reading};
use mail::inspection::Signature;
use mail::net::records::Resolver;
use mail::posture::{self, Check, Means, Outcome};
use mail::wire::ConnectionContext;

/// The most domains whose servers are visited at one time, and the most questions to name servers alone.
pub const VISITS_AT_ONCE: u32 = 16;
const QUESTIONS_AT_ONCE: usize = 16;
/// The longest that one may take.
const LONGEST: Duration = Duration::from_secs(180);
/// Beyond so many questions it is looked for those that nobody asks any more.
const MANY_QUESTIONS: usize = 4096;
/// No answer serves anybody longer: half of the longest interval.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 3600 / 2);

/// What is said as long as it is not known from where the mail goes out.
const UNKNOWN_ADDRESS: &str = "no public address is known from which the mail goes out: no header of its mails shows \
                               one; `domain_checks.addresses` may name them";

/// What is said of an address whose domain is the literal of another address.
const NO_DOMAIN: &str =
    "it is no domain: name one as `domain_checks.receiving_domain` or `sending_domain`";

/// What all targets share.
pub struct Domains {
    resolver: Resolver,
    clients: ConnectionContext,
    visits: Semaphore,
    questions: Semaphore,
    known: Mutex<Memory>,
}

impl Default for Domains {
    fn default() -> Self {
        Self {
            resolver: Resolver::default().telling_bogus(),
            clients: ConnectionContext::default(),
            visits: Semaphore::new(VISITS_AT_ONCE as usize),
            questions: Semaphore::new(QUESTIONS_AT_ONCE),
            known: Mutex::default(),
        }
    }
}

/// The newest answers.
#[derive(Default)]
struct Memory {
    known: HashMap<Question, Arc<Known>>,
    /// With how many it is looked next for those to forget.
    sweeps_at: usize,
}

/// What the mails of a target have shown, or its configuration says.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Where the keys of its signatures are.
    pub signatures: Vec<Signature>,
    /// From where its mail goes out.
    pub addresses: Vec<IpAddr>,
}

/// What is looked at together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Question {
    /// The servers of a domain, and whether the policy of MTA-STS is fetched.
    Receiving(String, bool),
    TlsRpt(String),
    Spf(String),
    Dmarc(String),
    Dkim(String, Vec<Signature>),
    Ptr(Vec<IpAddr>),
}

/// The newest answer.
struct Known {
    turn: Semaphore,
    answer: Mutex<Option<(LineInstant, Answer)>>,
}

type Answer = Vec<(Check, Outcome)>;

impl Evidence {
    /// What the configuration itself says.
    pub fn configured(target: &Target) -> Self {
        let signer = target.form().and_then(|form| form.signer.as_ref());
        let signature = signer.map(|signer| Signature {
            domain: signer.domain().to_owned(),
            selector: signer.selector().to_owned(),
        });
        Self {
            signatures: signature.into_iter().collect(),
            addresses: target.outgoing_addresses().to_vec(),
        }
    }
}

impl Domains {
    /// Makes the checks that a target wants, all by `end`. What of them was found no longer ago than half of `stands`
    /// is not asked again. Whether each question was answered, at least in a part.
    pub async fn check(
        &self,
        (target, wanted): (&Target, &DomainChecks),
        evidence: &Evidence,
        stands: Duration,
        end: Instant,
    ) -> (Answer, bool) {
        let (mut found, mut all_told) = (Vec::new(), true);
        for question in questions((target, wanted), evidence) {
            let answer = self.ask(question, stands, end).await;
            let is_wanted = |(check, _): &(Check, Outcome)| wanted.checks.contains(check);
            let answer: Answer = answer.into_iter().filter(is_wanted).collect();
            all_told &= !tells_nothing(&answer);
            found.extend(answer);
        }
        if evidence.addresses.is_empty() && wanted.checks.contains(&Check::Ptr) {
            found.push((Check::Ptr, Outcome::unknown(UNKNOWN_ADDRESS)));
            all_told = false;
        }
        found.sort_by_key(|(check, _)| *check);
        (found, all_told)
    }

    async fn ask(&self, question: Question, interval: Duration, end: Instant) -> Answer {
        // As the literal of an address has none.
        if question.domain().is_some_and(|domain| domain.starts_with('[')) {
            return unknown(&question, NO_DOMAIN);
        }
        let known = self.known(&question);
        if let Some(answer) = known.answer(interval) {
            return answer;
        }
        let turns = async {
            let own = known.turn.acquire().await.ok()?;
            let turns = match question {
                Question::Receiving(..) => &self.visits,
                _ => &self.questions,
            };
            Some((own, turns.acquire().await.ok()?))
        };
        let Ok(Some(_turns)) = timeout_at(end, turns).await else {
            return unknown(&question, "its turn to be asked did not come in time");
        };
        // Who had the turn before may have asked the same.
        if let Some(answer) = known.answer(interval) {
            return answer;
        }
        let end = end.min(Instant::now() + LONGEST);
        let asked = Box::pin(self.look(&question, end));
        let answer = match timeout_at(end, asked).await {
            Ok(answer) => answer,
            Err(_) => unknown(&question, "the name servers and servers took too long"),
        };
        *lock(&known.answer) = Some((clock::now().instant, answer.clone()));
        answer
    }

    async fn look(&self, question: &Question, end: Instant) -> Answer {
        let means = Means { resolver: &self.resolver, clients: &self.clients, end };
        match question {
            Question::Receiving(domain, wants_mta_sts) => {
                posture::receiving(domain, *wants_mta_sts, means).await
            }
            Question::TlsRpt(domain) => {
                vec![(Check::TlsRpt, posture::tls_rpt(domain, means).await)]
            }
            Question::Spf(domain) => vec![(Check::Spf, posture::spf(domain, means).await)],
            Question::Dmarc(domain) => vec![(Check::Dmarc, posture::dmarc(domain, means).await)],
            Question::Dkim(domain, signatures) => {
                vec![(Check::Dkim, posture::dkim(domain, signatures, means).await)]
            }
            Question::Ptr(addresses) => vec![(Check::Ptr, posture::ptr(addresses, means).await)],
        }
    }

    fn known(&self, question: &Question) -> Arc<Known> {
        let mut memory = lock(&self.known);
        if memory.known.len() >= memory.sweeps_at.max(MANY_QUESTIONS) {
            memory.known.retain(|_, one| Arc::strong_count(one) > 1 || one.is_young());
            memory.sweeps_at = memory.known.len() * 2;
        }
        let new = || Arc::new(Known { turn: Semaphore::new(1), answer: Mutex::default() });
        Arc::clone(memory.known.entry(question.clone()).or_insert_with(new))
    }
}

impl Question {
    /// The domain that it is about.
    fn domain(&self) -> Option<&str> {
        match self {
            Self::Receiving(domain, _)
            | Self::TlsRpt(domain)
            | Self::Spf(domain)
            | Self::Dmarc(domain)
            | Self::Dkim(domain, _) => Some(domain),
            Self::Ptr(_) => None,
        }
    }
}

impl Known {
    fn is_young(&self) -> bool {
        lock(&self.answer).as_ref().is_some_and(|(at, _)| clock::now().instant - *at < FORGOTTEN)
    }

    fn answer(&self, interval: Duration) -> Option<Answer> {
        let known = lock(&self.answer);
        let (at, answer) = known.as_ref()?;
        // What failed is looked at again as soon as somebody asks who has known nothing of it.
        let is_settled = answer.iter().any(|(_, outcome)| outcome.is_well != Reading::Unmeasured)
            && answer.iter().all(|(_, outcome)| outcome.is_well != Reading::Is(false));
        stands(*at, interval, !is_settled).then(|| answer.clone())
    }
}

/// What has to be looked at for these checks.
fn questions((target, wanted): (&Target, &DomainChecks), evidence: &Evidence) -> Vec<Question> {
    let domain = |check| target.domain_of(wanted, check).to_ascii_lowercase();
    let mut questions = Vec::new();
    for check in &wanted.checks {
        let question = match check {
            Check::Mx | Check::MtaSts | Check::Dane => {
                Question::Receiving(domain(*check), wanted.checks.contains(&Check::MtaSts))
            }
            Check::TlsRpt => Question::TlsRpt(domain(*check)),
            Check::Spf => Question::Spf(domain(*check)),
            Check::Dmarc => Question::Dmarc(domain(*check)),
            Check::Dkim => Question::Dkim(domain(*check), evidence.signatures.clone()),
            Check::Ptr if evidence.addresses.is_empty() => continue,
            Check::Ptr => Question::Ptr(evidence.addresses.clone()),
        };
        if !questions.contains(&question) {
            questions.push(question);
        }
    }
    questions
}

fn unknown(question: &Question, why: &str) -> Answer {
    let checks: &[Check] = match question {
        Question::Receiving(..) => &[Check::Mx, Check::MtaSts, Check::Dane],
        Question::TlsRpt(_) => &[Check::TlsRpt],
        Question::Spf(_) => &[Check::Spf],
        Question::Dmarc(_) => &[Check::Dmarc],
        Question::Dkim(..) => &[Check::Dkim],
        Question::Ptr(_) => &[Check::Ptr],
    };
    checks.iter().map(|check| (*check, Outcome::unknown(why))).collect()
}

fn tells_nothing(answer: &Answer) -> bool {
    answer.iter().all(|(_, outcome)| outcome.is_well == Reading::Unmeasured)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn asked(checks: &str, evidence: &Evidence) -> Vec<Question> {
        let yaml = format!(
            "targets: [{{name: a, host: h, from: a@Send.example, to: a@receive.example, receive: \
             {{protocol: pop3, username: u, password: p}}, domain_checks: {checks}}}]\n"
        );
        let config = Config::parse(&yaml, Path::new("test.yml")).unwrap();
        let target = config.targets.values().next().unwrap();
        questions((target, target.domain_checks().unwrap()), evidence)
    }

    #[test]
    fn the_servers_of_a_domain_are_met_once_for_all_checks() {
        let (sends, receives) = ("send.example".to_owned(), "receive.example".to_owned());
        let none = Evidence::default();
        assert_eq!(
            asked("true", &none),
            [
                Question::Receiving(receives.clone(), true),
                Question::Spf(sends.clone()),
                Question::Dkim(sends.clone(), Vec::new()),
                Question::Dmarc(sends.clone()),
                Question::TlsRpt(receives.clone()),
            ]
        );
        // Nobody is visited or asked for a policy who need not be.
        assert_eq!(asked("{checks: [tls_rpt]}", &none), [Question::TlsRpt(receives.clone())]);
        assert_eq!(asked("{checks: [mx]}", &none), [Question::Receiving(receives, false)]);
        let address: IpAddr = [198, 51, 100, 7].into();
        let evidence = Evidence { addresses: vec![address], ..none };
        assert_eq!(
            asked("{checks: [ptr, spf]}", &evidence),
            [Question::Spf(sends), Question::Ptr(vec![address])]
        );
    }

    #[tokio::test]
    async fn of_the_literal_of_an_address_nothing_is_asked() {
        let question = Question::Spf("[192.0.2.1]".to_owned());
        let end = Instant::now();
        let answer = Domains::default().ask(question, Duration::from_secs(3600), end).await;
        assert!(tells_nothing(&answer) && answer[0].1.words.contains("no domain"), "{answer:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_found_serves_all_for_half_an_interval() {
        let domains = Domains::default();
        let question = Question::Spf("send.example".to_owned());
        let hour = Duration::from_secs(3600);
        let answer = unknown(&question, "x").into_iter();
        let answer: Answer = answer
            .map(|(check, it)| (check, Outcome { is_well: Reading::Is(true), ..it }))
            .collect();
        let known = domains.known(&question);
        *lock(&known.answer) = Some((clock::now().instant, answer.clone()));
        // Asked afresh, nobody would answer: the time is over.
        let now = Instant::now();
        assert_eq!(domains.ask(question.clone(), hour, now).await, answer);
        tokio::time::advance(hour / 2).await;
        let end = Instant::now() + Duration::from_secs(1);
        assert!(known.answer(hour).is_none(), "it is too old");
        let many = |at: usize| Question::Spf(format!("d{at}.example"));
        (0..MANY_QUESTIONS).map(many).for_each(|other| drop(domains.known(&other)));
        assert!(Arc::ptr_eq(&known, &domains.known(&question)), "what serves others was forgotten");
        assert!(lock(&domains.known).known.len() < 10, "what nobody has asked was kept");
        let _held = known.turn.acquire().await.unwrap();
        let late = domains.ask(question, hour, end).await;
        assert!(late[0].1.words.contains("its turn"), "{late:?}");
    }
}
