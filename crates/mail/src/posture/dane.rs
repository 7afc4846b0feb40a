//! DANE for SMTP (RFC 7672): whether the certificates that the servers show are those that DNSSEC says they are.
//!
//! Only what a trusted name server has validated counts. Records for authorities of the web (usage 0 and 1) are of no
//! use for mail (section 3.1.3).

use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::x509::{X509, X509Ref, X509VerifyResult};

use super::Outcome;
use super::exchangers::{Servers, Visit};
use super::questions::Questions;
use crate::net::records::Tlsa;
use crate::smtp::show::Shown;

const TRUST_ANCHOR: u8 = 2;
const END_ENTITY: u8 = 3;

/// What came of the servers that have records.
#[derive(Default)]
struct Found {
    good: Vec<String>,
    wrong: Vec<String>,
    /// Whose certificates were not seen.
    unmet: Vec<String>,
    /// Whose records nobody vouches for.
    unsure: Vec<String>,
}

pub(super) async fn check(
    servers: &Servers,
    visits: &[Visit],
    questions: Questions<'_>,
) -> Result<Outcome, Outcome> {
    let mut found = Found::default();
    for (host, visit) in servers.hosts.iter().zip(visits) {
        let place = format!("_25._tcp.{host}");
        let records = questions.tlsa(&place).await?;
        match (records.list.is_empty(), records.is_authentic) {
            (true, _) => {}
            (false, false) => found.unsure.push(place),
            (false, true) => found.take(host, &records.list, visit),
        }
    }
    Ok(found.outcome(servers.is_authentic))
}

impl Found {
    fn take(&mut self, host: &str, records: &[Tlsa], visit: &Visit) {
        match visit {
            Ok(Shown { offers_tls: false, refusal: None, .. }) => {
                self.wrong.push(format!("{host} offers no STARTTLS"));
            }
            Ok(Shown { tls_fault: Some(why), .. }) => self.wrong.push(format!("{host}: {why}")),
            Err(_) | Ok(Shown { refusal: Some(_), .. }) => self.unmet.push(host.to_owned()),
            Ok(shown) => match judge(records, host, &shown.certificates) {
                Ok(()) => self.good.push(host.to_owned()),
                Err(why) => self.wrong.push(format!("_25._tcp.{host}: {why}")),
            },
        }
    }

    /// `is_signed`: the MX records are validated, without which nobody goes by the TLSA records.
    fn outcome(&self, is_signed: bool) -> Outcome {
        let Self { good, wrong, unmet, unsure } = self;
        match () {
            () if !unsure.is_empty() => Outcome::unknown(format!(
                "whether {} holds is not known: the name server in /etc/resolv.conf does not validate, is not to be \
                 trusted (`options trust-ad`), or the zone is not signed",
                unsure.join(", ")
            )),
            () if good.is_empty() && wrong.is_empty() && unmet.is_empty() => {
                Outcome::absent("no server has a TLSA record")
            }
            () if !is_signed => Outcome::absent(
                "the MX records are not signed, without which nobody uses the TLSA records",
            ),
            () if !wrong.is_empty() => Outcome::failed(wrong.join("; ")),
            () if !unmet.is_empty() => {
                Outcome::unknown(format!("the certificate of {} was not seen", unmet.join(", ")))
            }
            () => Outcome::passed(format!("as the TLSA records say: {}", good.join(", "))),
        }
    }
}

/// Whether one of the records fits the chain.
fn judge(records: &[Tlsa], host: &str, chain: &[X509]) -> Result<(), String> {
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
            Some(at) => match leads_to(chain, at, host) {
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

/// Whether the chain leads from a certificate of this host, signature by signature, to the one at `anchor`.
fn leads_to(chain: &[X509], anchor: usize, host: &str) -> Result<(), String> {
    let chain = chain.get(..=anchor).unwrap_or(chain);
    let broken = |error: ErrorStack| crate::net::tls::words(&error);
    for pair in chain.windows(2) {
        let [one, issuer] = pair else { continue };
        let key = issuer.public_key().map_err(broken)?;
        let is_signed =
            issuer.issued(one) == X509VerifyResult::OK && one.verify(&key).map_err(broken)?;
        if !is_signed {
            return Err(
                "the certificates that the server shows do not lead to the one of the record"
                    .to_owned(),
            );
        }
    }
    let now = Asn1Time::days_from_now(0).map_err(broken)?;
    if chain.iter().any(|it| it.not_after() < now || it.not_before() > now) {
        return Err("a certificate that the server shows is out of its time".to_owned());
    }
    match chain.first().is_some_and(|leaf| is_of(leaf, host)) {
        true => Ok(()),
        false => Err(format!("the certificate that the server shows is not that of {host}")),
    }
}

/// Whether a certificate has the name of a host; a star stands for its first part (RFC 6125 section 6.4.3).
fn is_of(certificate: &X509Ref, host: &str) -> bool {
    let names = certificate.subject_alt_names();
    names.iter().flatten().filter_map(|name| name.dnsname()).any(|name| {
        match name.strip_prefix("*.") {
            Some(rest) => {
                host.split_once('.').is_some_and(|(_, above)| above.eq_ignore_ascii_case(rest))
            }
            None => name.eq_ignore_ascii_case(host),
        }
    })
}

#[cfg(test)]
mod tests {
    use openssl::asn1::Asn1Integer;
    use openssl::bn::BigNum;
    use openssl::pkey::{PKey, Private};
    use openssl::x509::extension::SubjectAlternativeName;
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
                assert_eq!(judge(&[record(3, 0, 1, &other), of_own], "h.example", &chain), Ok(()));
                assert!(
                    judge(&[record(3, selector, matching, &other)], "mx.example", &chain).is_err()
                );
            }
        }
        // An authority of the web says nothing, nor does what this program does not know.
        for useless in [record(1, 0, 1, &own), record(3, 2, 1, &own), record(3, 0, 3, &own)] {
            let why = judge(&[useless], "mx.example", std::slice::from_ref(&own)).unwrap_err();
            assert!(why.contains("of use for mail"), "{why}");
        }
    }

    #[test]
    fn a_record_of_an_authority_holds_for_what_it_signed_for_this_host() {
        let (authority, key) = certificate("ca.example", None, 9);
        let (leaf, _) = certificate("mx.example", Some((&authority, &key)), 9);
        let anchor = [record(2, 0, 1, &authority)];
        let chain = [leaf.clone(), authority.clone()];
        assert_eq!(judge(&anchor, "mx.example", &chain), Ok(()));
        assert!(
            judge(&anchor, "other.example", &chain)
                .unwrap_err()
                .contains("not that of other.example")
        );
        assert!(judge(&anchor, "mx.example", &[leaf]).unwrap_err().contains("fits none"));
        let (stranger, _) = certificate("mx.example", None, 9);
        assert!(
            judge(&anchor, "mx.example", &[stranger, authority])
                .unwrap_err()
                .contains("do not lead")
        );
    }
}
