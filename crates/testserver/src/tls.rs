//! Certificates made at run time: a root, an issuing authority below it, and server certificates
//! that are right or wrong in one way each. All keys are EC P-256.

use std::fmt;

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    Ssl, SslAcceptor, SslAcceptorBuilder, SslMethod, SslOptions, SslVerifyMode, SslVersion,
};
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};

const DAY: i64 = 24 * 60 * 60;

/// A certificate authority of one's own.
pub struct Authority {
    root: Identity,
    issuing: Identity,
    now: i64,
}

/// What is wrong with a server's certificate, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// Nothing: good for `localhost`, `127.0.0.1` and `::1` for 90 days. The authority that
    /// issued it is good for 30 days only, so that the chain ends before it does.
    Good,
    /// It ended yesterday.
    Expired,
    /// It begins tomorrow.
    NotYetValid,
    /// It is its own issuer.
    SelfSigned,
    /// It is for `elsewhere.example` only.
    WrongName,
}

/// The TLS of one server: its certificate and what it accepts of a client.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: SslAcceptor,
}

/// A client's certificate and key, PEM.
#[derive(Debug, Clone)]
pub struct ClientPem {
    /// The certificate and the one that issued it.
    pub certificate: Vec<u8>,
    /// The private key.
    pub key: Vec<u8>,
}

struct Identity {
    certificate: X509,
    key: PKey<Private>,
}

/// A certificate to be made.
struct Request<'a> {
    common_name: &'a str,
    names: &'a [&'a str],
    addresses: &'a [&'a str],
    not_before: i64,
    not_after: i64,
    is_authority: bool,
}

impl Authority {
    /// Makes a root (valid ten years) and an issuing authority (30 days). Fails only where openssl
    /// does, for instance for want of entropy.
    pub fn new() -> Result<Self, ErrorStack> {
        let now = unix_now();
        let authority = |common_name, days| Request {
            common_name,
            names: &[],
            addresses: &[],
            not_before: now - DAY,
            not_after: now + days * DAY,
            is_authority: true,
        };
        let root = authority("Demo Root", 3650).issue(None)?;
        let issuing = authority("Demo Issuing Authority", 30).issue(Some(&root))?;
        Ok(Self { root, issuing, now })
    }

    /// The certificate of the root, PEM: what `ca_file` is to name.
    pub fn ca_pem(&self) -> Result<Vec<u8>, ErrorStack> {
        self.root.certificate.to_pem()
    }

    /// TLS for a server with such a certificate, TLS 1.2 and 1.3, no client certificate asked for.
    pub fn server(&self, kind: Certificate) -> Result<ServerTls, ErrorStack> {
        let acceptor = self.acceptor(kind)?.build();
        Ok(ServerTls { acceptor })
    }

    /// The same with no newer version of TLS than `newest`; TLS 1.0 and 1.1 are then accepted
    /// too, as an old server would.
    pub fn server_up_to(
        &self,
        kind: Certificate,
        newest: SslVersion,
    ) -> Result<ServerTls, ErrorStack> {
        let mut builder = self.acceptor(kind)?;
        builder.clear_options(SslOptions::NO_TLSV1 | SslOptions::NO_TLSV1_1);
        builder.set_min_proto_version(Some(SslVersion::TLS1))?;
        builder.set_max_proto_version(Some(newest))?;
        builder.set_cipher_list("ALL:@SECLEVEL=0")?;
        Ok(ServerTls { acceptor: builder.build() })
    }

    /// The same for a server that refuses clients without a certificate of this authority.
    pub fn server_asking_for_client_certificate(
        &self,
        kind: Certificate,
    ) -> Result<ServerTls, ErrorStack> {
        let mut builder = self.acceptor(kind)?;
        builder.cert_store_mut().add_cert(self.root.certificate.clone())?;
        builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        Ok(ServerTls { acceptor: builder.build() })
    }

    /// A certificate for a client.
    pub fn client(&self, common_name: &str) -> Result<ClientPem, ErrorStack> {
        let own = self.leaf(common_name, &[], &[], -1, 90).issue(Some(&self.issuing))?;
        let mut certificate = own.certificate.to_pem()?;
        certificate.extend(self.issuing.certificate.to_pem()?);
        Ok(ClientPem { certificate, key: own.key.private_key_to_pem_pkcs8()? })
    }

    fn acceptor(&self, kind: Certificate) -> Result<SslAcceptorBuilder, ErrorStack> {
        let here: (&[&str], &[&str]) = (&["localhost"], &["127.0.0.1", "::1"]);
        let (names, addresses) = match kind {
            Certificate::WrongName => (&["elsewhere.example"][..], &[][..]),
            _ => here,
        };
        let (from_day, to_day) = match kind {
            Certificate::Expired => (-10, -1),
            Certificate::NotYetValid => (1, 90),
            _ => (-1, 90),
        };
        let request = self.leaf("localhost", names, addresses, from_day, to_day);
        let issuer = (kind != Certificate::SelfSigned).then_some(&self.issuing);
        let own = request.issue(issuer)?;
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        builder.set_certificate(&own.certificate)?;
        builder.set_private_key(&own.key)?;
        if let Some(issuer) = issuer {
            builder.add_extra_chain_cert(issuer.certificate.clone())?;
        }
        builder.set_session_id_context(b"mailtrip demo")?;
        Ok(builder)
    }

    fn leaf<'a>(
        &self,
        common_name: &'a str,
        names: &'a [&'a str],
        addresses: &'a [&'a str],
        from_day: i64,
        to_day: i64,
    ) -> Request<'a> {
        Request {
            common_name,
            names,
            addresses,
            not_before: self.now + from_day * DAY,
            not_after: self.now + to_day * DAY,
            is_authority: false,
        }
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl ServerTls {
    /// That of a server with such an acceptor, for what no [`Authority`] makes.
    pub fn new(acceptor: SslAcceptor) -> Self {
        Self { acceptor }
    }

    /// The server's side of one connection.
    ///
    /// # Errors
    /// What OpenSSL says.
    pub fn session(&self) -> Result<Ssl, ErrorStack> {
        Ssl::new(self.acceptor.context())
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

impl Request<'_> {
    /// Makes the key and the certificate; without an issuer it is signed by its own key.
    fn issue(&self, issuer: Option<&Identity>) -> Result<Identity, ErrorStack> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
        let mut name = X509NameBuilder::new()?;
        name.append_entry_by_nid(Nid::COMMONNAME, self.common_name)?;
        let name = name.build();
        let mut builder = X509Builder::new()?;
        builder.set_version(2)?;
        let serial = random_serial()?;
        builder.set_serial_number(&serial)?;
        builder.set_subject_name(&name)?;
        builder.set_issuer_name(issuer.map_or(&name, |i| i.certificate.subject_name()))?;
        builder.set_pubkey(&key)?;
        builder.set_not_before(Asn1Time::from_unix(self.not_before)?.as_ref())?;
        builder.set_not_after(Asn1Time::from_unix(self.not_after)?.as_ref())?;
        self.append_extensions(&mut builder, issuer)?;
        builder.sign(issuer.map_or(&key, |i| &i.key), MessageDigest::sha256())?;
        Ok(Identity { certificate: builder.build(), key })
    }

    fn append_extensions(
        &self,
        builder: &mut X509Builder,
        issuer: Option<&Identity>,
    ) -> Result<(), ErrorStack> {
        if self.is_authority {
            builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
            builder
                .append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
            return Ok(());
        }
        builder.append_extension(BasicConstraints::new().critical().build()?)?;
        builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
        if self.names.is_empty() && self.addresses.is_empty() {
            return Ok(());
        }
        let mut names = SubjectAlternativeName::new();
        for name in self.names {
            names.dns(name);
        }
        for address in self.addresses {
            names.ip(address);
        }
        let issuer = issuer.map(|issuer| issuer.certificate.as_ref());
        let names = names.build(&builder.x509v3_context(issuer, None))?;
        builder.append_extension(names)
    }
}

fn random_serial() -> Result<Asn1Integer, ErrorStack> {
    let mut serial = BigNum::new()?;
    serial.rand(159, MsbOption::MAYBE_ZERO, false)?;
    serial.to_asn1_integer()
}

fn unix_now() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
