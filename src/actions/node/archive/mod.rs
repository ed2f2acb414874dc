//! `node.archive`: an archive on the host, unpacked there.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::effects::script_with_args;
use super::failure::failed;
use super::params::{check_file_path, check_path, trimmed};
use super::probes::{file_at, file_probe, missing_program, programs_probe};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, FileKind, Read, WriteFile};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};

/// Unpacks an archive that is on the host into a directory. A stamp file `.NAME.unpacked` in the directory, with the
/// hash of the archive, records that it was unpacked; with `creates`, that path does. All files belong to the user that
/// the step runs as. Files of an earlier version of the archive stay. Existing folders keep their mode and owner; where
/// a folder of the archive is a link to a folder on the host, files go into that folder, and the link stays. While
/// unpacking, the disk needs room for the whole content in addition to what is there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// Absolute path of the archive on the host.
    pub archive: String,
    /// Absolute path of the directory to unpack into; a missing directory is created.
    pub path: String,
    /// Number of leading folders to remove from the names in the archive. Not for zip.
    #[serde(default)]
    pub strip: u32,
    /// Absolute path of something that the archive contains; while it exists, the archive is not unpacked, even if the
    /// archive has changed.
    #[serde(default)]
    pub creates: Option<String>,
    /// Format. Default: from the end of its name: .tar, .tar.gz, .tgz, .tar.xz, .txz, .tar.zst, .tar.bz2, .tbz2, .zip.
    /// Counts only when it is unpacked.
    #[serde(default)]
    pub format: Option<Format>,
    /// Whether to keep the modes of the archive. Otherwise setuid and setgid bits are removed, and others lose the
    /// right to write.
    #[serde(default)]
    pub preserve_permissions: bool,
}

/// Format of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Format {
    /// Tar, not compressed.
    #[serde(rename = "tar")]
    Tar,
    /// Tar compressed with gzip.
    #[serde(rename = "tar.gz")]
    Gzip,
    /// Tar compressed with xz.
    #[serde(rename = "tar.xz")]
    Xz,
    /// Tar compressed with Zstandard.
    #[serde(rename = "tar.zst")]
    Zstd,
    /// Tar compressed with bzip2.
    #[serde(rename = "tar.bz2")]
    Bzip2,
    /// Zip.
    #[serde(rename = "zip")]
    Zip,
}

impl Format {
    fn of(name: &str) -> Option<Self> {
        let endings = [
            (".tar", Self::Tar),
            (".tar.gz", Self::Gzip),
            (".tgz", Self::Gzip),
            (".tar.xz", Self::Xz),
            (".txz", Self::Xz),
            (".tar.zst", Self::Zstd),
            (".tar.bz2", Self::Bzip2),
            (".tbz2", Self::Bzip2),
            (".zip", Self::Zip),
        ];
        endings.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, format)| *format)
    }

    /// Programs that unpack the format, the decompressor first.
    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Tar => &["cat", "tar"],
            Self::Gzip => &["gzip", "tar"],
            Self::Xz => &["xz", "tar"],
            Self::Zstd => &["zstd", "tar"],
            Self::Bzip2 => &["bzip2", "tar"],
            Self::Zip => &["unzip"],
        }
    }
}

impl Spec for Archive {
    const NAME: &'static str = "node.archive";
    const SUMMARY: &'static str = "an archive on the host, unpacked there";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[Output { name: "path", about: "the directory" }];
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "containerd"
action = "node.archive"
hosts = "pis"
become = true
archive = "/var/cache/containerd-2.1.4-linux-arm64.tar.gz"
path = "/usr/local"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        check_file_path("archive", &self.archive)?;
        check_path("path", &self.path)?;
        self.creates.as_deref().map_or(Ok(()), |path| check_path("creates", path))?;
        match self.format() {
            None => refuse("format", format!("give the format of {}, which its name does not tell", self.archive)),
            Some(Format::Zip) if self.strip > 0 => refuse("strip", "unzip cannot leave out folders"),
            _ => Ok(()),
        }
    }
}

impl Archive {
    fn format(&self) -> Option<Format> {
        self.format.or_else(|| Format::of(&self.archive))
    }

    fn programs(&self) -> &'static [&'static str] {
        self.format().map_or(&[], Format::programs)
    }

    fn stamp(&self) -> String {
        let name = self.archive.rsplit('/').next().unwrap_or_default();
        format!("{}/.{name}.unpacked", self.path.trim_end_matches('/'))
    }

    /// The path that shows whether the archive was unpacked.
    fn trace(&self) -> String {
        self.creates.as_deref().map_or_else(|| self.stamp(), trimmed)
    }

    /// The wanted content of the stamp file.
    fn wanted(&self, facts: &[Fact]) -> Option<String> {
        let sha256 = file_at(facts, 1)?.sha256.as_ref()?;
        let modes = if self.preserve_permissions { " preserve_permissions" } else { "" };
        Some(format!("sha256:{sha256} strip {}{modes}\n", self.strip))
    }

    fn is_done(&self, facts: &[Fact]) -> bool {
        match (file_at(facts, 0), &self.creates) {
            (Some(_), Some(_)) => true,
            (Some(stamp), None) => {
                let wanted = self.wanted(facts);
                wanted.is_some() && stamp.content.as_deref() == wanted.as_ref().map(String::as_bytes)
            }
            (None, _) => false,
        }
    }
}

impl Action for Archive {
    fn probes(&self) -> Vec<Probe> {
        let (trace, archive) =
            if self.creates.is_some() { (Read::Stat, Read::Stat) } else { (Read::Content, Read::Hash) };
        let directory = file_probe(&trimmed(&self.path), Read::Stat);
        vec![
            file_probe(&self.trace(), trace),
            file_probe(&self.archive, archive),
            directory,
            programs_probe(self.programs()),
        ]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        if self.is_done(facts) {
            return Verdict::Same { seen: format!("{} is there", self.trace()) };
        }
        let archive =
            match file_at(facts, 1) {
                Some(file) if file.kind == FileKind::Regular => file,
                Some(file) => {
                    let problem = Problem::new(format!("{} is a {}, not an archive", self.archive, file.kind.name()));
                    return Verdict::Blocked(problem.hint("give the path of the file itself"));
                }
                None => {
                    let problem = Problem::new(format!("there is no archive {}", self.archive));
                    return Verdict::Blocked(problem.hint(
                        "download it with `node.download` before; if it is deleted after unpacking, set `creates`",
                    ));
                }
            };
        if let Some(file) = file_at(facts, 2).filter(|f| matches!(f.kind, FileKind::Regular | FileKind::Other)) {
            let problem = Problem::new(format!("{} is a {}", self.path, file.kind.name()));
            return Verdict::Blocked(problem.hint("give the path of a directory, or one that does not exist"));
        }
        if let Some(program) = missing_program(facts, 3, self.programs()) {
            let package = if program == "xz" { "xz-utils" } else { program };
            let problem = Problem::new(format!("there is no {program} on the host, which unpacks {}", self.archive));
            return Verdict::Blocked(
                problem.hint(format!("install it in a step before this one; Debian's package is `{package}`")),
            );
        }
        Verdict::Change(Diff::act(format!("unpack {} ({} bytes) in {}", self.archive, archive.size, self.path)))
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let effect = match done {
            [] => {
                let program = self.programs().first().copied().unwrap_or_default();
                let strip = self.strip.to_string();
                let creates = self.creates.as_deref().unwrap_or_default();
                let stamp = self.stamp();
                let stamp = stamp.rsplit('/').next().unwrap_or_default();
                let modes = if self.preserve_permissions { "yes" } else { "" };
                let args = [&self.archive, &trimmed(&self.path), stamp, strip.as_str(), program, creates, modes];
                host::Effect::Run(script_with_args(include_str!("unpack.sh"), &args))
            }
            [EffectResult::Host(done)] if done.exit != 0 => {
                return Err(failed(format!("unpack {}", self.archive), done)
                    .hint("is the archive complete, is the disk full, and may the step's user write there?"));
            }
            [_] if self.creates.is_none() => host::Effect::WriteFile(WriteFile {
                path: self.stamp(),
                content: self.wanted(facts).unwrap_or_default().as_str().into(),
                attributes: Attributes { mode: Some(0o644), ..Attributes::default() },
                backup: false,
                validate: None,
            }),
            _ => return Ok(None),
        };
        Ok(Some(Effect::Host(effect)))
    }

    fn outputs(&self, _facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        Outputs::from_iter([("path".to_owned(), json!(self.path))])
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, blocked, build, change, file, is_same, ran, refused};
    use super::*;
    use crate::actions::node::content::tests::regular;
    use crate::connect::host::{CommandOutput as HostDone, sha256};

    #[test]
    fn the_stamp_tells_which_archive_was_unpacked() {
        let step = build::<Archive>("archive = '/a.tar.gz'\npath = '/opt/'\nstrip = 1").unwrap();
        assert_eq!(step.stamp(), "/opt/.a.tar.gz.unpacked");
        let archive = file(Some(regular("x", 0o644)));
        let (folder, programs) = (file(Some(at(FileKind::Directory, 0o755))), ran(0, "gzip\ntar\n", ""));
        let stamp = |text: &str| [file(Some(regular(text, 0o644))), archive.clone(), folder.clone(), programs.clone()];
        let right = format!("sha256:{} strip 1\n", sha256(b"x"));
        assert!(is_same(&step.verdict(&stamp(&right))));
        let whole =
            Archive { preserve_permissions: true, ..build("archive = '/a.tar.gz'\npath = '/opt'\nstrip = 1").unwrap() };
        assert!(matches!(whole.verdict(&stamp(&right)), Verdict::Change(_)), "its modes are other ones");
        assert_eq!(change(&step.verdict(&stamp("other"))), ["! unpack /a.tar.gz (1 bytes) in /opt/"]);
        let done = [EffectResult::Host(HostDone::new(0, "", ""))];
        let Ok(Some(Effect::Host(host::Effect::WriteFile(write)))) = step.next_effect(&stamp("other"), &done) else {
            panic!()
        };
        assert_eq!(write.content.as_slice(), right.as_bytes());
        let broken = [EffectResult::Host(HostDone::new(1, "", "gzip: /a.tar.gz: unexpected end of file\n"))];
        let problem = step.next_effect(&stamp("other"), &broken).err().unwrap();
        assert_eq!(problem.message, "cannot unpack /a.tar.gz:\ngzip: /a.tar.gz: unexpected end of file");
    }

    #[test]
    fn what_it_creates_is_enough() {
        let step = build::<Archive>("archive = '/a.zip'\npath = '/opt'\ncreates = '/opt/bin'").unwrap();
        let there = file(Some(at(FileKind::Directory, 0o755)));
        assert!(is_same(&step.verdict(&[there.clone(), file(None), file(None), ran(0, "", "")])));
        let facts = [file(None), file(Some(regular("", 0o644))), file(None), ran(0, "unzip\n", "")];
        assert!(matches!(step.verdict(&facts), Verdict::Change(_)));
        assert!(matches!(step.next_effect(&facts, &[EffectResult::Host(HostDone::new(0, "", ""))]), Ok(None)));
    }

    #[test]
    fn what_is_lacking_blocks() {
        let step = build::<Archive>("archive = '/a.tar.xz'\npath = '/opt'").unwrap();
        let archive = || file(Some(regular("", 0o644)));
        let says = |archive: Fact, folder: Fact, programs: &str| {
            blocked(&step.verdict(&[file(None), archive, folder, ran(0, programs, "")]))
        };
        assert!(says(file(None), file(None), "xz\ntar\n").contains("no archive /a.tar.xz"));
        assert!(
            says(file(Some(at(FileKind::Directory, 0o755))), file(None), "").contains("is a directory, not an archive")
        );
        assert!(says(archive(), file(None), "tar\n").contains("no xz on the host"));
        assert!(says(archive(), archive(), "xz\ntar\n").contains("/opt is a file"));
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for (toml, parameter) in [
            ("archive = 'a.tar'\npath = '/x'", "/archive"),
            ("archive = '/a.rar'\npath = '/x'", "/format"),
            ("archive = '/a.zip'\npath = '/x'\nstrip = 1", "/strip"),
            ("archive = '/a.tar'\npath = 'x'", "/path"),
            ("archive = '/a.tar'\npath = '/x'\ncreates = 'x'", "/creates"),
        ] {
            assert_eq!(refused::<Archive>(toml), parameter, "{toml}");
        }
        assert!(build::<Archive>("archive = '/a'\npath = '/x'\nformat = 'tar.zst'").is_ok());
    }
}
