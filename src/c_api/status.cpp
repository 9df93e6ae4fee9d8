#include "src/c_api/status.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <new>

namespace adaface::c_api {
namespace {

// Fixed memory, and nothing to destroy: the message that memory is short needs none, and a thread may end
// after the library has been unloaded.
thread_local std::array<char, 1024> last_error{};

void keep(const char* message) noexcept {
  std::size_t length = std::min(std::strlen(message), last_error.size() - 1);
  // Not within a character of several bytes.
  if (message[length] != '\0')
    while (length > 0 && (static_cast<unsigned char>(message[length]) & 0xC0) == 0x80) --length;
  std::memcpy(last_error.data(), message, length);
  last_error[length] = '\0';
}

adaface_status status_of(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument: return ADAFACE_INVALID_ARGUMENT;
    case ErrorCode::not_found: return ADAFACE_NOT_FOUND;
    case ErrorCode::io: return ADAFACE_IO;
    case ErrorCode::corrupt: return ADAFACE_CORRUPT;
    case ErrorCode::unsupported: return ADAFACE_UNSUPPORTED;
    case ErrorCode::limit: return ADAFACE_LIMIT;
    case ErrorCode::out_of_memory: return ADAFACE_OUT_OF_MEMORY;
    case ErrorCode::cancelled: return ADAFACE_CANCELLED;
    case ErrorCode::internal: return ADAFACE_INTERNAL;
  }
  return ADAFACE_INTERNAL;
}

}  // namespace

adaface_status failed() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    keep(error.what());
    return status_of(error.code());
  } catch (const std::bad_alloc&) {
    keep("out of memory");
    return ADAFACE_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    keep(error.what());
    return ADAFACE_INTERNAL;
  } catch (...) {
    keep("unknown error");
    return ADAFACE_INTERNAL;
  }
}

void reject(const char* name, const std::string& found, const char* expected) {
  throw Error(ErrorCode::invalid_argument, std::string(name) + " is " + found + ", expected " + expected);
}

}  // namespace adaface::c_api

extern "C" {

const char* adaface_status_name(adaface_status status) {
  switch (status) {
    case ADAFACE_OK: return "ok";
    case ADAFACE_INVALID_ARGUMENT: return "invalid_argument";
    case ADAFACE_NOT_FOUND: return "not_found";
    case ADAFACE_IO: return "io";
    case ADAFACE_CORRUPT: return "corrupt";
    case ADAFACE_UNSUPPORTED: return "unsupported";
    case ADAFACE_LIMIT: return "limit";
    case ADAFACE_OUT_OF_MEMORY: return "out_of_memory";
    case ADAFACE_CANCELLED: return "cancelled";
    case ADAFACE_INTERNAL: return "internal";
  }
  return "unknown";
}

const char* adaface_last_error(void) {
  return adaface::c_api::last_error.data();
}

}  // extern "C"
