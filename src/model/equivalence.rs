//! Whether two options, keys or collations mean the same to the server, however they are written.

use bson::{Bson, Document, doc};

use super::number::cut;

/// The option of a time-series collection that says whether all of its buckets begin where its bucketing says.
pub const FIXED_BUCKETING: &str = "fixedBucketing";

/// The options in which two collections differ, and what each has of them; defaults are no difference.
pub fn differences(one: &Document, other: &Document) -> Vec<(String, Option<Bson>, Option<Bson>)> {
    let one = normal_options(one);
    let other = normal_options(other);
    one.keys()
        .chain(other.keys().filter(|key| !one.contains_key(*key)))
        .filter(|key| !same_option(key, one.get(*key), other.get(*key)))
        .map(|key| (key.clone(), one.get(key).cloned(), other.get(key).cloned()))
        .collect()
}

/// Whether two collations mean the same; absent and `simple` do.
pub fn same_collation(a: Option<&Document>, b: Option<&Document>) -> bool {
    match (a.and_then(normal_collation), b.and_then(normal_collation)) {
        (None, None) => true,
        (Some(a), Some(b)) => same_fields(&a, &b),
        _ => false,
    }
}

/// Options without those that change nothing: defaults, comments, and what the server adds.
fn normal_options(options: &Document) -> Document {
    let mut normal = Document::new();
    for (key, value) in options {
        let default = match (key.as_str(), value) {
            ("comment" | "autoIndexId", _) => true,
            ("capped", Bson::Boolean(false)) => true,
            ("validationLevel", Bson::String(level)) => level == "strict",
            ("validationAction", Bson::String(action)) => action == "error",
            ("validator", Bson::Document(validator)) => validator.is_empty(),
            ("changeStreamPreAndPostImages", Bson::Document(images)) => {
                images.get_bool("enabled").is_ok_and(|enabled| !enabled)
            }
            ("collation", Bson::Document(collation)) => normal_collation(collation).is_none(),
            ("pipeline", Bson::Array(stages)) => stages.is_empty(),
            _ => false,
        };
        if default {
            continue;
        }
        let value = match (key.as_str(), value) {
            ("collation", Bson::Document(collation)) => normal_collation(collation).map_or(Bson::Null, Bson::Document),
            // The server rounds a capped collection's size up to a multiple of 256.
            ("size", size) => whole(size).map_or(size.clone(), |n| Bson::Int64((n + 255) / 256 * 256)),
            ("timeseries", Bson::Document(series)) => {
                let mut series = series.clone();
                series.entry("granularity".to_owned()).or_insert_with(|| "seconds".into());
                // Follows from the granularity unless set with bucketRoundingSeconds.
                if !series.contains_key("bucketRoundingSeconds") {
                    series.remove("bucketMaxSpanSeconds");
                }
                Bson::Document(series)
            }
            ("clusteredIndex", Bson::Document(index)) => {
                let mut index = index.clone();
                index.remove("v");
                index.entry("name".to_owned()).or_insert_with(|| "_id_".into());
                Bson::Document(index)
            }
            _ => value.clone(),
        };
        normal.insert(key, value);
    }
    normal
}

/// A collation with every field; the server writes them all out. `None` for the simple one.
/// Source: MongoDB manual, "Collation", default values.
fn normal_collation(collation: &Document) -> Option<Document> {
    let locale = collation.get_str("locale").ok().filter(|locale| *locale != "simple")?;
    let mut full = doc! {
        "locale": locale, "caseLevel": false, "caseFirst": "off", "strength": 3, "numericOrdering": false,
        "alternate": "non-ignorable", "maxVariable": "punct", "normalization": false,
        // The one locale whose default differs.
        "backwards": locale == "fr_CA",
    };
    for (key, value) in collation {
        if key != "version" {
            full.insert(key, value.clone());
        }
    }
    Some(full)
}

fn same_option(key: &str, asked: Option<&Bson>, existing: Option<&Bson>) -> bool {
    match (key, asked, existing) {
        ("timeseries", Some(Bson::Document(a)), Some(Bson::Document(b))) => same_series(a, b),
        ("collation" | "clusteredIndex", Some(Bson::Document(a)), Some(Bson::Document(b))) => same_fields(a, b),
        (_, Some(a), Some(b)) => same(a, b),
        _ => false,
    }
}

/// Whether two time-series collections are bucketed alike. The server itself keeps `fixedBucketing` from MongoDB 9.0 on: it
/// is true where nobody has changed the bucketing since, and false or absent in what an earlier version made.
fn same_series(a: &Document, b: &Document) -> bool {
    if a.contains_key(FIXED_BUCKETING) && b.contains_key(FIXED_BUCKETING) {
        return same_fields(a, b);
    }
    let without = |series: &Document| -> Document {
        series.clone().into_iter().filter(|(option, _)| option != FIXED_BUCKETING).collect()
    };
    same_fields(&without(a), &without(b))
}

/// Keys in the same order with the same directions. A text index lists other keys than it was made with.
pub fn same_keys(a: &Document, b: &Document) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|((ka, va), (kb, vb))| ka == kb && same(va, vb))
}

/// Same fields in any order.
pub fn same_fields(a: &Document, b: &Document) -> bool {
    a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
}

/// Equal, numbers by value: the server turns some integers into doubles and back.
pub fn same(a: &Bson, b: &Bson) -> bool {
    match (a, b) {
        (Bson::Document(a), Bson::Document(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((ka, va), (kb, vb))| ka == kb && same(va, vb))
        }
        (Bson::Array(a), Bson::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
    }
}

fn number(value: &Bson) -> Option<f64> {
    match value {
        Bson::Int32(n) => Some(f64::from(*n)),
        Bson::Int64(n) => Some(*n as f64),
        Bson::Double(n) => Some(*n),
        _ => None,
    }
}

fn whole(value: &Bson) -> Option<i64> {
    number(value).filter(|n| n.fract() == 0.0).map(cut)
}
