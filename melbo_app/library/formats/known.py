"""The known formats, and how to recognise a file's format."""

from melbo_app.errors import InputError
from melbo_app.library.bank_vectors import FIELD
from melbo_app.library.formats import card, dct, gguf, melbo, safetensors, snippet, svec
from melbo_app.library.formats.format import Format, Given

_PT = (".pt", ".pth", ".bin")
_ZIP = b"PK\3\4"

OURS = Format(
    "safetensors", "safetensors", (".safetensors",), safetensors.write, (".safetensors",), read=safetensors.read
)
MELBO = Format("melbo", "published MELBO", (".pt",), melbo.write, _PT, _ZIP, melbo.read)
GGUF = Format("gguf", "GGUF control vector", (".gguf",), gguf.write, (".gguf",), b"GGUF", gguf.read)
SVEC = Format("svec", "svec", (".svec",), svec.write, (".svec", ".json"), read=svec.read)
SNIPPET = Format("steering-vectors", "steering-vectors snippet", (".py",), snippet.write)
FOLDER = Format("folder", "folder with a model card", (".zip", ""), card.write)
DCT = Format("dct", "DCT (V, U and R)", (".zip",), dct.write, _PT, _ZIP, dct.read)

FORMATS = (OURS, MELBO, GGUF, SVEC, SNIPPET, FOLDER, DCT)
READ = tuple(format for format in FORMATS if format.read)
ENDINGS = tuple(dict.fromkeys(ending for format in READ for ending in format.endings))


def by_key(key: str, formats: tuple[Format, ...] = FORMATS) -> Format:
    """The format with this key. Raises InputError if there is none."""
    for format in formats:
        if format.key == key:
            return format
    known = ", ".join(format.key for format in formats)
    raise InputError("format", f"“{key[:40]}” is not known", f"Choose one of {known}")


def format_of(given: Given) -> Format:
    """The format of a file to read, by its first bytes or else its name; DCT's also by its contents. Raises
    InputError."""
    name, beginning = given.name, given.data[:8]
    ending = ending_of(name)
    if ending in DCT.endings and dct.is_one_of_three(given):
        return DCT
    for format in READ:
        if format.magic and beginning.startswith(format.magic):
            return format
    for format in READ:
        if ending in format.endings:
            return format
    raise InputError(FIELD, f"the format of “{name}” is unknown", f"Files that end in {', '.join(ENDINGS)} can be read")


def format_for(name: str, key: str | None = None) -> Format:
    """The format of a file to write: that of ``key``, or else of its name. Raises InputError."""
    ending = ending_of(name)
    wanted = FORMATS if key is None else (by_key(key),)
    for format in wanted:
        if ending in format.writes:
            return format
    endings = list(dict.fromkeys(ending for format in wanted for ending in format.writes))
    remedy = f"Its name must end in {', '.join(filter(None, endings))}"
    remedy += ", or in nothing for a folder" if "" in endings else ""
    raise InputError("file", f"a bank cannot be written as “{name}”", remedy)


def ending_of(name: str) -> str:
    """The ending of a file's name in lower case, with its dot; empty if it has none."""
    stem, dot, ending = name.rpartition(".")
    return f".{ending.lower()}" if dot and stem else ""
