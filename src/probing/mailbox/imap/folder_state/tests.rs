use super::*;
use crate::probing::mailbox::imap::tries::READ_TRIES;

fn set(known: &mut FolderState, uid: u32, state: BacklogState) {
    known.backlog.set(uid, state);
}

fn to_remove(token: Option<Token>) -> BacklogState {
    BacklogState::ToRemove(Removal::of(token))
}

fn removed(token: Option<Token>) -> BacklogState {
    BacklogState::Expunged(Removal { times: 1, ..Removal::of(token) })
}

fn uids(known: &FolderState, kind: Kind) -> Vec<u32> {
    known.backlog.ids(kind).collect()
}

#[test]
fn what_was_not_read_is_new_to_the_next_process() {
    let mut memory = Memory::default();
    let known = memory.folder(b"INBOX");
    (known.uid_validity, known.next_uid) = (Some(1), 10);
    let from = |memory: &Memory| {
        let mut next = Memory::default();
        let now = crate::clock::now();
        next.restore(memory.records(now).collect(), now);
        next.folder(b"INBOX").next_uid
    };
    assert_eq!(from(&memory), 10);
    for uid in [8, 7] {
        set(memory.folder(b"INBOX"), uid, BacklogState::Report(Box::default()));
    }
    assert_eq!(from(&memory), 7);
    set(memory.folder(b"INBOX"), 5, BacklogState::Unread(Box::default()));
    assert_eq!(from(&memory), 5);
}

fn selected(validity: u32, next: u32) -> Selected {
    Selected { uid_validity: Some(validity), uid_next: Some(next), exists: 3 }
}

#[test]
fn a_next_uid_that_goes_back_is_as_good_as_another_validity() {
    let token = Token::random();
    let mut known = FolderState::default();
    assert_eq!(known.meet(selected(7, 1), true), None);
    known.next_uid = 500;
    set(&mut known, 498, to_remove(Some(token)));
    set(&mut known, 497, to_remove(None));
    set(&mut known, 400, removed(Some(token)));
    set(&mut known, 401, removed(None));
    for same in [500, 501] {
        assert_eq!(known.meet(selected(7, same), true), None);
        assert_eq!(known.next_uid, 500);
    }
    assert_eq!(known.meet(selected(7, 300), false), Some((500, 300)));
    assert_eq!(known.next_uid, 0, "read as at the first contact");
    assert!(known.to_clear().is_empty(), "these UIDs may be others' mail by now");
    assert_eq!(known.displaced, [token].into(), "ours is known by its token");
    assert_eq!(uids(&known, Kind::Expunged), [400]);
}

#[test]
fn mails_that_are_gone_take_no_more_room_after_any_time() {
    let mut known = FolderState::default();
    for uid in 1..=5_000 {
        set(&mut known, uid, to_remove(Some(Token::random())));
        assert!(known.mark_expunged(&[uid], true), "{uid} is told for the first time");
    }
    assert_eq!(known.backlog.len(Kind::Expunged), EXPUNGED);
    assert!(uids(&known, Kind::Expunged).contains(&5_000), "the newest may be shown again");
    let gone = known.backlog.get(5_000).and_then(BacklogState::gone).unwrap();
    known.remove_again(5_000, gone);
    assert!(!known.mark_expunged(&[5_000], true), "said before");
}

fn broke(memory: &mut Memory, uid: u32, header: &str, is_proven: bool) {
    let broken = Broken { uid, header: Some(header.as_bytes().to_vec()), is_proven };
    memory.broke_at = Some((b"INBOX".to_vec(), broken));
}

#[test]
fn a_mail_at_which_a_session_broke_is_passed_over_unless_it_is_ours() {
    let live = Token::random();
    let from: lettre::Address = "from@example.test".parse().unwrap();
    let sender = |token| (token == live).then(|| from.clone());
    let is_ours = |header: &Header| header.claim(sender).is_some();
    let mut memory = Memory::default();
    let subject = |token| format!("Subject: {token}\r\nFrom: from@example.test\r\n\r\n");
    for (uid, strange) in [
        "X-Mailtrip: x\r\nSubject: a\r\n\r\n".to_owned(),
        subject(Token::random()),
        format!("Message-ID: <{}.mailtrip@example.test>\r\n\r\n", Token::random()),
        "Subject: a\r\n\r\n".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        broke(&mut memory, u32::try_from(uid).unwrap() + 1, strange, true);
        assert!(memory.learn_to_pass_over(is_ours), "{strange}");
        assert!(!memory.learn_to_pass_over(is_ours), "told once");
    }
    assert_eq!(memory.take_remarks().len(), 4);
    broke(&mut memory, 9, &subject(live), true);
    assert!(!memory.learn_to_pass_over(is_ours), "that it is not shown is what there is to tell");
    assert_eq!(uids(memory.folder(b"INBOX"), Kind::Broken), [1, 2, 3, 4]);
}

#[test]
fn a_mail_at_which_the_server_falls_silent_is_passed_over_after_some_tries() {
    let mut memory = Memory::default();
    let learns = |memory: &mut Memory, header: &str| {
        broke(memory, 7, header, false);
        memory.learn_to_pass_over(|_| false)
    };
    for _ in 0..=READ_TRIES {
        assert!(!learns(&mut memory, "Subje"), "nothing tells what it is");
    }
    for _ in 1..READ_TRIES {
        assert!(!learns(&mut memory, "Subject: a\r\n"));
    }
    assert!(learns(&mut memory, "Subject: a\r\n"));
    assert!(!memory.folder(b"INBOX").has_ever_shown);
}

#[test]
fn mails_that_are_passed_over_take_no_more_room_after_any_time() {
    let mut known = FolderState::default();
    let most = u32::try_from(LEFT_OVERS).unwrap();
    for uid in 10..10 + most {
        assert!(known.note_broken(uid));
    }
    known.next_uid = 10;
    assert!(known.note_broken(5_000), "it is not asked for again");
    assert_eq!((known.backlog.len(Kind::Broken), known.next_uid), (LEFT_OVERS, 5_001));
    assert!(known.note_broken(6_000));
    assert_eq!(known.backlog.len(Kind::Broken), LEFT_OVERS);
    assert!(known.is_broken(6_000) && !known.is_broken(10));
}
