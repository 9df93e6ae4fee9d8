#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "src/image/byte_reader.h"
#include "src/image/container.h"

namespace adaface {

namespace {

enum Marker : int {
  kDht = 0xC4,
  kSoi = 0xD8,
  kEoi = 0xD9,
  kSos = 0xDA,
  kDqt = 0xDB,
  kDnl = 0xDC,
  kDri = 0xDD,
  kApp0 = 0xE0,
  kApp1 = 0xE1,
  kApp15 = 0xEF,
  kComment = 0xFE,
};

bool is_restart(int marker) {
  return marker >= 0xD0 && marker <= 0xD7;
}
bool is_frame(int marker) {
  return marker >= 0xC0 && marker <= 0xCF && marker != kDht && marker != 0xC8 && marker != 0xCC;
}

// Walks the marker segments. The decoder neither notices a missing end nor a missing table, and trusts the
// number of codes in a Huffman table; all three are checked here.
class JpegWalk {
 public:
  JpegWalk(ByteReader& reader, int max_side) : reader_(reader), max_side_(max_side) {}

  Container run() {
    reader_.skip(2);  // SOI
    for (int marker = next_marker(); marker != kEoi; marker = next_marker()) {
      if (is_frame(marker)) {
        frame(marker);
      } else if (marker == kSos) {
        scan();
      } else if (marker == kDht) {
        huffman_tables();
      } else if (marker == kDqt) {
        quantisation_tables();
      } else if ((marker >= kApp0 && marker <= kApp15) || marker == kComment || marker == kDri ||
                 marker == kDnl) {
        other(marker);
      } else {
        reader_.fail("unexpected marker 0x" + hex(marker) + ", expected a segment");
      }
    }
    if (scans_ == 0) reader_.fail("no scan before the end-of-image marker");
    if (seen_ != all_components()) reader_.fail("no scan for one of its components");
    return result_;
  }

 private:
  struct Component {
    int id, quantisation;
  };

  static std::string hex(int value) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    return {kDigits[value >> 4 & 15], kDigits[value & 15]};
  }

  unsigned all_components() const { return (1u << component_count_) - 1; }

  int next_marker() {
    if (pending_ != 0) return std::exchange(pending_, 0);
    int byte = 0;
    do {
      if (reader_.remaining() == 0) reader_.fail("truncated: no end-of-image marker");
      byte = reader_.u8();
      if (byte != 0xFF && component_count_ != 0) reader_.fail("no marker after a segment");
    } while (byte != 0xFF);  // some files carry padding between the segments of their header
    while (byte == 0xFF) {
      if (reader_.remaining() == 0) reader_.fail("truncated: no end-of-image marker");
      byte = reader_.u8();
    }
    return byte;
  }

  std::span<const std::byte> segment() {
    const int length = reader_.u16be();
    if (length < 2) reader_.fail("a segment of " + std::to_string(length) + " bytes, expected at least 2");
    return reader_.take(length - 2);
  }

  static int at(std::span<const std::byte> bytes, std::size_t i) { return std::to_integer<int>(bytes[i]); }

  void frame(int marker) {
    if (component_count_ != 0) reader_.fail("a second frame, expected one");
    if (marker != 0xC0 && marker != 0xC1 && marker != 0xC2) {
      reader_.refuse("coding process 0x" + hex(marker) + ", expected baseline or progressive Huffman coding");
    }
    progressive_ = marker == 0xC2;
    const auto body = segment();
    if (body.size() < 6) reader_.fail("the frame header is too short");
    if (at(body, 0) != 8) reader_.refuse(std::to_string(at(body, 0)) + " bits per sample, expected 8");
    const int height = at(body, 1) << 8 | at(body, 2), width = at(body, 3) << 8 | at(body, 4);
    if (height == 0 && width != 0)
      reader_.refuse("its height follows the picture, expected it in the header");
    reader_.check_size(width, height, max_side_);
    const int count = at(body, 5);
    if (count != 1 && count != 3 && count != 4) {
      reader_.refuse(std::to_string(count) + " components, expected 1, 3 or 4");
    }
    if (body.size() != 6 + 3 * static_cast<std::size_t>(count))
      reader_.fail("the frame header's length is wrong");
    for (int i = 0; i < count; ++i) components_[i] = {at(body, 6 + 3 * i), at(body, 8 + 3 * i)};
    component_count_ = count;
    result_.width = width;
    result_.height = height;
  }

  void huffman_tables() {
    auto body = segment();
    while (!body.empty()) {
      if (body.size() < 17) reader_.fail("a Huffman table is cut off");
      const int table = at(body, 0);
      std::size_t codes = 0;
      for (int i = 1; i <= 16; ++i) codes += at(body, i);
      if ((table >> 4) > 1 || (table & 15) > 3) reader_.fail("Huffman table number out of range");
      if (codes > 256 || body.size() < 17 + codes) {
        reader_.fail("a Huffman table of " + std::to_string(codes) + " codes does not fit its segment");
      }
      ((table >> 4) == 0 ? dc_tables_ : ac_tables_) |= 1u << (table & 15);
      body = body.subspan(17 + codes);
    }
  }

  void quantisation_tables() {
    auto body = segment();
    while (!body.empty()) {
      const int table = at(body, 0);
      const std::size_t size = (table >> 4) == 0 ? 65 : 129;
      if ((table >> 4) > 1 || (table & 15) > 3) reader_.fail("quantisation table number out of range");
      if (body.size() < size) reader_.fail("a quantisation table is cut off");
      quantisation_ |= 1u << (table & 15);
      body = body.subspan(size);
    }
  }

  void scan() {
    if (component_count_ == 0) reader_.fail("a scan before the frame header");
    // Each scan of a progressive file costs a pass over the picture; encoders write about ten.
    constexpr int kMaxScans = 200;
    if (++scans_ > kMaxScans) reader_.refuse("more than " + std::to_string(kMaxScans) + " scans");
    const auto body = segment();
    const std::size_t count = body.empty() ? 0 : at(body, 0);
    if (count < 1 || count > 4 || body.size() != 4 + 2 * count)
      reader_.fail("the scan header's length is wrong");
    const int first_coefficient = at(body, 1 + 2 * count);
    const bool refines = (at(body, 3 + 2 * count) >> 4) != 0;
    for (std::size_t i = 0; i < count; ++i) {
      int which = 0;
      while (which < component_count_ && components_[which].id != at(body, 1 + 2 * i)) ++which;
      if (which == component_count_) reader_.fail("a scan of a component that the frame lacks");
      const int tables = at(body, 2 + 2 * i);
      const bool needs_dc = !progressive_ || (first_coefficient == 0 && !refines);
      const bool needs_ac = !progressive_ || first_coefficient != 0;
      if ((needs_dc && (dc_tables_ >> (tables >> 4) & 1) == 0) ||
          (needs_ac && (ac_tables_ >> (tables & 15) & 1) == 0)) {
        reader_.fail("a scan uses a Huffman table that is not defined");
      }
      if ((quantisation_ >> (components_[which].quantisation & 31) & 1) == 0) {
        reader_.fail("a scan uses a quantisation table that is not defined");
      }
      if (first_coefficient == 0) seen_ |= 1u << which;
    }
    pending_ = end_of_scan();
  }

  // Entropy-coded data run to the first marker that is neither a stuffed zero nor a restart.
  int end_of_scan() {
    for (;;) {
      const auto rest = reader_.rest();
      const auto* data = reinterpret_cast<const unsigned char*>(rest.data());
      const void* found = rest.empty() ? nullptr : std::memchr(data, 0xFF, rest.size());
      if (found == nullptr) reader_.fail("truncated: the scan has no end");
      reader_.skip(static_cast<const unsigned char*>(found) - data);
      int byte = 0xFF;
      while (byte == 0xFF) {
        if (reader_.remaining() == 0) reader_.fail("truncated: the scan has no end");
        byte = reader_.u8();
      }
      if (byte != 0 && !is_restart(byte)) return byte;
    }
  }

  void other(int marker) {
    const auto body = segment();
    if (marker == kDri && body.size() != 2) reader_.fail("the restart interval's length is wrong");
    constexpr char kExif[6] = {'E', 'x', 'i', 'f', 0, 0};
    if (marker == kApp1 && result_.exif.empty() && body.size() > sizeof kExif &&
        std::memcmp(body.data(), kExif, sizeof kExif) == 0) {
      result_.exif = body.subspan(sizeof kExif);
    }
  }

  ByteReader& reader_;
  int max_side_;
  Container result_{.format = ImageFormat::jpeg};
  bool progressive_ = false;
  int component_count_ = 0;
  std::array<Component, 4> components_{};
  unsigned dc_tables_ = 0, ac_tables_ = 0, quantisation_ = 0;  // defined so far, one bit each
  unsigned seen_ = 0;                                          // components with a first scan
  int scans_ = 0;
  int pending_ = 0;  // the marker that ended a scan
};

}  // namespace

Container inspect_jpeg(ByteReader& reader, int max_side) {
  return JpegWalk(reader, max_side).run();
}

}  // namespace adaface
