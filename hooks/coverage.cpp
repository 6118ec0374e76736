// The reviewed table of libc functions that have no hook (hooks/coverage.txt), carried by the
// library itself, so that `green --coverage` needs libgreen.so and nothing beside it.
//
// It lies in a section that is not loaded: a process never maps it, and starting one costs nothing.

#if !defined(GREEN_COVERAGE)
#    error "GREEN_COVERAGE is the path of coverage.txt"
#endif

asm(".pushsection green_coverage, \"\", @progbits\n"
    ".incbin \"" GREEN_COVERAGE
    "\"\n"
    ".popsection\n");
