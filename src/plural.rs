//! Numbers with the word that goes with them.

use std::fmt::Display;

/// A whole number with separators, as in `1,234`.
pub fn number(number: impl Display) -> String {
    let text = number.to_string();
    let (sign, digits) = text.split_at(usize::from(text.starts_with('-')));
    let mut grouped = sign.to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// As in `1 document`, `1,234 documents` and `2 indexes`.
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, thing: &str) -> String {
    let ending = match thing.chars().last() {
        _ if count == N::from(1) => "",
        Some('s' | 'x') => "es",
        _ => "s",
    };
    format!("{} {thing}{ending}", number(count))
}

/// As in `1 document is` and `1,234 documents are`.
pub fn counted_are<N: Copy + Display + PartialEq + From<u8>>(count: N, thing: &str) -> String {
    format!("{} {}", counted(count, thing), if count == N::from(1) { "is" } else { "are" })
}

/// As in `1 index was` and `1,234 indexes were`.
pub fn counted_were<N: Copy + Display + PartialEq + From<u8>>(count: N, thing: &str) -> String {
    format!("{} {}", counted(count, thing), if count == N::from(1) { "was" } else { "were" })
}

#[cfg(test)]
mod tests {
    use super::{counted, counted_are, counted_were, number};

    #[test]
    fn numbers_have_separators() {
        let shown = [0_i64, 7, 999, 1_000, 12_345, 999_999, 1_000_000, -5, -1_234].map(number);
        assert_eq!(shown, ["0", "7", "999", "1,000", "12,345", "999,999", "1,000,000", "-5", "-1,234"]);
    }

    #[test]
    fn one_is_one() {
        assert_eq!(counted(0_i64, "document"), "0 documents");
        assert_eq!(counted(1_usize, "document"), "1 document");
        assert_eq!(counted(2_544_u64, "document"), "2,544 documents");
        assert_eq!(counted(1_usize, "index"), "1 index");
        assert_eq!(counted(2_usize, "index"), "2 indexes");
        assert_eq!(counted_are(1_u64, "document"), "1 document is");
        assert_eq!(counted_are(2_i32, "document"), "2 documents are");
        assert_eq!(counted_were(1_usize, "index"), "1 index was");
        assert_eq!(counted_were(2_usize, "index"), "2 indexes were");
    }
}
