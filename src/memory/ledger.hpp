#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "memory/pool.hpp"

namespace mullama::memory {

/// How a buffer's bytes are backed.
enum class Placement : uint8_t {
  committed,  ///< Zeroed pages, written to at once by their owner.
  lazy,       ///< Address space whose pages the system commits when first written (KV cells).
  huge,       ///< Like committed, aligned to 2 MiB and advised to use huge pages (copied weights).
};

class LedgerState;

/// Bytes counted in a pool without memory of our own behind them: a mapping, a library's heap.
/// Gives the count back when destroyed.
class Charge {
 public:
  Charge() = default;
  Charge(Charge&& other) noexcept;
  Charge& operator=(Charge&& other) noexcept;
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;
  ~Charge();

  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  [[nodiscard]] Pool pool() const { return pool_; }
  [[nodiscard]] Device device() const { return device_; }

 private:
  friend class Ledger;
  std::shared_ptr<LedgerState> ledger_;
  Device device_;
  Pool pool_ = Pool::runtime;
  uint64_t bytes_ = 0;
  const std::byte* region_ = nullptr;
};

/// What an owner has said from a plan that it will take, before it takes it; withdrawn when destroyed. The
/// book keeps plan and account side by side, so that a byte in one but not in the other shows.
class Announcement {
 public:
  Announcement() = default;
  Announcement(Announcement&& other) noexcept;
  Announcement& operator=(Announcement&& other) noexcept;
  Announcement(const Announcement&) = delete;
  Announcement& operator=(const Announcement&) = delete;
  ~Announcement();

 private:
  friend class Ledger;
  struct Part {
    Device device;
    Pool pool;
    uint64_t bytes;
  };
  std::shared_ptr<LedgerState> ledger_;
  std::vector<Part> parts_;
};

/// Move-only owner of host bytes, counted in a pool from before they exist until after they are gone.
/// Memory is zeroed and aligned to at least 64 bytes; pages are given back by the destructor.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] Pool pool() const { return charge_.pool(); }

  template <class T>
  [[nodiscard]] std::span<T> as() const {
    return {reinterpret_cast<T*>(data_), size_ / sizeof(T)};
  }

  /// Returns the physical pages wholly inside [offset, offset + bytes) to the system; they read as zero
  /// afterwards.
  void release_pages(size_t offset, size_t bytes) const;

  /// What the operating system reserves for a request of `bytes`: the figure that plan and ledger both use.
  [[nodiscard]] static uint64_t footprint(uint64_t bytes, Placement placement);

 private:
  friend class Ledger;
  Charge charge_;
  std::byte* data_ = nullptr;
  size_t size_ = 0;      // as asked
  size_t reserved_ = 0;  // as mapped
};

/// Host memory behind a count: a buffer, or a mapping that was charged with its addresses.
struct Region {
  Pool pool = Pool::runtime;
  std::span<const std::byte> bytes;
};

struct Usage {
  struct Row {
    Device device;
    Pool pool;
    uint64_t bytes;
    uint64_t peak;
    uint64_t planned = 0;  ///< Announced.
  };
  std::vector<Row> rows;  ///< Every pool in use now or before, by device and pool.
  [[nodiscard]] uint64_t total(Device device) const;
  [[nodiscard]] uint64_t in(Device device, Pool pool) const;
  [[nodiscard]] uint64_t planned(Device device) const;
  /// Sum over pools of the difference between plan and account: 0 when nothing is being loaded or let go.
  [[nodiscard]] uint64_t unaccounted(Device device) const;
};

/// Whether a budget holds for weights in mapped files, whose pages the system may take back at any time.
enum class MappedWeights : uint8_t { count, ignore };

/// The account book of all large memory, and its budget. Copies share one book. Thread-safe.
///
/// A take that would exceed a device's budget fails with `budget_exceeded` (host) or
/// `gpu_out_of_memory` before any memory is touched; a refusal of the system is `out_of_memory`.
class Ledger {
 public:
  Ledger();

  /// The book that the public API and the command line use.
  [[nodiscard]] static Ledger& process();

  [[nodiscard]] Result<Buffer> take(Pool pool, uint64_t bytes, Placement placement, std::string_view why);
  [[nodiscard]] Result<Charge> charge(Pool pool, Device device, uint64_t bytes, std::string_view why);

  /// The same for host memory that something else maps: its addresses are kept, so that its residency can be
  /// told.
  [[nodiscard]] Result<Charge> charge_mapping(Pool pool, std::span<const std::byte> mapping,
                                              std::string_view why);

  /// Writes the rows of a plan beside the account, before their bytes are taken.
  [[nodiscard]] Announcement announce(std::span<const PlanRow> rows);

  /// Whether all rows together would fit now; the error names need, budget and what is left.
  [[nodiscard]] Status fits(std::span<const PlanRow> rows) const;

  void set_budget(Device device, std::optional<uint64_t> bytes, MappedWeights mapped = MappedWeights::count);
  [[nodiscard]] std::optional<uint64_t> budget(Device device) const;
  [[nodiscard]] MappedWeights budget_mapped(Device device) const;
  [[nodiscard]] Usage usage() const;
  /// Host memory behind the counts at this moment, by address.
  [[nodiscard]] std::vector<Region> regions() const;

 private:
  std::shared_ptr<LedgerState> state_;
};

}  // namespace mullama::memory
