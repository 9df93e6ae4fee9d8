// The one error type of adaface. Depends on nothing; every other file may include it.
#pragma once

#include <stdexcept>
#include <string>

#include "export.h"

namespace adaface {

enum class ErrorCode {
  invalid_argument,  // a value that the caller passed is outside its documented range
  not_found,         // a file or directory that does not exist
  io,           // the system refused to read or write: permissions, full disk, a directory in place of a file
  corrupt,      // a file that is not what its format promises: truncated, inconsistent, checksum wrong
  unsupported,  // well formed, but something this build does not do
  limit,        // well formed, but larger than a limit that the caller can raise
  cancelled,    // the caller's progress function asked to stop
  out_of_memory,
  internal,  // a defect of this library, or a failing device
};

// "corrupt", "not_found", ...: stable, lower case, as printed in JSON.
ADAFACE_API const char* to_string(ErrorCode code) noexcept;

// what() names the file, tensor or option, what was found and what was expected, in one line without a final
// stop.
class ADAFACE_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ~Error() override;  // not inline: one type_info in a process, so that all its libraries catch it
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace adaface
