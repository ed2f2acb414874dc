//! Digest of a chart on this machine, over all that helm reads of it.
//!
//! Helm's release records do not contain subcharts, so a digest of the whole chart is the only proof that nothing was
//! edited. An archive counts by its contents, since packing it again changes its bytes. `Chart.lock` does not count:
//! helm uses it only to fill `charts/`, which counts.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;

use super::ignore::IgnoreRules;
use crate::connect::kube::manifest::text;
use crate::digest;
use crate::document::yaml::{Repeated, from_str};

/// Largest chart, bytes; the same as helm's limit.
const MAX_CHART_BYTES: u64 = 100 * 1024 * 1024;

/// Maximum depth of folders: deeper ones mean a link to a parent.
const MAX_DEPTH: usize = 64;

/// Contents of files by their path below the chart.
type Files = BTreeMap<String, Vec<u8>>;

/// A chart on this machine, as a folder or an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalChart {
    /// Name in its `Chart.yaml`.
    pub name: String,
    /// Version in its `Chart.yaml`.
    pub version: String,
    /// SHA-256 of all that helm reads of the chart, lower-case hex.
    pub contents: String,
}

impl LocalChart {
    /// Reads a chart's folder or archive.
    ///
    /// # Errors
    /// Why the path is not a chart.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let about = fs::metadata(path).map_err(|e| format!("there is no chart at {shown}: {e}"))?;
        let files = if about.is_dir() {
            let ignored = match fs::read_to_string(path.join(".helmignore")) {
                Ok(text) => IgnoreRules::parse(&text)?,
                Err(_) => IgnoreRules::parse("")?,
            };
            let mut folder = Folder { ignored, files: Files::new(), bytes_left: MAX_CHART_BYTES };
            folder.collect(path, "", 0)?;
            folder.files
        } else if about.is_file() {
            unpack(&fs::read(path).map_err(|e| format!("{shown}: {e}"))?).map_err(|why| format!("{shown}: {why}"))?
        } else {
            return Err(format!("{shown} is neither a folder nor a file"));
        };
        let chart = files.get("Chart.yaml").ok_or_else(|| format!("{shown} has no Chart.yaml"))?;
        let about: Value = from_str(&String::from_utf8_lossy(chart), Repeated::LastWins)
            .map_err(|e| format!("{shown}: Chart.yaml: {e}"))?;
        let own = |pointer: &str| text(&about, pointer).to_owned();
        Ok(Self { name: own("/name"), version: own("/version"), contents: digest_of(&files, 0) })
    }
}

struct Folder {
    ignored: IgnoreRules,
    files: Files,
    bytes_left: u64,
}

impl Folder {
    /// Collects the files of a folder; follows links, as helm does.
    fn collect(&mut self, folder: &Path, below: &str, depth: usize) -> Result<(), String> {
        let failed = |path: &Path, why: String| format!("{}: {why}", path.display());
        if depth > MAX_DEPTH {
            return Err(failed(
                folder,
                "its folders are nested too deeply; is a link pointing to a parent?".to_owned(),
            ));
        }
        for entry in fs::read_dir(folder).map_err(|e| failed(folder, e.to_string()))? {
            let entry = entry.map_err(|e| failed(folder, e.to_string()))?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = format!("{below}{}", name.to_string_lossy());
            let about = fs::metadata(&path).map_err(|e| failed(&path, e.to_string()))?;
            if self.ignored.ignores(&name, about.is_dir()) {
                continue;
            }
            if about.is_dir() {
                self.collect(&path, &format!("{name}/"), depth + 1)?;
                continue;
            }
            if !about.is_file() {
                return Err(failed(&path, "helm does not accept this type of file in a chart".to_owned()));
            }
            self.bytes_left = self.bytes_left.checked_sub(about.len()).ok_or_else(|| failed(&path, too_large()))?;
            self.files.insert(name, fs::read(&path).map_err(|e| failed(&path, e.to_string()))?);
        }
        Ok(())
    }
}

fn too_large() -> String {
    format!("the chart has more than {} MiB", MAX_CHART_BYTES / 1024 / 1024)
}

/// The files of an archive, below its single top folder.
fn unpack(archive: &[u8]) -> Result<Files, String> {
    let mut files = Files::new();
    let mut left = MAX_CHART_BYTES;
    let mut tar = tar::Archive::new(GzDecoder::new(archive).take(MAX_CHART_BYTES * 2));
    let invalid = |e: std::io::Error| format!("it is not a packed chart: {e}");
    for entry in tar.entries().map_err(invalid)? {
        let mut entry = entry.map_err(invalid)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).replace('\\', "/");
        let Some((_, name)) = path.trim_start_matches("./").split_once('/') else { continue };
        left = left.checked_sub(entry.size()).ok_or_else(too_large)?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(invalid)?;
        files.insert(name.to_owned(), bytes);
    }
    Ok(files)
}

fn digest_of(files: &Files, depth: usize) -> String {
    let mut all = String::new();
    for (name, bytes) in files {
        if ["Chart.lock", "requirements.lock"].contains(&name.rsplit('/').next().unwrap_or(name)) {
            continue;
        }
        let packed = name.contains("charts/") && name.ends_with(".tgz") && depth < 8;
        let inner = if packed { unpack(bytes).ok() } else { None };
        let sum = inner.map_or_else(|| digest::sha256(bytes), |files| digest_of(&files, depth + 1));
        // Names are quoted, so that a line break in one cannot look like two files.
        all.push_str(&format!("{sum} {name:?}\n"));
    }
    digest::sha256(all.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::path::PathBuf;

    fn chart(root: &Path) -> PathBuf {
        let app = root.join("app");
        for (name, text) in [
            ("Chart.yaml", "apiVersion: v2\nname: app\nversion: 0.1.0\n"),
            ("values.yaml", "a: 1\n"),
            ("values.schema.json", "{}"),
            (".helmignore", "*.swp\n"),
            ("templates/cm.yaml", "kind: ConfigMap\n"),
            ("files/app.conf", "setting = 1\n"),
            ("crds/c.yaml", "kind: CustomResourceDefinition\n"),
            ("charts/sub/Chart.yaml", "name: sub\nversion: 0.1.0\n"),
            ("charts/sub/values.yaml", "color: red\n"),
            ("charts/sub/templates/cm.yaml", "kind: ConfigMap\n"),
        ] {
            write(&app, name, text.as_bytes());
        }
        app
    }

    fn write(root: &Path, name: &str, bytes: &[u8]) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn contents(path: &Path) -> String {
        LocalChart::read(path).unwrap().contents
    }

    /// Packs files like `helm package`; `time` only changes the archive's bytes.
    fn packed(files: &[(&str, &str)], time: u64) -> Vec<u8> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mtime(time);
            header.set_cksum();
            tar.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn an_edit_of_anything_that_helm_reads_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let app = chart(folder.path());
        for name in [
            "Chart.yaml",
            "values.yaml",
            "values.schema.json",
            "templates/cm.yaml",
            "files/app.conf",
            "crds/c.yaml",
            "charts/sub/values.yaml",
            "charts/sub/templates/cm.yaml",
            "templates/new.yaml",
            "charts/new-0.1.0.tgz",
        ] {
            let before = contents(&app);
            let mut text = fs::read(app.join(name)).unwrap_or_default();
            text.extend_from_slice(b"# edited\n");
            write(&app, name, &text);
            assert_ne!(before, contents(&app), "{name}");
        }
    }

    #[test]
    fn what_helm_leaves_out_is_no_edit() {
        let folder = tempfile::tempdir().unwrap();
        let app = chart(folder.path());
        let before = contents(&app);
        for name in ["a.swp", "templates/.cm.yaml", "Chart.lock"] {
            write(&app, name, b"x");
            assert_eq!(before, contents(&app), "{name}");
        }
    }

    #[test]
    fn links_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let app = chart(folder.path());
        write(folder.path(), "shared/app.conf", b"one");
        std::os::unix::fs::symlink("../../shared", app.join("files/shared")).unwrap();
        let before = contents(&app);
        write(folder.path(), "shared/app.conf", b"two");
        assert_ne!(before, contents(&app));
        std::os::unix::fs::symlink("..", app.join("files/back")).unwrap();
        assert!(LocalChart::read(&app).unwrap_err().contains("link pointing to a parent"));
    }

    #[test]
    fn archives_count_by_what_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app-0.1.0.tgz");
        let files = |text| [("app/Chart.yaml", "name: app\nversion: 0.1.0\n"), ("app/templates/a.yaml", text)];
        let read = |archive: Vec<u8>| {
            fs::write(&path, archive).unwrap();
            LocalChart::read(&path).unwrap()
        };
        let first = read(packed(&files("a"), 1));
        assert_eq!((first.name.as_str(), first.version.as_str()), ("app", "0.1.0"));
        assert_eq!(first, read(packed(&files("a"), 2)));
        assert_ne!(first, read(packed(&files("b"), 1)));

        let app = chart(folder.path());
        let with = |archive: Vec<u8>| {
            write(&app, "charts/dep-0.1.0.tgz", &archive);
            contents(&app)
        };
        let before = with(packed(&files("a"), 1));
        assert_eq!(before, with(packed(&files("a"), 2)));
        assert_ne!(before, with(packed(&files("b"), 1)));
    }

    #[test]
    fn what_is_no_chart_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert!(LocalChart::read(&folder.path().join("none")).unwrap_err().starts_with("there is no chart at"));
        assert!(LocalChart::read(folder.path()).unwrap_err().ends_with("has no Chart.yaml"));
        write(folder.path(), "x.tgz", b"rubbish");
        assert!(LocalChart::read(&folder.path().join("x.tgz")).unwrap_err().contains("it is not a packed chart"));
    }
}
