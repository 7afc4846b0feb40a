//! What Postfix does with the mails for an address: it asks here, at each RCPT and after the data.
//!
//! This is Postfix's policy delegation protocol: lines `name=value` up to an empty one, answered
//! by `action=...` and an empty line. A rule holds from the next question on; no map to rebuild, no
//! server to reload.

use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::background::Background;
use super::postfix::Queue;

/// What happens to the mails for one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// They are delivered.
    Deliver,
    /// They are accepted and wait in the hold queue.
    Hold,
    /// They are accepted and delivered so much later.
    Delay(Duration),
    /// They are accepted and thrown away.
    Lose,
    /// They are delivered into this folder.
    Folder(&'static str),
    /// They are delivered with this field above the others.
    Prepend(&'static str),
    /// They are accepted, and what delivers them puts it off again and again, for this reason: an
    /// enhanced code and words.
    Defer(&'static str),
    /// RCPT is answered with this reply: code, enhanced code and text.
    Refuse(&'static str),
    /// The second RCPT is answered with this reply; `seen` so many were before.
    RefuseSecond { reply: &'static str, seen: usize },
}

/// The known addresses and what happens to their mails.
#[derive(Clone, Default)]
pub(crate) struct Rules(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    treatments: HashMap<String, Treatment>,
    /// Queue ids by address.
    held: HashMap<String, Vec<String>>,
}

impl Rules {
    /// Sets what happens to the mails for `address`, which thereby is known.
    pub(crate) fn set(&self, address: &str, treatment: Treatment) {
        self.with(|state| state.treatments.insert(address.to_lowercase(), treatment));
    }

    /// The queue ids of the mails held for `address`, which are forgotten here.
    pub(crate) fn take_held(&self, address: &str) -> Vec<String> {
        self.with(|state| state.held.remove(&address.to_lowercase())).unwrap_or_default()
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The answer to one question. After the data there is a recipient only if it is the only one.
    fn answer(&self, question: &HashMap<String, String>, queue: &Queue) -> String {
        let value = |name: &str| question.get(name).map_or("", String::as_str);
        let recipient = value("recipient").to_lowercase();
        let address = without_tag(&recipient);
        let treatment = self.with(|state| state.treatments.get(&address).cloned());
        match (value("protocol_state"), treatment) {
            ("RCPT", Some(Treatment::RefuseSecond { reply, seen })) => {
                self.set(&address, Treatment::RefuseSecond { reply, seen: seen + 1 });
                if seen == 1 { reply.into() } else { "DUNNO".into() }
            }
            ("RCPT", None) => "550 5.1.1 no such user".into(),
            ("RCPT", Some(Treatment::Refuse(reply))) => reply.into(),
            ("RCPT", Some(Treatment::Prepend(field))) => format!("PREPEND {field}"),
            ("END-OF-MESSAGE", Some(Treatment::Lose)) => "DISCARD".into(),
            ("END-OF-MESSAGE", Some(Treatment::Folder(folder))) => {
                format!("REDIRECT {}", address.replace('@', &format!("+{folder}@")))
            }
            ("END-OF-MESSAGE", Some(Treatment::Defer(reason))) => format!("FILTER retry:{reason}"),
            ("END-OF-MESSAGE", Some(Treatment::Hold)) => {
                let id = value("queue_id").to_owned();
                self.with(|state| state.held.entry(address).or_default().push(id));
                "HOLD".into()
            }
            ("END-OF-MESSAGE", Some(Treatment::Delay(delay))) => {
                let (queue, id) = (queue.clone(), value("queue_id").to_owned());
                spawn_local(async move {
                    sleep(delay).await;
                    queue.release(&id).await;
                });
                "HOLD".into()
            }
            _ => "DUNNO".into(),
        }
    }
}

/// Answers Postfix by `rules` on `socket`, until the answer is dropped.
///
/// # Panics
/// If the socket cannot be had.
pub(crate) fn serve_policy(socket: &Path, rules: Rules, queue: Queue) -> Background {
    let listener = StdListener::bind(socket)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .unwrap_or_else(|error| panic!("{} cannot be bound: {error}", socket.display()));
    open_to_all(socket);
    Background::start(async move || {
        let listener = UnixListener::from_std(listener)
            .unwrap_or_else(|error| panic!("the policy socket cannot be listened on: {error}"));
        serve(listener, rules, queue).await;
    })
}

fn open_to_all(socket: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(socket, PermissionsExt::from_mode(0o666))
        .unwrap_or_else(|error| panic!("{} cannot be opened to all: {error}", socket.display()));
}

async fn serve(listener: UnixListener, rules: Rules, queue: Queue) {
    while let Ok((stream, _)) = listener.accept().await {
        let (rules, queue) = (rules.clone(), queue.clone());
        // A connection that breaks is opened anew by Postfix.
        spawn_local(async move { converse(stream, &rules, &queue).await });
    }
}

async fn converse(stream: UnixStream, rules: &Rules, queue: &Queue) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut question = HashMap::new();
    while let Some(line) = lines.next_line().await? {
        if let Some((name, value)) = line.split_once('=') {
            question.insert(name.to_owned(), value.to_owned());
        } else if line.is_empty() {
            let action = rules.answer(&std::mem::take(&mut question), queue);
            writer.write_all(format!("action={action}\n\n").as_bytes()).await?;
        }
    }
    Ok(())
}

/// `user+tag@domain` is delivered as `user@domain`.
fn without_tag(address: &str) -> String {
    let (local, domain) = address.split_once('@').unwrap_or((address, ""));
    let user = local.split_once('+').map_or(local, |(user, _)| user);
    format!("{user}@{domain}")
}
