//! `node.user`: a user is there, or not.

mod seen;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::group::{State, why};
use super::params::{check_account, check_file_path, check_path, trimmed};
use super::scripts::{CheckedEffect, answer, next_checked};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{
    self, Run,
    quote::{word, words},
};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};
use seen::{Account, Member, Seen};

/// Makes, changes or removes a user, by the programs of the package `passwd` (on Alpine: `shadow`). What is not given
/// stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Name.
    pub name: String,
    /// What is wanted of it.
    #[serde(default)]
    pub state: State,
    /// Its number. Default: as it is; of a new user the next one that is free.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Its primary group, which must be there. Default: as it is; of a new user a group of its own name.
    #[serde(default)]
    pub group: Option<String>,
    /// Further groups, which must be there. Default: as they are.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
    /// Whether it also stays in groups that are not in `groups`. With `false`, these are all that it is in, but for those
    /// of a directory service, which no program of the host changes.
    #[serde(default = "yes")]
    pub append: bool,
    /// Login shell, such as "/bin/bash" or "/usr/sbin/nologin".
    #[serde(default)]
    pub shell: Option<String>,
    /// Home. Of a user that is there, nothing is moved.
    #[serde(default)]
    pub home: Option<String>,
    /// Whether the home is made when it is missing. Default: unless `system` is set.
    #[serde(default)]
    pub create_home: Option<bool>,
    /// Whether it gets a number of the system's range, which counts only when it is made, and no home.
    #[serde(default)]
    pub system: bool,
    /// Full name or what the account is for.
    #[serde(default)]
    pub comment: Option<String>,
    /// Hash of the password, as `openssl passwd -6` prints it; "!" for none. Goes over standard input only.
    #[serde(default)]
    pub password: Option<String>,
    /// With `state = "absent"`: whether home and mail go too. Counts only when the user is there.
    #[serde(default)]
    pub remove_home: bool,
}

fn yes() -> bool {
    true
}

impl Spec for User {
    const NAME: &'static str = "node.user";
    const SUMMARY: &'static str = "a user is there, or not";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[
        Output { name: "home", about: "its home, as it was before the step; null for a new user" },
        Output { name: "uid", about: "its number, likewise" },
    ];
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "operator"
action = "node.user"
hosts = "pis"
become = true
name = "operator"
groups = ["sudo"]
shell = "/bin/bash"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        check_account("name", &self.name)?;
        if let Some(group) = &self.group {
            check_account("group", group)?;
        }
        for (index, group) in self.groups.iter().flatten().enumerate() {
            check_account(&format!("groups/{index}"), group)?;
        }
        self.shell.as_deref().map_or(Ok(()), |shell| check_file_path("shell", shell))?;
        self.home.as_deref().map_or(Ok(()), |home| check_path("home", home))?;
        for (name, path) in [("shell", &self.shell), ("home", &self.home)] {
            if path.as_ref().is_some_and(|path| path.contains(':')) {
                return refuse(name, "it cannot have a colon");
            }
        }
        if self.comment.as_ref().is_some_and(|text| text.contains([':', '\n'])) {
            return refuse("comment", "it cannot have colons or line breaks");
        }
        if let Some(hash) = &self.password {
            let is_hash = hash.starts_with(['$', '!', '*']) && !hash.contains([':', '\n', ' ']);
            if !is_hash {
                return refuse("password", "this is no hash: `openssl passwd -6` makes one from a password");
            }
        }
        if !self.append && self.groups.is_none() {
            return refuse("append", "it does nothing without `groups`");
        }
        let given = self.uid.is_some() || self.group.is_some() || self.groups.is_some() || self.shell.is_some();
        let given = given || self.home.is_some() || self.create_home.is_some() || self.comment.is_some();
        match self.state {
            State::Absent if given || self.password.is_some() || self.system => {
                refuse("state", "a user that is to go needs only `name` and `remove_home`")
            }
            State::Present if self.remove_home => refuse("remove_home", "it is for `state = \"absent\"`"),
            _ => Ok(()),
        }
    }
}

/// Further groups of a user, before and after.
struct Groups<'a> {
    seen: Vec<&'a str>,
    new: Vec<&'a str>,
    /// How `usermod` is told.
    flag: &'static str,
    /// What it is told.
    given: Vec<&'a str>,
}

impl User {
    fn seen(&self, facts: &[Fact]) -> Result<Seen, Problem> {
        Seen::read(&answer(facts, 0, &format!("look for the user {}", self.name))?)
    }

    fn makes_home(&self) -> bool {
        self.create_home.unwrap_or(!self.system)
    }

    fn judge(&self, facts: &[Fact]) -> Result<(Diff, Vec<CheckedEffect>), Problem> {
        let account = match (self.seen(facts)?, self.state) {
            (Seen::Nobody { .. }, State::Absent) => return Ok((Diff::default(), Vec::new())),
            (Seen::Somebody(account), State::Absent) => return Ok(self.removal(&account)),
            (Seen::Nobody { namesake }, State::Present) => return Ok(self.creation(namesake)),
            (Seen::Somebody(account), State::Present) => account,
        };
        let (mut diff, mut flags) = (Diff::default(), String::new());
        let mut set = |what: &str, flag: &str, seen: &str, wanted: Option<&str>| {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != seen) {
                diff.push_field(what, Some(seen.to_owned()), Some(wanted.to_owned()));
                flags.push_str(&format!(" {flag} {}", word(wanted)));
            }
        };
        set("uid", "-u", &account.uid.to_string(), self.uid.map(|uid| uid.to_string()).as_deref());
        // Two names of one number are one group.
        let other = self.group.as_deref().filter(|group| account.gid_of(group) != Some(account.gid));
        set("group", "-g", &account.group, other);
        set("shell", "-s", &account.shell, self.shell.as_deref());
        set("home", "-d", &trimmed(&account.home), self.home().as_deref());
        set("comment", "-c", &account.comment, self.comment.as_deref());
        if let Some(groups) = self.groups(&account) {
            diff.push_field("groups", Some(groups.seen.join(", ")), Some(groups.new.join(", ")));
            flags.push_str(&format!("{} {}", groups.flag, word(&groups.given.join(","))));
        }
        let mut acts = Vec::new();
        if !flags.is_empty() {
            let script = format!("usermod{flags} -- {}", word(&self.name));
            acts.push(CheckedEffect::proven(format!("change the user {}", self.name), &script, &self.holds()).or(why));
        }
        let moves = self.home().is_some_and(|home| home != trimmed(&account.home));
        if self.makes_home() && (moves || !account.has_home) {
            let home = self.home().unwrap_or_else(|| account.home.clone());
            if !account.has_home {
                diff.push_field("directory", None, Some(home));
            }
            acts.push(self.make_home());
        }
        match account.has_password {
            Some(false) => {
                // Neither hash is anybody's business.
                diff.push_field("password", Some("another".to_owned()), Some("as given".to_owned()));
                acts.push(self.set_password());
            }
            None if self.password.is_some() => {
                return Err(Problem::new(format!("cannot see whether {} has this password", self.name))
                    .hint("only root can: set `become = true` on the step"));
            }
            _ => {}
        }
        Ok((diff, acts))
    }

    /// The home that is wanted. A slash at its end says nothing.
    fn home(&self) -> Option<String> {
        self.home.as_deref().map(trimmed)
    }

    /// How the further groups change; `None`: they do not.
    fn groups<'a>(&'a self, account: &'a Account) -> Option<Groups<'a>> {
        self.groups.as_ref()?;
        let primary = self.group.as_deref().map_or(Some(account.gid), |group| account.gid_of(group));
        let further = |gid: Option<u32>| gid.is_none() || gid != primary;
        let seen: Vec<&Member> = account.groups.iter().filter(|group| further(Some(group.gid))).collect();
        let mut wanted: Vec<(&str, Option<u32>)> = Vec::new();
        for name in self.groups.iter().flatten() {
            let gid = account.gid_of(name);
            let twice = wanted.iter().any(|(other, of)| other == name || gid.is_some() && *of == gid);
            if further(gid) && !twice {
                wanted.push((name, gid));
            }
        }
        let is_wanted = |group: &Member| wanted.iter().any(|(_, gid)| *gid == Some(group.gid));
        let mut missing: Vec<&str> = wanted
            .iter()
            .filter(|(_, gid)| !seen.iter().any(|group| *gid == Some(group.gid)))
            .map(|(name, _)| *name)
            .collect();
        let leaves = |group: &&Member| !self.append && group.here && !is_wanted(group);
        let (goes, stays): (Vec<&Member>, Vec<&Member>) = seen.iter().copied().partition(leaves);
        // It stays in what was its primary group.
        let was = stays.iter().find(|group| self.append && primary != Some(account.gid) && group.gid == account.gid);
        let names = |groups: &[&'a Member]| groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>();
        let sorted = |mut names: Vec<&'a str>| {
            names.sort_unstable();
            names
        };
        if missing.is_empty() && goes.is_empty() && was.is_none() {
            return None;
        }
        let new = sorted([names(&stays), missing.clone()].concat());
        let (flag, given) = if self.append {
            missing.extend(was.map(|group| group.name.as_str()));
            (" -a -G", missing)
        } else {
            let elsewhere = |gid: Option<u32>| seen.iter().any(|group| !group.here && Some(group.gid) == gid);
            (" -G", wanted.iter().filter(|(_, gid)| !elsewhere(*gid)).map(|(name, _)| *name).collect())
        };
        Some(Groups { seen: sorted(names(&seen)), new, flag, given: sorted(given) })
    }

    fn creation(&self, namesake: bool) -> (Diff, Vec<CheckedEffect>) {
        let mut flags = String::new();
        let own = namesake.then_some(&self.name);
        let values = [
            ("-u", self.uid.map(|uid| uid.to_string())),
            ("-g", self.group.as_ref().or(own).cloned()),
            ("-G", self.groups.as_ref().filter(|groups| !groups.is_empty()).map(|groups| groups.join(","))),
            ("-s", self.shell.clone()),
            ("-d", self.home()),
            ("-c", self.comment.clone()),
        ];
        for (flag, value) in values {
            flags.extend(value.map(|value| format!(" {flag} {}", word(&value))));
        }
        if self.system {
            flags.push_str(" -r");
        }
        // The home follows by itself: `useradd` cut off in the middle would leave half of one.
        let script = format!("useradd -M{flags} -- {}", word(&self.name));
        let mut acts =
            vec![CheckedEffect::proven(format!("make the user {}", self.name), &script, &self.holds()).or(why)];
        if self.makes_home() {
            acts.push(self.make_home());
        }
        if self.password.is_some() {
            acts.push(self.set_password());
        }
        let mut diff = Diff::default();
        let number = self.uid.map_or_else(|| "next free number".to_owned(), |uid| uid.to_string());
        diff.push_field(format!("user {}", self.name), None, Some(number));
        for (what, value) in [("group", &self.group), ("shell", &self.shell), ("home", &self.home)] {
            diff.push_field(what, None, value.clone());
        }
        diff.push_field("groups", None, self.groups.as_ref().map(|groups| groups.join(", ")));
        diff.push_field("comment", None, self.comment.clone());
        diff.push_field("password", None, self.password.as_ref().map(|_| "as given".to_owned()));
        (diff, acts)
    }

    fn removal(&self, account: &Account) -> (Diff, Vec<CheckedEffect>) {
        let mut diff = Diff::field(format!("user {}", self.name), Some(account.uid.to_string()), None);
        if self.remove_home && account.has_home {
            diff.push_field("directory", Some(account.home.clone()), None);
        }
        let flag = if self.remove_home { " -r" } else { "" };
        let script = format!("userdel{flag} -- {}", word(&self.name));
        let holds = format!("! getent passwd {} >/dev/null", word(&self.name));
        (diff, vec![CheckedEffect::proven(format!("remove the user {}", self.name), &script, &holds).or(why)])
    }

    /// Whether the user is there, with all that is given of its entry, and in the groups that are given.
    fn holds(&self) -> String {
        let name = word(&self.name);
        let mut tests = vec![format!("entry=$(getent passwd {name})")];
        let fields = [
            (3, self.uid.map(|uid| uid.to_string())),
            (5, self.comment.clone()),
            (6, self.home()),
            (7, self.shell.clone()),
        ];
        for (field, wanted) in fields {
            let Some(wanted) = wanted else { continue };
            // A slash at the end of a home says nothing.
            let trim = if field == 6 { r" | sed 's:\(.\)/*$:\1:'" } else { "" };
            let seen = format!("printf '%s\\n' \"$entry\" | cut -d : -f {field}{trim}");
            tests.push(format!("[ \"$({seen})\" = {} ]", word(&wanted)));
        }
        let number = |group: &str| format!("\"$(getent group {} | cut -d : -f 3)\"", word(group));
        tests.extend(self.group.iter().map(|group| format!("[ \"$(id -g -- {name})\" = {} ]", number(group))));
        for group in self.groups.iter().flatten() {
            tests.push(format!("id -G -- {name} | tr ' ' '\\n' | grep -qx {}", number(group)));
        }
        format!("{{ {}; }}", tests.join(" && "))
    }

    fn make_home(&self) -> CheckedEffect {
        let script = format!("name={}\n{}", word(&self.name), include_str!("make_home.sh"));
        CheckedEffect::script(format!("make the home of {}", self.name), script)
    }

    fn set_password(&self) -> CheckedEffect {
        let hash = self.password.as_deref().unwrap_or_default();
        let stdin = format!("{}:{hash}\n", self.name).as_str().into();
        CheckedEffect::fed(format!("set the password of {}", self.name), "chpasswd -e", stdin).or(why)
    }
}

impl Action for User {
    fn probes(&self) -> Vec<Probe> {
        let stdin = self.password.as_deref().map(|hash| format!("{hash}\n")).unwrap_or_default();
        let group = self.group.as_deref().unwrap_or_default();
        let further = if self.groups.is_some() { "y" } else { "" };
        let asked = self.group.iter().chain(self.groups.iter().flatten()).map(String::as_str);
        let (name, group, asked) = (word(&self.name), word(group), words(asked));
        let look = include_str!("look.sh");
        let script = format!("name={name} group={group} further={further}\nset -- {asked}\n{look}");
        vec![Probe::Host(host::Probe::Run(Run { stdin: stdin.as_str().into(), ..Run::shell(script) }))]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
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

    fn outputs(&self, facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        let (home, uid) = match self.seen(facts) {
            Ok(Seen::Somebody(account)) => (json!(account.home), json!(account.uid)),
            _ => (json!(null), json!(null)),
        };
        Outputs::from_iter([("home".to_owned(), home), ("uid".to_owned(), uid)])
    }
}

#[cfg(test)]
mod tests;
