"""Every place of a module's source where bytes are opened, read or parsed, by Python's syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

#: Dotted names that open a file or parse bytes; one that ends with ``.*`` means everything of that module.
READERS = (
    "open", "io.open", "io.FileIO", "io.open_code", "os.open", "os.fdopen", "os.popen", "codecs.open", "tokenize.*",
    "linecache.*", "fileinput.*", "mmap.*", "ast.parse", "runpy.*", "csv.reader", "csv.DictReader", "configparser.*",
    "json.load", "json.loads", "json.JSONDecoder", "json.decoder.*", "tomllib.*", "plistlib.*", "marshal.*", "shelve.*",
    "dbm.*", "sqlite3.*", "pickle.load", "pickle.loads", "pickle.Unpickler", "pickle._Unpickler", "pickletools.*",
    "xml.etree.ElementTree.parse", "xml.etree.ElementTree.iterparse", "xml.etree.ElementTree.fromstring",
    "xml.etree.ElementTree.fromstringlist", "xml.etree.ElementTree.XML", "xml.etree.ElementTree.XMLID",
    "xml.etree.ElementTree.XMLParser", "xml.etree.ElementTree.XMLPullParser", "xml.dom.*", "xml.sax.*",
    "xml.parsers.*", "lxml.*", "zipfile.*", "tarfile.open", "tarfile.TarFile", "tarfile.is_tarfile", "gzip.*", "bz2.*",
    "lzma.*", "shutil.unpack_archive", "importlib.resources.*", "importlib.util.spec_from_file_location",
    "yaml.load", "yaml.load_all", "yaml.safe_load", "yaml.safe_load_all", "yaml.full_load", "yaml.full_load_all",
    "yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.parse", "yaml.scan", "yaml.compose", "yaml.compose_all",
    "numpy.load", "numpy.fromfile", "numpy.memmap", "numpy.loadtxt", "numpy.genfromtxt", "numpy.lib.format.*",
    "torch.load", "torch.jit.load", "torch.from_file", "torch.hub.*", "torch.export.load", "safetensors.safe_open",
    "safetensors.deserialize", "safetensors.torch.load", "safetensors.torch.load_file", "safetensors.torch.load_model",
    "safetensors.numpy.load", "safetensors.numpy.load_file", "PIL.Image.open", "PIL.ImageFile.*", "cv2.imread",
    "cv2.imreadmulti", "cv2.imdecode", "cv2.VideoCapture", "imageio.*", "torchvision.io.*",
    "pyarrow.parquet.read_metadata", "pyarrow.parquet.read_schema", "pyarrow.parquet.read_table",
    "pyarrow.parquet.read_pandas", "pyarrow.parquet.ParquetFile", "pyarrow.parquet.ParquetDataset", "pyarrow.dataset.*",
    "pyarrow.memory_map", "pyarrow.OSFile", "pyarrow.input_stream", "pyarrow.ipc.*", "pyarrow.csv.*", "pyarrow.json.*",
    "pyarrow.feather.*", "pandas.*", "datasets.load_dataset", "datasets.load_from_disk", "onnx.load", "onnx.load_model",
    "onnxruntime.InferenceSession", "pycocotools.coco.COCO.loadRes", "mmengine.config.Config.fromfile", "mmcv.*",
    "urllib.request.*", "adept_hub.io.strict_json.loads", "adept_hub.io.strict_json.loads_leniently",
    "adept_hub.io.strict_yaml.loads", "adept_hub.io.strict_json.*", "adept_hub.io.strict_yaml.*",
)  # fmt: skip
#: Methods that read, whatever they are called on.
METHODS = ("read_text", "read_bytes", "open", "fromfile", "from_file", "unpack_archive")


class Read(NamedTuple):
    """One such place: the function it stands in (empty: the module's own level), what reads, and the line."""

    function: str
    reader: str
    line: int


def find_reads(source: str, package: str = "") -> list[Read]:
    """Return the places of a module that open, read or parse bytes.

    Args:
        source: of the module.
        package: that the module is in, for its relative imports.
    """
    tree = ast.parse(source)
    names = _imports(tree, package)
    return sorted(set(_visit(tree, "", names, _doors(tree, names), {})), key=lambda read: read.line)


def _imports(tree: ast.AST, package: str) -> dict[str, str]:
    """Local name -> dotted name, of every import anywhere in the module."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            names[node.name] = f"adept_hub.{node.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, [package if node.level else "", node.module or ""]))
            for alias in node.names:
                names[alias.asname or alias.name] = f"{base}.{alias.name}"
    return names


def _doors(tree: ast.AST, names: dict[str, str]) -> set[str]:
    """Names in the module of a `BoundedReader`: assigned from a call of it, or annotated so; ``f()`` for a function."""

    def is_hint(hint: ast.AST | None) -> bool:
        return hint is not None and _dotted(hint, names).endswith("io.read.BoundedReader")

    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _is_reader(node.value, names, set()):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.arg) and is_hint(node.annotation):
            found.add(node.arg)
        elif isinstance(node, ast.FunctionDef) and is_hint(node.returns):
            found.add(f"{node.name}()")
    return found


def _is_reader(node: ast.AST, names: dict[str, str], readers: set[str]) -> bool:
    if isinstance(node, ast.Call):
        name = _dotted(node.func, names)
        return name.endswith("io.read.BoundedReader") or f"{name}()" in readers
    return isinstance(node, ast.Name) and node.id in readers


def _dotted(node: ast.AST, names: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value, names)
        return f"{base}.{node.attr}" if base else ""
    return ""


def _visit(
    node: ast.AST, function: str, names: dict[str, str], readers: set[str], calls: dict[int, ast.Call]
) -> Iterator[Read]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        function = f"{function}.{node.name}".removeprefix(".")
    if isinstance(node, ast.Call):
        calls[id(node.func)] = node
    if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
        reader = _reader(node, names, readers)
        if reader and not _only_writes(calls.get(id(node)), reader):
            yield Read(function, reader, node.lineno)
    for child in ast.iter_child_nodes(node):
        if child in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            continue  # a type
        yield from _visit(child, function, names, readers, calls)


def _reader(node: ast.Name | ast.Attribute, names: dict[str, str], readers: set[str]) -> str:
    dotted = _dotted(node, names)
    is_imported = dotted.split(".")[0] != dotted or isinstance(node, ast.Name)
    if is_imported and (dotted in READERS or any(dotted.startswith(r[:-1]) for r in READERS if r.endswith(".*"))):
        return dotted
    if isinstance(node, ast.Attribute) and node.attr in METHODS:
        # A class of ours opens by way of the module that it is in, which is looked at as well.
        ours = dotted.startswith(("adept_hub.", "adept_training."))
        return "" if ours or _is_reader(node.value, names, readers) else f"*.{node.attr}"
    return ""


def _only_writes(call: ast.Call | None, reader: str) -> bool:
    """Whether it is a call of open() whose mode, written out, neither reads nor updates."""
    if call is None or not reader.endswith("open"):
        return False
    if reader == "os.open":
        return len(call.args) > 1 and ast.unparse(call.args[1]) == "os.O_WRONLY"
    at = 1 if reader in ("open", "io.open", "codecs.open") else 0
    mode = next((word.value for word in call.keywords if word.arg == "mode"), None)
    if mode is None and len(call.args) > at:
        mode = call.args[at]
    if not isinstance(mode, ast.Constant) or not isinstance(mode.value, str):
        return False
    return not set("r+") & set(mode.value) and bool(set("wax") & set(mode.value))
