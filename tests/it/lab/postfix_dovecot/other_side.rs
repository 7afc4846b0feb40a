//! A lab as the other side of another one: servers of somebody else, where mails are answered or sent back.

use super::claim::write_file;
use super::{Account, Lab};

/// The name by which the Postfix of the other side greets.
pub(crate) const OTHER_HOST: &str = "mail.other.test";

/// What becomes of a mail on the other side.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answering<'a> {
    /// This script says it (RFC 5228).
    Sieve(&'a str),
    /// A program answers with a mail that has these fields, one quoted word of a shell each, in which `$id` and
    /// `$subject` are those of the mail. The mail itself is gone.
    Program(&'a str),
}

impl Lab {
    /// Becomes the other side of another lab: mails to these accounts, which are here, come from there, and those to
    /// `readers` go there.
    ///
    /// # Panics
    /// If a server does not take its new configuration.
    pub(crate) async fn be_other_side_of(
        &self,
        other: &Self,
        accounts: &[(&Account, Answering<'_>)],
        readers: &[&Account],
    ) {
        let entry = |account: &Account, to: &str| format!("{{{} = {to}}}", account.address);
        let table =
            |entries: Vec<String>| format!("transport_maps = inline:{{{}}}", entries.join(", "));
        let to_here = format!("smtp:[127.0.0.1]:{}", self.ports().smtp);
        let to_there = format!("smtp:[127.0.0.1]:{}", other.ports().smtp);
        let way_out = accounts.iter().map(|(account, _)| entry(account, &to_here)).collect();
        let mut way_back: Vec<String> = readers.iter().map(|it| entry(it, &to_there)).collect();
        // Each takes mail for them from now on.
        accounts.iter().for_each(|(account, _)| other.deliver(account));
        readers.iter().for_each(|account| self.deliver(account));
        self.stop_smtp().await;
        for (account, answering) in accounts {
            match answering {
                Answering::Sieve(script) => {
                    self.sieve(account, script);
                }
                Answering::Program(fields) => {
                    way_back.push(entry(account, &self.echo(account, fields)))
                }
            }
        }
        self.postfix.write(&format!("myhostname = {OTHER_HOST}\n{}", table(way_back)));
        self.start_smtp().await;
        self.stop_dovecot().await;
        self.dovecot.sort_by_sieve(self.ports().smtp);
        self.dovecot.start().await;
        other.configure_smtp(&table(way_out)).await;
    }

    /// Mails to `entrance` go through this command of a shell, which reads and writes them, and on to the account `to`, whose
    /// mails a script sorts from now on.
    ///
    /// # Panics
    /// If a server does not take its new configuration.
    pub(crate) async fn filter(&self, entrance: &Account, command: &str, to: &Account) {
        let script = format!(
            "#!/bin/sh\n{command} | curl --silent --show-error --crlf --upload-file - --mail-from \"$1\" \\\n\
             --mail-rcpt '{}' smtp://127.0.0.1:{}/filter.test\n",
            to.address,
            self.ports().smtp
        );
        let path = self.claim.folder().join("filter.sh");
        write_file(&path, script, 0o755);
        self.stop_smtp().await;
        self.postfix.add_service(&format!(
            "filter unix - n n - - pipe flags=R user=mail argv={} ${{sender}}",
            path.display()
        ));
        self.start_smtp().await;
        let table = format!("transport_maps = inline:{{{{{} = filter:}}}}", entrance.address);
        self.configure_smtp(&table).await;
        self.stop_dovecot().await;
        self.dovecot.sort_by_sieve(self.ports().smtp);
        self.dovecot.start().await;
    }

    /// The script that sorts the mails of an account from now on (RFC 5228).
    pub(crate) fn sieve(&self, account: &Account, script: &str) {
        write_file(&self.home(account).join(".dovecot.sieve"), script, 0o644);
    }

    /// Makes a transport that answers each mail to the account; its name.
    fn echo(&self, account: &Account, fields: &str) -> String {
        let (name, address) = account
            .address
            .split_once('@')
            .map_or(("", ""), |(name, _)| (name, account.address.as_str()));
        let script = format!(
            "#!/bin/sh\n\
             header=$(sed '/^\\r*$/q')\n\
             field() {{ printf '%s\\n' \"$header\" | sed -n \"s/^$1: *//Ip\" | tr -d '\\r'; }}\n\
             id=$(field message-id) subject=$(field subject)\n\
             cat >/dev/null\n\
             printf '%s\\n' 'From: Echo <{address}>' \"To: $1\" \"Date: $(date -R)\" {fields} '' Thanks. |\n\
             curl --silent --show-error --crlf --upload-file - --mail-from '{address}' --mail-rcpt \"$1\" \\\n\
             smtp://127.0.0.1:{}/echo.test\n",
            self.ports().smtp
        );
        let path = self.claim.folder().join(format!("{name}.sh"));
        write_file(&path, script, 0o755);
        let path = path.display();
        self.postfix.add_service(&format!(
            "{name} unix - n n - - pipe flags=R user=mail argv={path} ${{sender}}"
        ));
        format!("{name}:")
    }
}
