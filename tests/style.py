"""Count the unidiomatic phrases in docstrings, comments and messages: `python -m tests.style`.

The phrases are a closed list: prose that it passes is not thereby good, prose that it reports is to be rewritten.
"""

import argparse
import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("adept_hub", "training/adept_training")
KINDS = ("docstring", "message", "comment")

# The largest share in percent of each kind with a hit, over both packages. Lower it as folders are rewritten.
CEILING = {"docstring": 1.5, "message": 0.5, "comment": 0.5}

COUNTED = r"(?:images|boxes|anchors|proposals|views|steps|lines|files|bytes|GB|MB|one|two|three|four|once|twice|\d+)"
UNIT = (
    r"(?:second|minute|hour|place|location|image|iteration|step|epoch|core|processor|level|class|process|GPU|line|batch|"
    r"file)"
)
PHRASES = {
    "is no X": r"(?<!there )\b(?:is|are|was|were) (?:no (?!longer|more|less|other|such|need)\w+|(?-i:none))\b",
    "holds none": r"\b(?:holds?|held|contains?|names?|gives?) none\b|\bholds? no\b",
    "a second (per)": rf"\b{COUNTED} an? {UNIT}\b",
    "tell, say, know": r"\b(?:tells?|told|telling|says?|said|saying|knows?|knew)\b",
    "photograph": r"\bphotographs?\b",
    "sitting": r"\bsittings?\b",
    "place": r"(?<!\bin )(?<!\btake )(?<!\btakes )\bplaces?\b(?!holder)",
    "judge": r"\bjudge[sd]?\b|\bjudging\b",
    "goal": r"\bgoals?\b",
    "door": r"\bdoors?\b",
    "figures": r"\bfigures\b",
    "whom": r"\bwhom\b",
    "anew": r"\banew\b",
    "beside": r"\bbeside\b",
    "for want of": r"\bfor want of\b",
    "if need be": r"\bif need be\b",
    "spoilt": r"\bspoil(?:t|s|ed)?\b",
    "mend": r"\bmend(?:s|ed|ing)?\b",
    "of its own": r"\bof (?:one's|its|their|your|our) own\b",
    "so many": r"\bso (?:many|much|few)\b(?! (?:that|as))",
    "one's": r"\bone's\b",
    "thereof": r"\b(?:hitherto|thereof|therein|whose own|wherein|whereupon|aught|naught|lest|ere)\b",
}
PATTERNS = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in PHRASES.items()}
NOUN_CLAUSE = re.compile(r"(?:What|That|Whether|Who|Where|How|Which|Why|When)\b")

# What a function's summary may begin with.
VERBS = """
accept accumulate adapt add adjust align allow annotate answer append apply approximate assemble assert assign attach
average balance begin bind bound blend blur build cache calibrate call cancel cap cast change check choose clamp
classify clean clear clip close collect color combine compare compile complete compose compress compute concatenate
configure connect construct continue convert copy correct count create crop cut decide declare decode define delete
deploy derive describe detach detect determine disable discard display divide do download drag draw drop dump emit
enable encode end enforce ensure enter enumerate escape estimate evaluate exclude execute exit expand explain export
extend extract fail fetch fill filter find fine-tune finish fit fix flag flatten flip flush fold follow forbid format
forward freeze gather generate get give group guard guess handle hash hide hold identify ignore implement import include
increase index infer initialize insert inspect install instantiate interpolate iterate jitter join keep label launch
leave let limit link list load locate lock log look lower make map mark mask match measure merge mirror mix move name
normalize note open order overwrite pack pad pair parse pass patch pause perform permute pick plan plot point pool
pre-train predict prepare preprocess press print process produce project propose protect provide publish pull push put
quantize quote raise re-raise rank read rebuild receive recognize recompute record reduce refuse register reject release
remove rename render reorder repeat replace report request require rescale reset reshape resize resolve restore restrict
resume retry return reuse reverse rotate round run sample save scale scan score search segment select send serialize
serve set shard share shift show shuffle simulate skip solarize solve sort split stack standardize start stop store
stream strip submit subtract sum suggest summarize suppress swap switch sync synchronize take test tile time trace track
train transform translate transpose treat trim truncate try turn undo unflatten unite unpack unwrap update upload
upsample use validate verify visit visualize vote wait walk warm warn watch weight wrap write yield zip
"""
IMPERATIVES = frozenset(VERBS.split())


class Prose(NamedTuple):
    """A piece of prose of one source file; `verb` asks for a summary in the imperative."""

    kind: str
    path: Path
    line: int
    text: str
    verb: bool = False

    def hits(self) -> list[str]:
        """Return the names of the phrases in this text."""
        prose = re.sub(r"`[^`]*`", "``", self.text)
        names = [name for name, pattern in PATTERNS.items() if pattern.search(prose)]
        if self.kind == "docstring":
            first = self.text.strip()
            if NOUN_CLAUSE.match(first):
                names.append("noun clause")
            elif self.verb and re.split(r"[^\w-]", first.lower(), maxsplit=1)[0] not in IMPERATIVES:
                names.append("not imperative")
        return names


def is_property(node: ast.AST) -> bool:
    """Check for a decorator that makes the function an attribute."""
    decorators = getattr(node, "decorator_list", [])
    return any(re.search(r"property|\.setter|fixture", ast.unparse(decorator)) for decorator in decorators)


def string_text(node: ast.AST) -> str | None:
    """Return the text of a string or f-string, each of its expressions as `{}`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def strings(node: ast.AST, skipped: set[int]) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string with three words or more, docstrings (`skipped`, by id) left out."""
    for child in ast.iter_child_nodes(node):
        text = string_text(child)
        if id(child) not in skipped and text is not None and len(text.split()) > 2:
            yield getattr(child, "lineno", 0), text
        if not isinstance(child, ast.JoinedStr):
            yield from strings(child, skipped)
        else:
            for part in child.values:
                yield from strings(part, skipped)


def docstrings(path: Path, tree: ast.Module, skipped: set[int]) -> Iterator[Prose]:
    """Yield every docstring and add the id of its node to `skipped`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                skipped.add(id(node.body[0].value))
                function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                yield Prose("docstring", path, node.body[0].lineno, text, verb=function and not is_property(node))


def comments(path: Path, source: str) -> Iterator[Prose]:
    """Yield every block of comments on lines in succession."""
    block, last = [], -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if block and token.start[0] != last + 1:
                yield Prose("comment", path, last, " ".join(block))
                block = []
            block.append(token.string.lstrip("# "))
            last = token.start[0]
    if block:
        yield Prose("comment", path, last, " ".join(block))


def prose_of(path: Path) -> list[Prose]:
    """Return every docstring, message and comment of a source file."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    skipped: set[int] = set()
    found = list(docstrings(path, tree, skipped))
    found += [Prose("message", path, line, text) for line, text in strings(tree, skipped)]
    return found + list(comments(path, source))


def folder_of(path: Path) -> str:
    """Return the folder directly inside the package, or the package for its own modules."""
    for package in PACKAGES:
        if path.is_relative_to(ROOT / package):
            inner = path.relative_to(ROOT / package).parts
            return f"{package}/{inner[0]}" if len(inner) > 1 else package
    return str(path.parent)


def line_of(name: str, totals: Counter[str], hits: Counter[str]) -> str:
    """Return one line of the table: hits of total and percent, for each kind."""
    cells = (f"{hits[k]:>4} of {totals[k]:>4} {100 * hits[k] / max(totals[k], 1):5.1f}%" for k in KINDS)
    return f"{name:38}" + "  ".join(cells) + "\n"


def main() -> int:
    """Print the table or, with `--list`, each hit; return 1 where a share is above its ceiling."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", metavar="FOLDER", type=Path, help="print each hit below a folder (or in a file)")
    arguments = parser.parse_args()
    write = sys.stdout.write
    if arguments.list:
        under = arguments.list.resolve()
        for path in sorted(under.rglob("*.py")) if under.is_dir() else [under]:
            for prose in sorted(prose_of(path), key=lambda prose: prose.line):
                if names := prose.hits():
                    shown = " ".join(prose.text.split())[:160]
                    write(f"{path.relative_to(ROOT)}:{prose.line}: {prose.kind}: {', '.join(names)}: {shown}\n")
        return 0
    totals: dict[str, Counter[str]] = {}
    hits: dict[str, Counter[str]] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for prose in prose_of(path):
                for name in {folder_of(path), f"all of {package}", "all"}:
                    totals.setdefault(name, Counter())[prose.kind] += 1
                    hits.setdefault(name, Counter())[prose.kind] += bool(prose.hits())
    write(f"{'':38}{'docstrings':19}{'messages':21}comments\n")
    for name in sorted(totals, key=lambda name: (name.startswith("all"), name)):
        write(line_of(name, totals[name], hits[name]))
    shares = {kind: 100 * hits["all"][kind] / totals["all"][kind] for kind in KINDS}
    above = [kind for kind in KINDS if shares[kind] > CEILING[kind]]
    for kind in above:
        write(f"{shares[kind]:.1f}% of the {kind}s have a phrase of the list, above the ceiling of {CEILING[kind]}%: ")
        write("run python -m tests.style --list FOLDER\n")
    return bool(above)


if __name__ == "__main__":
    sys.exit(main())
