// Runs a kernel: a fiber for each thread of a block, one block after the other.
//
// A fiber runs until it comes to a call that waits for others: a collective of its warp or a barrier of its block. Which
// warp goes on next, and which of its lanes, is drawn from a seed, so that a missing barrier shows: some other warp has
// not yet written, or has written too early. When nobody can go on and somebody waits, the kernel is stuck, and the
// process says where and ends with a status of its own.
//
// The kernel is a shared object, named by the first argument. Requests come on the standard input, answers go to the standard output, in words of 32 bits:
//   request: seed, blocks, threads, entry, words of input, output, parameters, status and wide words; these
//   answer: output, status, wide

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <sys/mman.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define EMU_ASAN 1
#else
#define EMU_ASAN 0
#endif

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

typedef void Entry(unsigned entry, const unsigned* input, unsigned* output, const unsigned* parameters,
                   unsigned* status, unsigned long long* wide);
typedef void Shared(char** from, char** to);

struct emu_index {
  unsigned x;
};
extern "C" {
emu_index threadIdx, blockIdx, gridDim, blockDim;
}

namespace {

constexpr int kStuck = 70;
constexpr int kMisused = 71;
constexpr size_t kStack = 256 << 10;

enum class State { ready, at_ballot, at_shuffle, at_barrier, done };

struct Lane {
#if defined(__x86_64__)
  void* stack_pointer = nullptr;
#else
  ucontext_t context;
#endif
  char* stack = nullptr;
  State state = State::done;
  unsigned mask = 0;
  unsigned long long value = 0;
  unsigned source = 0;
};

std::vector<Lane> lanes;
unsigned current = 0;
Entry* the_entry;
char *shared_from, *shared_to;
const unsigned* the_input;
unsigned* the_output;
const unsigned* the_parameters;
unsigned* the_status;
unsigned long long* the_wide;
unsigned the_number;
uint64_t random_state;

uint32_t random_below(uint32_t bound) {
  random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
  return (uint32_t)((random_state >> 33) % bound);
}

[[noreturn]] void fail(int status, const char* message) {
  std::fprintf(stderr, "block %u, thread %u: %s\n", blockIdx.x, threadIdx.x, message);
  std::fflush(stderr);
  std::_Exit(status);
}

void run_lane();

#if defined(__x86_64__)

extern "C" void emu_switch(void** save, void* load);
asm(R"(
.text
.globl emu_switch
.type emu_switch, @function
emu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emu_switch, .-emu_switch
)");

void* scheduler_pointer;

void prepare(Lane& lane) {
  auto top = reinterpret_cast<uintptr_t>(lane.stack + kStack) & ~uintptr_t(15);
  auto words = reinterpret_cast<void**>(top);
  // A call leaves the stack eight bytes off sixteen.
  words[-1] = nullptr;
  words[-2] = reinterpret_cast<void*>(&run_lane);
  lane.stack_pointer = words - 2 - 6;
  std::memset(words - 8, 0, 6 * sizeof(void*));
}

void to_lane(Lane& lane) { emu_switch(&scheduler_pointer, lane.stack_pointer); }
void to_scheduler(Lane& lane) { emu_switch(&lane.stack_pointer, scheduler_pointer); }

#else

ucontext_t scheduler_context;

void prepare(Lane& lane) {
  getcontext(&lane.context);
  lane.context.uc_stack.ss_sp = lane.stack;
  lane.context.uc_stack.ss_size = kStack;
  lane.context.uc_link = nullptr;
  makecontext(&lane.context, &run_lane, 0);
}

void to_lane(Lane& lane) { swapcontext(&scheduler_context, &lane.context); }
void to_scheduler(Lane& lane) { swapcontext(&lane.context, &scheduler_context); }

#endif

#if EMU_ASAN
void* scheduler_fake = nullptr;
const void* scheduler_stack = nullptr;
size_t scheduler_size = 0;
#endif

void enter(unsigned number) {
  Lane& lane = lanes[number];
  current = number;
  threadIdx.x = number;
#if EMU_ASAN
  __sanitizer_start_switch_fiber(&scheduler_fake, lane.stack, kStack);
#endif
  to_lane(lane);
#if EMU_ASAN
  __sanitizer_finish_switch_fiber(scheduler_fake, nullptr, nullptr);
#endif
}

void leave(Lane& lane, bool for_good) {
#if EMU_ASAN
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fake, scheduler_stack, scheduler_size);
#else
  (void)for_good;
#endif
  to_scheduler(lane);
#if EMU_ASAN
  __sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_size);
#endif
}

void run_lane() {
#if EMU_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
#endif
  the_entry(the_number, the_input, the_output, the_parameters, the_status, the_wide);
  lanes[current].state = State::done;
  leave(lanes[current], true);
  std::abort();
}

// Waits in a state until the scheduler says go on.
void wait(State state) {
  Lane& lane = lanes[current];
  lane.state = state;
  leave(lane, false);
}

// Whether all lanes of a mask have come to the same collective; then they are done with it.
bool collect(unsigned first, unsigned lane_number) {
  Lane& asking = lanes[first + lane_number];
  const unsigned mask = asking.mask;
  for (unsigned other = 0; other < 32; ++other) {
    if (!(mask >> other & 1)) continue;
    if (first + other >= lanes.size() || lanes[first + other].state == State::done) {
      fail(kMisused, "a collective waits for a lane that has ended");
    }
    const Lane& lane = lanes[first + other];
    if (lane.state == State::ready || lane.state == State::at_barrier) return false;
    if (lane.state != asking.state || lane.mask != mask) {
      fail(kMisused, "lanes of a mask have come to different collectives");
    }
  }
  unsigned ballot = 0;
  unsigned long long values[32] = {};
  for (unsigned other = 0; other < 32; ++other) {
    if (!(mask >> other & 1)) continue;
    values[other] = lanes[first + other].value;
    ballot |= values[other] != 0 ? 1u << other : 0;
  }
  for (unsigned other = 0; other < 32; ++other) {
    if (!(mask >> other & 1)) continue;
    Lane& lane = lanes[first + other];
    if (lane.state == State::at_shuffle) {
      const unsigned source = lane.source & 31u;
      if (!(mask >> source & 1)) fail(kMisused, "a shuffle reads a lane outside of its mask");
      lane.value = values[source];
    } else {
      lane.value = ballot;
    }
    lane.state = State::ready;
  }
  return true;
}

void run_block(unsigned threads) {
  if (shared_from != nullptr) std::memset(shared_from, 0xcd, shared_to - shared_from);
  for (Lane& lane : lanes) {
    prepare(lane);
    lane.state = State::ready;
  }
  const unsigned warps = (threads + 31) / 32;
  for (;;) {
    // Some warp, and in it every lane that can go on, from some lane on.
    bool moved = false;
    const unsigned start = random_below(warps);
    for (unsigned step = 0; step < warps && !moved; ++step) {
      const unsigned first = (start + step) % warps * 32;
      const unsigned count = threads - first < 32 ? threads - first : 32;
      const unsigned from = random_below(count);
      for (unsigned lane = 0; lane < count; ++lane) {
        const unsigned number = first + (from + lane) % count;
        if (lanes[number].state == State::ready) {
          enter(number);
          moved = true;
        }
      }
      for (unsigned lane = 0; lane < count; ++lane) {
        const State state = lanes[first + lane].state;
        if (state == State::at_ballot || state == State::at_shuffle) moved |= collect(first, lane);
      }
    }
    if (moved) continue;
    unsigned waiting = 0, ended = 0;
    for (const Lane& lane : lanes) {
      waiting += lane.state == State::at_barrier;
      ended += lane.state == State::done;
    }
    if (ended == threads) return;
    if (waiting + ended < threads) fail(kStuck, "nobody can go on: a collective waits for lanes that do not come");
    if (ended > 0) fail(kStuck, "a barrier waits for threads that have ended");
    for (Lane& lane : lanes) lane.state = State::ready;
  }
}

bool read_words(unsigned* to, size_t words) { return std::fread(to, 4, words, stdin) == words; }

}  // namespace

extern "C" unsigned emu_ballot(unsigned mask, bool value) {
  if (!(mask >> (current & 31u) & 1)) fail(kMisused, "a collective whose mask does not name its caller");
  lanes[current].mask = mask;
  lanes[current].value = value;
  wait(State::at_ballot);
  return (unsigned)lanes[current].value;
}

extern "C" unsigned long long emu_shuffle(unsigned mask, unsigned long long value, unsigned source) {
  if (!(mask >> (current & 31u) & 1)) fail(kMisused, "a collective whose mask does not name its caller");
  lanes[current].mask = mask;
  lanes[current].value = value;
  lanes[current].source = source;
  wait(State::at_shuffle);
  return lanes[current].value;
}

extern "C" void __syncthreads() { wait(State::at_barrier); }

int main(int, char** arguments) {
  void* kernel = dlopen(arguments[1], RTLD_NOW);
  if (kernel == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  the_entry = reinterpret_cast<Entry*>(dlsym(kernel, "emu_entry"));
  reinterpret_cast<Shared*>(dlsym(kernel, "emu_bounds"))(&shared_from, &shared_to);
  unsigned header[9];
  while (read_words(header, 9)) {
    const unsigned blocks = header[1], threads = header[2];
    the_number = header[3];
    random_state = header[0];
    // Each in a piece of memory of its own size, so that a sanitizer sees its ends.
    auto piece = [](unsigned words) {
      auto memory = static_cast<unsigned*>(std::malloc(words * 4ull + (words == 0)));
      if (memory == nullptr || !read_words(memory, words)) std::_Exit(1);
      return memory;
    };
    unsigned* input = piece(header[4]);
    unsigned* output = piece(header[5]);
    unsigned* parameters = piece(header[6]);
    unsigned* status = piece(header[7]);
    unsigned* wide = piece(header[8]);
    the_input = input, the_output = output, the_parameters = parameters, the_status = status;
    the_wide = reinterpret_cast<unsigned long long*>(wide);
    if (lanes.size() != threads) {
      lanes.resize(threads);
      for (Lane& lane : lanes) {
        if (lane.stack != nullptr) continue;
        void* stack = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (stack == MAP_FAILED) std::_Exit(1);
        lane.stack = static_cast<char*>(stack);
      }
    }
    gridDim.x = blocks;
    blockDim.x = threads;
    for (unsigned block = 0; block < blocks; ++block) {
      blockIdx.x = block;
      run_block(threads);
    }
    std::fwrite(output, 4, header[5], stdout);
    std::fwrite(status, 4, header[7], stdout);
    std::fwrite(wide, 4, header[8], stdout);
    std::fflush(stdout);
    for (unsigned* memory : {input, output, parameters, status, wide}) std::free(memory);
  }
  return 0;
}
