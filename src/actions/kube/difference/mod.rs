//! The diff of an apply, field by field, without what the API and controllers write on their own. Pure.

mod objects;
#[cfg(test)]
mod tests;
mod walk;

use serde_json::Value;

use self::objects::{comparable, overlay, ownership, restricted_to};
use self::walk::Walk;
use crate::connect::kube::{Conflict, FIELD_MANAGER, manifest};
use crate::diff::{Delta, Diff};
use crate::event::Problem;
use crate::secret::redact;

/// The diff from the live object to the result of an apply. Empty if both are the same, and this tool's field manager
/// owns the same fields.
pub fn between(live: Option<&Value>, result: &Value, wanted: &Value, conflicts: &[Conflict]) -> Diff {
    let Some(live) = live else { return new(wanted) };
    let name = manifest::identity(result);
    let mut diff = Diff::default();
    let sides = (comparable(live, wanted), comparable(result, wanted));
    let walk = Walk { name: &name, conflicts };
    walk.values("", Some(&sides.0), Some(&sides.1), &mut diff);
    if diff.is_empty() && ownership(live) != ownership(result) {
        let before = ownership(live).map(|_| "other fields".to_owned());
        diff.push_field(format!("{name} fields owned by {FIELD_MANAGER}"), before, Some("the manifest's".to_owned()));
    }
    for conflict in conflicts {
        let shown = diff.0.iter().any(|d| matches!(d, Delta::Field { owner: Some(o), .. } if *o == conflict.manager));
        if !shown {
            diff.0.push(Delta::Field {
                path: format!("{name} {}", conflict.field),
                before: Some("owned by another".to_owned()),
                after: Some(format!("owned by {FIELD_MANAGER}")),
                owner: Some(conflict.manager.clone()),
            });
        }
    }
    diff
}

/// The diff for an object that does not exist.
pub fn new(wanted: &Value) -> Diff {
    Diff::text(manifest::identity(wanted), "", manifest::yaml(wanted))
}

/// The diff for an object that is deleted and recreated: the fields of the manifest that differ, without the API's
/// defaults.
pub fn replaced(live: &Value, wanted: &Value, why: &str) -> Diff {
    let name = manifest::identity(live);
    let mut diff =
        Diff::act(format!("delete {name} with all that belongs to it, and create it anew: {}", shortened(why)));
    let sides = (comparable(live, wanted), comparable(&overlay(live, wanted), wanted));
    Walk { name: &name, conflicts: &[] }.values("", Some(&sides.0), Some(&sides.1), &mut diff);
    diff
}

/// The diff for an object that the API can check only after `earlier` was applied.
pub fn pending(live: Option<&Value>, wanted: &Value, earlier: &Value, why: &str) -> Diff {
    match live {
        None => new(wanted),
        Some(_) => {
            let (name, earlier) = (manifest::identity(wanted), manifest::identity(earlier));
            Diff::act(format!("apply {name} once {earlier} is applied; until then the API says: {}", shortened(why)))
        }
    }
}

/// How the object that the server made differs from the result of its dry run.
///
/// Only fields of the manifest count. Comparing with the manifest itself would not work: the server writes some values
/// in another way, such as `1000m` as `1`.
pub fn server_changes(said: &Value, made: &Value, wanted: &Value) -> Diff {
    let of_manifest = |object: &Value| restricted_to(&comparable(object, wanted), wanted);
    let mut diff = Diff::default();
    let name = manifest::identity(wanted);
    Walk { name: &name, conflicts: &[] }.values("", Some(&of_manifest(made)), Some(&of_manifest(said)), &mut diff);
    diff
}

/// Checks that the server kept what was applied. `lacks` is the diff from the object `made`, which the server returned,
/// to the wanted one.
///
/// # Errors
/// The fields in `lacks`.
pub fn check_kept(made: &Value, lacks: &Diff) -> Result<(), Problem> {
    if lacks.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = lacks.redacted().0.iter().flat_map(Delta::lines).collect();
    let message =
        format!("the API accepted {}, but stored something else:\n{}", manifest::identity(made), lines.join("\n"));
    Err(Problem::new(message)
        .hint("an admission webhook may do so: `kubectl get mutatingwebhookconfigurations` shows them"))
}

/// The API's message, shortened: it may quote a whole object.
pub fn shortened(why: &str) -> String {
    // Masked before it is shortened: a part of a secret would not be recognised.
    let why = redact(why);
    let chars: Vec<char> = why.chars().collect();
    if chars.len() <= 500 {
        return why.into_owned();
    }
    chars[..250].iter().chain(&['…']).chain(&chars[chars.len() - 240..]).collect()
}
