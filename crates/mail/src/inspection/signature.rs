//! Who signed the mail (RFC 6376 section 3.5), by what the signatures say of themselves: none is verified here.

use serde::{Deserialize, Serialize};

use super::field::Field;
use crate::tags::Tags;

/// The most signatures that are kept.
pub(super) const MOST: usize = 4;
/// The longest name in the DNS.
const NAME_BYTES: usize = 253;

/// Where the key of a signature is found: at `selector._domainkey.domain`. Both are names in ASCII and lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signature {
    /// Who signs.
    pub domain: String,
    /// With which of its keys.
    pub selector: String,
}

/// The topmost signatures, each key once.
pub(super) fn read(fields: &[Field<'_>]) -> Vec<Signature> {
    let mut found: Vec<Signature> = Vec::new();
    for field in fields.iter().filter(|field| field.is("DKIM-Signature")) {
        let signature = of(&field.value);
        let is_new = |one: &Signature| !found.contains(one);
        found.extend(signature.filter(is_new));
        if found.len() >= MOST {
            break;
        }
    }
    found
}

fn of(value: &str) -> Option<Signature> {
    let tags = Tags::read(value).ok()?;
    let name = |tag| Some(tags.compact(tag)?.trim_end_matches('.').to_ascii_lowercase());
    Some(Signature { domain: name("d")?, selector: name("s")? }).filter(Signature::is_sound)
}

impl Signature {
    /// Whether both are names.
    pub(super) fn is_sound(&self) -> bool {
        let is_part = |part: &str| {
            let is_sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            (1..=63).contains(&part.len()) && part.chars().all(is_sign)
        };
        let is_name = |name: &str| name.len() <= NAME_BYTES && name.split('.').all(is_part);
        is_name(&self.domain) && is_name(&self.selector)
    }
}
