//! Whether the record of SPF of a domain holds within the limits of those who ask it (RFC 7208 section 4.6.4): ten
//! look-ups with those of the records that it includes, and two of nothing.
//!
//! All terms count, be there one that matches before them: which one does depends on the mail.

use super::Outcome;
use super::questions::Questions;
use super::spf::{self, Question, Record};

const MOST_LOOK_UPS: usize = 10;
const MOST_OF_NOTHING: usize = 2;
/// The most servers of one `mx`.
const MOST_HOSTS: usize = 10;

/// What the look-ups of all records came to.
#[derive(Default)]
struct Count {
    look_ups: usize,
    of_nothing: Vec<String>,
    /// The domains whose records are still to be read, and whether what passes there passes for the domain.
    pending: Vec<(String, bool)>,
    /// Whose record lets every address pass for the domain.
    opens: Option<String>,
}

pub(super) async fn check(domain: &str, questions: Questions<'_>) -> Result<Outcome, Outcome> {
    let Some(text) = text_of(domain, questions).await? else {
        return Ok(Outcome::failed(format!("{domain} has no SPF record (TXT `v=spf1 …`)")));
    };
    let record = read(domain, &text)?;
    let mut count = Count::default();
    let is_open_ended = record.all.is_none() && record.redirect.is_none();
    count.take((domain, true), record, questions).await?;
    while let Some((other, passes)) = count.pending.pop() {
        let Some(text) = text_of(&other, questions).await? else {
            let words = format!("{other}, whose record that of {domain} takes in, has none");
            return Ok(Outcome::failed(words));
        };
        let record = read(&other, &text)?;
        count.take((&other, passes), record, questions).await?;
    }
    let look_ups = count.look_ups;
    Ok(match (count.opens, is_open_ended) {
        (Some(other), _) => Outcome::failed(format!(
            "the record of {other} lets the whole world send, as `+all` does: {text}"
        )),
        (None, true) => Outcome::passed(format!(
            "{text} ({look_ups} look-ups; without an `all` it says nothing of all others)"
        )),
        (None, false) => Outcome::passed(format!("{text} ({look_ups} look-ups)")),
    })
}

/// The record of a domain, if it has one.
async fn text_of(domain: &str, questions: Questions<'_>) -> Result<Option<String>, Outcome> {
    let mut records = questions.texts_of(domain, "v=spf1").await?;
    // A version that goes on, as `v=spf1;`, is none.
    records
        .retain(|record| record.split(' ').next().is_some_and(|word| word.len() == "v=spf1".len()));
    if records.len() > 1 {
        let words = format!("{domain} has {} SPF records, which are as an error", records.len());
        return Err(Outcome::failed(words));
    }
    Ok(records.pop())
}

fn read(domain: &str, text: &str) -> Result<Record, Outcome> {
    spf::read(text).map_err(|why| Outcome::failed(format!("{domain}: {why}: {text}")))
}

impl Count {
    async fn take(
        &mut self,
        (domain, passes): (&str, bool),
        record: Record,
        questions: Questions<'_>,
    ) -> Result<(), Outcome> {
        if passes && record.opens {
            self.opens = Some(domain.to_owned());
        }
        for question in record.questions {
            self.look_up(domain)?;
            match question {
                // What a macro stands for only a mail shows.
                Question::Include(name, _) | Question::Exists(name) if spf::has_macro(&name) => {}
                Question::Include(name, is_pass) => self.pending.push((name, passes && is_pass)),
                Question::Exists(name) => self.addresses(&name, questions).await?,
                Question::A(name) => {
                    let name = name.as_deref().unwrap_or(domain);
                    if !spf::has_macro(name) {
                        self.addresses(name, questions).await?;
                    }
                }
                Question::Mx(name) => {
                    let name = name.as_deref().unwrap_or(domain);
                    if !spf::has_macro(name) {
                        self.hosts(name, questions).await?;
                    }
                }
                Question::Ptr => {}
            }
        }
        if let Some(name) = record.redirect {
            self.look_up(domain)?;
            if !spf::has_macro(&name) {
                self.pending.push((name, passes));
            }
        }
        Ok(())
    }

    fn look_up(&mut self, domain: &str) -> Result<(), Outcome> {
        self.look_ups += 1;
        if self.look_ups <= MOST_LOOK_UPS {
            return Ok(());
        }
        let words = format!(
            "it needs more than {MOST_LOOK_UPS} look-ups; the eleventh is in the record of {domain}"
        );
        Err(Outcome::failed(words))
    }

    async fn addresses(&mut self, name: &str, questions: Questions<'_>) -> Result<(), Outcome> {
        let found = questions.addresses(name).await?;
        self.nothing(name, found.list.is_empty())
    }

    async fn hosts(&mut self, name: &str, questions: Questions<'_>) -> Result<(), Outcome> {
        let found = questions.exchangers(name).await?.list;
        if found.len() > MOST_HOSTS {
            let words = format!(
                "`mx` of {name} has {} servers, and {MOST_HOSTS} are the most",
                found.len()
            );
            return Err(Outcome::failed(words));
        }
        self.nothing(name, found.is_empty())
    }

    fn nothing(&mut self, name: &str, is_nothing: bool) -> Result<(), Outcome> {
        if is_nothing {
            self.of_nothing.push(name.to_owned());
        }
        if self.of_nothing.len() <= MOST_OF_NOTHING {
            return Ok(());
        }
        let words = format!(
            "more than {MOST_OF_NOTHING} look-ups find nothing: {}",
            self.of_nothing.join(", ")
        );
        Err(Outcome::failed(words))
    }
}
