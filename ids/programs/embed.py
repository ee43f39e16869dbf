#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py IN OUT: a file's bytes as the inside of a C++ array."""

import pathlib
import sys

data = pathlib.Path(sys.argv[1]).read_bytes()
rows = (data[at:at + 16] for at in range(0, len(data), 16))
pathlib.Path(sys.argv[2]).write_text("".join(", ".join(map(str, row)) + ",\n" for row in rows))
