// What a pickle may ask for by name.
#pragma once

#include <string_view>

#include "tools/convert/element.h"

namespace adaface::checkpoint {

enum class GlobalPolicy {
  known,     // builds plain data, see PickleMachine::call
  opaque,    // remembered by name, never run
  forbidden  // only an attack asks for it: an error wherever it stands
};

GlobalPolicy policy_of(std::string_view module, std::string_view name) noexcept;

// "torch.HalfStorage" -> f16; other when it is not a storage class.
ElementType storage_type(std::string_view global) noexcept;

// The end of messages about a value that cannot be used: names what is on the list.
inline constexpr std::string_view kKnownGlobals =
    "which is not on the list of known globals (collections.OrderedDict, torch tensors and storages)";

}  // namespace adaface::checkpoint
