//! `node.directory`: a directory at a path, or none.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::content::diff_attributes;
use super::effects::nth_effect;
use super::params::{self, Mode, check_path, trimmed};
use super::probes::{file_at, file_probe};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, FileKind, Read};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};

/// Creates a directory and its parents, or removes a directory with everything in it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Absolute path on the host.
    pub path: String,
    /// Whether the directory is to exist.
    #[serde(default)]
    pub state: State,
    /// Mode, such as "0755". Default: unchanged; a new directory gets 0777 less the host's umask.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Owner, by name or number. Default: unchanged.
    #[serde(default)]
    pub owner: Option<String>,
    /// Group, by name or number. Default: unchanged.
    #[serde(default)]
    pub group: Option<String>,
}

/// Whether a directory is to exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A directory.
    #[default]
    Directory,
    /// Nothing: a directory is removed with everything in it.
    Absent,
}

impl Spec for Directory {
    const NAME: &'static str = "node.directory";
    const SUMMARY: &'static str = "a directory at a path, or none";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const IS_REVERTIBLE: bool = true;
    const OUTPUTS: &'static [Output] = &[Output { name: "path", about: "the path" }];
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "data"
action = "node.directory"
hosts = "pis"
become = true
path = "/srv/trading/data"
mode = "0750"
owner = "trading"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        check_path("path", &self.path)?;
        if self.state == State::Absent {
            let depth = self.path.split('/').filter(|name| !name.is_empty() && *name != ".").count();
            if depth < 2 {
                return refuse("path", format!("\"{}\" is a top-level directory, which is never removed", self.path));
            }
            if self.mode.is_some() || self.owner.is_some() || self.group.is_some() {
                return refuse("state", "with `state = \"absent\"`, mode and owner cannot be given");
            }
        }
        Ok(())
    }
}

impl Directory {
    fn attributes(&self) -> Attributes {
        params::attributes(self.mode, self.owner.as_ref(), self.group.as_ref())
    }
}

impl Action for Directory {
    fn probes(&self) -> Vec<Probe> {
        vec![file_probe(&trimmed(&self.path), Read::Stat)]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let current = file_at(facts, 0);
        let path = trimmed(&self.path);
        let wrong_kind = |kind: &FileKind| {
            let what = match kind {
                FileKind::Link(target) => format!("a link to {target}"),
                other => format!("a {}", other.name()),
            };
            Verdict::Blocked(
                Problem::new(format!("{path} is {what}, not a directory"))
                    .hint("is the path right? `node.file` can remove what is there"),
            )
        };
        match (current, self.state) {
            (None, State::Absent) => Verdict::Same { seen: String::new() },
            (Some(file), _) if file.kind != FileKind::Directory => wrong_kind(&file.kind),
            (Some(_), State::Absent) => Verdict::Change(Diff::act(format!("remove {path} with everything in it"))),
            (current, State::Directory) => {
                let mut diff = Diff::default();
                if current.is_none() {
                    diff.push_field(path, None, Some("directory".to_owned()));
                }
                diff_attributes(&mut diff, current, &self.attributes());
                Verdict::judged(Ok(diff), String::new)
            }
        }
    }

    fn next_effect(&self, _facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let path = trimmed(&self.path);
        let effect = match self.state {
            State::Directory => host::Effect::Directory { path, attributes: self.attributes() },
            State::Absent => host::Effect::Remove { path },
        };
        nth_effect(&[effect], done)
    }

    fn outputs(&self, _facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        Outputs::from_iter([("path".to_owned(), json!(self.path))])
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, blocked, build, change, effects, file, is_same, refused};
    use super::*;

    #[test]
    fn mode_and_owner_are_compared() {
        let step = build::<Directory>("path = '/srv/x/'\nmode = '0750'\nowner = 'bob'").unwrap();
        assert_eq!(change(&step.verdict(&[file(None)])), ["+ /srv/x: directory", "+ mode: 0750", "+ owner: bob"]);
        let facts = [file(Some(at(FileKind::Directory, 0o750)))];
        assert_eq!(change(&step.verdict(&facts)), ["~ owner: root → bob"]);
        assert!(matches!(&effects(&step, &facts)[..], [host::Effect::Directory { path, .. }] if path == "/srv/x"));
        let step = build::<Directory>("path = '/srv/x'\ngroup = '0'").unwrap();
        assert!(is_same(&step.verdict(&facts)));
    }

    #[test]
    fn what_is_no_directory_is_left_alone() {
        for state in ["directory", "absent"] {
            let step = build::<Directory>(&format!("path = '/srv/x'\nstate = '{state}'")).unwrap();
            let link = file(Some(at(FileKind::Link("/y".into()), 0o777)));
            assert!(blocked(&step.verdict(&[link])).contains("a link to /y, not a directory"));
            assert!(blocked(&step.verdict(&[file(Some(at(FileKind::Regular, 0o644)))])).contains("a file"));
        }
    }

    #[test]
    fn removal_is_announced_and_kept_from_the_root() {
        let step = build::<Directory>("path = '/srv/x'\nstate = 'absent'").unwrap();
        assert!(is_same(&step.verdict(&[file(None)])));
        let facts = [file(Some(at(FileKind::Directory, 0o755)))];
        assert_eq!(change(&step.verdict(&facts)), ["! remove /srv/x with everything in it"]);
        assert!(matches!(&effects(&step, &facts)[..], [host::Effect::Remove { .. }]));
        for path in ["/", "//", "/etc", "/etc/", "/./etc"] {
            assert_eq!(refused::<Directory>(&format!("path = '{path}'\nstate = 'absent'")), "/path", "{path}");
        }
        assert_eq!(refused::<Directory>("path = '/srv/x'\nstate = 'absent'\nmode = '0755'"), "/state");
    }
}
