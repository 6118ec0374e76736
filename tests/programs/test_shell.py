"""Single-threaded programs under the preload: nothing changes, and the library stays asleep.

Exit statuses and deaths by signal are compared as the parent's wait sees them.
"""

import os
import signal

from harness import PYTHON, expect_equal, folder, main, needs, run, same, test, write


def asleep(*command, **options):
    _, green = same(*command, **options)
    if green.status >= 0:
        green.check_dormant()


def some_files():
    for number in range(30):
        write(f"file-{number}.txt", f"{number}\n" * number)


@test()
def sh_pipeline():
    some_files()
    for command in ("ls | sort | wc -l", "cat *.txt | sort -n | uniq -c | tail -3",
                    "yes | head -100000 | wc -c", "(echo out; echo err >&2) 2>&1 | cat",
                    "x=$(ls *.txt | wc -l); echo $((x * 2))"):
        asleep("sh", "-c", command, cwd=folder())


@test()
def sh_status():
    asleep("sh", "-c", "exit 7", status=7)
    asleep("sh", "-c", "false; echo $?")
    asleep("sh", "-c", "no-such-program-anywhere", status=127)
    asleep("sh", "-c", "sh -c 'exit 3'; echo $?; sh -c 'kill -TERM $$'; echo $?")
    asleep("sh", "-c", "trap 'echo caught; exit 5' TERM; kill -TERM $$; sleep 10", status=5)
    asleep("sh", "-c", "sleep 0.1 & wait $!; echo $?")


@test()
def sh_signal():
    asleep("sh", "-c", "kill -TERM $$", status=-signal.SIGTERM)
    asleep("sh", "-c", "kill -KILL $$", status=-signal.SIGKILL)
    asleep("sh", "-c", "kill -SEGV $$", status=-signal.SIGSEGV)


@test()
def sh_standard_streams():
    """Closed ones stay closed: the library takes no descriptor number that a program would see."""
    asleep("sh", "-c", "ls -l /proc/self/fd | wc -l")
    asleep("sh", "-c", "exec 3</dev/null 9>/dev/null; ls /proc/$$/fd")
    asleep("sh", "-c", "exec 0<&-; cat; echo $?")
    asleep("sh", "-c", "exec 0<&-; exec cat /dev/null; echo $?")


@test()
def coreutils():
    some_files()
    path = write("data", os.urandom(300_000))
    asleep("sha256sum", path)
    asleep("base64", path)
    asleep("wc", path)
    asleep("env", "-i", "echo", "hello")
    asleep("timeout", "0.2", "sleep", "10", status=124)
    asleep("nice", "-n", "1", "true")
    asleep("find", folder(), "-name", "file-*.txt", "-newer", "/etc/passwd", "-size", "+0")
    asleep("tar", "-cf", "-", "--sort=name", "--mtime=@0", *sorted(
        name for name in os.listdir(folder()) if name.startswith("file-")))


@test()
def xargs():
    asleep("sh", "-c", "seq 100 | xargs -P 4 -n 10 echo | tr ' ' '\\n' | sort -n | tail -1")
    asleep("sh", "-c", "seq 4 | xargs -P 4 -I{} sh -c 'exit {}'", status=123)
    asleep("sh", "-c", "seq 3 | xargs -n 1 sh -c 'exit 255'", status=124)


@test()
def sqlite():
    needs("sqlite3")
    script = ("create table t(a integer primary key, b text);"
              "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)"
              "  insert into t select i, 'row ' || i from n;"
              "select count(*), sum(a), max(b) from t; pragma integrity_check;")
    path = os.path.join(folder(), "data.db")

    def gone():
        if os.path.exists(path):
            os.unlink(path)

    asleep("sqlite3", path, input=script.encode(), prepare=gone)


@test()
def perl_fork():
    needs("perl")
    asleep("perl", "-e", 'my $pid = fork; if (!$pid) { exit 3 } waitpid $pid, 0; print $? >> 8')


@test()
def python_single():
    asleep(PYTHON, "-c", "import sys; print(sys.version); sys.exit(4)", status=4)
    asleep(PYTHON, "-c", "import os; os.abort()", status=-signal.SIGABRT)
    asleep(PYTHON, "-c", "import subprocess as s; print(s.run(['sh', '-c', 'exit 9']).returncode)")
    asleep(PYTHON, "-c", "print(input() + input())", input=b"one\ntwo\n")


@test()
def silent_when_not_asked():
    """Without GREEN_STATS the library prints nothing."""
    native = run("sh", "-c", "echo out; echo err >&2")
    green = run("sh", "-c", "echo out; echo err >&2", green=True, env={"GREEN_STATS": ""})
    expect_equal((native.output, native.errors), (green.output, green.errors), "what is printed")


main()
