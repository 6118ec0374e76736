"""libgreen.so as a file: what it needs and what it shows.

A preloaded library is in every process. Each library that it needs is loaded into all of them, and
each name it exports can take the place of a program's own: both are kept to the least.
"""

import os
import re
import subprocess

from harness import LIBRARY, Skip, folder, main, run, test, write

NEEDED = {"libc.so.6", "ld-linux-x86-64.so.2"}  # libev and c-ares are loaded by themselves


def tool(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()


def built():
    if not os.path.exists(LIBRARY):
        raise Skip(f"no {LIBRARY}")


def defined(path):
    """The names that a library defines for others, without their versions."""
    lines = tool("nm", "-D", "--defined-only", path).splitlines()
    return {line.split()[-1].partition("@")[0] for line in lines if line.split()[-2] not in "A"}


def libc_path():
    with open("/proc/self/maps", encoding="ascii") as maps:
        return next(line.split()[-1] for line in maps if line.endswith("/libc.so.6\n"))


@test(audit=False)
def library_needs():
    built()
    dynamic = tool("readelf", "-dW", LIBRARY)
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
    assert needed <= NEEDED, f"libgreen.so needs {sorted(needed - NEEDED)}"
    for tag in ("RPATH", "RUNPATH", "TEXTREL"):
        assert f"({tag})" not in dynamic, f"libgreen.so has {tag}"


@test(audit=False)
def library_exports():
    built()
    exported = defined(LIBRARY)
    libc = defined(libc_path())
    assert len(exported) > 50, f"only {sorted(exported)}"
    # liburing makes its system calls itself; its functions that wait have stand-ins.
    strangers = sorted(name for name in exported - libc
                       if not name.startswith(("io_uring_", "__io_uring_")))
    assert not strangers, f"exported, and not a name of libc: {strangers}"
    runtime = sorted(name for name in exported if name.startswith("_Z") or "green" in name)
    assert not runtime, f"exported, and nobody's business: {runtime}"
    undefined = tool("nm", "-D", "--undefined-only", LIBRARY)
    assert "_Z" not in undefined, "libgreen.so asks for the C++ runtime of the program"


@test(audit=False)
def library_fs_base():
    """Where the kernel offers no FSGSBASE: by system call, and with the trap, which makes few."""
    built()
    program = os.path.join(os.path.dirname(LIBRARY), "tests/parity/bin/thread_identity")
    by_call, with_trap = (run(program, green=True, env={"GREEN_FSBASE": how})
                          for how in ("call", "auto"))
    assert by_call.output == with_trap.output
    calls = by_call.own_counters()
    if "fs_calls" not in calls:
        raise Skip("the kernel offers FSGSBASE")
    assert calls["fs_repairs"] == 0 and calls["fs_calls"] > calls["switches"] / 3, calls
    trap = with_trap.own_counters()
    if trap["fs_repairs"] == 0 and trap["fs_calls"] > trap["switches"] / 3:
        raise Skip("the instruction is not allowed")
    assert trap["fs_calls"] < trap["switches"] / 100, trap


@test(audit=False)
def library_counts_without_proc():
    """Where the kernel threads cannot be looked up, those that the library made are told."""
    built()
    if os.geteuid() != 0:
        raise Skip("only root may leave /proc behind")
    program = run("python3", "-c", "import os, sys, threading\n"
                  "thread = threading.Thread(target=int)\nthread.start()\nthread.join()\n"
                  "os.chroot(sys.argv[1])", folder(), green=True, env={"GREEN_STATS": "stderr"})
    assert re.search(r"^  kernel threads +1$", program.errors.decode(), re.MULTILINE), \
        program.errors


@test(audit=False)
def library_tells_nobody():
    """The counters are for stderr, not for a file that gets its number."""
    built()
    name = os.path.join(folder(), "file")
    script = ("import os, sys, threading\nthread = threading.Thread(target=int)\n"
              "thread.start()\nthread.join()\n"
              "os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), 2)\nos._exit(0)")
    subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", "python3", "-c", script, name], check=True,
                   env={**os.environ, "LD_PRELOAD": LIBRARY, "GREEN_STATS": "stderr"})
    with open(name, encoding="ascii") as file:
        assert file.read() == ""


@test(audit=False)
def library_segments():
    """No stack that can be executed, no segment that is writable and executable at once."""
    built()
    headers = tool("readelf", "-lW", LIBRARY)
    for line in headers.splitlines():
        if line.split()[:1] in (["LOAD"], ["GNU_STACK"]):
            assert not re.search(r"\bRWE\b", line), line
    assert "GNU_RELRO" in headers


@test(audit=False)
def library_fails_softly():
    """A missing preload is ld.so's own message, and the program runs."""
    program = write("nothing.sh", "exit 0\n")
    done = subprocess.run(["sh", program], env={"LD_PRELOAD": "/nowhere/libgreen.so"}, check=True,
                          stderr=subprocess.PIPE)
    assert b"cannot be preloaded" in done.stderr


main()
