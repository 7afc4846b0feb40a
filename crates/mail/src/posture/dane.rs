//! DANE for SMTP (RFC 7672): whether the certificates that the servers show are those that DNSSEC says they are.
//!
//! Only what a trusted name server has validated counts. Records for authorities of the web (usage 0 and 1) are of no
//! use for mail (section 3.1.3).

use std::ffi::c_int;

use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509Ref, X509StoreContext};

use super::exchangers::{Servers, Visit, under_tls};
use super::questions::Questions;
use super::{Outcome, Tally};
use crate::net::records::{Records, Tlsa};

const TRUST_ANCHOR: u8 = 2;
const END_ENTITY: u8 = 3;

/// What OpenSSL says of a chain (`X509_V_ERR_…`).
const NOT_YET_VALID: c_int = 9;
const EXPIRED: c_int = 10;
const NO_CERTIFICATE: c_int = 2;
const HOSTNAME_MISMATCH: c_int = 62;

/// What came of the servers that have records.
#[derive(Default)]
struct Found {
    tally: Tally,
    /// Whose records nobody vouches for.
    unsure: Vec<String>,
}

pub(super) async fn check(
    domain: &str,
    servers: &Servers,
    visits: &[Visit],
    questions: Questions<'_>,
) -> Outcome {
    let mut found = Found::default();
    for (host, visit) in servers.hosts.iter().zip(visits) {
        let place = format!("_25._tcp.{host}");
        match questions.tlsa(&place).await {
            Err(outcome) => found.tally.take(outcome),
            Ok(records) if records.list.is_empty() => {}
            Ok(Records { is_authentic: false, .. }) => found.unsure.push(place),
            Ok(records) => found.tally.take(judge_visit(&records.list, [host, domain], visit)),
        }
    }
    found.outcome(servers)
}

/// What a visit says of the records of a server. `names`: of it and the domain.
fn judge_visit(records: &[Tlsa], names: [&str; 2], visit: &Visit) -> Outcome {
    let [host, _] = names;
    let shown = match under_tls(host, visit) {
        Ok(shown) => shown,
        Err(outcome) => return outcome,
    };
    match judge(records, names, &shown.certificates) {
        Ok(()) => Outcome::passed(host),
        Err(why) => Outcome::failed(format!("_25._tcp.{host}: {why}")),
    }
}

impl Found {
    fn outcome(self, servers: &Servers) -> Outcome {
        let Self { tally, unsure } = self;
        let is_settled = !tally.bad.is_empty() || !tally.unknown.is_empty();
        // Other senders go by the records of a server behind MX records that are not signed, as Postfix does.
        let of_whom = match servers.is_authentic {
            true => "",
            false => " (the MX records are not signed: not all senders go by it)",
        };
        match () {
            () if is_settled => tally.outcome(|_| String::new()),
            () if !unsure.is_empty() => Outcome::unknown(format!(
                "whether {} holds is not known: the name server in /etc/resolv.conf does not validate, is not to be \
                 trusted (`options trust-ad`), or the zone is not signed",
                unsure.join(", ")
            )),
            () if tally.good.is_empty() => Outcome::absent("no server has a TLSA record"),
            () => tally.outcome(|good| {
                format!("as the TLSA records say: {}{of_whom}{}", good.join(", "), servers.note())
            }),
        }
    }
}

/// Whether one of the records fits the chain.
fn judge(records: &[Tlsa], names: [&str; 2], chain: &[X509]) -> Result<(), String> {
    let usable = |record: &&Tlsa| {
        matches!(record.usage, TRUST_ANCHOR | END_ENTITY)
            && record.selector <= 1
            && record.matching <= 2
    };
    let usable: Vec<&Tlsa> = records.iter().filter(usable).collect();
    if usable.is_empty() {
        return Err("no record is of use for mail: usage 2 or 3, selector 0 or 1, matching 0 to 2"
            .to_owned());
    }
    let mut why = "the certificate that the server shows fits none of the records".to_owned();
    for record in usable {
        let end = match record.usage {
            END_ENTITY => chain.get(..1).unwrap_or_default(),
            _ => chain,
        };
        let at = end.iter().position(|certificate| fits(record, certificate).unwrap_or(false));
        match at {
            Some(_) if record.usage == END_ENTITY => return Ok(()),
            Some(at) => match leads_to(chain, at, names) {
                Ok(()) => return Ok(()),
                Err(other) => why = other,
            },
            None => {}
        }
    }
    Err(why)
}

/// Whether a record is that of a certificate (RFC 6698 section 2.1).
fn fits(record: &Tlsa, certificate: &X509Ref) -> Result<bool, ErrorStack> {
    let part = match record.selector {
        0 => certificate.to_der()?,
        _ => certificate.public_key()?.public_key_to_der()?,
    };
    Ok(match record.matching {
        0 => part == record.data,
        1 => *hash(MessageDigest::sha256(), &part)? == *record.data,
        _ => *hash(MessageDigest::sha512(), &part)? == *record.data,
    })
}

/// Whether the chain leads from a certificate of the host or the domain (RFC 7672 section 3.2.2) to the one at `anchor`,
/// whatever else it holds and in whatever order (RFC 8446 section 4.4.2).
fn leads_to(chain: &[X509], anchor: usize, names: [&str; 2]) -> Result<(), String> {
    let [host, domain] = names;
    match verify(chain, anchor, host).map_err(|error| crate::net::tls::words(&error))? {
        HOSTNAME_MISMATCH => {}
        verdict => return told(verdict),
    }
    match verify(chain, anchor, domain).map_err(|error| crate::net::tls::words(&error))? {
        HOSTNAME_MISMATCH => {
            let words = format!("the certificate that the server shows is not that of {host}");
            Err(words)
        }
        verdict => told(verdict),
    }
}

fn told(verdict: c_int) -> Result<(), String> {
    match verdict {
        0 => Ok(()),
        EXPIRED | NOT_YET_VALID => {
            Err("a certificate that the server shows is out of its time".to_owned())
        }
        _ => Err("the certificates that the server shows do not lead to the one of the record"
            .to_owned()),
    }
}

/// What OpenSSL says of the chain, where it trusts the certificate at `anchor` and no other.
fn verify(chain: &[X509], anchor: usize, name: &str) -> Result<c_int, ErrorStack> {
    let (mut store, mut others) = (X509StoreBuilder::new()?, Stack::new()?);
    let mut parameters = X509VerifyParam::new()?;
    parameters.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
    parameters.set_host(name)?;
    store.set_param(&parameters)?;
    if let Some(anchor) = chain.get(anchor) {
        store.add_cert(anchor.clone())?;
    }
    for certificate in chain {
        others.push(certificate.clone())?;
    }
    let Some(leaf) = chain.first() else { return Ok(NO_CERTIFICATE) };
    let mut context = X509StoreContext::new()?;
    context.init(&store.build(), leaf, &others, |context| {
        let is_good = context.verify_cert()?;
        Ok(if is_good { 0 } else { context.error().as_raw() })
    })
}

#[cfg(test)]
mod tests {
    use ledger::Reading;
    use openssl::asn1::{Asn1Integer, Asn1Time};
    use openssl::bn::BigNum;
    use openssl::pkey::{PKey, Private};
    use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
    use openssl::x509::{X509Builder, X509NameBuilder};

    use super::*;

    /// A certificate of this name, signed by `issuer` or by itself, that holds until so many days from now.
    fn certificate(
        name: &str,
        issuer: Option<(&X509, &PKey<Private>)>,
        days: u32,
    ) -> (X509, PKey<Private>) {
        let key = PKey::generate_ed25519().unwrap();
        let mut subject = X509NameBuilder::new().unwrap();
        subject.append_entry_by_text("CN", name).unwrap();
        let subject = subject.build();
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(2).unwrap();
        let serial = BigNum::from_u32(7).unwrap();
        builder.set_serial_number(&Asn1Integer::from_bn(&serial).unwrap()).unwrap();
        builder.set_subject_name(&subject).unwrap();
        builder.set_issuer_name(issuer.map_or(&subject, |(one, _)| one.subject_name())).unwrap();
        builder.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(days).unwrap()).unwrap();
        builder.set_pubkey(&key).unwrap();
        let names = SubjectAlternativeName::new()
            .dns(name)
            .build(&builder.x509v3_context(None, None))
            .unwrap();
        builder.append_extension(names).unwrap();
        if name.starts_with("ca") {
            builder
                .append_extension(BasicConstraints::new().critical().ca().build().unwrap())
                .unwrap();
        }
        builder.sign(issuer.map_or(&key, |(_, key)| key), MessageDigest::null()).unwrap();
        (builder.build(), key)
    }

    fn record(usage: u8, selector: u8, matching: u8, of: &X509) -> Tlsa {
        let part = match selector {
            0 => of.to_der().unwrap(),
            _ => of.public_key().unwrap().public_key_to_der().unwrap(),
        };
        let data = match matching {
            0 => part,
            1 => hash(MessageDigest::sha256(), &part).unwrap().to_vec(),
            _ => hash(MessageDigest::sha512(), &part).unwrap().to_vec(),
        };
        Tlsa { usage, selector, matching, data }
    }

    #[test]
    fn a_record_of_the_server_holds_whatever_its_name_and_time() {
        let (own, _) = certificate("mx.example", None, 0);
        let (other, _) = certificate("mx.example", None, 1);
        for selector in 0..=1 {
            for matching in 0..=2 {
                let of_own = record(3, selector, matching, &own);
                let chain = [own.clone()];
                assert_eq!(
                    judge(&[record(3, 0, 1, &other), of_own], ["h.example"; 2], &chain),
                    Ok(())
                );
                assert!(
                    judge(&[record(3, selector, matching, &other)], ["mx.example"; 2], &chain)
                        .is_err()
                );
            }
        }
        // An authority of the web says nothing, nor does what this program does not know.
        for useless in [record(1, 0, 1, &own), record(3, 2, 1, &own), record(3, 0, 3, &own)] {
            let why = judge(&[useless], ["mx.example"; 2], std::slice::from_ref(&own)).unwrap_err();
            assert!(why.contains("of use for mail"), "{why}");
        }
    }

    #[test]
    fn a_record_of_an_authority_holds_for_what_it_signed_for_this_host() {
        let (authority, key) = certificate("ca.example", None, 9);
        let (leaf, _) = certificate("mx.example", Some((&authority, &key)), 9);
        let anchor = [record(2, 0, 1, &authority)];
        let (other, _) = certificate("ca2.example", None, 9);
        let names = ["mx.example", "example"];
        // In whatever order, beside whatever else, for the host or the domain.
        let chain = [leaf.clone(), other, authority.clone()];
        assert_eq!(judge(&anchor, names, &chain), Ok(()));
        assert_eq!(judge(&anchor, ["other.example", "mx.example"], &chain), Ok(()));
        let why = judge(&anchor, ["other.example"; 2], &chain).unwrap_err();
        assert!(why.contains("not that of other.example"), "{why}");
        let why = judge(&anchor, names, std::slice::from_ref(&leaf)).unwrap_err();
        assert!(why.contains("fits none"), "{why}");
        let (stranger, _) = certificate("mx.example", None, 9);
        let why = judge(&anchor, names, &[stranger, authority.clone()]).unwrap_err();
        assert!(why.contains("do not lead"), "{why}");
        // What is no authority has signed nothing that counts.
        let (signer, key) = certificate("host.example", Some((&authority, &key)), 9);
        let (leaf, _) = certificate("mx.example", Some((&signer, &key)), 9);
        assert!(judge(&anchor, names, &[leaf, signer, authority]).is_err());
    }

    #[test]
    fn a_certificate_that_does_not_fit_is_not_hidden_by_what_is_not_known() {
        let servers =
            |is_authentic| Servers { hosts: Vec::new(), others: Vec::new(), is_authentic };
        let of = |words: [&[&str]; 4], is_signed| {
            let [good, bad, unknown, unsure] =
                words.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
            let found = Found { tally: Tally { good, bad, unknown }, unsure };
            found.outcome(&servers(is_signed)).is_well
        };
        let some: &[&str] = &["x"];
        for is_signed in [true, false] {
            assert_eq!(of([some, some, some, some], is_signed), Reading::Is(false));
            assert_eq!(of([some, &[], some, some], is_signed), Reading::Unmeasured);
            assert_eq!(of([some, &[], &[], some], is_signed), Reading::Unmeasured);
            assert_eq!(of([some, &[], &[], &[]], is_signed), Reading::Is(true));
            assert_eq!(of([&[], &[], &[], &[]], is_signed), Reading::NotApplicable);
        }
    }
}
