//! `helm.release`: a release is deployed from a chart, a version and values.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::values::{Templates, merged, table};
use super::{chart, difference};
use crate::actions::{Action, Resource, Spec, Verdict};
use crate::connect::helm::{self, ReleaseSpec, State, Upgrade, Values};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, TextCheck};

/// A Helm release is deployed from a chart, a version and values.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Name of the release.
    release: String,
    /// Namespace of the release.
    namespace: String,
    /// Chart: a name in `repo`, `repo/name` of `helm repo add`, `oci://…` (with `:version` or `@sha256:…`), or a path
    /// that starts with `.` or `/`. A chart that was pushed again under the same version is not detected.
    chart: String,
    /// URL of the chart repository. Counts only when the release changes: an installed chart is compared by name and
    /// version.
    #[serde(default)]
    repo: Option<String>,
    /// Exact version of the chart. Default: the newest for a new release; an installed release keeps its version.
    #[serde(default)]
    version: Option<String>,
    /// Whether to reach an OCI registry without TLS. Helm 3 does so anyway if the registry has no TLS. Default: false.
    /// Counts only when the release changes.
    #[serde(default)]
    plain_http: bool,
    /// Template files with values; later files override earlier ones. An empty path is ignored.
    #[serde(default)]
    values: Templates,
    /// Single values that override the files, by path: `"pilot.resources.requests.memory" = "512Mi"`.
    #[serde(default)]
    set: Map<String, Value>,
    /// Whether to create the namespace. Default: false. Counts only when there is none.
    #[serde(default)]
    create_namespace: bool,
    /// Whether to roll back when the change fails. Default: false. Counts only when the release changes.
    #[serde(default)]
    atomic: bool,
    /// Whether to wait until all objects of the release are ready. Default: true. Counts only when the release changes.
    #[serde(default = "yes")]
    wait: bool,
    /// Whether to leave out the chart's `crds/` folder. Default: false. Counts only when the release is installed: helm
    /// never upgrades that folder.
    #[serde(default)]
    skip_crds: bool,
    /// What to do with a release that an interrupted helm left in the middle of a change. Counts only when there is
    /// one.
    #[serde(default)]
    on_pending: OnPending,
    /// Whether to take over fields that other field managers own (helm 4; helm 3 always does). Default: false. Counts
    /// only when the release changes.
    #[serde(default)]
    force_conflicts: bool,
}

/// What to do with a release that is stuck in the middle of a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnPending {
    /// Stop with an error. The default.
    #[default]
    Stop,
    /// Roll back to the last good revision, or uninstall if there is none; then continue.
    Rollback,
    /// Uninstall the release with all its objects, then install it anew.
    Uninstall,
}

/// A pending change younger than this, seconds, may still be in progress: helm continues after its caller was killed.
const PENDING_GRACE_SECONDS: i64 = 120;

/// What is done first about a stuck release.
#[derive(Debug, PartialEq)]
enum Repair {
    Rollback(u64),
    Uninstall,
}

fn yes() -> bool {
    true
}

impl Release {
    fn asked(&self) -> ReleaseSpec {
        let values = merged(&self.values, &self.set).unwrap_or_default();
        ReleaseSpec {
            release: self.release.clone(),
            namespace: self.namespace.clone(),
            chart: chart::reference(&self.chart, self.repo.as_ref(), self.version.as_ref(), self.plain_http),
            values: Values(values),
            skip_crds: self.skip_crds,
        }
    }

    /// The mark that identifies the chart where name and version do not.
    fn mark(&self, facts: &[Fact]) -> Option<String> {
        self.asked().chart.mark(state(facts)?.local.as_ref())
    }

    fn repair(&self, state: &State) -> Option<Repair> {
        let live = state.live.as_ref().filter(|live| live.is_pending())?;
        match (self.on_pending, live.last_good()) {
            (OnPending::Stop, _) => None,
            (OnPending::Rollback, Some(revision)) if live.status != "uninstalling" => Some(Repair::Rollback(revision)),
            (OnPending::Rollback | OnPending::Uninstall, _) => Some(Repair::Uninstall),
        }
    }

    /// An error if `version` is not that of a chart on this machine: helm ignores the version of such a chart.
    fn contradiction(&self, state: &State) -> Option<Problem> {
        let (local, asked) = (state.local.as_ref()?, self.version.as_deref().filter(|v| !v.is_empty())?);
        (local.version.trim_start_matches('v') != asked.trim_start_matches('v')).then(|| {
            Problem::new(format!("the chart at {} is of version {}, not {asked}", self.chart, local.version))
                .hint("leave out `version`, or name the chart's own")
        })
    }

    fn name(&self) -> String {
        format!("release {}/{}", self.namespace, self.release)
    }

    fn stuck(&self, live: &helm::Release, age: Option<i64>) -> Problem {
        let age = age.map(|s| format!(" since {}", human(s))).unwrap_or_default();
        let message = format!("{} is {} at revision {}{age}", self.name(), live.status, live.revision);
        let way = match live.last_good() {
            Some(revision) => format!("on_pending = \"rollback\" goes back to revision {revision} first"),
            None => "on_pending = \"rollback\" uninstalls it first, since it was never deployed".to_owned(),
        };
        Problem::new(format!("{message}: another helm is at work on it, or was cut off"))
            .hint(format!("if no helm is running, {way}; `helm -n {} history {}`", self.namespace, self.release))
    }
}

/// A duration for people.
fn human(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn state(facts: &[Fact]) -> Option<&State> {
    match facts.first() {
        Some(Fact::Helm(helm::Fact::Release(state))) => Some(state),
        _ => None,
    }
}

impl Action for Release {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Helm(helm::Probe::Release(self.asked()))]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let Some(state) = state(facts) else { return crate::actions::kube::unexpected() };
        let asked = self.asked();
        if let (true, Some(live)) = (state.matches(&asked), &state.live) {
            return Verdict::Same {
                seen: format!("{} {}, revision {}", live.chart, live.chart_version, live.revision),
            };
        }
        let mut diff = Diff::default();
        if let Some(live) = state.live.as_ref().filter(|l| l.is_pending()) {
            let name = self.name();
            let stuck = format!("{} at revision {}", live.status, live.revision);
            match self.repair(state) {
                _ if state.age.is_some_and(|age| age < PENDING_GRACE_SECONDS) => {
                    let seen = format!("{name} is {stuck}: another helm has been at work on it for less than 2 min");
                    return Verdict::Wait { seen };
                }
                None => return Verdict::Blocked(self.stuck(live, state.age)),
                Some(Repair::Rollback(to)) => {
                    diff.0.extend(Diff::act(format!("roll {name} ({stuck}) back to revision {to}")).0)
                }
                Some(Repair::Uninstall) => diff.0.extend(Diff::act(format!("uninstall {name} ({stuck})")).0),
            }
        }
        if let Some(problem) = self.contradiction(state) {
            return Verdict::Blocked(problem);
        }
        if !state.namespace_exists && !self.create_namespace {
            return Verdict::Missing(Resource::Namespace(self.namespace.clone()));
        }
        let rendered = match &state.rendered {
            Some(Ok(rendered)) => rendered,
            Some(Err(why)) => return chart::unrenderable(&asked.chart, why),
            None => return crate::actions::kube::unexpected(),
        };
        if let Some((group, kind)) = state.missing_kinds.first() {
            return Verdict::Missing(Resource::Kind { group: group.clone(), kind: kind.clone() });
        }
        diff.0.extend(difference::between(&asked, state, rendered).0);
        Verdict::Change(diff)
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        if let Some(EffectResult::Helm(helm::EffectResult::Ran { output })) = done.last()
            && let Some(status) = output.lines().find_map(|line| line.strip_prefix("STATUS: "))
            && status.trim() != "deployed"
        {
            let problem = Problem::new(format!("helm ended well, but {} is {} now", self.name(), status.trim()));
            return Err(problem.hint(format!(
                "`helm -n {namespace} status {release}` says more",
                namespace = self.namespace,
                release = self.release
            )));
        }
        let (release, namespace) = (self.release.clone(), self.namespace.clone());
        let first = state(facts).and_then(|state| self.repair(state)).map(|repair| match repair {
            Repair::Rollback(revision) => helm::Effect::Rollback { release, namespace, revision },
            Repair::Uninstall => helm::Effect::Uninstall { release, namespace },
        });
        let upgrade = helm::Effect::Upgrade(Upgrade {
            spec: self.asked(),
            mark: self.mark(facts),
            create_namespace: self.create_namespace,
            atomic: self.atomic,
            wait: self.wait,
            force_conflicts: self.force_conflicts,
        });
        Ok(first.into_iter().chain([upgrade]).nth(done.len()).map(Effect::Helm))
    }

    fn outputs(&self, facts: &[Fact], done: &[EffectResult]) -> Outputs {
        let live = state(facts).and_then(|s| s.live.as_ref());
        let revision = match done.last() {
            Some(EffectResult::Helm(helm::EffectResult::Ran { output })) => {
                output.lines().find_map(|l| l.strip_prefix("REVISION: ")?.trim().parse().ok())
            }
            _ => live.map(|l| l.revision),
        };
        let chosen = || match state(facts).and_then(|s| s.local.as_ref()) {
            Some(local) => Some(local.version.clone()),
            None => self.asked().chart.own_version(),
        };
        // An upgrade without a version: helm has chosen one that is not known here.
        let version = if done.is_empty() { live.map(|l| l.chart_version.clone()) } else { chosen() };
        Outputs::from_iter([
            ("revision".to_owned(), revision.map_or(Value::Null, Value::from)),
            ("chart_version".to_owned(), version.map_or(Value::Null, Value::from)),
        ])
    }

    fn predicted_diff(&self, facts: &[Fact]) -> Diff {
        match state(facts).map(|state| (state, &state.rendered)) {
            Some((state, Some(Ok(rendered)))) => difference::between(&self.asked(), state, rendered),
            _ => Diff::default(),
        }
    }

    fn provides(&self, facts: &[Fact]) -> Vec<Resource> {
        let Some(state) = state(facts) else { return Vec::new() };
        let mut things = Vec::new();
        if !state.namespace_exists && self.create_namespace {
            things.push(Resource::Namespace(self.namespace.clone()));
        }
        if let Some(Ok(rendered)) = &state.rendered {
            things.extend(crate::actions::kube::provided(&rendered.objects));
            if !self.skip_crds {
                things.extend(crate::actions::kube::provided(&rendered.crds));
            }
        }
        things
    }

    fn printed(&self, done: &[EffectResult]) -> String {
        done.iter()
            .map(|d| if let EffectResult::Helm(helm::EffectResult::Ran { output }) = d { output.as_str() } else { "" })
            .collect()
    }
}

impl Spec for Release {
    const NAME: &'static str = "helm.release";
    const SUMMARY: &'static str = "a Helm release is deployed from a chart, version and values";
    const RUNS_ON: RunsOn = RunsOn::Cluster;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[
        Output { name: "revision", about: "revision of the release, from 1" },
        Output { name: "chart_version", about: "version of its chart; null when unpinned and just installed" },
    ];
    const CHECK_TEXT: Option<TextCheck> = Some(|param, text| match param {
        "values" => table(text).err(),
        _ => None,
    });
    const EXAMPLE: &'static str = r#"[[phase.istio-install.step]]
id = "istiod"
action = "helm.release"
release = "istiod"
namespace = "istio-system"
chart = "istio/istiod"
version = "1.27.0"
values = "templates/istiod-values.yaml.j2"
timeout = "5m"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        chart::check_reference(&self.chart, self.repo.as_deref(), self.version.as_deref(), self.plain_http)?;
        chart::check_values(&self.values, &self.set)
    }
}

#[cfg(test)]
mod tests;
