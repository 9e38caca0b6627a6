#!/usr/bin/env python3
"""Prints the KEKs of a keyring as JSON, number to hexadecimal, so that a test can search for them.

    keks.py KEYRING ROOT-KEY
"""

import json
import pathlib
import sys

from open_store import Keyring, root_key

keyring, root = (pathlib.Path(name) for name in sys.argv[1:])
opened = Keyring(keyring.read_bytes(), root_key(root.read_text()), None)
print(json.dumps({number: key.hex() for number, key in opened.keks.items()}))
