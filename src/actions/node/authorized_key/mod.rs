//! `node.authorized_key`: keys with which a user may log in.

mod keys;
mod state;

use schemars::JsonSchema;
use serde::Deserialize;

use super::bytes;
use super::effects::{CheckedEffect, next_checked};
use super::failure::failed;
use super::group::State;
use super::params::{check_account, check_file_path};
use super::probes::{output_at, script_probe};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, WriteFile, quote::word};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::{Delta, Diff};
use crate::event::Problem;
use crate::plan::{ParamError, Role, RunsOn, refuse};
use keys::{DesiredKeys, Key};
use state::KeysFile;

/// Adds keys to a user's ~/.ssh/authorized_keys, or removes them. The file is written as that user, so that no link in
/// the home directory can redirect the write; a link that leads out of the home directory is refused. A missing folder
/// or file is created, accessible to the user only.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizedKey {
    /// Name of the user.
    pub user: String,
    /// Public keys in the format of their files: `[options] type key [comment]`. An element may have several lines.
    /// Keys are compared by type and key; the comment may differ.
    pub keys: Vec<String>,
    /// Whether the keys are wanted.
    #[serde(default)]
    pub state: State,
    /// Whether all other keys are removed.
    #[serde(default)]
    pub exclusive: bool,
    /// Options of all these keys, such as `restrict,pty`; replaces the options in `keys`.
    #[serde(default)]
    pub options: Option<String>,
    /// Absolute path of another file than ~/.ssh/authorized_keys, such as one in /etc/ssh; links are refused. It is
    /// written by the user that the step runs as, with mode 0644; its folder must exist.
    #[serde(default)]
    pub path: Option<String>,
}

impl Spec for AuthorizedKey {
    const NAME: &'static str = "node.authorized_key";
    const SUMMARY: &'static str = "keys with which a user may log in";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "keys"
action = "node.authorized_key"
hosts = "pis"
become = true
user = "pi"
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0ExampleExampleExampleExampleExampleExample ada@laptop"]
"#;

    fn rules(&self) -> Result<(), ParamError> {
        check_account("user", &self.user)?;
        for (index, text) in self.keys.iter().enumerate() {
            if let Some(line) = lines(text).find(|line| Key::parse(line).is_none()) {
                let shown: String = line.chars().take(40).collect();
                return refuse(
                    &format!("keys/{index}"),
                    format!("`{shown}` is not a public key, such as `ssh-ed25519 AAAA… comment`"),
                );
            }
        }
        if self.keys.iter().all(|text| lines(text).next().is_none()) {
            return refuse("keys", "give at least one key");
        }
        if self.exclusive && self.state == State::Absent {
            return refuse("exclusive", "it needs `state = \"present\"`");
        }
        if let Some(options) = &self.options {
            let probe = format!("{options} ssh-ed25519 AAAA");
            if !options.is_empty() && Key::parse(&probe).is_none_or(|key| key.options != options) {
                return refuse("options", "these are not valid options: write them without spaces outside of quotes");
            }
        }
        self.path.as_deref().map_or(Ok(()), |path| check_file_path("path", path))
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
}

impl AuthorizedKey {
    fn wanted(&self) -> DesiredKeys<'_> {
        let mut keys: Vec<Key<'_>> = Vec::new();
        for key in self.keys.iter().flat_map(|text| lines(text)).filter_map(Key::parse) {
            if keys.iter().all(|other| other.key != key.key) {
                keys.push(key);
            }
        }
        DesiredKeys {
            keys,
            options: self.options.as_deref(),
            present: self.state == State::Present,
            exclusive: self.exclusive,
        }
    }

    fn diff_and_effects(&self, facts: &[Fact]) -> Result<(Diff, Vec<CheckedEffect>), Problem> {
        let what = format!("look up the keys of {}", self.user);
        let done = output_at(facts, 0)?;
        if done.exit != 0 {
            return Err(failed(what, done));
        }
        if done.stdout.is_cut() {
            let problem = Problem::new(format!("the keys of {} are {} bytes", self.user, done.stdout.length));
            return Err(problem.hint("such a long file is not edited: look at it on the host first"));
        }
        let current = KeysFile::parse(&bytes::decode(&done.stdout.tail), &self.user)?;
        let before = current.content.as_deref().unwrap_or_default();
        let after = self.wanted().apply(before);
        let changes = after != before && !(after.is_empty() && current.content.is_none());
        let mut diff = Diff::default();
        if changes {
            let shown = |text: &str| String::from_utf8_lossy(&bytes::encode(text)).into_owned();
            diff.0.push(Delta::Text { label: current.place.clone(), before: shown(before), after: shown(&after) });
        }
        if self.path.is_some() {
            let attributes = Attributes { mode: Some(0o644), ..Attributes::default() };
            let (path, content) = (current.place, bytes::encode(&after).into());
            let write = WriteFile { path, content, attributes, backup: false, validate: None };
            return Ok((diff, if changes { vec![host::Effect::WriteFile(write).into()] } else { Vec::new() }));
        }
        // sshd ignores files that others may write.
        for (what, state) in [("folder", &current.folder), ("file", &current.file)] {
            let Some(state) = state else { continue };
            if state.owner != current.uid {
                return Err(Problem::new(format!(
                    "the {what} of {} belongs to user number {}",
                    current.place, state.owner
                ))
                .hint(format!("sshd may ignore it; change the owner on the host: `chown -R {} ~/.ssh`", self.user)));
            }
            if state.mode & 0o022 != 0 {
                let mode = |mode: u32| format!("{mode:04o}");
                diff.push_field(format!("{what}'s mode"), Some(mode(state.mode)), Some(mode(state.mode & !0o022)));
            }
        }
        if diff.is_empty() {
            return Ok((diff, Vec::new()));
        }
        let after = bytes::encode(&after);
        let script = self.as_user(&current, &write_script(&current, after.len()))?;
        let act = CheckedEffect::with_stdin(format!("write {}", current.place), script, after.into());
        Ok((diff, vec![act]))
    }

    /// A command that runs the script as the user who owns the keys.
    fn as_user(&self, current: &KeysFile, script: &str) -> Result<String, Problem> {
        let (user, script) = (word(&self.user), word(script));
        if current.own_uid == current.uid {
            return Ok(format!("sh -c {script}"));
        }
        if current.own_uid != 0 {
            return Err(Problem::new(format!("the step runs neither as {} nor as root", self.user))
                .hint("set `become = true` on the step"));
        }
        Ok(format!(
            "if command -v runuser >/dev/null; then runuser -u {user} -- sh -c {script}; else su -s /bin/sh -c {script} {user}; fi"
        ))
    }
}

fn write_script(current: &KeysFile, size: usize) -> String {
    let (home, place) = (word(&current.home), word(&current.place));
    format!("home={home} place={place} size={size}\n{}", include_str!("write.sh"))
}

impl Action for AuthorizedKey {
    fn probes(&self) -> Vec<Probe> {
        let (user, path) = (word(&self.user), word(self.path.as_deref().unwrap_or_default()));
        vec![script_probe(format!("user={user} path={path}\n{}", include_str!("probe.sh")))]
    }

    fn edits(&self) -> Vec<String> {
        vec![self.path.clone().unwrap_or_else(|| format!("~{}/.ssh/authorized_keys", self.user))]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        if self.state == State::Absent && output_at(facts, 0).is_ok_and(|done| done.stdout.text() == "nobody") {
            return Verdict::Same { seen: format!("there is no user {}", self.user) };
        }
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
mod tests;
