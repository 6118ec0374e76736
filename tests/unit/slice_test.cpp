// Copies of a stack: each goes on where the snapshot was taken, with locals of its own at the same
// addresses, and what it waits for reaches it although other frames lie there meanwhile.

#include "runtime/slice.h"

#include <errno.h>

#include "tests/unit/green_test.h"

using namespace green_test;

TEST_SUITE_BEGIN("slice");

namespace {

constexpr int copies = 5;
int finished = 0, sum = 0, wrong = 0;
const void* seen_at = nullptr;
Snapshot snapshot;

// On the first thread's stack, several times over.
void serve(int from, int* local, int number) {
    int big[1000];
    for (int& word : big) word = number;
    errno = number;
    if (local != seen_at) ++wrong;
    char byte = 0;
    if (read(from, &byte, 1) != -1) ++wrong;  // nothing there yet
    errno = number;
    wait_fd(from, EPOLLIN, sys::after(5 * sys::second));
    if (sys::invoke(SYS_read, from, &byte, 1) != 1) ++wrong;
    for (int word : big) wrong += word != number ? 1 : 0;
    if (errno != number || *local != number) ++wrong;
    sum += byte;
    ++finished;
}

}  // namespace

TEST_CASE("copies of a stack wait at the same addresses") {
    if (sanitized) return;  // the sanitizer's shadow of the stack is not copied with it
    REQUIRE(slices_start());
    int pipes[copies][2];
    for (auto& p : pipes) REQUIRE(pipe2(p, O_NONBLOCK) == 0);
    int local = 0;
    seen_at = &local;
    static int number;
    number = finished = sum = wrong = 0;

    bool copied = false;
    REQUIRE(slice_take(&snapshot, &copied));
    if (copied) {
        local = ++number;
        serve(pipes[number - 1][0], &local, local);
        thread_finish();
    }
    run([] {
        for (int i = 0; i < copies; ++i) thread_start(slice_resume(snapshot));
    });
    while (number < copies) yield();
    for (int i = copies; i-- > 0;) {  // the last one first
        char byte = static_cast<char>(i + 1);
        CHECK(write(pipes[i][1], &byte, 1) == 1);
        int before = finished;
        while (finished == before) park(Park::sleep, sys::after(sys::millisecond));
    }
    CHECK(finished == copies);
    CHECK(sum == 1 + 2 + 3 + 4 + 5);
    CHECK(wrong == 0);
    CHECK(local == 0);
    snapshot_drop(&snapshot);
    for (auto& p : pipes) {
        for (int fd : p) {
            fd_forget(fd);
            close(fd);
        }
    }
}

TEST_SUITE_END();
