// Where an address lies, for people.
#pragma once

#include <stddef.h>

namespace green {

// "libfoo.so.1+0x1234 (function)", of the byte before `pc`: it is a return address. Without the
// function if no symbol table has it, just the number if no module has it. May call libc.
void describe_address(const void* pc, char* text, size_t size);

}  // namespace green
