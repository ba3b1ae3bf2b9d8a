//! What the crate is built from: versions, sources and licences, as `deny.toml` wants them. Needs no network once everything is
//! downloaded, and looks at no advisories (`make deny` does).

/// `(name, version, source)` of every package.
fn locked() -> Vec<(String, String, Option<String>)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");
    let text = std::fs::read_to_string(path).expect("Cargo.lock is under version control");
    let field = |part: &str, name: &str| {
        let line = part.lines().find_map(|line| line.strip_prefix(&format!("{name} = \"")))?;
        Some(line.trim_end_matches('"').to_string())
    };
    let package = |part: &str| Some((field(part, "name")?, field(part, "version")?, field(part, "source")));
    text.split("[[package]]").skip(1).filter_map(package).collect()
}

#[test]
fn one_wgpu_and_one_naga_so_that_tensors_fit_into_every_example() {
    for (name, major) in [("wgpu", "30."), ("naga", "30."), ("wgpu-core", "30."), ("wgpu-hal", "30.")] {
        let found: Vec<_> = locked().into_iter().filter(|package| package.0 == name).map(|package| package.1).collect();
        assert!(found.len() == 1 && found[0].starts_with(major), "{name}: {found:?}");
    }
}

#[test]
fn every_dependency_comes_from_the_registry() {
    let all = locked();
    assert!(all.len() > 100, "the lock file was read");
    for (name, version, source) in all {
        let from_registry = source.as_ref().is_some_and(|source| source.starts_with("registry+"));
        assert!(from_registry || (name == "ergodic" && source.is_none()), "{name} {version} comes from {source:?}");
    }
}

/// What cargo says of every package that any feature needs.
#[cfg(feature = "report")] // for its JSON reader
fn packages(features: &[&str]) -> Vec<serde_json::Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(cargo);
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    command.args(["metadata", "--format-version", "1", "--locked", "--manifest-path", manifest]).args(features);
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages").clone();
    assert!(packages.len() > 50, "{} packages", packages.len());
    packages
}

/// `1.88` or `1.87.0` as numbers.
#[cfg(feature = "report")]
fn version(text: &str) -> Vec<u64> {
    let mut numbers: Vec<_> = text.split('.').map(|part| part.parse().expect("a version")).collect();
    numbers.resize(3, 0);
    numbers
}

#[test]
#[cfg(feature = "report")]
fn no_dependency_needs_a_newer_rust_than_we_promise() {
    let promised = version(env!("CARGO_PKG_RUST_VERSION"));
    for package in packages(&[]) {
        let Some(needed) = package["rust_version"].as_str() else { continue };
        assert!(version(needed) <= promised, "{} {} needs Rust {needed}", package["name"], package["version"]);
    }
}

/// Whether an expression of licences can be met with these: each part of `AND` by one of its `OR`.
#[cfg(feature = "report")]
fn met(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], "");
    let one = |name: &str| {
        let name = name.trim().trim_end_matches("WITH LLVM-exception").trim();
        allowed.iter().any(|allowed| allowed == name)
    };
    expression.split(" AND ").all(|part| part.split(" OR ").any(one))
}

#[test]
#[cfg(feature = "report")]
fn every_licence_is_one_that_deny_toml_allows() {
    let text = include_str!("../deny.toml");
    let list = text.split("allow = [").nth(1).and_then(|rest| rest.split(']').next()).expect("a list");
    let allowed: Vec<_> = list.split(',').map(|name| name.trim().trim_matches('"').to_string()).collect();
    assert!(met("(MIT OR GPL-3.0) AND Zlib", &allowed), "one of two is enough");
    assert!(!met("MIT AND GPL-3.0", &allowed) && !met("LGPL-2.1-or-later", &allowed), "both of two are needed");
    for package in packages(&["--all-features"]) {
        let licence = package["license"].as_str().unwrap_or("no licence");
        assert!(met(licence, &allowed), "{} {}: {licence}", package["name"], package["version"]);
    }
}
