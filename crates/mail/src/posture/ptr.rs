//! The name of an address that sends (RFC 1912 section 2.1): receivers look it up, and whether it leads back.

use std::net::IpAddr;

use super::questions::{Questions, TOO_LONG};
use super::{Outcome, Tally};

/// The most names of one address that are looked up (as in RFC 7208 section 4.6.4).
const MOST_NAMES: usize = 10;

pub(super) async fn check(addresses: &[IpAddr], questions: Questions<'_>) -> Outcome {
    let mut tally = Tally::default();
    for address in addresses {
        tally.take(check_one(*address, questions).await.unwrap_or_else(|early| early));
    }
    tally.outcome(|good| good.join("; "))
}

async fn check_one(address: IpAddr, questions: Questions<'_>) -> Result<Outcome, Outcome> {
    let found = questions.names_of(address).await?;
    let names = found.list;
    if let Some(name) = confirmed(address, &names, questions).await? {
        return Ok(Outcome::passed(format!("{address} is {name}")));
    }
    if !found.is_whole || names.len() > MOST_NAMES {
        return Ok(Outcome::unknown(format!("{address}: {TOO_LONG}")));
    }
    if names.is_empty() {
        return Ok(Outcome::failed(format!("{address} has no name (PTR)")));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).take(3).collect();
    let words = format!("{address} is not among the addresses of {}", names.join(", "));
    Ok(Outcome::failed(words))
}

/// The first name that has the address. One that does not resolve for now settles nothing, unless another does.
async fn confirmed(
    address: IpAddr,
    names: &[String],
    questions: Questions<'_>,
) -> Result<Option<String>, Outcome> {
    let mut unknown = None;
    for name in names.iter().take(MOST_NAMES) {
        match questions.addresses(name).await {
            Ok(found) if found.list.contains(&address) => return Ok(Some(name.clone())),
            Ok(found) if !found.is_whole => {
                unknown = Some(Outcome::unknown(format!("{name}: {TOO_LONG}")));
            }
            Ok(_) => {}
            Err(outcome) => unknown = Some(outcome),
        }
    }
    unknown.map_or(Ok(None), Err)
}
