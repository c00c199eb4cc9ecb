"""Files of rows as people have them: a reader for many kinds of file, and a writer for downloads."""

from datafiles.delimited import DELIMITERS
from datafiles.errors import DataFileError, EncodingUnknown
from datafiles.guess import ColumnGuess, guess_columns
from datafiles.kinds import SUFFIXES, open_table
from datafiles.table import Fault, Limits, Options, Problem, Row, Table
from datafiles.writing.write import Written, write_table

__all__ = [
    "DELIMITERS",
    "SUFFIXES",
    "ColumnGuess",
    "DataFileError",
    "EncodingUnknown",
    "Fault",
    "Limits",
    "Options",
    "Problem",
    "Row",
    "Table",
    "Written",
    "guess_columns",
    "open_table",
    "write_table",
]
