"""Register spark-mlx with the system it runs on, and undo that.

blocks.py              a marked block of lines in a file of the user
speech_dispatcher.py   Linux: a voice of the screen reader
quick_action.py        macOS: the selection, from the Services menu
"""
