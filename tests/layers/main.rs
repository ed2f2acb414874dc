//! Checks that imports point down: modules import only lower ones, in the order of `src/lib.rs`, and files of a module
//! form no import cycle. Every name counts, in `use` lines and in paths; a name that a `mod.rs` re-exports counts as
//! the file that defines it.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rollout::finding::cycles;
use source::File;

/// The files of the crate by module path; the crate root has the empty path.
struct Crate {
    modules: BTreeMap<Vec<String>, (String, File)>,
}

/// Which file imports which other file, and the first line that does.
type Imports = BTreeMap<(String, String), usize>;

impl Crate {
    /// The files that `mod` lines lead to, without those for tests.
    fn read(text: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut modules = BTreeMap::new();
        let mut open = vec![Vec::new()];
        while let Some(module) = open.pop() {
            let stem = ["src"].into_iter().chain(module.iter().map(String::as_str)).collect::<Vec<_>>().join("/");
            let names = [format!("{stem}.rs"), format!("{stem}/mod.rs"), "src/lib.rs".to_owned()];
            let (name, text) = names.into_iter().find_map(|name| Some((name.clone(), text(&name)?))).expect(&stem);
            let file = File::read(&text);
            open.extend(file.children.iter().map(|child| [&module[..], std::slice::from_ref(child)].concat()));
            modules.insert(module, (name, file));
        }
        Self { modules }
    }

    /// The file that defines the item of a path in a module; `None` for other crates, local names and whole modules.
    fn definer(&self, module: &[String], path: &[String]) -> Option<&str> {
        let (name, file) = &self.modules[module];
        let (first, rest) = path.split_first()?;
        let child = [module, std::slice::from_ref(first)].concat();
        match first.as_str() {
            "crate" => self.definer(&[], rest),
            "self" => self.definer(module, rest),
            "super" => self.definer(&module[..module.len() - 1], rest),
            _ => match (file.aliases.get(first), self.modules.contains_key(&child)) {
                // A function may have the same name as its module.
                (Some(target), true) if rest.is_empty() => self.definer(&child, &target[1..]),
                (_, true) => self.definer(&child, rest),
                // As in `use tempfile::tempfile`.
                (Some(target), _) if target[0] != *first => self.definer(module, &[target, rest].concat()),
                _ => Some(name),
            },
        }
    }

    fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        for (module, (name, file)) in &self.modules {
            for (path, line) in &file.named {
                if let Some(definer) = self.definer(module, path).filter(|definer| definer != name) {
                    let first = imports.entry((name.clone(), definer.to_owned())).or_insert(*line);
                    *first = (*line).min(*first);
                }
            }
        }
        imports
    }
}

/// The modules listed in `src/lib.rs`, from the bottom to the top.
fn order(lib: &str) -> Vec<&str> {
    lib.lines().filter_map(|line| line.strip_prefix("//! - [`")?.split('`').next()).collect()
}

/// The module of `src/plan/check/mod.rs` is `plan`, that of `src/event.rs` is `event`.
fn module(file: &str) -> &str {
    file.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default()
}

/// Imports against the order. A module that is not in the order may import nothing, and nothing may import it.
fn upwards(imports: &Imports, order: &[&str]) -> Vec<String> {
    let rank = |file: &str| order.iter().position(|name| *name == module(file));
    let is_up = |from: &str, to: &str| module(from) != module(to) && (rank(to).is_none() || rank(from) < rank(to));
    let up = imports.iter().filter(|((from, to), _)| is_up(from, to));
    up.map(|((from, to), line)| format!("{from}:{line} imports {to}, which src/lib.rs does not list below it"))
        .collect()
}

/// Import cycles between files of one module.
fn circles(imports: &Imports) -> Vec<String> {
    let files: BTreeSet<&String> = imports.keys().flat_map(|(from, to)| [from, to]).collect();
    let files: Vec<&String> = files.into_iter().collect();
    let mut edges = vec![Vec::new(); files.len()];
    for (from, to) in imports.keys().filter(|(from, to)| module(from) == module(to)) {
        let place = |file| files.iter().position(|other| *other == file).expect("a file of an import");
        edges[place(from)].push(place(to));
    }
    let line = |from: usize, to: usize| imports.get(&(files[from].clone(), files[to].clone()));
    let told = |way: Vec<usize>| {
        let imports = way.windows(2).filter_map(|pair| {
            Some(format!("\n  {}:{} imports {}", files[pair[0]], line(pair[0], pair[1])?, files[pair[1]]))
        });
        format!("a circle:{}", imports.collect::<String>())
    };
    cycles(&edges).into_iter().map(told).collect()
}

#[test]
fn imports_point_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = |name: &str| std::fs::read_to_string(root.join(name)).ok();
    let imports = Crate::read(&text).imports();
    let mut wrong = upwards(&imports, &order(&text("src/lib.rs").expect("src/lib.rs")));
    wrong.extend(circles(&imports));
    assert!(imports.len() > 1000 && wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The imports of a crate with these files.
fn of(files: &[(&str, &str)]) -> Imports {
    Crate::read(&|name| files.iter().find(|(file, _)| *file == name).map(|(_, text)| (*text).to_owned())).imports()
}

#[test]
fn a_name_is_followed_to_the_file_that_defines_it() {
    let imports = of(&[
        ("src/lib.rs", "pub mod a; pub mod b;"),
        ("src/a/mod.rs", "mod path; mod y; pub use path::path; pub use y::Two as Zwei; pub struct Three;"),
        ("src/a/path.rs", "pub fn path() {}"),
        ("src/a/y.rs", "pub struct Two; fn f(_: super::Three) {}"),
        ("src/b.rs", "use tempfile::tempfile;\nuse crate::a;\nuse a::path;\nfn f() { tempfile(); path(a::Zwei) }"),
    ]);
    let found: Vec<String> = imports.iter().map(|((from, to), line)| format!("{from}:{line} {to}")).collect();
    assert_eq!(found, ["src/a/y.rs:1 src/a/mod.rs", "src/b.rs:3 src/a/path.rs", "src/b.rs:4 src/a/y.rs"]);
}

#[test]
fn imports_upwards_and_circles_are_told_with_their_lines() {
    let lib = "//! - [`low`] — x\n//! - [`high`] — y\npub mod low; pub mod high; pub mod new;";
    let imports = of(&[
        ("src/lib.rs", lib),
        ("src/low.rs", "\nuse crate::high::a::A;"),
        ("src/high/mod.rs", "mod a; mod b; use crate::new::N;"),
        ("src/high/a.rs", "use super::b::B;\npub struct A(crate::low::L);"),
        ("src/high/b.rs", "\n\npub struct B(super::a::A);"),
        ("src/new.rs", "pub struct N;"),
    ]);
    let up = ["src/high/mod.rs:1 imports src/new.rs", "src/low.rs:2 imports src/high/a.rs"];
    assert_eq!(
        upwards(&imports, &order(lib)),
        up.map(|what| format!("{what}, which src/lib.rs does not list below it"))
    );
    let circle = "a circle:\n  src/high/a.rs:1 imports src/high/b.rs\n  src/high/b.rs:3 imports src/high/a.rs";
    assert_eq!(circles(&imports), [circle]);
}
