// Deadlines: which parked thread must be woken next.
//
// A pairing heap whose nodes lie in the threads themselves: no memory to allocate when a thread
// parks, O(1) to add, O(log n) amortised to remove. libev's own timers are not used for this
// because its poll is rounded up to whole milliseconds, and usleep(100) must not take eleven times
// as long as natively; loop.cpp merges the two.
#pragma once

#include "runtime/sys.h"

namespace green {

struct TimerNode {
    sys::Deadline deadline = sys::never;
    TimerNode* child = nullptr;
    TimerNode* sibling = nullptr;
    TimerNode* previous = nullptr;  // elder sibling, or parent of an eldest child
    bool queued = false;
};

class TimerHeap {
  public:
    void add(TimerNode* node);
    void remove(TimerNode* node);  // no effect if it is not queued
    // The earliest deadline; `never` if there is none.
    sys::Deadline next() const { return root_ == nullptr ? sys::never : root_->deadline; }
    TimerNode* first() const { return root_; }
    void clear() { root_ = nullptr; }

  private:
    static TimerNode* meld(TimerNode* a, TimerNode* b);
    static TimerNode* merge_siblings(TimerNode* first);
    TimerNode* root_ = nullptr;
};

}  // namespace green
