//! What lists of addresses say, as JSON.

use serde::Serialize;

use super::values::date;
use crate::standing::findings::{Finding, Findings};
use ledger::Reading;

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
    pub(super) fn all(findings: &'a Findings) -> Vec<Self> {
        let record = |Finding { name, is_well, words, at, .. }: &'a Finding| Self {
            list: name,
            listed: match is_well {
                Reading::Is(is_well) => Some(!is_well),
                Reading::NotApplicable | Reading::Unmeasured => None,
            },
            words,
            at: at.map(date),
        };
        findings.dnsbl.iter().map(record).collect()
    }
}
