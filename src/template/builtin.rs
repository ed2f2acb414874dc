//! Replaces the built-in filters and functions that can create large texts from small values before the engine counts
//! them. The replacements check the size first and then call the original.

use std::sync::Arc;

use minijinja::value::{Kwargs, Rest, StringInput, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use minijinja::{UndefinedBehavior, filters, tests};

use super::bounds::FUEL;
use super::weight::{remaining_bytes, weigh_within_budget};

/// Registers the replacements.
pub(super) fn add(env: &mut Environment<'_>) {
    env.set_formatter(|out, state, value| {
        weigh_within_budget(state, value)?;
        minijinja::escape_formatter(out, state, value)
    });
    env.add_filter("string", |state: &State<'_, '_>, value: &Value| {
        charge_for(state, value)?;
        filters::string(state, value)
    });
    for name in ["e", "escape"] {
        env.add_filter(name, |state: &mut State<'_, '_>, value: &Value| {
            charge_for(state, value)?;
            filters::escape(state, value)
        });
    }
    env.add_filter("pprint", |state: &State<'_, '_>, value: &Value| {
        let weight = weigh_within_budget(state, value)?;
        // Each value is printed on its own line, indented by four more blanks than its container.
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
    // These filters convert any value to text first, at full length.
    let builtins = Arc::new(builtins());
    for name in ["safe", "title", "trim", "replace", "indent"] {
        let builtins = Arc::clone(&builtins);
        env.add_filter(name, move |state: &State<'_, '_>, args: Rest<ValueOrKwargs>| {
            args.iter().try_for_each(|arg| charge_for(state, arg))?;
            builtins.empty_state().apply_filter(name, &args.into_values())
        });
    }
    env.add_test("startingwith", |state: &State<'_, '_>, value: &Value, start: &Value| {
        charge_for(state, value)?;
        charge_for(state, start)?;
        Ok::<_, Error>(tests::is_startingwith(value.to_string().into(), start.to_string().into()))
    });
    env.add_test("endingwith", |state: &State<'_, '_>, value: &Value, end: &Value| {
        charge_for(state, value)?;
        charge_for(state, end)?;
        Ok::<_, Error>(tests::is_endingwith(value.to_string().into(), end.to_string().into()))
    });
}

/// An engine with the original filters.
fn builtins() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(FUEL));
    env
}

/// Checks the size of a value, and consumes fuel for it.
fn charge_for(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    let weight = weigh_within_budget(state, value)?;
    charge(state, weight.bytes)
}

fn charge(state: &State<'_, '_>, bytes: u64) -> Result<(), Error> {
    if bytes > remaining_bytes(state) {
        return Err(ErrorKind::OutOfFuel.into());
    }
    state.consume_fuel(bytes / 64)
}

fn text(state: &State<'_, '_>, value: &Value, filter: fn(StringInput<'_>) -> Value) -> Result<Value, Error> {
    charge_for(state, value)?;
    let args = [value.clone()];
    let (input,): (StringInput<'_>,) = minijinja::value::from_args(&args)?;
    Ok(filter(input))
}

fn to_json(state: &State<'_, '_>, value: &Value, indent: Option<Value>, args: Kwargs) -> Result<Value, Error> {
    let weight = weigh_within_budget(state, value)?;
    let indent = match indent {
        Some(indent) => Some(indent),
        None => args.get("indent")?,
    };
    let blanks = indent.as_ref().and_then(|indent| u64::try_from(indent.clone()).ok()).unwrap_or(2);
    let blanks = blanks.saturating_mul(weight.depth.max(1)).saturating_mul(weight.values);
    // One character may become six, as in `\u003c`.
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
    weigh_within_budget(state, value)?;
    filters::join(state, value, joiner, attribute, kwargs)
}

fn format(state: &mut State<'_, '_>, template: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    args.iter().try_for_each(|arg| charge_for(state, arg))?;
    filters::format(state, template, args)
}

/// The original `range`, without overflows for very large numbers.
fn range(from: i64, to: Option<i64>, step: Option<i64>) -> Result<Value, Error> {
    const MAX_INTEGER: i64 = 1 << 60;
    if [Some(from), to, step].into_iter().flatten().any(|n| n.unsigned_abs() > MAX_INTEGER.unsigned_abs()) {
        return Err(Error::new(ErrorKind::InvalidOperation, "range: a number is too large"));
    }
    let to_isize = |n: i64| isize::try_from(n).unwrap_or_default();
    minijinja::functions::range(to_isize(from), to.map(to_isize), step.map(to_isize))
}
