"""A reader of ELF files: just what `green --check` and the tests ask of one.

Programs, libraries and libgreen.so itself are read with struct, for readelf(1) is not on every
machine. Only 64-bit little-endian files are read, the only ones that libgreen runs. A damaged file
is Damaged, whatever was wrong with it: the offsets in it are nobody's promise.
"""

import collections
import mmap
import os
import struct

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
PF_X = 1
SHT_DYNSYM = 11
STT_FUNC, STT_IFUNC = 2, 10
DT_NEEDED, DT_STRTAB, DT_SYMTAB, DT_RELA, DT_RELASZ = 1, 5, 6, 7, 8
DT_SONAME, DT_RPATH, DT_RUNPATH = 14, 15, 29
DT_VERSYM, DT_VERDEF, DT_VERNEED = 0x6ffffff0, 0x6ffffffc, 0x6ffffffe
SYMBOL_SIZE, RELA_SIZE = 24, 24


# One of the dynamic symbols. library: the one that the link editor found it in, "" if that was not
# noted; old: its version is kept for old programs, and no new one can be linked with it.
Symbol = collections.namedtuple("Symbol", "name defined kind version library old")


class Damaged(Exception):
    """Not an ELF file of this kind, or one that is not what it says."""


class Elf:
    """One file, mapped; everything is read when it is asked for."""

    def __init__(self, path):
        self.path = path
        try:
            with open(path, "rb") as file:
                self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise Damaged(f"{path}: {error}") from None
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise Damaged(f"{path}: not a 64-bit little-endian ELF file")
        try:
            self._read_headers()
        except (struct.error, IndexError, KeyError) as error:
            raise Damaged(f"{path}: {error}") from None

    def _unpack(self, form, at):
        return struct.unpack_from("<" + form, self.data, at)

    def _read_headers(self):
        table, self._sections_at = self._unpack("QQ", 32)
        size, count, section_size, section_count, names = self._unpack("5H", 54)
        self.segments = [self._unpack("IIQQQQQQ", table + i * size) for i in range(count)]
        self._sections = [self._unpack("IIQQQQIIQQ", self._sections_at + i * section_size)
                          for i in range(section_count)]
        self._names = self._sections[names][4] if names < section_count else None
        self.dynamic = {}
        for kind, _, offset, _, _, length, _, _ in self.segments:
            if kind != PT_DYNAMIC:
                continue
            for at in range(offset, offset + length, 16):
                tag, value = self._unpack("qQ", at)
                if tag == 0:
                    break
                self.dynamic.setdefault(tag, []).append(value)

    def offset(self, address):
        """Where an address of the loaded object lies in the file."""
        for kind, _, offset, start, _, length, _, _ in self.segments:
            if kind == PT_LOAD and start <= address < start + length:
                return offset + address - start
        raise Damaged(f"{self.path}: nothing at {address:#x}")

    def text(self, at):
        """The zero-ended string at a place in the file."""
        return self.data[at:self.data.find(b"\0", at)].decode("utf-8", "replace")

    def _dynamic_text(self, value):
        return self.text(self.offset(self.dynamic[DT_STRTAB][0]) + value)

    def texts(self, tag):
        """DT_NEEDED, DT_RPATH and the like."""
        return [self._dynamic_text(value) for value in self.dynamic.get(tag, [])]

    def section(self, name):
        """(address, offset, size) of a section, or None."""
        for entry, _, _, address, offset, size, *_ in self._sections:
            if self._names is not None and self.text(self._names + entry) == name:
                return address, offset, size
        return None

    def executable(self):
        """The bytes that can be executed, one object for each segment."""
        for kind, flags, offset, _, _, length, _, _ in self.segments:
            if kind == PT_LOAD and flags & PF_X:
                yield self.data[offset:offset + length]

    def relocated(self):
        """address -> what the dynamic linker adds the load address to, and puts there."""
        if DT_RELA not in self.dynamic:
            return {}
        start, size = self.offset(self.dynamic[DT_RELA][0]), self.dynamic[DT_RELASZ][0]
        rows = (self._unpack("QQq", start + i) for i in range(0, size, RELA_SIZE))
        return {address: addend for address, _, addend in rows}

    def _symbol_count(self, symbols):
        for _, kind, _, _, _, size, *_ in self._sections:
            if kind == SHT_DYNSYM:
                return size // SYMBOL_SIZE
        # Without section headers: every linker puts the strings after the symbols.
        return (self.offset(self.dynamic[DT_STRTAB][0]) - symbols) // SYMBOL_SIZE

    def _versions(self):
        """index -> (version, the library that is to have it; "" in one's own)."""
        found = {}
        at = self.offset(self.dynamic[DT_VERNEED][0]) if DT_VERNEED in self.dynamic else 0
        while at:
            _, count, file, first, following = self._unpack("HHIII", at)
            entry = at + first
            for _ in range(count):
                _, _, index, name, step = self._unpack("IHHII", entry)
                found[index & 0x7fff] = (self._dynamic_text(name), self._dynamic_text(file))
                entry += step
            at = at + following if following else 0
        at = self.offset(self.dynamic[DT_VERDEF][0]) if DT_VERDEF in self.dynamic else 0
        while at:
            _, _, index, _, _, first, following = self._unpack("HHHHIII", at)
            found[index & 0x7fff] = (self._dynamic_text(self._unpack("I", at + first)[0]), "")
            at = at + following if following else 0
        return found

    def symbols(self):
        """Every Symbol, whether defined here or asked for."""
        if DT_SYMTAB not in self.dynamic:
            return
        try:
            versions = self._versions()
            symbols = self.offset(self.dynamic[DT_SYMTAB][0])
            versym = self.dynamic.get(DT_VERSYM)
            indices = self.offset(versym[0]) if versym else None
            for i in range(1, self._symbol_count(symbols)):
                name, info, _, section = self._unpack("IBBH", symbols + i * SYMBOL_SIZE)
                index = self._unpack("H", indices + 2 * i)[0] if versym else 0
                version, library = versions.get(index & 0x7fff, ("", ""))
                yield Symbol(self._dynamic_text(name), section != 0, info & 15, version, library,
                             index & 0x8000 != 0)
        except (struct.error, IndexError) as error:
            raise Damaged(f"{self.path}: {error}") from None

    def imports(self):
        """The names that others are to provide."""
        return {symbol.name for symbol in self.symbols() if not symbol.defined}

    def functions(self):
        """The symbols of functions that any program may call."""
        return [symbol for symbol in self.symbols()
                if symbol.defined and symbol.kind in (STT_FUNC, STT_IFUNC)
                and symbol.version != "GLIBC_PRIVATE"]


# ---- the libraries of a program ----------------------------------------------------------------

DEFAULT_PLACES = ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64",
                  "/lib", "/usr/lib"]
CACHE_MAGIC, CACHE_HEADER, CACHE_ENTRY = b"glibc-ld.so.cache1.1", 48, 24
LIBC6_X86_64 = 0x0303


def linker_cache(path="/etc/ld.so.cache"):
    """name -> path, as ldconfig(8) left it for the dynamic linker."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        start = data.index(CACHE_MAGIC)
        count, = struct.unpack_from("<I", data, start + len(CACHE_MAGIC))
        found = {}
        for i in range(count):
            at = start + CACHE_HEADER + i * CACHE_ENTRY
            flags, key, value = struct.unpack_from("<III", data, at)
            if flags == LIBC6_X86_64:
                name, place = (data[start + x:data.index(b"\0", start + x)].decode()
                               for x in (key, value))
                found.setdefault(name, place)
        return found
    except (OSError, ValueError, struct.error):
        return {}


def find_library(name, needed_by, cache, inherited):
    """Where the dynamic linker would find it: RPATH, LD_LIBRARY_PATH, RUNPATH, cache, defaults."""
    if "/" in name:
        return name if os.path.exists(name) else None
    runpath = needed_by.texts(DT_RUNPATH)
    places = [] if runpath else [*needed_by.texts(DT_RPATH), *inherited]
    places += [os.environ.get("LD_LIBRARY_PATH", "").replace(";", ":"), *runpath]
    origin = os.path.dirname(os.path.realpath(needed_by.path))
    for place in ":".join(places).split(":"):
        path = place.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) + "/" + name
        if place and os.path.exists(path):
            return path
    if name in cache:
        return cache[name]
    return next((f"{place}/{name}" for place in DEFAULT_PLACES
                 if os.path.exists(f"{place}/{name}")), None)


def with_libraries(program):
    """The program and all that is loaded with it, breadth first; and the names not found."""
    cache, objects, missing = linker_cache(), [Elf(program)], []
    inherited = objects[0].texts(DT_RPATH)
    known = set()
    for elf in objects:  # which grows
        for name in elf.texts(DT_NEEDED):
            if name in known:
                continue
            known.add(name)
            path = find_library(name, elf, cache, inherited)
            try:
                objects.append(Elf(path or name))
            except Damaged:
                missing.append(name)
    return objects, missing
