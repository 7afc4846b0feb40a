//! The challenges of a login: base64, SCRAM, CRAM-MD5, and what is said of a refused token.
//!
//! Input: a byte for the mechanism, then a challenge in each line. It is sent in base64, with the client's
//! nonce in place of `{nonce}`; a line that begins with `=` is sent as it is behind that.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::auth::Mechanism;
use crate::fuzz::shown::{self, PASSWORD, USER};
use crate::sasl::Exchange;
use crate::secret::Secret;

const MECHANISMS: [Mechanism; 7] = [
    Mechanism::Plain,
    Mechanism::Login,
    Mechanism::CramMd5,
    Mechanism::ScramSha1,
    Mechanism::ScramSha256,
    Mechanism::XOAuth2,
    Mechanism::OAuthBearer,
];
/// A server may ask for more rounds of its digest; that many take too long for a test.
const FEW_ROUNDS: u32 = 5000;
const MOST_ROUNDS: u32 = 2_000_000;

pub(in crate::fuzz) fn check(input: &[u8]) {
    let Some((first, challenges)) = input.split_first() else { return };
    let mechanism = MECHANISMS[usize::from(*first) % MECHANISMS.len()];
    let secret = Secret::new(PASSWORD.to_owned());
    let mut exchange = Exchange::begin(mechanism, USER, &secret).unwrap();
    let nonce = exchange.initial.as_deref().and_then(nonce_in).unwrap_or_default();
    for challenge in challenges.split(|byte| *byte == b'\n').take(8) {
        let said = match challenge.strip_prefix(b"=") {
            Some(said) => said.to_vec(),
            None => {
                let words = with_nonce(challenge, &nonce);
                if takes_long(&words) {
                    return;
                }
                BASE64_STANDARD.encode(words).into_bytes()
            }
        };
        match exchange.respond(&said) {
            Ok(response) => {
                let decoded = BASE64_STANDARD.decode(&response).unwrap();
                let is_shown = matches!(mechanism, Mechanism::Plain | Mechanism::Login);
                let tells = decoded.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes());
                assert!(is_shown || !tells, "a digest that tells the password");
            }
            Err(fault) => {
                shown::check(&fault.message);
                return;
            }
        }
    }
    // Without the nonce and the password no server gets as far as this.
    let is_scram = matches!(mechanism, Mechanism::ScramSha1 | Mechanism::ScramSha256);
    assert!(
        !is_scram || !exchange.is_finished,
        "a server that does not know the password proved it"
    );
}

fn nonce_in(initial: &str) -> Option<Vec<u8>> {
    let decoded = BASE64_STANDARD.decode(initial).ok()?;
    let nonce = decoded.split(|byte| *byte == b',').find_map(|word| word.strip_prefix(b"r="));
    nonce.map(<[u8]>::to_vec)
}

fn with_nonce(challenge: &[u8], nonce: &[u8]) -> Vec<u8> {
    const MARK: &[u8] = b"{nonce}";
    match challenge.windows(MARK.len()).position(|part| part == MARK) {
        Some(at) => [&challenge[..at], nonce, &challenge[at + MARK.len()..]].concat(),
        None => challenge.to_vec(),
    }
}

fn takes_long(challenge: &[u8]) -> bool {
    let counts = challenge.split(|byte| *byte == b',').filter_map(|word| word.strip_prefix(b"i="));
    let counts = counts.filter_map(|count| std::str::from_utf8(count).ok()?.parse::<u32>().ok());
    counts.into_iter().any(|count| (FEW_ROUNDS + 1..=MOST_ROUNDS).contains(&count))
}
