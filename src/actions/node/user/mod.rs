//! `node.user`: a user exists, or does not.

mod account;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::effects::{CheckedEffect, next_checked};
use super::group::{State, hint};
use super::params::{check_account, check_file_path, check_path, trimmed};
use super::probes::{run_probe, stdout_at};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::Run;
use crate::connect::host::quote::{word, words};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};
use account::{Account, Lookup, Membership};

/// Creates, changes or removes a user, with the programs of the package `passwd` (on Alpine: `shadow`). Whatever is not
/// given stays unchanged.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Name of the user.
    pub name: String,
    /// Whether the user is wanted.
    #[serde(default)]
    pub state: State,
    /// Number of the user. Default: unchanged; a new user gets the next free number.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Primary group, which must exist. Default: unchanged; a new user gets a group of the same name.
    #[serde(default)]
    pub group: Option<String>,
    /// Supplementary groups, which must exist. Default: unchanged.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
    /// Whether the user stays in supplementary groups that are not in `groups`. With `false` the user leaves them,
    /// except those of a directory service, which no program of the host can change.
    #[serde(default = "yes")]
    pub append: bool,
    /// Login shell, such as "/bin/bash" or "/usr/sbin/nologin".
    #[serde(default)]
    pub shell: Option<String>,
    /// Home directory. For an existing user, no files are moved.
    #[serde(default)]
    pub home: Option<String>,
    /// Whether to create a missing home directory. Default: true, or false with `system`.
    #[serde(default)]
    pub create_home: Option<bool>,
    /// Whether this is a system account: it gets no home directory by default, and a new one gets a number from the
    /// system's range.
    #[serde(default)]
    pub system: bool,
    /// Full name, or purpose of the account.
    #[serde(default)]
    pub comment: Option<String>,
    /// Hash of the password, as `openssl passwd -6` prints it; "!" for none. It is passed on standard input only.
    #[serde(default)]
    pub password: Option<String>,
    /// With `state = "absent"`: whether home directory and mail are removed, too. Counts only when the user exists.
    #[serde(default)]
    pub remove_home: bool,
}

fn yes() -> bool {
    true
}

impl Spec for User {
    const NAME: &'static str = "node.user";
    const SUMMARY: &'static str = "a user exists, or does not";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[
        Output { name: "home", about: "home directory before the step; null for a new user" },
        Output { name: "uid", about: "number before the step; null for a new user" },
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
                return refuse("password", "this is not a hash: `openssl passwd -6` makes one from a password");
            }
        }
        if !self.append && self.groups.is_none() {
            return refuse("append", "it has no effect without `groups`");
        }
        let given = self.uid.is_some() || self.group.is_some() || self.groups.is_some() || self.shell.is_some();
        let given = given || self.home.is_some() || self.create_home.is_some() || self.comment.is_some();
        match self.state {
            State::Absent if given || self.password.is_some() || self.system => {
                refuse("state", "with `state = \"absent\"`, give only `name` and `remove_home`")
            }
            State::Present if self.remove_home => refuse("remove_home", "it needs `state = \"absent\"`"),
            _ => Ok(()),
        }
    }
}

/// The change of a user's supplementary groups.
struct Groups<'a> {
    current: Vec<&'a str>,
    new: Vec<&'a str>,
    /// Options of `usermod`.
    flag: &'static str,
    /// Groups that `usermod` gets.
    given: Vec<&'a str>,
}

impl User {
    fn lookup(&self, facts: &[Fact]) -> Result<Lookup, Problem> {
        Lookup::parse(&stdout_at(facts, 0, &format!("look up the user {}", self.name))?)
    }

    fn makes_home(&self) -> bool {
        self.create_home.unwrap_or(!self.system)
    }

    fn diff_and_effects(&self, facts: &[Fact]) -> Result<(Diff, Vec<CheckedEffect>), Problem> {
        let account = match (self.lookup(facts)?, self.state) {
            (Lookup::Missing { .. }, State::Absent) => return Ok((Diff::default(), Vec::new())),
            (Lookup::Found(account), State::Absent) => return Ok(self.removal(&account)),
            (Lookup::Missing { group_exists }, State::Present) => return Ok(self.creation(group_exists)),
            (Lookup::Found(account), State::Present) => account,
        };
        let (mut diff, mut flags) = (Diff::default(), String::new());
        let mut set = |what: &str, flag: &str, current: &str, wanted: Option<&str>| {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != current) {
                diff.push_field(what, Some(current.to_owned()), Some(wanted.to_owned()));
                flags.push_str(&format!(" {flag} {}", word(wanted)));
            }
        };
        set("uid", "-u", &account.uid.to_string(), self.uid.map(|uid| uid.to_string()).as_deref());
        // Groups are compared by number: two names may stand for one group.
        let other = self.group.as_deref().filter(|group| account.gid_of(group) != Some(account.gid));
        set("group", "-g", &account.group, other);
        set("shell", "-s", &account.shell, self.shell.as_deref());
        set("home", "-d", &trimmed(&account.home), self.home().as_deref());
        set("comment", "-c", &account.comment, self.comment.as_deref());
        if let Some(groups) = self.groups(&account) {
            diff.push_field("groups", Some(groups.current.join(", ")), Some(groups.new.join(", ")));
            flags.push_str(&format!("{} {}", groups.flag, word(&groups.given.join(","))));
        }
        let mut effects = Vec::new();
        if !flags.is_empty() {
            let script = format!("usermod{flags} -- {}", word(&self.name));
            effects.push(
                CheckedEffect::with_test(format!("change the user {}", self.name), &script, &self.test()).or(hint),
            );
        }
        let moves = self.home().is_some_and(|home| home != trimmed(&account.home));
        if self.makes_home() && (moves || !account.has_home) {
            let home = self.home().unwrap_or_else(|| account.home.clone());
            if !account.has_home {
                diff.push_field("directory", None, Some(home));
            }
            effects.push(self.make_home());
        }
        match account.has_password {
            Some(false) => {
                // The hashes are not shown.
                diff.push_field("password", Some("another".to_owned()), Some("as given".to_owned()));
                effects.push(self.set_password());
            }
            None if self.password.is_some() => {
                return Err(Problem::new(format!("cannot see whether {} has this password", self.name))
                    .hint("only root can: set `become = true` on the step"));
            }
            _ => {}
        }
        Ok((diff, effects))
    }

    /// The wanted home without a slash at its end.
    fn home(&self) -> Option<String> {
        self.home.as_deref().map(trimmed)
    }

    /// How the supplementary groups change; `None` when they do not.
    fn groups<'a>(&'a self, account: &'a Account) -> Option<Groups<'a>> {
        self.groups.as_ref()?;
        let primary = self.group.as_deref().map_or(Some(account.gid), |group| account.gid_of(group));
        let further = |gid: Option<u32>| gid.is_none() || gid != primary;
        let current: Vec<&Membership> = account.groups.iter().filter(|group| further(Some(group.gid))).collect();
        let mut wanted: Vec<(&str, Option<u32>)> = Vec::new();
        for name in self.groups.iter().flatten() {
            let gid = account.gid_of(name);
            let twice = wanted.iter().any(|(other, of)| other == name || gid.is_some() && *of == gid);
            if further(gid) && !twice {
                wanted.push((name, gid));
            }
        }
        let is_wanted = |group: &Membership| wanted.iter().any(|(_, gid)| *gid == Some(group.gid));
        let mut missing: Vec<&str> = wanted
            .iter()
            .filter(|(_, gid)| !current.iter().any(|group| *gid == Some(group.gid)))
            .map(|(name, _)| *name)
            .collect();
        let leaves = |group: &&Membership| !self.append && group.is_local && !is_wanted(group);
        let (leaving, staying): (Vec<&Membership>, Vec<&Membership>) = current.iter().copied().partition(leaves);
        // With `append`, the user stays in the former primary group.
        let former_primary =
            staying.iter().find(|group| self.append && primary != Some(account.gid) && group.gid == account.gid);
        let names = |groups: &[&'a Membership]| groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>();
        let sorted = |mut names: Vec<&'a str>| {
            names.sort_unstable();
            names
        };
        if missing.is_empty() && leaving.is_empty() && former_primary.is_none() {
            return None;
        }
        let new = sorted([names(&staying), missing.clone()].concat());
        let (flag, given) = if self.append {
            missing.extend(former_primary.map(|group| group.name.as_str()));
            (" -a -G", missing)
        } else {
            let elsewhere = |gid: Option<u32>| current.iter().any(|group| !group.is_local && Some(group.gid) == gid);
            (" -G", wanted.iter().filter(|(_, gid)| !elsewhere(*gid)).map(|(name, _)| *name).collect())
        };
        Some(Groups { current: sorted(names(&current)), new, flag, given: sorted(given) })
    }

    fn creation(&self, group_exists: bool) -> (Diff, Vec<CheckedEffect>) {
        let mut flags = String::new();
        let own = group_exists.then_some(&self.name);
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
        // The home is created in an effect of its own: an interrupted `useradd -m` would leave half of one.
        let script = format!("useradd -M{flags} -- {}", word(&self.name));
        let mut effects =
            vec![CheckedEffect::with_test(format!("create the user {}", self.name), &script, &self.test()).or(hint)];
        if self.makes_home() {
            effects.push(self.make_home());
        }
        if self.password.is_some() {
            effects.push(self.set_password());
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
        (diff, effects)
    }

    fn removal(&self, account: &Account) -> (Diff, Vec<CheckedEffect>) {
        let mut diff = Diff::field(format!("user {}", self.name), Some(account.uid.to_string()), None);
        if self.remove_home && account.has_home {
            diff.push_field("directory", Some(account.home.clone()), None);
        }
        let flag = if self.remove_home { " -r" } else { "" };
        let script = format!("userdel{flag} -- {}", word(&self.name));
        let test = format!("! getent passwd {} >/dev/null", word(&self.name));
        (diff, vec![CheckedEffect::with_test(format!("remove the user {}", self.name), &script, &test).or(hint)])
    }

    /// A shell command that succeeds when the user exists with everything that is given.
    fn test(&self) -> String {
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
            // A slash at the end of the home makes no difference.
            let trim = if field == 6 { r" | sed 's:\(.\)/*$:\1:'" } else { "" };
            let field_value = format!("printf '%s\\n' \"$entry\" | cut -d : -f {field}{trim}");
            tests.push(format!("[ \"$({field_value})\" = {} ]", word(&wanted)));
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
        CheckedEffect::script(format!("create the home of {}", self.name), script)
    }

    fn set_password(&self) -> CheckedEffect {
        let hash = self.password.as_deref().unwrap_or_default();
        let stdin = format!("{}:{hash}\n", self.name).as_str().into();
        CheckedEffect::with_stdin(format!("set the password of {}", self.name), "chpasswd -e", stdin).or(hint)
    }
}

impl Action for User {
    fn probes(&self) -> Vec<Probe> {
        let stdin = self.password.as_deref().map(|hash| format!("{hash}\n")).unwrap_or_default();
        let group = self.group.as_deref().unwrap_or_default();
        let further = if self.groups.is_some() { "y" } else { "" };
        let asked = self.group.iter().chain(self.groups.iter().flatten()).map(String::as_str);
        let (name, group, asked) = (word(&self.name), word(group), words(asked));
        let probe = include_str!("probe.sh");
        let script = format!("name={name} group={group} further={further}\nset -- {asked}\n{probe}");
        vec![run_probe(Run { stdin: stdin.as_str().into(), ..Run::shell(script) })]
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

    fn outputs(&self, facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        let (home, uid) = match self.lookup(facts) {
            Ok(Lookup::Found(account)) => (json!(account.home), json!(account.uid)),
            _ => (json!(null), json!(null)),
        };
        Outputs::from_iter([("home".to_owned(), home), ("uid".to_owned(), uid)])
    }
}

#[cfg(test)]
mod tests;
