// The one message the runtime itself can write: a defect of libgreen that nothing can be built on.

#include "runtime/sys.h"

#include <string.h>

namespace green::sys {

void die(const char* what) {
    const char* const parts[] = {"libgreen: internal error: ", what, "\n"};
    for (const char* part : parts) invoke(SYS_write, 2, part, strlen(part));
    constexpr long sigabrt = 6;
    invoke(SYS_kill, invoke(SYS_getpid), sigabrt);
    for (;;) invoke(SYS_exit_group, 127);
}

}  // namespace green::sys
