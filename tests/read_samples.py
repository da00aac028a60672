"""Books and papers for the tests of `read`, made from what they say."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence

CONTAINER = """<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="OEBPS/book%20file.opf"
 media-type="application/oebps-package+xml"/></rootfiles></container>"""

PAGE = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "http://www.w3.org/TR/xhtml11/DTD/xhtml11.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">
<head><title/></head><body>{}</body></html>"""


def epub(
    chapters: dict[str, str],
    spine: Sequence[str] | None = None,
    extra: dict[str, str] | None = None,
    manifest: bool = True,
) -> bytes:
    """A book: the names and bodies of its chapters, and the names in its spine.

    One that ends in a hyphen is not read in its turn.
    """
    contents = ' properties="nav"'
    items = "".join(
        f'<item id="{name}" href="text/{name}%20page.xhtml" media-type="application/xhtml+xml"'
        f"{contents if name == 'nav' else ''}/>"
        for name in (chapters if manifest else ())
    )
    hyphen, linear = "-", ("yes", "no")
    order = "".join(
        f'<itemref idref="{name.rstrip(hyphen)}" linear="{linear[name.endswith(hyphen)]}"/>'
        for name in (chapters if spine is None else spine)
    )
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>A  Book</dc:title></metadata>'
        f"<manifest>{items}</manifest><spine>{order}</spine></package>"
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr("OEBPS/book file.opf", package)
        for name, body in chapters.items():
            archive.writestr(f"OEBPS/text/{name} page.xhtml", PAGE.format(body))
        for name, text in (extra or {}).items():
            archive.writestr(name, text)
    return file.getvalue()


Line = tuple[float, float, float, str]  # from the left, from the bottom, size, text


def pdf(pages: Sequence[Sequence[Line]], title: str = "") -> bytes:
    """A paper with lines of Helvetica at their places, in points on A4."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Count {len(pages)}/Kids[{kids}]>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    for i, lines in enumerate(pages):
        objects.append(
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents {5 + 2 * i} 0 R"
            "/Resources<</Font<</F 3 0 R>>>>>>".encode()
        )
        drawn = "".join(
            f"BT /F {size} Tf {x} {y} Td ({_escaped(text)}) Tj ET\n" for x, y, size, text in lines
        )
        stream = zlib.compress(drawn.encode("cp1252"))
        head = f"<</Length {len(stream)}/Filter/FlateDecode>>stream\n".encode()
        objects.append(head + stream + b"\nendstream")
    objects.append(f"<</Title({_escaped(title)})>>".encode())
    data = bytearray(b"%PDF-1.4\n")
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = len(objects) + 1
    data += (
        f"xref\n0 {end}\n0000000000 65535 f \n{table}trailer\n<</Size {end}/Root 1 0 R"
        f"/Info {end - 1} 0 R>>\nstartxref\n{len(data)}\n%%EOF\n"
    ).encode()
    return bytes(data)


def column(
    text: str, *, left: float = 70, top: float = 760, size: float = 11, step: float = 14
) -> list[Line]:
    """Lines of a text below each other; one that begins with spaces is indented."""
    return [
        (left + (18 if line.startswith(" ") else 0), top - i * step, size, line.strip())
        for i, line in enumerate(text.splitlines())
        if line.strip()
    ]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
