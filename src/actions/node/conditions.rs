//! The guards `creates`, `removes`, `unless` and `only_if`, which prevent a command from running. Pure.

use super::params::check_path;
use super::probes::{file_at, file_probe, output_at, run_probe};
use crate::actions::OnInterrupt;
use crate::connect::host::{Read, Run};
use crate::connect::{Fact, Probe};
use crate::plan::{ParamError, refuse};
use crate::secret::has_secret;

/// The guards of a command. The command is skipped as soon as one of them applies.
#[derive(Default)]
pub struct Conditions<'a> {
    /// Skip when something is at this path.
    pub creates: Option<&'a str>,
    /// Skip when nothing is at this path.
    pub removes: Option<&'a str>,
    /// Skip when this script ends with status 0.
    pub unless: Option<&'a str>,
    /// Skip when this script ends with another status than 0.
    pub only_if: Option<&'a str>,
    /// Working directory of the scripts.
    pub cwd: Option<&'a str>,
}

enum Condition<'a> {
    Creates(&'a str),
    Removes(&'a str),
    Unless(&'a str),
    OnlyIf(&'a str),
}

impl<'a> Conditions<'a> {
    /// Checks the paths, refuses secrets that other users of the host could see, and an `on_interrupt` that would have
    /// no effect.
    pub fn check(&self, on_interrupt: Option<OnInterrupt>) -> Result<(), ParamError> {
        check_no_secret("unless", self.unless)?;
        check_no_secret("only_if", self.only_if)?;
        for (name, path) in [("creates", self.creates), ("removes", self.removes), ("cwd", self.cwd)] {
            path.map_or(Ok(()), |path| check_path(name, path))?;
        }
        if on_interrupt.is_some() && !self.is_empty() {
            return refuse("on_interrupt", "it has no effect here: the guard decides whether the command runs again");
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// One probe for each guard.
    pub fn probes(&self) -> Vec<Probe> {
        let cwd = self.cwd.map(str::to_owned);
        let script = |text: &str| run_probe(Run { cwd: cwd.clone(), quiet: true, ..Run::shell(text) });
        let probe = |guard| match guard {
            Condition::Creates(path) | Condition::Removes(path) => file_probe(path, Read::Stat),
            Condition::Unless(text) | Condition::OnlyIf(text) => script(text),
        };
        self.all().map(probe).collect()
    }

    /// Why the command is skipped; `None` when it must run. `facts` are the answers to [`Self::probes`].
    pub fn skip_reason(&self, facts: &[Fact]) -> Option<String> {
        self.all().enumerate().find_map(|(index, guard)| {
            let there = file_at(facts, index).is_some();
            let well = output_at(facts, index).is_ok_and(|done| done.exit == 0);
            match guard {
                Condition::Creates(path) => there.then(|| format!("{path} is there")),
                Condition::Removes(path) => (!there).then(|| format!("{path} is not there")),
                Condition::Unless(_) => well.then(|| "`unless` holds".to_owned()),
                Condition::OnlyIf(_) => (!well).then(|| "`only_if` does not hold".to_owned()),
            }
        })
    }

    fn all(&self) -> impl Iterator<Item = Condition<'a>> {
        let guards = [
            self.creates.map(Condition::Creates),
            self.removes.map(Condition::Removes),
            self.unless.map(Condition::Unless),
            self.only_if.map(Condition::OnlyIf),
        ];
        guards.into_iter().flatten()
    }
}

/// Refuses secrets on a command line, where other users of the host could see them.
pub fn check_no_secret<'a>(parameter: &str, words: impl IntoIterator<Item = &'a str>) -> Result<(), ParamError> {
    if words.into_iter().any(has_secret) {
        let message = "it contains a secret, which other users of the host could see: pass it by `stdin`";
        return refuse(parameter, message);
    }
    Ok(())
}
