//! What the client library says, in the words of this project, without secrets.

use object_store::Error;
use sabot_connect::ConnectError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::client::is_option;

/// Names of options whose values may be shown, but for what a URL among them has before its host and behind
/// its path. A name that is not here, such as one that a later version of the client library adds, is taken
/// for that of a secret.
const SHOWN_NAMES: [&str; 55] = [
    "account_name",
    "allow_http",
    "allow_invalid_certificates",
    "authority_host",
    "base_url",
    "bucket",
    "bucket_name",
    "checksum_algorithm",
    "conditional_put",
    "connect_timeout",
    "container_name",
    "copy_if_not_exists",
    "credential_type",
    "default_content_type",
    "default_region",
    "disable_bulk_delete",
    "disable_system_certificates",
    "disable_tagging",
    "endpoint",
    "endpoint_url",
    "endpoint_url_s3",
    "endpoint_url_sts",
    "http1_only",
    "http2_keep_alive_interval",
    "http2_keep_alive_timeout",
    "http2_keep_alive_while_idle",
    "http2_max_frame_size",
    "http2_only",
    "imdsv1_fallback",
    "max_retries",
    "metadata_endpoint",
    "pool_idle_timeout",
    "pool_max_idle_per_host",
    "proxy_excludes",
    "proxy_url",
    "randomize_addresses",
    "read_timeout",
    "region",
    "request_payer",
    "retry_timeout",
    "s3_express",
    "server_side_encryption",
    "skip_signature",
    "sse_bucket_key_enabled",
    "storage_account_name",
    "storage_authority_host",
    "storage_endpoint",
    "storage_use_emulator",
    "timeout",
    "unsigned_payload",
    "use_azure_cli",
    "use_emulator",
    "use_fabric_endpoint",
    "user_agent",
    "virtual_hosted_style_request",
];

/// What options, and the environment variables that the client library reads, may begin with.
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
    let plain = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(&name);
    !SHOWN_NAMES.contains(&plain)
}

/// What is secret of the value of an option.
fn secrets_in(name: &str, value: &str) -> Vec<String> {
    if is_secret(name) {
        return vec![value.to_owned()];
    }
    let (_, rest) = value.split_once("://").unwrap_or(("", value));
    let (place, query) = rest.split_once(['?', '#']).unwrap_or((rest, ""));
    let mut found = vec![query.to_owned()];
    let authority = place.split('/').next().unwrap_or_default();
    if let Some((user, _)) = authority.rsplit_once('@') {
        let password = user.split_once(':').map(|(_, password)| password.to_owned());
        found.extend([format!("{user}@"), user.to_owned()].into_iter().chain(password));
    }
    found
}

impl Secrets {
    /// What is secret of these options, and of the environment variables that the client library reads.
    pub(crate) fn of<'a>(options: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?.to_ascii_lowercase();
            let is_read = PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && is_option(&name);
            is_read.then_some((name, value.into_string().ok()?))
        });
        let given = options.flat_map(|(name, value)| secrets_in(name, value));
        let all = given.chain(environment.flat_map(|(name, value)| secrets_in(&name, &value)));
        // What is that short would be found in any text, and is no secret.
        let mut all: Vec<String> = all.filter(|value| value.len() > 3).collect();
        // Nothing is left of one that another is a part of.
        all.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self(all)
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
    fn only_what_is_known_to_be_harmless_is_shown() {
        for name in
            ["aws_access_key_id", "azure_storage_master_key", "azure_storage_encryption_key", "master_key"]
                .into_iter()
                .chain([
                    "AWS_SSE_CUSTOMER_KEY_BASE64",
                    "google_service_account",
                    "sas_token",
                    "of_a_later_version",
                ])
        {
            assert!(is_secret(name), "{name}");
        }
        for name in SHOWN_NAMES {
            let names = ["", "aws_", "azure_", "google_"].map(|prefix| format!("{prefix}{name}"));
            let is_known = names.iter().any(|name| is_option(name)) || name.contains("retr");
            assert!(is_known && names.iter().all(|name| !is_secret(name)), "{name}");
        }
        let options = [
            ("proxy_url", "http://me:pass@word@proxy:3128"),
            ("aws_endpoint", "https://user:hidden@host:9000/a?sig=signed"),
            ("aws_region", "a@b"),
            ("token", "pass"),
        ];
        let secrets = Secrets::of(options.into_iter());
        let said = |text: &str| secrets.hide(text.to_owned());
        assert_eq!(said("proxy http://me:pass@word@proxy:3128 fails"), "proxy http://***proxy:3128 fails");
        assert_eq!(said("https://user:hidden@host:9000/a?sig=signed"), "https://***host:9000/a?***");
        assert_eq!(said("pass@word, hidden, https://host:9000"), "***, ***, https://host:9000");
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
