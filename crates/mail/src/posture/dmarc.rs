//! DMARC (RFC 7489): the record of the domain, or of the nearest name above it that has one.

use super::Outcome;
use super::questions::Questions;
use crate::tags::Tags;

/// The most names that are asked; the middle ones of a longer name are left out (RFC 9989 section 4.10).
const MOST_NAMES: usize = 8;
const POLICIES: [&str; 3] = ["none", "quarantine", "reject"];

pub(super) async fn check(domain: &str, questions: Questions<'_>) -> Result<Outcome, Outcome> {
    for name in names(domain) {
        let place = format!("_dmarc.{name}");
        let records = questions.texts_of(&place, "v=DMARC1").await?;
        match records.as_slice() {
            [] => {}
            [record] => {
                return Ok(match read(record) {
                    Ok(note) => Outcome::passed(format!("{place}: {record}{note}")),
                    Err(why) => Outcome::failed(format!("{place}: {why}: {record}")),
                });
            }
            many => {
                let words = format!("{place} has {} records, which are as none", many.len());
                return Ok(Outcome::failed(words));
            }
        }
    }
    Ok(Outcome::failed(format!("_dmarc.{domain} has no record, nor has a name above it")))
}

/// The domain and the names above it, but those of one part, which are no one's of their own.
fn names(domain: &str) -> Vec<&str> {
    let starts = domain.match_indices('.').map(|(at, _)| at + 1);
    let mut names: Vec<&str> = std::iter::once(0)
        .chain(starts)
        .filter_map(|at| domain.get(at..))
        .filter(|name| name.contains('.') || *name == domain)
        .collect();
    if names.len() > MOST_NAMES {
        let surplus = names.len() - MOST_NAMES;
        names.drain(1..=surplus);
    }
    names
}

/// What there is to be said of a good record.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(record: &str) -> Result<&'static str, String> {
    let tags = Tags::read(record)?;
    tags.is_among("p", &POLICIES)?;
    tags.is_among("sp", &POLICIES)?;
    tags.is_among("np", &POLICIES)?;
    tags.is_among("adkim", &["r", "s"])?;
    tags.is_among("aspf", &["r", "s"])?;
    let is_percentage = |text: &str| text.parse().is_ok_and(|number: u8| number <= 100);
    if let Some(share) = tags.get("pct").filter(|share| !is_percentage(share)) {
        return Err(format!("`pct={share}` is no number from 0 to 100"));
    }
    for reports in ["rua", "ruf"] {
        let uris = tags.get(reports).into_iter().flat_map(|uris| uris.split(','));
        for uri in uris.map(str::trim) {
            let scheme = uri.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
            if !matches!(scheme.as_deref(), Some("mailto" | "https" | "http")) {
                return Err(format!("`{reports}` has `{uri}`, which is no address as mailto:…"));
            }
        }
    }
    match tags.get("p") {
        None => Err("it has no policy `p=`".to_owned()),
        Some(policy) if policy.eq_ignore_ascii_case("none") => {
            Ok(" (p=none asks nobody to refuse anything)")
        }
        Some(_) => Ok(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_above_a_domain_are_asked_and_no_top_level_domain() {
        assert_eq!(
            names("mail.corp.example.com"),
            ["mail.corp.example.com", "corp.example.com", "example.com"]
        );
        assert_eq!(names("localhost"), ["localhost"]);
        let long = "a.b.c.d.e.f.g.h.i.j.example.com";
        let asked = names(long);
        assert_eq!(
            (asked.len(), asked.first(), asked.last()),
            (8, Some(&long), Some(&"example.com"))
        );
    }

    #[test]
    fn a_record_needs_a_policy_and_good_tags() {
        for good in
            ["v=DMARC1; p=reject", "v=DMARC1;p=quarantine;rua=mailto:a@b.example!10m; pct=50;"]
        {
            assert_eq!(read(good), Ok(""), "{good}");
        }
        assert!(read("v=DMARC1; p=None").unwrap().contains("p=none"));
        for (bad, word) in [
            ("v=DMARC1", "no policy"),
            ("v=DMARC1; p=rejects", "none of none, quarantine, reject"),
            ("v=DMARC1; p=reject; p=none", "stands twice"),
            ("v=DMARC1; p=reject; rua=a@b.example", "mailto"),
            ("v=DMARC1; p=reject; pct=101", "0 to 100"),
            ("v=DMARC1; p=reject; adkim=x", "none of r, s"),
            ("v=DMARC1 p=reject", "no policy"),
            ("v=DMARC1; reject", "no tag"),
        ] {
            let why = read(bad).err().unwrap_or_else(|| panic!("{bad}"));
            assert!(why.contains(word), "{bad}: {why}");
        }
    }
}
