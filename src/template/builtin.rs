//! The language's own filters and functions that may make much from little before the engine counts it: the same, behind a
//! scale.

use std::sync::Arc;

use minijinja::value::{Kwargs, Rest, StringInput, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use minijinja::{UndefinedBehavior, filters, tests};

use super::bounds::FUEL;
use super::weight::{afford, left};

/// Puts them in the place of the language's.
pub(super) fn add(env: &mut Environment<'_>) {
    env.set_formatter(|out, state, value| {
        afford(state, value)?;
        minijinja::escape_formatter(out, state, value)
    });
    env.add_filter("string", |state: &State<'_, '_>, value: &Value| {
        paid(state, value)?;
        filters::string(state, value)
    });
    for name in ["e", "escape"] {
        env.add_filter(name, |state: &mut State<'_, '_>, value: &Value| {
            paid(state, value)?;
            filters::escape(state, value)
        });
    }
    env.add_filter("pprint", |state: &State<'_, '_>, value: &Value| {
        let weight = afford(state, value)?;
        // Each value stands on a line of its own, four blanks deeper than what it is in.
        charge(state, weight.bytes.saturating_add(weight.values * weight.depth * 4))?;
        Ok::<_, Error>(filters::pprint(value))
    });
    env.add_filter("tojson", to_json);
    env.add_filter("join", join);
    env.add_filter("format", format);
    env.add_filter("upper", |state: &State<'_, '_>, value: &Value| text(state, value, filters::upper));
    env.add_filter("lower", |state: &State<'_, '_>, value: &Value| text(state, value, filters::lower));
    env.add_filter("capitalize", |state: &State<'_, '_>, value: &Value| text(state, value, filters::capitalize));
    env.add_function("range", range);
    // These take the text of any value, which is made at its full length first.
    let language = Arc::new(language());
    for name in ["safe", "title", "trim", "replace", "indent"] {
        let language = Arc::clone(&language);
        env.add_filter(name, move |state: &State<'_, '_>, args: Rest<ValueOrKwargs>| {
            args.iter().try_for_each(|arg| paid(state, arg))?;
            language.empty_state().apply_filter(name, &args.into_values())
        });
    }
    env.add_test("startingwith", |state: &State<'_, '_>, value: &Value, start: &Value| {
        paid(state, value)?;
        paid(state, start)?;
        Ok::<_, Error>(tests::is_startingwith(value.to_string().into(), start.to_string().into()))
    });
    env.add_test("endingwith", |state: &State<'_, '_>, value: &Value, end: &Value| {
        paid(state, value)?;
        paid(state, end)?;
        Ok::<_, Error>(tests::is_endingwith(value.to_string().into(), end.to_string().into()))
    });
}

/// The language as it is.
fn language() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(FUEL));
    env
}

/// Weighs a value, and takes it off what the rendering may spend.
fn paid(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    let weight = afford(state, value)?;
    charge(state, weight.bytes)
}

fn charge(state: &State<'_, '_>, bytes: u64) -> Result<(), Error> {
    if bytes > left(state) {
        return Err(ErrorKind::OutOfFuel.into());
    }
    state.consume_fuel(bytes / 64)
}

fn text(state: &State<'_, '_>, value: &Value, filter: fn(StringInput<'_>) -> Value) -> Result<Value, Error> {
    paid(state, value)?;
    let args = [value.clone()];
    let (input,): (StringInput<'_>,) = minijinja::value::from_args(&args)?;
    Ok(filter(input))
}

fn to_json(state: &State<'_, '_>, value: &Value, indent: Option<Value>, args: Kwargs) -> Result<Value, Error> {
    let weight = afford(state, value)?;
    let indent = match indent {
        Some(indent) => Some(indent),
        None => args.get("indent")?,
    };
    let blanks = indent.as_ref().and_then(|indent| u64::try_from(indent.clone()).ok()).unwrap_or(2);
    let blanks = blanks.saturating_mul(weight.depth.max(1)).saturating_mul(weight.values);
    // A character may be written as six.
    charge(state, weight.bytes.saturating_add(if indent.is_some() { blanks } else { 0 }))?;
    filters::tojson(value, indent, args)
}

fn join(
    state: &mut State<'_, '_>,
    value: &Value,
    joiner: Option<StringInput<'_>>,
    attribute: Option<&str>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    afford(state, value)?;
    filters::join(state, value, joiner, attribute, kwargs)
}

fn format(state: &mut State<'_, '_>, template: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    args.iter().try_for_each(|arg| paid(state, arg))?;
    filters::format(state, template, args)
}

/// As the language's, but for numbers at the ends of what there is.
fn range(from: i64, to: Option<i64>, step: Option<i64>) -> Result<Value, Error> {
    const MAX_INTEGER: i64 = 1 << 60;
    if [Some(from), to, step].into_iter().flatten().any(|n| n.unsigned_abs() > MAX_INTEGER.unsigned_abs()) {
        return Err(Error::new(ErrorKind::InvalidOperation, "range: a number is too large"));
    }
    let plain = |n: i64| isize::try_from(n).unwrap_or_default();
    minijinja::functions::range(plain(from), to.map(plain), step.map(plain))
}
