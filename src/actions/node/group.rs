//! `node.group`: a group of users exists, or does not.

use schemars::JsonSchema;
use serde::Deserialize;

use super::effects::{CheckedEffect, next_checked};
use super::failure::failed;
use super::params::check_account;
use super::probes::{output_at, script_probe, unexpected_answer};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::quote::word;
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::Problem;
use crate::plan::{ParamError, Role, RunsOn, refuse};

/// Creates or removes a group, with the programs of the package `passwd` (on Alpine: `shadow`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Name of the group.
    pub name: String,
    /// Whether the group is wanted.
    #[serde(default)]
    pub state: State,
    /// Number of the group. Default: unchanged; a new group gets the next free number. Files keep the number that they
    /// have.
    #[serde(default)]
    pub gid: Option<u32>,
    /// Whether the group gets a number from the range of system groups. Counts only when it is created.
    #[serde(default)]
    pub system: bool,
}

/// Whether the object is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It exists.
    #[default]
    Present,
    /// It does not exist.
    Absent,
}

impl Spec for Group {
    const NAME: &'static str = "node.group";
    const SUMMARY: &'static str = "a group of users exists, or does not";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "group"
action = "node.group"
hosts = "pis"
become = true
name = "operators"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        check_account("name", &self.name)?;
        if self.state == State::Absent && (self.gid.is_some() || self.system) {
            return refuse("state", "with `state = \"absent\"`, give `name` only");
        }
        Ok(())
    }
}

impl Group {
    /// The number of the existing group.
    fn current_gid(&self, facts: &[Fact]) -> Result<Option<u32>, Problem> {
        let done = output_at(facts, 0)?;
        if done.exit == 2 {
            return Ok(None);
        }
        if done.exit != 0 {
            return Err(failed(format!("look up the group {}", self.name), done));
        }
        let line = done.stdout.text();
        let number = line.split(':').nth(2).and_then(|gid| gid.parse().ok());
        number.map(Some).ok_or_else(|| unexpected_answer("look up the group", &line))
    }

    fn diff_and_effects(&self, facts: &[Fact]) -> Result<(Diff, Vec<CheckedEffect>), Problem> {
        let (current, name) = (self.current_gid(facts)?, word(&self.name));
        let text = |gid: u32| gid.to_string();
        let there = format!("getent group {name}");
        let has = |gid: u32| format!("[ \"$({there} | cut -d : -f 3)\" = {gid} ]");
        let (diff, what, script, holds) = match (self.state, current) {
            (State::Absent, None) => return Ok((Diff::default(), Vec::new())),
            (State::Absent, Some(gid)) => {
                let diff = Diff::field(format!("group {}", self.name), Some(text(gid)), None);
                (diff, "remove", format!("groupdel -- {name}"), format!("! {there} >/dev/null"))
            }
            (State::Present, None) => {
                let number = self.gid.map_or_else(|| "next free number".to_owned(), text);
                let mut flags = if self.system { " -r".to_owned() } else { String::new() };
                flags.extend(self.gid.map(|gid| format!(" -g {gid}")));
                let diff = Diff::field(format!("group {}", self.name), None, Some(number));
                let holds = self.gid.map_or_else(|| format!("{there} >/dev/null"), has);
                (diff, "create", format!("groupadd{flags} -- {name}"), holds)
            }
            (State::Present, Some(gid)) => match self.gid {
                Some(wanted) if wanted != gid => {
                    let diff = Diff::field("gid", Some(text(gid)), Some(text(wanted)));
                    (diff, "change", format!("groupmod -g {wanted} -- {name}"), has(wanted))
                }
                _ => return Ok((Diff::default(), Vec::new())),
            },
        };
        Ok((diff, vec![CheckedEffect::with_test(format!("{what} the group {}", self.name), &script, &holds).or(hint)]))
    }
}

/// A hint for an error of the account programs.
pub fn hint(done: &crate::connect::host::CommandOutput) -> Option<&'static str> {
    let output = done.stderr.text();
    let has = |text: &str| output.contains(text);
    if done.exit == 127 {
        Some("install the package passwd (on Alpine: shadow) in a `node.package` step before this one")
    } else if has("is not unique") || has("already exists") {
        Some("the number or name is taken: `getent passwd` and `getent group` on the host show by whom")
    } else if has("primary group") {
        Some("give that user another primary `group` first")
    } else if has("currently used by process") || has("currently logged in") {
        Some("end the processes of that user first")
    } else if has("does not exist") {
        Some("create the group in a `node.group` step before this one")
    } else if has("cannot lock") || has("unable to lock") {
        Some("another program is changing the accounts right now; set `retry` on the step")
    } else {
        None
    }
}

impl Action for Group {
    fn probes(&self) -> Vec<Probe> {
        vec![script_probe(format!("getent group {}", word(&self.name)))]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        Verdict::judged(self.diff_and_effects(facts).map(|(diff, _)| diff), String::new)
    }

    fn completes_at_once(&self) -> bool {
        true
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        next_checked(&self.diff_and_effects(facts)?.1, done)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{blocked, build, change, effects, is_same, perform, ran, refused};
    use super::*;
    use crate::connect::host::{self, Run};

    fn runs(step: &Group, fact: Fact, line: &str) {
        let effects = effects(step, &[fact]);
        let [host::Effect::Run(run)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(run.command.to_string().lines().next(), Some(line));
    }

    /// Runs the script of the only effect, with `programs` defined as functions before it; returns the exit status and
    /// standard error.
    async fn run_with(step: &Group, fact: Fact, programs: &str) -> (i32, String) {
        let effects = effects(step, &[fact]);
        let [host::Effect::Run(run)] = &effects[..] else { panic!("{effects:?}") };
        let done = perform(&Run::shell(format!("{programs}\n{}", run.command))).await;
        (done.exit, done.stderr.text())
    }

    #[tokio::test]
    async fn a_program_that_ends_well_without_effect_is_found_out() {
        let there = || ran(0, "ops:x:1005:\n", "");
        let idle = "groupadd() { :; }; groupmod() { :; }; groupdel() { :; }; getent() { echo ops:x:1005:; }";
        let step = |more: &str| build::<Group>(&format!("name = 'ops'\n{more}")).unwrap();
        for step in [step("gid = 990"), step("state = 'absent'")] {
            let (exit, output) = run_with(&step, there(), idle).await;
            assert!(exit == 1 && output.contains("not what was asked for"), "{exit}: {output}");
        }
        assert_eq!(run_with(&step("gid = 1005"), ran(2, "", ""), idle).await.0, 0);
        let gone = "groupadd() { return 9; }; getent() { return 2; }";
        assert_eq!(run_with(&step(""), ran(2, "", ""), gone).await, (9, String::new()));
        assert_eq!(run_with(&step(""), ran(2, "", ""), &gone.replace('9', "0")).await.0, 1);
    }

    #[test]
    fn a_group_is_made_changed_and_removed() {
        let none = || ran(2, "", "");
        let there = || ran(0, "ops:x:1005:a,b\n", "");
        let step = build::<Group>("name = 'ops'").unwrap();
        assert!(is_same(&step.verdict(&[there()])));
        assert_eq!(change(&step.verdict(&[none()])), ["+ group ops: next free number"]);
        runs(&step, none(), "groupadd -- ops");
        let step = build::<Group>("name = 'ops'\ngid = 990\nsystem = true").unwrap();
        runs(&step, none(), "groupadd -r -g 990 -- ops");
        assert_eq!(change(&step.verdict(&[there()])), ["~ gid: 1005 → 990"]);
        runs(&step, there(), "groupmod -g 990 -- ops");
        let step = build::<Group>("name = 'ops'\nstate = 'absent'").unwrap();
        assert!(is_same(&step.verdict(&[none()])));
        runs(&step, there(), "groupdel -- ops");
    }

    #[test]
    fn what_is_not_understood_blocks() {
        let step = build::<Group>("name = 'ops'").unwrap();
        assert!(blocked(&step.verdict(&[ran(127, "", "sh: getent: not found")])).contains("not found"));
        assert!(blocked(&step.verdict(&[ran(0, "ops", "")])).contains("`ops`"));
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for (toml, parameter) in [
            ("name = '-x'", "/name"),
            ("name = 'a:b'", "/name"),
            ("name = '12'", "/name"),
            ("name = 'x'\nstate = 'absent'\ngid = 1", "/state"),
        ] {
            assert_eq!(refused::<Group>(toml), parameter, "{toml}");
        }
    }
}
