//! The man pages of section 1, one for each command: what clap knows of it, and the sections that
//! [`super::sections`] has.

use std::ffi::OsString;
use std::time::{Duration, UNIX_EPOCH};

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::configuration;
use super::sections::{self, Block, Section};
use crate::build::VERSION;
use crate::cli::Cli;

/// The first second that has no date of four digits for the year.
const YEAR_10000: u64 = 253_402_300_800;

/// A man page.
pub(super) struct Page {
    /// Its file, as `mailtrip_exporter.1`.
    pub(super) file_name: String,
    /// Its text in the language of man.
    pub(super) text: String,
}

/// All pages, with a date as [`date`] makes it.
pub(super) fn pages(date: &str) -> Vec<Page> {
    let mut command = Cli::described().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add(&command, date, &mut pages);
    pages.push(configuration::page(date));
    pages
}

/// Adds the page of a command and those of its subcommands.
fn add(command: &Command, date: &str, pages: &mut Vec<Page>) {
    pages.push(page(command, date));
    for subcommand in command.get_subcommands() {
        add(subcommand, date, pages);
    }
}

fn page(command: &Command, date: &str) -> Page {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").to_owned();
    let man = Man::new(command.clone().override_usage(usage));
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    drop(man.render_name_section(&mut text));
    drop(man.render_synopsis_section(&mut text));
    drop(man.render_description_section(&mut text));
    drop(man.render_options_section(&mut text));
    if command.has_subcommands() {
        drop(man.render_subcommands_section(&mut text));
    }
    let mut roff = Roff::new();
    for section in sections::of(&name) {
        add_section(&mut roff, section);
    }
    add_examples(&mut roff, command);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(see_also(&name))]);
    let text = format!("{}{}", String::from_utf8_lossy(&text), roff.render());
    Page::new(&name, "1", ("User Commands", date), &text)
}

impl Page {
    /// A page with its title, which names the manual and the date.
    pub(super) fn new(name: &str, section: &str, (manual, date): (&str, &str), text: &str) -> Self {
        let title = name.to_uppercase();
        let title = format!(
            ".TH \"{title}\" {section} \"{date}\" \"{} {VERSION}\" \"{manual}\"\n",
            env!("CARGO_PKG_NAME")
        );
        // Each part that was rendered for itself begins with the same lines; a page needs them once.
        let preamble = Roff::new().render();
        let text = text.replace(&preamble, "");
        // What leaves an empty line before the values of a flag.
        let text = text.replace("\n.br\n\n.br\n", "\n.sp\n");
        // Neither the name of a program nor an address is to be hyphenated, nor to be torn to both margins.
        let words = text.split_inclusive(char::is_whitespace).map(breakable);
        let text = format!("{preamble}{title}.ad l\n.nh\n{}", words.collect::<String>());
        Self { file_name: format!("{name}.{section}"), text }
    }
}

/// A word which, if it is an address, may be broken after a part of its query.
fn breakable(word: &str) -> String {
    if word.contains("://") {
        word.replace('?', "?\\:").replace('=', "=\\:")
    } else {
        word.to_owned()
    }
}

/// The day of the sources, as `SOURCE_DATE_EPOCH` tells it to what is to be built alike twice
/// (<https://reproducible-builds.org/specs/source-date-epoch/>); without it there is none.
///
/// # Errors
/// It is no date.
pub(super) fn date(epoch: Option<OsString>) -> Result<String, String> {
    let Some(epoch) = epoch else { return Ok(String::new()) };
    let seconds = epoch.to_str().and_then(|text| text.parse().ok());
    let seconds = seconds.filter(|seconds| *seconds < YEAR_10000).map(Duration::from_secs);
    let time = seconds.and_then(|seconds| UNIX_EPOCH.checked_add(seconds));
    let written = time.map(|time| humantime::format_rfc3339_seconds(time).to_string());
    let day = written.and_then(|text| text.get(..10).map(str::to_owned));
    day.ok_or_else(|| {
        format!("SOURCE_DATE_EPOCH: `{}` is no number of seconds since 1970", epoch.display())
    })
}

/// Adds a section under its heading.
pub(super) fn add_section(roff: &mut Roff, section: &Section) {
    roff.control("SH", [section.heading]);
    for (index, block) in section.blocks.iter().enumerate() {
        match block {
            Block::Text(text) => {
                if index > 0 {
                    roff.control("PP", []);
                }
                roff.text([roman(*text)]);
            }
            Block::Term(term, text) => {
                roff.control("TP", []);
                roff.text([bold(*term)]);
                roff.text([roman(*text)]);
            }
        }
    }
}

/// The examples of the help text, which has one a line.
fn add_examples(roff: &mut Roff, command: &Command) {
    let Some(help) = command.get_after_help().map(ToString::to_string) else { return };
    let Some(examples) = help.strip_prefix("Examples:\n") else { return };
    roff.control("SH", ["EXAMPLES"]);
    for (index, line) in examples.lines().enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        // What it does stands behind the command, at some distance.
        let (command, what) = line.trim().split_once("   ").unwrap_or((line.trim(), ""));
        roff.text([bold(command)]);
        if !what.is_empty() {
            roff.control("RS", ["4"]).text([roman(what.trim())]).control("RE", []);
        }
    }
}

/// Adds lines that are shown as they are.
pub(super) fn add_verbatim(roff: &mut Roff, lines: &str) {
    roff.control("RS", ["4"]).control("nf", []);
    for line in lines.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []).control("RE", []);
}

/// The other pages, and programs that one of them is used with.
pub(super) fn see_also(own: &str) -> String {
    let mut command = Cli::described();
    command.build();
    let names = command.get_subcommands().filter(|command| command.get_name() != "help");
    let names = names.filter_map(Command::get_display_name).map(str::to_owned);
    let names = std::iter::once(command.get_name().to_owned()).chain(names);
    let mut pages: Vec<String> =
        names.filter(|name| name != own).map(|name| format!("{name}(1)")).collect();
    pages.extend(
        ["mailtrip.yml(5)", "prometheus(1)"]
            .map(str::to_owned)
            .into_iter()
            .filter(|page| !page.starts_with(own)),
    );
    pages.join(", ")
}
