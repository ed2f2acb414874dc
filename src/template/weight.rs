//! What a value comes to when it is written out: lists that hold the same list twice, forty times over, take little room
//! and no end of text. The engine counts such text only once it is made, so it is weighed before.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

/// How deep values may lie in each other; each level costs some of the program's stack.
const MAX_DEPTH: usize = 128;
/// What a value costs besides its text, bytes.
const VALUE_BYTES: u64 = 16;
/// The engine's steps are this many bytes.
const BYTES_PER_FUEL: u64 = 64;

/// What a value comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// Its text, and something for each value in it.
    pub bytes: u64,
    /// It and all values in it.
    pub values: u64,
    /// How deep these lie.
    pub depth: u64,
}

/// Weighs a value.
///
/// # Errors
/// When it comes to more than `most` bytes, or is too deep.
pub fn weigh(value: &Value, most: u64) -> Result<Weight, Error> {
    let mut weight = Weight::default();
    let mut todo = vec![(value.clone(), 0)];
    while let Some((value, depth)) = todo.pop() {
        if depth > MAX_DEPTH {
            let message = format!("values lie more than {MAX_DEPTH} deep in each other");
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
                if weight.bytes + todo.len() as u64 * VALUE_BYTES > most {
                    break;
                }
            }
        }
        if weight.bytes + todo.len() as u64 * VALUE_BYTES > most {
            return Err(ErrorKind::OutOfFuel.into());
        }
    }
    Ok(weight)
}

/// Weighs what a filter or the template itself is about to write out.
///
/// # Errors
/// As [`weigh`], where the rendering has no more to spend.
pub fn afford(state: &State<'_, '_>, value: &Value) -> Result<Weight, Error> {
    match value.kind() {
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => weigh(value, left(state)),
        _ => Ok(Weight::default()),
    }
}

/// Bytes that a rendering may still spend.
pub fn left(state: &State<'_, '_>) -> u64 {
    state.fuel_levels().map_or(0, |(_, left)| left.saturating_mul(BYTES_PER_FUEL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_counts_each_time() {
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
