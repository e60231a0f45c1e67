//! The compiler.
#![allow(unsafe_code, reason = "the functions of a C library")]

use cudarc::nvrtc::{result, sys};
use std::ffi::CString;
use std::sync::Mutex;

/// One compilation at a time: the library is not made for more.
static COMPILER: Mutex<()> = Mutex::new(());

/// The options of every kernel. Products and sums are not contracted, so that floats are those of the CPU.
const OPTIONS: [&str; 2] = ["--fmad=false", "--std=c++17"];

/// What changes the machine code besides the text, in words.
pub(crate) fn options(architecture: &str) -> Vec<String> {
    let mut options = vec![format!("--gpu-architecture={architecture}")];
    options.extend(OPTIONS.map(str::to_owned));
    options
}

/// Its version; none where the library is not found.
pub(crate) fn version() -> Option<(i32, i32)> {
    // SAFETY: opens libraries by the names of NVRTC and closes them again.
    if !unsafe { sys::is_culib_present() } {
        return None;
    }
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both point to integers that live as long as the call. The library is there.
    unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) }.result().ok()?;
    Some((major, minor))
}

/// The machine code of a text for an architecture such as `sm_90`.
///
/// # Errors
/// What the compiler says.
pub(crate) fn compile(text: &str, architecture: &str) -> Result<Vec<u8>, String> {
    let text = CString::new(text).map_err(|error| error.to_string())?;
    let _one = COMPILER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let program = result::create_program(&text, None).map_err(|error| format!("{error:?}"))?;
    let compiled = compile_program(program, &options(architecture));
    // SAFETY: the program was created above, and nobody uses it any more.
    let destroyed = unsafe { result::destroy_program(program) };
    let code = compiled?;
    destroyed.map_err(|error| format!("{error:?}"))?;
    Ok(code)
}

fn compile_program(program: sys::nvrtcProgram, options: &[String]) -> Result<Vec<u8>, String> {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    // SAFETY: the caller has created the program and destroys it afterwards; its text outlives both.
    if let Err(error) = unsafe { result::compile_program(program, &options) } {
        // SAFETY: as above.
        let log = unsafe { result::get_program_log(program) }.unwrap_or_default();
        let log: Vec<u8> = log.into_iter().map(|c| c as u8).take_while(|c| *c != 0).collect();
        return Err(format!("{error:?}: {}", String::from_utf8_lossy(&log)));
    }
    let mut bytes = 0;
    // SAFETY: the program is compiled; the size is written to a local variable.
    unsafe { sys::nvrtcGetCUBINSize(program, &raw mut bytes) }.result().map_err(|e| format!("{e:?}"))?;
    let mut code = vec![0u8; bytes];
    // SAFETY: the buffer has the size that the library has just named.
    unsafe { sys::nvrtcGetCUBIN(program, code.as_mut_ptr().cast()) }
        .result()
        .map_err(|e| format!("{e:?}"))?;
    Ok(code)
}
