//! Where in a file each field stands.
//!
//! The reader's values have no positions, so this walks the text once more and notes where the fields and
//! array elements of the upper levels begin. The text has been read: it is well-formed JSON but for tuples.

use std::collections::HashMap;

use crate::model::migration::MAX_OPERATIONS;
use crate::model::script::text::end_of_string;

/// Elements of arrays below this level are not noted: they are documents, and there may be millions.
const ARRAYS_TO: usize = 3;
/// Fields below this level are not noted.
const FIELDS_TO: usize = 5;

/// A line and a column, from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextPosition {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// The positions of a file's fields by their paths, as in `/up/operations/0/filter`.
#[derive(Debug, Default)]
pub struct Positions {
    found: HashMap<String, TextPosition>,
}

/// A bracket that is open.
struct PositionBracket {
    object: bool,
    /// Length of the path outside of it.
    outer: usize,
    /// The next element of an array.
    element: usize,
}

impl Positions {
    /// Those of a text that the reader has read.
    pub fn of(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let bytes = text.as_bytes();
        let mut found = HashMap::new();
        let mut open: Vec<PositionBracket> = Vec::new();
        let mut path = String::new();
        // Whether what comes next in an object is a key.
        let mut key_next = false;
        let (mut line, mut column, mut at) = (1, 0, 0);
        while at < bytes.len() {
            let byte = bytes[at];
            let start = at;
            // Counted along the way: a file may be one line of megabytes.
            column += characters(&bytes[at..=at]);
            let here = TextPosition { line, column };
            match byte {
                b'\n' => {
                    line += 1;
                    column = 0;
                }
                b' ' | b'\t' | b'\r' | b':' => {}
                b',' => key_next = open.last().is_some_and(|inner| inner.object),
                b'}' | b']' | b')' => {
                    if let Some(inner) = open.pop() {
                        path.truncate(inner.outer);
                    }
                    key_next = false;
                }
                _ => {
                    let note = |path: &str, found: &mut HashMap<String, TextPosition>| {
                        found.entry(path.to_owned()).or_insert(here);
                    };
                    if byte == b'"' {
                        at = end_of_string(bytes, at);
                        column += characters(&bytes[start + 1..=at]);
                    }
                    if key_next && byte == b'"' {
                        key_next = false;
                        if let Some(inner) = open.last() {
                            path.truncate(inner.outer);
                        }
                        if open.len() <= FIELDS_TO {
                            let key = text.get(start..=at).unwrap_or_default();
                            path.push('/');
                            path.push_str(&serde_json::from_str::<String>(key).unwrap_or_default());
                            note(&path, &mut found);
                        }
                    } else {
                        let depth = open.len();
                        if let Some(inner) = open.last_mut().filter(|inner| !inner.object)
                            && depth <= ARRAYS_TO
                            && inner.element < MAX_OPERATIONS
                            && starts_value(bytes, start)
                        {
                            path.truncate(inner.outer);
                            path.push_str(&format!("/{}", inner.element));
                            inner.element += 1;
                            note(&path, &mut found);
                        }
                        if open.is_empty() {
                            note("", &mut found);
                        }
                        if matches!(byte, b'{' | b'[' | b'(') {
                            open.push(PositionBracket { object: byte == b'{', outer: path.len(), element: 0 });
                            key_next = byte == b'{';
                        }
                    }
                }
            }
            at += 1;
        }
        Self { found }
    }

    /// Where the path stands, or else the nearest field around it.
    pub fn at(&self, path: &str) -> Option<TextPosition> {
        let mut path = path;
        loop {
            match (self.found.get(path), path.rfind('/')) {
                (Some(position), _) => return Some(*position),
                (None, Some(parent)) => path = &path[..parent],
                (None, None) => return None,
            }
        }
    }
}

/// How many characters begin in these bytes of UTF-8.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0b1100_0000 != 0b1000_0000).count()
}

/// Whether a value begins at `at`, rather than going on there, as the digits of a number do.
fn starts_value(bytes: &[u8], at: usize) -> bool {
    at == 0 || matches!(bytes[at - 1], b' ' | b'\t' | b'\r' | b'\n' | b'[' | b'(' | b',' | b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_operations_are_found() {
        let text = "\u{feff}{\n  \"name\": \"é\", \"up\": {\"operations\": [\n    {\"type\": \"x\", \"a/b\": [(1, 2)]},\n    5, -12.5,\n    {\"t\\u0079pe\": {\"k\": {}}}\n  ]},\n  \"down\": null\n}\n";
        let positions = Positions::of(text);
        let at = |path: &str| positions.at(path).map(|it| (it.line, it.column));
        assert_eq!(at(""), Some((1, 1)));
        assert_eq!(at("/up"), Some((2, 16)));
        assert_eq!(at("/up/operations/0"), Some((3, 5)));
        assert_eq!(at("/up/operations/0/type"), Some((3, 6)));
        assert_eq!(at("/up/operations/1"), Some((4, 5)));
        assert_eq!(at("/up/operations/2"), Some((4, 8)));
        assert_eq!(at("/up/operations/3/type/k"), Some((5, 20)));
        assert_eq!(at("/up/operations/3/nowhere"), Some((5, 5)));
        assert_eq!(at("/down"), Some((7, 3)));
        assert_eq!(at("/missing"), Some((1, 1)));
    }
}
