#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "src/gallery.hpp"
#include "src/gallery/scan.h"

namespace adaface {

struct SearchIndex::State {
  search::RowStore rows;
  std::optional<bool> grouped;  // which form of add() is in use
  std::unique_ptr<nn::ThreadPool> pool;
  std::mutex pool_in_use;

  void add(Vector unit, std::uint32_t group, bool with_group) {
    if (grouped && *grouped != with_group)
      throw Error(ErrorCode::invalid_argument, with_group
                                                   ? "group: earlier embeddings have none, expected none"
                                                   : "group: earlier embeddings have one, expected one");
    rows.add(unit, group);
    grouped = with_group;
  }

  // The pool serves one search at a time; another that comes meanwhile is done by its own thread.
  template <class Search>
  auto run(const Search& search) {
    if (!pool) return search(nullptr);
    const std::unique_lock lock(pool_in_use, std::try_to_lock);
    return search(lock ? pool.get() : nullptr);
  }
};

SearchIndex::SearchIndex(int threads) : state_(std::make_unique<State>()) {
  threads = nn::thread_count(threads);
  if (threads > 1) state_->pool = std::make_unique<nn::ThreadPool>(threads);
}
SearchIndex::~SearchIndex() = default;
SearchIndex::SearchIndex(SearchIndex&&) noexcept = default;
SearchIndex& SearchIndex::operator=(SearchIndex&&) noexcept = default;

std::size_t SearchIndex::size() const {
  return state_->rows.size();
}
void SearchIndex::reserve(std::size_t rows) {
  state_->rows.reserve(rows);
}
void SearchIndex::add(Vector unit, std::uint32_t group) {
  state_->add(unit, group, true);
}
void SearchIndex::add(Vector unit) {
  state_->add(unit, 0, false);
}

std::vector<Match> SearchIndex::nearest(Vector query, std::size_t k) const {
  return std::move(nearest(std::span<const float>(query), k)[0]);
}

std::vector<std::vector<Match>> SearchIndex::nearest(std::span<const float> queries, std::size_t k) const {
  return state_->run([&](nn::ThreadPool* pool) {
    return search::nearest(state_->rows, state_->grouped.value_or(false), queries, k, pool);
  });
}

std::vector<std::vector<Match>> SearchIndex::at_least(std::span<const float> queries,
                                                      double similarity) const {
  return state_->run(
      [&](nn::ThreadPool* pool) { return search::at_least(state_->rows, queries, similarity, pool); });
}

std::uint64_t SearchIndex::scan_bytes() const {
  return std::uint64_t{state_->rows.size()} * search::RowStore::kScanBytesPerRow;
}

}  // namespace adaface
