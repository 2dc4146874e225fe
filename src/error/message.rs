//! The server's and the driver's messages, as they are passed on: short, without documents and without internals.

use super::codes;
use crate::sentence::unended;

/// The longest message that is passed on, in characters.
pub(super) const LONGEST_MESSAGE: usize = 1_000;

/// A server's message without the documents that it quotes: what is stored of an error, in the ledger, in backups and
/// in logs, must not hold the application's data.
pub(super) fn without_documents(code: Option<i32>, message: &str) -> String {
    // "not authorized on shop to execute command { insert: \"users\", documents: [ … ], lsid: …, signature: … }"
    if let Some((before, command)) = message.split_once(" to execute command {") {
        let name: String = command.trim_start().chars().take_while(|it| it.is_ascii_alphanumeric()).collect();
        let collection = command.trim_start()[name.len()..].strip_prefix(": \"").and_then(|it| it.split('"').next());
        let collection = collection.map(|it| format!(" on {it:?}")).unwrap_or_default();
        return format!("{before} to execute the command {name}{collection}");
    }
    // "Cannot create field 'b' in element {a: …}"
    if code == Some(codes::PATH_NOT_VIABLE)
        && let Some((before, element)) = message.split_once(" in element {")
    {
        let name = element.split(':').next().unwrap_or_default();
        return format!("{before} in element {name:?}, which is no document");
    }
    match message.char_indices().nth(LONGEST_MESSAGE) {
        Some((cut, _)) => format!("{}…", &message[..cut]),
        None => message.to_owned(),
    }
}

/// The driver's account of a server selection that failed, without the internals it prints along: each
/// server and why it could not be used.
pub(super) fn selection(message: &str) -> String {
    let servers: Vec<String> = message
        .split("{ Address: ")
        .skip(1)
        .filter_map(|server| {
            let address = server.split([',', ' ']).next()?;
            let error = server.split_once("Error: Kind: ")?.1;
            let error = error.split_once(", labels:").map_or(error, |(error, _)| error);
            Some(format!("{address}: {}", unended(error.trim_start_matches("I/O error: "))))
        })
        .collect();
    if servers.is_empty() { message.to_owned() } else { format!("no server can be used ({})", servers.join("; ")) }
}

/// A value as relaxed Extended JSON, short enough for a message.
pub fn show(value: &bson::Bson) -> String {
    let text = value.clone().into_relaxed_extjson().to_string();
    match text.char_indices().nth(400) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}
