// The pairing heap of timers.h, after Fredman, Sedgewick, Sleator and Tarjan (1986), two-pass form,
// without recursion: a million deadlines must not need a deep stack.

#include "runtime/timers.h"

namespace green {

TimerNode* TimerHeap::meld(TimerNode* a, TimerNode* b) {
    if (a == nullptr) return b;
    if (b == nullptr) return a;
    if (b->deadline < a->deadline) {
        TimerNode* t = a;
        a = b;
        b = t;
    }
    b->sibling = a->child;
    if (b->sibling != nullptr) b->sibling->previous = b;
    b->previous = a;
    a->child = b;
    a->sibling = nullptr;
    a->previous = nullptr;
    return a;
}

TimerNode* TimerHeap::merge_siblings(TimerNode* first) {
    TimerNode* pairs = nullptr;  // melded pairs, last one first
    while (first != nullptr) {
        TimerNode* a = first;
        TimerNode* b = a->sibling;
        first = b == nullptr ? nullptr : b->sibling;
        a->sibling = a->previous = nullptr;
        if (b != nullptr) b->sibling = b->previous = nullptr;
        TimerNode* pair = meld(a, b);
        pair->sibling = pairs;
        pairs = pair;
    }
    TimerNode* root = nullptr;
    while (pairs != nullptr) {
        TimerNode* next = pairs->sibling;
        pairs->sibling = nullptr;
        root = meld(root, pairs);
        pairs = next;
    }
    return root;
}

void TimerHeap::add(TimerNode* node) {
    node->child = node->sibling = node->previous = nullptr;
    node->queued = true;
    root_ = meld(root_, node);
}

void TimerHeap::remove(TimerNode* node) {
    if (!node->queued) return;
    node->queued = false;
    TimerNode* children = merge_siblings(node->child);
    if (node == root_) {
        root_ = children;
    } else {
        if (node->previous->child == node) {
            node->previous->child = node->sibling;
        } else {
            node->previous->sibling = node->sibling;
        }
        if (node->sibling != nullptr) node->sibling->previous = node->previous;
        root_ = meld(root_, children);
    }
    node->child = node->sibling = node->previous = nullptr;
}

}  // namespace green
