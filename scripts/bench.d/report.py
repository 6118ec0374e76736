"""The result: the rows as lines, one for each comparison, and the table of these lines. A line is a
plain dictionary, so that the JSON holds what the table shows, and the plot needs nothing else."""

import statistics

import bars
from benchlib import number


def lines_of(row):
    if not row.values and not row.failed:
        return
    medians = row.medians()
    for limit in row.limits:
        found = row.rounds(limit)
        value = statistics.median(found) if found else None
        if value is None and limit.peer():
            continue  # that peer is not here
        middle = abs(value) if value else 0
        failed = [kind for kind in limit.kinds() if kind in row.failed]
        met = False if failed else limit.met(value, medians)
        yield {"bar": row.bar, "section": row.section, "what": row.what, "key": row.key,
               **{kind: "failed" if kind in row.failed else medians.get(kind)
                  for kind in bars.COLUMNS},
               "peer": medians.get(limit.peer()) if limit.peer() else None,
               "compared": limit.compared, "value": value, "sense": limit.sense,
               "bound": limit.effective_bound(medians) if value is not None else limit.bound,
               "spread": (max(found) - min(found)) / middle if len(found) > 1 and middle else None,
               "met": met}


def cell(value):
    return value if isinstance(value, str) else number(value)


def verdict(line, style):
    if line["met"] is None:
        return ""
    return style.green("yes") if line["met"] else style.red("NO")


def bound_text(line):
    if line["bound"] is None:
        return ""
    return ("≥ " if line["sense"] == ">=" else "≤ ") + number(line["bound"]).rstrip("0").rstrip(".")


def print_table(lines, style):
    width = max((len(line["what"]) for line in lines), default=0) + 2
    print(f"{'':{width + 2}}{'native':>9}{'epoll':>9}{'green':>9}{'peer':>9}  {'compared':<14}"
          f"{'is':>8}{'bar':>9}{'spread':>8}  met")
    section = row = None
    for line in lines:
        if line["section"] != section:
            section = line["section"]
            print(style.bold(f"{line['bar']}  {section}" if line["bar"] else f"-  {section}"))
        cells = [cell(line[kind]) for kind in bars.COLUMNS]
        what = line["what"]
        if line["key"] == row:
            what, cells = "", [""] * len(cells)
        row = line["key"]
        peer = "" if line["peer"] is None else number(line["peer"])
        spread = "" if line["spread"] is None else f"{line['spread']:.0%}"
        print(f"   {what:{width - 1}}" + "".join(f"{text:>9}" for text in (*cells, peer)) +
              f"  {line['compared']:<14}{number(line['value']):>8}{bound_text(line):>9}"
              f"{spread:>8}  {verdict(line, style)}".rstrip())
    judged = [line["met"] for line in lines if line["met"] is not None]
    print(f"{sum(judged)} of {len(judged)} bars met")
