// Eight threads compute, each all of it: long sums that stay in vector registers (AVX where there
// is one), every register of the CPU filled and looked at again, doubles, malloc and free,
// exceptions through several frames with destructors, snprintf, lines on a shared FILE, strings and
// vectors, a shared mutex. A thread that is interrupted anywhere and goes on with one wrong
// register or a foreign errno, exception or heap block gets another checksum; the checksums depend
// on the thread's number and the seed alone. A ninth thread ticks and must get its turns.
//
// Arguments: the seed, the rounds (scripts/soak preempt gives them, and a slice of microseconds).
//
// PARITY: switches=50 threads=9
#include <algorithm>
#include <cfenv>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "registers.h"
#include "thread.h"

namespace {

constexpr int threads = 8;
int rounds = 60;
uint64_t seed = 1;

struct Random {
    uint64_t state;
    uint64_t next() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state;
    }
    int below(int bound) { return static_cast<int>(next() % static_cast<uint64_t>(bound)); }
};

struct Checksum {
    uint64_t value = 1469598103934665603U;
    void add(uint64_t number) { value = (value ^ number) * 1099511628211U; }
    void add(double number) {
        uint64_t bits;
        memcpy(&bits, &number, sizeof bits);
        add(bits);
    }
    void add(const std::string& text) {
        for (unsigned char c : text) add(static_cast<uint64_t>(c));
    }
};

// Eight independent chains of four doubles, all in registers for the whole loop. The same text for
// both instruction sets: the results must be the same.
typedef double Lanes __attribute__((vector_size(32)));

#define DEFINE_CHAINS(name, target)                                                              \
    target __attribute__((noinline)) void name(double seed, int steps, double* out) {            \
        Lanes a = {seed, seed + 1, seed + 2, seed + 3}, b = a * 1.25, c = a * 1.5, d = a * 1.75; \
        Lanes e = a + 0.5, f = b + 0.5, g = c + 0.5, h = d + 0.5;                                \
        for (int i = 0; i < steps; i++) {                                                        \
            a = a * 0.999 + b * 0.0009;                                                          \
            b = b * 0.998 + c * 0.0019;                                                          \
            c = c * 0.997 + d * 0.0029;                                                          \
            d = d * 0.996 + e * 0.0039;                                                          \
            e = e * 0.995 + f * 0.0049;                                                          \
            f = f * 0.994 + g * 0.0059;                                                          \
            g = g * 0.993 + h * 0.0069;                                                          \
            h = h * 0.992 + a * 0.0079 + 0.001;                                                  \
        }                                                                                        \
        Lanes sum = a + b + c + d + e + f + g + h;                                               \
        memcpy(out, &sum, sizeof sum);                                                           \
    }
#if defined(__x86_64__)
DEFINE_CHAINS(chains_avx, __attribute__((target("avx"))))
#endif
DEFINE_CHAINS(chains_plain, )

void chains(double seed, int steps, double* out) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx")) return chains_avx(seed, steps, out);
#endif
    chains_plain(seed, steps, out);
}

void vector_work(Random& random, Checksum& sum) {
    double out[4];
    chains(1 + random.below(1000) / 64.0, 120000, out);
    for (double lane : out) sum.add(lane);
}

void double_work(Random& random, Checksum& sum) {
    double x = random.below(1000) / 128.0;
    long double long_sum = 0;  // the x87 stack as well
    for (int i = 1; i < 20000; i++) {
        x = std::fabs(x * 1.0001 - 1.0 / i) + 1e-3;
        long_sum += static_cast<long double>(std::sqrt(x)) / i;
    }
    sum.add(x);
    sum.add(static_cast<double>(long_sum));
}

void heap_work(Random& random, Checksum& sum) {
    enum { blocks = 64 };
    unsigned char* block[blocks] = {};
    size_t size[blocks] = {};
    for (int i = 0; i < 3000; i++) {
        int at = random.below(blocks);
        auto mark = static_cast<unsigned char>(at + 1);
        for (size_t j = 0; j < size[at]; j += 61) CHECK(block[at][j] == mark);
        free(block[at]);
        size[at] = static_cast<size_t>(random.below(2000) + 1);
        block[at] = static_cast<unsigned char*>(malloc(size[at]));
        CHECK(block[at] != nullptr);
        memset(block[at], mark, size[at]);
        sum.add(static_cast<uint64_t>(size[at]));
    }
    for (unsigned char* one : block) free(one);
}

struct Thrown : std::runtime_error {
    int depth;
    Thrown(const std::string& text, int at) : std::runtime_error(text), depth(at) {}
};

struct Counted {
    int& count;
    explicit Counted(int& c) : count(c) { count++; }
    ~Counted() { count--; }
};

__attribute__((noinline)) int descend(int depth, int& alive) {
    Counted here(alive);
    std::string text(static_cast<size_t>(depth) % 40, 'x');
    if (depth == 0) throw Thrown("the bottom, with " + std::to_string(alive), alive);
    int below = descend(depth - 1, alive);
    return below + static_cast<int>(text.size());  // not a tail call
}

void exception_work(Random& random, Checksum& sum) {
    for (int i = 0; i < 60; i++) {
        int alive = 0, depth = random.below(12) + 1;
        try {
            try {
                descend(depth, alive);
                CHECK(false);
            } catch (const Thrown& thrown) {
                CHECK(alive == 0 && thrown.depth == depth + 1);
                sum.add(std::string(thrown.what()));
                throw;
            }
        } catch (const std::exception& again) {
            CHECK(std::uncaught_exceptions() == 0);
            sum.add(static_cast<uint64_t>(strlen(again.what())));
        }
    }
}

void text_work(Random& random, Checksum& sum) {
    for (int i = 0; i < 300; i++) {
        char line[128];
        int number = random.below(1000000);
        errno = number;
        int length = snprintf(line, sizeof line, "%08x %.17g %s %+d", static_cast<unsigned>(number),
                              number / 997.0, "text", -number);
        CHECK(length > 0 && length < static_cast<int>(sizeof line));
        CHECK(errno == number);
        sum.add(std::string(line));
    }
}

void container_work(Random& random, Checksum& sum) {
    std::vector<std::string> words;
    for (int i = 0; i < 400; i++) {
        std::string word = std::to_string(random.next());
        if (i % 3 == 0) word += std::string(static_cast<size_t>(random.below(100)), '-');
        words.push_back(std::move(word));
    }
    std::sort(words.begin(), words.end());
    std::string all;
    for (const std::string& word : words) all += word;
    sum.add(all);
}

void register_work(Random& random, Checksum& sum) {
    alignas(64) unsigned char pattern[registers_size], found[registers_size];
    for (unsigned char& byte : pattern) byte = static_cast<unsigned char>(random.next());
    for (registers_check check : registers_checks()) {
        memset(found, 0, sizeof found);
        size_t size = check(pattern, found, 40000);
        CHECK(memcmp(pattern, found, size) == 0);
    }
    sum.add(static_cast<uint64_t>(pattern[0]));
}

// The control words of both floating-point units are a thread's own.
void rounding_work(Random& random, Checksum& sum) {
    static const int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
    int mode = modes[random.below(4)];
    CHECK(fesetround(mode) == 0);
    volatile double third = 3;
    volatile long double tenth = 10;
    for (int i = 1; i < 3000; i++) {
        double quotient = i / third;
        long double extended = i / tenth;
        if (i % 100 == 0) sum.add(quotient + static_cast<double>(extended));
    }
    CHECK(fegetround() == mode);
    CHECK(fesetround(FE_TONEAREST) == 0);
}

FILE* shared_file;

void stdio_work(int id, Random& random) {
    for (int i = 0; i < 40; i++) {
        int number = random.below(1000000), length = random.below(50);
        fprintf(shared_file, "%d %d %0*d %d\n", id, number, length + 1, 0, number ^ id);
    }
}

// Every line of the shared file is whole.
void check_shared_file() {
    char line[256], zeros[64];
    long lines = 0;
    rewind(shared_file);
    while (fgets(line, sizeof line, shared_file) != nullptr) {
        int id, number, check, end = 0;
        CHECK(sscanf(line, "%d %d %60[0] %d%n", &id, &number, zeros, &check, &end) == 4);
        CHECK(line[end] == '\n' && (number ^ id) == check);
        lines++;
    }
    CHECK(lines == 40L * threads * rounds);
}

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
uint64_t shared_sum, shared_copy;
std::vector<int> shared_numbers;

void mutex_work(int id, Random& random) {
    for (int i = 0; i < 50; i++) {
        auto number = static_cast<uint64_t>(random.below(1000));
        CHECK(pthread_mutex_lock(&mutex) == 0);
        CHECK(shared_sum == shared_copy);
        shared_sum += number;
        if (i % 10 == 0) shared_numbers.push_back(id);
        shared_copy = shared_sum;
        CHECK(pthread_mutex_unlock(&mutex) == 0);
    }
}

thread_local int own_id = -1;

void* torture(void* argument) {
    auto* result = static_cast<uint64_t*>(argument);
    int id = static_cast<int>(*result);
    own_id = id;
    Random random{0x9e3779b97f4a7c15U * static_cast<uint64_t>(id + 1) ^ seed << 20};
    Checksum sum;
    for (int i = 0; i < rounds; i++) {
        vector_work(random, sum);
        register_work(random, sum);
        rounding_work(random, sum);
        stdio_work(id, random);
        double_work(random, sum);
        heap_work(random, sum);
        exception_work(random, sum);
        text_work(random, sum);
        container_work(random, sum);
        mutex_work(id, random);
        CHECK(own_id == id);
    }
    *result = sum.value;
    return nullptr;
}

long ticks;
bool stop;

void* tick(void* argument) {
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        __atomic_add_fetch(&ticks, 1, __ATOMIC_SEQ_CST);
        nap(2);
    }
    return argument;
}

}  // namespace

int main(int count, char** arguments) {
    if (count > 1) seed = strtoull(arguments[1], nullptr, 0);
    if (count > 2) rounds = atoi(arguments[2]);
    shared_file = tmpfile();
    CHECK(shared_file != nullptr);
    pthread_t ticking = spawn(tick, nullptr), thread[threads];
    uint64_t result[threads];
    for (int i = 0; i < threads; i++) {
        result[i] = static_cast<uint64_t>(i);
        thread[i] = spawn(torture, &result[i]);
    }
    for (int i = 0; i < threads; i++) finish(thread[i]);
    __atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
    finish(ticking);
    check_shared_file();
    for (int i = 0; i < threads; i++)
        printf("thread %d: %016llx\n", i, static_cast<unsigned long long>(result[i]));
    std::sort(shared_numbers.begin(), shared_numbers.end());
    Checksum numbers;
    for (int number : shared_numbers) numbers.add(static_cast<uint64_t>(number));
    printf("shared: sum %llu, %zu numbers, %016llx\n", static_cast<unsigned long long>(shared_sum),
           shared_numbers.size(), static_cast<unsigned long long>(numbers.value));
    CHECK(ticks >= 3);
    return 0;
}
