//! The search for a mailbox by JMAP, after all others, and where its servers send their clients.

use std::io::Write;

use super::{Search, Stop, end, hosts};
use mail::discovery::services::Announced;
use mail::discovery::{Offer, Site, guess};

impl<W: Write> Search<'_, W> {
    /// Tries the servers of JMAP that the domain announces, then where they may be, then where they send their clients:
    /// each only for want of one before.
    pub(super) async fn look_for_jmap(&mut self, by_http: Vec<Offer>, announced: &Announced) {
        self.live("looking for JMAP");
        self.attempt(by_http).await;
        if self.mailbox.is_none() && self.moved.is_empty() && self.for_tokens.is_none() {
            let smtp = self.smtp.iter().map(|(offer, _)| offer.host.clone());
            let known: Vec<String> = smtp.chain(std::mem::take(&mut self.hosts)).collect();
            let mut offers = guess::jmap(self.domain, &known, end()).await;
            offers.retain(|it| !announced.denies(it));
            self.tell("where JMAP may be", &hosts(&offers));
            self.attempt(offers).await;
        }
        let moved = std::mem::take(&mut self.moved);
        self.attempt(moved).await;
    }

    /// Keeps the other server to which one sends its clients, if it may be asked, and says so.
    pub(super) fn note_move(&mut self, offer: &Offer, site: &Site) -> String {
        let there = format!("sends its clients to {}:{}", site.host, site.port);
        match offer.moved(site, self.domain) {
            Some(moved) => {
                self.moved.push(moved);
                there
            }
            None => {
                self.too_far.get_or_insert_with(|| (offer.host.clone(), site.clone()));
                format!("{there}, outside of {}: it is not asked", self.domain)
            }
        }
    }
}

/// That a server of JMAP sends its clients to another that nobody has named.
pub(in crate::init) fn too_far(host: &str, site: &Site, domain: &str) -> Stop {
    let Site { host: other, port } = site;
    Stop::because(format!(
        "{host} sends its clients to {other}:{port}, which is neither of {domain} nor named in its DNS: no password goes \
         there. If it is right, write the configuration by hand, with `protocol: jmap` and `host: {other}`: docs/jmap.md"
    ))
}
