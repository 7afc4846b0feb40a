use super::tokens::TOKENS;
use super::*;

fn response(parts: &[&str]) -> Response {
    let mut response = Response::default();
    for (index, part) in parts.iter().enumerate() {
        match index % 2 {
            0 => response.push_line(part.as_bytes().to_vec()),
            _ => response.push_literal(part.as_bytes().to_vec()),
        }
    }
    response
}

fn fetched(parts: &[&str]) -> Fetched {
    match response(parts).untagged() {
        Untagged::Fetch(fetched) => fetched,
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_a_fetch_with_a_literal_among_other_items() {
    let fetched = fetched(&[
        "* 12 FETCH (FLAGS (\\Seen $X) UID 4294967295 INTERNALDATE \" 7-Jul-2026 02:44:25 -0700\" \
         BODY[HEADER.FIELDS (X-MAILTRIP SUBJECT)] {12}",
        "Subject: a\r\n",
        " RFC822.SIZE 44)",
    ]);
    assert_eq!((fetched.uid, fetched.size), (Some(u32::MAX), Some(44)));
    assert_eq!(fetched.header.as_deref(), Some(&b"Subject: a\r\n"[..]));
    let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(1_783_417_465);
    assert_eq!(fetched.internal_date, Some(expected));
}

#[test]
fn a_header_may_come_as_a_quoted_string_or_nil() {
    let text = "* 1 FETCH (UID 3 BODY[HEADER] \"a \\\"b\\\" (\" X NIL)";
    assert_eq!(fetched(&[text]).header.as_deref(), Some(&b"a \"b\" ("[..]));
    assert_eq!(fetched(&["* 1 FETCH (BODY[HEADER] NIL UID 3)"]).header, None);
    assert_eq!(fetched(&["* 1 FETCH (BODY[HEADER] NIL UID 3)"]).uid, Some(3));
}

#[test]
fn lists_of_any_depth_are_passed_over() {
    let deep =
        format!("* 1 FETCH (BODYSTRUCTURE {}{} UID 7)", "(".repeat(9_000), ")".repeat(9_000));
    assert_eq!(fetched(&[&deep]).uid, Some(7));
    let open = format!("* 1 FETCH (BODYSTRUCTURE {}", "(".repeat(9_000));
    assert_eq!(fetched(&[&open]).uid, None);
}

#[test]
fn a_number_that_does_not_fit_is_refused_and_not_wrapped() {
    for line in ["* 1 FETCH (UID 4294967296)", "* SEARCH 1 4294967297 2"] {
        assert_eq!(response(&[line]).untagged(), Untagged::BeyondNumbers, "{line}");
    }
    assert_eq!(response(&["* 4294967297 EXISTS"]).untagged(), Untagged::Other);
}

#[test]
fn announced_literals_are_found_and_text_for_people_has_none() {
    for (line, literal) in [
        ("* 1 FETCH (BODY[] {12}", Some(12)),
        ("* 1 FETCH (BODY[] {12+}", Some(12)),
        ("* LIST () \"/\" {4}", Some(4)),
        ("*  1 FETCH (BODY[] {12}  ", Some(12)),
        ("* OK see you {12}", None),
        ("* bye {12}", None),
        ("* 1 FETCH (X })", None),
        ("* 1 FETCH (X 12}", None),
        ("* 1 FETCH (X {-1}", None),
        ("* 1 FETCH (X {99999999999999999999999}", None),
    ] {
        assert_eq!(response(&[line]).announced_literal(), literal, "{line}");
    }
}

#[test]
fn what_follows_a_literal_belongs_to_the_response_or_is_not_believed() {
    for (rest, goes_on) in [(")", true), (" UID 7)", true), ("", true), ("bject: x", false)] {
        let cut = response(&["* 1 FETCH (BODY[HEADER] {2}", "ab", rest]);
        assert_eq!(cut.goes_on_behind_literal(), goes_on, "{rest}");
        assert_eq!(cut.is_cut_behind_literal(), rest.is_empty());
    }
    assert!(!response(&["* LIST () \"/\" {4}", "Junk", ""]).is_cut_behind_literal());
    // The first word of the server counts, whatever a mail may have brought in behind it.
    let read = fetched(&["* 1 FETCH (UID 5 BODY[HEADER] \"a\" UID 7 BODY[X] \"b\")"]);
    assert_eq!((read.uid, read.header.as_deref()), (Some(5), Some(&b"a"[..])));
}

#[test]
fn spaces_do_not_matter() {
    for line in ["*  1688 EXISTS", "*\t1688  EXISTS ", "* 1688\tEXISTS"] {
        assert_eq!(response(&[line]).untagged(), Untagged::Exists(1688), "{line:?}");
    }
    assert!(!response(&["*5 EXISTS"]).is_untagged() && !response(&["*"]).is_untagged());
    let status = tagged(b"OK").map(|(status, ..)| status);
    assert_eq!(status, Some(Status::Ok));
    assert_eq!(tagged(b"NO  [X]   text").unwrap().2, "text");
}

#[test]
fn parentheses_where_a_key_was_expected_are_passed_over() {
    let line = "* 2 FETCH (UID 14935 (ENVELOPE (NIL NIL)) INTERNALDATE NIL BODY[HEADER] \"a\")";
    let read = fetched(&[line]);
    assert_eq!((read.uid, read.header.as_deref()), (Some(14935), Some(&b"a"[..])));
}

#[test]
fn a_fetch_of_no_number_still_tells_of_its_mail() {
    let read = fetched(&["* -5 FETCH (UID 9 BODY[HEADER] \"a\")"]);
    assert_eq!((read.number, read.uid), (u32::MAX, Some(9)));
}

fn numbers(all: &[u32]) -> Numbers {
    let mut numbers = Numbers::default();
    all.iter().for_each(|number| numbers.note(*number));
    numbers
}

#[test]
fn an_extended_search_is_a_search() {
    let found = |line: &str| response(&[line]).untagged();
    let uids = Untagged::Search(numbers(&[1, 2, 3, 7]));
    assert_eq!(found("* ESEARCH (TAG \"M5\") UID ALL 1:3,7"), uids);
    assert_eq!(found("* ESEARCH (TAG \"M5\") UID"), Untagged::Search(Numbers::default()));
}

#[test]
fn a_search_is_read_in_pieces_like_a_whole_one() {
    for word in ["SEARCH", "search"] {
        let mut pieces = Response::default();
        assert!(pieces.begin_numbers(format!("*  {word} 1 2 1").as_bytes()));
        pieces.go_on(b"7 1");
        pieces.go_on(b"8\r");
        assert_eq!(pieces.untagged(), Untagged::Search(numbers(&[1, 2, 17, 18])));
        assert!(pieces.is_untagged() && pieces.announced_literal().is_none());
    }
    for line in ["* CAPABILITY X", "*SEARCH 1", "M1 OK SEARCH 1", "* OK SEARCH"] {
        assert!(!Response::default().begin_numbers(line.as_bytes()), "{line}");
    }
}

#[test]
fn more_than_anybody_needs_is_refused_before_it_is_built() {
    let line = format!("* CAPABILITY{}", " A".repeat(CAPABILITIES));
    assert!(matches!(response(&[&line]).untagged(), Untagged::Capability(_)));
    let line = format!("{line} A");
    let too_many = Untagged::TooMuch(TooMuch(CAPABILITIES, "capabilities"));
    assert_eq!(response(&[&line]).untagged(), too_many);
    for line in ["* 1 FETCH (X ", "* LIST ("] {
        let read = |parentheses: usize| {
            let line = format!("{line}{}", "(".repeat(parentheses));
            matches!(response(&[&line]).untagged(), Untagged::TooMuch(TooMuch(TOKENS, _)))
        };
        assert!(!read(TOKENS / 2), "{line}");
        // A list of folders that begins so is none, and is not read on.
        assert_eq!(read(TOKENS + 1), line.contains("FETCH"), "{line}");
    }
    let words = format!("* LIST ({}) \"/\" a", "\\x ".repeat(TOKENS));
    assert!(matches!(response(&[&words]).untagged(), Untagged::TooMuch(TooMuch(TOKENS, _))));
    let long = format!("* LIST () \"/\" {}", "a".repeat(FOLDER_BYTES + 1));
    assert_eq!(response(&[&long]).untagged(), Untagged::Other);
}

#[test]
fn where_mails_were_moved_to_stands_behind_where_they_were() {
    let there = copied_to("COPYUID 38505 304,319:320 3956:3958");
    assert_eq!(there, Some(numbers(&[3956, 3957, 3958])));
    assert_eq!(copied_to("COPYUID 14  "), None);
    assert_eq!(copied_to("APPENDUID 1 2 3"), None);
}

#[test]
fn reads_lists_with_quoted_atom_and_literal_names() {
    let list = |parts: &[&str]| match response(parts).untagged() {
        Untagged::List(listed) => listed,
        other => panic!("{other:?}"),
    };
    let listed = list(&["* LIST (\\HasNoChildren \\Junk) \"/\" \"Junk E-mail\""]);
    assert_eq!(listed.attributes, ["\\hasnochildren", "\\junk"]);
    assert_eq!(listed.name, b"Junk E-mail");
    assert_eq!(list(&["* LIST () NIL INBOX"]).name, b"INBOX");
    assert_eq!(list(&["* LIST () \"/\" {3}", "a b", ""]).name, b"a b");
}

#[test]
fn what_is_not_known_is_passed_over() {
    for line in
        ["* XYZZY", "* ", "* 5", "* 5 XYZZY (", "* LIST", "* LIST (", "* FLAGS ()", "* -1 EXISTS"]
    {
        assert_eq!(response(&[line]).untagged(), Untagged::Other, "{line}");
    }
    let search = response(&["* SEARCH 1 2 (MODSEQ 5)"]).untagged();
    assert_eq!(search, Untagged::Search(numbers(&[1, 2])));
}

#[test]
fn bytes_that_no_line_may_hold_are_taken_out_of_it() {
    assert_eq!(response(&["* 3 EXI\0STS"]).untagged(), Untagged::Exists(3));
}

#[test]
fn a_folder_whose_name_is_longer_than_any_is_passed_over() {
    let list = |length: usize| {
        response(&[&format!("* LIST (\\Junk) \"/\" {}", "x".repeat(length))]).untagged()
    };
    assert!(matches!(list(1000), Untagged::List(_)));
    assert_eq!(list(FOLDER_BYTES + 1), Untagged::Other);
}
