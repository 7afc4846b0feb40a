use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::{X509Builder, X509NameBuilder};
use proptest::prelude::*;
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use super::reference::Home;
use super::*;

mod as_written;
mod bad_files;
mod form;
mod reply;

const DATA: &str = "tests/testdata/config/";

const NAME: &str = "mailtrip.yml";

/// A target that lacks nothing; `{extra}` goes to the target, the rest to its sides.
fn target(name: &str, extra: &str, send: &str, receive: &str) -> String {
    format!(
        "  - name: {name}\n    host: mail.example.com\n    from: a@example.com\n    \
         to: b@example.com\n    {extra}\n    send: {{{send}}}\n    \
         receive: {{protocol: imap, username: {name}, password: hunter2, {receive}}}\n"
    )
}

fn parse(text: &str) -> Result<Config, Problems> {
    let config = Config::parse(text, Path::new(NAME));
    if config.is_ok() {
        crate::generate::tests::assert_editor_accepts(text);
    }
    config
}

fn parse_in(folder: &TempDir, text: &str, env: &[(&str, &str)]) -> Result<Config, Problems> {
    let env: HashMap<&str, OsString> =
        env.iter().map(|(name, value)| (*name, OsString::from(value))).collect();
    file::read(text, &folder.path().join(NAME), &|name| env.get(name).cloned(), Inputs::default())
}

/// The only target of a configuration that holds one.
fn only(config: &Config) -> &Target {
    assert_eq!(config.targets.len(), 1);
    config.targets.values().next().unwrap()
}

fn one(extra: &str, send: &str, receive: &str) -> Target {
    let config = parse(&format!("targets:\n{}", target("a", extra, send, receive)));
    only(&config.unwrap_or_else(|problems| panic!("{problems}"))).clone()
}

fn under_defaults(defaults: &str, target: &str) -> Result<Target, Problems> {
    parse(&format!("defaults: {defaults}\ntargets:\n{target}")).map(|config| only(&config).clone())
}

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn certificate(key: &PKey<Private>) -> Vec<u8> {
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "probe.example.com").unwrap();
    let name = name.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    builder.sign(key, MessageDigest::sha256()).unwrap();
    builder.build().to_pem().unwrap()
}

/// A folder with what `mailtrip.example.yml` names, and that file with paths into the folder.
fn example() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let key = key();
    fs::create_dir(folder.path().join("tls")).unwrap();
    fs::write(folder.path().join("tls/ca.pem"), certificate(&key)).unwrap();
    fs::write(folder.path().join("tls/client.pem"), certificate(&key)).unwrap();
    fs::write(folder.path().join("tls/client.key"), key.private_key_to_pem_pkcs8().unwrap())
        .unwrap();
    fs::write(folder.path().join("sam"), "of-sam\n").unwrap();
    fs::write(folder.path().join("client"), "of-client\n").unwrap();
    fs::write(folder.path().join("mailtrip_mailreceiver"), "of-mailreceiver\r\n").unwrap();
    let text = include_str!("../../mailtrip.example.yml")
        .replace("/run/secrets/sam", "sam")
        .replace("/run/secrets/client", "client");
    (folder, text)
}

fn load_example() -> (TempDir, Config) {
    let (folder, text) = example();
    let credentials = folder.path().to_str().unwrap();
    let env = [("MAILRECEIVER_PASSWORD", "of-receiver"), ("CREDENTIALS_DIRECTORY", credentials)];
    let config = parse_in(&folder, &text, &env).unwrap_or_else(|problems| panic!("{problems}"));
    (folder, config)
}

fn password_of(login: &Login) -> String {
    match &login.credentials {
        Credentials::Password(password) => password.value().expose().to_owned(),
        Credentials::OAuth2(_) => panic!("{} has no password", login.username),
    }
}

#[test]
fn every_bad_file_has_its_exact_messages() {
    let mut files: Vec<String> = fs::read_dir(DATA)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("bad-"))
        .collect();
    files.sort();
    let table: Vec<&str> = bad_files::BAD_FILES.iter().map(|(name, _)| *name).collect();
    assert_eq!(files, table, "the table and the files must name the same");
    for (name, messages) in bad_files::BAD_FILES {
        let problems = Config::load(&Path::new(DATA).join(name)).expect_err(name).to_string();
        let said = problems.replace(DATA, "").replace(DATA.trim_end_matches('/'), "FOLDER");
        assert_eq!(said.lines().collect::<Vec<_>>(), *messages, "{name}");
        assert!(!problems.contains("unter2"), "{name} tells a password: {problems}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem() {
    let problems = Config::load(Path::new("missing.yml")).unwrap_err().to_string();
    let (first, ways) = problems.split_once('\n').unwrap();
    assert_eq!((first, ways.lines().count()), ("missing.yml: does not exist", 3));
    let problems = Config::load_again(Path::new("missing.yml")).unwrap_err().to_string();
    assert_eq!(problems, "missing.yml: cannot be read: No such file or directory (os error 2)");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    fs::write(&path, b"targets: \xff").unwrap();
    let problems = Config::load(&path).unwrap_err().to_string();
    let message = "is not UTF-8 in this line; save the file as UTF-8";
    assert_eq!(problems, format!("{}:1: {message}", path.display()));
    let problems = Config::load(folder.path()).unwrap_err().to_string();
    let message = "cannot be read: it is a folder; name the file in it";
    assert_eq!(problems, format!("{}: {message}", folder.path().display()));
    fs::File::create(&path).unwrap().set_len(source::MAX_YAML_BYTES + 1).unwrap();
    let problems = Config::load(&path).unwrap_err().to_string();
    assert!(problems.ends_with("it is larger than 16777216 bytes"), "{problems}");
}

#[test]
fn the_second_place_counts_where_the_first_has_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let [here, there] = ["here.yml", "there.yml"].map(|name| folder.path().join(name));
    let (place, outcome) = Config::load_first(&here, &there);
    let problems = outcome.unwrap_err().to_string();
    let (first, ways) = problems.split_once('\n').unwrap();
    let expected = format!("{}: does not exist, nor does {}", here.display(), there.display());
    assert_eq!((place, first, ways.lines().count()), (&*here, &*expected, 3));
    fs::write(&there, "targets: []").unwrap();
    let (place, outcome) = Config::load_first(&here, &there);
    assert_eq!((place, outcome.is_ok()), (&*there, true));
    fs::write(&here, "targets: [").unwrap();
    let (place, outcome) = Config::load_first(&here, &there);
    assert_eq!((place, outcome.is_ok()), (&*here, false), "a bad file is none that is missing");
}

#[test]
fn no_slip_of_the_pen_tells_a_password() {
    let block = "targets:\n  - name: a\n    host: h.example\n    from: a@b.example\n    \
                 to: a@b.example\n    send:\n      username: u\n      password: hunter2\n    \
                 receive: {protocol: imap, username: u, password: hunter2}\n";
    let inserted = ["", ":", "\n", " ", "\"", "'", "{", "}", "[", ",", "#", "!", "*", "&", "\t"];
    for (at, old) in block.char_indices() {
        for new in inserted {
            for end in [at, at + old.len_utf8()] {
                let text = format!("{}{new}{}", &block[..at], &block[end..]);
                if let Err(problems) = Config::parse(&text, Path::new(NAME)) {
                    let said = problems.to_string();
                    assert!(!said.contains("hunter2"), "{said}\n{text}");
                    assert!(!format!("{problems:?}").contains("hunter2"), "{text}");
                }
            }
        }
    }
}

#[test]
fn debug_and_yaml_hide_passwords() {
    let config = parse(&format!("targets:\n{}", target("a", "", "", ""))).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!config.to_yaml().contains("hunter2"));
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let target = one("", "", "");
    assert_eq!(target.interval, Duration::from_secs(300));
    assert_eq!(target.late_after, target.interval);
    assert_eq!(target.lost_after, Duration::from_secs(86_400));
    assert_eq!((target.messages.get(), target.max_outstanding), (1, 1000));
    assert_eq!((target.inspect, target.usual, target.authserv_id), (true, false, None));
    assert!(!target.passive && target.ping.is_none() && target.ports.is_empty());
    assert_eq!((target.cluster, target.labels.len()), (None, 0));
    assert_eq!(target.send.login, None);
    assert_eq!((target.send.max_connections.get(), target.send.ehlo), (10, None));
    let endpoint = target.send.endpoint;
    assert_eq!((endpoint.port, endpoint.tls), (25, TlsMode::StartTls));
    assert_eq!((endpoint.ip_family, endpoint.timeout), (IpFamily::Any, Duration::from_secs(30)));
    assert_eq!(*endpoint.tls_options, TlsOptions::default());
    let receive = target.receive.unwrap();
    assert_eq!((receive.endpoint.port, receive.login.auth), (143, Auth::Auto));
    assert_eq!(receive.min_look_interval, Duration::ZERO);
    let folders = vec![Folder::Name("INBOX".into()), Folder::SpecialUse("\\Junk".into())];
    assert_eq!(receive.protocol, Protocol::Imap { folders: folders.into() });
    let config = parse(&format!("targets:\n{}", self::target("a", "", "", ""))).unwrap();
    assert_eq!(config.state_dir, Path::new("./mailtrip-state"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(config.max_concurrent_probes.get(), u32::try_from(100 * cores).unwrap());
}

#[test]
fn a_late_after_beyond_a_day_moves_the_default_of_lost_after() {
    let target = one("interval: 3d", "", "");
    assert_eq!(target.lost_after, Duration::from_secs(3 * 86_400));
}

#[test]
fn ping_is_a_switch_or_a_map_and_the_target_decides() {
    let ping = |defaults: &str, own: &str| {
        let text = format!("defaults: {{{defaults}}}\ntargets:\n{}", target("a", own, "", ""));
        parse(&text).unwrap().targets.values().next().unwrap().ping.clone()
    };
    let usual = ping("", "ping: true").unwrap();
    assert_eq!((usual.host.as_str(), usual.packets, usual.size), ("mail.example.com", 5, 56));
    assert_eq!(
        (usual.interval, usual.timeout),
        (Duration::from_millis(200), Duration::from_secs(2))
    );
    assert_eq!(usual.longest(), Duration::from_millis(2800));
    assert_eq!(ping("ping: true", "ping: false"), None);
    assert_eq!(ping("ping: {packets: 3}", "ping: false"), None);
    assert_eq!(ping("ping: true", ""), Some(usual.clone()));
    assert_eq!(ping("ping: false", "ping: {}"), Some(usual.clone()));
    let both = ping("ping: {packets: 3, size: 100}", "ping: {size: 16, timeout: 1s}").unwrap();
    assert_eq!((both.packets, both.size, both.timeout), (3, 16, Duration::from_secs(1)));
    assert_eq!(ping("ping: {packets: 3}", "ping: true").unwrap().packets, 3);
    assert_eq!(ping("ip_family: 6", "ping: true").unwrap().ip_family, IpFamily::V6);
}

#[test]
fn the_ports_of_both_sides_are_checked_once() {
    let checks = |extra: &str| {
        let checks = one(extra, "port: 587", "").port_checks();
        let shown = checks.iter().map(|check| format!("{}={check}", check.name));
        shown.collect::<Vec<_>>().join(" ")
    };
    let sides = "send=mail.example.com:587 receive=mail.example.com:143";
    assert_eq!(checks(""), sides);
    assert_eq!(checks("ports: [80]"), format!("{sides} 80=mail.example.com:80"));
    assert_eq!(
        checks("ports: ['imap:143', 'smtp:587']"),
        "imap=mail.example.com:143 smtp=mail.example.com:587"
    );
    let other = "'submission:other.example.com:587'";
    let expected = format!("{sides} submission=other.example.com:587");
    assert_eq!(checks(&format!("ports: [{other}]")), expected);
    assert_eq!(checks("port_checks: false"), "");
    let both = target("a", "ports: [80]\n    port_checks: false", "", "");
    let problems = parse(&format!("targets:\n{both}")).unwrap_err().to_string();
    assert!(problems.contains("targets[0].port_checks: contradicts `ports`"), "{problems}");
}

#[test]
fn ports_follow_protocol_and_tls() {
    let ports = |send: &str, receive: &str| {
        let target = one("", send, receive);
        (target.send.endpoint.port, target.receive.as_ref().unwrap().endpoint.port)
    };
    assert_eq!(ports("tls: implicit", "tls: implicit"), (465, 993));
    assert_eq!(ports("tls: none", "tls: none"), (25, 143));
    let pop3 =
        |tls| one("", "", &format!("tls: {tls}, port: 1")).receive.as_ref().unwrap().endpoint.port;
    assert_eq!(pop3("implicit"), 1);
    let pop3 = |extra: &str| {
        let text = format!("targets:\n{}", target("a", extra, "", ""));
        let config = parse(&text.replace("imap", "pop3")).unwrap();
        only(&config).receive.as_ref().unwrap().endpoint.port
    };
    assert_eq!((pop3("ssl: false"), pop3("ssl: true")), (110, 995));
}

#[test]
fn the_ssl_switch_yields_to_what_is_nearer() {
    let modes =
        |target: Target| (target.send.endpoint.tls, target.receive.as_ref().unwrap().endpoint.tls);
    let ssl = |value: bool| modes(one(&format!("ssl: {value}"), "", ""));
    assert_eq!(ssl(true), (TlsMode::Implicit, TlsMode::Implicit));
    assert_eq!(ssl(false), (TlsMode::None, TlsMode::None));
    let own_tls = under_defaults("{ssl: true}", &target("a", "", "tls: starttls", "")).unwrap();
    assert_eq!(modes(own_tls), (TlsMode::StartTls, TlsMode::Implicit));
    let own_ssl = target("a", "ssl: true", "", "");
    let own_ssl = under_defaults("{send: {tls: none}, receive: {tls: none}}", &own_ssl).unwrap();
    assert_eq!(modes(own_ssl), (TlsMode::Implicit, TlsMode::Implicit));
}

#[test]
fn a_target_wins_over_the_defaults_key_by_key() {
    let defaults = "{interval: 1m, timeout: 5s, labels: {site: fra, team: x}, cluster: corp,
      send: {port: 587, username: relay, password: of-relay, tls_options: {min_version: 1.3}},
      receive: {ip_family: 6, folders: [INBOX]}}";
    let own = target("a", "{interval: 2m, labels: {team: y}}", "port: 2525, username: sam", "")
        .replace("{interval: 2m, labels: {team: y}}", "interval: 2m\n    labels: {team: y}");
    let target = under_defaults(defaults, &own).unwrap();
    assert_eq!(target.interval, Duration::from_secs(120));
    assert_eq!(target.late_after, Duration::from_secs(120));
    let labels: Vec<(&str, &str)> =
        target.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("site", "fra"), ("team", "y")]);
    assert_eq!(target.cluster.as_deref(), Some("corp"));
    assert_eq!(target.send.endpoint.port, 2525);
    assert_eq!(target.send.endpoint.timeout, Duration::from_secs(5));
    assert_eq!(target.send.endpoint.tls_options.min_version, TlsVersion::Tls13);
    let login = target.send.login.unwrap();
    assert_eq!((login.username.as_str(), password_of(&login).as_str()), ("sam", "of-relay"));
    assert_eq!(target.receive.as_ref().unwrap().endpoint.ip_family, IpFamily::V6);
    assert_eq!(
        target.receive.as_ref().unwrap().protocol,
        Protocol::Imap { folders: [Folder::Name("INBOX".into())].into() }
    );
}

#[test]
fn what_does_not_fit_a_target_is_not_taken_from_the_defaults() {
    let defaults = "{send: {username: relay, password: of-relay, tls_options: {min_version: 1.3}},
      receive: {folders: [INBOX]}}";
    let own = target("a", "", "username: none, tls: none", "").replace("imap", "pop3");
    let target = under_defaults(defaults, &own).unwrap();
    assert_eq!(target.send.login, None);
    assert_eq!(*target.send.endpoint.tls_options, TlsOptions::default());
    assert_eq!(target.receive.as_ref().unwrap().protocol, Protocol::Pop3);
}

#[test]
fn a_password_key_of_the_target_replaces_that_of_the_defaults() {
    let own = target("a", "", "password: own", "");
    let defaults = "{send: {username: sam, password_env: MAILTRIP_TEST_SET_BY_NOBODY}}";
    let problems = under_defaults(defaults, &own).unwrap_err().to_string();
    assert_eq!(
        problems,
        "mailtrip.yml:1: defaults.send.password_env: names an environment variable that is not set",
        "the defaults themselves are checked, and that once"
    );
    let target = under_defaults("{send: {username: sam, password: theirs}}", &own).unwrap();
    assert_eq!(password_of(&target.send.login.unwrap()), "own");
}

#[test]
fn passwords_come_from_files_and_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("line"), " p w \n").unwrap();
    fs::write(folder.path().join("dos"), "p\r\n").unwrap();
    fs::write(folder.path().join("bare"), "p").unwrap();
    let credentials = folder.path().to_str().unwrap();
    let env = [("SAM", "from env"), ("CREDENTIALS_DIRECTORY", credentials)];
    let password = |key: &str| {
        let text = format!("targets:\n{}", target("a", "", &format!("username: u, {key}"), ""));
        let config = parse_in(&folder, &text, &env).unwrap_or_else(|problems| panic!("{problems}"));
        password_of(only(&config).send.login.as_ref().unwrap())
    };
    assert_eq!(password("password_file: line"), " p w ");
    assert_eq!(password("password_file: dos"), "p");
    assert_eq!(password("password_file: bare"), "p");
    assert_eq!(password("password_file: '${CREDENTIALS_DIRECTORY}/bare'"), "p");
    assert_eq!(password("password_env: SAM"), "from env");
    assert_eq!(password("password: '${SAM}'"), "${SAM}", "nothing else is expanded");
    assert_eq!(password("password: 0123"), "0123", "a number stays as it is written");
}

#[test]
fn credentials_are_found_without_systemd_where_the_unit_takes_them_from() {
    let folder = tempfile::tempdir().unwrap();
    let read = |file: &str, env: &[(&str, &str)]| {
        let key = format!("username: u, password_file: '${{CREDENTIALS_DIRECTORY}}/{file}'");
        parse_in(&folder, &format!("targets:\n{}", target("a", "", &key, "")), env)
            .map(|config| password_of(only(&config).send.login.as_ref().unwrap()))
            .map_err(|problems| problems.to_string())
    };
    let needs_systemd = "needs the environment variable CREDENTIALS_DIRECTORY";
    assert!(read("mailtrip_sam", &[]).unwrap_err().contains(needs_systemd));

    fs::create_dir(folder.path().join("credentials")).unwrap();
    fs::write(folder.path().join("credentials/sam"), "p").unwrap();
    assert_eq!(read("mailtrip_sam", &[]).unwrap(), "p");
    assert!(read("sam", &[]).unwrap_err().contains(needs_systemd), "the unit passes no such name");
    let missing = read("mailtrip_max", &[]).unwrap_err();
    assert!(missing.contains("cannot be read"), "{missing}");
    let passed = tempfile::tempdir().unwrap();
    fs::write(passed.path().join("mailtrip_sam"), "passed").unwrap();
    let env = [("CREDENTIALS_DIRECTORY", passed.path().to_str().unwrap())];
    assert_eq!(read("mailtrip_sam", &env).unwrap(), "passed", "those of systemd go first");
    let added_later = read("mailtrip_max", &env).unwrap_err();
    assert!(added_later.contains("restart it once the file is there"), "{added_later}");
    let key = "username: u, password_file: '${CREDENTIALS_DIRECTORY}/mailtrip_max'";
    let text = format!("targets:\n{}", target("a", "", key, ""));
    let inputs = parse_in(&folder, &text, &env).unwrap_err().inputs().clone();
    fs::write(passed.path().join("mailtrip_max"), "p").unwrap();
    assert!(inputs.have_changed(), "a reload by itself sees it come");
}

#[test]
fn a_list_without_targets_is_a_beginning_and_no_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let config = parse_in(&folder, "targets: []\ninclude: [targets.d/*.yml]\n", &[]).unwrap();
    assert!(config.targets.is_empty());
    let expected = [
        "include `targets.d/*.yml` matches no file",
        "no mail server is tested: write a target, then reload",
    ];
    assert_eq!(config.warnings(), expected);
    let shown = config.to_yaml();
    assert!(parse_in(&folder, &shown, &[]).is_ok_and(|again| again.targets.is_empty()), "{shown}");
    assert!(parse_in(&folder, "include: [targets.d/*.yml]\n", &[]).is_err());
}

#[test]
fn empty_password_sources_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("empty"), "\n").unwrap();
    let said = |key: &str| {
        let text = format!("targets:\n{}", target("a", "", &format!("username: u, {key}"), ""));
        parse_in(&folder, &text, &[("EMPTY", "")]).unwrap_err().to_string()
    };
    assert!(said("password_env: EMPTY").ends_with("password_env: is an empty password"));
    let message = "password_file: names a file whose content is an empty password";
    assert!(said("password_file: empty").ends_with(message));
}

#[test]
fn hosts_are_names_in_lower_case_and_addresses_without_brackets() {
    let host = |written: &str| one("", &format!("host: '{written}'"), "").send.endpoint.host;
    assert_eq!(host("Mail.Example.COM"), "mail.example.com");
    assert_eq!(host("[2001:DB8::1]"), "2001:db8::1");
    assert_eq!(host("2001:db8::1"), "2001:db8::1");
    assert_eq!(host("192.168.10.1"), "192.168.10.1");
    assert_eq!(host("mail_server"), "mail_server");
    assert_eq!(host("Mail.MÜLLER.example"), "mail.xn--mller-kva.example");
    let target = one("", "host: '::1'", "host: '[::1]'");
    assert_eq!(target.receive.as_ref().unwrap().mailbox_id().to_string(), "imap://a@[::1]:143");
}

#[test]
fn an_address_may_be_in_any_script_and_its_domain_goes_in_ascii() {
    let written = |to: &str| {
        let text = target("a", "", "", "").replace("to: b@example.com", &format!("to: {to}"));
        only(&parse(&format!("targets:\n{text}")).unwrap()).to.to_string()
    };
    assert_eq!(written("jörg@bücher.example"), "jörg@xn--bcher-kva.example");
    assert_eq!(written("用户@例え.example"), "用户@xn--r8jz45g.example");
}

#[test]
fn by_mx_the_host_is_the_domain_of_the_recipient_and_is_no_port_to_check() {
    let text = target("a", "", "mx: true", "").replace("to: b@example.com", "to: b@Müller.example");
    let config =
        parse(&format!("targets:\n{text}")).unwrap_or_else(|problems| panic!("{problems}"));
    let target = only(&config);
    let endpoint = &target.send.endpoint;
    assert_eq!((endpoint.host.as_str(), endpoint.port), ("xn--mller-kva.example", 25));
    let checked: Vec<String> = target.port_checks().into_iter().map(|check| check.name).collect();
    assert_eq!(checked, ["receive"]);
    assert!(config.describe()[0].contains("through smtp://the MX of xn--mller-kva.example:25"));
    assert!(!one("", "mx: false", "").send.endpoint.mx);
    let target = under_defaults("{send: {mx: true}}", &target_without_host());
    assert!(target.unwrap().send.endpoint.mx);
}

fn target_without_host() -> String {
    target("a", "", "", "host: mail.example.com").replace("    host: mail.example.com\n", "")
}

#[test]
fn port_checks_take_the_host_of_the_target() {
    let target = one("ports: [25, 'imap:143', 'web:mail.test.com:80', 'v6:[::1]:81']", "", "");
    let checks: Vec<(&str, &str, u16)> = target
        .ports
        .iter()
        .map(|check| (check.name.as_str(), check.host.as_str(), check.port))
        .collect();
    let host = "mail.example.com";
    let web = ("web", "mail.test.com", 80);
    assert_eq!(checks, [("25", host, 25), ("imap", host, 143), web, ("v6", "::1", 81)]);
}

#[test]
fn one_mailbox_may_have_targets_with_other_folders_and_timeouts() {
    let first = target("a", "timeout: 5s", "", "");
    let second = first.replace("name: a\n", "name: b\n").replace("5s", "6s");
    let second = second.replace("hunter2,", "hunter2, folders: [INBOX],");
    let config = parse(&format!("targets:\n{first}{second}")).unwrap();
    assert_eq!(config.targets.len(), 2);
}

#[test]
fn included_targets_get_the_defaults_and_start_from_their_own_folder() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("targets.d");
    fs::create_dir(&below).unwrap();
    let included = target("b", "", "username: sam, password_file: sam", "");
    fs::write(below.join("b.yml"), format!("targets:\n{included}")).unwrap();
    fs::write(below.join("sam"), "of-sam").unwrap();
    fs::write(below.join(".#b.yml"), "an editor's copy").unwrap();
    let text = "include: ['targets.d/*.yml', targets.d/b.yml, 'none.d/*']\n\
                defaults: {interval: 1m}\n";
    fs::write(folder.path().join(NAME), text).unwrap();
    let config = Config::load(&folder.path().join(NAME)).unwrap();
    assert_eq!(only(&config).interval, Duration::from_secs(60));
    assert_eq!(password_of(only(&config).send.login.as_ref().unwrap()), "of-sam");
    assert_eq!(config.warnings(), ["include `none.d/*` matches no file"]);
}

#[test]
fn a_pattern_that_matches_the_main_file_does_not_include_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("state_dir: x\ninclude: ['*.yml']\ntargets:\n{}", target("a", "", "", ""));
    fs::write(folder.path().join(NAME), text).unwrap();
    assert_eq!(Config::load(&folder.path().join(NAME)).unwrap().targets.len(), 1);
}

#[test]
fn the_folder_of_the_main_file_is_no_pattern() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("[a]*");
    fs::create_dir(&odd).unwrap();
    let included = format!("targets:\n{}", target("a", "", "", ""));
    fs::write(odd.join("a.yaml"), included).unwrap();
    fs::write(odd.join(NAME), "include: ['*.yaml']\n").unwrap();
    assert_eq!(Config::load(&odd.join(NAME)).unwrap().targets.len(), 1);
}

#[test]
fn files_of_other_systems_are_read() {
    let text = format!("\u{feff}targets:\n{}", target("a", "", "", "")).replace('\n', "\r\n");
    assert_eq!(only(&parse(&text).unwrap()), &one("", "", ""));
}

#[test]
fn aliases_and_merge_keys_work() {
    let text = "targets:\n  - &first\n    name: a\n    host: mail.example.com\n    \
                from: &address a@example.com\n    to: *address\n    interval: 1m\n    \
                receive: &mailbox {protocol: imap, username: u, password: hunter2}\n  \
                - <<: [*first]\n    name: b\n    interval: 2m\n  \
                - <<: *first\n    name: c\n    receive: {<<: *mailbox, protocol: pop3}\n";
    let config = parse(text).unwrap_or_else(|problems| panic!("{problems}"));
    let [a, b, c] = ["a", "b", "c"].map(|name| &config.targets[&TargetName::new(name).unwrap()]);
    assert_eq!(
        (&a.to, b.interval, b.receive.as_ref().unwrap()),
        (&a.from, Duration::from_secs(120), a.receive.as_ref().unwrap())
    );
    assert_eq!(
        (c.interval, &c.receive.as_ref().unwrap().protocol),
        (Duration::from_secs(60), &Protocol::Pop3)
    );
}

#[test]
fn a_client_certificate_must_fit_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let (key, other) = (key(), key());
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("cert", &certificate(&key));
    write("key", &key.private_key_to_pem_pkcs8().unwrap());
    write("other", &other.private_key_to_pem_pkcs8().unwrap());
    let cipher = openssl::symm::Cipher::aes_128_cbc();
    let locked = key.private_key_to_pem_pkcs8_passphrase(cipher, b"phrase").unwrap();
    write("locked", &locked);
    let parse = |key: &str| {
        let send = format!("tls_options: {{cert_file: cert, key_file: {key}}}");
        parse_in(&folder, &format!("targets:\n{}", target("a", "", &send, "")), &[])
    };
    let config = parse("key").unwrap();
    let identity = only(&config).send.endpoint.tls_options.identity.clone().unwrap();
    assert_eq!(*identity.cert_file.pem, *certificate_bytes(&folder));
    let message = "cert_file: does not fit the private key in `key_file`";
    assert!(parse("other").unwrap_err().to_string().ends_with(message));
    let message = "holds no private key in PEM form without a pass phrase";
    assert!(parse("locked").unwrap_err().to_string().ends_with(message));
}

fn certificate_bytes(folder: &TempDir) -> Vec<u8> {
    fs::read(folder.path().join("cert")).unwrap()
}

#[test]
fn a_certificate_file_is_kept_once_for_all_targets() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ca.pem"), certificate(&key())).unwrap();
    let text = format!(
        "defaults: {{send: {{tls_options: {{ca_file: ca.pem}}}}}}\ntargets:\n{}{}",
        target("a", "", "", ""),
        target("b", "", "", "")
    );
    let config = parse_in(&folder, &text, &[]).unwrap();
    let pem = |target: &Target| {
        let file = target.send.endpoint.tls_options.ca_file.as_ref();
        Arc::as_ptr(&file.unwrap().pem)
    };
    let pems: Vec<_> = config.targets.values().map(|target| pem(target)).collect();
    assert!(std::ptr::addr_eq(pems[0], pems[1]));
}

#[test]
fn the_running_configuration_names_files_wherever_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ca.pem"), certificate(&key())).unwrap();
    let depth = std::env::current_dir().unwrap().components().count() - 1;
    let path = "../".repeat(depth) + folder.path().to_str().unwrap().trim_start_matches('/');
    let target = one("", &format!("tls_options: {{ca_file: '{path}/ca.pem'}}"), "");
    let file = target.send.endpoint.tls_options.ca_file.clone().unwrap();
    assert!(file.path.is_absolute(), "{file:?}");
}

#[test]
fn the_example_loads() {
    let (_folder, config) = load_example();
    let descriptions = config.describe();
    assert_eq!(
        descriptions[0],
        "mailserver: every 5m one mail from sendtest@test.com to receivetest@test.com through \
         smtp://sam@192.168.10.1:25 (starttls), found by imap://mailreceiver@192.168.10.1:143 \
         (starttls) in INBOX, \\Junk; bounces and sent copies by imap://sam@192.168.10.1:143 \
         (starttls) in INBOX, \\Junk, \\Sent; the mail is 20kB, with report.pdf; late after 5m, lost \
         after 24h; pings 192.168.10.1; checks 192.168.10.1:25, 192.168.10.1:143, mail.test.com:80; asks \
         bl.example.org about 198.51.100.7 every 1h; checks mx, spf, dkim, dmarc, mta_sts, tls_rpt, \
         dane, ptr of test.com every 1h; node of cluster corp"
    );
    assert_eq!(
        descriptions[4],
        "standby: every 5m one mail from sendtest@test.com to receivetest@test.com through \
         smtp://192.168.10.2:465 (implicit, the default of port 465), found by \
         pop3://mailreceiver@192.168.10.2:995 (implicit, the default of port 995); late after 5m, lost after 24h; passive node of cluster corp"
    );
    assert_eq!(descriptions.len(), 5);
}

#[test]
fn a_senders_mailbox_is_looked_into_where_bounces_and_sent_copies_lie() {
    let mailbox = "sender_mailbox: {protocol: imap, username: sam, password: x, tls: implicit}";
    let target = one(mailbox, "", "");
    let side = target.sender_mailbox.expect("a mailbox");
    assert_eq!((side.endpoint.host.as_str(), side.endpoint.port), ("mail.example.com", 993));
    let Protocol::Imap { folders } = side.protocol else { panic!("{:?}", side.protocol) };
    let folders: Vec<String> = folders.iter().map(Folder::to_string).collect();
    assert_eq!(folders, ["INBOX", r"\Junk", r"\Sent"]);
    assert_eq!(one("", "", "").sender_mailbox, None, "only where it is written");
}

#[test]
fn the_example_shows_every_key_and_places_every_classic_parameter() {
    let text = include_str!("../../mailtrip.example.yml");
    let lists =
        [Home::Main, Home::Target, Home::Send, Home::Receive, Home::TlsOptions].map(Home::names);
    for key in lists.concat() {
        let written = text.lines().any(|line| {
            let code = line.split(" #").next().unwrap_or_default().trim_start();
            !code.starts_with('#') && code.trim_start_matches("- ").starts_with(&format!("{key}:"))
        });
        assert!(written, "{key} is not in the example");
    }
    let classic = [
        "test period",
        "host",
        "port of routing engine",
        "SendPort",
        "SendUser",
        "SendPassword",
        "FromID",
        "ToID",
        "Protocol",
        "ReceiveHost",
        "ReceivePort",
        "ReceiveUser",
        "ReceivePassword",
        "SSL",
        "IsPassive",
    ];
    for parameter in classic {
        let placed = text.lines().any(|line| line.starts_with(&format!("#   {parameter} ")));
        assert!(placed, "{parameter} has no place");
    }
}

/// The keys in the first cells of the table under a heading.
fn documented_keys<'a>(page: &'a str, heading: &str) -> BTreeSet<&'a str> {
    let section = page.split(&format!("\n{heading}\n")).nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn the_documentation_has_every_key_and_no_other() {
    let page = include_str!("../../docs/configuration.md");
    for (heading, homes) in [
        ("## Keys of the file", &[Home::Main][..]),
        ("## Keys of a target", &[Home::Target]),
        ("## Keys of `send` and `receive`", &[Home::Send, Home::Receive]),
        ("## Keys of `tls_options`", &[Home::TlsOptions]),
        ("## Keys of `oauth2`", &[Home::OAuth2]),
        ("## Keys of `inspect`", &[Home::Inspect]),
        ("## Keys of `ping`", &[Home::Ping]),
        ("## Keys of `mail`", &[Home::Mail]),
        ("## Keys of `attachment`", &[Home::Attachment]),
        ("## Keys of `dkim`", &[Home::Dkim]),
        ("## Keys of `dnsbl`", &[Home::Dnsbl]),
        ("## Keys of a list of `dnsbl`", &[Home::DnsblList]),
        ("## Keys of `domain_checks`", &[Home::DomainChecks]),
    ] {
        let known: BTreeSet<&str> = homes.iter().flat_map(|home| home.names()).collect();
        assert_eq!(documented_keys(page, heading), known, "{heading}");
    }
}

#[test]
fn what_is_usual_is_learned_where_a_target_or_the_defaults_say_so_and_headers_are_read() {
    let target = "targets: [{name: a, host: h.example, from: a@h.example, to: a@h.example, receive: \
                  {protocol: imap, username: u, password: p}";
    for (defaults, own, expected) in [
        ("", "", (true, false)),
        ("", ", inspect: {}", (true, false)),
        ("", ", inspect: {usual: true}", (true, true)),
        ("inspect: {usual: true}", "", (true, true)),
        ("inspect: {usual: true}", ", inspect: true", (true, true)),
        ("inspect: {usual: true}", ", inspect: {usual: false}", (true, false)),
        ("inspect: {usual: true}", ", inspect: false", (false, false)),
        ("inspect: false", ", inspect: {usual: true}", (true, true)),
    ] {
        let text = format!("defaults: {{{defaults}}}\n{target}{own}}}]\n");
        let config = Config::parse(&text, Path::new("mailtrip.yml")).unwrap();
        let target = config.targets.values().next().unwrap();
        assert_eq!((target.inspect, target.usual), expected, "{text}");
    }
}

/// The targets with each secret as if it had been written down.
fn with_fixed_secrets(config: &Config) -> Vec<Target> {
    let fixed = |source: &SecretSource| SecretSource::Fixed(source.value());
    let fix = |login: &mut Login| {
        login.credentials = match &login.credentials {
            Credentials::Password(source) => Credentials::Password(fixed(source)),
            Credentials::OAuth2(provider) => Credentials::OAuth2(Arc::new(OAuth2 {
                client_secret: provider.client_secret.as_ref().map(fixed),
                refresh_token: provider.refresh_token.as_ref().map(fixed),
                ..OAuth2::clone(provider)
            })),
        };
    };
    let target = |target: &Arc<Target>| {
        let mut target = Target::clone(target);
        let sender_mailbox = target.sender_mailbox.as_mut().map(|side| &mut side.login);
        let logins = [
            target.send.login.as_mut(),
            target.receive.as_mut().map(|side| &mut side.login),
            sender_mailbox,
        ];
        logins.into_iter().flatten().for_each(fix);
        target
    };
    config.targets.values().map(target).collect()
}

#[test]
fn the_running_configuration_loads_again() {
    let (folder, config) = load_example();
    // Which file a secret came from is not shown: it is put back under this name.
    fs::write(folder.path().join("<secret>"), "of-client\n").unwrap();
    let yaml = config.to_yaml();
    assert!(
        !yaml.contains("of-client")
            && !yaml.contains("of-sam")
            && yaml.contains("password: <secret>")
    );
    // Targets in the order of their names, the send side of each first, the sender's mailbox last.
    let mut passwords = [
        "of-sam",
        "of-receiver",
        "of-sam",
        "not for production either",
        "not for production: everyone who reads this file knows it",
        "of-mailreceiver",
    ]
    .into_iter()
    .map(|password| format!("password: '{password}'"));
    let restored: String = yaml
        .lines()
        .map(|line| match line.contains("password: <secret>") {
            true => line.replace("password: <secret>", &passwords.next().unwrap()) + "\n",
            false => format!("{line}\n"),
        })
        .collect();
    let again = parse_in(&folder, &restored, &[]).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(again.state_dir, config.state_dir);
    assert_eq!(again.max_concurrent_probes, config.max_concurrent_probes);
    assert_eq!(with_fixed_secrets(&again), with_fixed_secrets(&config));
    assert_eq!(again.to_yaml(), yaml);
    let shown = parse_in(&folder, &yaml, &[]).unwrap();
    assert_eq!(shown.to_yaml(), yaml);
}

#[test]
fn the_running_configuration_is_written_out() {
    let text = format!("max_concurrent_probes: 200\ntargets:\n{}", target("a", "", "", ""));
    let config = parse(&text).unwrap();
    assert_eq!(config.to_yaml(), include_str!("../../tests/testdata/config/running.yml"));
}

#[test]
fn fewer_places_than_mails_are_due_in_a_second_are_told() {
    let targets: String =
        (0..30).map(|number| target(&format!("t{number}"), "interval: 1s", "", "")).collect();
    let warnings = |most: u32| {
        let text = format!("max_concurrent_probes: {most}\ntargets:\n{targets}");
        parse(&text).unwrap().warnings().join("\n")
    };
    assert!(!warnings(30).contains("max_concurrent_probes"), "{}", warnings(30));
    let words = "`max_concurrent_probes` is 29: where servers take a second or longer to answer, 29 test periods begin \
                 in a second, and 30 are due: raise it; of targets that share the connections of an account \
                 (`max_connections`) fewer are tested, for each connection waits for its place";
    assert!(warnings(29).contains(words), "{}", warnings(29));
}

#[test]
fn warnings_tell_what_is_allowed_and_yet_doubtful() {
    let warnings = |extra: &str, send: &str, receive: &str| {
        parse(&format!("targets:\n{}", target("a", extra, send, receive))).unwrap().warnings()
    };
    assert_eq!(warnings("", "", ""), [""; 0]);
    let says = |warnings: Vec<String>, expected: &[&str]| {
        let expected: Vec<String> =
            expected.iter().map(|message| format!("target `a`: {message}")).collect();
        assert_eq!(warnings, expected);
    };
    let unused = "`authserv_id` is not used: `inspect` is false";
    says(warnings("inspect: false\n    authserv_id: mx.example", "", ""), &[unused]);
    says(warnings("authserv_id: mx.example", "", ""), &[]);
    says(warnings("ping: true\n    ports: [80]", "", ""), &[]);
    let long = "`ping` may take 6m2s, more than `interval`: it is cut off there";
    says(warnings("ping: {packets: 7, interval: 1m}", "", ""), &[long]);
    let clear = "`receive.tls` is none: the password is sent in the clear";
    says(warnings("", "tls: none", "tls: none"), &[clear]);
    says(warnings("", "", "tls: none, host: 127.0.0.1"), &[]);
    says(
        warnings("", "tls_options: {insecure_skip_verify: true, min_version: 1.1}", ""),
        &[
            "`send.tls_options.insecure_skip_verify` accepts any certificate",
            "`send.tls_options.min_version` allows TLS 1.1, which is broken",
        ],
    );
    says(
        warnings("", "ehlo: monitor", ""),
        &[
            "`send.ehlo` monitor has no dot: many servers take a full name only, as monitor.example.com",
        ],
    );
    says(warnings("", "ehlo: monitor.example.com", ""), &[]);
    says(warnings("", "ehlo: '[IPv6:2001:db8::1]'", ""), &[]);
    says(
        warnings("", "port: 465, tls: starttls", "port: 993, tls: none, host: 127.0.0.1"),
        &[
            "`send.port` 465 usually goes with `tls: implicit`",
            "`receive.port` 993 usually goes with `tls: implicit`",
        ],
    );
    says(
        warnings("", "port: 587, tls: implicit", ""),
        &["`send.port` 587 usually goes with `tls: starttls`"],
    );
    says(
        warnings("", "", "tls: implicit, port: 143"),
        &["`receive.port` 143 usually goes with `tls: starttls`"],
    );
    let gmail = warnings("interval: 1m", "host: smtp.gmail.com, username: a, password: x", "");
    assert!(gmail.iter().any(|warning| warning.contains("Gmail may accept only 500")), "{gmail:?}");
    says(warnings("", "", "port: 110"), &["`receive.port` is that of another protocol"]);
    let early =
        "`lost_after` is shorter than `interval`: a mail is given up before the next is sent";
    says(warnings("late_after: 1m\n    lost_after: 2m", "", ""), &[early]);
}

#[test]
fn ten_thousand_targets_load_quickly() {
    let mut text = "defaults: {interval: 1m}\ntargets:\n".to_owned();
    for index in 0..10_000 {
        text += &target(&format!("t{index}"), "", "", "folders: [INBOX]");
    }
    // Of this thread alone, however busy the machine is.
    let worked = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let start = worked();
    let config = parse(&text).unwrap();
    let took = worked() - start;
    assert_eq!(config.targets.len(), 10_000);
    println!("10,000 targets, {} bytes: {took:?}", text.len());
    // Several times what it takes, and far below what quadratic work would.
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn the_number_of_values_is_bounded() {
    let text = format!("targets: [{}]", "a,".repeat(2_000_001));
    let problems = parse(&text).unwrap_err().to_string();
    let message = "the file holds more than 2000000 values, aliases written out";
    assert!(problems.ends_with(message), "{problems}");
}

#[test]
fn durations_are_written_as_they_are_read() {
    let written = |text: &str| {
        ledger::durations::Written(humantime::parse_duration(text).unwrap()).to_string()
    };
    for text in ["0s", "500ms", "30s", "5m", "1h30m", "24h", "7d", "1m500ms"] {
        assert_eq!(written(text), text);
    }
    assert_eq!(written("90s"), "1m30s");
}

proptest! {
    #[test]
    fn any_text_is_answered_without_panic(text in "[ \\t\\n:{}\\[\\],#&*!|>'\"%@`a-c<~-]{0,60}") {
        let _ = parse(&text);
        let _ = parse(&format!("targets:\n  - {text}"));
    }

    #[test]
    fn any_name_and_label_comes_back_from_the_running_configuration(
        value in "\\PC{1,20}|[\\x00-\\x7f]{1,8}|[a-z'\"\\\\:# -]{1,10}",
    ) {
        let text = format!("targets:\n{}", target("a", "", "", ""));
        let mut config = parse(&text).unwrap();
        let name = TargetName::new("a").unwrap();
        let mut changed = Target::clone(&config.targets[&name]);
        changed.labels.insert("x".into(), value.clone());
        config.targets.insert(name.clone(), Arc::new(changed));
        let again = parse(&config.to_yaml());
        prop_assert_eq!(&again.unwrap().targets[&name].labels["x"], &value);
    }

    #[test]
    fn any_duration_comes_back(nanoseconds in 1_u64..10_000_000_000_000_000) {
        let duration = Duration::from_nanos(nanoseconds);
        let text = ledger::durations::Written(duration).to_string();
        prop_assert_eq!(humantime::parse_duration(&text).unwrap(), duration);
    }
}
