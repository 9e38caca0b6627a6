//! The rules of the house that a compiler does not see.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust source file, with its text.
fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for top in ["benches", "crates", "fuzz", "tests"] {
        collect(&root().join(top), &mut files);
    }
    assert!(files.len() > 50, "the walk finds too little to mean anything");
    files.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn crates() -> BTreeSet<String> {
    let dirs = fs::read_dir(root().join("crates")).unwrap();
    dirs.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_top_level_holds_what_it_may_and_nothing_else() {
    let may = [
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "SECURITY.md",
        "benches",
        "crates",
        "deploy",
        "fuzz",
        "tests",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = may.contains(&name.as_str()) || name.starts_with('.') || name == "target";
        assert!(known, "{name} is not one of {may:?}");
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in sources() {
        let opens = text.starts_with("//!") || text.starts_with("#![doc = include_str!");
        assert!(opens, "{} does not open with //!", path.display());
        assert!(
            text.is_ascii()
                || path.components().any(|part| part.as_os_str() == "tests")
                || text.contains("#[cfg(test)]"),
            "{} is not ASCII",
            path.display()
        );
    }
}

/// Each look at a plaintext says why, on the line above it or on its own.
#[test]
fn every_exposure_is_explained() {
    let mut looks = 0;
    for (path, text) in sources() {
        let lines: Vec<_> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !code.contains(".expose()") || path.ends_with("tidy.rs") {
                continue;
            }
            looks += 1;
            let above = &lines[number.saturating_sub(4)..=number];
            let explained = above.iter().any(|line| line.contains("// EXPOSE:"));
            assert!(explained, "{}:{}: expose() without EXPOSE:", path.display(), number + 1);
        }
    }
    assert!(looks > 10, "the search finds too little to mean anything");
}

#[test]
fn directories_packages_and_the_architecture_agree() {
    let (manifest, architecture) = (read("Cargo.toml"), read("ARCHITECTURE.md"));
    for name in crates() {
        assert!(manifest.contains(&format!("\"crates/{name}\", ")), "{name} has no comment");
        assert!(architecture.contains(&format!("`{name}`")), "{name} is not in ARCHITECTURE.md");
        let own = read(format!("crates/{name}/Cargo.toml"));
        assert!(own.contains(&format!("name = \"{name}\"")), "{name} has another package name");
        assert!(own.contains("[lints]\nworkspace = true"), "{name} is not linted");
    }
}

/// A document that names a test as its proof names one that exists.
#[test]
fn every_test_that_a_document_names_exists() {
    let all: String = sources().into_iter().map(|(_, text)| text).collect();
    let mut named = 0;
    for document in [
        "ARCHITECTURE.md",
        "SECURITY.md",
        "crates/audit/AUDIT.md",
        "crates/crypto/FORMAT.md",
        "crates/store/STORE.md",
        "crates/surfaces/APOLO.md",
        "crates/surfaces/BLUEPRINTS.md",
        "crates/surfaces/CHARIOT.md",
        "crates/surfaces/DIGITALHUB.md",
    ] {
        for word in read(document).split('`').skip(1).step_by(2) {
            let Some(test) = word.strip_prefix("test:") else { continue };
            named += 1;
            let is_there =
                all.contains(&format!("fn {test}(")) || all.contains(&format!("mod {test};"));
            assert!(is_there, "{document} names the test {test}, which does not exist");
        }
    }
    assert!(named > 20, "the documents name too few tests to mean anything");
}

/// The pure crates have no clock, no disk and no network: their own clippy settings say so.
#[test]
fn the_pure_crates_stay_pure() {
    for name in ["api", "authz", "crypto", "domain"] {
        let settings = read(format!("crates/{name}/.clippy.toml"));
        assert!(settings.contains("std::time::SystemTime::now"), "{name}");
        assert!(settings.contains("std::fs::File"), "{name}");
        let manifest = read(format!("crates/{name}/Cargo.toml"));
        for io in ["tokio", "rustix", "hyper", "sled"] {
            assert!(!manifest.contains(&format!("\n{io}")), "{name} depends on {io}");
        }
    }
}

/// What the layers rest on: the check of dependencies knows every door.
#[test]
fn every_door_has_its_room() {
    let deny = read(".deny.toml");
    for (door, room) in [
        ("aes-gcm", "[\"crypto\"]"),
        ("argon2", "[\"crypto\"]"),
        ("sled", "[\"benches\", \"store\"]"),
        ("kube", "[\"sync\"]"),
        ("axum", "[\"server\", \"utoipa-swagger-ui\"]"),
        ("store", "[\"benches\", \"tresor\", \"vault\"]"),
        ("crypto", "[\"benches\", \"tresor\", \"vault\"]"),
        ("vault", "[\"server\", \"surfaces\", \"tresor\"]"),
    ] {
        let rule = format!("{{ crate = \"{door}\", wrappers = {room} }}");
        assert!(deny.contains(&rule), "{rule} is not in .deny.toml");
    }
}

/// The README shows what the demonstration prints, step by step.
#[test]
fn the_readme_shows_the_demonstrations_steps() {
    let readme = read("README.md");
    let steps = "Cluster Start Store Rest Project Tamper History Delete Rotate";
    for name in steps.split(' ').chain(["Clean up"]) {
        assert!(readme.contains(&format!("\n{name:<11}")), "README.md does not show {name}");
    }
}

fn results(name: &str) -> serde_json::Value {
    serde_json::from_str(&read(format!("benches/results/{name}.json"))).unwrap()
}

/// Figures are measured, not remembered.
#[test]
fn the_readme_shows_the_measured_figures() {
    let readme = read("README.md");
    let measured = results("measure");
    let figures = measured.as_object().unwrap().values().filter(|figure| figure.is_u64());
    let rotation = results("rotate");
    let rotations = rotation["stores"].as_array().unwrap().iter();
    let rotations = rotations
        .flat_map(|store| [&store["slowest_beside_reads_ms"], &store["median_lost_percent"]]);
    let mut shown = 0;
    for figure in figures.chain(rotations) {
        shown += 1;
        assert!(readme.contains(&format!("\n| {figure} | ")), "README.md does not show {figure}");
    }
    assert!(shown >= 13);
}

/// What was set out for large stores and many watchers is shown with what came of it.
#[test]
fn the_readme_shows_what_size_costs() {
    let readme = read("README.md");
    let (scale, watch, projection) =
        (results("scale"), results("watch-scale"), results("projection"));
    let targets = scale["targets"].as_array().unwrap();
    assert!(targets.len() > 5, "there are too few targets to mean anything");
    for target in targets {
        let missed = if target["met"] == false { ": **missed**" } else { "" };
        let what = target["what"].as_str().unwrap();
        let line = format!("\n| {} | {} | {what}{missed} |\n", target["figure"], target["at_most"]);
        assert!(readme.contains(&line), "README.md does not show{line}");
    }
    let within_100_ms = |figure: &serde_json::Value| {
        let missed = figure.as_f64().unwrap() > 100.0;
        let shown = readme.lines().find(|line| line.starts_with(&format!("| {figure} | 100 | ")));
        let shown = shown.unwrap_or_else(|| panic!("README.md does not show {figure}"));
        assert_eq!(missed, shown.contains("**missed**"), "{shown}");
    };
    for case in ["thousand_watchers", "fast_writes"] {
        for since in ["write_start_to_line", "acknowledgement_to_line"] {
            within_100_ms(&watch[case][since]["p99_ms"]);
        }
    }
    within_100_ms(&projection["acknowledgement_to_kubernetes"]["p99_ms"]);
    assert_eq!(projection["secrets"], 10_000);
}

/// The README's table beside OpenBao is `benches/compare.sh --table`, and a target that is missed says so.
#[test]
fn the_readme_shows_the_comparison() {
    let readme = read("README.md");
    let compared = results("compare");
    let rows = compared["table"].as_array().unwrap();
    assert!(rows.len() > 10, "the table has too few rows to mean anything");
    for row in rows {
        let what = row["what"].as_str().unwrap();
        let line =
            format!("\n| {} | {} | {} | {what} |\n", row["times"], row["tresor"], row["other"]);
        assert!(readme.contains(&line), "README.md does not show{line}");
        assert_eq!(row["met"] == false, what.ends_with("**missed**"), "{what}");
    }
}
