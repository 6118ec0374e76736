"""What each libc function that may block does under libgreen, and what a program uses of that.

    coverage.py table LIBRARY [FUNCTION]...    for green --coverage
    coverage.py check LIBRARY NAME IMAGE       for green --check

Both tables lie in libgreen.so: the section green_hooks holds a row for each hook, green_coverage the
reviewed text on everything else (hooks/coverage.txt, where the kinds are explained). Nothing is run:
a program is judged by what it and its libraries import, and by the system calls in their code.
"""

import fnmatch
import os
import re
import struct
import sys
import textwrap

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import elf  # noqa: E402

HOOK_ROW = struct.Struct("<QQIIQ")  # HookRow of hooks/hook.h
INTERNAL, OFFLOADED = 2, 3          # Reach of hooks/hook.h

KINDS = {
    "cooperative": ("cooperative", "parks its green thread, and others run"),
    "inside": ("cooperative through libc", "what it waits in is hooked, inside libc too"),
    "offloaded": ("offloaded", "what would block waits on a helper kernel thread, and others run"),
    "native": ("native", "stops the whole process while it waits"),
    "storage": ("native, for storage", "stops the process while a disk or a file server works"),
}
GENERAL = ""  # the group of the hooks
WIDTH = 100


class Row:
    """A function: its kind, the group it belongs to, and what is to be said of that."""

    def __init__(self, kind, group=GENERAL, reason=""):
        self.kind, self.group, self.reason = kind, group, reason

    def __str__(self):
        title, text = KINDS[self.kind]
        return f"{title}: {self.group}: {self.reason}" if self.reason else f"{title}: {text}"


class Wrong(Exception):
    """The table contradicts itself."""


class Table:
    """All rows. `hooks`: what the library hooks at all; `never`: (pattern, expression)."""

    def __init__(self, library):
        file = elf.Elf(library)
        self.hooks, self.rows, self.reviewed, self.never, self.headings = {}, {}, {}, [], []
        self._read_hooks(file)
        self._read_review(file)
        for name, reach in self.hooks.items():
            if name not in self.reviewed and not self.never_waits(name):
                self.rows[name] = Row("offloaded" if reach == OFFLOADED else "cooperative")
        self.rows.update((n, row) for n, row in self.reviewed.items() if row.kind != "never")

    def _read_hooks(self, file):
        section = file.section("green_hooks")
        if section is None:
            raise elf.Damaged(f"{file.path}: no table of hooks in it")
        address, offset, size = section
        moved = file.relocated()
        for i in range(0, size, HOOK_ROW.size):
            name, _, reach, _, _ = HOOK_ROW.unpack_from(file.data, offset + i)
            name = file.text(file.offset(moved.get(address + i, name)))
            if reach != INTERNAL:  # else no program can call it
                self.hooks[name] = reach

    def _read_review(self, file):
        section = file.section("green_coverage")
        if section is None:
            raise elf.Damaged(f"{file.path}: no table of functions in it")
        _, offset, size = section
        row = None
        for line in file.data[offset:offset + size].decode().splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            if not line.startswith(" "):
                heading = re.fullmatch(r"(inside|native|storage|never) ([^:]+):\s*(.*)", line)
                if heading is None:
                    raise Wrong(f"not a heading: {line}")
                row = Row(*heading.groups())
                self.headings.append(row)
                continue
            for word in line.split():
                if row.kind == "never" and re.search(r"[*?]", word):
                    self.never.append((word, re.compile(fnmatch.translate(word))))
                elif self.reviewed.setdefault(word, row) is not row:
                    raise Wrong(f"{word} stands twice")

    def never_waits(self, name):
        """By its own line, or by a pattern where it has none."""
        if name in self.reviewed:
            return self.reviewed[name].kind == "never"
        return any(expression.match(name) for _, expression in self.never)

    def grouped(self, names):
        """kind -> [(group, reason, sorted names)], in the order of KINDS and of the text."""
        found = {}
        for name in sorted(names, key=lambda name: (name.lstrip("_"), name)):
            row = self.rows[name]
            found.setdefault((row.kind, row.group, row.reason), []).append(name)
        order = [Row(kind) for kind in KINDS] + self.headings
        keys = [(row.kind, row.group, row.reason) for row in order]
        return {kind: [(*key[1:], found[key]) for key in keys if key[0] == kind and key in found]
                for kind in KINDS}


# ---- printing ----------------------------------------------------------------------------------

def print_wrapped(text, indent):
    print(textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent,
                        break_long_words=False, break_on_hyphens=False))


def print_kinds(found):
    for kind, groups in found.items():
        if not groups:
            continue
        title, text = KINDS[kind]
        print(f"{title} ({count(groups)}): {text}")
        for group, reason, names in groups:
            if group != GENERAL:
                print_wrapped(f"{group} ({len(names)}): {reason}", "  ")
            print_wrapped(" ".join(names), "    ")
        print()


def count(groups):
    return sum(len(names) for _, _, names in groups)


def table_main(library, names):
    """green --coverage"""
    table = Table(library)
    for name in names:
        row = table.rows.get(name)
        if row is not None:
            print(f"{name}: {row}")
        elif table.never_waits(name):
            print(f"{name}: never waits")
        else:
            print(f"{name}: not a function of glibc 2.36")
    if names:
        return
    found = table.grouped(table.rows)
    print("What libc's functions that may block do in a green program (glibc 2.36).\n")
    print_kinds(found)
    marked = len(table.hooks) - sum(name in table.rows for name in table.hooks)
    print(f"{len(table.rows)} functions may block. {count(found['native'])} of them may stop the "
          f"process, and {count(found['storage'])} while storage works.\n{marked} more are hooked "
          "and never wait: they make, mark or end what the others wait for.")


# ---- a program ---------------------------------------------------------------------------------

# Its functions that wait have stand-ins in the library (hooks/uring.cpp).
COVERED = "liburing.so"
C_LIBRARY = ("libc.so", "ld-linux", "libpthread.so", "librt.so", "libdl.so", "libresolv.so",
             "libanl.so", "libutil.so")
THREAD_MAKERS = {"pthread_create", "thrd_create"}
STARTS_STD_THREAD = "_ZNSt6thread15_M_start_thread"
EVENT_LOOPS = {"epoll_wait", "epoll_pwait", "epoll_pwait2"}
# Any object of a virtual machine, known by a function that it exports or asks for.
RUNTIMES = [
    (re.compile("JLI_Launch|JNI_CreateJavaVM"), "Java"),
    (re.compile("_ZN2v8|napi_create_function"), "JavaScript (V8)"),
    (re.compile("mono_jit_init|coreclr_initialize|hostfxr_"), ".NET"),
    (re.compile("enif_alloc"), "Erlang"),
]
# Those that wait; x86-64's numbers.
WAITING_CALLS = {
    0: "read", 1: "write", 7: "poll", 19: "readv", 20: "writev", 23: "select", 34: "pause",
    35: "nanosleep", 42: "connect", 43: "accept", 44: "sendto", 45: "recvfrom", 46: "sendmsg",
    47: "recvmsg", 61: "wait4", 65: "semop", 73: "flock", 128: "rt_sigtimedwait",
    130: "rt_sigsuspend", 202: "futex", 208: "io_getevents", 220: "semtimedop",
    230: "clock_nanosleep", 232: "epoll_wait", 247: "waitid", 270: "pselect6", 271: "ppoll",
    281: "epoll_pwait", 288: "accept4", 299: "recvmmsg", 307: "sendmmsg", 333: "io_pgetevents",
    426: "io_uring_enter", 441: "epoll_pwait2", 449: "futex_waitv",
}
SYSCALL = b"\x0f\x05"
MOVES_NUMBER = re.compile(rb"(?:\xb8|\x48\xc7\xc0)(.[\0\1]\0\0)", re.DOTALL)
PART_OF = (b"\xe8", b"\xe9", b"\x80", b"\x81", b"\x83")  # call, jmp, orl $5, (%rdi)
CALLS = re.compile(rb"\xe8..(?:\0\0|\xff\xff)", re.DOTALL)


def system_calls(code):
    """The names of waiting calls that this code makes itself, without libc.

    `syscall` is two bytes, which occur by chance once in 64 KiB. So the number must be moved to eax
    shortly before, with no call in between, which would lose it; and the two bytes must not be part
    of a number or of an address relative to the instruction: those end in a byte of zeros or ones.
    Against objdump(1) on 1,347 objects of Debian's, 370 MiB of code: no chance find.
    """
    at = code.find(SYSCALL)
    while at >= 0:
        before, after = code[max(0, at - 48):at], code[at + 2:at + 4]
        relative = before[-1:] and before[-1] & 0xc7 == 5 and after[1:] in (b"\0", b"\xff")
        part = relative or before[-1:] in PART_OF or after[:1] == b"\0"
        moves = list(MOVES_NUMBER.finditer(before))
        if moves and not part and not CALLS.search(before, moves[-1].end()):
            number = int.from_bytes(moves[-1][1], "little")
            if number in WAITING_CALLS:
                yield WAITING_CALLS[number]
        at = code.find(SYSCALL, at + 1)


def has_inline_futex(elf_file):
    """As the library itself finds out, when such an object makes a thread: hooks/inline_futex.cpp."""
    largest, reach, number = 8 << 20, 256, b"\xca\0\0\0"
    own_function, fewest = SYSCALL + b"\x48\x3d\x01\xf0\xff\xff", 6
    for code in elf_file.executable():
        if len(code) <= largest and code.count(own_function) >= fewest:
            return True
        at = code.find(number, 1) if len(code) <= largest else -1
        while at >= 0:
            if code[at - 1] & 0xf8 == 0xb8 and code.find(SYSCALL, at, at + reach) >= 0:
                return True
            at = code.find(number, at + 1)
    return False


class Program:
    """What the program and the libraries loaded with it ask of libc."""

    def __init__(self, image, table):
        self.objects, self.missing = elf.with_libraries(image)
        self.blocking, self.threads, self.loops, self.own_calls, self.native = set(), [], [], {}, []
        self.runtime, self.loads_more = None, False
        for object_ in self.objects:
            self._read(object_, os.path.basename(object_.path), table)

    def _read(self, object_, name, table):
        if name.startswith(C_LIBRARY):
            return
        known, asked, imports = set(), set(), set()  # each of them part of the one before
        for symbol in object_.symbols():
            known.add(symbol.name)
            if not symbol.defined:
                asked.add(symbol.name)
                if not symbol.library or symbol.library.startswith(C_LIBRARY):
                    imports.add(symbol.name)
        self.blocking |= imports & table.rows.keys()
        self.loads_more |= "dlopen" in imports and object_ is self.objects[0]
        makes_threads = bool(imports & THREAD_MAKERS)
        # libstdc++ makes a thread for whoever asks it to
        if makes_threads and not name.startswith("libstdc++") or any(
                symbol.startswith(STARTS_STD_THREAD) for symbol in asked):
            self.threads.append(name)
        if imports & EVENT_LOOPS:
            self.loops.append(name)
        calls = sorted({call for code in object_.executable() for call in system_calls(code)})
        if makes_threads and has_inline_futex(object_):
            self.native.append(name)
        elif calls and not name.startswith(COVERED):
            self.own_calls[name] = calls
        for pattern, runtime in RUNTIMES:
            if self.runtime is None and any(pattern.match(symbol) for symbol in known):
                self.runtime = runtime


def listed(names):
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def verdict(program):
    """Plain sentences, the most important first."""
    if program.native:
        yield (f"Runs natively: {listed(program.native)} waits with system calls of its own, so the "
               "library steps aside when it makes its first thread.")
    elif program.threads:
        yield (f"Runs green from its first thread on. Threads can be made by: "
               f"{listed(program.threads)}.")
    else:
        yield "Makes no threads that can be seen: the library stays dormant and changes nothing."
    if program.runtime:
        yield (f"A virtual machine ({program.runtime}): the code it makes while it runs was not "
               "looked at, and its compiler and collector share one core with everything else.")
    if program.own_calls:
        which = "; ".join(f"{name}: {listed(calls)}" for name, calls in program.own_calls.items())
        yield f"Makes system calls without libc, which stop the process while they wait ({which})."
    if program.loops:
        yield (f"Has an event loop of its own ({listed(program.loops)}), which waits as one green "
               "thread; one that serves everything in that thread gains nothing.")
    if program.loads_more:
        yield "Loads further libraries while it runs (dlopen), which were not looked at."
    if program.missing:
        yield f"Not found, and not looked at: {listed(program.missing)}."


def check_main(library, name, image):
    """green --check"""
    table = Table(library)
    program = Program(image, table)
    print(f"{name}: {image}, {len(program.objects) - 1} libraries\n" if name != image else
          f"{name}: {len(program.objects) - 1} libraries\n")
    print_kinds(table.grouped(program.blocking))
    print("verdict:")
    for sentence in verdict(program):
        print_wrapped(sentence, "  ")
    return 2 if program.native else 0


def main(command, library, *rest):
    try:
        if command == "table":
            return table_main(library, rest)
        return check_main(library, *rest)
    except (elf.Damaged, Wrong) as error:
        print(f"green: {error}", file=sys.stderr)
        return 125
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
