//! The server's side of SASL (RFC 4422), as the three protocols share it. It is written from the
//! RFCs alone, so that the client is not tested against the library that it uses.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::pkcs5::pbkdf2_hmac;
use openssl::pkey::PKey;
use openssl::sign::Signer;

/// A user name and a password, or a token in its place.
pub(super) type Credentials = (String, String);

/// How often SCRAM digests a password (RFC 7677 section 4 asks for 4,096 at least).
const ITERATIONS: usize = 4096;
/// The salt of every password: these servers keep nobody's secret.
const SALT: &[u8] = b"mailtrip demo";

/// What follows a response of the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// This is asked, not yet in base64.
    Challenge(Vec<u8>),
    /// The client claims to be this user. A password that does not show is right if the user's own
    /// stands here.
    Claim(String, String),
    /// The response cannot be read.
    Malformed,
}

/// One login.
#[derive(Debug)]
pub(super) struct Login {
    mechanism: Mechanism,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    Plain,
    Login,
    CramMd5,
    Scram(Digest),
    XOAuth2,
    OAuthBearer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Digest {
    Sha1,
    Sha256,
}

#[derive(Debug)]
enum State {
    /// The client is to say its first words.
    Begun,
    /// LOGIN: the name is known. Bearer: the token was refused, the client has still to say so.
    Named(Credentials),
    /// CRAM-MD5: this was asked.
    Challenged(String),
    /// SCRAM: the messages so far that both sides sign, and the nonce.
    Keyed { user: String, messages: String, nonce: String },
    /// SCRAM: the client has proved that it knows the password; the server has said its proof.
    Proved(Credentials),
}

impl Login {
    /// A login by this mechanism; `None` for one not known here.
    pub(super) fn by(mechanism: &str) -> Option<Self> {
        let mechanism = match mechanism {
            "PLAIN" => Mechanism::Plain,
            "LOGIN" => Mechanism::Login,
            "CRAM-MD5" => Mechanism::CramMd5,
            "SCRAM-SHA-1" => Mechanism::Scram(Digest::Sha1),
            "SCRAM-SHA-256" => Mechanism::Scram(Digest::Sha256),
            "XOAUTH2" => Mechanism::XOAuth2,
            "OAUTHBEARER" => Mechanism::OAuthBearer,
            _ => return None,
        };
        Some(Self { mechanism, state: State::Begun })
    }

    /// What is asked before the client has said anything; empty where the client speaks first.
    /// `unique` is what CRAM-MD5 asks.
    pub(super) fn first_challenge(&mut self, unique: String) -> Vec<u8> {
        match self.mechanism {
            Mechanism::Login => b"Username:".to_vec(),
            Mechanism::CramMd5 => {
                self.state = State::Challenged(unique.clone());
                unique.into_bytes()
            }
            _ => Vec::new(),
        }
    }

    /// Takes a response; `password` gives that of a user, `nonce` is the server's part of SCRAM's.
    pub(super) fn step(
        &mut self,
        response: &[u8],
        nonce: &str,
        password: impl Fn(&str) -> Option<String>,
    ) -> Step {
        let state = std::mem::replace(&mut self.state, State::Begun);
        let Ok(text) = String::from_utf8(response.to_vec()) else { return Step::Malformed };
        let step = match (self.mechanism, state) {
            (Mechanism::Plain, _) => plain(&text),
            (Mechanism::Login, State::Named((user, _))) => Some(Step::Claim(user, text)),
            (Mechanism::Login, _) => {
                self.state = State::Named((text, String::new()));
                Some(Step::Challenge(b"Password:".to_vec()))
            }
            (Mechanism::CramMd5, State::Challenged(challenge)) => {
                cram_md5(&text, &challenge, password)
            }
            (Mechanism::XOAuth2 | Mechanism::OAuthBearer, State::Named((user, token))) => {
                Some(Step::Claim(user, token))
            }
            (Mechanism::XOAuth2 | Mechanism::OAuthBearer, _) => self.bearer(&text, password),
            (Mechanism::Scram(digest), State::Keyed { user, messages, nonce }) => {
                let known = password(&user).unwrap_or_default();
                match client_final(digest, &text, &messages, &nonce, &known) {
                    Some(Some(proof)) => {
                        self.state = State::Proved((user, known));
                        Some(Step::Challenge(format!("v={proof}").into_bytes()))
                    }
                    // The password stays unsaid: what the client sent is not right.
                    Some(None) => Some(Step::Claim(user, String::new())),
                    None => None,
                }
            }
            (Mechanism::Scram(_), State::Proved((user, password))) => {
                Some(Step::Claim(user, password))
            }
            (Mechanism::Scram(_), _) => self.client_first(&text, nonce),
            (Mechanism::CramMd5, _) => None,
        };
        step.unwrap_or(Step::Malformed)
    }

    /// The token is right if it is the user's password; else the client learns why not, and has the
    /// last word.
    fn bearer(&mut self, text: &str, password: impl Fn(&str) -> Option<String>) -> Option<Step> {
        let mut parts = text.split('\x01');
        let user = match self.mechanism {
            Mechanism::XOAuth2 => parts.next()?.strip_prefix("user=")?.to_owned(),
            _ => {
                let mut header = parts.next()?.split(',');
                let named = header.nth(1)?.strip_prefix("a=")?;
                named.replace("=2C", ",").replace("=3D", "=")
            }
        };
        let token = parts.find_map(|part| part.strip_prefix("auth=Bearer "))?.to_owned();
        if password(&user).is_some_and(|password| password == token) {
            return Some(Step::Claim(user, token));
        }
        self.state = State::Named((user, token));
        let error = r#"{"status":"401","schemes":"bearer","scope":"https://mail.example.test/"}"#;
        Some(Step::Challenge(error.as_bytes().to_vec()))
    }

    /// RFC 5802 section 7, client-first-message.
    fn client_first(&mut self, text: &str, nonce: &str) -> Option<Step> {
        let bare = text.strip_prefix("n,,")?;
        let mut attributes = bare.split(',');
        let user = attributes.next()?.strip_prefix("n=")?.replace("=2C", ",").replace("=3D", "=");
        let nonce = format!("{}{nonce}", attributes.next()?.strip_prefix("r=")?);
        let first = format!("r={nonce},s={},i={ITERATIONS}", BASE64_STANDARD.encode(SALT));
        self.state = State::Keyed { user, messages: format!("{bare},{first}"), nonce };
        Some(Step::Challenge(first.into_bytes()))
    }
}

/// The credentials in the response of PLAIN (RFC 4616); who the client would like to act as does
/// not matter here.
fn plain(text: &str) -> Option<Step> {
    let mut parts = text.split('\0').skip(1);
    let (user, password) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    parts.next().is_none().then_some(Step::Claim(user, password))
}

/// RFC 2195 section 2.
fn cram_md5(
    text: &str,
    challenge: &str,
    password: impl Fn(&str) -> Option<String>,
) -> Option<Step> {
    let (user, digest) = text.rsplit_once(' ')?;
    let known = password(user).unwrap_or_default();
    let right = hmac(MessageDigest::md5(), known.as_bytes(), challenge.as_bytes()).ok()?;
    let right: String = right.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(Step::Claim(user.to_owned(), if digest == right { known } else { String::new() }))
}

/// The server's proof for a client's that is right, `Some(None)` for one that is wrong (RFC 5802
/// section 3).
fn client_final(
    digest: Digest,
    text: &str,
    messages: &str,
    nonce: &str,
    password: &str,
) -> Option<Option<String>> {
    let (without_proof, proof) = text.rsplit_once(",p=")?;
    if without_proof != format!("c=biws,r={nonce}") {
        return None;
    }
    let signed = format!("{messages},{without_proof}");
    let (client, server) = proofs(digest, password, SALT, ITERATIONS, &signed).ok()?;
    let is_right = BASE64_STANDARD.decode(proof).ok()? == client;
    Some(is_right.then(|| BASE64_STANDARD.encode(server)))
}

/// The proof of the client and that of the server.
fn proofs(
    digest: Digest,
    password: &str,
    salt: &[u8],
    iterations: usize,
    signed: &str,
) -> Result<(Vec<u8>, Vec<u8>), ErrorStack> {
    let digest = match digest {
        Digest::Sha1 => MessageDigest::sha1(),
        Digest::Sha256 => MessageDigest::sha256(),
    };
    let mut salted = vec![0; digest.size()];
    pbkdf2_hmac(password.as_bytes(), salt, iterations, digest, &mut salted)?;
    let client_key = hmac(digest, &salted, b"Client Key")?;
    let stored_key = hash(digest, &client_key)?;
    let signature = hmac(digest, &stored_key, signed.as_bytes())?;
    let client = client_key.iter().zip(signature).map(|(key, byte)| key ^ byte).collect();
    let server = hmac(digest, &hmac(digest, &salted, b"Server Key")?, signed.as_bytes())?;
    Ok((client, server))
}

fn hmac(digest: MessageDigest, key: &[u8], text: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let key = PKey::hmac(key)?;
    let mut signer = Signer::new(digest, &key)?;
    signer.update(text)?;
    signer.sign_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_cram_md5_holds() {
        // RFC 2195 section 2.
        let challenge = "<1896.697170952@postoffice.reston.mci.net>";
        let response = "tim b913a602c7eda7a495b4e6e7334d3890";
        let known = |_: &str| Some("tanstaaftanstaaf".to_owned());
        let step = cram_md5(response, challenge, known);
        assert_eq!(step, Some(Step::Claim("tim".into(), "tanstaaftanstaaf".into())));
    }

    #[test]
    fn the_examples_of_scram_hold() {
        // RFC 5802 section 5 and RFC 7677 section 3.
        for (digest, messages, salt, client, server) in [
            (
                Digest::Sha1,
                "n=user,r=fyko+d2lbbFgONRv9qkxdawL,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,\
                 s=QSXCR+Q6sek8bf92,i=4096,c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
                "QSXCR+Q6sek8bf92",
                "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            ),
            (
                Digest::Sha256,
                "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                 s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,\
                 r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
                "W22ZaJ0SNY7soEsUEjb6gQ==",
                "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ),
        ] {
            let salt = BASE64_STANDARD.decode(salt).unwrap();
            let proofs = proofs(digest, "pencil", &salt, 4096, messages).unwrap();
            let encoded = (BASE64_STANDARD.encode(proofs.0), BASE64_STANDARD.encode(proofs.1));
            assert_eq!(encoded, (client.to_owned(), server.to_owned()), "{digest:?}");
        }
    }
}
