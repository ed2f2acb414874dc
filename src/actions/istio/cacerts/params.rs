//! The parameters of `istio.cacerts`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::actions::istio::plugged_in;
use crate::actions::lifetime::Lifetime;

/// The Secret with istiod's CA holds a CA signed by Vault's intermediate, and the chain up to Vault's root.
///
/// The CA is issued again when it is near its end, when it is invalid, and when Vault's intermediate has changed. If
/// only Vault's root was renewed, with the same name and key, only the root's new certificate is written, and the CA
/// stays.
///
/// This step must run before istiod is installed: without the Secret, istiod creates a root of its own. The key is EC
/// P-256.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cacerts {
    /// Path of Vault's PKI mount whose default issuer signs Istio's CA.
    pub mount: String,
    /// Path of the PKI mount with the root. Needed only if the chain of `mount` does not include the root.
    #[serde(default)]
    pub root_mount: Option<String>,
    /// Namespace of istiod. Default: `istio-system`.
    #[serde(default = "istio_system")]
    pub namespace: String,
    /// Name of the Secret. Default: `cacerts`, the one that istiod reads.
    #[serde(default = "cacerts")]
    pub secret: String,
    /// Subject CN of Istio's CA. Default: `Istio CA`.
    #[serde(default = "istio_ca")]
    pub common_name: String,
    /// Subject O of Istio's CA. Default: none for a new CA; an existing CA keeps its own.
    #[serde(default)]
    pub organization: Option<String>,
    /// DNS names of Istio's CA, as subject alternative names, in any order.
    #[serde(default)]
    pub dns_names: Vec<String>,
    /// Lifetime of Istio's CA. Default: one year. Counts only when the CA is issued; the step fails if Vault gives
    /// less.
    #[serde(default = "year")]
    pub ttl: Lifetime,
    /// The CA is issued again this long before its end. Default: 90 days.
    #[serde(default = "quarter")]
    pub renew_before: Lifetime,
    /// Whether a CA below another root may be replaced. Default: false. Counts only when there is one. Workloads of the
    /// two roots do not trust each other: calls fail until every workload has been restarted.
    #[serde(default)]
    pub replace_root: bool,
    /// Whether to take over the Secret from another field manager. Default: false. Counts only when the Secret is
    /// written.
    #[serde(default)]
    pub force: bool,
}

fn istio_system() -> String {
    "istio-system".to_owned()
}

fn cacerts() -> String {
    plugged_in::NAME.to_owned()
}

fn istio_ca() -> String {
    "Istio CA".to_owned()
}

fn year() -> Lifetime {
    Lifetime::hours(365 * 24)
}

fn quarter() -> Lifetime {
    Lifetime::hours(90 * 24)
}
