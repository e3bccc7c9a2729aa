#include "backend/cpu/executor.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/checked.hpp"
#include "quant/format.hpp"

namespace mullama::backend::cpu {

using kernels::ActivationBlock;

Executor::Executor(const kernels::KernelTable& kernels, ThreadTeam& team, const Program& program,
                   const std::vector<Matrix>& weights, const Batch& batch, KvStore& kv, std::byte* scratch,
                   const ScratchLayout& layout, std::span<float> output, const std::atomic<bool>* cancel)
    : kernels_(kernels),
      team_(team),
      program_(program),
      weights_(weights),
      batch_(batch),
      kv_(kv),
      layout_(layout),
      output_(output),
      cancel_(cancel),
      base_(scratch),
      activations_(reinterpret_cast<float*>(scratch + layout.activations)),
      rows_(static_cast<uint32_t>(batch.tokens.size())),
      sequence_of_row_(batch.tokens.size()),
      progress_(team.workers()) {
  for (uint32_t s = 0; s < batch_.sequences.size(); ++s) {
    const SequenceSlice& slice = batch_.sequences[s];
    std::fill_n(sequence_of_row_.begin() + slice.first_row, slice.tokens, s);
  }
}

Status Executor::run() {
  team_.run_elastic([this](unsigned worker) { execute(worker); });
  const uint32_t last = progress_[0].phase - 1;
  if (stops_[last & 1].load(std::memory_order_relaxed))
    return fail(ErrorCode::canceled, "the run was canceled");
  return {};
}

void Executor::execute(unsigned worker) {
  fill_rope_tables(worker);
  for (const Step& step : program_.steps) {
    std::visit([&](const auto& s) { (*this)(s, worker); }, step);
    if (stops_[(progress_[worker].phase - 1) & 1].load(std::memory_order_relaxed)) return;
  }
}

void Executor::barrier(unsigned worker) {
  const uint32_t phase = progress_[worker].phase++;
  progress_[worker].claims[(phase + 2) & 3].store(0, std::memory_order_relaxed);
  if (worker == 0) {
    claims_[(phase + 2) & 3].store(0, std::memory_order_relaxed);
    const bool stop = cancel_ != nullptr && cancel_->load(std::memory_order_relaxed);
    stops_[phase & 1].store(stop, std::memory_order_relaxed);
  }
  team_.barrier();
}

const float* Executor::vector(TensorRef ref) const {
  return ref == kNoTensor ? nullptr : reinterpret_cast<const float*>(weights_[ref].data);
}

uint16_t* Executor::InputRows::bfloats(uint32_t row) const {
  return reinterpret_cast<uint16_t*>(data + row * stride + input_row_layout(width, true).bfloats);
}

kernels::ActivationBlock* Executor::InputRows::blocks(uint32_t row) const {
  return reinterpret_cast<ActivationBlock*>(data + row * stride + input_row_layout(width, true).blocks);
}

const void* Executor::InputRows::form(kernels::InputForm form) const {
  switch (form) {
    case kernels::InputForm::floats:
      return floats(0);
    case kernels::InputForm::bfloats:
      return bfloats(0);
    case kernels::InputForm::blocks:
      return blocks(0);
  }
  return nullptr;
}

Executor::InputRows Executor::shared_input(uint32_t width) const {
  return {base_ + layout_.inputs, input_row_layout(width, layout_.bfloats).bytes, width};
}

void Executor::prepare(const float* values, NormRef norm, Forms forms, const InputRows& rows,
                       uint32_t row) const {
  float* const staged = rows.floats(row);
  if (norm.weight != kNoTensor) {
    kernels_.rms_norm(values, vector(norm.weight), norm.epsilon, staged, rows.width);
    values = staged;
  } else if (forms.has(kernels::InputForm::floats)) {
    std::memcpy(staged, values, size_t{rows.width} * sizeof(float));
  }
  round_and_quantize(values, forms, rows, row);
}

void Executor::round_and_quantize(const float* values, Forms forms, const InputRows& rows,
                                  uint32_t row) const {
  if (forms.has(kernels::InputForm::bfloats)) kernels_.round_row(values, rows.bfloats(row), rows.width);
  if (forms.has(kernels::InputForm::blocks)) kernels_.quantize_row(values, rows.blocks(row), rows.width);
}

void Executor::prepare_gated(const float* gate, const float* up, kernels::Activation activation, Forms forms,
                             const InputRows& rows, uint32_t row) const {
  kernels_.gated(activation, gate, up, rows.floats(row), rows.width);
  round_and_quantize(rows.floats(row), forms, rows, row);
}

uint32_t Executor::rows_a_piece(const Product& product) const {
  // Decoding reads each weight once: pieces long enough to stream, short enough to even out the workers.
  // With many columns a piece is a panel that is converted once and swept over all of them.
  constexpr uint32_t kPanelRows = 64;
  constexpr size_t kPieceBytes = size_t{256} << 10;
  const auto streamed = static_cast<uint32_t>(kPieceBytes / std::max<size_t>(product.matrix->row_bytes, 1));
  const uint32_t piece = product.columns > 8 ? kPanelRows : std::max(streamed, 1u);
  const uint32_t fair = static_cast<uint32_t>(ceil_div(product.matrix->rows, size_t{2} * team_.workers()));
  return static_cast<uint32_t>(round_up(std::max(std::min(piece, fair), 1u), kernels::kLanes));
}

const uint8_t* Executor::Product::row(uint32_t index) const {
  const size_t rows = size_t{expert} * matrix->rows + index;
  return reinterpret_cast<const uint8_t*>(matrix->data) + rows * matrix->row_bytes;
}

void Executor::compute(const Product& product, uint32_t begin, uint32_t end, unsigned worker,
                       const uint8_t* next, bool asked) const {
  const Matrix& matrix = *product.matrix;
  kernels::MatmulArgs args{};
  args.weight.type = static_cast<uint32_t>(matrix.type);
  args.weight.rows = matrix.rows;
  args.weight.cols = matrix.cols;
  args.weight.row_bytes = matrix.row_bytes;
  args.weight.data = product.row(0);
  args.next = next;
  args.asked = asked;
  args.input = product.input.form(kernels::input_form(matrix.type));
  args.input_stride = product.input.stride;
  args.columns = product.columns;
  args.row_begin = begin;
  args.row_end = end;
  args.bias = product.bias;
  args.output_scale = product.scale;
  args.accumulate = product.accumulate;
  args.output = product.output;
  args.output_stride = product.output_stride;
  args.workspace = reinterpret_cast<uint8_t*>(worker_memory(worker));
  kernels_.matmul(args);
}

void Executor::share_products(std::span<const Product> products, unsigned worker) {
  struct Piece {
    const Product* product = nullptr;  ///< Null: there is none left.
    uint32_t begin = 0;
    uint32_t end = 0;
  };
  const uint32_t phase = progress_[worker].phase;
  const unsigned workers = team_.active();
  uint32_t pieces = 0;
  for (const Product& product : products) {
    pieces += static_cast<uint32_t>(ceil_div(product.matrix->rows, rows_a_piece(product)));
  }
  const auto piece_at = [&](uint32_t index) -> Piece {
    for (const Product& product : products) {
      const uint32_t size = rows_a_piece(product);
      const auto count = static_cast<uint32_t>(ceil_div(product.matrix->rows, size));
      if (index < count) return {&product, index * size, std::min(product.matrix->rows, (index + 1) * size)};
      index -= count;
    }
    return {};
  };
  unsigned passed = 0;  // Runs that are done: the own one first, then those after it.
  const auto claim = [&]() -> Piece {
    for (; passed < workers; ++passed) {
      const unsigned owner = (worker + passed) % workers;
      const auto begin = static_cast<uint32_t>(uint64_t{pieces} * owner / workers);
      const auto end = static_cast<uint32_t>(uint64_t{pieces} * (owner + 1) / workers);
      const uint32_t index =
          begin + progress_[owner].claims[phase & 3].fetch_add(1, std::memory_order_relaxed);
      if (index < end) return piece_at(index);
    }
    return {};
  };
  // Where memory is the bound, the next piece is claimed before this one is computed, which asks for its
  // rows.
  const bool streams = products.front().columns <= kernels::kStreamColumns;
  const uint8_t* asked = nullptr;
  for (Piece piece = claim(); piece.product != nullptr;) {
    const Piece next = streams ? claim() : Piece{};
    const uint8_t* const to_come = next.product == nullptr ? nullptr : next.product->row(next.begin);
    compute(*piece.product, piece.begin, piece.end, worker, to_come, asked != nullptr);
    asked = to_come;
    piece = streams ? next : claim();
  }
}

void Executor::fill_rope_tables(unsigned worker) {
  auto* table = reinterpret_cast<float*>(base_ + layout_.rope);
  share(rows_, 16, worker, [&](uint32_t begin, uint32_t end) {
    float* tables = table;
    for (const RopeTable& rope : program_.ropes) {
      const bool is_long = batch_.long_context && !rope.long_inverse_frequency.empty();
      const std::vector<double>& frequency = is_long ? rope.long_inverse_frequency : rope.inverse_frequency;
      const double magnitude = is_long ? rope.long_magnitude : rope.magnitude;
      const uint32_t half = rope.dims / 2;
      for (uint32_t row = begin; row < end; ++row) {
        const SequenceSlice& slice = batch_.sequences[sequence_of_row_[row]];
        const double position = slice.first_position + (row - slice.first_row);
        float* const out = tables + size_t{row} * rope.dims;
        for (uint32_t i = 0; i < half; ++i) {
          const double angle = position * frequency[i];
          out[i] = static_cast<float>(std::cos(angle) * magnitude);
          out[half + i] = static_cast<float>(std::sin(angle) * magnitude);
        }
      }
      tables += size_t{rows_} * rope.dims;
    }
  });
  barrier(worker);
}

void Executor::operator()(const EmbedStep& step, unsigned worker) {
  const Matrix& table = weights_[step.table];
  share(rows_, 4, worker, [&](uint32_t begin, uint32_t end) {
    for (uint32_t row = begin; row < end; ++row) {
      float* const out = slot(step.out, row);
      quant::dequantize_row(table.type, table.data + size_t(batch_.tokens[row]) * table.row_bytes, out,
                            table.cols);
      if (step.scale != 1) kernels_.scale(out, step.scale, table.cols);
    }
  });
  barrier(worker);
}

void Executor::operator()(const LinearStep& step, unsigned worker) {
  const uint32_t width = weights_[step.outputs.front().weight].cols;
  Forms forms;
  for (const LinearStep::Output& output : step.outputs) forms.add(weights_[output.weight].type);
  InputRows input = shared_input(width);
  const auto prepare_row = [&](uint32_t row) {
    if (step.in_up != kNoSlot) {
      prepare_gated(slot(step.in, row), slot(step.in_up, row), step.activation, forms, input, row);
    } else {
      prepare(slot(step.in, row), step.norm, forms, input, row);
    }
  };
  if (rows_ == 1) {
    // Each worker prepares the row for itself, which is cheaper than meeting at a barrier.
    input.data = worker_memory(worker) + round_up(kernels::matmul_workspace_bytes(width), 64);
    prepare_row(0);
  } else {
    share(rows_, 4, worker, [&](uint32_t begin, uint32_t end) {
      for (uint32_t row = begin; row < end; ++row) prepare_row(row);
    });
    barrier(worker);
  }
  std::array<Product, 4> products;
  size_t count = 0;
  for (const LinearStep::Output& output : step.outputs) {
    Product& product = products[count++];
    product.matrix = &weights_[output.weight];
    product.bias = vector(output.bias);
    product.input = input;
    product.columns = rows_;
    product.output = slot(output.out, 0);
    product.output_stride = program_.activation_width;
    product.scale = step.scale;
    product.accumulate = step.accumulate;
  }
  share_products(std::span(products).first(count), worker);
  barrier(worker);
}

void Executor::operator()(const NormStep& step, unsigned worker) {
  const uint32_t width = weights_[step.norm.weight].cols;
  auto* const staged = reinterpret_cast<float*>(worker_memory(worker));
  share(rows_, 4, worker, [&](uint32_t begin, uint32_t end) {
    for (uint32_t row = begin; row < end; ++row) {
      float* const out = step.accumulate ? staged : slot(step.out, row);
      kernels_.rms_norm(slot(step.in, row), vector(step.norm.weight), step.norm.epsilon, out, width);
      if (step.accumulate) {
        kernels_.add_scaled(slot(step.out, row), staged, step.scale, width);
      } else if (step.scale != 1) {
        kernels_.scale(out, step.scale, width);
      }
    }
  });
  barrier(worker);
}

void Executor::operator()(const LogitsStep& step, unsigned worker) {
  const auto wanted = static_cast<uint32_t>(batch_.output_rows.size());
  const uint32_t width = program_.embedding_width;
  const InputRows input = shared_input(width);
  Forms forms;
  if (!batch_.embeddings) forms.add(weights_[step.weight].type);
  share(wanted, 4, worker, [&](uint32_t begin, uint32_t end) {
    for (uint32_t i = begin; i < end; ++i) {
      const float* const values = slot(step.in, batch_.output_rows[i]);
      if (batch_.embeddings) {
        kernels_.rms_norm(values, vector(step.norm.weight), step.norm.epsilon,
                          output_.data() + size_t{i} * width, width);
      } else {
        prepare(values, step.norm, forms, input, i);
      }
    }
  });
  barrier(worker);
  if (batch_.embeddings || wanted == 0) return;
  Product product;
  product.matrix = &weights_[step.weight];
  product.bias = vector(step.bias);
  product.input = input;
  product.columns = wanted;
  product.output = output_.data();
  product.output_stride = program_.vocabulary;
  product.scale = step.scale;
  share_products({&product, 1}, worker);
  barrier(worker);
  if (step.softcap > 0) {
    constexpr uint32_t kPiece = 4096;
    const auto pieces = static_cast<uint32_t>(ceil_div(program_.vocabulary, kPiece));
    share(pieces * wanted, 1, worker, [&](uint32_t index, uint32_t) {
      const uint32_t begin = index % pieces * kPiece;
      const uint32_t count = std::min(kPiece, program_.vocabulary - begin);
      kernels_.softcap(output_.data() + size_t{index / pieces} * program_.vocabulary + begin, step.softcap,
                       count);
    });
    barrier(worker);
  }
}

}  // namespace mullama::backend::cpu
