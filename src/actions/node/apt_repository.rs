//! `node.apt_repository`: a package repository of apt, with its key.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::content::{DesiredFile, text_delta};
use super::effects::{CheckedEffect, next_checked};
use super::group::State;
use super::package::try_sources_script;
use super::params::{check_name, check_path};
use super::probes::{file_at, file_probe};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, Read, quote::word};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::{Delta, Diff};
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, PlainFile, Role, RunsOn, refuse};

/// Adds a package repository to apt: /etc/apt/sources.list.d/NAME.sources, and its key in /etc/apt/keyrings. Before the
/// file is put in place, the package list is fetched, its signature verified, and all sources are read together: a
/// wrong URI or key, or another file that gives another key for the same repository, leaves apt as it was.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AptRepository {
    /// Name of the file, without `.sources`.
    pub name: String,
    /// Whether the repository is wanted. With "absent", the `.sources` file of this name and the key are removed.
    #[serde(default)]
    pub state: State,
    /// URIs, such as "https://download.docker.com/linux/debian".
    #[serde(default)]
    pub uris: Vec<String>,
    /// Suites, such as "bookworm"; for a flat repository a path that ends with "/".
    #[serde(default)]
    pub suites: Vec<String>,
    /// Components, such as "main"; none for a flat repository.
    #[serde(default)]
    pub components: Vec<String>,
    /// Architectures, such as "arm64". Default: those of the host.
    #[serde(default)]
    pub architectures: Vec<String>,
    /// Public key of the repository: an ASCII-armoured key, or the absolute path of a key file on the host.
    #[serde(default)]
    pub signed_by: Option<String>,
    /// File with the ASCII-armoured public key, relative to the plan's root.
    #[serde(default)]
    pub key_file: PlainFile,
    /// Whether source packages are included.
    #[serde(default)]
    pub source_packages: bool,
}

impl Spec for AptRepository {
    const NAME: &'static str = "node.apt_repository";
    const SUMMARY: &'static str = "a package repository of apt, with its key";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[Output { name: "path", about: "path of the .sources file" }];
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "archive"
action = "node.apt_repository"
hosts = "pis"
become = true
name = "kubernetes"
uris = ["https://pkgs.k8s.io/core:/stable:/v1.31/deb/"]
suites = ["/"]
signed_by = "/usr/share/keyrings/kubernetes.gpg"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        check_name("name", &self.name)?;
        if self.state == State::Absent {
            let given = !self.uris.is_empty() || !self.suites.is_empty() || self.signed_by.is_some();
            return if given { refuse("state", "with `state = \"absent\"`, give `name` only") } else { Ok(()) };
        }
        let lists = [
            ("uris", &self.uris),
            ("suites", &self.suites),
            ("components", &self.components),
            ("architectures", &self.architectures),
        ];
        for (name, list) in lists {
            if let Some(at) = list.iter().position(|s| s.is_empty() || s.contains(char::is_whitespace)) {
                return refuse(&format!("{name}/{at}"), "it must be one word");
            }
        }
        if let Some(at) = self.uris.iter().position(|uri| !uri.contains(":/")) {
            return refuse(&format!("uris/{at}"), "it must be a URI such as \"https://deb.debian.org/debian\"");
        }
        if self.uris.is_empty() || self.suites.is_empty() {
            let missing = if self.uris.is_empty() { "uris" } else { "suites" };
            return refuse(missing, "give at least one");
        }
        if self.components.is_empty() && self.suites.iter().any(|suite| !suite.ends_with('/')) {
            return refuse(
                "components",
                "give at least one, such as \"main\"; only a flat repository (suite \"/\") has none",
            );
        }
        match (&self.signed_by, self.key_file.path.is_empty()) {
            (Some(_), false) => refuse("key_file", "give either `signed_by` or `key_file`, not both"),
            (None, true) => refuse("signed_by", "give the repository's key, as text or path here or as `key_file`"),
            (Some(path), true) if path.starts_with('/') => check_path("signed_by", path),
            (Some(text), true) if !is_key(text) => refuse("signed_by", NO_KEY),
            (None, false) if !self.key_file.content.is_empty() && !is_key(&self.key_file.content) => {
                refuse("key_file", NO_KEY)
            }
            _ => Ok(()),
        }
    }
}

const NO_KEY: &str =
    "it is neither an ASCII-armoured public key (`gpg --armor --export` prints one) nor an absolute path";

fn is_key(text: &str) -> bool {
    text.trim_start().starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----") && text.contains("-----END PGP")
}

impl AptRepository {
    fn path(&self) -> String {
        format!("/etc/apt/sources.list.d/{}.sources", self.name)
    }

    fn key_path(&self) -> String {
        format!("/etc/apt/keyrings/{}.asc", self.name)
    }

    /// The text of the key file that this step writes; `None` when `signed_by` is a path.
    fn key(&self) -> Option<String> {
        let text = match &self.signed_by {
            Some(path) if path.starts_with('/') => return None,
            Some(text) => text,
            None => &self.key_file.content,
        };
        Some(format!("{}\n", text.trim()))
    }

    fn content(&self) -> String {
        let types = if self.source_packages { "deb deb-src" } else { "deb" };
        let key_path = self.key_path();
        let signed_by = self.signed_by.as_deref().filter(|path| path.starts_with('/')).unwrap_or(&key_path);
        let fields = [
            ("Types", types.to_owned()),
            ("URIs", self.uris.join(" ")),
            ("Suites", self.suites.join(" ")),
            ("Components", self.components.join(" ")),
            ("Architectures", self.architectures.join(" ")),
            ("Signed-By", signed_by.to_owned()),
        ];
        let given = fields.iter().filter(|(_, value)| !value.is_empty());
        given.map(|(name, value)| format!("{name}: {value}\n")).collect()
    }

    fn diff_and_effects(&self, facts: &[Fact]) -> Result<(Diff, Vec<CheckedEffect>), Problem> {
        if self.state == State::Absent {
            return Ok(self.removal(facts));
        }
        let attributes = || Attributes { mode: Some(0o644), ..Attributes::default() };
        let (mut diff, mut effects) = (Diff::default(), Vec::new());
        let mut fetch = false;
        if let Some(key) = self.key() {
            let path = self.key_path();
            let wanted = DesiredFile::text(&path, &key, attributes());
            let key_diff = wanted.diff(file_at(facts, 1))?;
            if !key_diff.is_empty() {
                let folder = Attributes { mode: Some(0o755), ..Attributes::default() };
                effects
                    .push(host::Effect::Directory { path: "/etc/apt/keyrings".to_owned(), attributes: folder }.into());
                effects.push(wanted.effect(file_at(facts, 1)).into());
                diff.0.extend(key_diff.0);
                fetch = true;
            }
        }
        let (path, content, validate) =
            (self.path(), self.content(), try_sources_script("%s", &format!("{}.sources", self.name)));
        let wanted = DesiredFile { validate: Some(&validate), ..DesiredFile::text(&path, &content, attributes()) };
        let list_diff = wanted.diff(file_at(facts, 0))?;
        if !list_diff.is_empty() {
            let effect = wanted.effect(file_at(facts, 0));
            // Writing the file fetches the list already, as part of its validation.
            fetch &= !matches!(effect, host::Effect::WriteFile(_));
            effects.push(effect.into());
            diff.0.extend(list_diff.0);
        }
        if fetch {
            diff.0.push(Delta::Act { what: "fetch the package list".to_owned() });
            effects.push(CheckedEffect::script(
                format!("fetch the package list of {}", self.name),
                try_sources_script(&word(&path), &format!("{}.sources", self.name)),
            ));
        }
        Ok((diff, effects))
    }

    fn removal(&self, facts: &[Fact]) -> (Diff, Vec<CheckedEffect>) {
        let (mut diff, mut effects) = (Diff::default(), Vec::new());
        for (index, path) in [self.path(), self.key_path()].into_iter().enumerate() {
            if let Some(file) = file_at(facts, index) {
                diff.0.push(text_delta(&path, Some(file), None));
                effects.push(host::Effect::Remove { path }.into());
            }
        }
        (diff, effects)
    }
}

impl Action for AptRepository {
    fn probes(&self) -> Vec<Probe> {
        vec![file_probe(&self.path(), Read::Content), file_probe(&self.key_path(), Read::Content)]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        Verdict::judged(self.diff_and_effects(facts).map(|(diff, _)| diff), String::new)
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        next_checked(&self.diff_and_effects(facts)?.1, done)
    }

    fn outputs(&self, _facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        Outputs::from_iter([("path".to_owned(), json!(self.path()))])
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{build, change, effects, file, is_same, refused};
    use super::*;
    use crate::actions::node::content::tests::regular;

    const KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----";

    fn step() -> AptRepository {
        let toml = "name = 'x'\nuris = ['https://a/debian']\nsuites = ['stable']\ncomponents = ['main', 'extra']";
        build(&format!("{toml}\nsigned_by = '''{KEY}'''")).unwrap()
    }

    const LIST: &str = "Types: deb\nURIs: https://a/debian\nSuites: stable\nComponents: main extra\nSigned-By: /etc/apt/keyrings/x.asc\n";

    fn key_file() -> Fact {
        file(Some(regular(&format!("{KEY}\n"), 0o644)))
    }

    #[test]
    fn the_key_comes_first_and_the_list_is_fetched_before_its_file_is_there() {
        let effects = effects(&step(), &[file(None), file(None)]);
        let [host::Effect::Directory { path, .. }, host::Effect::WriteFile(key), host::Effect::WriteFile(list)] =
            &effects[..]
        else {
            panic!("{effects:?}")
        };
        assert_eq!((path.as_str(), key.path.as_str()), ("/etc/apt/keyrings", "/etc/apt/keyrings/x.asc"));
        assert_eq!(list.content.as_slice(), LIST.as_bytes());
        let validate = list.validate.as_deref().unwrap();
        assert_eq!(validate.matches("%s").count(), 1, "{validate}");
        assert!(validate.contains("refresh"));
        assert!(is_same(&step().verdict(&[file(Some(regular(LIST, 0o644))), key_file()])));
    }

    #[test]
    fn a_new_key_is_tried_at_once() {
        let facts = [file(Some(regular(LIST, 0o644))), file(Some(regular("old\n", 0o644)))];
        assert_eq!(change(&step().verdict(&facts)).last().unwrap(), "! fetch the package list");
        assert!(matches!(effects(&step(), &facts).last(), Some(host::Effect::Run(_))));
    }

    #[test]
    fn a_key_on_the_host_is_left_alone() {
        let toml = "name = 'x'\nuris = ['https://a']\nsuites = ['/']\nsigned_by = '/usr/share/keyrings/x.gpg'";
        let step = build::<AptRepository>(toml).unwrap();
        let list = "Types: deb\nURIs: https://a\nSuites: /\nSigned-By: /usr/share/keyrings/x.gpg\n";
        assert!(is_same(&step.verdict(&[file(Some(regular(list, 0o644))), file(None)])));
    }

    #[test]
    fn it_goes_with_its_key() {
        let step = build::<AptRepository>("name = 'x'\nstate = 'absent'").unwrap();
        assert!(is_same(&step.verdict(&[file(None), file(None)])));
        let removed = effects(&step, &[file(Some(regular(LIST, 0o644))), key_file()]);
        let path = |name: &str| host::Effect::Remove { path: format!("/etc/apt/{name}") };
        assert_eq!(removed, [path("sources.list.d/x.sources"), path("keyrings/x.asc")]);
    }

    #[test]
    fn wrong_parameters_are_refused() {
        let good = "name = 'x'\nuris = ['https://a']\nsuites = ['/']\n";
        for (toml, parameter) in [
            ("name = 'x'".to_owned(), "/uris"),
            ("name = 'x'\nuris = ['https://a b']\nsuites = ['/']".into(), "/uris/0"),
            ("name = 'x'\nuris = ['a']\nsuites = ['/']".into(), "/uris/0"),
            ("name = 'x'\nuris = ['https://a']\nsuites = ['stable']".into(), "/components"),
            (good.into(), "/signed_by"),
            (format!("{good}signed_by = 'key'"), "/signed_by"),
            (format!("{good}signed_by = '/x'\nkey_file = 'files/x.asc'"), "/key_file"),
            (format!("{good}state = 'absent'"), "/state"),
        ] {
            assert_eq!(refused::<AptRepository>(&toml), parameter, "{toml}");
        }
    }
}
