// ThreadSanitizer is told of each switch (preset tsan; other builds find nothing here).
//
// It knows fibers, but not such as bring a thread block of their own: it keeps a pointer to the
// running fiber in a thread-local variable, which the switch exchanges with all the others. So it
// is found, by looking for the value it has, and written into the block of the context that is
// about to run. Nothing here may be instrumented: that code would use the variable in between.
// A stack that is copied (slice.h) has no fiber of its own and is beyond this.

#include "runtime/context.h"

#if defined(__SANITIZE_THREAD__)

#    include <sanitizer/tsan_interface.h>
#    include <stdint.h>

#    include "runtime/sys.h"

namespace green {

namespace {

ptrdiff_t current_fiber = 0;  // from the FS base

__attribute__((no_sanitize("thread"))) void find_current_fiber() {
    void* fiber = __tsan_get_current_fiber();
    auto fs = reinterpret_cast<uintptr_t>(__builtin_thread_pointer());
    constexpr ptrdiff_t step = sizeof(void*), most = 1 << 20;
    for (ptrdiff_t at = -step; at > -most; at -= step) {
        if (*reinterpret_cast<void**>(fs + static_cast<uintptr_t>(at)) != fiber) continue;
        current_fiber = at;
        return;
    }
    sys::die("ThreadSanitizer's current fiber was not found");
}

}  // namespace

__attribute__((no_sanitize("thread"))) void context_switch_told(Context* from, const Context* to) {
    if (current_fiber == 0) find_current_fiber();
    if (from->fiber == nullptr) from->fiber = __tsan_get_current_fiber();
    auto* other = const_cast<Context*>(to);
    if (other->fiber == nullptr) other->fiber = __tsan_create_fiber(0);
    __tsan_switch_to_fiber(other->fiber, 0);
    auto fs = reinterpret_cast<uintptr_t>(to->fs != nullptr ? to->fs : __builtin_thread_pointer());
    *reinterpret_cast<void**>(fs + static_cast<uintptr_t>(current_fiber)) = other->fiber;
    green_context_switch(from, to);
}

void context_end(Context* context) {
    if (context->fiber == nullptr || context->fiber == __tsan_get_current_fiber()) return;
    __tsan_destroy_fiber(context->fiber);
    context->fiber = nullptr;
}

}  // namespace green

#endif
