//! The public keys of signatures (RFC 6376 section 3.6.1, RFC 8301, RFC 8463): published, not revoked, good enough.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::Rsa;

use super::questions::{Questions, TOO_LONG};
use super::{Outcome, Tally, is_aligned};
use crate::dkim::{GOOD_RSA_BITS, LEAST_RSA_BITS};
use crate::inspection::Signature;
use crate::tags::Tags;

pub(super) async fn check(
    domain: &str,
    signatures: &[Signature],
    questions: Questions<'_>,
) -> Outcome {
    let own: Vec<&Signature> =
        signatures.iter().filter(|signature| is_aligned(&signature.domain, domain)).collect();
    if own.is_empty() {
        let words = match signatures.first() {
            Some(other) => {
                format!("no signature for {domain} was seen, only one for {}", other.domain)
            }
            None => format!("no mail with a signature for {domain} was seen yet"),
        };
        return Outcome::unknown(words);
    }
    let mut tally = Tally::default();
    for signature in own {
        tally.take(check_one(signature, questions).await.unwrap_or_else(|early| early));
    }
    tally.outcome(|good| good.join("; "))
}

async fn check_one(
    Signature { domain, selector }: &Signature,
    questions: Questions<'_>,
) -> Result<Outcome, Outcome> {
    let place = format!("{selector}._domainkey.{domain}");
    // The version may be left out, so that all texts count.
    let found = questions.texts(&place).await?;
    Ok(match found.list.as_slice() {
        [] if !found.is_whole => Outcome::unknown(format!("{place}: {TOO_LONG}")),
        [] => Outcome::failed(format!("{place} has no record")),
        [record] => match read(record) {
            Ok(key) => Outcome::passed(format!("{place}: {key}")),
            Err(why) => Outcome::failed(format!("{place}: {why}: {record}")),
        },
        many => Outcome::failed(format!("{place} has {} records", many.len())),
    })
}

/// What kind of key a record holds.
///
/// # Errors
/// Why it verifies nothing.
pub(crate) fn read(record: &str) -> Result<String, String> {
    let tags = Tags::read(record)?;
    if tags.get("v").is_some_and(|version| version != "DKIM1") {
        return Err("its version is not DKIM1".to_owned());
    }
    let has = |name: &str, wanted: &[&str]| {
        let list = tags.compact(name);
        list.is_none_or(|list| list.split(':').any(|word| wanted.contains(&word)))
    };
    if !has("s", &["*", "email"]) {
        return Err("it is not for mail (`s=`)".to_owned());
    }
    if !has("h", &["sha256"]) {
        return Err("it takes no SHA-256 (`h=`), and nobody else takes less".to_owned());
    }
    let key = tags.compact("p").ok_or("it has no key (`p=`)")?;
    if key.is_empty() {
        return Err("the key is revoked (`p=` is empty)".to_owned());
    }
    let key = STANDARD.decode(key.as_bytes()).map_err(|_| "its key is not base64")?;
    let testing =
        if has("t", &["y"]) && tags.get("t").is_some() { ", in test mode (`t=y`)" } else { "" };
    match tags.get("k").unwrap_or("rsa") {
        "rsa" => rsa(&key).map(|words| words + testing),
        "ed25519" => match PKey::public_key_from_raw_bytes(&key, Id::ED25519) {
            Ok(_) => Ok(format!("Ed25519{testing}")),
            Err(_) => Err("its key is no Ed25519 key".to_owned()),
        },
        other => Err(format!("its key is of a kind that nobody knows (`k={other}`)")),
    }
}

fn rsa(der: &[u8]) -> Result<String, String> {
    // As RFC 6376 has it, and as its examples do (errata 3758).
    let key: PKey<Public> = PKey::public_key_from_der(der)
        .or_else(|_| PKey::from_rsa(Rsa::public_key_from_der_pkcs1(der)?))
        .map_err(|_| "its key is no RSA key")?;
    match (key.id(), key.bits()) {
        (Id::RSA, bits) if bits < LEAST_RSA_BITS => {
            Err(format!("its key has {bits} bits, and nobody takes less than {LEAST_RSA_BITS}"))
        }
        (Id::RSA, bits) if bits < GOOD_RSA_BITS => {
            Ok(format!("RSA of {bits} bits, of which {GOOD_RSA_BITS} are usual"))
        }
        (Id::RSA, bits) => Ok(format!("RSA of {bits} bits")),
        _ => Err("its key is no RSA key".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(bits: u32) -> String {
        let key = Rsa::generate(bits).unwrap();
        format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(key.public_key_to_der().unwrap()))
    }

    #[test]
    fn a_key_has_to_be_there_readable_and_large_enough() {
        assert_eq!(read(&record(2048)).unwrap(), "RSA of 2048 bits");
        assert!(read(&record(1024)).unwrap().contains("of which 2048 are usual"));
        assert!(read(&record(768)).unwrap_err().contains("less than 1024"));
        // The example of RFC 8463 section A.2.
        let ed25519 = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        assert_eq!(read(ed25519).unwrap(), "Ed25519");
        assert!(read(&format!("{ed25519}; t=y:s")).unwrap().contains("test mode"));
        for (bad, word) in [
            ("v=DKIM1; k=rsa; p=", "revoked"),
            ("v=DKIM1", "no key"),
            ("v=DKIM2; p=AAAA", "version"),
            ("k=rsa; p=AAAA", "no RSA key"),
            ("k=rsa; p=A A!A", "base64"),
            ("k=dsa; p=AAAA", "kind that nobody knows"),
            ("k=ed25519; p=AAAA", "no Ed25519"),
            ("p=AAAA; s=other", "not for mail"),
            ("p=AAAA; h=sha1", "no SHA-256"),
            ("\"p\" AAAA", "no tag"),
        ] {
            let why = read(bad).unwrap_err();
            assert!(why.contains(word), "{bad}: {why}");
        }
    }
}
