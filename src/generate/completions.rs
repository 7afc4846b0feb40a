//! Completions for shells: what clap makes of the command line, and for fish one function of our own.

use clap::{Arg, Command, ValueEnum};

use crate::cli::{Cli, Shell};

/// The script for a shell.
pub(super) fn script(shell: Shell) -> String {
    let kind = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut command = Cli::described();
    let mut script = Vec::new();
    clap_complete::generate(kind, &mut command, env!("CARGO_PKG_NAME"), &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Fish => with_dots(&script, &command),
        Shell::Bash | Shell::Zsh => script,
    }
}

const BEGIN: &str = "# Print an optspec";
const END: &str = "function __fish_mailtrip_exporter_using_subcommand";

/// The script with another way to find the subcommand: clap's uses argparse, which knows no flags with a dot in
/// their names, and then completes nothing at all.
fn with_dots(script: &str, command: &Command) -> String {
    let Some((head, rest)) = script.split_once(BEGIN) else { return script.to_owned() };
    let Some((_, tail)) = rest.split_once(END) else { return script.to_owned() };
    format!("{head}{}{END}{tail}{}", needs_command(command), words())
}

/// What clap leaves out for fish: the words of `generate completions`, and that a target is no file.
fn words() -> String {
    let shells = Shell::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let shells: Vec<String> = shells.map(|shell| shell.get_name().to_owned()).collect();
    format!(
        "\
complete -c mailtrip_exporter -n \"__fish_mailtrip_exporter_using_subcommand probe\" -f
complete -c mailtrip_exporter -n \"__fish_mailtrip_exporter_using_subcommand generate; \
and __fish_seen_subcommand_from completions\" -f -a \"{}\"
",
        shells.join(" ")
    )
}

fn needs_command(command: &Command) -> String {
    let takes_value = |flag: &&Arg| flag.get_action().takes_values();
    let flags = command.get_opts().filter(takes_value).filter_map(Arg::get_long);
    let flags: Vec<String> = flags.map(|long| format!("--{long}")).collect();
    format!(
        "\
# Print the subcommand of the line so far, if it has one.
function __fish_mailtrip_exporter_needs_command
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]
        switch $words[1]
            case {}
                # The next word is its value.
                set -e words[1]
            case '-*'
            case '*'
                echo $words[1]
                return 1
        end
        set -e words[1]
    end
    return 0
end

",
        flags.join(" ")
    )
}
