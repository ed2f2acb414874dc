//! `--inject UNIT=WHAT[@POINT]`: makes a run go wrong on purpose, to try what it promises. Hidden from help.

use std::collections::HashSet;
use std::io::Write as _;
use std::str::FromStr;
use std::sync::Mutex;

use crate::engine::{Faults, Point};
use crate::event::UnitRef;
use crate::sync::lock;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// The unit does what it does, and is told as failed.
    Fail,
    /// It runs twice.
    Repeat,
    /// The process is killed, as by `kill -9`.
    Kill,
    /// The process says on stdout where it is (`halted POINT UNIT`), and stands still.
    Halt,
}

/// One thing that goes wrong, once.
#[derive(Debug, Clone)]
pub struct Injection {
    unit: String,
    what: What,
    point: Point,
}

impl FromStr for Injection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected UNIT=fail|repeat|kill|halt[@POINT]";
        let (unit, rest) = text.rsplit_once('=').ok_or(expected)?;
        let (what, point) = rest.split_once('@').map_or((rest, None), |(what, point)| (what, Some(point)));
        let what = match what {
            "fail" => What::Fail,
            "repeat" => What::Repeat,
            "kill" => What::Kill,
            "halt" => What::Halt,
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
        Ok(Self { unit: unit.to_owned(), what, point })
    }
}

/// All that goes wrong in a run.
#[derive(Debug)]
pub struct Injections {
    all: Vec<Injection>,
    done: Mutex<HashSet<usize>>,
}

impl Injections {
    /// Those that were asked for.
    pub fn new(all: Vec<Injection>) -> Self {
        Self { all, done: Mutex::default() }
    }

    /// The first one that fits and has not happened yet; it has now.
    fn take(&self, unit: &UnitRef, fits: impl Fn(&Injection) -> bool) -> Option<What> {
        let mut done = lock(&self.done);
        let (index, found) = self
            .all
            .iter()
            .enumerate()
            .find(|(n, one)| !done.contains(n) && unit.is_meant_by(&one.unit) && fits(one))?;
        done.insert(index);
        Some(found.what)
    }
}

impl Faults for Injections {
    fn reach(&self, point: Point, unit: &UnitRef) {
        match self.take(unit, |one| one.point == point && matches!(one.what, What::Kill | What::Halt)) {
            Some(What::Kill) => {
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
        let ends = |one: &Injection| matches!(one.what, What::Fail | What::Repeat);
        self.all.iter().any(|one| ends(one) && unit.is_meant_by(&one.unit))
    }

    fn fails(&self, unit: &UnitRef) -> bool {
        self.take(unit, |one| one.what == What::Fail).is_some()
    }

    fn repeats(&self, unit: &UnitRef) -> bool {
        self.take(unit, |one| one.what == What::Repeat).is_some()
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
