// exit() from a thread other than main: status, atexit handlers and static destructors as from
// main, the calling thread's thread_local destructors first, nobody else's; stdout is flushed.
//
// PARITY: switches=3 threads=2 status=42
#include "thread.h"

namespace {

struct Noisy {
    const char* text;
    explicit Noisy(const char* t) : text(t) {}
    ~Noisy() {
        if (text) puts(text);
    }
};
Noisy static_object("static destructor");
thread_local Noisy per_thread(nullptr);

sem_t gate;

void at_exit() { puts("atexit handler"); }

void* other(void*) {
    per_thread.text = "thread_local destructor of another thread";
    sem_post(&gate);
    sleep(1000);
    return nullptr;
}

void* leaver(void*) {
    Noisy automatic("automatic destructor");
    per_thread.text = "thread_local destructor of the thread that calls exit";
    sem_wait(&gate);
    puts("exit(42)");
    exit(42);
}

}  // namespace

int main() {
    per_thread.text = "thread_local destructor of main";
    sem_init(&gate, 0, 0);
    atexit(at_exit);
    spawn(leaver, nullptr);
    spawn(other, nullptr);
    sleep(1000);
    return 1;
}
