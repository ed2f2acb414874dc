//! Helm releases: read from the cluster, where helm keeps them, and changed by the helm program.
//!
//! A release that already matches needs no helm process: its newest record is a Secret in the release's namespace. Only
//! a release that differs is rendered, for the diff. Knows the Kubernetes backend and the inventory's `[helm]`; never
//! what an action wants. Values are passed to helm on stdin, never as arguments.

mod backend;
mod contents;
mod ignore;
mod program;
mod reference;
mod release;
mod rendered;

use serde_json::Value;

pub use backend::Backend;
pub use contents::LocalChart;
pub use reference::{Chart, Oci};
pub use release::{Release, Revision, equal};
pub use rendered::Rendered;

/// The desired release.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseSpec {
    pub release: String,
    pub namespace: String,
    pub chart: Chart,
    pub values: Values,
    /// Whether to skip the chart's `crds/` folder.
    pub skip_crds: bool,
}

/// Values of a chart. `Debug` shows nothing, since they may hold secrets.
#[derive(Clone, PartialEq)]
pub struct Values(pub Value);

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// Reads the release, and renders its chart if the release does not match.
    Release(ReleaseSpec),
    /// Renders the chart without reading a release.
    Render(ReleaseSpec),
}

/// The answer to a [`Probe`].
#[derive(Clone)]
pub enum Fact {
    /// The state of a release.
    Release(Box<State>),
    /// The rendered chart, or helm's complaint about the chart.
    Rendered(Result<Rendered, String>),
}

/// The state of a release.
#[derive(Clone, Default)]
pub struct State {
    /// The newest revision; `None`: the release does not exist.
    pub live: Option<Release>,
    /// The chart, if it is on this machine.
    pub local: Option<LocalChart>,
    /// Whether the release's namespace exists.
    pub namespace_exists: bool,
    /// The rendered chart, or helm's complaint about the chart; `None`: not rendered, because the release matches.
    pub rendered: Option<Result<Rendered, String>>,
    /// Seconds since the newest revision was last updated.
    pub age: Option<i64>,
    /// Kinds, as (group, kind), of rendered objects that the API does not serve.
    pub missing_kinds: Vec<(String, String)>,
}

impl State {
    /// Whether the release is deployed from the chart, version and values of `spec`.
    pub fn matches(&self, spec: &ReleaseSpec) -> bool {
        self.live.as_ref().is_some_and(|live| {
            live.status == "deployed"
                && spec.chart.is_source_of(live, self.local.as_ref())
                && equal(&live.values, &spec.values.0)
        })
    }
}

#[derive(Clone)]
pub enum Effect {
    /// Installs or upgrades a release.
    Upgrade(Upgrade),
    /// Rolls back to a revision.
    Rollback { release: String, namespace: String, revision: u64 },
    /// Removes the release and its objects.
    Uninstall { release: String, namespace: String },
}

/// Options of an installation or upgrade.
#[derive(Debug, Clone)]
pub struct Upgrade {
    pub spec: ReleaseSpec,
    /// The release's description, which identifies the chart; see [`Chart::mark`].
    pub mark: Option<String>,
    /// Whether to create the namespace.
    pub create_namespace: bool,
    /// Whether to roll back when the upgrade fails.
    pub atomic: bool,
    /// Whether to wait until the release's objects are ready.
    pub wait: bool,
    /// Whether to take over fields of other managers (helm 4 only; helm 3 never conflicts).
    pub force_conflicts: bool,
}

/// The result of an [`Effect`].
#[derive(Clone)]
pub enum EffectResult {
    /// Helm succeeded.
    Ran {
        /// Helm's output, without the chart's notes.
        output: String,
    },
}
