//! What the program writes about itself, before the programs that read it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use tokio::time::timeout;

use crate::support::program::LIMIT;

/// Runs the program in a folder that holds nothing, no configuration either.
fn generate(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailtrip_exporter"));
    command.current_dir(folder).arg("generate").args(arguments);
    command.env("SOURCE_DATE_EPOCH", "1700000000").stdin(Stdio::null()).output().unwrap()
}

fn written(folder: &Path, arguments: &[&str]) -> String {
    let output = generate(folder, arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn pages() -> (TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(written(folder.path(), &["man", "new/man"]), "");
    let files = fs::read_dir(folder.path().join("new/man")).unwrap();
    let mut names: Vec<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    (folder, names)
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let (out, err) = (output.stdout, output.stderr);
    format!("{}{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err))
}

/// What a terminal shows, without bold and underlined letters, which are written over others.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars() {
        match letter {
            '\u{8}' => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}

#[test]
fn each_command_has_a_man_page_that_mandoc_finds_good() {
    let (folder, names) = pages();
    let expected = [
        "mailtrip.yml.5",
        "mailtrip_exporter-check.1",
        "mailtrip_exporter-demo.1",
        "mailtrip_exporter-generate-completions.1",
        "mailtrip_exporter-generate-man.1",
        "mailtrip_exporter-generate-schema.1",
        "mailtrip_exporter-generate.1",
        "mailtrip_exporter-healthcheck.1",
        "mailtrip_exporter-init.1",
        "mailtrip_exporter-probe.1",
        "mailtrip_exporter.1",
    ];
    assert_eq!(names, expected);
    for name in names {
        let path = folder.path().join("new/man").join(&name);
        let path = path.to_str().unwrap();
        assert_eq!(run("mandoc", &["-Tlint", "-Wwarning", path]), "", "{name}");
        let shown = plain(&run("mandoc", &["-Tascii", "-Owidth=78", path]));
        let of_a_command = ["SYNOPSIS", "EXIT STATUS"].into_iter().filter(|_| name.ends_with('1'));
        for part in ["NAME", "SEE ALSO", "2023-11-14"].into_iter().chain(of_a_command) {
            assert!(shown.contains(part), "{part} of {name}: {shown}");
        }
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{name}: {shown}");
    }
}

#[test]
fn a_page_has_the_flags_of_its_command_and_its_exit_codes() {
    let (folder, _) = pages();
    let page = |name: &str| {
        let text = fs::read_to_string(folder.path().join("new/man").join(name)).unwrap();
        text.replace("\\-", "-")
    };
    let probe = page("mailtrip_exporter-probe.1");
    for part in ["--show-transcript", "--config.file", "UNKNOWN", "probe mailserver --timeout 90s"]
    {
        assert!(probe.contains(part), "no {part} in {probe}");
    }
    assert!(!probe.contains("--web.telemetry-path"), "{probe}");
    let main = page("mailtrip_exporter.1");
    for part in
        ["--web.telemetry-path", "SIGHUP", "CREDENTIALS_DIRECTORY", "mailtrip_exporter demo"]
    {
        assert!(main.contains(part), "no {part} in {main}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let output = generate(folder.path(), &["man", "file/man"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("file/man: "), "{output:?}");
}

#[test]
fn a_date_that_is_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for epoch in ["yesterday", "-1", "", "999999999999"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailtrip_exporter"));
        command.current_dir(folder.path()).args(["generate", "man", "man"]);
        let output = command.env("SOURCE_DATE_EPOCH", epoch).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{epoch}: {told}");
        assert!(told.starts_with(&format!("SOURCE_DATE_EPOCH: `{epoch}` is no")), "{told}");
    }
}

/// Lines as they are typed, and how their last word goes on.
const LINES: &[(&str, &str)] = &[
    ("pro", "probe"),
    ("--config.fi", "--config.file"),
    ("--log.level de", "debug"),
    ("--config.file a.yml che", "check"),
    ("probe --show-t", "--show-transcript"),
    ("probe --output na", "nagios"),
    ("demo --web.tele", "--web.telemetry-path"),
    ("generate completions zs", "zsh"),
    // A flag that is not for the subcommand.
    ("probe --web.tele", ""),
];

/// Writes the completions of a shell and a script beside them, and runs that.
async fn complete(shell: &str, file: &str, script: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(file), written(folder.path(), &["completions", shell])).unwrap();
    fs::write(folder.path().join("script"), script).unwrap();
    let mut command = tokio::process::Command::new(shell);
    command.kill_on_drop(true);
    if shell == "zsh" {
        command.arg("-f");
    }
    // Fish knows no command that is not there.
    let program = Path::new(env!("CARGO_BIN_EXE_mailtrip_exporter")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let output = command.arg("script").current_dir(folder.path()).env("PATH", path);
    let output = output.env("HOME", folder.path()).env("TERM", "dumb").output();
    // A shell that waits for a terminal would wait for ever.
    let output = timeout(LIMIT, output).await.expect("it ends").unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(out.lines().count() >= LINES.len(), "{output:?}");
    out.lines().map(|line| line.trim_end().to_owned()).collect()
}

fn expected() -> Vec<String> {
    LINES.iter().map(|(line, word)| format!("{line}: {word}").trim_end().to_owned()).collect()
}

#[tokio::test]
async fn bash_completes_commands_flags_and_values() {
    let mut script = r#"
source completions
try() {
    COMP_WORDS=(mailtrip_exporter $1) COMPREPLY=()
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _mailtrip_exporter mailtrip_exporter "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "$1: ${COMPREPLY[*]}"
}
complete -p mailtrip_exporter >/dev/null || exit 1
"#
    .to_owned();
    LINES.iter().for_each(|(line, _)| script.push_str(&format!("try '{line}'\n")));
    assert_eq!(complete("bash", "completions", &script).await, expected());
}

#[tokio::test]
async fn fish_completes_commands_flags_and_values() {
    let mut script = "
source completions.fish
function try
    echo $argv[1]: (complete -C \"mailtrip_exporter $argv[1]\" | string split -f 1 \\t)
end
"
    .to_owned();
    LINES.iter().for_each(|(line, _)| script.push_str(&format!("try '{line}'\n")));
    assert_eq!(complete("fish", "completions.fish", &script).await, expected());
}

#[tokio::test]
async fn zsh_completes_commands_flags_and_values() {
    // A shell in a terminal, in which a key completes the line and shows what it is then.
    let mut script = "
zmodload zsh/zpty
try() {
    zpty shell zsh -f -i
    zpty -w shell 'fpath=($PWD $fpath); autoload -U compinit; compinit -u -D'
    zpty -w shell 'show() { zle complete-word; print -r -- \"RA\"N $BUFFER END }'
    zpty -w shell 'zle -N show; bindkey \"^T\" show'
    zpty -n -w shell \"mailtrip_exporter $1\"$'\\x14'
    local shown
    zpty -r shell shown '*RAN * END*'
    zpty -d shell
    shown=${shown##*RAN }
    shown=${${shown%% END*}%[ =]}
    print -r -- \"$1: ${shown##* }\"
}
"
    .to_owned();
    LINES.iter().for_each(|(line, _)| script.push_str(&format!("try '{line}'\n")));
    // Without an answer the word stays as it is.
    let expected = LINES.iter().map(|(line, word)| match *word {
        "" => format!("{line}: {}", line.split(' ').next_back().unwrap()),
        word => format!("{line}: {word}"),
    });
    let expected: Vec<String> = expected.collect();
    assert_eq!(complete("zsh", "_mailtrip_exporter", &script).await, expected);
}
