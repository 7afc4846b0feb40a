//! What the exporter itself may run out of. An attempt that fails for want of it says nothing about a
//! server: it is not measured.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// What there was too little of, the value of the label `resource`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shortage {
    /// File descriptors, of the process (`EMFILE`) or of the system (`ENFILE`).
    Descriptors,
    /// Memory, that of the network's buffers included (`ENOMEM`, `ENOBUFS`).
    Memory,
    /// Local ports to connect from (`EADDRNOTAVAIL`, `EAGAIN`).
    Ports,
    /// Threads.
    Threads,
    /// Turns to look up a name: its turn did not come in time.
    LookUps,
}

impl Shortage {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Shortage; 5] = [
        Shortage::Descriptors,
        Shortage::Memory,
        Shortage::Ports,
        Shortage::Threads,
        Shortage::LookUps,
    ];

    /// The value of the label `resource`.
    pub fn label(self) -> &'static str {
        match self {
            Shortage::Descriptors => "descriptors",
            Shortage::Memory => "memory",
            Shortage::Ports => "ports",
            Shortage::Threads => "threads",
            Shortage::LookUps => "look_ups",
        }
    }

    /// What an error of the system says to be short, wherever it happens; `None` for any other error.
    pub fn of(error: &io::Error) -> Option<Self> {
        match Errno::from_io_error(error)? {
            Errno::MFILE | Errno::NFILE => Some(Shortage::Descriptors),
            Errno::NOMEM | Errno::NOBUFS => Some(Shortage::Memory),
            _ => None,
        }
    }

    /// The same of an error in connecting, which may find no local port.
    pub fn of_connect(error: &io::Error) -> Option<Self> {
        match Errno::from_io_error(error)? {
            Errno::ADDRNOTAVAIL | Errno::AGAIN => Some(Shortage::Ports),
            _ => Self::of(error),
        }
    }

    /// The same of a socket that asks for any port: where none is free, the system says that its address
    /// is in use.
    pub fn of_bind(error: &io::Error) -> Option<Self> {
        match Errno::from_io_error(error)? {
            Errno::ADDRINUSE => Some(Shortage::Ports),
            _ => Self::of(error),
        }
    }

    /// What there is too little of, in the plural.
    pub fn things(self) -> &'static str {
        match self {
            Shortage::Descriptors => "file descriptors",
            Shortage::Memory => "memory",
            Shortage::Ports => "local ports",
            Shortage::Threads => "threads",
            Shortage::LookUps => "turns to look up names",
        }
    }

    /// Whose fault it is, as a sentence without its stop.
    pub fn words(self) -> String {
        format!(
            "this exporter itself is short of {}, which says nothing of a server",
            self.things()
        )
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_our_own_are_told_from_those_of_a_server() {
        let of = |errno: Errno| {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            (Shortage::of(&error), Shortage::of_connect(&error))
        };
        let both = |shortage| (Some(shortage), Some(shortage));
        assert_eq!(of(Errno::MFILE), both(Shortage::Descriptors));
        assert_eq!(of(Errno::NFILE), both(Shortage::Descriptors));
        assert_eq!(of(Errno::NOBUFS), both(Shortage::Memory));
        assert_eq!(of(Errno::NOMEM), both(Shortage::Memory));
        // A read that would block has found all its ports.
        assert_eq!(of(Errno::AGAIN), (None, Some(Shortage::Ports)));
        assert_eq!(of(Errno::ADDRNOTAVAIL), (None, Some(Shortage::Ports)));
        assert_eq!(of(Errno::CONNREFUSED), (None, None));
        assert_eq!(Shortage::of(&io::Error::other("no number")), None);
    }
}
