#include "server/structured_output.hpp"

namespace mullama::server {

namespace {

class NoConstraints final : public ConstraintSource {
 public:
  Result<std::shared_ptr<engine::TokenConstraint>> make(const OutputFormat& format, std::string_view,
                                                        bool) override {
    if (format.kind == OutputFormat::Kind::none) return nullptr;
    return fail(ErrorCode::unsupported, "this version cannot restrict an answer to a format");
  }
};

}  // namespace

std::unique_ptr<ConstraintSource> make_constraint_source(std::shared_ptr<engine::LoadedModel>) {
  return std::make_unique<NoConstraints>();
}

}  // namespace mullama::server
