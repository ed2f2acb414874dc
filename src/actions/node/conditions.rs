//! What keeps a command from running: `creates`, `removes`, `unless`, `only_if`. Pure.

use super::effects::{file_at, look};
use super::params::check_path;
use crate::actions::OnInterrupt;
use crate::connect::host::{self, Read, Run};
use crate::connect::{Fact, Probe};
use crate::plan::{ParamError, refuse};
use crate::secret::has_secret;

/// The guards of a command, as far as it has any. One that holds is enough.
#[derive(Default)]
pub struct Conditions<'a> {
    /// Something is at this path.
    pub creates: Option<&'a str>,
    /// Nothing is at this path.
    pub removes: Option<&'a str>,
    /// This script ends well.
    pub unless: Option<&'a str>,
    /// This script does not end well.
    pub only_if: Option<&'a str>,
    /// Where the scripts run.
    pub cwd: Option<&'a str>,
}

enum Condition<'a> {
    Creates(&'a str),
    Removes(&'a str),
    Unless(&'a str),
    OnlyIf(&'a str),
}

impl<'a> Conditions<'a> {
    /// Refuses paths that are none, secrets that others would see, and an `on_interrupt` that has nothing to say.
    pub fn check(&self, on_interrupt: Option<OnInterrupt>) -> Result<(), ParamError> {
        check_words("unless", self.unless)?;
        check_words("only_if", self.only_if)?;
        for (name, path) in [("creates", self.creates), ("removes", self.removes), ("cwd", self.cwd)] {
            path.map_or(Ok(()), |path| check_path(name, path))?;
        }
        if on_interrupt.is_some() && !self.is_empty() {
            return refuse("on_interrupt", "it does nothing here: a guard tells whether it must run again");
        }
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// One question for each.
    pub fn probes(&self) -> Vec<Probe> {
        let cwd = self.cwd.map(str::to_owned);
        let script =
            |text: &str| Probe::Host(host::Probe::Run(Run { cwd: cwd.clone(), quiet: true, ..Run::shell(text) }));
        let probe = |guard| match guard {
            Condition::Creates(path) | Condition::Removes(path) => look(path, Read::Stat),
            Condition::Unless(text) | Condition::OnlyIf(text) => script(text),
        };
        self.all().map(probe).collect()
    }

    /// Why the command need not run; `None`: it must. `facts` are the answers to [`Self::probes`].
    pub fn kept(&self, facts: &[Fact]) -> Option<String> {
        self.all().enumerate().find_map(|(index, guard)| {
            let there = file_at(facts, index).is_some();
            let well = matches!(facts.get(index), Some(Fact::Host(host::Fact::Run(done))) if done.exit == 0);
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

/// Refuses words with a secret, which others on the host could see.
pub fn check_words<'a>(parameter: &str, words: impl IntoIterator<Item = &'a str>) -> Result<(), ParamError> {
    if words.into_iter().any(has_secret) {
        let message = "it has a secret in it, which others on the host could see: hand it over by `stdin`";
        return refuse(parameter, message);
    }
    Ok(())
}
