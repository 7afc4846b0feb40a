//! TLS reports (RFC 8460 section 3): where failures of TLS on the way to the domain are reported.

use super::Outcome;
use super::questions::Questions;
use crate::tags::Tags;

pub(super) async fn check(domain: &str, questions: Questions<'_>) -> Result<Outcome, Outcome> {
    let place = format!("_smtp._tls.{domain}");
    let records = questions.texts_of(&place, "v=TLSRPTv1").await?;
    Ok(match records.as_slice() {
        [] => Outcome::absent(format!("{place} has no record")),
        [record] => match read(record) {
            Ok(()) => Outcome::passed(format!("{place}: {record}")),
            Err(why) => Outcome::failed(format!("{place}: {why}: {record}")),
        },
        many => Outcome::failed(format!("{place} has {} records, which are as none", many.len())),
    })
}

/// Reads a record.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(record: &str) -> Result<(), String> {
    let tags = Tags::read(record)?;
    let reports = tags.get("rua").ok_or("it has no `rua=`")?;
    let is_place = |uri: &str| {
        let (scheme, rest) = uri.split_once(':').unwrap_or((uri, ""));
        let is_known = ["mailto", "https"].iter().any(|one| one.eq_ignore_ascii_case(scheme));
        is_known && !rest.is_empty()
    };
    match reports.split(',').map(str::trim).find(|uri| !is_place(uri)) {
        Some(uri) => Err(format!("`{uri}` is neither mailto:… nor https://…")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_go_by_mail_or_https() {
        for good in [
            "v=TLSRPTv1; rua=mailto:a@b.example",
            "v=TLSRPTv1;rua=https://b.example/,MAILTO:a@b.example",
        ] {
            assert_eq!(read(good), Ok(()), "{good}");
        }
        for (bad, word) in [
            ("v=TLSRPTv1", "no `rua=`"),
            ("v=TLSRPTv1; rua=a@b.example", "neither"),
            ("v=TLSRPTv1; rua=", "neither"),
            ("v=TLSRPTv1; rua=mailto:", "neither"),
        ] {
            assert!(read(bad).unwrap_err().contains(word), "{bad}");
        }
    }
}
