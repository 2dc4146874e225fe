//! Numbers with the word that goes with them.

use std::fmt::Display;

/// As in `1 document` and `2 documents`.
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(number: N, thing: &str) -> String {
    format!("{number} {thing}{}", if number == N::from(1) { "" } else { "s" })
}

/// As in `1 document is done` and `2 documents are done`.
pub fn counted_are<N: Copy + Display + PartialEq + From<u8>>(number: N, thing: &str) -> String {
    format!("{} {}", counted(number, thing), if number == N::from(1) { "is" } else { "are" })
}

#[cfg(test)]
mod tests {
    use super::{counted, counted_are};

    #[test]
    fn one_is_one() {
        assert_eq!(counted(0_i64, "document"), "0 documents");
        assert_eq!(counted(1_usize, "document"), "1 document");
        assert_eq!(counted_are(1_u64, "document"), "1 document is");
        assert_eq!(counted_are(2_i32, "document"), "2 documents are");
    }
}
