//! How a server lets its clients in, by its own word (RFC 9110 section 11.6.1).

/// The schemes that go with a user name and a password, or with a token in the place of both.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Ways {
    /// A name and a password (RFC 7617).
    pub basic: bool,
    /// A token (RFC 6750).
    pub bearer: bool,
}

impl Ways {
    /// Takes in one field WWW-Authenticate: challenges, and their parameters, between commas.
    pub(super) fn read(&mut self, value: &str) {
        // What is quoted is a text for people.
        let unquoted: Vec<&str> = value.split('"').step_by(2).collect();
        for part in unquoted.concat().split(',') {
            let scheme = part.split_whitespace().next().unwrap_or_default();
            self.basic |= scheme.eq_ignore_ascii_case("Basic");
            self.bearer |= scheme.eq_ignore_ascii_case("Bearer");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemes_of_a_challenge_are_told_from_its_texts() {
        for (value, basic, bearer) in [
            ("Basic realm=\"mail\"", true, false),
            ("bearer", false, true),
            ("Basic realm=\"a, Bearer b\", charset=\"UTF-8\"", true, false),
            ("Negotiate, Bearer realm=\"x\", basic realm=\"y\"", true, true),
            ("Digest Basic=1", false, false),
            ("", false, false),
        ] {
            let mut ways = Ways::default();
            ways.read(value);
            assert_eq!(ways, Ways { basic, bearer }, "{value}");
        }
    }
}
