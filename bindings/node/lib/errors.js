'use strict';

const STATUSES = [
  'ok', 'invalid_argument', 'not_found', 'corrupt_file', 'unsupported', 'io', 'budget_exceeded', 'out_of_memory',
  'gpu_out_of_memory', 'context_full', 'canceled', 'permission', 'unavailable', 'download', 'timeout', 'internal',
];

/** Any failure of Mullama; `status` names its kind, such as 'not_found' or 'context_full'. */
class MullamaError extends Error {
  constructor(message, status = 'internal') {
    super(message);
    this.name = new.target.name;
    this.status = status;
  }
}

/** A device has no memory left for what was asked. */
class GpuMemoryError extends MullamaError {}

/** The host's memory, or the budget given for it, does not suffice. */
class HostMemoryError extends MullamaError {}

function makeError(message, code) {
  const status = STATUSES[code] ?? 'internal';
  if (status === 'gpu_out_of_memory') return new GpuMemoryError(message, status);
  if (status === 'budget_exceeded' || status === 'out_of_memory') return new HostMemoryError(message, status);
  return new MullamaError(message, status);
}

module.exports = { MullamaError, GpuMemoryError, HostMemoryError, makeError };
