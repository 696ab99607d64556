// A pool of threads for the fused ops: TensorFlow's own is not in its C API. The thread that calls takes part, so
// an op never waits for a free thread, and two ops at once share the pool.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "kernels.h"

namespace lower_bound {
namespace {

// Waking a sleeping thread takes 50 µs and more, as long as many an op. A thread therefore looks for this long before it
// sleeps, giving its core to whoever else wants it: within a training step, and from one step of a small network to the
// next, it finds work.
constexpr std::chrono::microseconds kPatience{1000};

template <class Condition>
bool Spin(Condition holds) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  do {
    for (int i = 0; i < 64; i++) {
      if (holds()) return true;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#elif defined(__aarch64__)
      __asm__ volatile("yield");
#endif
    }
    std::this_thread::yield();
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

struct Job {
  void (*task)(void*, int);
  void* context;
  int count;
  std::atomic<int> next{0};
  std::atomic<int> done{0};
};

class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 1; i < threads; i++) std::thread([this] { Serve(); }).detach();
  }

  void Run(int count, void (*task)(void*, int), void* context) {
    auto job = std::make_shared<Job>();
    job->task = task;
    job->context = context;
    job->count = count;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      jobs_.push_back(job);
      posted_.fetch_add(1);
    }
    arrived_.notify_all();
    Work(*job);
    Spin([&] { return job->done.load() == count; });
    std::unique_lock<std::mutex> lock(mutex_);
    for (auto it = jobs_.begin(); it != jobs_.end(); ++it) {
      if (*it != job) continue;
      jobs_.erase(it);
      break;
    }
    finished_.wait(lock, [&] { return job->done.load() == count; });
  }

 private:
  void Work(Job& job) {
    int mine = 0;
    for (int i; (i = job.next.fetch_add(1)) < job.count; mine++) job.task(job.context, i);
    if (mine > 0 && job.done.fetch_add(mine) + mine == job.count) {
      std::lock_guard<std::mutex> lock(mutex_);
      finished_.notify_all();
    }
  }

  void Serve() {
    for (int seen = 0;;) {
      std::shared_ptr<Job> job;
      Spin([&] { return posted_.load() != seen; });
      seen = posted_.load();
      {
        std::unique_lock<std::mutex> lock(mutex_);
        arrived_.wait(lock, [&] { return !jobs_.empty(); });
        job = jobs_.front();
        if (job->next.load() >= job->count) {  // all handed out: its own thread is only waiting for the last
          jobs_.pop_front();
          continue;
        }
      }
      Work(*job);
    }
  }

  std::mutex mutex_;
  std::atomic<int> posted_{0};
  std::condition_variable arrived_, finished_;
  std::deque<std::shared_ptr<Job>> jobs_;
};

int NumThreads() {
  const char* asked = std::getenv("TF_NUM_INTRAOP_THREADS");  // TensorFlow's own variable for the same thing
  const int threads = asked == nullptr ? 0 : std::atoi(asked);
  return threads > 0 ? threads : static_cast<int>(std::thread::hardware_concurrency());
}

}  // namespace

void ParallelFor(int count, void (*task)(void* context, int i), void* context) {
  if (count == 1) return task(context, 0);
  static Pool* pool = new Pool(NumThreads());  // never destroyed: its threads may outlive static objects
  pool->Run(count, task, context);
}

}  // namespace lower_bound
