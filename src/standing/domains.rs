//! What is known of domains: asked for all targets together, so that a domain that many of them have is looked at once,
//! and no more than some domains at one time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::limiter::stands;
use crate::config::{DomainChecks, Target};
use ledger::Reading;
use mail::inspection::Signature;
use mail::net::records::Resolver;
use mail::posture::{self, Check, Means, Outcome};
use mail::wire::ConnectionContext;

/// The most domains that are looked at at one time.
const AT_ONCE: usize = 4;
/// The longest that one may take.
const LONGEST: Duration = Duration::from_secs(120);
/// What nobody asks any more is forgotten beyond this.
const MOST_QUESTIONS: usize = 4096;

/// What is said as long as it is not known from where the mail goes out.
const UNKNOWN_ADDRESS: &str = "no public address is known from which the mail goes out: no mail has shown one in its \
                               header yet; `domain_checks.addresses` may name them";

/// What all targets share.
#[derive(Default)]
pub struct Domains {
    resolver: Resolver,
    clients: ConnectionContext,
    turns: Turns,
    known: Mutex<HashMap<Question, Arc<Known>>>,
}

struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
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
    Receiving(String),
    Spf(String),
    Dmarc(String),
    Dkim(String, Vec<Signature>),
    Ptr(Vec<IpAddr>),
}

/// The newest answer.
struct Known {
    turn: Semaphore,
    answer: Mutex<Option<(Instant, Answer)>>,
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
    /// Makes the checks that a target wants, all by `end`. What of them was found no longer ago than half of the
    /// interval is not asked again. Whether each question was answered, at least in a part.
    pub async fn check(
        &self,
        (target, wanted): (&Target, &DomainChecks),
        evidence: &Evidence,
        end: Instant,
    ) -> (Answer, bool) {
        let (mut found, mut all_told) = (Vec::new(), true);
        for question in questions((target, wanted), evidence) {
            let answer = self.ask(question, wanted.interval, end).await;
            all_told &= !tells_nothing(&answer);
            found.extend(answer.into_iter().filter(|(check, _)| wanted.checks.contains(check)));
        }
        if evidence.addresses.is_empty() && wanted.checks.contains(&Check::Ptr) {
            found.push((Check::Ptr, Outcome::unknown(UNKNOWN_ADDRESS)));
            all_told = false;
        }
        found.sort_by_key(|(check, _)| *check);
        (found, all_told)
    }

    async fn ask(&self, question: Question, interval: Duration, end: Instant) -> Answer {
        let known = self.known(&question);
        if let Some(answer) = known.answer(interval) {
            return answer;
        }
        let turns = async {
            let own = known.turn.acquire().await.ok()?;
            Some((own, self.turns.0.acquire().await.ok()?))
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
        *lock(&known.answer) = Some((Instant::now(), answer.clone()));
        answer
    }

    async fn look(&self, question: &Question, end: Instant) -> Answer {
        let means = Means { resolver: &self.resolver, clients: &self.clients, end };
        match question {
            Question::Receiving(domain) => posture::receiving(domain, means).await,
            Question::Spf(domain) => vec![(Check::Spf, posture::spf(domain, means).await)],
            Question::Dmarc(domain) => vec![(Check::Dmarc, posture::dmarc(domain, means).await)],
            Question::Dkim(domain, signatures) => {
                vec![(Check::Dkim, posture::dkim(domain, signatures, means).await)]
            }
            Question::Ptr(addresses) => vec![(Check::Ptr, posture::ptr(addresses, means).await)],
        }
    }

    fn known(&self, question: &Question) -> Arc<Known> {
        let mut known = lock(&self.known);
        if known.len() >= MOST_QUESTIONS {
            known.retain(|_, one| Arc::strong_count(one) > 1);
        }
        let new = || Arc::new(Known { turn: Semaphore::new(1), answer: Mutex::default() });
        Arc::clone(known.entry(question.clone()).or_insert_with(new))
    }
}

impl Known {
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
            Check::Mx | Check::MtaSts | Check::TlsRpt | Check::Dane => {
                Question::Receiving(domain(*check))
            }
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
        Question::Receiving(_) => &[Check::Mx, Check::MtaSts, Check::TlsRpt, Check::Dane],
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
                Question::Receiving(receives),
                Question::Spf(sends.clone()),
                Question::Dkim(sends.clone(), Vec::new()),
                Question::Dmarc(sends.clone()),
            ]
        );
        let address: IpAddr = [198, 51, 100, 7].into();
        let evidence = Evidence { addresses: vec![address], ..none };
        assert_eq!(
            asked("{checks: [ptr, spf]}", &evidence),
            [Question::Spf(sends), Question::Ptr(vec![address])]
        );
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
        *lock(&known.answer) = Some((Instant::now(), answer.clone()));
        // Asked afresh, nobody would answer: the time is over.
        let now = Instant::now();
        assert_eq!(domains.ask(question.clone(), hour, now).await, answer);
        tokio::time::advance(hour / 2).await;
        let end = Instant::now() + Duration::from_secs(1);
        assert!(known.answer(hour).is_none(), "it is too old");
        let _held = known.turn.acquire().await.unwrap();
        let late = domains.ask(question, hour, end).await;
        assert!(late[0].1.words.contains("its turn"), "{late:?}");
    }
}
