//! What the crate is built from, by its lock file: needs no network, and looks at no advisories.

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
