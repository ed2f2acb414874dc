//! `node.git`: a git repository at a commit, branch or tag.

mod state;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::conditions::check_no_secret;
use super::effects::script_with_args;
use super::failure::failed;
use super::params::{check_path, trimmed};
use super::probes::{missing_program, output_at, programs_probe, run_probe};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::{Effect, EffectResult, Fact, Probe, host};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};
use state::RepositoryState;

/// Keeps a checkout of a git repository in a folder of the host, with the host's own git. HEAD is the commit itself
/// (detached). Untracked files stay; local changes to tracked files block the step, unless `force` is set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Git {
    /// URL or path of the repository, as the host reaches it with its own keys and credentials. git cannot ask for a
    /// password.
    pub repo: String,
    /// Absolute path of the folder; a missing folder is created.
    pub path: String,
    /// Branch, tag, or the full hash of a commit or of an annotated tag. Default: the HEAD of the repository.
    #[serde(default = "head")]
    pub version: String,
    /// How many commits of history are fetched. Default: all. Counts only when another version is checked out.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub depth: Option<u32>,
    /// Whether local changes to tracked files are discarded.
    #[serde(default)]
    pub force: bool,
}

fn head() -> String {
    "HEAD".to_owned()
}

impl Spec for Git {
    const NAME: &'static str = "node.git";
    const SUMMARY: &'static str = "a git repository at a commit, branch or tag";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[Output { name: "commit", about: "the commit that is checked out" }];
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "dotfiles"
action = "node.git"
hosts = "pis"
repo = "https://github.com/example/pi-tools.git"
path = "/home/pi/tools"
version = "v1.4.0"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        check_path("path", &self.path)?;
        check_no_secret("repo", [self.repo.as_str()])?;
        if self.repo.is_empty() || self.repo.starts_with('-') || self.repo.contains(char::is_control) {
            return refuse("repo", format!("\"{}\" is not a repository", self.repo));
        }
        let wrong = |c: char| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c);
        if self.version.is_empty() || self.version.starts_with('-') || self.version.contains(wrong) {
            return refuse("version", format!("\"{}\" is not a branch, tag or commit", self.version));
        }
        if self.depth == Some(0) {
            return refuse("depth", "it must be at least 1");
        }
        Ok(())
    }
}

const PROBE: &str = concat!(include_str!("common.sh"), include_str!("probe.sh"));
const CHECKOUT: &str = concat!(include_str!("common.sh"), include_str!("checkout.sh"));

impl Git {
    /// Whether the version is the hash of an object. The remote repository need not be asked then.
    fn is_hash(&self) -> bool {
        matches!(self.version.len(), 40 | 64) && self.version.bytes().all(|b| b.is_ascii_hexdigit())
    }

    /// References that the version may stand for, in order of precedence.
    fn references(&self) -> Vec<String> {
        let version = &self.version;
        match version.as_str() {
            _ if self.is_hash() => Vec::new(),
            "HEAD" => vec!["HEAD".to_owned()],
            _ => vec![
                format!("refs/heads/{version}"),
                format!("refs/tags/{version}^{{}}"),
                format!("refs/tags/{version}"),
            ],
        }
    }

    /// The commit that the version stands for.
    fn wanted(&self, state: &RepositoryState<'_>) -> Option<String> {
        if self.is_hash() {
            let commit = if state.version_commit.is_empty() { &self.version } else { state.version_commit };
            return Some(commit.to_ascii_lowercase());
        }
        self.references().iter().find_map(|reference| state.commit_of(reference)).map(str::to_owned)
    }

    fn folder(&self) -> String {
        trimmed(&self.path)
    }

    fn probe(&self) -> host::Run {
        let (folder, references) = (self.folder(), self.references());
        let hash = if self.is_hash() { self.version.as_str() } else { "" };
        let args = [folder.as_str(), hash, &self.repo].into_iter().chain(references.iter().map(String::as_str));
        script_with_args(PROBE, &args.collect::<Vec<_>>())
    }

    fn checkout(&self, commit: &str) -> host::Run {
        let depth = self.depth.map(|depth| depth.to_string()).unwrap_or_default();
        let force = if self.force { "--force" } else { "" };
        script_with_args(CHECKOUT, &[&self.folder(), &self.repo, commit, &depth, force])
    }

    /// The commit that was asked for, from the answers to the probes.
    fn wanted_commit(&self, facts: &[Fact]) -> String {
        let text = output_at(facts, 1).map(|done| done.stdout.text()).unwrap_or_default();
        RepositoryState::parse(&text).and_then(|state| self.wanted(&state)).unwrap_or_default()
    }

    fn diff(&self, state: &RepositoryState<'_>, wanted: &str) -> Result<Diff, Problem> {
        let mut diff = Diff::default();
        let head = state.head.filter(|head| !head.is_empty());
        diff.push_field(format!("{} HEAD", self.path), head.map(str::to_owned), Some(wanted.to_owned()));
        let origin = Some(state.origin).filter(|origin| !origin.is_empty());
        diff.push_field("origin", origin.map(str::to_owned), Some(self.repo.clone()));
        if state.changed && self.force {
            diff.push_field("local changes", Some("there are some".to_owned()), None);
        }
        if state.changed && !self.force && !diff.is_empty() {
            let problem = Problem::new(format!("{} has local changes, so it cannot be updated", self.path));
            return Err(problem.hint("look at them with `git status` on the host; `force = true` drops them"));
        }
        Ok(diff)
    }

    fn judge(&self, state: &RepositoryState<'_>) -> Verdict {
        if let Some(by) = state.taken {
            let problem = Problem::new(format!("{} is taken by {}", self.path, by.trim_start_matches("by ")));
            return Verdict::Blocked(
                problem.hint("give the path of an empty folder or one that does not exist, or move the files away"),
            );
        }
        let Some(wanted) = self.wanted(state) else {
            let problem = Problem::new(format!("{} has no branch or tag {}", self.repo, self.version));
            return Verdict::Blocked(problem.hint("a commit must be written in full, with all of its 40 digits"));
        };
        Verdict::judged(self.diff(state, &wanted), || {
            let changes = if state.changed { ", with local changes" } else { "" };
            format!("{}{changes}", wanted.get(..12).unwrap_or(&wanted))
        })
    }
}

impl Action for Git {
    fn probes(&self) -> Vec<Probe> {
        vec![programs_probe(&["git"]), run_probe(self.probe())]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        if missing_program(facts, 0, &["git"]).is_some() {
            let problem = Problem::new("there is no git on the host");
            return Verdict::Blocked(problem.hint("install the package `git` in a step before this one"));
        }
        let done = match output_at(facts, 1) {
            Ok(done) if done.exit == 0 => done,
            Ok(done) => {
                let problem = failed(format!("look at {} or {}", self.path, self.repo), done);
                return Verdict::Blocked(problem.hint(
                    "can the host reach the repository, and has the step's user (see `become`) the keys for it?",
                ));
            }
            Err(problem) => return Verdict::Blocked(problem),
        };
        match RepositoryState::parse(&done.stdout.text()) {
            Some(state) => self.judge(&state),
            None => Verdict::Blocked(failed(format!("understand what git says about {}", self.path), done)),
        }
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        if let Some(EffectResult::Host(done)) = done.last() {
            let problem = || failed(format!("check out {} in {}", self.version, self.path), done);
            let hint = "is the disk full, may the step's user write there, and does the repository have that commit? \
                        if another git process is running there, wait until it has ended";
            return if done.exit == 0 { Ok(None) } else { Err(problem().hint(hint)) };
        }
        Ok(Some(Effect::Host(host::Effect::Run(self.checkout(&self.wanted_commit(facts))))))
    }

    fn outputs(&self, facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        Outputs::from_iter([("commit".to_owned(), json!(self.wanted_commit(facts)))])
    }
}

#[cfg(test)]
mod tests;
