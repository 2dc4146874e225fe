//! Who runs: the names in leases and in the history, and whether an owner on this host is dead.

use bson::{Document, doc, oid::ObjectId};

/// This process, as leases and history name it.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The host's name.
    pub host: String,
    /// The user's name.
    pub user: String,
    /// The process id.
    pub pid: u32,
    /// Which start of which kernel and which process id namespace, where the system tells: two hosts of
    /// one name differ in it, and so do two containers of one host.
    boot: Option<String>,
    /// When the process started, in the kernel's ticks since boot: process ids are used again.
    process_start: Option<String>,
}

impl Identity {
    /// This process.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self {
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            user: user(),
            pid,
            boot: boot(),
            process_start: process_start(pid),
        }
    }

    /// A name no other run has.
    pub fn new_run() -> String {
        ObjectId::new().to_hex()
    }

    /// The lease's `owner`, with the server's sessions of its workers.
    pub fn owner(&self, run: &str, command: &str, mut sessions: Vec<Document>) -> Document {
        // Earlier versions know of one.
        let others = sessions.split_off(sessions.len().min(1));
        doc! {
            "run": run,
            "command": command,
            "host": &self.host,
            "boot": &self.boot,
            "pid": i64::from(self.pid),
            "process_start": &self.process_start,
            "user": &self.user,
            "version": env!("CARGO_PKG_VERSION"),
            "session": sessions.pop(),
            "sessions": others,
        }
    }

    /// Whether the owner of a lease ran under this very kernel and process namespace and is gone.
    /// Anything less certain is no proof: then only the lease's expiry counts.
    pub fn proves_dead(&self, owner: &Document) -> bool {
        let same_kernel = self.boot.is_some() && owner.get_str("boot").ok() == self.boot.as_deref();
        if !same_kernel || owner.get_str("host").ok() != Some(self.host.as_str()) {
            return false;
        }
        let Some(pid) = owner.get_i64("pid").ok().and_then(|pid| u32::try_from(pid).ok()) else {
            return false;
        };
        let Ok(started) = owner.get_str("process_start") else {
            return false;
        };
        process_start(pid).is_none_or(|now| now != started)
    }
}

fn user() -> String {
    ["LOGNAME", "USER", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .or_else(account)
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The account this process runs under, for services and containers that set no such variable.
#[cfg(unix)]
fn account() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let uid = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    Some(name.unwrap_or_else(|| format!("uid {uid}")))
}

#[cfg(not(unix))]
fn account() -> Option<String> {
    None
}

/// Linux only: elsewhere a dead owner's lease runs out by itself.
fn boot() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// Field 22 of `/proc/<pid>/stat`; the second field may hold spaces and ends with the last `)`.
/// A zombie holds its place in the table but does nothing any more.
/// Source: proc(5).
fn process_start(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_of_this_kernel_that_is_gone_is_dead() {
        let me = Identity::current();
        let mut child = std::process::Command::new("true").spawn().expect("spawns");
        let gone = Identity { pid: child.id(), process_start: Some("1".to_owned()), ..me.clone() };
        child.wait().expect("waits");
        let owner = |identity: &Identity| identity.owner("r", "apply", Vec::new());
        assert!(!me.proves_dead(&owner(&me)));
        assert!(me.proves_dead(&owner(&gone)));
        let elsewhere = Identity { boot: Some("another boot".to_owned()), ..gone.clone() };
        assert!(!me.proves_dead(&owner(&elsewhere)));
        let other_host = Identity { host: "elsewhere".to_owned(), ..gone };
        assert!(!me.proves_dead(&owner(&other_host)));
        let reused = Identity { process_start: Some("1".to_owned()), ..me.clone() };
        assert!(me.proves_dead(&owner(&reused)));
        assert!(!me.proves_dead(&doc! {}));
    }
}
