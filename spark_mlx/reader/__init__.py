"""Read a document aloud, with the current sentence on a screen or a braille display.

a file → formats/ → Document → Reading ↔ a speech engine
                                  ↓
                    screen_view or line_view
"""
