//! What may refuse a document of the assessments' collection: a validator, unique indexes, and the text index, which
//! takes a document's own language from it. Asked before anything is written; what the server refuses beyond these is
//! met when it is written.

use std::collections::HashSet;

use bson::{Bson, Document, RawArrayBuf, RawDocument, RawDocumentBuf, rawdoc};

use super::candidates::{AT_ONCE, Asking, Candidate};
use super::mapping::Unmapped;
use super::names::ASSESSMENTS;
use super::text_index::TextIndex;
use crate::error::message::show;
use crate::error::server::ServerError;
use crate::mongo::catalog::{self, Collection};
use crate::mongo::id::Id;
use crate::mongo::raw::{ARRAY, Builder, DOCUMENT, Element, NULL, fields, fingerprint, get};
use crate::mongo::server::Server;

/// What may refuse a document.
#[derive(Debug, Default)]
pub struct Constraints {
    validator: Option<Validator>,
    unique: Vec<Unique>,
    text: Option<TextIndex>,
    /// As the server compares by where nothing else is said.
    collation: Option<Document>,
}

#[derive(Debug)]
struct Validator {
    filter: Document,
    /// Whether a document that does not pass may be updated.
    moderate: bool,
}

#[derive(Debug)]
struct Unique {
    name: String,
    paths: Vec<String>,
    sparse: bool,
    partial: Option<Document>,
    collation: Option<Document>,
}

/// What documents that passed have in the unique indexes.
#[derive(Debug, Default)]
pub struct Seen(HashSet<(usize, [u8; 16])>);

impl Constraints {
    /// The constraints of the assessments' collection.
    ///
    /// # Errors
    /// The server's.
    pub async fn read(server: &Server, collection: Option<&Collection>) -> Result<Self, ServerError> {
        let Some(collection) = collection else { return Ok(Self::default()) };
        let mut found = Self {
            validator: Validator::of(&collection.options),
            collation: collection.options.get_document("collation").ok().cloned(),
            ..Self::default()
        };
        for listed in catalog::indexes(server, ASSESSMENTS).await? {
            let index = catalog::specification(&listed);
            found.unique.extend(Unique::of(index));
            found.text = found.text.or_else(|| TextIndex::of(index));
        }
        Ok(found)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.validator.is_none() && self.unique.is_empty() && self.text.is_none()
    }

    /// Why the server would refuse each of them, in the order in which they are written; `None` for those that pass. `source`
    /// is a collection that is not empty.
    ///
    /// # Errors
    /// The server's.
    pub async fn refusals(
        &self,
        server: &Server,
        source: &str,
        candidates: &[Candidate],
        seen: &mut Seen,
    ) -> Result<Vec<Option<Unmapped>>, ServerError> {
        let mut refused: Vec<Option<Unmapped>> = candidates.iter().map(|_| None).collect();
        let asking = Asking { server, source, collation: self.collation.as_ref() };
        if let Some(text) = &self.text {
            text.judge(&asking, candidates, &mut refused).await?;
        }
        if let Some(validator) = &self.validator {
            validator.judge(&asking, candidates, &mut refused).await?;
        }
        for (number, unique) in self.unique.iter().enumerate() {
            unique.judge(&asking, number, candidates, seen, &mut refused).await?;
        }
        Ok(refused)
    }
}

impl Validator {
    fn of(options: &Document) -> Option<Self> {
        let filter = options.get_document("validator").ok().filter(|filter| !filter.is_empty())?;
        let level = options.get_str("validationLevel").unwrap_or("strict");
        let warns = options.get_str("validationAction").is_ok_and(|action| action == "warn");
        (level != "off" && !warns).then(|| Self { filter: filter.clone(), moderate: level == "moderate" })
    }

    async fn judge(
        &self,
        asking: &Asking<'_>,
        candidates: &[Candidate],
        refused: &mut [Option<Unmapped>],
    ) -> Result<(), ServerError> {
        let open = |at: &usize| refused[*at].is_none();
        let after: Vec<(usize, &RawDocument)> =
            (0..candidates.len()).filter(open).map(|at| (at, &*candidates[at].after)).collect();
        let failing = asking.not_matching(&after, &self.filter).await?;
        let before: Vec<(usize, &RawDocument)> = failing
            .iter()
            .filter(|_| self.moderate)
            .filter_map(|at| Some((*at, &**candidates[*at].before.as_ref()?)))
            .collect();
        let failed_before = asking.not_matching(&before, &self.filter).await?;
        for at in failing.into_iter().filter(|at| !failed_before.contains(at)) {
            refused[at] = Some(Unmapped {
                field: String::new(),
                reason: "Document failed validation: the collection's validator would refuse it".to_owned(),
            });
        }
        Ok(())
    }
}

impl Unique {
    fn of(index: &Document) -> Option<Self> {
        let keys = index.get_document("key").ok()?;
        let plain = keys.values().all(|direction| !matches!(direction, Bson::String(_)));
        let is_id = keys.len() == 1 && keys.contains_key("_id");
        (index.get_bool("unique").unwrap_or(false) && plain && !is_id).then(|| Self {
            name: index.get_str("name").unwrap_or_default().to_owned(),
            paths: keys.keys().cloned().collect(),
            sparse: index.get_bool("sparse").unwrap_or(false),
            partial: index.get_document("partialFilterExpression").ok().cloned(),
            collation: index.get_document("collation").ok().cloned(),
        })
    }

    async fn judge(
        &self,
        asking: &Asking<'_>,
        number: usize,
        candidates: &[Candidate],
        seen: &mut Seen,
        refused: &mut [Option<Unmapped>],
    ) -> Result<(), ServerError> {
        let open: Vec<(usize, &RawDocument)> =
            (0..candidates.len()).filter(|at| refused[*at].is_none()).map(|at| (at, &*candidates[at].after)).collect();
        let outside: HashSet<usize> = match &self.partial {
            Some(filter) => {
                let asking = Asking { collation: self.collation.as_ref(), ..*asking };
                asking.not_matching(&open, filter).await?.into_iter().collect()
            }
            None => HashSet::new(),
        };
        let mut indexed = Vec::new();
        for (at, document) in open.into_iter().filter(|(at, _)| !outside.contains(at)) {
            let Some(keys) = self.keys(document) else { continue };
            let clause = clause(&keys, candidates[at].before.as_deref());
            indexed.push((at, keys, clause));
        }
        for at in conflicting(asking, self, &indexed).await? {
            refused[indexed[at].0] = Some(self.twice(&indexed[at].1));
        }
        for (at, keys, _) in indexed {
            if refused[at].is_none() && !seen.0.insert((number, fingerprint(keys.as_bytes()))) {
                refused[at] = Some(self.twice(&keys));
            }
        }
        Ok(())
    }

    /// What it has of a document, by path; `None` where that is nothing, or several values.
    fn keys(&self, document: &RawDocument) -> Option<RawDocumentBuf> {
        let mut keys = Builder::new();
        let mut any = false;
        for path in &self.paths {
            match at_path(document.as_bytes(), path) {
                At::Several => return None,
                At::Nothing => keys.value(NULL, path.as_bytes(), b""),
                At::Value(value) => {
                    any = true;
                    keys.value(value.kind, path.as_bytes(), value.value);
                }
            }
        }
        (any || !self.sparse).then(|| keys.finish())
    }

    fn twice(&self, keys: &RawDocumentBuf) -> Unmapped {
        let shown =
            Document::try_from(keys.as_ref()).map_or_else(|_| String::new(), |keys| show(&Bson::Document(keys)));
        Unmapped {
            field: self.paths.join(", "),
            reason: format!("duplicate key: {shown} would be twice in the unique index {:?}", self.name),
        }
    }
}

/// Selects another document with the same keys.
fn clause(keys: &RawDocumentBuf, own: Option<&RawDocument>) -> RawDocumentBuf {
    let mut clause = Builder::new();
    for key in fields(keys.as_bytes()).unwrap_or_default() {
        let mut equal = Builder::new();
        equal.value(key.kind, b"$eq", key.value);
        clause.document(key.name, equal.finish().as_bytes());
    }
    if let Some(id) = own.and_then(Id::of_stored) {
        let mut other = RawArrayBuf::new();
        other.push(rawdoc! {"_id": id.keyed("$ne")});
        other.push(clause.finish());
        return rawdoc! {"$and": other};
    }
    clause.finish()
}

/// The numbers of those whose keys another document has: halves are asked about until they are single.
async fn conflicting(
    asking: &Asking<'_>,
    unique: &Unique,
    all: &[(usize, RawDocumentBuf, RawDocumentBuf)],
) -> Result<Vec<usize>, ServerError> {
    let mut found = Vec::new();
    let mut open: Vec<(usize, usize)> =
        (0..all.len()).step_by(AT_ONCE).map(|from| (from, all.len().min(from + AT_ONCE))).collect();
    while let Some((from, to)) = open.pop() {
        let clauses: Vec<&RawDocumentBuf> = all[from..to].iter().map(|(_, _, clause)| clause).collect();
        if clauses.is_empty() || !asking.any(&clauses, unique.partial.as_ref(), unique.collation.as_ref()).await? {
            continue;
        }
        if to - from == 1 {
            found.push(from);
        } else {
            let half = from + (to - from) / 2;
            open.extend([(from, half), (half, to)]);
        }
    }
    Ok(found)
}

enum At<'a> {
    Nothing,
    Value(Element<'a>),
    /// An array, or what lies in one.
    Several,
}

fn at_path<'a>(document: &'a [u8], path: &str) -> At<'a> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    match (get(document, name), rest) {
        (None, _) => At::Nothing,
        (Some(found), _) if found.kind == ARRAY => At::Several,
        (Some(found), None) => At::Value(found),
        (Some(found), Some(rest)) if found.kind == DOCUMENT => at_path(found.value, rest),
        (Some(_), Some(_)) => At::Nothing,
    }
}
