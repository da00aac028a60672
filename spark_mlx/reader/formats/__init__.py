"""Document formats → paragraphs.

detect.py            kind of a file by its first bytes and its name; `read_file`, `read_bytes`
encodings.py         bytes → text
plaintext.py, markdown.py, html.py, epub.py, pdf.py   one format each
"""
