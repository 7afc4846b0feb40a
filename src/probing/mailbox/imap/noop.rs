//! Whether the server of a mailbox announces new mail upon NOOP, or shows it only to those who open
//! the folder anew: learned from what either brings up, and what to do at the next look.

/// How often in a row a silent NOOP must be contradicted by the SELECT right behind it: once may be
/// a mail that came between the two.
const CONTRADICTIONS: u32 = 2;

/// What is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoopSupport {
    /// Nothing: every other look opens the folder anew, so that a mail is found two steps of the
    /// schedule late at most. `true`: the next one does.
    Unknown(bool),
    /// NOOP has announced new mail: it is asked alone.
    Reliable,
    /// SELECT has shown mail that a NOOP might have announced: both are asked, until one of them is
    /// right. So often was NOOP wrong.
    Suspect(u32),
    /// NOOP announces nothing: the folder is opened anew at each look.
    Unreliable,
}

/// How to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Approach {
    /// By NOOP.
    pub(super) asks: bool,
    /// By SELECT, if NOOP announced nothing or was not asked.
    pub(super) opens: bool,
}

impl Default for NoopSupport {
    fn default() -> Self {
        NoopSupport::Unknown(false)
    }
}

impl NoopSupport {
    /// How to look this time.
    pub(super) fn approach(&mut self) -> Approach {
        match self {
            NoopSupport::Unknown(opens) => {
                let approach = Approach { asks: !*opens, opens: *opens };
                *opens = !*opens;
                approach
            }
            NoopSupport::Reliable => Approach { asks: true, opens: false },
            NoopSupport::Suspect(_) => Approach { asks: true, opens: true },
            NoopSupport::Unreliable => Approach { asks: false, opens: true },
        }
    }

    /// Whether silence upon NOOP means that nothing has come.
    pub(super) fn is_reliable(self) -> bool {
        self == NoopSupport::Reliable
    }

    /// NOOP announced new mail.
    pub(super) fn reported(&mut self) {
        *self = NoopSupport::Reliable;
    }

    /// SELECT showed new mail that was not announced; `was_asked` if a NOOP went right before it.
    pub(super) fn missed(&mut self, was_asked: bool) {
        *self = match (*self, was_asked) {
            (NoopSupport::Unknown(_) | NoopSupport::Reliable, _) => {
                NoopSupport::Suspect(u32::from(was_asked))
            }
            (NoopSupport::Suspect(times), true) if times + 1 >= CONTRADICTIONS => {
                NoopSupport::Unreliable
            }
            (NoopSupport::Suspect(times), true) => NoopSupport::Suspect(times + 1),
            (known, _) => known,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASK: Approach = Approach { asks: true, opens: false };
    const OPEN: Approach = Approach { asks: false, opens: true };
    const BOTH: Approach = Approach { asks: true, opens: true };

    #[test]
    fn a_server_that_tells_is_only_asked() {
        let mut noop = NoopSupport::default();
        assert_eq!([noop.approach(), noop.approach(), noop.approach()], [ASK, OPEN, ASK]);
        noop.reported();
        assert_eq!([noop.approach(), noop.approach()], [ASK, ASK]);
    }

    #[test]
    fn a_server_that_never_tells_is_opened_anew_once_that_is_certain() {
        let mut noop = NoopSupport::default();
        noop.missed(false);
        assert_eq!(noop.approach(), BOTH, "the mail may have come between two looks");
        noop.missed(true);
        assert_eq!(noop.approach(), BOTH);
        noop.missed(true);
        assert_eq!(noop.approach(), OPEN);
    }

    #[test]
    fn one_contradiction_proves_nothing() {
        let mut noop = NoopSupport::Reliable;
        noop.missed(true);
        assert_eq!(noop.approach(), BOTH);
        noop.reported();
        assert_eq!(noop.approach(), ASK);
    }
}
