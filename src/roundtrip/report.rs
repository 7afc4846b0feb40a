//! Shows the steps of a dialogue while it goes on.

use std::future::Future;
use std::io::Write;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use super::record::{SideRecord, transcript_line};
use super::state::State;
use super::terminal::{Look, Terminal};
use ledger::durations::{Seconds, step_time};
use ledger::{Failure, PerSide, Side, Step};
use mail::trace::{Event, Trace};

/// How often the live line is rewritten.
const TICK: Duration = Duration::from_millis(200);

/// The view on the dialogues of one round trip.
pub(super) struct Report<'a, W> {
    terminal: &'a mut Terminal<W>,
    /// One for each side: the farewell to one server is not mixed up with the words of the other.
    channels: PerSide<Channel>,
    view: View,
    /// Whether every line of the dialogues is shown.
    shows_transcript: bool,
    records: PerSide<SideRecord>,
    step: Option<UnderWay>,
    /// When the live line is rewritten.
    next_tick: Instant,
}

/// The events of the dialogues with one server.
type Channel = (UnboundedSender<Event>, UnboundedReceiver<Event>);

/// What of the dialogue is shown.
#[derive(Debug)]
enum View {
    /// Each step as it ends.
    Steps,
    /// One live line. Of the steps only the removal counts, and it is shown later.
    Waiting { since: Instant, limit: Duration, looks: u32, removals: Vec<(Duration, String)> },
}

/// A step that has begun, and what was said in it.
struct UnderWay {
    step: Step,
    since: Instant,
    /// Those of [`Step::Select`], which name the folder.
    commands: Vec<String>,
    first_words: Option<String>,
    last_words: String,
    fact: Option<String>,
}

impl<'a, W: Write> Report<'a, W> {
    pub(super) fn new(terminal: &'a mut Terminal<W>, shows_transcript: bool) -> Self {
        Self {
            terminal,
            channels: PerSide { send: unbounded_channel(), receive: unbounded_channel() },
            view: View::Steps,
            shows_transcript,
            records: PerSide::default(),
            step: None,
            next_tick: Instant::now() + TICK,
        }
    }

    /// Who gets the events of the [`Trace`] of a dialogue with this side.
    pub(super) fn observer(&mut self, side: Side) -> UnboundedSender<Event> {
        self.channel(side).0.clone()
    }

    /// The first line.
    pub(super) fn title(&mut self, name: &str, rest: &str) {
        self.terminal.line(&[(Look::Strong, name), (Look::Plain, rest)]);
    }

    /// A side's first line.
    pub(super) fn heading(&mut self, side: Side, rest: &str) {
        let side = format!("{:<9}", side.label());
        self.terminal.line(&[(Look::Strong, &side), (Look::Plain, rest)]);
    }

    /// Drives a dialogue with this side and shows what happens in it.
    pub(super) async fn follow<T>(&mut self, side: Side, dialogue: impl Future<Output = T>) -> T {
        tokio::pin!(dialogue);
        loop {
            let (tick, is_live) = (self.next_tick, self.terminal.is_live());
            tokio::select! {
                biased;
                Some(event) = self.channel(side).1.recv() => self.take(side, event),
                outcome = &mut dialogue => {
                    self.catch_up(side);
                    return outcome;
                }
                () = sleep_until(tick), if is_live => {
                    self.next_tick = Instant::now() + TICK;
                    self.show_live();
                }
            }
        }
    }

    /// Processes the events of this side's dialogue that are still queued, such as its QUIT.
    pub(super) fn catch_up(&mut self, side: Side) {
        while let Ok(event) = self.channel(side).1.try_recv() {
            self.take(side, event);
        }
    }

    /// What is kept of the dialogue with this side.
    pub(super) fn record(&mut self, side: Side) -> &mut SideRecord {
        &mut self.records[side]
    }

    /// The records of both sides, which are not kept any longer.
    pub(super) fn take_records(&mut self) -> PerSide<SideRecord> {
        std::mem::take(&mut self.records)
    }

    /// The step in which the dialogue with this side failed.
    pub(super) fn failed(&mut self, side: Side, trace: &Trace, failure: &Failure) {
        self.step = None;
        self.record(side).note_words();
        let durations = trace.durations();
        let took = durations.iter().find(|(step, _)| *step == failure.step);
        let took = took.map_or(Duration::ZERO, |(_, took)| *took);
        let row = row_start(failure.step, took);
        self.terminal.line(&[
            (Look::Plain, &row),
            (Look::Bad, "failed: "),
            (Look::Plain, &failure.message),
        ]);
    }

    /// From here on the mail is waited for, at most so long.
    pub(super) fn begin_waiting(&mut self, limit: Duration) {
        self.step = None;
        self.view = View::Waiting { since: Instant::now(), limit, looks: 0, removals: Vec::new() };
    }

    /// One more look was taken.
    pub(super) fn count_look(&mut self) {
        if let View::Waiting { looks, .. } = &mut self.view {
            *looks += 1;
        }
    }

    /// A look failed; the waiting goes on.
    pub(super) fn look_failed(&mut self, failure: &Failure) {
        self.record(Side::Receive).note_words();
        let step = failure.step.label();
        self.terminal.line(&[
            (Look::Plain, "  "),
            (Look::Bad, "a look failed: "),
            (Look::Plain, step),
            (Look::Plain, ": "),
            (Look::Plain, &failure.message),
        ]);
    }

    /// The waiting is over; `outcome` says how. What was removed meanwhile is shown after it.
    pub(super) fn end_waiting(&mut self, outcome: &str) {
        let view = std::mem::replace(&mut self.view, View::Steps);
        let View::Waiting { looks, removals, .. } = view else { return };
        let count = if looks == 1 { "1 look".to_owned() } else { format!("{looks} looks") };
        let text = format!("{outcome} ({count})");
        self.terminal.line(&[(Look::Strong, "waiting  "), (Look::Plain, &text)]);
        for (took, words) in removals {
            self.show_row(Step::Remove, took, &words);
        }
    }

    /// A line about the way of the mail.
    pub(super) fn way(&mut self, (heading, words): &(String, String)) {
        self.terminal.line(&[(Look::Strong, heading), (Look::Plain, words)]);
    }

    /// Prints the verdict.
    pub(super) fn verdict(&mut self, state: State, sentence: &str) {
        let look = if state == State::Ok { Look::Good } else { Look::Bad };
        self.terminal.paragraph(&[(look, "Verdict: "), (Look::Plain, sentence)]);
    }

    /// Something to know beside the verdict.
    pub(super) fn remark(&mut self, sentence: &str) {
        self.terminal.paragraph(&[(Look::Plain, sentence)]);
    }

    fn channel(&mut self, side: Side) -> &mut Channel {
        &mut self.channels[side]
    }

    fn take(&mut self, side: Side, event: Event) {
        self.record(side).take(&event);
        if let Some(line) = transcript_line(&event).filter(|_| self.shows_transcript) {
            let line = format!("    {side} {line}");
            self.terminal.paragraph(&[(Look::Faint, &line)]);
        }
        match event {
            Event::Entered(step) => self.step = Some(UnderWay::new(step)),
            Event::Left(step, took) => {
                let Some(ended) = self.step.take().filter(|ended| ended.step == step) else {
                    return;
                };
                let words = ended.summary();
                match &mut self.view {
                    View::Steps => self.show_row(step, took, &words),
                    View::Waiting { removals, .. } if step == Step::Remove => {
                        removals.push((took, words));
                    }
                    View::Waiting { .. } => {}
                }
            }
            Event::Sent(line) => {
                if let Some(step) = self.step.as_mut().filter(|it| it.step == Step::Select) {
                    step.commands.push(line);
                }
            }
            Event::Received(line) => {
                if let Some(step) = &mut self.step {
                    step.first_words.get_or_insert_with(|| line.clone());
                    step.last_words = line;
                }
            }
            Event::Fact(fact) => {
                if let Some(step) = &mut self.step {
                    step.fact = Some(fact);
                }
            }
        }
    }

    fn show_row(&mut self, step: Step, took: Duration, words: &str) {
        let row = row_start(step, took);
        self.terminal.line(&[
            (Look::Plain, row.trim_end()),
            (Look::Plain, if words.is_empty() { "" } else { "   " }),
            (Look::Faint, words),
        ]);
    }

    fn show_live(&mut self) {
        let text = match (&self.view, &self.step) {
            (View::Waiting { since, limit, looks, .. }, _) => {
                let (waited, limit) = (since.elapsed().as_secs(), Seconds(*limit));
                format!("waiting  {waited} s of {limit}, {looks} looks; Ctrl-C ends it")
            }
            (View::Steps, Some(step)) => {
                format!(
                    "  {:<8} {:>6.1} s …",
                    step.step.label(),
                    step.since.elapsed().as_secs_f64()
                )
            }
            (View::Steps, None) => return,
        };
        self.terminal.live(&text);
    }
}

impl UnderWay {
    fn new(step: Step) -> Self {
        Self {
            step,
            since: Instant::now(),
            commands: Vec::new(),
            first_words: None,
            last_words: String::new(),
            fact: None,
        }
    }

    /// The most informative text of the step: the banner, the cipher, or the final reply.
    fn summary(self) -> String {
        let words = match self.step {
            Step::Dns | Step::Connect | Step::Tls => self.fact.unwrap_or_default(),
            Step::Greeting => self.first_words.unwrap_or_default(),
            // Several folders have the same answers.
            Step::Select => {
                let selects = self
                    .commands
                    .iter()
                    .filter_map(|command| command.split_once(' ').map(|(_, command)| command));
                let selects: Vec<&str> =
                    selects.filter(|command| command.starts_with("SELECT ")).collect();
                match (selects.as_slice(), self.commands.last()) {
                    ([], Some(command)) => format!("{command}: {}", self.last_words),
                    _ => format!("{}: {}", selects.join(", "), self.last_words),
                }
            }
            _ => self.last_words,
        };
        without_capabilities(&words)
    }
}

/// Step and time, in columns.
fn row_start(step: Step, took: Duration) -> String {
    format!("  {:<8} {:>10}   ", step.label(), step_time(took))
}

/// The list of capabilities in a greeting or an answer hides the words behind it.
fn without_capabilities(words: &str) -> String {
    const CODE: &str = "[CAPABILITY ";
    let Some((before, rest)) = words.split_once(CODE) else { return words.to_owned() };
    match rest.split_once(']') {
        Some((_, after)) => format!("{before}{CODE}…]{after}"),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_shown_without_its_capabilities() {
        for (words, shown) in [
            ("* OK [CAPABILITY IMAP4rev1 IDLE] ready", "* OK [CAPABILITY …] ready"),
            ("220 mail ESMTP", "220 mail ESMTP"),
            ("* OK [CAPABILITY that was cut…", "* OK [CAPABILITY that was cut…"),
        ] {
            assert_eq!(without_capabilities(words), shown);
        }
    }

    #[test]
    fn times_are_shown_in_the_unit_that_fits() {
        assert_eq!(step_time(Duration::from_micros(420)), "0.4 ms");
        assert_eq!(step_time(Duration::from_millis(2350)), "2.35 s");
    }

    #[tokio::test]
    async fn a_long_step_shows_that_it_is_alive() {
        let mut out = Vec::new();
        let mut terminal = Terminal::interactive(&mut out, 80, false);
        let mut report = Report::new(&mut terminal, false);
        let trace = Trace::with_observer(None, Some(report.observer(Side::Send)));
        tokio::time::pause();
        report
            .follow(Side::Send, async {
                trace.enter(Step::Connect);
                tokio::time::sleep(Duration::from_millis(1900)).await;
                trace.fact("connected to 192.0.2.1:25".into());
                trace.finish();
            })
            .await;
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("\r\x1b[K  connect     1.8 s …"), "{text}");
        assert!(
            text.ends_with("\r\x1b[K  connect      1.90 s   connected to 192.0.2.1:25\n"),
            "{text}"
        );
    }
}
