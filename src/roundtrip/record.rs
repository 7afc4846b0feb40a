//! What a probe keeps of the dialogue with one side, for the outputs that are written at its end.

use std::net::SocketAddr;
use std::time::Duration;

use ledger::Step;
use ledger::TlsFacts;
use mail::trace::{Event, Trace};

/// The most lines of a transcript; a dialogue of one probe has some dozens.
const TRANSCRIPT_LINES: usize = 2000;
/// The most lines of a server's answer that are kept as its words.
const WORDS_LINES: usize = 20;

/// The record of one side.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SideRecord {
    /// The steps in their order with their durations, that of the failure included.
    pub steps: Vec<(Step, Duration)>,
    /// The address of the server that answered; `None` if none did.
    pub address: Option<SocketAddr>,
    /// What the TLS handshake showed; `None` without one.
    pub tls: Option<TlsFacts>,
    /// What the server said when it failed, line by line, as it is shown: escaped, cut and scrubbed;
    /// empty if it said nothing, or if nothing failed.
    pub words: Vec<String>,
    /// The dialogue: `>` the client's lines, `<` the server's, `*` remarks; secrets replaced.
    pub transcript: Vec<String>,
    /// How many lines of the dialogue were too many for `transcript`: its newest.
    pub left_out: usize,
    /// The server's lines since the client's last.
    answer: Vec<String>,
}

impl SideRecord {
    /// Notes what happened.
    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::Sent(_) => self.answer.clear(),
            Event::Received(line) if self.answer.len() < WORDS_LINES => {
                self.answer.push(line.clone());
            }
            _ => {}
        }
        let Some(line) = transcript_line(event) else { return };
        if self.transcript.len() < TRANSCRIPT_LINES {
            self.transcript.push(line);
        } else {
            self.left_out += 1;
        }
    }

    /// Notes the steps of a dialogue that is over or goes on without being shown.
    pub(super) fn note(&mut self, trace: &Trace) {
        self.steps = trace.durations();
        self.address = trace.address();
        self.tls = trace.tls_facts();
    }

    /// Notes one more step of a later dialogue.
    pub(super) fn note_step(&mut self, step: Step, trace: &Trace) {
        self.steps.retain(|(known, _)| *known != step);
        self.steps.extend(trace.durations().into_iter().filter(|(known, _)| *known == step));
    }

    /// Keeps what the server said last as its words on a failure.
    pub(super) fn note_words(&mut self) {
        self.words = std::mem::take(&mut self.answer);
    }
}

/// How the event stands in a transcript; `None` for the beginning and the end of a step.
pub(super) fn transcript_line(event: &Event) -> Option<String> {
    match event {
        Event::Sent(line) => Some(format!("> {line}")),
        Event::Received(line) => Some(format!("< {line}")),
        Event::Fact(fact) => Some(format!("* {fact}")),
        Event::Entered(_) | Event::Left(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_what_the_server_said_after_the_last_command() {
        let mut record = SideRecord::default();
        for event in [
            Event::Sent("MAIL FROM:<a@b.test>".into()),
            Event::Received("250 ok".into()),
            Event::Sent("RCPT TO:<c@d.test>".into()),
            Event::Received("550-5.7.1 not".into()),
            Event::Received("550 5.7.1 here".into()),
        ] {
            record.take(&event);
        }
        record.note_words();
        assert_eq!(record.words, ["550-5.7.1 not", "550 5.7.1 here"]);
        assert_eq!(record.transcript.len(), 5);
    }

    #[test]
    fn a_server_that_never_ends_fills_no_memory() {
        let mut record = SideRecord::default();
        for _ in 0..TRANSCRIPT_LINES * 2 {
            record.take(&Event::Received("more".into()));
        }
        assert_eq!(
            (record.transcript.len(), record.left_out),
            (TRANSCRIPT_LINES, TRANSCRIPT_LINES)
        );
        record.note_words();
        assert_eq!(record.words.len(), WORDS_LINES);
    }
}
