"""Foreign formats: a source's bytes become native events by short mappings, the record kept whole as `data`.

Every format is one file in `mappings/`; a directory of your own adds more, without a line of code (see `mapping`)::

    formats = load_formats()
    occurrences = Occurrences()  # one for each file
    for record in read_records(chunks, format="auto", formats=formats):
        event = convert(record, formats=formats, occurrences=occurrences)  # an Event, or Rejected with the reason
"""

from atp.formats.catalogue import Formats, load_formats
from atp.formats.convert import Rejected, convert
from atp.formats.ids import Occurrences
from atp.formats.reader import Record, read_records

__all__ = ["Formats", "Occurrences", "Record", "Rejected", "convert", "load_formats", "read_records"]
