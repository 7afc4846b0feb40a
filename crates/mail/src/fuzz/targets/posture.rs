//! What a domain publishes about its mail: the records of SPF, DKIM, DMARC, MTA-STS and TLS-RPT, and the policy.
//!
//! Input: a text, which is read as each of them.

use crate::fuzz::shown;
use crate::posture::{Outcome, dkim_key, dmarc, mta_sts, spf, tls_rpt};

pub(in crate::fuzz) fn check(input: &[u8]) {
    let policy = mta_sts::read(input);
    told(policy.err().as_deref());
    let text = String::from_utf8_lossy(input);
    match spf::read(&text) {
        Ok(record) => {
            assert!(record.questions.len() <= spf::MOST_TERMS);
            assert!(record.all.is_none() || record.redirect.is_none(), "{record:?}");
        }
        Err(why) => told(Some(&why)),
    }
    told(dkim_key::read(&text).err().as_deref());
    told(dmarc::read(&text).err().as_deref());
    told(tls_rpt::read(&text).err().as_deref());
    told(mta_sts::has_id(&text).err().as_deref());
}

/// Holds what is wrong to what can be shown.
fn told(why: Option<&str>) {
    let words = Outcome::unknown(why.unwrap_or_default()).words;
    shown::check(&words);
    assert!(words.chars().count() <= 501 && !words.contains('\n'), "{words}");
}
