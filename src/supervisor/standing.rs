//! The rounds about the standing of a target outside its mails, where any are wanted.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::future::FutureExt;

use super::Supervisor;
use super::kept::Kept;
use super::task::Task;
use super::view::TargetHandle;
use crate::config::Target;
use crate::standing::domain_rounds::DomainRounds;
use crate::standing::findings::Standing;
use crate::standing::rounds::Rounds;

impl Supervisor {
    /// What is known of the standing of a target, which goes on; `None` if nothing is wanted.
    pub(super) fn standing(
        target: &Target,
        known: Option<&TargetHandle>,
        kept: &mut Kept,
    ) -> Option<Arc<Standing>> {
        if target.dnsbl().is_none() && target.domain_checks().is_none() {
            return None;
        }
        let known = known.and_then(|handle| handle.standing.as_ref());
        let standing = known.map_or_else(|| kept.standing(&target.name), Arc::clone);
        standing.set_target(target);
        Some(standing)
    }

    /// The rounds of a target.
    pub(super) fn start_rounds(&self, handle: &TargetHandle) -> Option<Task> {
        let standing = Arc::clone(handle.standing.as_ref()?);
        let (target, account) = (Arc::clone(&handle.target), Arc::clone(&handle.account));
        let (limiter, store) = (Arc::clone(&self.lists), self.store.clone());
        let domain_rounds = Arc::new(DomainRounds {
            target: Arc::clone(&target),
            account: Arc::clone(&account),
            standing: Arc::clone(&standing),
            domains: Arc::clone(&self.domains),
            store: store.clone(),
        });
        let name = target.name.clone();
        let name = move || format!("the lists and domains of {name}");
        let rounds = Arc::new(Rounds { target, account, standing, limiter, store });
        let run = move |cancel: tokio_util::sync::CancellationToken, _| {
            let (rounds, domain_rounds) = (Arc::clone(&rounds), Arc::clone(&domain_rounds));
            async move {
                let both = async { tokio::join!(rounds.run(), domain_rounds.run()) };
                both.with_cancellation_token(&cancel).await;
            }
        };
        Some(Task::put_off(Instant::now(), &self.beginner, name, || false, run))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;
    use crate::config::{Config, TargetName};
    use crate::probing::send::Origin;
    use crate::store::FindingKind;
    use ledger::{Reading, Token};

    fn config(dnsbl: &str) -> Config {
        let yaml = format!(
            "targets: [{{name: one, host: 127.0.0.1, from: a@b.test, to: a@b.test, interval: 1h, \
             send: {{port: 1, tls: none}}, receive: {{protocol: imap, port: 1, tls: none, username: \
             u, password: p}}, dnsbl: {dnsbl}}}]\n"
        );
        Config::parse(&yaml, Path::new("test.yml")).unwrap()
    }

    /// Name, state and words of each list.
    type Known = Vec<(String, Reading<bool>, String)>;

    /// Whether a loop asks, and what is known of each list.
    fn seen(supervisor: &Supervisor) -> (bool, Option<Known>) {
        let asks = supervisor.state().targets.values().any(|running| running.asking.is_some());
        let standing = supervisor.view("one").unwrap().standing;
        let of = |list: &crate::standing::findings::Finding| {
            (list.name.clone(), list.is_well, list.words.clone())
        };
        (asks, standing.map(|findings| findings.dnsbl.iter().map(of).collect()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_turns_the_questions_on_and_off_and_keeps_what_was_found() {
        let origin = Origin { instance: Token::random(), host: None };
        let supervisor = Supervisor::start(config("false"), None, origin).await.unwrap();
        assert_eq!(seen(&supervisor), (false, None), "off it takes nothing");
        supervisor.apply(config("{lists: [a.example]}")).await.unwrap();
        // No mail has come: nobody is asked about nothing.
        sleep(Duration::from_secs(40)).await;
        let (asks, lists) = seen(&supervisor);
        let lists = lists.unwrap();
        assert!(asks && lists[0].1 == Reading::Unmeasured, "{lists:?}");
        assert!(lists[0].2.contains("no public address is known"), "{lists:?}");
        let standing = {
            let (state, name) = (supervisor.state(), TargetName::new("one").unwrap());
            state.targets.get(&name).unwrap().handle.standing.clone().unwrap()
        };
        standing.record(FindingKind::Dnsbl, "a.example", Reading::Is(false), "listed");
        supervisor.apply(config("{lists: [b.example, a.example]}")).await.unwrap();
        let expected =
            [("b.example", Reading::Unmeasured, ""), ("a.example", Reading::Is(false), "listed")]
                .map(|(name, state, words)| (name.to_owned(), state, words.to_owned()));
        assert_eq!(seen(&supervisor), (true, Some(expected.to_vec())));
        supervisor.apply(config("false")).await.unwrap();
        assert_eq!(seen(&supervisor), (false, None));
        supervisor.stop().await;
    }
}
