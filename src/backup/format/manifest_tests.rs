//! Tests of [`super`].

use super::*;

fn sample() -> Manifest {
    let heading = Heading {
        kind: BackupKind::Safety,
        scope: BackupScope::Collections(vec!["a".to_owned()]),
        database: "edulearn".to_owned(),
        created_at: "2026-11-22T18:00:00Z".to_owned(),
        server_version: "6.0.5".to_owned(),
        consistency: Consistency::Snapshot,
        cluster_time: Some(ClusterTime { seconds: 5, increment: 1 }),
    };
    let stored = StoredFile { name: "a.metadata.json".to_owned(), bytes: 7, sha256: "00".to_owned() };
    let collection = CollectionManifest {
        name: "a".to_owned(),
        kind: "view".to_owned(),
        consistency: Consistency::Snapshot,
        documents: 0,
        bytes: 0,
        data: None,
        metadata: stored,
        catalog: String::new(),
    };
    Manifest::new(heading, vec![collection])
}

#[test]
fn it_is_json_and_comes_back() {
    let bytes = sample().to_bytes();
    let value: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(value["kind"], "safety");
    assert_eq!(value["scope"]["collections"][0], "a");
    assert_eq!(Manifest::from_bytes(&bytes, Path::new("m")).expect("reads"), sample());
}

#[test]
fn no_bit_of_it_can_change_and_no_byte_be_missing() {
    let bytes = sample().to_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Manifest::from_bytes(&damaged, Path::new("m")).is_err(), "bit {bit}");
    }
    for end in 0..bytes.len() {
        assert!(Manifest::from_bytes(&bytes[..end], Path::new("m")).is_err(), "cut at {end}");
    }
    assert!(Manifest::from_bytes(&[&bytes[..], b" "].concat(), Path::new("m")).is_err());
}

#[test]
fn a_file_elsewhere_is_refused() {
    let mut manifest = sample();
    manifest.collections[0].metadata.name = "../x".to_owned();
    assert!(Manifest::from_bytes(&manifest.to_bytes(), Path::new("m")).is_err());
}

#[test]
fn nothing_is_listed_twice() {
    let again = sample().collections.remove(0);
    let stored = StoredFile { name: "b.metadata.json".to_owned(), ..again.metadata.clone() };
    for second in [
        CollectionManifest { metadata: stored.clone(), ..again.clone() },
        CollectionManifest { name: "b".to_owned(), ..again.clone() },
    ] {
        let mut manifest = sample();
        manifest.collections.push(second);
        assert!(Manifest::from_bytes(&manifest.to_bytes(), Path::new("m")).is_err());
    }
    let mut manifest = sample();
    manifest.collections.push(CollectionManifest { name: "b".to_owned(), metadata: stored, ..again });
    assert!(Manifest::from_bytes(&manifest.to_bytes(), Path::new("m")).is_ok());
}
