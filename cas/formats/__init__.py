"""Pure codecs of everything that is written: bytes in, values out, no I/O and no clock.

`docs/format.md` is the specification; each module here names its section.
"""
