// Slots of address space: what is usable, what is guarded, what is given back.

#include "runtime/stack.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/green_test.h"

using namespace green_test;

TEST_SUITE_BEGIN("stack");

namespace {

constexpr size_t page = 4096;
constexpr size_t guard = page;

// Sizes differ from test to test, so that each has a size class to itself.
StackSlot allocate(size_t size, size_t guard_size = guard) {
    StackSlot slot;
    REQUIRE(stack_allocate(size, guard_size, &slot));
    return slot;
}

// The kernel says EFAULT where the program would be sent SIGSEGV.
bool readable(const char* at) {
    Pipe pipe;
    return sys::invoke(SYS_write, pipe.second, at, 1) == 1;
}

size_t resident_pages(const StackSlot& slot) {
    char* from = slot.base;
    std::vector<unsigned char> pages((slot.size + page - 1) / page);
    REQUIRE(mincore(from, slot.size, pages.data()) == 0);
    size_t n = 0;
    for (unsigned char p : pages) n += p & 1;
    return n;
}

int count_mappings() {
    FILE* maps = fopen("/proc/self/maps", "r");
    REQUIRE(maps != nullptr);
    int lines = 0;
    for (int c; (c = fgetc(maps)) != EOF;) lines += c == '\n';
    fclose(maps);
    return lines;
}

}  // namespace

TEST_CASE("a slot can be written from end to end") {
    StackSlot slot = allocate(30'000'000);
    CHECK(slot.size >= 30'000'000);
    CHECK(slot.size % 16 == 0);
    CHECK(slot.fresh);
    memset(slot.base, 1, slot.size);
    stack_free(slot, 0);
}

TEST_CASE("a guard lies below each slot") {
    StackSlot one = allocate(60'000), two = allocate(60'000);
    for (const StackSlot& slot : {one, two}) {
        CHECK(readable(slot.base));
        CHECK(!readable(slot.base - 1));
        CHECK(!readable(slot.base - guard));
    }
    stack_free(one, 0);
    stack_free(two, 0);
}

TEST_CASE("a guard is as large as asked for") {
    StackSlot slot = allocate(60'000, 5 * page - 1);
    CHECK(!readable(slot.base - 1));
    CHECK(!readable(slot.base - 5 * page));
    stack_free(slot, 0);
}

TEST_CASE("no guard, if none is asked for") {
    StackSlot slot = allocate(60'000, 0);
    allocate(60'000, 0);
    CHECK(readable(slot.base + slot.size + page));
    stack_free(slot, 0);
}

TEST_CASE("the slot that was freed last is used first") {
    StackSlot one = allocate(70'000), two = allocate(70'000);
    CHECK(one.base != two.base);
    stack_free(one, 0);
    stack_free(two, 0);
    StackSlot again = allocate(70'000);
    CHECK(again.base == two.base);
    CHECK(again.size == two.size);
    CHECK(again.index == two.index);
    CHECK(!again.fresh);
    CHECK(allocate(70'000).base == one.base);
}

TEST_CASE("a freed slot serves its own size and guard only") {
    StackSlot slot = allocate(80'000);
    stack_free(slot, 0);
    CHECK(allocate(160'000).base != slot.base);
    CHECK(allocate(80'000, 2 * page).base != slot.base);
    CHECK(allocate(80'000).base == slot.base);
}

TEST_CASE("what is not touched is not there") {
    StackSlot slot = allocate(size_t{20} << 20);
    REQUIRE(slot.fresh);
    CHECK(resident_pages(slot) <= 1);
    slot.base[slot.size - 1] = 1;
    CHECK(resident_pages(slot) <= 2);
    stack_free(slot, 0);
}

TEST_CASE("slots cost no mapping each, where the kernel has lightweight guards") {
    constexpr int madv_guard_install = 102;
    void* probe = mmap(nullptr, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool lightweight = madvise(probe, page, madv_guard_install) == 0;
    munmap(probe, page);
    if (!lightweight) return;
    int before = count_mappings();
    for (int i = 0; i < 2000; ++i) allocate(90'000);
    CHECK(count_mappings() - before < 50);
}

TEST_CASE("of many free slots, most give their pages back and keep their upper end") {
    constexpr size_t keep = 2 * page;
    std::vector<StackSlot> slots;
    for (int i = 0; i < 1100; ++i) {
        slots.push_back(allocate(40'000));
        slots.back().base[0] = 'l';
        slots.back().base[slots.back().size - keep] = 'h';
    }
    for (const StackSlot& slot : slots) stack_free(slot, keep);
    CHECK(slots.front().base[0] == 'l');
    CHECK(slots.back().base[0] == 0);
    CHECK(slots.back().base[slots.back().size - keep] == 'h');
}

TEST_CASE("no address space is left: false, and errno is untouched") {
    StackSlot slot;
    errno = 0;
    for (int bits : {47, 60, 63}) CHECK(!stack_allocate(size_t{1} << bits, guard, &slot));
    CHECK(!stack_allocate(SIZE_MAX - 8, guard, &slot));
    CHECK(!stack_allocate(65536, SIZE_MAX - 8, &slot));
    CHECK(errno == 0);
}

TEST_SUITE_END();
