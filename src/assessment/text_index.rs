//! The text index of the assessments' collection, which takes a document's own language from it and refuses languages
//! that it does not know.

use bson::{Document, RawDocument};

use super::candidates::{Asking, Candidate};
use super::mapping::Unmapped;
use super::values::{shown, text_of};
use crate::error::server::ServerError;
use crate::model::number::whole;
use crate::mongo::raw::{ARRAY, DOCUMENT, TEXT, fields, get};

/// Languages of text indexes, and their short names, in the order of the server's list.
/// Source: MongoDB manual, "Text Search Languages"; the last row is of Enterprise servers.
const LANGUAGES: [&str; 44] = [
    "none",
    "danish",
    "da",
    "dutch",
    "nl",
    "english",
    "en",
    "finnish",
    "fi",
    "french",
    "fr",
    "german",
    "de",
    "hungarian",
    "hu",
    "italian",
    "it",
    "norwegian",
    "nb",
    "portuguese",
    "pt",
    "romanian",
    "ro",
    "russian",
    "ru",
    "spanish",
    "es",
    "swedish",
    "sv",
    "turkish",
    "tr", //
    "arabic",
    "ara",
    "farsi",
    "persian",
    "pes",
    "urdu",
    "urd",
    "dari",
    "prs",
    "hans",
    "zhs",
    "hant",
    "zht",
];

#[derive(Debug)]
pub(super) struct TextIndex {
    name: String,
    /// The field that says the language.
    field: String,
    /// The fields that are searched.
    paths: Vec<String>,
    /// Whether all are.
    all: bool,
    partial: Option<Document>,
}

impl TextIndex {
    pub(super) fn of(index: &Document) -> Option<Self> {
        let weights = index.get_document("weights").ok()?;
        let version = index.get("textIndexVersion").and_then(whole)?;
        // The first version took any language.
        (version >= 2).then(|| Self {
            name: index.get_str("name").unwrap_or_default().to_owned(),
            field: index.get_str("language_override").unwrap_or("language").to_owned(),
            paths: weights.keys().cloned().collect(),
            all: weights.contains_key("$**"),
            partial: index.get_document("partialFilterExpression").ok().cloned(),
        })
    }

    pub(super) async fn judge(
        &self,
        asking: &Asking<'_>,
        candidates: &[Candidate],
        refused: &mut [Option<Unmapped>],
    ) -> Result<(), ServerError> {
        let mut found = Vec::new();
        for (at, candidate) in candidates.iter().enumerate() {
            found.extend(self.unsupported(candidate.after.as_bytes(), "").map(|why| (at, why)));
        }
        if let Some(filter) = self.partial.as_ref().filter(|_| !found.is_empty()) {
            let those: Vec<(usize, &RawDocument)> =
                found.iter().map(|(at, _)| (*at, &*candidates[*at].after)).collect();
            let outside = asking.not_matching(&those, filter).await?;
            found.retain(|(at, _)| !outside.contains(at));
        }
        found.into_iter().for_each(|(at, why)| refused[at] = Some(why));
        Ok(())
    }

    /// What says an unknown language, in the document or in one inside it that is searched.
    fn unsupported(&self, document: &[u8], within: &str) -> Option<Unmapped> {
        let path = |name: &str| if within.is_empty() { name.to_owned() } else { format!("{within}.{name}") };
        if let Some(language) = get(document, &self.field) {
            let text = text_of(&language).map(String::from_utf8_lossy);
            let known = text.as_ref().is_some_and(|text| {
                text.is_empty() || LANGUAGES.iter().any(|language| language.eq_ignore_ascii_case(text))
            });
            if !known {
                let said = if language.kind == TEXT {
                    format!("language override unsupported: {}", text.unwrap_or_default())
                } else {
                    format!("found language override field in document with non-string type: {}", shown(&language))
                };
                return Some(Unmapped {
                    field: path(&self.field),
                    reason: format!("{said}, by the text index {:?}", self.name),
                });
            }
        }
        for field in fields(document)? {
            let Ok(name) = std::str::from_utf8(field.name) else { continue };
            let path = path(name);
            if !matches!(field.kind, DOCUMENT | ARRAY) || !self.goes_through(&path) {
                continue;
            }
            let inside = if field.kind == DOCUMENT { vec![field] } else { fields(field.value).unwrap_or_default() };
            for each in inside.into_iter().filter(|each| each.kind == DOCUMENT) {
                if let Some(why) = self.unsupported(each.value, &path) {
                    return Some(why);
                }
            }
        }
        None
    }

    /// Whether something that is searched lies inside.
    fn goes_through(&self, path: &str) -> bool {
        self.all || self.paths.iter().any(|own| own.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
    }
}
