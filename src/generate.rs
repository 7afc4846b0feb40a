//! The subcommand `generate`: what the program writes about itself. All of it follows from the program alone, so
//! that two builds of one version write the same, and the date in the man pages from `SOURCE_DATE_EPOCH`; nothing here
//! reads a configuration, the clock or the network.

use std::io::{self, Write};
use std::path::Path;

use crate::cli::{Generate, Schema};

mod completions;
mod configuration;
mod man;
mod rules;
mod schema;
mod sections;

#[cfg(test)]
pub(crate) mod tests;

/// Writes what is asked for.
///
/// # Errors
/// What could not be written, with the reason; a `SOURCE_DATE_EPOCH` that is no date.
pub fn write(what: &Generate) -> Result<(), String> {
    match what {
        Generate::Man { directory } => write_man(directory),
        Generate::Schema(Schema { included }) => print(&schema::text(*included)),
        Generate::Completions { shell } => print(&completions::script(*shell)),
    }
}

fn write_man(directory: &Path) -> Result<(), String> {
    let wrong = |path: &Path, error: &io::Error| format!("{}: {error}", path.display());
    let date = man::date(std::env::var_os("SOURCE_DATE_EPOCH"))?;
    std::fs::create_dir_all(directory).map_err(|error| wrong(directory, &error))?;
    for page in man::pages(&date) {
        let path = directory.join(&page.file_name);
        std::fs::write(&path, page.text).map_err(|error| wrong(&path, &error))?;
    }
    Ok(())
}

fn print(text: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| format!("standard output: {error}"))
}
