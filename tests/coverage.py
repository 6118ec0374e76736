"""The coverage table against the installed libc, and against the parity programs.

    /usr/bin/python3 tests/coverage.py libc libgreen.so
    /usr/bin/python3 tests/coverage.py parity libgreen.so PROGRAM...

`libc` derives the exported functions from the installed libc and its companions. Each must stand in
a row (hooked, or in hooks/coverage.txt) or match one of the reviewed patterns of what never waits;
no row may name what libc does not export, and no pattern may match nothing.

`parity` derives from the programs' imports which functions the parity tests call. Every function
that is cooperative, through libc too, or offloaded must be called by one. Left out are those that no
new program can be linked with, and names of libc's own for the same code (_IO_getc).
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "scripts"))
import coverage  # noqa: E402
import elf  # noqa: E402
from coverage import KINDS  # noqa: E402

LIBC = ["libc.so.6", "libpthread.so.0", "librt.so.1", "libanl.so.1", "libresolv.so.2", "libdl.so.2",
        "libutil.so.1", "ld-linux-x86-64.so.2"]


# What headers make of a call.
RENAMED = {"sigpause": "__xpg_sigpause",
           **{name: f"__isoc99_{name}" for name in
              ("scanf", "fscanf", "vscanf", "vfscanf", "wscanf", "fwscanf", "vwscanf", "vfwscanf")}}
EXCUSED = {"gethostid": "asks the machine's own name server for the machine's own name"}


def libc_functions():
    """Names: those that programs may call, those that new ones may, all that libc exports."""
    cache, public, new, everything = elf.linker_cache(), set(), set(), set()
    for name in LIBC:
        file = elf.Elf(cache.get(name) or f"/lib/x86_64-linux-gnu/{name}")
        public |= {symbol.name for symbol in file.functions()}
        new |= {symbol.name for symbol in file.functions() if not symbol.old}
        everything |= {symbol.name for symbol in file.symbols() if symbol.defined}
    return public, new, everything


def check_libc(table):
    public, _, everything = libc_functions()
    for name in sorted(public):
        if name not in table.rows and not table.never_waits(name):
            yield f"{name} stands in no row of the table: may it block? (hooks/coverage.txt)"
    for name in sorted({*table.rows, *table.reviewed}):
        if name not in everything:
            yield f"{name} stands in a row and libc does not export it"
    for pattern, expression in table.never:
        if not any(expression.match(name) for name in public - table.reviewed.keys()):
            yield f"the pattern {pattern} matches no function of libc"


def check_parity(table, programs):
    called = set().union(*(elf.Elf(program).imports() for program in programs))
    _, new, _ = libc_functions()
    for name, row in sorted(table.rows.items()):
        wanted = row.kind in ("cooperative", "offloaded") or (row.kind == "inside"
                                                              and not name.startswith("_"))
        if wanted and name in new - EXCUSED.keys() and not {name, RENAMED.get(name)} & called:
            yield f"{name} ({KINDS[row.kind][0]}): no parity program calls it"
    for name in EXCUSED.keys() & called:
        yield f"{name} is excused, and called"


def main(command, library, *programs):
    table = coverage.Table(library)
    problems = list(check_libc(table) if command == "libc" else check_parity(table, programs))
    for problem in problems:
        print(problem)
    print(f"{len(table.rows)} rows, {len(table.never)} patterns: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
