//! `match`: whether an answer is waited for, and what is said of one that would not come.

use super::*;

fn warnings(from: &str, user: &str, more: &str) -> Vec<String> {
    let text = format!(
        "targets: [{{name: a, host: h.example, from: {from}, to: echo@other.example, match: reply, {more} receive: \
         {{protocol: imap, username: '{user}', password: hunter2}}}}]\n"
    );
    parse(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}")).warnings()
}

#[test]
fn a_target_waits_for_answers_only_if_it_says_so() {
    assert!(!one("", "", "").takes_replies());
    assert_eq!(one("match: test_mail", "", "").wants, None, "what holds anyway costs nothing");
    let target = one("match: reply", "", "");
    assert!(target.takes_replies() && target.addressed().wants_answer);
    let defaults = "{match: reply}";
    let plain = under_defaults(defaults, &self::target("a", "match: test_mail", "", "")).unwrap();
    assert!(!plain.takes_replies(), "its own word counts");
}

#[test]
fn it_is_shown_and_described() {
    let text = format!("targets:\n{}", target("a", "match: reply", "", ""));
    let config = parse(&text).unwrap();
    let shown = config.to_yaml();
    assert!(shown.contains("    match: reply\n"), "{shown}");
    let again = parse(&shown.replace("<secret>", "hunter2")).unwrap();
    assert_eq!(only(&again).wants, only(&config).wants);
    let line = config.describe().concat();
    assert!(line.contains(", its answer found by imap://a@mail.example.com"), "{line}");
}

#[test]
fn answers_that_come_into_the_mailbox_are_no_reason_to_warn() {
    for (from, user) in [
        ("probe@a.example", "probe@a.example"),
        ("Probe@a.example", "probe@A.example"),
        ("probe@a.example", "probe"),
        ("probe@a.example", "CORP\\probe"),
        ("probe+mailtrip@a.example", "probe@a.example"),
    ] {
        assert_eq!(warnings(from, user, ""), Vec::<String>::new(), "{from} {user}");
    }
}

#[test]
fn what_keeps_an_answer_away_is_warned_of() {
    let probe = "probe@a.example";
    let headers = |fields: &str| format!("mail: {{headers: {{{fields}}}}},");
    for (user, more, words) in [
        (
            "other@a.example",
            String::new(),
            "looks for the answers in the mailbox of other@a.example",
        ),
        ("probe@b.example", String::new(), "and they go to `from`, probe@a.example"),
        (probe, "mail: {subject: Hello},".to_owned(), "`mail.subject` has no {token}: an answer"),
        (probe, headers("Reply-To: x@b.example"), "go to x@b.example (Reply-To)"),
        (probe, headers("Auto-Submitted: auto-generated"), "`mail.headers` has Auto-Submitted"),
        (probe, headers("precedence: Bulk"), "`mail.headers` has Precedence"),
        (probe, headers("X-Auto-Response-Suppress: OOF"), "has X-Auto-Response-Suppress"),
        (probe, headers("List-Id: <a.b>"), "`mail.headers` has List-Id"),
        (probe, headers("list-unsubscribe: '<https://a.example/>'"), "has list-unsubscribe"),
        (probe, "inspect: false,".to_owned(), "tells the way out from the way back"),
        (probe, "domain_checks: {checks: [ptr]},".to_owned(), "`domain_checks.addresses`"),
    ] {
        let said = warnings(probe, user, &more);
        assert!(said.len() == 1 && said[0].contains(words), "{words}: {said:#?}");
    }
    let harmless =
        headers("Auto-Submitted: 'no', Precedence: first-class, Reply-To: P <probe@a.example>");
    assert_eq!(warnings(probe, probe, &harmless), Vec::<String>::new());
    for from in ["owner-a@a.example", "a-request@a.example", "Majordomo@a.example"] {
        let said = warnings(from, from, "");
        assert!(said.len() == 1 && said[0].contains("do not answer `from`"), "{said:#?}");
    }
    let to_itself = warnings("echo@other.example", "echo@other.example", "");
    assert!(to_itself.concat().contains("to `from` itself the mail arrives unanswered"));
}

#[test]
fn a_folder_with_copies_of_sent_mail_is_warned_of() {
    let folders_of = |protocol: &str, list: &str| {
        let text = format!(
            "targets: [{{name: a, host: h.example, from: p@a.example, to: echo@other.example, match: reply, receive: \
             {{protocol: {protocol}, username: p@a.example, password: hunter2, folders: {list}}}}}]\n"
        );
        parse(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}")).warnings()
    };
    for protocol in ["imap", "jmap"] {
        for folder in ["'\\Sent'", "'\\all'", "'Sent Items'", "'[Gmail]/All Mail'"] {
            let said = folders_of(protocol, &format!("[INBOX, {folder}]"));
            assert!(
                said.len() == 1 && said[0].contains("counts as its arrival where another server"),
                "{said:#?}"
            );
        }
        assert_eq!(folders_of(protocol, "[INBOX, '\\Junk']"), Vec::<String>::new());
    }
}
