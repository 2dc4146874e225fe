//! The integers of a script: JSON has them of any length, and BSON of 64 bits.

use super::text::end_of_string;

/// Turns `-0` into `0`, an integer as JSON has it, and finds the first integer that does not fit into 64 bits. The
/// result has the length of the text.
pub fn integers(text: String) -> (String, Option<usize>) {
    let (mut zeros, mut too_large) = (Vec::new(), None);
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = end_of_string(bytes, at),
            b'-' | b'0'..=b'9' => {
                let number = number_at(&text, at);
                let whole = !number.contains(['.', 'e', 'E']);
                if number == "-0" {
                    zeros.push(at);
                } else if whole && number != "-" && number.parse::<i64>().is_err() {
                    too_large = too_large.or(Some(at));
                }
                at += number.len() - 1;
            }
            _ => {}
        }
        at += 1;
    }
    if zeros.is_empty() {
        return (text, too_large);
    }
    let mut bytes = text.into_bytes();
    zeros.into_iter().for_each(|at| bytes[at] = b' ');
    // Only ASCII bytes were replaced by ASCII bytes.
    (String::from_utf8(bytes).unwrap_or_default(), too_large)
}

/// The number that begins at `at`.
fn number_at(text: &str, at: usize) -> &str {
    let rest = &text[at..];
    let end = rest.find(|c: char| !matches!(c, '0'..='9' | '.' | 'e' | 'E' | '+' | '-')).unwrap_or(rest.len());
    &rest[..end]
}

/// What is wrong with the integer at `at`, and how to write it.
pub fn does_not_fit(text: &str, at: usize) -> String {
    let number = number_at(text, at);
    let digits = number.trim_start_matches('-').len();
    if digits <= DECIMAL_DIGITS {
        format!("{number} does not fit into 64 bits; write {{\"$numberDecimal\": \"{number}\"}}")
    } else {
        format!("an integer of {digits} digits fits into no number of BSON; write it as a text")
    }
}

/// How many digits a Decimal128 holds.
const DECIMAL_DIGITS: usize = 34;
