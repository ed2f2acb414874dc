//! `kube.apply`: objects are as a manifest says, by server-side apply.

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{difference, order, unexpected};
use crate::actions::{Action, Resource, Spec, Verdict};
use crate::connect::kube::{self, Object, Preview, manifest};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, TemplateFile, TextCheck, refuse};

/// Objects are as a manifest says, by server-side apply. Objects that the manifest does not mention are left alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// Template file with the objects as YAML; may hold several documents.
    #[serde(default)]
    manifest: Option<TemplateFile>,
    /// The objects as YAML, in the plan itself.
    #[serde(default)]
    inline: Option<String>,
    /// Namespace for objects that name none. Default: that of the kubeconfig.
    #[serde(default)]
    namespace: Option<String>,
    /// Whether to take over fields that other field managers own. Default: false. Counts only where another manager
    /// owns a field.
    #[serde(default)]
    force: bool,
    /// Whether to delete and recreate an object, with all that belongs to it, if the API does not allow changing a
    /// field, such as the template of a Job. Default: false. Counts only for such a change.
    #[serde(default)]
    replace: bool,
}

/// The change that one object needs.
struct ObjectPlan<'a> {
    /// Empty if nothing changes.
    diff: Diff,
    /// Whether the API checks this object against one that is applied before it.
    settling: bool,
    /// The object that must be deleted first.
    replaces: Option<&'a Value>,
}

impl Apply {
    fn text(&self) -> &str {
        self.manifest.as_ref().map(|m| m.content.as_str()).or(self.inline.as_deref()).unwrap_or_default()
    }

    /// The objects in the order in which they are applied.
    fn objects(&self) -> Vec<Value> {
        let mut objects = manifest::objects(self.text()).unwrap_or_default();
        manifest::sort(&mut objects);
        objects
    }

    /// The change that each object needs; `Err` if an object cannot be applied now.
    fn object_plans<'a>(&self, objects: &'a [Value], facts: &'a [Fact]) -> Vec<Result<ObjectPlan<'a>, Verdict>> {
        let own = provided(objects);
        let namespace = self.namespace.as_deref().unwrap_or_default();
        let mut changing: Vec<&Value> = Vec::new();
        let mut all = Vec::new();
        for (object, fact) in objects.iter().zip(facts) {
            let earlier =
                changing.iter().find(|earlier| order::is_checked_against(earlier, object, namespace)).copied();
            let todo = self.object_plan(object, fact, &own, earlier);
            if todo.as_ref().is_ok_and(|todo| !todo.diff.is_empty()) {
                changing.push(object);
            }
            all.push(todo);
        }
        all
    }

    /// The change that an object needs. The API checks `object` against `earlier`, which changes in this step as well.
    fn object_plan<'a>(
        &self,
        object: &Value,
        fact: &'a Fact,
        own: &[Resource],
        earlier: Option<&Value>,
    ) -> Result<ObjectPlan<'a>, Verdict> {
        let Fact::Kube(kube::Fact::Apply(preview)) = fact else { return Err(unexpected()) };
        let name = manifest::identity(object);
        let apply = |diff: Diff| Ok(ObjectPlan { diff, settling: earlier.is_some(), replaces: None });
        let absent = |thing: Resource| {
            if own.contains(&thing) { apply(difference::new(object)) } else { Err(Verdict::Missing(thing)) }
        };
        match preview {
            Preview::KindMissing { group, kind } => absent(Resource::Kind { group: group.clone(), kind: kind.clone() }),
            Preview::NamespaceMissing(name) => absent(Resource::Namespace(name.clone())),
            Preview::Refused { why, live: Some(live), replaceable: true } if self.replace => Ok(ObjectPlan {
                diff: difference::replaced(live, object, why),
                settling: earlier.is_some(),
                replaces: Some(live),
            }),
            Preview::Refused { why, live, replaceable } => match earlier {
                // The API's refusal holds only until `earlier` is applied.
                Some(earlier) if !replaceable => apply(difference::pending(live.as_ref(), object, earlier, why)),
                _ => Err(Verdict::Blocked(refusal_problem(&name, why, *replaceable))),
            },
            Preview::Busy(why) => Err(Verdict::Wait { seen: format!("{name} can not be applied yet: {why}") }),
            Preview::Accepted { conflicts, .. } if !self.force && conflicts.iter().any(|c| !c.is_our_own()) => {
                Err(Verdict::Blocked(
                    Problem::new(format!("{name}: {}", kube::describe_conflicts(conflicts)))
                        .hint("say force = true to take the fields, or leave them out of the manifest"),
                ))
            }
            Preview::Accepted { live, result, conflicts } => {
                apply(difference::between(live.as_ref(), result, object, conflicts))
            }
        }
    }
}

fn refusal_problem(name: &str, why: &str, replaceable: bool) -> Problem {
    let problem = Problem::new(format!("the API refuses {name}: {}", difference::shortened(why)));
    problem.hint(if replaceable {
        "the API lets nobody change this in an object that is there; replace = true deletes the object, with all that \
         belongs to it, and creates it anew; nothing was changed"
    } else {
        "correct the manifest; the API checked it as a dry run, nothing was changed"
    })
}

impl Action for Apply {
    fn probes(&self) -> Vec<Probe> {
        let probe = |object| kube::Probe::Apply { object: Object(object), namespace: self.namespace.clone() };
        self.objects().into_iter().map(probe).map(Probe::Kube).collect()
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let objects = self.objects();
        if objects.len() != facts.len() {
            return unexpected();
        }
        let mut diff = Diff::default();
        let mut first_obstacle = None;
        for todo in self.object_plans(&objects, facts) {
            match todo {
                Ok(todo) => diff.0.extend(todo.diff.0),
                // An obstacle that waiting cannot remove is reported first.
                Err(blocked @ Verdict::Blocked(_)) => return blocked,
                Err(obstacle) => first_obstacle = first_obstacle.or(Some(obstacle)),
            }
        }
        first_obstacle.unwrap_or_else(|| Verdict::judged(Ok(diff), || summary(&objects)))
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let objects = self.objects();
        let todo = self.object_plans(&objects, facts);
        let each = objects.iter().zip(facts).zip(todo);
        let changing = each.filter_map(|((object, fact), todo)| Some((object, fact, todo.ok()?)));
        let mut changing = changing.filter(|(.., todo)| !todo.diff.is_empty()).skip(done.len().saturating_sub(1));
        let last = if done.is_empty() { None } else { changing.next() };
        if let (Some((object, fact, _)), Some(EffectResult::Kube(kube::EffectResult::Applied(made)))) =
            (last, done.last())
            && let Fact::Kube(kube::Fact::Apply(Preview::Accepted { result, .. })) = fact
        {
            difference::check_kept(&made.0, &difference::server_changes(result, &made.0, object))?;
        }
        Ok(changing.next().map(|(object, fact, todo)| {
            let (object, namespace, settling) = (Object(object.clone()), self.namespace.clone(), todo.settling);
            Effect::Kube(match todo.replaces {
                Some(live) => {
                    let uid = manifest::text(live, "/metadata/uid").to_owned();
                    kube::Effect::Replace { object, namespace, uid, settling }
                }
                None => {
                    let force = self.force || is_claimed_by_us(fact);
                    kube::Effect::Apply { object, namespace, force, settling }
                }
            })
        }))
    }

    fn outputs(&self, _facts: &[Fact], done: &[EffectResult]) -> Outputs {
        let mut outputs = Outputs::new();
        outputs.insert("objects".to_owned(), self.objects().len().into());
        outputs.insert("applied".to_owned(), done.len().into());
        outputs
    }

    fn predicted_diff(&self, facts: &[Fact]) -> Diff {
        let objects = self.objects();
        let of = |(object, todo): (&Value, Result<ObjectPlan<'_>, Verdict>)| match todo {
            Ok(todo) => todo.diff.0,
            // An object whose kind or namespace is missing does not exist either.
            Err(Verdict::Missing(_)) => difference::new(object).0,
            Err(_) => Vec::new(),
        };
        Diff(objects.iter().zip(self.object_plans(&objects, facts)).flat_map(of).collect())
    }

    fn provides(&self, _facts: &[Fact]) -> Vec<Resource> {
        provided(&self.objects())
    }
}

/// Whether all conflicting fields are owned by this tool itself.
fn is_claimed_by_us(fact: &Fact) -> bool {
    match fact {
        Fact::Kube(kube::Fact::Apply(Preview::Accepted { conflicts, .. })) => {
            !conflicts.is_empty() && conflicts.iter().all(kube::Conflict::is_our_own)
        }
        _ => false,
    }
}

/// The namespaces and kinds that the objects create.
pub(crate) fn provided(objects: &[Value]) -> Vec<Resource> {
    let thing = |object: &Value| match manifest::text(object, "/kind") {
        "Namespace" => Some(Resource::Namespace(manifest::text(object, "/metadata/name").to_owned())),
        "CustomResourceDefinition" => Some(Resource::Kind {
            group: manifest::text(object, "/spec/group").to_owned(),
            kind: manifest::text(object, "/spec/names/kind").to_owned(),
        }),
        _ => None,
    };
    objects.iter().filter_map(thing).collect()
}

fn summary(objects: &[Value]) -> String {
    match objects {
        [] => "the manifest is empty".to_owned(),
        [one] => manifest::identity(one),
        [first, rest @ ..] => format!("{} and {} more", manifest::identity(first), rest.len()),
    }
}

impl Spec for Apply {
    const NAME: &'static str = "kube.apply";
    const SUMMARY: &'static str = "Kubernetes objects are as a manifest says, by server-side apply";
    const RUNS_ON: RunsOn = RunsOn::Cluster;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[
        Output { name: "objects", about: "number of objects in the manifest" },
        Output { name: "applied", about: "number of objects that were changed" },
    ];
    const CHECK_TEXT: Option<TextCheck> = Some(|param, text| match param {
        "manifest" | "inline" => manifest::objects(text).err(),
        _ => None,
    });
    const EXAMPLE: &'static str = r#"[[phase.app.step]]
id = "routing"
action = "kube.apply"
manifest = "templates/routing.yaml.j2"
namespace = "trading"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        let name = match (&self.manifest, &self.inline) {
            (Some(_), None) => "manifest",
            (None, Some(_)) => "inline",
            (None, None) => return refuse("", "manifest or inline is needed"),
            (Some(_), Some(_)) => return refuse("inline", "manifest and inline exclude each other"),
        };
        match manifest::objects(self.text()) {
            Ok(_) => Ok(()),
            Err(why) => refuse(name, why.to_string()),
        }
    }
}
