#include "tools/convert/state_dict.h"

#include <unordered_set>

#include "src/error.hpp"
#include "tools/convert/pickle_globals.h"

namespace adaface::checkpoint {
namespace {

constexpr std::size_t kMaxEntries = 100'000;

bool is_container(const Value& value) {
  return (value.kind == Kind::dict || value.kind == Kind::list || value.kind == Kind::tuple) &&
         !value.items.empty();
}

std::string key_text(const Value& key) {
  if (key.kind == Kind::string || key.kind == Kind::bytes) return key.text;
  if (key.kind == Kind::integer || key.kind == Kind::boolean) return std::to_string(key.integer);
  return "?";
}

const Value& find_state_dict(const Value& root, const std::string& file) {
  const Value* found = &root;
  std::string where = "the checkpoint";
  for (const char* key : {"state_dict", "model"})
    if (const Value* value = root.find(key);
        value && (value->kind == Kind::dict || value->kind == Kind::opaque)) {
      found = value;
      where = std::string("\"") + key + "\"";
      break;
    }
  if (found->kind == Kind::opaque)
    throw Error(ErrorCode::unsupported,
                file + ": " + where + " is " + describe(*found) + "; expected a dict of tensors");
  if (found->kind != Kind::dict)
    throw Error(ErrorCode::unsupported,
                file + ": " + where + " is " + describe(*found) + ", expected a dict of tensors");
  return *found;
}

}  // namespace

std::string describe(const Value& value) {
  if (value.kind != Kind::opaque) return std::string(to_string(value.kind));
  return "made by " + shown(value.text) + ", " + std::string(kKnownGlobals);
}

std::vector<NamedValue> state_dict_entries(const Value& root, const std::string& file) {
  const Value& state = find_state_dict(root, file);
  std::vector<NamedValue> entries;
  std::unordered_set<std::string> names;
  auto add = [&](std::string name, const Value* value, bool in_state_dict) {
    if (entries.size() >= kMaxEntries)
      throw Error(ErrorCode::limit, file + ": more than " + std::to_string(kMaxEntries) + " tensors");
    entries.push_back({std::move(name), value, in_state_dict});
  };
  for (std::size_t i = 0; i + 1 < state.items.size(); i += 2) {
    const std::string name = key_text(*state.items[i]);
    if (!names.insert(name).second)
      throw Error(ErrorCode::corrupt, file + ": \"" + shown(name) + "\" appears twice in the state dict");
    add(name, state.items[i + 1], true);
  }

  // Every container is visited once: values may be shared and may contain themselves.
  constexpr std::size_t kLongestPath = 200;
  std::unordered_set<const Value*> seen = {&state, &root};
  std::vector<std::pair<std::string, const Value*>> todo;
  for (const NamedValue& entry : entries)
    if (is_container(*entry.value) && seen.insert(entry.value).second)
      todo.emplace_back(entry.name, entry.value);
  if (&root != &state) todo.emplace_back("", &root);
  while (!todo.empty()) {
    auto [path, container] = std::move(todo.back());
    todo.pop_back();
    const bool dict = container->kind == Kind::dict;
    std::vector<std::pair<std::string, const Value*>> inner;
    for (std::size_t i = 0; i < container->items.size(); i += dict ? 2 : 1) {
      const Value* item = dict ? container->items[i + 1] : container->items[i];
      const bool walk = is_container(*item);
      if (!walk && item->kind != Kind::tensor) continue;
      if (walk && !seen.insert(item).second) continue;
      std::string name =
          path + (path.empty() ? "" : "/") + (dict ? key_text(*container->items[i]) : std::to_string(i));
      if (name.size() > kLongestPath) name.resize(kLongestPath);
      if (walk)
        inner.emplace_back(std::move(name), item);
      else
        add(std::move(name), item, false);
    }
    todo.insert(todo.end(), std::make_move_iterator(inner.rbegin()), std::make_move_iterator(inner.rend()));
  }
  return entries;
}

}  // namespace adaface::checkpoint
