//! The documents tell the truth: paths exist, the README's code is the example's, limits on length and versions hold.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Documents whose paths are checked.
const DOCUMENTS: [&str; 5] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "BENCHMARKS.md"];
/// What a path of the repository starts with.
const ROOTS: [&str; 10] =
    [".ci", "assets", "benches", "docs", "examples", "scripts", "shaders", "src", "tests", "Cargo.toml"];

fn at_root(path: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: impl AsRef<Path>) -> String {
    let path = at_root(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files under a folder of the repository that end in this, with paths from the root.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let mut found = vec![];
    let mut folders = vec![at_root(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry of a folder").path();
            let name = path.strip_prefix(at_root("")).expect("below the root").to_string_lossy().replace('\\', "/");
            match path.is_dir() {
                true => folders.push(path),
                false if name.ends_with(ending) => found.push(name),
                false => {}
            }
        }
    }
    found.sort();
    found
}

/// Text between single backticks, outside of fenced blocks, and what links point to.
fn spans(text: &str) -> Vec<String> {
    let prose: String = text.split("```").step_by(2).collect();
    let code = prose.split('`').skip(1).step_by(2).map(String::from);
    let links = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link.to_string());
    code.chain(links.filter(|link| !link.contains("://") && !link.starts_with('#'))).collect()
}

/// Those spans that name a place in the repository.
fn paths(text: &str) -> Vec<String> {
    let is_path = |span: &String| {
        let plain = span.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
        let first = span.split('/').next().unwrap_or_default();
        plain && (ROOTS.contains(&first) && span.len() > first.len() || span.ends_with(".md"))
    };
    spans(text).into_iter().filter(is_path).collect()
}

fn missing(text: &str) -> Vec<String> {
    paths(text).into_iter().filter(|path| !at_root(path).exists()).collect()
}

#[test]
fn every_path_in_the_documents_exists() {
    for document in DOCUMENTS {
        let text = read(document);
        assert_eq!(missing(&text), [""; 0], "{document} names what is not there");
    }
    assert!(paths(&read("ARCHITECTURE.md")).len() > 20, "paths are recognised");
}

#[test] // the control: this test must be able to fail
fn an_invented_path_is_found_out() {
    let text =
        "`src/gpu/` and `src/gpuu/`, [here](docs/none.png), [there](https://example.org/src/x), `out/x`, `a / b`";
    assert_eq!(missing(text), ["src/gpuu/", "docs/none.png"]);
}

#[test]
fn the_architecture_names_every_folder_in_a_hundred_lines() {
    let text = read("ARCHITECTURE.md");
    assert!(text.lines().count() <= 100, "{} lines", text.lines().count());
    for folder in std::fs::read_dir(at_root("src")).expect("src").filter_map(Result::ok).filter(|e| e.path().is_dir()) {
        let name = format!("`src/{}/`", folder.file_name().to_string_lossy());
        assert!(text.contains(&name), "ARCHITECTURE.md has no line for {name}");
    }
}

/// Fenced Rust blocks of a Markdown text.
fn rust_blocks(text: &str) -> Vec<&str> {
    let blocks = text.split("```rust\n").skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap_or_default().trim()).collect()
}

#[test]
fn the_first_code_of_the_readme_is_hello_langevin() {
    let example = read("examples/hello_langevin.rs");
    let is_header = |line: &&str| line.starts_with("//!") || line.is_empty();
    let code: Vec<_> = example.lines().skip_while(is_header).collect();
    assert_eq!(rust_blocks(&read("README.md"))[0], code.join("\n").trim());
    assert!(example.lines().count() < 60, "{} lines", example.lines().count());
}

#[test]
fn the_other_code_of_the_readme_is_tested_in_the_crates_documentation() {
    let library = read("src/lib.rs");
    let docs: Vec<_> = library.lines().filter_map(|line| line.strip_prefix("//!")).collect();
    let shown = docs.iter().map(|line| line.strip_prefix(' ').unwrap_or(line));
    let shown: Vec<_> = shown.filter(|line| !line.starts_with("# ") || line.starts_with("# ergodic")).collect();
    let (shown, readme) = (shown.join("\n"), read("README.md"));
    let blocks = rust_blocks(&readme);
    assert!(blocks.len() > 1);
    for block in &blocks[1..] {
        assert!(shown.contains(block), "not in src/lib.rs:\n{block}");
    }
}

#[test]
fn the_readme_and_the_crate_make_the_same_promise() {
    let readme = read("README.md");
    let promise = readme.lines().nth(1).expect("a line below the title");
    assert!(!promise.is_empty() && read("src/lib.rs").contains(promise), "src/lib.rs has no line `{promise}`");
}

/// Names of the examples: `examples/NAME.rs`, or `main.rs` in a folder of that name.
fn examples() -> BTreeSet<String> {
    let files = files("examples", ".rs");
    let name = |file: &String| {
        let name = file.strip_prefix("examples/")?.strip_suffix(".rs")?;
        let name = name.strip_suffix("/main").unwrap_or(name);
        (!name.contains('/')).then(|| name.to_string())
    };
    files.iter().filter_map(name).collect()
}

#[test]
fn every_example_and_method_is_in_the_readme_and_the_other_way_round() {
    let readme = read("README.md");
    let examples = examples();
    for name in &examples {
        assert!(readme.contains(name.as_str()), "README.md does not mention the example {name}");
    }
    let name_of = |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let named: BTreeSet<_> = readme.split("--example ").skip(1).map(name_of).collect();
    for name in named {
        assert!(examples.contains(&name), "README.md runs an example {name}");
    }
    let cells = readme.lines().filter_map(|line| line.split('|').nth(3));
    for name in cells.flat_map(spans) {
        assert!(examples.contains(&name), "README.md lists an example {name}");
    }
    for method in spans(&readme).iter().filter_map(|span| span.strip_prefix("methods::")) {
        let (file, folder) = (format!("src/methods/{method}.rs"), format!("src/methods/{method}"));
        assert!(at_root(file).exists() || at_root(folder).exists(), "README.md lists a method {method}");
    }
}

#[test]
fn no_file_is_over_800_lines_and_no_code_in_the_docs_is_ignored() {
    let folders = ["src", "shaders", "examples", "tests"];
    for file in folders.iter().flat_map(|folder| files(folder, ".rs").into_iter().chain(files(folder, ".wgsl"))) {
        let text = read(&file);
        let lines = text.lines().count();
        assert!(lines <= 800, "{file} has {lines} lines: split it");
        if lines > 400 {
            eprintln!("{file} has {lines} lines; 400 is long");
        }
        let ignored = ["```", "ignore"].concat();
        assert!(!text.contains(&ignored), "{file} has code that nothing tests");
    }
}
