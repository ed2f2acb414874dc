use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use ::age::armor::{ArmoredWriter, Format};
use ::age::secrecy::ExposeSecret as _;
use ::age::x25519::Identity;

use super::*;
use crate::finding::{Source, Style};
use crate::inventory::read_secrets;

fn entries(folder: &Path, text: &str) -> Vec<SecretEntry> {
    let source = Source { path: "plan.toml".into(), text: format!("[secrets]\n{text}") };
    let (mut reader, mut table) = crate::document::Reader::new(source).unwrap();
    let entries = read_secrets(&mut reader, &mut table, folder);
    assert!(reader.findings.is_empty(), "{:?}", reader.findings);
    entries
}

async fn read_all(folder: &Path, text: &str) -> Result<(BTreeMap<String, String>, String), String> {
    let entries = entries(folder, text);
    let shown = |findings: Findings| {
        let style = Style { color: false, unicode: true, width: 400 };
        findings.text(style).replace(&folder.display().to_string(), "FOLDER")
    };
    let read = read(&entries.iter().collect::<Vec<_>>(), &Inventory::default()).await;
    let exposed = |values: BTreeMap<String, Secret>| {
        values.into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect()
    };
    read.map(|(values, warnings)| (exposed(values), shown(warnings))).map_err(|unread| shown(unread.findings))
}

fn write(path: &Path, mode: u32, content: &[u8]) {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).unwrap();
    file.write_all(content).unwrap();
}

#[tokio::test]
async fn a_file_loses_one_line_break_and_an_open_mode_is_told() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a"), 0o600, b" two\nlines\n\n");
    write(&folder.path().join("b"), 0o640, b"of-windows\r\n");
    let (values, warnings) = read_all(folder.path(), "a.file = 'a'\nb.file = 'b'").await.unwrap();
    assert_eq!(values["a"], " two\nlines\n");
    assert_eq!(values["b"], "of-windows");
    insta::assert_snapshot!(warnings, @r#"
     ⚠ FOLDER/b has mode 0640, so others on this machine may read it
      ╭─[plan.toml:3:3]
    2 │ a.file = 'a'
    3 │ b.file = 'b'
      ·   ────
      ╰────
     help: chmod 600 FOLDER/b
    "#);
}

#[tokio::test]
async fn age_files_are_read_binary_and_armored() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let key = Identity::generate();
    write(&path("key"), 0o600, format!("# a comment\n{}\n", key.to_string().expose_secret()).as_bytes());
    write(&path("other"), 0o600, Identity::generate().to_string().expose_secret().as_bytes());
    write(&path("no-key"), 0o600, b"AGE-SECRET-KEY-NONE");
    let encrypted = ::age::encrypt(&key.to_public(), b"value-in-age\n").unwrap();
    write(&path("binary.age"), 0o600, &encrypted);
    let mut armored = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor).unwrap();
    armored.write_all(&encrypted).unwrap();
    write(&path("armored.age"), 0o600, &armored.finish().unwrap());

    let good = "a = { age = 'binary.age', identity = 'key' }\nb = { age = 'armored.age', identity = 'key' }";
    let (values, warnings) = read_all(folder.path(), good).await.unwrap();
    assert_eq!((values["a"].as_str(), values["b"].as_str(), warnings.as_str()), ("value-in-age", "value-in-age", ""));

    let bad = "a = { age = 'binary.age', identity = 'other' }\nb = { age = 'key', identity = 'key' }\n\
               c = { age = 'binary.age', identity = 'no-key' }";
    insta::assert_snapshot!(read_all(folder.path(), bad).await.unwrap_err(), @r#"
     × secret `a`: FOLDER/binary.age cannot be decrypted with FOLDER/other: No matching keys found
      ╭─[plan.toml:2:7]
    1 │ [secrets]
    2 │ a = { age = 'binary.age', identity = 'other' }
      ·       ───
    3 │ b = { age = 'key', identity = 'key' }
      ╰────
     help: check with `age -d -i FOLDER/other FOLDER/binary.age`

     × secret `b`: FOLDER/key cannot be decrypted with FOLDER/key: Header is invalid
      ╭─[plan.toml:3:7]
    2 │ a = { age = 'binary.age', identity = 'other' }
    3 │ b = { age = 'key', identity = 'key' }
      ·       ───
    4 │ c = { age = 'binary.age', identity = 'no-key' }
      ╰────
     help: check with `age -d -i FOLDER/key FOLDER/key`

     × secret `c`: FOLDER/no-key is not a file of age keys
      ╭─[plan.toml:4:7]
    3 │ b = { age = 'key', identity = 'key' }
    4 │ c = { age = 'binary.age', identity = 'no-key' }
      ·       ───
      ╰────
     help: `age-keygen -o FILE` creates one; keys begin with AGE-SECRET-KEY-
    "#);
}

#[tokio::test]
async fn all_that_cannot_be_read_is_told_at_once_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("empty"), 0o600, b"\n");
    write(&folder.path().join("short"), 0o600, b"abc");
    write(&folder.path().join("binary"), 0o600, b"\xff\xfe");
    let text = "a.env = 'ROLLOUT_NO_SUCH_SECRET'\nb.file = 'gone'\nc.file = 'empty'\nd.file = 'binary'\n\
                e = { age = 'binary' }\nf.file = 'short'";
    insta::assert_snapshot!(read_all(folder.path(), text).await.unwrap_err(), @r#"
     × secret `a`: $ROLLOUT_NO_SUCH_SECRET is not set
      ╭─[plan.toml:2:3]
    1 │ [secrets]
    2 │ a.env = 'ROLLOUT_NO_SUCH_SECRET'
      ·   ───
    3 │ b.file = 'gone'
      ╰────
     help: export ROLLOUT_NO_SUCH_SECRET in the shell that runs rollout, or name another source

     × secret `b`: cannot read FOLDER/gone: No such file or directory (os error 2)
      ╭─[plan.toml:3:3]
    2 │ a.env = 'ROLLOUT_NO_SUCH_SECRET'
    3 │ b.file = 'gone'
      ·   ────
    4 │ c.file = 'empty'
      ╰────
     help: write the value into that file, with mode 0600

     × secret `c`: FOLDER/empty is empty
      ╭─[plan.toml:4:3]
    3 │ b.file = 'gone'
    4 │ c.file = 'empty'
      ·   ────
    5 │ d.file = 'binary'
      ╰────
     help: write the value into it

     × secret `d`: FOLDER/binary is not UTF-8 text
      ╭─[plan.toml:5:3]
    4 │ c.file = 'empty'
    5 │ d.file = 'binary'
      ·   ────
    6 │ e = { age = 'binary' }
      ╰────
     help: keep it in base64, and use `| b64decode`

     × secret `e`: there is no age key to decrypt FOLDER/binary with
      ╭─[plan.toml:6:7]
    5 │ d.file = 'binary'
    6 │ e = { age = 'binary' }
      ·       ───
    7 │ f.file = 'short'
      ╰────
     help: add `identity = "PATH"` to the secret, or set ROLLOUT_AGE_IDENTITY

     ⚠ secret `f` has less than 6 bytes, so it is not masked where it shows up
      ╭─[plan.toml:7:3]
    6 │ e = { age = 'binary' }
    7 │ f.file = 'short'
      ·   ────
      ╰────
     help: use a longer one, or mark the steps that may show it with `sensitive = true`
    "#);
}

#[tokio::test]
async fn a_missing_sops_is_told_as_such() {
    let refused = sops::decrypt("/no/such/sops", Path::new("all.enc.yaml"), READ_TIMEOUT).await;
    let Err(refusal) = refused else { panic!("it ran") };
    assert_eq!(refusal.message, "there is no program `sops` to decrypt all.enc.yaml with");
    assert!(refusal.hint.contains("install sops"), "{}", refusal.hint);
}

/// A fake sops prints what the real one never prints on request.
#[tokio::test]
async fn what_sops_prints_is_never_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("sops");
    write(&program, 0o700, b"#!/bin/sh\necho plain-text-of-a-file\n");
    let program = program.display().to_string();
    let Err(refusal) = sops::decrypt(&program, Path::new("x"), READ_TIMEOUT).await else { panic!("no JSON") };
    assert_eq!(refusal.message, "sops printed no JSON for x");
}

#[test]
fn values_of_a_document_become_text() {
    let expose =
        |value: Value| scalar(&value, &"x", "k").map(|secret| secret.expose().to_owned()).map_err(|e| e.message);
    assert_eq!(expose(serde_json::json!(123_456)), Ok("123456".into()));
    assert_eq!(expose(serde_json::json!("")), Err("`k` of x is empty".into()));
    assert_eq!(expose(serde_json::json!([])), Err("`k` of x is not text".into()));
}
