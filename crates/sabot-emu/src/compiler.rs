//! The C++ compiler.

use sabot_gpu_ops::KernelSource;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;

const HEADER: &str = include_str!("emu.h");
/// Where what blocks share begins and ends.
const FOOTER: &str = "
extern \"C\" char __start_emu_shared[] __attribute__((weak, visibility(\"hidden\")));
extern \"C\" char __stop_emu_shared[] __attribute__((weak, visibility(\"hidden\")));
extern \"C\" void emu_bounds(char** from, char** to) {
  *from = __start_emu_shared;
  *to = __stop_emu_shared;
}
";
const RUNTIME: &str = include_str!("runtime.cpp");

/// How kernels are compiled and run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmuOptions {
    /// Under sanitizers for addresses and undefined behaviour: several times slower, and every access is checked.
    pub sanitize: bool,
    /// The seed of the order in which warps run; each launch has the next.
    pub seed: u32,
}

/// Kernels cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum EmuError {
    /// There is no compiler.
    #[error(
        "no C++ compiler: {compiler} could not be started ({reason}); install one that is called c++, or name it in CXX"
    )]
    NoCompiler {
        /// What was tried.
        compiler: String,
        /// What the system said.
        reason: String,
    },
    /// It does not accept the text.
    #[error("{compiler} does not accept a kernel:\n{message}")]
    Refused {
        /// The compiler.
        compiler: String,
        /// What it said.
        message: String,
    },
    /// Files could not be written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// A compiled kernel.
#[derive(Debug)]
pub(crate) struct Executable {
    pub(crate) runtime: PathBuf,
    /// The file that it is in, perhaps with others.
    pub(crate) kernel: PathBuf,
    /// The number of its first entry there.
    pub(crate) first: u32,
    /// Files stay as long as somebody may run them.
    _folder: Arc<TempDir>,
}

/// A compiler, and the folder that it works in.
#[derive(Debug)]
pub(crate) struct Compiler {
    name: String,
    options: EmuOptions,
    folder: Arc<TempDir>,
    /// What was compiled before, by its text.
    kernels: Mutex<Kernels>,
}

type Kernels = HashMap<String, Arc<Executable>>;

impl Compiler {
    pub(crate) fn new(options: EmuOptions) -> Result<Self, EmuError> {
        let name = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let folder = Arc::new(tempfile::Builder::new().prefix("sabot-emu-").tempdir()?);
        let this = Self { name, options, folder, kernels: Mutex::default() };
        std::fs::write(this.path("runtime.cpp"), RUNTIME)?;
        // The scheduler is compiled once, and with care. Kernels find it and the functions of floats in it.
        let options = ["-O2", "-rdynamic", "-Wl,--no-as-needed", "-o"];
        this.run(&options, &this.path("runtime"), &[&this.path("runtime.cpp")], &["-lm", "-ldl"])?;
        Ok(this)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn compile(&self, source: &KernelSource) -> Result<Arc<Executable>, EmuError> {
        let mut kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        if !kernels.contains_key(&source.text) {
            self.compile_into(&mut kernels, &[source])?;
        }
        Ok(kernels[&source.text].clone())
    }

    /// Compiles kernels into one file, of which each is found afterwards: starting the compiler takes longer than a kernel.
    pub(crate) fn compile_together(&self, sources: &[KernelSource]) -> Result<(), EmuError> {
        let mut kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new: Vec<&KernelSource> = Vec::new();
        for source in sources {
            let is_known = |text: &str| kernels.contains_key(text) || new.iter().any(|new| new.text == text);
            if !is_known(&source.text) {
                new.push(source);
            }
        }
        if new.is_empty() { Ok(()) } else { self.compile_into(&mut kernels, &new) }
    }

    fn compile_into(&self, kernels: &mut Kernels, sources: &[&KernelSource]) -> Result<(), EmuError> {
        let number = kernels.len();
        let mut text = HEADER.to_owned();
        let mut call = String::from(
            "\nextern \"C\" void emu_entry(unsigned entry, const unsigned* input, unsigned* output, const unsigned* parameters, \
             unsigned* status, unsigned long long* wide) {\n",
        );
        let mut entries = 0;
        let mut first = Vec::new();
        for (space, source) in sources.iter().enumerate() {
            first.push(entries);
            // Kernels define the same names, constants among them, with other values.
            let _ = writeln!(text, "namespace k{space} {{\n{}\n}}", source.text);
            for line in source.text.lines().map_while(|line| line.strip_prefix("#define ")) {
                let _ = writeln!(text, "#undef {}", line.split(' ').next().unwrap_or_default());
            }
            for entry in source.entries {
                let _ = writeln!(
                    call,
                    "  if (entry == {entries}u) k{space}::{entry}(input, output, parameters, status, wide);"
                );
                entries += 1;
            }
        }
        let file = self.path(&format!("kernel-{number}.cpp"));
        std::fs::write(&file, [&text, &call, "}\n", FOOTER].concat())?;
        let kernel = self.path(&format!("kernel-{number}.so"));
        // A shared object that needs nothing is linked four times as fast as a program.
        self.run(&["-shared", "-fPIC", "-nostdlib", "-o"], &kernel, &[&file], &[])?;
        std::fs::remove_file(file)?;
        for (source, first) in sources.iter().zip(first) {
            let (runtime, kernel, _folder) = (self.path("runtime"), kernel.clone(), self.folder.clone());
            kernels.insert(source.text.clone(), Arc::new(Executable { runtime, kernel, first, _folder }));
        }
        Ok(())
    }

    fn run(&self, options: &[&str], to: &Path, from: &[&Path], libraries: &[&str]) -> Result<(), EmuError> {
        let mut command = Command::new(&self.name);
        command.args(["-std=c++17", "-w", "-ffp-contract=off", "-fno-strict-aliasing"]);
        if self.options.sanitize {
            command.args([
                "-g1",
                "-fsanitize=address,undefined",
                "-fno-sanitize-recover=all",
                "-fno-omit-frame-pointer",
            ]);
        }
        command.args(options).arg(to).args(from).args(libraries);
        let output = command.output().map_err(|error| EmuError::NoCompiler {
            compiler: self.name.clone(),
            reason: error.to_string(),
        })?;
        if output.status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(EmuError::Refused { compiler: self.name.clone(), message })
    }
}
