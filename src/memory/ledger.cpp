#include "memory/ledger.hpp"

#include <cerrno>
#include <cstring>
#include <mutex>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <utility>

#include "base/byte_size.hpp"
#include "base/checked.hpp"
#include "base/huge_page.hpp"
#include "memory/fault.hpp"

namespace mullama::memory {

namespace {

size_t page_size() {
  static const size_t size = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

/// Names the pages after their pool in /proc/self/smaps; kernels before 5.17 refuse, which does no harm.
void name_pages(std::byte* begin, size_t bytes, Pool pool) {
  std::array<char, 64> text{};
  fmt::format_to_n(text.data(), text.size() - 1, "mullama {}", pool_name(pool));
  ::prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, begin, bytes, text.data());
}

}  // namespace

std::string_view pool_name(Pool pool) {
  static constexpr std::array<std::string_view, kPoolCount> kNames{
      "weights (mapped)", "weights", "kv",      "recurrent", "scratch", "output", "tokenizer",
      "prompt_cache",     "draft",   "adapter", "staging",   "threads", "runtime"};
  return kNames[static_cast<size_t>(pool)];
}

std::string device_name(Device device) {
  return device.kind == Device::Kind::host ? std::string("host") : fmt::format("gpu{}", device.index);
}

class LedgerState {
 public:
  Status add(Device device, Pool pool, uint64_t bytes, std::string_view why) {
    const std::lock_guard lock(mutex_);
    Account& account = accounts_[device];
    if (account.counts(pool)) MULLAMA_TRY(check(device, account, bytes, why));
    Entry& entry = account.pools[static_cast<size_t>(pool)];
    entry.bytes += bytes;
    entry.peak = std::max(entry.peak, entry.bytes);
    if (account.counts(pool)) account.total += bytes;
    return {};
  }

  void remove(Device device, Pool pool, uint64_t bytes, const std::byte* region) {
    const std::lock_guard lock(mutex_);
    if (region != nullptr) regions_.erase(region);
    Account& account = accounts_[device];
    account.pools[static_cast<size_t>(pool)].bytes -= bytes;
    if (account.counts(pool)) account.total -= bytes;
  }

  void announce(Device device, Pool pool, uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    accounts_[device].pools[static_cast<size_t>(pool)].planned += bytes;
  }

  void withdraw(Device device, Pool pool, uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    accounts_[device].pools[static_cast<size_t>(pool)].planned -= bytes;
  }

  void add_region(const Region& region) {
    const std::lock_guard lock(mutex_);
    regions_[region.bytes.data()] = region;
  }

  std::vector<Region> regions() {
    const std::lock_guard lock(mutex_);
    std::vector<Region> all;
    all.reserve(regions_.size());
    for (const auto& [begin, region] : regions_) all.push_back(region);
    return all;
  }

  Status fits(std::span<const PlanRow> rows) {
    std::map<Device, uint64_t> needs;
    const std::lock_guard lock(mutex_);
    for (const PlanRow& row : rows) {
      uint64_t& need = needs[row.device];
      if (accounts_[row.device].counts(row.pool)) need = checked_add(need, row.bytes).value_or(UINT64_MAX);
    }
    for (const auto& [device, need] : needs) MULLAMA_TRY(check(device, accounts_[device], need, "the plan"));
    return {};
  }

  void set_budget(Device device, std::optional<uint64_t> bytes, MappedWeights mapped) {
    const std::lock_guard lock(mutex_);
    Account& account = accounts_[device];
    account.budget = bytes;
    account.mapped = mapped;
    account.total = 0;
    for (size_t pool = 0; pool < kPoolCount; ++pool) {
      if (account.counts(static_cast<Pool>(pool))) account.total += account.pools[pool].bytes;
    }
  }

  std::optional<uint64_t> budget(Device device) {
    const std::lock_guard lock(mutex_);
    return accounts_[device].budget;
  }

  MappedWeights budget_mapped(Device device) {
    const std::lock_guard lock(mutex_);
    return accounts_[device].mapped;
  }

  Usage usage() {
    const std::lock_guard lock(mutex_);
    Usage usage;
    for (const auto& [device, account] : accounts_) {
      for (size_t pool = 0; pool < kPoolCount; ++pool) {
        const Entry& entry = account.pools[pool];
        if (entry.peak == 0 && entry.planned == 0) continue;
        usage.rows.push_back({device, static_cast<Pool>(pool), entry.bytes, entry.peak, entry.planned});
      }
    }
    return usage;
  }

 private:
  struct Entry {
    uint64_t bytes = 0;
    uint64_t peak = 0;
    uint64_t planned = 0;
  };
  struct Account {
    std::array<Entry, kPoolCount> pools{};
    uint64_t total = 0;  // of the pools that the budget holds for
    std::optional<uint64_t> budget;
    MappedWeights mapped = MappedWeights::count;

    [[nodiscard]] bool counts(Pool pool) const {
      return mapped == MappedWeights::count || pool != Pool::weights_mapped;
    }
  };

  static Status check(Device device, const Account& account, uint64_t bytes, std::string_view why) {
    const auto after = checked_add(account.total, bytes);
    if (after && (!account.budget || *after <= *account.budget)) return {};
    const uint64_t budget = account.budget.value_or(UINT64_MAX);
    const uint64_t left = budget > account.total ? budget - account.total : 0;
    if (device.kind == Device::Kind::gpu) {
      return fail(ErrorCode::gpu_out_of_memory,
                  "GPU out of memory: insufficient memory on device {} (need {}, free {}) for {}; try fewer "
                  "--gpu-layers",
                  device.index, format_bytes(bytes), format_bytes(left), why);
    }
    return fail(ErrorCode::budget_exceeded,
                "out of memory budget: insufficient memory for {} (need {}, budget {}, in use {}, left {})",
                why, format_bytes(bytes), format_bytes(budget), format_bytes(account.total),
                format_bytes(left));
  }

  std::mutex mutex_;
  std::map<Device, Account> accounts_;
  std::map<const std::byte*, Region> regions_;
};

Charge::Charge(Charge&& other) noexcept
    : ledger_(std::move(other.ledger_)),
      device_(other.device_),
      pool_(other.pool_),
      bytes_(std::exchange(other.bytes_, 0)),
      region_(std::exchange(other.region_, nullptr)) {}

Charge& Charge::operator=(Charge&& other) noexcept {
  std::swap(ledger_, other.ledger_);
  std::swap(device_, other.device_);
  std::swap(pool_, other.pool_);
  std::swap(bytes_, other.bytes_);
  std::swap(region_, other.region_);
  return *this;
}

Charge::~Charge() {
  if (ledger_) ledger_->remove(device_, pool_, bytes_, region_);
}

Announcement::Announcement(Announcement&& other) noexcept
    : ledger_(std::move(other.ledger_)), parts_(std::move(other.parts_)) {}

Announcement& Announcement::operator=(Announcement&& other) noexcept {
  std::swap(ledger_, other.ledger_);
  std::swap(parts_, other.parts_);
  return *this;
}

Announcement::~Announcement() {
  if (!ledger_) return;
  for (const Part& part : parts_) ledger_->withdraw(part.device, part.pool, part.bytes);
}

Buffer::Buffer(Buffer&& other) noexcept
    : charge_(std::move(other.charge_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      reserved_(std::exchange(other.reserved_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(charge_, other.charge_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(reserved_, other.reserved_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ != nullptr) ::munmap(data_, reserved_);
}

void Buffer::release_pages(size_t offset, size_t bytes) const {
  const size_t page = page_size();
  const size_t begin = round_up(offset, page);
  const size_t end = (offset + bytes) / page * page;
  if (end > begin) ::madvise(data_ + begin, end - begin, MADV_DONTNEED);
}

uint64_t Buffer::footprint(uint64_t bytes, Placement placement) {
  if (bytes == 0) return 0;
  const uint64_t unit = placement == Placement::huge ? kHugePageBytes : page_size();
  return checked_align(bytes, unit).value_or(UINT64_MAX);
}

Ledger::Ledger() : state_(std::make_shared<LedgerState>()) {}

Ledger& Ledger::process() {
  static Ledger ledger;
  return ledger;
}

Result<Charge> Ledger::charge(Pool pool, Device device, uint64_t bytes, std::string_view why) {
  if (FaultInjector::should_fail(bytes)) {
    return fail(ErrorCode::out_of_memory, "cannot allocate {} for {}: injected failure", format_bytes(bytes),
                why);
  }
  MULLAMA_TRY(state_->add(device, pool, bytes, why));
  Charge charge;
  charge.ledger_ = state_;
  charge.device_ = device;
  charge.pool_ = pool;
  charge.bytes_ = bytes;
  return charge;
}

Result<Buffer> Ledger::take(Pool pool, uint64_t bytes, Placement placement, std::string_view why) {
  const uint64_t reserved = Buffer::footprint(bytes, placement);
  Buffer buffer;
  MULLAMA_ASSIGN(buffer.charge_, charge(pool, kHost, reserved, why));
  if (bytes == 0) return buffer;
  // A 2 MiB alignment needs slack of one huge page, which is unmapped again and never touched.
  const size_t slack = placement == Placement::huge ? kHugePageBytes : 0;
  if (reserved > SIZE_MAX - slack)
    return fail(ErrorCode::out_of_memory, "cannot allocate {} for {}", format_bytes(bytes), why);
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (placement == Placement::lazy ? MAP_NORESERVE : 0);
  void* address = ::mmap(nullptr, reserved + slack, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (address == MAP_FAILED) {
    return fail(ErrorCode::out_of_memory, "cannot allocate {} for {}: {}", format_bytes(reserved), why,
                std::strerror(errno));
  }
  auto* begin = static_cast<std::byte*>(address);
  if (slack != 0) {
    auto* aligned =
        reinterpret_cast<std::byte*>(round_up(reinterpret_cast<uintptr_t>(begin), kHugePageBytes));
    if (aligned > begin) ::munmap(begin, static_cast<size_t>(aligned - begin));
    std::byte* const end = begin + reserved + slack;
    if (end > aligned + reserved) ::munmap(aligned + reserved, static_cast<size_t>(end - aligned) - reserved);
    begin = aligned;
    ::madvise(begin, reserved, MADV_HUGEPAGE);
  } else if (placement == Placement::lazy) {
    // A huge page would commit 2 MiB for the first written cell.
    ::madvise(begin, reserved, MADV_NOHUGEPAGE);
  }
  buffer.data_ = begin;
  buffer.size_ = bytes;
  buffer.reserved_ = reserved;
  name_pages(begin, reserved, pool);
  buffer.charge_.region_ = begin;
  state_->add_region({pool, {begin, reserved}});
  return buffer;
}

Result<Charge> Ledger::charge_mapping(Pool pool, std::span<const std::byte> mapping, std::string_view why) {
  MULLAMA_ASSIGN(Charge charge, this->charge(pool, kHost, mapping.size(), why));
  if (!mapping.empty()) {
    charge.region_ = mapping.data();
    state_->add_region({pool, mapping});
  }
  return charge;
}

Announcement Ledger::announce(std::span<const PlanRow> rows) {
  Announcement announcement;
  announcement.parts_.reserve(rows.size());
  announcement.ledger_ = state_;
  for (const PlanRow& row : rows) {
    announcement.parts_.push_back({row.device, row.pool, row.bytes});
    state_->announce(row.device, row.pool, row.bytes);
  }
  return announcement;
}

Status Ledger::fits(std::span<const PlanRow> rows) const {
  return state_->fits(rows);
}
void Ledger::set_budget(Device device, std::optional<uint64_t> bytes, MappedWeights mapped) {
  state_->set_budget(device, bytes, mapped);
}
std::optional<uint64_t> Ledger::budget(Device device) const {
  return state_->budget(device);
}
MappedWeights Ledger::budget_mapped(Device device) const {
  return state_->budget_mapped(device);
}
Usage Ledger::usage() const {
  return state_->usage();
}
std::vector<Region> Ledger::regions() const {
  return state_->regions();
}

uint64_t Usage::total(Device device) const {
  uint64_t sum = 0;
  for (const Row& row : rows) sum += row.device == device ? row.bytes : 0;
  return sum;
}

uint64_t Usage::planned(Device device) const {
  uint64_t sum = 0;
  for (const Row& row : rows) sum += row.device == device ? row.planned : 0;
  return sum;
}

uint64_t Usage::unaccounted(Device device) const {
  uint64_t sum = 0;
  for (const Row& row : rows) {
    if (row.device != device) continue;
    sum += row.bytes > row.planned ? row.bytes - row.planned : row.planned - row.bytes;
  }
  return sum;
}

uint64_t Usage::in(Device device, Pool pool) const {
  for (const Row& row : rows) {
    if (row.device == device && row.pool == pool) return row.bytes;
  }
  return 0;
}

}  // namespace mullama::memory
