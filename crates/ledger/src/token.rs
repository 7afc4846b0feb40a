//! The ids of test mails.

use std::fmt;
use std::str::FromStr;

/// The id of one test mail: 128 random bits, written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u128);

/// The id of one state directory, in the same form.
pub type Instance = Token;

impl Token {
    /// The number of hex digits.
    pub const DIGITS: usize = 32;

    /// A new one.
    #[expect(clippy::expect_used, reason = "a system without random numbers cannot do TLS either")]
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        crate::lot::fill(&mut bytes).expect("the operating system gives random numbers");
        Self(u128::from_be_bytes(bytes))
    }

    /// The first token in a text: 32 hex digits that no other letter or digit touches.
    pub fn find(text: &str) -> Option<Self> {
        text.split(|c: char| !c.is_ascii_alphanumeric()).find_map(|word| word.parse().ok())
    }
}

impl From<u128> for Token {
    fn from(bits: u128) -> Self {
        Self(bits)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 32 hex digits")]
pub struct NotAToken;

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let is_token = text.len() == Self::DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_token {
            return Err(NotAToken);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| NotAToken)
    }
}
