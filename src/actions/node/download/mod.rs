//! `node.download`: a file from the web, known by its checksum.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::content::{diff_attributes, new_file_mode};
use super::effects::script_with_args;
use super::failure::failed;
use super::params::{self, Mode, check_file_path};
use super::probes::{file_at, file_probe, missing_program, programs_probe};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, File, FileKind, Read, Run};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};

/// Makes the host download a file with curl or wget, when the file at the path does not have the checksum. The file is
/// put in place atomically after its checksum was verified; mode and owner of an existing file stay unchanged unless
/// given.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Download {
    /// URL to download from: `http://` or `https://`. Redirects are followed, never from https to http. The wget of
    /// busybox follows every redirect and verifies no certificate. A URL that contains a secret needs curl on the host.
    /// Counts only when the file is fetched, since a file is known by its checksum.
    pub url: String,
    /// Absolute path on the host. Its directory must exist.
    pub path: String,
    /// SHA-256 of the file: "sha256:" and 64 hex digits.
    pub checksum: String,
    /// Additional request headers, such as Authorization. They need curl on the host. Other users of the host cannot
    /// see them, and a redirect to another origin (scheme, host and port) drops them. Counts only when the file is
    /// fetched.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Mode, such as "0755". Default: unchanged; a new file gets 0644, or 0600 when the URL or the headers contain a
    /// secret.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Owner, by name or number. Default: unchanged; a new file belongs to the user that the step runs as.
    #[serde(default)]
    pub owner: Option<String>,
    /// Group, by name or number. Default: unchanged.
    #[serde(default)]
    pub group: Option<String>,
}

impl Spec for Download {
    const NAME: &'static str = "node.download";
    const SUMMARY: &'static str = "a file from the web, verified by its checksum";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[Output { name: "path", about: "the path" }];
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "runc"
action = "node.download"
hosts = "pis"
become = true
url = "https://github.com/opencontainers/runc/releases/download/v1.3.0/runc.arm64"
checksum = "sha256:85c5e4e4f72e442c8c17bac07527cd4f961ee48e4f2b71797f7533c94f4a52b9"
path = "/usr/local/sbin/runc"
mode = "0755"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        check_file_path("path", &self.path)?;
        let rest = ["http://", "https://"].iter().find_map(|scheme| self.url.strip_prefix(scheme));
        if rest.is_none_or(|rest| rest.is_empty() || rest.contains(|c: char| c.is_whitespace() || c.is_control())) {
            return refuse("url", format!("\"{}\" is not a URL with http:// or https://", self.url));
        }
        if self.sha256().is_none() {
            return refuse("checksum", "write it as \"sha256:\" and 64 hex digits");
        }
        for (name, value) in &self.headers {
            let token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || !name.chars().all(token) || value.contains(char::is_control) {
                return refuse("headers", format!("{name} is not a header of one line"));
            }
        }
        Ok(())
    }
}

impl Download {
    /// The checksum in lower-case hex digits.
    fn sha256(&self) -> Option<String> {
        let hex = self.checksum.strip_prefix("sha256:")?.to_ascii_lowercase();
        (hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit())).then_some(hex)
    }

    fn attributes(&self) -> Attributes {
        params::attributes(self.mode, self.owner.as_ref(), self.group.as_ref())
    }

    fn is_there(&self, current: Option<&File>) -> bool {
        current.is_some_and(|file| file.kind == FileKind::Regular && file.sha256 == self.sha256())
    }

    fn diff(&self, facts: &[Fact]) -> Result<Diff, Problem> {
        let current = file_at(facts, 0);
        let mut diff = Diff::default();
        match current.map(|file| &file.kind) {
            Some(kind @ (FileKind::Directory | FileKind::Other)) => {
                let problem = Problem::new(format!("{} is a {}", self.path, kind.name()));
                return Err(problem.hint("choose another path, or remove what is there first"));
            }
            Some(FileKind::Link(target)) => {
                diff.push_field("kind", Some(format!("link to {target}")), Some("file".to_owned()));
            }
            _ => {}
        }
        if !self.is_there(current) {
            let has = |program| missing_program(facts, 1, &[program]).is_none();
            let missing = match (has("curl"), has("wget")) {
                (true, _) => None,
                (false, _) if !self.headers.is_empty() => {
                    Some("there is no curl on the host, and `headers` can be sent by nothing else")
                }
                (false, true) => None,
                (false, false) => Some("there is neither curl nor wget on the host"),
            };
            if let Some(message) = missing {
                return Err(Problem::new(message).hint("install the package `curl` in a step before this one"));
            }
            let before = current.and_then(|file| file.sha256.as_ref()).map(|sha256| format!("sha256:{sha256}"));
            let after = format!("sha256:{} from {}", self.sha256().unwrap_or_default(), self.url);
            diff.push_field(format!("{} content", self.path), before, Some(after));
        }
        diff_attributes(&mut diff, current, &self.attributes());
        Ok(diff)
    }

    fn fetch(&self, facts: &[Fact]) -> Run {
        let current = file_at(facts, 0).filter(|file| file.kind == FileKind::Regular);
        let wanted = self.attributes();
        let number = |wanted: &Option<String>, current: Option<u32>| wanted.clone().or(current.map(|n| n.to_string()));
        let owner = number(&wanted.owner, current.map(|file| file.uid)).unwrap_or_default();
        let group = number(&wanted.group, current.map(|file| file.gid)).map(|group| format!(":{group}"));
        let owner = owner + &group.unwrap_or_default();
        // A file that is served only to those who know a secret is not readable by everybody here.
        let new = || new_file_mode(&self.config());
        let mode = format!("{:04o}", wanted.mode.or(current.map(|file| file.mode)).unwrap_or_else(new));
        let sha256 = self.sha256().unwrap_or_default();
        let curl = missing_program(facts, 1, &["curl"]).is_none();
        let (program, url) = if curl { ("curl", "") } else { ("wget", self.url.as_str()) };
        let run = script_with_args(include_str!("fetch.sh"), &[&self.path, &sha256, &owner, &mode, program, url]);
        Run { stdin: if curl { self.config().into() } else { Vec::new().into() }, ..run }
    }

    /// The URL, and the headers in curl's configuration format.
    fn config(&self) -> Vec<u8> {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let mut config = format!("{}\n", self.url);
        for (name, value) in &self.headers {
            config.push_str(&format!("header = {}\n", quoted(&format!("{name}: {value}"))));
        }
        config.into_bytes()
    }
}

impl Action for Download {
    fn probes(&self) -> Vec<Probe> {
        vec![file_probe(&self.path, Read::Hash), programs_probe(&["curl", "wget"])]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        Verdict::judged(self.diff(facts), String::new)
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        if self.is_there(file_at(facts, 0)) {
            let effect = host::Effect::Attributes { path: self.path.clone(), attributes: self.attributes() };
            return Ok(done.is_empty().then_some(Effect::Host(effect)));
        }
        let Some(EffectResult::Host(done)) = done.last() else {
            return Ok(Some(Effect::Host(host::Effect::Run(self.fetch(facts)))));
        };
        let problem = || failed(format!("download {}", self.url), done);
        match done.exit {
            0 => Ok(None),
            100 => Err(problem().hint(format!(
                "the step expects {}: is that the checksum of this version and architecture?",
                self.checksum
            ))),
            101 => Err(problem().hint("create it with a `node.directory` step before this one")),
            102 => {
                Err(problem()
                    .hint("is the disk full, or may the step's user not write there? if so, set `become = true`"))
            }
            103 => Err(problem().hint(
                "rollout follows at most ten redirects, and none from https to http: give the URL of the file itself",
            )),
            _ => Err(problem().hint("can the host reach that server, and does the file exist there?")),
        }
    }

    fn outputs(&self, _facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        Outputs::from_iter([("path".to_owned(), json!(self.path))])
    }
}

#[cfg(test)]
mod tests;
