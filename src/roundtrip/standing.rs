//! `probe --dns`: what the lists of a target say of its addresses now, without a mail.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::state::State;
use super::terminal::{Look, Terminal};
use crate::config::{Dnsbl, Target};
use crate::standing::limiter::{Answer, Limiter};
use crate::standing::rounds::verdict;
use ledger::Reading;

/// How long all of it may take where nothing else was said.
const LONGEST: Duration = Duration::from_secs(120);

/// What the lists say.
#[derive(Debug)]
pub(super) struct Standing<'a> {
    target: &'a Target,
    lists: Vec<(&'a str, Reading<bool>, String)>,
}

/// Asks them, each about all addresses.
///
/// # Errors
/// The target asks none, or does not name its addresses: which they are only its mails show, to the exporter.
pub(super) async fn ask<'a>(
    target: &'a Target,
    limiter: &Limiter,
    longest: Option<Duration>,
) -> Result<Standing<'a>, String> {
    let Some(dnsbl) = target.dnsbl() else {
        return Err(format!("`{}` asks no lists: write `dnsbl` for it", target.name));
    };
    if dnsbl.addresses.is_empty() {
        return Err(format!(
            "from which address the mail of `{}` goes out only the exporter knows, by the headers of \
             its mails: name it in `dnsbl.addresses`, or look at its page",
            target.name
        ));
    }
    let end = Instant::now() + longest.unwrap_or(LONGEST);
    let mut lists = Vec::new();
    for list in &dnsbl.lists {
        let asked = answers(dnsbl, &list.zone, limiter, end);
        let (is_well, words) = match timeout_at(end, asked).await {
            Ok(answers) => verdict(&answers),
            Err(_) => (Reading::Unmeasured, "not known: the time was over".to_owned()),
        };
        lists.push((list.name.as_str(), is_well, words));
    }
    Ok(Standing { target, lists })
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
    /// What it is to a monitoring system: mail still arrives where an address is listed.
    pub(super) fn state(&self) -> State {
        let has = |state| self.lists.iter().any(|(_, is_well, _)| *is_well == state);
        match () {
            () if has(Reading::Is(false)) => State::Warning,
            () if has(Reading::Unmeasured) => State::Unknown,
            () => State::Ok,
        }
    }

    /// In one sentence.
    pub(super) fn sentence(&self) -> String {
        let of = |state| {
            let lists = self.lists.iter().filter(move |(_, is_well, _)| *is_well == state);
            lists.map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
        };
        let (listed, unknown) = (of(Reading::Is(false)), of(Reading::Unmeasured));
        let unknown = if unknown.is_empty() { unknown } else { format!("not known of {unknown}") };
        match (listed.is_empty(), unknown.is_empty()) {
            (true, true) => "on no list".to_owned(),
            (true, false) => unknown,
            (false, true) => format!("listed by {listed}"),
            (false, false) => format!("listed by {listed}; {unknown}"),
        }
    }

    /// A line for each list, and the sentence.
    pub(super) fn show<W: Write>(&self, terminal: &mut Terminal<W>) {
        let name = self.target.name.as_str();
        terminal.line(&[(Look::Strong, name), (Look::Plain, ": lists of addresses by DNS")]);
        for (name, is_well, words) in &self.lists {
            let look = if *is_well == Reading::Is(false) { Look::Bad } else { Look::Plain };
            terminal.line(&[(Look::Plain, &format!("  {name}   ")), (look, words)]);
        }
        let look = if self.state() == State::Ok { Look::Good } else { Look::Bad };
        terminal.paragraph(&[(look, "Verdict: "), (Look::Plain, &self.sentence())]);
    }

    /// The document for scripts.
    pub(super) fn document(&self) -> Value {
        let list = |(name, is_well, words): &(&str, Reading<bool>, String)| json!({ "list": name, "listed": is_well.value().map(|is_well| !is_well), "words": words });
        json!({
            "target": self.target.name.as_str(),
            "successful": self.state() == State::Ok,
            "state": self.state().label(),
            "verdict": self.sentence(),
            "dnsbl": self.lists.iter().map(list).collect::<Vec<Value>>(),
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
            Standing { target, lists }
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

    #[tokio::test]
    async fn without_lists_or_addresses_nobody_is_asked() {
        for (dnsbl, word) in [("false", "asks no lists"), ("{lists: [bl.example]}", "addresses")] {
            let config = config(dnsbl);
            let target = config.targets.values().next().unwrap();
            let refused = ask(target, &Limiter::default(), None).await.unwrap_err();
            assert!(refused.contains(word), "{refused}");
        }
    }
}
