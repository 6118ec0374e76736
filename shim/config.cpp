// The one table of options: name, what is allowed, where it goes. `green --help` tells the same
// story to users.

#include "shim/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace green {

Config config;

namespace {

bool read_switch(const char* value, void* to) {
    bool on = strcmp(value, "1") == 0 || strcmp(value, "on") == 0;
    bool off = strcmp(value, "0") == 0 || strcmp(value, "off") == 0;
    *static_cast<bool*>(to) = on;
    return on || off;
}

// Copied: a program may overwrite its environment (nginx writes its process title there).
bool read_stats(const char* value, void* to) {
    if (strcmp(value, "stderr") != 0 && value[0] != '/') return false;
    auto* path = static_cast<char*>(to);
    if (strlen(value) >= sizeof config.stats) return false;
    strcpy(path, value);
    return true;
}

bool read_fs_base(const char* value, void* to) {
    bool call = strcmp(value, "call") == 0;
    *static_cast<bool*>(to) = call;
    return call || strcmp(value, "auto") == 0;
}

bool read_pool(const char* value, void* to) {
    char* end = nullptr;
    unsigned long size = strcmp(value, "off") == 0 ? 0 : strtoul(value, &end, 10);
    constexpr unsigned long most = 1000000;
    if (end != nullptr && (*end != '\0' || end == value || size == 0 || size > most)) return false;
    *static_cast<unsigned*>(to) = static_cast<unsigned>(size);
    return true;
}

bool read_worker(const char* value, void* to) {
    if (strlen(value) >= sizeof config.worker) return false;
    strcpy(static_cast<char*>(to), value);
    return true;
}

bool read_size(const char* value, void* to) {
    char* end = nullptr;
    unsigned long size = strtoul(value, &end, 10);
    if (end == value) return false;
    const char* const units = "KMG";
    if (*end != '\0') {
        const char* unit = strchr(units, *end);
        if (unit == nullptr || end[1] != '\0') return false;
        size <<= 10 * (unit - units + 1);
    }
    constexpr unsigned long least = 16384, most = 1UL << 36;
    if (size < least || size > most) return false;
    *static_cast<unsigned long*>(to) = size;
    return true;
}

bool read_slice(const char* value, void* to) {
    auto* slice = static_cast<unsigned long*>(to);
    *slice = 0;
    if (strcmp(value, "off") == 0) return true;
    char* end = nullptr;
    unsigned long number = strtoul(value, &end, 10);
    if (end == value) return false;
    constexpr unsigned long microsecond = 1000, millisecond = 1000000;
    constexpr unsigned long shortest = 20;  // microseconds: the handler needs some itself
    bool short_one = strcmp(end, "us") == 0;
    *slice = number * (short_one ? microsecond : millisecond);
    if (short_one) return number >= shortest && number < 1000;
    return *end == '\0' && number >= 1 && number <= 10000;
}

bool read_resolver(const char* value, void* to) {
    constexpr struct {
        const char* name;
        Resolver resolver;
    } known[] = {{"auto", Resolver::automatic},
                 {"cares", Resolver::cares},
                 {"libc", Resolver::libc},
                 {"thread", Resolver::threads}};
    for (const auto& one : known) {
        if (strcmp(value, one.name) != 0) continue;
        *static_cast<Resolver*>(to) = one.resolver;
        return true;
    }
    return false;
}

bool read_accept(const char* value, void* to) {
    constexpr const char* names[] = {"off", "clone", "fork", "check", "auto"};
    for (const char* const& name : names) {
        if (strcmp(value, name) != 0) continue;
        *static_cast<AcceptMode*>(to) = static_cast<AcceptMode>(&name - names);
        return true;
    }
    return false;
}

bool read_max_flows(const char* value, void* to) {
    char* end = nullptr;
    unsigned long flows = strtoul(value, &end, 10);
    constexpr unsigned long most = 100000;
    if (*end != '\0' || flows == 0 || flows > most) return false;
    *static_cast<unsigned*>(to) = static_cast<unsigned>(flows);
    return true;
}

struct Option {
    const char* name;
    const char* allowed;
    bool (*read)(const char*, void*);
    void* to;
};

const Option options[] = {
    {"GREEN", "on or off", read_switch, &config.enabled},
    {"GREEN_WARN", "0 or 1", read_switch, &config.warn},
    {"GREEN_STATS", "stderr or an absolute path", read_stats, &config.stats},
    {"GREEN_POOL", "off or a number of threads up to 1000000", read_pool, &config.pool},
    {"GREEN_WORKER", "what green --workers sets", read_worker, &config.worker},
    {"GREEN_STACK", "a size from 16K to 64G", read_size, &config.stack_size},
    {"GREEN_INHERIT", "0 or 1", read_switch, &config.inherit},
    {"GREEN_PREEMPT", "off or a number of milliseconds up to 10000", read_slice,
     &config.preempt_slice},
    {"GREEN_FSBASE", "auto or call", read_fs_base, &config.call_for_fs},
    {"GREEN_AUDIT", "0 or 1", read_switch, &config.audit},
    {"GREEN_ACCEPT", "off, clone, fork, check or auto", read_accept, &config.accept},
    {"GREEN_MAX_FLOWS", "a number from 1 to 100000", read_max_flows, &config.max_flows},
    {"GREEN_RESOLVER", "auto, cares, libc or thread", read_resolver, &config.resolver},
};

// The value of NAME in an environment, or null; getenv(3) does not work yet when we are asked.
char* environment_value(char** environment, const char* name) {
    size_t length = strlen(name);
    for (char** e = environment; *e != nullptr; ++e) {
        if (strncmp(*e, name, length) == 0 && (*e)[length] == '=') return *e + length + 1;
    }
    return nullptr;
}

// Takes this library out of a list of libraries, in place: ld.so separates them by colons or
// blanks.
void remove_self(char* list) {
    char* to = list;
    for (char* from = list; *from != '\0';) {
        size_t length = strcspn(from, ": ");
        bool last = from[length] == '\0';
        bool ours = memmem(from, length, "libgreen.so", strlen("libgreen.so")) != nullptr;
        size_t whole = length + (last ? 0 : 1);
        if (!ours) {
            memmove(to, from, whole);
            to += whole;
        }
        from += whole;
    }
    *to = '\0';
}

}  // namespace

void config_read(char** environment) {
    for (const Option& o : options) {
        const char* value = environment_value(environment, o.name);
        if (value == nullptr || *value == '\0') continue;
        Config before = config;
        if (o.read(value, o.to)) continue;
        config = before;
        dprintf(2, "libgreen: %s=%s is not %s; the default is used\n", o.name, value, o.allowed);
    }
    char* preload = environment_value(environment, "LD_PRELOAD");
    if (!config.inherit && preload != nullptr) remove_self(preload);
}

}  // namespace green
