#include "model/definition.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_set>

#include "model/compile.hpp"
#include "model/rope.hpp"

namespace mullama::model {

namespace {

Result<std::vector<double>> read_divisors(const Definition& definition, backend::TensorRef ref) {
  if (ref == backend::kNoTensor) return std::vector<double>{};
  const backend::Matrix& matrix = definition.weights[ref];
  std::vector<double> divisors(matrix.cols);
  for (size_t i = 0; i < divisors.size(); ++i) {
    float divisor;
    std::memcpy(&divisor, matrix.data + i * sizeof(divisor), sizeof(divisor));
    divisors[i] = divisor;
    if (!std::isfinite(divisors[i]) || divisors[i] <= 0) {
      return fail(ErrorCode::corrupt_file,
                  "tensor '{}' holds {} at index {}; rope factors must be positive numbers",
                  definition.infos[ref].name, divisors[i], i);
    }
  }
  return divisors;
}

}  // namespace

Result<Definition> define(const gguf::File& file) {
  MULLAMA_ASSIGN(const std::string_view architecture, file.string_or("general.architecture", ""));
  if (architecture.empty()) {
    return fail(ErrorCode::corrupt_file, "'{}' has no metadata 'general.architecture': it holds no model",
                file.label());
  }
  Definition definition;
  MULLAMA_ASSIGN(definition.spec, find_architecture(architecture));
  MULLAMA_ASSIGN(definition.hparams, read_hparams(file, *definition.spec));
  MULLAMA_ASSIGN(ModelWeights weights, bind_weights(file, *definition.spec, definition.hparams));
  definition.program = compile(*definition.spec, definition.hparams, weights);
  definition.rope_factors = weights.rope_factors;
  definition.weights = std::move(weights.matrices);
  definition.infos = std::move(weights.infos);

  std::unordered_set<const gguf::TensorInfo*> used;
  for (const WeightInfo& info : definition.infos) used.insert(info.tensor);
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    if (!used.contains(&tensor)) definition.unused.push_back(&tensor);
  }
  return definition;
}

Status load_ropes(Definition& definition) {
  RopeFactors factors;
  MULLAMA_ASSIGN(factors.divisors, read_divisors(definition, definition.rope_factors.all));
  MULLAMA_ASSIGN(factors.short_divisors, read_divisors(definition, definition.rope_factors.up_to_original));
  MULLAMA_ASSIGN(factors.long_divisors, read_divisors(definition, definition.rope_factors.beyond_original));
  fill_ropes(*definition.spec, definition.hparams, factors, definition.program.ropes);
  return {};
}

WeightTotals weight_totals(const Definition& definition) {
  WeightTotals totals;
  totals.layer_bytes.resize(definition.hparams.layers.size());
  for (size_t i = 0; i < definition.weights.size(); ++i) {
    const backend::Matrix& matrix = definition.weights[i];
    const WeightInfo& info = definition.infos[i];
    const uint64_t rows = uint64_t{matrix.rows} * matrix.depth;
    const uint64_t bytes = rows * matrix.row_bytes;
    const uint64_t parameters = rows * matrix.cols;
    totals.bytes += bytes;
    totals.parameters += parameters;
    // Only stacks of experts have depth.
    const bool expert = matrix.depth > 1 && matrix.depth == definition.hparams.experts;
    totals.active_parameters +=
        expert ? parameters / definition.hparams.experts * definition.hparams.experts_used : parameters;
    (info.layer < 0 ? totals.other_bytes : totals.layer_bytes[static_cast<size_t>(info.layer)]) += bytes;
    auto row = std::find_if(totals.by_type.begin(), totals.by_type.end(),
                            [&](const WeightTotals::TypeRow& r) { return r.type == matrix.type; });
    if (row == totals.by_type.end()) row = totals.by_type.insert(row, {matrix.type, 0, 0});
    row->bytes += bytes;
    row->parameters += parameters;
  }
  std::sort(totals.by_type.begin(), totals.by_type.end(),
            [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
  return totals;
}

}  // namespace mullama::model
