//! No answer of a host or an API makes an action panic. The test makes up answers from the texts in the actions' own
//! code and tests, and spoils them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Map, Value, json};

use super::{ActionRef, Registry, Verdict};
use crate::connect::{Effect, EffectResult, Fact, Probe, helm, host, http, kube, vault};
use crate::plan::{ActionInfo, Catalog as _};

/// Rounds of made-up answers for each action.
const ROUNDS: usize = 250;

/// Texts that no honest answer contains.
const ODD_TEXTS: &[&str] = &[
    "",
    "é",
    "aaaaaaaaaaa\u{e9}",
    "\0",
    "-1",
    "18446744073709551615",
    "9223372036854775807",
    "-9223372036854775808",
    "340282366920938463463374607431768211455",
    "99999999999999999999999999999999999999999999",
    "1e400",
    "0x7fffffff",
    "08",
    "\u{202e}",
    "🦀",
    "%s",
    "\t",
    " ",
    ":",
    "::::::::",
    "=",
    "\\",
    "'",
    "\"",
    "{{",
    "[",
    "/",
    "//",
    "1E",
    "9999999E",
    "-0.0",
    "NaN",
    "2147483648",
    "4294967296",
    "1970-01-01T00:00:00Z",
    "-009999-01-02T00:00:00Z",
    "\r\n",
    "\n\n",
];

/// The string literals in the code and tests of an action: they show what answers look like.
fn words(name: &str) -> Vec<String> {
    let (group, name) = name.split_once('.').unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/actions").join(group);
    let mut files = Vec::new();
    find(&folder, &mut files);
    let own = |path: &&PathBuf| group != "node" || path.strip_prefix(&folder).unwrap().to_string_lossy().contains(name);
    let text: String = files.iter().filter(own).map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let literal = regex::Regex::new(r#""((?:[^"\\]|\\.){1,400})""#).unwrap();
    let plain = |text: &str| text.replace("\\n", "\n").replace("\\t", "\t").replace("\\0", "\0").replace("\\\"", "\"");
    let words: Vec<String> = literal.captures_iter(&text).map(|found| plain(&found[1])).collect();
    assert!(words.len() > 10, "{group}.{name} has its words: {words:?}");
    words
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => find(&path, files),
            false => files.push(path),
        }
    }
}

struct AnswerGenerator {
    rng: SmallRng,
    words: Vec<String>,
}

impl AnswerGenerator {
    fn one_in(&mut self, count: u32) -> bool {
        self.rng.random_range(0..count) == 0
    }

    fn choose<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.rng.random_range(0..all.len())]
    }

    fn word(&mut self) -> String {
        let word = self.words[self.rng.random_range(0..self.words.len())].clone();
        if self.one_in(4) { self.corrupted(&word) } else { word }
    }

    fn text(&mut self) -> String {
        let (count, between) = (self.rng.random_range(0..4), self.choose(&["\n", "\n", " ", ":", ""]));
        let text = (0..count).map(|_| self.word()).collect::<Vec<_>>().join(between);
        if self.one_in(2) { self.corrupted(&text) } else { text }
    }

    /// The text with one of [`ODD`] in the place of a number, or anywhere.
    fn corrupted(&mut self, text: &str) -> String {
        let odd = self.choose(ODD_TEXTS);
        let chars: Vec<char> = text.chars().collect();
        let at = self.rng.random_range(0..=chars.len());
        let until = self.rng.random_range(at..=chars.len().min(at + 8));
        let (before, behind) = (chars[..at].iter().collect::<String>(), chars[until..].iter().collect::<String>());
        match self.rng.random_range(0..5) {
            0 => before,
            1 => format!("{before}{odd}{behind}"),
            2 => format!("{text}\n{text}"),
            3 => odd.to_owned(),
            _ => {
                let is_digit = |c: char| c.is_ascii_digit();
                let number =
                    text.find(is_digit).map(|at| (at, text[at..].find(|c| !is_digit(c)).unwrap_or(text.len() - at)));
                number.map_or_else(|| odd.into(), |(at, long)| format!("{}{odd}{}", &text[..at], &text[at + long..]))
            }
        }
    }

    fn number(&mut self) -> u64 {
        *self.choose(&[&0, &1, &0o644, &(1 << 31), &(1 << 32), &(1 << 63), &u64::MAX])
    }

    fn json(&mut self, depth: u32) -> Value {
        match self.rng.random_range(0..if depth == 0 { 6 } else { 9 }) {
            0 => Value::Null,
            1 => json!(self.rng.random_range(0..2) == 0),
            2 => json!(self.number()),
            3 => json!(-1),
            4 => json!(self.choose(ODD_TEXTS)),
            5 => json!(self.text()),
            6 => (0..self.rng.random_range(0..3)).map(|_| self.json(depth - 1)).collect(),
            _ => (0..self.rng.random_range(0..4)).map(|_| (self.word(), self.json(depth - 1))).collect(),
        }
    }

    /// An object with values at the paths that the code reads.
    fn object(&mut self) -> Value {
        let mut object = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "a", "namespace": "b" }, "spec": {}, "status": {},
        });
        let paths: Vec<String> = self.words.iter().filter(|word| word.starts_with('/')).cloned().collect();
        for _ in 0..self.rng.random_range(0..8) {
            if paths.is_empty() {
                break;
            }
            let path = paths[self.rng.random_range(0..paths.len())].clone();
            let value = self.json(3);
            put(&mut object, &path, value);
        }
        object
    }

    fn objects(&mut self) -> Vec<Value> {
        (0..self.rng.random_range(0..4)).map(|_| self.object()).collect()
    }

    fn map(&mut self) -> Map<String, Value> {
        (0..self.rng.random_range(0..8)).map(|_| (self.word(), self.json(3))).collect()
    }

    fn command_output(&mut self) -> host::CommandOutput {
        let exit = *self.choose(&[&0, &0, &0, &0, &1, &2, &3, &4, &127, &255, &-1, &i32::MIN]);
        host::CommandOutput::new(exit, &self.text(), &if self.one_in(2) { String::new() } else { self.text() })
    }

    fn file(&mut self) -> Option<host::File> {
        use host::FileKind::{Directory, Link, Other, Regular};
        let kind = match self.rng.random_range(0..6) {
            0 => Directory,
            1 => Link(self.text()),
            2 => Other,
            _ => Regular,
        };
        let content = self.text().into_bytes();
        let content = if self.one_in(4) { [content, vec![0xff, 0xfe]].concat() } else { content };
        let sha256 = match self.rng.random_range(0..3) {
            0 => None,
            1 => Some(self.choose(ODD_TEXTS).to_owned()),
            _ => Some(crate::digest::sha256(&content)),
        };
        let (size, mode) = (self.number(), u32::try_from(self.number()).unwrap_or(u32::MAX));
        let (owner, group) = (self.word(), self.word());
        let (owner_aliases, group_aliases) = (vec![self.word()], vec![self.word()]);
        let content = if self.one_in(4) { None } else { Some(content) };
        let (uid, gid) = (mode, u32::MAX);
        (!self.one_in(5)).then_some(host::File {
            kind,
            mode,
            uid,
            gid,
            owner,
            group,
            owner_aliases,
            group_aliases,
            size,
            sha256,
            content,
        })
    }

    fn system(&mut self) -> host::System {
        let number = self.choose(ODD_TEXTS);
        let text =
            format!("kernel={}\npage_size={number}\nmemory_total={number}\nuptime={number}\n{}", number, self.text());
        host::System::read(&text).unwrap_or_default()
    }

    fn exec_result(&mut self) -> kube::ExecOutcome {
        match self.rng.random_range(0..4) {
            0 => kube::ExecOutcome::NoPod(self.text()),
            1 => kube::ExecOutcome::NotRun(self.text()),
            _ => {
                let host::CommandOutput { exit, stdout, stderr } = self.command_output();
                kube::ExecOutcome::Ended { pod: self.word(), exit, stdout: stdout.text(), stderr: stderr.text() }
            }
        }
    }

    fn rendered(&mut self) -> Result<helm::Rendered, String> {
        if self.one_in(4) {
            return Err(self.text());
        }
        Ok(helm::Rendered { objects: self.objects(), crds: self.objects() })
    }

    fn release(&mut self) -> helm::Release {
        helm::Release {
            revision: self.number(),
            status: self.word(),
            description: self.text(),
            updated: self.one_in(2).then_some(jiff::Timestamp::MIN),
            chart: self.word(),
            chart_version: self.word(),
            app_version: self.word(),
            values: self.json(3),
            manifest: self.text(),
            history: vec![helm::Revision { number: self.number(), status: self.word() }],
        }
    }

    fn answer(&mut self, probe: &Probe) -> Fact {
        match probe {
            Probe::Host(probe) | Probe::Controller(probe) => Fact::Host(match probe {
                host::Probe::File { .. } => host::Fact::File(self.file()),
                host::Probe::Run(_) => host::Fact::Run(self.command_output()),
                host::Probe::Sysctl { .. } => host::Fact::Sysctl(Some(self.text()).filter(|text| !text.is_empty())),
                host::Probe::Module { .. } => {
                    host::Fact::Module(*self.choose(&[&host::Module::Loaded, &host::Module::Absent]))
                }
                host::Probe::System => host::Fact::System(Box::new(self.system())),
                host::Probe::Guard => host::Fact::Guard(None),
            }),
            Probe::Kube(probe) => Fact::Kube(match probe {
                _ if self.one_in(12) => kube::Fact::KindMissing { group: self.word(), kind: self.word() },
                kube::Probe::Get(_) => {
                    let (items, pods, warnings) = (self.objects(), self.objects(), self.objects());
                    kube::Fact::Objects(kube::Objects { items, pods, warnings })
                }
                kube::Probe::Apply { .. } => kube::Fact::Apply(match self.rng.random_range(0..5) {
                    0 => kube::Preview::Refused {
                        why: self.text(),
                        live: self.one_in(2).then(|| self.object()),
                        replaceable: self.one_in(2),
                    },
                    1 => kube::Preview::Busy(self.text()),
                    2 => kube::Preview::NamespaceMissing(self.word()),
                    _ => kube::Preview::Accepted {
                        live: (!self.one_in(3)).then(|| self.object()),
                        result: self.object(),
                        conflicts: Vec::new(),
                    },
                }),
                kube::Probe::Served(_) => kube::Fact::Served(self.one_in(2)),
                kube::Probe::Exec(_) => kube::Fact::Exec(self.exec_result()),
            }),
            Probe::Helm(helm::Probe::Render(_)) => Fact::Helm(helm::Fact::Rendered(self.rendered())),
            Probe::Helm(helm::Probe::Release(_)) => Fact::Helm(helm::Fact::Release(Box::new(helm::State {
                live: (!self.one_in(4)).then(|| self.release()),
                local: None,
                namespace_exists: self.one_in(2),
                rendered: (!self.one_in(4)).then(|| self.rendered()),
                age: Some(i64::MIN).filter(|_| self.one_in(2)),
                missing_kinds: vec![(self.word(), self.word())],
            }))),
            Probe::Vault(vault::Probe::Health) => {
                let state = if self.one_in(2) { vault::State::Active } else { vault::State::Unreachable(self.text()) };
                let node = vault::Node { address: self.word(), state, version: self.word() };
                Fact::Vault(vault::Fact::Health(vec![node; self.rng.random_range(0..3)]))
            }
            Probe::Vault(vault::Probe::Read { .. }) if self.one_in(5) => {
                Fact::Vault(vault::Fact::Absent { why: self.text() })
            }
            Probe::Vault(vault::Probe::Read { .. }) => {
                let at = *self.choose(&[&jiff::Timestamp::MIN, &jiff::Timestamp::UNIX_EPOCH, &jiff::Timestamp::MAX]);
                Fact::Vault(vault::Fact::Found { data: vault::Data(self.map()), at })
            }
            Probe::Http(_) if self.one_in(5) => {
                Fact::Http(http::Fact::NoResponse { kind: http::FailureKind::Other, why: self.text() })
            }
            Probe::Http(_) => Fact::Http(http::Fact::Answer(http::Answer {
                status: u16::try_from(self.number()).unwrap_or(200),
                headers: vec![(self.word(), self.word())],
                body: self.text(),
                elapsed: Duration::MAX,
            })),
        }
    }

    fn effect_result(&mut self, effect: &Effect) -> EffectResult {
        match effect {
            Effect::Host(_) | Effect::Fetch(_) | Effect::Expect(_) => EffectResult::Host(self.command_output()),
            Effect::Kube(kube::Effect::Exec(_)) => EffectResult::Kube(kube::EffectResult::Exec(self.exec_result())),
            Effect::Kube(_) => EffectResult::Kube(kube::EffectResult::Applied(kube::Object(self.object()))),
            Effect::Helm(_) => EffectResult::Helm(helm::EffectResult::Ran { output: self.text() }),
            Effect::Vault(_) => EffectResult::Vault(vault::EffectResult::Written(vault::Data(self.map()))),
        }
    }

    /// Calls the methods of an action with made-up answers, as the engine would.
    fn exercise(&mut self, action: &ActionRef) {
        let facts: Vec<Fact> = action.probes().iter().map(|probe| self.answer(probe)).collect();
        let _answers =
            (action.predicted_diff(&facts), action.provides(&facts), action.outputs(&facts, &[]), action.printed(&[]));
        let Verdict::Change(diff) = action.verdict(&facts) else { return };
        diff.redacted().0.iter().for_each(|delta| drop(delta.lines()));
        let mut done = Vec::new();
        while let (Ok(Some(effect)), 0..8) = (action.next_effect(&facts, &done), done.len()) {
            done.push(self.effect_result(&effect));
        }
        let _answers = (action.changed(&done), action.outputs(&facts, &done), action.printed(&done));
        if let Some(rest) = action.after_disconnect(&facts) {
            let facts: Vec<Fact> = rest.probes().iter().map(|probe| self.answer(probe)).collect();
            let _answers = (rest.verdict(&facts), rest.next_effect(&facts, &[]).is_ok());
            assert_eq!(rest.defect(), None);
        }
    }
}

/// Sets the value at a slash-separated path, creating objects on the way.
fn put(object: &mut Value, path: &str, value: Value) {
    let mut at = object;
    for name in path.split('/').skip(1) {
        if !at.is_object() {
            *at = json!({});
        }
        let Value::Object(map) = at else { return };
        at = map.entry(name.replace("~1", "/")).or_insert(Value::Null);
    }
    *at = value;
}

/// The action of its own example.
fn example(registry: &Registry, kind: &ActionInfo) -> ActionRef {
    let example: toml::Table = toml::from_str(kind.example).unwrap();
    let phase = example["phase"].as_table().unwrap().values().next().unwrap();
    let mut step = phase["step"][0].as_table().unwrap().clone();
    for common in ["id", "action", "hosts", "become", "timeout", "retry", "needs", "notify"] {
        step.remove(common);
    }
    registry.build(kind.name, &serde_json::to_value(step).unwrap()).unwrap_or_else(|e| panic!("{}: {e:?}", kind.name))
}

#[test]
fn no_answer_makes_an_action_panic() {
    let registry = Registry::standard();
    let mut defects = Vec::new();
    for (seed, kind) in (0..).zip(registry.actions()) {
        let mut liar = AnswerGenerator { rng: SmallRng::seed_from_u64(seed), words: words(kind.name) };
        for _ in 0..ROUNDS {
            // A new action for each round: an action that panicked once refuses all further calls.
            let action = example(&registry, kind);
            liar.exercise(&action);
            if let Some(defect) = action.defect() {
                defects.push(format!("{}: {}", kind.name, defect.message));
                break;
            }
        }
    }
    assert_eq!(defects, [""; 0]);
}
