//! The C interface of Mullama as bindgen reads it from `mullama/mullama.h`; use the safe crate `mullama` instead.
#![allow(non_camel_case_types, non_upper_case_globals, non_snake_case)]

include!("bindings.rs");
