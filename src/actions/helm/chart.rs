//! What all actions on a chart share: the reference, its rules, and what is said when it does not render.

use serde_json::{Map, Value};

use super::values::{Templates, merged};
use crate::actions::Verdict;
use crate::connect::helm::Chart;
use crate::event::Problem;
use crate::plan::ParamError;

/// The chart that the parameters name; an empty text is none.
pub fn reference(name: &str, repo: Option<&String>, version: Option<&String>) -> Chart {
    let given = |text: Option<&String>| text.filter(|t| !t.is_empty()).cloned();
    Chart { name: name.to_owned(), repository: given(repo), version: given(version) }
}

/// The rules of a chart reference.
pub fn check_reference(chart: &str, repo: Option<&str>, version: Option<&str>) -> Result<(), ParamError> {
    let error =
        |pointer: &str, message: &str| Err(ParamError { pointer: pointer.to_owned(), message: message.to_owned() });
    let is_range = |v: &&str| !v.contains("{{") && v.contains(|c: char| "^~<>=*|, ".contains(c));
    if version.filter(is_range).is_some() {
        return error("/version", "an exact version is needed, such as 1.27.0: with a range two runs may differ");
    }
    let Some(repo) = repo.filter(|r| !r.is_empty()) else { return Ok(()) };
    if chart.contains('/') && !chart.contains("{{") {
        return error("/chart", "with repo, the chart is a plain name");
    }
    if repo.split_once("://").is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|host| host.contains('@'))) {
        return error("/repo", "no credentials in the URL: use `helm repo add` or `helm registry login`");
    }
    Ok(())
}

/// The values can be put together.
pub fn check_values(values: &Templates, set: &Map<String, Value>) -> Result<(), ParamError> {
    merged(values, set).map(drop).map_err(|(pointer, message)| ParamError { pointer, message })
}

/// The verdict on a chart that helm can not render.
pub fn unrenderable(why: &str) -> Verdict {
    let hint = "check chart, repo and version (`helm search repo`, `helm show chart`) and the values";
    Verdict::Blocked(Problem::new(format!("the chart can not be rendered: {why}")).hint(hint))
}
