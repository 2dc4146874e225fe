//! Replays inputs of the fuzz targets: those that once found something (`fuzz/found`) and a few of every kind
//! (`fuzz/seeds`). Each file lies in a folder named after its target.

#[path = "../fuzz/properties.rs"]
mod properties;

use std::path::Path;

/// Calls `property` with every input kept for the target.
fn replay(target: &str, property: fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut replayed = 0;
    for folder in ["found", "seeds"] {
        let Ok(inputs) = std::fs::read_dir(root.join(folder).join(target)) else { continue };
        for input in inputs {
            let path = input.expect("lists").path();
            if path.file_name().is_some_and(|name| name == ".gitkeep") {
                continue;
            }
            println!("{}", path.display());
            property(&std::fs::read(&path).expect("reads"));
            replayed += 1;
        }
    }
    assert!(replayed > 0, "no inputs for {target}");
}

#[test]
fn scripts() {
    replay("script", properties::script);
}

#[test]
fn bson() {
    replay("bson", properties::bson);
}

#[test]
fn deltas() {
    replay("delta", properties::delta);
}

#[test]
fn packs() {
    replay("pack", properties::pack);
}

#[test]
fn manifests() {
    replay("manifest", properties::manifest);
}

#[test]
fn old_backups() {
    replay("old_backup", properties::old_backup);
}
