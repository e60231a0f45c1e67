//! Machine code on the disk, so that a kernel is compiled once for a machine.
//!
//! A file has everything that its machine code depends on in front of the code, and that is compared: its name only says where
//! to look. Behind it stand the length and a checksum of the code, as the driver believes what it is given.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::nvrtc;

/// The variable that names the folder.
pub(crate) const FOLDER_VARIABLE: &str = "SABOT_CUBINS";

/// The folder that kernels are kept in: that of the variable, or one in the user's cache; none where there is no home.
pub(crate) fn folder() -> Option<PathBuf> {
    let of = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    of(FOLDER_VARIABLE)
        .or_else(|| of("XDG_CACHE_HOME").map(|cache| cache.join("sabot/cubins")))
        .or_else(|| of("HOME").map(|home| home.join(".cache/sabot/cubins")))
}

/// Everything that the machine code of a text depends on.
pub(crate) fn key(text: &str, architecture: &str, compiler: (i32, i32)) -> String {
    let (options, (major, minor)) = (nvrtc::options(architecture).join(" "), compiler);
    format!("sabot {} NVRTC {major}.{minor} {options}\n{text}", env!("CARGO_PKG_VERSION"))
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

fn name(key: &str) -> String {
    format!("{:016x}.cubin", hash(key.as_bytes()))
}

/// What stands between key and code.
fn seal(code: &[u8]) -> [u8; 16] {
    let mut seal = [0; 16];
    seal[..8].copy_from_slice(&(code.len() as u64).to_le_bytes());
    seal[8..].copy_from_slice(&hash(code).to_le_bytes());
    seal
}

/// The code of a file, if it is whole and of this key.
fn code_of<'a>(file: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let (found, code) = file.strip_prefix(key.as_bytes())?.split_at_checked(16)?;
    (found == seal(code)).then_some(code)
}

/// What lies in the folder under a key, else what `compile` makes, which is then kept there. A folder that cannot be
/// written is no fault: then everybody compiles.
pub(crate) fn get_or(
    folder: Option<&Path>,
    key: &str,
    compile: impl FnOnce() -> Result<Vec<u8>, String>,
) -> Result<Vec<u8>, String> {
    static WRITERS: AtomicU32 = AtomicU32::new(0);
    let path = folder.map(|folder| folder.join(name(key)));
    let known = path.as_ref().and_then(|path| fs::read(path).ok());
    if let Some(code) = known.as_ref().and_then(|file| code_of(file, key)) {
        return Ok(code.to_vec());
    }
    let code = compile()?;
    if let (Some(folder), Some(path)) = (folder, path) {
        let writer = WRITERS.fetch_add(1, Ordering::Relaxed);
        let unfinished = path.with_extension(format!("{}.{writer}", std::process::id()));
        let kept = fs::create_dir_all(folder)
            .and_then(|()| fs::write(&unfinished, [key.as_bytes(), &seal(&code), &code].concat()))
            .and_then(|()| fs::rename(&unfinished, path));
        if let Err(error) = kept {
            tracing::debug!(folder = %folder.display(), %error, "a kernel is not kept");
        }
    }
    Ok(code)
}
