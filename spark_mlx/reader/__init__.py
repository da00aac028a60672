"""Reading a document aloud, with the eyes, the ears or the fingers following.

a file → `documents` → paragraphs with places → `reading` ↔ a speaker → `view` or `plain`
"""
