#include "tools/convert/zip_archive.h"

#include <zip.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "src/error.hpp"
#include "tools/convert/element.h"

namespace adaface::checkpoint {
namespace {

constexpr std::int64_t kMaxEntries = 1'000'000;

// libzip's view of a ByteSource. Its callbacks are C: nothing may be thrown through them.
struct SourceCursor {
  const ByteSource* source;
  std::uint64_t position = 0;
  zip_error_t error;
};

zip_int64_t source_callback(void* state, void* data, zip_uint64_t length, zip_source_cmd_t command) {
  auto* cursor = static_cast<SourceCursor*>(state);
  switch (command) {
    case ZIP_SOURCE_OPEN: cursor->position = 0; return 0;
    case ZIP_SOURCE_READ: {
      const std::uint64_t size = cursor->source->size();
      const std::uint64_t left = cursor->position < size ? size - cursor->position : 0;
      const std::uint64_t count = std::min<std::uint64_t>(left, length);
      try {
        cursor->source->read_at(cursor->position,
                                {static_cast<std::byte*>(data), static_cast<std::size_t>(count)});
      } catch (...) {
        zip_error_set(&cursor->error, ZIP_ER_READ, 0);
        return -1;
      }
      cursor->position += count;
      return static_cast<zip_int64_t>(count);
    }
    case ZIP_SOURCE_CLOSE: return 0;
    case ZIP_SOURCE_STAT: {
      auto* status = static_cast<zip_stat_t*>(data);
      zip_stat_init(status);
      status->size = cursor->source->size();
      status->valid = ZIP_STAT_SIZE;
      return sizeof(*status);
    }
    case ZIP_SOURCE_ERROR: return zip_error_to_data(&cursor->error, data, length);
    case ZIP_SOURCE_SEEK: {
      const zip_int64_t offset = zip_source_seek_compute_offset(cursor->position, cursor->source->size(),
                                                                data, length, &cursor->error);
      if (offset < 0) return -1;
      cursor->position = static_cast<std::uint64_t>(offset);
      return 0;
    }
    case ZIP_SOURCE_TELL: return static_cast<zip_int64_t>(cursor->position);
    case ZIP_SOURCE_SUPPORTS: return ZIP_SOURCE_SUPPORTS_SEEKABLE;
    case ZIP_SOURCE_FREE: return 0;
    default: zip_error_set(&cursor->error, ZIP_ER_OPNOTSUPP, 0); return -1;
  }
}

struct CloseFile {
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};
struct DiscardArchive {
  void operator()(zip_t* archive) const { zip_discard(archive); }
};

// A name that stays inside the archive's folder.
bool climbs(std::string_view name) {
  if (name.empty() || name.front() == '/' || name.find('\\') != std::string_view::npos ||
      name.find(':') != std::string_view::npos)
    return true;
  for (std::size_t start = 0; start <= name.size();) {
    const std::size_t slash = std::min(name.find('/', start), name.size());
    if (name.substr(start, slash - start) == "..") return true;
    start = slash + 1;
  }
  return false;
}

}  // namespace

struct ZipArchive::Impl {
  SourceCursor cursor;
  std::unique_ptr<zip_t, DiscardArchive> archive;
  std::unique_ptr<zip_file_t, CloseFile> open;  // declared last: closed before the archive
  std::uint64_t open_index = 0;
  std::uint64_t position = 0;
};

ZipArchive::ZipArchive(const ByteSource& source) : source_(source), impl_(std::make_unique<Impl>()) {
  impl_->cursor.source = &source;
  zip_error_init(&impl_->cursor.error);
  zip_error_t error;
  zip_error_init(&error);
  auto fail = [&](ErrorCode code, const std::string& what) {
    throw Error(code, source.name() + ": " + what);
  };

  zip_source_t* raw = zip_source_function_create(source_callback, &impl_->cursor, &error);
  if (!raw) fail(ErrorCode::internal, std::string("ZIP: ") + zip_error_strerror(&error));
  impl_->archive.reset(zip_open_from_source(raw, ZIP_RDONLY, &error));
  if (!impl_->archive) {
    zip_source_free(raw);
    const std::string reason = zip_error_strerror(&error);
    zip_error_fini(&error);
    fail(ErrorCode::corrupt, "the ZIP directory cannot be read, is the file cut off? (" + reason + ")");
  }
  zip_error_fini(&error);

  zip_t* archive = impl_->archive.get();
  const std::int64_t count = zip_get_num_entries(archive, 0);
  if (count > kMaxEntries)
    fail(ErrorCode::limit,
         std::to_string(count) + " ZIP entries, expected at most " + std::to_string(kMaxEntries));
  std::string top;
  std::uint64_t total = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    zip_stat_t status;
    zip_stat_init(&status);
    constexpr zip_uint64_t kNeeded = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE |
                                     ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    if (zip_stat_index(archive, static_cast<zip_uint64_t>(i), ZIP_FL_ENC_RAW, &status) != 0 ||
        (status.valid & kNeeded) != kNeeded)
      fail(ErrorCode::corrupt, "ZIP entry " + std::to_string(i) + " cannot be read");
    const std::string name = status.name;
    const std::string entry = "ZIP entry \"" + shown(name) + "\"";
    if (climbs(name)) fail(ErrorCode::corrupt, entry + " leaves the archive's folder");
    if (status.encryption_method != ZIP_EM_NONE) fail(ErrorCode::unsupported, entry + " is encrypted");
    if (status.comp_method != ZIP_CM_STORE)
      fail(ErrorCode::unsupported,
           entry + " is compressed, expected stored entries as torch.save writes them");
    if (status.size != status.comp_size)
      fail(ErrorCode::corrupt, entry + " is stored, but its two sizes differ");
    if (status.size > source.size() || (total += status.size) > source.size())
      fail(ErrorCode::corrupt, entry + " holds " + std::to_string(status.size) +
                                   " bytes: more than the file of " + std::to_string(source.size()));
    const std::size_t slash = name.find('/');
    if (slash == std::string::npos)
      fail(ErrorCode::unsupported, entry + " lies outside a top folder: not a torch checkpoint");
    if (top.empty()) top = name.substr(0, slash + 1);
    if (!name.starts_with(top))
      fail(ErrorCode::unsupported, entry + " does not lie in the top folder \"" + shown(top) + "\"");
    if (name.back() == '/') continue;
    const bool added =
        entries_.emplace(name.substr(slash + 1), Entry{static_cast<std::uint64_t>(i), status.size}).second;
    if (!added) fail(ErrorCode::corrupt, entry + " appears twice");
  }
}

ZipArchive::~ZipArchive() {
  impl_->open.reset();
  impl_->archive.reset();
  zip_error_fini(&impl_->cursor.error);
}

const ZipArchive::Entry* ZipArchive::find(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

std::string ZipArchive::full_name(const Entry& entry) const {
  const char* name = zip_get_name(impl_->archive.get(), entry.index, ZIP_FL_ENC_RAW);
  return name ? shown(name) : std::to_string(entry.index);
}

void ZipArchive::read(const Entry& entry, std::uint64_t offset, std::span<std::byte> dst) {
  auto fail = [&](const std::string& reason) {
    impl_->open.reset();
    throw Error(ErrorCode::corrupt, source_.name() + ": ZIP entry \"" + full_name(entry) + "\": " + reason);
  };
  if (offset > entry.size || dst.size() > entry.size - offset)
    fail("ends at byte " + std::to_string(entry.size) + ", expected " + std::to_string(offset + dst.size()));
  if (!impl_->open || impl_->open_index != entry.index) {
    impl_->open.reset(zip_fopen_index(impl_->archive.get(), entry.index, 0));
    if (!impl_->open) fail(zip_strerror(impl_->archive.get()));
    impl_->open_index = entry.index;
    impl_->position = 0;
  }
  zip_file_t* file = impl_->open.get();
  if (impl_->position != offset && zip_fseek(file, static_cast<zip_int64_t>(offset), SEEK_SET) != 0)
    fail(zip_file_strerror(file));
  impl_->position = offset;
  while (!dst.empty()) {
    const zip_int64_t count = zip_fread(file, dst.data(), dst.size());
    if (count < 0) fail(zip_file_strerror(file));
    if (count == 0) fail("ends too early");
    dst = dst.subspan(static_cast<std::size_t>(count));
    impl_->position += static_cast<std::uint64_t>(count);
  }
  if (impl_->position == entry.size) {  // the CRC is compared when the end is read
    std::byte beyond;
    const zip_int64_t count = zip_fread(file, &beyond, 1);
    if (count < 0) fail(std::string(zip_file_strerror(file)) + ": its bytes are damaged");
    if (count > 0) fail("is longer than its directory record");
  }
}

void ZipArchive::verify(const Entry& entry) {
  impl_->open.reset();
  std::vector<std::byte> piece(static_cast<std::size_t>(std::min<std::uint64_t>(entry.size, 1 << 20)));
  for (std::uint64_t done = 0; done < entry.size;) {
    const std::size_t count =
        static_cast<std::size_t>(std::min<std::uint64_t>(entry.size - done, piece.size()));
    read(entry, done, {piece.data(), count});
    done += count;
  }
}

}  // namespace adaface::checkpoint
