//! Test support: a small catalog of actions, built like the real one.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::document::yaml::{Repeated, from_str};
use crate::plan::{ActionInfo, Catalog, Output, ParamError, PlainFile, Role, RunsOn, TemplateFile, WrittenFile};

/// A host action.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct File {
    /// Where it goes.
    path: String,
    /// What is in it.
    #[serde(default)]
    template: TemplateFile,
    /// What is in it, as it is.
    #[serde(default)]
    source: PlainFile,
    /// Permissions, octal.
    #[serde(default = "mode")]
    mode: String,
    /// Whether it is there.
    #[serde(default)]
    state: State,
    /// Old names.
    #[serde(default)]
    aliases: Vec<String>,
    /// Copies.
    count: Option<u8>,
}

fn mode() -> String {
    "0644".to_owned()
}

#[derive(Debug, Default, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    /// The file exists.
    #[default]
    Present,
    /// The file does not exist.
    Absent,
}

impl File {
    fn rules(&self) -> Result<(), ParamError> {
        let _read = (&self.mode, &self.state, &self.aliases, self.count);
        if !self.template.path.is_empty() && !self.source.path.is_empty() {
            let message = "give either `template` or `source`, not both".to_owned();
            return Err(ParamError { pointer: "/source".into(), message });
        }
        if !self.path.starts_with('/') {
            return Err(ParamError { pointer: "/path".into(), message: "must begin with `/`".to_owned() });
        }
        Ok(())
    }
}

/// A controller action.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Release {
    /// Name of the release.
    release: String,
    /// Values.
    #[serde(default)]
    values: Vec<TemplateFile>,
    /// Single values.
    #[serde(default)]
    set: std::collections::BTreeMap<String, Value>,
    /// Port.
    #[serde(default)]
    port: u16,
}

/// A host action that does the same each time, and writes a file of the project.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fetch {
    /// Where it goes.
    to: WrittenFile,
    /// When it is needed.
    only_if: Option<String>,
}

pub struct Test(Vec<ActionInfo>);

/// `test.file` and `test.fetch` on hosts, `test.release` on the controller.
pub fn catalog() -> Test {
    let file = ActionInfo {
        name: "test.file",
        summary: "writes a file",
        runs_on: RunsOn::Host,
        role: Role::Change,
        is_read_only: |_| false,
        is_revertible: true,
        outputs: &[Output { name: "checksum", about: "SHA-256 of the content" }],
        conditions: &[],
        example: "id = \"a\"\naction = \"test.file\"\nhosts = \"all\"\npath = \"/etc/motd\"\n",
        schema: || schemars::schema_for!(File).to_value(),
        check_text: None,
        validate: |params| parse::<File>(params)?.rules(),
    };
    let release = ActionInfo {
        name: "test.release",
        summary: "installs a release",
        runs_on: RunsOn::Controller,
        role: Role::Change,
        is_read_only: |_| false,
        is_revertible: false,
        outputs: &[Output { name: "revision", about: "count of changes" }],
        conditions: &[],
        example: "id = \"a\"\naction = \"test.release\"\nrelease = \"a\"\n",
        schema: || schemars::schema_for!(Release).to_value(),
        check_text: Some(|param, text| (param == "values").then(|| from_str(text, Repeated::Refuse).err())?),
        validate: |params| parse::<Release>(params).map(|r| drop((r.release, r.values, r.set, r.port))),
    };
    let fetch = ActionInfo {
        name: "test.fetch",
        summary: "fetches a file",
        runs_on: RunsOn::Host,
        role: Role::Change,
        is_read_only: |_| false,
        is_revertible: false,
        outputs: &[],
        conditions: &["only_if"],
        example: "id = \"a\"\naction = \"test.fetch\"\nhosts = \"all\"\nto = \"a\"\nonly_if = \"x\"\n",
        schema: || schemars::schema_for!(Fetch).to_value(),
        check_text: None,
        validate: |params| parse::<Fetch>(params).map(|f| drop((f.to, f.only_if))),
    };
    Test(vec![file, release, fetch])
}

fn parse<T: serde::de::DeserializeOwned>(params: &Value) -> Result<T, ParamError> {
    serde_path_to_error::deserialize(params).map_err(|e| {
        let pointer = e.path().iter().map(|s| format!("/{s}").replace('[', "").replace(']', "")).collect();
        ParamError { pointer, message: e.inner().to_string() }
    })
}

impl Catalog for Test {
    fn action(&self, name: &str) -> Option<&ActionInfo> {
        self.0.iter().find(|k| k.name == name)
    }

    fn actions(&self) -> Vec<&ActionInfo> {
        self.0.iter().collect()
    }
}
