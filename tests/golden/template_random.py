"""Random templates for template_make.py --check: mostly valid ones, of every construct."""

NAMES = ["s", "t", "u", "e", "q", "i", "n", "z", "f", "yes", "no", "nil", "l", "names", "empty", "nested", "d", "edict", "keys", "rows", "lines", "emoji", "mixed", "missing", "a", "b"]
STRINGS = ["''", "'a'", "'l'", "'o, '", "' '", "'\\n'", "'ab'", "'name'", "'x'", "'é'", "'%s'", "'it\\'s'", "\"a\\\"b\""]
NUMBERS = ["0", "1", "2", "-1", "3", "7", "0.5", "2.0", "-1.5", "10", "1e3"]
BINARY = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
FILTERS = ["upper", "lower", "trim", "length", "string", "list", "first", "last", "join(',')", "join", "tojson", "tojson(indent=2)", "tojson(ensure_ascii=true)", "int", "float", "abs", "capitalize", "title", "default('x')",
           "default('x', true)", "sort", "sort(reverse=true)", "reverse|list", "unique|list", "map('string')|list", "map('upper')|list", "map(attribute='name')|list", "select|list", "select('string')|list", "reject('none')|list",
           "selectattr('ok')|list", "selectattr('age', 'gt', 1)|list", "rejectattr('ok', 'defined')|list", "items|list", "dictsort", "replace('l', 'LL')", "replace('', '-')", "indent(2)", "indent(1, true, true)", "sum", "min", "max", "round", "round(1)", "batch(2)|list", "trim('al')", "int(5)", "float(1.5)", "count"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "iterable", "sequence", "true", "false", "odd", "even", "lower", "upper", "callable", "in l", "in s", "eq 1", "divisibleby 2", "sameas none", "gt 1", "not none", "not string"]
METHODS = ["upper()", "lower()", "strip()", "lstrip()", "rstrip('d\\n ')", "split()", "split('l')", "split(' ', 1)", "rsplit('o', 1)", "title()", "capitalize()", "startswith('H')", "endswith('d')", "replace('l', '')", "find('l')", "rfind('l')", "count('l')", "splitlines()", "partition('l')", "rpartition('l')", "join(names)", "items()", "keys()|list", "values()|list", "get('a')", "get('name', 'x')", "index(1)", "isdigit()", "removeprefix('He')", "swapcase()", "ljust(3)", "islower()"]
ATTRIBUTES = ["a", "b", "c", "name", "age", "zz", "x"]
STATEMENTS = ["if", "for", "set", "block", "macro", "filter", "raw", "comment", "call"]
SPACES = ["", " ", "\n", "  ", "\n  ", " \n", "\n\n", "\t", "x", "y\n", "  z"]


def expression(r, depth):
    if depth <= 0 or r.random() < 0.15:
        return r.choice([r.choice(NAMES), r.choice(NAMES), r.choice(STRINGS), r.choice(NUMBERS), r.choice(["true", "false", "none"])])
    sub = lambda: expression(r, depth - 1)
    kind = r.randrange(15)
    if kind <= 2:
        return f"{sub()} {r.choice(BINARY)} {sub()}"
    if kind <= 4:
        return f"{sub()}|{r.choice(FILTERS)}"
    if kind == 5:
        return f"{sub()} is {r.choice(TESTS)}"
    if kind == 6:
        return f"({sub()})"
    if kind == 7:
        return f"({sub()}).{r.choice(METHODS)}"
    if kind == 8:
        return f"{r.choice(NAMES)}.{r.choice(ATTRIBUTES)}"
    if kind == 9:
        return f"({sub()})[{sub()}]"
    if kind == 10:
        part = lambda: r.choice(["", "", "1", "-1", "2", "-2", "0", "5"])
        step = r.choice(["", "", ":" + r.choice(["1", "-1", "2", "-2"])])
        return f"({r.choice(NAMES)})[{part()}:{part()}{step}]"  # of literals jinja2 folds wrong slices to nothing
    if kind == 11:
        return f"{sub()} if {sub()}" + (f" else {sub()}" if r.random() < 0.7 else "")
    if kind == 12:
        return r.choice(["not ", "-", "+"]) + sub()
    if kind == 13:
        return "[" + ", ".join(sub() for _ in range(r.randrange(4))) + "]"
    return "{" + ", ".join(f"{r.choice(STRINGS)}: {sub()}" for _ in range(r.randrange(3))) + "}"


def tag(r, text):
    return "{%" + r.choice(["", "", "-", "+"]) + " " + text + " " + r.choice(["", "", "-", "+"]) + "%}"


def statement(r, depth):
    kind = r.choice(STATEMENTS)
    inner = lambda: body(r, depth - 1)
    if kind == "if":
        middle = r.choice(["", tag(r, "else") + inner(), tag(r, f"elif {expression(r, 1)}") + inner()])
        return tag(r, f"if {expression(r, 2)}") + inner() + middle + tag(r, "endif")
    if kind == "for":
        target = r.choice(["a", "a", "b", "a, b"])
        test = r.choice(["", "", f" if {expression(r, 1)}"])
        extra = r.choice(["", "{{ loop." + r.choice(["index", "last", "first", "length", "revindex0", "previtem", "nextitem", "index0"]) + " }}", tag(r, f"if {expression(r, 1)}") + tag(r, r.choice(["break", "continue"])) + tag(r, "endif")])
        otherwise = r.choice(["", "", tag(r, "else") + inner()])
        return tag(r, f"for {target} in {expression(r, 1)}{test}") + extra + inner() + otherwise + tag(r, "endfor")
    if kind == "set":
        return tag(r, f"set {r.choice(['a', 'b', 'a, b'])} = {expression(r, 2)}")
    if kind == "block":
        return tag(r, "set " + r.choice(["a", "b", "a | upper", "b | trim | length"])) + inner() + tag(r, "endset")
    if kind == "macro":
        return tag(r, "macro m(a, b=" + expression(r, 1) + ")") + inner() + tag(r, "endmacro") + "{{ m(" + expression(r, 1) + ") }}"
    if kind == "filter":
        return tag(r, "filter " + r.choice(["upper", "trim", "replace('l', 'L') | lower", "indent(2)", "length"])) + inner() + tag(r, "endfilter")
    if kind == "raw":
        return tag(r, "raw").replace("+%}", "%}") + r.choice(SPACES) + "{{ x }}" + tag(r, "endraw")
    if kind == "call":
        return tag(r, "macro c()") + "<{{ caller() }}>" + tag(r, "endmacro") + tag(r, "call c()") + inner() + tag(r, "endcall")
    return "{#" + r.choice(["", "-"]) + " c " + r.choice(["", "-"]) + "#}"


def body(r, depth):
    out = [r.choice(SPACES)]
    for _ in range(r.randrange(1, 3)):
        if depth > 0 and r.random() < 0.6:
            out.append(statement(r, depth))
        else:
            out.append("{{" + r.choice(["", "-"]) + " " + expression(r, 2) + " " + r.choice(["", "-"]) + "}}")
        out.append(r.choice(SPACES))
    return "".join(out)


def random_template(r):
    if r.random() < 0.5:
        return "{{ " + expression(r, 3) + " }}"
    return body(r, 2)
