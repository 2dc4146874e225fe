//! The only place that takes secrets out of text.
//!
//! A connection string is read apart only if nothing in it can be misread: one `@` at most, hosts that are hosts, options that are
//! known to hold no secret. Of any other, whose password may stand anywhere, nothing is shown but the scheme.

const SCHEMES: [&str; 2] = ["mongodb://", "mongodb+srv://"];
/// Options whose values are shown, in lower case. Of all others the name is hidden, too: in a string that a password has cut
/// in two, it may be a part of that password.
const SHOWN_OPTIONS: [&str; 14] = [
    "authmechanism",
    "authsource",
    "connecttimeoutms",
    "directconnection",
    "journal",
    "loadbalanced",
    "readpreference",
    "replicaset",
    "retrywrites",
    "serverselectiontimeoutms",
    "ssl",
    "tls",
    "w",
    "wtimeoutms",
];
const HIDDEN: &str = "***";

/// Replaces what may be secret in every MongoDB connection string in `text` by `***`.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, scheme)) = next_scheme(rest) {
        let after = at + scheme.len();
        out.push_str(&rest[..after]);
        rest = &rest[after..];
        let end = end_of(rest);
        out.push_str(&shown(&rest[..end]).unwrap_or_else(|| HIDDEN.to_owned()));
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// Where a connection string leads, for people: its hosts and the database, nothing else. `***` in place of hosts that
/// cannot be told from a password.
pub fn describe_target(uri: &str, database: &str) -> String {
    let after_scheme = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let hosts = UriParts::of(after_scheme).map_or(HIDDEN, |parts| parts.hosts);
    format!("{hosts}/{database}")
}

fn next_scheme(text: &str) -> Option<(usize, &'static str)> {
    SCHEMES.iter().filter_map(|scheme| text.find(scheme).map(|at| (at, *scheme))).min()
}

/// Where a connection string in a text ends: at a blank or a quotation mark, but not before an `@` that may still belong
/// to its credentials.
fn end_of(rest: &str) -> usize {
    let line = rest.find(['\n', '\r']).unwrap_or(rest.len());
    let from = rest[..line].find("://").map_or_else(|| rest[..line].rfind('@'), |next| rest[..next].rfind('@'));
    let from = from.unwrap_or(0);
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>');
    rest[from..].find(ends).map_or(rest.len(), |end| from + end)
}

/// A connection string behind its scheme, as far as it can be read without doubt.
struct UriParts<'a> {
    credentials: bool,
    hosts: &'a str,
    path: &'a str,
    options: Option<&'a str>,
}

impl<'a> UriParts<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (before, options) = match text.split_once('?') {
            Some((before, options)) => (before, Some(options)),
            None => (text, None),
        };
        let (location, path) = before.split_once('/').unwrap_or((before, ""));
        let (credentials, hosts) = match location.rsplit_once('@') {
            Some((userinfo, hosts)) => (Some(userinfo), hosts),
            None => (None, location),
        };
        let doubtful = path.contains('@')
            || options.is_some_and(|it| it.contains('@'))
            || credentials.is_some_and(|it| it.contains('@') || it.matches(':').count() > 1);
        (!doubtful && hosts.split(',').all(is_host)).then_some(Self {
            credentials: credentials.is_some(),
            hosts,
            path,
            options,
        })
    }
}

/// Whether it is a name or address with an optional port. `user:password` without a host is none, unless the password is a
/// port's number.
fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_port = |port: &str| port.is_empty() || (port.len() <= 5 && port.chars().all(|c| c.is_ascii_digit()));
    if text.ends_with(".sock") {
        return text.chars().all(|c| plain(c) || c == '%');
    }
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return address.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.' | '%'))
            && is_port(port.strip_prefix(':').unwrap_or(port));
    }
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    !name.is_empty() && name.chars().all(plain) && is_port(port)
}

/// What of a connection string behind its scheme is shown; `None` for one that cannot be read without doubt.
fn shown(rest: &str) -> Option<String> {
    // A sentence may end right after it.
    let text = rest.trim_end_matches(['.', ',', ';', ':', ')', ']']);
    let parts = UriParts::of(text).or_else(|| UriParts::of(rest))?;
    let mut out = String::new();
    if parts.credentials {
        out.push_str("***@");
    }
    out.push_str(parts.hosts);
    if !parts.path.is_empty() {
        out.push('/');
        out.push_str(parts.path);
    } else if parts.options.is_some() {
        out.push('/');
    }
    if let Some(options) = parts.options {
        let options: Vec<&str> = options.split(['&', ';']).map(shown_option).collect();
        out.push('?');
        out.push_str(&options.join("&"));
    }
    out.push_str(&rest[text.len()..]);
    Some(out)
}

fn shown_option(option: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match option.split_once('=') {
        Some((name, value))
            if SHOWN_OPTIONS.contains(&name.to_ascii_lowercase().as_str()) && value.chars().all(plain) =>
        {
            option
        }
        _ => HIDDEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_never_survive() {
        let text = "cannot reach mongodb://app:s3cr3t@db1:27017,db2/x?replicaSet=rs0 or \
                    'mongodb+srv://a:pw@cluster.example/?authSource=admin&tlsCertificateKeyFilePassword=hush'";
        let shown = redact(text);
        for secret in ["s3cr3t", "app:", "pw@", "hush"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        assert!(shown.contains("mongodb://***@db1:27017,db2/x?replicaSet=rs0 or"), "{shown}");
        assert!(shown.contains("cluster.example/?authSource=admin&***'"), "{shown}");
        assert_eq!(redact("no uri here"), "no uri here");
        assert_eq!(redact("at mongodb://h:1/x."), "at mongodb://h:1/x.");
    }

    #[test]
    fn of_what_can_be_misread_nothing_is_shown() {
        for text in [
            "mongodb://u:hun?ter2@h/db",
            "mongodb://u:hun/ter2@h/db",
            "mongodb://u:hun#ter2",
            "mongodb://u:hunter2",
            "mongodb://u:hun@ter2@h",
            "mongodb://u:hun:ter2@h",
            "mongodb://u:hun ter2@h/db and more",
            "mongodb://u:hun'ter2@h/db",
            "mongodb://h/?authMechanismProperties=X:hun@ter2",
            "mongodb://u:x?hunter2=1&ter2=3@h",
            "mongodb://:hunter2@",
            "mongodb+srv://u:hun?ter2",
            "mongodb://h/?tlsCertificateKeyFilePassword=hunter2;tls=true",
            "mongodb://h/?appName=hunter2",
        ] {
            let shown = redact(text);
            assert!(!shown.contains("ter2"), "{text}: {shown}");
            assert!(!shown.contains("hun"), "{text}: {shown}");
            let target = describe_target(text, "db");
            assert!(!target.contains("ter2") && !target.contains("hun"), "{text}: {target}");
        }
    }

    #[test]
    fn a_target_is_hosts_and_database() {
        assert_eq!(describe_target("mongodb://u:p@h1,h2:27018/admin?tls=true", "edulearn"), "h1,h2:27018/edulearn");
        assert_eq!(describe_target("mongodb://localhost", "x"), "localhost/x");
        assert_eq!(describe_target("mongodb://[::1]:27017/", "x"), "[::1]:27017/x");
        assert_eq!(describe_target("mongodb://%2Ftmp%2Fm.sock", "x"), "%2Ftmp%2Fm.sock/x");
    }
}
