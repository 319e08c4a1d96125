"""Files of rows: the format of a file, and its lines. This module does not import Airflow."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, cast

from airflow_provider_passnotify.rows import source
from airflow_provider_passnotify.rows.csv import read_csv
from airflow_provider_passnotify.rows.json import read_json_lines
from airflow_provider_passnotify.rows.source import BadRow

_JSON_LINES = (".jsonl", ".ndjson", ".json")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def check_file_name(name: str) -> None:
    """Refuse a file whose name does not show its format.

    :raises ValueError: it names the known endings, or says that the name is a folder or a pattern.
    """
    if "*" in name:
        raise ValueError(f"{name!r:.200} is a pattern; give the path of one file.")
    if name.endswith("/"):
        raise ValueError(f"{name!r:.200} is a folder; give the path of one file.")
    _format_of(name)


def read_file(
    name: str, open_file: Callable[[], IO[bytes]], on_header: Callable[[list[str]], None] = lambda _: None
) -> Iterator[Mapping[str, Any] | BadRow]:
    """Read the rows of a file, line by line.

    :param name: its ending says whether it is JSON Lines or CSV, and whether it is compressed with gzip.
    :param open_file: opens it for reading bytes.
    :param on_header: called with the names of the columns, if the file has a header.
    :raises ValueError: if the file as a whole does not have the format that its name shows.
    """
    check_file_name(name)
    read, packed = _format_of(name)
    try:
        with open_file() as raw, gzip.GzipFile(fileobj=raw) if packed else raw as file:
            lines = read_lines(cast("IO[bytes]", file))
            yield from read_csv(lines, on_header) if read is read_csv else read(lines)
            if packed and raw.tell() == 0:  # Python takes a file without any byte for gzip
                raise EOFError
    except EOFError:
        raise ValueError("It is not a whole gzip file: it is cut off.") from None
    except (gzip.BadGzipFile, zlib.error):
        raise ValueError("It is not a whole gzip file: it is damaged, or no gzip at all.") from None
    except IsADirectoryError:
        raise ValueError("It is a folder. Give the path of one file.") from None


def _format_of(name: str) -> tuple[Callable[[Iterator[bytes]], Iterator[Mapping[str, Any] | BadRow]], bool]:
    plain = name.lower()
    packed = plain.endswith(".gz")
    plain = plain.removesuffix(".gz")
    if plain.endswith(_JSON_LINES):
        return read_json_lines, packed
    if plain.endswith(".csv"):
        return read_csv, packed
    raise ValueError(
        f"{name!r:.200} must end in .jsonl, .ndjson, .json (one object a line) or .csv, each also with .gz; "
        "a folder is not read."
    )


def read_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield lines without the byte-order mark. A line that is too long is cut to one byte more than the limit."""
    read_line = file.readline  # looked up only once: Airflow's object storage wraps the method at each look-up
    line = read_line(source.MAX_LINE_BYTES + 1)
    if line.startswith(_UTF16):
        raise ValueError("The file is UTF-16; save it as UTF-8.")
    line = line.removeprefix(codecs.BOM_UTF8)
    while line:
        yield line
        while len(line) > source.MAX_LINE_BYTES and not line.endswith(b"\n"):
            line = read_line(source.MAX_LINE_BYTES + 1)
        line = read_line(source.MAX_LINE_BYTES + 1)
