//! Python's tuples, which scripts may write instead of arrays.

use super::text::{SyntaxError, end_of_string, error_at};

/// What an open bracket waits for.
struct OpenBracket {
    bracket: u8,
    at: usize,
    /// Position of the last comma directly inside, if nothing follows it yet.
    trailing_comma: Option<usize>,
    commas: usize,
    empty: bool,
}

/// Replaces `(`…`)` outside strings by `[`…`]`, and the trailing comma that Python wants in a tuple of one
/// by a space. The result has the length of the text.
///
/// # Errors
/// [`SyntaxError`] for parentheses that are no tuple.
pub(super) fn tuples_as_arrays(text: &str) -> Result<String, SyntaxError> {
    let mut bytes = text.as_bytes().to_vec();
    if !bytes.contains(&b'(') {
        return Ok(text.to_owned());
    }
    let mut open: Vec<OpenBracket> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let begins_a_value = !byte.is_ascii_whitespace() && !matches!(byte, b')' | b']' | b'}' | b',');
        if let Some(inner) = open.last_mut().filter(|_| begins_a_value) {
            inner.trailing_comma = None;
            inner.empty = false;
        }
        match byte {
            b'"' => at = end_of_string(&bytes, at),
            b'(' if !value_may_begin(&bytes[..at]) => {
                return Err(error_at(
                    text,
                    at,
                    "a tuple is not allowed here: scripts are JSON and are never run as code",
                ));
            }
            b'(' | b'[' | b'{' => {
                open.push(OpenBracket { bracket: byte, at, trailing_comma: None, commas: 0, empty: true });
                if byte == b'(' {
                    bytes[at] = b'[';
                }
            }
            b',' => {
                if let Some(inner) = open.last_mut() {
                    inner.trailing_comma = Some(at);
                    inner.commas += 1;
                }
            }
            b')' => {
                let tuple = open
                    .pop()
                    .filter(|inner| inner.bracket == b'(')
                    .ok_or_else(|| error_at(text, at, "this `)` closes nothing"))?;
                if tuple.commas == 0 && !tuple.empty {
                    return Err(error_at(
                        text,
                        tuple.at,
                        "one value in parentheses is no tuple in Python either; write [ ] for an array",
                    ));
                }
                if let Some(comma) = tuple.trailing_comma {
                    if tuple.empty {
                        return Err(error_at(text, comma, "a value is missing before this comma"));
                    }
                    bytes[comma] = b' ';
                }
                bytes[at] = b']';
            }
            b']' | b'}' => {
                let matching = if byte == b']' { b'[' } else { b'{' };
                if open.pop().is_none_or(|inner| inner.bracket != matching) {
                    return Err(error_at(text, at, "this bracket closes nothing, or not the one that is open"));
                }
            }
            _ => {}
        }
        at += 1;
    }
    if let Some(tuple) = open.iter().find(|inner| inner.bracket == b'(') {
        return Err(error_at(text, tuple.at, "this `(` is never closed"));
    }
    // Only ASCII bytes were replaced by ASCII bytes.
    String::from_utf8(bytes).map_err(|_| error_at(text, 0, "not UTF-8"))
}

/// Whether a value may begin behind `before`; behind a name it would be a call.
fn value_may_begin(before: &[u8]) -> bool {
    before
        .iter()
        .rev()
        .find(|byte| !byte.is_ascii_whitespace())
        .is_none_or(|byte| matches!(byte, b'[' | b'{' | b':' | b','))
}
