//! The guide's samples, letter for letter, on a real model: build.rs writes them with what surrounds them.
#![allow(clippy::needless_doctest_main, clippy::needless_borrow)]

use mullama::{KvCacheType, MullamaError};
use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

#[allow(dead_code, unused_imports)]
mod samples {
    include!(concat!(env!("OUT_DIR"), "/guide_samples.rs"));
}

static TURN: Mutex<()> = Mutex::new(());

/// The folder with ./model.gguf, as the current one of the process: one test at a time. `None`, with a word, without a real model.
fn guide_folder() -> Option<MutexGuard<'static, ()>> {
    let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let model = match env::var_os("MULLAMA_TEST_MODEL").map(PathBuf::from).filter(|path| path.exists()) {
        Some(model) => model,
        None => {
            eprintln!("skipped: MULLAMA_TEST_MODEL does not name a real model");
            return None;
        }
    };
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("guide");
    fs::create_dir_all(&folder).unwrap();
    let link = folder.join("model.gguf");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(fs::canonicalize(model).unwrap(), &link).unwrap();
    env::set_current_dir(&folder).unwrap();
    Some(turn)
}

#[test]
fn r01_r04_r05_r07_r09_sample_1() {
    let _turn = match guide_folder() {
        Some(turn) => turn,
        None => return,
    };
    assert!(!samples::sample_01_raii::run("Once upon a time").unwrap().is_empty());
    assert_eq!(mullama::live_objects().contexts, 0);
}

/// The doctests themselves are a module of lib.rs; this is what they are made of.
#[test]
fn r32_every_sample_is_a_doctest() {
    let doctests = include_str!(concat!(env!("OUT_DIR"), "/guide_samples.md"));
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../tests/guide/samples");
    let mut found = 0;
    for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().map_or(true, |kind| kind != "rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        assert!(doctests.contains(&text), "{} is no doctest", file.display());
        found += 1;
    }
    assert!(found >= 11, "{found} samples");
    assert_eq!(doctests.matches("```no_run\n").count(), found);
}

#[test]
fn r08_sample_2_shares_a_model() {
    let _turn = match guide_folder() {
        Some(turn) => turn,
        None => return,
    };
    let contexts = samples::sample_02_shared_model().unwrap();
    assert_eq!(contexts.len(), 3);
    assert_eq!(mullama::live_objects().models, 1);
    assert!(Arc::ptr_eq(contexts[0].model(), contexts[2].model()));
}

#[test]
fn r02_r17_r18_g02_sample_3_and_8_types() {
    let kinds = samples::sample_03_kv_cache_type().unwrap().map(|params| params.kv_cache_type);
    assert_eq!(kinds, [KvCacheType::F16, KvCacheType::Q8_0, KvCacheType::Q4_0]);
    let small = samples::sample_08_small_context().unwrap();
    assert_eq!((small.n_ctx, small.kv_cache_type), (512, KvCacheType::Q4_0));
}

#[test]
fn r03_r22_r23_r24_r26_sample_4_mapping_and_locking() {
    let _turn = match guide_folder() {
        Some(turn) => turn,
        None => return,
    };
    let [model, locked] = samples::sample_04_mapped_loading().unwrap();
    assert_eq!(model.size_bytes(), locked.size_bytes());
}

#[test]
fn r16_r20_r21_samples_5_and_6_sizes() {
    assert_eq!(samples::sample_05_context_size().unwrap().map(|params| params.n_ctx), [512, 4096, 32768]);
    assert_eq!(samples::sample_06_batch_size().unwrap().map(|params| params.n_batch), [128, 2048]);
}

#[test]
fn r27_sample_7_monitoring() {
    let _turn = match guide_folder() {
        Some(turn) => turn,
        None => return,
    };
    let info = samples::sample_07_monitoring().unwrap();
    assert_eq!((info.token_count, info.context_size), (0, 4096));
    assert!(info.total_allocated >= info.model_size + info.kv_cache_size);
}

#[test]
fn r25_sample_9_partial_offload() {
    let _turn = match guide_folder() {
        Some(turn) => turn,
        None => return,
    };
    assert!(samples::sample_09_partial_offload().unwrap().n_layer() > 0);
}

#[test]
fn r28_r29_sample_10_reuse() {
    let _turn = match guide_folder() {
        Some(turn) => turn,
        None => return,
    };
    let context = samples::sample_10_reuse().unwrap();
    assert!(context.token_count() > 0);
}

#[test]
fn r30_r31_g39_sample_11_out_of_memory() {
    let _turn = match guide_folder() {
        Some(turn) => turn,
        None => return,
    };
    use samples::sample_11_out_of_memory::run as load_with_fallback;
    // Without a GPU all layers are computed by the CPU, so the first try succeeds (G35).
    assert!(load_with_fallback("model.gguf").is_ok());
    // What is no lack of a device's memory is handed on.
    mullama::set_memory_budget("16MiB").unwrap();
    let refused = load_with_fallback("model.gguf");
    mullama::set_memory_budget("").unwrap();
    assert!(matches!(refused, Err(MullamaError::BudgetExceeded(_))), "{refused:?}");
    assert!(matches!(load_with_fallback("missing.gguf"), Err(MullamaError::NotFound(_))));
}
