//! `node.boot_config`: boot settings of a Raspberry Pi.

mod files;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::bytes;
use super::content::{DesiredContent, DesiredFile};
use super::effects::nth_effect;
use super::params::{check_path, trimmed};
use super::probes::{file_at, file_probe, script_probe, stdout_at, unexpected_answer};
use super::text::readable;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, File, Read, quote::word};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};

/// Sets what a Raspberry Pi's firmware reads: flags in the single line of cmdline.txt, and settings in a section of
/// config.txt. Changes take effect with the next boot; the output `reboot_needed` tells whether one is needed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BootConfig {
    /// Kernel flags to add, such as ["cgroup_enable=memory"]. Several flags may have the same name.
    #[serde(default)]
    pub cmdline: Vec<String>,
    /// Kernel flags to remove; "console=*" stands for every value except those in `cmdline`.
    #[serde(default)]
    pub cmdline_absent: Vec<String>,
    /// Settings of config.txt to add, such as ["arm_64bit=1", "dtoverlay=disable-bt"]. Another value of the same name
    /// is replaced, except for `dtoverlay`, `dtparam`, `gpio`, `include` and `initramfs`, which may occur several
    /// times.
    #[serde(default)]
    pub config: Vec<String>,
    /// Settings of config.txt to remove, by name or with their value: ["dtoverlay=vc4-kms-v3d"].
    #[serde(default)]
    pub config_absent: Vec<String>,
    /// Section of config.txt that all these settings are in, such as "pi5".
    #[serde(default = "all")]
    pub section: String,
    /// Absolute path of the folder of both files. Default: /boot/firmware, or /boot when the former has none.
    #[serde(default)]
    pub folder: Option<String>,
}

fn all() -> String {
    "all".to_owned()
}

impl Spec for BootConfig {
    const NAME: &'static str = "node.boot_config";
    const SUMMARY: &'static str = "boot settings of a Raspberry Pi: cmdline.txt and config.txt";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[Output {
        name: "reboot_needed",
        about: "whether a reboot is needed: the running kernel has other flags, or config.txt changed since the boot",
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
                    return refuse(&parameter, "it must be one line, without comments and section headers");
                }
                if name.starts_with("cmdline") && line.contains(char::is_whitespace) {
                    return refuse(&parameter, "give one flag per element, without spaces");
                }
                if name == "config" && !line.contains('=') {
                    return refuse(&parameter, "write name=value");
                }
            }
        }
        if let Some(at) =
            self.cmdline.iter().position(|flag| flag.ends_with("=*") || self.cmdline_absent.contains(flag))
        {
            return refuse(
                &format!("cmdline/{at}"),
                "a flag cannot be both wanted and absent, and `*` is allowed in `cmdline_absent` only",
            );
        }
        if let Some(at) = self.config.iter().position(|line| self.config_absent.contains(line)) {
            return refuse(&format!("config/{at}"), "a setting cannot be both wanted and absent");
        }
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_+:=<>!,".contains(c);
        if self.section.is_empty() || !self.section.chars().all(is_allowed) {
            return refuse("section", "write its name without brackets, such as \"pi5\"");
        }
        self.folder.as_deref().map_or(Ok(()), |folder| check_path("folder", folder))
    }
}

const CMDLINE: &str = "cmdline.txt";
const CONFIG: &str = "config.txt";

/// The settings that the running kernel was booted with.
struct Running {
    flags: Vec<String>,
    /// Whether config.txt changed since the boot.
    config_changed: bool,
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

    /// Path, state and text of a file, from the first folder that has it.
    fn file<'a>(&self, facts: &'a [Fact], name: &str) -> Result<(String, &'a File, String), Problem> {
        let own = usize::from(name == CONFIG);
        let folders = self.folders();
        let mut found =
            folders.iter().enumerate().filter_map(|(at, folder)| Some((folder, file_at(facts, at * 2 + own)?)));
        let Some((folder, file)) = found.next() else {
            return Err(Problem::new(format!("there is no {name} in {}", folders.join(" or ")))
                .hint("is this a Raspberry Pi, and is its boot partition mounted? `folder` sets its path"));
        };
        let path = format!("{folder}/{name}");
        let text = readable(&path, file)?;
        Ok((path, file, text))
    }

    fn diff_and_effects(&self, facts: &[Fact]) -> Result<(Diff, Vec<host::Effect>), Problem> {
        let (mut diff, mut effects) = (Diff::default(), Vec::new());
        let mut write = |path: &str, file: &File, content: &str| -> Result<(), Problem> {
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
            let (path, file, current) = self.file(facts, CMDLINE)?;
            let new = files::cmdline(&current, &self.cmdline, &self.cmdline_absent).map_err(|line| {
                Problem::new(format!(
                    "{path} has more than one line, and the firmware reads only the first one: `{line}`"
                ))
                .hint("write all flags into one line by hand")
            })?;
            if let Some(new) = new {
                write(&path, file, &new)?;
            }
        }
        if self.has_config() {
            let (path, file, current) = self.file(facts, CONFIG)?;
            if let Some(new) = files::config(&current, &self.section, &self.config, &self.config_absent) {
                write(&path, file, &new)?;
            }
        }
        self.running(facts)?;
        Ok((diff, effects))
    }

    fn running(&self, facts: &[Fact]) -> Result<Running, Problem> {
        let what = "find out how the host was booted";
        let text = stdout_at(facts, self.folders().len() * 2, what)?;
        let mut lines = text.lines();
        let (booted, changed) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let number = |line: &str| line.parse::<i64>().map_err(|_| unexpected_answer(what, line));
        let (booted, changed) = (number(booted)?, if changed.is_empty() { 0 } else { number(changed)? });
        let flags = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        Ok(Running { flags, config_changed: changed >= booted })
    }

    /// Whether the running kernel differs from the wanted settings.
    fn needs_reboot(&self, facts: &[Fact], changed: bool) -> bool {
        let Ok(running) = self.running(facts) else { return false };
        let missing = |flag: &String| !running.flags.contains(flag);
        let unwanted = |flag: &String| {
            self.cmdline_absent.iter().any(|meant| files::is_flag(meant, flag)) && !self.cmdline.contains(flag)
        };
        // The firmware adds flags that are not in the file: these do not count as unwanted.
        let own = |flag: &&String| {
            changed
                || self
                    .file(facts, CMDLINE)
                    .is_ok_and(|(_, _, text)| text.split_whitespace().any(|current| current == **flag))
        };
        let of_config = self.has_config()
            && (running.config_changed
                || changed
                    && self.file(facts, CONFIG).is_ok_and(|(_, _, current)| {
                        files::config(&current, &self.section, &self.config, &self.config_absent).is_some()
                    }));
        self.cmdline.iter().any(missing) || running.flags.iter().filter(own).any(unwanted) || of_config
    }
}

impl Action for BootConfig {
    fn probes(&self) -> Vec<Probe> {
        let folders = self.folders();
        let mut probes: Vec<Probe> = Vec::new();
        for folder in &folders {
            probes.extend([CMDLINE, CONFIG].map(|name| file_probe(&format!("{folder}/{name}"), Read::Content)));
        }
        let configs: Vec<String> = folders.iter().map(|folder| word(&format!("{folder}/{CONFIG}"))).collect();
        // Prints a line each: time of the boot, time of the last change of config.txt, flags of the kernel.
        probes.push(script_probe(format!(
            "awk '$1 == \"btime\" {{ print $2 }}' /proc/stat\nfor it in {} /dev/null; do [ ! -f \"$it\" ] || break; done\n\
             if [ -f \"$it\" ]; then stat -c %Y -- \"$it\"; else echo; fi\ncat /proc/cmdline",
            configs.join(" ")
        )));
        probes
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        Verdict::judged(self.diff_and_effects(facts).map(|(diff, _)| diff), || {
            if self.needs_reboot(facts, false) { "a reboot is needed".to_owned() } else { String::new() }
        })
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        nth_effect(&self.diff_and_effects(facts)?.1, done)
    }

    fn outputs(&self, facts: &[Fact], done: &[EffectResult]) -> Outputs {
        Outputs::from_iter([("reboot_needed".to_owned(), json!(self.needs_reboot(facts, !done.is_empty())))])
    }
}

#[cfg(test)]
mod tests;
