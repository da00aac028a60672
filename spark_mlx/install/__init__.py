"""Makes spark-mlx known to the system it runs on, and takes that back.

blocks.py              lines of ours in a file of somebody else's
speech_dispatcher.py   Linux: a voice of the screen reader
quick_action.py        macOS: the selection, from the Services menu
"""
