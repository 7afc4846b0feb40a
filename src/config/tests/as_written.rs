//! What people write, and the value it has.

use std::io::Write;
use std::os::fd::AsRawFd;

use super::*;

/// A target whose mailbox has this password, written so.
fn with_password(written: &str) -> Result<Config, Problems> {
    parse(&format!(
        "targets:\n  - name: a\n    host: mail.example.com\n    from: a@example.com\n    \
         to: b@example.com\n    receive:\n      protocol: imap\n      username: u\n      \
         password: {written}\n    passive: true\n"
    ))
}

#[test]
fn a_password_is_taken_as_it_is_written() {
    let same = [
        "012345",
        "1234567890123456789012",
        "1e5",
        "0x1F",
        "yes",
        "no",
        "2024-01-01",
        "~abc",
        "p@ss:w0rd!#",
        "1$4me&U#2",
        "it's",
        "null2",
        "1_000",
        "0o17",
        ".5",
        "12:30:45",
        "ü€",
        "$",
        "$2y$10$abc",
        "a$b",
        "5$",
        "${",
        "${}",
        "{not}",
    ];
    let quoted = [
        ("'$hunter2'", "$hunter2"),
        ("'${hunter2}'", "${hunter2}"),
        ("'{{ hunter2 }}'", "{{ hunter2 }}"),
        ("\"$hunter-2\"", "$hunter-2"),
        ("'abc #def'", "abc #def"),
        ("\"“x”\"", "“x”"),
        ("'a\u{a0}b'", "a\u{a0}b"),
        ("|-\n        $hunter2", "$hunter2"),
        ("abc #def", "abc"),
    ];
    for (written, meant) in same.into_iter().map(|it| (it, it)).chain(quoted) {
        // What begins with a bracket is no value without quotes.
        let written = if written == "{not}" { "'{not}'" } else { written };
        for line_end in ["\n", "\r\n"] {
            let config = with_password(&written.replace('\n', line_end));
            let config = config.unwrap_or_else(|problems| panic!("{written}: {problems}"));
            assert_eq!(
                password_of(&only(&config).receive.as_ref().unwrap().login),
                meant,
                "{written}"
            );
        }
    }
}

#[test]
fn a_comment_behind_a_password_is_pointed_out_and_never_told() {
    let warning = "mailtrip.yml:9: targets[0].receive.password: ends before ` #`, where a comment \
                   begins; put the password in 'single quotes', with what follows if that belongs \
                   to it";
    for written in ["abc #def", "abc # the old one", "abc\t#def", "abc   # ü"] {
        assert_eq!(with_password(written).unwrap().warnings(), [warning], "{written}");
    }
    for written in ["'abc #def'", "'abc' # the old one", "abc#def", "abc\n      # def"] {
        assert_eq!(with_password(written).unwrap().warnings(), [""; 0], "{written}");
    }
}

#[test]
fn a_password_that_looks_like_a_variable_is_refused_without_being_told() {
    for written in [
        "$hunter2",
        "${hunter2}",
        "\"$hunter2\"",
        "\"${hunter2}\"",
        "${hunter2:-x}",
        "a${hunter2}b",
        "$(cat hunter2)",
        "\"{{ hunter2 }}\"",
    ] {
        let problems = with_password(written).expect_err(written).to_string();
        assert!(problems.contains("name the variable in `password_env`"), "{problems}");
        assert!(!problems.contains("hunter2"), "{problems}");
    }
}

/// What is said of a secret that YAML would change.
const CHANGED: &str = "would not be taken as it stands: YAML reads its beginning as an anchor or a tag, \
                       or joins its lines; write all of it in one line and in 'single quotes'";

#[test]
fn a_password_that_yaml_would_change_is_refused_without_being_told() {
    for written in [
        "&Abc hunter2",
        "!!str hunter2",
        "!!int 012",
        "!!binary 'aHVudGVyMg=='",
        "hunter2\n        hunter2",
        "'hunter2\n        hunter2'",
        "\"hunter2\\\n        hunter2\"",
        ">-\n        hunter2\n        hunter2",
    ] {
        for line_end in ["\n", "\r\n"] {
            let problems = with_password(&written.replace('\n', line_end)).expect_err(written);
            let said = format!("mailtrip.yml:9: targets[0].receive.password: {CHANGED}");
            assert_eq!(problems.to_string(), said, "{written}");
        }
    }
    let meant =
        ["!!str 'a b'", "&Abc 'a b'", "\n        a b", ">-\n        a b", "|-\n        a b"];
    for written in meant {
        let config = with_password(written).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(password_of(&only(&config).receive.as_ref().unwrap().login), "a b", "{written}");
    }
}

#[test]
fn a_secret_that_an_alias_names_is_that_of_its_anchor() {
    let text = |taken: &str| {
        let send = "username: u, password: &both hunter2";
        let written = target("a", "", send, "");
        let written = written.replace("password: hunter2", &format!("password: {taken}"));
        parse(&format!("targets:\n{written}"))
    };
    let config = text("*both").unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(password_of(&only(&config).receive.as_ref().unwrap().login), "hunter2");
    let problems = text("hunter3").unwrap_err().to_string();
    assert!(problems.ends_with(&format!("targets[0].send.password: {CHANGED}")), "{problems}");
    let problems = text("*other").unwrap_err().to_string();
    assert!(problems.contains("a value that begins with `*` needs quotes"), "{problems}");
    assert!(!problems.contains("hunter"), "{problems}");
}

#[test]
fn what_names_a_secret_is_refused_if_yaml_would_change_it() {
    for key in ["password_file", "password_env"] {
        let send = format!("username: u, {key}: &Abc hunter2");
        let problems = parse(&format!("targets:\n{}", target("a", "", &send, "")));
        let problems = problems.unwrap_err().to_string();
        assert!(problems.ends_with(&format!("targets[0].send.{key}: {CHANGED}")), "{problems}");
    }
    for key in ["client_secret_file", "refresh_token_file"] {
        let oauth2 =
            format!("{{token_url: 'https://a.example/t', client_id: a, {key}: !!str hunter2}}");
        let send = format!("username: u, oauth2: {oauth2}");
        let problems = parse(&format!("targets:\n{}", target("a", "", &send, "")));
        let problems = problems.unwrap_err().to_string();
        assert!(problems.ends_with(&format!("oauth2.{key}: {CHANGED}")), "{problems}");
    }
}

#[test]
fn a_password_that_begins_as_something_else_of_yaml_is_never_taken_in_part() {
    for written in [
        "@hunter2",
        "`hunter2",
        "%hunter2",
        "!hunter2",
        "! hunter2",
        "&hunter2",
        "*hunter2",
        "[hunter2",
        "[hunter2]",
        "{hunter2}",
        "]hunter2",
        "}hunter2",
        ">hunter2",
        "|hunter2",
        ",hunter2",
        "#hunter2",
        "- hunter2",
        "? hunter2",
        "'a'hunter2",
        "\"a\"hunter2",
        "&a *hunter2",
    ] {
        match with_password(written) {
            Ok(config) => {
                assert_eq!(
                    password_of(&only(&config).receive.as_ref().unwrap().login),
                    written,
                    "{written}"
                );
            }
            Err(problems) => {
                let problems = problems.to_string();
                assert!(problems.starts_with("mailtrip.yml:9:"), "{written}: {problems}");
                assert!(!problems.contains("hunter2"), "{written}: {problems}");
            }
        }
    }
}

#[test]
fn the_table_of_passwords_in_the_documentation_is_true() {
    let documentation = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let documentation = fs::read_to_string(documentation).unwrap();
    let table = documentation.split("## Passwords").nth(1).unwrap().split("\n\n").nth(1).unwrap();
    let mut refused = Vec::new();
    for row in table.lines().skip(2) {
        let (written, meant) = row.trim_matches(['|', ' ']).split_once(" | ").unwrap();
        let code = |cell: &str| -> Vec<String> {
            let pieces = cell.split('`').skip(1).step_by(2);
            pieces.map(|piece| piece.trim_start_matches("password: ").to_owned()).collect()
        };
        for written in code(written) {
            let password = with_password(&written).map(|config| {
                password_of(&only(&config).receive.as_ref().unwrap().login).to_owned()
            });
            if meant.starts_with("refused") {
                assert!(password.is_err(), "{written}");
                refused.push(written);
            } else if meant.starts_with('`') {
                assert_eq!(Some(&password.unwrap()), code(meant).first(), "{written}");
            } else if meant.starts_with("as it stands") {
                assert_eq!(password.unwrap(), written);
            }
        }
    }
    for written in ["\"$SECRET\"", "\"$ecret\"", "&Abc def", "!!str abc"] {
        assert!(refused.iter().any(|listed| listed == written), "{written} is not listed");
    }
}

#[test]
fn some_ports_mean_tls_from_the_first_byte_on() {
    let sides = |extra: &str, send: &str, receive: &str| {
        let target = one(extra, send, receive);
        let of = |endpoint: Endpoint| (endpoint.port, endpoint.tls);
        (of(target.send.endpoint), of(target.receive.unwrap().endpoint))
    };
    use TlsMode::{Implicit, None as Clear, StartTls};
    assert_eq!(sides("", "port: 465", "port: 993"), ((465, Implicit), (993, Implicit)));
    assert_eq!(sides("", "port: '465'", ""), ((465, Implicit), (143, StartTls)));
    assert_eq!(sides("", "port: 587", "port: 143"), ((587, StartTls), (143, StartTls)));
    assert_eq!(sides("", "port: 465, tls: starttls", ""), ((465, StartTls), (143, StartTls)));
    assert_eq!(sides("ssl: false", "port: 465", "port: 993"), ((465, Clear), (993, Clear)));
    let pop3 = one("", "", "port: 995").receive.unwrap().endpoint;
    assert_eq!((pop3.port, pop3.tls), (995, Implicit));
    let inherited = under_defaults("{send: {port: 465}}", &target("a", "", "", "")).unwrap();
    assert_eq!(inherited.send.endpoint.tls, Implicit);
    let said = under_defaults("{send: {tls: starttls}}", &target("a", "", "port: 465", ""));
    assert_eq!(said.unwrap().send.endpoint.tls, StartTls);
}

#[test]
fn check_says_which_port_meant_tls() {
    let text = format!("targets:\n{}", target("a", "", "port: 465", "port: 993"));
    let line = parse(&text).unwrap().describe().concat();
    assert!(line.contains("mail.example.com:465 (implicit, the default of port 465)"), "{line}");
    assert!(line.contains("mail.example.com:993 (implicit, the default of port 993)"), "{line}");
}

#[test]
fn a_final_dot_is_kept_for_the_look_up_and_nothing_else() {
    let dotted = one("", "host: Mail.Example.COM.", "host: mail.example.com.");
    assert_eq!(dotted.send.endpoint.host, "mail.example.com.");
    assert_eq!(dotted.send.endpoint.name(), "mail.example.com");
    assert_eq!(
        dotted.receive.as_ref().unwrap().mailbox_id(),
        one("", "", "").receive.as_ref().unwrap().mailbox_id()
    );
    let named = one("", "tls_options: {server_name: mail.example.com.}", "");
    let name = named.send.endpoint.tls_options.server_name.clone();
    assert_eq!(name.as_deref(), Some("mail.example.com"));
    let listed = one("ports: ['smtp:mail.example.com.:25']", "", "").port_checks();
    assert_eq!(listed.len(), 2, "the port of the send side is checked once: {listed:?}");
    assert!(parse(&format!("targets:\n{}", target("a", "", "host: a..", ""))).is_err());
}

#[test]
fn keys_at_the_top_that_begin_with_x_are_the_writers_own() {
    let anchors = "x-mailbox: &mailbox {protocol: imap, username: u, password: hunter2}\n\
                   x-any: [1, {a: b}]\n";
    let own = "targets:\n  - name: a\n    host: mail.example.com\n    from: a@example.com\n    \
               to: b@example.com\n    receive: {<<: *mailbox, protocol: pop3}\n";
    let config = parse(&format!("{anchors}{own}")).unwrap_or_else(|problems| panic!("{problems}"));
    let receive = only(&config).receive.as_ref().unwrap();
    assert_eq!((receive.login.username.as_str(), &receive.protocol), ("u", &Protocol::Pop3));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("more.yml"), format!("{anchors}{own}")).unwrap();
    fs::write(folder.path().join(NAME), "include: [more.yml]\n").unwrap();
    assert_eq!(Config::load(&folder.path().join(NAME)).unwrap().targets.len(), 1);
    let problems = parse(&format!("{own}    x-mine: 1\n").replace("*mailbox", "{}"));
    let problems = problems.unwrap_err().to_string();
    assert!(problems.contains("targets[0].x-mine: is not a key"), "{problems}");
}

#[test]
fn words_that_other_readers_take_for_booleans_are_texts() {
    let target = one("cluster: no\n    labels: {country: no, mode: on, number: 010}", "", "");
    assert_eq!(target.cluster.as_deref(), Some("no"));
    let labels: Vec<&str> = target.labels.values().map(String::as_str).collect();
    assert_eq!(labels, ["no", "on", "010"]);
}

#[test]
fn a_number_may_stand_in_quotes() {
    let target = one("messages: \"2\"", "port: '587'", "");
    assert_eq!((target.messages.get(), target.send.endpoint.port), (2, 587));
}

#[test]
fn a_configuration_comes_through_a_pipe_once() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    let text = format!("targets:\n{}", target("a", "", "username: u, password_file: none", ""));
    writer.write_all(text.as_bytes()).unwrap();
    drop(writer);
    let problems = Config::load(Path::new(&path)).unwrap_err().to_string();
    // The password would lie in the working directory.
    assert!(problems.starts_with("pipe:7: targets[0].send.password_file: cannot"), "{problems}");
    let problems = Config::load_again(Path::new(&path)).unwrap_err().to_string();
    let message = "is a pipe and cannot be read again: to reload, name a file in --config.file and \
                   restart";
    assert_eq!(problems, format!("{path}: {message}"));
    drop(reader);
}

#[test]
fn a_pipe_that_nobody_ends_is_given_up() {
    let (reader, writer) = std::io::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    let outcome = source::read_pipe(Path::new(&path), Duration::from_millis(20));
    assert_eq!(outcome.unwrap_err(), "the pipe did not end within 20ms");
    drop(writer);
}

#[test]
fn a_file_in_another_encoding_is_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    let text = format!("targets:\n{}", target("a", "", "", ""));
    let units: Vec<u16> = text.encode_utf16().collect();
    let little = units.iter().flat_map(|unit| unit.to_le_bytes());
    let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
    let marked: Vec<u8> = [0xff, 0xfe].into_iter().chain(little.clone()).collect();
    for bytes in [marked, little.collect(), big] {
        fs::write(&path, bytes).unwrap();
        let problems = Config::load(&path).unwrap_err().to_string();
        assert!(problems.ends_with("cannot be read: it is UTF-16; save it as UTF-8"), "{problems}");
    }
    fs::write(&path, b"# of Latin 1\ntargets:\n  - name: b\xfcro\n").unwrap();
    let problems = Config::load(&path).unwrap_err().to_string();
    assert!(problems.ends_with(":3: is not UTF-8 in this line; save the file as UTF-8"));
}

#[test]
fn a_mark_of_the_byte_order_is_no_part_of_a_password() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("password"), "\u{feff}hunter2\r\n").unwrap();
    let send = "username: u, password_file: password";
    let config = parse_in(&folder, &format!("targets:\n{}", target("a", "", send, "")), &[]);
    let login = only(&config.unwrap()).send.login.clone().unwrap();
    assert_eq!(password_of(&login), "hunter2");
}

#[test]
fn a_file_that_may_not_be_read_names_the_remedy() {
    let said = source::reason(&std::io::Error::from_raw_os_error(13));
    let remedy = "Permission denied (os error 13); let the user as whom this program runs read it";
    assert_eq!(said, remedy);
}
