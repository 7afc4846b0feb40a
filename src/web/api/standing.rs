//! What lists of addresses say, and what came of the checks of domains, as JSON.

use serde::Serialize;

use super::values::date;
use crate::standing::findings::Finding;
use crate::supervisor::View;
use ledger::Reading;
use mail::posture::{self, Check};

/// See [`Finding`].
#[derive(Serialize)]
pub(super) struct ListRecord<'a> {
    list: &'a str,
    /// `None`: it is not known.
    listed: Option<bool>,
    words: &'a str,
    at: Option<String>,
}

impl<'a> ListRecord<'a> {
    /// `None` where no list is asked.
    pub(super) fn all(view: &'a View) -> Option<Vec<Self>> {
        let (findings, _) = (view.standing.as_deref()?, view.target.dnsbl()?);
        let record = |Finding { name, is_well, words, at, .. }: &'a Finding| Self {
            list: name,
            listed: match is_well {
                Reading::Is(is_well) => Some(!is_well),
                Reading::NotApplicable | Reading::Unmeasured => None,
            },
            words,
            at: at.map(date),
        };
        Some(findings.dnsbl.iter().map(record).collect())
    }
}

/// See [`Finding`].
#[derive(Serialize)]
pub(super) struct DomainRecord<'a> {
    check: &'a str,
    domain: &'a str,
    state: &'static str,
    words: &'a str,
    /// Where it failed.
    remedy: Option<&'static str>,
    at: Option<String>,
}

impl<'a> DomainRecord<'a> {
    /// `None` where nothing is checked.
    pub(super) fn all(view: &'a View) -> Option<Vec<Self>> {
        let (findings, wanted) = (view.standing.as_deref()?, view.target.domain_checks()?);
        let record = |Finding { name, is_well, words, at, .. }: &'a Finding| {
            let check = Check::of_label(name)?;
            Some(Self {
                check: name,
                domain: view.target.domain_of(wanted, check),
                state: posture::state(*is_well),
                words,
                remedy: (*is_well == Reading::Is(false)).then(|| check.remedy()),
                at: at.map(date),
            })
        };
        Some(findings.domain.iter().filter_map(record).collect())
    }
}
