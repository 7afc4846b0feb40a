//! The servers of the demo together, the configuration that tests them, and what to say about them.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::scene::{FROM, PASSWORD, Pace, RECEIVER, SCENES, SENDER, Site, TO};
use crate::config::Config;
use crate::web::mount::PathPrefix;
use crate::web::server::{self, ListenAddress, reachable};
use testserver::{Authority, Certificate};

/// Where the demo is served unless the user says otherwise: not for other machines.
const ADDRESS: &str = "127.0.0.1:9925";

/// Mail servers on free ports of 127.0.0.1, two for each of six targets, and a temporary folder
/// with the configuration, the certificate authority and the state directory. All of it ends and
/// is removed when this is dropped.
pub struct Demo {
    config: Config,
    config_file: PathBuf,
    pace: Pace,
    folder: TempDir,
    _sites: Vec<Site>,
    _standby: Option<AbortOnDropHandle<()>>,
}

impl Demo {
    /// The test period of every target: live values are there within ten seconds.
    pub const INTERVAL: Duration = Duration::from_secs(5);

    /// Starts the servers.
    ///
    /// # Errors
    /// No ports, no temporary folder, or no random numbers for the certificates.
    pub async fn start() -> io::Result<Self> {
        Self::start_with(Self::INTERVAL).await
    }

    /// The same at another pace: every time of the demo is in proportion to the test period, which
    /// is at least a second.
    ///
    /// # Errors
    /// See [`Demo::start`]; [`io::ErrorKind::InvalidInput`] for a shorter period.
    pub async fn start_with(interval: Duration) -> io::Result<Self> {
        let pace = Pace { interval };
        let folder = tempfile::Builder::new().prefix("mailtrip-demo-").tempdir()?;
        let authority = Authority::new()?;
        std::fs::write(folder.path().join("ca.pem"), authority.ca_pem()?)?;
        let tls = authority.server(Certificate::Good)?;
        let mut standby = None;
        let mut sites = Vec::new();
        let mut yaml = head(folder.path(), pace);
        for scene in &SCENES {
            let site = scene.start(&tls, pace).await?;
            site.write_target(&mut yaml, pace);
            if site.is_standby() {
                standby = Some(AbortOnDropHandle::new(tokio::spawn(go_up_and_down(site, pace))));
            } else {
                sites.push(site);
            }
        }
        let config_file = folder.path().join("mailtrip.yml");
        std::fs::write(&config_file, &yaml)?;
        let config = Config::parse(&yaml, &config_file)
            .map_err(|problems| io::Error::new(io::ErrorKind::InvalidInput, problems))?;
        Ok(Self { config, config_file, pace, folder, _sites: sites, _standby: standby })
    }

    /// The configuration that tests the servers.
    pub fn config(&self) -> Config {
        self.config.clone()
    }

    /// The file that holds it, for a reload.
    pub fn config_file(&self) -> &Path {
        &self.config_file
    }

    /// What a user reads at the start: where to look at what, and how to end it. `address` is
    /// where the exporter is served, below `prefix`, `telemetry_path` where its metrics are.
    pub fn introduction(
        &self,
        address: SocketAddr,
        prefix: &PathPrefix,
        telemetry_path: &str,
    ) -> String {
        let base = format!("http://{}{prefix}", reachable(address));
        let mut text = format!(
            "This is mailtrip_exporter with mail servers of its own, on this machine only: six \
             targets,\neach tested every {}.\n\n  \
             Status page    {base}/\n  \
             Metrics        {base}{telemetry_path}\n  \
             Configuration  {base}/config\n\n\
             In ten seconds there are values. What to look for:\n\n",
            humantime::format_duration(self.pace.interval)
        );
        let width = SCENES.iter().map(|scene| scene.name.len()).max().unwrap_or_default();
        for scene in &SCENES {
            let mut name = scene.name;
            for line in wrapped(&scene.shows(self.pace), 90 - width) {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "  {name:width$}  {line}");
                name = "";
            }
        }
        let folder = self.folder.path().display();
        let _ = write!(text, "\nCtrl-C ends it and removes what it made ({folder}).\n");
        text
    }
}

/// Binds the addresses that the user gave with `--web.listen-address`. Without any the demo is
/// served on 127.0.0.1:9925, for this machine only, or on a free port where that one is taken.
///
/// # Errors
/// See [`server::bind`].
pub async fn bind(given: &[ListenAddress]) -> io::Result<Vec<TcpListener>> {
    if given.is_empty() {
        return bind_or_free_port(ADDRESS).await;
    }
    let mut listeners = Vec::new();
    for address in given {
        listeners.extend(server::bind(&address.to_string()).await?);
    }
    Ok(listeners)
}

async fn bind_or_free_port(address: &str) -> io::Result<Vec<TcpListener>> {
    match server::bind(address).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            warn!("{address} is in use; the demo uses a free port");
            server::bind("127.0.0.1:0").await
        }
        outcome => outcome,
    }
}

/// The configuration up to its targets.
fn head(folder: &Path, pace: Pace) -> String {
    let state_dir = folder.join("state").to_string_lossy().replace('\'', "''");
    let login = |user| {
        format!("{{username: {user}, password: {PASSWORD}, tls_options: {{ca_file: ca.pem}}}}")
    };
    format!(
        "state_dir: '{state_dir}'\n\
         defaults:\n  \
           host: 127.0.0.1\n  \
           interval: {interval}ms\n  \
           lost_after: 10m\n  \
           timeout: 5s\n  \
           ping: {{packets: 3, interval: 50ms, timeout: 500ms}}\n  \
           from: {FROM}\n  \
           to: {TO}\n  \
           send: {send}\n  \
           receive: {receive}\n\
         targets:\n",
        interval = pace.interval.as_millis(),
        send = login(SENDER),
        receive = login(RECEIVER),
    )
}

async fn go_up_and_down(site: Site, pace: Pace) {
    loop {
        tokio::time::sleep(pace.standby_change()).await;
        site.come_up();
        tokio::time::sleep(pace.standby_change()).await;
        site.go_down();
    }
}

/// The words of a text in lines of at most `width` characters.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_replaced_by_a_free_one_of_this_machine() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let listeners = bind_or_free_port(&address.to_string()).await.unwrap();
        let bound = listeners[0].local_addr().unwrap();
        assert!(bound.ip().is_loopback());
        assert_ne!(bound.port(), address.port());
    }

    #[tokio::test]
    async fn addresses_that_were_given_are_taken_as_they_are() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let given = ListenAddress::Socket(taken.local_addr().unwrap());
        assert_eq!(bind(&[given]).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let free = ListenAddress::Socket("127.0.0.1:0".parse().unwrap());
        assert_eq!(bind(&[free.clone(), free]).await.unwrap().len(), 2);
    }

    #[test]
    fn lines_are_wrapped_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("longer-than-wide x", 5), ["longer-than-wide", "x"]);
    }

    #[test]
    fn an_address_for_everyone_is_shown_as_one_to_go_to() {
        let shown = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(shown("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(shown("[::]:80"), "[::1]:80");
        assert_eq!(shown("10.1.2.3:80"), "10.1.2.3:80");
    }
}
