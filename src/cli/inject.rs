//! `--inject UNIT=FAULT[@POINT]`: makes a run fail on purpose, to test how it recovers. Hidden from help.

use std::collections::HashSet;
use std::io::Write as _;
use std::str::FromStr;
use std::sync::Mutex;

use crate::engine::{Faults, Point};
use crate::event::UnitRef;
use crate::sync::lock;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FaultKind {
    /// The unit runs, and is then reported as failed.
    Fail,
    /// The unit runs twice.
    Repeat,
    /// The process kills itself with SIGKILL.
    Kill,
    /// The process prints `halted POINT UNIT` on stdout and stops there, until it is killed.
    Halt,
}

/// One fault, which happens once.
#[derive(Debug, Clone)]
pub struct Injection {
    unit: String,
    kind: FaultKind,
    point: Point,
}

impl FromStr for Injection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected UNIT=fail|repeat|kill|halt[@POINT]";
        let (unit, rest) = text.rsplit_once('=').ok_or(expected)?;
        let (kind, point) = rest.split_once('@').map_or((rest, None), |(kind, point)| (kind, Some(point)));
        let kind = match kind {
            "fail" => FaultKind::Fail,
            "repeat" => FaultKind::Repeat,
            "kill" => FaultKind::Kill,
            "halt" => FaultKind::Halt,
            _ => return Err(expected.to_owned()),
        };
        let names = || Point::ALL.map(Point::name).join(", ");
        let point = match point {
            None => Point::AfterEffect,
            Some(name) => Point::ALL
                .into_iter()
                .find(|p| p.name() == name)
                .ok_or_else(|| format!("no point is named {name}; there are {}", names()))?,
        };
        Ok(Self { unit: unit.to_owned(), kind, point })
    }
}

/// All faults of a run.
#[derive(Debug)]
pub struct Injections {
    all: Vec<Injection>,
    used: Mutex<HashSet<usize>>,
}

impl Injections {
    pub fn new(all: Vec<Injection>) -> Self {
        Self { all, used: Mutex::default() }
    }

    /// Takes the first unused fault of the unit that fits, and marks the fault as used.
    fn take(&self, unit: &UnitRef, fits: impl Fn(&Injection) -> bool) -> Option<FaultKind> {
        let mut used = lock(&self.used);
        let (index, found) = self
            .all
            .iter()
            .enumerate()
            .find(|(n, one)| !used.contains(n) && unit.is_meant_by(&one.unit) && fits(one))?;
        used.insert(index);
        Some(found.kind)
    }
}

impl Faults for Injections {
    fn reach(&self, point: Point, unit: &UnitRef) {
        match self.take(unit, |one| one.point == point && matches!(one.kind, FaultKind::Kill | FaultKind::Halt)) {
            Some(FaultKind::Kill) => {
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            }
            Some(_) => {
                let mut out = std::io::stdout().lock();
                let _ = writeln!(out, "halted {} {unit}", point.name()).and_then(|()| out.flush());
                loop {
                    std::thread::park();
                }
            }
            None => {}
        }
    }

    fn meddles(&self, unit: &UnitRef) -> bool {
        let changes_outcome = |one: &Injection| matches!(one.kind, FaultKind::Fail | FaultKind::Repeat);
        self.all.iter().any(|one| changes_outcome(one) && unit.is_meant_by(&one.unit))
    }

    fn fails(&self, unit: &UnitRef) -> bool {
        self.take(unit, |one| one.kind == FaultKind::Fail).is_some()
    }

    fn repeats(&self, unit: &UnitRef) -> bool {
        self.take(unit, |one| one.kind == FaultKind::Repeat).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_happens_once() {
        let unit = UnitRef { phase: "p".into(), step: "a".into(), item: None, host: Some("pi-1".into()) };
        let injections = Injections::new(vec!["p/a@pi-1=fail".parse().unwrap()]);
        assert!(injections.fails(&unit));
        assert!(!injections.fails(&unit));
        let elsewhere = Injections::new(vec!["a@pi-2=fail".parse().unwrap(), "b=fail".parse().unwrap()]);
        assert!(!elsewhere.fails(&unit));
        assert!("a=halt@nowhere".parse::<Injection>().unwrap_err().contains("mid-effect"));
    }
}
