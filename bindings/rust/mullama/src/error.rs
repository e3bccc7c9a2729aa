use mullama_sys as sys;
use std::ffi::{CStr, CString};
use std::fmt;
use std::os::raw::c_char;

/// Any failure of Mullama; each variant holds a line that names the cause and, where there is one, the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MullamaError {
    /// A parameter is outside its range, or an object cannot do this now.
    InvalidArgument(String),
    /// A file does not exist.
    NotFound(String),
    /// A file contradicts itself or its own size.
    CorruptFile(String),
    /// Valid input that this version does not handle.
    Unsupported(String),
    /// The operating system refused a read, write or mapping.
    Io(String),
    /// The plan does not fit the memory budget; nothing was allocated.
    BudgetExceeded(String),
    /// The operating system refused memory.
    OutOfMemory(String),
    /// A device has no memory left for what was asked.
    GpuMemoryError(String),
    /// The context has no room left.
    ContextFull(String),
    /// The caller asked to stop.
    Canceled(String),
    /// The operating system forbids it.
    Permission(String),
    /// A resource cannot take the request now.
    Unavailable(String),
    /// A source failed to deliver.
    Download(String),
    /// A limit of time ran out.
    Timeout(String),
    /// A bug of Mullama.
    Internal(String),
}

impl MullamaError {
    /// The line that tells what went wrong.
    pub fn message(&self) -> &str {
        use MullamaError::*;
        match self {
            InvalidArgument(text) | NotFound(text) | CorruptFile(text) | Unsupported(text) | Io(text) | BudgetExceeded(text)
            | OutOfMemory(text) | GpuMemoryError(text) | ContextFull(text) | Canceled(text) | Permission(text)
            | Unavailable(text) | Download(text) | Timeout(text) | Internal(text) => text,
        }
    }

    /// The kind's name in every language, such as "not_found".
    pub fn status(&self) -> &'static str {
        use MullamaError::*;
        match self {
            InvalidArgument(_) => "invalid_argument",
            NotFound(_) => "not_found",
            CorruptFile(_) => "corrupt_file",
            Unsupported(_) => "unsupported",
            Io(_) => "io",
            BudgetExceeded(_) => "budget_exceeded",
            OutOfMemory(_) => "out_of_memory",
            GpuMemoryError(_) => "gpu_out_of_memory",
            ContextFull(_) => "context_full",
            Canceled(_) => "canceled",
            Permission(_) => "permission",
            Unavailable(_) => "unavailable",
            Download(_) => "download",
            Timeout(_) => "timeout",
            Internal(_) => "internal",
        }
    }

    pub(crate) fn new(status: sys::mullama_status, text: String) -> Self {
        use MullamaError::*;
        match status {
            sys::MULLAMA_INVALID_ARGUMENT => InvalidArgument(text),
            sys::MULLAMA_NOT_FOUND => NotFound(text),
            sys::MULLAMA_CORRUPT_FILE => CorruptFile(text),
            sys::MULLAMA_UNSUPPORTED => Unsupported(text),
            sys::MULLAMA_IO => Io(text),
            sys::MULLAMA_BUDGET_EXCEEDED => BudgetExceeded(text),
            sys::MULLAMA_OUT_OF_MEMORY => OutOfMemory(text),
            sys::MULLAMA_GPU_OUT_OF_MEMORY => GpuMemoryError(text),
            sys::MULLAMA_CONTEXT_FULL => ContextFull(text),
            sys::MULLAMA_CANCELED => Canceled(text),
            sys::MULLAMA_PERMISSION => Permission(text),
            sys::MULLAMA_UNAVAILABLE => Unavailable(text),
            sys::MULLAMA_DOWNLOAD => Download(text),
            sys::MULLAMA_TIMEOUT => Timeout(text),
            _ => Internal(text),
        }
    }
}

impl fmt::Display for MullamaError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.message())
    }
}

impl std::error::Error for MullamaError {}

/// The outcome of a call of the C interface, with the message that its thread keeps.
pub(crate) fn check(status: sys::mullama_status) -> Result<(), MullamaError> {
    if status == sys::MULLAMA_OK {
        return Ok(());
    }
    // SAFETY: the message is valid until this thread's next call.
    Err(MullamaError::new(status, unsafe { text_of(sys::mullama_last_error()) }))
}

/// # Safety
/// `text` is NULL or a string that ends in a zero byte.
pub(crate) unsafe fn text_of(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    CStr::from_ptr(text).to_string_lossy().into_owned()
}

/// Takes over a string that the C interface gave away.
///
/// # Safety
/// `text` is NULL or comes from a function whose strings mullama_string_free() frees.
pub(crate) unsafe fn take_text(text: *mut c_char) -> String {
    let copy = text_of(text);
    sys::mullama_string_free(text);
    copy
}

pub(crate) fn c_text(text: &str, what: &str) -> Result<CString, MullamaError> {
    CString::new(text).map_err(|_| MullamaError::InvalidArgument(format!("{what} holds a zero byte")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_kind_of_its_own() {
        let kinds: Vec<_> = (1..=15).map(|status| MullamaError::new(status, "text".into())).collect();
        for (i, one) in kinds.iter().enumerate() {
            assert!(kinds[..i].iter().all(|other| std::mem::discriminant(other) != std::mem::discriminant(one)));
            assert_eq!(one.to_string(), "text");
        }
    }

    #[test]
    fn r30_a_device_out_of_memory_can_be_matched() {
        let error: Result<(), _> = Err(MullamaError::new(sys::MULLAMA_GPU_OUT_OF_MEMORY, "text".into()));
        assert!(matches!(error, Err(MullamaError::GpuMemoryError(_))));
    }
}
