//! Which fields of two documents differ. Works on bytes: names and texts may be no UTF-8, one name may stand twice.

use std::collections::BTreeMap;

use super::report::{DocumentDifferences, EXAMPLES, Example, FIELDS, FieldDifference};
use crate::mongo::raw::{self, ARRAY, Builder, DOCUMENT, Element};

/// One field that differs: its path, what it was and what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangedField<'a> {
    /// The path.
    pub path: String,
    /// The element before.
    pub before: Option<Element<'a>>,
    /// The element after.
    pub after: Option<Element<'a>>,
}

/// The fields in which two documents differ; none where they have the same fields in another order.
pub fn changes<'a>(before: &'a [u8], after: &'a [u8]) -> Vec<ChangedField<'a>> {
    let mut found = Vec::new();
    walk("", before, after, &mut found);
    found
}

fn walk<'a>(prefix: &str, before: &'a [u8], after: &'a [u8], found: &mut Vec<ChangedField<'a>>) {
    let (was, is): (Vec<_>, Vec<_>) = (raw::elements(before).collect(), raw::elements(after).collect());
    for old in &was {
        let path = joined(prefix, old.name);
        match is.iter().find(|it| it.name == old.name) {
            None => found.push(ChangedField { path, before: Some(*old), after: None }),
            Some(new) => one(path, old, new, found),
        }
    }
    for new in is.iter().filter(|new| !was.iter().any(|it| it.name == new.name)) {
        found.push(ChangedField { path: joined(prefix, new.name), before: None, after: Some(*new) });
    }
}

/// The same field on both sides.
fn one<'a>(path: String, old: &Element<'a>, new: &Element<'a>, found: &mut Vec<ChangedField<'a>>) {
    if old.same_value(new) {
        return;
    }
    // Where a name stands twice, only the whole can be compared.
    let plain = |it: &Element<'_>| raw::fields(it.value).is_some_and(|fields| !raw::repeats(&fields));
    if old.kind == new.kind && old.kind == DOCUMENT && plain(old) && plain(new) {
        return walk(&path, old.value, new.value, found);
    }
    if old.kind == new.kind && old.kind == ARRAY {
        let (was, is): (Vec<_>, Vec<_>) = (raw::elements(old.value).collect(), raw::elements(new.value).collect());
        if was.len() == is.len() {
            let path = format!("{path}[]");
            for (old, new) in was.iter().zip(&is) {
                one(path.clone(), old, new, found);
            }
            return;
        }
    }
    found.push(ChangedField { path, before: Some(*old), after: Some(*new) });
}

fn joined(prefix: &str, name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    if prefix.is_empty() { name.into_owned() } else { format!("{prefix}.{name}") }
}

/// Puts the differences of documents together.
#[derive(Debug, Default)]
pub struct Tally {
    found: DocumentDifferences,
    fields: BTreeMap<String, FieldDifference>,
}

impl Tally {
    /// A document that stands on both sides.
    pub fn both(&mut self, before: &[u8], after: &[u8]) {
        self.found.before += 1;
        self.found.after += 1;
        if before == after {
            return;
        }
        let repeats = |it: &[u8]| raw::fields(it).is_none_or(|fields| raw::repeats(&fields));
        if repeats(before) || repeats(after) {
            // Nobody can say which of two fields of one name became which.
            self.found.changed += 1;
            self.found.elsewhere += 1;
            return;
        }
        let changes = changes(before, after);
        if changes.is_empty() {
            self.found.reordered += 1;
            example(&mut self.found.reordered_examples, before);
            return;
        }
        self.found.changed += 1;
        let mut elsewhere = false;
        // Elements of one array have one path, and a document counts once.
        let mut seen: Vec<&str> = Vec::with_capacity(changes.len());
        for change in &changes {
            if seen.contains(&change.path.as_str()) {
                continue;
            }
            seen.push(&change.path);
            if !self.fields.contains_key(&change.path) && self.fields.len() == FIELDS {
                elsewhere = true;
                continue;
            }
            let field = self.fields.entry(change.path.clone()).or_default();
            field.documents += 1;
            field.lost += i64::from(change.after.is_none());
            field.gained += i64::from(change.before.is_none());
            if field.examples.len() < EXAMPLES {
                let (was, is) = (change.before.as_ref().map(shown), change.after.as_ref().map(shown));
                field.examples.push(Example { id: id(before), before: was, after: is });
            }
        }
        self.found.elsewhere += i64::from(elsewhere);
    }

    /// A document that is there no more.
    pub fn missing(&mut self, before: &[u8]) {
        self.found.before += 1;
        self.found.missing += 1;
        example(&mut self.found.missing_examples, before);
    }

    /// A document that was not there.
    pub fn added(&mut self, after: &[u8]) {
        self.found.after += 1;
        self.found.added += 1;
        example(&mut self.found.added_examples, after);
    }

    /// All of it.
    pub fn finish(mut self) -> DocumentDifferences {
        for (path, field) in self.fields {
            self.found.fields.push(FieldDifference { field: path, ..field });
        }
        self.found
    }
}

fn example(examples: &mut Vec<String>, document: &[u8]) {
    if examples.len() < EXAMPLES {
        examples.push(id(document));
    }
}

fn id(document: &[u8]) -> String {
    raw::get(document, "_id").as_ref().map_or_else(|| "no _id".to_owned(), shown)
}

/// A value as Extended JSON, or its size where it holds what no text can show.
fn shown(element: &Element<'_>) -> String {
    let mut builder = Builder::new();
    builder.value(element.kind, b"v", element.value);
    let decoded = bson::Document::try_from(builder.finish().as_ref());
    match decoded.ok().and_then(|mut it| it.remove("v")) {
        Some(value) => crate::error::message::show(&value),
        None => format!("{} bytes that cannot be shown", element.value.len()),
    }
}

#[cfg(test)]
mod tests {
    use bson::{Document, RawDocumentBuf, doc};

    use super::*;

    fn raw_of(document: &Document) -> RawDocumentBuf {
        RawDocumentBuf::try_from(document).expect("encodes")
    }

    fn tally(pairs: &[(Document, Document)]) -> DocumentDifferences {
        let mut tally = Tally::default();
        for (before, after) in pairs {
            tally.both(raw_of(before).as_bytes(), raw_of(after).as_bytes());
        }
        tally.finish()
    }

    #[test]
    fn fields_are_named_by_their_paths() {
        let found = tally(&[
            (doc! {"_id": 1, "a": 1, "s": {"x": 1, "y": 2}}, doc! {"_id": 1, "s": {"x": 1, "y": 3}, "b": 2}),
            (doc! {"_id": 2, "a": "t"}, doc! {"_id": 2}),
            (
                doc! {"_id": 3, "q": [{"p": 1, "r": 0}, {"p": 2, "r": 0}]},
                doc! {"_id": 3, "q": [{"p": 5, "r": 0}, {"p": 6, "r": 0}]},
            ),
            (doc! {"_id": 4, "q": [1, 2]}, doc! {"_id": 4, "q": [1]}),
        ]);
        let told: Vec<_> =
            found.fields.iter().map(|it| (it.field.as_str(), it.documents, it.lost, it.gained)).collect();
        assert_eq!(told, [("a", 2, 2, 0), ("b", 1, 0, 1), ("q", 1, 0, 0), ("q[].p", 1, 0, 0), ("s.y", 1, 0, 0)]);
        assert_eq!((found.changed, found.reordered, found.before), (4, 0, 4));
        assert_eq!(
            found.fields[0].examples[1],
            Example { id: "2".to_owned(), before: Some("\"t\"".to_owned()), after: None }
        );
    }

    #[test]
    fn another_order_of_fields_is_named_as_such() {
        let found =
            tally(&[(doc! {"_id": 1, "a": {"x": 1, "y": 2}, "b": 1}, doc! {"_id": 1, "b": 1, "a": {"y": 2, "x": 1}})]);
        assert_eq!((found.changed, found.reordered, found.fields.len()), (0, 1, 0));
        assert_eq!(found.reordered_examples, ["1"]);
        assert!(found.same() && !found.identical());
    }

    #[test]
    fn types_count_and_bytes_without_meaning_are_borne() {
        let found = tally(&[(doc! {"_id": 1, "n": 1_i32}, doc! {"_id": 1, "n": 1_i64})]);
        assert_eq!((found.changed, found.fields[0].field.as_str()), (1, "n"));
        let twice = |value: u8| {
            let mut builder = Builder::new();
            builder.value(0x08, b"_id", &[1]);
            builder.value(0x08, b"\xff", &[0]);
            builder.value(0x08, b"\xff", &[value]);
            builder.finish()
        };
        let mut tally = Tally::default();
        tally.both(twice(0).as_bytes(), twice(1).as_bytes());
        let found = tally.finish();
        assert_eq!((found.changed, found.elsewhere, found.fields.len()), (1, 1, 0));
    }

    #[test]
    fn further_fields_are_counted_together() {
        let wide = |value: i32| {
            let mut document = doc! {"_id": 1};
            for at in 0..150 {
                document.insert(format!("f{at}"), value);
            }
            document
        };
        let found = tally(&[(wide(1), wide(2))]);
        assert_eq!((found.fields.len(), found.elsewhere, found.changed), (FIELDS, 1, 1));
    }
}
