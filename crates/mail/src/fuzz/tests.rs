use std::panic::catch_unwind;

use super::mutate::{Dice, change, stretch};
use super::{Target, corpus};

#[test]
fn a_corpus_is_read_as_it_was_written() {
    let all: Vec<u8> = (0..=255).chain(*b"= a\n# b\n== c \n \\").collect();
    let long = [b"a b ".repeat(200), all.clone()].concat();
    for input in [&all[..], &long, b"", b" ", b"\n\n", b"=", b"#"] {
        let text = corpus::print("one", input) + &corpus::print("two", b"x");
        let read = corpus::parse(&text).unwrap();
        let expected = [("one".to_owned(), input.to_vec()), ("two".to_owned(), b"x".to_vec())];
        assert_eq!(read, expected, "{text}");
        assert!(text.is_ascii() && text.lines().all(|line| line.len() < 120), "{text}");
    }
    assert!(corpus::parse("bytes of no input").is_err());
    assert!(corpus::parse("== a\n\\q").is_err());
}

#[test]
fn a_target_that_takes_too_much_is_told_of() {
    let budget = super::Budget { bytes: 1000, per_byte: 2 };
    budget.hold("small", 100, || drop(vec![0_u8; 1100]));
    let large = || budget.hold("large", 100, || drop(std::hint::black_box(vec![0_u8; 1300])));
    let told = catch_unwind(large).unwrap_err();
    let told = told.downcast_ref::<String>().unwrap();
    assert!(told.starts_with("large held 1300 bytes for 100 of input; 1200"), "{told}");
}

#[test]
fn the_same_seed_makes_the_same_inputs() {
    let others = [b"abc".to_vec(), b"0123456789".to_vec()];
    let made = |seed| {
        let mut dice = Dice::new(seed);
        (0..50).map(|_| change(&others[1], &others, &mut dice)).collect::<Vec<_>>()
    };
    assert_eq!(made(7), made(7));
    assert_ne!(made(7), made(8));
    assert_eq!(stretch(b"ab", &mut Dice::new(1)).len(), Target::LONGEST);
}
