// What `meson install` puts into a prefix, the Python package left out, in a scratch directory of this
// process. The prefix is moved before anybody looks: a file that held the place of its building would not be
// found, or would be seen to be foreign.
#pragma once

#include <algorithm>
#include <set>

#include "tests/program.h"

namespace adaface::testing {

class Installed {
 public:
  Installed() {
    const fs::path staged = scratch_.path / "staged";
    const Result result =
        shell(std::string(ADAFACE_MESON) + " install --no-rebuild --quiet --tags runtime,devel -C " +
              quoted(ADAFACE_BUILD_ROOT) + " --destdir " + quoted(staged.string()));
    REQUIRE_MESSAGE(result.code == 0, result.out, result.err);
    fs::rename(staged / fs::path(ADAFACE_PREFIX).relative_path(), prefix);
    fs::remove_all(staged);
  }

  fs::path library(const std::string& name) const { return prefix / ADAFACE_LIBDIR / name; }

  // As somebody who was told of the prefix and nothing else would run it.
  Result shell(const std::string& command, const fs::path& directory = "/") const {
    const std::string libraries = (prefix / ADAFACE_LIBDIR).string();
    return fixture().run("/bin/sh", {"-c", "cd " + quoted(directory.string()) + " && " + command},
                         "LD_LIBRARY_PATH=" + quoted(libraries) +
                             " PKG_CONFIG_PATH=" + quoted(libraries + "/pkgconfig") +
                             " CMAKE_PREFIX_PATH=" + quoted(prefix.string()));
  }

  // Every file and link below the prefix, relative to it.
  std::set<std::string> files() const {
    std::set<std::string> result;
    for (const auto& entry : fs::recursive_directory_iterator(prefix))
      if (!entry.is_directory()) result.insert(entry.path().lexically_relative(prefix).string());
    return result;
  }

 private:
  Scratch scratch_{"installed"};

 public:
  const fs::path prefix = scratch_.path / "moved";
};

inline const Installed& installed() {
  static const Installed instance;
  return instance;
}

}  // namespace adaface::testing
