//! `node.boot_config`: how a Raspberry Pi boots.

mod text;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::bytes;
use super::content::{DesiredContent, DesiredFile};
use super::effects::{file_at, look, nth_effect};
use super::params::{check_path, trimmed};
use super::scripts::{answer, ask, unexpected_answer};
use super::text::readable;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, File, Read, quote::word};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};

/// Sets what a Raspberry Pi's firmware reads: flags in the one line of cmdline.txt, and settings in a section of
/// config.txt. It takes effect with the next boot; the output `reboot_needed` says whether one is owed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BootConfig {
    /// Kernel flags that are there, such as ["cgroup_enable=memory"]. Of the same name there may be several.
    #[serde(default)]
    pub cmdline: Vec<String>,
    /// Kernel flags that are not there; "console=*" stands for every value but those in `cmdline`.
    #[serde(default)]
    pub cmdline_absent: Vec<String>,
    /// Settings of config.txt, such as ["arm_64bit=1", "dtoverlay=disable-bt"]. Another value of the same name is replaced,
    /// but not of `dtoverlay`, `dtparam`, `gpio`, `include` and `initramfs`, of which there may be several.
    #[serde(default)]
    pub config: Vec<String>,
    /// Settings of config.txt that are not there, by name or with their value: ["dtoverlay=vc4-kms-v3d"].
    #[serde(default)]
    pub config_absent: Vec<String>,
    /// Section of config.txt that all of these are in, such as "pi5".
    #[serde(default = "all")]
    pub section: String,
    /// Folder of both files. Default: /boot/firmware, or /boot where that has none.
    #[serde(default)]
    pub folder: Option<String>,
}

fn all() -> String {
    "all".to_owned()
}

impl Spec for BootConfig {
    const NAME: &'static str = "node.boot_config";
    const SUMMARY: &'static str = "how a Raspberry Pi boots: cmdline.txt and config.txt";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[Output {
        name: "reboot_needed",
        about: "whether the running kernel has other flags, or config.txt changed since the boot",
    }];
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "cgroups"
action = "node.boot_config"
hosts = "pis"
become = true
cmdline = ["cgroup_enable=memory", "cgroup_memory=1"]
config = ["dtoverlay=disable-bt"]
"#;

    fn rules(&self) -> Result<(), ParamError> {
        let lists = [
            ("cmdline", &self.cmdline),
            ("cmdline_absent", &self.cmdline_absent),
            ("config", &self.config),
            ("config_absent", &self.config_absent),
        ];
        if lists.iter().all(|(_, list)| list.is_empty()) {
            return refuse("cmdline", "give at least one of `cmdline`, `cmdline_absent`, `config`, `config_absent`");
        }
        for (name, list) in lists {
            for (index, line) in list.iter().enumerate() {
                let parameter = format!("{name}/{index}");
                if line.trim().is_empty() || line.contains(['\n', '#', '[']) {
                    return refuse(&parameter, "it must be one line, no note and no section");
                }
                if name.starts_with("cmdline") && line.contains(char::is_whitespace) {
                    return refuse(&parameter, "write one flag each, without spaces");
                }
                if name == "config" && !line.contains('=') {
                    return refuse(&parameter, "write name=value");
                }
            }
        }
        if let Some(at) =
            self.cmdline.iter().position(|flag| flag.ends_with("=*") || self.cmdline_absent.contains(flag))
        {
            return refuse(&format!("cmdline/{at}"), "it cannot be there and not, and `*` is for `cmdline_absent`");
        }
        if let Some(at) = self.config.iter().position(|line| self.config_absent.contains(line)) {
            return refuse(&format!("config/{at}"), "it cannot be there and not");
        }
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_+:=<>!,".contains(c);
        if self.section.is_empty() || !self.section.chars().all(fine) {
            return refuse("section", "write its name without brackets, such as \"pi5\"");
        }
        self.folder.as_deref().map_or(Ok(()), |folder| check_path("folder", folder))
    }
}

const CMDLINE: &str = "cmdline.txt";
const CONFIG: &str = "config.txt";

/// The running kernel's side.
struct Running {
    flags: Vec<String>,
    /// Whether config.txt changed since the boot.
    newer: bool,
}

impl BootConfig {
    fn folders(&self) -> Vec<String> {
        self.folder
            .as_deref()
            .map_or_else(|| vec!["/boot/firmware".to_owned(), "/boot".to_owned()], |folder| vec![trimmed(folder)])
    }

    fn has_cmdline(&self) -> bool {
        !self.cmdline.is_empty() || !self.cmdline_absent.is_empty()
    }

    fn has_config(&self) -> bool {
        !self.config.is_empty() || !self.config_absent.is_empty()
    }

    /// A file in the first folder that has it.
    fn file<'a>(&self, facts: &'a [Fact], name: &str) -> Result<(String, &'a File, String), Problem> {
        let own = usize::from(name == CONFIG);
        let folders = self.folders();
        let mut found =
            folders.iter().enumerate().filter_map(|(at, folder)| Some((folder, file_at(facts, at * 2 + own)?)));
        let Some((folder, file)) = found.next() else {
            return Err(Problem::new(format!("there is no {name} in {}", folders.join(" or ")))
                .hint("is this a Raspberry Pi, and its boot partition mounted? `folder` says where"));
        };
        let path = format!("{folder}/{name}");
        let text = readable(&path, file)?;
        Ok((path, file, text))
    }

    fn judge(&self, facts: &[Fact]) -> Result<(Diff, Vec<host::Effect>), Problem> {
        let (mut diff, mut effects) = (Diff::default(), Vec::new());
        let mut put = |path: &str, file: &File, content: &str| -> Result<(), Problem> {
            let content = bytes::encode(content);
            let wanted = DesiredFile {
                content: DesiredContent::Bytes(&content),
                ..DesiredFile::text(path, "", Attributes::default())
            };
            diff.0.extend(wanted.diff(Some(file))?.0);
            effects.push(wanted.effect(Some(file)));
            Ok(())
        };
        if self.has_cmdline() {
            let (path, file, seen) = self.file(facts, CMDLINE)?;
            let new = text::cmdline(&seen, &self.cmdline, &self.cmdline_absent).map_err(|line| {
                Problem::new(format!("{path} has more than one line, and the firmware reads the first only: `{line}`"))
                    .hint("put all flags into one line by hand")
            })?;
            if let Some(new) = new {
                put(&path, file, &new)?;
            }
        }
        if self.has_config() {
            let (path, file, seen) = self.file(facts, CONFIG)?;
            if let Some(new) = text::config(&seen, &self.section, &self.config, &self.config_absent) {
                put(&path, file, &new)?;
            }
        }
        self.running(facts)?;
        Ok((diff, effects))
    }

    fn running(&self, facts: &[Fact]) -> Result<Running, Problem> {
        let what = "see how the host was booted";
        let text = answer(facts, self.folders().len() * 2, what)?;
        let mut lines = text.lines();
        let (booted, changed) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let number = |line: &str| line.parse::<i64>().map_err(|_| unexpected_answer(what, line));
        let (booted, changed) = (number(booted)?, if changed.is_empty() { 0 } else { number(changed)? });
        let flags = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        Ok(Running { flags, newer: changed >= booted })
    }

    /// Whether what is wanted is not yet what runs.
    fn needs_reboot(&self, facts: &[Fact], changed: bool) -> bool {
        let Ok(running) = self.running(facts) else { return false };
        let missing = |flag: &String| !running.flags.contains(flag);
        let left = |flag: &String| {
            self.cmdline_absent.iter().any(|meant| text::is_flag(meant, flag)) && !self.cmdline.contains(flag)
        };
        // The firmware adds flags of its own, of which another value may be meant: those that the file has not.
        let own = |flag: &&String| {
            changed
                || self
                    .file(facts, CMDLINE)
                    .is_ok_and(|(_, _, text)| text.split_whitespace().any(|seen| seen == **flag))
        };
        let of_config = self.has_config()
            && (running.newer
                || changed
                    && self.file(facts, CONFIG).is_ok_and(|(_, _, seen)| {
                        text::config(&seen, &self.section, &self.config, &self.config_absent).is_some()
                    }));
        self.cmdline.iter().any(missing) || running.flags.iter().filter(own).any(left) || of_config
    }
}

impl Action for BootConfig {
    fn probes(&self) -> Vec<Probe> {
        let folders = self.folders();
        let mut probes: Vec<Probe> = Vec::new();
        for folder in &folders {
            probes.extend([CMDLINE, CONFIG].map(|name| look(&format!("{folder}/{name}"), Read::Content)));
        }
        let configs: Vec<String> = folders.iter().map(|folder| word(&format!("{folder}/{CONFIG}"))).collect();
        // When it booted, when config.txt changed, the kernel's flags: a line each.
        probes.push(ask(format!(
            "awk '$1 == \"btime\" {{ print $2 }}' /proc/stat\nfor it in {} /dev/null; do [ ! -f \"$it\" ] || break; done\n\
             if [ -f \"$it\" ]; then stat -c %Y -- \"$it\"; else echo; fi\ncat /proc/cmdline",
            configs.join(" ")
        )));
        probes
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        match self.judge(facts) {
            Err(problem) => Verdict::Blocked(problem),
            Ok((diff, _)) if diff.is_empty() => {
                let owed = self.needs_reboot(facts, false);
                Verdict::Same { seen: if owed { "a reboot is needed".to_owned() } else { String::new() } }
            }
            Ok((diff, _)) => Verdict::Change(diff),
        }
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        nth_effect(&self.judge(facts)?.1, done)
    }

    fn outputs(&self, facts: &[Fact], done: &[EffectResult]) -> Outputs {
        Outputs::from_iter([("reboot_needed".to_owned(), json!(self.needs_reboot(facts, !done.is_empty())))])
    }
}

#[cfg(test)]
mod tests;
