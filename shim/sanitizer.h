// Programs built with a sanitizer: they are started anew without the library.
#pragma once

namespace green {
// From the constructor, before anything else. Returns if there is no sanitizer, or if the program
// cannot be started anew.
void leave_sanitized_program(char** arguments, char** environment);
}  // namespace green
