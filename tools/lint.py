#!/usr/bin/env python3
"""lint.py - the rules of this tree that a compiler does not know.

    tools/lint.py [--objects build/obj ...]  one line a finding, FILE:LINE: message; status 1 when there are any
    tools/lint.py --self-test              plants one violation of each rule and looks whether it is found

A function that has to be long says why in the comment above it:  /* lint: long: one case for each operation */
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

FOLDERS = ["reactor", "engine", "wire", "shard", "offline", "client", "bench", "test", "examples"]
COLUMNS_MAX = 110
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 800
MARKER = "lint: long: "

# What a folder may include of the others, and which headers of a folder are for others at all.
MAY_INCLUDE = {
    "reactor/base": ["reactor/base"],
    "reactor": ["reactor", "reactor/base"],
    "engine": ["engine", "reactor", "reactor/base"],
    "wire": ["wire", "reactor/base"],
    "shard": ["shard", "engine", "wire", "reactor", "reactor/base"],
    "offline": ["offline", "shard", "engine", "wire", "reactor", "reactor/base"],
    "client": ["client", "wire", "reactor/base"],
    "client/cli": ["client/cli", "client", "offline", "wire", "reactor/base"],
    "bench": ["bench", "client", "engine", "wire", "reactor", "reactor/base"],
    "examples": ["client"],
    "test": ["test"] + ["reactor", "engine", "wire", "shard", "offline", "client", "client/cli", "bench", "reactor/base"],
}
PUBLIC_HEADERS = {"reactor/reactor.h", "engine/engine.h", "engine/record.h", "engine/snapshot.h", "engine/copy.h",
                  "engine/reshard.h", "engine/view.h",
                  "wire/wire.h", "offline/offline.h",
                  "client/torc.h"}

BANNED = ("strcpy strcat sprintf vsprintf strtok alloca rand srand random localtime gmtime "
          "ctime asctime atoi atol atoll gets system popen").split()

# Symbols that objects may leave undefined besides our own: what computes, and neither waits nor asks the system.
ALLOWED = re.compile(r"""^(
    mem(cpy|move|set|cmp|chr|rchr|mem|pcpy)|explicit_bzero|bcmp
  | str(len|nlen|cmp|ncmp|chr|chrnul|rchr|str|spn|cspn|pbrk|casecmp|ncasecmp)
  | v?snprintf|(__isoc99_)?sscanf|__(v?snprintf|memcpy|memmove|memset|strncpy|mempcpy|explicit_bzero)_chk
  | __stack_chk_fail|__assert_fail|__fdelt_chk|_GLOBAL_OFFSET_TABLE_|__popcountdi2|__udivti3|__umodti3
  | __ctype_(b|tolower|toupper)_loc|qsort_r|bsearch|abs|labs|log|log2|exp|exp2|pow|sqrt|floor|ceil|round
  | __cpu_model|__cpu_indicator_init|XXH\w+|ZSTD_\w+|inet_(pton|ntop)|llhttp_\w+
  | __(asan|ubsan|tsan)_\w+|__sanitizer_\w+
)$""", re.X)

# More for single files, with the reason.
ALLOWED_ALSO = [
    # before any core runs: the configuration file, what is printed, the number of CPUs
    (r"shard/serve/(options|config_\w+)\.o",
     r"argp_\w+|ini_\w+|fopen|fclose|fgets|feof|ferror|fputc|putc|fputs|fwrite|printf|puts|v?fprintf|stdout|stderr|toupper"
     r"|__fgets_chk|__printf_chk|__v?fprintf_chk|__errno_location|sched_getaffinity|__sched_cpucount"),
    # main: the edge of the process
    (r"shard/torcd\.o", r"__?v?fprintf(_chk)?|fwrite|fputs|puts|stderr|stdout|exit|environ"),
    # a failed assertion is told and ends the process; the sentences of the system's errors
    (r"reactor/base/assert\.o", r"abort|__?fprintf(_chk)?|stderr|dprintf|__dprintf_chk|write|_exit"),
    (r"reactor/base/error\.o", r"strerror\w*"),
    # the memory under the core's heap and the stacks of its tasks
    (r"reactor/(heap|core|task|task_switch|stack|pool|channel|timer)\.o", r"mi_\w+|mmap(64)?|munmap|mprotect|madvise|sysconf"),
    # the heap that the simulator and the sanitizers have instead
    (r"reactor/heap\.o", r"malloc|free|posix_memalign|pthread_mutex_\w+"),
    # a simulated world: memory that outlives a crashed core, stacks, and the word before the end when memory is out
    (r"reactor/sim/\w+\.o", r"malloc|calloc|realloc|free|mmap(64)?|munmap|mprotect|sysconf|abort|__?fprintf(_chk)?|fwrite"
     r"|stderr|qsort"),
]

MUTABLE_ALLOWED = re.compile(r"^reactor/")
MARK = re.compile(r"mark_here(\.\d+)?")  # a counter of reactor/base/mark.h: what is released has none


class Tree:
    """The files under `root` by path, each as a list of lines and, for C, as code without comments and strings."""

    def __init__(self, root):
        self.root = root
        self.lines = {}
        self.code = {}
        for folder in FOLDERS:
            for where, _, names in os.walk(os.path.join(root, folder)):
                for name in sorted(names):
                    if name.endswith((".c", ".h", ".S")):
                        self.add(os.path.relpath(os.path.join(where, name), root))

    def add(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as file:
            text = file.read()
        self.lines[path] = text.split("\n")
        self.code[path] = strip_code(text).split("\n")


def strip_code(text):
    """Comments and the insides of literals become blanks; lines stay where they are."""
    def blank(match):
        found = match.group(0)
        keep = found[0] if found[0] in "\"'" else " "
        return keep + re.sub(r"[^\n]", " ", found[1:-1]) + (found[-1] if keep != " " else " ")
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def check_lines(tree):
    for path, lines in tree.lines.items():
        name = os.path.basename(path)
        if not re.match(r"/\* " + re.escape(name) + r" - \S", lines[0]):
            yield path, 1, f"the file does not begin with /* {name} - what it is"
        if len(lines) - 1 > FILE_LINES_MAX:
            yield path, FILE_LINES_MAX, f"{len(lines) - 1} lines; a file has at most {FILE_LINES_MAX}"
        for number, line in enumerate(lines, 1):
            if len(line) > COLUMNS_MAX:
                yield path, number, f"{len(line)} columns; a line has at most {COLUMNS_MAX}"
            if line != line.rstrip():
                yield path, number, "blanks at the end of the line"
            if "FIX" + "ME" in line:
                yield path, number, "FIX" + "ME does not land"


def check_functions(tree):
    for path, lines in tree.lines.items():
        start = None
        for number, line in enumerate(lines, 1):
            if line == "{":
                start = number
            elif line.startswith("}") and start:
                body = number - start - 1
                above = "\n".join(lines[max(0, start - 12):start])
                if body > FUNCTION_LINES_MAX and MARKER not in above:
                    yield path, start, f"a function of {body} lines; at most {FUNCTION_LINES_MAX}"
                start = None


def check_banned(tree):
    banned = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
    for path, lines in tree.code.items():
        for number, line in enumerate(lines, 1):
            for match in banned.finditer(line):
                yield path, number, f"{match.group(1)} is banned"


def layer_of(path):
    parts = path.split("/")
    folder = "/".join(parts[:2])
    return folder if folder in MAY_INCLUDE and len(parts) > 2 else parts[0]


def looks_inside(path, theirs):
    """Tests, offline commands, and the harnesses of the engine, may include what is private to a folder."""
    return layer_of(path) in (theirs, "test", "offline") or path.startswith("bench/engine/")


def includes(tree):
    for path, lines in tree.lines.items():
        for number, line in enumerate(lines, 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if match:
                yield path, number, match.group(1)


def check_includes(tree):
    for path, number, header in includes(tree):
        mine, theirs = layer_of(path), layer_of(header)
        if header not in tree.lines:
            yield path, number, f"{header} is not a path from the root of the tree"
        elif theirs not in MAY_INCLUDE[mine]:
            yield path, number, f"{mine}/ may not include {theirs}/"
        elif not looks_inside(path, theirs) and theirs != "reactor/base" and header not in PUBLIC_HEADERS:
            yield path, number, f"{header} is private to {theirs}/"


def check_dead(tree):
    used = {header for _, _, header in includes(tree)}
    for path in tree.lines:
        if path.endswith(".h") and path not in used and path not in PUBLIC_HEADERS:
            yield path, 1, "no file includes this header"
    for where, folders, names in os.walk(tree.root):
        folders[:] = [f for f in folders if f not in (".git", "build", "data")]
        for name in names:
            path = os.path.relpath(os.path.join(where, name), tree.root)
            if name.endswith(".c") and path not in tree.lines:
                yield path, 1, "no program is built from this folder"


def check_format(tree):
    program = shutil.which("clang-format-14") or shutil.which("clang-format")
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout if program else "none"
    if not re.search(r"version 14\.", version):
        print(f"lint: the format is not checked: clang-format 14 is needed, found {version.strip()}", file=sys.stderr)
        return
    paths = sorted(p for p in tree.lines if not p.endswith(".S"))
    if not paths:
        return
    run = subprocess.run([program, "--dry-run", "-Werror"] + paths, cwd=tree.root, capture_output=True, text=True)
    for path, number in re.findall(r"^(\S+?):(\d+):\d+: error: code should be clang-formatted", run.stderr, re.M):
        yield path, int(number), "not in the format of .clang-format; run make format"


def symbols(objects):
    """Path of an object from `objects` to its [(name, class, section)], as nm has them."""
    paths = []
    for folder in ("reactor", "engine", "wire", "shard"):
        for where, _, names in os.walk(os.path.join(objects, folder)):
            paths += [os.path.join(where, name) for name in sorted(names) if name.endswith(".o")]
    found = {}
    for path in paths:
        text = subprocess.run(["nm", "-f", "sysv", path], capture_output=True, text=True, check=True).stdout
        rows = [[cell.strip() for cell in line.split("|")] for line in text.split("\n") if line.count("|") == 6]
        found[os.path.relpath(path, objects)] = [(row[0], row[2], row[6]) for row in rows if row[2] != "Class"]
    return found


def check_objects(tree, objects):
    found = {}
    for path, rows in symbols(objects).items():
        source = next((path[:-2] + e for e in (".c", ".S") if path[:-2] + e in tree.lines), None)
        if source:
            found[path] = source, rows
    ours = {name for _, rows in found.values() for name, kind, _ in rows if kind.isupper() and kind not in "UW"}
    for path, (source, rows) in found.items():
        also = [rule for where, rule in ALLOWED_ALSO if re.fullmatch(where, path)]
        for name, kind, section in rows:
            if kind == "U" and name not in ours and not path.startswith("reactor/uring/"):
                if not ALLOWED.match(name) and not any(re.fullmatch(rule, name) for rule in also):
                    yield source, line_of(tree, source, name), f"{name} is not allowed here: it passes by reactor.h"
            is_mutable = re.match(r"\.(data|bss|tdata|tbss)", section) and not section.startswith(".data.rel.ro")
            if kind in "dDbBCsS" and (is_mutable or kind == "C") and not MUTABLE_ALLOWED.match(path) \
                    and not MARK.fullmatch(name):
                name = name.split(".")[0]
                yield source, line_of(tree, source, name), f"{name} can change: no mutable statics outside reactor/"


def line_of(tree, source, name):
    word = re.compile(r"\b" + re.escape(re.sub(r"^__(\w+)_chk$", r"\1", name)) + r"\b")
    return next((n for n, line in enumerate(tree.code[source], 1) if word.search(line)), 1)


def lint(root, objects):
    tree = Tree(root)
    checks = [check_lines, check_functions, check_banned, check_includes, check_dead, check_format]
    findings = [finding for check in checks for finding in check(tree)]
    for folder in objects:
        findings += check_objects(tree, folder)
    return sorted(set(findings)), len(tree.lines)


# ---- the test of the lint itself ----

FIXTURES = {
    "engine/engine.h": "/* engine.h - public. */\n",
    "engine/private.h": "/* private.h - of the engine. */\n#include \"engine/engine.h\"\n",
    "engine/inner.c": "/* inner.c - ours. */\n#include \"engine/private.h\"\n",
    "wire/lonely.h": "/* lonely.h - nobody includes it. */\n",
    "stray.c": "/* stray.c - outside. */\n",
    "engine/nameless.c": "int nameless;\n",
    "engine/wide.c": "/* wide.c - " + "x" * 120 + " */\n",
    "engine/blank.c": "/* blank.c - ends with a blank. */ \n",
    "engine/fix.c": "/* fix.c - not done. */\n/* FIX" + "ME */\n",
    "engine/large.c": "/* large.c - too long. */\n" + "\n" * 900,
    "engine/long.c": "/* long.c - a long function. */\nvoid f(void)\n{\n" + "    ;\n" * 71 + "}\n",
    "engine/excused.c": "/* excused.c - has a reason. */\n/* lint: long: a test */\nvoid f(void)\n{\n" + "    ;\n" * 71
                        + "}\n",
    "engine/banned.c": "/* banned.c - strcpy(a, b) in a comment is fine. */\nvoid f(char *p)\n{\n    strcpy(p, \"\");\n}\n",
    "engine/upward.c": "/* upward.c - includes the shard. */\n#include \"shard/shard.h\"\n",
    "shard/shard.h": "/* shard.h - above. */\n",
    "bench/engine/counted.c": "/* counted.c - a harness may look inside. */\n#include \"engine/private.h\"\n",
    "bench/prying.c": "/* prying.c - the rest of its folder may not. */\n#include \"engine/private.h\"\n",
    "shard/prying.c": "/* prying.c - looks into the engine. */\n#include \"engine/private.h\"\n",
    "engine/ugly.c": "/* ugly.c - not formatted. */\nint   x ;\n",
    "engine/lost.c": "/* lost.c - includes what is not there. */\n#include \"nowhere.h\"\n",
    "engine/calls.c": "/* calls.c - asks the kernel. */\n#include <unistd.h>\nint f(void);\nint f(void)\n{\n"
                      "    return getpid();\n}\n",
    "engine/mutable.c": "/* mutable.c - a static. */\nint f(void);\nint f(void)\n{\n    static int count;\n"
                        "    return ++count;\n}\n",
    "engine/constant.c": "/* constant.c - a table of pointers is fine. */\nconst char *f(int i);\n"
                         "const char *f(int i)\n{\n    static const char *const names[] = {\"a\", \"b\"};\n"
                         "    return names[i];\n}\n",
}

# (file, line, part of the message); a file of FIXTURES that is not here must be clean.
EXPECTED = [
    ("wire/lonely.h", 1, "no file includes"),
    ("stray.c", 1, "no program is built"),
    ("engine/nameless.c", 1, "does not begin"),
    ("engine/wide.c", 1, "columns"),
    ("engine/blank.c", 1, "blanks"),
    ("engine/fix.c", 2, "does not land"),
    ("engine/large.c", 800, "at most 800"),
    ("engine/long.c", 3, "a function of 71 lines"),
    ("engine/banned.c", 4, "strcpy is banned"),
    ("engine/upward.c", 2, "may not include shard/"),
    ("bench/prying.c", 2, "private to engine/"),
    ("shard/prying.c", 2, "private to engine/"),
    ("engine/ugly.c", 2, "format"),
    ("engine/lost.c", 2, "not a path"),
    ("engine/calls.c", 6, "getpid is not allowed"),
    ("engine/mutable.c", 5, "count can change"),
]


def self_test():
    with tempfile.TemporaryDirectory() as root:
        shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".clang-format"), root)
        for path, text in FIXTURES.items():
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        objects = os.path.join(root, "build")
        os.makedirs(os.path.join(objects, "engine"))
        for name in ("calls", "mutable", "constant"):
            subprocess.run([os.environ.get("CC", "cc"), "-O2", "-fPIE", "-c", os.path.join(root, f"engine/{name}.c"),
                            "-o", os.path.join(objects, f"engine/{name}.o")], check=True)
        findings, _ = lint(root, [objects])
    missed = [e for e in EXPECTED if not any(f[:2] == e[:2] and e[2] in f[2] for f in findings)]
    dirty = {e[0] for e in EXPECTED}
    false = [f for f in findings if f[0] not in dirty]
    for path, number, message in missed:
        print(f"{path}:{number}: not found: {message}")
    for path, number, message in false:
        print(f"{path}:{number}: found where nothing is wrong: {message}")
    print(f"lint --self-test: {len(EXPECTED) - len(missed)} of {len(EXPECTED)} violations found, {len(false)} false")
    return 1 if missed or false else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", action="append", default=[], help="check the symbols of the objects in this folder too")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("paths", nargs="*", help="show findings of paths that begin so; all when none is given")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    findings, count = lint(".", arguments.objects)
    if arguments.paths:
        findings = [f for f in findings if f[0].startswith(tuple(arguments.paths))]
    for path, number, message in findings:
        print(f"{path}:{number}: {message}")
    print(f"lint: {count} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
