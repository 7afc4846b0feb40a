//! Which flags of the exporter a subcommand has: those that change what it does. The others are not in its
//! help, and are refused wherever they stand.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory};

/// Whether a flag of the exporter, by its long name, does something for this subcommand.
fn is_own(subcommand: &str, flag: &str) -> bool {
    match subcommand {
        "check" => ["config.file", "shard", "web.config.file"].contains(&flag),
        "probe" => flag == "config.file",
        "healthcheck" => {
            let own = ["listen-address", "config.file", "external-url", "route-prefix"];
            flag.strip_prefix("web.").is_some_and(|flag| own.contains(&flag))
        }
        "demo" => {
            (flag.starts_with("web.") || flag.starts_with("log.")) && flag != "web.systemd-socket"
        }
        "generate" | "init" => false,
        _ => true,
    }
}

fn is_foreign(subcommand: &str, flag: &Arg) -> bool {
    flag.get_long().is_some_and(|long| !is_own(subcommand, long))
}

/// The command line with foreign flags left out of each help text.
pub(super) fn hide_foreign(mut command: Command) -> Command {
    let flags: Vec<Arg> =
        command.get_arguments().filter(|flag| flag.is_global_set()).cloned().collect();
    for subcommand in command.get_subcommands_mut() {
        let name = subcommand.get_name().to_owned();
        let foreign = flags.iter().filter(|flag| is_foreign(&name, flag));
        // A hidden copy: clap adds the visible one only where there is none.
        let hidden: Vec<Arg> = foreign.map(|flag| flag.clone().hide(true)).collect();
        *subcommand = std::mem::take(subcommand).args(hidden);
    }
    command
}

/// The command line with foreign flags gone and not only hidden: no flag is global, and each subcommand has a
/// copy of its own.
pub(super) fn separate(command: Command) -> Command {
    let flags: Vec<Arg> =
        command.get_arguments().filter(|flag| flag.is_global_set()).cloned().collect();
    let mut command = command.mut_args(|flag| flag.global(false));
    for subcommand in command.get_subcommands_mut() {
        let name = subcommand.get_name().to_owned();
        let own = flags.iter().filter(|flag| !is_foreign(&name, flag));
        let own: Vec<Arg> = own.map(|flag| flag.clone().global(false)).collect();
        *subcommand = std::mem::take(subcommand).args(own);
    }
    command
}

/// Refuses flags that do nothing for the subcommand.
///
/// # Errors
/// With their names.
pub(super) fn refuse_foreign(command: &Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some(name) = matches.subcommand_name() else { return Ok(()) };
    let is_given = |flag: &&Arg| {
        matches.value_source(flag.get_id().as_str()) == Some(ValueSource::CommandLine)
    };
    let foreign = command.get_arguments().filter(|flag| is_foreign(name, flag)).filter(is_given);
    let mut foreign: Vec<String> =
        foreign.filter_map(Arg::get_long).map(|long| format!("--{long}")).collect();
    if foreign.is_empty() {
        return Ok(());
    }
    foreign.sort();
    let (are, foreign) = (if foreign.len() == 1 { "is" } else { "are" }, foreign.join(", "));
    let message = format!(
        "{foreign} {are} not for `{name}`; `mailtrip_exporter {name} --help` lists its flags"
    );
    Err(error(name, ErrorKind::ArgumentConflict, message))
}

/// A problem with the arguments of a subcommand, with its usage.
pub(super) fn error(subcommand: &str, kind: ErrorKind, message: String) -> clap::Error {
    let mut command = hide_foreign(super::Cli::command());
    command.build();
    match command.find_subcommand_mut(subcommand) {
        Some(subcommand) => subcommand.error(kind, message),
        None => command.error(kind, message),
    }
}
