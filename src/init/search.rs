//! The search for the servers of an address: what its domain announces in the DNS, then its file for mail programs, then
//! usual names, then the hosts that take its mail; each only for what the ones before have not shown. Of what is found
//! at one time all is tried at once, without a password, and the strongest that is good is taken. JMAP comes last, where no
//! mailbox was found by what most people read with.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use lettre::Address;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::Stop;
use crate::config;
use crate::roundtrip::terminal::{Look, Terminal};
use mail::auth::{Auth, Mechanism};
use mail::discovery::services::Announced;
use mail::discovery::{
    MailProtocol, Offer, Site, Welcome, autoconfig, guess, in_order, reach, services,
};
use mail::net::records::Resolver;
use mail::options::TlsOptions;
use mail::text::cut_to;
use mail::wire::ConnectionContext;
use mail::{Failure, Reason};

pub(super) use jmap::too_far;

mod jmap;

/// How long the DNS may take.
const NAMES: Duration = Duration::from_secs(15);
/// How many servers of one source are tried.
const MOST: usize = 24;
/// How often the live line is rewritten.
const TICK: Duration = Duration::from_millis(500);
/// The most characters of what went wrong with a server.
const WORDS: usize = 160;

/// A server, and how it takes a login.
pub(super) type Choice = (Offer, Welcome);

/// Both servers of an address.
pub(super) struct Found {
    pub(super) mailbox: Choice,
    pub(super) smtp: Choice,
}

/// A search that is under way.
pub(super) struct Search<'a, W> {
    address: &'a Address,
    domain: &'a str,
    /// By which protocol alone the mailbox is to be read.
    protocol: Option<MailProtocol>,
    tls_options: &'a TlsOptions,
    clients: Arc<ConnectionContext>,
    terminal: &'a mut Terminal<W>,
    mailbox: Option<Choice>,
    smtp: Option<Choice>,
    /// A server that takes mail without a login, for want of a better.
    between_servers: Option<Choice>,
    /// What was tried, as it is shown.
    tried: BTreeSet<String>,
    /// A host that takes access tokens alone.
    for_tokens: Option<String>,
    /// A host whose certificate is not good.
    untrusted: Option<String>,
    /// Other servers to which those of JMAP send their clients.
    moved: Vec<Offer>,
    /// One that is not followed, and who sends there.
    too_far: Option<(String, Site)>,
    /// Hosts at which servers of the domain may be.
    hosts: Vec<String>,
    /// Why the DNS has not answered something.
    unanswered: Option<String>,
}

impl<'a, W: Write> Search<'a, W> {
    /// Nothing was found yet.
    pub(super) fn new(
        address: &'a Address,
        domain: &'a str,
        protocol: Option<MailProtocol>,
        tls_options: &'a TlsOptions,
        clients: Arc<ConnectionContext>,
        terminal: &'a mut Terminal<W>,
    ) -> Self {
        Self {
            address,
            domain,
            protocol,
            tls_options,
            clients,
            terminal,
            mailbox: None,
            smtp: None,
            between_servers: None,
            tried: BTreeSet::new(),
            for_tokens: None,
            untrusted: None,
            moved: Vec::new(),
            too_far: None,
            hosts: Vec::new(),
            unanswered: None,
        }
    }

    /// Searches until both are found, or there is nothing left to try.
    ///
    /// # Errors
    /// Why there is no way with a password.
    pub(super) async fn run(mut self, resolver: &Resolver) -> Result<Found, Stop> {
        let title = format!("The servers of {}", self.domain);
        self.terminal.line(&[(Look::Strong, &title)]);
        let announced = self.ask_dns(resolver).await;
        let (by_http, mut offers): (Vec<Offer>, Vec<Offer>) =
            announced.offers.iter().cloned().partition(|it| it.protocol == MailProtocol::Jmap);
        offers.extend(announced.with_tls_from_the_start());
        self.attempt(offers).await;
        if self.is_missing() {
            self.ask_domain().await;
        }
        if self.is_missing() {
            self.live("looking for the usual names");
            let offers = guess::usual_names(self.domain, end()).await;
            self.tell("the usual names", &hosts(&offers));
            self.attempt(offers.into_iter().filter(|it| !announced.denies(it)).collect()).await;
        }
        if self.is_missing() {
            self.ask_for_exchangers(resolver, &announced).await;
        }
        if self.is_wanted(MailProtocol::Jmap) {
            self.look_for_jmap(by_http, &announced).await;
        }
        if self.smtp.is_none() && self.for_tokens.is_none() {
            self.smtp = self.between_servers.take();
        }
        match (self.mailbox.take(), self.smtp.take()) {
            (Some(mailbox), Some(smtp)) => Ok(Found { mailbox, smtp }),
            (mailbox, smtp) => Err(self.nothing(mailbox.is_some(), smtp.is_some())),
        }
    }

    /// What the domain announces.
    async fn ask_dns(&mut self, resolver: &Resolver) -> Announced {
        self.live("asking the DNS");
        let announced = services::announced(resolver, self.domain, end()).await;
        let count = announced.offers.len();
        self.tell(
            "the DNS (SRV)",
            &match &announced.fault {
                Some(fault) if count == 0 => fault.message.clone(),
                Some(fault) => {
                    format!("names {}; not all is known: {}", counted(count), fault.message)
                }
                None => format!("names {}", counted(count)),
            },
        );
        self.unanswered = announced.fault.as_ref().map(|fault| fault.message.clone());
        announced
    }

    /// Tries the hosts that take the mail of the domain.
    async fn ask_for_exchangers(&mut self, resolver: &Resolver, announced: &Announced) {
        self.live("looking for the hosts that take the mail");
        let what = "the hosts that take its mail (MX)";
        match guess::exchangers(resolver, self.domain, end()).await {
            Ok(mut offers) => {
                self.tell(what, &hosts(&offers));
                self.hosts.extend(offers.iter().map(|offer| offer.host.clone()));
                offers.retain(|it| !announced.denies(it));
                self.attempt(offers).await;
            }
            Err(fault) => {
                self.tell(what, &fault.message);
                self.unanswered.get_or_insert(fault.message);
            }
        }
    }

    fn is_missing(&self) -> bool {
        let is_mailbox_missing =
            self.is_wanted(MailProtocol::Imap) || self.is_wanted(MailProtocol::Pop3);
        // What a provider wants is known by the first of its servers.
        self.for_tokens.is_none() && (self.smtp.is_none() || is_mailbox_missing)
    }

    /// Whether a server of this protocol is still looked for.
    fn is_wanted(&self, protocol: MailProtocol) -> bool {
        match protocol {
            MailProtocol::Smtp => self.smtp.is_none(),
            _ => self.mailbox.is_none() && self.protocol.is_none_or(|it| it == protocol),
        }
    }

    /// Reads the domain's file for mail programs, wherever it is.
    async fn ask_domain(&mut self) {
        self.live("asking the domain for its file for mail programs");
        let [first, second] = autoconfig::places(self.address, self.domain);
        let clients = Arc::clone(&self.clients);
        let ask = |place| autoconfig::ask(place, self.address, self.tls_options, &clients.tls);
        let (one, other) = tokio::join!(ask(&first), ask(&second));
        for (place, outcome) in [(first, one), (second, other)] {
            match outcome {
                Ok(offers) => {
                    self.tell(&place.to_string(), &format!("names {}", counted(offers.len())));
                    self.attempt(offers).await;
                }
                Err(fault) => self.tell(&place.to_string(), &cut_to(&fault.message, WORDS)),
            }
        }
    }

    /// Tries the servers of what is still missing, all at one time, and takes the strongest; it does not wait for those
    /// that are weaker.
    async fn attempt(&mut self, offers: Vec<Offer>) {
        let is_wanted = |offer: &Offer| {
            self.is_wanted(offer.protocol) && !self.tried.contains(&offer.to_string())
        };
        let offers = in_order(offers.into_iter().filter(is_wanted).collect(), MOST);
        self.tried.extend(offers.iter().map(ToString::to_string));
        let mut outcomes: Vec<Option<Option<Welcome>>> = vec![None; offers.len()];
        let mut attempts = JoinSet::new();
        for (index, offer) in offers.iter().cloned().enumerate() {
            let (clients, tls_options) = (Arc::clone(&self.clients), self.tls_options.clone());
            attempts.spawn(async move {
                let outcome = match offer.takes_no_password || wants_tokens(&offer).is_some() {
                    true => Ok(Welcome::Token),
                    false => reach(&offer, &tls_options, &clients).await,
                };
                (index, outcome)
            });
        }
        let (since, mut ticks) = (Instant::now(), interval(TICK));
        while [true, false].into_iter().any(|side| is_open(&offers, &outcomes, side)) {
            let joined = tokio::select! {
                joined = attempts.join_next() => joined,
                _ = ticks.tick() => {
                    let (left, waited) = (attempts.len(), since.elapsed().as_secs());
                    self.live(&format!("trying {}, {waited} s", counted(left)));
                    continue;
                }
            };
            // A task that broke off leaves its place open.
            let Some(Ok((index, outcome))) = joined else { break };
            let Some(offer) = offers.get(index) else { continue };
            self.note(offer, &outcome);
            if let Some(place) = outcomes.get_mut(index) {
                *place = Some(outcome.ok());
            }
        }
        let choice = |side| strongest(&offers, &outcomes, side);
        if self.between_servers.is_none() {
            self.between_servers = without_login(&offers, &outcomes);
        }
        let (mailbox, smtp) = (choice(true), choice(false));
        self.mailbox = self.mailbox.take().or(mailbox);
        self.smtp = self.smtp.take().or(smtp);
    }

    /// Says what came of a server.
    fn note(&mut self, offer: &Offer, outcome: &Result<Welcome, Failure>) {
        let (look, words) = match outcome {
            Ok(Welcome::Password(Auth::Only(Mechanism::OAuthBearer))) => {
                (Look::Good, "the certificate is good, a token is taken".to_owned())
            }
            Ok(Welcome::Password(_)) => {
                (Look::Good, "the certificate is good, a password is taken".to_owned())
            }
            Ok(Welcome::PasswordOrToken) => {
                let words = "the certificate is good, a password is taken, or a token";
                (Look::Good, words.to_owned())
            }
            Ok(Welcome::Elsewhere(site)) => (Look::Plain, self.note_move(offer, site)),
            Ok(Welcome::Token) => {
                self.for_tokens.get_or_insert_with(|| {
                    wants_tokens(offer).map_or_else(|| offer.host.clone(), str::to_owned)
                });
                (Look::Bad, "takes access tokens alone (OAuth2)".to_owned())
            }
            Ok(Welcome::NoLogin) if offer.port == 25 => {
                (Look::Plain, "the certificate is good, there is no login".to_owned())
            }
            Ok(Welcome::NoLogin) => (Look::Bad, "offers no login".to_owned()),
            Err(failure) => {
                if is_of_certificate(failure) {
                    self.untrusted.get_or_insert_with(|| offer.host.clone());
                }
                // What a configuration could say instead has no place here.
                let words = failure.message.split("; set tls:").next().unwrap_or_default();
                (Look::Plain, cut_to(words, WORDS))
            }
        };
        let offer = format!("  {offer}: ");
        self.terminal.paragraph(&[(Look::Plain, &offer), (look, &words)]);
    }

    fn nothing(&self, has_mailbox: bool, has_smtp: bool) -> Stop {
        let domain = self.domain;
        if let Some(host) = &self.for_tokens {
            return Stop::because(format!(
                "{host} takes access tokens alone (OAuth2), no password: docs/oauth2.md says how to get them, and how \
                 the configuration is written"
            ));
        }
        let what = match (has_mailbox, has_smtp) {
            (false, false) => "neither a mailbox nor a server to send by was found",
            (false, true) => match self.protocol {
                None => "no server was found whose mailbox can be read by IMAP, POP3 or JMAP",
                Some(_) => "no server was found whose mailbox can be read by the --protocol",
            },
            (true, _) => "no server was found that takes mail by SMTP",
        };
        if let Some((host, site)) = self.too_far.as_ref().filter(|_| !has_mailbox) {
            return too_far(host, site, domain);
        }
        let trust = match &self.untrusted {
            Some(host) => format!(
                ". The certificate of {host} is not good, and no password goes there: if it is of an authority of your \
                 own, name that by --ca-file"
            ),
            None => String::new(),
        };
        if let Some(why) = &self.unanswered {
            return Stop::because(format!(
                "{what} for {domain}{trust}. The DNS has not answered every question ({why}): try again"
            ));
        }
        Stop::because(format!(
            "{what} for {domain}{trust}. If you know its servers, write the configuration by hand: \
             docs/configuration.md"
        ))
    }

    fn tell(&mut self, what: &str, words: &str) {
        let what = format!("{what}: ");
        self.terminal.paragraph(&[(Look::Plain, &what), (Look::Faint, words)]);
    }

    fn live(&mut self, words: &str) {
        self.terminal.live(&format!("{words} …"));
    }
}

fn end() -> Instant {
    Instant::now() + NAMES
}

/// The hosts of these, each once.
fn hosts(offers: &[Offer]) -> String {
    let mut hosts: Vec<&str> = offers.iter().map(|offer| offer.host.as_str()).collect();
    hosts.dedup();
    if hosts.is_empty() { "there is none".to_owned() } else { hosts.join(", ") }
}

fn counted(count: usize) -> String {
    match count {
        0 => "no server".to_owned(),
        1 => "1 server".to_owned(),
        _ => format!("{count} servers"),
    }
}

/// The provider, if it is one that is known to take no password.
fn wants_tokens(offer: &Offer) -> Option<&'static str> {
    config::takes_no_password(&offer.host)
}

fn is_of_certificate(failure: &Failure) -> bool {
    matches!(
        failure.reason,
        Reason::CertificateExpired | Reason::CertificateUntrusted | Reason::CertificateName
    )
}

/// Whether this is what is looked for.
fn is_good(welcome: &Welcome) -> bool {
    !welcome.auths().is_empty()
}

/// The strongest that takes mail without a login: at the port between servers alone.
fn without_login(offers: &[Offer], outcomes: &[Option<Option<Welcome>>]) -> Option<Choice> {
    offers.iter().zip(outcomes).find_map(|(offer, outcome)| {
        let is_fit = !offer.is_mailbox() && offer.port == 25;
        let welcome = outcome.as_ref()?.as_ref()?;
        (is_fit && *welcome == Welcome::NoLogin).then(|| (offer.clone(), welcome.clone()))
    })
}

/// Whether one of this side may still turn out to be the strongest that is good.
fn is_open(offers: &[Offer], outcomes: &[Option<Option<Welcome>>], mailbox: bool) -> bool {
    for (offer, outcome) in offers.iter().zip(outcomes) {
        match outcome {
            _ if offer.is_mailbox() != mailbox => {}
            None => return true,
            Some(Some(welcome)) if is_good(welcome) => return false,
            Some(_) => {}
        }
    }
    false
}

/// The strongest of a side that is good.
fn strongest(
    offers: &[Offer],
    outcomes: &[Option<Option<Welcome>>],
    mailbox: bool,
) -> Option<Choice> {
    let of_side = offers.iter().zip(outcomes).filter(|(it, _)| it.is_mailbox() == mailbox);
    let good = of_side.filter_map(|(offer, outcome)| {
        let welcome = outcome.as_ref()?.as_ref()?;
        is_good(welcome).then(|| (offer.clone(), welcome.clone()))
    });
    good.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::options::TlsMode;

    fn smtp(port: u16) -> Offer {
        Offer::new(MailProtocol::Smtp, "mail.example.com", port, TlsMode::StartTls)
    }

    #[test]
    fn the_strongest_is_waited_for_and_the_weaker_are_not() {
        let offers = [smtp(465), smtp(587), smtp(25)];
        let good = || Some(Some(Welcome::Password(Auth::Auto)));
        assert!(is_open(&offers, &[None, good(), None], false));
        assert!(!is_open(&offers, &[good(), None, None], false));
        assert!(!is_open(&offers, &[Some(None), good(), None], false));
        assert!(!is_open(&offers, &[None, None, None], true), "no mailbox is among them");
        let chosen = |outcomes: [_; 3]| strongest(&offers, &outcomes, false).map(|it| it.0.port);
        assert_eq!(chosen([Some(None), good(), good()]), Some(587));
        assert_eq!(chosen([Some(Some(Welcome::Token)), Some(None), None]), None);
    }

    #[test]
    fn a_dns_that_does_not_answer_is_told_from_one_that_has_nothing() {
        let (address, tls_options) = ("rita@example.test".parse().unwrap(), TlsOptions::default());
        let mut terminal = Terminal::plain(Vec::new());
        let clients = Arc::new(ConnectionContext::default());
        let mut search =
            Search::new(&address, "example.test", None, &tls_options, clients, &mut terminal);
        let said = |search: &Search<'_, _>| search.nothing(false, false).to_string();
        assert!(said(&search).contains("write the configuration by hand"));
        search.unanswered = Some("SERVFAIL".to_owned());
        assert!(said(&search).contains("has not answered every question (SERVFAIL): try again"));
        assert!(!said(&search).contains("by hand"));
    }

    #[test]
    fn mail_goes_without_a_login_to_the_port_between_servers_alone() {
        let chosen = |offer: Offer, welcome| {
            without_login(&[offer], &[Some(Some(welcome))]).map(|(offer, _)| offer.port)
        };
        assert_eq!(chosen(smtp(25), Welcome::NoLogin), Some(25));
        assert_eq!(chosen(smtp(587), Welcome::NoLogin), None);
        assert_eq!(chosen(smtp(25), Welcome::Token), None);
        let imap = Offer::new(MailProtocol::Imap, "mail.example.com", 25, TlsMode::StartTls);
        assert_eq!(chosen(imap, Welcome::NoLogin), None);
        // It is no end of the search: a later source may have one with a login.
        let no_login = [Some(Some(Welcome::NoLogin))];
        assert!(strongest(&[smtp(25)], &no_login, false).is_none());
    }
}
