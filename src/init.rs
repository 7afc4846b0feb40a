//! The subcommand `init`: from an address and a password to a configuration that has been tested.
//!
//! The order is what keeps the password and the account safe: the servers are found and their certificates judged before
//! anybody is asked for the password, a host outside of the address's domain is agreed to by a person, and no server
//! sees more than two logins that it refuses. Nothing is written before both servers have taken the password, and no
//! file that is there is touched.
//!
//! `search` finds the servers, `person` asks the one at the terminal, `keyring` logs in, `files` writes.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use lettre::Address;

use crate::config::{self, Config, Secret, Target, TargetName};
use crate::roundtrip::command::interrupt;
use crate::roundtrip::state::{Thresholds, is_successful};
use crate::roundtrip::terminal::{Look, Terminal};
use crate::roundtrip::{self, Options};
use files::{Account, Files, Side};
use keyring::{Keyring, shows_token};
use mail::discovery::{self, MailProtocol, Welcome};
use mail::net::host;
use mail::net::records::Resolver;
use mail::options::{TlsOptions, without_final_dot};
use mail::wire::ConnectionContext;
use search::{Choice, Found, Search};

pub use files::OF_SERVICE;

mod files;
mod keyring;
mod person;
mod search;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// From where and to where the test mails go; its domain in ASCII.
    pub address: Address,
    /// Where the password is; `None`: it is asked for, or read from standard input.
    pub password_file: Option<PathBuf>,
    /// The folder for the files.
    pub folder: PathBuf,
    /// The name of the target; `None`: the domain of the address.
    pub name: Option<TargetName>,
    /// The authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// By which protocol the mailbox is to be read; `None`: by the first by which it can be, IMAP, POP3 or JMAP.
    pub protocol: Option<MailProtocol>,
    /// Whether hosts outside of the domain are agreed to.
    pub yes: bool,
}

/// Why nothing came of it; no file was left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// What is wrong and what to do.
    Problem(String),
    /// Somebody has ended it.
    Interrupted,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Problem(problem) => write!(f, "{problem}\nnothing was written"),
            Stop::Interrupted => f.write_str("interrupted; nothing was written"),
        }
    }
}

impl std::error::Error for Stop {}

impl Stop {
    fn because(problem: impl Into<String>) -> Self {
        Stop::Problem(problem.into())
    }
}

/// Does it at the terminal of this process, with a probe at the end. `true` if the probe was successful; the files stay
/// in either case.
///
/// # Errors
/// [`Stop`].
pub async fn run(wish: &Wish) -> Result<bool, Stop> {
    run_with(wish, &Resolver::default(), &mut Terminal::stdout()).await
}

/// The same, with these name servers for SRV and MX records.
///
/// # Errors
/// [`Stop`].
pub async fn run_with<W: Write + Send>(
    wish: &Wish,
    resolver: &Resolver,
    terminal: &mut Terminal<W>,
) -> Result<bool, Stop> {
    let name = match &wish.name {
        Some(name) => name.clone(),
        None => TargetName::new(wish.address.domain()).ok_or_else(|| {
            Stop::because("the domain is no name of a target; choose one by --name")
        })?,
    };
    let files = Files::new(&wish.folder, &name);
    files.are_new(&name)?;
    let tls_options = tls_options(wish)?;
    // Before the first interrupt is waited for, which would be lost in the meantime.
    let host = host::full_name().await;
    let made = tokio::select! {
        biased;
        () = interrupt() => Err(Stop::Interrupted),
        made = Box::pin(make(wish, &name, &files, &tls_options, resolver, terminal)) => made,
    };
    terminal.end_live();
    let (config, target) = made?;
    for warning in config.warnings() {
        terminal.paragraph(&[(Look::Strong, "warning: "), (Look::Plain, &warning)]);
    }
    terminal.paragraph(&[(Look::Plain, "")]);
    let place = config.places.get(&name).cloned().unwrap_or_default();
    let options = Options { host, place, ..Options::default() };
    let verdict = roundtrip::run(&target, &options, terminal, interrupt()).await;
    let is_good = is_successful(&verdict, &target, &Thresholds::default());
    for line in files.what_next(is_good) {
        terminal.paragraph(&[(Look::Plain, &line)]);
    }
    Ok(is_good)
}

/// Everything up to the files, and these loaded, with the target in them.
async fn make<W: Write + Send>(
    wish: &Wish,
    name: &TargetName,
    files: &Files,
    tls_options: &TlsOptions,
    resolver: &Resolver,
    terminal: &mut Terminal<W>,
) -> Result<(Config, Arc<Target>), Stop> {
    let clients = Arc::new(ConnectionContext::default());
    let domain = without_final_dot(wish.address.domain()).to_ascii_lowercase();
    let (address, protocol) = (&wish.address, wish.protocol);
    let search =
        Search::new(address, &domain, protocol, tls_options, Arc::clone(&clients), terminal);
    let Found { mailbox, smtp } = search.run(resolver).await?;
    let outside = outside(&domain, [&mailbox, &smtp]);
    if !outside.is_empty() {
        agree(wish, &domain, &outside, terminal).await?;
    }
    let password = match &wish.password_file {
        Some(path) => config::secret_of_flag(path).map_err(|problem| {
            Stop::because(format!("--password-file={}: {problem}", path.display()))
        })?,
        None => {
            let what = if shows_token(&mailbox.1) { "password or API token" } else { "password" };
            person::password(&format!("{what} of {address}")).await?
        }
    };
    let names = discovery::usernames(mailbox.0.username.as_deref(), address);
    let keyring = Keyring { password: &password, domain: &domain, tls_options, clients: &clients };
    let reader = keyring.log_in(&mailbox, &names, None, terminal).await?;
    // What is said of it, then what the mailbox has taken.
    let likeliest = smtp.0.username.as_deref().into_iter().chain([reader.name.as_str()]);
    let names = discovery::usernames(likeliest, address);
    let sender = match smtp.1 {
        Welcome::NoLogin => {
            let words = ": mails go there without a login, for no server was found that takes one";
            terminal.paragraph(&[(Look::Plain, &smtp.0.to_string()), (Look::Strong, words)]);
            None
        }
        _ => Some(keyring.log_in(&smtp, &names, Some(&reader), terminal).await?),
    };
    let account = Account {
        name,
        address,
        send: Side { offer: &smtp.0, login: sender.as_ref().map(|it| (it.name.as_str(), it.auth)) },
        receive: Side { offer: &reader.offer, login: Some((&reader.name, reader.auth)) },
        ca_file: tls_options.ca_file.as_ref(),
    };
    let written = write(files, &account, &password)?;
    terminal.paragraph(&[(Look::Plain, &files.written())]);
    Ok(written)
}

/// Writes the files and loads them, with the target in them; or leaves none.
fn write(
    files: &Files,
    account: &Account<'_>,
    password: &Secret,
) -> Result<(Config, Arc<Target>), Stop> {
    files.write(account, password)?;
    let loaded = Config::load(files.main()).map_err(|problems| problems.to_string());
    let known = loaded.and_then(|config| match roundtrip::find(&config, account.name.as_str()) {
        Ok(target) => Ok((Arc::clone(target), config)),
        Err(_) => Err(files.is_not_included()),
    });
    match known {
        Ok((target, config)) => Ok((config, target)),
        Err(problem) => {
            files.remove();
            Err(Stop::because(format!("the configuration would not be good:\n{problem}")))
        }
    }
}

fn tls_options(wish: &Wish) -> Result<TlsOptions, Stop> {
    let Some(path) = &wish.ca_file else { return Ok(TlsOptions::default()) };
    let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let file = config::authorities_of_flag(&path)
        .map_err(|problem| Stop::because(format!("--ca-file={}: {problem}", path.display())))?;
    Ok(TlsOptions { ca_file: Some(file), ..TlsOptions::default() })
}

/// The hosts that are not of the domain and would get the password, each once.
fn outside(domain: &str, choices: [&Choice; 2]) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for (offer, welcome) in choices {
        let gets_password = *welcome != Welcome::NoLogin;
        if gets_password && !offer.is_of(domain) && !hosts.contains(&offer.host) {
            hosts.push(offer.host.clone());
        }
    }
    hosts
}

/// Has a person decide whether the password may go to these hosts: whoever can forge an answer of the DNS chooses them.
async fn agree<W: Write>(
    wish: &Wish,
    domain: &str,
    hosts: &[String],
    terminal: &mut Terminal<W>,
) -> Result<(), Stop> {
    let hosts = hosts.join(" and ");
    if wish.yes {
        let line = format!("outside of {domain}, and agreed to by --yes: {hosts}");
        terminal.paragraph(&[(Look::Plain, &line)]);
        return Ok(());
    }
    let question = format!("{hosts} is outside of {domain}. Send the password there?");
    match person::agrees(&question).await? {
        Some(true) => Ok(()),
        Some(false) => Err(Stop::because(format!("{hosts} was not agreed to"))),
        None => Err(Stop::because(format!(
            "{hosts} is outside of {domain}, and nobody is there to be asked: --yes agrees to it"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::auth::Auth;
    use mail::discovery::Offer;
    use mail::options::TlsMode;

    #[test]
    fn hosts_outside_that_get_no_password_need_no_consent() {
        let offer = |host| Offer::new(MailProtocol::Smtp, host, 25, TlsMode::StartTls);
        let password = Welcome::Password(Auth::Auto);
        let (inside, filter) = (offer("mail.example.com"), offer("mx.filter.example"));
        let asked = |welcome| {
            outside(
                "example.com",
                [&(inside.clone(), password.clone()), &(filter.clone(), welcome)],
            )
        };
        assert_eq!(asked(password.clone()), ["mx.filter.example"]);
        assert_eq!(asked(Welcome::NoLogin), [""; 0]);
    }
}
