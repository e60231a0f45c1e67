//! What the client library says, in the words of this project, without secrets.

use object_store::Error;
use sabot_connect::ConnectError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Names of options and of environment variables whose values nobody should see.
const SECRET_NAMES: [&str; 8] =
    ["customer_key", "secret", "token", "password", "credential", "sas", "account_key", "access_key"];

/// The environment variables that the client library reads begin with these.
const PREFIXES: [&str; 3] = ["aws_", "azure_", "google_"];

/// Values that must not be shown.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|part| name.contains(part)) || name == "key"
}

impl Secrets {
    /// The secret ones of these options, and of the environment.
    pub(crate) fn of<'a>(options: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let environment = environment.filter(|(name, _)| {
            let name = name.to_ascii_lowercase();
            PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && is_secret(&name)
        });
        let given = options.filter(|(name, _)| is_secret(name));
        let all = given.map(|(_, value)| value.to_owned()).chain(environment.map(|(_, value)| value));
        // What is that short would be found in any text, and is no secret.
        Self(all.filter(|value| value.len() > 3).collect())
    }

    pub(crate) fn hide(&self, mut text: String) -> String {
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "***");
            }
        }
        text
    }

    /// What went wrong with an object, read up to `offset`.
    pub(crate) fn explain(
        &self,
        action: &'static str,
        path: &Path,
        offset: u64,
        error: Error,
    ) -> ConnectError {
        let path = path.to_owned();
        let text = |error: &dyn fmt::Display| self.hide(one_line(&error.to_string()));
        match error {
            Error::NotFound { .. } => not_found(path),
            Error::PermissionDenied { source, .. } | Error::Unauthenticated { source, .. } => {
                ConnectError::Denied { action, path, reason: text(&source) }
            }
            Error::Precondition { .. } | Error::NotModified { .. } => ConnectError::Changed { path, offset },
            other => match (status(&other.to_string()), text(&other)) {
                (Some(404), _) => not_found(path),
                (Some(401 | 403), reason) => ConnectError::Denied { action, path, reason },
                (_, text) => ConnectError::Io { action, path, source: io::Error::other(text) },
            },
        }
    }
}

fn not_found(path: PathBuf) -> ConnectError {
    ConnectError::NotFound { path, hint: "the store has no such object, or no such bucket".to_owned() }
}

/// The status of an answer to a request that the client library does not tell apart, such as a list. The type
/// that holds it as a number is private to the library.
fn status(text: &str) -> Option<u16> {
    let (_, behind) = text.split_once("Server returned non-2xx status code: ")?;
    behind.get(..3)?.parse().ok()
}

/// Servers answer with pages of markup.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_by_their_names_and_taken_out() {
        let options = [
            ("aws_secret_access_key", "abcd1234"),
            ("region", "eu-west-1"),
            ("sas", "x=y&z"),
            ("token", "x"),
        ];
        let secrets = Secrets::of(options.into_iter());
        let said = secrets.hide("abcd1234 in eu-west-1 with ?x=y&z, x".to_owned());
        assert_eq!(said, "*** in eu-west-1 with ?***, x");
        assert!(!format!("{secrets:?}").contains("abcd"));
    }

    #[test]
    fn what_the_client_says_keeps_its_kind() {
        let secrets = Secrets::of([("password", "hidden!")].into_iter());
        let source = || "it says\n  hidden!".into();
        let path = || "a".to_owned();
        let said = |error| secrets.explain("read", Path::new("s3://b/a"), 7, error);
        assert!(matches!(
            said(Error::NotFound { path: path(), source: source() }),
            ConnectError::NotFound { .. }
        ));
        let changed = said(Error::Precondition { path: path(), source: source() });
        assert!(matches!(changed, ConnectError::Changed { offset: 7, .. }));
        for denied in [
            Error::PermissionDenied { path: path(), source: source() },
            Error::Unauthenticated { path: path(), source: source() },
        ] {
            let denied = said(denied);
            assert!(matches!(denied, ConnectError::Denied { .. }));
            assert!(
                denied.to_string().starts_with("no permission to read s3://b/a: it says ***; check"),
                "{denied}"
            );
        }
        let other = said(Error::Generic { store: "S3", source: source() }).to_string();
        assert_eq!(other, "cannot read s3://b/a: Generic S3 error: it says ***");
        let answered = |status: &str| {
            let source = format!("GET / - Server returned non-2xx status code: {status}: <Error>").into();
            said(Error::Generic { store: "S3", source })
        };
        assert!(matches!(answered("404 Not Found"), ConnectError::NotFound { .. }));
        assert!(matches!(answered("403 Forbidden"), ConnectError::Denied { .. }));
        assert!(matches!(answered("503 Slow Down"), ConnectError::Io { .. }));
    }
}
