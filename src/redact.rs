//! The only place that takes secrets out of text.
//!
//! Connection strings carry credentials before the `@` of their authority and sometimes in their
//! options (`authMechanismProperties`, `tlsCertificateKeyFilePassword`). Every message that may
//! quote one passes through here.

const SCHEMES: [&str; 2] = ["mongodb://", "mongodb+srv://"];
const SECRET_OPTIONS: [&str; 4] =
    ["authmechanismproperties=", "tlscertificatekeyfilepassword=", "proxypassword=", "password="];

/// Replaces the credentials of every MongoDB connection string in `text` by `***`.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, scheme)) = next_scheme(rest) {
        let after = at + scheme.len();
        out.push_str(&rest[..after]);
        rest = &rest[after..];
        let end =
            rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>')).unwrap_or(rest.len());
        out.push_str(&redact_authority_and_options(&rest[..end]));
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// Where a connection string leads, for people: its hosts and the database, nothing else.
pub fn describe_target(uri: &str, database: &str) -> String {
    let after_scheme = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    // A password may hold any character, `/` and `?` too where it was not escaped: the last `@`
    // ends the credentials.
    let hosts_on = after_scheme.rsplit_once('@').map_or(after_scheme, |(_, rest)| rest);
    let hosts = hosts_on.split(['/', '?']).next().unwrap_or_default();
    format!("{hosts}/{database}")
}

fn next_scheme(text: &str) -> Option<(usize, &'static str)> {
    SCHEMES.iter().filter_map(|scheme| text.find(scheme).map(|at| (at, *scheme))).min()
}

fn redact_authority_and_options(rest: &str) -> String {
    let visible = match rest.rsplit_once('@') {
        Some((_, hosts)) => format!("***@{hosts}"),
        None => rest.to_owned(),
    };
    let Some((address, query)) = visible.split_once('?') else {
        return visible;
    };
    let options: Vec<String> = query.split('&').map(redact_option).collect();
    format!("{address}?{}", options.join("&"))
}

fn redact_option(option: &str) -> String {
    let lower = option.to_ascii_lowercase();
    match SECRET_OPTIONS.iter().find(|name| lower.starts_with(**name)) {
        Some(name) => format!("{}***", &option[..name.len()]),
        None => option.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_never_survive() {
        let text = "cannot reach mongodb://app:s3cr3t@db1:27017,db2/x?replicaSet=rs0 or \
                    'mongodb+srv://a:p@ss/w?rd@cluster.example/?authSource=admin&tlsCertificateKeyFilePassword=hush'";
        let shown = redact(text);
        for secret in ["s3cr3t", "app:", "p@ss", "w?rd", "hush"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        assert!(shown.contains("mongodb://***@db1:27017,db2/x?replicaSet=rs0"));
        assert!(shown.contains("cluster.example"));
        assert_eq!(redact("no uri here"), "no uri here");
    }

    #[test]
    fn a_target_is_hosts_and_database() {
        assert_eq!(describe_target("mongodb://u:p@h1,h2:27018/admin?tls=true", "edulearn"), "h1,h2:27018/edulearn");
        assert_eq!(describe_target("mongodb://localhost", "x"), "localhost/x");
    }
}
