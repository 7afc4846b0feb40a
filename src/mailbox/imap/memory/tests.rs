use super::*;

#[test]
fn what_was_not_read_is_new_to_the_next_process() {
    let mut memory = Memory::default();
    let known = memory.folder(b"INBOX");
    (known.uid_validity, known.next_uid) = (Some(1), 10);
    let from = |memory: &Memory| {
        let mut next = Memory::default();
        let now = Moment::now();
        next.restore(memory.records(now).collect(), now);
        next.folder(b"INBOX").next_uid
    };
    assert_eq!(from(&memory), 10);
    memory.folder(b"INBOX").reports = [(8, None), (7, None)].into();
    assert_eq!(from(&memory), 7);
    memory.folder(b"INBOX").unread = [(5, Unread::default())].into();
    assert_eq!(from(&memory), 5);
}

fn selected(validity: u32, next: u32) -> Selected {
    Selected { uid_validity: Some(validity), uid_next: Some(next), exists: 3 }
}

#[test]
fn a_next_uid_that_goes_back_is_as_good_as_another_validity() {
    let token = Token::random();
    let mut known = FolderMemory::default();
    assert_eq!(known.meet(selected(7, 1), true), None);
    known.next_uid = 500;
    known.to_remove = [(498, Some(token)), (497, None)].into();
    known.removed =
        [(400, Gone { times: 1, token: Some(token) }), (401, Gone { times: 1, token: None })]
            .into();
    for same in [500, 501] {
        assert_eq!(known.meet(selected(7, same), true), None);
        assert_eq!(known.next_uid, 500);
    }
    assert_eq!(known.meet(selected(7, 300), false), Some((500, 300)));
    assert_eq!(known.next_uid, 0, "read as at the first contact");
    assert!(known.to_clear().is_empty(), "these UIDs may be others' mail by now");
    assert_eq!(known.displaced, [token].into(), "ours is known by its token");
    assert_eq!(known.removed.keys().collect::<Vec<_>>(), [&400]);
}

#[test]
fn mails_that_are_gone_take_no_more_room_after_any_time() {
    let mut known = FolderMemory::default();
    for uid in 1..=5_000 {
        known.to_remove = [(uid, Some(Token::random()))].into();
        assert!(known.settle(&[uid], true), "{uid} is told for the first time");
    }
    assert_eq!(known.removed.len(), GONE);
    assert!(known.removed.contains_key(&5_000), "the newest may be shown again");
    known.to_remove = [(5_000, None)].into();
    assert!(!known.settle(&[5_000], true), "said before");
}
