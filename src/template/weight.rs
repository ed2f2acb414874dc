//! Computes the size of a value when printed. A list that contains the same list twice, nested forty times, takes
//! little memory but prints endlessly. The engine counts such text only after creating it, so the size is checked
//! before.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

/// Maximum nesting of values; each level takes some stack.
const MAX_DEPTH: usize = 128;
/// Size counted for each value besides its text, in bytes.
const VALUE_BYTES: u64 = 16;
/// Bytes of text that the engine counts as one step.
const BYTES_PER_FUEL: u64 = 64;

/// The size of a value when printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// Size of the text, and a fixed size for each value.
    pub bytes: u64,
    /// Number of values, including the outermost.
    pub values: u64,
    /// Maximum nesting.
    pub depth: u64,
}

/// # Errors
/// When the value has more than `most` bytes, or is nested too deeply.
pub fn weigh(value: &Value, limit: u64) -> Result<Weight, Error> {
    let mut weight = Weight::default();
    let mut todo = vec![(value.clone(), 0)];
    while let Some((value, depth)) = todo.pop() {
        if depth > MAX_DEPTH {
            let message = format!("values are nested more than {MAX_DEPTH} levels deep");
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
        weight.values += 1;
        weight.depth = weight.depth.max(depth as u64);
        weight.bytes += VALUE_BYTES + value.as_str().map_or(0, |text| text.len() as u64);
        let is_map = value.kind() == ValueKind::Map;
        if is_map || matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
            for item in value.try_iter()? {
                if is_map {
                    todo.push((value.get_item(&item)?, depth + 1));
                }
                todo.push((item, depth + 1));
                if weight.bytes + todo.len() as u64 * VALUE_BYTES > limit {
                    break;
                }
            }
        }
        if weight.bytes + todo.len() as u64 * VALUE_BYTES > limit {
            return Err(ErrorKind::OutOfFuel.into());
        }
    }
    Ok(weight)
}

/// Computes the size of a value that is about to be printed, limited by the remaining fuel.
///
/// # Errors
/// When the value needs more than the remaining fuel, or is nested too deeply.
pub fn weigh_within_budget(state: &State<'_, '_>, value: &Value) -> Result<Weight, Error> {
    match value.kind() {
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => weigh(value, remaining_bytes(state)),
        _ => Ok(Weight::default()),
    }
}

/// How many more bytes the rendering may print.
pub fn remaining_bytes(state: &State<'_, '_>) -> u64 {
    state.fuel_levels().map_or(0, |(_, left)| left.saturating_mul(BYTES_PER_FUEL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_values_count_each_time() {
        let mut value = Value::from(vec!["four"]);
        assert_eq!(weigh(&value, 100).unwrap(), Weight { bytes: 36, values: 2, depth: 1 });
        for _ in 0..40 {
            value = Value::from(vec![value.clone(), value.clone()]);
        }
        assert_eq!(weigh(&value, 1_000_000).unwrap_err().kind(), ErrorKind::OutOfFuel);
        for _ in 0..200 {
            value = Value::from(vec![value.clone()]);
        }
        assert_eq!(weigh(&value, 1_000_000).unwrap_err().kind(), ErrorKind::InvalidOperation);
    }
}
