//! `"allow": {"EM303": "why it is meant"}`: what `lint` is to pass over, in an operation or a whole file.
//!
//! Every reader checks the form, so that `apply` accepts what `lint` accepts; only `lint` knows the codes.

use serde_json::Value;

/// One finding that is meant as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// The code of the finding.
    pub code: String,
    /// Why it is meant.
    pub reason: String,
}

/// Reads the value of an `allow` field.
///
/// # Errors
/// A sentence: every code must have a reason.
pub fn allowances(value: &Value) -> Result<Vec<Allowance>, String> {
    let Value::Object(codes) = value else {
        return Err("\"allow\" must be an object of codes with reasons, as in {\"EM303\": \"why\"}".to_owned());
    };
    codes
        .iter()
        .map(|(code, reason)| match reason {
            Value::String(reason) if !reason.trim().is_empty() => {
                Ok(Allowance { code: code.clone(), reason: reason.trim().to_owned() })
            }
            _ => Err(format!("\"allow\" must give a reason for {code:?}, as a text that is not empty")),
        })
        .collect()
}
