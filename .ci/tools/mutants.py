"""Changes of one place each, by which code would be wrong, by its syntax tree.

Left alone is what says nothing of behaviour: docstrings, types, decorators, asserts, errors' sentences.
"""

import ast
import re
from dataclasses import dataclass

BOUNDS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
"""Beside whole numbers a bound moves by one. Others are turned round: two measured numbers are hardly ever equal."""
TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
OPPOSITES = {"==": "!=", "!=": "==", "is not": "is", "is": "is not", "not in": "in", "in": "not in"}
ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*", "//": "*"}
FUNCTIONS = {"min": "max", "max": "min", "all": "any", "any": "all", "sorted": "list"}
EMPTY = {"None", "''", "0", "0.0", "()", "[]", "{}", "set()"}
"""Returned in place of these, None would often mean the same."""
SPEAKING = {"say", "print", "joined", "warn", "warning", "info", "debug"}
"""What they are given is text."""
DEFENSIVE = {"strict", "encoding", "frozen", "kw_only", "maxsize", "stacklevel", "check", "errors"}
"""Keywords that guard against mistakes of our own, or say how a file is read."""
LARGE = 16
"""Sizes above are doubled: one more or less of them is as good."""
SMALLEST = 1e-6
"""Numbers below are tolerances of rounding, of which twice as much is as good."""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One change of a file: the text from `begin` to `end`, in bytes, is replaced."""

    file: str
    line: int
    begin: int
    end: int
    before: str
    after: str

    def applied(self, text: str) -> str:
        """The file's text with the change made."""
        source = text.encode()
        assert source[self.begin : self.end] == self.before.encode(), self
        return (source[: self.begin] + self.after.encode() + source[self.end :]).decode()


def changes_of(file: str, text: str) -> list[Mutant]:
    """Every change of a file, in the order of its places."""
    return sorted(_Changes(file, text).all(), key=lambda mutant: (mutant.begin, mutant.end, mutant.after))


def is_change(mutant: Mutant, text: str) -> bool:
    """Whether Python would read the changed text, and as something else."""
    try:
        return ast.dump(ast.parse(mutant.applied(text))) != ast.dump(ast.parse(text))
    except SyntaxError:
        return False


class _Changes(ast.NodeVisitor):
    def __init__(self, file: str, text: str) -> None:
        self.file, self.source, self.mutants = file, text.encode(), list[Mutant]()
        self.starts = [0]
        for line in self.source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.tree = ast.parse(text)

    def all(self) -> list[Mutant]:
        """Every change, each as a Mutant."""
        self.visit(self.tree)
        return self.mutants

    def _span(self, node: ast.AST) -> tuple[int, int]:
        """Where a node begins and ends, in bytes of the file."""
        return self.starts[node.lineno - 1] + node.col_offset, self.starts[node.end_lineno - 1] + node.end_col_offset

    def _add(self, begin: int, end: int, after: str) -> None:
        """Add a change of these bytes, unless they are on several lines."""
        before = self.source[begin:end].decode()
        line = self.source.count(b"\n", 0, begin) + 1
        if "\n" not in before.strip():
            self.mutants.append(Mutant(file=self.file, line=line, begin=begin, end=end, before=before, after=after))

    def _between(self, left: ast.AST, right: ast.AST, table: dict[str, str]) -> None:
        """Add a change of the operator between two nodes by the table, whatever brackets stand around it."""
        begin, end = self._span(left)[1], self._span(right)[0]
        match = re.search(rb"[^\s()#]+(?: (?:not|in)\b)?", self.source[begin:end])
        if match and (word := match[0].decode()) in table:
            self._add(begin + match.start(), begin + match.end(), table[word])

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name in ("__repr__", "__str__"):
            return
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        for statement in node.body:
            self.visit(statement)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if "Protocol" not in map(ast.unparse, node.bases):
            for statement in node.body:
                self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def _ignore(self, node: ast.AST) -> None:
        """Change nothing in it: its text says nothing of behaviour, or guards against mistakes of our own."""

    visit_Assert = visit_Raise = visit_JoinedStr = visit_Import = visit_ImportFrom = visit_TypeAlias = _ignore

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for left, right in zip([node.left, *node.comparators], node.comparators, strict=False):
            self._between(left, right, OPPOSITES | (BOUNDS if _is_whole(left) or _is_whole(right) else TURNED))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between(left, right, {"and": "or", "or": "and"})
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        is_text = any(isinstance(side, ast.JoinedStr) or _is_text(side) for side in (node.left, node.right))
        if not is_text:
            self._between(node.left, node.right, ARITHMETIC)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._add(self._span(node)[0], self._span(node.operand)[0], "")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value, span = node.value, self._span(node)
        if type(value) is int:
            for after in dict.fromkeys((2 * value,) if value > LARGE else (value + 1, value - 1, 2 * value)):
                self._add(*span, f"({after})" if after < 0 else str(after))
        elif type(value) is float and not 0 < value <= SMALLEST:
            self._add(*span, repr(2 * value or 1.0))

    def visit_Slice(self, node: ast.Slice) -> None:
        for bound in (node.lower, node.upper):
            if bound is not None and not isinstance(bound, ast.Constant):
                self._add(self._span(bound)[1], self._span(bound)[1], " + 1")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = _name(node)
        if isinstance(node.func, ast.Name) and name in FUNCTIONS:
            self._add(*self._span(node.func), FUNCTIONS[name])
        for keyword in node.keywords:
            if keyword.arg and keyword.arg not in DEFENSIVE and name not in SPEAKING:
                begin, end = self._span(keyword)
                comma = re.match(rb",[ \t]*", self.source[end:])
                self._add(begin, end + comma.end() if comma else end, "")
        self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        self._add(*self._span(node), "break")

    def visit_Return(self, node: ast.Return) -> None:
        if isinstance(node.value, ast.Constant) and type(node.value.value) is bool:
            self._add(*self._span(node.value), str(not node.value.value))
        elif node.value is not None and ast.unparse(node.value) not in EMPTY:
            self._add(*self._span(node.value), "None")
            self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._add(*self._span(node), "pass")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call) and _name(node.value) not in SPEAKING:
            self._add(*self._span(node), "pass")
        if not _is_text(node.value):
            self.generic_visit(node)


def _name(call: ast.Call) -> str:
    """The name of the function or method that is called."""
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def _is_whole(node: ast.AST) -> bool:
    """Whether a node is certainly a whole number."""
    if isinstance(node, ast.Call):
        return _name(node) in ("len", "int", "count")
    return isinstance(node, ast.Constant) and type(node.value) is int


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
