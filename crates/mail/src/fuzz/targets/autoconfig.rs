//! The file in which a domain says where its mail servers are.
//!
//! Input: the file.

use lettre::Address;

use crate::discovery::{autoconfig, in_order, usernames};
use crate::fuzz::shown;
use crate::options::TlsMode;

pub(in crate::fuzz) fn check(input: &[u8]) {
    let address: Address = shown::USER.parse().unwrap();
    let offers = match autoconfig::read(input, &address) {
        Ok(offers) => offers,
        Err(message) => return shown::check(&message),
    };
    assert!(offers.len() <= 16, "{} servers", offers.len());
    for offer in &offers {
        // The password goes there.
        assert_ne!(offer.tls, TlsMode::None, "{offer}");
        assert_ne!(offer.port, 0, "{offer}");
        shown::check(&offer.to_string());
        assert!(offer.host.bytes().all(|byte| byte.is_ascii_graphic()), "{}", offer.host);
        for name in usernames(offer.username.as_deref(), &address) {
            shown::check(&name);
            assert!(name.len() <= 254, "{name}");
        }
    }
    assert!(in_order(offers, 4).len() <= 4);
}
