//! Interprets scalars by the rules of go-yaml, the parser of kubectl, helm and all of Kubernetes.
//!
//! These rules are neither those of YAML 1.1 nor of 1.2: `0400` and `0o400` are octal, `1_000` is a number, `yes`, `on`
//! and `y` are booleans, `1:30` is a string.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The value of a scalar.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    /// An integer above the range of [`Self::Int`].
    Large(u64),
    Float(f64),
    Text(String),
}

/// The value of a scalar without quotes and tag.
pub(super) fn plain(text: &str) -> Scalar {
    resolve(text).unwrap_or_else(|| Scalar::Text(text.to_owned()))
}

/// The value of a scalar with one of YAML's own tags (`!!int`), quoted or not.
pub(super) fn tagged(tag: &str, text: &str) -> Result<Scalar, String> {
    let found = resolve(text);
    match (tag, found) {
        ("int", Some(number @ (Scalar::Int(_) | Scalar::Large(_)))) => Ok(number),
        ("float", Some(number @ Scalar::Float(_))) => Ok(number),
        ("float", Some(Scalar::Int(number))) => Ok(Scalar::Float(number as f64)),
        ("bool", Some(truth @ Scalar::Bool(_))) => Ok(truth),
        ("null", Some(Scalar::Null)) => Ok(Scalar::Null),
        ("int" | "float" | "bool" | "null", _) => Err(format!("this is not a value for the tag !!{tag}")),
        ("binary", _) => {
            let bytes: String = text.split_whitespace().collect();
            let bytes = STANDARD.decode(bytes).map_err(|_| "the value of a !!binary tag must be base64")?;
            String::from_utf8(bytes)
                .map(Scalar::Text)
                .map_err(|_| "the bytes of this !!binary are no text in UTF-8, which JSON needs".to_owned())
        }
        _ => Ok(Scalar::Text(text.to_owned())),
    }
}

fn resolve(text: &str) -> Option<Scalar> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Scalar::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        _ => return number(text),
    })
}

fn number(text: &str) -> Option<Scalar> {
    match text.as_bytes()[0] {
        // Here go-yaml calls Go's float parser, which accepts underscores only between digits.
        b'.' => {
            let digit = |at: Option<usize>| at.and_then(|at| text.as_bytes().get(at)).is_some_and(u8::is_ascii_digit);
            let between_digits = text.match_indices('_').all(|(at, _)| digit(at.checked_sub(1)) && digit(Some(at + 1)));
            if between_digits { float(&text.replace('_', "")) } else { None }
        }
        b'0'..=b'9' | b'+' | b'-' => {
            let bare = text.replace('_', "");
            integer(&bare).or_else(|| float(&bare))
        }
        _ => None,
    }
}

/// Parses an integer with the prefixes that Go accepts; a leading zero alone means octal.
fn integer(text: &str) -> Option<Scalar> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        Some(start) if start.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0_i64.checked_sub_unsigned(magnitude).map(Scalar::Int);
    }
    // Go accepts a plus sign only for numbers that fit into a signed 64-bit integer.
    match i64::try_from(magnitude) {
        Ok(number) => Some(Scalar::Int(number)),
        Err(_) if text.starts_with('+') => None,
        Err(_) => Some(Scalar::Large(magnitude)),
    }
}

/// Parses `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`. Numbers that are too large stay strings.
fn float(text: &str) -> Option<Scalar> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let is_valid = digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|e| !e.is_empty() && digits(e));
    let number: f64 = is_valid.then(|| text.parse().ok())??;
    number.is_finite().then_some(Scalar::Float(number))
}

impl Scalar {
    /// The value as JSON. `None` if JSON has no such number.
    pub(super) fn value(self) -> Option<Value> {
        Some(match self {
            Self::Null => Value::Null,
            Self::Bool(truth) => Value::Bool(truth),
            Self::Int(number) => number.into(),
            Self::Large(number) => number.into(),
            Self::Float(number) => json_float(number)?,
            Self::Text(text) => Value::String(text),
        })
    }

    /// The value as the key of a table. `None` if it cannot be a key.
    pub(super) fn key(&self) -> Option<String> {
        Some(match self {
            Self::Null | Self::Large(_) => return None,
            Self::Bool(truth) => truth.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Float(number) => float_key(*number),
            Self::Text(text) => text.clone(),
        })
    }
}

/// Converts a float without a fraction to an integer, as Go does: the Kubernetes API wants integers in integer fields.
fn json_float(number: f64) -> Option<Value> {
    let digits = number.to_string();
    let whole = digits.parse::<i64>().ok().map(Value::from);
    whole
        .or_else(|| digits.parse::<u64>().ok().map(Value::from))
        .or_else(|| serde_json::Number::from_f64(number).map(Value::Number))
}

/// Formats a float as Go's `strconv.FormatFloat(number, 'g', -1, 32)` does, which go-yaml uses for keys.
fn float_key(number: f64) -> String {
    let number = number as f32;
    if number.is_nan() {
        return ".nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::super::{Repeated, from_str};

    /// Each line: a scalar, its value and its key according to sigs.k8s.io/yaml 1.6.0; `!` is an error. Generated by
    /// printing `yaml.YAMLToJSON` of `v: SCALAR` and of `SCALAR: v`. Without `!!binary` values that are not text, of
    /// which Go would lose some bytes.
    const BY_GO: &str = include_str!("scalars.tsv");

    #[test]
    fn scalars_are_read_as_kubernetes_reads_them() {
        let mut wrong = Vec::new();
        for line in BY_GO.lines() {
            let [scalar, value, key] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let read = |yaml: String| from_str(&yaml, Repeated::LastWins);
            let actual = read(format!("v: {scalar}\n")).map(|v| v["v"].clone());
            let expected = serde_json::from_str::<serde_json::Value>(value);
            let same = match (&actual, &expected) {
                (Ok(actual), Ok(expected)) => {
                    actual == expected || actual.as_f64().is_some_and(|s| expected.as_f64() == Some(s))
                }
                (Err(_), Err(_)) => true,
                _ => false,
            };
            if !same {
                wrong.push(format!("{scalar}: {actual:?}, not {value}"));
            }
            let actual = read(format!("{scalar}: v\n"));
            let actual =
                actual.as_ref().map(|v| v.as_object().and_then(|m| m.keys().next()).cloned().unwrap_or_default());
            let expected = serde_json::from_str::<String>(key);
            if actual.as_ref().ok() != expected.as_ref().ok() {
                wrong.push(format!("{scalar} as a key: {actual:?}, not {key}"));
            }
        }
        assert!(BY_GO.lines().count() > 300);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn a_number_without_a_fraction_is_written_without_one() {
        for text in ["1e3", "1.0", "100.", "0644"] {
            let value = from_str(text, Repeated::LastWins).unwrap();
            assert!(!value.to_string().contains(['.', 'e']), "{text}: {value}");
        }
    }
}
