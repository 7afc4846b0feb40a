//! The life of one process: from its start on what an earlier one has left behind to its end, which may come at
//! any await.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use mailtrip_exporter::config::Config;
use mailtrip_exporter::probing::send::Origin;
use mailtrip_exporter::store::Store;
use mailtrip_exporter::supervisor::Supervisor;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::network::Network;
use crate::oracle::LOST_AFTER;
use crate::site::Site;

/// Once a process is dead, the servers end what they had begun.
pub(crate) const AFTERMATH: Duration = Duration::from_secs(3);
/// Whoever stops ends within this.
const STOP: Duration = Duration::from_secs(6);

/// A process at work.
pub(crate) struct Process {
    /// What it is made of.
    pub(crate) supervisor: Arc<Supervisor>,
    writer: JoinHandle<()>,
}

impl Process {
    /// Starts on what is in `directory`.
    ///
    /// # Errors
    /// Why it does not start, in words.
    pub(crate) async fn start(
        directory: &Path,
        network: &Network,
        config: Config,
    ) -> Result<Self, String> {
        let (store, writer) =
            Store::open_on_runtime(directory).map_err(|problem| problem.to_string())?;
        let (mut writer, network) = (Box::pin(writer), network.clone());
        // What a dead process has not written is never written.
        let writer = tokio::spawn(poll_fn(move |context| match network.is_cut_off() {
            true => Poll::Pending,
            false => writer.as_mut().poll(context),
        }));
        let origin = Origin { instance: store.instance, host: Some("probe.sim.test".to_owned()) };
        let store = Arc::new(store);
        let supervisor = Supervisor::start_with_store(config, None, origin, store).await;
        let supervisor = supervisor.map_err(|problem| problem.to_string())?;
        Ok(Self { supervisor, writer })
    }

    /// Ends it as it wishes to end.
    ///
    /// # Errors
    /// It did not end in time.
    pub(crate) async fn stop(self) -> Result<(), String> {
        let Self { supervisor, writer } = self;
        let stopped = timeout(STOP, async {
            supervisor.stop().await;
            drop(supervisor);
            writer.await
        });
        match stopped.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(problem)) => Err(format!("the writer of the store: {problem}")),
            Err(_) => Err("the process did not stop in time".to_owned()),
        }
    }
}

/// The configuration with these periods, in minutes, of the sites; zero leaves one out.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn config(sites: &[Site], minutes: &[u32]) -> Result<Config, String> {
    let lost = LOST_AFTER.as_secs();
    let mut text = format!("defaults: {{timeout: 30s, lost_after: {lost}s}}\ntargets:\n");
    for (site, minutes) in sites.iter().zip(minutes).filter(|(_, minutes)| **minutes > 0) {
        text.push_str(&site.target(*minutes));
    }
    if sites.is_empty() {
        let _ = write!(text, "  []");
    }
    Config::parse(&text, Path::new("simulated.yml")).map_err(|problems| problems.to_string())
}
