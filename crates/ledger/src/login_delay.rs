//! The least time between two logins that a server asks for: LOGIN-DELAY (RFC 2449 section 6.5).

use std::time::Duration;

/// What a server asks for; zero if nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LoginDelay(Duration);

impl LoginDelay {
    /// The longest that is kept to. A mailbox that is looked into more rarely tells nothing of now, so a
    /// longer one is ignored; a server that insists refuses the login, which is a failure.
    pub const LONGEST: Duration = Duration::from_secs(3600);

    /// A server that asks for this.
    pub fn of(asked: Duration) -> Self {
        Self(asked)
    }

    /// From the words of the capability, its name included; none, or no number: zero.
    pub fn told(words: &[String]) -> Self {
        let number = words.get(1).map(String::as_str).unwrap_or_default();
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        // A number that no integer holds is a number nevertheless.
        let seconds = number.parse().unwrap_or(if is_number { u64::MAX } else { 0 });
        Self(Duration::from_secs(seconds))
    }

    /// What the server asks for.
    pub fn asked(self) -> Duration {
        self.0
    }

    /// What is kept to.
    pub fn kept(self) -> Duration {
        if self.0 <= Self::LONGEST { self.0 } else { Duration::ZERO }
    }

    /// What it means for a mailbox that is to be checked once a `period`; `None`: nothing.
    pub fn effect(self, period: Duration) -> Option<String> {
        let asked = self.0.as_secs();
        if self.0 > Self::LONGEST {
            let longest = Self::LONGEST.as_secs();
            return Some(format!(
                "the server asks for {asked} s between two logins (LOGIN-DELAY), more than the \
                 {longest} s that are kept to at most: it is ignored"
            ));
        }
        let period = period.as_secs_f64();
        (self.kept().as_secs_f64() > period).then(|| {
            format!(
                "the server asks for {asked} s between two logins (LOGIN-DELAY): the mailbox is \
                 checked every {asked} s and not every {period} s"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delay(capability: &str) -> LoginDelay {
        LoginDelay::told(&capability.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_delay_is_kept_up_to_an_hour_and_ignored_beyond() {
        let kept = |seconds: &str| delay(&format!("LOGIN-DELAY {seconds}")).kept().as_secs();
        assert_eq!(kept("900"), 900);
        assert_eq!(kept("900 USER"), 900);
        assert_eq!(kept("3600"), 3600);
        for absurd in ["3601", "999999999999", "99999999999999999999999999"] {
            assert_eq!(kept(absurd), 0, "{absurd}");
        }
        for nothing in ["LOGIN-DELAY", "LOGIN-DELAY -5", "LOGIN-DELAY soon"] {
            assert_eq!(delay(nothing), LoginDelay::default(), "{nothing}");
        }
    }

    #[test]
    fn it_is_told_only_where_it_changes_something() {
        let effect = |capability, period| delay(capability).effect(Duration::from_secs(period));
        assert_eq!(effect("LOGIN-DELAY 10", 10), None);
        let slower = effect("LOGIN-DELAY 10", 3).unwrap();
        assert!(slower.ends_with("checked every 10 s and not every 3 s"), "{slower}");
        let absurd = effect("LOGIN-DELAY 999999999999", 300).unwrap();
        assert!(absurd.contains("999999999999 s") && absurd.ends_with("ignored"), "{absurd}");
    }
}
