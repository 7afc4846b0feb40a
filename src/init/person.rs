//! The person at the terminal, or whoever writes to standard input in their place. Nothing that is typed as a password
//! is shown, and the terminal is left as it was, however it ends.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use tokio::sync::oneshot;

use super::Stop;
use crate::config::{self, Secret};

/// The longest line that is read, in bytes.
const LINE_BYTES: usize = 4096;
/// In place of a key of the terminal: there is none (`_POSIX_VDISABLE` of Linux).
const NO_KEY: u8 = 0;

/// The password: typed unseen, or the first line of standard input where that is no terminal.
pub(super) async fn password(question: &str) -> Result<Secret, Stop> {
    let line = if io::stdin().is_terminal() {
        let _unseen = Unseen::begin().map_err(|error| {
            Stop::because(format!(
                "the terminal cannot hide what is typed ({error}); write the password into a file, and name it by \
                 --password-file"
            ))
        })?;
        eprint!("{question}: ");
        line().await?
    } else {
        line().await?
    };
    config::password(&line).map_err(|problem| Stop::because(format!("what was given {problem}")))
}

/// The answer to a question of yes or no; `None` where nobody can be asked.
pub(super) async fn agrees(question: &str) -> Result<Option<bool>, Stop> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    eprint!("{question} [y/N] ");
    let answer = line().await?.trim().to_ascii_lowercase();
    Ok(Some(matches!(answer.as_str(), "y" | "yes")))
}

/// The next line of standard input, and no byte beyond it: the rest may be for another program. It is read by a thread
/// of its own, for it cannot be interrupted.
async fn line() -> Result<String, Stop> {
    let (teller, told) = oneshot::channel();
    let reading = move || {
        let line = io::stdin().as_fd().try_clone_to_owned().map(File::from).and_then(read_line);
        let _ = teller.send(line);
    };
    let begun = std::thread::Builder::new().name("input".to_owned()).spawn(reading);
    begun.map_err(|error| Stop::because(format!("standard input: no thread for it: {error}")))?;
    let line = told.await.unwrap_or_else(|_| Err(io::ErrorKind::UnexpectedEof.into()));
    let line = line.map_err(|error| Stop::because(format!("standard input: {error}")))?;
    let line = line.ok_or_else(|| Stop::because("standard input has ended, without an answer"))?;
    String::from_utf8(line).map_err(|_| Stop::because("what was given is not UTF-8"))
}

/// `None` at the end of the file.
fn read_line(mut input: impl Read) -> io::Result<Option<Vec<u8>>> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    loop {
        match input.read(&mut byte) {
            Ok(0) if line.is_empty() => return Ok(None),
            Ok(0) => break,
            Ok(_) if byte == *b"\n" => break,
            Ok(_) if line.len() >= LINE_BYTES => {
                return Err(io::Error::other(format!("a line of more than {LINE_BYTES} bytes")));
            }
            Ok(_) => line.extend(byte),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(Some(line))
}

/// While it lives, the terminal does not show what is typed.
struct Unseen(Termios);

impl Unseen {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        // The line end alone is shown.
        unseen.local_modes.insert(LocalModes::ECHONL);
        // Keys that would end or stop it before it can put the terminal back; Ctrl-C is heard.
        for key in [SpecialCodeIndex::VQUIT, SpecialCodeIndex::VSUSP] {
            unseen.special_codes[key] = NO_KEY;
        }
        tcsetattr(io::stdin(), OptionalActions::Flush, &unseen)?;
        Ok(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_and_nothing_beyond_it() {
        let mut input = &b"pass word\r\nthe next\n"[..];
        let line = read_line(&mut input).unwrap();
        assert_eq!(line.as_deref(), Some(&b"pass word"[..]));
        assert_eq!(input, b"the next\n");
        assert_eq!(read_line(&b"no end"[..]).unwrap().as_deref(), Some(&b"no end"[..]));
        assert_eq!(read_line(&b""[..]).unwrap(), None);
        assert!(read_line(&[b'a'; LINE_BYTES + 1][..]).is_err());
    }
}
