// Children of a test: what ends a process, or changes it for good, happens in one of its own.
#pragma once

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>

namespace adaface::testing {

// Far more than any of them takes: one that hangs is killed by SIGALRM, which fails its test.
constexpr unsigned kHangSeconds = 300;

inline std::string ending(int status) {
  return WIFEXITED(status) ? "exit code " + std::to_string(WEXITSTATUS(status))
                           : "signal " + std::to_string(WTERMSIG(status));
}

// Runs f in a child: "exit code N", of what f returns, or 100 after an exception; or "signal N".
inline std::string in_child(const std::function<int()>& f) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::alarm(kHangSeconds);
    for (const int signal : {SIGSEGV, SIGABRT, SIGFPE, SIGILL, SIGBUS}) std::signal(signal, SIG_DFL);
    int code = 100;
    try {
      code = f();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "child: %s\n", error.what());
    }
    std::fflush(nullptr);
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return ending(status);
}

}  // namespace adaface::testing
