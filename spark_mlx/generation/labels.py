"""The labels a created voice can be asked for, in the order of their tokens.

Source: `sparktts/utils/token_parser.py` of the official code.
"""

GENDERS = ("female", "male")
LEVELS = ("very_low", "low", "moderate", "high", "very_high")
