//! Quantities of CPU and memory: parsed from Kubernetes' notation, shown for people. Pure.
//!
//! Values are exact thousandths. Smaller fractions are rounded up, as in the scheduler.

use std::iter::Sum;
use std::ops::{Add, Sub};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Suffixes with their factors: the exponents of ten and of two.
const SUFFIXES: &[(&str, i32, u32)] = &[
    ("", 0, 0),
    ("n", -9, 0),
    ("u", -6, 0),
    ("m", -3, 0),
    ("k", 3, 0),
    ("M", 6, 0),
    ("G", 9, 0),
    ("T", 12, 0),
    ("P", 15, 0),
    ("E", 18, 0),
    ("Ki", 0, 10),
    ("Mi", 0, 20),
    ("Gi", 0, 30),
    ("Ti", 0, 40),
    ("Pi", 0, 50),
    ("Ei", 0, 60),
];

/// Units in which memory is shown, largest first.
const BINARY_UNITS: &[(&str, u32)] = &[("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];

/// An amount of CPU (cores), memory (bytes) or pods, in thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(inline, with = "serde_json::Value", extend("type" = ["number", "string"]))]
pub struct Quantity(i128);

/// How an amount is rounded for display: requests up, free room down. So a request that does not fit never looks as if
/// it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// To the next tenth above.
    Up,
    /// To the next tenth below.
    Down,
}

impl Quantity {
    pub const ZERO: Self = Self(0);

    /// The whole number `count`.
    pub const fn whole(count: u64) -> Self {
        Self(count as i128 * 1000)
    }

    /// How many times `each` fits into this amount; `None` if `each` is zero.
    pub fn times(self, each: Self) -> Option<u64> {
        (each.0 > 0).then(|| u64::try_from(self.0 / each.0).unwrap_or_default())
    }

    /// For people, as memory: `512Mi`, `3.4Gi`.
    pub fn memory(self, round: Round) -> String {
        let found = BINARY_UNITS.iter().find(|(_, power)| self.0 >= 1000 << power);
        let (suffix, power) = found.copied().unwrap_or(("", 0));
        format!("{}{suffix}", tenths(self.0, 100 << power, round))
    }

    /// For people, as a number of cores without a noun: `500m`, `1.8`.
    pub fn cores(self, round: Round) -> String {
        if (1..1000).contains(&self.0) { format!("{}m", self.0) } else { tenths(self.0, 100, round) }
    }

    /// For people, as CPU: `500m CPU`, `1.8 CPUs`.
    pub fn cpus(self, round: Round) -> String {
        let cores = self.cores(round);
        let noun = if cores == "1" || cores.ends_with('m') { "CPU" } else { "CPUs" };
        format!("{cores} {noun}")
    }
}

/// A number with one decimal; `tenth` is the number of thousandths in a tenth of the unit. Never below zero.
fn tenths(milli: i128, tenth: i128, round: Round) -> String {
    let extra = if round == Round::Up { tenth - 1 } else { 0 };
    let count = milli.max(0).saturating_add(extra) / tenth;
    if count % 10 == 0 { (count / 10).to_string() } else { format!("{}.{}", count / 10, count % 10) }
}

impl Add for Quantity {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Quantity {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::ZERO, Add::add)
    }
}

impl FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read(text.trim()).map(Self).ok_or_else(|| format!("`{text}` is no quantity such as 500m, 2, 512Mi or 1.5Gi"))
    }
}

/// Parses a quantity of zero or more into thousandths.
fn read(text: &str) -> Option<i128> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let (ten, two) = match SUFFIXES.iter().find(|(name, ..)| *name == suffix) {
        Some((_, ten, two)) => (*ten, *two),
        // After the suffixes: a lone `E` is the suffix, not an exponent.
        None => (suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?, 0),
    };
    let ten = ten.checked_add(3)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let scaled = digits.checked_mul(1 << two)?;
    let power = 10_i128.checked_pow(ten.unsigned_abs());
    if ten >= 0 {
        return scaled.checked_mul(power?);
    }
    // A power that is too large leaves a tiny remainder, which rounds up.
    let power = power.unwrap_or(i128::MAX);
    Some(scaled / power + i128::from(scaled % power > 0))
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrNumber;
        impl Visitor<'_> for TextOrNumber {
            type Value = Quantity;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a quantity such as 500m, 2, 512Mi or 1.5Gi")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Quantity, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity::whole(number))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Quantity, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Quantity, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(TextOrNumber)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn milli(text: &str) -> Option<i128> {
        text.parse::<Quantity>().ok().map(|q| q.0)
    }

    #[test]
    fn all_notations_are_read() {
        for (text, expected) in [
            ("0", 0),
            ("2", 2000),
            ("500m", 500),
            (".5", 500),
            ("1.5", 1500),
            ("2.", 2000),
            ("1500000n", 2),
            ("1u", 1),
            ("1k", 1_000_000),
            ("3M", 3_000_000_000),
            ("1Ki", 1_024_000),
            ("1.5Gi", 1_610_612_736_000),
            ("1e3", 1_000_000),
            ("1.5E3", 1_500_000),
            ("5e-1", 500),
            ("1E", 10_i128.pow(21)),
            ("16Ei", 1000 << 64),
            ("1e-400", 1),
        ] {
            assert_eq!(milli(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "m", ".", "1.2.3", "-1", "512MB", "512mi", "1 Gi", "1e", "1e400", "one", "1Kii"] {
            assert_eq!(milli(text), None, "{text}");
        }
        let error = serde_json::from_value::<Quantity>(json!("512MB")).unwrap_err().to_string();
        assert_eq!(error, "`512MB` is no quantity such as 500m, 2, 512Mi or 1.5Gi");
    }

    #[test]
    fn plans_may_give_numbers() {
        let of = |v: serde_json::Value| serde_json::from_value::<Quantity>(v).map(|q| q.0).ok();
        assert_eq!((of(json!(2)), of(json!(0.5)), of(json!(-1)), of(json!(true))), (Some(2000), Some(500), None, None));
    }

    #[test]
    fn amounts_are_shown_as_people_write_them() {
        let q = |text: &str| text.parse::<Quantity>().unwrap();
        assert_eq!(q("512Mi").memory(Round::Up), "512Mi");
        assert_eq!(q("64Gi").memory(Round::Up), "64Gi");
        assert_eq!(q("1536Mi").memory(Round::Down), "1.5Gi");
        assert_eq!(q("100").memory(Round::Down), "100");
        assert_eq!((q("0").cpus(Round::Down), q("1").cpus(Round::Down)), ("0 CPUs".into(), "1 CPU".into()));
        assert_eq!((q("250m").cpus(Round::Up), q("1850m").cpus(Round::Down)), ("250m CPU".into(), "1.8 CPUs".into()));
        assert_eq!((q("1") - q("2")).memory(Round::Down), "0");
    }

    #[test]
    fn what_does_not_fit_never_looks_as_if_it_did() {
        let (asked, left) = ("3522Mi".parse::<Quantity>().unwrap(), "3521Mi".parse::<Quantity>().unwrap());
        assert_eq!((asked.memory(Round::Up), left.memory(Round::Down)), ("3.5Gi".into(), "3.4Gi".into()));
    }
}
