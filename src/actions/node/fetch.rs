//! `node.fetch`: a file of a host, copied into the project on the machine that runs the tool.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::content::{summary, text_delta};
use super::params::{Mode, Size, check_file_path};
use super::probes::{file_at, file_probe};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, File, FileKind, Read};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::{Delta, Diff};
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, WrittenFile, refuse};

/// Copies a file from the host into the project, on the machine that runs rollout. The file is read by the user that
/// the step runs as, compared by its hash, and put in place atomically; the copy belongs to the user who runs rollout.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    /// Absolute path on the host.
    pub path: String,
    /// Path of the copy, relative to the plan's root: "backup/{{ host.name }}/hosts". Missing folders are created. Each
    /// host must write another file.
    pub to: WrittenFile,
    /// Largest file that is fetched: a number of bytes, or with KiB, MiB or GiB.
    #[serde(default = "largest")]
    pub max_size: Size,
    /// Mode of the copy.
    #[serde(default = "private")]
    pub mode: Mode,
    /// Whether the file must exist on the host. With `false`, a missing file is accepted, and an earlier copy stays.
    #[serde(default = "yes")]
    pub required: bool,
}

fn largest() -> Size {
    Size(64 << 20)
}

fn private() -> Mode {
    Mode(0o600)
}

fn yes() -> bool {
    true
}

impl Spec for Fetch {
    const NAME: &'static str = "node.fetch";
    const SUMMARY: &'static str = "a file of a host, copied into the project";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[
        Output { name: "path", about: "path of the copy, below the plan's root" },
        Output { name: "sha256", about: "SHA-256 of the file; empty when the host has none" },
    ];
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "backup"
action = "node.fetch"
hosts = "pis"
become = true
path = "/etc/fstab"
to = "backup/{{ host.name }}/fstab"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        check_file_path("path", &self.path)?;
        self.to.path_error().map_or(Ok(()), |wrong| refuse("to", wrong))
    }
}

impl Fetch {
    /// The file on the host, and the existing copy.
    fn files<'a>(&self, facts: &'a [Fact]) -> Result<(Option<&'a File>, Option<&'a File>), Problem> {
        let (there, here) = (file_at(facts, 0), file_at(facts, 1));
        let path = &self.path;
        match there.map(|file| &file.kind) {
            Some(FileKind::Link(target)) => {
                return Err(
                    Problem::new(format!("{path} is a link to {target}")).hint("give the path that the link points to")
                );
            }
            Some(kind @ (FileKind::Directory | FileKind::Other)) => {
                return Err(Problem::new(format!("{path} is a {}", kind.name())).hint(
                    "only files can be fetched; pack a directory with `tar` in a step before, and fetch the archive",
                ));
            }
            Some(FileKind::Regular) | None => {}
        }
        if let Some(kind @ (FileKind::Directory | FileKind::Other)) = here.map(|file| &file.kind) {
            let problem = Problem::new(format!("{} is a {} of the project", self.to.path, kind.name()));
            return Err(problem.hint("choose another path, or remove what is there first"));
        }
        match there {
            Some(file) if file.size > self.max_size.0 => {
                let problem = Problem::new(format!("{path} has {} bytes, more than {}", file.size, self.max_size));
                Err(problem.hint("to fetch it nevertheless, set a larger `max_size`"))
            }
            None if self.required => Err(Problem::new(format!("there is no {path} on the host"))
                .hint("is the path right? `required = false` accepts hosts without the file")),
            _ => Ok((there, here)),
        }
    }

    fn diff(&self, there: &File, here: Option<&File>) -> Diff {
        let mut diff = Diff::default();
        let copy = here.filter(|file| file.kind == FileKind::Regular);
        if let Some(FileKind::Link(target)) = here.map(|file| &file.kind) {
            diff.push_field("kind", Some(format!("link to {target}")), Some("file".to_owned()));
        }
        if copy.is_none_or(|copy| copy.sha256 != there.sha256) {
            let label = &self.to.path;
            diff.0.push(there.content.as_ref().map_or_else(
                || Delta::Field {
                    path: format!("{label} content"),
                    before: copy.map(summary),
                    after: Some(summary(there)),
                    owner: None,
                },
                |content| text_delta(label, here, Some(content)),
            ));
        }
        diff.push_field("mode", copy.map(|copy| Mode(copy.mode).to_string()), Some(self.mode.to_string()));
        diff
    }
}

impl Action for Fetch {
    fn probes(&self) -> Vec<Probe> {
        let at = self.to.at.to_string_lossy().into_owned();
        vec![
            file_probe(&self.path, Read::Content),
            Probe::Controller(host::Probe::File { path: at, read: Read::Content }),
        ]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        match self.files(facts) {
            Err(problem) => Verdict::Blocked(problem),
            Ok((None, _)) => Verdict::Same { seen: format!("there is no {} on the host", self.path) },
            Ok((Some(there), here)) => Verdict::judged(Ok(self.diff(there, here)), String::new),
        }
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let (Some(file), _) = self.files(facts)? else { return Ok(None) };
        Ok(done.is_empty().then(|| {
            Effect::Fetch(host::Fetch {
                path: self.path.clone(),
                size: file.size,
                sha256: file.sha256.clone().unwrap_or_default(),
                to: self.to.at.clone(),
                mode: self.mode.0,
            })
        }))
    }

    fn writes(&self) -> Option<&Path> {
        Some(&self.to.at)
    }

    fn outputs(&self, facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        let sha256 = file_at(facts, 0).and_then(|file| file.sha256.clone()).unwrap_or_default();
        Outputs::from_iter([("path".to_owned(), json!(self.to.path)), ("sha256".to_owned(), json!(sha256))])
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, blocked, build, change, file, is_same, refused};
    use super::*;
    use crate::actions::node::content::tests::regular;

    fn step(rest: &str) -> Fetch {
        build(&format!("path = '/etc/x'\nto = 'backup/x'\n{rest}")).unwrap()
    }

    #[test]
    fn the_same_file_is_not_fetched_again() {
        let step = step("");
        assert!(is_same(&step.verdict(&[file(Some(regular("a", 0o644))), file(Some(regular("a", 0o600)))])));
        let facts = [file(Some(regular("a\n", 0o644))), file(None)];
        assert_eq!(change(&step.verdict(&facts)), ["~ backup/x", "@@ -0,0 +1 @@", "+a", "+ mode: 0600"]);
        let facts = [file(Some(regular("a\n", 0o644))), file(Some(regular("b\n", 0o600)))];
        assert_eq!(change(&step.verdict(&facts)), ["~ backup/x", "@@ -1 +1 @@", "-b", "+a"]);
        let facts = [file(Some(regular("a\n", 0o644))), file(Some(regular("a\n", 0o644)))];
        assert_eq!(change(&step.verdict(&facts)), ["~ mode: 0644 → 0600"]);
        let link = at(FileKind::Link("/y".into()), 0o777);
        let facts = [file(Some(regular("a\n", 0o644))), file(Some(link))];
        assert_eq!(change(&step.verdict(&facts))[0], "~ kind: link to /y → file");
    }

    #[test]
    fn the_effect_names_the_very_file_that_was_seen() {
        let mut step = step("mode = '0640'");
        step.to.at = "/p/backup/x".into();
        let facts = [file(Some(regular("a", 0o644))), file(None)];
        let Some(Effect::Fetch(fetch)) = step.next_effect(&facts, &[]).unwrap() else { panic!() };
        let sha256 = host::sha256(b"a");
        let wanted = host::Fetch { path: "/etc/x".into(), size: 1, sha256, to: "/p/backup/x".into(), mode: 0o640 };
        assert_eq!(fetch, wanted);
        assert!(
            step.next_effect(&facts, &[EffectResult::Host(host::CommandOutput::new(0, "", ""))]).unwrap().is_none()
        );
        assert_eq!(step.writes(), Some(Path::new("/p/backup/x")));
    }

    #[test]
    fn large_files_are_summed_up_and_not_fetched_past_the_limit() {
        let large =
            |sum: &str| File { content: None, size: 3 << 20, sha256: Some(sum.repeat(32)), ..regular("", 0o600) };
        let facts = [file(Some(large("ab"))), file(Some(large("cd")))];
        let lines = change(&step("").verdict(&facts));
        assert_eq!(
            lines,
            ["~ backup/x content: 3145728 bytes, sha256 cdcdcdcdcdcd… → 3145728 bytes, sha256 abababababab…"]
        );
        assert!(is_same(&step("").verdict(&[file(Some(large("ab"))), file(Some(large("ab")))])));
        let message = blocked(&step("max_size = '2MiB'").verdict(&facts));
        assert_eq!(message, "/etc/x has 3145728 bytes, more than 2MiB");
        assert!(!matches!(step("max_size = 3145728").verdict(&facts), Verdict::Blocked(_)));
    }

    #[test]
    fn a_file_that_is_not_there_blocks_unless_it_need_not_be() {
        let nothing = [file(None), file(Some(regular("old", 0o600)))];
        assert_eq!(blocked(&step("").verdict(&nothing)), "there is no /etc/x on the host");
        let optional = step("required = false");
        assert_eq!(optional.verdict(&nothing), Verdict::Same { seen: "there is no /etc/x on the host".into() });
        assert_eq!(optional.outputs(&nothing, &[])["sha256"], "");
    }

    #[test]
    fn only_files_are_fetched_and_only_files_replaced() {
        for (kind, says) in [
            (FileKind::Directory, "/etc/x is a directory"),
            (FileKind::Other, "/etc/x is a special file"),
            (FileKind::Link("/y".into()), "/etc/x is a link to /y"),
        ] {
            assert_eq!(blocked(&step("").verdict(&[file(Some(at(kind, 0o755))), file(None)])), says);
        }
        let facts = [file(Some(regular("a", 0o644))), file(Some(at(FileKind::Directory, 0o755)))];
        assert_eq!(blocked(&step("").verdict(&facts)), "backup/x is a directory of the project");
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for (toml, parameter) in [
            ("path = 'x'\nto = 'x'", "/path"),
            ("path = '/x'\nto = '/x'", "/to"),
            ("path = '/x'\nto = 'a/../../x'", "/to"),
            ("path = '/x'\nto = 'a/'", "/to"),
            ("path = '/x'\nto = ''", "/to"),
            ("path = '/x'\nto = 'x'\nmax_size = '1 MB'", "max_size"),
        ] {
            assert_eq!(refused::<Fetch>(toml), parameter, "{toml}");
        }
    }
}
