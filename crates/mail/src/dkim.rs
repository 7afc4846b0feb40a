//! Signing a mail (DKIM, RFC 6376) for a receiver that gets it without a relay in between, which would sign it.
//!
//! Header and body are canonicalized as `relaxed`. What people see is named once more than it stands in the header,
//! so that nobody can add another (section 8.15). There is no `l=`: what is appended breaks the signature.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, Private};
use openssl::sha::{Sha256, sha256};
use openssl::sign::Signer as Signature;

use crate::content::Content;
use crate::options::PemFile;

/// The fields that are signed. Most are named twice, of which a mail has one at most.
const SIGNED: [&str; 14] = [
    "From",
    "From",
    "Reply-To",
    "Reply-To",
    "To",
    "To",
    "Subject",
    "Subject",
    "Date",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Type",
];
/// The longest piece of the signature in one line.
const PIECE: usize = 70;
/// The smallest RSA key that a signer may have (RFC 8301 section 3.2), in bits.
pub const LEAST_RSA_BITS: u32 = 1024;
/// The smallest that it should have, in bits.
pub const GOOD_RSA_BITS: u32 = 2048;

/// Who signs, and with which key.
#[derive(Clone)]
pub struct Signer {
    domain: String,
    selector: String,
    file: PemFile,
    key: PKey<Private>,
    algorithm: Algorithm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Rsa,
    Ed25519,
}

/// Why a key signs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It cannot be read.
    #[error("holds no private key in PEM form without a pass phrase")]
    NoKey,
    /// It is of another kind.
    #[error("holds a key that is neither RSA nor Ed25519")]
    Kind,
    /// It is too small.
    #[error(
        "holds an RSA key of less than {LEAST_RSA_BITS} bits, whose signatures nobody accepts (RFC 8301)"
    )]
    Small,
}

impl Signer {
    /// Signs for `domain` with the private key whose public one is at `selector`; both in ASCII.
    ///
    /// # Errors
    /// The key is of no use.
    pub fn new(domain: String, selector: String, file: PemFile) -> Result<Self, BadKey> {
        // The empty pass phrase keeps OpenSSL from asking for one at the terminal.
        let key = PKey::private_key_from_pem_passphrase(&file.pem, b"");
        let key = key.map_err(|_| BadKey::NoKey)?;
        let algorithm = match key.id() {
            Id::RSA if key.bits() < LEAST_RSA_BITS => return Err(BadKey::Small),
            Id::RSA => Algorithm::Rsa,
            Id::ED25519 => Algorithm::Ed25519,
            _ => return Err(BadKey::Kind),
        };
        Ok(Self { domain, selector, file, key, algorithm })
    }

    /// The domain that signs.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Under which name below `_domainkey` its public key is found.
    pub fn selector(&self) -> &str {
        &self.selector
    }

    /// The file of the private key.
    pub fn file(&self) -> &PemFile {
        &self.file
    }

    /// The bits of the key, if it is RSA; `None`: it is Ed25519.
    pub fn rsa_bits(&self) -> Option<u32> {
        (self.algorithm == Algorithm::Rsa).then(|| self.key.bits())
    }

    /// How long the field of a signature is, in bytes, with its line ends.
    pub(crate) fn field_size(&self) -> usize {
        let signature = STANDARD.encode(vec![0; self.key.size().max(1)]);
        // The time has ten digits until the year 2286.
        self.field("", &signature, UNIX_EPOCH + std::time::Duration::from_secs(1 << 32)).len()
            + STANDARD.encode([0; 32]).len()
    }

    /// The mail behind its signature. Whoever waits for it gives way to others after each chunk.
    ///
    /// # Errors
    /// OpenSSL's.
    pub(crate) async fn sign(
        &self,
        content: Content,
        now: SystemTime,
    ) -> Result<Content, ErrorStack> {
        let header = content.header();
        let mut body = RelaxedBody::default();
        // The empty line belongs to neither.
        let mut skipped = header.len() + 2;
        for chunk in content.chunks() {
            body.take(chunk.get(skipped.min(chunk.len())..).unwrap_or_default());
            skipped = skipped.saturating_sub(chunk.len());
            tokio::task::yield_now().await;
        }
        let body_hash = STANDARD.encode(body.finish());
        let signature = self.signature(header, &SIGNED, &self.field(&body_hash, "", now))?;
        let field = self.field(&body_hash, &STANDARD.encode(signature), now);
        Ok(content.behind(field.as_bytes()))
    }

    /// The field itself (section 3.5).
    fn field(&self, body_hash: &str, signature: &str, now: SystemTime) -> String {
        let Self { domain, selector, .. } = self;
        let algorithm = match self.algorithm {
            Algorithm::Rsa => "rsa-sha256",
            Algorithm::Ed25519 => "ed25519-sha256",
        };
        let time = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (first, rest) = SIGNED.split_at(SIGNED.len() / 2);
        let names = [first.join(":"), rest.join(":")].join(":\r\n\t");
        let mut field = format!(
            "DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed;\r\n\td={domain}; s={selector};\r\n\t\
             t={time};\r\n\th={names};\r\n\tbh={body_hash};\r\n\tb="
        );
        let mut rest = signature;
        // The last piece is never empty: a line of nothing but space ends a header for some.
        while rest.len() > PIECE
            && let Some((piece, after)) = rest.split_at_checked(PIECE)
        {
            field.push_str(piece);
            field.push_str("\r\n\t");
            rest = after;
        }
        field.push_str(rest);
        field.push_str("\r\n");
        field
    }

    /// Signs these fields of the header and the one of the signature, whose `b=` is empty (section 3.7).
    fn signature(&self, header: &[u8], names: &[&str], own: &str) -> Result<Vec<u8>, ErrorStack> {
        let fields = unfolded(header);
        let mut signed = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let before = names.get(..index).unwrap_or_default();
            let earlier = before.iter().filter(|it| it.eq_ignore_ascii_case(name)).count();
            // From the last on upwards; one that is not there counts as nothing (section 5.4.2).
            let mut such = fields.iter().rev().filter(|(it, _)| it.eq_ignore_ascii_case(name));
            if let Some((name, value)) = such.nth(earlier) {
                signed.extend(relaxed(name, value));
                signed.extend_from_slice(b"\r\n");
            }
        }
        for (name, value) in unfolded(own.as_bytes()) {
            signed.extend(relaxed(&name, &value));
        }
        match self.algorithm {
            Algorithm::Rsa => {
                Signature::new(MessageDigest::sha256(), &self.key)?.sign_oneshot_to_vec(&signed)
            }
            // Of the hash (RFC 8463 section 3).
            Algorithm::Ed25519 => {
                Signature::new_without_digest(&self.key)?.sign_oneshot_to_vec(&sha256(&signed))
            }
        }
    }
}

/// By what was configured, of which the key is a part.
impl PartialEq for Signer {
    fn eq(&self, other: &Self) -> bool {
        (&self.domain, &self.selector, &self.file) == (&other.domain, &other.selector, &other.file)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({}._domainkey.{}, {:?})", self.selector, self.domain, self.file)
    }
}

/// The fields of a header, in lines that are no longer folded.
fn unfolded(header: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        match line.iter().position(|byte| *byte == b':') {
            _ if line.starts_with(b" ") || line.starts_with(b"\t") => {
                if let Some((_, value)) = fields.last_mut() {
                    value.extend_from_slice(line);
                }
            }
            Some(colon) => {
                let (name, value) = line.split_at_checked(colon).unwrap_or_default();
                let name = String::from_utf8_lossy(name).into_owned();
                fields.push((name, value.get(1..).unwrap_or_default().to_vec()));
            }
            None => {}
        }
    }
    fields
}

/// A field as it is hashed (section 3.4.2), without its end.
fn relaxed(name: &str, value: &[u8]) -> Vec<u8> {
    let mut field = name.trim_end().to_ascii_lowercase().into_bytes();
    field.push(b':');
    let words = value.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            field.push(b' ');
        }
        field.extend_from_slice(word);
    }
    field
}

/// The hash of a body that comes in pieces (section 3.4.4).
#[derive(Default)]
struct RelaxedBody {
    hash: Sha256,
    /// Whether white space has come that ends no line.
    has_space: bool,
    /// Ends of lines after which nothing has come yet.
    breaks: usize,
    has_text: bool,
}

impl RelaxedBody {
    fn take(&mut self, piece: &[u8]) {
        let mut out = Vec::with_capacity(piece.len());
        for byte in piece {
            match byte {
                b' ' | b'\t' => self.has_space = true,
                b'\r' => {}
                b'\n' => {
                    self.has_space = false;
                    self.breaks += 1;
                }
                byte => {
                    for _ in 0..std::mem::take(&mut self.breaks) {
                        out.extend_from_slice(b"\r\n");
                    }
                    if std::mem::take(&mut self.has_space) {
                        out.push(b' ');
                    }
                    self.has_text = true;
                    out.push(*byte);
                }
            }
        }
        self.hash.update(&out);
    }

    fn finish(mut self) -> [u8; 32] {
        if self.has_text {
            self.hash.update(b"\r\n");
        }
        self.hash.finish()
    }
}

#[cfg(test)]
pub(crate) mod tests;
