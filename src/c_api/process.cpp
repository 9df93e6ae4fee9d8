#include <string>

#include "src/c_api/status.h"

using namespace adaface;

extern "C" {

const char* adaface_version(void) {
  return version();
}

size_t adaface_build_info(char* buffer, size_t size) {
  try {
    const std::string text = build_info();
    if (buffer && size > 0) {
      const std::size_t length = std::min(text.size(), size - 1);
      std::memcpy(buffer, text.data(), length);
      buffer[length] = '\0';
    }
    return text.size();
  } catch (...) {
    if (buffer && size > 0) *buffer = '\0';
    return 0;
  }
}

int adaface_available_cpus(void) {
  try {
    return available_cpus();
  } catch (...) {
    return 1;  // no memory to read the control groups' limits
  }
}

adaface_status adaface_parse_device(const char* text, int32_t* device, int32_t* device_index) {
  return c_api::guarded([&] {
    c_api::required(device, "device");
    c_api::required(device_index, "device_index");
    const Device parsed = parse_device(&c_api::required(text, "text"));
    *device = static_cast<int32_t>(parsed.kind);
    *device_index = parsed.index;
  });
}

size_t adaface_cuda_device_count(void) {
  try {
    return cuda_devices().size();
  } catch (...) {
    return 0;
  }
}

adaface_status adaface_cuda_device_get_info(size_t which, adaface_cuda_device_info* info) {
  return c_api::guarded([&] {
    const std::size_t size =
        c_api::struct_size(c_api::required(info, "info"), sizeof(adaface_cuda_device_info), "info",
                           "set it to sizeof(adaface_cuda_device_info)");
    const std::vector<DeviceInfo> devices = cuda_devices();
    if (which >= devices.size())
      c_api::reject("which", std::to_string(which),
                    ("less than " + std::to_string(devices.size()) + ", the number of CUDA devices").c_str());
    const DeviceInfo& from = devices[which];
    adaface_cuda_device_info known{
        size, {}, from.memory_bytes, from.device.index, from.compute_major, from.compute_minor};
    from.name.copy(known.name, sizeof known.name - 1);
    c_api::init_options(info, size, known);
  });
}

adaface_status adaface_set_log(adaface_log_level most, adaface_log function, void* user) {
  return c_api::guarded([&] {
    const LogLevel level = c_api::enumerator(most, LogLevel::debug, "most");
    if (!function) return set_log(LogLevel::none, {});
    set_log(level, [function, user](LogLevel of, std::string_view message) {
      // Ends with a zero: the engine's messages are strings.
      function(user, static_cast<adaface_log_level>(of), message.data());
    });
  });
}

adaface_status adaface_set_allocator(const adaface_allocator* allocator) {
  return c_api::guarded([&] {
    adaface_allocator defaults{};
    const adaface_allocator known = c_api::read_options(allocator, defaults, sizeof(adaface_allocator),
                                                        "allocator", "set it to sizeof(adaface_allocator)");
    set_allocator({known.allocate, known.release, known.user});
  });
}

}  // extern "C"
