#include "text/merge_table.hpp"

#include <optional>

namespace mullama::text {

namespace {

constexpr std::string_view kMerges = "tokenizer.ggml.merges";
constexpr uint64_t kMaxMerges = uint64_t{1} << 24;

/// Where the halves of a merge part; a half may itself start with a space.
size_t separator(std::string_view merge) {
  const size_t space = merge.find(' ', 1);
  return space == std::string_view::npos || space + 1 == merge.size() ? std::string_view::npos : space;
}

}  // namespace

Result<gguf::Value> MergeTable::array(const gguf::File& file) {
  MULLAMA_ASSIGN(const gguf::Value merges, file.array(kMerges, gguf::ValueType::string));
  if (merges.count() > kMaxMerges || merges.raw().size() > UINT32_MAX) {
    return fail(ErrorCode::corrupt_file,
                "'{}': metadata '{}' has {} elements in {} bytes; at most {} and {} are allowed",
                file.label(), kMerges, merges.count(), merges.raw().size(), kMaxMerges, UINT32_MAX);
  }
  return merges;
}

uint64_t MergeTable::bytes_needed(const gguf::Value& merges) {
  return TextTable::slots_for(merges.count()) * sizeof(TextTable::Slot) + merges.count() * sizeof(uint32_t);
}

Result<MergeTable> MergeTable::create(const gguf::File& file, const gguf::Value& merges,
                                      std::span<std::byte> memory, uint64_t seed) {
  MULLAMA_CHECK(memory.size() >= bytes_needed(merges));
  MergeTable table;
  table.texts_ = reinterpret_cast<const char*>(merges.raw().data());
  const size_t slots = TextTable::slots_for(merges.count());
  table.table_ = TextTable({reinterpret_cast<TextTable::Slot*>(memory.data()), slots});
  table.offsets_ = {reinterpret_cast<uint32_t*>(memory.data() + slots * sizeof(TextTable::Slot)),
                    static_cast<size_t>(merges.count())};
  std::optional<uint64_t> bad;
  {
    const auto equal = [&table](uint32_t a, uint32_t b) { return table.text(a) == table.text(b); };
    BatchedInserts inserts(table.table_, equal);
    merges.for_each_string([&](uint64_t number, std::string_view merge) {
      table.offsets_[number] = static_cast<uint32_t>(merge.data() - table.texts_);
      const size_t space = separator(merge);
      if (space == std::string_view::npos) {
        if (!bad) bad = number;
        return;
      }
      inserts.add(
          hash_pair(hash_text(merge.substr(0, space), seed), hash_text(merge.substr(space + 1), seed)),
          static_cast<uint32_t>(number));
    });
  }
  if (bad) {
    return fail(ErrorCode::corrupt_file, "'{}': merge {} is not two texts with a space between them",
                file.label(), *bad);
  }
  return table;
}

}  // namespace mullama::text
