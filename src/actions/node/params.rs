//! Parameter types and checks that several actions share.

use std::fmt::Display;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::connect::host::Attributes;
use crate::plan::{ParamError, refuse};

/// Permission bits, written as a string of octal digits: `"0644"` and `"644"` are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(inline, with = "String", extend("pattern" = "^[0-7]{3,4}$"))]
pub struct Mode(pub u32);

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ModeVisitor)
    }
}

struct ModeVisitor;

impl Visitor<'_> for ModeVisitor {
    type Value = Mode;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a mode such as \"0644\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Mode, E> {
        let digits = (3..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let octal = digits.then(|| u32::from_str_radix(text, 8).ok()).flatten();
        octal
            .map(Mode)
            .ok_or_else(|| E::custom(format!("\"{text}\" is not a mode: write octal digits such as \"0644\"")))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Mode, E> {
        let quoted = format!("{number:04}");
        Err(E::custom(format!("write the mode as a string, \"{quoted}\": TOML reads a bare number as decimal")))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Mode, E> {
        self.visit_u64(number.unsigned_abs())
    }
}

/// The schema shows defaults in this form.
impl serde::Serialize for Mode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A string, or a number or boolean that is converted to one: `1`, `true` becomes `1`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(inline, with = "String", description = "", extend("type" = ["string", "integer", "boolean"]))]
pub struct Scalar(pub String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value such as \"1\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar(u8::from(value).to_string()))
    }
}

/// A number of bytes: `1024`, `"64MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(
    inline,
    with = "String",
    description = "",
    extend("type" = ["string", "integer"], "pattern" = "^[0-9]+ *([KMG]iB)?$", "minimum" = 0)
)]
pub struct Size(pub u64);

/// Units in descending order.
const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl Size {
    fn parse(text: &str) -> Option<Self> {
        let (unit, factor) = UNITS.into_iter().find(|(unit, _)| text.ends_with(unit)).unwrap_or(("", 1));
        let digits = text.strip_suffix(unit)?.trim_end();
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse::<u64>().ok()?.checked_mul(factor)).flatten().map(Self)
    }
}

impl Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match UNITS.into_iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a size such as \"64MiB\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        Size::parse(text)
            .ok_or_else(|| E::custom(format!("\"{text}\" is not a size: write a number and KiB, MiB or GiB")))
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
        Ok(Size(bytes))
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
        u64::try_from(bytes).map(Size).map_err(|_| E::custom(format!("a size cannot be negative, such as {bytes}")))
    }
}

/// The schema shows defaults in this form.
impl serde::Serialize for Size {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Checks that the parameter is an absolute path without `..` or line breaks.
pub fn check_path(parameter: &str, path: &str) -> Result<(), ParamError> {
    if !path.starts_with('/') {
        return refuse(parameter, format!("\"{path}\" must be an absolute path"));
    }
    if path.contains(['\n', '\0']) {
        return refuse(parameter, "a path cannot have line breaks or NUL characters");
    }
    if path.split('/').any(|name| name == "..") {
        return refuse(parameter, format!("\"{path}\" must be written without `..`"));
    }
    Ok(())
}

/// As [`check_path`], and without a slash at the end.
pub fn check_file_path(parameter: &str, path: &str) -> Result<(), ParamError> {
    check_path(parameter, path)?;
    if path.ends_with('/') {
        return refuse(parameter, "the path of a file cannot end with a slash");
    }
    Ok(())
}

/// The attributes to set; those that are `None` stay unchanged.
pub fn attributes(mode: Option<Mode>, owner: Option<&String>, group: Option<&String>) -> Attributes {
    Attributes { mode: mode.map(|m| m.0), owner: owner.cloned(), group: group.cloned() }
}

/// The path without slashes at its end: with one, the host would follow a link instead of looking at the link itself.
pub fn trimmed(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }
}

/// Checks that the parameter can be the name of a file in a drop-in directory such as `/etc/sysctl.d`.
pub fn check_name(parameter: &str, name: &str) -> Result<(), ParamError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_allowed) {
        return refuse(parameter, format!("\"{name}\" must be a name of letters, digits, `-`, `_` and `.`"));
    }
    Ok(())
}

/// Checks that the parameter can be the name of a user or group.
pub fn check_account(parameter: &str, name: &str) -> Result<(), ParamError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let (plain, _) = name.split_at(name.len() - usize::from(name.ends_with('$')));
    if !begins || name.len() > 32 || !plain.chars().all(is_allowed) {
        return refuse(parameter, format!("\"{name}\" cannot be the name of a user or group"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(json: &str) -> Result<u32, String> {
        serde_json::from_str::<Mode>(json).map(|m| m.0).map_err(|e| e.to_string())
    }

    #[test]
    fn modes_are_octal_strings() {
        assert_eq!(mode("\"644\""), Ok(0o644));
        assert_eq!(mode("\"0644\""), mode("\"644\""));
        assert_eq!(mode("\"4755\""), Ok(0o4755));
        for wrong in ["\"0888\"", "\"+644\"", "\"u=rw\"", "\"7\"", "\"00644\""] {
            assert!(mode(wrong).is_err_and(|e| e.contains("octal digits")), "{wrong}");
        }
    }

    #[test]
    fn a_number_is_no_mode_and_the_error_shows_the_cure() {
        assert!(mode("644").is_err_and(|e| e.contains("\"0644\"")));
    }

    #[test]
    fn sizes_have_units_that_mean_one_thing() {
        let size =
            |json: &str| serde_json::from_str::<Size>(json).map(|s| (s.0, s.to_string())).map_err(|e| e.to_string());
        assert_eq!(size("\"64MiB\""), Ok((64 << 20, "64MiB".into())));
        assert_eq!(size("\"1 KiB\""), size("1024"));
        assert_eq!(size("1000"), Ok((1000, "1000 bytes".into())));
        assert_eq!(size("0"), Ok((0, "0 bytes".into())));
        for wrong in ["\"1MB\"", "\"MiB\"", "\"\"", "\"-1\"", "-1", "\"99999999999GiB\""] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn paths_are_absolute_and_one_line() {
        assert!(check_path("path", "/etc/motd").is_ok());
        for wrong in ["etc/motd", "", "~/x", "/a\nb", "/a/../b"] {
            assert_eq!(check_path("path", wrong).unwrap_err().pointer, "/path", "{wrong}");
        }
        assert_eq!((trimmed("/a/b//").as_str(), trimmed("/").as_str()), ("/a/b", "/"));
    }
}
