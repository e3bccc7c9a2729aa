//! Lets this crate's tests find the library, and writes the guide's samples as tests: letter for letter, with lines before and after
//! that give them what they lean on.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

struct Sample {
    name: &'static str,
    /// Whether the sample is statements, which need a function around them, or items.
    statements: bool,
    before: &'static str,
    after: &'static str,
}

const MODEL: &str = "use mullama::{Context, ContextParams, Model};\nuse std::sync::Arc;\nlet model = Arc::new(Model::load(\"model.gguf\")?);\n";

const SAMPLES: &[Sample] = &[
    Sample { name: "01_raii", statements: false, before: "", after: "pub fn run(prompt: &str) -> Result<String, mullama::MullamaError> { process_query(prompt) }\n" },
    Sample { name: "02_shared_model", statements: true, before: "", after: "Ok(vec![ctx1, ctx2, ctx3])" },
    Sample { name: "03_kv_cache_type", statements: true, before: "", after: "Ok([params_f16, params_q8, params_q4])" },
    Sample { name: "04_mapped_loading", statements: true, before: "", after: "Ok([model, locked])" },
    Sample { name: "05_context_size", statements: true, before: "use mullama::ContextParams;\n", after: "Ok([short, chat, long])" },
    Sample { name: "06_batch_size", statements: true, before: "use mullama::ContextParams;\n", after: "Ok([params, fast_params])" },
    Sample {
        name: "07_monitoring",
        statements: true,
        before: "use mullama::{Context, ContextParams, Model};\nlet model = std::sync::Arc::new(Model::load(\"model.gguf\")?);\nlet context = Context::new(model, ContextParams::default())?;\n",
        after: "Ok(info)",
    },
    Sample { name: "08_small_context", statements: true, before: "use mullama::{ContextParams, KvCacheType};\n", after: "Ok(params)" },
    Sample { name: "09_partial_offload", statements: true, before: "use mullama::ModelBuilder;\n", after: "Ok(model)" },
    Sample {
        name: "10_reuse",
        statements: true,
        before: "@MODEL@let prompts = vec![\"A cat\".to_string(), \"A dog\".to_string()];\n",
        after: "Ok(context)",
    },
    Sample { name: "11_out_of_memory", statements: false, before: "use mullama::{Model, ModelBuilder, MullamaError};\n", after: "pub fn run(path: &str) -> Result<Model, MullamaError> { load_with_fallback(path) }\n" },
];

const RESULTS: &[(&str, &str)] = &[
    ("02_shared_model", "Vec<mullama::Context>"),
    ("03_kv_cache_type", "[mullama::ContextParams; 3]"),
    ("04_mapped_loading", "[mullama::Model; 2]"),
    ("05_context_size", "[mullama::ContextParams; 3]"),
    ("06_batch_size", "[mullama::ContextParams; 2]"),
    ("07_monitoring", "mullama::MemoryInfo"),
    ("08_small_context", "mullama::ContextParams"),
    ("09_partial_offload", "mullama::Model"),
    ("10_reuse", "mullama::Context"),
];

fn main() {
    if let Some(folder) = env::var_os("DEP_MULLAMA_FOLDER") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", Path::new(&folder).display());
    }
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/guide/samples");
    println!("cargo:rerun-if-changed=build.rs");
    let mut functions = String::new();
    let mut documentation = String::new();
    if samples.exists() {
        println!("cargo:rerun-if-changed={}", samples.display());
        for sample in SAMPLES {
            let text = fs::read_to_string(samples.join(format!("{}.rs", sample.name))).expect("each sample is a file");
            write_test(&mut functions, sample, &text);
            write_documentation(&mut documentation, sample, &text);
        }
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("guide_samples.rs"), functions).expect("the folder of build output is writable");
    fs::write(out.join("guide_samples.md"), documentation).expect("the folder of build output is writable");
}

fn before(sample: &Sample) -> String {
    sample.before.replace("@MODEL@", MODEL)
}

fn write_test(out: &mut String, sample: &Sample, text: &str) {
    let before = before(sample);
    if !sample.statements {
        writeln!(out, "pub mod sample_{} {{\n{before}{text}{}}}", sample.name, sample.after).unwrap();
        return;
    }
    let result = RESULTS.iter().find(|entry| entry.0 == sample.name).expect("each function has a result").1;
    writeln!(
        out,
        "pub fn sample_{}() -> Result<{result}, mullama::MullamaError> {{\n{before}{text}{}\n}}",
        sample.name, sample.after
    )
    .unwrap();
}

/// The same as doctests, which compile: what surrounds a sample is hidden.
fn write_documentation(out: &mut String, sample: &Sample, text: &str) {
    let hidden = |lines: &str| lines.lines().map(|line| format!("# {line}\n")).collect::<String>();
    let before = hidden(&before(sample));
    let (open, close) = if sample.statements {
        ("# #[allow(unused)] fn sample() -> Result<(), mullama::MullamaError> {\n", "# Ok(()) }\n# fn main() {}\n")
    } else {
        ("", "# fn main() {}\n")
    };
    writeln!(out, "```no_run\n{open}{before}{text}{close}```\n").unwrap();
}
