//! How far a server lets a client come: to the login, and by it.

use std::time::Duration;

use tokio::time::Instant;

use super::{Entry, MailProtocol, Offer, Site};
use crate::auth::{Auth, Login, Mechanism};
use crate::imap::Imap;
use crate::jmap::{Greeting, Jmap, Ways};
use crate::options::{Endpoint, TlsOptions};
use crate::pop3::Pop3;
use crate::sasl::Authenticate;
use crate::smtp::Smtp;
use crate::trace::Trace;
use crate::wire::{ConnectionContext, Dialer};
use crate::{Failure, Fault, Reason};

/// How long each step may take, and all of it.
const STEP: Duration = Duration::from_secs(8);
const ALL: Duration = Duration::from_secs(12);
/// The same with a login: some servers wait before they refuse one.
const LOGIN_STEP: Duration = Duration::from_secs(20);
const LOGIN_ALL: Duration = Duration::from_secs(40);

/// What a server offers to a client that has come as far as the login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Welcome {
    /// A password, most simply shown in this way.
    Password(Auth),
    /// By HTTP, a password with the name of its user, or a token in the place of both.
    PasswordOrToken,
    /// The server sends its clients to another one (JMAP).
    Elsewhere(Site),
    /// Access tokens alone.
    Token,
    /// No login at all.
    NoLogin,
}

impl Welcome {
    /// One attempt of a login is to be one login for the server: where a digest is refused, `auto` shows the password
    /// as well. It is shown at once, to a server that has proved who it is.
    fn of<S: Authenticate>(session: &S) -> Self {
        let offers = |mechanism: &Mechanism| session.offers(mechanism.name());
        if let Some(plain) = [Mechanism::Plain, Mechanism::Login].iter().find(|it| offers(it)) {
            return Welcome::Password(Auth::Only(*plain));
        }
        if session.takes_password_command() {
            return Welcome::Password(Auth::Only(Mechanism::Login));
        }
        if let Some(digest) = Mechanism::WITH_PASSWORD.iter().find(|it| offers(it)) {
            return Welcome::Password(Auth::Only(*digest));
        }
        match Mechanism::WITH_TOKEN.iter().any(offers) {
            true => Welcome::Token,
            false => Welcome::NoLogin,
        }
    }

    /// A token that no provider has to be asked for, as that of an API, is kept as a password is.
    fn by_http(greeting: Greeting) -> Self {
        let only = |mechanism| Welcome::Password(Auth::Only(mechanism));
        match greeting {
            Greeting::Elsewhere(site) => Welcome::Elsewhere(site),
            Greeting::Login(Ways { basic: true, bearer: false }) => only(Mechanism::Plain),
            Greeting::Login(Ways { basic: false, bearer: true }) => only(Mechanism::OAuthBearer),
            // Or it does not say.
            Greeting::Login(_) => Welcome::PasswordOrToken,
        }
    }

    /// How one thing that a person has given is shown, one way after the other; none where it is not taken.
    pub fn auths(&self) -> &[Auth] {
        const BY_HTTP: [Auth; 2] =
            [Auth::Only(Mechanism::Plain), Auth::Only(Mechanism::OAuthBearer)];
        match self {
            Welcome::Password(auth) => std::slice::from_ref(auth),
            Welcome::PasswordOrToken => &BY_HTTP,
            Welcome::Elsewhere(_) | Welcome::Token | Welcome::NoLogin => &[],
        }
    }
}

/// Connects, has the server's certificate judged, and takes leave before the login. It ends after twelve seconds at
/// the latest.
///
/// # Errors
/// The first step that fails, in its step.
pub async fn reach(
    offer: &Offer,
    tls_options: &TlsOptions,
    clients: &ConnectionContext,
) -> Result<Welcome, Failure> {
    let (trace, end) = (Trace::new(None), Instant::now() + ALL);
    let dialer = dialer(offer, tls_options, STEP, None, clients, &trace)?;
    match offer.protocol {
        MailProtocol::Smtp => {
            let smtp = Smtp::open(&dialer, None, None, trace, end).await?;
            let welcome = Welcome::of(&smtp);
            smtp.quit().await;
            Ok(welcome)
        }
        MailProtocol::Imap => {
            let (imap, is_logged_in) = Imap::prepare(&dialer, trace, end).await?;
            // Whoever is let in unasked (PREAUTH) cannot show a password.
            let welcome = if is_logged_in { Welcome::NoLogin } else { Welcome::of(&imap) };
            imap.log_out().await;
            Ok(welcome)
        }
        MailProtocol::Pop3 => {
            let pop3 = Pop3::prepare(&dialer, true, trace, end).await?;
            let welcome = Welcome::of(&pop3);
            pop3.quit(false).await?;
            Ok(welcome)
        }
        MailProtocol::Jmap => Ok(Welcome::by_http(Jmap::greet(&dialer, trace, end).await?)),
    }
}

/// Logs in once and takes leave; nothing is done in between. It ends after forty seconds at the latest. An `auth` of
/// the login that names one mechanism makes it one login for the server. By JMAP it may turn out that the mailbox is
/// elsewhere.
///
/// # Errors
/// The first step that fails, in its step; no password is sent before the server's certificate was accepted.
pub async fn log_in(
    offer: &Offer,
    login: &Login,
    tls_options: &TlsOptions,
    clients: &ConnectionContext,
) -> Result<Entry, Failure> {
    let (trace, end) = (Trace::new(Some(login)), Instant::now() + LOGIN_ALL);
    let dialer = dialer(offer, tls_options, LOGIN_STEP, Some(login), clients, &trace)?;
    match offer.protocol {
        MailProtocol::Smtp => {
            Smtp::open(&dialer, Some(login), None, trace, end).await?.quit().await
        }
        MailProtocol::Imap => Imap::open(&dialer, login, trace, end).await?.log_out().await,
        MailProtocol::Pop3 => Pop3::open(&dialer, login, trace, end).await?.quit(false).await?,
        MailProtocol::Jmap => return Jmap::enter_once(&dialer, login, trace, end).await,
    }
    Ok(Entry::Open)
}

fn dialer(
    offer: &Offer,
    tls_options: &TlsOptions,
    step: Duration,
    login: Option<&Login>,
    clients: &ConnectionContext,
    trace: &Trace,
) -> Result<Dialer, Failure> {
    let endpoint =
        Endpoint { tls_options: tls_options.clone().into(), ..offer.endpoint().with_timeout(step) };
    Dialer::new(&endpoint, login, clients).map_err(|error| {
        let words = crate::net::tls::words(&error);
        trace.failure(Fault::new(Reason::Other, format!("cannot begin TLS: {words}")))
    })
}

#[cfg(test)]
mod tests {
    use testserver::faults;
    use testserver::{Authority, Certificate, Options, Post, Protocol, Server};

    use super::*;
    use crate::options::{PemFile, TlsMode};

    struct Bench {
        server: Server,
        tls_options: TlsOptions,
        protocol: MailProtocol,
    }

    impl Bench {
        async fn new(protocol: Protocol, certificate: Certificate, implicit: bool) -> Self {
            let authority = Authority::new().unwrap();
            let tls = authority.server(certificate).unwrap();
            let post = Post::new();
            post.add_account("rita", "pass word", &["rita@example.test"]);
            let options = match implicit {
                true => Options::new().implicit_tls(&tls),
                false => Options::new().starttls(&tls),
            };
            let server = Server::start(protocol, &post, options).await.unwrap();
            let pem = authority.ca_pem().unwrap().into();
            let ca_file = Some(PemFile { path: "ca.pem".into(), pem });
            let protocol = match protocol {
                Protocol::Smtp => MailProtocol::Smtp,
                Protocol::Imap => MailProtocol::Imap,
                Protocol::Pop3 => MailProtocol::Pop3,
                Protocol::Jmap => MailProtocol::Jmap,
            };
            Self { server, tls_options: TlsOptions { ca_file, ..TlsOptions::default() }, protocol }
        }

        fn offer(&self, tls: TlsMode) -> Offer {
            Offer::new(self.protocol, "localhost", self.server.port(), tls)
        }

        async fn reach(&self, tls: TlsMode) -> Result<Welcome, Failure> {
            reach(&self.offer(tls), &self.tls_options, &ConnectionContext::default()).await
        }

        async fn log_in(&self, tls: TlsMode, user: &str) -> Result<Entry, Failure> {
            let auth = match self.reach(tls).await.unwrap() {
                Welcome::Password(auth) => auth,
                other => panic!("{other:?}"),
            };
            let login = Login { auth, ..Login::with_password(user, "pass word") };
            let clients = ConnectionContext::default();
            log_in(&self.offer(tls), &login, &self.tls_options, &clients).await
        }
    }

    const PROTOCOLS: [Protocol; 3] = [Protocol::Smtp, Protocol::Imap, Protocol::Pop3];

    #[tokio::test]
    async fn a_good_server_is_reached_without_a_login_and_logged_in_to_once() {
        for protocol in PROTOCOLS {
            for (implicit, tls) in [(true, TlsMode::Implicit), (false, TlsMode::StartTls)] {
                let bench = Bench::new(protocol, Certificate::Good, implicit).await;
                let welcome = bench.reach(tls).await.unwrap();
                assert!(matches!(welcome, Welcome::Password(Auth::Only(_))), "{welcome:?}");
                assert_eq!(bench.server.stats().logins, 0, "{protocol:?}");
                bench.log_in(tls, "rita").await.unwrap();
                assert_eq!(bench.server.stats().logins, 1, "{protocol:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_certificate_that_is_not_good_ends_it_before_a_password() {
        for protocol in PROTOCOLS {
            for certificate in [Certificate::SelfSigned, Certificate::WrongName] {
                let bench = Bench::new(protocol, certificate, false).await;
                let failure = bench.reach(TlsMode::StartTls).await.unwrap_err();
                assert!(is_of_certificate(&failure), "{failure}");
                let (login, clients) =
                    (Login::with_password("rita", "pass word"), ConnectionContext::default());
                let offer = bench.offer(TlsMode::StartTls);
                let failure = log_in(&offer, &login, &bench.tls_options, &clients).await;
                assert!(is_of_certificate(&failure.unwrap_err()));
                for session in bench.server.sessions() {
                    assert!(!session.received_contains(b"AUTH"), "{protocol:?}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_server_that_lets_in_unasked_takes_no_login() {
        let bench = Bench::new(Protocol::Imap, Certificate::Good, true).await;
        bench.server.faults().on(faults::GREETING, faults::Fault::reply("* PREAUTH welcome"));
        assert_eq!(bench.reach(TlsMode::Implicit).await.unwrap(), Welcome::NoLogin);
    }

    #[tokio::test]
    async fn a_server_without_tls_is_no_way() {
        let post = Post::new();
        let server = Server::start(Protocol::Imap, &post, Options::new()).await.unwrap();
        let offer = Offer::new(MailProtocol::Imap, "localhost", server.port(), TlsMode::StartTls);
        let outcome = reach(&offer, &TlsOptions::default(), &ConnectionContext::default()).await;
        assert_eq!(outcome.unwrap_err().reason, Reason::Tls);
    }

    #[tokio::test]
    async fn a_refused_login_is_one_login_for_the_server() {
        for protocol in PROTOCOLS {
            let bench = Bench::new(protocol, Certificate::Good, true).await;
            bench.server.faults().on(faults::CREDENTIALS, refusal(protocol));
            let failure = bench.log_in(TlsMode::Implicit, "nobody").await.unwrap_err();
            assert!(failure.is_refused_login(), "{failure}");
            let auths = |line: &str| {
                line.contains("AUTH") || line.contains("LOGIN") || line.starts_with("PASS")
            };
            let sessions = bench.server.sessions();
            let received = sessions.iter().map(|it| it.received.clone());
            let text: String =
                received.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect();
            assert_eq!(text.lines().filter(|line| auths(line)).count(), 1, "{text}");
        }
    }

    fn is_of_certificate(failure: &Failure) -> bool {
        matches!(failure.reason, Reason::CertificateUntrusted | Reason::CertificateName)
    }

    fn refusal(protocol: Protocol) -> faults::Fault {
        faults::Fault::reply(match protocol {
            Protocol::Smtp => "535 5.7.8 wrong",
            Protocol::Imap => "{tag} NO [AUTHENTICATIONFAILED] wrong",
            Protocol::Pop3 | Protocol::Jmap => "-ERR [AUTH] wrong",
        })
    }
}
