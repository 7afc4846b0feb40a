use std::path::Path;

use super::*;
use crate::config::Config;

/// Targets that send to one server, each with further lines of its own.
fn targets(written: &[(&str, &str)]) -> Targets {
    let target = |(name, more): &(&str, &str)| {
        format!(
            "- name: {name}\n  host: mail.example\n  from: a@b.example\n  to: c@d.example\n{more}\n"
        )
    };
    let text: String = written.iter().map(target).collect();
    Config::parse(&format!("targets:\n{text}"), Path::new("test.yml")).unwrap().targets
}

/// The same at work.
fn running(written: &[(&str, &str)]) -> Present {
    let targets = targets(written);
    let mailboxes = Plan::of(&Present::default(), &targets).opens;
    Present { targets, mailboxes, ..Present::default() }
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<TargetName> {
    names.into_iter().map(|name| TargetName::new(name).unwrap()).collect()
}

fn users(ids: &BTreeSet<MailboxId>) -> Vec<&str> {
    ids.iter().map(|id| id.user.as_str()).collect()
}

const ANN: &str = "  receive: {protocol: imap, username: ann, password: p}";
const BEN: &str = "  receive: {protocol: imap, username: ben, password: p}";

#[test]
fn the_same_configuration_changes_nothing() {
    let plan = Plan::of(&running(&[("a", ANN), ("b", BEN)]), &targets(&[("a", ANN), ("b", BEN)]));
    let mailboxes = plan.mailboxes.clone();
    assert_eq!(plan, Plan { mailboxes, ..Plan::default() });
    assert_eq!(plan.mailboxes.len(), 2);
}

#[test]
fn what_is_new_starts_and_what_is_gone_stops_with_its_mailbox() {
    let plan = Plan::of(&running(&[("a", ANN), ("b", BEN)]), &targets(&[("b", BEN), ("c", BEN)]));
    assert_eq!(plan.starts, names(["c"]));
    assert_eq!(plan.stops, names(["a"]));
    assert!(plan.changes.is_empty());
    assert_eq!((users(&plan.opens), users(&plan.closes)), (vec![], vec!["ann"]));
    let (_, works_for) = plan.mailboxes.first_key_value().unwrap();
    let works_for: Vec<_> = works_for.iter().map(|(name, part)| (name.as_str(), *part)).collect();
    assert_eq!(works_for, [("b", Part::Recipient), ("c", Part::Recipient)]);
}

#[test]
fn a_change_of_the_rules_leaves_the_mailbox_and_the_check_in_it() {
    let after = format!("{ANN}\n  lost_after: 2h");
    let plan = Plan::of(&running(&[("a", ANN)]), &targets(&[("a", &after)]));
    assert_eq!(plan.changes.into_values().collect::<Vec<_>>(), [Change::default()]);
    assert!(plan.starts.is_empty() && plan.stops.is_empty());
    assert!(plan.opens.is_empty() && plan.closes.is_empty());
}

#[test]
fn a_target_that_receives_elsewhere_gives_up_the_check_under_way() {
    let plan = Plan::of(&running(&[("a", ANN)]), &targets(&[("a", BEN)]));
    let moves = Change { moves: true, ..Change::default() };
    assert_eq!(plan.changes.into_values().collect::<Vec<_>>(), [moves]);
    assert_eq!((users(&plan.opens), users(&plan.closes)), (vec!["ben"], vec!["ann"]));
}

#[test]
fn the_end_of_inspection_is_part_of_the_change() {
    let (on, off) = (format!("{ANN}\n  inspect: true"), format!("{ANN}\n  inspect: false"));
    let ended = Change { ends_inspection: true, ..Change::default() };
    for (before, after, expected) in [(&on, &off, ended), (&off, &on, Change::default())] {
        let plan = Plan::of(&running(&[("a", before)]), &targets(&[("a", after)]));
        assert_eq!(plan.changes.into_values().collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn the_mailbox_of_the_sender_opens_and_closes_as_any_other() {
    let sam = format!("{ANN}\n  sender_mailbox: {{protocol: imap, username: sam, password: p}}");
    let plan = Plan::of(&running(&[("a", ANN)]), &targets(&[("a", &sam)]));
    assert_eq!(users(&plan.opens), ["sam"]);
    let parts: Vec<_> = plan.mailboxes.values().flatten().map(|(_, part)| *part).collect();
    assert_eq!(parts, [Part::Recipient, Part::Sender]);
    let plan = Plan::of(&running(&[("a", &sam)]), &targets(&[("a", ANN)]));
    assert_eq!(users(&plan.closes), ["sam"]);
}

#[test]
fn a_target_whose_loops_have_ended_begins_anew_though_nothing_changed() {
    let present = Present { idle: names(["a"]), ..running(&[("a", ANN), ("b", BEN)]) };
    let plan = Plan::of(&present, &targets(&[("a", ANN), ("b", BEN)]));
    assert_eq!(plan.changes.into_keys().collect::<BTreeSet<_>>(), names(["a"]));
}
