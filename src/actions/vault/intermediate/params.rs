//! The parameters of `vault.intermediate`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::actions::lifetime::Lifetime;

/// The default issuer of a PKI mount is an intermediate CA of this name, signed by the root of another mount, and valid
/// long enough. Otherwise a new one is issued. Older issuers stay in the mount, so certificates that they signed stay
/// valid.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Intermediate {
    /// Path of the PKI mount for the intermediate.
    pub mount: String,
    /// Path of the PKI mount whose default issuer signs the intermediate. Default: `pki`.
    #[serde(default = "pki")]
    pub root_mount: String,
    /// Subject CN of the intermediate.
    pub common_name: String,
    /// Subject O of the intermediate. Default: none for a new one; an existing one keeps its own.
    #[serde(default)]
    pub organization: Option<String>,
    /// Lifetime of the intermediate. Default: 5 years. Counts only when it is issued; the step fails if Vault gives
    /// less.
    #[serde(default = "five_years")]
    pub ttl: Lifetime,
    /// A new intermediate is issued this long before the end of the old one. Default: 90 days.
    #[serde(default = "quarter")]
    pub renew_before: Lifetime,
    /// Type of the key. Default: `ec` for a new one; an existing one keeps its own.
    #[serde(default)]
    pub key_type: Option<KeyType>,
    /// Size of the key, bits. Default: 256 for a new `ec` key, 2048 for a new `rsa` key; an existing key keeps its
    /// size.
    #[serde(default)]
    pub key_bits: Option<u32>,
    /// How many CAs may follow below the intermediate. Default: 1, for Istio's CA.
    #[serde(default = "one")]
    pub max_path_length: u32,
}

/// Type of a CA's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// Elliptic curve.
    Ec,
    /// RSA.
    Rsa,
}

impl KeyType {
    /// The type as Vault names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ec => "ec",
            Self::Rsa => "rsa",
        }
    }
}

fn pki() -> String {
    "pki".to_owned()
}

fn five_years() -> Lifetime {
    Lifetime::hours(5 * 365 * 24)
}

fn quarter() -> Lifetime {
    Lifetime::hours(90 * 24)
}

fn one() -> u32 {
    1
}
