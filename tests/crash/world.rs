//! Everything that the plan works on, and snapshots of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::run::within;
use crate::sandbox::Sandbox;

/// A project folder with its own journals, and a sandbox for everything that is not a file.
pub struct World {
    dir: tempfile::TempDir,
    pub sandbox: Option<Sandbox>,
    /// Address of the server that the plan asks.
    pub url: String,
}

/// Everything that a run leaves behind, by name.
pub type Listing = BTreeMap<String, String>;

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("world")).unwrap();
        fs::create_dir_all(dir.path().join("state")).unwrap();
        let sandbox = Sandbox::new(&dir.path().join("kernel"));
        give(&dir.path().join("given"));
        Self { dir, sandbox, url: serve() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("world").join(name)
    }

    /// Creates what the plan needs: an archive and a repository.
    pub fn given(&self) -> PathBuf {
        self.dir.path().join("given")
    }

    /// The folder of the journals.
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Changes the state so that each step of the round has something to do.
    pub fn ready(&self, round: u32) {
        fs::write(self.path("doomed"), "x").unwrap();
        fs::write(self.path("todo"), "x").unwrap();
        fs::create_dir_all(self.path("doomed.d/deep")).unwrap();
        if !self.path("boot").exists() {
            fs::create_dir(self.path("boot")).unwrap();
            fs::write(self.path("boot/cmdline.txt"), "root=x\n").unwrap();
            fs::write(self.path("boot/config.txt"), "[all]\n").unwrap();
            fs::write(self.path("hosts"), "127.0.0.1 localhost\n").unwrap();
        }
        let module = self.dir.path().join(format!("kernel/loaded/crash_{round}"));
        fs::create_dir_all(&module).unwrap();
        fs::write(module.join("initstate"), "live\n").unwrap();
    }

    /// Creates named pipes with which a command reports its position and waits for the test.
    pub fn pipes(&self, names: &[&str]) {
        let paths = names.iter().map(|name| self.path(name));
        assert!(std::process::Command::new("mkfifo").args(paths).status().unwrap().success());
    }

    pub fn hear(&self, pipe: &str) {
        let path = self.path(pipe);
        within(&format!("nobody wrote into {pipe}"), move || fs::read(path).unwrap());
    }

    /// Writes to a pipe, waiting until a command reads it.
    pub fn say(&self, pipe: &str) {
        let path = self.path(pipe);
        within(&format!("nobody read {pipe}"), move || {
            fs::OpenOptions::new().write(true).open(path).unwrap().write_all(b"\n").unwrap();
        });
    }

    /// How often each command ran, by `ID ROUND`, as recorded by the commands themselves.
    pub fn executions(&self) -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        for line in fs::read_to_string(self.path("log")).unwrap_or_default().lines() {
            *all.entry(line.to_owned()).or_default() += 1;
        }
        all
    }

    /// Everything except how often commands ran.
    pub fn listing(&self) -> Listing {
        let mut all = Listing::new();
        list(&self.dir.path().join("world"), "", &mut all);
        list(&self.dir.path().join("kernel"), "kernel", &mut all);
        all.remove("/log");
        if let Some(sandbox) = &self.sandbox {
            all.insert("kernel.domainname".into(), sandbox.sh("cat /proc/sys/kernel/domainname"));
        }
        all
    }

    /// The journal files, oldest first.
    pub fn journals(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.state()).unwrap().flatten().map(|e| e.path()).filter(|p| p.is_dir());
        let files = folders.flat_map(|f| fs::read_dir(f).unwrap().flatten().map(|e| e.path()));
        let mut all: Vec<PathBuf> = files.filter(|p| p.extension().is_some_and(|e| e == "jsonl")).collect();
        all.sort();
        all
    }

    /// Copies everything to another folder.
    pub fn save(&self, to: &Path) {
        copy(self.dir.path(), to);
    }

    /// Restores the saved copy.
    pub fn restore(&self, from: &Path) {
        empty(self.dir.path());
        copy(from, self.dir.path());
    }
}

/// Makes `to` equal to `from`. Existing folders are kept, since a sandbox may have mounted them elsewhere.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&source, &target);
            fs::set_permissions(&target, entry.metadata().unwrap().permissions()).unwrap();
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source).unwrap(), &target).unwrap();
        } else {
            fs::copy(&source, &target).unwrap();
        }
    }
}

/// Removes everything except the two top levels of folders.
fn empty(folder: &Path) {
    for top in fs::read_dir(folder).unwrap().flatten() {
        for entry in fs::read_dir(top.path()).unwrap().flatten() {
            let path = entry.path();
            if top.file_name() == "kernel" {
                for below in fs::read_dir(&path).unwrap().flatten() {
                    remove(&below.path());
                }
            } else {
                remove(&path);
            }
        }
    }
}

fn remove(path: &Path) {
    let is_folder = fs::symlink_metadata(path).unwrap().is_dir();
    let removed = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

fn list(folder: &Path, name: &str, all: &mut Listing) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), format!("{name}/{}", entry.file_name().to_string_lossy()));
        // Git records times in these files.
        if name.ends_with("/.git") {
            continue;
        }
        let meta = fs::symlink_metadata(&path).unwrap();
        let what = if meta.is_symlink() {
            format!("→ {}", fs::read_link(&path).unwrap().display())
        } else if meta.is_dir() {
            list(&path, &name, all);
            "folder".to_owned()
        } else {
            String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()
        };
        let mode = meta.permissions().mode();
        all.insert(name, format!("{mode:o} {}:{} {what}", meta.uid(), meta.gid()));
    }
}

fn give(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let script = "set -e
        mkdir leaves && echo leaf >leaves/leaf && tar --mtime=@0 -cf archive.tar leaves
        git init --quiet --initial-branch main repo && cp -r leaves repo/ && cd repo && git add .
        git -c user.name=x -c user.email=x@example.org commit --quiet --message one";
    let made = std::process::Command::new("sh").args(["-c", script]).current_dir(folder).status();
    assert!(made.is_ok_and(|status| status.success()), "these tests need git and tar");
}

/// A server on this machine that answers every request, until the tests end.
fn serve() -> String {
    use std::io::BufRead as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let request = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
            request.map_while(Result::ok).find(String::is_empty);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nhere");
        }
    });
    url
}
