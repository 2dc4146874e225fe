//! The steps of a swap, as the journal keeps them. Each can be taken again, by whoever comes next.

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, RawDocumentBuf, doc};

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub enum SwapStep {
    /// The collection built under a temporary name takes the target's place, at once.
    Replace {
        /// The temporary name.
        temporary: String,
        /// The target.
        target: String,
        /// Which collection was built: where it bears the target's name, the step is done.
        uuid: [u8; 16],
    },
    /// A time-series collection, which no rename can move, is made anew from the copy that was built.
    /// The copy is dropped last: where it is gone, the step is done.
    Copy {
        /// The copy.
        temporary: String,
        /// The target.
        target: String,
        /// The target's options, for `create`.
        options: RawDocumentBuf,
        /// Its indexes, for `createIndexes`.
        indexes: Vec<RawDocumentBuf>,
        /// How many buckets there must be.
        documents: i64,
    },
    /// A view stands with these options.
    View {
        /// The view.
        target: String,
        /// Its options.
        options: RawDocumentBuf,
    },
    /// What the backup lacks goes.
    Drop {
        /// The collection or view.
        target: String,
        /// Which collection it was: another of the same name stays.
        uuid: Option<[u8; 16]>,
    },
    /// Documents expire again.
    Expire {
        /// The collection.
        target: String,
        /// The index that says when; none where the collection does.
        index: Option<String>,
        /// After how many seconds.
        seconds: Bson,
    },
}

impl SwapStep {
    /// The collection that it is about.
    pub fn target(&self) -> &str {
        match self {
            Self::Replace { target, .. }
            | Self::Copy { target, .. }
            | Self::View { target, .. }
            | Self::Drop { target, .. }
            | Self::Expire { target, .. } => target,
        }
    }

    /// As the journal keeps it.
    pub fn to_document(&self, number: i64) -> Document {
        let raw = |document: &RawDocumentBuf| packed(document.as_bytes(), BinarySubtype::Generic);
        let uuid = |uuid: &[u8; 16]| packed(uuid, BinarySubtype::Uuid);
        match self {
            Self::Replace { temporary, target, uuid: it } => {
                doc! {"_id": number, "step": "replace", "temporary": temporary, "target": target, "uuid": uuid(it)}
            }
            Self::Copy { temporary, target, options, indexes, documents } => doc! {
                "_id": number, "step": "copy", "temporary": temporary, "target": target, "options": raw(options),
                "indexes": indexes.iter().map(raw).collect::<Vec<_>>(), "documents": documents,
            },
            Self::View { target, options } => {
                doc! {"_id": number, "step": "view", "target": target, "options": raw(options)}
            }
            Self::Drop { target, uuid: it } => {
                doc! {"_id": number, "step": "drop", "target": target, "uuid": it.as_ref().map(uuid)}
            }
            Self::Expire { target, index, seconds } => {
                doc! {"_id": number, "step": "expire", "target": target, "index": index, "seconds": seconds.clone()}
            }
        }
    }

    /// Reads what [`to_document`](Self::to_document) wrote.
    pub fn from_document(document: &Document) -> Option<Self> {
        let text = |name: &str| document.get_str(name).ok().map(str::to_owned);
        let uuid = || match document.get("uuid") {
            Some(Bson::Binary(binary)) => <[u8; 16]>::try_from(binary.bytes.as_slice()).ok(),
            _ => None,
        };
        let target = text("target")?;
        Some(match document.get_str("step").ok()? {
            "replace" => Self::Replace { temporary: text("temporary")?, target, uuid: uuid()? },
            "copy" => Self::Copy {
                temporary: text("temporary")?,
                target,
                options: unpacked(document.get("options")?)?,
                indexes: document.get_array("indexes").ok()?.iter().map(unpacked).collect::<Option<_>>()?,
                documents: document.get_i64("documents").ok()?,
            },
            "view" => Self::View { target, options: unpacked(document.get("options")?)? },
            "drop" => Self::Drop { target, uuid: uuid() },
            "expire" => Self::Expire { target, index: text("index"), seconds: document.get("seconds")?.clone() },
            _ => return None,
        })
    }
}

/// Documents travel packed, because the driver's own type can hold neither a name twice nor text that is none.
fn packed(bytes: &[u8], subtype: BinarySubtype) -> Bson {
    Bson::Binary(Binary { subtype, bytes: bytes.to_vec() })
}

fn unpacked(value: &Bson) -> Option<RawDocumentBuf> {
    match value {
        Bson::Binary(binary) => RawDocumentBuf::from_bytes(binary.bytes.clone()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[test]
    fn every_step_comes_back_from_the_journal() {
        let steps = [
            SwapStep::Replace { temporary: "t".into(), target: "a".into(), uuid: [7; 16] },
            SwapStep::Copy {
                temporary: "t".into(),
                target: "a".into(),
                options: rawdoc! {"timeseries": {"timeField": "t"}},
                indexes: vec![rawdoc! {"key": {"a": 1}, "name": "a"}],
                documents: 3,
            },
            SwapStep::View { target: "v".into(), options: rawdoc! {"viewOn": "a", "pipeline": []} },
            SwapStep::Drop { target: "a".into(), uuid: Some([1; 16]) },
            SwapStep::Drop { target: "v".into(), uuid: None },
            SwapStep::Expire { target: "a".into(), index: Some("i".into()), seconds: 5.into() },
            SwapStep::Expire { target: "a".into(), index: None, seconds: 5_i64.into() },
        ];
        for step in steps {
            assert_eq!(SwapStep::from_document(&step.to_document(4)), Some(step));
        }
        assert_eq!(SwapStep::from_document(&doc! {"step": "other", "target": "a"}), None);
    }
}
