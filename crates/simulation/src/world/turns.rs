//! What happens while a process lives: its events, its deaths, and the mails that are held back.

use std::time::Duration;

use mailtrip_exporter::store::simulated::{fail, slow};
use tokio::time::{sleep, sleep_until};

use super::{COMMIT, End, FORGET_AFTER, JUDGE_EVERY, UNSYNCED, World};
use crate::life::{AFTERMATH, Process};
use crate::oracle::Wrong;
use crate::plan::Event;
use crate::trouble::{Effect, Place, Trouble};

/// How a process will die that is about to.
#[derive(Debug, Clone, Copy, Default)]
struct Doom {
    /// When, if that is known.
    at: Option<Duration>,
    /// How long nobody starts another.
    down: Duration,
}

/// What has come.
enum Turn {
    /// The time for which was waited.
    Time,
    /// Mails are held back.
    Held,
    /// The process has died with a use of the network.
    Death,
}

impl World {
    /// Starts a process and lives with it, until it ends.
    pub(super) async fn process(&mut self) -> Result<End, Wrong> {
        self.trace.note("a process starts");
        let config = self.config()?;
        let died = self.network.died();
        let process = tokio::select! {
            biased;
            () = died.notified() => {
                self.trace.note("the process is killed while it starts");
                sleep(AFTERMATH).await;
                return Ok(End::Again(AFTERMATH));
            }
            started = Process::start(self.directory.path(), &self.network, config) => {
                started.map_err(|problem| self.wrong_here(problem))?
            }
        };
        let away = self.clock.age().saturating_sub(self.ended);
        self.oracle.process_begins(away);
        let mut doom = Doom::default();
        loop {
            match self.wait(doom).await {
                Turn::Held => self.decide_about_held(),
                Turn::Death => return Ok(self.bury("the process is killed", process, doom).await),
                Turn::Time if doom.at.is_some_and(|at| at <= self.clock.age()) => {
                    self.network.cut_off();
                    return Ok(self.bury("the power is lost", process, doom).await);
                }
                Turn::Time => {
                    self.release();
                    if let Some(end) = self.stop_if_due(&process)? {
                        return self.stop(process, end).await;
                    }
                    self.meet_event(&process, &mut doom).await?;
                }
            }
        }
    }

    async fn wait(&self, doom: Doom) -> Turn {
        let release = self.releases.first_key_value().map(|((at, ..), _)| *at);
        let event = self.plan.get(self.done).map(|planned| planned.at);
        let next = [Some(self.next_judgement), Some(self.end), release, event, doom.at];
        let next = next.into_iter().flatten().min().unwrap_or(self.end);
        let (news, died) = (std::sync::Arc::clone(&self.truth.news), self.network.died());
        tokio::select! {
            biased;
            () = died.notified() => Turn::Death,
            () = news.notified() => Turn::Held,
            () = sleep_until(self.clock.at(next)) => Turn::Time,
        }
    }

    /// Ends a process as it wishes, unless it dies before.
    async fn stop(&self, process: Process, end: End) -> Result<End, Wrong> {
        let died = self.network.died();
        tokio::select! {
            biased;
            () = died.notified() => {
                self.trace.note("the process is killed while it stops");
                sleep(AFTERMATH).await;
                Ok(end)
            }
            stopped = process.stop() => {
                stopped.map_err(|problem| self.wrong_here(problem)).map(|()| end)
            }
        }
    }

    async fn bury(&self, how: &str, process: Process, doom: Doom) -> End {
        self.trace.note(how);
        sleep(AFTERMATH).await;
        drop(process);
        End::Again(doom.down)
    }

    /// Judges if that is due, and says how the process is to be stopped now, if it is.
    fn stop_if_due(&mut self, process: &Process) -> Result<Option<End>, Wrong> {
        let now = self.clock.age();
        let is_over = now >= self.end;
        if is_over || now >= self.next_judgement {
            self.next_judgement = now + JUDGE_EVERY;
            self.truth.forget(FORGET_AFTER);
            self.oracle.judge(&process.supervisor, &self.sites)?;
        }
        if is_over {
            return Ok(Some(End::Over));
        }
        let next = self.plan.get(self.done).filter(|planned| planned.at <= now);
        match next.map(|planned| planned.event) {
            Some(Event::Restart(down)) => {
                self.next_event();
                Ok(Some(End::Again(down)))
            }
            _ => Ok(None),
        }
    }

    /// The next event of the plan, if it has come.
    async fn meet_event(&mut self, process: &Process, doom: &mut Doom) -> Result<(), Wrong> {
        let now = self.clock.age();
        if self.plan.get(self.done).is_none_or(|planned| planned.at > now) {
            return Ok(());
        }
        match self.next_event() {
            Some(Event::Kill(uses, down)) => {
                doom.down = down;
                self.network.die_after(uses.into());
            }
            Some(Event::PowerLoss(uses, down)) => {
                let left = UNSYNCED.mul_f64(f64::from(uses) / 400.0);
                *doom = Doom { at: Some(now + left), down };
                self.keep_synced()?;
            }
            Some(Event::Reload(site, minutes)) => self.reload(process, site, minutes).await?,
            Some(event) => self.befall(event),
            None => {}
        }
        // A reload takes time, in which it may have died.
        if self.network.is_cut_off() {
            return Ok(());
        }
        self.oracle.judge(&process.supervisor, &self.sites)
    }

    async fn reload(&mut self, process: &Process, site: usize, minutes: u32) -> Result<(), Wrong> {
        if !self.configure(site, minutes) {
            return Ok(());
        }
        let config = self.config()?;
        let changed = process.supervisor.change_to(config).await;
        if self.network.is_cut_off() {
            return Ok(());
        }
        changed.map_err(|problem| self.wrong_here(format!("the reload failed: {problem}")))
    }

    /// Gives the target of a site another period, unless the site is calm; whether it did.
    pub(super) fn configure(&mut self, site: usize, minutes: u32) -> bool {
        let is_calm = self.sites.get(site).is_none_or(|site| site.fate.is_calm);
        let others = self.minutes.iter().enumerate().filter(|(number, _)| *number != site);
        // A configuration has one target at least.
        if minutes == 0 && others.map(|(_, minutes)| minutes).sum::<u32>() == 0 {
            return false;
        }
        match self.minutes.get_mut(site) {
            Some(known) if !is_calm => {
                *known = minutes;
                self.oracle.configured(site, minutes);
                true
            }
            _ => false,
        }
    }

    /// What happens to the servers and the clocks.
    pub(super) fn befall(&mut self, event: Event) {
        match event {
            Event::Begin(number, place, trouble) => {
                if let Some(site) = self.sites.get(number) {
                    trouble.begin(site, place);
                }
                self.oracle.is_known(number, place, trouble.effect());
                if place == Place::Delivery {
                    self.set_delivery(number, Some(trouble));
                }
            }
            Event::End(number, place, trouble) => {
                if let Some(site) = self.sites.get(number) {
                    trouble.end(site, place);
                }
                self.oracle.is_known(number, place, Effect::Works);
                if place == Place::Delivery {
                    self.set_delivery(number, None);
                }
            }
            Event::Renumber(number) => {
                if let Some(site) = self.sites.get(number) {
                    site.post.renumber(&site.account, "INBOX");
                }
            }
            Event::Foreign(number) => {
                if let Some(site) = self.sites.get(number) {
                    site.receive_foreign();
                }
            }
            Event::Step(milliseconds) => {
                self.clock.step(milliseconds);
                self.oracle.clock_was_set();
            }
            Event::SlowDisk(milliseconds) => {
                let by = Duration::from_millis(milliseconds.into());
                slow(COMMIT + by);
                self.oracle.disk_is_slow(by);
            }
            Event::Disk(failing) => {
                fail(Some(failing));
                self.oracle.disk_changes(true);
            }
            Event::DiskWorks => {
                fail(None);
                self.oracle.disk_changes(false);
            }
            Event::Kill(..) | Event::PowerLoss(..) | Event::Restart(_) | Event::Reload(..) => {}
        }
    }

    fn set_delivery(&mut self, site: usize, trouble: Option<Trouble>) {
        if let Some(delivery) = self.deliveries.get_mut(site) {
            *delivery = trouble;
        }
    }

    /// Decides what becomes of the mails that were held back.
    fn decide_about_held(&mut self) {
        for held in self.truth.take_held() {
            let now = self.clock.age();
            let owner = self.sites.get(held.site).map_or(held.site, |site| site.owner);
            let trouble = self.deliveries.get(owner).copied().flatten();
            let delay = match trouble {
                Some(Trouble::Late(seconds)) => {
                    Some(Duration::from_secs(seconds.into()).mul_f64(0.5 + self.chance.f64()))
                }
                Some(Trouble::Bounces) => None,
                Some(Trouble::Loses(percent)) if self.chance.u8(0..100) < percent => None,
                _ => Some(Duration::from_millis(1)),
            };
            match (delay, self.sites.get(held.site)) {
                (Some(delay), _) => {
                    self.releases.insert((now + delay, held.site, held.number), held);
                }
                (None, Some(site)) => {
                    site.post.discard_one(&site.account, held.number);
                    self.truth.discarded(&held);
                    if trouble == Some(Trouble::Bounces) {
                        site.receive_report(&held.header);
                    }
                }
                (None, None) => {}
            }
        }
    }

    /// Delivers the mails whose time has come.
    pub(super) fn release(&mut self) {
        self.decide_about_held();
        let now = self.clock.age();
        while let Some(entry) = self.releases.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let held = entry.remove();
            if let Some(site) = self.sites.get(held.site) {
                site.post.release_one(&site.account, held.number);
            }
        }
    }
}
