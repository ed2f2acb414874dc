//! Parses durations such as `90s`, `5m`, `1h30m`.

use std::time::Duration;

/// Maximum duration. More is taken for a typo.
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);

/// Parses a duration with units.
///
/// # Errors
/// What is wrong with the text, as part of a sentence.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.trim().parse().map_err(|_| format!("`{text}` is not a duration such as `90s`, `5m` or `1h30m`"))?;
    let duration = Duration::try_from(parsed).map_err(|_| format!("`{text}` is negative"))?;
    if duration > MAX_DURATION { Err(format!("`{text}` is longer than a year")) } else { Ok(duration) }
}

/// Writes a duration for people, in its two largest units: `90s` is `1m30s`.
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 60, seconds % 60) {
        (0, 0) => format!("{}ms", duration.as_millis()),
        (0, s) => format!("{s}s"),
        (m, 0) => format!("{m}m"),
        (m, s) => format!("{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_needed() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("1h30m", 5400), ("1h 30m", 5400), ("0s", 0)] {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        assert_eq!(parse_duration("500ms").unwrap(), Duration::from_millis(500));
        for text in ["", "5", "5 parsecs", "-5s", "9000000h", "{{ x }}"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
