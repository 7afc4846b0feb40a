//! `mail`: from the configuration to the mail, and back.

use mail::content::{AttachedData, Form};
use openssl::rsa::Rsa;

use super::*;

fn form(mail: &str) -> Form {
    one(&format!("mail: {mail}"), "", "").form().cloned().unwrap()
}

#[test]
fn without_mail_a_target_carries_nothing_for_it() {
    assert_eq!(one("", "", "").wants, None);
    assert_eq!(one("mail: {}", "", "").wants, None);
}

#[test]
fn sizes_have_units_by_thousands_and_by_1024() {
    for (written, bytes) in [
        ("4096", 4096),
        ("300kB", 300_000),
        ("10MB", 10_000_000),
        ("'5 MiB'", 5 << 20),
        ("9KiB", 9216),
    ] {
        assert_eq!(form(&format!("{{size: {written}}}")).size, Some(bytes), "{written}");
    }
}

#[test]
fn the_mail_of_the_defaults_is_changed_key_by_key() {
    let target = under_defaults(
        "{mail: {subject: 'A {token}', body: b, headers: {X-A: a, X-B: b, X-C: c}, size: 10kB}}",
        &target("a", "mail: {body_file: text, headers: {x-a: '', X-B: other}}", "", ""),
    );
    // The file is not there; that it is read at all shows that it stands in for `body`.
    let problems = target.unwrap_err().to_string();
    assert!(problems.contains("targets[0].mail.body_file: cannot be read"), "{problems}");
    let defaults = "{mail: {subject: 'A {token}', body: b, headers: {X-A: a, X-B: b, X-C: c}}}";
    let target =
        under_defaults(defaults, &self::target("a", "mail: {headers: {x-a: '', X-B: o}}", "", ""));
    let target = target.unwrap();
    let form = target.form().unwrap();
    assert_eq!(form.subject.as_ref().unwrap().to_string(), "A {token}");
    let fields: Vec<(&str, Option<String>)> = form
        .fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_ref().map(ToString::to_string)))
        .collect();
    assert_eq!(fields, [("x-a", None), ("X-B", Some("o".into())), ("X-C", Some("c".into()))]);
}

#[test]
fn an_attachment_fills_the_mail_or_has_what_it_says() {
    let attachment = |mail: &str| form(mail).attachment.unwrap();
    let filling = attachment("{size: 10kB, attachment: {name: a.pdf}}");
    assert_eq!((filling.name.as_str(), filling.data), ("a.pdf", AttachedData::Filling));
    let own = attachment("{attachment: {size: 1kB}}");
    assert_eq!((own.name.as_str(), own.data), ("attachment.bin", AttachedData::Meaningless(1000)));
}

/// A folder with everything that a mail can name, and a configuration that does.
fn with_files() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let key = PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap();
    fs::write(folder.path().join("s1.pem"), key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    fs::write(folder.path().join("text"), "\u{feff}Grüße\r\nfrom {target}").unwrap();
    fs::write(folder.path().join("report.pdf"), "%PDF").unwrap();
    let mail = "mail: {subject: 'It''s {{ {token} \u{2028}', headers: {X-A: 'a {time}', List-Id: ''}, body_file: text, \
                attachment: {file: report.pdf}, size: 1MiB, dkim: {domain: Example.com, selector: s1, key_file: s1.pem}}";
    let whole = target("a", mail, "mx: true", "").replace("    host: mail.example.com\n", "");
    let whole = whole.replace("protocol: imap", "host: mail.example.com, protocol: imap");
    let body = "mail:\n      body: |\n        {token}: {{{{a}}\n\n          two\n\n";
    (folder, format!("targets:\n{whole}{}", target("b", body, "", "")))
}

#[test]
fn what_the_mail_names_is_read_and_a_change_of_it_is_seen() {
    let (folder, text) = with_files();
    let config = parse_in(&folder, &text, &[]).unwrap_or_else(|problems| panic!("{problems}"));
    let form = config.targets.values().next().unwrap().form().unwrap();
    assert_eq!(form.body.as_ref().unwrap().text.to_string(), "Grüße\nfrom {target}\n");
    let attachment = form.attachment.as_ref().unwrap();
    assert_eq!(attachment.name, "report.pdf");
    let AttachedData::File { bytes, .. } = &attachment.data else { panic!("{attachment:?}") };
    assert_eq!(&**bytes, b"%PDF");
    let signer = form.signer.as_ref().unwrap();
    assert_eq!((signer.domain(), signer.selector()), ("example.com", "s1"));
    for file in ["text", "report.pdf", "s1.pem"] {
        assert!(!config.inputs.have_changed());
        let before = fs::read(folder.path().join(file)).unwrap();
        fs::write(folder.path().join(file), "other").unwrap();
        assert!(config.inputs.have_changed(), "{file}");
        fs::write(folder.path().join(file), before).unwrap();
    }
}

#[test]
fn targets_with_one_text_hold_it_once() {
    let (folder, _) = with_files();
    let yaml = format!(
        "defaults: {{mail: {{body_file: text}}}}\ntargets:\n{}{}",
        target("a", "", "", ""),
        target("b", "mail: {subject: other}", "", "")
    );
    let config = parse_in(&folder, &yaml, &[]).unwrap_or_else(|problems| panic!("{problems}"));
    let bodies: Vec<_> =
        config.targets.values().map(|it| it.form().unwrap().body.clone().unwrap()).collect();
    let [a, b] = bodies.as_slice() else { panic!("{bodies:?}") };
    assert!(Arc::ptr_eq(a, b));
}

#[test]
fn a_mail_that_is_written_down_loads_again() {
    let (folder, text) = with_files();
    let config = parse_in(&folder, &text, &[]).unwrap_or_else(|problems| panic!("{problems}"));
    let yaml = config.to_yaml();
    assert!(!yaml.contains("PRIVATE"), "{yaml}");
    let again =
        parse_in(&folder, &yaml, &[]).unwrap_or_else(|problems| panic!("{problems}\n{yaml}"));
    let forms = |config: &Config| -> Vec<Form> {
        config.targets.values().map(|target| target.form().unwrap().clone()).collect()
    };
    assert_eq!(forms(&again), forms(&config), "{yaml}");
    assert_eq!(again.to_yaml(), yaml);
}

#[test]
fn check_says_what_the_mail_is_like() {
    let (folder, text) = with_files();
    let described = parse_in(&folder, &text, &[]).unwrap().describe();
    let expected = "; the mail is 1048576 bytes, with report.pdf, signed by s1._domainkey.example.com; late after";
    assert!(described[0].contains(expected), "{described:#?}");
    assert!(!described[1].contains("the mail is"), "{described:#?}");
}

#[test]
fn what_would_go_lost_costs_much_or_counts_nothing_is_told() {
    let warnings = |mail: &str, extra: &str, receive: &str| {
        let target = target("a", &format!("mail: {mail}\n    {extra}"), "", receive);
        parse(&format!("targets:\n{target}")).unwrap().warnings().join("\n")
    };
    let expected = "target `a`: `mail.subject` has no {token}: a mail whose X-Mailtrip is removed";
    assert!(warnings("{subject: a}", "", "").contains(expected));
    assert_eq!(warnings("{subject: 'a {token}', size: 1MB}", "", ""), "");
    for unknown in [
        "{subject: 'INV{token}'}",
        "{subject: '{token}{target}'}",
        "{subject: '0123456789abcdef0123456789abcdef {token}'}",
        "{subject: 'a {token}', headers: {References: <1@b>}}",
    ] {
        let told = warnings(unknown, "", "");
        assert!(told.contains("is not known again by its Subject"), "{unknown}: {told}");
    }
    let much = warnings("{size: 10MB}", "", "");
    assert!(much.contains("`mail` of 10MB sends 2.9 GB a day"), "{much}");
    let much = warnings("{size: 20MB}", "interval: 10s", "");
    assert!(much.contains("`mail` sends 2.0 MB a second"), "{much}");
    let pop3 = warnings("{attachment: {size: 1MB}}", "interval: 1h", "").replace("imap", "pop3");
    assert_eq!(pop3, "");
    let (folder, text) = with_files();
    let config = parse_in(&folder, &text, &[]).unwrap();
    let warnings = config.warnings().join("\n");
    assert!(warnings.contains("`mail.dkim.key_file` is an RSA key of 1024 bits"), "{warnings}");
    assert!(!warnings.contains("DMARC"), "{warnings}");
    let other = text.replace("domain: Example.com", "domain: other.test");
    let warnings = parse_in(&folder, &other, &[]).unwrap().warnings().join("\n");
    assert!(warnings.contains("`mail.dkim.domain` other.test is not that of `from`"), "{warnings}");
}
