#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "store/store.hpp"

namespace mullama::cli {

/// The store that the environment names.
[[nodiscard]] store::Store open_store();

/// Finds a model; one that is not here but that we know how to fetch is pulled first, with progress unless
/// `quiet`.
[[nodiscard]] Result<store::StoredModel> find_model(std::string_view name, bool quiet);

/// Pulls with a progress display; Ctrl-C leaves what was received for the next attempt.
[[nodiscard]] Result<store::StoredModel> pull_with_progress(const store::Store& store,
                                                            std::string_view source, const std::string& name,
                                                            bool quiet);

/// The table that `list` prints: name, id, size, age.
[[nodiscard]] std::string model_table(const std::vector<store::ModelEntry>& entries);

}  // namespace mullama::cli
