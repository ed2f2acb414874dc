//! What systemd says of a unit, and how it is told to do something: for the actions that manage units.

use std::collections::BTreeMap;

use super::scripts::{CheckedEffect, answer, ask};
use crate::connect::host::quote::word;
use crate::connect::{Fact, Probe};
use crate::event::Problem;
use crate::plan::{ParamError, refuse};

/// Kinds of units, as the ends of their names.
const KINDS: [&str; 9] = ["service", "socket", "timer", "mount", "automount", "path", "target", "slice", "swap"];

/// Where units of one's own are.
pub const FOLDER: &str = "/etc/systemd/system";

/// A unit as systemd sees it.
pub struct Unit {
    /// `loaded`, `not-found`, `masked`, `bad-setting` ...
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating` ...
    pub active: String,
    /// `running`, `dead`, `exited` ...
    pub sub: String,
    /// `enabled`, `disabled`, `static` ...; `not-found` where there is no file.
    pub enabled: String,
    /// Whether its files changed since they were read.
    pub need_reload: bool,
    /// Its own name, where the asked one is another name of it.
    pub id: String,
    /// Whether it does its work and ends.
    pub is_oneshot: bool,
}

/// Refuses what cannot be a unit's name.
pub fn check_unit_name(parameter: &str, name: &str) -> Result<(), ParamError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if name.is_empty() || name.starts_with(['-', '.']) || !name.chars().all(fine) {
        return refuse(parameter, format!("\"{name}\" is no name of a unit"));
    }
    Ok(())
}

/// The name with its kind: `k3s.service`.
pub fn full_name(name: &str) -> String {
    let known = name.rsplit_once('.').is_some_and(|(_, kind)| KINDS.contains(&kind));
    if known { name.to_owned() } else { format!("{name}.service") }
}

/// Where a unit's own file is put.
pub fn file_of(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

/// Asks for a unit.
pub fn look_at(name: &str) -> Probe {
    let name = word(name);
    // SysV scripts are known to `is-enabled` only; where there is no file it says nothing, or that.
    ask(format!(
        "export LC_ALL=C
command -v systemctl >/dev/null || {{ echo 'there is no systemctl: this host has another init system' >&2; exit 127; }}
shown=$(systemctl show -p Id,LoadState,ActiveState,SubState,NeedDaemonReload,Type -- {name}) || exit
enabled=$(systemctl is-enabled -- {name} 2>/dev/null)
# Another name says nothing of the unit itself.
[ \"$enabled\" != alias ] || {{
id=${{shown#*Id=}}
enabled=$(systemctl is-enabled -- \"${{id%%
*}}\" 2>/dev/null)
}}
printf '%s\\nIsEnabled=%s\\n' \"$shown\" \"$enabled\""
    ))
}

/// Has systemd read all unit files.
pub fn daemon_reload() -> CheckedEffect {
    CheckedEffect::script("have systemd read its unit files", "systemctl daemon-reload")
}

/// `start`, `stop`, `restart` or `reload`; what the unit logged is shown when that does not work.
pub fn act(verb: &str, name: &str) -> CheckedEffect {
    let script = include_str!("unit.sh");
    CheckedEffect::script(format!("{verb} {name}"), format!("verb={verb} unit={}\n{script}", word(name))).or(|done| {
        let said = done.stderr.text();
        said.contains("is not applicable").then_some("it cannot read its configuration anew: use `restarted`")
    })
}

impl Unit {
    /// Reads the answer of the probe at `index`.
    pub fn read(facts: &[Fact], index: usize) -> Result<Self, Problem> {
        let text = answer(facts, index, "ask systemd for the unit").map_err(|problem| {
            let elsewhere = problem.message.contains("not been booted with systemd");
            if elsewhere { problem.hint("is the host a container, or has it another init system?") } else { problem }
        })?;
        let values: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let value = |key: &str| {
            values.get(key).map(|value| (*value).to_owned()).ok_or_else(|| {
                Problem::new(format!("systemd did not say what {key} is: `{}`", text.replace('\n', " ")))
                    .hint("is it older than version 230?")
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

    /// Whether there is no such unit.
    pub fn is_unknown(&self) -> bool {
        self.load == "not-found" && self.is_stopped()
    }

    /// Whether nothing can start it.
    pub fn is_masked(&self) -> bool {
        self.load == "masked" || self.enabled.starts_with("masked")
    }

    /// Whether it runs.
    pub fn runs(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "refreshing")
    }

    /// Whether it does not run.
    pub fn is_stopped(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed")
    }

    /// Whether it is masked at each boot, too.
    pub fn is_masked_for_good(&self) -> bool {
        self.is_masked() && self.enabled != "masked-runtime"
    }

    /// Whether it starts at each boot.
    pub fn is_enabled(&self) -> bool {
        self.enabled == "enabled"
    }

    /// Whether something that it was enabled by is there, for this boot at least.
    pub fn is_enabled_for_now(&self) -> bool {
        matches!(self.enabled.as_str(), "enabled" | "enabled-runtime")
    }

    /// Whether its file says by what it could be started at boot, as far as there is one.
    pub fn can_be_enabled(&self) -> bool {
        !matches!(self.enabled.as_str(), "static" | "generated" | "transient")
    }

    /// For people: `active (running)`.
    pub fn told(&self) -> String {
        format!("{} ({})", self.active, self.sub)
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::testing::ran;
    use super::*;

    /// What the probe of a unit finds.
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
