//! `node.git`: a git repository at a commit, branch or tag.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::conditions::check_words;
use super::effects::{failed, lacking, run_at, script, which};
use super::params::{check_path, trimmed};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::{Effect, EffectResult, Fact, Probe, host};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};

/// Sees to it that a folder of the host is a git repository with this version checked out, by the host's own git. HEAD is
/// the commit itself (detached). What git does not track stays; local changes block, unless `force` drops them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Git {
    /// URL or path of the repository that it comes from, as the host reaches it: by its own keys and credentials. It cannot
    /// ask for a password.
    pub repo: String,
    /// Absolute path of the folder; it is made where missing.
    pub path: String,
    /// Branch, tag, or whole number of a commit or of an annotated tag. Default: what the repository's own HEAD is.
    #[serde(default = "head")]
    pub version: String,
    /// How many commits of history are fetched. Default: all. Counts only when another version is checked out.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub depth: Option<u32>,
    /// Whether local changes to tracked files are dropped.
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
        check_words("repo", [self.repo.as_str()])?;
        if self.repo.is_empty() || self.repo.starts_with('-') || self.repo.contains(char::is_control) {
            return refuse("repo", format!("\"{}\" is no repository", self.repo));
        }
        let wrong = |c: char| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c);
        if self.version.is_empty() || self.version.starts_with('-') || self.version.contains(wrong) {
            return refuse("version", format!("\"{}\" is no branch, tag or commit", self.version));
        }
        if self.depth == Some(0) {
            return refuse("depth", "it is at least 1");
        }
        Ok(())
    }
}

/// No question is asked: nobody could answer. `made FOLDER` tells whether `git init` came to its end there, or somebody
/// else made the repository. `half FOLDER` tells whether a checkout of ours was cut off there: its files are half of one
/// version and half of another then, and nobody's changes.
const QUIET: &str = r#"
export LC_ALL=C GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND="${GIT_SSH_COMMAND:-ssh -o BatchMode=yes}"
made() {
	[ -f "$1/.git" ] || { [ -e "$1/.git/HEAD" ] && [ -d "$1/.git/objects" ] && [ -d "$1/.git/refs" ]; }
}
half() {
	[ -f "$1/.git/rollout-checkout" ] || return
	[ "$(cat "$1/.git/rollout-checkout")" != "$(git -C "$1" rev-parse -q --verify HEAD)" ]
}
"#;

/// `$1` folder, `$2` number of the version when it is given so, `$3` repository, `$4...` references. What is there, one
/// `name value` a line, then what the repository has.
const LOOK: &str = r#"
if [ -e "$1/.git" ] && ! made "$1"; then
	echo "head "
	echo "origin "
elif [ -e "$1/.git" ]; then
	git -C "$1" rev-parse --git-dir >/dev/null || exit
	echo "head $(git -C "$1" rev-parse -q --verify HEAD)"
	echo "origin $(git -C "$1" config --get remote.origin.url)"
	# A tag has a number of its own, which tells its commit only once the tag is here.
	[ -z "$2" ] || echo "means $(git -C "$1" rev-parse -q --verify "$2^{commit}")"
	changes=$(git -C "$1" status --porcelain --untracked-files=no) || exit
	[ -z "$changes" ] || half "$1" || echo "changed yes"
elif [ -d "$1" ]; then
	[ -z "$(ls -A "$1")" ] || echo "taken by other files"
elif [ -e "$1" ]; then
	echo "taken by a file"
fi
echo "remote"
shift 2
[ $# = 1 ] || git ls-remote "$@"
"#;

/// `$1` folder, `$2` repository, `$3` commit, `$4` depth, `$5` whether changes are dropped. In pieces, so that what was cut
/// off between two of them goes on: a clone would not.
const CHECKOUT: &str = r#"
busy() {
	[ -r /proc/self/stat ] || return 0
	for process in /proc/[0-9]*/stat; do
		read -r _ name state _ <"$process" || continue
		case "$state $name" in Z*) ;; *' (git)' | *' (git-'*) return 0 ;; esac
	done 2>/dev/null
	return 1
}
locked() { [ -n "$(find "$1/.git" -name '*.lock' 2>/dev/null)" ]; }
# A fetch that was cut off may have left the commit without its files; only a whole one moves references.
whole() { [ -n "$(git -C "$1" for-each-ref --count=1 --contains "$2" 2>/dev/null)" ]; }
# Whoever may write in the folder above cannot have another repository changed.
_ro_enter "$1" make || exit
shift
set -- . "$@"
# A git that was killed may be at its end yet, and leaves locks behind.
n=0
while [ "$n" -lt 50 ] && locked "$1"; do
	if ! busy; then find "$1/.git" -name '*.lock' -exec rm -f -- {} +; fi
	n=$((n + 1))
	sleep 0.1
done
made "$1" || git init -q "$1" || exit
git -C "$1" config --replace-all remote.origin.url "$2" || exit
git -C "$1" config --replace-all remote.origin.fetch '+refs/heads/*:refs/remotes/origin/*' || exit
if [ -n "$4" ]; then
	git -C "$1" fetch -q --depth "$4" origin "$3" || exit
elif ! whole "$1" "$3"; then
	git -C "$1" fetch -q --tags --force origin || exit
	git -C "$1" fetch -q origin || exit
fi
force=$5
if half "$1"; then force=--force; fi
if [ -d "$1/.git" ]; then
	(_ro_enter "$(pwd -P)/.git" && rm -f ./rollout-checkout && set -C && printf '%s\n' "$3" >./rollout-checkout) || exit
fi
git -C "$1" checkout -q $force --detach "$3"
status=$?
# What git itself refuses is not half done.
[ "$status" -gt 128 ] || rm -f -- "$1/.git/rollout-checkout"
[ "$status" = 0 ] || exit "$status"
# A hook of the repository may have gone on to something else.
if [ "$(git -C "$1" rev-parse -q --verify HEAD)" != "$(git -C "$1" rev-parse -q --verify "$3^{commit}")" ]; then
	printf 'git found no fault, but HEAD is not %s now\n' "$3" >&2
	exit 1
fi
"#;

/// What was seen.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen<'a> {
    /// What lies there that is no repository.
    taken: Option<&'a str>,
    /// Commit that is checked out; empty in a repository without one.
    head: Option<&'a str>,
    origin: &'a str,
    /// Commit that the number means which is given as version; empty when the repository does not have it.
    means: &'a str,
    changed: bool,
    /// References and commits of the repository that it comes from.
    remote: Vec<(&'a str, &'a str)>,
}

impl<'a> Seen<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut seen = Self::default();
        let mut lines = text.lines();
        for line in lines.by_ref().take_while(|line| *line != "remote") {
            match line.split_once(' ')? {
                ("head", commit) => seen.head = Some(commit),
                ("origin", url) => seen.origin = url,
                ("means", commit) => seen.means = commit,
                ("changed", _) => seen.changed = true,
                ("taken", by) => seen.taken = Some(by),
                _ => return None,
            }
        }
        let commit = |text: &str| text.len() >= 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
        for line in lines {
            let (hash, name) = line.split_once('\t')?;
            seen.remote.push(commit(hash).then_some((name, hash))?);
        }
        Some(seen)
    }

    fn commit_of(&self, reference: &str) -> Option<&'a str> {
        self.remote.iter().find(|(name, _)| *name == reference).map(|(_, commit)| *commit)
    }
}

impl Git {
    /// Whether the version is the number of an object, so that the repository need not be asked.
    fn is_number(&self) -> bool {
        matches!(self.version.len(), 40 | 64) && self.version.bytes().all(|b| b.is_ascii_hexdigit())
    }

    /// The references that the version may be, the first that there is.
    fn references(&self) -> Vec<String> {
        let version = &self.version;
        match version.as_str() {
            _ if self.is_number() => Vec::new(),
            "HEAD" => vec!["HEAD".to_owned()],
            _ => vec![
                format!("refs/heads/{version}"),
                format!("refs/tags/{version}^{{}}"),
                format!("refs/tags/{version}"),
            ],
        }
    }

    /// The commit that is wanted.
    fn wanted(&self, seen: &Seen<'_>) -> Option<String> {
        if self.is_number() {
            let itself = if seen.means.is_empty() { &self.version } else { seen.means };
            return Some(itself.to_ascii_lowercase());
        }
        self.references().iter().find_map(|reference| seen.commit_of(reference)).map(str::to_owned)
    }

    fn folder(&self) -> String {
        trimmed(&self.path)
    }

    fn look(&self) -> host::Run {
        let (folder, references) = (self.folder(), self.references());
        let number = if self.is_number() { self.version.as_str() } else { "" };
        let args = [folder.as_str(), number, &self.repo].into_iter().chain(references.iter().map(String::as_str));
        script(&format!("{QUIET}{LOOK}"), &args.collect::<Vec<_>>())
    }

    fn checkout(&self, commit: &str) -> host::Run {
        let depth = self.depth.map(|depth| depth.to_string()).unwrap_or_default();
        let force = if self.force { "--force" } else { "" };
        script(&format!("{QUIET}{CHECKOUT}"), &[&self.folder(), &self.repo, commit, &depth, force])
    }

    fn judge(&self, seen: &Seen<'_>) -> Verdict {
        if let Some(by) = seen.taken {
            let problem = Problem::new(format!("{} is taken by {}", self.path, by.trim_start_matches("by ")));
            return Verdict::Blocked(
                problem.hint("name an empty folder or one that is not there, or move away what is"),
            );
        }
        let Some(wanted) = self.wanted(seen) else {
            let problem = Problem::new(format!("{} has no branch or tag {}", self.repo, self.version));
            return Verdict::Blocked(problem.hint("a commit must be written whole, with all of its 40 digits"));
        };
        let mut diff = Diff::default();
        let head = seen.head.filter(|head| !head.is_empty());
        diff.push_field(format!("{} HEAD", self.path), head.map(str::to_owned), Some(wanted.clone()));
        let origin = Some(seen.origin).filter(|origin| !origin.is_empty());
        diff.push_field("origin", origin.map(str::to_owned), Some(self.repo.clone()));
        if seen.changed && self.force {
            diff.push_field("local changes", Some("there are some".to_owned()), None);
        }
        if diff.is_empty() {
            let changes = if seen.changed { ", with local changes" } else { "" };
            return Verdict::Same { seen: format!("{}{changes}", wanted.get(..12).unwrap_or(&wanted)) };
        }
        if seen.changed && !self.force {
            let problem = Problem::new(format!("{} has local changes, and must be updated", self.path));
            return Verdict::Blocked(problem.hint("look at them by `git status` there; `force = true` drops them"));
        }
        Verdict::Change(diff)
    }
}

impl Action for Git {
    fn probes(&self) -> Vec<Probe> {
        vec![which(&["git"]), Probe::Host(host::Probe::Run(self.look()))]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        if lacking(facts, 0, &["git"]).is_some() {
            let problem = Problem::new("there is no git on the host");
            return Verdict::Blocked(problem.hint("install the package `git` in a step before this one"));
        }
        let Some(done) = run_at(facts, 1) else {
            return Verdict::Blocked(Problem::new("the host did not say what it has"));
        };
        if done.exit != 0 {
            return Verdict::Blocked(
                failed(&format!("cannot look at {} or {}", self.path, self.repo), done)
                    .hint("does the host reach the repository, and has the step's user (`become`) the keys for it?"),
            );
        }
        let text = done.stdout.text();
        match Seen::read(&text) {
            Some(seen) => self.judge(&seen),
            None => Verdict::Blocked(failed(&format!("cannot make out what git says of {}", self.path), done)),
        }
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        if let Some(EffectResult::Host(done)) = done.last() {
            let problem = || failed(&format!("cannot check out {} in {}", self.version, self.path), done);
            let hint = "is there room on the disk, may the step's user write there, and has the repository that commit? \
                        where another git is at work, wait for its end";
            return if done.exit == 0 { Ok(None) } else { Err(problem().hint(hint)) };
        }
        let text = run_at(facts, 1).map(|done| done.stdout.text()).unwrap_or_default();
        let wanted = Seen::read(&text).and_then(|seen| self.wanted(&seen)).unwrap_or_default();
        Ok(Some(Effect::Host(host::Effect::Run(self.checkout(&wanted)))))
    }

    fn outputs(&self, facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        let text = run_at(facts, 1).map(|done| done.stdout.text()).unwrap_or_default();
        let commit = Seen::read(&text).and_then(|seen| self.wanted(&seen)).unwrap_or_default();
        Outputs::from_iter([("commit".to_owned(), json!(commit))])
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{blocked, build, change, is_same, perform, ran, refused};
    use super::*;

    const OLD: &str = "1111111111111111111111111111111111111111";
    const NEW: &str = "2222222222222222222222222222222222222222";

    fn step(rest: &str) -> Git {
        build(&format!("repo = 'https://x/y'\npath = '/opt/y'\n{rest}")).unwrap()
    }

    fn seen(text: &str) -> [Fact; 2] {
        [ran(0, "git\n", ""), ran(0, text, "")]
    }

    #[test]
    fn branches_come_before_tags_and_tags_are_followed_to_their_commit() {
        let there = format!("head {OLD}\norigin https://x/y\nremote\n");
        let facts = seen(&format!("{there}{OLD}\trefs/tags/v1\n{NEW}\trefs/tags/v1^{{}}\n"));
        let verdict = step("version = 'v1'").verdict(&facts);
        assert_eq!(change(&verdict), [format!("~ /opt/y HEAD: {OLD} → {NEW}")]);
        let facts = seen(&format!("{there}{NEW}\trefs/tags/v1\n{OLD}\trefs/heads/v1\n"));
        assert!(is_same(&step("version = 'v1'").verdict(&facts)));
        assert_eq!(step("version = 'v1'").outputs(&facts, &[])["commit"], json!(OLD));
        assert!(is_same(&step(&format!("version = '{OLD}'")).verdict(&seen(&there))));
        assert!(blocked(&step("version = 'v2'").verdict(&seen(&there))).contains("no branch or tag v2"));
    }

    #[test]
    fn a_new_folder_and_another_origin_are_changes() {
        let lines = change(&step(&format!("version = '{NEW}'")).verdict(&seen("remote\n")));
        assert_eq!(lines, [format!("+ /opt/y HEAD: {NEW}"), "+ origin: https://x/y".to_owned()]);
        let facts = seen(&format!("head {NEW}\norigin https://old\nremote\n"));
        let lines = change(&step(&format!("version = '{NEW}'")).verdict(&facts));
        assert_eq!(lines, ["~ origin: https://old → https://x/y"]);
    }

    #[test]
    fn local_changes_are_not_lost_by_accident() {
        let facts = seen(&format!("head {OLD}\norigin https://x/y\nchanged yes\nremote\n"));
        assert!(blocked(&step(&format!("version = '{NEW}'")).verdict(&facts)).contains("local changes"));
        let same = step(&format!("version = '{OLD}'")).verdict(&facts);
        assert_eq!(same, Verdict::Same { seen: "111111111111, with local changes".into() });
        let lines = change(&step(&format!("version = '{OLD}'\nforce = true")).verdict(&facts));
        assert_eq!(lines, ["- local changes: there are some"]);
        let taken = seen("taken by other files\nremote\n");
        assert!(blocked(&step("").verdict(&taken)).contains("taken by other files"));
    }

    #[test]
    fn what_git_cannot_tell_blocks() {
        let none = [ran(0, "", ""), ran(127, "", "")];
        assert!(blocked(&step("").verdict(&none)).contains("no git"));
        let denied = [ran(0, "git\n", ""), ran(128, "remote\n", "fatal: could not read Username\n")];
        assert!(blocked(&step("").verdict(&denied)).contains("could not read Username"));
        assert!(blocked(&step("").verdict(&seen("what?\n"))).contains("cannot make out"));
        assert!(blocked(&step("").verdict(&seen("remote\nabc\tHEAD\n"))).contains("cannot make out"));
    }

    async fn git(folder: &str, line: &str) -> String {
        let line = format!("cd {folder} && export GIT_CONFIG_GLOBAL=/dev/null && {line}");
        let done = perform(&host::Run::shell(line)).await;
        assert_eq!(done.exit, 0, "{}", done.stderr.text());
        done.stdout.text()
    }

    /// Looks, and acts when there is something to do.
    async fn apply(step: &Git) -> Verdict {
        let facts = [ran(0, "git\n", ""), Fact::Host(host::Fact::Run(perform(&step.look()).await))];
        let verdict = step.verdict(&facts);
        if let (Verdict::Change(_), Ok(Some(Effect::Host(host::Effect::Run(run))))) =
            (&verdict, step.next_effect(&facts, &[]))
        {
            let done = [EffectResult::Host(perform(&run).await)];
            assert!(matches!(step.next_effect(&facts, &done), Ok(None)), "{:?}", step.next_effect(&facts, &done).err());
        }
        verdict
    }

    #[tokio::test]
    async fn a_repository_follows_its_origin() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_str().unwrap();
        let commit = "git -c user.name=a -c user.email=a@b commit -q -a -m x && git rev-parse HEAD";
        let origin = format!("{root}/origin");
        let line =
            format!("git init -q -b main origin && cd origin && echo 1 >f && git add f && {commit} && git tag v1");
        let first = git(root, &line).await;
        for depth in ["", "depth = 1"] {
            let clone = format!("{root}/a/clone{}", depth.len());
            let at = |version: &str, more: &str| {
                let toml =
                    format!("repo = 'file://{origin}'\npath = '{clone}'\nversion = '{version}'\n{depth}\n{more}");
                build::<Git>(&toml).unwrap()
            };
            if depth.is_empty() {
                // An earlier `git init` was cut off there.
                std::fs::create_dir_all(format!("{clone}/.git/hooks")).unwrap();
            }
            assert!(matches!(apply(&at("main", "")).await, Verdict::Change(_)));
            assert!(is_same(&apply(&at("main", "")).await) && is_same(&apply(&at(&first, "")).await));
            let second = git(&origin, &format!("echo 2 >>f && {commit}")).await;
            // A git that was killed there left these.
            git(&clone, "touch .git/config.lock .git/index.lock .git/objects/maintenance.lock").await;
            assert!(matches!(apply(&at("main", "")).await, Verdict::Change(_)));
            assert_eq!(git(&clone, "git rev-parse HEAD").await, second);
            // A checkout was cut off there, before it had all files at their places, and before HEAD.
            git(&clone, "echo half >f; echo 0 >.git/rollout-checkout").await;
            git(&origin, &format!("echo 3 >>f && echo 3 >g && git add g && {commit}")).await;
            std::fs::write(format!("{clone}/g"), "half").unwrap();
            assert!(matches!(apply(&at("main", "")).await, Verdict::Change(_)));
            assert_eq!(git(&clone, "cat f g && ls .git/rollout-checkout || true").await, "1\n2\n3\n3");
            assert!(is_same(&apply(&at("main", "")).await));
            git(&clone, "echo 3 >f").await;
            assert!(blocked(&apply(&at("v1", "")).await).contains("local changes"));
            assert!(matches!(apply(&at("v1", "force = true")).await, Verdict::Change(_)));
            assert!(is_same(&apply(&at("v1", "")).await));
            assert_eq!(git(&clone, "cat f").await, "1");
            git(&origin, "git reset -q --hard v1").await;
            let tag = "git -c user.name=a -c user.email=a@b tag -f -a -m x annotated && git rev-parse annotated";
            let tag = git(&origin, tag).await;
            let tag = tag.lines().next_back().unwrap();
            assert!(matches!(apply(&at("main", "")).await, Verdict::Same { .. } | Verdict::Change(_)));
            apply(&at(tag, "")).await;
            assert!(is_same(&apply(&at(tag, "")).await), "{tag}");
            // Its commit is another one than git was asked for.
            git(&clone, "printf '#!/bin/sh\ngit symbolic-ref HEAD refs/heads/none\n' >.git/hooks/post-checkout && chmod +x .git/hooks/post-checkout").await;
            git(&origin, &format!("echo 4 >f && {commit}")).await;
            let look = Fact::Host(host::Fact::Run(perform(&at("main", "").look()).await));
            let facts = [ran(0, "git\n", ""), look];
            let Ok(Some(Effect::Host(host::Effect::Run(run)))) = at("main", "").next_effect(&facts, &[]) else {
                panic!()
            };
            let ended = perform(&run).await;
            assert!(ended.exit == 1 && ended.stderr.text().contains("HEAD is not"), "{}", ended.stderr.text());
            git(&origin, "git reset -q --hard v1").await;
        }
        assert!(
            blocked(&apply(&build(&format!("repo = '{origin}'\npath = '{root}'")).unwrap()).await).contains("taken")
        );
    }

    #[tokio::test]
    async fn a_fetch_that_was_cut_off_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_str().unwrap();
        let commit = "git -c user.name=a -c user.email=a@b commit -q -m x && git rev-parse HEAD";
        let line =
            format!("git init -q clone && git init -q origin && cd origin && echo 1 >f && git add f && {commit}");
        let commit = git(root, &line).await;
        // Of its objects only the commit itself came over.
        let object = format!("objects/{}/{}", &commit[..2], &commit[2..]);
        git(root, &format!("mkdir clone/.git/objects/{} && cp origin/.git/{object} clone/.git/{object}", &commit[..2]))
            .await;
        let step: Git = build(&format!("repo = 'file://{root}/origin'\npath = '{root}/clone'")).unwrap();
        assert!(matches!(apply(&step).await, Verdict::Change(_)));
        assert!(is_same(&apply(&step).await));
        assert_eq!(git(root, "cat clone/f").await, "1");
    }

    #[test]
    fn wrong_parameters_are_refused() {
        let secret = crate::secret::Secret::new("a-secret-of-node-git");
        for (toml, parameter) in [
            ("repo = '-u'\npath = '/x'".to_owned(), "/repo"),
            (format!("repo = 'https://u:{}@x/y'\npath = '/x'", secret.expose()), "/repo"),
            ("repo = 'https://x'\npath = 'x'".to_owned(), "/path"),
            ("repo = 'https://x'\npath = '/x'\nversion = '--all'".to_owned(), "/version"),
            ("repo = 'https://x'\npath = '/x'\nversion = 'a b'".to_owned(), "/version"),
            ("repo = 'https://x'\npath = '/x'\ndepth = 0".to_owned(), "/depth"),
        ] {
            assert_eq!(refused::<Git>(&toml), parameter, "{toml}");
        }
    }
}
