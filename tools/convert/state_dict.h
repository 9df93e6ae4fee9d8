// From a pickle's values to the tensors of a checkpoint.
#pragma once

#include <string>
#include <vector>

#include "tools/convert/pickle.h"

namespace adaface::checkpoint {

struct NamedValue {
  std::string name;
  const Value* value;
  bool in_state_dict;
};

// The entries of the state dict: under "state_dict" or "model", or the root itself; then the tensors that
// stand elsewhere, named by their path ("optimizer_states/0/exp_avg"). Throws unsupported when the state
// dict is made by an unknown global, corrupt when it has two entries of one name.
std::vector<NamedValue> state_dict_entries(const Value& root, const std::string& file);

// What a value is, for messages: "a list", "made by foo.Bar, which is not on the list ...".
std::string describe(const Value& value);

}  // namespace adaface::checkpoint
