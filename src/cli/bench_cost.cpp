#include "cli/bench_cost.hpp"

#include <algorithm>
#include <variant>

#include "kernels/kernels.hpp"

namespace mullama::cli {

BenchCost bench_cost(const model::Definition& definition) {
  BenchCost cost;
  double quantized = 0;
  const auto operations = [](const backend::Matrix& matrix) {
    return 2.0 * matrix.rows * matrix.cols * matrix.depth;
  };
  const auto bytes = [](const backend::Matrix& matrix) {
    return static_cast<double>(matrix.row_bytes) * matrix.rows * matrix.depth;
  };
  for (size_t i = 0; i < definition.weights.size(); ++i) {
    const backend::Matrix& matrix = definition.weights[i];
    if (definition.infos[i].layer < 0 || matrix.rows <= 1) continue;
    const model::Hparams& hparams = definition.hparams;
    const double share =
        matrix.depth > 1 ? static_cast<double>(hparams.experts_used) / std::max(1u, hparams.experts) : 1;
    cost.layer_bytes += share * bytes(matrix);
    cost.layer_operations += share * operations(matrix);
    if (kernels::input_form(matrix.type) == kernels::InputForm::blocks)
      quantized += share * operations(matrix);
  }
  for (const backend::Step& step : definition.program.steps) {
    const auto* logits = std::get_if<backend::LogitsStep>(&step);
    if (logits == nullptr) continue;
    const backend::Matrix& matrix = definition.weights[static_cast<size_t>(logits->weight)];
    cost.output_bytes = bytes(matrix);
    cost.output_operations = operations(matrix);
  }
  cost.quantized = quantized > cost.layer_operations / 2;
  return cost;
}

double kv_bytes_read(const backend::Program& program, const backend::KvParams& kv, uint32_t depth) {
  double bytes = 0;
  for (const backend::KvLayer& layer : program.kv_layers) {
    const uint32_t seen = layer.window > 0 ? std::min(depth, layer.window) : depth;
    const size_t row = kernels::kv_row_bytes(kv.key_type, layer.key_dim) +
                       kernels::kv_row_bytes(kv.value_type, layer.value_dim);
    bytes += static_cast<double>(seen) * layer.kv_heads * static_cast<double>(row);
  }
  return bytes;
}

}  // namespace mullama::cli
