#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "memory/ledger.hpp"

namespace mullama::memory {

/// Host memory of a known bound that the heap will give, not a Buffer: in plan and account from before it is
/// taken until this is destroyed.
class Reservation {
 public:
  Reservation() = default;
  /// `budget_exceeded` if the budget has no room for it; nothing was taken then.
  [[nodiscard]] static Result<Reservation> make(Ledger& ledger, Pool pool, uint64_t bytes,
                                                std::string_view why);

  [[nodiscard]] uint64_t bytes() const { return charge_.bytes(); }

 private:
  Announcement announced_;
  Charge charge_;
};

/// Reservations that follow something that grows, in steps of 256 KiB.
class GrowingReservation {
 public:
  /// `why` outlives this.
  GrowingReservation(Ledger ledger, Pool pool, std::string_view why)
      : ledger_(std::move(ledger)), pool_(pool), why_(why) {}

  /// Reserves what is missing of `bytes`; on an error what there was stays.
  [[nodiscard]] Status cover(uint64_t bytes);
  void clear();
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

 private:
  Ledger ledger_;
  Pool pool_;
  std::string_view why_;
  std::vector<Reservation> parts_;
  uint64_t bytes_ = 0;
};

}  // namespace mullama::memory
