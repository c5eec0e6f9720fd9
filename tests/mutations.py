"""Damage with knowledge of the format: bytes are changed where a parser looks, and checksums are made right again."""

from __future__ import annotations

import io
import itertools
import json
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random

EXTREME = (0, 1, 2, 7, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)


def raw(random: Random, data: bytes) -> bytes:
    """One to four changes anywhere: bits, bytes, whole numbers of extreme size, cuts, copies, exchanges."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        if not changed:
            break
        at = random.randrange(len(changed))
        length = min(1 << random.randrange(10), len(changed) - at)
        kind = random.randrange(9)
        if kind == 0:
            changed[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            changed[at] = random.choice((0, 1, 2, 127, 128, 254, 255, random.randrange(256)))
        elif kind in (2, 3, 4):
            size = random.choice((1, 2, 4, 8))
            order = random.choice(("little", "big"))
            value = random.choice(EXTREME) % (1 << 8 * size)
            changed[at : at + size] = value.to_bytes(size, order)
        elif kind == 5 and random.random() < 0.3:
            del changed[at:]
        elif kind == 6:
            del changed[at : at + length]
        elif kind == 7:
            changed[at:at] = changed[at : at + length] * random.choice((1, 1, 1, 50))
        else:
            to = random.randrange(len(changed))
            changed[to : to + length] = changed[at : at + length]
    return bytes(changed)


def zipped(random: Random, data: bytes) -> bytes:
    """A zip with one member changed, lost, renamed or doubled; its CRC and directory are right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    weights = [8 if name.endswith((".pkl", "meta.npy")) else 1 for name, _ in members]
    i = random.choices(range(len(members)), weights)[0]
    name, content = members[i]
    kind = random.randrange(8)
    if kind < 5:
        change = pickled if name.endswith(".pkl") and random.random() < 0.7 else raw
        members[i] = (name, change(random, content))
    elif kind == 5:
        del members[i]
    elif kind == 6:
        members[i] = (
            random.choice((*[n for n, _ in members], "x", "../" + name, name + "\0", "a/constants.pkl")),
            content,
        )
    else:
        members.insert(random.randrange(len(members)), (name + "2", raw(random, content)))
    buffer = io.BytesIO()
    packing = zipfile.ZIP_DEFLATED if random.random() < 0.05 else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        seen = set()
        for member, content in members:
            if member not in seen:
                archive.writestr(member, content)
            seen.add(member)
    return buffer.getvalue()


def pickled(random: Random, data: bytes) -> bytes:
    """A pickle whose instructions are lost, doubled, exchanged or given other numbers and names."""
    try:
        starts = [at for _, _, at in pickletools.genops(data)] + [len(data)]
    except ValueError:
        return raw(random, data)
    pieces = [data[a:b] for a, b in itertools.pairwise(starts)]
    for _ in range(random.randint(1, 3)):
        i = random.randrange(len(pieces))
        kind = random.randrange(6)
        if kind == 0:
            del pieces[i : i + random.randint(1, 5)]
        elif kind == 1:
            pieces[i:i] = pieces[i : i + random.randint(1, 8)]
        elif kind == 2:
            j = random.randrange(len(pieces))
            pieces[i], pieces[j] = pieces[j], pieces[i]
        elif kind == 3:
            pieces[i] = b"\x8a\x08" + struct.pack("<q", random.choice(EXTREME) % 2**63)
        elif kind == 4:
            named = [p for p in pieces if p[:1] == b"c"]
            pieces[i] = random.choice([*named, b"ctorch\nFloatTensor\n", b"cposix\nsystem\n", b"c_codecs\nencode\n"])
        else:
            pieces[i] = random.choice(
                (b"N", b"(", b"t", b"R", b"b", b"u", b"s", b"}", b"]", b")", b"Q", b"0", b"2", b"h\0")
            )
        if not pieces:
            break
    return b"".join(pieces)


def safetensors(random: Random, data: bytes) -> bytes:
    """Another header: lengths, names, types, shapes and offsets that lie."""
    if random.random() < 0.3:
        return raw(random, data)
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    entry = header[random.choice([k for k in header if k != "__metadata__"])]
    odd = (-1, 0, 1, 3, 2**31, 2**53, 2**63, 2**64, 0.5, "x", None, [], {}, True)
    kind = random.randrange(6)
    if kind == 0:
        entry["shape"] = [random.choice(odd) for _ in range(random.randrange(5))]
    elif kind == 1:
        entry["data_offsets"] = [
            random.choice((*odd, *entry["data_offsets"])) for _ in range(random.choice((1, 2, 2, 3)))
        ]
    elif kind == 2:
        entry["dtype"] = random.choice(
            ("F64", "F16", "BF16", "I8", "U64", "BOOL", "F8_E4M3", "F8_E8M0", "F4", "C64", "", 3)
        )
    elif kind == 3:
        del entry[random.choice(list(entry))]
    elif kind == 4:
        header[random.choice(("__metadata__", "x", ""))] = random.choice((*odd, dict(entry)))
    elif random.random() < 0.5:
        entry["more"] = random.choice(odd)
    text = json.dumps(header).encode()
    text = raw(random, text) if random.random() < 0.2 else text
    size = random.choice(EXTREME) if random.random() < 0.1 else len(text)
    return struct.pack("<Q", size) + text + data[8 + struct.unpack("<Q", data[:8])[0] :]


def png(random: Random, data: bytes) -> bytes:
    """Chunks changed, lost, doubled and exchanged, with their checksums made right."""
    chunks, at = [], 8
    while at < len(data):
        size = struct.unpack(">I", data[at : at + 4])[0]
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += size + 12
    for _ in range(random.randint(1, 3)):
        i = random.randrange(len(chunks))
        name, body = chunks[i]
        kind = random.randrange(8)
        if kind < 3:
            chunks[i] = (name, raw(random, body))
        elif kind == 3 and len(chunks) > 1:
            del chunks[i]
        elif kind == 4:
            chunks[i:i] = [(name, body)] * random.choice((1, 1, 30))
        elif kind == 5:
            j = random.randrange(len(chunks))
            chunks[i], chunks[j] = chunks[j], chunks[i]
        elif kind == 6:
            other = random.choice(
                (b"tRNS", b"PLTE", b"acTL", b"fcTL", b"fdAT", b"iCCP", b"zTXt", b"eXIf", b"gAMA", b"sRGB")
            )
            chunks.insert(i, (other, raw(random, body or b"x")))
        else:
            packed = zlib.compress(raw(random, zlib.decompress(body))) if name == b"IDAT" and _inflates(body) else body
            chunks[i] = (name, packed)
    parts = [struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks]
    if random.random() < 0.1:
        parts[-1] = struct.pack(">I", random.choice(EXTREME) % 2**32) + parts[-1][4:]
    return data[:8] + b"".join(parts)


def _inflates(body: bytes) -> bool:
    try:
        return bool(zlib.decompress(body))
    except zlib.error:
        return False


def hdf5(random: Random, data: bytes) -> bytes:
    """Changes outside the values, preferring the headers of objects; the checksums of these are made right again."""
    if random.random() < 0.2:
        return raw(random, data)
    changed = bytearray(data)
    headers = _headers(data)
    for _ in range(random.randint(1, 4)):
        if headers and random.random() < 0.8:
            begin, end = random.choice(headers)
            at = random.randrange(begin + 4, end)
        else:  # most bytes that are not zero and lie among zeros are numbers of the format
            at = next((i for _ in range(50) if data[(i := random.randrange(len(data)))]), 0)
        size = random.choice((1, 1, 1, 2, 4, 8))
        value = random.choice((*EXTREME, random.randrange(256), changed[at] + 1)) % (1 << 8 * size)
        changed[at : at + size] = value.to_bytes(size, "little")
    for begin, end in headers:
        changed[end : end + 4] = struct.pack("<I", lookup3(bytes(changed[begin:end])))
    return bytes(changed)


def _headers(data: bytes) -> list[tuple[int, int]]:
    """(begin, end without checksum) of the version 2 object headers and of the superblock."""
    found = []
    if data[8:9] in (b"\2", b"\3"):
        found.append((0, 44))
    at = data.find(b"OHDR\2")
    while at >= 0:
        flags = data[at + 5]
        start = at + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        end = start + width + int.from_bytes(data[start : start + width], "little")
        if end + 4 <= len(data) and data[end : end + 4] == struct.pack("<I", lookup3(data[at:end])):
            found.append((at, end))
        at = data.find(b"OHDR\2", at + 1)
    return found


def lookup3(key: bytes) -> int:
    """Bob Jenkins' hash, HDF5's checksum of metadata."""
    mask = 0xFFFFFFFF
    a = b = c = (0xDEADBEEF + len(key)) & mask

    def turn(x: int, k: int) -> int:
        return ((x << k) | (x >> (32 - k))) & mask

    at = 0
    while len(key) - at > 12:
        x, y, z = struct.unpack_from("<III", key, at)
        a, b, c = (a + x) & mask, (b + y) & mask, (c + z) & mask
        for k1, k2, k3 in ((4, 6, 8), (16, 19, 4)):
            a = ((a - c) & mask) ^ turn(c, k1)
            c = (c + b) & mask
            b = ((b - a) & mask) ^ turn(a, k2)
            a = (a + c) & mask
            c = ((c - b) & mask) ^ turn(b, k3)
            b = (b + a) & mask
        at += 12
    x, y, z = struct.unpack("<III", key[at:].ljust(12, b"\0"))
    a, b, c = (a + x) & mask, (b + y) & mask, (c + z) & mask
    for first, k1, k2 in (("c", 14, 11), ("b", 25, 16), ("a", 4, 14)):
        if first == "c":
            c = ((c ^ b) - turn(b, k1)) & mask
            a = ((a ^ c) - turn(c, k2)) & mask
        elif first == "b":
            b = ((b ^ a) - turn(a, k1)) & mask
            c = ((c ^ b) - turn(b, k2)) & mask
        else:
            a = ((a ^ c) - turn(c, k1)) & mask
            b = ((b ^ a) - turn(a, k2)) & mask
    return ((c ^ b) - turn(b, 24)) & mask


def text(random: Random, data: bytes) -> bytes:
    """JSON with other values, or other bytes."""
    if random.random() < 0.4:
        return raw(random, data)
    content = json.loads(data)

    def visit(node: object) -> object:
        if isinstance(node, dict):
            return {k: visit(v) for k, v in node.items() if random.random() > 0.05}
        if isinstance(node, list):
            return [visit(v) for v in node]
        return (
            random.choice((None, -1, 10**400, 0.5, "x", [], {}, True, "\ud800", "\x1b[2J"))
            if random.random() < 0.2
            else node
        )

    return json.dumps(visit(content)).encode()


BY_KIND: dict[str, Callable[[Random, bytes], bytes]] = {
    "zip": zipped, "safetensors": safetensors, "png": png, "hdf5": hdf5, "json": text, "raw": raw,
}  # fmt: skip
