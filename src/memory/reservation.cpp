#include "memory/reservation.hpp"

#include "base/checked.hpp"

namespace mullama::memory {

namespace {
constexpr uint64_t kUnit = uint64_t{256} << 10;
}  // namespace

Result<Reservation> Reservation::make(Ledger& ledger, Pool pool, uint64_t bytes, std::string_view why) {
  Reservation reservation;
  const PlanRow row{kHost, pool, bytes, {}};
  reservation.announced_ = ledger.announce({&row, 1});
  MULLAMA_ASSIGN(reservation.charge_, ledger.charge(pool, kHost, bytes, why));
  return reservation;
}

Status GrowingReservation::cover(uint64_t bytes) {
  if (bytes <= bytes_) return {};
  const uint64_t more = round_up(bytes - bytes_, kUnit);
  MULLAMA_ASSIGN(Reservation part, Reservation::make(ledger_, pool_, more, why_));
  parts_.push_back(std::move(part));
  bytes_ += more;
  return {};
}

void GrowingReservation::clear() {
  parts_.clear();
  bytes_ = 0;
}

}  // namespace mullama::memory
