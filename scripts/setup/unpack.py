"""Unpacks from a wheel only what the engine needs: usage: unpack.py WHEEL FOLDER PREFIX...

A member is unpacked when its path starts with one of the prefixes; `tensorflow/include/x.h` goes to
`FOLDER/include/x.h`.
"""

import pathlib
import shutil
import sys
import zipfile

wheel, folder, *prefixes = sys.argv[1:]
found = 0
with zipfile.ZipFile(wheel) as archive:
    for member in archive.namelist():
        if member.endswith("/") or not member.startswith(tuple(prefixes)):
            continue
        target = pathlib.Path(folder, *pathlib.PurePosixPath(member).parts[1:])
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, open(target, "wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
        found += 1
if not found:
    sys.exit(f"{wheel} holds none of {', '.join(prefixes)}")
