// Filters of system calls (seccomp), for the rest of the calling process: a call that they do not let through
// kills it with SIGSYS.
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>
#include <initializer_list>
#include <stdexcept>
#include <vector>

namespace adaface::testing {

inline void install_filter(std::initializer_list<int> calls, bool allowed) {
  std::vector<sock_filter> program = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const int call : calls) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1));
    program.push_back(
        BPF_STMT(BPF_RET | BPF_K, unsigned{allowed ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS}));
  }
  program.push_back(
      BPF_STMT(BPF_RET | BPF_K, unsigned{allowed ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ALLOW}));
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  // TSYNC: the library's threads as well.
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) != 0)
    throw std::runtime_error("the filter cannot be installed");
}

// What no use of loaded models needs.
inline void forbid_system_calls() {
  install_filter(
      {
          SYS_execve,  SYS_execveat, SYS_socket,  SYS_socketpair, SYS_connect, SYS_bind,
          SYS_accept4, SYS_sendto,   SYS_sendmsg, SYS_openat,     SYS_openat2, SYS_clone,
          SYS_clone3,  SYS_kill,     SYS_ptrace,  SYS_unlinkat,   SYS_mkdirat,
#ifdef SYS_open
          SYS_open,    SYS_fork,     SYS_vfork,   SYS_creat,      SYS_unlink,  SYS_rename,
#endif
      },
      false);
}

// All that running needs, and ending sessions: of the C library for its memory and threads, and of ours;
// exit_group is the test's. clock_gettime is only called where the kernel does not answer it in the process.
inline void allow_only_running() {
  install_filter({SYS_futex, SYS_sched_yield, SYS_clock_gettime, SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap,
                  SYS_mprotect, SYS_madvise, SYS_getpid, SYS_rt_sigprocmask, SYS_exit, SYS_exit_group},
                 true);
}

}  // namespace adaface::testing
