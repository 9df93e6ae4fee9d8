// Options of the benchmark programs beside Google Benchmark's own: --name=value.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>

namespace adaface::bench {

// One of the two is set by the option; a number is at least 1.
struct Option {
  std::string_view name;
  std::string* text = nullptr;
  int* number = nullptr;
  std::string_view help{};
};

// For --help, which Google Benchmark would answer with its own options alone: call it before Initialize.
// Prints `usage` and the options, and says whether it was asked for.
inline bool help(int argc, char** argv, std::string_view usage, std::span<const Option> options) {
  if (std::none_of(argv + 1, argv + argc, [](std::string_view word) { return word == "--help"; }))
    return false;
  std::printf("%.*s\n", static_cast<int>(usage.size()), usage.data());
  for (const Option& option : options) {
    const std::string left = "--" + std::string(option.name) + (option.text ? "=..." : "=N");
    std::printf("  %-18s %.*s\n", left.c_str(), static_cast<int>(option.help.size()), option.help.data());
  }
  std::printf(
      "  %-18s %s\n", "--benchmark_...",
      "Google Benchmark's: _filter=REGEX, _list_tests, _format=json, _repetitions=N, _min_time=SECONDS");
  return true;
}

// What Google Benchmark left of argv. False, after a line on standard error, for an option or number that is
// none.
inline bool parse(int argc, char** argv, std::span<const Option> options) {
  const auto take = [&](std::string_view argument) {
    const std::size_t equals = argument.find('=');
    if (!argument.starts_with("--") || equals == std::string_view::npos) return false;
    const std::string_view name = argument.substr(2, equals - 2), value = argument.substr(equals + 1);
    for (const Option& option : options) {
      if (option.name != name) continue;
      if (option.text) return option.text->assign(value), true;
      const char* end = value.data() + value.size();
      const auto [stop, error] = std::from_chars(value.data(), end, *option.number);
      return error == std::errc() && stop == end && *option.number >= 1;
    }
    return false;
  };
  for (int i = 1; i < argc; ++i) {
    if (take(argv[i])) continue;
    std::string known;
    for (const Option& option : options)
      known.append("--").append(option.name).append(option.text ? "=..., " : "=N, ");
    std::fprintf(stderr, "error: %s: expected %sor --benchmark_...\n", argv[i], known.c_str());
    return false;
  }
  return true;
}

}  // namespace adaface::bench
