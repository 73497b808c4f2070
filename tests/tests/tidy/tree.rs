//! The repository as its tests see it: files, and packages as cargo knows them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Folders that hold nothing of the source.
const SKIPPED: [&str; 2] = ["target", "build"];

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("this package is a folder of the workspace")
}

/// Reads a file of the repository.
pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file that ends in `.extension`, relative to the root, in order.
pub(crate) fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder can be listed") {
            let path = entry.expect("a folder can be listed").path();
            let name = path.file_name().unwrap_or_default();
            let name = name.to_str().expect("names are UTF-8");
            if path.is_dir() && !name.starts_with('.') && !SKIPPED.contains(&name) {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(relative(&path));
            }
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> PathBuf {
    let inside = path.strip_prefix(root());
    inside
        .expect("files of the workspace are below its root")
        .to_owned()
}

/// A package of the workspace.
pub(crate) struct Package {
    pub(crate) name: String,
    /// What it is built from, its development dependencies not included.
    pub(crate) imports: Vec<String>,
    pub(crate) targets: Vec<Target>,
}

/// A library, program, test or example.
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: String,
    /// Its root file, relative to the workspace.
    pub(crate) source: PathBuf,
}

/// Every package of the workspace.
pub(crate) fn packages() -> Vec<Package> {
    let cargo = std::env::var_os("CARGO").expect("cargo runs the tests");
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root())
        .output()
        .expect("cargo can be run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {errors}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    each(&metadata["packages"], package)
}

fn package(package: &Value) -> Package {
    let dependencies = each(&package["dependencies"], |dependency| {
        let built_from = dependency["kind"] != "dev";
        built_from.then(|| text(&dependency["name"]))
    });
    Package {
        name: text(&package["name"]),
        imports: dependencies.into_iter().flatten().collect(),
        targets: each(&package["targets"], |target| Target {
            name: text(&target["name"]),
            kind: text(&target["kind"][0]),
            source: relative(Path::new(&text(&target["src_path"]))),
        }),
    }
}

fn each<T>(list: &Value, read: impl FnMut(&Value) -> T) -> Vec<T> {
    list.as_array().expect("a list").iter().map(read).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
