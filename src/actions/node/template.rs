//! `node.template`: a file rendered from a template.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::content::{DesiredContent, DesiredFile};
use super::effects::nth_effect;
use super::file::check_validate;
use super::params::{self, Mode, check_file_path};
use super::probes::{file_at, file_probe};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::Read;
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, TemplateFile};

/// Renders a template to a file. The file is replaced atomically; mode and owner of an existing file stay unchanged
/// unless given.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Absolute path on the host. Its directory must exist.
    pub path: String,
    /// Path of the template, relative to the plan's root.
    pub template: TemplateFile,
    /// Mode, such as "0644". Default: unchanged; a new file gets 0644, or 0600 when it contains a secret.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Owner, by name or number. Default: unchanged; a new file belongs to the user that the step runs as.
    #[serde(default)]
    pub owner: Option<String>,
    /// Group, by name or number. Default: unchanged.
    #[serde(default)]
    pub group: Option<String>,
    /// Whether to keep a copy of the old file in the same directory, with the time in its name and `~` at the end.
    /// Counts only when the file is written.
    #[serde(default)]
    pub backup: bool,
    /// Command that must accept the new file before it replaces the old one; `%s` stands for the temporary path of the
    /// new file, as in `visudo -cf %s`. Counts only when the file is written.
    #[serde(default)]
    pub validate: Option<String>,
}

impl Spec for Template {
    const NAME: &'static str = "node.template";
    const SUMMARY: &'static str = "a file rendered from a template";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const IS_REVERTIBLE: bool = true;
    const OUTPUTS: &'static [Output] = &[Output { name: "path", about: "the path" }];
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "chrony"
action = "node.template"
hosts = "pis"
become = true
path = "/etc/chrony/conf.d/lan.conf"
template = "templates/chrony-lan.conf.j2"
mode = "0644"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        check_file_path("path", &self.path)?;
        check_validate(self.validate.as_deref())
    }
}

impl Template {
    fn wanted(&self) -> DesiredFile<'_> {
        DesiredFile {
            path: &self.path,
            content: DesiredContent::Text(&self.template.content),
            attributes: params::attributes(self.mode, self.owner.as_ref(), self.group.as_ref()),
            backup: self.backup,
            validate: self.validate.as_deref(),
        }
    }
}

impl Action for Template {
    fn probes(&self) -> Vec<Probe> {
        vec![file_probe(&self.path, Read::unless(&self.template.content))]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        self.wanted().verdict(file_at(facts, 0))
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        nth_effect(&[self.wanted().effect(file_at(facts, 0))], done)
    }

    fn outputs(&self, _facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        Outputs::from_iter([("path".to_owned(), json!(self.path))])
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, blocked, build, change, effects, file, is_same, refused};
    use super::*;
    use crate::actions::node::content::tests::regular;
    use crate::connect::host::{Effect as HostEffect, FileKind};

    fn step() -> Template {
        let toml = "path = '/x'\ntemplate = { path = 'templates/x.j2', content = \"a\\n\" }\nvalidate = 'test -s %s'";
        build(toml).unwrap()
    }

    #[test]
    fn the_rendered_text_is_what_counts() {
        assert!(is_same(&step().verdict(&[file(Some(regular("a\n", 0o640)))])));
        let facts = [file(Some(regular("b\n", 0o640)))];
        assert_eq!(change(&step().verdict(&facts)), ["~ /x", "@@ -1 +1 @@", "-b", "+a"]);
        let effects = effects(&step(), &facts);
        let [HostEffect::WriteFile(write)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!((write.content.as_slice(), write.attributes.mode), (&b"a\n"[..], Some(0o640)));
        assert_eq!(write.validate.as_deref(), Some("test -s %s"));
        assert!(blocked(&step().verdict(&[file(Some(at(FileKind::Other, 0o644)))])).contains("special file"));
    }

    #[test]
    fn wrong_parameters_are_refused() {
        assert_eq!(refused::<Template>("path = 'x'\ntemplate = 'x.j2'"), "/path");
        assert_eq!(refused::<Template>("path = '/x'\ntemplate = 'x.j2'\nvalidate = 'true'"), "/validate");
        assert!(build::<Template>("path = '/x'").is_err());
    }
}
