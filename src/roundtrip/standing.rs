//! `probe --dns`: what the lists of a target say of its addresses now, and what its domains publish, without a mail.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::state::State;
use super::terminal::{Look, Terminal};
use crate::config::{Dnsbl, DnsblList, Target};
use crate::standing::domains::{Domains, Evidence};
use crate::standing::limiter::{Answer, Limiter};
use crate::standing::rounds::verdict;
use ledger::Reading;
use mail::posture::{self, Check, Outcome};

/// How long all of it may take where nothing else was said.
const LONGEST: Duration = Duration::from_secs(120);
/// So many lists are asked at a time.
const LISTS_AT_ONCE: usize = 4;

/// What the lists say, and what came of the checks of the domains.
#[derive(Debug)]
pub(super) struct Standing<'a> {
    target: &'a Target,
    lists: Vec<(&'a str, Reading<bool>, String)>,
    checks: Vec<(Check, Outcome)>,
}

/// Asks the lists, each about all addresses, and looks at the domains.
///
/// # Errors
/// The target asks neither, or only what its mails alone show, to the exporter: lists about addresses that it does not
/// name, or checks of such.
pub(super) async fn ask<'a>(
    target: &'a Target,
    (limiter, domains): (&Limiter, &Domains),
    longest: Option<Duration>,
) -> Result<Standing<'a>, String> {
    let (dnsbl, wanted) = (target.dnsbl(), target.domain_checks());
    if dnsbl.is_none() && wanted.is_none() {
        let name = &target.name;
        return Err(format!(
            "`{name}` asks no lists and checks no domain: write `dnsbl` or `domain_checks` for it"
        ));
    }
    let unnamed = format!(
        "from which address the mail of `{}` goes out only the exporter knows, by the headers of \
         its mails: name it in `dnsbl.addresses`, or look at its page",
        target.name
    );
    if wanted.is_none() && dnsbl.is_some_and(|dnsbl| dnsbl.addresses.is_empty()) {
        return Err(unnamed);
    }
    let end = Instant::now() + longest.unwrap_or(LONGEST);
    let lists = match dnsbl {
        Some(dnsbl) if dnsbl.addresses.is_empty() => {
            let unasked =
                |list: &'a DnsblList| (list.name.as_str(), Reading::Unmeasured, unnamed.clone());
            dnsbl.lists.iter().map(unasked).collect()
        }
        Some(dnsbl) => of_lists(dnsbl, limiter, end).await,
        None => Vec::new(),
    };
    let evidence = Evidence::configured(target);
    let checks = match wanted {
        Some(wanted) => domains.check((target, wanted), &evidence, wanted.interval, end).await.0,
        None => Vec::new(),
    };
    // What only mails show is not asked here.
    let has_evidence = |check| match check {
        Check::Dkim => !evidence.signatures.is_empty(),
        Check::Ptr => !evidence.addresses.is_empty(),
        _ => true,
    };
    let checks: Vec<_> = checks.into_iter().filter(|(check, _)| has_evidence(*check)).collect();
    if lists.is_empty() && checks.is_empty() {
        return Err(format!(
            "what `{}` has checked only its mails show, to the exporter: name `domain_checks.addresses` for ptr and \
             `mail.dkim` for dkim, or look at its page",
            target.name
        ));
    }
    Ok(Standing { target, lists, checks })
}

/// What each list says, in their order. They are asked four at a time; each by itself one question at a time.
async fn of_lists<'a>(
    dnsbl: &'a Dnsbl,
    limiter: &Limiter,
    end: Instant,
) -> Vec<(&'a str, Reading<bool>, String)> {
    let ask = async |list: &'a DnsblList| {
        let asked = answers(dnsbl, &list.zone, limiter, end);
        let (is_well, words) = match timeout_at(end, asked).await {
            Ok(answers) => verdict(&answers),
            Err(_) => (Reading::Unmeasured, "not known: the time was over".to_owned()),
        };
        (list.name.as_str(), is_well, words)
    };
    let some = async |first: usize| {
        let mut told = Vec::new();
        for (place, list) in dnsbl.lists.iter().enumerate().skip(first).step_by(LISTS_AT_ONCE) {
            told.push((place, ask(list).await));
        }
        told
    };
    let (first, second, third, fourth) = tokio::join!(some(0), some(1), some(2), some(3));
    let mut told = [first, second, third, fourth].concat();
    told.sort_by_key(|(place, _)| *place);
    told.into_iter().map(|(_, list)| list).collect()
}

async fn answers(
    dnsbl: &Dnsbl,
    zone: &mail::dnsbl::Zone,
    limiter: &Limiter,
    end: Instant,
) -> Vec<(IpAddr, Answer)> {
    let mut answers = Vec::new();
    for address in &dnsbl.addresses {
        let answer = limiter.ask(zone, *address, dnsbl.interval, end).await;
        answers.push((*address, answer));
    }
    answers
}

impl Standing<'_> {
    /// What it is to a monitoring system: mail still arrives where an address is listed or a check fails.
    pub(super) fn state(&self) -> State {
        let has = |state| {
            self.lists.iter().any(|(_, is_well, _)| *is_well == state)
                || self.checks.iter().any(|(_, outcome)| outcome.is_well == state)
        };
        match () {
            () if has(Reading::Is(false)) => State::Warning,
            () if has(Reading::Unmeasured) => State::Unknown,
            () => State::Ok,
        }
    }

    /// In one sentence.
    pub(super) fn sentence(&self) -> String {
        let lists = |state| {
            let lists = self.lists.iter().filter(move |(_, is_well, _)| *is_well == state);
            lists.map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
        };
        let checks = |state| {
            let checks = self.checks.iter().filter(move |(_, outcome)| outcome.is_well == state);
            checks.map(|(check, _)| check.title()).collect::<Vec<_>>().join(", ")
        };
        let (bad, unknown) = (Reading::Is(false), Reading::Unmeasured);
        let unknown = [lists(unknown), checks(unknown)].into_iter().filter(|it| !it.is_empty());
        let unknown = unknown.collect::<Vec<_>>().join(", ");
        let parts =
            [("listed by", lists(bad)), ("failed:", checks(bad)), ("not known of", unknown)];
        let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
        let parts: Vec<String> = parts.map(|(word, names)| format!("{word} {names}")).collect();
        match (parts.is_empty(), self.lists.is_empty(), self.checks.is_empty()) {
            (false, ..) => parts.join("; "),
            (true, false, true) => "on no list".to_owned(),
            (true, true, _) => "no check of the domain fails".to_owned(),
            (true, false, false) => "on no list, and no check of the domain fails".to_owned(),
        }
    }

    /// A line for each list and check, and the sentence.
    pub(super) fn show<W: Write>(&self, terminal: &mut Terminal<W>) {
        let name = self.target.name.as_str();
        if !self.lists.is_empty() {
            terminal.line(&[(Look::Strong, name), (Look::Plain, ": lists of addresses by DNS")]);
        }
        for (name, is_well, words) in &self.lists {
            let look = if *is_well == Reading::Is(false) { Look::Bad } else { Look::Plain };
            terminal.line(&[(Look::Plain, &format!("  {name}   ")), (look, words)]);
        }
        if !self.checks.is_empty() {
            terminal.line(&[(Look::Strong, name), (Look::Plain, ": checks of the domain")]);
        }
        for (check, outcome) in &self.checks {
            let (look, state) = match outcome.is_well {
                Reading::Is(true) => (Look::Plain, "passed"),
                Reading::Is(false) => (Look::Bad, "failed"),
                Reading::NotApplicable => (Look::Plain, "absent"),
                Reading::Unmeasured => (Look::Plain, "not known"),
            };
            let title = format!("  {:<8} {state:<10}", check.title());
            terminal.line(&[(Look::Plain, &title), (look, &outcome.words)]);
            if outcome.is_well == Reading::Is(false) {
                let remedy = format!("{:20} remedy: {}", "", check.remedy());
                terminal.line(&[(Look::Plain, &remedy)]);
            }
        }
        let look = if self.state() == State::Ok { Look::Good } else { Look::Bad };
        terminal.paragraph(&[(look, "Verdict: "), (Look::Plain, &self.sentence())]);
    }

    /// The document for scripts.
    pub(super) fn document(&self) -> Value {
        let list = |(name, is_well, words): &(&str, Reading<bool>, String)| json!({ "list": name, "listed": is_well.value().map(|is_well| !is_well), "words": words });
        let check = |(check, outcome): &(Check, Outcome)| {
            json!({
                "check": check.label(),
                "state": posture::state(outcome.is_well),
                "words": outcome.words,
                "remedy": (outcome.is_well == Reading::Is(false)).then(|| check.remedy()),
            })
        };
        json!({
            "target": self.target.name.as_str(),
            "successful": self.state() == State::Ok,
            "state": self.state().label(),
            "verdict": self.sentence(),
            "dnsbl": self.lists.iter().map(list).collect::<Vec<Value>>(),
            "domain_checks": self.checks.iter().map(check).collect::<Vec<Value>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn config(dnsbl: &str) -> Config {
        let yaml = format!(
            "targets: [{{name: a, host: h, from: a@b.example, to: a@b.example, receive: \
             {{protocol: pop3, username: u, password: p}}, dnsbl: {dnsbl}}}]\n"
        );
        Config::parse(&yaml, Path::new("test.yml")).unwrap()
    }

    #[test]
    fn a_listed_address_is_a_warning_and_silence_is_unknown() {
        let config = config("false");
        let target = config.targets.values().next().unwrap();
        let of = |states: &[Reading<bool>]| {
            let lists = ["one", "two"].into_iter().zip(states);
            let lists = lists.map(|(name, state)| (name, *state, "words".to_owned())).collect();
            Standing { target, lists, checks: Vec::new() }
        };
        let (well, listed, unknown) = (Reading::Is(true), Reading::Is(false), Reading::Unmeasured);
        for (states, state, sentence) in [
            ([well, well], State::Ok, "on no list"),
            ([well, listed], State::Warning, "listed by two"),
            ([unknown, well], State::Unknown, "not known of one"),
            ([unknown, listed], State::Warning, "listed by two; not known of one"),
        ] {
            let standing = of(&states);
            assert_eq!((standing.state(), standing.sentence().as_str()), (state, sentence));
        }
        let mut text = Vec::new();
        of(&[listed, well]).show(&mut Terminal::plain(&mut text));
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.contains("  one   words\n") && text.contains("Verdict: listed by one"),
            "{text}"
        );
        let document = of(&[listed, unknown]).document();
        let listed: Vec<_> =
            document["dnsbl"].as_array().unwrap().iter().map(|it| &it["listed"]).collect();
        assert_eq!(listed, [&json!(true), &json!(null)]);
    }

    #[tokio::test(start_paused = true)]
    async fn four_lists_that_are_silent_take_no_longer_than_one() {
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let resolver = mail::net::records::Resolver::of_server(silent.local_addr().unwrap());
        let limiter = Limiter::new(resolver);
        let mut took = Vec::new();
        for names in ["one.example", "b.example, c.example, d.example, e.example"] {
            let config = config(&format!("{{lists: [{names}], addresses: [198.51.100.7]}}"));
            let dnsbl = config.targets.values().next().unwrap().dnsbl().unwrap();
            let began = Instant::now();
            let told = of_lists(dnsbl, &limiter, began + LONGEST).await;
            took.push(began.elapsed());
            let names: Vec<&str> = names.split(", ").collect();
            assert_eq!(told.iter().map(|(name, ..)| *name).collect::<Vec<_>>(), names);
            assert!(told.iter().all(|(_, is_well, _)| *is_well == Reading::Unmeasured), "{told:?}");
        }
        assert!(took[0] > Duration::ZERO && took[1] < took[0] * 2, "{took:?}");
    }

    #[test]
    fn a_failed_check_is_a_warning_with_its_remedy_and_an_absent_record_is_none() {
        let config = config("false");
        let target = config.targets.values().next().unwrap();
        let of = |states: &[Reading<bool>]| {
            let outcome = |is_well| Outcome { is_well, words: "words".to_owned() };
            let checks = Check::ALL.into_iter().zip(states);
            let checks = checks.map(|(check, is_well)| (check, outcome(*is_well))).collect();
            Standing { target, lists: Vec::new(), checks }
        };
        let (passed, failed) = (Reading::Is(true), Reading::Is(false));
        let (absent, unknown) = (Reading::NotApplicable, Reading::Unmeasured);
        for (states, state, sentence) in [
            ([passed, absent], State::Ok, "no check of the domain fails"),
            ([passed, failed], State::Warning, "failed: SPF"),
            ([unknown, absent], State::Unknown, "not known of MX"),
            ([unknown, failed], State::Warning, "failed: SPF; not known of MX"),
        ] {
            let standing = of(&states);
            assert_eq!((standing.state(), standing.sentence().as_str()), (state, sentence));
        }
        let mut text = Vec::new();
        of(&[failed, absent]).show(&mut Terminal::plain(&mut text));
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("  MX       failed    words\n"), "{text}");
        assert!(text.contains("remedy: let each MX name a host"), "{text}");
        let document = of(&[failed, absent]).document();
        let checks = &document["domain_checks"];
        assert_eq!((&checks[0]["check"], &checks[0]["state"]), (&json!("mx"), &json!("failed")));
        assert_eq!(checks[1]["remedy"], json!(null));
    }

    #[tokio::test]
    async fn without_lists_or_addresses_nobody_is_asked() {
        for (dnsbl, word) in [("false", "asks no lists"), ("{lists: [bl.example]}", "addresses")] {
            let config = config(dnsbl);
            let target = config.targets.values().next().unwrap();
            let refused =
                ask(target, (&Limiter::default(), &Domains::default()), None).await.unwrap_err();
            assert!(refused.contains(word), "{refused}");
        }
    }

    #[tokio::test]
    async fn what_was_not_asked_is_no_success() {
        let ask_of = async |dnsbl: &str| {
            let config = config(dnsbl);
            let target = config.targets.values().next().unwrap();
            let shared = (&Limiter::default(), &Domains::default());
            let standing = ask(target, shared, Some(Duration::ZERO)).await;
            standing.map(|standing| (standing.state(), standing.sentence()))
        };
        let refused = ask_of("false, domain_checks: {checks: [dkim, ptr]}").await.unwrap_err();
        assert!(refused.contains("domain_checks.addresses"), "{refused}");
        let (state, sentence) =
            ask_of("{lists: [bl.example]}, domain_checks: {checks: [ptr]}").await.unwrap();
        assert_eq!((state, sentence.as_str()), (State::Unknown, "not known of bl.example"));
    }
}
