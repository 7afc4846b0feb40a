//! A ClamAV that knows one virus, as a filter of the mail of a Postfix.

use std::fs;

use mail::content::Sample;
use tokio::process::Child;

use super::{Lab, tool, until};

/// The scanner and its milter; both end with this.
pub(crate) struct ClamAv {
    _scanner: Child,
    _milter: Child,
}

impl ClamAv {
    /// It does this with an infected mail of the lab from now on: `Reject`, or `Blackhole`, which takes it and throws it
    /// away.
    ///
    /// # Panics
    /// If it is not installed or does not begin.
    pub(crate) async fn start(lab: &Lab, on_infected: &str) -> Self {
        let folder = lab.folder().join("clamav");
        fs::create_dir_all(folder.join("db")).unwrap();
        let digest = openssl::sha::sha256(&Sample::Eicar.bytes());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(folder.join("db/lab.hsb"), format!("{digest}:68:Lab.Sample:73\n")).unwrap();
        let path = folder.display();
        let scanner = format!(
            "DatabaseDirectory {path}/db\nLocalSocket {path}/scanner\nLocalSocketMode 666\nForeground yes\n\
             LogFile {path}/scanner.log\n"
        );
        let milter = format!(
            "MilterSocket unix:{path}/milter\nMilterSocketMode 666\nClamdSocket unix:{path}/scanner\n\
             OnInfected {on_infected}\nForeground yes\nLogFile {path}/milter.log\n"
        );
        fs::write(folder.join("scanner.conf"), scanner).unwrap();
        fs::write(folder.join("milter.conf"), milter).unwrap();
        let _scanner = tool::server("clamd", &["--config-file=scanner.conf"], &folder);
        until("the scanner listens", async || folder.join("scanner").exists()).await;
        let _milter = tool::server("clamav-milter", &["--config-file=milter.conf"], &folder);
        until("its milter listens", async || folder.join("milter").exists()).await;
        lab.configure_smtp(&format!("smtpd_milters = unix:{path}/milter")).await;
        Self { _scanner, _milter }
    }
}
