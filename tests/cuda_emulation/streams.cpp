// Streams as late as possible: what is enqueued waits until the host waits for it, and then no more runs than
// that. Where a wait is missing, results are not there, or a copy reads what the host has written since.
#include <chrono>
#include <cstring>
#include <deque>
#include <thread>
#include <vector>

#include "tests/cuda_emulation/device_state.h"

using emulation::current_device;
using emulation::fail;
using emulation::state;

namespace {

// Launches of one stream that have run, and that nothing has waited for yet.
class Launches {
 public:
  void wait() {
    for (const Launch& launch : launches_) {
      emulation::acquire(launch.call.get());
      *launch.is_joined = true;
    }
    launches_.clear();
  }
  void run(emulation::Grid grid, bool overlaps, const std::shared_ptr<void>& call) {
    if (!overlaps) wait();
    if (!emulation::kSeesRaces) return emulation::run_grid(grid);
    grid.previous = launches_.empty() ? nullptr : launches_.back().call.get();
    launches_.push_back({call, std::make_shared<bool>(false)});
    grid.is_joined = launches_.back().is_joined;
    emulation::run_grid(grid);
  }

 private:
  struct Launch {
    std::shared_ptr<void> call;
    std::shared_ptr<bool> is_joined;
  };
  std::vector<Launch> launches_;
};

using Work = std::function<void(Launches&)>;

}  // namespace

struct CUstream_st {
  explicit CUstream_st(int of) : device(of) {}

  int device;
  bool is_capturing = false, is_invalidated = false;
  std::thread::id capturer;
  std::vector<Work> captured;
  std::deque<Work> queue;
  std::uint64_t asked = 0, done = 0;  // how many
  Launches launches;
};

namespace {

// A place in a stream: behind what had been asked for.
struct Mark {
  std::shared_ptr<CUstream_st> stream;
  std::uint64_t position = 0;
  bool is_reached() const { return !stream || stream->done >= position; }
};

}  // namespace

struct CUevent_st {
  int device;
  bool is_timed;
  Mark mark;  // where it was recorded last
  std::shared_ptr<std::chrono::steady_clock::time_point> when;
};
struct CUgraph_st {
  std::vector<Work> work;
};
struct CUgraphExec_st {
  int device;
  std::shared_ptr<const std::vector<Work>> work;
};

namespace {

void run_until(const Mark& mark) {
  while (!mark.is_reached()) {
    const Work work = std::move(mark.stream->queue.front());
    mark.stream->queue.pop_front();
    work(mark.stream->launches);  // which may run other streams, as far as this one waits for them
    ++mark.stream->done;
  }
}

// As the host does.
void wait_for(const Mark& mark) {
  run_until(mark);
  if (mark.stream) mark.stream->launches.wait();
}

Mark end_of(const std::shared_ptr<CUstream_st>& stream) {
  return {stream, stream->asked};
}

std::shared_ptr<CUstream_st> find(cudaStream_t stream) {
  const auto at = state().streams.find(stream);
  return at == state().streams.end() ? nullptr : at->second;
}

// Of a schedule that is not "as late as possible": all of it at once, or some of some streams.
void run_ahead(const std::shared_ptr<CUstream_st>& stream) {
  const unsigned schedule = emulation::schedule();
  if (schedule == 1) run_until(end_of(stream));
  if (schedule <= 1) return;
  auto& random = state().random;
  while (random() % 2 == 0) {
    auto at = state().streams.begin();
    std::advance(at, random() % state().streams.size());
    const std::shared_ptr<CUstream_st> some = at->second;
    if (some->done < some->asked) run_until({some, some->done + 1});
  }
}

// What is no kernel begins when all before it has ended.
Work after_launches(std::function<void()> action) {
  return [action = std::move(action)](Launches& launches) {
    launches.wait();
    action();
  };
}

// Ends a capture from outside, where one was asked for.
void count_operation(CUstream_st& stream) {
  int& left = state().operations_left;
  if (left >= 0 && left-- == 0) stream.is_invalidated = true;
}

// A capture that does what it may not gives no graph.
cudaError_t refuse(CUstream_st& stream, cudaError_t error) {
  stream.is_invalidated = true;
  return fail(error);
}

// With the state's mutex.
cudaError_t add(const std::shared_ptr<CUstream_st>& stream, Work work) {
  if (!stream) return fail(cudaErrorInvalidResourceHandle);
  if (stream->is_capturing) {
    count_operation(*stream);
    if (stream->is_invalidated) return fail(cudaErrorStreamCaptureInvalidated);
    stream->captured.push_back(std::move(work));
    return cudaSuccess;
  }
  stream->queue.push_back(std::move(work));
  ++stream->asked;
  run_ahead(stream);
  return cudaSuccess;
}

}  // namespace

namespace emulation {

cudaError_t launch(cudaStream_t stream, const Grid& grid, bool overlaps, std::shared_ptr<void> owner) {
  const std::lock_guard lock(state().mutex);
  const auto to = find(stream);
  // A launch is the current device's.
  if (!to || to->device != current_device) return fail(cudaErrorInvalidResourceHandle);
  ++state().uses[to->device];
  return add(to, [=, owner = std::move(owner)](Launches& launches) { launches.run(grid, overlaps, owner); });
}

cudaError_t refuse_in_capture() {
  if (captures == 0) return cudaSuccess;
  for (const auto& [handle, stream] : state().streams)
    if (stream->is_capturing && stream->capturer == std::this_thread::get_id()) stream->is_invalidated = true;
  return fail(cudaErrorStreamCaptureUnsupported);
}

void run_out(int device) {
  std::vector<Mark> ends;
  for (const auto& [handle, stream] : state().streams)
    if (stream->device == device) ends.push_back(end_of(stream));
  for (const Mark& end : ends) wait_for(end);
}

}  // namespace emulation

// From memory of the host that is not pinned the copy has what lies there now: it is staged. To such memory
// it may come as late as to pinned memory.
cudaError_t cudaMemcpyAsync(void* dst, const void* src, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const std::lock_guard lock(state().mutex);
  const auto to = find(stream);
  if (!to) return fail(cudaErrorInvalidResourceHandle);
  const emulation::Allocation *const at_dst = state().find(dst, bytes), *const at_src =
                                                                            state().find(src, bytes);
  const auto is_there = [&](const emulation::Allocation* at, bool on_device) {
    return on_device ? at && !at->is_pinned && at->device == to->device : !at || at->is_pinned;
  };
  if (!is_there(at_dst, kind != cudaMemcpyDeviceToHost) || !is_there(at_src, kind != cudaMemcpyHostToDevice))
    return fail(cudaErrorInvalidValue);
  if (to->is_capturing && (!at_src || !at_dst)) return refuse(*to, cudaErrorStreamCaptureUnsupported);
  if (at_src) return add(to, after_launches([=] { std::memcpy(dst, src, bytes); }));
  const auto* const from = static_cast<const std::byte*>(src);
  return add(to, after_launches([dst, staged = std::vector<std::byte>(from, from + bytes)] {
               std::memcpy(dst, staged.data(), staged.size());
             }));
}

cudaError_t cudaMemsetAsync(void* dst, int value, std::size_t bytes, cudaStream_t stream) {
  const std::lock_guard lock(state().mutex);
  const auto to = find(stream);
  const emulation::Allocation* const at = state().find(dst, bytes);
  if (!to) return fail(cudaErrorInvalidResourceHandle);
  if (!at || at->is_pinned || at->device != to->device) return fail(cudaErrorInvalidValue);
  return add(to, after_launches([=] { std::memset(dst, value, bytes); }));
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const std::lock_guard lock(state().mutex);
  ++state().uses[current_device];
  const auto made = std::make_shared<CUstream_st>(current_device);
  state().streams[made.get()] = made;
  *stream = made.get();
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard lock(state().mutex);
  const auto known = find(stream);
  if (!known || known->device != current_device) return fail(cudaErrorInvalidResourceHandle);
  if (known->is_capturing) return refuse(*known, cudaErrorStreamCaptureUnsupported);
  wait_for(end_of(known));
  state().streams.erase(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard lock(state().mutex);
  const auto known = find(stream);
  if (!known) return fail(cudaErrorInvalidResourceHandle);
  if (known->is_capturing) return refuse(*known, cudaErrorStreamCaptureUnsupported);
  if (const cudaError_t error = emulation::refuse_in_capture()) return error;
  wait_for(end_of(known));
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const std::lock_guard lock(state().mutex);
  const auto to = find(stream);
  // Nothing outside may be waited for within a graph, and no event is recorded there.
  if (to && to->is_capturing) return refuse(*to, cudaErrorStreamCaptureIsolation);
  return add(to, after_launches([mark = event->mark] { wait_for(mark); }));
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  const std::lock_guard lock(state().mutex);
  ++state().uses[current_device];
  *event = new CUevent_st{current_device,
                          !(flags & cudaEventDisableTiming),
                          {},
                          std::make_shared<std::chrono::steady_clock::time_point>()};
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const std::lock_guard lock(state().mutex);
  if (!event || event->device != current_device) return fail(cudaErrorInvalidResourceHandle);
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard lock(state().mutex);
  const auto to = find(stream);
  if (!to || to->device != event->device) return fail(cudaErrorInvalidResourceHandle);
  if (to->is_capturing) return refuse(*to, cudaErrorStreamCaptureUnsupported);
  event->mark = {to, to->asked + 1};
  return add(to, after_launches([when = event->when] { *when = std::chrono::steady_clock::now(); }));
}
// Makes nothing happen: as late as possible is when somebody waits.
cudaError_t cudaEventQuery(cudaEvent_t event) {
  const std::lock_guard lock(state().mutex);
  if (const cudaError_t error = emulation::refuse_in_capture()) return error;
  return event->mark.is_reached() ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard lock(state().mutex);
  if (const cudaError_t error = emulation::refuse_in_capture()) return error;
  wait_for(event->mark);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to) {
  const std::lock_guard lock(state().mutex);
  if (!from->mark.stream || !to->mark.stream || from->device != to->device || !from->is_timed ||
      !to->is_timed)
    return fail(cudaErrorInvalidResourceHandle);
  if (!from->mark.is_reached() || !to->mark.is_reached()) return fail(cudaErrorNotReady);
  *ms = std::chrono::duration<float, std::milli>(*to->when - *from->when).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const std::lock_guard lock(state().mutex);
  const auto known = find(stream);
  if (!known) return fail(cudaErrorInvalidResourceHandle);
  if (known->is_capturing) return refuse(*known, cudaErrorIllegalState);
  known->is_capturing = true;
  known->is_invalidated = false;
  known->capturer = std::this_thread::get_id();
  ++emulation::captures;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const std::lock_guard lock(state().mutex);
  const auto known = find(stream);
  if (!known || !known->is_capturing) return fail(cudaErrorInvalidResourceHandle);
  if (known->capturer != std::this_thread::get_id()) return refuse(*known, cudaErrorStreamCaptureWrongThread);
  count_operation(*known);
  known->is_capturing = false;
  --emulation::captures;
  std::vector<Work> work = std::exchange(known->captured, {});
  *graph = nullptr;
  if (known->is_invalidated) return fail(cudaErrorStreamCaptureInvalidated);
  *graph = new CUgraph_st{std::move(work)};
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new CUgraphExec_st{current_device, std::make_shared<const std::vector<Work>>(graph->work)};
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  const std::lock_guard lock(state().mutex);
  if (const cudaError_t error = emulation::refuse_in_capture()) return error;
  if (executable->device != current_device) return fail(cudaErrorInvalidResourceHandle);
  delete executable;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const std::lock_guard lock(state().mutex);
  if (!executable) return fail(cudaErrorInvalidValue);
  const auto to = find(stream);
  if (!to || to->device != executable->device) return fail(cudaErrorInvalidResourceHandle);
  if (to->is_capturing) return refuse(*to, cudaErrorStreamCaptureUnsupported);
  return add(to, [all = executable->work](Launches& launches) {
    // A graph begins when all before it has ended, and ends before anything after it begins.
    launches.wait();
    for (const Work& work : *all) work(launches);
    launches.wait();
  });
}
