#include "src/io/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <random>
#include <tuple>
#include <utility>

#include "src/error.hpp"

namespace adaface::io {
namespace {

// Length of the valid UTF-8 sequence at s[i], 0 when there is none (RFC 3629: no overlong forms, no
// surrogates).
std::size_t utf8_length(const std::string& s, std::size_t i) {
  auto byte = [&](std::size_t k) { return k < s.size() ? static_cast<unsigned char>(s[k]) : 0u; };
  const unsigned a = byte(i);
  if (a < 0x80) return 1;
  const std::size_t length = a >= 0xC2 && a <= 0xDF   ? 2
                             : a >= 0xE0 && a <= 0xEF ? 3
                             : a >= 0xF0 && a <= 0xF4 ? 4
                                                      : 0;
  for (std::size_t k = 1; k < length; ++k)
    if ((byte(i + k) & 0xC0) != 0x80) return 0;
  const unsigned b = byte(i + 1);
  if ((a == 0xE0 && b < 0xA0) || (a == 0xED && b > 0x9F) || (a == 0xF0 && b < 0x90) ||
      (a == 0xF4 && b > 0x8F))
    return 0;
  return length;
}

// Control characters (C0, DEL, C1) and those that turn the direction of writing (U+200E, U+200F, U+202A to
// U+202E, U+2066 to U+2069): a terminal would obey them.
bool is_control(const std::string& s, std::size_t i, std::size_t length) {
  const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(s[i + k]); };
  if (length == 1) return byte(0) < 0x20 || byte(0) == 0x7F;
  if (length == 2) return byte(0) == 0xC2 && byte(1) < 0xA0;
  if (length != 3 || byte(0) != 0xE2) return false;
  return (byte(1) == 0x80 && (byte(2) == 0x8E || byte(2) == 0x8F || (byte(2) >= 0xAA && byte(2) <= 0xAE))) ||
         (byte(1) == 0x81 && byte(2) >= 0xA6 && byte(2) <= 0xA9);
}

[[noreturn]] void fail(const std::filesystem::path& path, const char* action, int error) {
  const ErrorCode code = error == ENOENT || error == ENOTDIR ? ErrorCode::not_found : ErrorCode::io;
  throw Error(code, printable(path) + ": cannot " + action + ": " + std::strerror(error));
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
  int take() { return std::exchange(fd, -1); }
};

// An open regular file and its size. O_NONBLOCK: a FIFO must not make us wait before we can refuse it.
std::pair<int, std::uint64_t> open_regular(const std::filesystem::path& path) {
  if (path.empty()) throw Error(ErrorCode::not_found, "empty path: expected the name of a file");
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) fail(path, "open", errno);
  struct stat status;
  if (::fstat(file.fd, &status) != 0) fail(path, "read", errno);
  if (S_ISDIR(status.st_mode))
    throw Error(ErrorCode::io, printable(path) + ": is a directory, expected a file");
  if (!S_ISREG(status.st_mode)) throw Error(ErrorCode::io, printable(path) + ": is not a regular file");
  return {file.take(), static_cast<std::uint64_t>(status.st_size)};
}

void write_all(int fd, const std::filesystem::path& path, std::span<const std::byte> bytes,
               std::int64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = offset < 0 ? ::write(fd, bytes.data(), bytes.size())
                                 : ::pwrite(fd, bytes.data(), bytes.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(path, "write", errno);
    if (n == 0) fail(path, "write", ENOSPC);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    if (offset >= 0) offset += n;
  }
}

// Where a chain of symbolic links ends, whether or not anything is there; any other path as it is.
std::filesystem::path link_target(const std::filesystem::path& path) {
  constexpr int kMostLinks = 40;  // as Linux follows
  std::filesystem::path target = path;
  std::error_code error;
  for (int links = 0; std::filesystem::is_symlink(target, error); ++links) {
    if (links == kMostLinks) fail(path, "follow", ELOOP);
    const std::filesystem::path next = std::filesystem::read_symlink(target, error);
    if (error) fail(path, "follow", error.value());
    target = next.is_absolute() ? next : target.parent_path() / next;
  }
  return target;
}

}  // namespace

std::string printable(const std::filesystem::path& path) {
  const std::string& raw = path.native();
  std::string text;
  for (std::size_t i = 0; i < raw.size();) {
    const std::size_t length = utf8_length(raw, i);
    if (length == 0 || is_control(raw, i, length))
      text += '?';
    else
      text.append(raw, i, length);
    i += length == 0 ? 1 : length;
  }
  return text;
}

std::vector<std::byte> read_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  const InputFile file(path);
  if (file.size() > max_bytes)
    throw Error(ErrorCode::limit, printable(path) + ": is " + std::to_string(file.size()) +
                                      " bytes, the limit is " + std::to_string(max_bytes));
  std::vector<std::byte> bytes(file.size());
  file.read_at(0, bytes);
  return bytes;
}

InputFile::InputFile(const std::filesystem::path& path) : path_(path) {
  std::tie(fd_, size_) = open_regular(path);
}

InputFile::~InputFile() {
  ::close(fd_);
}

void InputFile::read_at(std::uint64_t offset, std::span<std::byte> dst) const {
  while (!dst.empty()) {
    const ssize_t n = ::pread(fd_, dst.data(), dst.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(path_, "read", errno);
    if (n == 0)
      throw Error(ErrorCode::corrupt, printable(path_) + ": ends at byte " + std::to_string(offset) +
                                          ", expected " + std::to_string(dst.size()) + " more");
    offset += static_cast<std::uint64_t>(n);
    dst = dst.subspan(static_cast<std::size_t>(n));
  }
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  const auto [fd, size] = open_regular(path);
  const Descriptor file{fd};
  size_ = size;
  if (size_ == 0) return;
  void* map = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (map == MAP_FAILED) fail(path, "map", errno);
  data_ = static_cast<const std::byte*>(map);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::prefetch() const noexcept {
#ifdef MADV_POPULATE_READ
  if (data_) ::madvise(const_cast<std::byte*>(data_), size_, MADV_POPULATE_READ);
#endif
}

void MappedFile::release(const std::byte* data, std::size_t size) const noexcept {
  const std::uintptr_t page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const std::uintptr_t begin = reinterpret_cast<std::uintptr_t>(data) / page * page;
  const std::uintptr_t end = (reinterpret_cast<std::uintptr_t>(data) + size) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(path) {
  if (path.empty()) throw Error(ErrorCode::io, "empty path: expected the name of a file to write");
  if (path.filename().empty())
    throw Error(ErrorCode::io, printable(path) + ": is not a file name to write to");
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored))
    throw Error(ErrorCode::io, printable(path) + ": is a directory, expected a file to write");
  path_ = link_target(path);
  struct stat status;
  if (::stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
    throw Error(ErrorCode::io, printable(path) + ": is not a regular file, which alone can be replaced");
  // Without a name until it is complete: whatever ends the process, nothing is left behind.
  fd_ = ::open(directory().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
  if (fd_ >= 0 && ::access(own_link().c_str(), F_OK) == 0) return;
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  // Not every file system can do that, and /proc may be missing.
  for_free_name([&](const char* name) {
    fd_ = ::open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return fd_ >= 0;
  });
}

std::filesystem::path AtomicFile::directory() const {
  return path_.parent_path().empty() ? "." : path_.parent_path();
}

std::string AtomicFile::own_link() const {
  return "/proc/self/fd/" + std::to_string(fd_);
}

void AtomicFile::for_free_name(const std::function<bool(const char*)>& make) {
  // Not mkstemp: its files are private, and to widen them one would have to read the process's umask, which
  // cannot be done without changing it under other threads.
  std::random_device random;
  do {
    char name[32];
    std::snprintf(name, sizeof name, ".adaface-%08x", static_cast<unsigned>(random()));
    temporary_ = path_.parent_path() / name;
    if (make(temporary_.c_str())) return;
  } while (errno == EEXIST);
  const int error = errno;
  temporary_.clear();
  fail(path_, "create", error);
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::append(std::span<const std::byte> bytes) {
  write_all(fd_, path_, bytes, -1);
}

void AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  write_all(fd_, path_, bytes, static_cast<std::int64_t>(offset));
}

void AtomicFile::commit() {
  if (::fsync(fd_) != 0) fail(path_, "sync", errno);
  if (temporary_.empty())  // only a link can give it a name, and only a rename can replace
    for_free_name([&](const char* name) {
      return ::linkat(AT_FDCWD, own_link().c_str(), AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0;
    });
  if (::close(std::exchange(fd_, -1)) != 0) fail(path_, "close", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail(path_, "rename onto", errno);
  temporary_.clear();
  // The rename itself lasts only once its directory is synced; a file system that refuses this has still
  // renamed.
  const Descriptor parent{::open(directory().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (parent.fd >= 0) ::fsync(parent.fd);
}

}  // namespace adaface::io
