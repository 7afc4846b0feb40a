//! The name of an address that sends (RFC 1912 section 2.1): receivers look it up, and whether it leads back.

use std::net::IpAddr;

use super::Outcome;
use super::questions::Questions;

/// The most names of one address that are looked up (as in RFC 7208 section 4.6.4).
const MOST_NAMES: usize = 10;

pub(super) async fn check(
    addresses: &[IpAddr],
    questions: Questions<'_>,
) -> Result<Outcome, Outcome> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for address in addresses {
        let names = questions.names_of(*address).await?.list;
        match confirmed(*address, &names, questions).await? {
            Some(name) => good.push(format!("{address} is {name}")),
            None if names.is_empty() => bad.push(format!("{address} has no name (PTR)")),
            None => {
                let names: Vec<&str> = names.iter().map(String::as_str).take(3).collect();
                bad.push(format!("{address} is not among the addresses of {}", names.join(", ")));
            }
        }
    }
    Ok(match bad.is_empty() {
        true => Outcome::passed(good.join("; ")),
        false => Outcome::failed(bad.join("; ")),
    })
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
            Ok(_) => {}
            Err(outcome) => unknown = Some(outcome),
        }
    }
    unknown.map_or(Ok(None), Err)
}
