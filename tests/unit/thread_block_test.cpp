// The C library's view of a green thread: its block, from outside and from inside.

#include "runtime/thread_block.h"

#include <ctype.h>
#include <pthread.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/green_test.h"

using namespace green_test;

TEST_SUITE_BEGIN("thread_block");

namespace {

__thread int initialised = 42;
__thread char zeroed[100];

// A block in memory of its own, used for `uses` threads.
struct Block {
    Block() : memory(aligned_alloc(64, thread_block_size())) {
        memset(memory, 0, thread_block_size());
        block = thread_block_make(memory, true, 5'000'000);
    }
    ~Block() { free(memory); }
    void again() { block = thread_block_make(memory, false, 5'000'001); }
    template <class T>
    T& at(T* mine) {
        return *thread_local_in(block, mine);
    }
    void* memory;
    void* block;
};

uintptr_t word_at(void* block, size_t offset) {
    return *reinterpret_cast<uintptr_t*>(static_cast<char*>(block) + offset);
}

std::vector<int> destroyed;
struct Destroyed {
    int number = 0;
    ~Destroyed() {
        if (number != 0) destroyed.push_back(number);
    }
};
thread_local Destroyed local;

}  // namespace

TEST_CASE("preparing twice is preparing once") {
    CHECK(thread_block_prepare() == nullptr);
    CHECK(thread_block_size() % 64 == 0);
}

TEST_CASE("a new block has the initial values of thread-local variables") {
    initialised = 43;
    zeroed[50] = 'x';
    Block b;
    REQUIRE(b.block != nullptr);
    CHECK(b.at(&initialised) == 42);
    CHECK(b.at(&zeroed)[50] == 0);
    CHECK(b.at(&errno) == 0);
    initialised = 42;
    zeroed[50] = 0;
}

TEST_CASE("a block that is used again starts anew, but keeps what is libc's") {
    Block b;
    b.at(&initialised) = 7;
    b.at(&errno) = EBUSY;  // lies in libc's segment, as malloc's cache does
    b.again();
    CHECK(b.at(&initialised) == 42);
    CHECK(b.at(&errno) == EBUSY);
}

TEST_CASE("a block that could not be made for want of memory may be tried again") {
    int status = in_child([] {  // all zeroes, as a failure leaves it, but not fresh
        void* memory = aligned_alloc(64, thread_block_size());
        memset(memory, 0, thread_block_size());
        void* block = thread_block_make(memory, false, 5'000'000);
        return block != nullptr && *thread_local_in(block, &initialised) == 42 ? 0 : 1;
    });
    CHECK(status == 0);
}

TEST_CASE("the guards of the stack and of pointers are the process's") {
    Block b;
    void* me = context_fs();
    CHECK(word_at(b.block, 0x28) == word_at(me, 0x28));
    CHECK(word_at(b.block, 0x30) == word_at(me, 0x30));
}

TEST_CASE("libc knows the thread until it has ended") {
    Block b;
    auto thread = reinterpret_cast<pthread_t>(b.block);
    clockid_t clock;
    CHECK(pthread_getcpuclockid(thread, &clock) == 0);
    thread_block_end(b.block);
    CHECK(pthread_getcpuclockid(thread, &clock) == ESRCH);
}

TEST_CASE("a thread is itself to libc, and no other") {
    pthread_t first = pthread_self();
    run([&] {
        CHECK(reinterpret_cast<void*>(pthread_self()) == context_fs());
        CHECK(pthread_equal(pthread_self(), first) == 0);
    });
    CHECK(pthread_self() == first);
}

TEST_CASE("a thread starts with character tables, a locale and a resolver state of its own") {
    errno = ENOENT;
    res_state first = &_res;
    run([&] {
        CHECK(errno == 0);
        CHECK(isalpha('a') != 0);
        CHECK(toupper('a') == 'A');
        CHECK(strtod("1.5", nullptr) == 1.5);
        CHECK(&_res == reinterpret_cast<res_state>(self->resolver_state));
        CHECK(&_res != first);
    });
    CHECK(errno == ENOENT);
}

TEST_CASE("thread_local destructors run at the thread's end, and for it alone") {
    destroyed.clear();
    Thread* one = start([] {
        local.number = 1;
        yield();
        CHECK(local.number == 1);
    });
    Thread* two = start([] { local.number = 2; });
    Thread* three = start([] {});
    join({one, two, three});
    CHECK(destroyed == std::vector<int>{2, 1});
    CHECK(local.number == 0);
}

TEST_CASE("keys have a value for each thread, and destructors") {
    static std::vector<intptr_t> freed;
    freed.clear();
    pthread_key_t keys[40];  // more than lie in struct pthread itself
    for (auto& key : keys) {
        REQUIRE(pthread_key_create(&key, [](void* value) {
                    freed.push_back(reinterpret_cast<intptr_t>(value));
                }) == 0);
    }
    run([&] {
        for (intptr_t i = 0; i < 40; ++i) {
            CHECK(pthread_getspecific(keys[i]) == nullptr);
            pthread_setspecific(keys[i], reinterpret_cast<void*>(i + 1));
        }
        CHECK(pthread_getspecific(keys[39]) == reinterpret_cast<void*>(40));
    });
    CHECK(freed.size() == 40);
    CHECK(freed.front() == 1);
    CHECK(freed.back() == 40);
    CHECK(pthread_getspecific(keys[0]) == nullptr);
    freed.clear();
    run([] {});  // on the same block
    CHECK(freed.empty());
    for (auto key : keys) pthread_key_delete(key);
}

TEST_CASE("a key that its destructor sets again is asked a limited number of times") {
    static int calls;
    static pthread_key_t key;
    calls = 0;
    REQUIRE(pthread_key_create(&key, [](void* value) {
                ++calls;
                pthread_setspecific(key, value);
            }) == 0);
    run([] { pthread_setspecific(key, &key); });
    CHECK(calls == PTHREAD_DESTRUCTOR_ITERATIONS);
    pthread_key_delete(key);
}

TEST_CASE("the destructor of a deleted key is not called") {
    static int calls;
    calls = 0;
    pthread_key_t key;
    REQUIRE(pthread_key_create(&key, [](void*) { ++calls; }) == 0);
    run([&] {
        pthread_setspecific(key, &key);
        pthread_key_delete(key);
    });
    CHECK(calls == 0);
}

TEST_CASE("a robust mutex of a dead thread says so") {
    static std::vector<void*> released;
    released.clear();
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_t held, given_back;
    pthread_mutex_init(&held, &attr);
    pthread_mutex_init(&given_back, &attr);
    run([&] {
        CHECK(pthread_mutex_lock(&held) == 0);
        CHECK(pthread_mutex_lock(&given_back) == 0);
        CHECK(pthread_mutex_unlock(&given_back) == 0);
        thread_block_release_robust([](void* mutex) { released.push_back(mutex); });
    });
    CHECK(released == std::vector<void*>{&held});
    CHECK(pthread_mutex_lock(&held) == EOWNERDEAD);
    CHECK(pthread_mutex_consistent(&held) == 0);
    CHECK(pthread_mutex_unlock(&held) == 0);
    CHECK(pthread_mutex_lock(&given_back) == 0);
    CHECK(pthread_mutex_unlock(&given_back) == 0);
    pthread_mutex_destroy(&held);
    pthread_mutex_destroy(&given_back);
}

TEST_CASE("a mutex knows which green thread holds it") {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_t mutex;
    pthread_mutex_init(&mutex, &attr);
    CHECK(pthread_mutex_lock(&mutex) == 0);
    CHECK(pthread_mutex_lock(&mutex) == EDEADLK);
    run([&] {
        CHECK(pthread_mutex_unlock(&mutex) == EPERM);
        CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
    });
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    pthread_mutex_destroy(&mutex);
}

TEST_SUITE_END();
