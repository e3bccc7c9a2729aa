#include "backend/program.hpp"

#include <algorithm>

#include "base/result.hpp"

namespace mullama::backend {

namespace {

template <class... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <class... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

template <class Visit>
void visit_slots(const Step& step, Visit&& visit) {
  std::visit(Overloaded{
                 [&](const EmbedStep& s) { visit(s.out); },
                 [&](const LinearStep& s) {
                   visit(s.in);
                   visit(s.in_up);
                   for (const LinearStep::Output& output : s.outputs) visit(output.out);
                 },
                 [&](const NormStep& s) {
                   visit(s.in);
                   visit(s.out);
                 },
                 [&](const RopeStoreStep& s) {
                   visit(s.q);
                   visit(s.k);
                   visit(s.v);
                 },
                 [&](const AttendStep& s) {
                   visit(s.q);
                   visit(s.out);
                 },
                 [&](const MoeStep& s) {
                   visit(s.in);
                   visit(s.out);
                 },
                 [&](const LogitsStep& s) { visit(s.in); },
             },
             step);
}

}  // namespace

Slot Program::add_slot(uint32_t width) {
  // Rows start on a vector's boundary, so that kernels never straddle a cache line at their start.
  slot_widths.push_back((width + kernels::kLanes - 1) / kernels::kLanes * kernels::kLanes);
  return static_cast<Slot>(slot_widths.size() - 1);
}

void Program::assign_offsets() {
  struct Life {
    size_t first = std::numeric_limits<size_t>::max();
    size_t last = 0;
  };
  std::vector<Life> lives(slot_widths.size());
  for (size_t i = 0; i < steps.size(); ++i) {
    visit_slots(steps[i], [&](Slot slot) {
      if (slot == kNoSlot) return;
      lives[slot].first = std::min(lives[slot].first, i);
      lives[slot].last = std::max(lives[slot].last, i);
    });
  }
  slot_offsets.assign(slot_widths.size(), 0);
  activation_width = 0;
  // First fit in the order of first use: at each slot, the lowest gap between the slots alive with it.
  std::vector<Slot> order(slot_widths.size());
  for (Slot s = 0; s < order.size(); ++s) order[s] = s;
  std::stable_sort(order.begin(), order.end(),
                   [&](Slot a, Slot b) { return lives[a].first < lives[b].first; });
  std::vector<Slot> placed;
  for (const Slot slot : order) {
    if (lives[slot].first > lives[slot].last) continue;  // never used
    std::vector<Slot> neighbours;
    for (const Slot other : placed) {
      if (lives[other].last >= lives[slot].first && lives[slot].last >= lives[other].first)
        neighbours.push_back(other);
    }
    std::sort(neighbours.begin(), neighbours.end(),
              [&](Slot a, Slot b) { return slot_offsets[a] < slot_offsets[b]; });
    uint32_t offset = 0;
    for (const Slot other : neighbours) {
      if (slot_offsets[other] >= offset + slot_widths[slot]) break;
      offset = std::max(offset, slot_offsets[other] + slot_widths[other]);
    }
    slot_offsets[slot] = offset;
    activation_width = std::max(activation_width, offset + slot_widths[slot]);
    placed.push_back(slot);
  }
}

uint32_t Program::widest_input(const std::vector<Matrix>& weights) const {
  uint32_t widest = embedding_width;
  for (const Step& step : steps) {
    if (const auto* linear = std::get_if<LinearStep>(&step)) {
      for (const LinearStep::Output& output : linear->outputs)
        widest = std::max(widest, weights[output.weight].cols);
    } else if (const auto* moe = std::get_if<MoeStep>(&step)) {
      widest = std::max({widest, weights[moe->up_weight].cols, weights[moe->down_weight].cols});
    }
  }
  return widest;
}

}  // namespace mullama::backend
