#include <algorithm>
#include <charconv>

#include "src/adaface.hpp"
#include "src/nn/cuda_backend.h"

namespace adaface {
namespace {

constexpr int kMaxIndex = 1023;
constexpr std::string_view kCuda = "cuda";

// 0 to 1023, or -1.
int index_of(std::string_view digits) {
  int index = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  const bool whole = error == std::errc() && end == digits.data() + digits.size();
  // As it would be written: no sign, no leading zero.
  return whole && index >= 0 && index <= kMaxIndex && std::to_string(index) == digits ? index : -1;
}

}  // namespace

Device parse_device(std::string_view text) {
  if (text == "cpu") return {};
  if (text == kCuda) return {.kind = DeviceKind::cuda};
  if (text.starts_with(kCuda) && text.substr(kCuda.size()).starts_with(':'))
    if (const int index = index_of(text.substr(kCuda.size() + 1)); index >= 0)
      return {.kind = DeviceKind::cuda, .index = index};
  throw Error(ErrorCode::invalid_argument, "device is \"" + printable(std::filesystem::path(text)) +
                                               "\", expected \"cpu\", \"cuda\" or \"cuda:0\" to \"cuda:" +
                                               std::to_string(kMaxIndex) + "\"");
}

std::string to_string(const Device& device) {
  if (device.kind == DeviceKind::cpu) return "cpu";
  return std::string(kCuda) + ":" + std::to_string(device.index);
}

std::vector<DeviceInfo> cuda_devices() {
  return nn::cuda_device_list(nullptr);
}

void check_device(const Device& device) {
  if (device.kind == DeviceKind::cpu) return;
  if (device.index < 0 || device.index > kMaxIndex)
    throw Error(ErrorCode::invalid_argument, "device index is " + std::to_string(device.index) +
                                                 ", expected 0 to " + std::to_string(kMaxIndex));
  std::string reason;
  const std::vector<DeviceInfo> devices = nn::cuda_device_list(&reason);
  if (std::ranges::find(devices, device, &DeviceInfo::device) != devices.end()) return;
  if (!devices.empty()) reason = "no such device";
  std::string expected = "cpu";
  for (const DeviceInfo& info : devices) expected += " or " + to_string(info.device);
  throw Error(ErrorCode::unsupported, to_string(device) + ": " + reason + ", expected " + expected);
}

}  // namespace adaface
