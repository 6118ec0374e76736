// What belongs to one thread stays with it: errno, h_errno, __thread, C++ thread_local objects with
// destructors, exceptions in flight, the locale of uselocale, the character tables behind isalpha,
// and thread-specific data. A thousand threads go through the same steps; between any two looks at
// such a value all of them meet at a barrier, so every other thread has run and has set its own
// meanwhile.
//
// PARITY: switches=10000 threads=1000 timeout=120
#include <langinfo.h>
#include <locale.h>
#include <netdb.h>

#include <cctype>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>

#include "thread.h"

namespace {

constexpr int threads = 1000;
pthread_barrier_t barrier;
pthread_key_t key;
int locals_destroyed, keys_destroyed, mistakes;

// Everybody else runs now.
void others() { pthread_barrier_wait(&barrier); }

void expect(bool right, int line) {
    if (right) return;
    if (__atomic_fetch_add(&mistakes, 1, __ATOMIC_SEQ_CST) < 10) printf("mistake, line %d\n", line);
}
#define EXPECT(condition) expect((condition), __LINE__)

struct Local {
    long owner = -1;
    std::string text;
    pthread_t self{};
    ~Local() {
        sched_yield();
        EXPECT(owner >= 0 && pthread_equal(self, pthread_self()));
        EXPECT(text == "local of thread " + std::to_string(owner));
        __atomic_add_fetch(&locals_destroyed, 1, __ATOMIC_SEQ_CST);
    }
};
thread_local Local local;
__thread long plain = 77;
__thread char zeroes[300];

struct Oops {
    long who;
    int depth;
};

void key_destructor(void* value) {
    sched_yield();
    EXPECT(*static_cast<long*>(value) == plain);
    __atomic_add_fetch(&keys_destroyed, 1, __ATOMIC_SEQ_CST);
    delete static_cast<long*>(value);
}

void variables(long who) {
    EXPECT(plain == 77 && zeroes[0] == 0 && zeroes[299] == 0 && local.owner == -1);
    plain = who;
    zeroes[299] = static_cast<char>(who);
    local.owner = who;
    local.text = "local of thread " + std::to_string(who);
    local.self = pthread_self();
    pthread_setspecific(key, new long(who));
    int* errno_at = &errno;
    h_errno = static_cast<int>(who) + 5;
    others();
    errno = static_cast<int>(who) + 1;
    sched_yield();  // succeeds: errno stays
    EXPECT(errno == who + 1);
    others();
    EXPECT(errno == who + 1);  // pthread functions return errors and leave errno alone
    EXPECT(&errno == errno_at && h_errno == who + 5);
    EXPECT(plain == who && zeroes[0] == 0 && zeroes[299] == static_cast<char>(who));
    EXPECT(local.owner == who && local.text == "local of thread " + std::to_string(who));
    EXPECT(*static_cast<long*>(pthread_getspecific(key)) == who);
    // a failing call sets this thread's errno
    errno = 0;
    EXPECT(read(-1, errno_at, 1) == -1 && errno == EBADF);
    others();
    errno = 0;
    EXPECT(strtol("99999999999999999999999", nullptr, 10) == INT64_MAX && errno == ERANGE);
}

void locales(long who) {
    locale_t mine = newlocale(LC_ALL_MASK, who % 2 ? "C.UTF-8" : "C", nullptr);
    EXPECT(mine != nullptr && uselocale(nullptr) == LC_GLOBAL_LOCALE);
    EXPECT(uselocale(mine) == LC_GLOBAL_LOCALE);
    const unsigned short** table = __ctype_b_loc();
    others();
    EXPECT(uselocale(nullptr) == mine);
    EXPECT(std::string(nl_langinfo(CODESET)) == (who % 2 ? "UTF-8" : "ANSI_X3.4-1968"));
    EXPECT(MB_CUR_MAX == (who % 2 ? 6 : 1));
    wchar_t wide[4] = {};
    EXPECT((mbstowcs(wide, "\xc3\xa9", 4) == 1) == (who % 2 == 1));
    EXPECT(__ctype_b_loc() == table && isalpha('a') && !isalpha('1'));
    others();
    EXPECT(uselocale(LC_GLOBAL_LOCALE) == mine);
    freelocale(mine);
}

// Waits, throws and catches while an exception unwinds the frame this object lives in.
struct Unwinding {
    long who;
    ~Unwinding() {
        EXPECT(std::uncaught_exceptions() == 1);
        others();
        EXPECT(std::uncaught_exceptions() == 1);
        try {
            throw Oops{-who, 1};
        } catch (Oops& inner) {
            others();
            EXPECT(inner.who == -who && inner.depth == 1 && std::uncaught_exceptions() == 1);
        }
        EXPECT(std::uncaught_exceptions() == 1);
    }
};

void exceptions(long who) {
    EXPECT(std::uncaught_exceptions() == 0 && std::current_exception() == nullptr);
    std::exception_ptr kept;
    try {
        Unwinding unwinding{who};
        throw Oops{who, 0};
    } catch (Oops& first) {
        EXPECT(first.who == who && std::uncaught_exceptions() == 0);
        kept = std::current_exception();
        others();
        EXPECT(std::current_exception() == kept && first.who == who);
        try {
            try {
                throw std::out_of_range("thread " + std::to_string(who));
            } catch (std::exception& second) {
                others();
                EXPECT(second.what() == "thread " + std::to_string(who));
                throw;
            }
        } catch (std::out_of_range& again) {
            others();
            EXPECT(again.what() == "thread " + std::to_string(who));
        }
        EXPECT(std::current_exception() == kept);
        try {
            throw;  // the first one again
        } catch (Oops& rethrown) {
            others();
            EXPECT(&rethrown == &first && rethrown.who == who);
        }
    }
    EXPECT(std::current_exception() == nullptr && std::uncaught_exceptions() == 0);
    others();
    try {
        std::rethrow_exception(kept);
    } catch (Oops& later) {
        EXPECT(later.who == who && later.depth == 0);
    }
}

void* body(void* arg) {
    long who = reinterpret_cast<long>(arg);
    variables(who);
    locales(who);
    exceptions(who);
    EXPECT(plain == who && local.owner == who && h_errno == who + 5);
    return arg;
}

}  // namespace

int main() {
    static pthread_t thread[threads];
    pthread_barrier_init(&barrier, nullptr, threads);
    pthread_key_create(&key, key_destructor);
    errno = 4711;
    for (long i = 0; i < threads; i++) thread[i] = spawn(body, reinterpret_cast<void*>(i));
    for (long i = 0; i < threads; i++) CHECK(finish(thread[i]) == reinterpret_cast<void*>(i));
    printf("errno of main: %d\n", errno);
    printf("thread_local objects destroyed: %d\n", locals_destroyed);
    printf("TSD values destroyed: %d\n", keys_destroyed);
    printf("plain of main: %ld\n", plain);
    printf("mistakes: %d\n", mistakes);
}
