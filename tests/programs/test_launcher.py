"""scripts/green: what it hands to the program, and every reason for which it refuses one.

Each refusal is one line on stderr which names the program or the option, and the exit status that
`green --help` promises. The programs that it must refuse are made here: a static one with gcc, one
for another processor by changing a byte of an ELF header.
"""

import os
import re
import shutil
import signal
import subprocess

from harness import (HERE, LIBRARY, NATIVE_ONLY, PYTHON, Program, Skip, environment, find, folder,
                     main, needs, test, wait_until, write)

GREEN = os.path.abspath(os.path.join(HERE, "../../scripts/green"))


def launch(*arguments, env=None, **options):
    library = LIBRARY
    if NATIVE_ONLY:  # any library will do for the launcher
        library = os.path.join(folder(), "libgreen.so")
        if not os.path.exists(library):
            subprocess.run(["gcc", "-shared", "-o", library, "-x", "c", "/dev/null"], check=True)
    return subprocess.run(
        [GREEN, *map(str, arguments)], capture_output=True, timeout=30, cwd=folder(),
        stdin=subprocess.DEVNULL,
        env={**environment(), "GREEN_LIBRARY": library, **(env or {})}, check=False, **options)


def refused(status, words, *arguments, **options):
    """The launcher says one line with these words and ends with this status."""
    done = launch(*arguments, **options)
    message = done.stderr.decode()
    assert done.returncode == status, f"{arguments}: status {done.returncode}, {message}"
    assert done.stdout == b"", done.stdout
    assert message.startswith("green: ") and message.count("\n") == 1, message
    assert words in message, f"{arguments}: {message}"
    return message


def executable(name, content):
    path = write(name, content)
    os.chmod(path, 0o755)
    return path


def compiled(name, *options):
    path = os.path.join(folder(), name)
    source = write("main.c", "int main(void) { return 3; }\n")
    subprocess.run(["gcc", *options, source, "-o", path], check=True)
    return path


@test(audit=False)
def launcher_help():
    done = launch("--help")
    text = done.stdout.decode()
    assert done.returncode == 0 and not done.stderr
    for word in ("--stats", "--stack", "--preempt", "--resolver", "--no-warn", "--no-inherit", "--version",
                 "--audit", "--check", "--coverage",
                 "--accept", "--max-flows", "GREEN_ACCEPT", "GREEN_MAX_FLOWS",
                 "GREEN_STATS", "GREEN_STACK", "GREEN_RESOLVER", "GREEN_WARN", "GREEN_INHERIT",
                 "GREEN_LIBRARY", "125", "126", "127", "static", "set-user-id"):
        assert word in text, f"--help says nothing of {word}"
    assert max(map(len, text.splitlines())) <= 100
    assert launch("-h").stdout == done.stdout
    with open(os.path.join(HERE, "../../CMakeLists.txt"), encoding="utf-8") as file:
        version = re.search(r"VERSION (\d+\.\d+\.\d+)", file.read()).group(1)
    assert launch("--version").stdout.decode() == f"green (libgreen) {version}\n"


@test(audit=False)
def launcher_options():
    """Options become variables; the library comes first in LD_PRELOAD; $0 and "--" are kept."""
    def seen(*arguments, **options):
        done = launch(*arguments, "env", **options)
        assert done.returncode == 0, done.stderr
        return dict(line.split("=", 1) for line in done.stdout.decode().splitlines())

    plain = seen()
    assert plain["LD_PRELOAD"].endswith("/libgreen.so")
    assert not [name for name in plain if name.startswith("GREEN_") and name != "GREEN_LIBRARY"]
    assert seen("--stats")["GREEN_STATS"] == "stderr"
    assert seen("--stats=/tmp/x y")["GREEN_STATS"] == "/tmp/x y"
    assert seen("--stats=x")["GREEN_STATS"] == folder() + "/x"
    for text, size in (("65536", 65536), ("64K", 65536), ("8M", 8 << 20), ("1G", 1 << 30),
                       ("0064k", 65536)):
        assert seen("--stack", text)["GREEN_STACK"] == str(size)
        assert seen(f"--stack={text}")["GREEN_STACK"] == str(size)
    for name in ("auto", "libc"):
        assert seen("--resolver", name)["GREEN_RESOLVER"] == name
    for slice in ("off", "1", "10000"):
        assert seen("--preempt", slice)["GREEN_PREEMPT"] == slice
    for mode in ("clone", "fork", "auto", "check", "off"):
        assert seen("--accept", mode)["GREEN_ACCEPT"] == mode
        assert seen(f"--accept={mode}", "--max-flows=7")["GREEN_MAX_FLOWS"] == "7"
    many = seen("--no-warn", "--no-inherit", "--")
    assert (many["GREEN_WARN"], many["GREEN_INHERIT"]) == ("0", "0")
    twice = seen(env={"LD_PRELOAD": plain["LD_PRELOAD"]})
    assert twice["LD_PRELOAD"] == plain["LD_PRELOAD"]
    assert launch("sh", "-c", 'echo "$0" "$@"', "a b", "--stats", "*").stdout == b"a b --stats *\n"


@test(audit=False)
def launcher_usage():
    refused(2, "'--nope'", "--nope", "true")
    refused(2, "'-x'", "-x")
    refused(2, "no program")
    refused(2, "no program", "--stats", "--")
    refused(2, "no program", "")
    refused(2, "--stack needs a value", "--stack")
    for size in ("", "0", "K", "-1", "12X", "1.5M", "16383", "65G", "99999999999G", "64KB",
                 "0x10000", "99999999999999999999"):
        refused(2, f"--stack: '{size}'", f"--stack={size}", "true")
    refused(2, "'cares2' is not one of", "--resolver", "cares2", "true")
    refused(2, "--accept: 'thread' is not one of", "--accept=thread", "true")
    refused(2, "--max-flows needs a value", "--max-flows")
    for number in ("", "0", "-1", "x", "100001", "1000000"):
        refused(2, f"--max-flows: '{number}'", f"--max-flows={number}", "true")
    for number in ("0", "1025", "x", "-1", "01", ""):
        refused(2, f"--workers: '{number}'", f"--workers={number}", "true")
        refused(2, "--pool: ", f"--pool={number if number != '1025' else '1000001'}", "true")
    refused(2, "--grace: '1.5'", "--workers", "2", "--grace", "1.5", "true")
    refused(2, "--rolling: 'KILL'", "--workers=2", "--rolling=KILL", "true")
    for option in ("--grace=1", "--rolling", "--no-pin", "--max-restarts=3"):
        refused(2, f"{option.partition('=')[0]} needs --workers", option, "true")
    refused(2, "--stats=", "--stats=", "true")
    refused(2, "cannot be created", "--stats=/nowhere/x", "true")
    refused(2, "is a directory", "--stats=/tmp", "true")


@test(audit=False)
def launcher_program():
    """Found and executed as env(1) would, and refused with its statuses."""
    assert launch("sh", "-c", "exit 7").returncode == 7
    assert launch("--", "sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM
    refused(127, "'no-such-program' not found in PATH", "no-such-program")
    refused(127, "'./nope' not found", "./nope")
    refused(126, "is a directory", "/tmp")
    data = write("data", "text\n")
    refused(126, "is not executable", data)
    refused(126, "is not executable", "data", env={"PATH": f"{folder()}:/usr/bin:/bin"})
    compiled("local")
    refused(127, "there is one here: ./local", "local")
    assert launch("./local").returncode == 3
    assert launch("local", env={"PATH": f"/nowhere:{folder()}:/usr/bin:/bin"}).returncode == 3
    executable("-x", "#!/bin/sh\nexit 6\n")
    assert launch("--", "-x", env={"PATH": f"{folder()}:/usr/bin:/bin"}).returncode == 6
    # A builtin of the shell is not what a user of `green echo` means.
    assert launch("echo", "-e", "a").stdout == b"a\n"
    with Program(GREEN, "sleep", "100", env={"GREEN_LIBRARY": os.path.join(folder(), "libgreen.so")
                                             if NATIVE_ONLY else LIBRARY}) as sleeper:
        def comm():
            with open(f"/proc/{sleeper.pid}/comm", encoding="ascii") as file:
                return file.read() == "sleep\n"
        wait_until(comm, "sleep in the launcher's place")
        assert sleeper.stop(signal.SIGINT) == -signal.SIGINT


@test(audit=False)
def launcher_scripts():
    executable("plain", "exit 5\n")
    assert launch("./plain").returncode == 5
    executable("shell", "#!/bin/sh\nexit 8\n")
    assert launch("./shell").returncode == 8
    executable("python", f"#!/usr/bin/env -S {PYTHON} -E\nraise SystemExit(9)\n")
    assert launch("./python").returncode == 9
    executable("by-env", "#! /usr/bin/env sh\nexit 4\n")
    assert launch("./by-env").returncode == 4
    executable("lost", "#!/usr/bin/nowhere -x\n")
    refused(127, "'/usr/bin/nowhere' was not found", "./lost")
    executable("empty", "#!\n")
    refused(126, "empty #! line", "./empty")
    executable("circle", f"#!{folder()}/circle\n")
    refused(126, "circle", "./circle")
    static = compiled("static", "-static")
    executable("on-static", f"#!{static} x\n")
    refused(2, "static program", "./on-static")


@test(audit=False)
def launcher_binaries():
    """What no preloaded library can reach, told by the ELF header."""
    refused(2, "static program", compiled("static", "-static"))
    refused(2, "static program", compiled("static-pie", "-static-pie"))
    for option in ("-no-pie", "-pie"):
        assert launch(compiled("dynamic", option)).returncode == 3
    with open(compiled("dynamic"), "rb") as file:
        image = bytearray(file.read())
    other = image[:]
    other[18] = 0xB7  # e_machine: AArch64
    refused(2, "another processor", executable("foreign", other))
    other = image[:]
    other[4] = 1  # EI_CLASS: 32-bit
    refused(2, "32-bit program", executable("small", other))
    other = image.replace(b"/lib64/ld-linux-x86-64.so.2\0", b"/lib/ld-musl-x86_64.so.1\0\0\0\0")
    assert other != image
    refused(2, "another C library", executable("musl", other))
    note = write("note.s", '.section .note.go.buildid,"a",@note\n.long 4,4,4\n.asciz "Go\\0"\n'
                           '.long 1\n.section .note.GNU-stack,"",@progbits\n')
    refused(2, "a Go program", compiled("go", "-static", note))
    refused(2, "a Go program", compiled("go-dynamic", note))
    # The program headers may lie anywhere: here at the end, as patchelf puts them.
    start, size, count = (int.from_bytes(image[at:at + length], "little")
                          for at, length in ((32, 8), (54, 2), (56, 2)))
    moved = image + bytes(-len(image) % 8)
    moved[32:40] = len(moved).to_bytes(8, "little")
    moved += image[start:start + size * count]
    moved[start:start + size * count] = bytes(size * count)
    refused_not = launch(executable("moved", moved))
    assert b"static" not in refused_not.stderr, refused_not.stderr
    assert launch("/lib64/ld-linux-x86-64.so.2", "/bin/true").returncode == 0


def as_nobody():
    if os.getuid() != 0:
        raise Skip("only root can make a program of somebody else's")
    os.chmod(folder(), 0o755)
    return {"user": 65534, "group": 65534, "extra_groups": []}


@test(audit=False)
def launcher_privileges():
    """Where the kernel raises privileges, ld.so drops the preload; elsewhere nothing is said."""
    nobody = as_nobody()
    library = os.path.join(folder(), "libgreen.so")
    if os.path.exists(LIBRARY):
        shutil.copy(LIBRARY, library)  # in a place that everybody can read
    else:
        launch("true")
    env = {"GREEN_LIBRARY": library}
    path = compiled("raised")
    assert launch("./raised", env=env, **nobody).returncode == 3
    os.chmod(path, 0o4755)
    refused(2, "set-user-id", "./raised", env=env, **nobody)
    assert launch("./raised", env=env).returncode == 3  # root's own
    os.chown(path, 0, 4)
    os.chmod(path, 0o2755)
    refused(2, "set-group-id", "./raised", env=env, **nobody)
    needs("setcap")
    os.chmod(path, 0o755)
    if subprocess.run([find("setcap"), "cap_net_raw+ep", path], check=False).returncode == 0:
        refused(2, "file capabilities", "./raised", env=env, **nobody)
        assert launch("./raised", env=env).returncode == 3
    # A file that may be executed and not read is started without a look.
    os.chown(path, 0, 0)
    subprocess.run([find("setcap"), "-r", path], check=False, stderr=subprocess.DEVNULL)
    os.chmod(path, 0o711)
    assert launch("./raised", env=env, **nobody).returncode == 3


@test(audit=False)
def launcher_library():
    """Beside the launcher, in ../build, in ../lib; else status 125."""
    launch("true")
    library = LIBRARY if os.path.exists(LIBRARY) else os.path.join(folder(), "libgreen.so")
    refused(125, "is not a file", "true", env={"GREEN_LIBRARY": "/nowhere/libgreen.so"})
    refused(125, "is not a shared library", "true", env={"GREEN_LIBRARY": "/etc/passwd"})
    spaced = os.path.join(folder(), "a b")
    os.mkdir(spaced)
    shutil.copy(library, spaced)
    refused(125, "a space or a colon", "true", env={"GREEN_LIBRARY": f"{spaced}/libgreen.so"})
    for place in ("bin", "build", "lib"):
        root = os.path.join(folder(), "tree-" + place)
        os.makedirs(os.path.join(root, "bin"))
        os.makedirs(os.path.join(root, place), exist_ok=True)
        launcher = shutil.copy(GREEN, os.path.join(root, "bin/green"))
        link = os.path.join(folder(), "link-" + place)
        os.symlink(f"tree-{place}/bin/green", link)
        shutil.copy(library, os.path.join(root, place))
        for command in (launcher, link):
            done = subprocess.run([command, "sh", "-c", "echo $LD_PRELOAD"], capture_output=True,
                                  env=environment(), check=True)
            assert done.stdout.decode() == f"{root}/{place}/libgreen.so\n", done
    lonely = os.path.join(folder(), "lonely")
    os.mkdir(lonely)
    shutil.copy(GREEN, lonely)
    if not any(os.path.exists(f"{place}/libgreen.so") for place in ("/usr/local/lib", "/usr/lib")):
        done = subprocess.run([f"{lonely}/green", "true"], capture_output=True, env=environment(),
                              check=False)
        assert done.returncode == 125 and b"libgreen.so not found" in done.stderr, done


@test(audit=False)
def launcher_counters():
    """--stats: the counters on stderr, not a byte on stdout, and the program's own status."""
    code = "import threading as t, time; x = t.Thread(target=time.sleep, args=(0.01,)); x.start(); "
    done = launch("--stats", PYTHON, "-c", code + "x.join(); print('done'); raise SystemExit(3)")
    assert done.returncode == 3 and done.stdout == b"done\n", done
    if not NATIVE_ONLY:
        assert done.stderr, "no counters were printed"


@test(audit=False)
def launcher_counters_of_coreutils():
    """ls and its kin close stderr in an exit handler, before a library's destructor could print."""
    done = launch("--stats", "ls", folder())
    assert done.returncode == 0, done
    if not NATIVE_ONLY:
        assert b"ls" in done.stderr, "no counters were printed"


main()
