//! A certificate authority of the lab's own and the servers' certificate.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage};
use openssl::x509::{X509, X509Builder, X509Name, X509NameBuilder};

use super::claim::write_file;

/// The authority's certificate, for clients.
pub(crate) const CA_FILE: &str = "ca.pem";
/// The servers' key and certificate in one file, as Postfix reads them.
pub(crate) const SERVER_FILE: &str = "server.pem";

/// Writes [`CA_FILE`] and [`SERVER_FILE`] into `folder`. The certificate is for `localhost`,
/// `host`, 127.0.0.1 and ::1, and valid from yesterday until tomorrow: also by a clock that is wrong by
/// some minutes.
///
/// # Panics
/// If OpenSSL or the file system refuses.
pub(crate) fn write_certificates(folder: &Path, host: &str) {
    let (ca, server) = make(host).unwrap_or_else(|error| panic!("certificates failed: {error}"));
    write_file(&folder.join(CA_FILE), ca, 0o644);
    write_file(&folder.join(SERVER_FILE), server, 0o600);
}

fn make(host: &str) -> Result<(Vec<u8>, Vec<u8>), ErrorStack> {
    let ca_key = key()?;
    // Of two authorities of one name OpenSSL would take the first.
    let ca_name = name(&format!("Test authority of {host}"))?;
    let mut ca = builder(&ca_name, &ca_name, &ca_key)?;
    ca.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    ca.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
    ca.sign(&ca_key, MessageDigest::sha256())?;
    let ca: X509 = ca.build();

    let server_key = key()?;
    let mut server = builder(&name(host)?, &ca_name, &server_key)?;
    let names = SubjectAlternativeName::new()
        .dns("localhost")
        .dns(host)
        .ip("127.0.0.1")
        .ip("::1")
        .build(&server.x509v3_context(Some(&ca), None))?;
    server.append_extension(names)?;
    server.append_extension(BasicConstraints::new().critical().build()?)?;
    server.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
    server.sign(&ca_key, MessageDigest::sha256())?;
    let mut server_file = server_key.private_key_to_pem_pkcs8()?;
    server_file.extend(server.build().to_pem()?);
    Ok((ca.to_pem()?, server_file))
}

fn key() -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

fn name(common_name: &str) -> Result<X509Name, ErrorStack> {
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_nid(Nid::COMMONNAME, common_name)?;
    Ok(name.build())
}

fn builder(
    subject: &X509Name,
    issuer: &X509Name,
    key: &PKey<Private>,
) -> Result<X509Builder, ErrorStack> {
    const VERSION_3: i32 = 2;
    let mut serial_number = BigNum::new()?;
    serial_number.rand(127, MsbOption::MAYBE_ZERO, false)?;
    let mut certificate = X509::builder()?;
    certificate.set_version(VERSION_3)?;
    let serial_number = serial_number.to_asn1_integer()?;
    certificate.set_serial_number(&serial_number)?;
    certificate.set_subject_name(subject)?;
    certificate.set_issuer_name(issuer)?;
    let (yesterday, tomorrow) = (days_from_now(-1)?, days_from_now(1)?);
    certificate.set_not_before(&yesterday)?;
    certificate.set_not_after(&tomorrow)?;
    certificate.set_pubkey(key)?;
    Ok(certificate)
}

fn days_from_now(days: i64) -> Result<Asn1Time, ErrorStack> {
    const SECONDS_A_DAY: i64 = 24 * 60 * 60;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Asn1Time::from_unix(now.try_into().unwrap_or(i64::MAX) + days * SECONDS_A_DAY)
}
