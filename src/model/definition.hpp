#pragma once

#include <cstdint>
#include <vector>

#include "backend/program.hpp"
#include "base/result.hpp"
#include "gguf/file.hpp"
#include "model/hparams.hpp"
#include "model/spec.hpp"
#include "model/weights.hpp"

namespace mullama::model {

/// Everything about a model but its tensors' bytes. Holds views into the file, which outlives it.
struct Definition {
  const ArchSpec* spec = nullptr;
  Hparams hparams;
  std::vector<backend::Matrix> weights;
  std::vector<WeightInfo> infos;  ///< One for each of `weights`.
  backend::Program program;
  RopeFactorRefs rope_factors;
  /// Tensors of the file that nothing uses: suspicious, since the file may be of a variant that needs them.
  std::vector<const gguf::TensorInfo*> unused;
};

/// Checks metadata and tensor table and compiles the program. Reads no tensor data, so that a header alone is
/// enough; before the program runs, load_ropes() has to fill its rope tables.
[[nodiscard]] Result<Definition> define(const gguf::File& file);

/// Fills the program's rope tables; reads the factors that some models store as tensors. An error names the
/// tensor that has a factor which is not a positive number.
[[nodiscard]] Status load_ropes(Definition& definition);

/// Sizes of the weights that the program uses. A tied output matrix counts once.
struct WeightTotals {
  struct TypeRow {
    gguf::TensorType type;
    uint64_t bytes;
    uint64_t parameters;
  };
  uint64_t bytes = 0;
  uint64_t parameters = 0;
  uint64_t active_parameters = 0;  ///< Per token: of the experts, the share that is used.
  std::vector<TypeRow> by_type;    ///< Most bytes first.
  std::vector<uint64_t> layer_bytes;
  uint64_t other_bytes = 0;  ///< Outside the layers: embeddings, output, rope factors.
};
[[nodiscard]] WeightTotals weight_totals(const Definition& definition);

}  // namespace mullama::model
