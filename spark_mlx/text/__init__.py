"""Text → the pieces it is spoken in, with their places in the caller's text: `segment`."""

from spark_mlx.text.alignment import Span
from spark_mlx.text.duration import expected_seconds, syllables
from spark_mlx.text.segmentation import Boundary, Piece, halves, segment, sentence_spans
from spark_mlx.text.tidy import INVISIBLE, clean, dropped, is_speakable

__all__ = [
    "INVISIBLE",
    "Boundary",
    "Piece",
    "Span",
    "clean",
    "dropped",
    "expected_seconds",
    "halves",
    "is_speakable",
    "segment",
    "sentence_spans",
    "syllables",
]
