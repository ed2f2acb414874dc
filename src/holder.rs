//! The holder of a run lock: how the holder writes its name into the lock, and how others read it.
//!
//! Shared by the file lock and the cluster's Lease.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use jiff::fmt::friendly::{Spacing, SpanPrinter};
use jiff::{SignedDuration, Timestamp};

/// A run that holds a lock. Written as `run=… user=… host=… process=… since=…`, which is unique to the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub run: String,
    pub user: String,
    /// Host name of the machine.
    pub host: String,
    /// Process id on that machine.
    pub process: u32,
    /// When the holder took the lock, by its own clock.
    pub since: Timestamp,
}

impl Holder {
    /// This process as the holder, since now.
    pub fn here(run: &str) -> Self {
        let user = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
        let user = user.unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()));
        let second = Timestamp::now().as_second();
        Self {
            run: single_word(run),
            user: single_word(&user),
            host: host_name(),
            process: std::process::id(),
            since: Timestamp::from_second(second).unwrap_or_default(),
        }
    }

    /// Whether both are the same run, whose locks may have different times.
    pub fn is_same_run(&self, other: &Self) -> bool {
        Self { since: other.since, ..self.clone() } == *other
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, user, host, process, since } = self;
        write!(f, "run={run} user={user} host={host} process={process} since={since}")
    }
}

impl FromStr for Holder {
    type Err = ();

    /// Ignores keys that a later version adds.
    fn from_str(text: &str) -> Result<Self, ()> {
        let pairs: HashMap<&str, &str> = text.split_whitespace().filter_map(|pair| pair.split_once('=')).collect();
        let value = |key| pairs.get(key).copied().ok_or(());
        Ok(Self {
            run: value("run")?.to_owned(),
            user: value("user")?.to_owned(),
            host: value("host")?.to_owned(),
            process: value("process")?.parse().map_err(drop)?,
            since: value("since")?.parse().map_err(drop)?,
        })
    }
}

/// A lock that another run or program holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Name of the lock: a file, or a Lease.
    pub lock: String,
    /// The holder's text; not a [`Holder`] if another program wrote it.
    pub text: String,
    /// How long the lock has been held.
    pub age: Option<SignedDuration>,
}

impl Held {
    /// `now` is the time of the holder's clock when the lock was last read. Only the holder's clock is used, so a wrong
    /// clock does not matter.
    pub fn new(lock: impl Into<String>, text: &str, now: Timestamp) -> Self {
        let mut held = Self { lock: lock.into(), text: text.trim().to_owned(), age: None };
        held.age = held.holder().map(|holder| now.duration_since(holder.since).max(SignedDuration::ZERO));
        held
    }

    /// The holder, if the text was written by `rollout`.
    pub fn holder(&self) -> Option<Holder> {
        self.text.parse().ok()
    }

    /// The holder's run, if it runs on this machine, so that its journal is here.
    pub fn local_run(&self) -> Option<String> {
        self.holder().filter(|holder| holder.host == host_name()).map(|holder| holder.run)
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.holder() {
            Some(Holder { run, user, host, process, .. }) => {
                write!(f, "run {run} of {user} on {host} (process {process}) holds {}", self.lock)?;
            }
            None if self.text.is_empty() => write!(f, "somebody holds {}", self.lock)?,
            None => write!(f, "`{}` holds {}", self.text, self.lock)?,
        }
        let printer = SpanPrinter::new().spacing(Spacing::None);
        self.age.map_or(Ok(()), |age| {
            write!(f, ", taken {} ago", printer.duration_to_string(&SignedDuration::from_secs(age.as_secs())))
        })
    }
}

fn host_name() -> String {
    single_word(&rustix::system::uname().nodename().to_string_lossy())
}

fn single_word(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> Holder {
        Holder {
            run: "20261124-153515-07c11".into(),
            user: "ada".into(),
            host: "laptop".into(),
            process: 4711,
            since: "2026-11-24T15:35:15Z".parse().unwrap(),
        }
    }

    #[test]
    fn what_a_holder_writes_is_read_also_with_keys_of_a_later_version() {
        let text = ada().to_string();
        assert_eq!(text, "run=20261124-153515-07c11 user=ada host=laptop process=4711 since=2026-11-24T15:35:15Z");
        assert_eq!(text.parse(), Ok(ada()));
        assert_eq!(format!("v=2 {text} colour=red\n").parse(), Ok(ada()));
        for cut in 0..text.len() - 1 {
            let read: Result<Holder, ()> = text[..cut].parse();
            assert!(read.is_err(), "{}", &text[..cut]);
        }
    }

    #[test]
    fn a_run_is_the_same_in_all_of_its_locks() {
        let later = Holder { since: ada().since + SignedDuration::from_secs(3), ..ada() };
        assert!(ada().is_same_run(&later));
        assert!(!ada().is_same_run(&Holder { host: "control-pi".into(), ..later.clone() }));
        assert!(!ada().is_same_run(&Holder { run: "20261124-153515-07c12".into(), ..later }));
    }

    #[test]
    fn this_process_is_one_word_a_value() {
        let here = Holder::here("a run");
        assert_eq!((here.run.as_str(), here.process), ("a_run", std::process::id()));
        assert_eq!(here.to_string().parse(), Ok(here));
    }

    #[test]
    fn a_person_reads_who_holds_which_lock_for_how_long() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let held = |text: &str, now| Held::new("lease a/b", text, at(now)).to_string();
        let ada = ada().to_string();
        insta::assert_snapshot!(held(&ada, "2026-11-24T15:39:27.5Z"), @"run 20261124-153515-07c11 of ada on laptop (process 4711) holds lease a/b, taken 4m12s ago");
        insta::assert_snapshot!(held(&ada, "1970-01-01T00:00:00Z"), @"run 20261124-153515-07c11 of ada on laptop (process 4711) holds lease a/b, taken 0s ago");
        insta::assert_snapshot!(held("istiod-7", "2026-11-24T15:39:27Z"), @"`istiod-7` holds lease a/b");
        insta::assert_snapshot!(held("", "2026-11-24T15:39:27Z"), @"somebody holds lease a/b");
    }

    #[test]
    fn only_a_run_of_this_machine_can_be_looked_at_here() {
        let held = |holder: Holder| Held::new("l", &holder.to_string(), Timestamp::UNIX_EPOCH).local_run();
        assert_eq!(held(Holder::here("mine")).as_deref(), Some("mine"));
        assert_eq!(held(Holder { host: "no such machine".replace(' ', "-"), ..ada() }), None);
    }
}
