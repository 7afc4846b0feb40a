//! The answers of name servers.
//!
//! Input: a message; its first two bytes become the number of the question.

use std::sync::Arc;

use domain::base::Rtype;

use crate::fuzz::shown;
use crate::net::mx;
use crate::net::names::addresses_in;
use crate::net::names::wire::{Question, answer_to, query};

pub(in crate::fuzz) fn check(input: &[u8]) {
    let mut packet = input.to_vec();
    for kind in [Rtype::MX, Rtype::AAAA] {
        let question = Question {
            name: "example.com".parse().unwrap(),
            kind,
            in_full: false,
            unchecked: false,
        };
        let query = query(&question, false, 0x1234).unwrap();
        if let Some(number) = packet.first_chunk_mut::<2>() {
            *number = [0x12, 0x34];
        }
        let Some(answer) = answer_to(&query, packet.clone()) else { continue };
        match mx::read(&answer, "example.com") {
            Ok(found) => {
                assert!((1..=10).contains(&found.len()), "{} hosts", found.len());
                assert!(found.is_sorted_by_key(|host| host.preference), "{found:?}");
                for exchanger in found {
                    shown::check(&exchanger.to_string());
                    assert!(exchanger.host.len() <= 4 * 255, "{}", exchanger.host);
                    assert!(!exchanger.host.is_empty());
                }
            }
            Err(fault) => shown::check(&fault.message),
        }
        let answer = Arc::new(answer);
        let addresses = addresses_in(&answer);
        assert!(addresses.len() <= input.len() / 12, "{} addresses", addresses.len());
    }
    packet[..2.min(input.len())].reverse();
    let name = "example.com".parse().unwrap();
    let question = Question { name, kind: Rtype::MX, in_full: false, unchecked: false };
    let query = query(&question, false, 0x1234).unwrap();
    assert!(answer_to(&query, packet).is_none(), "the answer to another question");
}
