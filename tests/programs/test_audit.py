"""The auditor: what it finds, what it leaves alone, and what it must not break.

The program is audited.c, which makes system calls with instructions of its own.
"""

import os
import re
import signal

from harness import HERE, Program, Skip, main, run, same, test, wait_until


def audited_program():
    path = os.path.join(os.path.dirname(os.environ.get("GREEN_LIBRARY", "")), "tests/programs/audited")
    if not os.path.exists(path):
        path = os.path.join(HERE, "../../build/tests/programs/audited")
    assert os.path.exists(path), f"{path} is missing: build it first"
    return path


def audit(case):
    program = run(audited_program(), case, green=True, env={"GREEN_AUDIT": "1"})
    assert program.status == 0, f"{program} ended with {program.status}: {program.errors}"
    block = program.own_counters()
    if b"nothing is audited" in program.errors:
        raise Skip("this kernel cannot audit")
    return program, block


@test(audit=False)
def auditor_names():
    """The waiting read is named: the call, the function it was made in, how often."""
    program, block = audit("reads")
    assert program.errors == b"", program.errors
    found = block.get("audit", [])
    assert len(found) == 1, found
    assert re.fullmatch(r"read audited\+0x[0-9a-f]+ \(read_by_itself[.\w]*\) 3", found[0]), found


@test(audit=False)
def auditor_table():
    """Without a file for the counters people get a table, with the callers."""
    program = run(audited_program(), "reads", green=True,
                  env={"GREEN_AUDIT": "1", "GREEN_STATS": ""})
    text = program.errors.decode()
    if "nothing is audited" in text:
        raise Skip("this kernel cannot audit")
    assert re.search(r"^ +3  read +in +audited\+0x[0-9a-f]+ \(read_by_itself[.\w]*\)\n"
                     r" +from +audited\+0x[0-9a-f]+ \(read_three\)$", text, re.MULTILINE), text


@test(audit=False)
def auditor_tells_at_once():
    """A call that never returns is named all the same: before it is made."""
    with Program(audited_program(), "stuck", green=True,
                 env={"GREEN_AUDIT": "1", "GREEN_STATS": ""}) as program:
        wait_until(lambda: b"\n" in program.errors, "a line of the auditor")
        text = program.errors.decode()
        if "nothing is audited" in text:
            raise Skip("this kernel cannot audit")
        assert re.fullmatch(r"libgreen: audit: process \d+: read audited\+0x[0-9a-f]+ "
                            r"\(read_by_itself[.\w]*\)\n", text), text
        program.stop(signal.SIGKILL)


@test(audit=False)
def auditor_is_silent():
    """A read that has something, or would not wait, is no surprise."""
    program, block = audit("harmless")
    assert block["audited"] >= 7, block
    assert "audit" not in block, block["audit"]
    assert b"no child: -10" in program.output, program.output


@test(audit=False)
def auditor_breaks_nothing():
    """Masks, stacks, processes and handlers made without libc are as they are natively."""
    same(audited_program(), "odd", env={"GREEN_AUDIT": "1"})


@test(audit=False)
def auditor_gives_way():
    """A program keeps its SIGSYS handler; if it dispatches calls itself it is told that it is audited
    no longer."""
    _, green = same(audited_program(), "handler", env={"GREEN_AUDIT": "1"},
                    compare=("status", "output"))
    if b"nothing is audited" in green.errors:
        raise Skip("this kernel cannot audit")
    assert green.errors == (b"libgreen: audit: the program dispatches system calls itself; "
                            b"from here on it is not audited\n"), green.errors
    found = green.own_counters().get("audit", [])
    assert len(found) == 1 and re.fullmatch(r"poll audited\+0x[0-9a-f]+ .* 1", found[0]), found


main()
