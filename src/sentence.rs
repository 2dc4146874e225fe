//! The end of a sentence.

/// The text with exactly one mark at its end: a full stop, unless it ends with another one.
pub fn sentence(text: impl Into<String>) -> String {
    let mut text = text.into();
    text.truncate(unended(&text).len());
    if !text.ends_with(['?', '!', '…']) && !text.ends_with("...") {
        text.push('.');
    }
    text
}

/// The text without full stops at its end, to be put into a sentence. An ellipsis stays.
pub fn unended(text: &str) -> &str {
    let text = text.trim_end();
    if text.ends_with("...") { text } else { text.trim_end_matches('.') }
}

#[cfg(test)]
mod tests {
    use super::{sentence, unended};

    #[test]
    fn a_sentence_ends_once() {
        for (text, wanted) in [
            ("it is gone", "it is gone."),
            ("it is gone.", "it is gone."),
            ("it is gone..", "it is gone."),
            ("did you mean \"type\"?", "did you mean \"type\"?"),
            ("cut off…", "cut off…"),
            ("see above. ", "see above."),
        ] {
            assert_eq!(sentence(text), wanted);
        }
        assert_eq!(unended("Authentication failed."), "Authentication failed");
        assert_eq!(unended("wait..."), "wait...");
    }
}
