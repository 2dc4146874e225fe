//! Taking the fields of an operation one by one, so that whatever is left over is an error.

use bson::{Bson, Document};

/// The fields of an operation, or of its options, not yet taken.
pub struct Fields {
    document: Document,
    /// `field` or `option`, for messages.
    noun: &'static str,
    known: &'static [&'static str],
}

impl Fields {
    /// All of `document`'s fields; `known` are those that may be there.
    ///
    /// # Errors
    /// A sentence that names the first one that may not.
    pub fn new(document: Document, noun: &'static str, known: &'static [&'static str]) -> Result<Self, String> {
        let fields = Self { document, noun, known };
        match fields.document.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(fields.unknown(key)),
            None => Ok(fields),
        }
    }

    fn unknown(&self, key: &str) -> String {
        unknown(self.noun, key, self.known)
    }

    /// Takes a field, if it is there.
    pub fn take(&mut self, name: &str) -> Option<Bson> {
        self.document.remove(name)
    }

    /// Takes a field that must be there.
    pub fn required(&mut self, name: &str) -> Result<Bson, String> {
        let noun = self.noun;
        self.take(name).ok_or_else(|| format!("the {noun} {name:?} is missing"))
    }

    /// Takes a text that must be there.
    pub fn text(&mut self, name: &str) -> Result<String, String> {
        match self.required(name)? {
            Bson::String(text) => Ok(text),
            other => Err(self.mistyped(name, "a text", &other)),
        }
    }

    /// Takes an object that must be there.
    pub fn document(&mut self, name: &str) -> Result<Document, String> {
        match self.required(name)? {
            Bson::Document(document) => Ok(document),
            other => Err(self.mistyped(name, "an object", &other)),
        }
    }

    /// Takes an object that may be absent.
    pub fn optional_document(&mut self, name: &str) -> Result<Option<Document>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Bson::Document(document)) => Ok(Some(document)),
            Some(other) => Err(self.mistyped(name, "an object", &other)),
        }
    }

    /// Takes an array of objects that must be there.
    pub fn documents(&mut self, name: &str) -> Result<Vec<Document>, String> {
        match self.required(name)? {
            Bson::Array(items) => items
                .into_iter()
                .enumerate()
                .map(|(at, item)| match item {
                    Bson::Document(document) => Ok(document),
                    other => Err(format!("{name}[{at}] must be an object, not {}", type_name(&other))),
                })
                .collect(),
            other => Err(self.mistyped(name, "an array of objects", &other)),
        }
    }

    /// Takes a boolean, or the default.
    pub fn boolean(&mut self, name: &str, default: bool) -> Result<bool, String> {
        match self.take(name) {
            None => Ok(default),
            Some(Bson::Boolean(value)) => Ok(value),
            Some(other) => Err(self.mistyped(name, "true or false", &other)),
        }
    }

    /// The sentence for a field of the wrong type.
    pub fn mistyped(&self, name: &str, wanted: &str, found: &Bson) -> String {
        format!("the {} {name:?} must be {wanted}, not {}", self.noun, type_name(found))
    }
}

/// The sentence for a name that there is not.
pub fn unknown(noun: &str, key: &str, known: &[&'static str]) -> String {
    match nearest(key, known) {
        Some(known) => format!("unknown {noun} {key:?}; did you mean {known:?}?"),
        None if known.is_empty() => format!("unknown {noun} {key:?}; there are none"),
        None => format!("unknown {noun} {key:?}; there are {}", known.join(", ")),
    }
}

/// A value's type in JSON's words, or BSON's where JSON has none.
pub fn type_name(value: &Bson) -> &'static str {
    match value {
        Bson::Double(_) | Bson::Int32(_) | Bson::Int64(_) | Bson::Decimal128(_) => "a number",
        Bson::String(_) => "a text",
        Bson::Array(_) => "an array",
        Bson::Document(_) => "an object",
        Bson::Boolean(_) => "a boolean",
        Bson::Null => "null",
        Bson::DateTime(_) => "a date",
        Bson::ObjectId(_) => "an ObjectId",
        _ => "a value of another type",
    }
}

/// The known name that `key` most likely means: the same but for case and punctuation, one that holds it or that it
/// holds, or else the one with the fewest slips of the keyboard.
pub fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let bare = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let wanted = bare(key);
    if let Some(same) = known.iter().find(|name| bare(name) == wanted) {
        return Some(same);
    }
    if wanted.len() < 3 {
        return None;
    }
    let slips = known.iter().map(|name| (slips(&wanted, &bare(name)), *name)).min_by_key(|(slips, _)| *slips);
    if let Some((_, name)) = slips.filter(|(slips, _)| *slips <= wanted.len() / 3) {
        return Some(name);
    }
    known.iter().copied().find(|name| {
        let name = bare(name);
        name.contains(&wanted) || (name.len() > 2 && wanted.contains(&name))
    })
}

/// How many letters have to be put in, taken out, exchanged or swapped with their neighbours to make one text of the
/// other.
fn slips(one: &str, other: &str) -> usize {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for at in 1..=one.len() {
        let mut next = vec![at];
        for to in 1..=other.len() {
            let exchanged = row[to - 1] + usize::from(one[at - 1] != other[to - 1]);
            let mut least = exchanged.min(row[to] + 1).min(next[to - 1] + 1);
            if at > 1 && to > 1 && one[at - 1] == other[to - 2] && one[at - 2] == other[to - 1] {
                least = least.min(before[to - 2] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_named() {
        const KINDS: &[&str] = &["create_collection", "drop_collection", "create_index", "update_documents"];
        for (written, meant) in [
            ("creat_index", "create_index"),
            ("createIndex", "create_index"),
            ("update", "update_documents"),
            ("udpate_documents", "update_documents"),
            ("drop_colection", "drop_collection"),
        ] {
            assert_eq!(nearest(written, KINDS), Some(meant));
        }
        assert_eq!(nearest("rename", KINDS), None);
        assert_eq!(nearest("x", KINDS), None);
        assert_eq!(slips("exsts", "exists"), 1);
        assert_eq!(slips("ab", "ba"), 1);
        assert_eq!(slips("", "abc"), 3);
    }
}
