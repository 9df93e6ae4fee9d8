// Everything that a process asks the system for passes here: the malloc family, on which operator new stands,
// mmap, and starting threads. Counts what is held, and refuses a chosen request. A program that compiles
// allocations.cpp has this for all its libraries, since a program's own definitions come first; oneDNN's and
// OpenMP's requests are told apart by the frames above them.
//
// Under AddressSanitizer, which has malloc for itself, and with ADAFACE_ONLY_OPERATOR_NEW, only operator new
// and mmap pass.
#pragma once

#include <cstdint>

namespace adaface::testing {

struct Holdings {
  std::int64_t blocks = 0;       // of malloc
  std::int64_t bytes = 0;        // in them, as the C library rounds them up: not the same each time
  std::int64_t mapped = 0;       // bytes of mmap
  std::int64_t threads = 0;      // of the process
  std::int64_t descriptors = 0;  // open files
  bool operator==(const Holdings&) const = default;
};

Holdings holdings();

// Whose requests are refused.
enum class Owner {
  ours,    // of the library, the C++ runtime under it, and the program
  onednn,  // with a frame of libdnnl or libgomp above them
};

enum class Refusal {
  one,   // a single request
  rest,  // it, and all of the same owner that follow
};

// From here on: refuses the first request of `owner` that is request number `first` (from 0) or a later one.
void refuse_requests(std::int64_t first, Owner owner, Refusal refusal);

struct Refused {
  std::int64_t requests = 0;  // since refuse_requests, on all threads, the refused ones included
  std::int64_t at = -1;       // number of the first that was refused; -1: none was
  std::int64_t passed = 0;    // requests that were let through because they were another owner's
};

// Grants everything again.
Refused grant_requests();

}  // namespace adaface::testing
