//! Lifetimes in parameters, in Vault's notation: `720h`, `90d`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error};

use crate::plan::{ParamError, refuse};

/// Lifetime of a certificate or a lease, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(
    inline,
    with = "String",
    description = "duration, such as 720h or 90d",
    extend("pattern" = "^([0-9]+[smhd] ?)+$")
)]
pub struct Lifetime(pub Duration);

impl Lifetime {
    pub const fn hours(hours: u64) -> Self {
        Self(Duration::from_secs(hours * 3600))
    }

    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub fn as_seconds(self) -> u64 {
        self.0.as_secs()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut seconds = 0u64;
        let mut rest = text.trim();
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let (number, behind) = rest.split_at_checked(digits)?;
            let number: u64 = number.parse().ok()?;
            let mut behind = behind.chars();
            let unit = behind.next()?;
            let factor = match unit {
                's' => 1,
                'm' => 60,
                'h' => 3600,
                'd' => 86400,
                _ => return None,
            };
            seconds = seconds.checked_add(number.checked_mul(factor)?)?;
            rest = behind.as_str().trim_start();
        }
        Some(Self::seconds(seconds))
    }
}

/// Checks that `renew_before` is shorter than `ttl`: otherwise every run would renew.
///
/// # Errors
/// The parameter `renew_before`.
pub fn check_renewal(ttl: Lifetime, renew_before: Lifetime) -> Result<(), ParamError> {
    if renew_before < ttl {
        return Ok(());
    }
    let message = format!("it must be less than ttl ({ttl}), or it would be issued anew in every run");
    refuse("renew_before", message)
}

impl std::fmt::Display for Lifetime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.as_seconds();
        let units = [(86400, "d"), (3600, "h"), (60, "m")];
        let whole = units.into_iter().find(|(size, _)| seconds >= *size && seconds.is_multiple_of(*size));
        match whole {
            Some((size, unit)) => write!(f, "{}{unit}", seconds / size),
            None => write!(f, "{seconds}s"),
        }
    }
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!("\"{text}\" is no duration; write a number and s, m, h or d, such as \"720h\""))
        })
    }
}

/// Lets the documentation show a default.
impl serde::Serialize for Lifetime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up() {
        assert_eq!(Lifetime::parse("720h"), Some(Lifetime::hours(720)));
        assert_eq!(Lifetime::parse("1d12h 5m30s"), Some(Lifetime::seconds(129_930)));
        assert_eq!(Lifetime::parse("90d").map(|l| l.to_string()).as_deref(), Some("90d"));
        assert_eq!(Lifetime::parse("25h").map(|l| l.to_string()).as_deref(), Some("25h"));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "h", "10", "10w", "-1h", "1.5h", "99999999999999999999d", "ü"] {
            assert_eq!(Lifetime::parse(text), None, "{text}");
        }
    }
}
