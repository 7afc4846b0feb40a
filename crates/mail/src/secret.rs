//! A value that is never shown.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A password. `Debug` and `Display` show `<secret>`; the memory is cleared when it is dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// What stands in place of a secret wherever something is shown.
    pub const SHOWN: &'static str = "<secret>";

    /// Takes the value in.
    pub fn new(value: String) -> Self {
        Self(SecretString::from(value))
    }

    /// The value itself; only a login dialogue and the scrubber of transcripts need it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::SHOWN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::SHOWN)
    }
}
