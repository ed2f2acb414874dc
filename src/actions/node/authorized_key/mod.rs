//! `node.authorized_key`: who may log in as a user by key.

mod keys;
mod seen;

use schemars::JsonSchema;
use serde::Deserialize;

use super::bytes;
use super::effects::run_at;
use super::group::State;
use super::params::{check_account, check_file_path};
use super::scripts::{CheckedEffect, ask, ended, failed, next_checked};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, WriteFile, quote::word};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::{Delta, Diff};
use crate::event::Problem;
use crate::plan::{ParamError, Role, RunsOn, refuse};
use keys::{Key, Wanted};
use seen::Seen;

/// Puts keys into a user's ~/.ssh/authorized_keys, or takes them out. The file is written as that user, so that no link in
/// the home leads anywhere else; a link that leads out of the home is refused. Folder and file are made when missing, for
/// their owner only.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizedKey {
    /// The user.
    pub user: String,
    /// Public keys as in their files: `[options] type key [comment]`. An entry may have several lines. A key is known by
    /// type and key: its comment may be another one.
    pub keys: Vec<String>,
    /// Whether they are there.
    #[serde(default)]
    pub state: State,
    /// Whether they are the only ones.
    #[serde(default)]
    pub exclusive: bool,
    /// Options of all of these keys, such as `restrict,pty`, in the place of those in `keys`.
    #[serde(default)]
    pub options: Option<String>,
    /// Another file than ~/.ssh/authorized_keys, such as one below /etc/ssh, and no link. It is written as the user that the
    /// step runs as, with mode 0644; its folder must be there.
    #[serde(default)]
    pub path: Option<String>,
}

impl Spec for AuthorizedKey {
    const NAME: &'static str = "node.authorized_key";
    const SUMMARY: &'static str = "who may log in as a user by key";
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
            if let Some(line) = lines(text).find(|line| Key::read(line).is_none()) {
                let shown: String = line.chars().take(40).collect();
                return refuse(
                    &format!("keys/{index}"),
                    format!("`{shown}` is no public key: `ssh-ed25519 AAAA… comment`"),
                );
            }
        }
        if self.keys.iter().all(|text| lines(text).next().is_none()) {
            return refuse("keys", "give at least one key");
        }
        if self.exclusive && self.state == State::Absent {
            return refuse("exclusive", "it is for keys that are to be there");
        }
        if let Some(options) = &self.options {
            let probe = format!("{options} ssh-ed25519 AAAA");
            if !options.is_empty() && Key::read(&probe).is_none_or(|key| key.options != options) {
                return refuse("options", "they are no options: write them without spaces outside of quotes");
            }
        }
        self.path.as_deref().map_or(Ok(()), |path| check_file_path("path", path))
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
}

impl AuthorizedKey {
    fn wanted(&self) -> Wanted<'_> {
        let mut keys: Vec<Key<'_>> = Vec::new();
        for key in self.keys.iter().flat_map(|text| lines(text)).filter_map(Key::read) {
            if keys.iter().all(|other| other.key != key.key) {
                keys.push(key);
            }
        }
        Wanted {
            keys,
            options: self.options.as_deref(),
            present: self.state == State::Present,
            exclusive: self.exclusive,
        }
    }

    fn judge(&self, facts: &[Fact]) -> Result<(Diff, Vec<CheckedEffect>), Problem> {
        let what = format!("look for the keys of {}", self.user);
        let done = ended(facts, 0)?;
        if done.exit != 0 {
            return Err(failed(what, done));
        }
        if done.stdout.is_cut() {
            let problem = Problem::new(format!("the keys of {} are {} bytes", self.user, done.stdout.length));
            return Err(problem.hint("so long a file is not edited: look at it first"));
        }
        let seen = Seen::read(&bytes::decode(&done.stdout.tail), &self.user)?;
        let before = seen.content.as_deref().unwrap_or_default();
        let after = self.wanted().applied(before);
        let changes = after != before && !(after.is_empty() && seen.content.is_none());
        let mut diff = Diff::default();
        if changes {
            let shown = |text: &str| String::from_utf8_lossy(&bytes::encode(text)).into_owned();
            diff.0.push(Delta::Text { label: seen.place.clone(), before: shown(before), after: shown(&after) });
        }
        if self.path.is_some() {
            let attributes = Attributes { mode: Some(0o644), ..Attributes::default() };
            let (path, content) = (seen.place, bytes::encode(&after).into());
            let write = WriteFile { path, content, attributes, backup: false, validate: None };
            return Ok((diff, if changes { vec![host::Effect::WriteFile(write).into()] } else { Vec::new() }));
        }
        // sshd does not read what others may write.
        for (what, state) in [("folder", &seen.folder), ("file", &seen.file)] {
            let Some(state) = state else { continue };
            if state.owner != seen.uid {
                return Err(Problem::new(format!(
                    "the {what} of {} belongs to user number {}",
                    seen.place, state.owner
                ))
                .hint(format!("sshd may not accept that; give it back: `chown -R {} ~/.ssh` there", self.user)));
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
        let script = self.as_user(&seen, &write_script(&seen, after.len()))?;
        let act = CheckedEffect::fed(format!("write {}", seen.place), script, after.into());
        Ok((diff, vec![act]))
    }

    /// A script as the user whose keys they are.
    fn as_user(&self, seen: &Seen, script: &str) -> Result<String, Problem> {
        let (user, script) = (word(&self.user), word(script));
        if seen.own_uid == seen.uid {
            return Ok(format!("sh -c {script}"));
        }
        if seen.own_uid != 0 {
            return Err(Problem::new(format!("the step runs as another user than {}, and not as root", self.user))
                .hint("set `become = true` on the step"));
        }
        Ok(format!(
            "if command -v runuser >/dev/null; then runuser -u {user} -- sh -c {script}; else su -s /bin/sh -c {script} {user}; fi"
        ))
    }
}

fn write_script(seen: &Seen, size: usize) -> String {
    let (home, place) = (word(&seen.home), word(&seen.place));
    format!("home={home} place={place} size={size}\n{}", include_str!("write.sh"))
}

impl Action for AuthorizedKey {
    fn probes(&self) -> Vec<Probe> {
        let (user, path) = (word(&self.user), word(self.path.as_deref().unwrap_or_default()));
        vec![ask(format!("user={user} path={path}\n{}", include_str!("look.sh")))]
    }

    fn edits(&self) -> Vec<String> {
        vec![self.path.clone().unwrap_or_else(|| format!("~{}/.ssh/authorized_keys", self.user))]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        if self.state == State::Absent && run_at(facts, 0).is_some_and(|done| done.stdout.text() == "nobody") {
            return Verdict::Same { seen: format!("there is no user {}", self.user) };
        }
        match self.judge(facts) {
            Err(problem) => Verdict::Blocked(problem),
            Ok((diff, _)) if diff.is_empty() => Verdict::Same { seen: String::new() },
            Ok((diff, _)) => Verdict::Change(diff),
        }
    }

    fn completes_at_once(&self) -> bool {
        true
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        next_checked(&self.judge(facts)?.1, done)
    }
}

#[cfg(test)]
mod tests;
