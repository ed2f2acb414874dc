//! State of a systemd unit, and the effects that change it, for the actions that manage units.

use std::collections::BTreeMap;

use super::effects::CheckedEffect;
use super::probes::{script_probe, stdout_at};
use crate::connect::host::quote::word;
use crate::connect::{Fact, Probe};
use crate::event::Problem;
use crate::plan::{ParamError, refuse};

/// Suffixes of unit names.
const KINDS: [&str; 9] = ["service", "socket", "timer", "mount", "automount", "path", "target", "slice", "swap"];

/// Directory of the administrator's unit files.
pub const FOLDER: &str = "/etc/systemd/system";

/// The state of a unit as systemd reports it.
pub struct Unit {
    /// `loaded`, `not-found`, `masked`, `bad-setting` …
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating` …
    pub active: String,
    /// `running`, `dead`, `exited` …
    pub sub: String,
    /// `enabled`, `disabled`, `static` …; `not-found` without a unit file.
    pub enabled: String,
    /// Whether the unit's files changed after systemd read them.
    pub need_reload: bool,
    /// The unit's main name, which differs from the requested one when that is an alias.
    pub id: String,
    /// Whether the unit has `Type=oneshot`: its process does its work and exits.
    pub is_oneshot: bool,
}

pub fn check_unit_name(parameter: &str, name: &str) -> Result<(), ParamError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if name.is_empty() || name.starts_with(['-', '.']) || !name.chars().all(is_allowed) {
        return refuse(parameter, format!("\"{name}\" cannot be the name of a unit"));
    }
    Ok(())
}

/// The name with its suffix: `k3s` becomes `k3s.service`.
pub fn full_name(name: &str) -> String {
    let known = name.rsplit_once('.').is_some_and(|(_, kind)| KINDS.contains(&kind));
    if known { name.to_owned() } else { format!("{name}.service") }
}

/// Path of the administrator's file for a unit.
pub fn file_of(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

/// Asks for the state of a unit.
pub fn unit_probe(name: &str) -> Probe {
    let name = word(name);
    // Only `is-enabled` knows SysV scripts; without a unit file it prints nothing, or `not-found`.
    script_probe(format!(
        "export LC_ALL=C
command -v systemctl >/dev/null || {{ echo 'there is no systemctl: this host has another init system' >&2; exit 127; }}
shown=$(systemctl show -p Id,LoadState,ActiveState,SubState,NeedDaemonReload,Type -- {name}) || exit
enabled=$(systemctl is-enabled -- {name} 2>/dev/null)
# For an alias, ask again with the main name.
[ \"$enabled\" != alias ] || {{
id=${{shown#*Id=}}
enabled=$(systemctl is-enabled -- \"${{id%%
*}}\" 2>/dev/null)
}}
printf '%s\\nIsEnabled=%s\\n' \"$shown\" \"$enabled\""
    ))
}

pub fn daemon_reload() -> CheckedEffect {
    CheckedEffect::script("make systemd reload its unit files", "systemctl daemon-reload")
}

/// `start`, `stop`, `restart` or `reload`; on failure, the error shows what the unit logged.
pub fn job(verb: &str, name: &str) -> CheckedEffect {
    let script = include_str!("unit.sh");
    CheckedEffect::script(format!("{verb} {name}"), format!("verb={verb} unit={}\n{script}", word(name))).or(|done| {
        let output = done.stderr.text();
        output.contains("is not applicable").then_some("this unit cannot reload its configuration: use `restarted`")
    })
}

impl Unit {
    /// Parses the answer to the probe at `index`.
    pub fn parse(facts: &[Fact], index: usize) -> Result<Self, Problem> {
        let text = stdout_at(facts, index, "ask systemd for the unit").map_err(|problem| {
            let elsewhere = problem.message.contains("not been booted with systemd");
            if elsewhere {
                problem.hint("is the host a container, or does it use another init system?")
            } else {
                problem
            }
        })?;
        let values: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let value = |key: &str| {
            values.get(key).map(|value| (*value).to_owned()).ok_or_else(|| {
                Problem::new(format!("systemd did not report {key}: `{}`", text.replace('\n', " ")))
                    .hint("is systemd there older than version 230?")
            })
        };
        Ok(Self {
            load: value("LoadState")?,
            active: value("ActiveState")?,
            sub: value("SubState")?,
            enabled: Some(value("IsEnabled")?).filter(|v| !v.is_empty()).unwrap_or_else(|| "not-found".to_owned()),
            need_reload: value("NeedDaemonReload")? == "yes",
            id: value("Id").unwrap_or_default(),
            is_oneshot: value("Type").is_ok_and(|kind| kind == "oneshot"),
        })
    }

    /// Whether systemd knows no such unit.
    pub fn is_unknown(&self) -> bool {
        self.load == "not-found" && self.is_stopped()
    }

    /// Whether the unit is masked, so that nothing can start it.
    pub fn is_masked(&self) -> bool {
        self.load == "masked" || self.enabled.starts_with("masked")
    }

    pub fn runs(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "refreshing")
    }

    pub fn is_stopped(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed")
    }

    /// Whether the mask outlives a reboot.
    pub fn is_masked_permanently(&self) -> bool {
        self.is_masked() && self.enabled != "masked-runtime"
    }

    /// Whether the unit starts at each boot.
    pub fn is_enabled(&self) -> bool {
        self.enabled == "enabled"
    }

    /// Whether the unit is enabled, be it only until the next boot.
    pub fn is_enabled_at_all(&self) -> bool {
        matches!(self.enabled.as_str(), "enabled" | "enabled-runtime")
    }

    /// Whether the unit can be enabled: its file has an [Install] section, or is not there yet.
    pub fn can_be_enabled(&self) -> bool {
        !matches!(self.enabled.as_str(), "static" | "generated" | "transient")
    }

    /// For messages: `active (running)`.
    pub fn description(&self) -> String {
        format!("{} ({})", self.active, self.sub)
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::testing::ran;
    use super::*;

    /// The answer to the probe of a unit.
    pub fn unit(load: &str, active: &str, sub: &str, enabled: &str) -> Fact {
        let show = format!("LoadState={load}\nActiveState={active}\nSubState={sub}\nNeedDaemonReload=no\n");
        ran(0, &format!("{show}IsEnabled={enabled}\n"), "")
    }

    #[test]
    fn a_name_without_a_kind_is_a_service() {
        let names = ["k3s", "fstrim.timer", "getty@tty1", "a.b"].map(full_name);
        assert_eq!(names, ["k3s.service", "fstrim.timer", "getty@tty1.service", "a.b.service"]);
    }
}
