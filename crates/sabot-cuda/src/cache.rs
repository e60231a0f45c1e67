//! Machine code on the disk, so that a kernel is compiled once for a machine.

use std::fs;
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

/// The name of a kernel's file: everything that its machine code depends on.
pub(crate) fn key(text: &str, architecture: &str, compiler: (i32, i32)) -> String {
    let mut hasher = blake3::Hasher::new();
    let version = format!("{}.{} {}", compiler.0, compiler.1, env!("CARGO_PKG_VERSION"));
    for part in [text, &nvrtc::options(architecture).join(" "), &version] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    format!("{}.cubin", hasher.finalize().to_hex())
}

/// What lies in the folder under a name, else what `compile` makes, which is then kept there. A folder that cannot be
/// written is no fault: then everybody compiles.
pub(crate) fn get_or(
    folder: Option<&Path>,
    key: &str,
    compile: impl FnOnce() -> Result<Vec<u8>, String>,
) -> Result<Vec<u8>, String> {
    static WRITERS: AtomicU32 = AtomicU32::new(0);
    let path = folder.map(|folder| folder.join(key));
    // Machine code is an ELF file; something else is what a disk has left of one.
    if let Some(known) = path.as_ref().and_then(|path| fs::read(path).ok()).filter(|code| is_elf(code)) {
        return Ok(known);
    }
    let code = compile()?;
    if let (Some(folder), Some(path)) = (folder, path) {
        let writer = WRITERS.fetch_add(1, Ordering::Relaxed);
        let unfinished = folder.join(format!("{key}.{}.{writer}", std::process::id()));
        let kept = fs::create_dir_all(folder)
            .and_then(|()| fs::write(&unfinished, &code))
            .and_then(|()| fs::rename(&unfinished, path));
        if let Err(error) = kept {
            tracing::debug!(folder = %folder.display(), %error, "a kernel is not kept");
        }
    }
    Ok(code)
}

/// Whether it begins as an ELF file does.
pub(crate) fn is_elf(code: &[u8]) -> bool {
    code.starts_with(b"\x7fELF")
}
