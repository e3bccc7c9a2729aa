#include "api/errors.hpp"

namespace mullama {

MullamaError::~MullamaError() = default;
GpuMemoryError::~GpuMemoryError() = default;
MemoryError::~MemoryError() = default;

namespace api {

StatusCode status_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return StatusCode::invalid_argument;
    case ErrorCode::not_found:
      return StatusCode::not_found;
    case ErrorCode::corrupt_file:
      return StatusCode::corrupt_file;
    case ErrorCode::unsupported:
      return StatusCode::unsupported;
    case ErrorCode::io:
      return StatusCode::io;
    case ErrorCode::budget_exceeded:
      return StatusCode::budget_exceeded;
    case ErrorCode::out_of_memory:
      return StatusCode::out_of_memory;
    case ErrorCode::gpu_out_of_memory:
      return StatusCode::gpu_out_of_memory;
    case ErrorCode::context_full:
      return StatusCode::context_full;
    case ErrorCode::canceled:
      return StatusCode::canceled;
    case ErrorCode::permission:
      return StatusCode::permission;
    case ErrorCode::unavailable:
      return StatusCode::unavailable;
    case ErrorCode::download:
      return StatusCode::download;
    case ErrorCode::timeout:
      return StatusCode::timeout;
    case ErrorCode::internal:
      return StatusCode::internal;
  }
  return StatusCode::internal;
}

void throw_error(const Error& error) {
  const StatusCode code = status_code(error.code);
  if (code == StatusCode::gpu_out_of_memory) throw GpuMemoryError(error.message);
  if (code == StatusCode::budget_exceeded || code == StatusCode::out_of_memory)
    throw MemoryError(code, error.message);
  throw MullamaError(code, error.message);
}

}  // namespace api
}  // namespace mullama
